"""`lockstep explain-row`: what is known of one row, in one answer (issue D, part 10)."""

import os
import time

import pytest

SCHEMA = """
CREATE TABLE words (id int PRIMARY KEY, v text, secret text);
INSERT INTO words SELECT g, 'word ' || g, 'hidden ' || g FROM generate_series(1, 400) g;
CREATE TABLE pairs (tenant text COLLATE "C", id bigint, v int, PRIMARY KEY (tenant, id));
INSERT INTO pairs SELECT 't' || g % 3, g, g FROM generate_series(1, 90) g
"""


def explain(migration, table, key, expected, *arguments):
    return migration.lockstep.answer("explain-row", table, key, "--format", "json", *arguments,
                                     expected=(expected,))


@pytest.fixture
def words(migrate):
    """Copied and followed; compared by nobody until somebody asks."""
    def make(**overrides):
        migration = migrate(SCHEMA, reconcile={"mode": "off"}, **overrides)
        migration.prepare()
        return migration

    return make


def test_says_what_is_on_both_sides_and_what_is_known(words):
    migration = words()
    with migration.running() as lockstep:
        migration.await_synced("the daemon to follow")
        row = explain(migration, "public.words", "17", 0)
        assert row["result"] == "equal" and row["verdict"] == "equal on both sides", row
        assert row["key"] == {"id": "17"} and row["copied"] and row["running"], row
        assert row["source"]["present"] and row["target"]["present"], row
        assert row["source"]["transaction"] and row["verified"] is None, row
        assert "hidden 17" not in str(row)
        migration.lockstep.answer("reconcile", "--once", "--format", "json")
        row = explain(migration, "public.words", "id=17", 0, "--show-values")
        assert row["source"]["row"]["secret"] == row["target"]["row"]["secret"] == "hidden 17", row
        assert row["verified"]["rows"] == 400 and row["verified"]["age_seconds"] < 60, row
        assert explain(migration, "public.words", "-3", 0)["verdict"] == "absent on both sides"
        row = explain(migration, "public.pairs", "tenant=t2,id=8", 0)
        assert row["key"] == {"tenant": "t2", "id": "8"}, row
        assert explain(migration, "public.pairs", '{"id": 8, "tenant": "t2"}', 0)["key"] == row["key"]

        migration.target("UPDATE words SET v = 'other' WHERE id = 18; DELETE FROM words WHERE id = 19;"
                         "INSERT INTO pairs VALUES ('t9', 1, 1)")
        begun = time.monotonic()
        row = explain(migration, "public.words", "18", 2)
        assert time.monotonic() - begun < 1.5  # A busy machine; under 1 s on a quiet one.
        assert (row["sides"], row["columns"]) == ("differing", ["v"]), row
        assert row["verdict"].startswith("differs in v, and nothing known explains it: lockstep "
                                         "reconcile"), row
        assert explain(migration, "public.words", "19", 2)["sides"] == "missing_in_target"
        assert explain(migration, "public.pairs", "tenant=t9,id=1", 2)["sides"] == "extra_in_target"
        migration.lockstep.answer("reconcile", "--once", "--format", "json", expected=(2,))
        row = explain(migration, "public.words", "18", 2)
        assert row["finding"]["state"] == "open" and "lockstep repair" in row["verdict"], row
        migration.target("UPDATE words SET v = 'word 18' WHERE id = 18")
        migration.lockstep.answer("reconcile", "--once", "--format", "json", "--table",
                                  "public.words", expected=(2,))
        row = explain(migration, "public.words", "18", 0)
        assert row["finding"]["state"] == "resolved", row
    text = migration.lockstep.verb("explain-row", "public.words", "19")
    assert text.returncode == 2 and "lockstep does not run" in text.stdout, text
    assert "missing_in_target" in text.stdout and "hidden" not in text.stdout, text.stdout
    assert explain(migration, "public.words", "17", 0)["verified"]["rows"] == 400


def test_a_row_that_changes_all_the_time_is_never_said_to_differ(words):
    migration = words()
    with migration.running() as lockstep:
        migration.await_synced("the daemon to follow")
        updates = ["UPDATE words SET v = v || 'x' WHERE id = 17"] * 1500
        with migration.in_background(*updates):
            for _ in range(3):
                done = migration.lockstep.verb("explain-row", "public.words", "17")
                assert done.returncode in (0, 3), done.stdout + done.stderr
        migration.await_target("SELECT length(v)::text FROM words WHERE id = 17", "1507")
        assert explain(migration, "public.words", "17", 0)["source"]["present"]


