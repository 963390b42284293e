"""What somebody makes on either side beside columns, while lockstep runs or between two runs: unique
indexes and exclusion constraints, triggers, rules, row security, checks, partitions, identities."""

import threading
from contextlib import contextmanager

import psycopg2
import pytest

from tests.integration.test_refused import await_quarantined
from tests.integration.test_shape import await_stop, copied_again
from tests.lab.process import wait_until
from tests.lab.stack import WRITER

PEOPLE = """
CREATE TABLE people (id int PRIMARY KEY, name text CONSTRAINT one_name UNIQUE);
INSERT INTO people SELECT g, 'person ' || g FROM generate_series(1, 400) g;
"""
CONSTRAINTS = {
    "index": ("CREATE UNIQUE INDEX made_later ON people (name)", "DROP INDEX made_later"),
    "exclusion": ("ALTER TABLE people ADD CONSTRAINT made_later EXCLUDE (name WITH =)",
                  "ALTER TABLE people DROP CONSTRAINT made_later"),
}


@contextmanager
def handing_over(migration):
    """Meanwhile rows swap their names, two at a time, never two with one name."""
    over = threading.Event()
    failures = []

    def work():
        connection = migration.source_connection()
        cursor = connection.cursor()
        cursor.execute("SELECT id, name FROM people ORDER BY id")
        names = dict(cursor.fetchall())
        turn = 0
        try:
            while not over.is_set():
                turn += 1
                a, b = turn % 398 + 1, turn % 398 + 2
                names[a], names[b] = names[b], names[a]
                cursor.execute("BEGIN; UPDATE people SET name = NULL WHERE id = %s;"
                               "UPDATE people SET name = %s WHERE id = %s;"
                               "UPDATE people SET name = %s WHERE id = %s; COMMIT",
                               (a, names[b], b, names[a], a))
        except psycopg2.Error as error:
            failures.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    if failures:
        raise failures[0]


def deadlocks(migration):
    """So far, by the target's log: a session tells the server's counters once a second at most."""
    return sum(f"@{migration.name} " in line and "deadlock detected" in line
               for line in migration.stack.target.log_lines())


def is_made(migration, statement):
    """Lanes do not commit as one: for a moment two rows may have one name on the target."""
    try:
        migration.target(statement)
    except (psycopg2.errors.UniqueViolation, psycopg2.errors.ExclusionViolation):
        return False
    return True


def reaches_the_target(migration, name):
    migration.source(f"UPDATE people SET name = '{name}' WHERE id = 400")
    migration.await_target("SELECT name FROM people WHERE id = 400", name, timeout=120)


@pytest.mark.parametrize("kind", CONSTRAINTS)
def test_a_constraint_made_while_it_runs_changes_lanes_and_copies_nothing(migrate, kind):
    """Issue E, row 39: deadlocks without end, then a full copy with an untrue reason."""
    make, drop = CONSTRAINTS[kind]
    migration = migrate(PEOPLE, target={"lanes": 4})
    migration.prepare()
    migration.target("ALTER TABLE people DROP CONSTRAINT one_name")
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        with handing_over(migration):
            wait_until(lambda: is_made(migration, make), "the constraint to be made")
            lockstep.await_event("the run is planned again", timeout=60)
            assert "made_later came to public.people on the target" in lockstep.log_text()
            reaches_the_target(migration, "first")
            before = deadlocks(migration)
            reaches_the_target(migration, "last")
            assert deadlocks(migration) == before
        print(f"{before} deadlocks until it was noticed")
        assert before < 20
        migration.await_synced("it to be synced again")
    migration.finish()
    migration.target(drop)
    with migration.running() as lockstep:
        lockstep.await_follow()
        with handing_over(migration):
            reaches_the_target(migration, "without")
    migration.finish()
    assert copied_again(migration) == 0


