"""`lockstep resync`: events were lost, and the tables end equal without being copied again.

Issue D, part 6: a lost or invalidated slot, expired offsets, a recreated topic, a restored target.
"""

import re

import pytest

from tests.integration.conftest import TABLE, through_kafka
from tests.lab.meanwhile import Markers, Meanwhile
from tests.lab.process import wait_until

# 31 rows: no event of them comes.
LOST = """
UPDATE t SET n = 9 WHERE id % 200 = 1;
DELETE FROM t WHERE id % 300 = 2;
INSERT INTO t VALUES (9001, 'new', 1), (9002, 'new', 2);
UPDATE t SET id = id + 20000 WHERE id IN (3, 4)
"""
TOUCHED = 31


def make_moved(migrate, schema=TABLE, **overrides):
    migration = migrate(schema, **overrides)
    migration.prepare()
    migration.finish()
    return migration


@pytest.fixture
def moved(migrate):
    """Copied and followed for a while, and stopped; nothing but a resync compares."""
    return make_moved(migrate, reconcile={"mode": "off"})


class Application(Meanwhile):
    """Changes rows that are not lost, all the time."""

    def __init__(self, migration):
        super().__init__(migration)
        self.changes = 0  # Of one row each.

    def work(self, cursor):
        cursor.execute("UPDATE t SET n = n + 1 WHERE id = %s", (205 + self.changes % 90,))
        self.changes += cursor.rowcount
        self.is_over(0.01)


def resync_and_finish(migration, most=TOUCHED):
    """Ends equal, under an application, and no more is written than what was lost, and what that
    one changes: by its event, or by the heal, or by both."""
    before = migration.rows_written("t")
    answer = migration.lockstep.verb("resync")
    assert answer.returncode == 0, answer.stderr
    assert "lockstep run" in answer.stdout
    with Application(migration) as application:
        migration.lockstep.run_until_synced()
    migration.finish()
    assert application.changes
    assert 1 <= migration.rows_written("t") - before <= most + 2 * application.changes
    assert "the stream begins anew" in migration.lockstep.log_text()
    migration.source("UPDATE t SET n = 77 WHERE id % 10 = 5")
    migration.finish()
    assert "the stream begins anew" not in migration.lockstep.run_log()


def drop_slot(migration):
    migration.drop_slot()
    migration.source(LOST)


def drop_publication(migration):
    migration.source(f"DROP PUBLICATION {migration.publication}; {LOST}")


def make_slot_again(migration):
    migration.drop_slot()
    migration.source(LOST)
    migration.stack.source.execute(
        migration.name, "SELECT pg_create_logical_replication_slot(%s, 'pgoutput')",
        (migration.slot_name,))


@pytest.mark.usefixtures("owning_role")
@pytest.mark.parametrize("lose", [drop_slot, drop_publication, make_slot_again])
def test_what_a_halt_advises_is_done_by_resync(direct, lose):
    moved = make_moved(direct, reconcile={"mode": "off"})
    lose(moved)
    moved.assert_halts(f"lockstep resync {moved.lockstep.manifest}")
    said = moved.lockstep.verb("validate")
    assert "begin the migration anew: lockstep resync" in said.stdout + said.stderr
    resync_and_finish(moved)


def test_a_target_that_was_restored(moved, stack):
    with stack.target.rewound():
        moved.source(LOST)
        moved.finish()
    resync_and_finish(moved)


def test_a_source_that_was_restored(moved, stack):
    """What lockstep has copied since never happened there."""
    with stack.source.rewound():
        moved.source(LOST)
        moved.finish()
    moved.assert_halts("lockstep resync")
    if moved.stream == "debezium":
        moved.begin_connector_anew()
    resync_and_finish(moved)


@through_kafka
def test_a_topic_that_was_made_again(moved, stack):
    moved.source("UPDATE t SET n = 1 WHERE id = 77")
    moved.finish()  # A topic of which no event was ever seen is taken for a new one.
    topic = moved.topic("t")
    moved.source(LOST)
    moved.await_captured()
    stack.broker.delete_topics(re.escape(topic))
    stack.broker.create_topic(topic)
    moved.assert_halts("lockstep resync")
    resync_and_finish(moved)


