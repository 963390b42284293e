"""Types of columns, and literals for them that mean the same under every setting of a session.

No literal depends on standard_conforming_strings, DateStyle, search_path or a time zone: a
statement of the application has one meaning, whatever the database's defaults are.
"""

from dataclasses import dataclass

PREPARE = """
CREATE EXTENSION citext SCHEMA public;
CREATE EXTENSION hstore SCHEMA public;
CREATE COLLATION public.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE public.pair AS (a int, b text, c int);
CREATE TYPE public.nest AS (one public.pair, many public.mood[]);
CREATE TYPE public.spans AS RANGE (subtype = int8, multirange_type_name = public.spans_many);
CREATE DOMAIN public.whole AS int CHECK (value > -1000000);
CREATE DOMAIN public.label AS varchar(20);
CREATE DOMAIN public.part AS public.pair;
CREATE DOMAIN public.pairs AS public.pair[];
"""


@dataclass(frozen=True)
class Kind:
    """A type.  `literal(i)` differs for different i below 5,000 under the type's own equality."""
    sql: str
    literal: object


# Two of 0..n differ only by case: equal wherever equality ignores it.
def _case(i):
    return f"'{'kK'[i % 2]}{i // 2}'"


KEYS = {
    "int": Kind("int", str),
    "bigint": Kind("bigint", lambda i: f"{i}::int8 * 1000000007"),
    "smallint": Kind("smallint", str),
    "text": Kind("text", _case),
    "text_c": Kind('text COLLATE "C"', _case),
    "varchar": Kind("varchar(20)", _case),
    "bpchar": Kind("char(8)", _case),
    "name": Kind("name", _case),
    "uuid": Kind("uuid", lambda i: f"'00000000-0000-0000-0000-{i:012d}'"),
    "numeric": Kind("numeric", lambda i: f"{i // 2}.{'0' if i % 2 else '5'}{'0' * (i % 3)}"),
    "numeric_2": Kind("numeric(10, 2)", lambda i: f"{i}.25"),
    "date": Kind("date", lambda i: f"make_date(2000 + {i // 300}, 1, 1) + {i % 300}"),
    "time": Kind("time", lambda i: f"make_time({i // 60 % 24}, {i % 60}, {i // 1440}.5)"),
    "timestamp": Kind("timestamp", lambda i: f"make_timestamp(2000 + {i // 20}, 1, {i % 20 + 1}, "
                                             f"0, 0, 0.25)"),
    "timestamptz": Kind("timestamptz", lambda i: f"to_timestamp({i} * 3600.25)"),
    "interval": Kind("interval", lambda i: f"make_interval(hours => {i}, secs => 0.5)"),
    "bytea": Kind("bytea", lambda i: f"decode('{i:04x}', 'hex')"),
    "citext": Kind("public.citext", lambda i: f"'{'kK'[i % 2]}{i}'"),
    "ci": Kind('text COLLATE public.ci', lambda i: f"'{'kK'[i % 2]}{i}'"),
    "domain": Kind("public.whole", str),
    "label": Kind("public.label", _case),
    "float8": Kind("float8", lambda i: f"{i}.25"),
    "float4": Kind("float4", lambda i: f"{i}.5"),
    "inet": Kind("inet", lambda i: f"'10.0.{i // 250}.{i % 250}'"),
    "oid": Kind("oid", str),
    "jsonb": Kind("jsonb", lambda i: f"jsonb_build_array({i}, {i % 3})"),
    "pair": Kind("public.pair", lambda i: f"ROW({i}, 'p{i % 7}', {-i})::public.pair"),
    "part": Kind("public.part", lambda i: f"ROW({i}, NULL, {-i})::public.pair::public.part"),
    "pairs": Kind("public.pair[]", lambda i: f"ARRAY[ROW({i}, 'p', 0)::public.pair]"),
    "int_array": Kind("int[]", lambda i: f"ARRAY[{i}, {i % 3}]"),
    "range": Kind("int4range", lambda i: f"int4range({i}, {i + 5})"),
    "spans": Kind("public.spans", lambda i: f"public.spans({i}, {i + 3})"),
    "timetz": Kind("timetz", lambda i: f"make_time({i % 24}, {i // 24 % 60}, {i // 1440})::timetz"),
}

# The plain ones come more often.
COMMON_KEYS = ["int", "int", "int", "bigint", "text", "uuid"]
# Of a key's other columns; their literals differ below 3 only.
SECOND_KEYS = {
    **{name: KEYS[name] for name in ("int", "text", "domain", "date", "ci", "bpchar", "pair",
                                     "numeric", "timestamptz", "label")},
    "mood": Kind("public.mood", lambda i: ["'sad'", "'ok'", "'happy'"][i % 3]),
    "bool": Kind("bool", lambda i: ["false", "true"][i % 2]),
    "char": Kind('"char"', lambda i: f"'{'aAb'[i % 3]}'"),
    "varbit": Kind("varbit", lambda i: f"{i % 4}::bit(2)::varbit"),
}

# Too long to be stored in the row, and not to be compressed.
_LONG = "(SELECT string_agg(md5(g || 'v{i}'), '') FROM generate_series(1, {n}) g)"

