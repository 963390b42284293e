"""Where the two servers order keys otherwise (collations, labels of an enum) a comparison of many
ranges comes to an end, finds what somebody did to the target and nothing else; so does a heal."""

import random

import pytest

from tests.lab.meanwhile import Meanwhile
from tests.lab.process import wait_until

ROWS = 500
RANGE = 100  # Each takes a proof of its own, a tenth of a second.
ALONE = 5 * RANGE  # So many rows the target has alone in one place.
ENGLISH = '"en-US-x-icu"'
# Letters in either case: C has all capitals before all others, English has a, A, b, B.
LETTERS = "translate(md5(g::text), '0123456789', 'ghijklmnop')"
WORD = f"CASE g % 3 WHEN 0 THEN upper({LETTERS}) WHEN 1 THEN initcap({LETTERS}) ELSE {LETTERS} END"
SCHEMA = f"""
CREATE TYPE mood AS ENUM ('sad', 'glad', 'calm');
CREATE TABLE words (id text COLLATE {ENGLISH} PRIMARY KEY, v int);
CREATE TABLE bytes (id text COLLATE "C" PRIMARY KEY, v int);
CREATE TABLE moods (m mood, n int, v int, PRIMARY KEY (m, n));
CREATE TABLE alike (id text COLLATE {ENGLISH} PRIMARY KEY, v int);
"""
ROWS_OF = {
    "words": f"SELECT {WORD}, g FROM generate_series(1, {ROWS}) g",
    "bytes": f"SELECT {WORD}, g FROM generate_series(1, {ROWS}) g",
    "moods": f"SELECT (ARRAY['sad', 'glad', 'calm']::mood[])[1 + g % 3], g, g"
             f" FROM generate_series(1, {ROWS}) g",
    "alike": f"SELECT {WORD}, g FROM generate_series(1, {ROWS}) g",
}
OTHERWISE = f"""
ALTER TABLE words ALTER id TYPE text COLLATE "C";
ALTER TABLE bytes ALTER id TYPE text COLLATE {ENGLISH};
ALTER TYPE mood RENAME TO old_mood;
CREATE TYPE mood AS ENUM ('calm', 'sad', 'glad');
ALTER TABLE moods ALTER m TYPE mood USING m::text::mood;
DROP TYPE old_mood;
"""


@pytest.fixture
def otherwise(direct):
    """A migration whose target orders three of four tables otherwise; validate takes it."""
    def make(**overrides):
        migration = direct(SCHEMA, reconcile={"mode": "off", "range_rows": RANGE}, **overrides)
        for table, rows in ROWS_OF.items():
            migration.source(f"INSERT INTO {table} {rows}")
        migration.prepare()
        migration.target(OTHERWISE)
        checked = migration.lockstep.verb("validate")
        assert checked.returncode == 0, checked.stdout + checked.stderr
        return migration
    return make


def compared(migration, expected):
    report = migration.lockstep.answer("reconcile", "--once", "--format", "json",
                                       expected=(expected,))
    return report, {table["table"].removeprefix("public."): table
                    for table in migration.lockstep.status()["tables"]}


class Shuffle(Meanwhile):
    """Rows of all tables change in turn and a few of them at every step; some go, come, or get keys
    that stand far away in one order.  No more than some thousand changes a second, which the stream
    keeps up with: a range's proof waits for it."""

    steps = 0

    def work(self, cursor):
        if self.is_over(0.02):
            return
        self.steps += 1
        step = self.steps
        for table in ROWS_OF:  # A row's turn stays the same: both remainders of v do.
            cursor.execute(f"UPDATE {table} SET v = v + {97 * ROWS}"
                           f" WHERE v % 97 IN (13, {step % 97})")
        cursor.execute(f"UPDATE words SET id = 'Zz' || id WHERE v % {ROWS} = {step % ROWS}")
        cursor.execute(f"DELETE FROM bytes WHERE v % {ROWS} = {7 * step % ROWS}")
        cursor.execute(f"INSERT INTO bytes VALUES ('b{step}', {step}), ('B{step}', {step})")
        cursor.execute(f"INSERT INTO moods VALUES ('calm', {ROWS + step}, {step})")


