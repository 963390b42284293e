"""Scan = direct stream = source: the matrix of test_parity, and what only this stream carries.

Debezium's half of the three-way parity is test_parity's own, over the same values.
"""

import pytest

from tests.integration.parity_types import KINDS, Kind
from tests.integration.test_parity import (BY_EVENT, RECORD_DEBTS, changes, rows_before, schema,
                                           told)
from tests.lab.postgres import OWNER

# Values that are read again: their binary form holds OIDs of the source, or may, or the target
# refuses it.
READ_AGAIN = [
    *(kind for kind in KINDS
      if kind.name in ("composite", "nested_composite", "pairs", "tsquery", "floatmultirange")),
    Kind("regclass", "regclass", ("pg_class",)),
    Kind("regtype", "regtype", ("int4", "mood")),
    Kind("nested_array", "nested[]", ('{"(\\"(1,a)\\",{x},2.50)"}',)),
]
MORE = [
    Kind("internal_char", '"char"', ("z", "")),
    Kind("acl", "aclitem", ("postgres=r/postgres",)),
    Kind("vector", "int2vector", ("1 2 3",)),
    Kind("moods", "mood[]", ("{happy,NULL}", "{}")),
    Kind("box_array", "box[]", ("{(3,4),(1,2)}",)),
    Kind("lower_bounds", "text[]", ("[5:6]={a,b}", "[0:0][2:3]={{a,NULL}}")),
]
ALL = [*KINDS, *MORE, *(kind for kind in READ_AGAIN if kind not in KINDS)]

HOSTILE = {"DateStyle": "'SQL, DMY'", "IntervalStyle": "sql_standard", "bytea_output": "escape",
           "extra_float_digits": "-15", "TimeZone": "'Asia/Kathmandu'", "lc_monetary": "'C.UTF-8'",
           "search_path": "nowhere", "default_transaction_isolation": "serializable",
           "row_security": "on", "xmlbinary": "hex", "xmloption": "document"}
# What the application's own session needs to write its literals.
FRIENDLY = ("SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET TimeZone = 'UTC';"
            "SET search_path = public; SET xmloption = content;")


@pytest.mark.parametrize("identity, settings", [("DEFAULT", {}), ("FULL", HOSTILE)],
                         ids=["default", "full_and_hostile"])
def test_every_value_by_every_way(migrate, stack, identity, settings):
    rules = [{"source": f"public.{kind.table}", **kind.rule} for kind in ALL if kind.rule]
    migration = migrate(schema(ALL, identity), stream="direct",
                        tables=[*rules, {"source": "public.*"}])
    migration.source(rows_before(ALL))
    migration.prepare()
    for name, value in settings.items():
        stack.source.execute("postgres", f'ALTER DATABASE "{migration.name}" SET {name} = {value}')
    with migration.running() as lockstep:
        lockstep.await_follow()
        stack.target.execute(migration.name, RECORD_DEBTS)
        for transaction in changes(ALL):
            migration.source(FRIENDLY + transaction)
    for name in settings:
        stack.source.execute("postgres", f'ALTER DATABASE "{migration.name}" RESET {name}')
    migration.finish()
    owed = set(stack.target.execute(migration.name, "SELECT * FROM lab.owed"))
    expected = {(kind.table, first + i) for kind in READ_AGAIN
                for i, value in enumerate(kind.literals()) if value is not None
                for first in BY_EVENT}
    assert owed == expected, (f"\nread again though carried:\n{told(owed - expected, ALL)}"
                              f"\nnot read again:\n{told(expected - owed, ALL)}")


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
