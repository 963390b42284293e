"""The copy and the comparison yield to what matters more, never the stream, and say to what.

Issue O, part 2; steps of real load: test_load_step.
"""

import threading
import time

import psycopg2
import psycopg2.errors

from tests.integration.conftest import TABLE
from tests.lab.process import wait_until
from tests.lab.stack import WRITER

BIG = TABLE.replace("3000", "150000")
STEADY = {"workers": 1, "chunk_rows": 100, "rate_limit_rows_per_second": 4000}


def throttled_by(status, *words):
    """A reason that has all the words."""
    return status["throttled"] and any(all(word in reason for word in words)
                                       for reason in status["throttled"]["reasons"])


def rows_per_second(migration, seconds=2):
    before, begun = migration.target("SELECT count(*) FROM t")[0][0], time.monotonic()
    time.sleep(seconds)
    return (migration.target("SELECT count(*) FROM t")[0][0] - before) / (time.monotonic() - begun)


def test_the_copy_yields_and_comes_back(direct):
    """A step of the load, as a query of the operator's sees it: both ways within ten seconds."""
    migration = direct(BIG, backfill=STEADY, throttle={
        "query": {"side": "target", "sql": "SELECT n FROM public.pressure", "at_most": 10}})
    migration.prepare()
    migration.target(f"CREATE TABLE pressure (n int); INSERT INTO pressure VALUES (1);"
                     f"GRANT SELECT ON pressure TO {WRITER}")
    with migration.running() as lockstep:
        lockstep.await_rows(400)
        full = rows_per_second(migration)
        migration.target("UPDATE pressure SET n = 40")
        begun = time.monotonic()
        wait_until(lambda: rows_per_second(migration, 1) < full / 8, "the copy to yield", 10)
        yielded = time.monotonic() - begun
        status = lockstep.await_status(
            lambda status: throttled_by(status, "throttle.query 40 > 10"), "the reason")
        assert status["throttled"]["share"] < 0.1 and status["throttled"]["since"]
        assert "throttled to " in lockstep.verb("status").stdout
        migration.source("INSERT INTO t VALUES (900001, 'stream', 0)")
        begun = time.monotonic()
        migration.await_target("SELECT v FROM t WHERE id = 900001", "stream", 5)
        lag = time.monotonic() - begun
        migration.target("UPDATE pressure SET n = 9")  # Below its bound, and not well below.
        time.sleep(3)  # Six looks: that it goes on is no event.
        assert throttled_by(lockstep.status(), "throttle.query")
        migration.target("UPDATE pressure SET n = 1")
        begun = time.monotonic()
        lockstep.await_status(lambda status: status["throttled"] is None, "the end of it", 10)
        assert rows_per_second(migration) > full / 2
        print(f"{full:.0f} rows/s; yields within {yielded:.1f} s, the stream takes {lag:.2f} s, "
              f"back within {time.monotonic() - begun:.1f} s")
        assert "the copy and the comparison are slowed down" in lockstep.verb("events").stdout
        assert lockstep.verb("set", "backfill.rate_limit_rows_per_second=0").returncode == 0
        lockstep.await_follow()
    migration.finish()


def test_lag_log_and_our_own_transactions_are_bounds(direct):
    migration = direct(TABLE)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        for setting in ("lag_seconds=1", "retained_wal_mb=2", "transaction_ms=300"):
            assert lockstep.verb("set", f"throttle.{setting}").returncode == 0
        assert lockstep.verb("pause", "--scope", "apply").returncode == 0
        migration.source("UPDATE t SET n = 1 WHERE id < 100; SELECT pg_logical_emit_message("
                         "false, 'lab', repeat(md5(random()::text), 200000))")
        status = lockstep.await_status(
            lambda status: throttled_by(status, "stream lag") and
            throttled_by(status, "log that the source keeps for us", "MiB"), "both reasons", 20)
        assert status["throttle_unknown"] == [] and status["kept_wal"]["mb"] > 2
        assert lockstep.verb("resume").returncode == 0
        lockstep.await_status(lambda status: status["throttled"] is None, "the end of it", 30)
        lock = migration.target_connection(autocommit=False)
        lock.cursor().execute("SELECT FROM t WHERE id = 5 FOR UPDATE")
        migration.source("UPDATE t SET n = 7 WHERE id = 5")
        migration.stack.target.await_waiting(
            f"datname = '{migration.name}' AND wait_event_type = 'Lock'", "a lane to wait")
        time.sleep(0.5)  # So long a transaction is over the bound of 300 ms.
        lock.rollback()
        lock.close()
        lockstep.await_status(lambda status: throttled_by(status, "our transactions", " ms"),
                              "the reason", 10)
        lockstep.await_status(lambda status: status["throttled"] is None, "the end of it", 10)
    migration.finish()


def test_sessions_of_others_need_a_grant(direct, stack):
    """What cannot be seen slows nothing, and status says what to grant."""
    migration = direct(TABLE, throttle={"active_sessions": 2})
    migration.prepare()
    others = [stack.target.connect(migration.name) for _ in range(4)]
    for other in others:
        other.autocommit = True
    stack.target.execute("postgres", f"REVOKE pg_monitor FROM {WRITER}")
    with migration.running() as lockstep:
        busy = [_Sleeping(other) for other in others]
        try:
            status = lockstep.await_status(lambda status: status["throttle_unknown"], "what to do", 20)
            assert "GRANT pg_monitor" in status["throttle_unknown"][0]
            assert status["throttled"] is None
            stack.target.execute("postgres", f"GRANT pg_monitor TO {WRITER}")
            lockstep.await_status(
                lambda status: throttled_by(status, "active sessions of the target"), "it", 20)
        finally:
            stack.target.execute("postgres", f"REVOKE pg_monitor FROM {WRITER}")
            for one in busy:
                one.end()


class _Sleeping:
    """A session that is active until end()."""

    def __init__(self, connection):
        self._connection = connection
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        try:
            self._connection.cursor().execute("SELECT pg_sleep(60)")
        except psycopg2.errors.QueryCanceled:
            pass

    def end(self):
        self._connection.cancel()
        self._thread.join()
        self._connection.close()


def test_bytes_are_limited(direct):
    migration = direct(BIG, backfill={"workers": 1, "chunk_rows": 100,
                                      "rate_limit_bytes_per_second": 100_000})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_rows(400)
        # A row of the copy has some thirty bytes.
        assert 1000 < rows_per_second(migration) < 8000
        assert lockstep.verb("set", "backfill.rate_limit_bytes_per_second=0").returncode == 0
        lockstep.await_follow(60)


def test_every_setting_is_set_live_and_read_back(direct):
    """Acceptance 2: with who and when."""
    migration = direct(TABLE)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        names = [one["name"] for one in lockstep.answer("settings", "--format", "json")["settings"]]
        assert len(names) == 12
        for number, name in enumerate(names):
            assert lockstep.verb("set", f"{name}={1000 + number}", "--reason", "test").returncode == 0
        shown = {one["name"]: one for one in
                 lockstep.answer("settings", "--format", "json")["settings"]}
        for number, name in enumerate(names):
            assert shown[name]["value"] == 1000 + number
            assert shown[name]["by"].startswith("uid ") and shown[name]["since"][:2] == "20"
