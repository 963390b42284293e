"""The Debezium connector as `connector-config` prints it, against the real Kafka Connect."""

import json
import shutil
import subprocess

import pytest

from tests.integration.conftest import through_kafka
from tests.lab.process import LabError, wait_until
from tests.lab.stack import READER

pytestmark = through_kafka

# Each changes the text in which a value reaches the connector, or ends it.
DEFAULTS = ["bytea_output = 'escape'", "intervalstyle = 'sql_standard'", "extra_float_digits = -5",
            "search_path = 'pg_catalog', 'public'", "datestyle = 'German'",
            "timezone = 'Asia/Kolkata'", "lock_timeout = '20ms'"]
ODD = """
CREATE TYPE pair AS (a bytea, b interval);
CREATE TABLE odd (id int PRIMARY KEY, b bytea, i interval, f float8, fs float4[], m money,
                  r regclass, p pair, t timestamptz, d date)
"""
ODD_ROWS = """
INSERT INTO odd SELECT g, 'abcd', '-3 days', 0.1::float8 / 3, ARRAY[0.1::float4 / 3], -1234.56,
    'odd', ROW('x'::bytea, '-1 day'::interval)::pair,
    '2024-02-03 04:05:06+05', '2024-02-03' FROM generate_series(%s) g
"""


def await_failed(migration):
    """Waits until the connector's task has failed."""
    def failed():
        tasks = migration.stack.connect.status(migration.name)["tasks"]
        return tasks and tasks[0]["state"] == "FAILED"

    wait_until(failed, "the task to fail")


def put_connector(migration, **overrides):
    """Gives Connect what connector-config prints, and waits for nothing."""
    printed = migration.lockstep.connector_config()
    password = migration.stack.source.passwords[READER]
    migration.connector = printed["name"]
    migration.stack.connect.request("PUT", f"/connectors/{printed['name']}/config", {
        **printed["config"], "database.password": password, "poll.interval.ms": "20", **overrides})


@pytest.mark.parametrize("whose", ["DATABASE", "ROLE"])
def test_defaults_of_database_and_role_do_not_reach_the_events(migrate, stack, whose):
    """Issue E, row 20."""
    migration = migrate(ODD)
    migration.copy_schema()
    migration.grant()
    migration.publish()
    name = migration.name
    of = f'DATABASE "{name}"' if whose == "DATABASE" else f'ROLE {READER} IN DATABASE "{name}"'
    for setting in DEFAULTS:
        stack.source.execute("postgres", f"ALTER {of} SET {setting}")
    migration.start_connector()
    assert "driver.options" not in migration.lockstep.verb("validate").stdout
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source(ODD_ROWS % "1, 50")
        migration.source("UPDATE odd SET b = 'wxyz', i = '-5 days', f = f * 7 WHERE id <= 20")
        migration.await_target("SELECT count(*) FROM odd WHERE b = 'wxyz'", 20)
    migration.finish()
    migration.stack.connect.delete(name)
    put_connector(migration, **{"driver.options": "-c bytea_output=hex"})
    found = migration.lockstep.verb("validate").stdout
    assert "driver.options is '-c bytea_output=hex'" in found, found
    assert "it lacks intervalstyle=postgres, extra_float_digits=3" in found, found


NAMES = ["Order Items", "trail ", " lead", "tab\t", "new\nline", 'quo"te', "apo'strophe", "back\\",
         "com,ma", "do.t", "${env:PATH}", "(paren", "*star", "p|pe", "select", "T\u00e4ble \u2603",
         "ideo\u3000", "x" * 63, "\U0001f600", "\x01ctl", "per%cent", "Case"]


def quoted(name):
    return '"' + name.replace('"', '""') + '"'


def test_what_is_printed_is_accepted_for_odd_names(migrate):
    """Issue E, row 23: by Connect and by validate, and it covers the tables."""
    migration = migrate("".join(
        f"CREATE TABLE {quoted(name)} (id int PRIMARY KEY, {quoted(name)} text);"
        f"INSERT INTO {quoted(name)} VALUES (1, 'copied');" for name in NAMES))
    migration.prepare()
    done = migration.lockstep.verb("validate")
    assert done.returncode == 0, done.stdout + done.stderr
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("".join(
            f"UPDATE {quoted(name)} SET {quoted(name)} = 'changed';" for name in NAMES))
        for name in NAMES:
            migration.await_target(f"SELECT {quoted(name)} FROM {quoted(name)}", "changed")
    migration.finish()