def test_a_constraint_made_between_two_runs_changes_lanes_and_copies_nothing(migrate):
    """Issue E, row 39: lanes that stood at different positions; each way."""
    migration = migrate(PEOPLE + "CREATE TABLE other AS TABLE people;"
                        " ALTER TABLE other ADD PRIMARY KEY (id);", target={"lanes": 4})
    migration.prepare()
    migration.target("ALTER TABLE people DROP CONSTRAINT one_name")
    for statement in [*CONSTRAINTS["index"], *CONSTRAINTS["exclusion"]]:
        lockstep = migration.lockstep
        lockstep.start()
        migration.await_synced("it to be synced")
        with migration.target_connection(autocommit=False) as gate:
            gate.cursor().execute("SELECT FROM people WHERE id = 7 FOR UPDATE")
            migration.source("UPDATE people SET name = name || 'x' WHERE id <= 50;"
                             "UPDATE other SET name = 'x' || name WHERE id <= 50")
            # One lane waits, the others go on: a kill leaves them apart.
            migration.await_target("SELECT count(*) > 5 FROM other WHERE name LIKE 'x%'", True)
            lockstep.kill()
        migration.source("UPDATE people SET name = rtrim(name, 'x') WHERE id <= 40;"
                         "UPDATE other SET name = ltrim(name, 'x')")
        migration.target(statement)
        migration.finish()
    assert copied_again(migration) == 0


# What is made on the target, what is said of it, what undoes it.
HARMLESS = {
    "trigger": ("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
                "CREATE TRIGGER made_later BEFORE UPDATE ON people FOR EACH ROW EXECUTE FUNCTION"
                " f(); ALTER TABLE people ENABLE ALWAYS TRIGGER made_later",
                "triggers or rules of public.people would fire for every row that lockstep writes:"
                " made_later"),
    "rule": ("CREATE RULE made_later AS ON DELETE TO people DO ALSO NOTIFY people;"
             "ALTER TABLE people ENABLE ALWAYS RULE made_later",
             "triggers or rules of public.people would fire for every row that lockstep writes:"
             " made_later"),
    "deferrable": ("ALTER TABLE people ADD CONSTRAINT made_later UNIQUE (id, name) DEFERRABLE",
                   "deferrable constraints of public.people are not enforced for lockstep's rows:"
                   " made_later"),
    "check": ("ALTER TABLE people ADD CONSTRAINT made_later CHECK (id > 0)",
              "only the target has check made_later of public.people, CHECK ((id > 0))"),
    "unique": ("ALTER TABLE people DROP CONSTRAINT one_name;"
               "CREATE UNIQUE INDEX made_later ON people (lower(name))",
               "only the target has unique index public.made_later"),
}


@pytest.mark.parametrize("kind", HARMLESS)
def test_what_is_made_on_the_target_is_warned_of_as_validate_does(direct, kind):
    """Issue E, what the catalog says: the watch beside the run knew columns and types only."""
    statement, said = HARMLESS[kind]
    migration = direct(PEOPLE)
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        assert said not in lockstep.log_text()
        migration.target(statement)
        wait_until(lambda: said in lockstep.log_text(), "a warning", 30, alive=lockstep.process)
        reaches_the_target(migration, "goes on")
    assert said in migration.lockstep.verb("validate").stdout
    migration.finish()
    assert migration.lockstep.run_log().count(said) == 1, "each run says it once"
    assert copied_again(migration) == 0


# What is done to the target's table, how it is undone, and what is said.
STOPPING = {
    "row security": ("ENABLE ROW LEVEL SECURITY", "DISABLE ROW LEVEL SECURITY",
                     f"row-level security of public.people on the target hides rows from role "
                     f"{WRITER}"),
    "unlogged": ("SET UNLOGGED", "SET LOGGED", "public.people of the target is UNLOGGED"),
}


@pytest.mark.parametrize("what", STOPPING)
def test_what_is_made_on_the_target_and_stops_the_table(direct, what):
    """Issue E, what the catalog says.  And it goes on by itself once it is gone."""
    done, undone, said = STOPPING[what]
    migration = direct(PEOPLE)
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.target(f"ALTER TABLE people {done}")
        assert said in await_stop(lockstep, "public.people")
        lockstep.await_status(lambda status: "goes on by itself" in status["tables"][0]["reason"],
                              "what stands in the way to be said")
        assert said in migration.lockstep.verb("validate").stdout
        migration.source("UPDATE people SET name = 'meanwhile' WHERE id = 400")
        migration.target(f"ALTER TABLE people {undone}")
        migration.await_target("SELECT name FROM people WHERE id = 400", "meanwhile", timeout=120)
    migration.finish()
    assert copied_again(migration) == 0


