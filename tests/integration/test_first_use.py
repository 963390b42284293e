"""What someone meets who runs lockstep for the first time, and what brings them on (issue E)."""

import os
import signal
import subprocess

import pytest

from tests.integration.conftest import TABLE
from tests.lab.lockstep import _verb, to_yaml
from tests.lab.migration import Migration
from tests.lab.postgres import OWNER
from tests.lab.process import wait_until
from tests.lab.stack import READER, WRITER

CONFIG, PERMISSION, INCOMPLETE, USAGE, IN_USE = 78, 77, 3, 64, 75


def nothing_was_made(migration):
    """No slot, no publication, no bookkeeping, no state directory."""
    made = migration.source("SELECT count(*) FROM pg_publication")[0][0]
    schemas = migration.target("SELECT count(*) FROM pg_namespace WHERE nspname = 'lockstep'")
    return (made, migration.slot("true"), schemas[0][0], migration.lockstep.state.exists()) == (
        0, None, 0, False)


def refused(migration):
    """What a first `run` prints when it refuses to begin."""
    migration.lockstep.start()
    assert migration.lockstep.wait_exit() == CONFIG, migration.lockstep.log_text()
    return migration.lockstep.log_text()


def test_run_refuses_what_validate_refuses(direct):
    """Issue E, row 13: in the same words, before anything is made."""
    migration = direct(TABLE + "CREATE UNLOGGED TABLE sessions (id int PRIMARY KEY);")
    migration.copy_schema()
    migration.grant()
    printed = [line for line in migration.lockstep.verb("validate").stdout.splitlines()
               if ": error: " in line]
    assert any("public.sessions of the source is UNLOGGED" in line for line in printed)
    log = refused(migration)
    assert all(line in log for line in printed), (printed, log)
    assert nothing_was_made(migration)


def test_lists_in_messages_are_cut(direct):
    """Issue E, row 13: 30 tables without a grant are not 30 names in the sentence."""
    tables = "".join(f"CREATE TABLE t{i} (id int PRIMARY KEY);" for i in range(30))
    migration = direct(tables)
    migration.copy_schema()
    migration.grant()
    migration.source(f"REVOKE SELECT ON ALL TABLES IN SCHEMA public FROM {READER}")
    log = refused(migration)
    line = next(line for line in log.splitlines() if "lacks SELECT on" in line)
    sentence, hint = line.split(" (GRANT ")
    assert sentence.endswith("and 20 more of the source"), sentence
    assert hint.count('"public"."t') == 30  # The statement is whole: it is meant to be run.


def test_what_the_server_says_about_names_is_shown(direct, stack):
    """Issue E, row 13: a table that turns UNLOGGED behind the check."""
    migration = direct(TABLE)
    migration.prepare()
    migration.finish()
    stack.source.execute(
        migration.name, "CREATE UNLOGGED TABLE late (id int PRIMARY KEY);"
        f"ALTER TABLE late OWNER TO {READER}; ALTER TABLE t OWNER TO {READER};"
        f"GRANT CREATE ON DATABASE \"{migration.name}\" TO {READER};"
        f"ALTER PUBLICATION {migration.publication} OWNER TO {READER}")
    migration.target(f"CREATE TABLE late (id int PRIMARY KEY); GRANT ALL ON late TO {WRITER}")
    migration.lockstep.start("--until", "synced")
    migration.lockstep.wait_exit()
    log = migration.lockstep.log_text()
    assert "unlogged tables" in log and "(value not shown)" not in log, log[-3000:]


