"""A writer of the target that is not us is named as the cause of a difference (issue D, part 9, V9)."""

import pytest

SCHEMA = """
CREATE TABLE words (id int PRIMARY KEY, v text);
INSERT INTO words SELECT g, 'word ' || g FROM generate_series(1, 300) g
"""
# What fires for lockstep, too: the difference is of our own making.
OURS = """
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$;
CREATE TRIGGER shout BEFORE INSERT OR UPDATE ON words FOR EACH ROW WHEN (NEW.id = 30)
  EXECUTE FUNCTION shout();
ALTER TABLE words ENABLE ALWAYS TRIGGER shout
"""


@pytest.fixture
def commit_times(stack):
    """Meanwhile the target knows when its transactions were committed."""
    def switch(value):
        stack.target.stop()
        stack.target.configure({"track_commit_timestamp": value})
        stack.target.start()

    switch("on")
    yield
    switch("off")


def causes(migration):
    report = migration.lockstep.answer("reconcile", "--once", "--format", "json", expected=(2,))
    return {found["key"]["id"]: found["cause"] or "" for found in report["findings"]}


def test_a_foreign_writer_is_named(commit_times, migrate):
    migration = migrate(SCHEMA, reconcile={"mode": "off"})
    migration.prepare()
    migration.target(OURS)
    with migration.running() as lockstep:
        lockstep.await_follow()
        assert lockstep.status()["foreign_writers"] is None
        migration.source("UPDATE words SET v = 'ours' WHERE id = 30;"
                         "UPDATE words SET v = 'first' WHERE id = 31")
        migration.await_target("SELECT v FROM words WHERE id = 31", "first")
        connection = migration.target_connection()
        cursor = connection.cursor()
        cursor.execute("SET application_name = 'nightly job'")
        cursor.execute("UPDATE words SET v = 'Word 17' WHERE id = 17 "
                       "RETURNING pg_current_xact_id()::text")
        xid = cursor.fetchone()[0]
        cursor.execute("INSERT INTO words VALUES (1000, 'extra'); DELETE FROM words WHERE id = 18")
        found = causes(migration)
        connection.close()
    # Who comes later cannot tell any more that it was not us, and keeps what was known.
    with migration.running() as lockstep:
        lockstep.await_follow()
        assert causes(migration) == found
        migration.target("UPDATE words SET v = 'Word 17' WHERE id = 17")
        again = causes(migration)["17"]
        assert "another session" in again and f"transaction {xid}," not in again, again
    assert set(found) == {"17", "18", "30", "1000"}, found
    assert found["17"].startswith("letter case; written on the target by another session, "
                                  f"transaction {xid}, at 20"), found
    assert "nightly job" in found["17"], found
    assert "written on the target by another session" in found["1000"], found
    assert found["30"] == "letter case", found
    assert found["18"] == "", found  # A row that is gone names nobody.


def test_where_the_server_cannot_tell_the_status_says_so_once(migrate):
    migration = migrate(SCHEMA)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        why = lockstep.status()["foreign_writers"]
        assert "cannot be told apart" in why and "track_commit_timestamp" in why, why
        text = lockstep.verb("status").stdout
        assert text.count("cannot be told apart") == 1, text
        migration.target("UPDATE words SET v = 'Word 17' WHERE id = 17")
        assert causes(migration) == {"17": "letter case"}
