"""Types of columns, and literals for them that mean the same under every setting of a session.

No literal depends on standard_conforming_strings, DateStyle, search_path or a time zone: a
statement of the application has one meaning, whatever the database's defaults are.
"""

from dataclasses import dataclass

PREPARE = """
CREATE EXTENSION citext SCHEMA public;
CREATE COLLATION public.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE TYPE public.mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE public.pair AS (a int, b text, c int);
CREATE TYPE public.spans AS RANGE (subtype = int8, multirange_type_name = public.spans_many);
CREATE DOMAIN public.whole AS int CHECK (value > -1000000);
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
    "varchar": Kind("varchar(20)", _case),
    "bpchar": Kind("char(8)", _case),
    "uuid": Kind("uuid", lambda i: f"'00000000-0000-0000-0000-{i:012d}'"),
    "numeric": Kind("numeric", lambda i: f"{i // 2}.{'0' if i % 2 else '5'}{'0' * (i % 3)}"),
    "numeric_2": Kind("numeric(10, 2)", lambda i: f"{i}.25"),
    "date": Kind("date", lambda i: f"make_date(2000 + {i // 300}, 1, 1) + {i % 300}"),
    "timestamptz": Kind("timestamptz", lambda i: f"to_timestamp({i} * 3600.25)"),
    "bytea": Kind("bytea", lambda i: f"decode('{i:04x}', 'hex')"),
    "citext": Kind("public.citext", lambda i: f"'{'kK'[i % 2]}{i}'"),
    "ci": Kind('text COLLATE public.ci', lambda i: f"'{'kK'[i % 2]}{i}'"),
    "domain": Kind("public.whole", str),
    "float8": Kind("float8", lambda i: f"{i}.25"),
    "inet": Kind("inet", lambda i: f"'10.0.{i // 250}.{i % 250}'"),
    "pair": Kind("public.pair", lambda i: f"ROW({i}, 'p{i % 7}', {-i})::public.pair"),
    "int_array": Kind("int[]", lambda i: f"ARRAY[{i}, {i % 3}]"),
    "range": Kind("int4range", lambda i: f"int4range({i}, {i + 5})"),
    "timetz": Kind("timetz", lambda i: f"make_time({i % 24}, {i // 24 % 60}, {i // 1440})::timetz"),
}

# The plain ones come more often.
COMMON_KEYS = ["int", "int", "int", "bigint", "text", "uuid"]

VALUES = {
    "int": Kind("int", lambda i: "NULL" if i % 7 == 0 else str(i % 5)),
    "int8": Kind("int8", lambda i: f"{i} - 2"),
    "text": Kind("text", lambda i: ["NULL", "''", "'a'", "'A'", "' both '", "U&'\\00e9 \\2603'",
                                    "chr(92) || 'N'", f"'v{i}'"][i % 8]),
    "big": Kind("text", lambda i: f"repeat(md5('{i}'), {[1, 400, 3000][i % 3]})"),
    "varchar": Kind("varchar(10)", lambda i: f"'v{i % 30}'"),
    "numeric": Kind("numeric", lambda i: ["1.0", "1.00", "NULL", "'NaN'", "-0.000", f"{i}.5"][i % 6]),
    "numeric_2": Kind("numeric(10, 2)", lambda i: f"{i}.10"),
    "float8": Kind("float8", lambda i: ["'-0'", "0", "'NaN'", "0.1", "NULL"][i % 5]),
    "float4": Kind("float4", lambda i: ["'-0'", "0.1", "'Infinity'"][i % 3]),
    "bool": Kind("bool", lambda i: ["true", "false", "NULL"][i % 3]),
    "bytea": Kind("bytea", lambda i: f"decode('{i % 256:02x}5c78', 'hex')"),
    "jsonb": Kind("jsonb", lambda i: f"jsonb_build_object('a', {i}, 'b', NULL)"),
    "json": Kind("json", lambda i: f"json_build_array({i}, 'x')"),
    "timestamptz": Kind("timestamptz", lambda i: f"to_timestamp({i} * 86400.000001)"),
    "date": Kind("date", lambda i: ["'infinity'", "'-infinity'", f"make_date(2024, 1, {i % 28 + 1})"]
                 [i % 3]),
    "interval": Kind("interval", lambda i: f"make_interval(months => {i % 3}, days => -{i % 40}, "
                                           f"secs => {i}.5)"),
    "mood": Kind("public.mood", lambda i: ["'sad'", "'ok'", "'happy'", "NULL"][i % 4]),
    "pair": Kind("public.pair", lambda i: f"ROW({i}, 'b', {i + 1})::public.pair"),
    "pairs": Kind("public.pairs", lambda i: f"ARRAY[ROW({i}, 'x', 2)::public.pair]"),
    "spans": Kind("public.spans", lambda i: f"public.spans({i}, {i + 3})"),
    "int_array": Kind("int[]", lambda i: ["'{}'::int[]", f"ARRAY[{i}, NULL]",
                                          f"('[0:1]={{1,{i}}}')::int[]"][i % 3]),
    "citext": Kind("public.citext", lambda i: ["'Mixed'", "'mIXED'"][i % 2]),
    "inet": Kind("inet", lambda i: f"'10.1.0.{i % 250}/24'"),
    "bit": Kind("bit(3)", lambda i: f"{i % 8}::bit(3)"),
    "xid_like": Kind("oid", lambda i: f"{i}"),
}
