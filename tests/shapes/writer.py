"""What the application does: deterministic statements, each meant for the source and its twin.

A step is a list of statements of one transaction, or one statement of its own.  Whether it fails is
decided by the data alone, which both databases share.
"""

import io
import random
from dataclasses import dataclass, field

from tests.shapes.source import quoted

ROWS = 40  # Keys that the writer moves among.


@dataclass
class Copy:
    """COPY FROM STDIN of what a query gives."""
    table: str
    columns: str
    rows: str

    def run(self, cursor):
        data = io.StringIO()
        cursor.copy_expert(f"COPY ({self.rows}) TO STDOUT", data)
        data.seek(0)
        cursor.copy_expert(f"COPY {self.table} ({self.columns}) FROM STDIN", data)

    def __str__(self):
        return f"COPY {self.table} ({self.columns}) of {self.rows}"


@dataclass
class Step:
    """`statements` (SQL, or a Copy) run in one transaction.  `tables`: numbers."""
    tables: list
    statements: list
    by: str = "writer"
    end: str = "COMMIT"  # COMMIT | ROLLBACK | PREPARE TRANSACTION
    role: str = "source"  # Where: source | superuser (of it) | target | daemon | server | connector
    breaks: bool = False  # Any table may be named afterwards.
    makes: list = field(default_factory=list)  # Tables that come with it.

    def __str__(self):
        text = "; ".join(str(each)[:300] for each in self.statements)
        return f"{self.by} ({self.role}{'' if self.end == 'COMMIT' else ', ' + self.end}): {text}"


def first_rows(seed, table, count=30):
    """The statements that fill a table before lockstep comes."""
    rng = random.Random(f"{seed} rows {table.number}")
    # Neighbours differ by case, scale or trailing blanks, where a key's type knows of such.
    return [_insert(rng, table, i) for i in range(count) if i % 4 < 2]


def _row(rng, table, i):
    columns = [*table.key, *table.values]
    literals = [*table.key_of(i), *(column.type.literal(rng.randrange(1000))
                                    for column in table.values)]
    kept = [(column, literal) for column, literal in zip(columns, literals)
            if column.key or rng.random() < 0.9]
    return (", ".join(quoted(column.name) for column, _ in kept),
            ", ".join(literal for _, literal in kept))


def _where(table, i):
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
            f"{column.type.literal(rng.randrange(1000))} WHERE {_where(table, i)}")


def _move(rng, table, i):
    """A key change."""
    return _move_from(table, i, rng.randrange(ROWS))


def _delete(_rng, table, i):
    return f"DELETE FROM {table.sql} WHERE {_where(table, i)}"


def _delete_only(_rng, table, i):
    return f"DELETE FROM ONLY {table.sql} WHERE {_where(table, i)}"


def _update_all(rng, table, _i):
    column = rng.choice(table.values)
    return (f"UPDATE {table.sql} SET {quoted(column.name)} = "
            f"{column.type.literal(rng.randrange(1000))}")


def _merge(rng, table, i):
    columns, literals = _row(rng, table, i)
    column = rng.choice(table.values)
    return (f"MERGE INTO {table.sql} t USING (SELECT 1) s ON {_where(table, i)} "
            f"WHEN MATCHED THEN UPDATE SET {quoted(column.name)} = "
            f"{column.type.literal(rng.randrange(1000))} "
            f"WHEN NOT MATCHED THEN INSERT ({columns}) VALUES ({literals})")


def _many(rng, table, _i):
    """A big statement, over keys that nothing else uses."""
    if not _counts(table):
        return _update_all(rng, table, 0)
    begin = 10_000 + rng.randrange(10) * 500
    return _insert_range(table, begin, begin + 499)


def _counts(table):
    return len(table.key) == 1 and table.key[0].kind in ("int", "bigint")


def _insert_range(table, begin, end):
    name = quoted(table.key[0].name)
    return (f"INSERT INTO {table.sql} ({name}) SELECT g FROM generate_series({begin}, {end}) g "
            "ON CONFLICT DO NOTHING")


def _copy(rng, table, i):
    rows = [_row(rng, table, (i + more) % (2 * ROWS)) for more in range(rng.randint(1, 4))]
    columns = rows[0][0]
    return Copy(table.sql, columns, " UNION ALL ".join(
        f"SELECT {literals}" for others, literals in rows if others == columns))


