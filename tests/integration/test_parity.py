"""Type parity: every value of every type arrives as it is, whichever way it takes.

Each type has a table and each way has a row per value in it.  Both sides must be equal as text, and
lockstep must have read from the source again exactly the rows whose events 4.9 of the Debezium
document calls doubtful: else `equal` would also hold for one that reads everything twice.
"""

import itertools

import pytest

from tests.integration.conftest import is_long, through_kafka
from tests.integration.parity_types import DDL, KINDS, PLACEHOLDER

pytestmark = through_kafka
FAILURES = "event.converting.failure.handling.mode"
SCHEMAS = ("key.converter.schemas.enable", "value.converter.schemas.enable")

# The first id of each way; the others follow, one per value.
SCANNED, INSERTED, UPDATED, MOVED, REWRITTEN, REPLACED, TOUCHED = range(100, 800, 100)
MOVED_BY = 1000
BY_EVENT = (INSERTED, UPDATED, MOVED + MOVED_BY, REWRITTEN, REPLACED, TOUCHED)


def quoted(value):
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"


def insert(kind, first, values):
    rows = ", ".join(f"({first + i}, {quoted(value)}, 0)" for i, value in enumerate(values))
    return f"INSERT INTO {kind.table} (id, v, n) VALUES {rows};"


def way(first):
    return f"id BETWEEN {first} AND {first + 99}"


def schema(kinds, identity):
    statements = [DDL]
    for kind in kinds:
        statements.append(
            f"CREATE TABLE {kind.table} (id int PRIMARY KEY, v {kind.sql}, n int{kind.more});"
            f"ALTER TABLE {kind.table} REPLICA IDENTITY {identity};")
    return "\n".join(statements)


def rows_before(kinds):
    """What the scan finds; the rows of UPDATED hold their neighbour's value."""
    statements = []
    for kind in kinds:
        values = kind.literals()
        statements += [insert(kind, first, values)
                       for first in (SCANNED, MOVED, REWRITTEN, REPLACED, TOUCHED)]
        statements.append(insert(kind, UPDATED, values[1:] + values[:1]))
    return "\n".join(statements)


def changes(kinds):
    """One event per row and way, as transactions."""
    first, second = [], []
    for kind in kinds:
        values = kind.literals()
        first.append(insert(kind, INSERTED, values))
        first += [f"UPDATE {kind.table} SET v = {quoted(value)} WHERE id = {UPDATED + i};"
                  for i, value in enumerate(values)]
        first += [f"UPDATE {kind.table} SET id = id + {MOVED_BY} WHERE {way(MOVED)};",
                  f"UPDATE {kind.table} SET n = n + 1 WHERE {way(TOUCHED)};",
                  f"DELETE FROM {kind.table} WHERE {way(REWRITTEN)} OR {way(REPLACED)};",
                  insert(kind, REWRITTEN, values)]
        second.append(insert(kind, REPLACED, values))
    return "\n".join(first), "\n".join(second)


# A debt of lockstep's is a row of its table; this remembers those that are settled already, too.
RECORD_DEBTS = """
CREATE SCHEMA lab;
CREATE TABLE lab.owed (source_table text, id int);
CREATE FUNCTION lab.record() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO lab.owed
    VALUES (NEW.source_table, ('x' || right(encode(NEW.key, 'hex'), 8))::bit(32)::int);
  RETURN NULL;
END $$;
CREATE TRIGGER record AFTER INSERT ON lockstep.debt FOR EACH ROW EXECUTE FUNCTION lab.record();
ALTER TABLE lockstep.debt ENABLE ALWAYS TRIGGER record;
"""


def expected_debts(kinds, settings, identity):
    return {(kind.table, first + i) for kind in kinds for i, value in enumerate(kind.literals())
            if not kind.is_carried(value, settings, identity) for first in BY_EVENT}


