"""The copy and the comparison yield to what matters more, never the stream, and say to what.

Issue O, part 2; steps of real load, and how long it takes: test_load_step.
"""

import threading
import time

import psycopg2
import psycopg2.errors
import psycopg2.extras

from tests.integration.conftest import TABLE
from tests.integration.test_metrics import COMPARED, total
from tests.lab.meanwhile import Beside
from tests.lab.postgres import SUPERUSER
from tests.lab.stack import WRITER

BIG = TABLE.replace("3000", "150000")
RATE = 4000
STEADY = {"workers": 1, "chunk_rows": 100, "rate_limit_rows_per_second": RATE}


def throttled_by(status, *words):
    """A reason that has all the words."""
    return status["throttled"] and any(all(word in reason for word in words)
                                       for reason in status["throttled"]["reasons"])


def rows_of_t(migration):
    return migration.target("SELECT count(*) FROM t")[0][0]


def await_looks(lockstep, reason):
    """Waits until the daemon has been throttled for three seconds more, which are six looks at what
    throttles it; returns how long it was.  Each status meanwhile has that reason."""
    name = "migration_throttled_seconds_total"
    begun = total(lockstep, name)

    def looked(status):
        assert throttled_by(status, reason), status["throttled"]
        return total(lockstep, name) >= begun + 3

    lockstep.await_status(looked, "more looks at the load")
    return total(lockstep, name) - begun


def test_the_copy_yields_and_comes_back(direct):
    """A step of the load, as a query of the operator's sees it."""
    migration = direct(BIG, backfill=STEADY, throttle={
        "query": {"side": "target", "sql": "SELECT n FROM public.pressure", "at_most": 10}})
    migration.prepare()
    migration.target(f"CREATE TABLE pressure (n int); INSERT INTO pressure VALUES (1);"
                     f"GRANT SELECT ON pressure TO {WRITER}")
    with migration.running() as lockstep:
        lockstep.await_rows(400)
        migration.target("UPDATE pressure SET n = 40")
        status = lockstep.await_status(
            lambda status: throttled_by(status, "throttle.query 40 > 10")
            and status["throttled"]["share"] < 0.02, "the reason")
        assert status["throttled"]["since"]
        assert "throttled to " in lockstep.verb("status").stdout
        migration.source("INSERT INTO t VALUES (900001, 'stream', 0)")
        migration.await_target("SELECT v FROM t WHERE id = 900001", "stream")
        before = rows_of_t(migration)
        seconds = await_looks(lockstep, "throttle.query")
        # Of a chunk's 100 rows the server has some milliseconds of work, and then 63 times as many
        # of rest.
        assert rows_of_t(migration) - before < seconds * RATE / 4
        migration.target("UPDATE pressure SET n = 9")  # Below its bound, and not well below.
        await_looks(lockstep, "throttle.query")
        assert lockstep.status()["phase"] == "backfill"
        migration.target("UPDATE pressure SET n = 1")
        lockstep.await_status(lambda status: status["throttled"] is None, "the end of it")
        assert "the copy and the comparison are slowed down" in lockstep.verb("events").stdout
        assert lockstep.verb("set", "backfill.rate_limit_rows_per_second=0").returncode == 0
        lockstep.await_follow(150)  # Throttled, the rest of it would take twice as long.
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
            throttled_by(status, "log that the source keeps for us", "MiB"), "both reasons")
        assert status["throttle_unknown"] == [] and status["kept_wal"]["mb"] > 2
        assert lockstep.verb("resume").returncode == 0
        lockstep.await_status(lambda status: status["throttled"] is None, "the end of it")
        lock = migration.target_connection(autocommit=False)
        lock.cursor().execute("SELECT FROM t WHERE id = 5 FOR UPDATE")
        migration.source("UPDATE t SET n = 7 WHERE id = 5")
        migration.stack.target.await_waiting(
            f"datname = '{migration.name}' AND wait_event_type = 'Lock'"
            " AND clock_timestamp() - xact_start > interval '500 ms'",
            "a lane to wait for longer than its bound of 300 ms")
        lock.rollback()
        lock.close()
        lockstep.await_status(lambda status: throttled_by(status, "our transactions", " ms"),
                              "the reason")
        lockstep.await_status(lambda status: status["throttled"] is None, "the end of it")
    migration.finish()


