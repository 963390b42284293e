"""`backfill.snapshot: exported`: tables are copied under the snapshot at which the new slot's stream
begins, and the stream is held back meanwhile."""

import signal

import pytest

from tests.demo.writer import Writer
from tests.integration.conftest import SHOP, SLOW, TABLE
from tests.integration.test_partitions import LOG
from tests.lab.migration import HALTED
from tests.lab.process import wait_until

SEED = 11
HELD = "held back"
SCHEMA = TABLE + """
CREATE TABLE other (id int PRIMARY KEY, v text);
INSERT INTO other SELECT g, 'o' || g FROM generate_series(1, 300) g;
"""


@pytest.fixture
def exported(migrate, stack):
    def make(shop=False, schema=SCHEMA, **overrides):
        migration = migrate(schema, stream="direct", **{
            "backfill": {**SLOW, "snapshot": "exported", "order": ["public.t"]}, **overrides})
        if shop:
            stack.source.psql(migration.name, "-v", "scale=0.003", "-f", SHOP)
        migration.prepare()
        return migration

    return make


def exporter(migration):
    """Pids of the sessions that hold the exported snapshot: none, or one."""
    return [pid for (pid,) in migration.stack.source.execute(
        "postgres", "SELECT pid FROM pg_stat_activity WHERE datname = %s"
        " AND application_name LIKE '%% snapshot'", (migration.name,))]


def copied(migration):
    """What was logged about how tables are copied, oldest first."""
    return [line for line in migration.lockstep.log_text().splitlines()
            if "how tables are copied" in line]


def await_copying(migration):
    """Waits until rows have been copied under the snapshot and some are left."""
    migration.lockstep.await_rows(200)
    migration.lockstep.await_status(lambda status: HELD in status["source"], "the stream to wait")
    assert migration.slot("active") is False
    assert len(exporter(migration)) == 1


def test_copied_first_and_followed_afterwards(exported):
    """Of what is written meanwhile each change is in the stream, and no row needs to be merged."""
    migration = exported(shop=True)
    with Writer(migration.source_connection, SEED, rate=100):
        with migration.running() as lockstep:
            await_copying(migration)
            migration.source("UPDATE t SET n = 1; UPDATE t SET id = id + 10000 WHERE id < 50;"
                             "DELETE FROM t WHERE id BETWEEN 100 AND 200;"
                             "INSERT INTO t VALUES (100, 'again', 2)")
            lockstep.await_rows(1500)  # Read after that, under the snapshot from before it.
            assert migration.target("SELECT coalesce(max(n), 0) FROM t") == [(0,)]
            lockstep.await_follow()
            migration.await_target("SELECT min(n) FROM t", 1)
            assert not exporter(migration)
    assert "every table is copied" in copied(migration)[-1]
    migration.finish()


def test_the_snapshot_dies(exported):
    """With its session, as every exported snapshot does: what is left is copied by merge."""
    migration = exported()
    with migration.running() as lockstep:
        await_copying(migration)
        migration.source("UPDATE t SET n = 1")
        for pid in exporter(migration):
            migration.stack.source.execute("postgres", "SELECT pg_terminate_backend(%s)", (pid,))
        wait_until(lambda: migration.slot("active"), "the stream to begin",
                   alive=lockstep.process)
        migration.await_target("SELECT max(n) FROM t", 1)
        lockstep.await_follow()
    assert "its snapshot is lost" in copied(migration)[-1]
    migration.finish()


def test_lockstep_dies(exported):
    migration = exported()
    migration.lockstep.start()
    await_copying(migration)
    migration.source("UPDATE t SET n = 1; DELETE FROM t WHERE id % 7 = 0")
    migration.lockstep.kill()
    migration.finish()
    assert "by merge, where not done yet" in copied(migration)[-1]


