"""What the target refuses, swallows or cannot hold is named; no table is `synced` beside it."""

import time

import pytest

from tests.integration.test_quarantine import run
from tests.lab.lockstep import _verb
from tests.lab.stack import WRITER

SCHEMA = """
CREATE TABLE people (id int PRIMARY KEY, name text);
INSERT INTO people SELECT g, 'person ' || g FROM generate_series(1, 100) g;
"""


def prepared(direct, schema=SCHEMA, **overrides):
    migration = direct(schema, debt_attempts=2, **overrides)
    migration.prepare()
    return migration


def trigger(migration, when, body):
    """A trigger that fires for lockstep's sessions, too."""
    migration.target(f"""
        CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$;
        CREATE TRIGGER f BEFORE {when} EXECUTE FUNCTION f();
        ALTER TABLE people ENABLE ALWAYS TRIGGER f""")


def await_quarantined(lockstep, rows, timeout=120):
    return lockstep.await_status(
        lambda status: sum(table["quarantined"] for table in status["tables"]) == rows
        and sum(table["debts"] for table in status["tables"]) == 0,
        f"{rows} rows to be quarantined", timeout)


def test_a_delete_that_the_target_refuses_is_named(direct):
    """Issue E, row 7."""
    migration = prepared(direct)
    trigger(migration, "DELETE ON people FOR EACH ROW WHEN (old.id = 7)", "RAISE 'never';")
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("DELETE FROM people WHERE id BETWEEN 6 AND 8")
        await_quarantined(lockstep, 1)
        assert not lockstep.status()["synced"]
        shown = run(migration, "show", "--show-values", "--format", "json")
        assert [(row["key"], row["reason"]) for row in shown["rows"]] == [("id=7", "refused")]
        migration.target("DROP TRIGGER f ON people")
        run(migration, "retry", "--format", "json")
        migration.await_target("SELECT count(*) FROM people WHERE id = 7", 0)
    migration.finish()


def test_a_right_that_a_trigger_lacks_is_named_with_the_trigger(direct):
    """A trigger that came with the schema: the permission alone says nothing of where it is needed."""
    migration = prepared(direct)
    migration.target("CREATE TABLE audit (id int)")
    trigger(migration, "INSERT OR UPDATE ON people FOR EACH ROW WHEN (new.id > 100)",
            "INSERT INTO public.audit VALUES (new.id); RETURN new;")
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        migration.source("INSERT INTO people VALUES (101, 'new')")
        status = lockstep.await_status(lambda status: [
            table for table in status["tables"] if table["state"] == "stopped"], "people to stop")
        reason = next(table["reason"] for table in status["tables"] if table["state"] == "stopped")
        assert "permission denied for table audit" in reason, reason
        assert "in PL/pgSQL function" in reason and "fire for lockstep: f;" in reason, reason
        assert 'ALTER TABLE "public"."people" ENABLE TRIGGER "f"' in reason, reason
        migration.target(f"GRANT ALL ON audit TO {WRITER}")
        assert lockstep.verb("resume", "--table", "public.people").returncode == 0
        migration.await_synced("people to go on", 90)
    migration.finish()


def test_a_truncate_that_the_target_refuses_stops_its_table_alone(direct):
    """It halted the daemon, at each start anew."""
    migration = prepared(direct, SCHEMA + "; CREATE TABLE others (id int PRIMARY KEY)")
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        migration.target(f"REVOKE DELETE, TRUNCATE ON people FROM {WRITER}")
        migration.source("TRUNCATE people; INSERT INTO people VALUES (7, 'after it');"
                         "INSERT INTO others VALUES (1)")
        migration.await_target("SELECT count(*) FROM others", 1)
        stopped = lockstep.await_status(lambda status: [
            table for table in status["tables"] if table["state"] == "stopped"], "people to stop")
        assert any("permission denied" in (table["reason"] or "") or "DELETE, TRUNCATE" in
                   (table["reason"] or "") for table in stopped["tables"]), stopped["tables"]
        # Nor does a start that asks whether somebody has emptied it.
        migration.target(f"REVOKE ALL ON people FROM {WRITER}")
    with migration.running() as lockstep:
        lockstep.await_follow(besides=("stopped",))
        migration.source("INSERT INTO others VALUES (2)")
        migration.await_target("SELECT count(*) FROM others", 2)
        migration.target(f"GRANT ALL ON people TO {WRITER}")
        migration.await_synced("people to go on", 90)
    migration.finish()


