"""Scan = direct stream = source: the matrix of test_parity, and what only this stream carries.

Debezium's half of the three-way parity is test_parity's own, over the same values.
"""

from contextlib import contextmanager, nullcontext

from tests.integration.parity_types import KINDS, Kind
from tests.integration.test_parity import (BY_EVENT, RECORD_DEBTS, changes, rows_before, schema,
                                           told)
from tests.lab.postgres import OWNER
from tests.lab.stack import READER, WRITER

REFUSED = 78

# Values that are read again: their binary form is an OID of the source, or may hold one, or the
# target refuses it.
READ_AGAIN = [
    *(kind for kind in KINDS if kind.name in ("tsquery", "floatmultirange")),
    Kind("regclass", "regclass", ("pg_class",)),
    Kind("regtype", "regtype", ("int4", "mood")),
]
MORE = [
    # Issue E, row 15: the OIDs in composites are translated.
    Kind("nested_array", "nested[]", ('{"(\\"(1,a)\\",{x},2.50)"}',)),
    Kind("internal_char", '"char"', ("z", "")),
    Kind("acl", "aclitem", ("postgres=r/postgres",)),
    Kind("vector", "int2vector", ("1 2 3",)),
    Kind("moods", "mood[]", ("{happy,NULL}", "{}")),
    Kind("box_array", "box[]", ("{(3,4),(1,2)}",)),
    Kind("lower_bounds", "text[]", ("[5:6]={a,b}", "[0:0][2:3]={{a,NULL}}")),
]
ALL = [*KINDS, *MORE, *(kind for kind in READ_AGAIN if kind not in KINDS)]

# Settings of the databases, and over them those of lockstep's roles.
HOSTILE = {"DateStyle": "'SQL, DMY'", "IntervalStyle": "sql_standard", "bytea_output": "escape",
           "extra_float_digits": "-15", "TimeZone": "'Asia/Kathmandu'", "lc_monetary": "'C.UTF-8'",
           "search_path": "evil, pg_catalog, public", "default_transaction_isolation": "serializable",
           "default_transaction_deferrable": "on", "row_security": "on", "xmlbinary": "hex",
           "xmloption": "document"}
HOSTILE_TO_ROLES = {"DateStyle": "'German'", "TimeZone": "'America/St_Johns'",
                    "IntervalStyle": "iso_8601", "statement_timeout": "'300ms'",
                    "lock_timeout": "'300ms'", "idle_in_transaction_session_timeout": "'300ms'",
                    "idle_session_timeout": "'1s'", "client_encoding": "LATIN1",
                    "standard_conforming_strings": "off"}
# What stands first in the search_path, and lies.
SHADOWS = """
CREATE SCHEMA evil;
GRANT USAGE ON SCHEMA evil TO PUBLIC;
CREATE FUNCTION evil.lie(int, int) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE FUNCTION evil.lie(text, text) RETURNS bool LANGUAGE sql AS 'SELECT false';
CREATE OPERATOR evil.= (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.lie);
CREATE OPERATOR evil.> (LEFTARG = int, RIGHTARG = int, FUNCTION = evil.lie);
CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.lie);
CREATE FUNCTION evil.current_setting(text) RETURNS text LANGUAGE sql AS 'SELECT NULL::text';
CREATE FUNCTION evil.pg_current_snapshot() RETURNS text LANGUAGE sql AS $$SELECT '1:1:'$$;
CREATE FUNCTION evil.pg_current_wal_insert_lsn() RETURNS text LANGUAGE sql AS $$SELECT '0/1'$$;
CREATE FUNCTION evil.pg_relation_filenode(oid) RETURNS oid LANGUAGE sql AS 'SELECT 1::oid';
CREATE VIEW evil.pg_class AS SELECT * FROM pg_catalog.pg_class WHERE false;
CREATE VIEW evil.pg_type AS SELECT oid, typname, typtype FROM pg_catalog.pg_type WHERE false;
CREATE DOMAIN evil.text AS pg_catalog.text CHECK (VALUE = 'no');
"""
# What the application's own session needs to write its literals.
FRIENDLY = ("SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';"
            "SET search_path = public; SET xmloption = content;")


@contextmanager
def hostile(migration):
    """Meanwhile every new session of the application, of lockstep and of its target is misled."""
    stack = migration.stack
    try:
        for cluster, role in ((stack.source, READER), (stack.target, WRITER)):
            cluster.execute(migration.name, SHADOWS)
            for settings, whose in ((HOSTILE, ""), (HOSTILE_TO_ROLES, f"ROLE {role} IN ")):
                for name, value in settings.items():
                    cluster.execute("postgres", f'ALTER {whose}DATABASE "{migration.name}"'
                                                f" SET {name} = {value}")
        yield
    finally:
        for cluster, role in ((stack.source, READER), (stack.target, WRITER)):
            for whose in ("", f"ROLE {role} IN "):
                cluster.execute("postgres", f'ALTER {whose}DATABASE "{migration.name}" RESET ALL')


