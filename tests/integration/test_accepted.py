"""What `validate` asks so that `run` carries through what it accepts (issue E)."""

import re

from tests.integration.test_validate import PEOPLE, problems, the_one

# What a write asks for beyond the table's own grants, where somebody has taken away what everybody
# has: types below domains and in arrays, functions behind all that is evaluated for a row, a
# sequence behind a default that only the target has, the language of our own functions.
HARDENED = """
CREATE SCHEMA types;
CREATE TYPE types.mood AS ENUM ('good', 'bad');
CREATE DOMAIN feeling AS types.mood;
CREATE TYPE closed AS ENUM ('x');
CREATE FUNCTION norm(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT pg_catalog.lower($1)';
CREATE FUNCTION positive(int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 > 0';
CREATE FUNCTION same(int, int) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT $1 = $2';
CREATE OPERATOR === (leftarg = int, rightarg = int, function = same);
CREATE DOMAIN count AS int CHECK (positive(VALUE));
CREATE TABLE t (id int PRIMARY KEY, m feeling, c closed[], v text, n count[],
                low text GENERATED ALWAYS AS (norm(v)) STORED, CHECK (id OPERATOR(public.===) id));
CREATE INDEX ON t (norm(v));
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
REVOKE USAGE ON TYPE closed, types.mood FROM PUBLIC;
INSERT INTO t (id, m, c, v, n) VALUES (1, 'good', '{x}', 'A', '{1}');
"""


def test_names_what_a_write_needs_beyond_its_table(direct):
    """What it prints leads to a table that is copied, and follows."""
    migration = direct(HARDENED)
    migration.copy_schema()
    migration.target("CREATE SEQUENCE numbers;"
                     "ALTER TABLE t ADD number int DEFAULT nextval('numbers')")
    migration.stack.target.execute(migration.name,
                                   "REVOKE USAGE ON LANGUAGE plpgsql FROM PUBLIC")
    migration.grant()
    migration.publish()
    printed = migration.lockstep.verb("validate")
    assert printed.returncode == 78, printed.stdout
    grants = sorted(re.findall(r"\((GRANT [^;]+); as \w+ or a superuser of the target\)",
                               printed.stdout))
    assert grants == sorted(f'GRANT {what} TO "lockstep_writer"' for what in (
        'USAGE ON SCHEMA "types"', "USAGE ON TYPE types.mood", "USAGE ON TYPE public.closed",
        "EXECUTE ON FUNCTION public.norm(text)", "EXECUTE ON FUNCTION public.positive(integer)",
        "EXECUTE ON FUNCTION public.same(integer,integer)", "USAGE ON SEQUENCE public.numbers",
        "USAGE ON LANGUAGE plpgsql")), printed.stdout
    for grant in grants:
        migration.stack.target.execute(migration.name, grant)
    assert problems(migration) == []
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE t SET m = 'bad', v = 'B';"
                         "INSERT INTO t (id, m) VALUES (2, 'good')")
        migration.await_target("SELECT array_agg(m::text || coalesce(low, '') ORDER BY id) FROM t",
                               ["badb", "good"])
    numbered = "SELECT array_agg((id, number IS NOT NULL)::text ORDER BY id) FROM t"
    assert migration.target(numbered)[0][0] == ["(1,t)", "(2,t)"], migration.target("TABLE t")


CONSTANTS = {"n": ("abc", 'invalid input syntax for type integer: "abc"'),
             "code": ("toolong", "value too long for type character varying(3)"),
             "price": ("-1", "value for domain public.price violates check constraint"),
             "at": ("yesteryear", "invalid input syntax for type timestamp")}


def test_tries_what_the_target_alone_has(direct):
    """Constants that their column refuses, a domain that is NOT NULL; each rule at its place."""
    values = {name: value for name, (value, _) in CONSTANTS.items()}
    fine = {"flag": "yes", "tags": "{a,b}", "doc": '{"a": 1}', "nothing": None}
    migration = direct(PEOPLE, tables=[
        {"source": "public.people", "columns": {"set": {**values, **fine}}}])
    migration.target("CREATE DOMAIN price AS int CHECK (VALUE > 0);"
                     "CREATE DOMAIN must AS int NOT NULL;"
                     "CREATE DOMAIN has AS int DEFAULT 1 NOT NULL;"
                     "CREATE TABLE people (id int PRIMARY KEY, name text, n int, code varchar(3),"
                     " price price, at timestamp, flag bool, tags text[], doc jsonb, nothing text,"
                     " needed must, given has)")
    migration.grant()
    migration.publish()
    the_one(migration, "error: public.people.needed is NOT NULL without default")
    migration.target("ALTER TABLE people DROP needed")
    printed = migration.lockstep.verb("validate").stdout
    for name, (_, why) in CONSTANTS.items():
        said = f"public.people.{name} does not take its constant: target: {why}"
        assert printed.count(said) == 1, (said, printed)
    assert printed.count("does not take its constant") == len(CONSTANTS), printed
    assert "public.people.given" not in printed
    good = {"n": "7", "code": "abc", "price": "1", "at": "2020-01-01"}
    migration.manifest["tables"][0]["columns"]["set"] = {**good, **fine}
    migration.lockstep.write(migration.manifest)
    assert problems(migration) == []