@through_kafka
def test_offsets_that_expired(moved, stack):
    topic = moved.topic("t")
    moved.source(LOST)
    moved.await_captured()
    stack.broker.retain_little(topic)

    def expired():
        moved.source("UPDATE t SET n = n + 1 WHERE id = 77")
        return stack.broker.first_offset(topic) > 0

    wait_until(expired, "records to expire")
    stack.broker.retain_again(topic)
    moved.assert_halts("lockstep resync")
    resync_and_finish(moved, TOUCHED + 1)


@through_kafka
def test_the_slot_of_a_connector_that_is_gone(moved, stack):
    stack.connect.stop_reading(moved.connector)
    moved.drop_slot()
    moved.source(LOST)
    moved.assert_halts("is gone", "lockstep resync")
    moved.begin_connector_anew()
    resync_and_finish(moved)


@pytest.mark.parametrize("failpoint", ["prepare_after_slot", "prepare_after_positions",
                                       "debt_before_settle"])
def test_a_kill_in_the_middle(direct, failpoint):
    moved = make_moved(direct, reconcile={"mode": "off"})
    drop_slot(moved)
    moved.lockstep.verb("resync")
    moved.lockstep.start(failpoint=failpoint).wait()
    moved.source("DELETE FROM t WHERE id = 100")
    moved.finish()


def test_a_running_daemon_begins_the_stream_anew(migrate):
    moved = make_moved(migrate, reconcile={"mode": "off"})
    with moved.running() as lockstep:
        lockstep.await_follow()
        moved.target("UPDATE t SET v = 'else' WHERE id % 100 = 1; DELETE FROM t WHERE id = 50")
        with Application(moved):
            answer = lockstep.verb("resync")
            assert answer.returncode == 0, answer.stderr
            moved.source("UPDATE t SET n = 3 WHERE id % 50 = 1")
            lockstep.await_event("a table is healed")
        moved.source("UPDATE t SET n = 4 WHERE id % 50 = 1")
    moved.finish()


def test_one_table_while_the_stream_goes_on(migrate):
    """Also that of the other table, which does not wait for it."""
    moved = make_moved(migrate, TABLE + "CREATE TABLE other (id int PRIMARY KEY)",
                       reconcile={"mode": "off"})
    with moved.running() as lockstep:
        lockstep.await_follow()
        moved.target("UPDATE t SET v = 'else' WHERE id % 100 = 1; DELETE FROM t WHERE id = 50;"
                     "INSERT INTO t VALUES (50000, 'nobody', 0)")
        unknown = lockstep.verb("resync", "--table", "public.u")
        assert unknown.returncode == 64
        assert "public.u is no table of the migration" in unknown.stderr
        with Markers(moved, "other") as markers, Application(moved):
            answer = lockstep.verb("resync", "--table", "public.t")
            assert answer.returncode == 0, answer.stderr
            lockstep.await_event("a table is healed")
        markers.assert_prompt()
        moved.await_synced("what the application has changed")
        moved.assert_equal()
        assert "the stream begins anew" not in lockstep.run_log()
    moved.finish()


def test_one_table_of_a_daemon_that_is_down(moved):
    moved.target("DELETE FROM t WHERE id % 100 = 1")
    answer = moved.lockstep.verb("resync", "--table", "public.t")
    assert answer.returncode == 0, answer.stderr
    moved.finish()


def test_rows_that_only_the_target_may_have_are_not_deleted(direct):
    moved = make_moved(direct, existing="upsert")
    for arguments in ((), ("--table", "public.t")):
        answer = moved.lockstep.verb("resync", *arguments)
        assert answer.returncode == 78
        assert "existing: upsert" in answer.stderr
    moved.finish()


def test_a_migration_that_has_not_begun_says_what_compares_instead(direct):
    migration = direct()
    migration.prepare()
    answer = migration.lockstep.verb("resync")
    assert answer.returncode == 78
    assert "existing: heal" in answer.stderr
