"""Issue D, acceptance 8 and 9: both servers digest rows and send none of them, whatever their types
are; what one value differs in, the digest does; and without digests the answer is the same."""

import random

import pytest

from tests.integration.conftest import is_long
from tests.integration.test_direct_types import ALL
from tests.integration.test_parity import rows_before, schema
from tests.integration.test_planted import CHANGES, SCHEMA, SEED

# More than the rows of one part, so that few of them are read.
ROWS = 6000
# Arrays and composites name the types of what they hold, by numbers of their server.
OIDS = "its values hold OIDs of types"
WITH_OIDS = {"citexts", "enums", "hstores", "ltrees", "moods", "nested_array", "nested_composite",
             "pairs", "prices"}
ALONE = len(CHANGES) if is_long() else 8


def compared(migration, expected=0):
    """Compares everything; returns the report, and by table what status says of the digests."""
    report = migration.lockstep.answer("reconcile", "--once", "--format", "json",
                                       expected=(expected,))
    told = {table["table"]: (table["digested_rows"], table["not_digested"])
            for table in migration.lockstep.status()["tables"]}
    return report, told


def test_rows_of_every_type_are_digested_where_they_are(migrate):
    rules = [{"source": f"public.{kind.table}", **kind.rule} for kind in ALL if kind.rule]
    migration = migrate(schema(ALL, "DEFAULT"), reconcile={"mode": "off"},
                        tables=[*rules, {"source": "public.*"}])
    migration.source(rows_before(ALL))
    migration.prepare()
    with migration.running():
        migration.await_synced("the daemon to follow")
        report, told = compared(migration)
        assert report["result"] == "equal"
        rows = {table["table"]: table["rows"] for table in report["tables"]}
        read = {name for name in rows if told[name] == (0, OIDS)}
        assert {name: told[name] for name in rows.keys() - read} == {
            name: (rows[name], None) for name in rows.keys() - read}
        assert {name.removeprefix("public.of_") for name in read} == WITH_OIDS


HISTORIES = r"""
CREATE TYPE pair AS (a int[], b int);
CREATE TABLE arrays (id int PRIMARY KEY, a int[]);
INSERT INTO arrays SELECT g, ARRAY[g, NULL, 3] FROM generate_series(1, 3000) g;
CREATE TABLE parts (id int PRIMARY KEY, p pair, x xml);
INSERT INTO parts SELECT g, ROW(ARRAY[g, NULL], 2)::pair, CASE WHEN g % 2 = 0 THEN E'\n\n<a/>'::xml
  ELSE xmlparse(document E'<?xml version="1.0"?>\n\n<a/>') END FROM generate_series(1, 100) g;
"""
SLICE = "UPDATE arrays SET a = a[1:1] WHERE id % 2 = {0}; UPDATE parts SET p.a = (p).a[1:1]" \
        " WHERE id % 2 = {0}"


def test_how_a_value_came_to_be_is_no_difference(direct):
    """An array keeps the note that it had NULLs, and a server leaves out a newline before xml each
    time that it sends it: neither comes through, and the values are equal."""
    migration = direct(HISTORIES, reconcile={"mode": "off"})
    migration.source(SLICE.format(0))
    migration.prepare()
    with migration.running():
        migration.await_synced("the copy")
        migration.source(SLICE.format(1))
        migration.source("INSERT INTO parts SELECT 100 + id, p, x FROM parts")
        migration.await_synced("the stream")
        notes = "SELECT DISTINCT get_byte(array_send(a), 7) FROM arrays"
        assert (migration.source(notes), migration.target(notes)) == ([(1,)], [(0,)])
        report, told = compared(migration)
        assert report["result"] == "equal", report
        assert told["public.arrays"] == (3000, None)
        migration.target("UPDATE arrays SET a = '{NULL}' WHERE id = 7")
        migration.target("UPDATE parts SET x = ' <a/>' WHERE id = 9")
        report, _ = compared(migration, expected=2)
        assert report["findings_total"] == 2, report