def test_sessions_of_others_need_a_grant(direct, stack):
    """What cannot be seen slows nothing, and status says what to grant."""
    migration = direct(TABLE)
    migration.prepare()
    others = [stack.target.connect(migration.name) for _ in range(4)]
    stack.target.execute("postgres", f"REVOKE pg_monitor FROM {WRITER}")
    with migration.running() as lockstep:
        assert lockstep.verb("set", "throttle.active_sessions=2").returncode == 0
        busy = [_Sleeping(other) for other in others]
        try:
            status = lockstep.await_status(lambda status: status["throttle_unknown"], "what to do")
            assert "GRANT pg_monitor" in status["throttle_unknown"][0]
            assert status["throttled"] is None
            stack.target.execute("postgres", f"GRANT pg_monitor TO {WRITER}")
            lockstep.await_status(
                lambda status: throttled_by(status, "active sessions of the target", " > 2"), "it")
            assert lockstep.verb("set", "throttle.active_sessions=50").returncode == 0
            lockstep.await_status(lambda status: status["throttled"] is None, "so many to be few")
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
            self._connection.cursor().execute("SELECT pg_sleep(3600)")
        except psycopg2.errors.QueryCanceled:
            pass

    def end(self):
        while self._thread.is_alive():  # It may not have begun yet.
            self._connection.cancel()
            self._thread.join(0.1)
        self._connection.close()


class LateFollower(Beside):
    """A context manager: a follower of a server's log that says of all of it, two seconds late, that
    it is replayed; and something to replay, all the time."""

    LATE = 2

    def __init__(self, cluster):
        super().__init__()
        self._cluster = cluster

    def run(self):
        writing = self._cluster.connect()
        follower = psycopg2.connect(
            host=str(self._cluster.socket_dir), port=self._cluster.port, user=SUPERUSER,
            application_name="follower", dbname="postgres",
            connection_factory=psycopg2.extras.PhysicalReplicationConnection)
        at = self._cluster.value("postgres", "SELECT pg_current_wal_flush_lsn()")
        cursor = follower.cursor()
        cursor.start_replication(start_lsn=at)
        heard = []  # (when, position)
        while not self.is_over(0.05):
            writing.cursor().execute("SELECT pg_logical_emit_message(true, 'lab', 'replayed?')")
            while (message := cursor.read_message()) is not None:
                heard.append((time.monotonic(), message.data_start + message.data_size))
            replayed = [end for at, end in heard if at < time.monotonic() - self.LATE]
            if replayed:
                cursor.send_feedback(replayed[-1], replayed[-1], replayed[-1], force=True)
                heard = heard[len(replayed):]
        follower.close()
        writing.close()


def test_a_replica_that_is_late_is_a_bound(seeing_roles, direct, stack):
    migration = direct(TABLE)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        for side in ("source", "target"):
            with LateFollower(getattr(stack, side)):
                assert lockstep.verb("set", "throttle.replica_lag_seconds=1").returncode == 0
                status = lockstep.await_status(
                    lambda status: throttled_by(status, f"replica lag of the {side} ", " s > 1 s"),
                    f"the replica of the {side} to count")
                assert status["throttle_unknown"] == []
                assert lockstep.verb("set", "throttle.replica_lag_seconds=50").returncode == 0
                lockstep.await_status(lambda status: status["throttled"] is None, "it to be good")
    migration.finish()


def test_bytes_are_limited(direct):
    migration = direct(BIG, backfill={"workers": 1, "chunk_rows": 100,
                                      "rate_limit_bytes_per_second": 100_000})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_rows(400)
        begun, before = time.monotonic(), rows_of_t(migration)
        migration.await_target(f"SELECT count(*) > {before + 15_000} FROM t", True)
        # A row of the copy has some thirty bytes.
        assert rows_of_t(migration) - before < 8000 * (time.monotonic() - begun)
        assert lockstep.verb("set", "backfill.rate_limit_bytes_per_second=0").returncode == 0
        lockstep.await_follow()


def test_rows_and_bytes_of_a_comparison_are_limited(direct):
    """Under a limit of 1 the range that was compared last counts for an hour or a day."""
    migration = direct(TABLE, reconcile={"every": "1s", "digests": "off"})
    migration.prepare()
    migration.lockstep.run_until_synced()

    with migration.running() as lockstep:
        for limit in ("rows_per_second", "bytes_per_second"):
            lockstep.await_status(lambda status: total(lockstep, COMPARED) >= 9000, "three comparisons")
            assert lockstep.verb("set", f"reconcile.{limit}=1").returncode == 0
            before = total(lockstep, COMPARED)
            lockstep.await_status(
                lambda status: status["tables"][0]["verified_age_seconds"] > 6, "it to grow old")
            # The one that was under way.
            assert total(lockstep, COMPARED) <= before + 3000
            assert lockstep.verb("set", f"reconcile.{limit}=0").returncode == 0
            before = total(lockstep, COMPARED)
            lockstep.await_status(lambda status: total(lockstep, COMPARED) >= before + 6000,
                                  "it to go on")
    migration.finish()


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
