"""kill -9 at any instruction: after it, the next run ends equal.

Every named crash point once, and random kills while a writer works on the shop.
"""

import random
import statistics
import threading
import time

import pytest

from tests.demo.writer import Writer
from tests.integration.conftest import is_long
from tests.lab.lockstep import FAILPOINT_EXIT, ROOT, failpoints
from tests.lab.process import LabError, wait_until

SHOP = ROOT / "tests" / "demo" / "shop.sql"
CHUNK = 500
WORKERS = 2
KILLS = 100 if is_long() else 20
SEED = 20


@pytest.fixture
def shop(migrate, stack):
    """A small shop with some extra: what makes debts, and a table to truncate."""
    def make(scale, **backfill):
        migration = migrate("SELECT 1", backfill={"workers": WORKERS, "chunk_rows": CHUNK, **backfill})
        stack.source.psql(migration.name, "-v", f"scale={scale}", "-f", SHOP)
        migration.source("CREATE TABLE carts (id int PRIMARY KEY, v text);"
                         "CREATE TABLE offsets (id int PRIMARY KEY, at timetz, v int);"
                         "INSERT INTO offsets SELECT g, '12:00+02', 0"
                         "  FROM generate_series(1, 50) g")
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


@pytest.mark.parametrize("failpoint", failpoints())
def test_every_crash_point(shop, failpoint):
    migration = shop(0.01)
    run_into(migration, failpoint)
    migration.finish()


class Restarts:
    """Starts, watches and kills one migration, keeping the figures."""

    def __init__(self, migration):
        self.lockstep = migration.lockstep
        self.rows_before = 0
        self.seconds = []

    def start(self):
        """Starts; returns when the stream is being applied again."""
        begun = time.monotonic()
        self.lockstep.start()
        status = self.lockstep.await_status(is_applying, "events to be applied again")
        self.seconds.append(time.monotonic() - begun)
        reread = self.rows_before - rows_done(status)
        assert reread <= WORKERS * CHUNK, f"{reread} rows are read again"

    def kill(self):
        self.rows_before = rows_done(self.lockstep.status())
        self.lockstep.kill()

    def __str__(self):
        return (f"restart to applying: median {statistics.median(self.seconds):.2f} s, "
                f"worst {max(self.seconds):.2f} s over {len(self.seconds)} restarts")


def rows_done(status):
    return sum(table["rows_done"] for table in status["tables"])


def is_applying(status):
    return status["phase"] in ("backfill", "follow") and \
        any(table.get("events_applied", 0) > 0 for table in status["tables"])


def test_random_kills(shop, capsys):
    """The kills fall into prepare, backfill and follow, as chance has it."""
    rng = random.Random(SEED)
    migration = shop(0.05, rate_limit_rows_per_second=4000)
    restarts = Restarts(migration)
    pause = threading.Event()  # Never set: a kill comes after a random time, not after an event.
    with Writer(migration.source_connection, SEED, rate=100):
        for number in range(KILLS):
            if number % 4 == 3:  # Somewhere in prepare, most likely.
                migration.lockstep.start()
                pause.wait(rng.uniform(0.0, 0.4))
                migration.lockstep.kill()
            else:
                restarts.start()
                pause.wait(rng.uniform(0.0, 1.5))
                restarts.kill()
            disturb(migration)
    migration.finish()
    with capsys.disabled():
        print(f"\n{KILLS} kills, seed {SEED}; {restarts}")


def test_kill_and_restart_of_everything_around(shop, stack):
    """The servers die too: target, broker, connector, source; the daemon stays and goes on."""
    migration = shop(0.02, rate_limit_rows_per_second=2000)
    with migration.running() as lockstep:
        lockstep.await_rows(500)
        with Writer(migration.source_connection, SEED, rate=50):
            stack.target.restart("immediate")
            stack.broker.kill()
            stack.broker.start()
        stack.source.restart("immediate")
        stack.connect.restart()
        migration.await_streaming()
        if not lockstep.is_running():
            raise LabError(f"the daemon ended\n{lockstep.process.log_tail()}")
        lockstep.await_follow()
    migration.finish()
