"""Replica identities and keys: no statement of the application fails because of lockstep, and what
the log calls the old row is what lockstep calls its key.  Issue E, rows 1, 10, 11, 15, 21, 32, 33."""

import re
import signal

import psycopg2
import pytest

from conftest import through_kafka
from tests.integration.test_shape import await_stop, copied_again

ROOT = "CREATE TABLE t (id int, m int NOT NULL, v text{}) PARTITION BY RANGE (id);"
LEAVES = """
CREATE TABLE t1 PARTITION OF t FOR VALUES FROM (0) TO (10);
CREATE TABLE t2 PARTITION OF t FOR VALUES FROM (10) TO (20);"""
LATER = "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (20) TO (30)"
STATEMENTS = ["INSERT INTO t VALUES (1, 1, 'a'), (11, 11, 'b')", "UPDATE t SET v = 'c'",
              "DELETE FROM t"]
WITH_LATER = [LATER, "INSERT INTO t VALUES (21, 21, 'd')", *STATEMENTS]

# Schema, what the application does, and the words by which lockstep refuses; none: it accepts.
SHAPES = {
    "primary key": ("CREATE TABLE t (id int PRIMARY KEY, m int, v text)", STATEMENTS, None),
    "deferrable primary key": (
        "CREATE TABLE t (id int PRIMARY KEY DEFERRABLE, m int, v text)", STATEMENTS,
        "the key t_pkey of public.t on the source is DEFERRABLE"),
    "nothing": (
        "CREATE TABLE t (id int PRIMARY KEY, m int, v text);"
        "ALTER TABLE t REPLICA IDENTITY NOTHING", STATEMENTS,
        "public.t has no replica identity (REPLICA IDENTITY NOTHING)"),
    "its index was dropped": (
        "CREATE TABLE t (id int PRIMARY KEY, m int NOT NULL, v text);"
        "CREATE UNIQUE INDEX gone ON t (m); ALTER TABLE t REPLICA IDENTITY USING INDEX gone;"
        "DROP INDEX gone", STATEMENTS, "public.t has no replica identity (the index of"),
    "unique and full": (
        "CREATE TABLE t (id int NOT NULL UNIQUE, m int, v text);"
        "ALTER TABLE t REPLICA IDENTITY FULL", STATEMENTS, None),
    "unique alone": ("CREATE TABLE t (id int NOT NULL UNIQUE, m int, v text)", STATEMENTS,
                     "public.t has no replica identity"),
    "root with primary key": (ROOT.format(", PRIMARY KEY (id)") + LEAVES, WITH_LATER, None),
    "root with deferrable primary key": (
        ROOT.format(", PRIMARY KEY (id) DEFERRABLE") + LEAVES, WITH_LATER,
        "the key t_pkey of public.t on the source is DEFERRABLE"),
    "full root, leaves without key": (
        ROOT.format(", UNIQUE (id)") + LEAVES + "ALTER TABLE t ALTER id SET NOT NULL;"
        "ALTER TABLE t REPLICA IDENTITY FULL", STATEMENTS, "public.t2 has no replica identity"),
    "index root, leaves without key": (
        ROOT.format("") + LEAVES + "ALTER TABLE t ALTER id SET NOT NULL;"
        "CREATE UNIQUE INDEX t_id ON t (id); ALTER TABLE t REPLICA IDENTITY USING INDEX t_id",
        STATEMENTS, "public.t1 has no replica identity"),
    "full leaves, and one that comes later": (
        ROOT.format(", UNIQUE (id)") + LEAVES + "ALTER TABLE t ALTER id SET NOT NULL;"
        "ALTER TABLE t REPLICA IDENTITY FULL; ALTER TABLE t1 REPLICA IDENTITY FULL;"
        "ALTER TABLE t2 REPLICA IDENTITY FULL", WITH_LATER,
        "public.t has no primary key that a partition made later would take from it"),
    "one leaf with nothing": (
        ROOT.format(", PRIMARY KEY (id)") + LEAVES + "ALTER TABLE t2 REPLICA IDENTITY NOTHING",
        STATEMENTS, "public.t2 has no replica identity"),
}


