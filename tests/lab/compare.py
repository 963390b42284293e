"""Equality of two databases, sharing no code with lockstep.

Every table is read on both sides in key order by psql, as PostgreSQL's own text form of every
column (generated ones too), and compared line by line.  Text is the strict form: 1.0 is not 1.00,
an array's lower bounds count, and a float prints all its digits.

    python3 -m tests.lab.compare SOURCE_CONNINFO TARGET_CONNINFO
"""

import hashlib
import itertools
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field

_SESSION = """SET client_encoding = 'UTF8'; SET standard_conforming_strings = on;
SET extra_float_digits = 3; SET bytea_output = hex; SET datestyle = 'ISO, MDY';
SET intervalstyle = postgres; SET timezone = 'UTC'; SET lc_monetary = 'C'; SET search_path = '';
SET row_security = off; SET quote_all_identifiers = off;"""

# Tables and partitioned roots; the leaves of a root are read through it.
_TABLES = """
SELECT format('%I.%I', n.nspname, c.relname)
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relpersistence = 'p'
   AND n.nspname NOT LIKE 'pg\\_%' AND n.nspname NOT IN ('information_schema', 'lockstep')
 ORDER BY 1"""

# A line per table.
_COLUMNS = """
SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum)
  FROM unnest({tables}) WITH ORDINALITY AS t (oid, place)
  JOIN pg_attribute ON attrelid = t.oid AND attnum > 0 AND NOT attisdropped
 GROUP BY place ORDER BY place"""

# The primary key, else a unique index whose columns are all NOT NULL, else every column as text.
_ORDERS = """
SELECT coalesce(
  (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY u.place)
     FROM (SELECT indkey FROM pg_index i
            WHERE indrelid = t.oid AND indisunique AND indpred IS NULL AND indexprs IS NULL
              AND NOT EXISTS (SELECT FROM pg_attribute n WHERE n.attrelid = i.indrelid
                                 AND n.attnum = ANY (i.indkey) AND NOT n.attnotnull)
            ORDER BY indisprimary DESC, indexrelid LIMIT 1) k,
          unnest(k.indkey) WITH ORDINALITY AS u (attnum, place)
     JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = u.attnum),
  (SELECT string_agg(quote_ident(attname) || '::text', ', ' ORDER BY attnum) FROM pg_attribute
    WHERE attrelid = t.oid AND attnum > 0 AND NOT attisdropped))
  FROM unnest({tables}) WITH ORDINALITY AS t (oid, place) ORDER BY t.place"""

# A line per table: what is read through a root is read through it alone.
_ONLY = """
SELECT CASE relkind WHEN 'p' THEN '' ELSE 'ONLY ' END
  FROM unnest({tables}) WITH ORDINALITY AS t (oid, place) JOIN pg_class c ON c.oid = t.oid
 ORDER BY place"""

# Ends the rows of one table; no row can be this line, since COPY doubles backslashes.
_END = b"\\.\n"


@dataclass
class Difference:
    """What one table lacks on either side; the first rows of each kind, in text form."""
    table: str
    source_rows: int
    target_rows: int
    only_source: list = field(default_factory=list)
    only_target: list = field(default_factory=list)

    def __str__(self):
        lines = [f"{self.table}: {self.source_rows} rows on the source, "
                 f"{self.target_rows} on the target"]
        lines += [f"  only on the source: {row[:300]}" for row in self.only_source]
        lines += [f"  only on the target: {row[:300]}" for row in self.only_target]
        return "\n".join(lines)


@dataclass
class Comparison:
    """The outcome over all tables."""
    rows: dict
    digests: dict
    differences: list

    @property
    def equal(self):
        return not self.differences

    def __str__(self):
        if self.equal:
            return f"equal: {len(self.rows)} tables, {sum(self.rows.values())} rows"
        return "\n".join(map(str, self.differences))


