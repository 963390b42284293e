"""A load of 1x, 4x and 1x again, on the source and on the target: the copy and the comparison yield
to it and come back, the stream does neither, and whatever is slowed down says why.

Issue O, acceptance 3.  The load are sessions that work.  How long it takes is printed.
"""

import re
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg2.errors
import pytest

from tests.integration.conftest import is_long
from tests.integration.test_metrics import samples, scrape
from tests.lab.lockstep import lag_of
from tests.lab.meanwhile import LAG_MAX, Beside, Markers

pytestmark = pytest.mark.skipif(not is_long(), reason="takes minutes; ./run test --long")

SETTLED, STEP, LATEST = 10, 15, 60  # Seconds of 1x, of 4x, and at most until it is back.

SCHEMA = """
CREATE TABLE t (id int PRIMARY KEY, v text, n int);
INSERT INTO t SELECT g, 'v' || g, 0 FROM generate_series(1, {rows}) g;
CREATE TABLE marker (id int PRIMARY KEY);
DO $$ BEGIN FOR n IN 1..20 LOOP
  EXECUTE format('CREATE TABLE compared_%s (id int PRIMARY KEY, v text)', n);
  EXECUTE format('INSERT INTO compared_%s SELECT g, md5(g::text) FROM generate_series(1, 5000) g',
                 n);
END LOOP; END $$;
"""
# Of one session, again and again: it is active for nearly all of the time.
WORK = {
    "source": """DO $$ BEGIN FOR i IN 1..100 LOOP
                   UPDATE t SET n = n + 1 WHERE id BETWEEN i * 25 AND i * 25 + 19; COMMIT;
                   PERFORM pg_sleep(0.005);
                 END LOOP; END $$""",
    "target": """DO $$ BEGIN FOR i IN 1..1000 LOOP
                   PERFORM sum(hashtext(v || g)) FROM t, generate_series(1, 5) g WHERE id <= 100000;
                 END LOOP; END $$""",
}
REASON = {"source": "throttle.query", "target": "active sessions of the target"}
# Beside the load, the session that looks for markers is active on the target.
BOUNDS = {"lag_seconds": 1, "transaction_ms": 1000, "active_sessions": 3, "query": {
    "side": "source", "at_most": 2, "sql": "SELECT count(*) FROM pg_stat_activity WHERE state ="
                                           " 'active' AND query LIKE 'DO%'"}}
# Of which part the rows are counted, and what the manifest says so that it goes on for minutes.
COUNTED = {"backfill": "migration_backfill_rows_total",
           "reconcile": "migration_reconcile_rows_total"}
PARTS = {
    "backfill": {"reconcile": {"mode": "off"},
                 "backfill": {"workers": 1, "chunk_rows": 1000,
                              "rate_limit_rows_per_second": 20000}},
    "reconcile": {"reconcile": {"every": "1s"}},
}


class Session(Beside):
    """A context manager: a session of the load."""

    def __init__(self, connection, statement):
        super().__init__()
        self._connection = connection
        self._statement = statement

    def __exit__(self, *error):
        self._over.set()
        self._connection.cancel()
        super().__exit__(*error)
        self._connection.close()

    def run(self):
        try:
            while not self.is_over():
                self._connection.cursor().execute(self._statement)
        except psycopg2.errors.QueryCanceled:
            pass


@dataclass
class Look:
    """What the daemon says at one moment."""
    at: float
    rows: float  # That the part has read so far.
    lag: float  # Or for how long it is unknown.
    share: float
    reasons: list


class Looks:
    """One after another, a few a second."""

    def __init__(self, migration, counted):
        self._migration = migration
        self._counted = counted
        self.all = []

    def look(self):
        status = self._migration.lockstep.await_status(lambda _: True, "status")
        shown = samples(scrape(self._migration.lockstep))
        throttled = status["throttled"] or {"share": 1, "reasons": []}
        self.all.append(Look(time.monotonic(), sum(shown[self._counted].values()),
                             lag_of(status), throttled["share"], throttled["reasons"]))

    def watch(self, seconds, until=lambda: False):
        """Looks for so long, or until a condition holds; returns when it began."""
        begun = time.monotonic()
        while time.monotonic() - begun < seconds and not until():
            self.look()
        return begun

    def rate(self, begun, ended):
        """Rows per second between two moments: from the last look at one to that at the other."""
        first = max((one for one in self.all if one.at <= begun), key=lambda one: one.at)
        last = max((one for one in self.all if one.at <= ended), key=lambda one: one.at)
        return (last.rows - first.rows) / (last.at - first.at) if last.at > first.at else 0.0

    def rate_now(self, seconds=2):
        return self.rate(self.all[-1].at - seconds, self.all[-1].at)

    def since(self, begun, holds):
        """Seconds from then to the first look for which `holds`; None: there is none."""
        return next((one.at - begun for one in self.all if one.at > begun and holds(one)), None)


