"""After a restart with less than it left behind, lockstep ends equal or halts and says why."""

import shutil
import signal
from contextlib import closing

import pytest

from tests.integration.conftest import STREAM, TABLE, through_kafka
from tests.lab.lockstep import Lockstep
from tests.lab.migration import HALTED
from tests.lab.process import LabError
from tests.lab.stack import WRITER


@pytest.fixture
def moved(migrate):
    """A migration that has copied and followed for a while, and is stopped."""
    migration = migrate(TABLE)
    migration.prepare()
    migration.finish()
    return migration


def change(migration, n):
    """One round of changes of every kind, each round on other rows."""
    migration.source("UPDATE t SET n = %s WHERE id %% 10 = %s", (n, n % 10))
    migration.source("DELETE FROM t WHERE id BETWEEN %s AND %s", (n * 100, n * 100 + 20))
    migration.source("INSERT INTO t VALUES (%s, 'new', %s)", (10000 + n, n))
    migration.source("UPDATE t SET id = id + 20000 WHERE id = %s", (n * 100 + 50,))


# What a target that was restored lacks is in topics still, and not in a slot.
LOST = ("ahead of lockstep's progress", "lockstep resync")


def ends_equal_or_halts(migration, *words):
    """Runs to the end; a halt must name its reason, in these words, and leave the rows alone."""
    before = migration.target("SELECT * FROM t ORDER BY id")
    migration.lockstep.start("--until", "synced")
    code = migration.lockstep.wait_exit(120)
    if code == 0:
        migration.assert_equal()
        return
    assert code == HALTED, migration.lockstep.process.log_tail()
    migration.assert_halted(*words)
    assert migration.target("SELECT * FROM t ORDER BY id") == before


def test_older_copy_of_the_state_directory(moved):
    older = moved.lockstep.directory / "older"
    shutil.copytree(moved.lockstep.state, older, symlinks=True)
    change(moved, 1)
    moved.finish()
    change(moved, 2)
    shutil.rmtree(moved.lockstep.state)
    older.rename(moved.lockstep.state)
    moved.finish()


def test_empty_state_directory(moved):
    change(moved, 1)
    shutil.rmtree(moved.lockstep.state)
    moved.finish()


def test_empty_state_directory_in_the_middle_of_the_backfill(migrate):
    migration = migrate(TABLE, backfill={"workers": 1, "chunk_rows": 200,
                                          "rate_limit_rows_per_second": 1000})
    migration.prepare()
    migration.lockstep.start()
    migration.lockstep.await_rows(600)
    change(migration, 1)
    migration.lockstep.kill()
    shutil.rmtree(migration.lockstep.state)
    change(migration, 2)
    migration.finish()


def test_target_restored_to_a_point_in_time(moved, stack):
    with stack.target.rewound():
        change(moved, 1)
        moved.finish()
        change(moved, 2)
    ends_equal_or_halts(moved, *LOST)


@pytest.mark.parametrize("writes", [True, pytest.param(False, marks=through_kafka)])
def test_target_restored_while_lockstep_runs(moved, stack, writes):
    """To go on would jump over what was lost: it ends, and its next start goes on from what is there.

    Lanes that have nothing to write do not connect anew: the bookkeeping's own look must tell."""
    moved.lockstep.start()
    moved.lockstep.await_follow()
    with stack.target.rewound():
        change(moved, 1)
        moved.await_synced("the first change", 120)
    if writes:
        change(moved, 2)
    assert moved.lockstep.wait_exit(120) == 75, "it goes on"
    assert "the target has lost" in moved.lockstep.log_text()
    ends_equal_or_halts(moved, *LOST)


def test_target_that_has_lost_chunks(migrate, stack):
    """Scanners have no progress that could be compared."""
    migration = migrate(TABLE, backfill={"workers": 1, "chunk_rows": 100,
                                          "rate_limit_rows_per_second": 300})
    migration.prepare()
    migration.lockstep.start()
    migration.lockstep.await_rows(300)
    with stack.target.rewound():
        migration.lockstep.await_rows(1500)
    assert migration.lockstep.wait_exit(120) == 75, "it goes on"
    assert "the target has lost" in migration.lockstep.log_text()
    if STREAM != "direct":
        return migration.finish()
    # The slot was told of what lanes had committed.  Chunks are written until that is noticed.
    migration.lockstep.start("--until", "synced")
    assert migration.lockstep.wait_exit(120) == HALTED
    migration.assert_halted(*LOST)


