"""The direct stream's slot: cut off, in use, gone, moved, and how much of the log it may keep."""

import os
import signal
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest
from psycopg2.extras import LogicalReplicationConnection

from tests.demo.writer import Writer
from tests.integration.conftest import is_long
from tests.integration.test_identity import refusals
from tests.lab.migration import HALTED
from tests.lab.postgres import SUPERUSER
from tests.lab.process import wait_until

SEED = 7
CUTS, RESTARTS = (50, 20) if is_long() else (5, 5)


@pytest.fixture
def moved(direct):
    """A migration that has copied and followed for a while, and is stopped."""
    migration = direct()
    migration.prepare()
    migration.finish()
    return migration


def walsender(migration):
    """The server process that streams to us; None while there is none."""
    return migration.slot("active_pid")


def test_cut_off_again_and_again(shop, stack):
    """Its walsender is ended under load."""
    migration = shop()
    with migration.running() as lockstep:
        with Writer(migration.source_connection, SEED, rate=150):
            for _ in range(CUTS):
                wait_until(lambda: walsender(migration), "the stream", alive=lockstep.process)
                ended = walsender(migration)
                stack.source.execute("postgres", "SELECT pg_terminate_backend(%s)", (ended,))
                wait_until(lambda pid=ended: walsender(migration) not in (None, pid),
                           "the stream to come back", alive=lockstep.process)
        lockstep.await_follow()
    migration.finish()


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_server_restarts_again_and_again(direct, stack, side):
    migration = direct()
    migration.prepare()
    with migration.running() as lockstep:
        for n in range(1, RESTARTS + 1):
            migration.source("UPDATE t SET n = n + 1")
            getattr(stack, side).restart(("fast", "immediate")[n % 2])
            migration.await_target("SELECT min(n) FROM t", n)
        lockstep.await_follow()
    migration.finish()


@contextmanager
def target_stands_still(migration):
    """Until the exit the lanes wait for a lock, and the source thread for the lanes."""
    locker = migration.target_connection()
    try:
        locker.autocommit = False
        locker.cursor().execute("LOCK TABLE t IN ACCESS EXCLUSIVE MODE")
        migration.source("INSERT INTO t SELECT g, repeat('x', 4000), 0"
                         " FROM generate_series(10000, 20000) g")
        migration.lockstep.await_status(lambda status: status["queue_bytes"] > 8 << 20,
                                        "full queues")
        yield
        locker.rollback()
    finally:
        locker.close()


def test_keepalives_are_answered_while_lanes_wait(direct, stack):
    """A target that stands still for longer than wal_sender_timeout does not cost the stream."""
    migration = direct()
    migration.prepare()
    stack.source.execute("postgres",
                         f"ALTER DATABASE \"{migration.name}\" SET wal_sender_timeout = '1s'")
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE t SET n = 1")
        migration.await_target("SELECT min(n) FROM t", 1)
        sender = walsender(migration)
        with target_stands_still(migration):
            # Longer than the timeout: the server itself says when that much time has passed.
            stack.source.execute("postgres", "SELECT pg_sleep(4)")
            assert walsender(migration) == sender
    migration.finish()


def test_an_idle_database_lets_go_of_the_log(direct, stack):
    """What other databases write must not pile up behind our slot."""
    migration = direct()
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        stack.source.execute("postgres", "CREATE TABLE elsewhere AS SELECT g, repeat('x', 500)"
                                         " FROM generate_series(1, 20000) g")
        lsn = stack.source.value("postgres", "SELECT pg_current_wal_lsn()")
        stack.source.execute("postgres", "DROP TABLE elsewhere")
        wait_until(lambda: migration.slot(f"confirmed_flush_lsn >= '{lsn}'"),
                   "the slot to move on", alive=lockstep.process)
    migration.finish()


