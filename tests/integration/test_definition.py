"""What a table is made of, on both sides: compared by validate, at each start, and while a run goes
on."""

import re

import pytest

from tests.integration.test_quarantine import run as quarantine
from tests.integration.test_shape import await_stop, copied_again

REFUSED = 78
STILL_STOPPED = 3

OF_ONE_NAME = {
    # Values would be swapped without a word.
    "composite": ("CREATE TYPE thing AS (a int, b int)", "CREATE TYPE thing AS (b int, a int)",
                  'attribute 1 of public.thing is "a" integer on the source and "b" integer'),
    "shorter": ("CREATE TYPE thing AS (a int, b int)", "CREATE TYPE thing AS (a int)",
                'attribute 2 of public.thing is "b" integer on the source and absent on the'),
    "range": ("CREATE TYPE thing AS RANGE (subtype = int8)",
              "CREATE TYPE thing AS RANGE (subtype = timestamp)",
              "public.thing is made of bigint on the source and of timestamp without time zone"),
    "nested": ("CREATE TYPE inside AS (a int, b int); CREATE TYPE thing AS (c inside[])",
               "CREATE TYPE inside AS (b int, a int); CREATE TYPE thing AS (c inside[])",
               'attribute 1 of public.inside is "a" integer'),
}


@pytest.mark.parametrize("shape", OF_ONE_NAME)
def test_types_of_one_name_are_compared_by_what_they_are_made_of(migrate, shape):
    """Issue E, row 36."""
    ours, theirs, said = OF_ONE_NAME[shape]
    table = "; CREATE TABLE t (id int PRIMARY KEY, v thing, w thing[])"
    migration = migrate(ours + table, stream="direct")
    migration.target(theirs + table)
    migration.grant()
    migration.publish()
    printed = migration.lockstep.verb("validate")
    assert printed.returncode == REFUSED and said in printed.stdout, printed.stdout
    assert migration.lockstep.start("--until", "synced").wait(60) == REFUSED
    assert said in migration.lockstep.log_text()


EXTENSIONS = {"cube": "(1,2),(3,4)", "hstore": '"a"=>"1"', "citext": "Aa", "ltree": "a.b.c",
              "seg": "1.5 .. 2.5"}


def test_a_type_of_an_extension_is_one_type_wherever_it_is_installed(migrate):
    """Issue E, row 38."""
    made = "".join(f"CREATE EXTENSION {name} SCHEMA {{schema}};" for name in EXTENSIONS)
    # seg has no binary form, so that its arrays cannot be replicated at all.
    arrays = [name for name in EXTENSIONS if name != "seg"]
    columns = ", ".join([*(f"{name}_v {{schema}}.{name}" for name in EXTENSIONS),
                         *(f"{name}_a {{schema}}.{name}[]" for name in arrays)])
    schema = (made + "CREATE TYPE mixed AS (c {schema}.cube, t {schema}.citext);"
              "CREATE TABLE t (id int PRIMARY KEY, n int DEFAULT 0, m mixed, " + columns + ");")
    values = ", ".join([*(f"'{value}'" for value in EXTENSIONS.values()),
                        *(f"ARRAY['{EXTENSIONS[name]}']::{name}[]" for name in arrays)])
    migration = migrate(schema.format(schema="public")
                        + f"INSERT INTO t SELECT g, 0, '(\"(1)\",Bb)', {values}"
                        " FROM generate_series(1, 200) g", stream="direct")
    migration.target("CREATE SCHEMA extensions;" + schema.format(schema="extensions"))
    migration.grant()
    migration.target("GRANT USAGE ON SCHEMA extensions TO PUBLIC")
    migration.publish()
    printed = migration.lockstep.verb("validate")
    assert printed.returncode == 0, printed.stdout
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE t SET cube_v = '(7)', citext_v = 'cC', n = 1 WHERE id <= 20;"
                         f"INSERT INTO t VALUES (1000, 0, '(\"(1)\",Bb)', {values});"
                         "DELETE FROM t WHERE id > 150 AND id < 1000")
        migration.await_target("SELECT count(*) FROM t", 151)
    migration.lockstep.run_until_synced()
    shown = ", ".join([*(f"{name}_v::text" for name in EXTENSIONS),
                       *(f"{name}_a::text" for name in arrays)])
    rows = f"SELECT id, n, m::text, {shown} FROM t ORDER BY id"
    assert migration.target(rows) == migration.source(rows)


