"""`lockstep reconcile --once`: every row is compared while both sides change; what somebody did to
the target is found, and nothing else is."""

import threading
import time

import pytest

from tests.lab.meanwhile import Meanwhile
from tests.lab.process import wait_until

SCHEMA = """
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TABLE words (id int PRIMARY KEY, v text, n numeric, f float8, at timestamptz, m mood);
INSERT INTO words SELECT g, 'word ' || g, g / 7.0, g / 3.0, '2026-01-01'::timestamptz + g * '1 s'
  ::interval, CASE WHEN g % 2 = 0 THEN 'sad' ELSE 'glad' END::mood FROM generate_series(1, 3000) g;
CREATE TABLE names (first text, last text, v text, PRIMARY KEY (last, first));
INSERT INTO names SELECT 'f' || g, 'l' || g % 10, 'x' FROM generate_series(1, 500) g;
CREATE TABLE empty (id int PRIMARY KEY);
"""
DAMAGE = """
DELETE FROM words WHERE id = 17;
INSERT INTO words VALUES (5000, 'extra'), (-3, 'extra');
UPDATE words SET n = n + 0.0000000000000001 WHERE id = 100;
UPDATE words SET f = f + 1e-12 WHERE id = 200;
UPDATE words SET at = at + '1 microsecond' WHERE id = 300;
UPDATE words SET v = v || ' ' WHERE id = 400;
UPDATE words SET v = NULL WHERE id = 500;
UPDATE words SET m = 'sad' WHERE id = 601;
UPDATE names SET v = 'y' WHERE first = 'f7';
"""
EXPECTED = {
    ("public.words", "17"): ("missing_in_target", []),
    ("public.words", "5000"): ("extra_in_target", []),
    ("public.words", "-3"): ("extra_in_target", []),
    ("public.words", "100"): ("differing", ["n"]),
    ("public.words", "200"): ("differing", ["f"]),
    ("public.words", "300"): ("differing", ["at"]),
    ("public.words", "400"): ("differing", ["v"]),
    ("public.words", "500"): ("differing", ["v"]),
    ("public.words", "601"): ("differing", ["m"]),
    ("public.names", "f7"): ("differing", ["v"]),
}


def reconcile(migration, expected, *arguments):
    return migration.lockstep.answer("reconcile", "--once", "--format", "json", *arguments,
                                     expected=(expected,))


def findings_of(report):
    return {(found["table"], found["key"].get("id") or found["key"]["first"]):
            (found["kind"], found["columns"]) for found in report["findings"]}


@pytest.mark.parametrize("daemon", [True, False], ids=["beside_the_daemon", "alone"])
def test_finds_what_was_done_to_the_target_and_nothing_else(migrate, daemon):
    migration = migrate(SCHEMA)
    migration.prepare()
    migration.lockstep.run_until_synced()

    def check():
        report = reconcile(migration, 0)
        assert report["result"] == "equal" and not report["findings"], report
        assert {table["table"]: table["rows"] for table in report["tables"]} == {
            "public.words": 3000, "public.names": 500, "public.empty": 0}
        assert all(table["verified_through"] for table in report["tables"])
        migration.target(DAMAGE)
        report = reconcile(migration, 2)
        assert findings_of(report) == EXPECTED
        assert report["result"] == "different"
        only = reconcile(migration, 0, "--table", "public.empty")
        assert [table["table"] for table in only["tables"]] == ["public.empty"]

    if daemon:
        with migration.running() as lockstep:
            # Only a daemon that has its state directory says so.
            migration.await_synced("the daemon to follow")
            check()
    else:
        check()


class Shuffle(Meanwhile):
    """Many rows, deletes, inserts, key changes, all the time."""

    steps = 0

    def work(self, cursor):
        self.steps += 1
        step = self.steps
        cursor.execute(
            f"UPDATE words SET n = n + 1 WHERE id <= 700 AND id % 37 = {step % 37};"
            f"DELETE FROM words WHERE id = {1 + step % 900};"
            f"INSERT INTO words VALUES ({10000 + step}, 'new');"
            f"UPDATE words SET id = id + 100000 WHERE id = {1000 + step % 900};"
            f"UPDATE names SET first = first || 'x' WHERE first = 'f{step % 500}'")