class Side:
    """One database, reached with psql under this environment."""

    def __init__(self, environment):
        self.environment = environment

    def lines(self, query):
        """The rows of a catalog query.  Names may hold line ends, so rows end in NUL bytes."""
        return self._run(query, "-0").decode().split("\0")[:-1]

    def copy(self, queries):
        """Starts one psql that runs `COPY (query) TO STDOUT` for each; see _rows()."""
        copies = [word for query in queries
                  for word in ("-c", f"COPY ({query}) TO STDOUT", "-c", r"\echo '\\.'")]
        return subprocess.Popen([*self._argv(), *copies], stdout=subprocess.PIPE,
                                stdin=subprocess.DEVNULL, env=self.environment)

    def _run(self, sql, *options):
        return subprocess.run([*self._argv(*options), "-c", sql], check=True, env=self.environment,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE).stdout

    @staticmethod
    def _argv(*options):
        return ["psql", "-X", "-q", "-At", *options, "-v", "ON_ERROR_STOP=1", "-c", _SESSION]


def compare(source, target, tables=None, names=None, shown=5, casts=None, omitted=(), more=()):
    """Compares `tables` (default: every user table of the source) of two Sides.

    `names` maps a source table to its target's name where they differ; `casts` maps it to
    {column: type} of what the source's values are to be read as; `omitted`: pairs of a table and a
    quoted column; `more`: pairs of a table and an expression that is compared, too.  What inherits
    from a table is none of it.  REQUIRES: nobody writes.
    """
    outcome = Comparison({}, {}, [])
    tables = tables or source.lines(_TABLES)
    if not tables:
        return outcome
    columns = source.lines(_COLUMNS.format(tables=_array(tables)))
    columns = [_without(lists, [column for each, column in omitted if each == table])
               for table, lists in zip(tables, columns)]
    orders = source.lines(_ORDERS.format(tables=_array(tables)))
    theirs = [(names or {}).get(table, table) for table in tables]
    read_as = [_read_as(column, (casts or {}).get(table, {}))
               for table, column in zip(tables, columns)]
    further = ["".join(f", {expression}" for each, expression in more if each == table)
               for table in tables]
    sides = ((source, tables, read_as), (target, theirs, columns))
    words = [side.lines(_ONLY.format(tables=_array(of_side))) for side, of_side, _ in sides]
    running = [side.copy(f"SELECT {column}{others} FROM {word}{name} ORDER BY {order}"
                         for column, others, word, name, order
                         in zip(lists, further, only, of_side, orders))
               for (side, of_side, lists), only in zip(sides, words)]
    try:
        for table in tables:
            _compare_table(outcome, running, table, shown)
    finally:
        for each in running:
            each.kill()
            each.wait()
            each.stdout.close()
    return outcome


def _array(tables):
    places = [f"'{_literal(table)}'::regclass" for table in tables]
    return f"ARRAY[{', '.join(places)}]"


def _without(columns, omitted):
    return ", ".join(each for each in columns.split(", ") if each not in omitted)


def _read_as(columns, casts):
    """A list of quoted columns, some of them cast."""
    for column, sql in casts.items():
        columns = ", ".join(f"{each}::{sql}" if each == column else each
                            for each in columns.split(", "))
    return columns


def _rows(running):
    """The rows of the next table."""
    for line in running.stdout:
        if line == _END:
            return
        yield line
    raise RuntimeError(f"psql ended early with code {running.wait()}")


def _compare_table(outcome, running, table, shown):
    digest, counts = hashlib.sha256(), [0, 0]
    pending = Counter()  # +1 per unmatched source line, -1 per unmatched target line.
    for lines in itertools.zip_longest(*map(_rows, running)):
        for side, line in enumerate(lines):
            counts[side] += line is not None
        if lines[0] == lines[1]:
            digest.update(lines[0])
            continue
        for line, sign in zip(lines, (1, -1)):
            if line is not None:
                pending[line] += sign
                if not pending[line]:
                    del pending[line]
    outcome.rows[table] = counts[0]
    outcome.digests[table] = digest.hexdigest()
    if pending:
        outcome.differences.append(Difference(
            table, counts[0], counts[1],
            list(itertools.islice((_text(row) for row, n in pending.items() if n > 0), shown)),
            list(itertools.islice((_text(row) for row, n in pending.items() if n < 0), shown))))


def _literal(name):
    return name.replace("'", "''")


def _text(line):
    return line.decode(errors="backslashreplace").rstrip("\n")


def main():
    sides = [Side({**os.environ, "PGDATABASE": conninfo}) for conninfo in sys.argv[1:3]]
    outcome = compare(*sides)
    print(outcome)
    return 0 if outcome.equal else 2


if __name__ == "__main__":
    sys.exit(main())