def test_messages_say_which_side_is_meant(migrate):
    """Issue E, row 38: both columns have one name."""
    migration = migrate("CREATE TABLE t (id int PRIMARY KEY, v text)", stream="direct")
    migration.target("CREATE TABLE t (id int PRIMARY KEY, v int)")
    migration.grant()
    assert ("public.t.v is text on the source, public.t.v is integer on the target"
            in migration.lockstep.verb("validate").stdout)


def test_no_setting_changes_what_is_compared(migrate):
    """Issue E, row 14: every type would differ from itself by its printed name."""
    migration = migrate("""
        CREATE TYPE "Mood" AS ENUM ('good', 'bad'); CREATE DOMAIN price AS numeric(10,2);
        CREATE TABLE t (id int PRIMARY KEY, m "Mood", ms "Mood"[], p price, n numeric(5,1),
                        v varchar(3), r int4range, x xml);
        INSERT INTO t SELECT g, 'good', '{bad,good}', g, g, 'x', '[1,2)', '<a/>'
        FROM generate_series(1, 90) g""", stream="direct")
    migration.copy_schema()
    migration.grant()
    migration.publish()
    migration.lockstep.run_until_synced()
    for side in (migration.stack.source, migration.stack.target):
        side.execute("postgres", f"ALTER DATABASE {migration.name} SET quote_all_identifiers = on")
    assert migration.lockstep.verb("validate").returncode == 0
    migration.source("UPDATE t SET m = 'bad', p = 1.5 WHERE id < 10")
    migration.finish()
    assert copied_again(migration) == 0


def test_the_reason_of_a_stopped_table_is_todays(migrate):
    """Issue E, row 19: of a daemon that is down, too; the first reason was put right."""
    migration = migrate("CREATE TABLE bystander (id int PRIMARY KEY);"
                        "CREATE TABLE t (id int PRIMARY KEY, v text); INSERT INTO t VALUES (1)",
                        stream="direct")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("ALTER TABLE t ADD first int; INSERT INTO t VALUES (2)")
        assert '"first"' in await_stop(lockstep, "public.t")
    migration.target("ALTER TABLE t ADD first int; ALTER TABLE t ALTER v TYPE int USING v::int")
    def is_todays(status):
        return any("public.t.v is text" in (t["reason"] or "") for t in status["tables"])

    with migration.running() as lockstep:
        lockstep.await_status(is_todays, "the reason to be another")
    entry, = [t for t in migration.lockstep.status()["tables"] if t["table"] == "public.t"]
    assert entry["state"] == "stopped" and "public.t.v is text" in entry["reason"], entry
    assert "first" not in entry["reason"], entry


MOODS = """
CREATE TABLE bystander (id int PRIMARY KEY);
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TYPE pair AS (a int, b int);
CREATE TABLE t (id int PRIMARY KEY, m mood DEFAULT 'good', p pair DEFAULT '(1,2)', n int,
                twice int GENERATED ALWAYS AS (2 * n) STORED);
ALTER TABLE t REPLICA IDENTITY FULL;
INSERT INTO t (id, n) SELECT g, g FROM generate_series(1, 500) g;
"""
# What the DBA does, what is said, and what then makes it right on the target.
ALTERED = {
    "renamed_label": (
        "ALTER TYPE mood RENAME VALUE 'bad' TO 'poor'",
        "label 'bad' of enum public.mood was renamed to 'poor' on the source: "
        "ALTER TYPE public.mood RENAME VALUE 'bad' TO 'poor' on the target",
        "ALTER TYPE mood RENAME VALUE 'bad' TO 'poor'"),
    "dropped_attribute": (
        "ALTER TYPE pair DROP ATTRIBUTE b",
        'attribute "b" of public.pair was dropped on the source: ALTER TYPE public.pair on the',
        "ALTER TYPE pair DROP ATTRIBUTE b"),
    "added_attribute": (
        "ALTER TYPE pair ADD ATTRIBUTE c text",
        'attribute "c" of public.pair was added on the source',
        "ALTER TYPE pair ADD ATTRIBUTE c text"),
    "dropped_expression": (
        "ALTER TABLE t ALTER twice DROP EXPRESSION; UPDATE t SET twice = 0 WHERE id = 2",
        'column "twice" is not generated any more on the source: ALTER TABLE "public"."t" ALTER '
        'COLUMN "twice" DROP EXPRESSION',
        'ALTER TABLE t ALTER twice DROP EXPRESSION'),
    "dropped_key": (
        "ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t (id, n) VALUES (7, 1), (7, 2)",
        'its key "t_pkey" was dropped on the source', None),
}