VALUES = {
    "int": Kind("int", lambda i: "NULL" if i % 7 == 0 else str(i % 5)),
    "int8": Kind("int8", lambda i: f"{i} - 2"),
    "text": Kind("text", lambda i: ["NULL", "''", "'a'", "'A'", "' both '", "U&'\\00e9 \\2603'",
                                    "chr(92) || 'N'", f"'v{i}'"][i % 8]),
    "big": Kind("text", lambda i: f"repeat(md5('{i}'), {[1, 400, 3000][i % 3]})"),
    "long": Kind("text", lambda i: _LONG.format(i=i, n=[1, 100, 600][i % 3])),
    "varchar": Kind("varchar(10)", lambda i: f"'v{i % 30}'"),
    "bpchar": Kind("char(5)", lambda i: ["'a'", "'a '", "''", "NULL"][i % 4]),
    "numeric": Kind("numeric", lambda i: ["1.0", "1.00", "NULL", "'NaN'", "-0.000", f"{i}.5",
                                          "'Infinity'"][i % 7]),
    "numeric_2": Kind("numeric(10, 2)", lambda i: f"{i}.10"),
    "money": Kind("money", lambda i: f"({i} - 500)::money"),
    "float8": Kind("float8", lambda i: ["'-0'", "0", "'NaN'", "0.1", "NULL"][i % 5]),
    "float4": Kind("float4", lambda i: ["'-0'", "0.1", "'Infinity'"][i % 3]),
    "bool": Kind("bool", lambda i: ["true", "false", "NULL"][i % 3]),
    "bytea": Kind("bytea", lambda i: f"decode('{i % 256:02x}5c78', 'hex')"),
    "jsonb": Kind("jsonb", lambda i: f"jsonb_build_object('a', {i}, 'b', NULL)"),
    "json": Kind("json", lambda i: f"json_build_array({i}, 'x')"),
    "xml": Kind("xml", lambda i: f"xmlelement(name a, '{i}')"),
    "hstore": Kind("public.hstore", lambda i: f"public.hstore('k', '{i}')"),
    "timestamptz": Kind("timestamptz", lambda i: f"to_timestamp({i} * 86400.000001)"),
    "timestamp": Kind("timestamp", lambda i: [
        "'infinity'", f"make_timestamp({i % 99 + 1}, 1, 1, 0, 0, 0.000001)", "'-infinity'"][i % 3]),
    "date": Kind("date", lambda i: ["'infinity'", "'-infinity'",
                                    f"make_date(2024, 1, {i % 28 + 1})",
                                    f"make_date(-{i % 50 + 1}, 2, 3)"][i % 4]),
    "timetz": Kind("timetz", lambda i: f"make_time({i % 24}, 5, 6)::timetz"),
    "interval": Kind("interval", lambda i: f"make_interval(months => {i % 3}, days => -{i % 40}, "
                                           f"secs => {i}.5)"),
    "mood": Kind("public.mood", lambda i: ["'sad'", "'ok'", "'happy'", "NULL"][i % 4]),
    "moods": Kind("public.mood[]", lambda i: ["ARRAY['sad', NULL]::public.mood[]",
                                              "ARRAY['sad', 'ok']::public.mood[]"][i % 2]),
    "pair": Kind("public.pair", lambda i: f"ROW({i}, 'b', {i + 1})::public.pair"),
    "part": Kind("public.part", lambda i: f"ROW({i}, NULL, 1)::public.pair::public.part"),
    "nest": Kind("public.nest", lambda i: f"ROW(ROW({i}, 'b', 1)::public.pair, "
                                          "ARRAY['ok']::public.mood[])::public.nest"),
    "pairs": Kind("public.pairs", lambda i: f"ARRAY[ROW({i}, 'x', 2)::public.pair]"),
    "spans": Kind("public.spans", lambda i: f"public.spans({i}, {i + 3})"),
    "spans_many": Kind("public.spans_many",
                       lambda i: f"public.spans_many(public.spans({i}, {i + 3}))"),
    "int_array": Kind("int[]", lambda i: ["'{}'::int[]", f"ARRAY[{i}, NULL]",
                                          f"ARRAY[[1, {i}], [3, 4]]"][i % 3]),
    "bounds": Kind("int[]", lambda i: f"('[0:1]={{1,{i}}}')::int[]"),
    "citext": Kind("public.citext", lambda i: ["'Mixed'", "'mIXED'"][i % 2]),
    "inet": Kind("inet", lambda i: f"'10.1.0.{i % 250}/24'"),
    "bit": Kind("bit(3)", lambda i: f"{i % 8}::bit(3)"),
    "varbit": Kind("varbit", lambda i: f"{i % 8}::bit(3)::varbit"),
    "oid": Kind("oid", lambda i: f"{i}"),
    "regclass": Kind("regclass", lambda _i: "'pg_catalog.pg_class'::regclass"),
    "tsvector": Kind("tsvector", lambda i: f"array_to_tsvector(ARRAY['a', 'w{i}'])"),
    "point": Kind("point", lambda i: f"point({i}, 0.1)"),
}

# Kinds that hold composites.
COMPOSED = {"pair", "part", "nest", "pairs"}

# What Debezium's documents say that it does not carry, and README repeats.
NOT_THROUGH_DEBEZIUM = ["bounds"]
# As keys, where `validate` may refuse it.
REFUSED_BY_DEBEZIUM = ["int_array", "pairs", "timetz", "interval", "oid", "float4", "float8",
                       "pair", "part", "range", "spans", "jsonb", "varbit", "char", "name", "numeric"]
