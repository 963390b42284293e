"""kill -9 at any instruction: after it, the next run ends equal.

Every named crash point once, and random kills while a writer works on the shop.
"""

import random
import statistics
import threading
import time

import pytest

from tests.demo.writer import Writer
from tests.integration.conftest import STREAM, is_long
from tests.lab.lockstep import FAILPOINT_EXIT, ROOT, failpoints
from tests.lab.process import LabError, wait_until

SHOP = ROOT / "tests" / "demo" / "shop.sql"
CHUNK = 500
WORKERS = 2
KILLS = 100 if is_long() else 20
SEED = 20


@pytest.fixture
def shop(migrate, stack):
    """A small shop with some extra: what makes debts, a table to truncate, one nobody writes to."""
    def make(scale, archived=100, **backfill):
        migration = migrate("SELECT 1", backfill={"workers": WORKERS, "chunk_rows": CHUNK, **backfill})
        stack.source.psql(migration.name, "-v", f"scale={scale}", "-f", SHOP)
        migration.source("CREATE TABLE carts (id int PRIMARY KEY, v text);"
                         "CREATE TABLE offsets (id int PRIMARY KEY, at timetz, v int);"
                         "INSERT INTO offsets SELECT g, '12:00+02', 0"
                         "  FROM generate_series(1, 50) g")
        migration.source("CREATE TABLE archive (id int PRIMARY KEY, v text);"
                         "INSERT INTO archive SELECT g, 'entry ' || g"
                         f"  FROM generate_series(1, {archived}) g")
        # Where a chunk ends is then found in the index alone, which does not count as a row read.
        migration.source("VACUUM archive")
        migration.prepare()
        return migration

    return make


def disturb(migration):
    """Changes of the kinds the writer leaves out: TRUNCATE, and values the wire cannot carry."""
    migration.source("INSERT INTO carts SELECT g, 'cart' FROM generate_series(1, 20) g"
                     " ON CONFLICT DO NOTHING")
    migration.source("UPDATE offsets SET v = v + 1, at = at + interval '1 minute' WHERE id % 7 = 3")
    migration.source("TRUNCATE carts")


def run_into(migration, failpoint):
    """Runs with the crash point armed, under load, until the process died of it."""
    lockstep = migration.lockstep
    lockstep.start(failpoint=failpoint)
    with Writer(migration.source_connection, SEED, rate=100, threads=2):
        if failpoint.startswith("drain"):
            lockstep.await_follow()
            lockstep.stop()
        else:
            def died():
                if lockstep.is_running():
                    disturb(migration)
                return not lockstep.is_running()

            wait_until(died, f"the process to reach {failpoint}", timeout=90)
    assert lockstep.wait_exit() == FAILPOINT_EXIT, lockstep.process.log_tail()


def test_the_program_lists_its_crash_points():
    assert len(failpoints()) >= 10


def crash_points():
    """All, but where both streams are tried and time is short those only that one of them knows:
    the others are tried over the direct stream."""
    if STREAM == "direct" or is_long():
        return failpoints()
    return [point for point in failpoints()
            if point.startswith(("prepare", "source", "drain")) or point.endswith("after_commit")]


@pytest.mark.parametrize("failpoint", crash_points())
def test_every_crash_point(shop, failpoint):
    migration = shop(0.01)
    run_into(migration, failpoint)
    migration.finish()