LIMITS = """
CREATE SCHEMA o;
CREATE TYPE mood AS ENUM ('good');
CREATE TABLE cased (id int PRIMARY KEY, "a b" int, "A B" int);
CREATE TABLE "{name}" (id int PRIMARY KEY);
CREATE DOMAIN day AS date;
CREATE DOMAIN o.day AS int;
CREATE TABLE namesake (id int PRIMARY KEY, d o.day);
CREATE TABLE timed (id int PRIMARY KEY, t timetz, i interval);
CREATE TABLE fine (id int PRIMARY KEY, m mood, ms mood[]);
"""


def test_limits_of_the_connector_are_named(migrate):
    """Issue E, row 24: before anything starts."""
    migration = migrate(LIMITS.replace("{name}", '""quoted""'))
    migration.copy_schema()
    migration.grant()
    migration.publish()
    found = migration.lockstep.verb("validate").stdout
    for words in ['public.cased: its columns "a b" and "A B" differ only by case',
                  'cannot read the name "public"."""quoted""", for its quotation marks',
                  "takes the type of public.namesake.d, o.day, for another one of the same name, "
                  "public.day",
                  "ends for good at a timetz whose offset has seconds: it may stand in "
                  "public.timed.t",
                  "an interval of 2^31 hours or more: it may stand in public.timed.i"]:
        assert words in found, found
    assert "public.fine" not in found and "enum without labels" not in found
    migration.source("CREATE DOMAIN happy AS mood; CREATE TYPE nothing AS ENUM ()")
    assert "public.happy, public.nothing" in migration.lockstep.verb("validate").stdout


@pytest.mark.parametrize("ddl, change, cause", [
    ('CREATE TABLE t (id int PRIMARY KEY, a int, "A" int)', "INSERT INTO t VALUES (1, 2, 3)",
     "differ only by case"),
    ("CREATE TABLE t (id int PRIMARY KEY, a timetz)",
     "INSERT INTO t VALUES (1, '01:02:03+01:02:03')", "could not be parsed"),
    ('CREATE TABLE """t" (id int PRIMARY KEY)', 'INSERT INTO """t" VALUES (1)',
     "Invalid identifier"),
    ('CREATE TABLE "so ""called""" (id int PRIMARY KEY)', 'INSERT INTO "so ""called""" VALUES (1)',
     "Unexpected input"),
    ("CREATE DOMAIN d AS int; CREATE SCHEMA o; CREATE DOMAIN o.d AS timestamp;"
     "CREATE TABLE t (id int PRIMARY KEY, a d, b o.d)",
     "INSERT INTO t VALUES (1, 2, '2024-01-01')", ""),
], ids=["case", "timetz", "quote", "last quote", "namesake"])
def test_each_limit_is_one(migrate, ddl, change, cause):
    """Issue E, row 24: what validate names does end the connector, and the last cause is shown."""
    migration = migrate(ddl)
    migration.copy_schema()
    migration.grant()
    migration.publish()
    put_connector(migration)
    try:  # Some limits end it before it streams.
        wait_until(lambda: migration.slot("active AND confirmed_flush_lsn IS NOT NULL"),
                   "the connector to stream", timeout=10)
    except LabError:
        pass
    migration.source(change)
    await_failed(migration)
    said = migration.lockstep.verb("validate").stdout
    assert ('""' in ddl) == ("for its quotation marks" in said), said
    line = next(line for line in said.splitlines() if "task 0 of connector" in line)
    assert "has FAILED: " in line and cause in line and "Exception occurred" not in line, line
    assert "curl -X POST" in line, line


