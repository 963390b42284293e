"""What an operator tells a migration to hold or to limit: at once, over kills, and nothing is lost.

Issue O, part 1.
"""

import json
import os

import pytest

from tests.integration.conftest import SLOW, TABLE

# All that lanes write: rows, and what they remember of them.
WRITTEN = """
SELECT md5(string_agg(line, ',' ORDER BY line)) FROM
  (SELECT t::text FROM t UNION ALL SELECT p::text FROM lockstep.progress p) all_of_it (line)
"""
ME = f"uid {os.getuid()}"


def written(migration):
    return migration.stack.target.execute(migration.name, WRITTEN)


def paused(status):
    return {one["scope"]: one for one in status["paused"]}


@pytest.mark.parametrize("scope", ["apply", "all"])
def test_nothing_is_written_while_apply_is_held(direct, scope):
    migration = direct()
    migration.prepare()
    lockstep = migration.lockstep
    lockstep.run_until_synced()
    lockstep.start()
    lockstep.await_follow()
    assert lockstep.verb("pause", "--scope", scope, "--reason", "release 17").returncode == 0
    migration.source("UPDATE t SET n = 5 WHERE id % 3 = 1; DELETE FROM t WHERE id % 100 = 7")
    status = lockstep.await_status(lambda status: (status["lag_seconds"] or 0) > 1,
                                   "the lag to grow", 30)
    assert not status["synced"]
    before = written(migration)
    assert migration.target("SELECT count(*) FROM t WHERE n = 5") == [(0,)]
    assert paused(status)["apply"]["reason"] == "release 17"
    assert paused(status)["apply"]["by"] == ME
    assert any("apply is paused" in line and "release 17" in line
               for line in status["waiting_for"])
    lockstep.kill()
    assert "apply" in paused(lockstep.status())  # Of no daemon.
    lockstep.start()
    lockstep.await_status(lambda status: status["phase"] == "follow" and status["paused"],
                          "the next run", 30)
    assert written(migration) == before
    assert lockstep.stop() == 0  # Although it cannot drain.
    lockstep.start()
    done = lockstep.verb("resume")
    assert done.returncode == 0 and "apply" in done.stdout
    migration.await_target("SELECT count(*)::int FROM t WHERE n = 5",
                           migration.source("SELECT count(*)::int FROM t WHERE n = 5")[0][0])
    assert lockstep.status()["paused"] == []
    assert lockstep.verb("stop").stdout == "lockstep has ended\n"
    assert lockstep.wait_exit() == 0
    migration.finish()
    audit = json.loads(lockstep.verb("audit", "--format", "json").stdout)["audit"]
    assert [(entry["verb"], entry["by"]) for entry in audit] == [
        ("pause", ME), ("resume", ME), ("stop", ME)]


def test_a_copy_that_is_held_goes_on_where_it_was(migrate):
    migration = migrate(TABLE, backfill={"workers": 1, "chunk_rows": 200,
                                         "rate_limit_rows_per_second": 1000})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_rows(400)
        assert lockstep.verb("pause", "--scope", "backfill").returncode == 0
        counts = []
        for number in (50001, 50002):  # The stream goes on.
            migration.source(f"INSERT INTO t VALUES ({number}, 'new', 0)")
            migration.await_target(f"SELECT count(*)::int FROM t WHERE id = {number}", 1)
            counts.append(migration.target("SELECT count(*) FROM t WHERE id < 50000")[0][0])
        assert counts[0] == counts[1] < 3000
        assert lockstep.verb("resume", "--scope", "backfill").returncode == 0
        lockstep.await_follow()
    migration.finish()


def test_a_comparison_that_is_held_reads_nothing(direct):
    migration = direct(reconcile={"every": "1s"})
    migration.prepare()
    migration.lockstep.run_until_synced()
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: status["tables"] and status["tables"][0]["verified_through"], "a pass", 30)
        assert lockstep.verb("pause", "--scope", "reconcile").returncode == 0
        first = lockstep.await_status(lambda status: status["reconcile"] == "paused", "the pause")
        migration.source("UPDATE t SET n = n + 1 WHERE id < 100")
        lockstep.await_status(lambda status: status["tables"][0]["verified_age_seconds"]
                              > first["tables"][0]["verified_age_seconds"] + 3, "it to grow old")
        then = lockstep.status()["tables"][0]["verified_through"]
        assert then == first["tables"][0]["verified_through"]
        assert lockstep.verb("resume", "--scope", "reconcile").returncode == 0
        lockstep.await_status(lambda status: status["tables"][0]["verified_through"] != then,
                              "the next pass", 30)


def test_a_limit_is_changed_while_it_counts(direct):
    """The old one would let the copy run for an hour."""
    migration = direct(backfill={**SLOW, "rate_limit_rows_per_second": 1})
    migration.prepare()
    name = "backfill.rate_limit_rows_per_second"
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: status["tables"] and status["tables"][0]["rows_done"] > 0, "a chunk", 60)
        changed = lockstep.verb("set", f"{name}=0", "--reason", "at night")
        assert changed.returncode == 0, changed.stderr
        assert f"{name} = 0  (manifest: 1; set by {ME} at" in changed.stdout
        lockstep.await_follow(60)
    assert f"{name} = 0" in migration.lockstep.verb("get", name).stdout  # Of no daemon, too.
    assert migration.lockstep.verb("set", f"{name}=manifest").returncode == 0
    settings = json.loads(migration.lockstep.verb("settings", "--format", "json").stdout)
    assert {one["name"]: (one["value"], one["by"]) for one in settings["settings"]}[name] \
        == (1, None)
    migration.lockstep.verb("set", f"{name}=0")
    migration.finish()


@pytest.mark.parametrize("arguments, code, words", [
    (("pause", "--scope", "everything"), 64, "all, backfill, apply or reconcile"),
    (("set", "backfill.rows=1"), 64, "there is no setting backfill.rows"),
    (("set", "reconcile.rows_per_second=fast"), 64, "is not NAME=VALUE with a number"),
    # Of several either all are set or none.
    (("set", "backfill.rate_limit_rows_per_second=5", "reconcile.rows_per_second=9999999999"), 64,
     "at most"),
    (("get", "nothing"), 64, "there is no setting nothing"),
    (("resume", "--table", "public.t"), 69, "does not run"),
])
def test_what_cannot_be_ordered_is_refused(direct, arguments, code, words):
    migration = direct()
    answer = migration.lockstep.verb(*arguments)
    assert answer.returncode == code, answer.stderr
    assert words in answer.stderr
    settings = json.loads(migration.lockstep.verb("settings", "--format", "json").stdout)
    assert all(one["by"] is None for one in settings["settings"])
    assert migration.lockstep.verb("stop").stdout == "lockstep does not run\n"
