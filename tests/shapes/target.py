"""How the target's tables deviate from the source's: statements for the target's owner.

`harmless` deviations may not even be mentioned; of the others validate may refuse the table, or the
rows are named later, but nothing may be wrong in silence.
"""

import random
from dataclasses import dataclass

from tests.shapes.source import quoted

_SWALLOW = """CREATE OR REPLACE FUNCTION public.swallow() RETURNS trigger LANGUAGE plpgsql
 AS $$ BEGIN RETURN NULL; END $$"""
_RAISE = """CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql
 AS $$ BEGIN RAISE 'not here'; END $$"""


@dataclass
class Deviation:
    """`table` is its number; None: of the whole database.  A harmless one excuses nothing."""
    table: int | None
    statements: list
    harmless: bool = False

    def __str__(self):
        return f"target: {'; '.join(self.statements)}"


def _column_type(rng, table):
    """Another type for one column, its key's included."""
    others = {"text": ['text COLLATE public.ci', "public.citext", "varchar(40)", "char(12)"],
              "varchar": ["text", "varchar(4)", "text COLLATE public.ci"],
              "int": ["int8", "numeric", "text", "float4"], "numeric": ["numeric(10, 1)", "float8"],
              "numeric_2": ["numeric", "numeric(10, 1)", "money"], "float8": ["float4"],
              "timestamptz": ["timestamp", "timestamptz(0)"], "date": ["timestamp"],
              "smallint": ["int", "int8"], "bigint": ["numeric", "float8"], "uuid": ["text"],
              "label": ["text", "public.citext"], "name": ["text"], "text_c": ["text"],
              "interval": ["interval(0)"], "mood": ["text"], "domain": ["int", "int8"],
              "json": ["jsonb"], "jsonb": ["json"], "bpchar": ["text"], "citext": ["text"]}
    able = [column for column in table.columns if column.kind in others and column.writable
            and table.form in ("plain", "parent")]
    if not able:
        return []
    column = rng.choice(able)
    return [f"ALTER TABLE {table.sql} ALTER {quoted(column.name)} DROP DEFAULT",
            f"ALTER TABLE {table.sql} ALTER {quoted(column.name)} "
            f"TYPE {rng.choice(others[column.kind])}"]


def _coarser_key(rng, table):
    """Values of its key are equal here that differ there."""
    column = table.key[0]  # That in which neighbours differ.
    if (column.kind not in ("text", "text_c", "varchar", "label", "name", "bpchar")
            or table.form not in ("plain", "parent")):
        return _column_type(rng, table)
    name = quoted(column.name)
    sql = rng.choice(["text COLLATE public.ci", "public.citext", "varchar(20) COLLATE public.ci"])
    return [f"ALTER TABLE {table.sql} ALTER {name} TYPE {sql}"]


def _column_order(rng, table):
    able = [column for column in table.values if not column.more and column.kind != "int"]
    if not able or table.form != "plain":
        return []
    column = rng.choice(able)
    return [f"ALTER TABLE {table.sql} DROP COLUMN {quoted(column.name)}",
            f"ALTER TABLE {table.sql} ADD COLUMN {column.ddl()}"]


def _more_columns(rng, table):
    more = rng.choice(["DEFAULT 3", "NOT NULL DEFAULT 3", "NOT NULL", ""])
    return [f"ALTER TABLE {table.sql} ADD COLUMN added int {more}"]


def _unique(rng, table):
    able = [column for column in table.values if column.kind in ("int", "text", "mood", "bool")]
    if not able or table.form == "partitioned":
        return []
    return [f"CREATE UNIQUE INDEX ON {table.sql} ({quoted(rng.choice(able).name)})"]


def _check(rng, table):
    able = [column for column in table.values if column.kind in ("int", "int8")]
    if not able:
        return []
    return [f"ALTER TABLE {table.sql} ADD CHECK ({quoted(rng.choice(able).name)} <> 3)"]


def _trigger(rng, table):
    if table.form == "partitioned":
        return []
    function, body = rng.choice([("swallow", _SWALLOW), ("refuse", _RAISE)])
    event = rng.choice(["INSERT", "UPDATE", "DELETE"])
    statements = [body, f"CREATE TRIGGER odd BEFORE {event} ON {table.sql} FOR EACH ROW "
                        f"EXECUTE FUNCTION public.{function}()"]
    if rng.random() < 0.6:
        statements.append(f"ALTER TABLE {table.sql} ENABLE ALWAYS TRIGGER odd")
    return statements


def _rule(rng, table):
    if table.form == "partitioned":
        return []
    return [f"CREATE RULE odd AS ON {rng.choice(['INSERT', 'UPDATE', 'DELETE'])} TO {table.sql} "
            "DO INSTEAD NOTHING"]


def _index(rng, table):
    return [f"CREATE INDEX ON {table.sql} ({quoted(rng.choice(table.columns).name)})"]