def test_a_slot_in_use_is_waited_for(moved, stack):
    """Whoever holds it is named, and nothing is called synced meanwhile."""
    moved.source("UPDATE t SET n = 7")
    wait_until(lambda: moved.slot("NOT active"), "the slot to be let go")
    other = psycopg2.connect(host=str(stack.source.socket_dir), port=stack.source.port,
                             dbname=moved.name, user=SUPERUSER,
                             connection_factory=LogicalReplicationConnection)
    other.cursor().start_replication(slot_name=moved.slot_name, options={
        "proto_version": "1", "publication_names": moved.publication})
    moved.lockstep.start("--until", "synced")
    moved.lockstep.await_said("in use by pid")
    assert moved.lockstep.status()["synced"] is False
    other.close()
    assert moved.lockstep.wait_exit() == 0
    moved.assert_equal()


def test_a_slot_that_is_older_than_its_publication(direct, stack):
    """P1: pgoutput cannot read what was written before there was one, and the copy has all of it."""
    migration = direct()
    migration.copy_schema()
    migration.grant()
    stack.source.execute(migration.name, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')",
                         (migration.slot_name,))
    migration.source("UPDATE t SET n = 5 WHERE id % 3 = 0; DELETE FROM t WHERE id % 7 = 0")
    migration.publish()
    migration.finish()


def test_a_slot_that_is_gone_halts(moved):
    moved.drop_slot()
    moved.assert_halts("is gone")


def test_a_publication_that_is_dropped_meanwhile_halts(moved):
    moved.lockstep.start()
    moved.lockstep.await_follow()
    moved.source(f"DROP PUBLICATION {moved.publication}; UPDATE t SET n = 1")
    assert moved.lockstep.wait_exit() == HALTED
    assert "begin the migration anew" in moved.lockstep.log_text()


def test_a_slot_that_was_made_again_halts(moved, stack):
    moved.drop_slot()
    moved.source("UPDATE t SET n = 9")
    stack.source.execute(moved.name, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')",
                         (moved.slot_name,))
    moved.assert_halts("ahead of lockstep's progress")


def test_a_slot_that_somebody_moved_halts(moved, stack):
    wait_until(lambda: moved.slot("NOT active"), "the slot to be let go")
    moved.source("UPDATE t SET n = 9")
    stack.source.execute(moved.name, "SELECT pg_replication_slot_advance(%s, pg_current_wal_lsn())",
                         (moved.slot_name,))
    moved.assert_halts("ahead of lockstep's progress")


EIGHTY_MB = """
SELECT pg_logical_emit_message(false, 'lab', repeat('x', 1000000)) FROM generate_series(1, 80)
"""


@pytest.fixture
def stingy(stack):
    """The source keeps next to no log for a slot; gives what it takes to notice that."""
    stack.source.alter("max_slot_wal_keep_size = '1MB'")
    yield lambda: [stack.source.execute("postgres", each) for each in (EIGHTY_MB, "CHECKPOINT")]
    stack.source.alter("max_slot_wal_keep_size = -1")


def test_a_slot_whose_log_is_lost_halts(moved, stingy):
    wait_until(lambda: moved.slot("NOT active"), "the slot to be let go")
    moved.source("UPDATE t SET n = 9")
    stingy()
    assert moved.slot("wal_status") == "lost"
    moved.assert_halts("lost", "begin the migration anew")


def test_losing_the_log_while_it_is_read_halts(moved, stingy):
    # A transaction that is open keeps the slot where it is, however far lockstep has come.
    with moved.open_transaction("UPDATE t SET n = -1 WHERE id = 1"):
        moved.lockstep.start()
        moved.lockstep.await_follow()
        stingy()
        assert moved.lockstep.wait_exit() == HALTED
    assert moved.slot("wal_status") == "lost"
    assert "begin the migration anew" in moved.lockstep.log_text()


@pytest.mark.parametrize("then", ["stop", "drop_slot"])
def test_the_source_keeps_no_more_of_its_log_than_allowed(direct, stack, then):
    migration = direct(source={"wal_limit": {"mb": 40, "then": then}})
    migration.prepare()
    migration.finish()
    # A transaction that is open keeps the slot where it is, however far lockstep has come.
    with migration.open_transaction("UPDATE t SET n = -1 WHERE id = 1"):
        migration.lockstep.start()
        migration.lockstep.await_follow()
        stack.source.execute("postgres", EIGHTY_MB)
        assert migration.lockstep.wait_exit() == HALTED
    assert "wal_limit" in migration.lockstep.log_text()
    assert (migration.slot("true") is None) == (then == "drop_slot")


