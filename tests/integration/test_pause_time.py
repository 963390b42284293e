"""How soon what an operator holds has stopped: with the answer to `lockstep pause`.

Issue O, acceptance 1.  How long that takes is held to its bound by ./run test --long alone, which
runs it beside nothing else.
"""

import time
from contextlib import nullcontext

import pytest

from tests.integration.conftest import TABLE, is_long
from tests.lab.meanwhile import Meanwhile
from tests.lab.process import wait_until

SAMPLES = 20 if is_long() else 2
QUIET = 0.7  # Seconds in which a scope that goes on shows many signs of life.

# What shows that a scope goes on: something of the target that changes, or reads of it.
GOES_ON = {"apply": "SELECT sum(n) FROM t", "table": "SELECT sum(n) FROM t",
           "backfill": "SELECT count(*) FROM t",
           "reconcile": "SELECT max(query_start), max(state_change) FROM pg_stat_activity WHERE "
                        "application_name LIKE 'lockstep % compare' "
                        "AND datname = current_database()"}


class Writers(Meanwhile):
    """Changes rows all the time."""

    def work(self, cursor):
        cursor.execute("UPDATE t SET n = n + 1 WHERE id % 100 = (random() * 99)::int")


class Watched:
    """A scope's signs of life on the target."""

    def __init__(self, migration, scope):
        self._cursor = migration.stack.target.connect(migration.name).cursor()
        self._sql = GOES_ON[scope]
        self._seen = self.look()

    def look(self):
        self._cursor.execute(self._sql)
        return self._cursor.fetchall()

    def changed(self):
        """Since the last call."""
        before, self._seen = self._seen, self.look()
        return before != self._seen

    def assert_none(self):
        """None comes from now on."""
        last = self.look()
        until = time.monotonic() + QUIET
        while time.monotonic() < until:
            assert self.look() == last, "it goes on although its pause was answered"


@pytest.mark.parametrize("scope", ["apply", "backfill", "reconcile", "table"])
def test_how_soon_a_pause_counts(direct, scope):
    """Within 1 s (median) and 2 s (worst) of 20; in any case once the pause is answered."""
    rows = TABLE.replace("3000", "300000") if scope == "backfill" else TABLE
    slow = {"workers": 1, "chunk_rows": 100, "rate_limit_rows_per_second": 3000}
    migration = direct(rows, backfill=slow if scope == "backfill" else {},
                       reconcile={"every": "1s"})
    migration.prepare()
    if scope != "backfill":
        migration.lockstep.run_until_synced()
    what = ("--table", "public.t") if scope == "table" else ("--scope", scope)
    took = []
    # Rows that the stream brings would look like copied ones.
    writers = nullcontext() if scope == "backfill" else Writers(migration)
    with writers, migration.running() as lockstep:
        watched = Watched(migration, scope)
        for _ in range(SAMPLES):
            wait_until(watched.changed, f"{scope} to go on", 60, alive=lockstep.process)
            begun = time.monotonic()
            assert lockstep.verb("pause", *what).returncode == 0
            took.append(time.monotonic() - begun)
            watched.assert_none()
            assert lockstep.verb("resume", *what).returncode == 0
    took.sort()
    median = took[len(took) // 2]
    print(f"pause of {scope}: {median:.2f} s median, {took[-1]:.2f} s worst of {len(took)}")
    assert not is_long() or (median <= 1 and took[-1] <= 2), took