SEVERAL = ("CREATE TABLE t (a int NOT NULL UNIQUE, b int NOT NULL UNIQUE, v text);"
           "ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 2, 'x'), (2, 3, 'y')")


def refusals(migration):
    """The errors that validate prints, without file and place."""
    printed = migration.lockstep.verb("validate").stdout
    return [re.sub(r"^.*?:\d+:\d+: error: ", "", line) for line in printed.splitlines()
            if ": error: " in line]


def assert_run_refuses(migration, text):
    """`run` says what validate says, and has made nothing."""
    migration.lockstep.start("--until", "synced")
    assert migration.lockstep.wait_exit() == 78, migration.lockstep.process.log_tail()
    assert text in migration.lockstep.log_text()


def first_failure(migration, statements):
    """What the application's first failing statement says; all of them are rolled back."""
    connection = migration.source_connection(autocommit=False)
    try:
        for statement in statements:
            connection.cursor().execute(statement)
    except psycopg2.Error as error:
        return str(error)
    finally:
        connection.rollback()
        connection.close()
    return None


@pytest.mark.parametrize("shape", SHAPES)
def test_no_statement_of_the_application_fails_once_a_table_is_published(migrate, shape):
    """Issue E, row 32: what PostgreSQL would refuse afterwards is refused before."""
    schema, statements, words = SHAPES[shape]
    migration = migrate(schema)
    migration.copy_schema()
    migration.grant()
    assert first_failure(migration, statements) is None
    publish = (f"CREATE PUBLICATION {migration.publication} FOR TABLE t "
               "WITH (publish_via_partition_root = true)")
    failure = first_failure(migration, [publish, *statements])
    assert (failure is not None) == (words is not None), failure
    found = [line for line in refusals(migration)
             if any(word in line for word in ("replica identity", "later", "is DEFERRABLE"))]
    if words is None:
        assert not found
        return
    assert "replica identity" in failure
    assert any(words in line for line in found), found
    assert_run_refuses(migration, words)
    assert first_failure(migration, statements) is None


def test_its_hints_for_identities_lead_to_a_migration(migrate):
    """Issue E, row 32: whoever does what the messages say can go on."""
    schema = ROOT.format(", PRIMARY KEY (id)") + LEAVES
    migration = migrate(schema + """
        ALTER TABLE t1 REPLICA IDENTITY NOTHING;
        CREATE UNIQUE INDEX t2_m ON t2 (m); ALTER TABLE t2 REPLICA IDENTITY USING INDEX t2_m;
        CREATE TABLE u (id int NOT NULL UNIQUE, v text);
        INSERT INTO t VALUES (1, 1, 'a'), (11, 11, 'b'); INSERT INTO u VALUES (1, 'a')""")
    migration.copy_schema()
    migration.grant()
    hints = [re.search(r"(ALTER TABLE .*) on the source", line) for line in refusals(migration)]
    statements = [hint[1] for hint in hints if hint]
    assert len(statements) == 3, refusals(migration)
    for statement in statements:
        migration.source(statement)
    migration.publish()
    migration.start_connector()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE t SET id = id + 1, v = 'moved'; UPDATE u SET id = 2")
        migration.await_target("SELECT max(id) FROM u", 2)
    migration.finish()


def test_one_of_several_unique_keys_is_asked_for(direct):
    """Issue E, row 32: there is a key, and more than one; the statement of the hint chooses it."""
    migration = direct(SEVERAL)
    migration.prepare()
    words = ("public.t has several unique keys (t_a_key, t_b_key), and neither a primary key nor "
             "its replica identity says which of them names its rows")
    found, = refusals(migration)
    assert words in found
    assert_run_refuses(migration, words)
    migration.source(re.search(r"(ALTER TABLE .*?) on the source", found)[1])
    assert not refusals(migration)
    # The target has no identity at all, and two keys as well: the source's is the one.
    migration.target("ALTER TABLE t REPLICA IDENTITY DEFAULT")
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source("UPDATE t SET b = b + 10; UPDATE t SET a = 7 WHERE a = 2")
        migration.target("CREATE INDEX another ON t (v)")
        migration.await_synced("them to be applied")
    migration.finish()
    assert copied_again(migration) == 0


