"""What an operator tells a migration to hold or to limit: at once, over kills, and nothing is lost.

Issue O, part 1.
"""

import json
import os
import pwd
import re
from contextlib import closing

import pytest

from tests.integration.conftest import SLOW, TABLE
from tests.integration.test_metrics import COMPARED, total
from tests.lab.lockstep import control_connection, said

# All that lanes write: rows, and what they remember of them.
WRITTEN = """
SELECT md5(string_agg(line, ',' ORDER BY line)) FROM
  (SELECT t::text FROM t UNION ALL SELECT p::text FROM lockstep.progress p) all_of_it (line)
"""
ME = f"uid {os.getuid()} ({pwd.getpwuid(os.getuid()).pw_name})"


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


@pytest.mark.parametrize("what", [("scope", "apply"), ("table", "public.t")])
def test_a_pause_is_in_force_when_it_is_answered(direct, what):
    """A lane waits for somebody's lock on the target, and would write once it has it: the pause is
    said to wait for that, and once `pause` has returned nothing more is written."""
    migration = direct(TWO_TABLES)
    migration.prepare()
    lockstep = migration.lockstep
    with migration.running():
        lockstep.await_follow()
        with closing(migration.target_connection(autocommit=False)) as holder:
            holder.cursor().execute("SELECT FROM t WHERE id = 7 FOR UPDATE")
            migration.source("UPDATE t SET n = 9 WHERE id = 7")
            migration.stack.target.await_waiting(
                f"datname = '{migration.name}' AND wait_event_type = 'Lock'", "a lane to wait")
            with lockstep.verb_begun("pause", f"--{what[0]}", what[1]) as pause:
                assert said(pause.stderr, "waits: ", "lanes", "to end what they write to the target")
                answer = post_pause(lockstep, {what[0]: what[1]})
                assert answer["ended"] is False and "lanes" in answer["waits_for"], answer
                shown = lockstep.status()
                assert shown["paused"][0]["waits_for"] == answer["waits_for"], shown["paused"]
                assert any("before the pause of" in line for line in shown["waiting_for"])
                assert pause.poll() is None
                holder.rollback()
                assert pause.wait(30) == 0, pause.stderr.read()
                before = written(migration) if what[0] == "scope" else migration.target(ROWS)
        migration.source("UPDATE t SET n = 10 WHERE id = 7; UPDATE other SET n = 1")
        if what[0] == "scope":
            lockstep.await_status(lambda status: (status["lag_seconds"] or 0) > 1, "the lag", 30)
            assert written(migration) == before
        else:
            migration.await_target("SELECT n FROM other", 1)
            assert migration.target(ROWS) == before
        assert post_pause(lockstep, {what[0]: what[1]})["ended"] is True
        assert lockstep.verb("resume").returncode == 0
        migration.await_target("SELECT n FROM t WHERE id = 7", 10)
    migration.finish()


def post_pause(lockstep, wanted):
    """What the daemon answers at once."""
    connection = control_connection(lockstep)
    connection.request("POST", "/api/v1/pause", json.dumps(wanted))
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


TWO_TABLES = TABLE + """
CREATE TABLE other (id int PRIMARY KEY, n int); INSERT INTO other VALUES (1, 0);
"""
ROWS = "SELECT md5(string_agg(t::text, ',' ORDER BY id)) FROM t"


def of_table(status, table="public.t"):
    return {one["table"]: one for one in status["tables"]}.get(table, {"state": None})


def test_one_table_is_held_and_the_others_go_on(migrate):
    """Its changes wait in the stream, over a kill -9, and none of them is lost."""
    migration = migrate(TWO_TABLES)
    migration.prepare()
    lockstep = migration.lockstep
    lockstep.run_until_synced()
    lockstep.start()
    lockstep.await_follow()
    assert lockstep.verb("pause", "--table", "public.t", "--reason", "index build").returncode == 0
    status = lockstep.await_status(lambda status: of_table(status)["state"] == "paused", "the pause")
    assert ME in of_table(status)["reason"] and "index build" in of_table(status)["reason"]
    assert [(one["scope"], one["table"]) for one in status["paused"]] == [("table", "public.t")]
    assert "paused" in lockstep.verb("status").stdout
    before = migration.target(ROWS)

    def change(number):
        migration.source(f"UPDATE t SET n = {number} WHERE id % 3 = 1;"
                         f"INSERT INTO t VALUES ({10000 + number}, 'new', 0);"
                         f"UPDATE other SET n = {number}")
        migration.await_target("SELECT n FROM other", number)
        assert migration.target(ROWS) == before

    change(1)
    migration.source("TRUNCATE t")
    change(2)
    lockstep.kill()
    offline = lockstep.status()
    assert of_table(offline)["state"] == "paused" and ME in of_table(offline)["reason"]
    lockstep.start()
    lockstep.await_status(lambda status: of_table(status)["state"] == "paused", "the next run")
    change(3)
    resumed = lockstep.verb("resume", "--table", "public.t")
    assert resumed.returncode == 0 and "public.t" in resumed.stdout
    migration.await_target("SELECT count(*)::int FROM t", 2)
    status = lockstep.await_status(lambda status: of_table(status)["state"] == "following",
                                   "the table to go on")
    assert status["paused"] == [] and lockstep.stop() == 0
    # Of no daemon, too: it counts from the first moment of the next run.
    assert lockstep.verb("pause", "--table", "public.t").returncode == 0
    lockstep.start()
    lockstep.await_status(lambda status: of_table(status)["state"] == "paused", "the third run")
    before = migration.target(ROWS)
    change(4)
    assert lockstep.stop() == 0
    assert lockstep.verb("resume").returncode == 0
    migration.finish()


