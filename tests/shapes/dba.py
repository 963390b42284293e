"""What a DBA does while lockstep runs.  Each act names the tables that it touches."""

import random

from tests.shapes.source import quoted
from tests.shapes.writer import Step


def _column(rng, table):
    return quoted(rng.choice(table.values).name)


def _alter(rng, table):
    column = _column(rng, table)
    return rng.choice([
        f"ALTER TABLE {table.sql} ADD COLUMN extra int",
        f"ALTER TABLE {table.sql} ADD COLUMN filled int NOT NULL DEFAULT 5",
        f"ALTER TABLE {table.sql} DROP COLUMN {column}",
        f"ALTER TABLE {table.sql} RENAME COLUMN {column} TO renamed",
        f"ALTER TABLE {table.sql} ALTER {column} TYPE text USING {column}::text",
        f"ALTER TABLE {table.sql} ALTER {column} SET NOT NULL",
        f"ALTER TABLE {table.sql} RENAME TO {quoted('renamed ' + table.name[:20])}",
        f"ALTER TABLE {table.sql} REPLICA IDENTITY FULL",
        f"ALTER TABLE {table.sql} ALTER {column} SET STORAGE PLAIN",
        f"CREATE INDEX ON {table.sql} ({column})",
        f"ANALYZE {table.sql}",
        f"DROP TABLE {table.sql} CASCADE",
    ])


def _move_keys(_rng, table):
    key = table.key[0]
    if key.kind not in ("int", "bigint") or table.form != "plain":
        return f"ANALYZE {table.sql}"
    name = quoted(key.name)
    return f"ALTER TABLE {table.sql} ALTER {name} TYPE {key.type.sql} USING {name} + 100000"


def _inherit(_rng, table):
    child = f"{quoted(table.schema)}.{quoted(f'late child {table.number}')}"
    if table.form != "plain":
        return f"ANALYZE {table.sql}"
    return [f"CREATE TABLE {child} (LIKE {table.sql} INCLUDING ALL)",
            f"INSERT INTO {child} SELECT * FROM ONLY {table.sql}",
            f"ALTER TABLE {child} INHERIT {table.sql}"]


def _partition(rng, table):
    if not table.leaves:
        return f"ANALYZE {table.sql}"
    leaf = rng.choice(table.leaves)
    return rng.choice([f"VACUUM FULL {leaf}", f"TRUNCATE {leaf}", f"DROP TABLE {leaf}",
                       f"ALTER TABLE {leaf} REPLICA IDENTITY FULL"])


_TYPES = [
    "ALTER TYPE public.mood RENAME VALUE 'ok' TO 'fine'", "ALTER TYPE public.mood ADD VALUE 'new'",
    "ALTER TYPE public.pair ADD ATTRIBUTE d int", "ALTER TYPE public.pair DROP ATTRIBUTE c",
    "ALTER DOMAIN public.whole ADD CHECK (value <> 12345)",
]


def _of_database(rng):
    return rng.choice([
        ("superuser", "ALTER DATABASE {db} SET quote_all_identifiers = on"),
        ("superuser", "ALTER DATABASE {db} SET bytea_output = 'escape'"),
        ("superuser", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                      "WHERE datname = '{db}' AND usename = 'lockstep_reader'"),
        ("target", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                   "WHERE datname = current_database() AND usename = 'lockstep_writer'"),
        ("daemon", "kill -9"), ("daemon", "kill -9"), ("daemon", "SIGTERM"),
    ])


def acts(seed, tables):
    """At most four acts, as (after how many of the writer's steps in per mille, Step)."""
    rng = random.Random(f"{seed} dba")
    if rng.random() < 0.4:
        return []
    made = []
    for number in range(rng.randint(1, 4)):
        own = random.Random(f"{seed} act {number}")
        place = own.randrange(1000)
        chance = own.random()
        if chance < 0.45:
            role, statement = _of_database(own)
            made.append((place, Step([], [statement], "dba", role=role)))
            continue
        if chance < 0.55:
            made.append((place, Step([], [own.choice(_TYPES)], "dba")))
            continue
        table = own.choice(tables)
        chosen = own.choice([_alter, _alter, _alter, _move_keys, _inherit, _partition])(own, table)
        statements = chosen if isinstance(chosen, list) else [chosen]
        if own.random() < 0.2:
            statements = [f"VACUUM FULL {table.sql}"]
        made.append((place, Step([table.number], statements, "dba")))
    return made