def test_a_key_that_gets_a_rival_is_not_said_to_be_gone(direct):
    """Issue E, row 32: the same in mid-run, and the hint is the way on; nothing is copied again."""
    migration = direct("CREATE TABLE t (a int NOT NULL UNIQUE, b int NOT NULL, v text);"
                       "ALTER TABLE t REPLICA IDENTITY FULL; INSERT INTO t VALUES (1, 2, 'x')")
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source("CREATE UNIQUE INDEX t_b ON t (b)")
        reason = await_stop(lockstep, "public.t")
        assert 'its key "t_a_key" is one of several unique keys now (t_a_key, t_b)' in reason
        migration.source(re.search(r"(ALTER TABLE .*?) on the source", reason)[1]
                         + "; INSERT INTO t VALUES (2, 3, 'y')")
        migration.await_target("SELECT count(*) FROM t", 2)
    migration.finish()
    assert copied_again(migration) == 0


def test_names_a_leaf_that_names_its_rows_by_another_index(migrate):
    """Issue E, row 33: its key changes would not say which row they mean."""
    migration = migrate(ROOT.format(", PRIMARY KEY (id)") + LEAVES + """
        CREATE UNIQUE INDEX t2_m ON t2 (m); ALTER TABLE t2 REPLICA IDENTITY USING INDEX t2_m""")
    migration.prepare()
    words = "the replica identity of public.t2 is (m), the key of public.t is (id)"
    assert any(words in line for line in refusals(migration))
    assert_run_refuses(migration, words)


UNIQUE_BESIDE_KEY = """
CREATE TABLE t (id int PRIMARY KEY, m text NOT NULL UNIQUE, v text);
ALTER TABLE t REPLICA IDENTITY USING INDEX t_m_key;
CREATE TABLE p (id int, m text NOT NULL, v text, PRIMARY KEY (id), UNIQUE (id, m))
  PARTITION BY HASH (id);
CREATE TABLE p1 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p2 PARTITION OF p FOR VALUES WITH (MODULUS 2, REMAINDER 1);
ALTER TABLE p REPLICA IDENTITY USING INDEX p_id_m_key;
ALTER TABLE p1 REPLICA IDENTITY USING INDEX p1_id_m_key;
ALTER TABLE p2 REPLICA IDENTITY FULL;
INSERT INTO t SELECT g, 'm' || g, 'v' FROM generate_series(0, 9) g;
INSERT INTO p SELECT * FROM t;
"""


def test_the_columns_of_the_identity_are_the_key(migrate):
    """Issue E, row 10: also beside a primary key, whose changes are ordinary updates, at the first
    start and at later ones; of a partitioned root and each leaf.
    """
    migration = migrate(UNIQUE_BESIDE_KEY)
    migration.prepare()
    assert not refusals(migration)
    for round_ in (1, 2):
        with migration.running() as lockstep:
            lockstep.await_follow()
            for table in ("t", "p"):
                migration.source(f"""
                    DELETE FROM {table} WHERE id = {4 + round_};
                    UPDATE {table} SET id = id + 100 WHERE id IN ({round_}, 7);
                    UPDATE {table} SET m = m || '.' WHERE id % 10 = 8;
                    UPDATE {table} SET id = 7, m = 'new' WHERE id = 107;
                    INSERT INTO {table} VALUES (50 + {round_}, 'i' || {round_}, 'w')""")
            migration.await_synced("synced")
    migration.finish()
    assert migration.target("SELECT count(*) FROM t") == [(10,)]


COARSER = """
CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION same (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION other (provider = icu, locale = 'und-u-ks-level1', deterministic = false);
CREATE EXTENSION citext;
CREATE TYPE tag AS (k text, n int);
CREATE TYPE folded_tag AS (k text COLLATE ci, n int);
CREATE TYPE words AS RANGE (subtype = text);
CREATE TYPE folded_words AS RANGE (subtype = text, collation = ci);
"""