SETTINGS = {
    "default_transaction_isolation": "serializable", "default_transaction_read_only": "on",
    "default_transaction_deferrable": "on", "quote_all_identifiers": "on",
    "DateStyle": "'SQL, DMY'", "IntervalStyle": "sql_standard", "bytea_output": "escape",
    "extra_float_digits": "-15", "TimeZone": "'Asia/Kathmandu'", "search_path": "nowhere",
    "row_security": "on", "statement_timeout": "50", "lock_timeout": "50",
    "idle_in_transaction_session_timeout": "50", "idle_session_timeout": "50",
    "transform_null_equals": "on", "array_nulls": "off", "exit_on_error": "on",
    "gin_fuzzy_search_limit": "1", "xmloption": "document", "client_encoding": "LATIN1",
    "standard_conforming_strings": "off", "backslash_quote": "on", "lc_monetary": "'C'",
}
MANY_TYPES = """
CREATE TYPE mood AS ENUM ('ok', 'so so');
CREATE DOMAIN short AS varchar(8);
CREATE TABLE t (id int PRIMARY KEY, v text, n int, at timestamptz, day date, span interval,
  bytes bytea, half float8, few numeric(8, 2), m mood, s short, list text[], x xml, "Order" int);
INSERT INTO t SELECT g, E'v\\\\' || g, g, '2020-01-02 03:04:05+00', '2021-02-03',
  '-3 days 02:00', '\\x00ff5c'::bytea, 1.0 / 3 + g, g, 'so so', 'a', ARRAY['NULL', NULL, 'b'],
  'a<b/>', g FROM generate_series(1, 2000) g;
"""


@pytest.mark.parametrize("scope", ["database", "role"])
def test_no_default_changes_what_is_carried(direct, stack, scope):
    """Issue E, rows 14 and 41: hostile defaults on both sides, for every session of ours."""
    migration = direct(MANY_TYPES, backfill={"workers": 2, "chunk_rows": 200})
    migration.prepare()
    application, watcher = migration.source_connection(), migration.target_connection()
    for cluster, role in ((stack.source, READER), (stack.target, WRITER)):
        for name, value in SETTINGS.items():
            who = f'ROLE {role} IN DATABASE "{migration.name}"' if scope == "role" else (
                f'DATABASE "{migration.name}"')
            cluster.execute("postgres", f"ALTER {who} SET {name} = {value}")
    assert migration.lockstep.verb("validate", "--deny-warnings").returncode == 0
    with migration.running() as lockstep:
        lockstep.await_follow()
        application.cursor().execute(
            "UPDATE t SET span = '-5 mons 1 day', bytes = '\\x5c41', at = now(),"
            " list = '{NULL,x}', half = half + 0.1 WHERE id < 500; DELETE FROM t WHERE id > 1900")
        rows = watcher.cursor()

        def deleted():
            rows.execute("SELECT count(*) FROM t")
            return rows.fetchone()[0] == 1900

        wait_until(deleted, "the deletes to arrive", alive=lockstep.process)
    for cluster, role in ((stack.source, READER), (stack.target, WRITER)):
        cluster.execute("postgres", f'ALTER DATABASE "{migration.name}" RESET ALL')
        cluster.execute("postgres", f'ALTER ROLE {role} IN DATABASE "{migration.name}" RESET ALL')
    migration.finish()


def reverse_of(migration, name):
    """A migration of the same two databases the other way round."""
    source, target = migration.manifest["source"], migration.manifest["target"]
    back = Migration.__new__(Migration)
    back.__dict__.update(migration.__dict__)
    back.manifest = {
        **migration.manifest, "migration": name, "state_dir": "back",
        "source": {**source, "connect": target["connect"], "slot": name, "publication": name},
        "target": {**target, "connect": source["connect"]}, "existing": "upsert"}
    return back


def test_two_migrations_towards_each_other_are_refused(direct, stack):
    """Issue E, row 12: while one lives, by validate and by run, whichever came first."""
    migration = direct(TABLE)
    migration.prepare()
    manifest = reverse_of(migration, "back").manifest
    file = migration.lockstep.directory / "back.yaml"

    file.write_text(to_yaml(manifest))
    with migration.running() as lockstep:
        lockstep.await_follow()
        for verb in ("validate", "run"):
            done = _verb(verb, file)
            assert done.returncode == CONFIG, done
            assert "two migrations towards each other" in done.stdout + done.stderr, done
            assert f"lockstep {migration.name}" in done.stdout + done.stderr
    # It has ended: nothing speaks of it any more.
    assert "towards each other" not in _verb("validate", file).stdout
    migration.finish()