def test_each_change_of_one_value_is_found(migrate):
    """Alone: no other difference makes its rows be read."""
    rng = random.Random(SEED)
    migration = migrate(SCHEMA, reconcile={"mode": "off"})
    migration.prepare()
    with migration.running():
        migration.await_synced("the daemon to follow")
        for kind in rng.sample(sorted(CHANGES), ALONE):
            odd = {"NULL for ''": 0, "'' for NULL": 1}.get(kind, rng.randrange(2))
            key = 2 * (2 * rng.randrange(1, ROWS // 2) + odd)
            row, = migration.target("SELECT goods::text FROM goods WHERE id = %s", (key,))
            sets = CHANGES[kind][0].format(bit=rng.randrange(60), next_float=key + 0.5)
            migration.target(f"UPDATE goods SET {sets} WHERE id = {key}")
            report, told = compared(migration, expected=2)
            assert [each["key"] for each in report["findings"]] == [{"id": str(key)}], (kind, SEED)
            digested, why_not = told["public.goods"]
            assert why_not is None and ROWS * 0.9 < digested < ROWS, (kind, SEED)
            migration.target("DELETE FROM goods WHERE id = %s", (key,))
            migration.target("INSERT INTO goods SELECT (%s::goods).*", row)
        assert compared(migration)[0]["result"] == "equal"


def test_parts_lie_between_keys_of_several_columns(migrate):
    """In the order of their collation and of the enum, which is the index's."""
    migration = migrate("CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');"
                        "CREATE TABLE odd (tenant varchar(9) COLLATE \"C\", mood mood, n int,"
                        " v text, PRIMARY KEY (tenant, mood, n))", reconcile={"mode": "off"})
    migration.source("INSERT INTO odd SELECT chr(65 + g % 60),"
                     " (ARRAY['sad', 'ok', 'happy']::mood[])[1 + g % 3], g,"
                     " nullif('v' || g % 7, 'v0') FROM generate_series(1, 3000) g")
    migration.prepare()
    with migration.running():
        migration.await_synced("the daemon to follow")
        report, told = compared(migration)
        assert report["result"] == "equal" and told["public.odd"] == (3000, None)
        migration.target("UPDATE odd SET v = 'v0' WHERE n = 1400")
        migration.target("DELETE FROM odd WHERE n = 60")  # The least key,
        migration.target("INSERT INTO odd VALUES ('~', 'happy', 1, '')")  # and one beyond all.
        report, told = compared(migration, expected=2)
        assert sorted((each["kind"], each["key"]["n"]) for each in report["findings"]) == [
            ("differing", "1400"), ("extra_in_target", "1"), ("missing_in_target", "60")]
        assert 0 < told["public.odd"][0] < 3000


# What is hashed in the place of a NULL (digest_sql.cc), and what a type's own hash takes for one.
STANDS_FOR_NULL = {"i": "-70000", "b": "-9000000000", "s": "-2", "t": "'\u00e9'", "f": "-1.5e-300",
                   "d": "'2024-02-29'", "o": "true", "n": "-1.50",
                   "z": "'2024-02-29 12:00:00.000001+00'",
                   "u": "'12345678-9abc-def0-1234-56789abcdef0'"}
ALIKE = [("f", "0", "'-0'"), ("f", "'NaN'", "0"), ("f", "'NaN'", "NULL"), ("b", "1", "4294967296"),
         ("b", "-1", "-4294967296"), ("n", "1.0", "1.00")]


def test_no_value_is_taken_for_another_that_has_its_hash(migrate):
    migration = migrate("CREATE TABLE one (id int PRIMARY KEY, i int, b bigint, s smallint, t text,"
                        " f float8, d date, o boolean, n numeric, z timestamptz, u uuid)",
                        reconcile={"mode": "off"})
    cases = [*((column, "NULL", value) for column, value in STANDS_FOR_NULL.items()), *ALIKE]
    for id, (column, ours, _) in enumerate(cases):
        migration.source(f"INSERT INTO one (id, {column}) VALUES ({id}, {ours})")
    migration.source(f"INSERT INTO one SELECT g FROM generate_series({len(cases)}, {ROWS}) g")
    migration.prepare()
    with migration.running():
        migration.await_synced("the daemon to follow")
        for id, (column, ours, theirs) in enumerate(cases):
            migration.target(f"UPDATE one SET {column} = {theirs} WHERE id = {id}")
            report, told = compared(migration, expected=2)
            assert [each["columns"] for each in report["findings"]] == [[column]], (column, theirs)
            assert told["public.one"][0] > ROWS / 2 and told["public.one"][1] is None
            migration.target(f"UPDATE one SET {column} = {ours} WHERE id = {id}")
        assert compared(migration)[0]["result"] == "equal"


@pytest.mark.parametrize("why, settings, rule", [
    ("reconcile.digests is off", {"digests": "off"}, {}),
    ("a column has `compare: value`", {}, {"compare": {"n": "value"}})])
def test_without_digests_rows_are_read(migrate, why, settings, rule):
    rules = [{"source": "public.*"}]
    if rule:
        rules.append({"source": "public.goods", "columns": rule})
    migration = migrate(SCHEMA, reconcile={"mode": "off", **settings}, tables=rules)
    migration.prepare()
    with migration.running():
        migration.await_synced("the daemon to follow")
        report, told = compared(migration)
        assert report["result"] == "equal"
        assert told["public.goods"] == (0, why)
        migration.target("UPDATE goods SET k = k + 1 WHERE id = 2")
        assert [each["columns"] for each in compared(migration, expected=2)[0]["findings"]] == [["k"]]
