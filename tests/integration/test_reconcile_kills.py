"""Issue D, acceptance 6: kill -9 in sweeps, repairs and heals.

Nothing is claimed that was not checked, and what is done again is what was under way: one range.
"""

import random
import threading
from concurrent.futures import ThreadPoolExecutor

from tests.integration.conftest import is_long

KILLS = {"sweep": 20, "repair": 20, "heal": 10} if is_long() else {"sweep": 2, "repair": 2, "heal": 1}
RANGE = 100_000  # Rows that are compared under one pair of snapshots.
ROWS = RANGE * (1 + 2 * KILLS["sweep"])
DAMAGED = 300
PART_ROWS = 20_000
SEED = 6

SCHEMA = f"""
CREATE TABLE archive (id int PRIMARY KEY, v text);
INSERT INTO archive SELECT g, 'entry ' || g FROM generate_series(1, {ROWS}) g;
CREATE TABLE parts (id int PRIMARY KEY, v text) PARTITION BY RANGE (id);
CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (0) TO (1000000);
CREATE TABLE parts_2 PARTITION OF parts FOR VALUES FROM (1000000) TO (2000000);
INSERT INTO parts SELECT g * 1000000 + n, 'part ' || n
  FROM generate_series(0, 1) g, generate_series(1, {PART_ROWS}) n;
"""
READING = "datname = '{name}' AND state <> 'idle' AND query LIKE '%COPY%archive%'"


class Kills:
    """One migration whose daemon is killed again and again."""

    def __init__(self, migration):
        self.migration = migration
        self.lockstep = migration.lockstep
        self.rng = random.Random(SEED)
        self._pause = threading.Event()  # Never set: a kill comes after a random time.

    def at_random(self, seconds):
        self._pause.wait(self.rng.uniform(0, seconds))

    def table(self, status, name="public.archive"):
        return next(each for each in status["tables"] if each["table"] == name)

    def in_background(self, verb, *arguments):
        """Gives a Future of what the verb answers."""
        pool = ThreadPoolExecutor(1)
        answer = pool.submit(self.lockstep.verb, verb, *arguments)
        pool.shutdown(wait=False)
        return answer

    def start(self):
        """Starts, and returns the first status that tells what was verified before."""
        self.lockstep.start()
        return self.lockstep.await_status(
            lambda now: now["phase"] == "follow" and
            self.table(now)["verified_rows"] is not None, "the ranges to be known again")

    def kill(self):
        self.lockstep.kill()
        self.migration.stack.source.await_none(
            f"datname = '{self.migration.name}' AND application_name LIKE 'lockstep %'")

    def rows_read(self):
        """Rows of `archive` that the source has read, for whatever purpose."""
        return self.migration.source(
            "SELECT (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint"
            " FROM pg_stat_user_tables WHERE relname = 'archive'")[0][0]

    def findings(self, *arguments):
        return self.lockstep.answer("findings list", "--format", "json", *arguments)["findings"]


def damage(migration, rng):
    """Wrong rows all over the table; gives their keys."""
    keys = rng.sample(range(1, ROWS + 1), DAMAGED)
    migration.target("UPDATE archive SET v = 'wrong' WHERE id = ANY (%s)", (keys[2:],))
    migration.target("DELETE FROM archive WHERE id = ANY (%s)", (keys[:2],))
    return {str(key) for key in keys}


def check_ranges(table):
    """Issue D, part 3: as many ranges as there are, those that wait longest first, or their count."""
    assert table["ranges_total"] == len(table["ranges"]) == ROWS // RANGE or is_long()
    assert {each["rows"] for each in table["ranges"]} == {RANGE}
    ages = [each["age_seconds"] for each in table["ranges"]]
    assert ages == sorted(ages, reverse=True)
    assert sum(each["lower"] is None for each in table["ranges"]) <= 1


def killed_in_sweeps(kills):
    """Every range once, and every damaged row is found; returns rows that were read again."""
    migration = kills.migration
    damaged = damage(migration, kills.rng)
    before = kills.rows_read()
    for _ in range(KILLS["sweep"]):
        verified = kills.table(kills.start())["verified_rows"]
        assert verified <= kills.rows_read() - before, "more is claimed than was read"
        migration.stack.source.await_waiting(READING.format(name=migration.name),
                                             "a range to be read")
        kills.at_random(0.3)
        kills.kill()
    kills.start()
    status = kills.lockstep.await_status(lambda now: kills.table(now)["verified_through"],
                                         "every range to be compared")
    assert kills.table(status)["verified_rows"] == ROWS
    check_ranges(kills.table(kills.lockstep.status()))
    kills.lockstep.stop()
    again = kills.rows_read() - before - ROWS
    assert {each["key"]["id"] for each in kills.findings()} == damaged
    # Each damaged row is read by its key, too: twice, and again where a kill came in between.
    assert 0 <= again - 2 * DAMAGED <= KILLS["sweep"] * (RANGE + 2 * DAMAGED), again
    return again