def test_a_rotated_password_is_picked_up(direct, stack):
    """Issue E, row 28: the file is read anew at each connection; 77 only at a first start."""
    migration = direct(TABLE)
    migration.prepare()
    lockstep = migration.lockstep
    lockstep.secret("target.password", "wrong")
    lockstep.start()
    assert lockstep.wait_exit() == PERMISSION
    lockstep.secret("target.password", stack.target.passwords[WRITER])
    with migration.running():
        lockstep.await_follow()
        old = stack.target.passwords[WRITER]
        try:
            stack.target.execute("postgres", f"ALTER ROLE {WRITER} PASSWORD 'rotated'")
            stack.target.execute("postgres", "SELECT pg_terminate_backend(pid)"
                                 " FROM pg_stat_activity WHERE datname = %s", (migration.name,))
            migration.source("UPDATE t SET n = 1")
            lockstep.await_said("password authentication failed")
            lockstep.secret("target.password", "rotated")
            migration.await_target("SELECT min(n) FROM t", 1)
        finally:
            stack.target.execute("postgres", f"ALTER ROLE {WRITER} PASSWORD %s", (old,))
    # A migration that has begun waits, too, when it starts with a password that is refused.
    lockstep.start("--until", "synced")
    lockstep.await_said("password authentication failed")
    lockstep.secret("target.password", old)
    assert lockstep.wait_exit() == 0
    migration.assert_equal()


def test_a_wait_is_told_once_a_minute(direct):
    """Issue E, row 28: a first start that finds nobody says so again and again."""
    migration = direct(TABLE)
    migration.prepare()
    manifest = {**migration.manifest}
    manifest["source"] = {**manifest["source"],
                          "connect": {**manifest["source"]["connect"], "port": 1}}
    migration.lockstep.write(manifest)
    migration.lockstep.start()
    wait_until(lambda: migration.lockstep.log_text().count('"waiting"') >= 2,
               "a second line about the wait", 100, alive=migration.lockstep.process)
    migration.lockstep.stop()


def test_a_grant_given_back_lets_its_table_go_on(direct):
    """Issue E, row 28: without a restart."""
    migration = direct(TABLE + "CREATE TABLE other (id int PRIMARY KEY);")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.target(f"REVOKE UPDATE, INSERT ON t FROM {WRITER}")
        migration.source("UPDATE t SET n = 1; INSERT INTO other VALUES (1)")
        migration.await_target("SELECT count(*) FROM other", 1)
        lockstep.await_status(is_stopped, "t to stop")
        migration.target(f"GRANT UPDATE, INSERT ON t TO {WRITER}")
        migration.await_target("SELECT min(n) FROM t", 1, timeout=90)
    migration.finish()


def test_an_obstacle_that_is_gone_before_anybody_looked(direct):
    """Issue E, row 28: its table goes on as well, and one whose obstacle lasts is tried once."""
    migration = direct(TABLE + "CREATE TABLE log (id int PRIMARY KEY) PARTITION BY RANGE (id);"
                       "CREATE TABLE low PARTITION OF log FOR VALUES FROM (0) TO (10)",
                       tables=[{"source": "public.t"},
                               {"source": "public.log", "partitions": "stop"}])
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("ALTER TABLE t ADD COLUMN late int")
        migration.target("ALTER TABLE t ADD COLUMN late int")
        migration.source("UPDATE t SET late = 7")
        migration.await_target("SELECT count(*) FROM t WHERE late = 7", 3000)
        migration.await_synced("t to be synced")
        migration.source("ALTER TABLE log DETACH PARTITION low")
        tried = "table public.log: what stopped it may be gone"
        wait_until(lambda: tried in lockstep.log_text(), "it to be tried", 60,
                   alive=lockstep.process)
        migration.source("ALTER TABLE t ADD COLUMN later int")
        migration.target("ALTER TABLE t ADD COLUMN later int")
        migration.source("UPDATE t SET later = 7")
        migration.await_target("SELECT count(*) FROM t WHERE later = 7", 3000)
        assert lockstep.log_text().count(tried) == 1