def _security(rng, table):
    return [f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY",
            *([f"ALTER TABLE {table.sql} FORCE ROW LEVEL SECURITY"] if rng.random() < 0.5 else [])]


def _exclusion(rng, table):
    able = [column for column in table.values if column.kind in ("int", "int8", "mood", "bool")]
    if not able or table.form == "partitioned":
        return []
    return [f"ALTER TABLE {table.sql} ADD EXCLUDE ({quoted(rng.choice(able).name)} WITH =)"]


def _not_null(rng, table):
    column = quoted(rng.choice(table.values).name)
    return [f"ALTER TABLE {table.sql} ALTER {column} SET NOT NULL"]


_OTHERS = {
    "pair": "AS (c int, b text, a int)", "mood": "AS ENUM ('happy', 'fine', 'sad')",
    "spans": "AS RANGE (subtype = timestamp)",
}


def _other_definition(rng, table):
    """A type of the same name that is made of something else."""
    able = [column for column in table.values if column.kind in _OTHERS]
    if not able or table.form not in ("plain", "parent"):
        return []
    column = rng.choice(able)
    name = quoted(column.name)
    many = ["ALTER TYPE public.spans_many RENAME TO former_many"]
    return [*(many if column.kind == "spans" else []), f"ALTER TYPE public.{column.kind} RENAME TO former",
            f"CREATE TYPE public.{column.kind} {_OTHERS[column.kind]}",
            f"ALTER TABLE {table.sql} ALTER {name} DROP DEFAULT",
            f"ALTER TABLE {table.sql} ALTER {name} TYPE public.{column.kind} USING NULL"]


def _no_leaf(rng, table):
    return [f"DROP TABLE {rng.choice(table.leaves)}"] if table.leaves else []


def _other_tree(_rng, table):
    """Partitioned here, and not there."""
    if table.form != "plain" or not table.key or "no key" in table.excuses:
        return []
    if any("USING INDEX" in each for each in table.ddl):
        return []  # It would have another key there.
    return [f"ALTER TABLE {table.sql} RENAME TO moved_away",
            f"CREATE TABLE {table.sql} (LIKE moved_away INCLUDING DEFAULTS INCLUDING GENERATED, "
            f"PRIMARY KEY ({', '.join(quoted(column.name) for column in table.key)})) "
            f"PARTITION BY HASH ({quoted(table.key[0].name)})",
            f"CREATE TABLE {quoted(table.schema)}.only_here PARTITION OF {table.sql} "
            "FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
            "DROP TABLE moved_away CASCADE"]


def _child(_rng, table):
    if table.form != "plain":
        return []
    return [f"CREATE TABLE {quoted(table.schema)}.child_here () INHERITS ({table.sql})"]


_OF_TABLES = ([_coarser_key] * 3 + [_column_type] * 3 + [_column_order] * 2 + [_other_definition] * 2
              + [_more_columns, _unique, _check, _trigger, _rule, _index, _security, _exclusion,
                 _not_null, _no_leaf, _other_tree, _child])
_HARMLESS = (_column_order, _index, _child, _other_tree)
_OF_TYPES = [
    ["ALTER TYPE public.pair DROP ATTRIBUTE a", "ALTER TYPE public.pair ADD ATTRIBUTE a int"],
    ["ALTER TYPE public.pair ADD ATTRIBUTE d int"],
    ["ALTER TYPE public.mood RENAME VALUE 'ok' TO 'fine'"],
    ["ALTER TYPE public.mood ADD VALUE 'more'"],
    ["ALTER DOMAIN public.whole ADD CHECK (value <> 4)"],
    ["ALTER TYPE public.pair ALTER ATTRIBUTE c TYPE int8"],
    ["ALTER TYPE public.pair RENAME ATTRIBUTE a TO z",
     "ALTER TYPE public.pair RENAME ATTRIBUTE c TO a",
     "ALTER TYPE public.pair RENAME ATTRIBUTE z TO c"],
    ["ALTER TYPE public.mood RENAME VALUE 'ok' TO 'z'",
     "ALTER TYPE public.mood RENAME VALUE 'sad' TO 'ok'", "ALTER TYPE public.mood RENAME VALUE 'z' TO 'sad'"],
    ["ALTER EXTENSION hstore SET SCHEMA \"Strange Schema\""],
]


def deviations(seed, tables):
    rng = random.Random(f"{seed} target")
    made = []
    for table in tables:
        own = random.Random(f"{seed} target {table.number}")
        if own.random() < 0.25:
            deviate = own.choice(_OF_TABLES)
            statements = deviate(own, table)
            if statements:
                made.append(Deviation(table.number, statements, deviate in _HARMLESS))
    if rng.random() < 0.2:
        made.append(Deviation(None, rng.choice(_OF_TYPES)))
    return made