def _of_a_leaf(rng, table, i):
    """Straight into a partition, past its root."""
    if not table.leaves:
        return _copy(rng, table, i)
    statement = rng.choice([_insert, _update, _delete])(rng, table, i)
    return statement.replace(table.sql, rng.choice(table.leaves), 1)


_SINGLE = ([_insert] * 5 + [_upsert] * 4 + [_update] * 6 + [_move] * 3 + [_delete] * 3
           + [_copy] * 2 + [_of_a_leaf, _delete_only, _update_all, _merge, _many])


def _truncate(rng, table):
    if table.leaves and rng.random() < 0.5:
        return [f"TRUNCATE {rng.choice(table.leaves)}"]
    if table.leaves:
        return [f"TRUNCATE {table.sql}"]
    return [f"TRUNCATE {rng.choice(['', 'ONLY '])}{table.sql}{rng.choice(['', '', ' CASCADE'])}"]


def _move_from(table, old, new):
    sets = ", ".join(f"{quoted(column.name)} = {literal}"
                     for column, literal in zip(table.key, table.key_of(new)))
    return f"UPDATE {table.sql} SET {sets} WHERE {_where(table, old)}"


def _swap(rng, table):
    """Two rows exchange their keys by way of a third."""
    one, two, free = rng.randrange(ROWS), rng.randrange(ROWS), 4000 + rng.randrange(100)
    return [_move_from(table, one, free), _move_from(table, two, one), _move_from(table, free, two)]


def _chain(rng, table):
    """Each row takes the next one's key; the last leaves the way free."""
    begin = rng.randrange(ROWS)
    return [_move_from(table, i, i + 1) for i in range(begin + rng.randint(1, 5), begin - 1, -1)]


def _again(rng, table):
    """A row goes, and comes with other values; sometimes more than once."""
    i = rng.randrange(ROWS)
    return [step(rng, table, i) for step in [_delete, _insert] * rng.randint(1, 2)]


def _swap_values(rng, table):
    """Two rows exchange what may be unique."""
    chosen = rng.choice(table.values)
    column, free = quoted(chosen.name), chosen.type.literal(rng.randrange(1000))
    one, two = _where(table, rng.randrange(ROWS)), _where(table, rng.randrange(ROWS))
    return ["SET CONSTRAINTS ALL DEFERRED",
            f"UPDATE {table.sql} SET {column} = (SELECT {column} FROM {table.sql} WHERE {one} "
            f"LIMIT 1) WHERE {two}",
            f"UPDATE {table.sql} SET {column} = {free} WHERE {one}"]


def _savepoint(rng, table):
    return [_update(rng, table, rng.randrange(ROWS)), "SAVEPOINT s",
            _delete(rng, table, rng.randrange(ROWS)), _insert(rng, table, rng.randrange(ROWS)),
            "ROLLBACK TO s", _update(rng, table, rng.randrange(ROWS)), "SAVEPOINT s",
            _move(rng, table, rng.randrange(ROWS)), "RELEASE s"]


def _big(rng, table):
    """A transaction that the source's walsender spills."""
    if not _counts(table):
        return _savepoint(rng, table)
    return [_insert_range(table, 100_000, 104_999), _update_all(rng, table, 0),
            f"DELETE FROM {table.sql} WHERE {quoted(table.key[0].name)} BETWEEN 101000 AND 104999"]


_TOGETHER = [_swap, _swap, _savepoint, _savepoint, _chain, _again, _swap_values]


def steps(seed, tables, count):
    """What the writer does.  Each step has a generator of its own."""
    return [_step(random.Random(f"{seed} step {number}"), tables) for number in range(count)]


def _step(rng, tables):
    def single():
        table = rng.choice(tables)
        chosen.add(table.number)
        return rng.choice(_SINGLE)(rng, table, rng.randrange(ROWS))

    chosen = set()
    chance = rng.random()
    if chance < 0.64:
        statements = [single()]
    elif chance < 0.75:
        statements = [single() for _ in range(rng.randint(2, 6))]
    else:
        table = rng.choice(tables)
        chosen.add(table.number)
        shape = rng.choice(_TOGETHER * 2 + [_truncate, _big])
        statements = shape(rng, table)
    end = "COMMIT"
    if len(statements) > 1 and rng.random() < 0.2:
        end = rng.choice(["ROLLBACK", "PREPARE TRANSACTION"])
    return Step(sorted(chosen), statements, end=end)