def test_a_debt_is_named_with_its_reason(words):
    """A row that the target refuses is owed, then quarantined; a person may accept that."""
    migration = words(debt_attempts=2)
    migration.target("ALTER TABLE words ADD CONSTRAINT short CHECK (length(v) < 20)")
    with migration.running() as lockstep:
        migration.await_synced("the daemon to follow")
        migration.source("UPDATE words SET v = repeat('y', 30) WHERE id = 17")
        lockstep.await_status(lambda status: sum(table["quarantined"] for table in
                                                 status["tables"]), "a row in quarantine")
        row = explain(migration, "public.words", "17", 2)
        assert row["debt"]["state"] == "quarantined" and row["debt"]["attempts"] >= 2, row
        assert "short" in row["verdict"] and "lockstep quarantine retry" in row["verdict"], row
        assert row["debt"]["id"] == row["key_hash"] and row["debt"]["id"] in row["verdict"], row
        done = lockstep.verb("quarantine drop", row["key_hash"])
        assert done.returncode == 0, done.stderr
        assert "accepted" in explain(migration, "public.words", "17", 2)["verdict"]


def test_what_cannot_be_told_says_why(words):
    migration = words(backfill={"workers": 1, "chunk_rows": 100,
                                "rate_limit_rows_per_second": 60})
    migration.source("INSERT INTO pairs VALUES ('a', 1, 1), ('B', 1, 1)")
    row = explain(migration, "public.words", "17", 3)
    assert "not copied yet" in row["verdict"] and not row["running"], row
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: any(table["rows_done"] for table in status["tables"]
                                                 if table["table"] == "public.words"),
                              "the first chunk")
        row = explain(migration, "public.words", "399", 3)
        assert row["verdict"].startswith("missing on the target: the row is not copied yet"), row
        assert explain(migration, "public.words", "1", 0)["copied"]
        migration.target("ALTER TABLE words DROP COLUMN secret")
        lockstep.await_status(lambda status: any(table["state"] == "stopped"
                                                 for table in status["tables"]), "the stop")
        row = explain(migration, "public.words", "1", 3)
        assert row["state"] == "stopped" and "secret" in row["verdict"], row
    row = explain(migration, "public.words", "1", 3)
    assert row["state"] == "stopped" and "secret" in row["verdict"], row


def test_a_pause_is_named_with_what_ends_it(words):
    """Nobody is told to ask again: of a table that is held, and while nothing is applied."""
    migration = words()
    with migration.running() as lockstep:
        migration.await_synced("the daemon to follow")
        assert lockstep.verb("pause", "--table", "public.words", "--reason", "index").returncode == 0
        lockstep.await_status(lambda status: any(table["state"] == "paused"
                                                 for table in status["tables"]), "the pause")
        migration.source("UPDATE words SET v = 'new' WHERE id = 17")
        for running in (True, False):
            row = explain(migration, "public.words", "17", 3)
            assert (row["state"], row["running"]) == ("paused", running), row
            assert row["verdict"].startswith("differs in v now, but the table is paused: table "
                                             "public.words is paused since 20"), row
            assert f"by uid {os.getuid()} (" in row["verdict"] and ": index" in row["verdict"], row
            assert f"lockstep resume {lockstep.manifest} --table 'public.words'" in row["verdict"]
            if running:
                assert lockstep.stop() == 0
        assert lockstep.verb("resume").returncode == 0
        assert lockstep.verb("pause", "--scope", "apply").returncode == 0
        assert "apply is paused since 20" in explain(migration, "public.words", "17", 3)["verdict"]
        lockstep.start()
        lockstep.await_status(lambda status: status["phase"] == "follow", "the next run")
        verdict = explain(migration, "public.words", "17", 3)["verdict"]
        assert "is not applied: apply is paused since 20" in verdict, verdict
        assert f"next: lockstep resume {lockstep.manifest} --scope apply" in verdict, verdict


@pytest.mark.parametrize("table, key, words_of_it", [
    ("public.nothing", "1", "public.nothing is not moved"),
    ("public.words", "abc", "'abc' is no value of id"),
    ("public.words", "v=1,id=2", "is no value of id"),
    ("public.pairs", "17", "the key is (tenant, id)"),
    ("public.pairs", "tenant=x", "id is missing"),
])
def test_a_wrong_table_or_key_is_told_with_the_columns(words, table, key, words_of_it):
    done = words().lockstep.verb("explain-row", table, key)
    assert done.returncode == 64 and words_of_it in done.stderr, done