# Type of the key on the source, on the target, and whether the target is to be refused.
KEYS = {
    "nondeterministic": ("text", "text COLLATE ci", True),
    "another nondeterministic one": ("text COLLATE ci", "text COLLATE other", True),
    "the same under another name": ("text COLLATE ci", "text COLLATE same", False),
    "finer": ("text COLLATE ci", "text", False),
    "array": ("text[]", "text[] COLLATE ci", True),
    "citext for text": ("text", "citext", True),
    "citext": ("citext", "citext", False),
    "bpchar for text": ("text", "char(20)", True),
    "scale": ("numeric(10,4)", "numeric(10,2)", True),
    "float4": ("float8", "float4", True),
    "wider float": ("float4", "float8", False),
    "seconds": ("timestamp(6)", "timestamp(3)", True),
}


@pytest.mark.parametrize("kind", KEYS)
def test_refuses_a_target_whose_equality_of_the_key_is_coarser(direct, kind):
    """Issue E, row 1: whatever the rows are, two of them could become one."""
    here, there, is_coarser = KEYS[kind]
    migration = direct(COARSER)
    migration.copy_schema()
    migration.source(f"CREATE TABLE t (k {here} PRIMARY KEY, v int)")
    migration.target(f"CREATE TABLE t (k {there} PRIMARY KEY, v int)")
    migration.grant()
    migration.publish()
    found = [line for line in refusals(migration) if "public.t.k" in line]
    assert bool(found) == is_coarser, refusals(migration)
    assert not found or "collation und" not in found[0] or " version " in found[0]
    if is_coarser:
        assert_run_refuses(migration, found[0].split(" (")[0][:60])


@pytest.mark.parametrize("kind", ["tag", "words"])
def test_refuses_a_coarser_equality_inside_of_a_type(direct, kind):
    """Issue E, row 1: of an attribute of a composite type, of the bounds of a range."""
    migration = direct(COARSER + f"CREATE TABLE t (k {kind} PRIMARY KEY, v int)")
    migration.target(COARSER + f"""
        DROP TYPE {kind}; ALTER TYPE folded_{kind} RENAME TO {kind};
        CREATE TABLE t (k {kind} PRIMARY KEY, v int)""")
    migration.grant()
    migration.publish()
    assert any("public.t.k is part of the key, and on the target values of it are equal" in line
               for line in refusals(migration)), refusals(migration)


@pytest.mark.parametrize("phase", ["copy", "stream"])
def test_two_rows_that_meet_on_one_key_stop_the_table(direct, phase):
    """Issue E, row 1: by a collation that the target was given since validate; never synced."""
    migration = direct(COARSER + """
        CREATE TABLE t (k text, n int, v text, PRIMARY KEY (k, n));
        CREATE TABLE u (k text PRIMARY KEY); CREATE TABLE bystander (id int PRIMARY KEY);
        INSERT INTO t SELECT 'K' || g, 1, 'upper' FROM generate_series(1, 200) g;
        INSERT INTO u SELECT k FROM t""")
    migration.copy_schema()
    migration.grant()
    migration.publish()
    lower = ("INSERT INTO t SELECT 'k' || g, 1, 'lower' FROM generate_series(2, 200) g;"
             "INSERT INTO u SELECT 'k' || g FROM generate_series(2, 200) g")
    coarser = ("ALTER TABLE t ALTER k TYPE text COLLATE ci;"
               "ALTER TABLE u ALTER k TYPE text COLLATE ci")
    lockstep = migration.lockstep
    if phase == "copy":
        migration.source(lower)
        lockstep.start(failpoint="prepare_after_positions:1:stop")
        lockstep.process.await_state("T")
        migration.target(coarser)
        lockstep.process.send(signal.SIGCONT)
    else:
        lockstep.start()
        lockstep.await_follow()
        migration.target(coarser)
        migration.source(lower)

    def stopped(status):
        assert not status["synced"]
        reasons = [table["reason"] or "" for table in status["tables"]
                   if table["table"] != "public.bystander"]
        return all("two rows of the source have one key" in reason or "collation" in reason
                   for reason in reasons)

    lockstep.await_status(stopped, "both tables to stop")
    assert lockstep.stop() == 0