# STRICT: over a table without rows, or with NULLs, PostgreSQL calls none of them.
STRICT = """
CREATE FUNCTION inner_name(text) RETURNS text LANGUAGE sql IMMUTABLE AS 'SELECT lower($1)';
CREATE FUNCTION faulty(text) RETURNS text LANGUAGE plpgsql STRICT IMMUTABLE
  AS 'BEGIN RETURN inner_name($1); END';
CREATE FUNCTION qualified(text) RETURNS text LANGUAGE plpgsql STRICT IMMUTABLE
  AS 'BEGIN RETURN lower(public.inner_name($1)); END';
CREATE FUNCTION placed(text) RETURNS text LANGUAGE plpgsql STRICT IMMUTABLE
  SET search_path = public AS 'BEGIN RETURN inner_name($1); END';
CREATE FUNCTION standard(text) RETURNS text LANGUAGE sql STRICT IMMUTABLE
  RETURN inner_name($1);
"""


def test_warns_of_a_strict_function_that_no_probe_calls(direct):
    migration = direct(PEOPLE)
    migration.target(PEOPLE + STRICT + "".join(f"CREATE INDEX ON people ({name}(name));" for name
                                               in ("faulty", "qualified", "placed", "standard")))
    migration.grant()
    migration.publish()
    line, = problems(migration)
    assert line.startswith("warning: public.people: index public.people_faulty_idx calls function "
                           "public.faulty(text), whose text has inner_name without a schema"), line
    cure = "ALTER FUNCTION public.faulty(text) SET search_path = public, pg_temp"
    assert cure in line
    migration.target(cure)
    assert problems(migration) == []


GENERATED = """
CREATE TABLE t (id int PRIMARY KEY, a int, v varchar(9),
  twice int GENERATED ALWAYS AS ({twice}) STORED,
  open bool GENERATED ALWAYS AS (v IN ('new', 'paid')) STORED,
  sum int GENERATED ALWAYS AS ((a + id) * 2) STORED);
CREATE TABLE log (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE {logged} TABLE low PARTITION OF log FOR VALUES FROM (0) TO (10);
"""


def test_compares_how_columns_are_computed_and_whether_they_last(direct):
    """Generated columns travel nowhere and are compared by nobody; an UNLOGGED leaf is emptied."""
    migration = direct(GENERATED.format(twice="a * 2", logged=""))
    migration.copy_schema()
    migration.grant()
    migration.publish()
    assert problems(migration) == [], "as a restore has it"
    migration.target("DROP TABLE t, log;" + GENERATED.format(twice="a * 3", logged="UNLOGGED"))
    migration.grant()
    the_one(migration, "error: public.t.twice is computed by both sides, by (a * 2) on the source "
                       "and by (a * 3) on the target")
    assert 'ALTER TABLE "public"."low" SET LOGGED' in the_one(
        migration, "error: public.low of the target is UNLOGGED")
    assert len(problems(migration)) == 2
    migration.target("ALTER TABLE low SET LOGGED")
    migration.manifest["tables"] = [
        {"source": "public.log"}, {"source": "public.t", "columns": {"drop": ["twice"]}}]
    migration.lockstep.write(migration.manifest)
    assert problems(migration) == []


def test_knows_the_least_limit_of_connections(direct):
    migration = direct(PEOPLE)
    migration.prepare()
    migration.stack.target.execute(
        "postgres", f'ALTER DATABASE "{migration.name}" CONNECTION LIMIT 3')
    line = the_one(migration, f"where the CONNECTION LIMIT of database {migration.name} is 3")
    assert line.startswith("error: lockstep needs ") and (
        f'ALTER DATABASE "{migration.name}" CONNECTION LIMIT -1' in line)
