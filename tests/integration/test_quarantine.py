"""Rows that were set aside: listed, shown, taken up again or given up; with a daemon and without."""

import json

from tests.integration.conftest import is_long
from tests.lab.lockstep import _verb

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people SELECT g, 'person ' || g FROM generate_series(1, 100) g;
UPDATE people SET name = 'refused' WHERE id IN (17, 18);
"""


def prepared(migrate, rows=100):
    """Two of the source's rows violate a constraint that only the target has."""
    migration = migrate(SCHEMA.replace("100", str(rows)), debt_attempts=1)
    migration.prepare()
    migration.target("ALTER TABLE people ADD CHECK (name <> 'refused')")
    return migration


def run(migration, verb, *arguments, expected=0):
    """Runs `lockstep quarantine VERB FILE ...` and returns its JSON."""
    done = _verb("quarantine", verb, migration.lockstep.manifest, *arguments)
    assert done.returncode == expected, done.stdout + done.stderr
    return json.loads(done.stdout) if done.stdout.startswith("{") else None


def await_two(lockstep):
    def both(status):
        return sum(table["quarantined"] for table in status["tables"]) == 2

    lockstep.await_status(both, "two rows to be quarantined")


def test_lists_and_edits_through_the_running_daemon(migrate):
    migration = prepared(migrate)
    with migration.running() as lockstep:
        await_two(lockstep)
        listed = run(migration, "list", "--format", "json")
        assert {row["state"] for row in listed["rows"]} == {"quarantined"}
        assert not any("key" in row or "event" in row for row in listed["rows"])
        assert "       2  public.people " in _verb("quarantine", "list",
                                                  migration.lockstep.manifest).stdout
        shown = run(migration, "show", "--show-values", "--format", "json")
        keys = {row["key"]: row["id"] for row in shown["rows"]}
        assert set(keys) == {"id=17", "id=18"}
        assert run(migration, "drop", keys["id=17"], "--format", "json") == {"changed": 1}
        migration.target("ALTER TABLE people DROP CONSTRAINT people_name_check")
        assert run(migration, "retry", keys["id=18"], "--format", "json") == {"changed": 1}
        migration.await_target("SELECT count(*) FROM people WHERE id = 18", 1)
    assert migration.target("SELECT count(*) FROM people")[0][0] == 99


def test_lists_and_edits_without_a_daemon(migrate):
    migration = prepared(migrate)
    with migration.running() as lockstep:
        await_two(lockstep)
    status = migration.lockstep.status()
    assert status["phase"] == "stopped" and not status["synced"]
    assert "the daemon is not running" in status["waiting_for"][0]
    assert [(table["state"], table["quarantined"], table["rows_done"], table["target"])
            for table in status["tables"]] == [("following", 2, 100, "public.people")]
    shown = run(migration, "show", "--show-values", "--format", "json")
    assert {row["key"] for row in shown["rows"]} == {"id=17", "id=18"}
    assert run(migration, "drop", "--format", "json") == {"changed": 2}
    assert {row["state"] for row in run(migration, "list", "--format", "json")["rows"]} == {
        "dropped"}


def test_a_row_that_is_not_there_is_the_callers_mistake(migrate):
    migration = migrate("CREATE TABLE people (id int PRIMARY KEY)")
    migration.copy_schema()
    migration.grant()
    assert run(migration, "list", "--format", "json") == {"rows": []}
    run(migration, "drop", "0123", expected=64)


def test_status_of_a_migration_that_never_ran(migrate):
    migration = migrate(SCHEMA)
    migration.copy_schema()
    migration.grant()
    status = migration.lockstep.status()
    assert "the migration has not begun on the target" in status["waiting_for"]
    assert [table["state"] for table in status["tables"]] == ["pending"]


def holds(status):
    return {one["scope"]: one for one in status["paused"]}


def until_held(migration, change, settled):
    """Awaits that apply is held: change(1), change(2).. make more rows that count, each once the one
    before is `settled(status, n)`: a run takes what it sees in its first seconds for what was there
    before.  Returns the status, and the last n."""
    made = 0

    def held(status):
        nonlocal made
        if "apply" in holds(status):
            return True
        if made == 0 or settled(status, made):
            made += 1
            change(made)
        return False

    return migration.lockstep.await_status(held, "apply to be held"), made


def await_late(lockstep):
    """Waits until something was to be written for more than a second, and is not."""
    lockstep.await_status(lambda status: (status["lag_seconds"] or 0) > 1, "the lag to grow")