@through_kafka
def test_kill_before_every_lane_has_applied_something_of_a_new_topic(migrate):
    """I13: a lane without progress of it has applied nothing, however far the others are."""
    migration = migrate(TABLE + "CREATE TABLE gate (id int PRIMARY KEY, n int);"
                                "INSERT INTO gate VALUES (1, 0)")
    migration.prepare()
    migration.lockstep.start()
    migration.lockstep.await_follow()
    with closing(migration.target_connection(autocommit=False)) as holder:
        holder.cursor().execute("SELECT FROM gate WHERE id = 1 FOR UPDATE")
        migration.source("UPDATE gate SET n = 1")
        migration.stack.target.await_waiting(
            f"datname = '{migration.name}' AND wait_event_type = 'Lock'", "a lane to wait")
        migration.source("UPDATE t SET n = 9 WHERE id <= 300")
        migration.await_target("SELECT count(*) > 100 FROM t WHERE n = 9", True)
        migration.lockstep.kill()
    migration.finish()


@pytest.mark.parametrize("whose", [f"ALTER ROLE {WRITER}", "ALTER SYSTEM"])
def test_target_that_answers_before_it_has_written(moved, stack, whose):
    """synchronous_commit = off, by a default of the role, or of the server that comes later: a crash
    would take what it has answered."""
    by_role = "ROLE" in whose
    off = f"{whose} SET synchronous_commit = off"
    if by_role:
        stack.target.execute("postgres", off)
    stack.target.alter("wal_writer_delay = '10s'")
    try:
        with moved.running() as lockstep:
            lockstep.await_follow()
            if not by_role:
                stack.target.execute("postgres", off)
                stack.target.execute("postgres", "SELECT pg_reload_conf()")
            change(moved, 1)
            moved.await_synced("the change")
            stack.target.stop("immediate")
            stack.target.start()
            change(moved, 2)
            moved.await_synced("the next change")
        moved.assert_equal()
    finally:
        stack.target.execute("postgres", "ALTER SYSTEM RESET wal_writer_delay")
        stack.target.execute("postgres", f"{whose} RESET synchronous_commit")
        stack.target.execute("postgres", "SELECT pg_reload_conf()")


@through_kafka
@pytest.mark.parametrize("goes_on", [False, True])
def test_what_a_restored_target_has_lost_was_compared_by_nobody(migrate, stack, goes_on):
    """A row that somebody deleted there was repaired after the backup: no event brings it again.

    A slot is ahead of such a target, and lockstep halts; topics have what it lacks.  `goes_on`: one
    process sees the target before and after the backup, so that no epoch tells."""
    migration = migrate(TABLE, reconcile={"every": "24h", "repair": "confirm"})
    lockstep = migration.lockstep
    migration.prepare()
    migration.finish()
    migration.target("DELETE FROM t WHERE id = 1777")
    if goes_on:
        lockstep.start()
        lockstep.await_follow()
    with stack.target.rewound():
        if not goes_on:
            lockstep.start()
            lockstep.await_follow()
        lockstep.answer("reconcile", "--once", "--format", "json", expected=(2,))
        assert lockstep.verb("repair", "--yes").returncode == 0
        lockstep.answer("reconcile", "--once", "--format", "json")
        change(migration, 1)
        assert lockstep.stop() == 0
    with migration.running():
        status = lockstep.await_status(
            lambda now: now["tables"] and now["tables"][0]["findings"], "the row to be missed")
        assert status["tables"][0]["findings"] == 1
        assert lockstep.verb("repair", "--yes").returncode == 0
    assert "the target was restored or has failed over" in lockstep.log_text()
    migration.assert_equal()


def test_source_restored_to_a_point_in_time(moved, stack):
    """What lockstep has copied never happened there."""
    with stack.source.rewound():
        change(moved, 1)
        moved.finish()
    moved.assert_halts("restored from a backup")


def test_source_on_another_timeline(moved, stack):
    stack.source.stop()
    stack.source.promote()
    moved.assert_halts("timeline")