COPIED = """
CREATE TABLE other (id int PRIMARY KEY);
INSERT INTO other SELECT g FROM generate_series(1, 2000) g;
"""
CHUNK = 200


def slowly_copied(make, schema):
    """Is to be copied at five chunks a second; nothing else reads the source's rows: where chunks
    end is found in the index."""
    migration = make(schema, reconcile={"mode": "off"}, backfill={
        "workers": 1, "chunk_rows": CHUNK, "rate_limit_rows_per_second": 1000})
    migration.prepare()
    migration.source("VACUUM t")
    return migration


def test_the_copy_of_a_table_that_is_held_goes_on_where_it_was(direct):
    """Meanwhile the other table is copied whole."""
    migration = slowly_copied(direct, TABLE + COPIED)
    before = migration.rows_fetched("t")
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: (of_table(status).get("rows_done") or 0) >= 400,
                              "two chunks")
        assert lockstep.verb("pause", "--table", "public.t").returncode == 0
        held = migration.target("SELECT count(*) FROM t")
        assert 400 <= held[0][0] < 3000
        status = lockstep.await_follow(besides=("paused",))
        assert [one["state"] for one in status["tables"]].count("paused") == 1
        assert of_table(status)["state"] == "paused"
        assert of_table(status, "public.other")["rows_done"] == 2000
        assert migration.target("SELECT count(*) FROM t") == held
        assert lockstep.verb("resume", "--table", "public.t").returncode == 0
        lockstep.await_follow()
    # What was under way may be read again, and nothing else.
    assert 3000 <= migration.rows_fetched("t") - before <= 3000 + CHUNK
    migration.finish()


def test_a_copy_that_is_held_goes_on_where_it_was(direct):
    """Meanwhile the stream goes on."""
    migration = slowly_copied(direct, TABLE + "CREATE TABLE other (id int PRIMARY KEY)")
    before = migration.rows_fetched("t")
    with migration.running() as lockstep:
        lockstep.await_rows(400)
        assert lockstep.verb("pause", "--scope", "backfill").returncode == 0
        held = migration.target("SELECT count(*) FROM t")
        assert 400 <= held[0][0] < 3000
        for number in range(20):
            migration.source(f"INSERT INTO other VALUES ({number})")
            migration.await_target(f"SELECT count(*)::int FROM other WHERE id = {number}", 1)
        status = lockstep.status()
        assert status["phase"] == "backfill" and "backfill" in paused(status), status
        assert migration.target("SELECT count(*) FROM t") == held
        assert lockstep.verb("resume", "--scope", "backfill").returncode == 0
        lockstep.await_follow()
    assert 3000 <= migration.rows_fetched("t") - before <= 3000 + CHUNK
    migration.finish()


def test_a_comparison_that_is_held_reads_nothing(direct):
    migration = direct(reconcile={"every": "1s"})
    migration.prepare()
    migration.lockstep.run_until_synced()
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: status["tables"] and
                              status["tables"][0]["verified_through"], "a pass", 30)
        assert lockstep.verb("pause", "--scope", "reconcile").returncode == 0
        first = lockstep.await_status(lambda status: status["reconcile"] == "paused", "the pause")
        read = total(lockstep, COMPARED)
        migration.source("UPDATE t SET n = n + 1 WHERE id < 100")
        lockstep.await_status(lambda status: status["tables"][0]["verified_age_seconds"]
                              > first["tables"][0]["verified_age_seconds"] + 3, "it to grow old")
        then = lockstep.status()["tables"][0]["verified_through"]
        assert then == first["tables"][0]["verified_through"] and total(lockstep, COMPARED) == read
        # Who wants to compare is told, also of a table whose heal the comparison ends with.
        assert lockstep.verb("resync", "--table", "public.t").returncode == 0
        lockstep.await_status(lambda status: of_table(status)["state"] == "healing", "the heal")
        with lockstep.verb_begun("reconcile", "--once", "--table", "public.t") as asked:
            said(asked.stderr, "waits: reconcile is paused since 20", f"by {ME}",
                 f"next: lockstep resume {lockstep.manifest} --scope reconcile",
                 "public.t is being healed")
            assert lockstep.verb("resume", "--scope", "reconcile").returncode == 0
            assert asked.wait(60) == 0, asked.stderr.read()
        lockstep.await_status(lambda status: status["tables"][0]["verified_through"] != then,
                              "the next pass", 30)