class Restarts:
    """Starts, watches and kills one migration, keeping the figures.

    The source's own statistics say how many rows of `archive`, which nobody writes to, were read.
    """

    def __init__(self, migration):
        self.migration = migration
        self.lockstep = migration.lockstep
        self.seconds = []
        self.read_again = []
        self._read = self._done = 0

    def start(self):
        """Starts; returns when the stream is being applied again."""
        begun = time.monotonic()
        self.lockstep.start()
        self.lockstep.await_status(is_applying, "events to be applied again")
        self.seconds.append(time.monotonic() - begun)

    def die_in_a_chunk(self):
        """Of the archive, which is the first to be copied: it is read, and not marked done."""
        self.lockstep.start(failpoint="copy_before_commit:2")
        assert self.lockstep.wait_exit() == FAILPOINT_EXIT, self.lockstep.process.log_tail()
        self.kill()
        assert self.read_again[-1] > 0, "no row of the archive will be read again"

    def kill(self):
        """kill -9; what was read and is not marked done will be read again."""
        self.lockstep.kill()
        for cluster in (self.migration.stack.source, self.migration.stack.target):
            wait_until(lambda: self._sessions(cluster) == 0, "the sessions to end")
        read, done = self._rows_read(), self._rows_done()
        again = read - self._read - (done - self._done)
        assert 0 <= again <= WORKERS * CHUNK, f"{again} rows will be read again"
        self.read_again.append(again)
        self._read, self._done = read, done

    def _sessions(self, cluster):
        return cluster.value("postgres", "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
                             " AND application_name LIKE 'lockstep %%'", (self.migration.name,))

    def _rows_read(self):
        return self.migration.source(
            "SELECT (coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint"
            " FROM pg_stat_user_tables WHERE relname = 'archive'")[0][0]

    def _rows_done(self):
        def ask(sql):
            return self.migration.stack.target.value(self.migration.name, sql)

        if ask("SELECT to_regclass('lockstep.chunk')") is None:
            return 0  # It was killed before it had made its tables.
        return ask("SELECT coalesce(sum(rows), 0)::bigint FROM lockstep.chunk"
                   " WHERE source_table = 'archive'")

    def __str__(self):
        return (f"restart to applying: median {statistics.median(self.seconds):.2f} s, "
                f"worst {max(self.seconds):.2f} s over {len(self.seconds)} restarts; "
                f"rows read again: {sum(self.read_again)} in all, worst {max(self.read_again)} of "
                f"{WORKERS * CHUNK}, after {sum(1 for rows in self.read_again if rows)} kills")


def is_applying(status):
    return status["phase"] in ("backfill", "follow") and \
        any(table.get("events_applied", 0) > 0 for table in status["tables"])


def test_random_kills(shop, capsys):
    """The kills fall into prepare, backfill and follow, as chance has it."""
    rng = random.Random(SEED)
    migration = shop(0.02, archived=KILLS * 1500, order=["public.archive"],
                     rate_limit_rows_per_second=2000)
    restarts = Restarts(migration)
    pause = threading.Event()  # Never set: a kill comes after a random time, not after an event.
    with Writer(migration.source_connection, SEED, rate=100):
        restarts.die_in_a_chunk()
        for number in range(KILLS):
            if number % 4 == 3:  # Somewhere in prepare, most likely.
                migration.lockstep.start()
                pause.wait(rng.uniform(0.0, 0.4))
            else:
                restarts.start()
                pause.wait(rng.uniform(0.0, 1.5))
            restarts.kill()
            disturb(migration)
    migration.finish()
    with capsys.disabled():
        print(f"\n{KILLS} kills, seed {SEED}; {restarts}")


def test_kill_and_restart_of_everything_around(shop, stack):
    """The servers die too: target, broker, source, Connect; the daemon stays, says so and goes on.

    Issue O, acceptance 9.
    """
    migration = shop(0.02, rate_limit_rows_per_second=2000)
    with migration.running() as lockstep:
        lockstep.await_rows(500)
        with Writer(migration.source_connection, SEED, rate=50):
            stack.target.stop("immediate")
            lockstep.await_not_ready("target")
            stack.target.start()
            if stack.broker is not None:
                stack.broker.kill()
                lockstep.await_not_ready("broker unreachable")
                stack.broker.start()
        stack.source.stop("immediate")
        lockstep.await_not_ready("probe: ")
        stack.source.start()
        if stack.connect is not None:
            stack.connect.stop()
            lockstep.await_not_ready(f"connector {migration.connector}")
            stack.connect.restart()
        migration.await_streaming()
        if not lockstep.is_running():
            raise LabError(f"the daemon ended\n{lockstep.process.log_tail()}")
        lockstep.await_follow()
        lockstep.await_ready()
    migration.finish()
