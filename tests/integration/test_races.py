"""Races that exist only between real servers, each forced by a lock, a signal or a setting."""

import signal
from contextlib import ExitStack

import pytest

from tests.integration.conftest import SLOW, through_kafka

ITEMS = """
CREATE TABLE items (id int PRIMARY KEY, v text, big text, n int);
ALTER TABLE items ALTER big SET STORAGE EXTERNAL;
INSERT INTO items SELECT g, 'v' || g, repeat('large ' || g, 400), 0
  FROM generate_series(1, 3000) g;
"""
LAST = 3000  # Scanned last.


# Commits.

def test_commit_that_is_decoded_before_it_is_visible(migrate, stack):
    """The event is applied while new snapshots still show the old row."""
    migration = migrate(ITEMS, backfill=SLOW)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_rows(200)
        change = f"UPDATE items SET v = 'new', big = 'small' WHERE id = {LAST}"
        with ExitStack() as ends:
            hang = stack.source.commits_hang()
            hang.__enter__()
            ends.enter_context(migration.in_background("SET synchronous_commit = on", change))
            ends.push(hang)  # Ends first: the background's commit waits for it.
            stack.source.await_waiting("wait_event = 'SyncRep'", "the commit to hang")
            migration.await_target(f"SELECT v FROM items WHERE id = {LAST}", "new")
            assert migration.source(f"SELECT v FROM items WHERE id = {LAST}") == [(f"v{LAST}",)]
            lockstep.await_waiting()  # No snapshot is accepted that does not see the change.
        lockstep.await_follow()
        assert migration.target(f"SELECT v FROM items WHERE id = {LAST}") == [("new",)]
    migration.finish()


def test_transaction_prepared_before_the_start(migrate):
    migration = migrate(ITEMS)
    migration.prepare()
    migration.source("BEGIN; UPDATE items SET n = 1; DELETE FROM items WHERE id < 10;"
                     "PREPARE TRANSACTION 'before'")
    migration.lockstep.start("--until", "synced")
    assert migration.lockstep.await_waiting()
    migration.source("COMMIT PREPARED 'before'")
    assert migration.lockstep.wait_exit() == 0
    migration.assert_equal()


def test_prepared_transactions_and_savepoints_during_the_backfill(migrate):
    migration = migrate(ITEMS, backfill=SLOW)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_rows(200)
        migration.source("BEGIN; UPDATE items SET n = 1 WHERE id % 3 = 0;"
                         "PREPARE TRANSACTION 'one'")
        migration.source("BEGIN; DELETE FROM items WHERE id % 300 = 8; PREPARE TRANSACTION 'two'")
        migration.source("BEGIN; UPDATE items SET n = 5 WHERE id % 3 = 1; SAVEPOINT a;"
                         "UPDATE items SET n = 6 WHERE id % 3 = 1; ROLLBACK TO a; DELETE FROM items WHERE id = 50;"
                         "SAVEPOINT b; UPDATE items SET id = 9050 WHERE id = 52; RELEASE b; COMMIT")
        migration.source("ROLLBACK PREPARED 'two'")
        lockstep.await_rows(800)
        migration.source("COMMIT PREPARED 'one'")
        lockstep.await_follow()
    migration.finish()


# Keys.

def test_keys_that_are_equal_though_spelled_differently(migrate):
    migration = migrate("""
        CREATE EXTENSION citext;
        CREATE TABLE numbers (id numeric PRIMARY KEY, big text, n int);
        CREATE TABLE words (id citext PRIMARY KEY, big text, n int);
        CREATE TABLE padded (id char(8) PRIMARY KEY, n int);
        CREATE TABLE floats (id float8 PRIMARY KEY, n int);
        ALTER TABLE numbers ALTER big SET STORAGE EXTERNAL;
        ALTER TABLE words ALTER big SET STORAGE EXTERNAL;
        INSERT INTO numbers SELECT g::numeric(9, 1), repeat('n' || g, 1500), 0
          FROM generate_series(1, 600) g;
        INSERT INTO words SELECT 'word' || g, repeat('w' || g, 1500), 0
          FROM generate_series(1, 600) g;
        INSERT INTO padded SELECT 'k' || g, 0 FROM generate_series(1, 600) g;
        INSERT INTO floats SELECT g - 1, 0 FROM generate_series(1, 600) g""",
                        backfill={**SLOW, "chunk_rows": 100})
    migration.prepare()
    with migration.running() as lockstep:
        for _ in range(2):
            migration.source("UPDATE numbers SET id = id::numeric(12, 3) WHERE id < 200")
            migration.source("UPDATE words SET id = upper(id::text) WHERE n = 0")
            migration.source("UPDATE floats SET id = -id WHERE id = 0")
            migration.source("UPDATE padded SET n = n + 1")
            lockstep.await_follow()
            migration.source("UPDATE numbers SET n = n + 1 WHERE id > 100")
            migration.source("UPDATE words SET id = initcap(id::text), n = n + 1")
            migration.source("DELETE FROM numbers WHERE id = 150.00")
            migration.source("DELETE FROM words WHERE id = 'wOrD33'")
    migration.finish()


