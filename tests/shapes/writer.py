"""What the application does: deterministic statements, each meant for the source and its twin.

A step is a list of statements of one transaction, or one statement of its own.  Whether it fails is
decided by the data alone, which both databases share.
"""

import random
from dataclasses import dataclass

from tests.shapes.source import quoted

ROWS = 40  # Keys that the writer moves among.


@dataclass
class Step:
    """`statements` run in one transaction; a COPY's data is its second part.  `tables`: numbers."""
    tables: list
    statements: list
    by: str = "writer"
    end: str = "COMMIT"  # COMMIT | ROLLBACK | PREPARE TRANSACTION
    role: str = "source"  # Whose statement: source | target | daemon | reader | superuser

    def __str__(self):
        text = "; ".join(str(each)[:300] for each in self.statements)
        return f"{self.by} ({self.role}{'' if self.end == 'COMMIT' else ', ' + self.end}): {text}"


def first_rows(seed, table, count=30):
    """The statements that fill a table before lockstep comes."""
    rng = random.Random(f"{seed} rows {table.number}")
    return [_insert(rng, table, i) for i in range(0, count, 2)]


def _row(rng, table, i):
    columns = [*table.key, *table.values]
    literals = [*table.key_of(i), *(column.type.literal(rng.randrange(1000))
                                    for column in table.values)]
    kept = [(column, literal) for column, literal in zip(columns, literals)
            if column.key or rng.random() < 0.9]
    return (", ".join(quoted(column.name) for column, _ in kept),
            ", ".join(literal for _, literal in kept))


def _where(table, i):
    names = ", ".join(quoted(column.name) for column in table.key)
    return f"({names}) = ({', '.join(table.key_of(i))})"


def _typed_where(table, i):
    """With the key's own types, so that an index serves."""
    return " AND ".join(f"{quoted(column.name)} = {literal}"
                        for column, literal in zip(table.key, table.key_of(i)))


def _insert(rng, table, i):
    columns, literals = _row(rng, table, i)
    return f"INSERT INTO {table.sql} ({columns}) VALUES ({literals})"


def _upsert(rng, table, i):
    names = ", ".join(quoted(column.name) for column in table.key)
    column = rng.choice(table.values)
    if table.deferrable:
        return _insert(rng, table, i)
    return (f"{_insert(rng, table, i)} ON CONFLICT ({names}) DO UPDATE "
            f"SET {quoted(column.name)} = excluded.{quoted(column.name)}")


def _update(rng, table, i):
    column = rng.choice(table.values)
    return (f"UPDATE {table.sql} SET {quoted(column.name)} = "
            f"{column.type.literal(rng.randrange(1000))} WHERE {_typed_where(table, i)}")


def _move(rng, table, i):
    """A key change."""
    other = table.key_of(rng.randrange(ROWS))
    sets = ", ".join(f"{quoted(column.name)} = {literal}"
                     for column, literal in zip(table.key, other))
    return f"UPDATE {table.sql} SET {sets} WHERE {_typed_where(table, i)}"


def _delete(_rng, table, i):
    return f"DELETE FROM {table.sql} WHERE {_typed_where(table, i)}"


def _delete_only(_rng, table, i):
    return f"DELETE FROM ONLY {table.sql} WHERE {_typed_where(table, i)}"


def _update_all(rng, table, _i):
    column = rng.choice(table.values)
    return (f"UPDATE {table.sql} SET {quoted(column.name)} = "
            f"{column.type.literal(rng.randrange(1000))}")


def _merge(rng, table, i):
    columns, literals = _row(rng, table, i)
    column = rng.choice(table.values)
    return (f"MERGE INTO {table.sql} t USING (SELECT 1) s ON {_typed_where(table, i)} "
            f"WHEN MATCHED THEN UPDATE SET {quoted(column.name)} = "
            f"{column.type.literal(rng.randrange(1000))} "
            f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({literals})")


def _many(rng, table, _i):
    """A big statement, over keys that nothing else uses."""
    column = table.key[0]
    if column.kind not in ("int", "bigint") or len(table.key) > 1:
        return _update_all(rng, table, 0)
    begin = 10_000 + rng.randrange(10) * 500
    return (f"INSERT INTO {table.sql} ({quoted(column.name)}) "
            f"SELECT g FROM generate_series({begin}, {begin + 499}) g ON CONFLICT DO NOTHING")


_SINGLE = ([_insert] * 5 + [_upsert] * 4 + [_update] * 6 + [_move] * 3 + [_delete] * 3
           + [_delete_only, _update_all, _merge, _many])


def _truncate(rng, table):
    if table.leaves and rng.random() < 0.5:
        return [f"TRUNCATE {rng.choice(table.leaves)}"]
    return [f"TRUNCATE {table.sql}"]


def _swap(rng, table):
    """Two rows exchange their keys by way of a third."""
    one, two, free = rng.randrange(ROWS), rng.randrange(ROWS), 4000 + rng.randrange(100)

    def move(from_, to):
        sets = ", ".join(f"{quoted(column.name)} = {literal}"
                         for column, literal in zip(table.key, table.key_of(to)))
        return f"UPDATE {table.sql} SET {sets} WHERE {_typed_where(table, from_)}"

    return [move(one, free), move(two, one), move(free, two)]


def _savepoint(rng, table):
    return [_update(rng, table, rng.randrange(ROWS)), "SAVEPOINT s",
            _delete(rng, table, rng.randrange(ROWS)), "ROLLBACK TO s",
            _update(rng, table, rng.randrange(ROWS)), "RELEASE s"]


def steps(seed, tables, count):
    """What the writer does.  Each step has a generator of its own."""
    return [_step(random.Random(f"{seed} step {number}"), tables, number)
            for number in range(count)]


def _step(rng, tables, number):
    def single():
        table = rng.choice(tables)
        chosen.add(table.number)
        return rng.choice(_SINGLE)(rng, table, rng.randrange(ROWS))

    chosen = set()
    chance = rng.random()
    if chance < 0.70:
        statements = [single()]
    elif chance < 0.80:
        statements = [single() for _ in range(rng.randint(2, 6))]
    else:
        table = rng.choice(tables)
        chosen.add(table.number)
        shape = rng.choice([_swap, _swap, _savepoint, _savepoint] +
                           ([_truncate] if rng.random() < 0.3 else []))
        statements = shape(rng, table)
    end = "COMMIT"
    if len(statements) > 1 and rng.random() < 0.2:
        end = rng.choice(["ROLLBACK", "PREPARE TRANSACTION"])
    return Step(sorted(chosen), statements, end=end)