def test_no_false_alarm_while_rows_change(migrate):
    migration = migrate(SCHEMA)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        with Shuffle(migration) as writer:
            for _ in range(2):
                before = writer.steps
                report = reconcile(migration, 0)
                assert not report["findings"] and report["result"] == "equal", report
                assert writer.steps > before + 1, "nothing changed meanwhile"
        report = reconcile(migration, 0)
        assert report["result"] == "equal", report
    migration.finish()


HOT = (1, 2, 3, 4, 5)


def heat(migration, over, count):
    """Changes the hot rows as fast as one session can, a transaction each; some are deleted and come
    back, or move to another key and back."""
    connection = migration.source_connection()
    cursor = connection.cursor()
    while not over.is_set():
        for row in HOT:
            cursor.execute("UPDATE words SET n = n + 1, v = v WHERE id = %s", (row,))
        cursor.execute("DELETE FROM words WHERE id = 2")
        cursor.execute("INSERT INTO words VALUES (2, 'again', %s)", (count[0],))
        cursor.execute("UPDATE words SET id = 100003 WHERE id = 3")
        cursor.execute("UPDATE words SET id = 3 WHERE id = 100003")
        count[0] += len(HOT) + 4
    connection.close()


def test_rows_that_change_all_the_time_are_verified(migrate):
    """Issue D, rule V7: each is compared while its next change waits in front of its lane."""
    migration = migrate(SCHEMA)
    migration.prepare()
    over, count = threading.Event(), [0]
    lags = []
    with migration.running() as lockstep:
        lockstep.await_follow()
        writer = threading.Thread(target=heat, args=(migration, over, count))
        writer.start()
        try:
            for damage, result, code in ((None, "equal", 0), (DAMAGE, "different", 2)):
                if damage:
                    migration.target(damage)
                begun, before = time.monotonic(), count[0]
                report = reconcile(migration, code)
                rate = (count[0] - before) / (time.monotonic() - begun)
                assert rate > 100, rate
                assert report["result"] == result, report
                assert findings_of(report) == (EXPECTED if damage else {}), report
                assert [table["unverified"] for table in report["tables"]] == [0, 0, 0], report
                lags.append(lockstep.status()["lag_seconds"])
        finally:
            over.set()
            writer.join()
    assert all(lag is not None and lag < 5 for lag in lags), lags


def test_before_a_migration_has_begun_there_is_nothing_to_compare(migrate):
    migration = migrate(SCHEMA)
    done = migration.lockstep.verb("reconcile", "--once")
    assert done.returncode == 3 and "has not begun" in done.stderr, done.stderr


def test_a_table_that_is_not_moved_is_named(migrate):
    migration = migrate(SCHEMA)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        done = migration.lockstep.verb("reconcile", "--once", "--table", "public.nothing")
        assert done.returncode == 64 and "public.nothing" in done.stderr, done.stderr


CAST = """
CREATE TABLE cast_me (id int PRIMARY KEY, code varchar(10), n numeric(10,2), d date, f real,
                      tags varchar(5)[], u uuid UNIQUE);
INSERT INTO cast_me SELECT g, 'c' || g, g / 3.0, DATE '2026-01-01' + g, g / 7.0, ARRAY['a', 'b'],
  md5(g::text)::uuid FROM generate_series(1, 200) g;
CREATE TABLE by_uuid (id uuid PRIMARY KEY, v text);
INSERT INTO by_uuid SELECT md5(g::text)::uuid, 'v' || g FROM generate_series(1, 200) g
"""
WIDER = """
ALTER TABLE cast_me ALTER id TYPE bigint, ALTER code TYPE text, ALTER n TYPE numeric(14,4),
  ALTER d TYPE timestamp, ALTER f TYPE float8, ALTER tags TYPE text[], ALTER u TYPE text;
ALTER TABLE by_uuid ALTER id TYPE text
"""


def test_columns_that_are_cast_are_compared_as_the_target_holds_them(migrate):
    migration = migrate(CAST)
    migration.copy_schema()
    migration.target(WIDER)
    migration.grant()
    migration.publish()
    migration.start_connector()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("UPDATE cast_me SET n = n + 1 WHERE id % 2 = 0")
        assert reconcile(migration, 0)["result"] == "equal"
        migration.target("UPDATE cast_me SET f = f + 1e-9 WHERE id = 3;"
                         "UPDATE cast_me SET d = d + '1 second'::interval WHERE id = 4;"
                         "DELETE FROM cast_me WHERE id = 5;"
                         "UPDATE by_uuid SET v = 'other' WHERE id = md5('7')::uuid::text")
        report = reconcile(migration, 2)
        found = {(each["table"], next(iter(each["key"].values()))): (each["kind"], each["columns"])
                 for each in report["findings"]}
        assert len(found) == 4, found
        assert found["public.cast_me", "3"] == ("differing", ["f"])
        assert found["public.cast_me", "4"] == ("differing", ["d"])
        assert found["public.cast_me", "5"] == ("missing_in_target", [])
        assert [columns for (table, _), (_, columns) in found.items()
                if table == "public.by_uuid"] == [["v"]]


