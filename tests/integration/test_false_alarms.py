"""Issue D, acceptance 1: comparisons all the time, under all the load that this machine gives, find
nothing; every range is verified twice at least.  The figures are printed."""

import re
import statistics
import time
from collections import Counter

import pytest

from tests.integration.conftest import STREAM, is_long
from tests.lab.lockstep import lag_of
from tests.lab.postgres import BIN, OWNER, lsn_number
from tests.lab.process import LabError, Process

SECONDS = (1800 if STREAM == "direct" else 180) if is_long() else 15
# What a run of all tests, which leaves half a core to this one, gives in any case.
RATE = 2000 if is_long() and STREAM == "direct" else 300
ROWS = 20_000
HOT = 20
TABLES = 3
# What a migration promises, where nothing else runs; beside all tests it only must not stand still.
LAG_SECONDS = 5 if is_long() else 30

SCHEMA = f"""
CREATE TABLE accounts (id int PRIMARY KEY, v text, n numeric NOT NULL, big text);
ALTER TABLE accounts ALTER big SET STORAGE EXTERNAL;
INSERT INTO accounts SELECT g, 'v' || g, g, CASE WHEN g % 10 = 0 THEN repeat(md5(g::text), 80) END
  FROM generate_series(1, {ROWS}) g;
CREATE TABLE history (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int, at timestamptz
                      DEFAULT clock_timestamp());
CREATE TABLE hot (id int PRIMARY KEY, n bigint NOT NULL, at timestamptz);
INSERT INTO hot SELECT g, 0 FROM generate_series(1, {HOT}) g;
-- Gives a row the key of its mirror, unless that is taken.
CREATE FUNCTION move(key int) RETURNS void LANGUAGE plpgsql AS $$
  BEGIN UPDATE accounts SET id = -id WHERE id = key; EXCEPTION WHEN unique_violation THEN NULL; END
$$;
"""
# The weight of a transaction, and what it does.
TRANSACTIONS = {
    "update": (30, "UPDATE accounts SET n = n + 1 WHERE id = :id;"),
    "hot": (30, "UPDATE hot SET n = n + 1, at = clock_timestamp() WHERE id = :hot;"),
    "hot_again": (3, "DELETE FROM hot WHERE id = :hot;\n"
                     "INSERT INTO hot VALUES (:hot, 0) ON CONFLICT (id) DO NOTHING;"),
    "insert": (15, "INSERT INTO history (account) VALUES (:id);"),
    "delete": (5, "DELETE FROM accounts WHERE id = :id;"),
    "again": (10, "INSERT INTO accounts VALUES (:id, 'again', 0, repeat('x', :id % 5000))"
                  " ON CONFLICT (id) DO NOTHING;"),
    "move": (4, "SELECT move(:id);"),
    "move_back": (4, "SELECT move(-:id);"),
    "transfer": (10, "BEGIN;\nUPDATE accounts SET n = n - 1 WHERE id = least(:id, :other);\n"
                     "UPDATE accounts SET n = n + 1 WHERE id = greatest(:id, :other);\n"
                     "INSERT INTO history (account) VALUES (:id), (:other);\nEND;"),
}


class Load:
    """pgbench twice: half of the clients with synchronous_commit = off."""

    def __init__(self, migration, clients=4):
        directory = migration.lockstep.directory
        scripts = []
        for name, (weight, sql) in TRANSACTIONS.items():
            script = directory / f"{name}.sql"
            script.write_text(f"\\set id random(1, {ROWS})\n\\set other random(1, {ROWS})\n"
                              f"\\set hot random(1, {HOT})\n{sql}\n")
            scripts += ["-f", f"{script}@{weight}"]
        environment = migration.stack.source.client_environment(migration.name, OWNER)
        self.parts = []
        for commit in ("on", "off"):
            options = f"{environment['PGOPTIONS']} -c synchronous_commit={commit}"
            self.parts.append(Process(
                f"pgbench, synchronous_commit = {commit}",
                [BIN / "pgbench", "-n", "-c", clients // 2, "-T", 36_000, "--max-tries=10",
                 "-P", 1, *scripts, migration.name],
                directory / f"pgbench_{commit}.log", env={**environment, "PGOPTIONS": options}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for part in self.parts:
            part.kill()

    def rates(self):
        """Transactions a second, of each second and both halves together."""
        for part in self.parts:
            if not part.is_alive():
                raise LabError(f"{part.name} ended\n{part.log_tail()}")
        each = [[float(rate) for rate in re.findall(r"([0-9.]+) tps", part.log_text())]
                for part in self.parts]
        return [sum(rates) for rates in zip(*each)]


class Watch:
    """What status says while it lasts."""

    def __init__(self, migration, seconds):
        self.migration = migration
        self.until = time.monotonic() + seconds
        self.lags = []
        self.rounds = Counter()  # By table: how often every range of it was verified.
        self._marks = {}         # Where the next one begins.

    def __call__(self, status):
        assert all(table["findings"] in (0, None) for table in status["tables"]), status["tables"]
        self.lags.append(lag_of(status))
        for table in status["tables"]:
            through, name = table["verified_through"], table["table"]
            if through and lsn_number(through) >= self._marks.get(name, 0):
                self.rounds[name] += 1
                self._marks[name] = self.migration.source_position()
        twice = len(self.rounds) == TABLES and min(self.rounds.values()) >= 2
        return twice and time.monotonic() > self.until


@pytest.mark.skipif(STREAM != "direct" and not is_long(), reason="the full counts only")
def test_nothing_is_found_where_nothing_is_wrong(migrate, capsys):
    migration = migrate(SCHEMA, reconcile={"every": "1s"})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        with Load(migration) as load:
            watch = Watch(migration, SECONDS)
            lockstep.await_status(watch, "the time to pass, and every range to be verified twice",
                                  timeout=SECONDS + 120)
            rates = load.rates()
        report = lockstep.answer("reconcile", "--once", "--format", "json")
    outcome = migration.finish()
    with capsys.disabled():
        print(f"\n{STREAM}, {SECONDS} s: {statistics.mean(rates):.0f} transactions a second"
              f" (least {min(rates):.0f}), lag {statistics.median(watch.lags):.2f} s (median),"
              f" {max(watch.lags):.2f} s (worst); verified so often: {dict(watch.rounds)};"
              f" 0 findings; {outcome}")
    assert report["result"] == "equal", report
    assert statistics.mean(rates) > RATE, rates
    assert max(watch.lags) < LAG_SECONDS, watch.lags
