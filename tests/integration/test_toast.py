"""Unchanged TOAST values: the stream does not carry them, and no row may lose its own.

{row absent, present on the target} x {change before, after the row's chunk} x {REPLICA IDENTITY
DEFAULT, FULL} x the types below.  What happens inside a chunk is the simulator's and test_races'.
"""

import pytest

# A value of each type, `{seed}` apart from its neighbours, too large to stay inside its row.
TYPES = {
    "text": "repeat('large {seed} ', 400)",
    "bytea": "convert_to(repeat('bytes {seed} ', 400), 'UTF8')",
    "jsonb": "jsonb_build_object('k', repeat('json {seed} ', 400))",
    "numeric": "(repeat('31415926', 900) || {seed})::numeric",
    "text[]": "ARRAY[repeat('first {seed} ', 300), 'second']",
    "float8[]": "(SELECT array_agg({seed} + i / 8.0::float8) FROM generate_series(1, 500) i)",
}
IDENTITIES = ("DEFAULT", "FULL")
CHUNK = 100
ROWS = 5 * CHUNK
FULL_IMAGE = f"id % 10 = 0 AND id > {CHUNK}"  # These get a full event first: present on the target.


def table_name(kind, identity):
    return f"{kind.rstrip('[]')}{'s' if kind.endswith('[]') else ''}_{identity.lower()}"


def schema():
    statements = []
    for kind, value in TYPES.items():
        for identity in IDENTITIES:
            name = table_name(kind, identity)
            statements += [
                f"CREATE TABLE {name} (id int PRIMARY KEY, big {kind}, n int NOT NULL)",
                f"ALTER TABLE {name} ALTER big SET STORAGE EXTERNAL",
                f"ALTER TABLE {name} REPLICA IDENTITY {identity}",
                f"INSERT INTO {name} SELECT g, {value.format(seed='g')}, 0"
                f" FROM generate_series(1, {ROWS}) g",
            ]
    return ";\n".join(statements)


def change_every_table(migration):
    """A full event for some rows, then one whose large value is unchanged for every row."""
    for kind, value in TYPES.items():
        for identity in IDENTITIES:
            table = table_name(kind, identity)
            new_value = value.format(seed="(id + 7)")
            migration.source(f"UPDATE {table} SET big = {new_value} WHERE {FULL_IMAGE}")
            migration.source(f"UPDATE {table} SET n = n + 1")


def test_unchanged_values_before_and_after_their_chunk(migrate):
    """Rows absent from the target, rows a full event brought, rows a chunk brought."""
    migration = migrate(schema(), backfill={"workers": 1, "chunk_rows": CHUNK,
                                            "rate_limit_rows_per_second": 4 * CHUNK})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_rows(CHUNK)
        change_every_table(migration)
        lockstep.await_follow()
        change_every_table(migration)
    migration.finish()


@pytest.mark.parametrize("identity", IDENTITIES)
def test_key_changes_take_the_value_along(migrate, identity):
    migration = migrate(f"""
        CREATE TABLE docs (id int PRIMARY KEY, big text, blob bytea, n int);
        ALTER TABLE docs ALTER big SET STORAGE EXTERNAL, ALTER blob SET STORAGE EXTERNAL;
        ALTER TABLE docs REPLICA IDENTITY {identity};
        INSERT INTO docs SELECT g, repeat('large ' || g, 500),
          convert_to(repeat('b' || g, 1500), 'UTF8'), 0 FROM generate_series(1, 400) g""")
    migration.prepare()
    migration.source("UPDATE docs SET id = id + 1000 WHERE id <= 50")
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE docs SET id = id + 2000 WHERE id BETWEEN 100 AND 150")
        migration.source("UPDATE docs SET n = 1 WHERE id > 2000")
        migration.source("UPDATE docs SET id = id - 2000 WHERE id > 2000")
        migration.source("UPDATE docs SET big = NULL WHERE id BETWEEN 200 AND 210")
        migration.source("UPDATE docs SET n = 2 WHERE id BETWEEN 200 AND 210")
    migration.finish()


PLACEHOLDER = "__debezium_unavailable_value"


def test_user_data_that_equals_the_placeholder(migrate):
    """With Debezium's default placeholder nobody can tell; the row is read again."""
    setting = {"unavailable.value.placeholder": PLACEHOLDER}
    migration = migrate(f"""
        CREATE TABLE liars (id int PRIMARY KEY, t text, b bytea, j jsonb, a text[], n int);
        INSERT INTO liars SELECT g, '{PLACEHOLDER}', '{PLACEHOLDER}', '"{PLACEHOLDER}"',
          ARRAY['{PLACEHOLDER}'], 0 FROM generate_series(1, 20) g;
        INSERT INTO liars SELECT g, 'honest', 'honest', '1', '{{}}', 0
          FROM generate_series(21, 40) g""", source={"debezium": {"settings": setting}})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE liars SET n = n + 1")
        migration.source(f"UPDATE liars SET t = '{PLACEHOLDER}', b = '{PLACEHOLDER}',"
                         f" j = '\"{PLACEHOLDER}\"', a = ARRAY['{PLACEHOLDER}'] WHERE id > 30")
        migration.source(f"INSERT INTO liars VALUES (50, '{PLACEHOLDER}', NULL, NULL, NULL, 0)")
        migration.source("UPDATE liars SET t = 'honest again' WHERE id <= 5")
    migration.finish()