def test_connector_that_was_started_too_early(migrate):
    """Issue E, row 25: its task has failed and tries no more; run says so, and what to do."""
    migration = migrate("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    migration.copy_schema()
    migration.grant()
    put_connector(migration)
    await_failed(migration)
    migration.publish()
    lockstep = migration.lockstep
    lockstep.start()
    said = wait_until(lambda: next((line for line in lockstep.log_text().splitlines()
                                    if line.startswith("{") and "has FAILED" in line), None),
                      "run to say that the task has failed", alive=lockstep.process)
    said = json.dumps(json.loads(said), ensure_ascii=False)
    assert "Publication autocreation is disabled" in said and "make the publication" in said, said
    command = said[said.index("curl"):].split("'")
    subprocess.run(["curl", "-sf", "-X", "POST", command[1]], check=True)
    lockstep.await_follow()
    assert lockstep.stop() == 0
    migration.finish()


def test_failed_task_is_restarted_when_the_manifest_allows_it(migrate):
    """Issue E, row 25."""
    migration = migrate("CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t VALUES (1)")
    migration.manifest["source"]["debezium"]["connect"]["restart_failed"] = True
    migration.lockstep.write(migration.manifest)
    migration.copy_schema()
    migration.grant()
    put_connector(migration)
    await_failed(migration)
    migration.publish()
    migration.finish()


def test_status_names_a_task_that_fails_while_it_is_followed(migrate):
    """Issue E, row 25."""
    migration = migrate("CREATE TABLE t (id int PRIMARY KEY, a timetz)")
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy to be synced")
        migration.source("INSERT INTO t VALUES (1, '01:02:03+01:02:03')")
        lockstep.await_said("task 0 of connector", "has FAILED", "could not be parsed",
                            "curl -X POST")
        lockstep.await_status(lambda status: not status["synced"], "status not to be synced")


def test_half_of_a_key_change_that_never_comes(migrate):
    """Both halves have one position in the log: a connector that is killed between them goes on
    behind both, and the row under its new key is in no event.  Here a filter takes it away."""
    migration = migrate("CREATE TABLE t (id int PRIMARY KEY, v text);"
                        "INSERT INTO t SELECT g, 'v' || g FROM generate_series(1, 100) g")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.start_connector(**{
            "transforms": "halve", "predicates": "new",
            "transforms.halve.type": "org.apache.kafka.connect.transforms.Filter",
            "transforms.halve.predicate": "new",
            "predicates.new.type": "org.apache.kafka.connect.transforms.predicates.HasHeaderKey",
            "predicates.new.name": "__debezium.oldkey"})
        migration.source("UPDATE t SET id = id + 1000 WHERE id <= 10")
        migration.await_target("SELECT count(*) FROM t WHERE id > 1000", 10)
        migration.await_target("SELECT count(*) FROM t WHERE id <= 10", 0)
        migration.start_connector()
    migration.finish()


@pytest.mark.parametrize("less, says", [
    ({"table.include.list": r"public\.other"}, "table.include.list leaves out public.words"),
    ({"skipped.operations": "d"}, "skipped.operations"),
    ({"errors.tolerance": "all"}, "errors.tolerance")])
def test_a_connector_that_tells_less_for_a_while_proves_nothing(migrate, less, says):
    """Its offsets go on as ever: what it left out meanwhile is found by a comparison afterwards."""
    migration = migrate("""
        CREATE TABLE words (id int PRIMARY KEY, v text);
        CREATE TABLE other (id int PRIMARY KEY);
        INSERT INTO words SELECT g, 'word ' || g FROM generate_series(1, 1000) g""")
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        put_connector(migration, **less)
        lockstep.await_said("it leaves out changes", says)
        migration.source("UPDATE words SET v = 'unheard' WHERE id = 7; DELETE FROM words"
                         " WHERE id > 900; INSERT INTO other VALUES (1)")
        migration.await_target("SELECT count(*) FROM other", 1)
        lockstep.await_said("it leaves out changes", says)
        put_connector(migration)
        lockstep.await_event("a table is healed")
        migration.await_synced("it to be told again")
    migration.finish()


def test_a_gap_is_known_when_the_state_directory_is_lost(migrate):
    """It is marked on the target as soon as it is seen, and no heal ends before it is closed."""
    migration = migrate("""
        CREATE TABLE words (id int PRIMARY KEY, v text);
        CREATE TABLE other (id int PRIMARY KEY);
        INSERT INTO words SELECT g, 'word ' || g FROM generate_series(1, 1000) g""",
                        reconcile={"mode": "off"})
    migration.prepare()
    with migration.running() as lockstep:
        migration.await_synced("the copy")
        put_connector(migration, **{"table.include.list": r"public\.other"})
        lockstep.await_said("it leaves out changes")
        lockstep.await_event("a table is compared, and what differs is read again")
        migration.source("UPDATE words SET v = 'unheard' WHERE id = 7; DELETE FROM words"
                         " WHERE id > 900; INSERT INTO other VALUES (1)")
        migration.await_target("SELECT count(*) FROM other", 1)
    shutil.rmtree(migration.lockstep.state)
    put_connector(migration)
    migration.finish()


def test_a_table_that_left_the_manifest_for_a_while_is_healed(migrate):
    """What connector-config printed meanwhile had the connector leave it out."""
    migration = migrate("""
        CREATE TABLE words (id int PRIMARY KEY, v text);
        CREATE TABLE other (id int PRIMARY KEY);
        INSERT INTO words SELECT g, 'word ' || g FROM generate_series(1, 1000) g""")
    migration.prepare()
    migration.lockstep.run_until_synced()
    everything = migration.manifest["tables"]
    migration.lockstep.write({**migration.manifest, "tables": [
        {"source": "public.words", "skip": True}, *everything]})
    put_connector(migration)
    migration.lockstep.run_until_synced()
    migration.source("UPDATE words SET v = 'unheard' WHERE id = 7; DELETE FROM words WHERE id > 900;"
                     "INSERT INTO other VALUES (1)")
    migration.lockstep.run_until_synced()
    migration.lockstep.write(migration.manifest)
    put_connector(migration)
    migration.finish()