COMPOSITES = """
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE DOMAIN price AS numeric CHECK (value >= 0);
CREATE TYPE inner_type AS (m mood, moods mood[], at timestamptz, p price);
CREATE TYPE gone AS (a int, b mood);
CREATE TYPE pair AS (n int, v text, i inner_type, x int, g gone[]);
ALTER TYPE pair DROP ATTRIBUTE x;
CREATE DOMAIN named AS pair CHECK ((value).n > 0);
CREATE TYPE span AS RANGE (subtype = gone);
CREATE TABLE t (id int PRIMARY KEY, p pair, ps pair[], d named, ds named[], s span, big pair);
CREATE TABLE k (a pair, v text, PRIMARY KEY (a));
CREATE TABLE s (a span, b gone[], v text, PRIMARY KEY (a, b));
"""
PAIR = ("ROW({0}, 'v' || {0}, ROW('bad', ARRAY['good', NULL, 'bad']::mood[], '2020-01-01',"
        " {0} + 0.50)::inner_type, ARRAY[ROW({0}, 'good')::gone, NULL])::pair")
COMPOSITE_ROWS = f"""
INSERT INTO t SELECT g, {PAIR.format('g')}, ARRAY[{PAIR.format('g')}, NULL, {PAIR.format('2')}],
  {PAIR.format('g')}, ARRAY[{PAIR.format('g')}::named, NULL],
  span(ROW(g, 'good')::gone, ROW(g + 5, 'bad')::gone), NULL
  FROM generate_series({{0}}, {{1}}) g;
INSERT INTO k SELECT {PAIR.format('g')}, 'v' FROM generate_series({{0}}, {{1}}) g;
INSERT INTO s SELECT span(ROW(g, 'good')::gone, NULL), ARRAY[ROW(g, 'bad')::gone], 'v'
  FROM generate_series({{0}}, {{1}}) g;
"""


def test_carries_composite_values_exactly_without_reading_them_again(direct):
    """Issue E, row 15: their types have other OIDs on the target; also as keys."""
    migration = direct(COMPOSITES + COMPOSITE_ROWS.format(1, 500))
    migration.target("CREATE TYPE shift AS (a int); CREATE TABLE shifted (id int)")
    migration.copy_schema()
    migration.target("DROP TABLE shifted")
    migration.grant()
    migration.publish()
    assert not any("read from the source again" in line
                   for line in migration.lockstep.verb("validate").stdout.splitlines())
    assert not refusals(migration)
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source(COMPOSITE_ROWS.format(501, 600) + f"""
            UPDATE t SET p.n = 7000 + id, s = NULL WHERE id % 3 = 0;
            UPDATE t SET big = ROW(1, repeat(md5(id::text), 500), NULL, NULL)::pair WHERE id < 50;
            UPDATE t SET ds = ARRAY[]::named[], ps[2] = {PAIR.format('9')} WHERE big IS NOT NULL;
            UPDATE k SET v = 'w' WHERE (a).n < 300; UPDATE k SET a.n = 5000 WHERE (a).n = 3;
            DELETE FROM k WHERE (a).n = 4; DELETE FROM s WHERE lower(a) < ROW(50, 'good')::gone;
            UPDATE s SET v = 'w', b = ARRAY[b[1], NULL] WHERE lower(a) < ROW(90, 'good')::gone""")
        status = lockstep.await_status(lambda found: found["synced"], "synced")
        assert all(table["debts"] == 0 for table in status["tables"])
    migration.finish()
    pids = "SELECT 'pair'::regtype::oid::text"
    assert migration.source(pids) != migration.target(pids)