def damage(migration, table, rng):
    """Returns what is to be found: (table, key, kind)."""
    key = "n" if table == "moods" else "id"
    keys = [row[0] for row in migration.source(f"SELECT {key} FROM {table}")]
    chosen = rng.sample(keys, 9)
    missing, differing, beside = chosen[:3], chosen[3:6], chosen[6:]
    migration.target(f"DELETE FROM {table} WHERE {key} = ANY (%s)", (missing,))
    migration.target(f"UPDATE {table} SET v = v + 1 WHERE {key} = ANY (%s)", (differing,))
    # Beside others in one order, and far from them in the other; the first and the last of all.
    rows = ("m, 1000000 + n" if table == "moods" else
            "translate(id, 'abcABC', 'ABCabc') || 'x'")
    ends = ("('sad', -1, -7), ('calm', -2, -7), ('glad', 2000001, -7), ('calm', 2000002, -7)"
            if table == "moods" else "('', -7), ('~', -7), ('zzzz', -7), (E'\u00e9', -7)")
    migration.target(f"INSERT INTO {table} SELECT {rows}, -7 FROM {table} WHERE {key} = ANY (%s)",
                     (beside,))
    migration.target(f"INSERT INTO {table} VALUES {ends}")
    extra = [row[0] for row in migration.target(f"SELECT {key} FROM {table} WHERE v = -7")]
    kinds = {"missing_in_target": missing, "differing": differing, "extra_in_target": extra}
    return {(table, str(each), kind) for kind, keys in kinds.items() for each in keys}


def found(report):
    return [(each["table"].removeprefix("public."), each["key"].get("id", each["key"].get("n")),
             each["kind"]) for each in report["findings"]]


def test_what_was_done_to_the_target_is_found_in_either_order(otherwise):
    migration = otherwise()
    with migration.running():
        migration.await_synced("the copy")
        report, told = compared(migration, 0)
        assert report["result"] == "equal" and not report["findings"], report
        assert {table["table"]: table["rows"] for table in report["tables"]} == {
            f"public.{table}": ROWS for table in ROWS_OF}
        for table in ("words", "bytes", "moods"):
            assert "two orders" in told[table]["not_digested"], told[table]
            assert told[table]["digested_rows"] == 0
            assert told[table]["ranges_total"] >= 2 * ROWS / (2 * RANGE), told[table]
            assert told[table]["verified_through"], told[table]
        assert told["alike"]["not_digested"] is None and told["alike"]["digested_rows"] == ROWS
        with Shuffle(migration) as writer:
            before = writer.steps
            report, _ = compared(migration, 0)
            assert report["result"] == "equal" and not report["findings"], report
            assert writer.steps > before, "nothing changed meanwhile"
        wait_until(lambda: migration.compare().equal, "what the writer did last to come")
        seed = random.randrange(10**6)
        expected = set()
        for table in ROWS_OF:
            expected |= damage(migration, table, random.Random(f"{seed} {table}"))
        report, _ = compared(migration, 2)
        assert sorted(found(report)) == sorted(expected), seed


def test_a_heal_comes_to_its_end_in_either_order(otherwise):
    """Of each table the target has a part, a part that is not equal, and rows of its own: of these
    so many in one place that the source has far fewer between the same keys."""
    migration = otherwise(existing="heal")
    for table, rows in ROWS_OF.items():
        migration.target(f"INSERT INTO {table} {rows}")
        migration.target(f"DELETE FROM {table} WHERE v % 10 = 3;"
                         f"UPDATE {table} SET v = -v WHERE v % 10 = 4")
    for table in ("words", "bytes", "alike"):
        migration.target(f"INSERT INTO {table} SELECT 'M' || g, 0"
                         f" FROM generate_series(1, {ALONE}) g")
    migration.target(f"INSERT INTO moods SELECT 'sad', {ROWS} + g, 0"
                     f" FROM generate_series(1, {ALONE}) g")
    with migration.running():
        migration.await_synced("the heal")
        told = {table["table"]: table for table in migration.lockstep.status()["tables"]}
    assert "far more rows" in told["public.alike"]["not_digested"], told["public.alike"]
    migration.assert_equal()
    report = migration.lockstep.answer("reconcile", "--once", "--format", "json")
    assert report["result"] == "equal", report
