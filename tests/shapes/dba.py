"""What a DBA does while lockstep runs.  Each act names the tables that it touches."""

import random

from tests.lab.stack import READER, WRITER
from tests.shapes.source import SCHEMAS, Table, quoted
from tests.shapes.writer import Step


def _column(rng, table):
    return quoted(rng.choice(table.values).name)


def _alter(rng, table):
    """Without SET UNLOGGED, which PostgreSQL refuses of every published table."""
    column = _column(rng, table)
    return rng.choice([
        f"ALTER TABLE {table.sql} ADD COLUMN extra int",
        f"ALTER TABLE {table.sql} ADD COLUMN filled int NOT NULL DEFAULT 5",
        f"ALTER TABLE {table.sql} ADD COLUMN made int8 GENERATED ALWAYS AS (7) STORED",
        f"ALTER TABLE {table.sql} DROP COLUMN {column}",
        f"ALTER TABLE {table.sql} RENAME COLUMN {column} TO renamed",
        f"ALTER TABLE {table.sql} ALTER {column} TYPE text USING {column}::text",
        f"ALTER TABLE {table.sql} ALTER {column} SET NOT NULL",
        f"ALTER TABLE {table.sql} ALTER {column} SET DEFAULT NULL",
        f"ALTER TABLE {table.sql} RENAME TO {quoted(table.new_name)}",
        f"ALTER TABLE {table.sql} SET SCHEMA {quoted(SCHEMAS[table.schema == SCHEMAS[0]])}",
        f"ALTER TABLE {table.sql} REPLICA IDENTITY FULL",
        f"ALTER TABLE {table.sql} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table.sql} ADD CHECK ({column} IS NOT NULL) NOT VALID",
        f"ALTER TABLE {table.sql} DISABLE TRIGGER ALL",
        f"ALTER TABLE {table.sql} ALTER {column} SET STORAGE PLAIN",
        f"CREATE INDEX ON {table.sql} ({column})",
        f"CREATE UNIQUE INDEX ON {table.sql} ({column})",
        f"REINDEX TABLE {table.sql}",
        f"ANALYZE {table.sql}",
        f"DROP TABLE {table.sql} CASCADE",
    ])


def _move_keys(_rng, table):
    key = table.key[0]
    if key.kind not in ("int", "bigint") or table.form != "plain":
        return f"ANALYZE {table.sql}"
    name = quoted(key.name)
    return f"ALTER TABLE {table.sql} ALTER {name} TYPE {key.type.sql} USING {name} + 100000"


def _drop_expression(_rng, table):
    """What was computed may say anything from now on."""
    if all(column.name != "twice" for column in table.columns):
        return f"VACUUM FULL {table.sql}"
    return [f"ALTER TABLE {table.sql} ALTER twice DROP EXPRESSION",
            f"UPDATE {table.sql} SET twice = 77"]


def _without_key(rng, table):
    """REPLICA IDENTITY FULL lets the application go on without a key, and write a row twice."""
    if table.form != "plain" or "no key" in table.excuses:
        return f"ANALYZE {table.sql}"
    column = _column(rng, table)
    names = ", ".join(quoted(each.name) for each in [*table.key, *table.values])
    return [f"ALTER TABLE {table.sql} REPLICA IDENTITY FULL",
            f"DO $do$ DECLARE name text; BEGIN FOR name IN SELECT conname FROM pg_constraint "
            f"WHERE conrelid = $t${table.sql}$t$::regclass AND contype IN ($t$p$t$, $t$u$t$) LOOP "
            f"EXECUTE $t$ALTER TABLE {table.sql} DROP CONSTRAINT $t$ || quote_ident(name) "
            "|| $t$ CASCADE$t$; END LOOP; END $do$",
            f"INSERT INTO {table.sql} ({names}) SELECT {names} FROM {table.sql} LIMIT 2",
            f"UPDATE {table.sql} SET {column} = {column}"]