def test_more_refused_rows_than_allowed_hold_every_write(migrate):
    """Issue O, acceptance 4: a breaker trips, waits for a person, and closes when that one resumes."""
    migration = prepared(migrate, 1000)
    with migration.running() as lockstep:
        await_two(lockstep)
        assert lockstep.verb("set", "breakers.quarantined_rows=5").returncode == 0
        # What a person holds already stays his.
        assert lockstep.verb("pause", "--scope", "backfill", "--reason", "mine").returncode == 0
        status, refused = until_held(
            migration,
            lambda n: migration.source(f"UPDATE people SET name = 'refused' WHERE id = {100 + n}"),
            lambda status, n: status["tables"][0]["quarantined"] == 2 + n)
        assert refused > 5, "no more than the limit"
        assert holds(status)["apply"]["by"] == "breaker", status["paused"]
        assert "more than breakers.quarantined_rows = 5" in holds(status)["apply"]["reason"]
        assert holds(status)["backfill"]["reason"] == "mine", status["paused"]
        assert status["verdict"]["mood"] == "trouble", status["verdict"]
        assert "breaker" in lockstep.verb("audit").stdout
        # Nothing is written meanwhile; once a person has looked, it goes on, also with as many rows.
        migration.source("UPDATE people SET name = 'late' WHERE id = 5")
        migration.target("ALTER TABLE people DROP CONSTRAINT people_name_check")
        await_late(lockstep)
        assert migration.target("SELECT name FROM people WHERE id = 5")[0][0] == "person 5"
        assert lockstep.verb("resume").returncode == 0
        run(migration, "retry", "--format", "json")
        migration.await_target("SELECT count(*)::int FROM people WHERE name IN ('late', 'refused')",
                               3 + refused)
        assert not lockstep.status()["paused"]
        # With nobody beside it, it holds the copy, too.
        migration.target("ALTER TABLE people ADD CHECK (name <> 'again') NOT VALID")
        migration.source("UPDATE people SET name = 'again' WHERE id BETWEEN 31 AND 50")
        lockstep.await_status(
            lambda status: {scope: one["by"] for scope, one in holds(status).items()} == {
                "apply": "breaker", "backfill": "breaker"}, "the breaker to hold both")
        migration.target("ALTER TABLE people DROP CONSTRAINT people_name_check")
        assert lockstep.verb("resume").returncode == 0
        run(migration, "retry", "--format", "json")
        migration.await_target("SELECT count(*)::int FROM people WHERE name = 'again'", 20)
    migration.finish()


def test_more_unequal_rows_than_allowed_hold_every_write(direct):
    """Issue O, acceptance 4: what comparisons find; whoever resumes has seen it."""
    migration = direct(SCHEMA, reconcile={"every": "1s"})
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        assert lockstep.verb("set", "breakers.unequal_rows=5").returncode == 0
        status, times = until_held(
            migration,
            lambda n: migration.target(f"UPDATE people SET name = '' WHERE (id - 20 - 1) / 3 = {n}"),
            lambda status, n: status["tables"][0]["findings"] == 3 * n)
        assert 3 * times > 5, "no more than the limit"
        assert holds(status)["apply"]["by"] == "breaker", status["paused"]
        assert "more than breakers.unequal_rows = 5" in holds(status)["apply"]["reason"]
        migration.source("UPDATE people SET name = 'late' WHERE id = 5")
        await_late(lockstep)
        assert migration.target("SELECT name FROM people WHERE id = 5")[0][0] == "person 5"
        assert lockstep.verb("resume").returncode == 0
        migration.await_target("SELECT name FROM people WHERE id = 5", "late")
        assert not lockstep.status()["paused"]
        migration.source("UPDATE people SET name = 'cured'")
    migration.finish()


REFUSE = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER refuse BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION refuse();
ALTER TABLE people ENABLE ALWAYS TRIGGER refuse;
"""


def test_a_part_that_is_refused_again_and_again_is_held_and_probes(migrate):
    """Issue O, acceptance 4: closed, open, half open and closed again, with nobody's help."""
    migration = migrate("CREATE TABLE people AS SELECT g AS id, '' AS name FROM "
                        "generate_series(1, 10) g; ALTER TABLE people ADD PRIMARY KEY (id);")
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        assert lockstep.verb("set", "breakers.refused_tries=3").returncode == 0
        migration.target(REFUSE)
        migration.source("UPDATE people SET name = 'late' WHERE id = 5")
        status = lockstep.await_status(lambda status: status["paused"], "apply to be held")
        held = status["paused"][0]
        assert held["by"] == "breaker, which tries again by itself", held
        assert "more than breakers.refused_tries = 3; the next probe is in 30 s" in held["reason"]
        assert status["verdict"]["mood"] == "trouble", status["verdict"]
        migration.target("DROP TRIGGER refuse ON people")
        if not is_long():  # A person need not wait for the probe.
            assert lockstep.verb("resume", "--scope", "apply").returncode == 0
        migration.await_target("SELECT count(*) FROM people WHERE name = 'late'", 1)
        assert not lockstep.status()["paused"]
    migration.finish()


CHECKED = """
CREATE DOMAIN kind AS varchar(9) CHECK (value IN ('a', 'b'));
CREATE TABLE checked (id int PRIMARY KEY, code varchar(9) CHECK (code IN ('a', 'b')), kind kind,
                      note char(3) CHECK (note IN ('a', 'b') OR note > 'x'), n int,
                      twice int GENERATED ALWAYS AS (n * 2) STORED UNIQUE);
CREATE UNIQUE INDEX few ON checked (n) WHERE code IN ('a', 'b');
INSERT INTO checked SELECT g, 'a', 'b', 'y', -g FROM generate_series(1, 9) g;
ALTER TABLE checked ADD CONSTRAINT positive CHECK (n > 0) NOT VALID;
"""


def test_checks_that_are_the_same_are_no_finding_and_those_not_valid_are(direct):
    """PostgreSQL prints a check that was made from its own text in other words; and a column that
    both sides compute is as unique on the target."""
    migration = direct(CHECKED)
    migration.prepare()
    texts = {cluster.value(migration.name, "SELECT string_agg(pg_get_constraintdef(oid), '' ORDER"
                                           " BY conname) FROM pg_constraint WHERE contype = 'c'")
             for cluster in (migration.stack.source, migration.stack.target)}
    assert len(texts) == 2, texts
    printed = migration.lockstep.verb("validate").stdout
    assert printed.count(": warning: ") == 1, printed
    assert "check positive of public.checked is NOT VALID on the source" in printed, printed
    assert 'ALTER TABLE "public"."checked" VALIDATE CONSTRAINT "positive"' in printed, printed
    migration.target("ALTER TABLE checked DROP CONSTRAINT positive")
    migration.finish()
