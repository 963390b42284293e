"""Resident memory is bounded, whatever the tables and transactions hold.

The peak is the kernel's own figure (VmHWM) of each process, one process per case.
"""

import pytest

from tests.integration.conftest import is_long
from tests.lab.lockstep import ROOT

BENCH = ROOT / "tests" / "bench" / "bench.sql"  # About 210 bytes a row.
LIMIT_MIB = 256
TIMES = 10 if is_long() else 1
ROWS = 500_000 * TIMES
EVENTS = 200_000 * TIMES
EVENTS_PER_TRANSACTION = 2_000
TRANSACTION = 100_000 * TIMES
WIDE_ROWS = 200 * TIMES
WIDE_BYTES = 1_000_000
PATIENCE = 120 * TIMES


@pytest.fixture
def tell(capsys):
    """Prints a process's peak and checks it."""
    def check(what, lockstep):
        peak = lockstep.process.resident_bytes()[1] / 2**20
        with capsys.disabled():
            print(f"\n{what}: peak resident {peak:.0f} MiB")
        assert peak <= LIMIT_MIB, f"{what}: {peak:.0f} MiB resident"

    return check


def await_applied(lockstep, events):
    """Waits until this process has applied so many events."""
    lockstep.await_status(
        lambda status: sum(table["events_applied"] for table in status["tables"]) >= events,
        f"{events} events to be applied", PATIENCE)


def test_a_backlog_many_rows_and_one_large_transaction(migrate, stack, tell):
    """The backlog comes first and under an open chunk, so that nothing of it can be forgotten."""
    migration = migrate("SELECT 1", backfill={"rate_limit_rows_per_second": 1000})
    stack.source.psql(migration.name, "-v", f"rows={ROWS}", "-f", BENCH)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: status["phase"] == "backfill", "the first start")
    connection = migration.source_connection()
    for first in range(0, EVENTS, EVENTS_PER_TRANSACTION):
        connection.cursor().execute(
            "UPDATE bench SET ver = ver + 1, note = 'changed ' || id WHERE id > %s AND id <= %s",
            (first, first + EVENTS_PER_TRANSACTION))
    migration.await_captured(PATIENCE)
    with migration.running() as lockstep:
        await_applied(lockstep, EVENTS)
        tell(f"backlog of {EVENTS} events", lockstep)
    migration.lockstep.write({**migration.manifest, "backfill": {}})
    with migration.running() as lockstep:
        lockstep.await_follow(PATIENCE)
        tell(f"copy of {ROWS} rows", lockstep)
    with migration.running() as lockstep:
        migration.source(f"UPDATE bench SET rate = -rate WHERE id > {ROWS - TRANSACTION}")
        await_applied(lockstep, TRANSACTION)
        tell(f"one transaction of {TRANSACTION} rows", lockstep)
    migration.finish(PATIENCE)


def test_rows_of_a_megabyte(migrate, tell):
    """What is bounded by rows alone would grow with their width."""
    migration = migrate(f"""
        CREATE TABLE wide (id int PRIMARY KEY, big text NOT NULL, n int NOT NULL);
        INSERT INTO wide SELECT g, repeat(md5(g::text), {WIDE_BYTES // 32}), 0
          FROM generate_series(1, {WIDE_ROWS}) g""")
    # Connect's heap must hold what it queues.
    migration.connector_overrides |= {"max.batch.size": "16", "max.queue.size": "32"}
    migration.prepare()
    migration.source("UPDATE wide SET n = 1 WHERE id % 2 = 0")  # Partial: a debt where it is early.
    with migration.running() as lockstep:
        lockstep.await_follow(PATIENCE)
        tell(f"copy of {WIDE_ROWS} rows of {WIDE_BYTES} bytes", lockstep)
    migration.source("UPDATE wide SET big = big || 'x', n = 2 WHERE id % 2 = 1")
    migration.await_captured(PATIENCE)
    with migration.running() as lockstep:
        await_applied(lockstep, WIDE_ROWS // 2)
        tell(f"{WIDE_ROWS // 2} events of {WIDE_BYTES} bytes", lockstep)
    migration.finish(PATIENCE)