@pytest.mark.parametrize("attributes", [None, "any"])
def test_the_other_host_of_the_list_is_a_standby(direct, stack, attributes):
    """While the primary restarts all connections could lead there: they wait for the primary.
    `any`: libpq is told to take a standby, too."""
    migration = direct()
    migration.prepare()
    connect = migration.manifest["source"]["connect"]
    with stack.source.standby(stack.directory / "standby") as standby:
        connect["host"] = f"{connect['host']},{connect['host']}"
        connect["port"] = f"{stack.source.port},{standby.port}"
        if attributes:
            connect["target_session_attrs"] = attributes
        migration.lockstep.write(migration.manifest)
        with migration.running() as lockstep:
            lockstep.await_follow()
            stack.source.stop()
            lockstep.await_said("standby")
            stack.source.start()
            change(migration, 1)
            migration.await_synced("what the primary has had since")
    migration.assert_equal()


def test_a_damaged_page_stops_its_table_alone(direct, stack):
    migration = direct(TABLE + "CREATE TABLE hurt (LIKE t INCLUDING ALL);"
                       "INSERT INTO hurt SELECT * FROM t")
    migration.prepare()
    with stack.source.damaged(migration.name, "hurt"), migration.running() as lockstep:
        status = lockstep.await_status(
            lambda now: len(now["tables"]) == 2 and
            {table["state"] for table in now["tables"]} == {"following", "stopped"},
            "one table to stop")
        hurt = next(table for table in status["tables"] if table["state"] == "stopped")
        assert hurt["table"] == "public.hurt" and "invalid page" in str(hurt), hurt
        assert "REINDEX TABLE" in str(hurt) and "lockstep resume" in str(hurt), hurt
        change(migration, 1)
        migration.await_target("SELECT count(*) FROM t WHERE n = 1", 300 - 2 + 1)
    migration.finish()


def test_a_server_that_hangs_keeps_nobody(direct, stack):
    """Its sessions do not answer, and their connections stay: an abort and a stop end."""
    migration = direct()
    migration.prepare()
    lockstep = migration.lockstep
    lockstep.start()
    lockstep.await_follow()

    probe = f"application_name = 'lockstep {migration.name} probe'"
    with stack.source.frozen(probe):
        assert lockstep.verb("abort").returncode == 0
        assert lockstep.verb("resume").returncode == 0
        lockstep.await_follow()
    with stack.source.frozen(probe):
        assert lockstep.stop() == 0
    migration.finish()


def test_source_of_another_cluster(moved):
    moved.manifest["source"]["connect"] = {**moved.manifest["target"]["connect"],
                                           "dbname": "postgres"}
    moved.lockstep.write(moved.manifest)
    moved.assert_halts("system identifier")


@through_kafka
def test_slot_ahead_of_what_is_in_kafka(moved, stack):
    """Changes skipped on the slot never reach Kafka: equality would be a lie.

    The connector knows what it has read, and fails; lockstep must not take its silence for an end.
    """
    config = stack.connect.request("GET", f"/connectors/{moved.connector}/config")
    stack.connect.delete(moved.connector)
    moved.drop_slot()
    change(moved, 3)
    stack.source.execute(moved.name, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')",
                         (moved.slot_name,))
    stack.connect.request("PUT", f"/connectors/{moved.connector}/config", config)
    stack.connect.await_state(moved.connector, "FAILED")
    moved.lockstep.start("--until", "synced")
    moved.lockstep.await_status(
        lambda status: any("FAILED" in line for line in status["waiting_for"]),
        "status to name the connector that failed", 60)
    with pytest.raises(LabError, match="still runs"):
        moved.lockstep.wait_exit(8)
    assert moved.lockstep.status()["synced"] is False


def test_a_zombie_writes_nothing(moved):
    """A process stopped inside a transaction; a second one takes over from another machine."""
    moved.lockstep.start(failpoint="lane_before_commit:1:stop")
    change(moved, 1)
    moved.stack.target.await_waiting(
        f"datname = '{moved.name}' AND application_name LIKE '%lane%' AND state <> 'idle'"
        " AND wait_event = 'ClientRead' AND backend_xid IS NOT NULL", "the zombie to stop")
    heir_manifest = {**moved.manifest, "state_dir": "other-state"}
    heir = Lockstep(moved.lockstep.directory / "heir", heir_manifest)
    for name in ("source.password", "target.password"):
        shutil.copy(moved.lockstep.directory / name, heir.directory / name)
    try:
        change(moved, 2)
        heir.run_until_synced()
        moved.assert_equal()
        moved.lockstep.process.send(signal.SIGCONT)
        assert moved.lockstep.wait_exit(60) != 0
        moved.assert_equal()
    finally:
        heir.end()
