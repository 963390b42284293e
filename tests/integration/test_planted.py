"""Issue D, acceptance 2: what somebody did to the target is found, all of it and nothing else, of
every kind that a mistake may have, in one sweep; `compare: value` silences what it is for."""

import itertools
import math
import os
import random
from collections import Counter
from contextlib import contextmanager

import pytest

from tests.integration.conftest import is_long
from tests.lab.meanwhile import Meanwhile

COUNT = 1000 if is_long() else 200
SEED = int(os.environ.get("LOCKSTEP_PLANT_SEED") or random.randrange(10**6))
ROWS = 6000
# A sweep that begins anew cuts a table behind each 100,000 rows; ids are even.
BOUNDED_ROWS = 250_000
BOUNDS = [200_000, 400_000]

SCHEMA = f"""
CREATE EXTENSION citext;
CREATE TYPE mood AS ENUM ('sad', 'glad', 'calm');
CREATE TABLE goods (id int PRIMARY KEY, k bigint NOT NULL, b bytea, n numeric, f float8, z float8,
                    at timestamptz, d timestamp, v text, w text, e text, s text, u text, c citext,
                    m mood, i interval, a int[], ns numeric[], j json, big text);
ALTER TABLE goods ALTER big SET STORAGE EXTERNAL;
INSERT INTO goods SELECT 2 * g, g * 7919, decode(md5(g::text), 'hex'), g + 0.50, g + 0.1::float8, 0,
  '2026-01-01'::timestamptz + g * '1.000017 s'::interval, '2026-01-01'::timestamp + g *
  '1.023457 s'::interval, 'Word number ' || g, 'other ' || g, CASE WHEN g % 2 = 0 THEN '' END,
  'new', 'café ' || g, 'Name ' || g, (ARRAY['sad', 'glad'])[1 + g % 2]::mood, '30 days',
  ARRAY[g, NULL, g + 1], ARRAY[1.00, g], '{{"a":1}}', repeat(md5(g::text), 70)
  FROM generate_series(1, {ROWS}) g;
CREATE TABLE bounded (id int PRIMARY KEY, v int);
INSERT INTO bounded SELECT 2 * g, g FROM generate_series(1, {BOUNDED_ROWS}) g;
"""
COLUMNS = ("k b n f z at d v w e s u c m i a ns j big").split()

# One row each: what is set on the target, and the cause that a finding names.
CHANGES = {
    "one bit of bytes": ("b = set_bit(b, {bit}, 1 - get_bit(b, {bit}))", None),
    "one bit of a number": ("k = k # (1::bigint << {bit})", None),
    # PostgreSQL's own hash of 64 bits takes both halves together first.
    "both halves of a number": ("k = k # 4294967297", None),
    "both halves of a time": ("d = '2000-01-01'::timestamp + ((extract(epoch FROM d - '2000-01-01')"
                              " * 1000000)::bigint # 4294967297) * '1 microsecond'::interval", None),
    "one microsecond": ("at = at + '1 microsecond'", None),
    "an offset": ("at = at - '2 hours'::interval", "an offset of -02:00: a time zone?"),
    "seconds alone": ("d = date_trunc('second', d)",
                      "fractions of a second are lost on the target"),
    "milliseconds alone": ("d = date_trunc('milliseconds', d)",
                           "microseconds are lost on the target"),
    "the last digit of a float": ("f = '{next_float}'", None),
    "real": ("f = f::real", "the precision of real instead of double precision"),
    "NULL for ''": ("e = NULL", "NULL on the target"),
    "'' for NULL": ("e = ''", "an empty value for NULL"),
    "a trailing space": ("v = v || ' '", "white space at an end"),
    "cut off": ("v = left(v, 9)", "the end is cut off on the target"),
    "case": ("v = upper(v)", "letter case"),
    "case of citext": ("c = upper(c::text)", "letter case"),
    "Unicode form": ("u = normalize(u, NFD)", "another Unicode form of accents (NFC, NFD)?"),
    "encoded twice": ("u = convert_from(convert_to(u, 'UTF8'), 'LATIN1')",
                      "UTF-8 that was encoded twice on the target"),
    "a numeric": ("n = n + 1", None),
    "a numeric's fraction": ("n = trunc(n)", "digits behind the point are lost on the target"),
    "1.0 for 1.00": ("n = trim_scale(n)", "the scale: 1.0 for 1.00"),
    "1.0 for 1.00 in an array": ("ns[1] = 1.0", None),
    "-0 for 0": ("z = '-0'", "the sign of a zero"),
    "1 mon for 30 days": ("i = '1 mon'", None),
    "an interval": ("i = '1 mon 1 microsecond'", None),
    "another label": ("m = 'calm'", "another label of the enum"),
    "swapped columns": ("v = w, w = v", "the values of two columns are swapped"),
    "lower bounds": ("a = ('[0:2]=' || a::text)::int[]", None),
    "json's form": ("j = '{{ \"a\" : 1 }}'", "white space of the JSON text"),
    "unchanged TOAST lost": ("big = '__debezium_unavailable_value'", None),
    "unchanged TOAST lost to NULL": ("big = NULL", "NULL on the target"),
}
# What `compare: value` is said of, with the types whose `=` decides then.
RELAXED = {"n": "numeric", "z": "float8", "i": "interval", "ns": "numeric[]"}
PAIRS = ("swapped rows", "a pair that cancels under XOR", "a pair that cancels under SUM")
AT_BOUNDS = ("UPDATE bounded SET v = -v WHERE id = {id}",
             "UPDATE bounded SET v = v + 1 WHERE id = {id}",
             "DELETE FROM bounded WHERE id = {id}",
             "DELETE FROM bounded WHERE id = {id}; INSERT INTO bounded VALUES ({id} + 1, {id} / 2)")