def test_the_reason_of_a_stopped_table_follows_its_obstacle(direct):
    """Issue E, row 19: within one run, and for who asks when it has ended."""
    migration = direct(TABLE + "CREATE TABLE u (id int PRIMARY KEY)")
    migration.prepare()
    lockstep = migration.lockstep

    def reason():
        return "".join(table["reason"] or "" for table in lockstep.status()["tables"]
                       if table["table"] == "public.t")

    def await_reason(*words, gone="nothing"):
        def is_told():
            told = reason()
            return all(word in told for word in words) and gone not in told

        wait_until(is_told, f"{words} to be the reason", 60, alive=lockstep.process)

    of_v, of_n = "public.t.v is text on the source", "public.t.n is integer on the source"
    with migration.running():
        lockstep.await_follow()
        migration.source("ALTER TABLE t ADD first int; UPDATE t SET first = 1")
        await_reason("first", "it goes on by itself")
        migration.target("ALTER TABLE t ADD first int; ALTER TABLE t ALTER v TYPE int USING 0")
        await_reason(of_v, gone="first")
        assert reason().count(of_v) == 1, reason()
    assert of_v in reason() and "first" not in reason(), reason()
    # Of a table that a start has left alone, too.
    with migration.running():
        await_reason(of_v, "it goes on by itself")
        migration.target("ALTER TABLE t ALTER v TYPE text, ALTER n TYPE boolean USING true")
        await_reason(of_n, gone=of_v)
    assert of_n in reason() and of_v not in reason(), reason()
    migration.target("TRUNCATE t; ALTER TABLE t ALTER n TYPE int USING 0")
    migration.finish()


def is_stopped(status):
    return any(table["state"] == "stopped" for table in status["tables"])


def test_resume_tries_a_table_at_once(direct):
    """Issue E, row 28: `lockstep resume FILE --table T`."""
    migration = direct(TABLE)
    migration.prepare()
    lockstep = migration.lockstep
    assert lockstep.verb("resume", "--table", "public.t").returncode == 69  # Nobody runs.
    with migration.running():
        lockstep.await_follow()
        done = lockstep.verb("resume", "--table", "public.t")
        assert done.returncode == USAGE and "neither paused nor has it stopped" in done.stderr, done
        migration.source("ALTER TABLE t ADD COLUMN late int")
        migration.source("UPDATE t SET late = 7")
        lockstep.await_status(is_stopped, "t to stop")
        migration.target("ALTER TABLE t ADD COLUMN late int")
        assert lockstep.verb("resume", "--table", "public.t").returncode == 0
        migration.await_target("SELECT count(*) FROM t WHERE late = 7", 3000)
    migration.finish()


def test_reset_takes_away_what_a_migration_made(direct):
    """Issue E, row 29: step 8 of README's quick start as a verb; a dry run unless --yes."""
    migration = direct(TABLE)
    migration.prepare()
    lockstep = migration.lockstep
    with migration.running():
        lockstep.await_follow()
        assert lockstep.verb("reset", "--yes").returncode == IN_USE
    dry = lockstep.verb("reset")
    assert dry.returncode == 0 and dry.stdout.count("would ") == 4, dry.stdout
    assert migration.slot("true")
    done = lockstep.verb("reset", "--yes")
    # The publication is its owner's: the statement is printed for whoever may run it.
    assert done.returncode == PERMISSION and "NOT done: drop publication" in done.stdout, done
    migration.source(f"DROP PUBLICATION {migration.publication}")
    assert nothing_was_made(migration)
    assert "nothing of migration" in lockstep.verb("reset", "--yes").stdout
    migration.target("TRUNCATE t")
    migration.publish()
    migration.finish()


def test_a_misspelt_verb_is_named_and_the_version_is_told():
    """Issue E, row 29."""
    done = _verb("vaildate", "shop.yaml")
    assert done.returncode == USAGE and "did you mean validate?" in done.stderr, done
    told = _verb("--version")
    assert told.returncode == 0 and told.stdout.startswith("lockstep "), told


def test_a_secret_that_all_may_read_is_named(direct):
    """Issue E, row 29."""
    migration = direct(TABLE)
    migration.prepare()
    os.chmod(migration.lockstep.directory / "source.password", 0o644)
    printed = migration.lockstep.verb("validate").stdout
    assert "every user of this machine may read" in printed and "chmod 600" in printed, printed