@through_kafka
def test_citext_keys_on_several_partitions_are_refused(migrate, stack):
    migration = migrate("CREATE EXTENSION citext; CREATE TABLE words (id citext PRIMARY KEY)")
    stack.broker.create_topic(migration.topic("words"), partitions=4)
    migration.prepare()
    checked = migration.lockstep.verb("validate")
    assert checked.returncode == 78
    assert migration.topic("words") in checked.stdout + checked.stderr


def test_leaf_topics_are_refused(migrate, stack):
    migration = migrate("""
        CREATE TABLE log (id int PRIMARY KEY) PARTITION BY RANGE (id);
        CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (1000)""")
    migration.copy_schema()
    migration.grant()
    migration.source(f"CREATE PUBLICATION {migration.publication} FOR TABLE log")
    checked = migration.lockstep.verb("validate")
    assert checked.returncode == 78
    assert "publish_via_partition_root" in checked.stdout + checked.stderr


# TRUNCATE.

@through_kafka
def test_truncate_between_chunk_and_stream(migrate, stack):
    """The chunks see the table as it was; the TRUNCATE arrives after them, and new rows too."""
    migration = migrate(ITEMS, backfill=SLOW)
    migration.prepare()
    stack.connect.pause(migration.connector)
    with migration.running() as lockstep:
        lockstep.await_rows(800)
        migration.source("TRUNCATE items; INSERT INTO items SELECT g, 'after', NULL, 1"
                         " FROM generate_series(1, 500) g")
        stack.connect.resume(migration.connector)
        lockstep.await_follow()
        migration.source("BEGIN; INSERT INTO items VALUES (5000, 'gone'); TRUNCATE items;"
                         "INSERT INTO items VALUES (5001, 'stays'); COMMIT")
    assert migration.finish().rows == {"public.items": 1}


@through_kafka
def test_truncate_with_four_partitions_and_a_foreign_key(migrate, stack):
    migration = migrate("""
        CREATE TABLE owners (id text PRIMARY KEY, v text);
        CREATE TABLE pets (id text PRIMARY KEY, owner text REFERENCES owners, n int);
        INSERT INTO owners SELECT 'o' || g, 'v' FROM generate_series(1, 400) g;
        INSERT INTO pets SELECT 'p' || g, 'o' || g, 0 FROM generate_series(1, 400) g""",
                        backfill=SLOW)
    for table in ("owners", "pets"):
        stack.broker.create_topic(migration.topic(table), partitions=4)
    migration.prepare()
    with migration.running() as lockstep:
        for round_ in range(6):
            migration.source("UPDATE pets SET n = n + 1; UPDATE owners SET v = v || 'x'")
            migration.source("BEGIN; TRUNCATE owners, pets;"
                             "INSERT INTO owners SELECT 'o' || g, 'again'"
                             "  FROM generate_series(1, 300) g;"
                             "INSERT INTO pets SELECT 'p' || g, 'o' || g, 0"
                             f" FROM generate_series({round_}, 300) g WHERE g > 0; COMMIT")
            migration.source("DELETE FROM pets WHERE id LIKE 'p2%'")
        lockstep.await_follow()
    migration.finish()


# COPY against the lanes.

def test_copy_uncommitted_while_its_keys_change(migrate):
    """A trigger holds the COPY's commit; meanwhile two of its keys are deleted and updated."""
    migration = migrate(ITEMS, backfill={"workers": 1, "chunk_rows": 1000})
    migration.prepare()
    gate = migration.hold_copies("items", "NEW.id IN (10, 1010, 2010)")
    with migration.running() as lockstep:
        migration.await_held_copy()
        migration.source("DELETE FROM items WHERE id IN (11, 1011, 2011)")
        migration.source("UPDATE items SET n = 7 WHERE id IN (12, 1012, 2012)")
        migration.await_captured()
        gate.close()
        lockstep.await_follow()
    migration.finish()