class Planter:
    """Draws plants.  Each has rows of its own, so that what it did can be told from the others."""

    def __init__(self, migration, seed):
        self.migration = migration
        self.rng = random.Random(seed)
        ids = [2 * g for g in range(1, ROWS + 1)]
        self.rng.shuffle(ids)
        self.ids = iter(ids)
        self.causes = {}  # By key of goods, where a plant has one.
        self.counts = Counter()
        self.beyond = itertools.count(2 * ROWS + 10)
        self.rows = 0  # That differ.
        self.old = [next(self.ids) for _ in range(COUNT // 20)]

    def __str__(self):
        return f"{sum(self.counts.values())} plants of {len(self.counts)} kinds"

    def age(self):
        """The application changes the rows that are to be old ones."""
        self.migration.source("UPDATE goods SET v = 'newer ' || v, n = -n WHERE id = ANY (%s)",
                              (self.old,))

    def draw(self):
        """SQL for the target: every kind at least once."""
        kinds = [*CHANGES, "missing", "extra", "extra beyond the last key",
                 "extra before the first key", "old version", *PAIRS]
        statements = []
        for bound in BOUNDS:  # One row at the bound itself, one on either side.
            for key in (bound - 2, bound, bound + 2):
                statements.append(self.rng.choice(AT_BOUNDS).format(id=key))
                self.counts["at a range's bound"] += 1
                self.rows += 1 + statements[-1].count("INSERT")
        drawn = kinds + self.rng.choices(kinds, k=COUNT - len(kinds) - len(statements))
        for kind in drawn:
            if kind == "old version" and not self.old:
                kind = "missing"
            statements.append(self.plant(kind))
            self.counts[kind] += 1
            self.rows += 2 if kind in PAIRS else 1
        return statements

    def plant(self, kind):
        if kind in CHANGES:
            return self.change(kind)
        one = next(self.ids)
        if kind == "missing":
            return f"DELETE FROM goods WHERE id = {one}"
        if kind.startswith("extra"):
            key = (next(self.beyond) if kind.endswith("last key") else
                   -next(self.beyond) if kind.endswith("first key") else one + 1)
            return (f"INSERT INTO goods SELECT {key}, {', '.join(COLUMNS)} FROM goods"
                    f" WHERE id = (SELECT min(id) FROM goods WHERE id > 0)")
        if kind == "old version":
            return f"UPDATE goods SET v = substr(v, 7), n = -n WHERE id = {self.old.pop()}"
        two = next(self.ids)
        if kind == "swapped rows":
            return (f"UPDATE goods g SET ({', '.join(COLUMNS)}) = (SELECT {', '.join(COLUMNS)}"
                    f" FROM goods o WHERE o.id = {one + two} - g.id) WHERE id IN ({one}, {two})")
        if kind == "a pair that cancels under XOR":
            return f"UPDATE goods SET s = 'old' WHERE id IN ({one}, {two})"
        return (f"UPDATE goods SET k = k + CASE id WHEN {one} THEN 5 ELSE -5 END"
                f" WHERE id IN ({one}, {two})")

    def change(self, kind):
        key = next(self.ids)
        while kind in ("NULL for ''", "'' for NULL") and (key % 4 == 0) != (kind == "NULL for ''"):
            key = next(self.ids)
        sets, cause = CHANGES[kind]
        self.causes[str(key)] = (kind, cause)
        following = math.nextafter(key / 2 + 0.1, math.inf)
        sets = sets.format(bit=self.rng.randrange(60), next_float=following)
        return f"UPDATE goods SET {sets} WHERE id = {key}"


def differences(migration):
    """What really differs, by table and key."""
    return {(f"public.{table}", key): found
            for table, columns in (("goods", COLUMNS), ("bounded", ["v"]))
            for key, found in migration.differing(table, columns).items()}


def without_relaxed(migration, expected):
    """What differs still where `RELAXED` are compared by the `=` of their types."""
    left = {}
    for (table, key), (kind, columns) in expected.items():
        if kind == "differing" and table == "public.goods":
            values = [ask(f"SELECT {', '.join(f'{each}::text' for each in columns)} FROM goods"
                          " WHERE id = %s", (key,))[0]
                      for ask in (migration.source, migration.target)]
            columns = [name for name, one, other in zip(columns, *values)
                       if name not in RELAXED or not migration.source(
                           f"SELECT %s::{RELAXED[name]} = %s::{RELAXED[name]}", (one, other))[0][0]]
            if not columns:
                continue
        left[table, key] = (kind, columns)
    return left


def sweep(migration, expected, *arguments):
    report = migration.lockstep.answer("reconcile", "--once", "--format", "json", *arguments,
                                       expected=(expected,))
    found = {(each["table"], each["key"]["id"]): (each["kind"], each["columns"])
             for each in report["findings"]}
    causes = {each["key"]["id"]: each["cause"] for each in report["findings"]
              if each["table"] == "public.goods"}
    return report, found, causes


def wrong_of(found, expected):
    """For the message: what one has and the other has not, a few of each."""
    return {"not found": sorted((key, expected[key]) for key in expected.keys() - found.keys())[:9],
            "no plant": sorted((key, found[key]) for key in found.keys() - expected.keys())[:9],
            "otherwise": sorted((key, found[key], expected[key]) for key in
                                found.keys() & expected.keys() if found[key] != expected[key])[:9]}


@contextmanager
def planted(migrate):
    """Gives a migration that follows, what was done to its target, and what differs since."""
    migration = migrate(SCHEMA, reconcile={"mode": "off"})
    migration.prepare()
    planter = Planter(migration, SEED)
    with migration.running() as lockstep:
        migration.await_synced("the daemon to follow")
        planter.age()
        migration.await_target("SELECT count(*) FROM goods WHERE v LIKE 'newer %'",
                               len(planter.old))
        assert sweep(migration, 0)[0]["result"] == "equal"
        migration.target(";".join(planter.draw()))
        expected = differences(migration)
        assert len(expected) == planter.rows, "a plant changed nothing, or another's row"
        yield migration, planter, expected


def test_what_is_planted_is_found_and_nothing_else(migrate, capsys):
    with planted(migrate) as (migration, planter, expected):
        report, found, causes = sweep(migration, 2)
        with capsys.disabled():
            print(f"\nseed {SEED}: {planter}: {len(found.keys() & expected.keys())} rows found of"
                  f" {len(expected)}, {len(found.keys() - expected.keys())} others")
        assert found == expected, (SEED, wrong_of(found, expected))
        assert {table["table"]: table["unverified"] for table in report["tables"]} == {
            "public.goods": 0, "public.bounded": 0}
        assert {key: (kind, causes[key]) for key, (kind, _) in planter.causes.items()} == \
            planter.causes, SEED
    rules = [{"source": "public.*"}, {"source": "public.goods", "columns": {
        "compare": {column: "value" for column in RELAXED}}}]
    migration.lockstep.write({**migration.manifest, "tables": rules})
    with migration.running() as lockstep:
        migration.await_synced("the daemon to follow")
        strict = {key: found for key, found in expected.items() if key[0] == "public.goods"}
        left = without_relaxed(migration, strict)
        assert len(left) <= len(strict) - 4  # One of each relaxed kind was planted at least.
        _, found, _ = sweep(migration, 2, "--table", "public.goods")
        assert found == left, (SEED, wrong_of(found, left))


class Toucher(Meanwhile):
    """Rows change on the source, as fast as one session can; half of them planted."""

    def __init__(self, migration, planted_keys):
        super().__init__(migration)
        self.planted_keys = sorted(planted_keys)
        self.touched = set()
        self._rng = random.Random(SEED)

    def work(self, cursor):
        table, key = self._rng.choice([self._rng.choice(self.planted_keys),
                                       ("public.goods", str(2 * self._rng.randint(1, ROWS)))])
        self.touched.add((table, key))
        column = "k" if table == "public.goods" else "v"
        cursor.execute(f"UPDATE {table} SET {column} = {column} + 1 WHERE id = %s", (key,))


@pytest.mark.skipif(not is_long(), reason="the full counts only")
def test_what_is_planted_is_found_under_load(migrate, capsys):
    """Found, or overwritten by a later change of the row."""
    with planted(migrate) as (migration, planter, expected):
        with Toucher(migration, expected) as load:
            _, found, _ = sweep(migration, 2)
        with capsys.disabled():
            print(f"\nseed {SEED}: {planter}, {len(load.touched)} rows changed meanwhile:"
                  f" {len(found)} found of {len(expected)}, {len(expected.keys() - found.keys())}"
                  f" overwritten, {len(found.keys() - expected.keys())} others")
        wrong = wrong_of(found, expected)
        assert not wrong["no plant"] and expected.keys() - found.keys() <= load.touched, wrong
        alone = expected.keys() - load.touched
        assert {key: found[key] for key in alone} == {key: expected[key] for key in alone}, wrong
        migration.source("INSERT INTO bounded VALUES (0, 0)")  # The last change.
        migration.await_target("SELECT count(*) FROM bounded WHERE id = 0", 1)
        assert sweep(migration, 2)[1] == differences(migration), SEED