def _replace(_rng, table):
    """As a tool that rewrites tables does: another one takes the name."""
    if table.form != "plain":
        return f"ANALYZE {table.sql}"
    new = f"{quoted(table.schema)}.{quoted('new one')}"
    return [f"CREATE TABLE {new} (LIKE {table.sql} INCLUDING ALL)",
            f"ALTER TABLE {table.sql} RENAME TO {quoted(table.new_name)}",
            f"ALTER TABLE {new} RENAME TO {quoted(table.name)}"]


def _partition(rng, table):
    if not table.leaves:
        return f"ANALYZE {table.sql}"
    leaf = rng.choice(table.leaves)
    late = f"{quoted(table.schema)}.{quoted(f'late leaf {table.number}')}"
    value, key = table.key[0].type.literal(3000), quoted(table.key[0].name)
    return rng.choice([
        f"VACUUM FULL {leaf}", f"TRUNCATE {leaf}", f"DROP TABLE {leaf}",
        f"ALTER TABLE {leaf} REPLICA IDENTITY FULL",
        f"ALTER TABLE {table.sql} DETACH PARTITION {leaf}",
        f"CREATE TABLE {late} PARTITION OF {table.sql} FOR VALUES IN ({value})",
        [f"CREATE TABLE {late} (LIKE {table.sql} INCLUDING ALL)",
         f"INSERT INTO {late} ({key}) VALUES ({value})",
         f"ALTER TABLE {table.sql} ATTACH PARTITION {late} FOR VALUES IN ({value})"]])


_OF_TABLES = ([_alter] * 6
              + [_move_keys, _move_keys, _partition, _partition, _drop_expression, _without_key,
                 _replace])

_TYPES = [
    "ALTER TYPE public.mood RENAME VALUE 'ok' TO 'fine'", "ALTER TYPE public.mood ADD VALUE 'new'",
    "ALTER TYPE public.mood ADD VALUE 'first' BEFORE 'sad'",
    "ALTER TYPE public.pair ADD ATTRIBUTE d int CASCADE", "ALTER TYPE public.pair DROP ATTRIBUTE c",
    "ALTER TYPE public.pair RENAME ATTRIBUTE b TO e", "ALTER TYPE public.pair RENAME TO couple",
    "ALTER DOMAIN public.whole ADD CHECK (value <> 12345)",
    "ALTER DOMAIN public.label RENAME TO tag",
]


def _of_a_type(rng):
    return Step([], [rng.choice(_TYPES)], "dba", breaks=True)


def _late_child(rng, tables):
    """A table comes, and becomes the child of a moved one."""
    plain = [table for table in tables if table.form == "plain" and "no key" not in table.excuses]
    if not plain:
        return []
    table = rng.choice(plain)
    child = Table(60 + table.number, table.schema, f"late child {table.number}", table.columns,
                  "late")
    return [Step([table.number], [
        f"CREATE TABLE {child.sql} (LIKE {table.sql} INCLUDING ALL)",
        f"INSERT INTO {child.sql} SELECT * FROM ONLY {table.sql}",
        f"ALTER TABLE {child.sql} INHERIT {table.sql}"], "dba", makes=[child])]


def _leave_parent(_rng, tables):
    by_number = {table.number: table for table in tables}
    child = by_number.get(50)
    if child is None:
        return []
    parent = by_number[child.parent]
    leave = f"ALTER TABLE {child.sql} NO INHERIT {parent.sql}"
    return [Step([parent.number, child.number], [leave], "dba"),
            Step([parent.number, child.number], [f"ALTER TABLE {child.sql} INHERIT {parent.sql}"],
                 "dba")]


def _grant(rng, tables):
    """Taken away, and given back later."""
    table = rng.choice(tables)
    right, role, where = rng.choice([("SELECT", READER, "source"), ("INSERT", WRITER, "target"),
                                     ("SELECT, UPDATE", WRITER, "target")])
    return [Step([table.number], [f"REVOKE {right} ON {table.sql} FROM {role}"], "dba", role=where),
            Step([table.number], [f"GRANT {right} ON {table.sql} TO {role}"], "dba", role=where)]