DOMAINS = """
CREATE DOMAIN low AS int; CREATE DOMAIN price AS low{low};
CREATE DOMAIN plain AS text{plain};
CREATE TYPE pair AS (p price, t text);
CREATE TABLE t (id int PRIMARY KEY, p price, w plain, c pair, a price[]);
"""


def test_domains_are_compared_by_what_they_refuse(direct):
    """Issue E, what the catalog says: a domain of one name may ask more of its values."""
    migration = direct(DOMAINS.format(low="", plain="") + """
        INSERT INTO t SELECT g, 10 - g, CASE g WHEN 3 THEN NULL ELSE 'w' END,
          ROW(CASE g WHEN 5 THEN -1 ELSE 1 END, 'x')::pair,
          ARRAY[CASE g WHEN 6 THEN -1 ELSE 1 END]::price[] FROM generate_series(1, 11) g""",
                       debt_attempts=2)
    migration.target(DOMAINS.format(low=" CONSTRAINT positive CHECK (VALUE >= 0)",
                                    plain=" NOT NULL"))
    migration.grant()
    migration.publish()
    said = ["public.t.p is of domain public.price with CHECK (((VALUE)::integer >= 0)), and public.t.p",
            'ALTER DOMAIN public.price DROP CONSTRAINT "positive" on the target',
            "public.t.w is of domain public.plain with NOT NULL, and public.t.w is not"]
    printed = migration.lockstep.verb("validate")
    assert printed.returncode == 0 and all(text in printed.stdout for text in said), printed.stdout
    with migration.running() as lockstep:
        await_quarantined(lockstep, 4)
        assert all(text in lockstep.log_text() for text in said)
        assert migration.target("SELECT array_agg(id ORDER BY id) FROM t") == [
            ([1, 2, 4, 7, 8, 9, 10],)]
        migration.target("ALTER DOMAIN plain ADD CONSTRAINT later CHECK (VALUE <> 'never')")
        wait_until(lambda: "VALUE <> 'never'" in lockstep.log_text(), "a warning", 30,
                   alive=lockstep.process)


LEAVES = """
CREATE TABLE log (id int PRIMARY KEY, m int NOT NULL, v text) PARTITION BY RANGE (id);
CREATE TABLE low PARTITION OF log FOR VALUES FROM (0) TO (10000);
CREATE TABLE high PARTITION OF log FOR VALUES FROM (10000) TO (20000);
CREATE UNIQUE INDEX low_m ON low (m);
INSERT INTO log SELECT g, g, 'v' FROM generate_series(1, 900) g;
"""


@pytest.mark.parametrize("other", ["NOTHING", "USING INDEX low_m"])
def test_a_partition_whose_identity_changes_is_noticed_while_it_runs(direct, other):
    """Issue E, rows 10, 32 and 33: it was noticed at the next start only, and what an update did
    to keys meanwhile was lost."""
    migration = direct(LEAVES)
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source(f"ALTER TABLE low REPLICA IDENTITY {other}")
        if other != "NOTHING":
            migration.source("UPDATE log SET id = id + 1000 WHERE id <= 50")
        reason = await_stop(lockstep, "public.log")
        assert 'ALTER TABLE "public"."low" REPLICA IDENTITY DEFAULT on the source' in reason
        assert not lockstep.status()["synced"]
        lockstep.await_status(lambda status: "goes on by itself" in status["tables"][0]["reason"],
                              "what stands in the way to be said")
        migration.source("ALTER TABLE low REPLICA IDENTITY DEFAULT;"
                         "UPDATE log SET id = id + 2000 WHERE id BETWEEN 60 AND 70")
        migration.await_synced("it to go on by itself", 180)
    migration.finish()
    assert copied_again(migration) == (0 if other == "NOTHING" else 1)


TWO_KEYS = """
CREATE TABLE t (id int PRIMARY KEY, m int NOT NULL UNIQUE, v text);
INSERT INTO t SELECT g, g, 'v' FROM generate_series(1, 900) g;
"""
AWAY = "ALTER TABLE {0} REPLICA IDENTITY USING INDEX {1}"
BACK = "ALTER TABLE {0} REPLICA IDENTITY DEFAULT"
# Neither says which row it was.
NAMELESS = ["UPDATE {0} SET id = id + 1000 WHERE id <= 50", "DELETE FROM {0} WHERE id = 60"]


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("schema, table, owner, index", [
    (TWO_KEYS, "t", "t", "t_m_key"), (LEAVES, "log", "low", "low_m")], ids=["table", "leaf"])