@pytest.mark.usefixtures("owning_role")
def test_a_publication_is_extended_without_holding_up_the_application(direct):
    """Issue E, row 11: who writes to the new table queues behind our lock for no time at all."""
    migration = direct("CREATE TABLE t (id int PRIMARY KEY, v text)")
    migration.copy_schema()
    migration.grant()
    migration.finish()
    for side in (migration.source, migration.target):
        side("CREATE TABLE u (id int PRIMARY KEY, v text)")
    migration.grant()
    with migration.open_transaction("INSERT INTO u VALUES (1, 'open')"):
        migration.lockstep.start()
        migration.lockstep.await_said("while adding public.u")
        statements = [f"INSERT INTO u VALUES ({n}, 'x')" for n in range(2, 200)]
        assert first_failure(migration, ["SET lock_timeout = '500ms'", *statements]) is None
    migration.lockstep.await_follow()
    assert migration.lockstep.stop() == 0
    migration.finish()


PUBLICATIONS = {
    "all tables": "FOR ALL TABLES",
    "a schema": "FOR TABLES IN SCHEMA public",
    "a table without identity": "FOR TABLE t, keyless",
    "a leaf without identity": "FOR TABLE t, rooted",
}


@pytest.mark.parametrize("kind", PUBLICATIONS)
def test_refuses_a_publication_that_breaks_the_applications_statements(migrate, kind):
    """Issue E, row 11: also of tables that the manifest leaves alone, also under --deny-warnings."""
    migration = migrate("""
        CREATE TABLE t (id int PRIMARY KEY, v text);
        CREATE TABLE keyless (v text); INSERT INTO keyless VALUES ('a');
        CREATE TABLE rooted (id int PRIMARY KEY) PARTITION BY HASH (id);
        CREATE TABLE leaf PARTITION OF rooted FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        ALTER TABLE leaf REPLICA IDENTITY NOTHING""",
                        tables=[{"source": "public.t"}])
    migration.copy_schema()
    migration.grant()
    migration.stack.source.execute(
        migration.name, f"CREATE PUBLICATION {migration.publication} {PUBLICATIONS[kind]} "
        "WITH (publish_via_partition_root = true)")
    line, = (line for line in refusals(migration) if line.startswith("publication"))
    assert any(words in line for words in ("is FOR ALL TABLES", "is FOR TABLES IN SCHEMA",
                                           "tables without replica identity"))
    assert migration.lockstep.verb("validate").returncode == 78
    assert_run_refuses(migration, line.split(" (")[0][:80])
    statements = ["UPDATE keyless SET v = 'b'", "INSERT INTO rooted VALUES (1)",
                  "DELETE FROM rooted", "CREATE TABLE later AS SELECT 1 AS a",
                  "UPDATE later SET a = 2"]
    assert "replica identity" in first_failure(migration, statements)
    # Whoever does what the message says has an application that works, and a migration.
    migration.stack.source.execute(migration.name, f"DROP PUBLICATION {migration.publication}")
    migration.publish(["t"])
    assert first_failure(migration, statements) is None
    assert not any(line.startswith("publication") for line in refusals(migration))


@through_kafka
def test_the_connector_must_be_told_of_keys(migrate):
    """Issue E, row 10: else its deletes carry a fallback, which is the key of another row."""
    migration = migrate(UNIQUE_BESIDE_KEY)
    migration.copy_schema()
    migration.grant()
    migration.publish()
    assert migration.lockstep.connector_config()["config"]["message.key.columns"] == (
        r"public\.p:id,m;public\.t:m")
    migration.start_connector(**{"message.key.columns": r"public\.t:m"})
    assert any("events would carry the keys of other rows" in line
               for line in refusals(migration)), refusals(migration)


@through_kafka
def test_an_array_is_no_key_through_debezium(migrate):
    """Issue E, row 21: {1,2} and [0:1]={1,2} have one key on the wire."""
    migration = migrate("CREATE TABLE t (k int[] PRIMARY KEY, v text)")
    migration.prepare()
    words = "public.t.k is part of the key, and the stream cannot carry it exactly"
    assert any(words in line for line in refusals(migration))
    assert_run_refuses(migration, words)