def test_a_table_that_is_younger_than_the_snapshot(exported, stack):
    """A start that is begun again finds it; under the snapshot it would look empty."""
    migration = exported(backfill={"snapshot": "exported"})
    lockstep = migration.lockstep
    lockstep.start("--until", "synced", failpoint="prepare_after_positions:1:stop")
    lockstep.process.await_state("T")
    for side in (migration.source, migration.target):
        side("CREATE TABLE young (id int PRIMARY KEY)")
    migration.source("INSERT INTO young SELECT generate_series(1, 50);"
                     f"ALTER PUBLICATION {migration.publication} ADD TABLE young")
    migration.grant()
    stack.target.execute("postgres", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                         " WHERE datname = %s AND application_name LIKE '%% bookkeeping'",
                         (migration.name,))
    lockstep.process.send(signal.SIGCONT)
    assert lockstep.wait_exit() == 0
    migration.assert_equal()


@pytest.mark.parametrize("statements", [
    "TRUNCATE other; INSERT INTO other VALUES (7, 'after')",
    "ALTER TABLE other ALTER v TYPE text USING upper(v)",
], ids=["truncate", "rewrite"])
def test_a_table_that_changes_before_it_is_copied(exported, statements):
    """It looks empty under a snapshot that is older than its file."""
    migration = exported()
    with migration.running() as lockstep:
        await_copying(migration)
        migration.source(statements)
        lockstep.await_follow()
    migration.finish()
    assert migration.target("SELECT count(*) FROM other") != [(0,)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_ended_while_the_slot_is_made(exported, number):
    """No half-made slot is left behind an open transaction, and the next start makes its own."""
    migration = exported(backfill={"snapshot": "exported"})
    with migration.open_transaction("UPDATE t SET n = 5 WHERE id = 5") as pid:
        migration.lockstep.start()
        migration.lockstep.await_said("slot", f"pid {pid}")
        migration.lockstep.process.send(number)
        migration.lockstep.wait_exit()
        wait_until(lambda: migration.slot("true") is None, "the half-made slot to go")
    migration.finish()
    assert "under the exported snapshot" in copied(migration)[0]


def test_the_slot_is_dropped_while_the_stream_is_held_back(exported):
    migration = exported()
    migration.lockstep.start()
    await_copying(migration)
    migration.drop_slot()
    assert migration.lockstep.wait_exit() == HALTED
    assert f"slot {migration.slot_name} is gone" in migration.lockstep.log_text()


def test_several_workers_copy_a_partitioned_table(exported):
    """All of them read one moment, whatever moves from one partition to the other meanwhile."""
    migration = exported(schema=LOG, backfill={
        "workers": 2, "chunk_rows": 100, "rate_limit_rows_per_second": 500,
        "snapshot": "exported"})
    with migration.running() as lockstep:
        await_copying(migration)
        migration.source("UPDATE log SET day = day + 366 WHERE day < '2020-12-01';"
                         "UPDATE log SET day = day - 366 WHERE id % 3 = 0 AND day > '2021-01-02';"
                         "DELETE FROM log WHERE id % 7 = 0; INSERT INTO log VALUES (0, '2021-07-07')")
        lockstep.await_rows(1000)
        assert migration.target("SELECT count(*) FROM log WHERE v IS NULL") == [(0,)]
        lockstep.await_follow()
    assert "every table is copied" in copied(migration)[-1]
    migration.finish()


def test_rows_that_are_there_already_are_overwritten_or_kept(exported):
    migration = exported(existing="upsert", backfill={"snapshot": "exported"})
    migration.target("INSERT INTO t SELECT g, 'old', -1 FROM generate_series(-50, 2000) g")
    migration.lockstep.run_until_synced()
    assert migration.target("DELETE FROM t WHERE v = 'old' RETURNING id > 0") == [(False,)] * 51
    migration.assert_equal()


def test_the_log_that_is_kept_meanwhile_is_limited(exported, stack):
    migration = exported(source={"wal_limit": {"mb": 40, "then": "stop"}}, backfill={
        **SLOW, "rate_limit_rows_per_second": 100, "snapshot": "exported"})
    migration.lockstep.start()
    await_copying(migration)
    stack.source.execute("postgres", "SELECT pg_logical_emit_message(false, 'lab', repeat('x', "
                         "1000000)) FROM generate_series(1, 80)")
    assert migration.lockstep.wait_exit() == HALTED
    assert "wal_limit" in migration.lockstep.log_text()
