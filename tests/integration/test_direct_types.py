"""Scan = direct stream = source, for every type: the same values come both ways.

Each table is filled before the run, so that a scan brings its rows, and changed while it runs, so
that the stream brings the same values again under other keys.
"""

from tests.lab.postgres import OWNER

TYPES = {
    "bool": "true", "int2": "-32768", "int4": "2147483647", "int8": "-9223372036854775808",
    "oid": "4294967295", "float4": "'-0'", "float8": "'1e-310'", "numeric": "'-00123.4500'",
    "numeric(12,3)": "1.5", "money": "'-1234.56'", "text": "E'tab\\t\\u00e9\\U0001F600'",
    "varchar(9)": "'  x '", "char(5)": "'ab'", '"char"': "'z'", "name": "'a_name'",
    "bytea": r"'\x00ff10'", "uuid": "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
    "json": """'{"b": 1, "a":1.0, "a": null}'""", "jsonb": "'[1.50, 1e400, \"x\"]'",
    "xml": "'<a>é</a>'", "date": "'infinity'", "time(3)": "'24:00:00'",
    "timetz": "'12:00:00.123456+05:30'", "timestamp": "'0044-03-15 12:00 BC'",
    "timestamptz": "'294276-12-31 23:59:59.999999Z'", "interval": "'1 mon -3 days 04:05:06.789'",
    "bit(9)": "B'101010101'", "varbit": "B'101'", "inet": "'10.1.2.3/8'", "cidr": "'10.0.0.0/8'",
    "macaddr": "'08:00:2b:01:02:03'", "macaddr8": "'08:00:2b:01:02:03:04:05'",
    "pg_lsn": "'16/B374D848'", "xid8": "'18446744073709551615'", "point": "'(1.5,-2)'",
    "line": "'{1,2,3}'", "lseg": "'[(1,2),(3,4)]'", "box": "'(3,4),(1,2)'",
    "path": "'[(1,2),(3,4),(5,6)]'", "polygon": "'((1,2),(3,4),(5,6))'", "circle": "'<(1,2),3>'",
    "tsvector": "'a:1A b:2,3'", "tsquery": "'a & !b:*'", "jsonpath": "'$.a[*] ? (@ > 1)'",
    "int4range": "'[1,5)'", "tstzrange": "'[2020-01-01 UTC,infinity)'", "numrange": "'(1.0,2.50]'",
    "int4multirange": "'{[1,3),[7,9)}'", "pg_snapshot": "'10:20:10,14'", "int2vector": "'1 2 3'",
    "regclass": "'pg_class'", "regtype": "'mood'", "aclitem": "'postgres=r/postgres'",
    "int4[]": "'[0:2]={1,NULL,3}'", "int4[][]": "'{{1,2},{3,4}}'", "text[]": "'{a,\"b,\\\"\",NULL}'",
    "money[]": "'{1.50,-2}'", "interval[]": "'{1 day,2 mons}'", "name[]": "'{a,b}'",
    "numeric[]": "'{1.0,1.00,NaN}'", "bytea[]": r"""'{"\\x00","\\xff"}'""", "timetz[]": "'{12:00+02}'",
    "varbit[]": "'{1,01}'", "point[]": "'{\"(1,2)\",\"(3,4)\"}'", "int4range[]": "'{\"[1,2)\"}'",
    "mood": "'sad'", "mood[]": "'{sad,glad}'", "pair": "'(1,\"x,y\",glad)'", "pair[]": "'{\"(1,a,sad)\"}'",
    "nested": "'(\"(1,x,sad)\",\"{1,2}\")'", "label": "'short'", "numbers": "'{1,2,3}'",
    "mood_range": "'[sad,glad]'", "mood_multirange": "'{[sad,sad]}'",
}
PREPARED = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TYPE pair AS (a int, b text, m mood);
CREATE TYPE nested AS (p pair, n int[]);
CREATE DOMAIN label AS varchar(10) CHECK (length(VALUE) > 1);
CREATE DOMAIN numbers AS int[];
CREATE TYPE mood_range AS RANGE (subtype = mood, multirange_type_name = mood_multirange);
"""
HOSTILE = {"DateStyle": "'SQL, DMY'", "IntervalStyle": "sql_standard", "bytea_output": "escape",
           "extra_float_digits": "-15", "TimeZone": "'Asia/Kathmandu'", "lc_monetary": "'C.UTF-8'",
           "search_path": "nowhere", "default_transaction_isolation": "serializable",
           "row_security": "on", "xmlbinary": "hex", "xmloption": "document"}


def schema():
    """A table per type: one that fails would otherwise hide the others."""
    tables = [f"CREATE TABLE t{number} (id int PRIMARY KEY, v {kind});"
              f"INSERT INTO t{number} VALUES (1, {value}), (2, NULL), (5, {value});"
              for number, (kind, value) in enumerate(TYPES.items())]
    return PREPARED + "".join(tables)


def stream_the_same(migration):
    for number, value in enumerate(TYPES.values()):
        migration.source(f"INSERT INTO t{number} VALUES (3, {value}), (4, NULL);"
                         f"UPDATE t{number} SET v = {value} WHERE id = 2;"
                         f"UPDATE t{number} SET id = 6 WHERE id = 5")


def test_every_type_comes_the_same_both_ways(migrate):
    migration = migrate(schema(), stream="direct")
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        stream_the_same(migration)
        migration.await_target(f"SELECT count(*) FROM t{len(TYPES) - 1} WHERE id = 6", 1)
    migration.finish()
    for number, kind in enumerate(TYPES):  # Scan and stream alike, to the bit where there are bits.
        alike = f"SELECT count(DISTINCT v::text) FROM t{number} WHERE id IN (1, 3, 6)"
        assert migration.target(alike) == [(1,)], kind


def test_settings_of_the_source_change_nothing(migrate, stack):
    migration = migrate(schema(), stream="direct")
    migration.prepare()
    for name, value in HOSTILE.items():
        stack.source.execute("postgres", f'ALTER DATABASE "{migration.name}" SET {name} = {value}')
    with migration.running() as lockstep:
        lockstep.await_follow()
        connection = migration.source_connection()
        connection.cursor().execute("RESET ALL; SET search_path = public; SET DateStyle = 'ISO';"
                                    "SET xmloption = content")
        for number, value in enumerate(TYPES.values()):
            connection.cursor().execute(f"INSERT INTO t{number} VALUES (3, {value})")
        connection.close()
        migration.await_target(f"SELECT count(*) FROM t{len(TYPES) - 1} WHERE id = 3", 1)
    for name in HOSTILE:
        stack.source.execute("postgres", f'ALTER DATABASE "{migration.name}" RESET {name}')
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
