"""`backfill.snapshot: exported`: tables are copied under the snapshot at which the new slot's stream
begins, and the stream is held back meanwhile."""

import signal

import pytest

from tests.demo.writer import Writer
from tests.integration.conftest import SHOP, SLOW, TABLE
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
    def make(shop=False, **overrides):
        migration = migrate(SCHEMA, stream="direct", **{
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
    assert HELD in migration.lockstep.status()["source"]
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


def test_the_log_that_is_kept_meanwhile_is_limited(exported, stack):
    migration = exported(source={"wal_limit": {"mb": 40, "then": "stop"}}, backfill={
        **SLOW, "rate_limit_rows_per_second": 100, "snapshot": "exported"})
    migration.lockstep.start()
    await_copying(migration)
    stack.source.execute("postgres", "SELECT pg_logical_emit_message(false, 'lab', repeat('x', "
                         "1000000)) FROM generate_series(1, 80)")
    assert migration.lockstep.wait_exit() == HALTED
    assert "wal_limit" in migration.lockstep.log_text()