def killed_in_repairs(kills):
    """What is called repaired is equal, whenever that is said."""
    migration = kills.migration
    wrong = {each["key"]["id"] for each in kills.findings()}
    rows = f"(SELECT * FROM archive WHERE id IN ({', '.join(wrong)})) archive"
    for _ in range(KILLS["repair"]):
        kills.start()
        asked = kills.in_background("repair", "--yes")
        kills.at_random(0.6)
        kills.kill()
        # Whoever waits is told: it has an end, and he knows what to do.
        done = asked.result(timeout=20)
        assert done.returncode in (0, 69, 75), done.stderr
        told = {each["key"]["id"]: each["state"] for each in kills.findings("--all")}
        assert told.keys() >= wrong
        still = migration.differing(rows, ["v"]).keys()
        repaired = {key for key, state in told.items() if state in ("repaired", "resolved")}
        assert not repaired & still, "called repaired, and is not equal"
    kills.start()
    done = kills.lockstep.verb("repair", "--yes")
    assert done.returncode == 0, done.stdout + done.stderr
    kills.lockstep.await_status(lambda now: kills.table(now)["findings"] == 0, "all to be repaired")
    assert not migration.differing(rows, ["v"])
    kills.lockstep.stop()
    return len(wrong)


def killed_in_heals(kills):
    """A partition is emptied by itself; `synced` is not said before what it took is gone."""
    migration = kills.migration
    for number in range(KILLS["heal"]):
        kills.lockstep.start()
        kills.lockstep.await_follow()
        migration.source(f"INSERT INTO parts_1 SELECT {number}, 'new'; TRUNCATE parts_1;"
                         "INSERT INTO parts_1 VALUES (77, 'after')")
        kills.lockstep.await_said("the heal of public.parts")
        kills.at_random(0.5)
        kills.kill()
    migration.finish()
    assert migration.target("SELECT count(*) FROM parts")[0][0] == PART_ROWS + 1


def killed_in_one_heal(kills):
    """Ranges that were compared before a kill are not read again; returns rows that were."""
    migration = kills.migration
    before = kills.rows_read()
    assert kills.lockstep.verb("resync", "--table", "public.archive").returncode == 0
    for _ in range(KILLS["heal"]):
        kills.lockstep.start()
        kills.lockstep.await_said("the heal of public.archive")
        migration.stack.source.await_waiting(READING.format(name=migration.name),
                                             "a range to be read")
        kills.at_random(0.3)
        kills.kill()
    kills.lockstep.run_until_synced()
    again = kills.rows_read() - before - ROWS
    assert 0 <= again <= KILLS["heal"] * RANGE, again
    assert "a table is healed" in kills.lockstep.log_text()
    return again


def test_killed_again_and_again(migrate, capsys):
    migration = migrate(SCHEMA, reconcile={"mode": "off"})
    migration.prepare()
    migration.source("VACUUM ANALYZE archive")
    migration.lockstep.run_until_synced()
    settings = {"every": "1h", "repair": "confirm", "rows_per_second": RANGE}
    # Where rows are digested, the server reads a range that differs more than once.
    reads = {**settings, "digests": "off"}
    migration.lockstep.write({**migration.manifest, "reconcile": reads})
    kills = Kills(migration)
    again = killed_in_sweeps(kills)
    migration.lockstep.write({**migration.manifest, "reconcile": settings})
    repaired = killed_in_repairs(kills)
    killed_in_heals(kills)
    migration.lockstep.write({**migration.manifest, "reconcile": reads})
    healed = killed_in_one_heal(kills)
    migration.assert_equal()
    with capsys.disabled():
        print(f"\n{KILLS} kills, seed {SEED}: {ROWS} rows compared, {again} of them again"
              f" ({again / RANGE:.2f} ranges, {2 * DAMAGED} looks at damaged rows among them);"
              f" {repaired} rows repaired; in a heal {healed} of {ROWS} compared again")
