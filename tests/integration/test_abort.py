"""The kill switch: after its answer nothing is written to the target, until somebody resumes.

Issue O, part 1 and acceptance 4.
"""

import json
import os
import time
from contextlib import closing

from tests.integration.conftest import TABLE
from tests.lab.lockstep import control_connection
from tests.lab.meanwhile import Meanwhile

# Every row of the target's tables and of the bookkeeping, which is written beside them.
EVERYTHING = """
SELECT md5(string_agg(line, ',' ORDER BY line)) FROM
  (SELECT t::text FROM t UNION ALL SELECT p::text FROM lockstep.progress p
   UNION ALL SELECT m::text FROM lockstep.mapping m UNION ALL SELECT c::text FROM lockstep.chunk c
   UNION ALL SELECT d::text FROM lockstep.debt d) all_of_it (line)
"""
SESSIONS = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE %s"


class Writers(Meanwhile):
    """Changes rows all the time."""

    def work(self, cursor):
        cursor.execute("UPDATE t SET n = n + 1 WHERE id % 50 = (random() * 49)::int")


def everything(migration):
    return migration.stack.target.execute(migration.name, EVERYTHING)


def sessions(migration):
    return migration.stack.target.execute(migration.name, SESSIONS,
                                          (f"lockstep {migration.name} %",))[0][0]


def await_writing(migration):
    """Waits until it follows, and lanes write what Writers change."""
    migration.lockstep.await_follow()
    before = migration.target("SELECT sum(n) FROM t")[0][0]
    migration.await_target(f"SELECT sum(n) > {before} FROM t", True)


def abort(migration, *arguments):
    """Returns the seconds it took."""
    begun = time.monotonic()
    done = migration.lockstep.verb("abort", *arguments)
    assert done.returncode == 0, done.stderr
    return time.monotonic() - begun


def post(lockstep, path):
    """What the daemon answers, without the patience of a verb."""
    connection = control_connection(lockstep)
    connection.request("POST", path, "{}")
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return answer


def test_nothing_is_written_after_the_answer(direct):
    """While it applies, over a kill -9, and while it was paused; nothing is lost."""
    migration = direct()
    migration.prepare()
    lockstep = migration.lockstep
    lockstep.run_until_synced()
    lockstep.start()
    lockstep.await_follow()
    with Writers(migration):
        migration.await_target("SELECT count(*) > 500 FROM t WHERE n > 0", True)
        took = [abort(migration, "--reason", "wrong database")]
        before = everything(migration)
        assert sessions(migration) == 0
        status = lockstep.await_status(lambda status: status["phase"] == "aborted", "the abort")
        assert not status["synced"] and status["lag_seconds"] is None
        assert any("wrong database" in line and f"uid {os.getuid()}" in line
                   for line in status["waiting_for"])
        assert lockstep.verb("resync").returncode != 0  # Whatever would write is refused.
        shown = lockstep.verb("status").stdout
        assert f"next: lockstep resume {lockstep.manifest}\n" in shown, shown
        lockstep.kill()
        assert [one["scope"] for one in lockstep.status()["paused"]] == ["abort"]
        lockstep.start()
        lockstep.await_status(lambda status: status["phase"] == "aborted", "the next run")
        assert everything(migration) == before
        for what in (("--scope", "apply"), ("--table", "public.t")):
            held = lockstep.verb("resume", *what)
            assert held.returncode == 3 and "all writes are aborted since" in held.stdout, held
            assert f"next: lockstep resume {lockstep.manifest} ends that" in held.stdout, held
        assert lockstep.verb("pause", "--scope", "apply").returncode == 0
        resumed = lockstep.verb("resume", "--scope", "apply")
        assert resumed.returncode == 0 and "all writes are aborted since" in resumed.stdout, resumed
        assert everything(migration) == before
        assert "abort" in lockstep.verb("resume").stdout
        for _ in range(3):
            await_writing(migration)
            took.append(abort(migration))
            before = everything(migration)
            assert lockstep.verb("pause", "--scope", "apply").returncode == 0
            assert everything(migration) == before
            assert lockstep.verb("resume").returncode == 0
            abort(migration)  # What was known of the first one does not count.
            assert sessions(migration) == 0
            assert lockstep.verb("resume").returncode == 0
    print(f"abort: {sorted(took)[len(took) // 2]:.2f} s median, {max(took):.2f} s worst")
    assert lockstep.stop() == 0
    migration.finish()
    audit = json.loads(lockstep.verb("audit", "--format", "json").stdout)["audit"]
    assert ("pause", "abort: wrong database") in [(one["verb"], one["details"]) for one in audit]