def test_sighup_ends_nothing(direct):
    """Issue E, row 29: it is answered in the log."""
    migration = direct(TABLE)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        lockstep.process.send(signal.SIGHUP)
        wait_until(lambda: "SIGHUP: " in lockstep.log_text(), "the answer", 30,
                   alive=lockstep.process)
        migration.source("UPDATE t SET n = 1")
        migration.await_target("SELECT min(n) FROM t", 1)
    migration.finish()


UNCARRIED = """
CREATE TABLE orders (id int PRIMARY KEY, v text, picture oid);
INSERT INTO orders SELECT g, 'v', lo_create(0) FROM generate_series(1, 200) g;
CREATE TABLE audit (id int PRIMARY KEY);
CREATE SEQUENCE numbers;
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
ANALYZE orders;
"""

# As an extension's script does it with pg_extension_config_dump().
EXTENDED = """
CREATE EXTENSION citext;
CREATE TABLE public.units (name text, builtin bool);
INSERT INTO public.units VALUES ('m', true), ('ell', false);
ALTER EXTENSION citext ADD TABLE public.units;
UPDATE pg_extension SET extconfig = ARRAY['public.units'::regclass],
  extcondition = ARRAY['WHERE NOT builtin'] WHERE extname = 'citext';
"""


def test_validate_ends_with_what_moves_and_what_does_not(direct, stack):
    """Issue E, row 27: in text and as JSON, each kind with what carries it."""
    migration = direct(UNCARRIED, tables=[{"source": "public.*"},
                                          {"source": "public.audit", "skip": True}])
    migration.prepare()
    stack.source.execute(migration.name, EXTENDED)
    for what, setting in (("DATABASE", "shop.secret = 'x'"),
                          (f"ROLE {OWNER} IN DATABASE", "work_mem = '5MB'")):
        stack.source.execute("postgres", f'ALTER {what} "{migration.name}" SET {setting}')
    done = migration.lockstep.verb("validate")
    assert done.returncode == 0, done.stdout
    assert "moves 1 tables, about 200 rows" in done.stdout
    # Issue E, row 11: what our own slot may do to the source.
    assert "no limit for the log that the source keeps for slot" in done.stdout
    assert "left out: public.audit" in done.stdout
    summary = migration.lockstep.answer("validate", "--format", "json")["summary"]
    assert (summary["tables"], summary["left_out"]) == (1, ["public.audit"])
    kinds = {kind["what"]: kind for kind in summary["not_carried"]}
    for what, count, todo in (
            ("values of sequences", 1, "setval()"),
            ("contents of materialized views", 1, "REFRESH MATERIALIZED VIEW"),
            ("large objects", 200, "pg_dump -Fc -a -b"), ("statistics of the planner", 0, "ANALYZE"),
            ("columns of type oid, whose numbers point at large objects of the source", 1,
             "copied as numbers"), ("roles that the target lacks", 1, "pg_dumpall --roles-only"),
            ("settings of the database that the target lacks", 2, "ALTER DATABASE .. SET"),
            ("rows that somebody has put into tables of extensions", 1, "pg_dump -a -t TABLE")):
        assert kinds[what]["count"] == count and todo in kinds[what]["do"], kinds
        assert f"not carried: {what}" in done.stdout
    assert kinds["contents of materialized views"]["names"] == ["public.totals"]
    assert kinds["roles that the target lacks"]["names"] == [READER]
    assert kinds["settings of the database that the target lacks"]["names"] == [
        "shop.secret", f"work_mem of role {OWNER}"], "names, and no values"
    extended = kinds["rows that somebody has put into tables of extensions"]
    assert extended["names"] == ["public.units"]
    # What it says about an extension's rows and about large objects is typed.
    dump = subprocess.run(["pg_dump", "-a", "-t", "public.units"], check=True, capture_output=True,
                          text=True, env=stack.source.client_environment(migration.name)).stdout
    assert "ell\tf" in dump and "m\tt" not in dump, dump
    dump = subprocess.run(["pg_dump", "-Fc", "-a", "-b", "-T", "*"], check=True,
                          capture_output=True,
                          env=stack.source.client_environment(migration.name, OWNER)).stdout
    subprocess.run(["pg_restore", "-d", migration.name], input=dump, check=True,
                   env=stack.target.client_environment(migration.name, OWNER))
    assert migration.target("SELECT count(*) FROM pg_largeobject_metadata")[0][0] == 200