@pytest.mark.parametrize("what", ALTERED)
def test_what_no_event_tells_is_named_and_the_hint_fits(migrate, what):
    """Issue E, row 35."""
    statement, said, remedy = ALTERED[what]
    migration = migrate(MOODS, stream="direct")
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source(statement)
        reason = await_stop(lockstep, "public.t")
        assert said in reason and "start lockstep again" in reason
        assert not lockstep.status()["synced"]
    assert migration.lockstep.start("--until", "synced").wait(60) == STILL_STOPPED
    if remedy is None:
        migration.source("DELETE FROM t WHERE id = 7; ALTER TABLE t ADD PRIMARY KEY (id)")
    else:
        migration.target(remedy)
    migration.finish()
    assert copied_again(migration) == 1


def test_what_changed_while_lockstep_was_down(migrate):
    """Issue E, row 35: on both sides alike, so that nothing but the stored definition tells."""
    migration = migrate(MOODS, stream="direct")
    migration.prepare()
    migration.lockstep.run_until_synced()
    for side in (migration.source, migration.target):
        side("ALTER TYPE mood ADD VALUE 'new'; ALTER TYPE pair RENAME ATTRIBUTE b TO bb")
    migration.source("UPDATE t SET m = 'new' WHERE id < 5")
    migration.finish()
    assert copied_again(migration) == 0, "harmless"
    migration.source("ALTER TABLE t DROP CONSTRAINT t_pkey; INSERT INTO t (id, n) VALUES (7, 1);"
                     "DELETE FROM t WHERE id = 7; INSERT INTO t (id, n) VALUES (7, 3);"
                     "ALTER TABLE t ADD PRIMARY KEY (id)")
    migration.finish()
    assert copied_again(migration) == 1


def test_what_is_altered_on_the_target_alone(migrate):
    """Issue E, row 35: rows that are there already would change their meaning."""
    migration = migrate(MOODS, stream="direct")
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.target("ALTER TYPE mood RENAME VALUE 'good' TO 'fine'")
        assert ("label 'good' of enum public.mood was renamed to 'fine' on the target"
                in await_stop(lockstep, "public.t"))
    migration.target("ALTER TYPE mood RENAME VALUE 'fine' TO 'good'")
    with migration.running() as lockstep:
        migration.await_synced("the new copy to be synced")
        migration.target("ALTER TABLE t ALTER twice DROP EXPRESSION")
        assert ('column "twice" is not generated any more on the target'
                in await_stop(lockstep, "public.t"))
    migration.target("ALTER TABLE t DROP twice, ADD twice int GENERATED ALWAYS AS (2 * n) STORED")
    migration.finish()


@pytest.mark.parametrize("down", [False, True])
def test_keys_that_a_new_copy_lacks_go(migrate, down):
    """Issue E, row 6: changes that came before, meanwhile and afterwards are kept."""
    migration = migrate("""
        CREATE TABLE t (id int PRIMARY KEY, v text);
        INSERT INTO t SELECT g, 'v' FROM generate_series(1, 3000) g""")
    migration.prepare()
    # One transaction each: together they would deadlock with the writer beside them.
    moves = ["UPDATE t SET v = 'before' WHERE id < 100",
             "ALTER TABLE t ALTER id TYPE int USING id + 1000",
             "UPDATE t SET v = 'after' WHERE id BETWEEN 2000 AND 2100",
             "DELETE FROM t WHERE id > 3900"]
    if down:
        migration.lockstep.run_until_synced()
        for move in moves:
            migration.source(move)
    else:
        with migration.running() as lockstep:
            migration.await_synced("the copy to be synced")
            with migration.in_background(*[f"UPDATE t SET v = v || '{n}' WHERE id % 50 = {n}"
                                           for n in range(50)]):
                for move in moves:
                    migration.source(move)
            lockstep.await_status(lambda _: copied_again(migration) == 1, "it to be noticed")
            migration.await_synced("the new copy to be synced")
            migration.assert_equal()
    migration.finish()
    assert copied_again(migration) == 1