def test_who_holds_a_unique_value_in_a_partition_is_found_through_the_root(direct):
    """Nobody grants anything on partitions: the table stopped, and no word of validate named it."""
    migration = prepared(direct, """
        CREATE TABLE people (id int PRIMARY KEY, name text) PARTITION BY RANGE (id);
        CREATE TABLE people_a PARTITION OF people FOR VALUES FROM (0) TO (100);
        CREATE TABLE people_b PARTITION OF people FOR VALUES FROM (100) TO (200);
        INSERT INTO people SELECT g, 'person ' || g FROM generate_series(1, 120) g""")
    migration.target(f"""
        CREATE UNIQUE INDEX ON people_a (name) WHERE name <> '';
        REVOKE ALL ON people_a, people_b FROM {WRITER}""")
    with migration.running():
        migration.await_synced("the copy")
        migration.target("UPDATE people SET name = 'taken' WHERE id IN (7, 107)")
        migration.source("UPDATE people SET name = 'taken' WHERE id = 5")
        migration.await_target("SELECT name FROM people WHERE id = 5", "taken")
        migration.await_target("SELECT name FROM people WHERE id = 7", "person 7")
        migration.source("UPDATE people SET name = 'person' WHERE id = 107")
    migration.finish()


RAISES = """
CREATE FUNCTION raises() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = 'PT409'; END $$;
CREATE {} TRIGGER raises {} ON people {} FOR EACH ROW WHEN (new.id % 40 = 0)
  EXECUTE FUNCTION raises();
ALTER TABLE people ENABLE ALWAYS TRIGGER raises
"""
WHEN = {"at once": ("", "BEFORE INSERT OR UPDATE", ""),
        "at the end": ("CONSTRAINT", "AFTER INSERT OR UPDATE", "DEFERRABLE INITIALLY DEFERRED")}


@pytest.mark.parametrize("when", WHEN)
def test_a_row_is_set_aside_whatever_code_its_refusal_has(direct, when):
    """Triggers raise codes of their own, and may put it off until the commit, which names no row."""
    migration = prepared(direct)
    migration.target(RAISES.format(*WHEN[when]))
    with migration.running() as lockstep:
        await_quarantined(lockstep, 2)  # Of the copy.
        migration.source("UPDATE people SET name = name || '!' WHERE id IN (1, 2, 40);"
                         "INSERT INTO people SELECT g, 'new' FROM generate_series(119, 121) g")
        await_quarantined(lockstep, 3)
        migration.await_target("SELECT count(*) FROM people WHERE name LIKE '%!' OR name = 'new'", 4)
        shown = run(migration, "list", "--format", "json")
        assert "PT409" in str(shown), shown
        migration.target("DROP TRIGGER raises ON people")
        run(migration, "retry", "--format", "json")
        migration.await_target("SELECT count(*) FROM people", 103)
    migration.finish()


def test_rows_that_a_trigger_swallows_are_named(direct):
    """Issue E, row 44.  In the copy, and of the stream from a trigger that is made meanwhile."""
    migration = prepared(direct)
    trigger(migration, "INSERT OR UPDATE ON people FOR EACH ROW WHEN (new.id % 50 = 0)",
            "RETURN NULL;")
    with migration.running() as lockstep:
        await_quarantined(lockstep, 2)
        migration.target("""
            CREATE TRIGGER later BEFORE UPDATE ON people FOR EACH ROW WHEN (new.id = 9)
              EXECUTE FUNCTION f(); ALTER TABLE people ENABLE ALWAYS TRIGGER later""")
        migration.source("UPDATE people SET name = 'new' WHERE id < 20")
        await_quarantined(lockstep, 3)
        assert not lockstep.status()["synced"]
        reasons = {row["reason"] for row in run(migration, "list", "--format", "json")["rows"]}
        assert reasons == {"swallowed"}
        migration.target("DROP FUNCTION f CASCADE")
        run(migration, "retry", "--format", "json")
        migration.await_target("SELECT count(*) FROM people", 100)
    migration.finish()