def test_who_waits_for_a_comparison_is_not_told_the_result_of_another(migrate):
    migration = migrate(SCHEMA)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        assert reconcile(migration, 0)["result"] == "equal"
        holder = migration.source_connection()
        holder.cursor().execute("BEGIN; LOCK TABLE words")
        first = threading.Thread(target=lambda: reports.append(reconcile(migration, 0)))
        reports = []
        first.start()
        wait_until(lambda: migration.source("SELECT 1 FROM pg_locks WHERE NOT granted"
                                            " AND relation = 'words'::regclass"),
                   "the comparison to wait for the table", 60, alive=lockstep.process)
        done = migration.lockstep.verb("reconcile", "--once", "--table", "public.empty")
        assert done.returncode == 75 and "under way" in done.stderr, done.stderr
        holder.close()
        first.join()
    assert [len(report["tables"]) for report in reports] == [3]


def table_of(status, name):
    return next(table for table in status["tables"] if table["table"] == name)


def is_verified(status):
    ages = [table["verified_age_seconds"] for table in status["tables"]]
    return bool(ages) and None not in ages


def findings(migration, *arguments):
    document = migration.lockstep.answer("findings list", "--format", "json", *arguments)
    return {(found["table"], found["key"].get("id") or found["key"]["first"]): found
            for found in document["findings"]}


def test_compares_by_itself_and_remembers_over_a_kill(migrate):
    """`reconcile.mode: continuous`, which is the default: every range is compared once, again after
    `every`; what was found is listed, shown, and resolved once the row is equal again."""
    migration = migrate(SCHEMA, reconcile={"every": "1h"})
    migration.prepare()
    lockstep = migration.lockstep
    lockstep.start()
    status = lockstep.await_status(is_verified, "every table to be compared")
    assert table_of(status, "public.words")["verified_rows"] == 3000
    assert table_of(status, "public.words")["clean_pass_since"]
    assert not findings(migration)
    migration.target(DAMAGE)
    # Nothing is due for an hour; who wants to know asks.
    report = reconcile(migration, 2)
    assert report["result"] == "different"
    # Issue D, part 3: the ranges, with their positions and ages.
    for document in (report, lockstep.status()):
        words = table_of(document, "public.words")
        assert words["ranges_total"] == 1
        (whole,) = words["ranges"]
        assert whole["lower"] is None and whole["upper"] is None and whole["rows"] == 3000
        assert whole["verified_through"] and 0 <= whole["age_seconds"] < 60
    found = findings(migration, "--show-values")
    assert {key: (each["kind"], each["columns"]) for key, each in found.items()} == EXPECTED
    wrong = found["public.words", "400"]
    assert wrong["source_row"]["v"] == "word 400" and wrong["target_row"]["v"] == "word 400 "
    assert wrong["cause"] == "white space at an end"
    assert found["public.words", "17"]["target_row"] is None
    lockstep.kill()
    with migration.running() as lockstep:
        status = lockstep.await_status(
            lambda now: now["phase"] == "follow" and table_of(now, "public.words")["findings"],
            "the findings to be known again")
        words = table_of(status, "public.words")
        assert words["findings"] == 9 and not words["clean_pass_since"]
        assert words["verified_age_seconds"] is not None  # Nothing was to be compared again.
        shown = migration.lockstep.verb("findings list")
        assert shown.returncode == 0 and "extra_in_target" in shown.stdout, shown.stdout
        one = findings(migration)["public.words", "17"]["id"]
        shown = migration.lockstep.verb("findings show", str(one), "--show-values")
        assert '"v":"word 17"' in shown.stdout, shown.stdout
        missing = migration.lockstep.verb("findings show", "4711")
        assert missing.returncode == 64 and "findings list" in missing.stderr
        migration.target("DELETE FROM words WHERE id IN (5000, -3)")
        assert reconcile(migration, 2)["result"] == "different"
        assert len(findings(migration)) == 8
        assert len(findings(migration, "--all")) == 10
        # Whoever looks later than that sees why there are fewer.
        lockstep.await_event("rows that were not equal are equal again")


