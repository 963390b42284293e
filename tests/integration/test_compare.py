"""The oracle itself: a comparison that cannot find a planted difference proves nothing."""

import pytest

ROWS = """
CREATE TABLE t (id int, part text COLLATE "C", n numeric, f float8, a int[], b bytea, g int
  GENERATED ALWAYS AS (id * 2) STORED, PRIMARY KEY (id, part));
INSERT INTO t SELECT i, E'line\\nbreak', i / 4.0, i / 3.0, ARRAY[i], '\\x00ff'::bytea
  FROM generate_series(1, 1000) i;
"""

PLANTED = {
    "a missing row": "DELETE FROM t WHERE id = 500",
    "an extra row": "INSERT INTO t VALUES (1001, '', 0, 0, NULL, NULL)",
    "one byte": "UPDATE t SET b = '\\x00fe' WHERE id = 1",
    "a trailing zero": "UPDATE t SET n = n::numeric(10, 5) WHERE id = 8",
    "the last digit of a float": "UPDATE t SET f = f + 1e-16 WHERE id = 1",
    "a lower bound": "UPDATE t SET a = '[0:0]={7}' WHERE id = 7",
    "NULL for empty": "UPDATE t SET b = NULL WHERE id = 1000",
}


@pytest.fixture
def twins(migrate):
    migration = migrate(ROWS)
    migration.copy_schema()
    migration.target(ROWS[ROWS.index("INSERT"):])
    return migration


def test_equal_databases_are_equal(twins):
    assert twins.assert_equal().rows == {"public.t": 1000}


@pytest.mark.parametrize("what", PLANTED)
def test_finds(twins, what):
    twins.target(PLANTED[what])
    outcome = twins.compare()
    assert not outcome.equal
    found = outcome.differences[0]
    assert 1 <= len(found.only_source) + len(found.only_target) <= 2, str(found)