def test_the_limit_holds_while_lanes_wait(direct, stack):
    """The source's disk does not wait for a target that stands still."""
    migration = direct(source={"wal_limit": {"mb": 40, "then": "drop_slot"}})
    migration.prepare()
    migration.lockstep.start()
    migration.lockstep.await_follow()
    with target_stands_still(migration):
        stack.source.execute("postgres", EIGHTY_MB)
        wait_until(lambda: migration.slot("true") is None, "the slot to go",
                   alive=migration.lockstep.process)
    assert migration.lockstep.wait_exit() == HALTED
    assert "wal_limit" in migration.lockstep.log_text()


def test_a_server_that_crashes_on_what_it_decodes_is_left_alone(direct, stack):
    """Each crash ends all sessions of the source: it was made to crash every few seconds, for ever."""
    migration = direct()
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        for _ in range(3):
            sender = wait_until(lambda: migration.slot("active_pid"), "the stream to begin")
            os.kill(sender, signal.SIGSEGV)
            wait_until(lambda: not Path(f"/proc/{sender}").exists(), "the process to end")
            stack.source.await_ready()
        lockstep.await_status(
            lambda now: any("3 streams in a row broke off" in each for each in now["waiting_for"]),
            "it to be left alone")
        migration.source("UPDATE t SET n = -7 WHERE id = 7")
        migration.await_target("SELECT n FROM t WHERE id = 7", -7)  # It goes on by itself.
    migration.finish()


@pytest.mark.parametrize("names", ["*", "ANY 1 (s1, *)", 's1, "LOCKSTEP {} stream"', "s1, s2"])
def test_refuses_to_be_a_synchronous_standby(direct, stack, names):
    """Issue E, row 11: commits of the application would wait for us."""
    migration = direct("CREATE TABLE t (id int PRIMARY KEY, v text)")
    migration.copy_schema()
    migration.grant()
    migration.publish()
    names = names.format(migration.name)
    with closing(stack.source.connect("postgres")) as connection:
        connection.cursor().execute("SET synchronous_commit = 'local'")
        connection.cursor().execute("ALTER SYSTEM SET synchronous_standby_names = %s", (names,))
        connection.cursor().execute("SELECT pg_reload_conf()")
        try:
            found = [line for line in refusals(migration) if "synchronous" in line]
        finally:
            connection.cursor().execute("ALTER SYSTEM RESET synchronous_standby_names")
            connection.cursor().execute("SELECT pg_reload_conf()")
    assert bool(found) == (names != "s1, s2"), found


def test_lets_go_of_a_stream_that_commits_would_wait_for(direct, stack):
    """Issue E, row 11: the setting comes while lockstep follows, and goes again."""
    migration = direct("CREATE TABLE t (id int PRIMARY KEY, v text)")
    migration.prepare()
    synchronous = ("SELECT count(*) FROM pg_stat_replication"
                   f" WHERE application_name = 'lockstep {migration.name} stream'"
                   " AND sync_state <> 'async'")

    def alter(connection, statement):
        with connection.cursor() as cursor:
            cursor.execute(statement)
            cursor.execute("SELECT pg_reload_conf()")

    with migration.running() as lockstep, closing(stack.source.connect("postgres")) as connection:
        lockstep.await_follow()
        connection.cursor().execute("SET synchronous_commit = 'local'")
        try:
            alter(connection, "ALTER SYSTEM SET synchronous_standby_names = '*'")
            lockstep.await_said("synchronous_standby_names is '*'", "is not read")
            assert stack.source.execute("postgres", synchronous) == [(0,)]
            assert not lockstep.status()["synced"]
        finally:
            alter(connection, "ALTER SYSTEM RESET synchronous_standby_names")
        migration.source("INSERT INTO t VALUES (1, 'after it')")
        migration.await_target("SELECT count(*) FROM t", 1)
    migration.finish()