FUNCTION = """
CREATE FUNCTION inner_name(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE FUNCTION norm(text) RETURNS text LANGUAGE {language} IMMUTABLE AS '{body}';
CREATE INDEX t_norm ON t (norm(v));
"""
BODIES = {"sql": "SELECT inner_name($1)", "plpgsql": "BEGIN RETURN inner_name($1); END"}
CURE = "ALTER FUNCTION public.norm(text) SET search_path = public, pg_temp"


@pytest.mark.parametrize("language", BODIES)
def test_a_function_behind_an_index_of_the_target(direct, language):
    """Issue E, row 42: its table alone stops; function, index and cure are named, and it cures."""
    migration = direct(TABLE + "CREATE TABLE other (id int PRIMARY KEY);")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.target(FUNCTION.format(language=language, body=BODIES[language]))
        migration.source("UPDATE t SET v = v || 'x', n = 1; INSERT INTO other VALUES (1)")
        migration.await_target("SELECT count(*) FROM other", 1)
        lockstep.await_status(lambda status: any(
            "public.t_norm calls function public.norm(text)" in (table["reason"] or "")
            and CURE in table["reason"] for table in status["tables"]), "the cure", 60)
    # A start with it leaves the table alone, too.
    migration.lockstep.start("--until", "synced")
    assert migration.lockstep.wait_exit() == INCOMPLETE
    assert CURE in migration.lockstep.log_text()
    with migration.running() as lockstep:
        lockstep.await_status(is_stopped, "t to be left alone")
        migration.target(CURE)
        migration.await_target("SELECT min(n) FROM t", 1, timeout=60)
    migration.finish()


@pytest.mark.parametrize("language", BODIES)
def test_a_function_behind_an_index_of_the_source(direct, language):
    """Issue E, row 42: named before anything is made, by validate and by run."""
    migration = direct(TABLE + FUNCTION.format(language=language, body=BODIES[language]))
    migration.target(TABLE + "TRUNCATE t")
    migration.grant()
    printed = migration.lockstep.verb("validate").stdout
    for text in (printed, refused(migration)):
        assert "public.t: index public.t_norm calls function public.norm(text)" in text, text
        assert f"({CURE}; as its owner on the source)" in text, text
    migration.source(CURE)
    migration.publish()
    migration.finish()


# What only a statement that writes evaluates, and the language of the function that it calls.
WRITTEN = {
    "check constraint small": ("sql", "ALTER TABLE t ADD CONSTRAINT small CHECK (norm(v) <> '!')"),
    "generated column low": ("plpgsql",
                             "ALTER TABLE t ADD low text GENERATED ALWAYS AS (norm(v)) STORED"),
    "domain public.low": ("plpgsql", "CREATE DOMAIN low AS text CHECK (norm(value) <> '!');"
                                     "ALTER TABLE t ALTER v TYPE low"),
}


@pytest.mark.parametrize("what", WRITTEN)
def test_a_function_that_the_target_calls_to_write_a_row(direct, what):
    """Named before anything is made, while the target is empty; the cure cures."""
    language, statement = WRITTEN[what]
    function = FUNCTION[:FUNCTION.index("CREATE INDEX")]
    function = function.format(language=language, body=BODIES[language])
    migration = direct(TABLE + function + statement)
    migration.copy_schema()
    migration.grant()
    printed = migration.lockstep.verb("validate").stdout
    for text in (printed, refused(migration)):
        assert f"public.t: {what} calls function public.norm(text)" in text, text
        assert f"({CURE}; as its owner on the target)" in text, text
    migration.target(CURE)
    migration.publish()
    migration.finish()