@contextmanager
def load(migration, side, sessions):
    connect = migration.source_connection if side == "source" else migration.target_connection
    with ExitStack() as stack:
        for _ in range(sessions):
            stack.enter_context(Session(connect(), WORK[side]))
        yield


@pytest.mark.parametrize("part", ["backfill", "reconcile"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_what_yields_comes_back_and_says_why(seeing_roles, direct, side, part):
    rows = 3_000_000 if part == "backfill" else 100_000
    migration = direct(SCHEMA.format(rows=rows), throttle=BOUNDS, **PARTS[part])
    migration.prepare()
    looks = Looks(migration, COUNTED[part])
    with migration.running() as lockstep:
        if part == "backfill":
            lockstep.await_rows(100_000)
        else:
            lockstep.await_follow()
            lockstep.await_status(lambda status: all(one["verified_age_seconds"] is not None
                                                     for one in status["tables"]), "a comparison")
        with Markers(migration, "marker") as markers, load(migration, side, 1):
            looks.watch(SETTLED)
            full = looks.rate_now(5)
            with load(migration, side, 3):
                up = looks.watch(STEP)
                yielding = looks.rate_now()
            down = looks.watch(LATEST, lambda: looks.all[-1].share >= 1
                               and looks.rate_now() > full / 2)
        report(f"{part}, load on the {side}", looks, markers, full, up, down)
        check_reasons(looks, up, lockstep, REASON[side])
        if part == "backfill":
            assert lockstep.verb("set", "backfill.rate_limit_rows_per_second=0").returncode == 0
            lockstep.await_follow()
    assert looks.rate(up - 5, up) > 2 * yielding, "it does not yield"
    assert looks.all[-1].share >= 1 and looks.rate_now() > 2 * yielding, "it does not come back"
    assert max(one.lag for one in looks.all) < LAG_MAX
    markers.assert_prompt()
    migration.finish()


def check_reasons(looks, up, lockstep, reason):
    """Each throttled moment has one in status; metrics have it, too, and events that it began."""
    slowed = [one for one in looks.all if one.share < 1]
    assert all(one.reasons for one in slowed)
    named = [one for one in slowed if one.at > up and any(reason in word for word in one.reasons)]
    assert named, [one.reasons for one in slowed]
    seconds = samples(scrape(lockstep))["migration_throttled_seconds_total"]
    assert seconds[("reason", reason)] > 0, seconds
    told = lockstep.verb("events").stdout
    begins = re.findall(
        r"the copy and the comparison are slowed down +why=(.+?) [\d.e+]+(?: \S+)? > ", told)
    assert begins and all(any(why in word for one in slowed for word in one.reasons)
                          for why in begins), told
    assert "the copy and the comparison are at full speed again" in told, told


def report(what, looks, markers, full, up, down):
    """The figures; what is not so far after the step is the last of it."""
    old = [one.at - up for one in looks.all
           if up < one.at < down and looks.rate(one.at - 1, one.at) > full / 2]
    first = [later.at - down for one, later in zip(looks.all, looks.all[1:])
             if one.at > down and later.rows > one.rows]
    print(f"\n{what}: {full:.0f} rows/s; last read at more than half of that "
          f"{old[-1] if old else 0:.1f} s after the step, "
          f"throttled after {looks.since(up, lambda one: one.share < 1):.1f} s; "
          f"after the step back first rows within {first[0]:.1f} s, "
          f"not throttled after {looks.since(down, lambda one: one.share >= 1):.1f} s, "
          f"read at more than half of it after {looks.all[-1].at - down:.1f} s; "
          f"lag at most {max(one.lag for one in looks.all):.2f} s by the daemon, "
          f"{max(markers.lags):.2f} s by {len(markers.lags)} markers; "
          f"least share {min(one.share for one in looks.all)}")
