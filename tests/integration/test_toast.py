"""Unchanged TOAST values: the stream does not carry them, and no row may lose its own.

{row absent, present on the target} x {change before, inside, after the row's chunk} x {REPLICA
IDENTITY DEFAULT, FULL} x the types below.
"""

import signal

import pytest

from tests.integration.conftest import through_kafka

# A value of each type, `{seed}` apart from its neighbours, too large to stay inside its row.
TYPES = {
    "text": "repeat('large ' || {seed} || ' ', 400)",
    "bytea": "convert_to(repeat('bytes ' || {seed} || ' ', 400), 'UTF8')",
    "jsonb": "jsonb_build_object('k', repeat('json ' || {seed} || ' ', 400))",
    "numeric": "(repeat('31415926', 900) || {seed})::numeric",
    "text[]": "ARRAY[repeat('first ' || {seed} || ' ', 300), 'second']",
    "float8[]": "(SELECT array_agg({seed} + i / 8.0::float8) FROM generate_series(1, 500) i)",
}
SMALL = {
    "text": "'small'",
    "bytea": "'small'::bytea",
    "jsonb": "'1'::jsonb",
    "numeric": "1.5",
    "text[]": "ARRAY['small']",
    "float8[]": "ARRAY[0.5]",
}
IDENTITIES = ("DEFAULT", "FULL")
CHUNK = 100
ROWS = 5 * CHUNK
FULL_IMAGE = f"id % 10 = 0 AND id > {CHUNK}"  # These get a full event first: present on the target.


def column_name(kind):
    return f"{kind.rstrip('[]')}{'s' if kind.endswith('[]') else ''}_value"


def table_name(kind, identity):
    return f"{column_name(kind)}_{identity.lower()}"


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


# Inside a chunk: its snapshot is taken, its rows are not on the target yet.

INSIDE_ROWS = 30 * len(TYPES)
# What happens to a row, by id modulo 5; its only large value, by id modulo 6.
UNTOUCHED, PARTIAL, FULL_THEN_PARTIAL, MOVED, DELETED = range(5)
MOVED_BY = 1000
LAST = 5000  # Changed last.


def mixed_table(identity):
    """One table with a column of each type, so that one chunk holds the whole matrix."""
    columns = [f"{column_name(kind)} {kind}" for kind in TYPES]
    storage = [f"ALTER {column_name(kind)} SET STORAGE EXTERNAL" for kind in TYPES]
    # Not NULL: in some of these types an event's NULL may stand for an unchanged value.
    values = [f"CASE WHEN g % {len(TYPES)} = {number} THEN {value.format(seed='g')}"
              f" ELSE {SMALL[kind]} END" for number, (kind, value) in enumerate(TYPES.items())]
    return f"""CREATE TABLE mixed (id int PRIMARY KEY, {', '.join(columns)}, n int NOT NULL);
        ALTER TABLE mixed {', '.join(storage)};
        ALTER TABLE mixed REPLICA IDENTITY {identity};
        INSERT INTO mixed SELECT g, {', '.join(values)}, 0
          FROM generate_series(1, {INSIDE_ROWS}) g"""


def change_mixed_table(migration):
    """Of every type: a partial event alone, a full one before it, a new key, and a delete."""
    for number, (kind, value) in enumerate(TYPES.items()):
        migration.source(f"UPDATE mixed SET {column_name(kind)} = {value.format(seed='(id + 7)')}"
                         f" WHERE id % {len(TYPES)} = {number} AND id % 5 = {FULL_THEN_PARTIAL}")
    migration.source(f"UPDATE mixed SET n = n + 1 WHERE id % 5 IN ({PARTIAL}, {FULL_THEN_PARTIAL})")
    migration.source(f"UPDATE mixed SET id = id + {MOVED_BY} WHERE id % 5 = {MOVED}")
    migration.source(f"DELETE FROM mixed WHERE id % 5 = {DELETED}")
    migration.source(f"INSERT INTO mixed VALUES ({LAST}, {', '.join(SMALL.values())}, 1)")
    migration.await_captured()


def ids_of_the_stream(identity):
    """What the target holds when the stream alone has written: events that carry a whole row."""
    whole = {FULL_THEN_PARTIAL: 0}
    if identity == "FULL":  # The old row is in the log, unchanged values and all.
        whole |= {PARTIAL: 0, MOVED: MOVED_BY}
    ids = {LAST} | {g + whole[g % 5] for g in range(1, INSIDE_ROWS + 1) if g % 5 in whole}
    return sorted(ids)


@pytest.fixture
def one_chunk(migrate):
    """A migration whose table is one chunk; one lane, so that its last change is applied last."""
    def make(identity):
        migration = migrate(mixed_table(identity), backfill={"workers": 1}, target={"lanes": 1})
        migration.prepare()
        return migration

    return make


@pytest.mark.parametrize("identity", IDENTITIES)
def test_unchanged_values_between_snapshot_and_rows_of_their_chunk(one_chunk, stack, identity):
    """The events are applied while the chunk, whose snapshot is older, has not read a row."""
    migration = one_chunk(identity)
    scan = (f"FROM pg_stat_activity WHERE datname = '{migration.name}'"
            " AND application_name LIKE '%scan 0'")
    with migration.running(failpoint="chunk_after_snapshot:1:stop") as lockstep:
        lockstep.process.await_state("T")
        begun = stack.source.value("postgres", f"SELECT xact_start {scan}")
        change_mixed_table(migration)
        gate = migration.source_connection(autocommit=False)
        gate.cursor().execute("LOCK TABLE mixed IN ACCESS EXCLUSIVE MODE")
        lockstep.process.send(signal.SIGCONT)
        migration.await_target(f"SELECT count(*) FROM mixed WHERE id = {LAST}", 1)
        assert stack.source.execute("postgres", "SELECT xact_start, wait_event_type " + scan) == \
            [(begun, "Lock")]
        ids = [one for one, in migration.target("SELECT id FROM mixed ORDER BY id")]
        assert ids == ids_of_the_stream(identity)
        gate.close()
        lockstep.await_follow()
    migration.finish()


@pytest.mark.parametrize("identity", IDENTITIES)
def test_unchanged_values_while_their_chunk_is_not_committed(one_chunk, identity):
    """The events reach a lane while the COPY of their rows waits to be committed."""
    migration = one_chunk(identity)
    gate = migration.hold_copies("mixed", "NEW.id = 10")
    with migration.running() as lockstep:
        migration.await_held_copy()
        change_mixed_table(migration)
        gate.close()
        lockstep.await_follow()
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


@through_kafka
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