def check_parity(migrate, identity, surroundings):
    """Moves every value of ALL by every way; meanwhile within `surroundings(migration)`."""
    rules = [{"source": f"public.{kind.table}", **kind.rule} for kind in ALL if kind.rule]
    migration = migrate(schema(ALL, identity), stream="direct",
                        tables=[*rules, {"source": "public.*"}])
    migration.source(rows_before(ALL))
    migration.prepare()
    with surroundings(migration):
        with migration.running() as lockstep:
            lockstep.await_follow()
            migration.stack.target.execute(migration.name, FRIENDLY + RECORD_DEBTS)
            for transaction in changes(ALL):
                migration.source(FRIENDLY + transaction)
    migration.finish()
    owed = set(migration.stack.target.execute(migration.name, "SELECT * FROM lab.owed"))
    expected = {(kind.table, first + i) for kind in READ_AGAIN
                for i, value in enumerate(kind.literals()) if value is not None
                for first in BY_EVENT}
    assert owed == expected, (f"\nread again though carried:\n{told(owed - expected, ALL)}"
                              f"\nnot read again:\n{told(expected - owed, ALL)}")


def test_every_value_by_every_way(migrate):
    check_parity(migrate, "DEFAULT", lambda _: nullcontext())


def test_every_value_among_hostile_settings(migrate):
    check_parity(migrate, "FULL", hostile)


# As superuser: its functions are the server's own.  It has no binary form.
TYPE = """
CREATE TYPE public.own;
CREATE FUNCTION public.own_in(cstring) RETURNS own LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION public.own_out(own) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE public.own (INPUT = own_in, OUTPUT = own_out, LIKE = text);
CREATE TABLE public.t (id int PRIMARY KEY, v own);
"""


def test_a_type_without_a_binary_form(migrate, stack):
    migration = migrate("SELECT 1", stream="direct")
    for cluster in (stack.source, stack.target):
        cluster.execute(migration.name, TYPE)
        cluster.execute(migration.name, f"ALTER TABLE t OWNER TO {OWNER}")
    migration.source("INSERT INTO t VALUES (1, ''), (2, 'caf\u00e9'), (3, NULL), (4, '{\"')")
    migration.grant()
    migration.publish()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("INSERT INTO t SELECT id + 10, v FROM t; UPDATE t SET id = id + 100"
                         " WHERE id < 3")
        migration.await_target("SELECT count(*) FROM t", 8)
    migration.finish()


def test_a_source_in_latin1(migrate, stack):
    migration = migrate("SELECT 1", stream="direct")
    stack.source.drop_database(migration.name)
    stack.source.execute(
        "postgres", f'CREATE DATABASE "{migration.name}" OWNER {OWNER} ENCODING \'LATIN1\''
                    " TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'")
    migration.source("CREATE TABLE t (v text PRIMARY KEY, j jsonb);"
                     "INSERT INTO t VALUES ('caf\u00e9', '\"\u00fc\"')")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("INSERT INTO t VALUES ('na\u00efve', '{\"k\u00f8\": 1}')")
        migration.source("UPDATE t SET v = v || '\u00c5' WHERE v LIKE 'caf%'")
        migration.await_target("SELECT count(*) FROM t", 2)
    migration.lockstep.run_until_synced()
    everything = "SELECT v, j::text FROM t ORDER BY v COLLATE \"C\""
    assert migration.target(everything) == migration.source(everything)


def test_bytes_of_no_encoding_are_refused(migrate, stack):
    """SQL_ASCII: nobody can say what its bytes mean."""
    migration = migrate("SELECT 1", stream="direct")
    stack.source.drop_database(migration.name)
    stack.source.execute("postgres", f'CREATE DATABASE "{migration.name}" OWNER {OWNER}'
                                     " ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C'"
                                     " LC_CTYPE 'C'")
    migration.source("CREATE TABLE t (id int PRIMARY KEY, v text);"
                     "INSERT INTO t VALUES (1, convert_from('\\xe9ff', 'SQL_ASCII'))")
    migration.prepare()
    assert "SQL_ASCII" in migration.lockstep.verb("validate").stdout
    assert migration.lockstep.start().wait() == REFUSED
    assert "SQL_ASCII" in migration.lockstep.log_text()
    assert migration.target("SELECT count(*) FROM t") == [(0,)]


def test_names_of_every_kind(migrate):
    """Quotes, newlines, unicode, 63 bytes, reserved words; in tables, columns and schemas."""
    long_name = "x" * 63
    migration = migrate("""
        CREATE TABLE "quo""te" ("se""lect" int PRIMARY KEY, "new
line" text, "\u00fc\u00f1\U0001F600" text, "table" text);
        CREATE TABLE "select" (id int PRIMARY KEY, "%s" text);
        CREATE TABLE "%s" (id int PRIMARY KEY, "it's" text);
        INSERT INTO "quo""te" VALUES (1, 'a', 'b', 'c');
        INSERT INTO "select" VALUES (1, 'a');
        """ % (long_name, long_name), stream="direct")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source('INSERT INTO "quo""te" VALUES (2, \'d\', \'e\', \'f\');'
                         'UPDATE "select" SET id = 2;'
                         f'INSERT INTO "{long_name}" VALUES (1, \'x\')')
        migration.await_target(f'SELECT count(*) FROM "{long_name}"', 1)
    migration.finish()