def _of_target(rng, tables):
    table = rng.choice(tables)
    column = _column(rng, table)
    return [Step([table.number], [rng.choice([
        f"ALTER TABLE {table.sql} ADD COLUMN here int",
        f"ALTER TABLE {table.sql} ADD COLUMN here int NOT NULL DEFAULT 1",
        f"ALTER TABLE {table.sql} DROP COLUMN {column}",
        f"ALTER TABLE {table.sql} RENAME COLUMN {column} TO renamed",
        f"ALTER TABLE {table.sql} ALTER {column} TYPE text USING {column}::text",
        f"ALTER TABLE {table.sql} RENAME TO {quoted(table.new_name)}",
        f"CREATE UNIQUE INDEX ON {table.sql} ({column})",
        f"CREATE INDEX ON {table.sql} ({column})",
        f"ALTER TABLE {table.sql} ADD CHECK ({column} IS NOT NULL)",
        f"VACUUM FULL {table.sql}",
        "ALTER TYPE public.mood ADD VALUE 'new'",
    ])], "dba", role="target")]


def _of_publication(rng, tables):
    table = rng.choice(tables)
    return [Step([], [rng.choice([
        f"ALTER PUBLICATION {{publication}} DROP TABLE {table.sql}",
        "ALTER PUBLICATION {publication} SET (publish = 'insert')",
        "ALTER PUBLICATION {publication} SET (publish_via_partition_root = false)",
        "DROP PUBLICATION {publication}",
        "SELECT pg_terminate_backend(active_pid), pg_sleep(0.02), "
        "pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = '{slot}'",
    ])], "dba", role="superuser", breaks=True)]


def _of_database(rng, _tables):
    role, statement = rng.choice([
        ("superuser", "ALTER DATABASE {db} SET quote_all_identifiers = on"),
        ("superuser", "ALTER DATABASE {db} SET bytea_output = 'escape'"),
        ("superuser", "ALTER DATABASE {db} SET default_transaction_read_only = on"),
        ("superuser", "ALTER ROLE lockstep_reader IN DATABASE {db} SET statement_timeout = '1ms'"),
        ("target", "ALTER DATABASE {db} SET search_path = ''"),
        ("target", "ALTER ROLE lockstep_writer IN DATABASE {db} "
                   "SET standard_conforming_strings = off"),
    ])
    return [Step([], [statement], "dba", role=role)]


def _kill(rng, _tables):
    role, statement = rng.choice([
        ("superuser", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                      "WHERE datname = '{db}' AND usename = 'lockstep_reader'"),
        ("superuser", "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots "
                      "WHERE slot_name = '{slot}'"),
        ("target", "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                   "WHERE datname = current_database() AND usename = 'lockstep_writer'"),
        ("daemon", "kill -9"), ("daemon", "kill -9"), ("daemon", "SIGTERM"),
        ("server", "source fast"), ("server", "source immediate"), ("server", "target fast"),
        ("server", "target immediate"), ("connector", "kill"), ("connector", "pause"),
    ])
    return [Step([], [statement], "dba", role=role)]


_OTHERS = [_kill] * 6 + [_of_database, _late_child, _late_child, _leave_parent, _grant, _of_target,
                         _of_target, _of_publication]


def acts(seed, tables):
    """At most four acts, as (after how many of the writer's steps in per mille, Step)."""
    rng = random.Random(f"{seed} dba")
    if rng.random() < 0.4:
        return []
    made = []
    for number in range(rng.randint(1, 4)):
        own = random.Random(f"{seed} act {number}")
        place = own.randrange(1000)
        for later, step in enumerate(_act(own, tables)):
            made.append((min(place + 150 * later, 1000), step))
    return made


def _act(rng, tables):
    chance = rng.random()
    if chance < 0.45:
        return rng.choice(_OTHERS)(rng, tables)
    if chance < 0.55:
        return [_of_a_type(rng)]
    table = rng.choice(tables)
    chosen = rng.choice(_OF_TABLES)(rng, table)
    return [Step([table.number], chosen if isinstance(chosen, list) else [chosen], "dba")]