def test_ranges_are_compared_again_and_again(migrate):
    migration = migrate(SCHEMA, reconcile={"every": "1s"})
    migration.prepare()
    with migration.running() as lockstep:
        first = lockstep.await_status(is_verified, "every table to be compared")
        position = table_of(first, "public.words")["verified_through"]
        migration.source("UPDATE words SET v = v || '!' WHERE id < 100")
        lockstep.await_status(
            lambda now: is_verified(now)
            and table_of(now, "public.words")["verified_through"] != position,
            "the table to be compared again")
        migration.target("UPDATE words SET v = 'changed' WHERE id = 2000")
        lockstep.await_status(lambda now: table_of(now, "public.words")["findings"] == 1,
                              "the row to be found by itself")


def test_rows_that_were_just_changed_are_compared_at_once(migrate):
    """Issue D, part 8.  A trigger of the target falsifies what comes; no range is due for a day."""
    migration = migrate(SCHEMA)
    migration.prepare()
    migration.target("""
        CREATE FUNCTION falsify() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN NEW.v := upper(NEW.v); RETURN NEW; END $$;
        CREATE TRIGGER falsify BEFORE UPDATE ON words FOR EACH ROW WHEN (NEW.v = 'loud')
          EXECUTE FUNCTION falsify();
        ALTER TABLE words ENABLE ALWAYS TRIGGER falsify""")
    with migration.running() as lockstep:
        lockstep.await_status(is_verified, "every table to be compared")
        migration.source("UPDATE words SET v = 'low' WHERE id = 40")
        lockstep.await_status(lambda now: table_of(now, "public.words")["sample_matches"],
                              "the row to be compared")
        migration.source("DELETE FROM words WHERE id = 41")
        lockstep.await_status(lambda now: table_of(now, "public.words")["sample_matches"] > 1,
                              "the row that is gone to be compared")
        migration.source("UPDATE words SET v = 'loud' WHERE id = 42")
        status = lockstep.await_status(
            lambda now: table_of(now, "public.words")["sample_divergences"], "the row to be found")
        assert table_of(status, "public.words")["findings"] == 1
    assert {key: each["columns"] for key, each in findings(migration).items()} == {
        ("public.words", "42"): ["v"]}


def test_nothing_is_compared_where_the_manifest_says_off(migrate):
    migration = migrate(SCHEMA, reconcile={"mode": "off"})
    migration.prepare()
    with migration.running() as lockstep:
        status = lockstep.await_status(lambda now: now["synced"], "it to be synced")
        assert status["reconcile"] == "off"
        assert reconcile(migration, 0)["result"] == "equal"


@pytest.mark.parametrize("policy", ["confirm", "auto"])
def test_repairs_what_it_found(migrate, policy):
    """Each kind of damage, while the rows' neighbours change; a dry run changes nothing."""
    every = {"confirm": "1h", "auto": "1s"}[policy]
    migration = migrate(SCHEMA, reconcile={"every": every, "repair": policy})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_status(is_verified, "every table to be compared")
        migration.target(DAMAGE.split(";")[0] if policy == "auto" else DAMAGE)
        if policy == "confirm":
            assert reconcile(migration, 2)["result"] == "different"
            dry = migration.lockstep.verb("repair")
            assert dry.returncode == 0 and dry.stdout.count("UPDATE") == 7, dry.stdout
            assert dry.stdout.count("INSERT") == 1 and dry.stdout.count("DELETE") == 2
            assert len(findings(migration)) == 10
            done = migration.lockstep.verb("repair", "--yes")
            assert done.returncode == 0 and "10 of 10" in done.stdout, done.stdout + done.stderr
            assert {each["state"] for each in findings(migration, "--all").values()} == {"repaired"}
        else:
            lockstep.await_status(
                lambda now: migration.target("SELECT 1 FROM words WHERE id = 17")
                and not table_of(now, "public.words")["findings"], "the row to be repaired")
        assert reconcile(migration, 0)["result"] == "equal"
    migration.finish()


def test_nothing_is_repaired_where_the_manifest_does_not_say_so(migrate):
    migration = migrate(SCHEMA)
    done = migration.lockstep.verb("repair", "--yes")
    assert done.returncode == 78 and "repair: confirm" in done.stderr, done.stderr