def test_an_identity_that_was_another_one_before_anybody_looked(migrate, schema, table, owner,
                                                                index, down):
    """Issue E, rows 10 and 33: it is as it was, and what was written meanwhile named other rows."""
    migration = migrate(schema + "CREATE TABLE bystander (id int PRIMARY KEY)")
    migration.prepare()
    statements = [AWAY.format(owner, index), *(text.format(table) for text in NAMELESS),
                  BACK.format(owner), f"UPDATE {table} SET v = 'later' WHERE id = 70"]
    if down:
        migration.lockstep.run_until_synced()
        for statement in statements:
            migration.source(statement)
    else:
        with migration.running() as lockstep:
            migration.await_synced("the copy to be synced")
            for statement in statements:
                migration.source(statement)
            lockstep.await_status(lambda _: copied_again(migration) == 1, "it to be noticed")
            migration.await_synced("the new copy to be synced")
            migration.assert_equal()
    migration.finish()
    assert copied_again(migration) == 1
    assert f"the replica identity of public.{owner} may have been" in migration.lockstep.log_text()


MAINTENANCE = {
    "of the table": ["GRANT SELECT ON t TO PUBLIC", "ALTER TABLE t SET (fillfactor = 90)",
                     "REINDEX TABLE t", "ANALYZE t", "VACUUM t", "CREATE INDEX a ON t (v)",
                     "CREATE UNIQUE INDEX b ON t (m, id)", "CREATE UNIQUE INDEX c ON t (m, v)",
                     "DROP INDEX c", "ALTER TABLE t REPLICA IDENTITY FULL",
                     "UPDATE t SET id = -id WHERE id < 9", BACK.format("t")],
    "of its indexes": ["REINDEX TABLE CONCURRENTLY t", "CREATE UNIQUE INDEX CONCURRENTLY d ON t (m)",
                       "ANALYZE t", "VACUUM t", "DROP INDEX CONCURRENTLY b"],
    "of both, but for identities": ["REINDEX TABLE t", "CREATE UNIQUE INDEX e ON t (id, m)",
                                    "ALTER TABLE t RESET (fillfactor)"],
}


def test_maintenance_is_not_taken_for_another_identity(direct):
    """Issue E, row 33: what changes the same rows of the catalog has nothing copied again."""
    migration = direct(TWO_KEYS)
    migration.prepare()
    migration.lockstep.run_until_synced()
    for statements in MAINTENANCE.values():
        for statement in statements:
            migration.source(statement)
        migration.finish()
        assert copied_again(migration) == 0, statements
    with migration.running() as lockstep:
        migration.await_synced("it to be synced")
        migration.source("ALTER TABLE t REPLICA IDENTITY USING INDEX t_pkey")
        migration.source("UPDATE t SET id = id + 2000 WHERE id > 800")
        migration.source("VACUUM FULL t")
        lockstep.await_status(lambda _: copied_again(migration) == 1, "the rewrite to be noticed")
        migration.await_synced("the new copy to be synced")
    migration.finish()
    assert migration.lockstep.log_text().count("may have been another one") == 0


def test_rows_of_a_partition_that_the_target_lacks_settle_when_it_comes(direct):
    """Issue E, row 31: by themselves, and nothing is copied again."""
    migration = direct(LEAVES, debt_attempts=2)
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source("CREATE TABLE new PARTITION OF log FOR VALUES FROM (20000) TO (30000);"
                         "INSERT INTO log SELECT g, g, 'new' FROM generate_series(20001, 20300) g")
        await_quarantined(lockstep, 300)
        migration.target("CREATE TABLE new PARTITION OF log FOR VALUES FROM (20000) TO (30000)")
        migration.await_target("SELECT count(*) FROM log", 1200, timeout=120)
        migration.source("CREATE TABLE next PARTITION OF log FOR VALUES FROM (30000) TO (40000);"
                         "INSERT INTO log SELECT g, g, 'new' FROM generate_series(30001, 30300) g")
        await_quarantined(lockstep, 300)
    migration.target("CREATE TABLE next PARTITION OF log FOR VALUES FROM (30000) TO (40000)")
    migration.finish()
    assert copied_again(migration) == 0