@pytest.mark.parametrize("failpoint", ["copy_before_commit", "chunk_after_snapshot"])
def test_process_stopped_in_a_chunk_while_its_keys_change(migrate, failpoint):
    migration = migrate(ITEMS, backfill={"workers": 1, "chunk_rows": 1000})
    migration.prepare()
    with migration.running(failpoint=f"{failpoint}:2:stop") as lockstep:
        lockstep.process.await_state("T")
        migration.source("DELETE FROM items WHERE id % 50 = 1")
        migration.source("UPDATE items SET n = 7 WHERE id % 50 = 2")
        migration.source("UPDATE items SET id = id + 10000 WHERE id % 50 = 3")
        migration.await_captured()
        lockstep.process.send(signal.SIGCONT)
        lockstep.await_follow()
    migration.finish()


# Unique values.

@through_kafka
def test_unique_values_swapped_while_the_chunk_is_ahead_of_the_stream(migrate, stack):
    migration = migrate("""
        CREATE TABLE seats (id int PRIMARY KEY, seat text UNIQUE, n int);
        INSERT INTO seats SELECT g, 's' || g, 0 FROM generate_series(1, 1000) g""")
    migration.prepare()
    stack.connect.pause(migration.connector)
    for first in range(1, 200, 2):
        migration.source(f"BEGIN; UPDATE seats SET seat = 'free' WHERE id = {first};"
                         f"UPDATE seats SET seat = 's{first}' WHERE id = {first + 1};"
                         f"UPDATE seats SET seat = 's{first + 1}' WHERE id = {first}; COMMIT")
    migration.source("DELETE FROM seats WHERE id BETWEEN 300 AND 320;"
                     "INSERT INTO seats SELECT g + 5000, 's' || g, 1"
                     "  FROM generate_series(300, 320) g")
    migration.source("UPDATE seats SET seat = 'x' || id WHERE id BETWEEN 500 AND 600;"
                     "UPDATE seats SET seat = 's' || (1100 - id) WHERE id BETWEEN 500 AND 600")
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: all(table["rows_done"] for table in status["tables"]),
                              "the chunk to be copied ahead of the stream")
        stack.connect.resume(migration.connector)
        lockstep.await_follow()
    migration.finish()


# Debts and stopped tables.

def test_debt_opened_right_before_a_crash(migrate):
    """timetz is a debt to Debezium, the name of a type one to the direct stream."""
    migration = migrate(ITEMS + "CREATE TABLE odd (id int PRIMARY KEY, at timetz, t regtype);"
                        "INSERT INTO odd SELECT g, '10:00+03', 'int2' FROM generate_series(1, 50) g")
    migration.prepare()
    migration.finish()
    migration.lockstep.start(failpoint="debt_before_settle")
    migration.source("UPDATE odd SET at = '11:30-07', t = 'int4' WHERE id < 20")
    assert migration.lockstep.wait_exit() == 86
    migration.source("UPDATE odd SET at = '12:30-07', t = 'int8' WHERE id < 10;"
                     "DELETE FROM odd WHERE id = 15")
    migration.finish()


def test_stopped_table_goes_on_later_without_losing_a_delete(migrate):
    migration = migrate(ITEMS + "CREATE TABLE other (id int PRIMARY KEY, v text);"
                        "INSERT INTO other SELECT g, 'v' FROM generate_series(1, 100) g")
    migration.prepare()
    migration.finish()
    with migration.running() as lockstep:
        migration.source("ALTER TABLE items ADD COLUMN extra int DEFAULT 5")
        migration.source("INSERT INTO items VALUES (9000, 'with', NULL, 0, 6)")
        migration.source("DELETE FROM items WHERE id BETWEEN 20 AND 40")
        status = lockstep.await_status(
            lambda status: any(table["state"] == "stopped" for table in status["tables"]),
            "the table to be stopped")
        stopped = [table for table in status["tables"] if table["state"] == "stopped"]
        assert [table["table"] for table in stopped] == ["public.items"]
        assert "extra" in stopped[0]["reason"]
        migration.source("UPDATE other SET v = 'goes on'")
        migration.await_target("SELECT count(*) FROM other WHERE v = 'goes on'", 100)
        migration.source("DELETE FROM items WHERE id BETWEEN 100 AND 120")
        migration.await_captured()
    migration.target("ALTER TABLE items ADD COLUMN extra int DEFAULT 5")
    migration.finish()