def test_rows_that_only_the_targets_index_keeps_apart_are_named(direct):
    """Issue E, row 2.  They evicted each other for ever, at full speed on both servers."""
    migration = prepared(direct, SCHEMA + "UPDATE people SET name = 'same' WHERE id IN (3, 5);")
    migration.target("CREATE UNIQUE INDEX ON people (name)")
    with migration.running() as lockstep:
        await_quarantined(lockstep, 1)
        shown = run(migration, "show", "--show-values", "--format", "json")["rows"]
        named = {shown[0]["key"].replace(" ", ""), shown[0]["holder"].replace(" ", "")}
        assert named == {"id=3", "id=5"}
    assert migration.target("SELECT count(*) FROM people") == [(99,)]


def test_many_rows_refused_for_one_reason_are_one_line(direct):
    """Issue E, row 43.  20,000 of them took more than a minute, and as many lines."""
    migration = prepared(direct, """
        CREATE TABLE events (id int, day int, PRIMARY KEY (id, day));
        INSERT INTO events SELECT g, g % 2 FROM generate_series(1, 40000) g""")
    migration.target("""
        DROP TABLE events;
        CREATE TABLE events (id int, day int, PRIMARY KEY (id, day)) PARTITION BY LIST (day);
        CREATE TABLE even PARTITION OF events FOR VALUES IN (0)""")
    migration.grant()
    begun = time.monotonic()
    with migration.running() as lockstep:
        await_quarantined(lockstep, 20000)
        print(f"{20000 / (time.monotonic() - begun):.0f} rows/s set aside and tried twice")
    assert migration.target("SELECT count(*) FROM events") == [(20000,)]
    listed = _verb("quarantine", "list", migration.lockstep.manifest)
    assert listed.returncode == 0, listed.stderr
    assert "   20000  public.events" in listed.stdout
    assert len(listed.stdout.splitlines()) == 3, listed.stdout


def test_rows_that_exist_leave_no_error_in_the_targets_log(direct, stack):
    """Issue E, row 30."""
    migration = prepared(direct, existing="upsert")
    migration.target("INSERT INTO people SELECT g, 'old' FROM generate_series(50, 60) g")
    migration.finish()
    assert not [line for line in stack.target.log_lines()
                if migration.name in line and "ERROR" in line]


def test_rules_beside_which_the_target_takes_no_upsert_are_refused_before_the_run(direct):
    """Issue E, part 3.  The table stopped in the middle of the run, and nothing said what to do."""
    migration = prepared(direct)
    migration.target("CREATE RULE r AS ON UPDATE TO people DO INSTEAD NOTHING")
    answer = migration.lockstep.answer("validate", "--format", "json", expected=(78,))
    errors = [problem for problem in answer["problems"] if problem["severity"] == "error"]
    assert len(errors) == 1 and "public.people of the target has rules" in errors[0]["text"], errors
    migration.target(errors[0]["hint"].split(", until")[0])
    migration.finish()


def test_an_end_that_is_incomplete_names_its_tables_afterwards(direct):
    """Issue E, part 3.  `status` said that the run had been incomplete, and not what was missing."""
    migration = prepared(direct, SCHEMA + "CREATE TABLE other (id int PRIMARY KEY)")
    migration.finish()
    migration.source("CREATE TABLE later (id int PRIMARY KEY); ALTER TABLE people ADD extra int")
    lockstep = migration.lockstep
    lockstep.start("--until", "synced")
    assert lockstep.wait_exit() == 3, lockstep.process.log_tail()
    stopped = {table["table"]: table["reason"] for table in lockstep.status()["tables"]
               if table["state"] == "stopped"}
    assert set(stopped) == {"public.later", "public.people"}, lockstep.status()
    assert all("; next: " in reason for reason in stopped.values()), stopped