def test_what_is_in_flight_ends_by_rollback(direct):
    """A COPY that hangs in its commit, and a lane that waits for a lock."""
    migration = direct(TABLE, backfill={"workers": 1, "chunk_rows": 500})
    migration.prepare()
    gate = migration.hold_copies("t", "NEW.id = 1700")
    lockstep = migration.lockstep
    lockstep.start()
    try:
        migration.await_held_copy()
        rows = migration.target("SELECT count(*) FROM t")
        abort(migration)
        assert sessions(migration) == 0
    finally:
        gate.close()
    assert migration.target("SELECT count(*) FROM t") == rows
    lock = migration.target_connection(autocommit=False)
    assert lockstep.verb("resume").returncode == 0
    migration.target("DROP TRIGGER hold ON t")
    lockstep.await_follow()
    lock.cursor().execute("SELECT FROM t WHERE id = 5 FOR UPDATE")
    migration.source("UPDATE t SET n = 77 WHERE id = 5")
    migration.stack.target.await_waiting(f"datname = '{migration.name}' AND wait_event_type = 'Lock'",
                                         "a lane to wait")
    abort(migration)
    lock.rollback()
    lock.close()
    assert migration.target("SELECT n FROM t WHERE id = 5") == [(0,)]
    lockstep.kill()
    # Of no daemon: it finds the order at its start; and one may be resumed there, too.
    held = lockstep.verb("resume", "--scope", "apply")
    assert held.returncode == 3 and "all writes are aborted since" in held.stdout, held
    assert lockstep.verb("resume").returncode == 0
    abort(migration)
    refused = lockstep.verb("quarantine retry")
    assert refused.returncode == 75 and "all writes are aborted since" in refused.stderr
    lockstep.start()
    lockstep.await_status(lambda status: status["phase"] == "aborted", "the next run")
    assert migration.target("SELECT n FROM t WHERE id = 5") == [(0,)]
    assert lockstep.stop() == 0
    assert lockstep.verb("resume").returncode == 0
    migration.finish()


def test_a_state_directory_that_takes_nothing_keeps_nobody_from_it(direct):
    """As a full disk does: what is ordered is sealed first, in a file of this name."""
    migration = direct(TABLE)
    migration.prepare()
    lockstep = migration.lockstep
    lockstep.start()
    lockstep.await_follow()
    full = lockstep.state / "seal.new"
    full.mkdir()
    refused = lockstep.verb("pause")
    assert refused.returncode == 74 and "seal.new" in refused.stderr, refused
    aborted = lockstep.verb("abort")
    assert aborted.returncode == 74 and "the abort is not stored" in aborted.stderr, aborted
    assert sessions(migration) == 0
    lockstep.await_status(lambda status: status["phase"] == "aborted", "the abort")
    stopped = lockstep.verb("stop")
    assert stopped.returncode == 0 and stopped.stdout == "lockstep has ended\n", stopped
    assert "the order does not stand in the audit log" in stopped.stderr, stopped
    full.rmdir()
    # Of one that was killed, what it has sent is still to be carried out.
    lockstep.start()
    lockstep.await_follow()
    with closing(migration.target_connection(autocommit=False)) as lock:
        lock.cursor().execute("SELECT FROM t WHERE id = 5 FOR UPDATE")
        migration.source("UPDATE t SET n = 77 WHERE id = 5")
        migration.stack.target.await_waiting(
            f"datname = '{migration.name}' AND wait_event_type = 'Lock'", "a lane to wait")
        full.mkdir()
        lockstep.kill()
        aborted = lockstep.verb("abort")
        assert aborted.returncode == 74, aborted
        assert "its sessions on the target were ended, but the abort is not stored" in aborted.stderr
        assert sessions(migration) == 0
        lock.rollback()
    assert migration.target("SELECT n FROM t WHERE id = 5") == [(0,)]
    full.rmdir()
    migration.finish()


def test_a_resume_before_the_run_has_ended_has_it_go_on(direct):
    """The comparison waits behind a lock of the application on the source, so that the run cannot
    come to its end before somebody has resumed: nobody has asked the daemon to end."""
    migration = direct(TABLE)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        assert lockstep.verb("reconcile", "--once").returncode == 0  # It has begun, and is at rest.
        with migration.open_transaction("LOCK TABLE t IN ACCESS EXCLUSIVE MODE"), \
                lockstep.verb_begun("reconcile", "--once"):
            migration.stack.source.await_waiting(
                f"datname = '{migration.name}' AND wait_event_type = 'Lock'", "the comparison")
            assert post(lockstep, "/api/v1/abort")["ended"] is False
            assert post(lockstep, "/api/v1/resume")["scopes"] == ["abort"]
            waits = migration.stack.source.value(
                migration.name, "SELECT count(*) FROM pg_stat_activity"
                                f" WHERE datname = '{migration.name}' AND wait_event_type = 'Lock'")
            assert waits == 1, "the run has come to its end before it was resumed"
        migration.source("UPDATE t SET n = 42 WHERE id = 5")
        migration.await_target("SELECT n FROM t WHERE id = 5", 42)
        assert not lockstep.status()["paused"]
    migration.finish()