def test_a_comparison_that_is_held_is_given_up_by_the_server_that_is_at_it(direct):
    """Where a range ends may take a server long to say: a pause does not wait for it."""
    migration = direct(reconcile={"every": "1s"})
    migration.prepare()
    migration.lockstep.run_until_synced()
    source = migration.stack.source
    waits = f"datname = '{migration.name}' AND wait_event_type = 'Lock'"
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: status["tables"] and
                              status["tables"][0]["verified_through"], "a pass", 30)
        assert lockstep.verb("pause", "--scope", "reconcile").returncode == 0
        with migration.open_transaction("LOCK TABLE t IN ACCESS EXCLUSIVE MODE"):
            assert lockstep.verb("resume", "--scope", "reconcile").returncode == 0
            source.await_waiting(waits, "the comparison to ask for the rows")
            assert lockstep.verb("pause", "--scope", "reconcile").returncode == 0
            source.await_none(waits)
        ends = [line for line in source.log_lines() if f"@{migration.name} " in line
                and "canceling statement" in line]
        assert [line.partition("due to ")[2] for line in ends] == ["user request"], ends
        assert lockstep.verb("resume", "--scope", "reconcile").returncode == 0
        migration.source("UPDATE t SET n = n + 1 WHERE id < 100")
    migration.finish()


def test_what_cannot_go_on_beside_a_pause_says_so(direct):
    """A comparison and a proof, with a daemon and without one; verbs that need one."""
    migration = direct(reconcile={"mode": "off", "repair": "confirm"})
    migration.prepare()
    lockstep = migration.lockstep
    with migration.running():
        lockstep.await_follow()
        assert lockstep.verb("pause", "--scope", "apply", "--reason", "release 17").returncode == 0
        migration.source("UPDATE t SET n = n + 1 WHERE id < 100")
        # A proof, which does not come, would be waited for a minute long.
        fresh = lockstep.verb("status", "--fresh", "--exit-code", timeout=45)
        assert fresh.returncode == 3 and "release 17" in fresh.stdout, fresh
        with lockstep.verb_begun("reconcile", "--once") as asked:
            said(asked.stderr, "waits: apply is paused since 20", f"by {ME}", "release 17",
                 f"next: lockstep resume {lockstep.manifest} --scope apply")
            assert lockstep.verb("resume").returncode == 0
            assert asked.wait(60) == 0, asked.stderr.read()
    assert lockstep.verb("pause", "--scope", "reconcile").returncode == 0
    with lockstep.verb_begun("reconcile", "--once") as asked:
        said(asked.stderr, "waits: reconcile is paused since 20", f"by {ME}")
        said(asked.stderr, '"prepared"')  # Now it listens.
        assert lockstep.verb("resume").returncode == 0
        assert asked.wait(60) == 0
    assert lockstep.verb("abort").returncode == 0
    aborted = lockstep.verb("reconcile", "--once")
    assert aborted.returncode == 75 and "all writes are aborted since" in aborted.stderr, aborted
    for verb in (("repair", "--yes"), ("reload",), ("config diff",), ("events", "--follow"),
                 ("healthcheck",)):
        refused = lockstep.verb(*verb)
        assert refused.returncode == 69, refused
        assert re.search("lockstep does not run|no lockstep runs with", refused.stderr), refused
    assert lockstep.verb("resume").returncode == 0


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
    (("pause", "--table", "private.t"), 64, "selects no table private.t"),
])
def test_what_cannot_be_ordered_is_refused(direct, arguments, code, words):
    migration = direct()
    answer = migration.lockstep.verb(*arguments)
    assert answer.returncode == code, answer.stderr
    assert words in answer.stderr
    settings = json.loads(migration.lockstep.verb("settings", "--format", "json").stdout)
    assert all(one["by"] is None for one in settings["settings"])
    assert migration.lockstep.verb("stop").stdout == "lockstep does not run\n"
