"""What statements cost as their table grows from nothing, and as more and more tables are active.

A lane prepares a statement when it first needs it, at a time when the table may hold nothing: the
plan must still be right when it holds 400,000 rows.  And what a change costs must not depend on how
many other tables change beside its own.
"""

import time

from tests.lab.migration import Migration
from tests.lab.process import wait_until

ROWS = 400_000
CHANGES = 20_000
TABLES = (10, 200, 2_000)

_GROWING = """
CREATE TABLE growing (tenant int, id int, v int, big text, PRIMARY KEY (tenant, id));
ALTER TABLE growing ALTER big SET STORAGE EXTERNAL;
"""
_GROW = f"""
INSERT INTO growing
SELECT g % 7, g, 0, CASE WHEN g % 10 = 0 THEN repeat('x', 2500) END
  FROM generate_series(1, {ROWS}) g
"""
# Each changes CHANGES rows; what an update leaves alone in `big` its event does not carry.
_KINDS = {
    "deletes": f"DELETE FROM growing WHERE id % 10 = 1 AND id <= 10 * {CHANGES}",
    "partial updates": f"UPDATE growing SET v = 1 WHERE id % 10 = 0 AND id <= 10 * {CHANGES}",
    "deletes and updates mixed": f"""
        WITH deleted AS (DELETE FROM growing WHERE id % 10 = 2 AND id <= 5 * {CHANGES})
        UPDATE growing SET v = 2 WHERE id % 10 = 0 AND id <= 5 * {CHANGES}""",
}

_MAKE_TABLES = """
DO $$ BEGIN FOR n IN 1..{tables} LOOP
  EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v int)', n);
  EXECUTE format('INSERT INTO t%s SELECT g, 0 FROM generate_series(1, 10) g', n);
END LOOP; END $$
"""
_CHANGE_TABLES = """
DO $$ BEGIN FOR n IN 0..{changes} - 1 LOOP
  EXECUTE format('UPDATE t%s SET v = %s WHERE id = %s', 1 + n % {tables}, n, 1 + n / {tables} % 10);
  IF n % 100 = 99 THEN COMMIT; END IF;
END LOOP; END $$
"""


def grown(bench):
    """Deletes and updates of a table whose first statements ran while it was empty."""
    with Migration(bench.stack, "grown", stream="direct") as migration:
        migration.source(_GROWING)
        migration.prepare()
        migration.target("ALTER TABLE growing SET (autovacuum_enabled = off)")
        migration.target("VACUUM ANALYZE growing")
        with migration.running() as lockstep:
            lockstep.await_follow()
            for statement in ("INSERT INTO growing VALUES (0, 0, 0, repeat('x', 2500))",
                              "UPDATE growing SET v = 1", "DELETE FROM growing", _GROW):
                migration.source(statement)
            migration.await_target("SELECT count(*) FROM growing", ROWS, 600)
            for kind, statement in _KINDS.items():
                bench.note(f"grown from 0: {kind}, events/s",
                           CHANGES / _seconds_to_apply(migration, statement, CHANGES))
        migration.finish()


def many_tables(bench):
    """One-row changes, each of another table than the one before."""
    for tables in TABLES:
        with Migration(bench.stack, f"tables{tables}", stream="direct") as migration:
            migration.source(_MAKE_TABLES.format(tables=tables))
            migration.prepare()
            with migration.running() as lockstep:
                lockstep.await_follow(900)
                # Once, so that every table is known.
                change = _CHANGE_TABLES.format(tables=tables, changes=tables)
                _seconds_to_apply(migration, change, tables)
                change = _CHANGE_TABLES.format(tables=tables, changes=CHANGES)
                took = _seconds_to_apply(migration, change, CHANGES)
                bench.note(f"active tables: {tables}, changes/s", CHANGES / took)


def _applied(migration):
    """Events that the run has applied so far, to all tables."""
    return sum(table["events_applied"] for table in migration.lockstep.status()["tables"])


def _seconds_to_apply(migration, statement, changes):
    """From the statement's begin until the target has all of its `changes`."""
    wanted = _applied(migration) + changes
    begun = time.monotonic()
    migration.source(statement)
    wait_until(lambda: _applied(migration) >= wanted, "all to be applied", 900,
               alive=migration.lockstep.process)
    return time.monotonic() - begun