def told(debts, kinds=KINDS):
    """Debts by table and value, for people."""
    values = {kind.table: kind.literals() for kind in kinds}
    ids = {}
    for table, number in sorted(debts):
        ids.setdefault((table, values[table][number % 100]), []).append(number)
    return "\n".join(f"  {table} {value!r:.60}: {numbers}"
                     for (table, value), numbers in ids.items())


def check_parity(migrate, kinds, identity, settings):
    """Moves every value of `kinds` by every way; returns the connector's settings."""
    rules = [{"source": f"public.{kind.table}", **kind.rule} for kind in kinds if kind.rule]
    migration = migrate(schema(kinds, identity), tables=[*rules, {"source": "public.*"}],
                        source={"debezium": {"settings": settings}})
    migration.stack.broker.create_topics([migration.topic(kind.table) for kind in kinds])
    migration.source(rows_before(kinds))
    migration.prepare()
    config = migration.lockstep.connector_config()["config"]
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.stack.target.execute(migration.name, RECORD_DEBTS)
        for transaction in changes(kinds):
            migration.source(transaction)
    migration.finish()
    owed = set(migration.stack.target.execute(migration.name, "SELECT * FROM lab.owed"))
    expected = expected_debts(kinds, config, identity)
    # A row whose key changed is a debt until the second half of the change comes, which may be later.
    surplus = {(table, number) for table, number in owed - expected if number < MOVED + MOVED_BY}
    assert expected <= owed and not surplus, (f"\nread again though carried:\n{told(surplus)}"
                                              f"\nnot read again:\n{told(expected - owed)}")
    return config


def test_every_value_by_every_way(migrate):
    """As `connector-config` prints it; some of these types make it ask for `warn`."""
    config = check_parity(migrate, KINDS, "DEFAULT", {})
    assert config[FAILURES] == "warn"


def test_every_value_by_every_way_with_schemas(migrate):
    """Under REPLICA IDENTITY FULL, and without what ends a connector, it asks for `fail`."""
    kinds = [kind for kind in KINDS if not kind.fails]
    config = check_parity(migrate, kinds, "FULL", {name: "true" for name in SCHEMAS})
    assert config[FAILURES] == "fail"


# Every other setting that lockstep accepts, and what the events depend on beside them.
CHOICES = {
    "identity": ("DEFAULT", "FULL"),
    FAILURES: ("fail", "warn", "skip"),
    "time.precision.mode": ("adaptive_time_microseconds", "adaptive", "microseconds"),
    "interval.handling.mode": ("string", "numeric"),
    "hstore.handling.mode": ("json", "map"),
    "include.unknown.datatypes": ("true", "false"),
    "unavailable.value.placeholder": ("random", PLACEHOLDER, "hex:2d2d"),
    **{name: ("false", "true") for name in SCHEMAS},
}


def pairwise(choices):
    """Rows of choices in which every pair of two factors' values occurs."""
    left = {frozenset(pair) for one, other in itertools.combinations(choices, 2)
            for pair in itertools.product(((one, v) for v in choices[one]),
                                          ((other, v) for v in choices[other]))}
    while left:
        row = dict(min(left, key=sorted))
        for name in choices:
            if name not in row:
                row[name] = max(choices[name], key=lambda value, name=name: sum(
                    frozenset(((name, value), other)) in left for other in row.items()))
        left -= {frozenset(pair) for pair in itertools.combinations(row.items(), 2)}
        yield {name: row[name] for name in choices}


@pytest.mark.skipif(not is_long(), reason="--long")
@pytest.mark.parametrize("row", pairwise(CHOICES), ids=lambda row: ",".join(row.values()))
def test_every_value_under_other_accepted_settings(migrate, row):
    settings = {name: value for name, value in row.items()
                if name != "identity" and value != "random"}
    kinds = [kind for kind in KINDS if not (kind.fails and row[FAILURES] == "fail")]
    check_parity(migrate, kinds, row["identity"], settings)