def test_rows_of_others_are_not_taken_for_old_keys(migrate):
    """Issue E, row 6: under `existing: upsert` nobody knows which keys are to go."""
    migration = migrate("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1), (2)",
                        existing="upsert", stream="direct")
    migration.prepare()
    migration.target("INSERT INTO t VALUES (77)")
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source("VACUUM FULL t")
        lockstep.await_status(lambda _: copied_again(migration) == 1, "it to be noticed")
        migration.await_synced("the new copy to be synced")
        migration.source("ALTER TABLE t ALTER id TYPE int USING id + 1000")
        assert "which old keys are to go" in await_stop(lockstep, "public.t")
    assert migration.target("SELECT array_agg(id ORDER BY id) FROM t")[0][0] == [1, 2, 77]


def test_a_moved_table_becomes_a_partition_of_a_moved_one(migrate):
    """Issue E, row 37: the root goes on equal, the leaf is named with its remedy."""
    migration = migrate("""
        CREATE TABLE log (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE log_2020 PARTITION OF log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        CREATE TABLE log_2021 (LIKE log INCLUDING ALL);
        INSERT INTO log SELECT g, '2020-05-05', 'x' FROM generate_series(1, 300) g;
        INSERT INTO log_2021 SELECT g, '2021-05-05', 'x' FROM generate_series(1, 300) g""",
                        stream="direct")
    migration.prepare()
    attach = "ALTER TABLE log ATTACH PARTITION log_2021 FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')"
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.target(attach)
        migration.source(attach)
        migration.source("UPDATE log SET v = 'later' WHERE id < 9; DELETE FROM log WHERE id > 290")
        reason = await_stop(lockstep, "public.log_2021")
        assert "attached to public.log" in reason and "`skip: true` for public.log_2021" in reason
        migration.await_target("SELECT count(*) FROM log", 580)
        assert not lockstep.status()["synced"]
    assert migration.lockstep.start("--until", "synced").wait(60) == STILL_STOPPED
    assert re.search("partition of public.log now.*skip: true", migration.lockstep.log_text())
    migration.lockstep.write({**migration.manifest, "tables": [
        {"source": "public.*"}, {"source": "public.log_2021", "skip": True}]})
    migration.finish()


def test_a_partition_that_is_made_and_filled_at_once_is_not_copied(migrate):
    """Issue E, row 31: all of it is in the stream; what the target lacks is named, and cured there."""
    migration = migrate("""
        CREATE TABLE log (id int, day date, v text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
        CREATE TABLE log_2020 PARTITION OF log FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
        INSERT INTO log SELECT g, '2020-05-05', 'x' FROM generate_series(1, 300) g""",
                        stream="direct")
    migration.prepare()
    made = ("CREATE TABLE log_2021 PARTITION OF log FOR VALUES FROM ('2021-01-01') TO ('2022-01-01')"
            " PARTITION BY RANGE (id);"
            "CREATE TABLE log_2021_a PARTITION OF log_2021 FOR VALUES FROM (0) TO (10000)")
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source(made + "; INSERT INTO log SELECT g, '2021-05-05', 'y'"
                         " FROM generate_series(1, 50) g")
        lockstep.await_status(
            lambda status: status["tables"][0]["quarantined"] == 50, "its rows to be set aside")
        migration.target(made)
        migration.grant()
        quarantine(migration, "retry")
        migration.await_synced("them to be written")
    migration.finish()
    assert copied_again(migration) == 0
