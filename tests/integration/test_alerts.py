"""Each alert that is shipped fires in a real Prometheus for one real fault, with no other beside it
that the fault does not imply, and is gone once the fault is cured.  Panels get what they ask for.

Issue O, acceptance 6 and 7.  A minute of the alerts is a second here (tests/lab/prometheus.py).
"""

import os
import re
import signal
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.integration.conftest import TABLE, is_long
from tests.integration.test_dashboards import RULES, panel_queries
from tests.lab.meanwhile import Meanwhile
from tests.lab.process import Process, free_ports, wait_until
from tests.lab.prometheus import Prometheus, Watch
from tests.lab.stack import WRITER

long = pytest.mark.skipif(not is_long(), reason="waits for a minute; ./run test --long")

# Why an alert may fire beside the one that a fault is for.
LATE = "what has to wait comes late"
WAITS = "a change waits for as long as the fault lasts"
UNKNOWN = "nobody knows what the source has while it cannot be asked, or what is proven"
BROKEN = "a part whose step fails does not do its work"

TOTAL = {"name": "total", "every": "1s", "source": "SELECT sum(n) FROM public.seen",
         "target": "SELECT sum(n) FROM public.seen"}
OTHER = """
CREATE TABLE other (id int PRIMARY KEY, n int);
INSERT INTO other SELECT g, g FROM generate_series(1, 10) g;
CREATE VIEW seen AS SELECT * FROM other;
GRANT SELECT ON seen TO PUBLIC;
"""


class Writers(Meanwhile):
    """The application's load: some hundred changes a second."""

    def work(self, cursor):
        cursor.execute("UPDATE t SET n = n + 1 WHERE id = 1 + (random() * 2000)::int")
        cursor.execute("SELECT pg_sleep(0.005)")


@pytest.fixture
def watched(direct):
    """Runs a daemon over the direct stream and a Prometheus beside it: (migration, watch)."""
    @contextmanager
    def make(schema=TABLE, **overrides):
        port, = free_ports(1)
        migration = direct(schema, listen={"port": port}, **overrides)
        migration.prepare()
        directory = migration.stack.directory / f"{migration.name}.prometheus"
        with Prometheus(directory, port) as prometheus, migration.running() as lockstep:
            lockstep.await_follow()
            yield migration, Watch(prometheus, lockstep)
        migration.finish()

    return make


def verb(lockstep, *arguments):
    done = lockstep.verb(*arguments)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def halted(cluster, pid):
    """Meanwhile a process of a server of ours does nothing, and nobody is told."""
    assert pid, f"the session on {cluster.name} is there"
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def session(cluster, application_name):
    """The pid of the server's process for a session of lockstep; 0: there is none."""
    return cluster.value("postgres", "SELECT coalesce(max(pid), 0) FROM pg_stat_activity"
                                     " WHERE application_name = %s", (application_name,))


# ---------------------------------------------------------------- in every run of the suite


# What a panel asks for and a migration that is well has not: by the metric that is absent, or the
# comparison that does not hold.
ABSENT = {
    "migration_paused": "nothing is held",
    "migration_kill_switch": "nothing is aborted",
    "migration_divergence_ratio": "no row is unequal",
    "migration_source_retained_wal_limit_bytes": "there is no limit",
    "migration_source_retained_wal_full_seconds": "there is no limit",
    "migration_retries_total": "no step has failed",
}


def assert_panels_show(migration, prometheus):
    """Each query of the dashboard is one that Prometheus takes, and brings series."""
    waiting = panel_queries(migration.name)
    assert len(waiting) > 20 and not any("$" in query for query in waiting)
    absent = {query for query in waiting if any(f"{name}{{" in query for name in ABSENT)}

    def shown():
        for query in sorted(waiting):
            if prometheus.query(query):
                waiting.discard(query)
        return waiting <= absent

    migration.source("UPDATE t SET n = 7 WHERE id < 100")
    wait_until(shown, f"series for {waiting - absent}", 60)
    assert waiting == absent, f"there is a series for {absent - waiting}: it is no exception"


def test_panels_show_what_is_there_and_quick_alerts_fire(watched, stack):
    with watched(TABLE + OTHER, aggregates=[TOTAL], debt_attempts=1) as (migration, watch):
        lockstep = migration.lockstep
        assert_panels_show(migration, watch.prometheus)

        with watch.fault("MigrationDown") as fault:
            lockstep.kill()
            fault.seen(job="lockstep", severity="page",
                       instance=f"127.0.0.1:{migration.manifest['listen']['port']}")
            lockstep.start()

        with watch.fault("MigrationAggregateMismatch") as fault:
            migration.target("CREATE OR REPLACE VIEW seen AS SELECT * FROM other WHERE id > 1")
            fault.seen(migration=migration.name, check="total", severity="page")
            migration.target("CREATE OR REPLACE VIEW seen AS SELECT * FROM other")

        with watch.fault("MigrationQuarantine", MigrationLagHigh=WAITS) as fault:
            migration.target("ALTER TABLE t ADD CONSTRAINT narrow CHECK (n < 1000)")
            migration.source("UPDATE t SET n = 1000 WHERE id = 17")
            fault.seen(migration=migration.name, severity="ticket")
            migration.target("ALTER TABLE t DROP CONSTRAINT narrow")
            verb(lockstep, "quarantine retry")

        with watch.fault("MigrationTableStopped") as fault:
            migration.target(f"REVOKE UPDATE, INSERT ON t FROM {WRITER}")
            migration.source("UPDATE t SET n = 1 WHERE id = 17")
            fault.seen(migration=migration.name, state="stopped", severity="page")
            migration.target(f"GRANT UPDATE, INSERT ON t TO {WRITER}")
            verb(lockstep, "resume")


def test_every_alert_that_is_shipped_has_its_fault_here():
    caused = re.findall(r'"(Migration[A-Z]\w+)"', Path(__file__).read_text())
    assert set(caused) == set(re.findall(r"- alert: (\w+)", RULES.read_text()))


# ---------------------------------------------------------------- the others


@long
def test_a_planted_row_and_a_comparison_that_is_held(watched):
    with watched(reconcile={"every": "2s", "repair": "confirm"}) as (migration, watch):
        lockstep = migration.lockstep
        wait_until(lambda: watch.prometheus.query(
            "migration_reconcile_last_success_timestamp_seconds"), "the first comparison")
        with watch.fault("MigrationDivergence",
                         MigrationReconcileStale="a range waits for its last look") as fault:
            migration.target("UPDATE t SET v = 'planted' WHERE id = 17")
            fault.seen(migration=migration.name, severity="page")
            verb(lockstep, "repair", "--yes")
        with watch.fault("MigrationReconcileStale") as fault:
            verb(lockstep, "pause", "--scope", "reconcile")
            fault.seen(migration=migration.name, table="public.t", severity="ticket")
            verb(lockstep, "resume")


@long
def test_servers_that_are_away(watched, stack):
    with watched() as (migration, watch):
        with watch.fault("MigrationNotReady", MigrationLagUnknown=UNKNOWN) as fault:
            stack.target.stop("immediate")
            fault.seen(migration=migration.name, severity="page")
            stack.target.start()
        with watch.fault("MigrationNotReady", MigrationLagUnknown=UNKNOWN) as fault:
            stack.source.stop("immediate")
            fault.seen(migration=migration.name, severity="page")
            stack.source.start()


@long
def test_a_stream_that_hangs_behind_a_live_connection(watched, stack):
    with watched() as (migration, watch):
        sender = stack.source.value(
            "postgres", "SELECT active_pid FROM pg_replication_slots WHERE slot_name = %s",
            (migration.slot_name,))
        with watch.fault("MigrationLagUnknown", MigrationNotReady=BROKEN) as fault:
            with halted(stack.source, sender):
                fault.seen(migration=migration.name, severity="page")


@long
def test_a_lane_that_waits_for_a_lock(watched):
    with watched() as (migration, watch):
        with watch.fault("MigrationWedged", "MigrationNotReady", "MigrationLagHigh",
                         "MigrationLagPage", MigrationThrottledLong=WAITS) as fault:
            holder = migration.target_connection(autocommit=False)
            holder.cursor().execute("SELECT FROM t WHERE id = 7 FOR UPDATE")
            migration.source("UPDATE t SET n = 9 WHERE id = 7")
            fault.seen(migration=migration.name, stage="lane", severity="page")
            holder.close()


@long
def test_changes_that_come_late(watched):
    with watched() as (migration, watch), Writers(migration):
        wait_until(lambda: watch.prometheus.query(
            "sum(rate(migration_event_apply_latency_seconds_count[5s])) > 10"), "the load")
        with watch.fault("MigrationLateFast", "MigrationLateSlow",
                         MigrationLagHigh=WAITS, MigrationThrottledLong=WAITS) as fault:
            verb(migration.lockstep, "pause", "--scope", "apply")
            migration.lockstep.await_status(lambda status: (status["lag_seconds"] or 0) > 6,
                                            "changes that are late")
            verb(migration.lockstep, "resume")
            fault.seen(migration=migration.name, severity="page")


@long
def test_what_somebody_has_forgotten(watched):
    with watched(TABLE + OTHER, throttle={"query": {
            "side": "target", "at_most": 1, "sql": "SELECT count(*) FROM pg_stat_activity"
                                                   " WHERE application_name = 'batch job'"}}
                 ) as (migration, watch):
        with watch.fault("MigrationPausedLong", "MigrationTablePausedLong",
                         "MigrationThrottledLong") as fault:
            verb(migration.lockstep, "pause", "--scope", "apply")
            verb(migration.lockstep, "pause", "--table", "public.other")
            jobs = [migration.target_connection() for _ in range(3)]
            for job in jobs:
                job.cursor().execute("SET application_name = 'batch job'")
            fault.seen(migration=migration.name, scope="apply", severity="ticket")
            verb(migration.lockstep, "resume")
            for job in jobs:
                job.close()


@long
def test_a_breaker_that_nobody_looks_after(watched):
    """It holds apply, so that every change waits."""
    with watched(debt_attempts=1, breakers={"quarantined_rows": 1}) as (migration, watch):
        migration.target("ALTER TABLE t ADD CONSTRAINT narrow CHECK (n < 1000)")
        with watch.fault("MigrationBreakerOpen", "MigrationPausedLong", "MigrationQuarantine",
                         "MigrationLagHigh", "MigrationLagPage",
                         MigrationThrottledLong=WAITS) as fault:
            migration.source("UPDATE t SET n = 1000 WHERE id <= 3")
            migration.lockstep.await_status(
                lambda status: any(one["by"] == "breaker" for one in status["paused"]),
                "the breaker to trip")
            migration.source("UPDATE t SET n = 5 WHERE id = 4")
            fault.seen(migration=migration.name, scope="apply", severity="page")
            migration.target("ALTER TABLE t DROP CONSTRAINT narrow")
            verb(migration.lockstep, "resume")
            verb(migration.lockstep, "quarantine retry")


@long
def test_an_abort(watched):
    with watched() as (migration, watch):
        with watch.fault("MigrationAborted") as fault:
            verb(migration.lockstep, "abort", "--reason", "wrong database")
            fault.seen(migration=migration.name, severity="page")
            verb(migration.lockstep, "resume")


@long
def test_rows_that_stay_owed(watched, stack):
    """Somebody's lock on the source keeps a row from being read again."""
    with watched() as (migration, watch):
        migration.target("ALTER TABLE t ADD CONSTRAINT narrow CHECK (n < 1000)")
        with watch.fault("MigrationDebtsStay", MigrationNotReady=BROKEN,
                         MigrationLagHigh=WAITS) as fault:
            with closing(migration.source_connection(autocommit=False)) as locking:
                waits = threading.Thread(target=locking.cursor().execute,
                                         args=("LOCK TABLE t IN ACCESS EXCLUSIVE MODE",))
                with migration.open_transaction("UPDATE t SET n = 1000 WHERE id = 17"):
                    waits.start()
                    stack.source.await_waiting(
                        f"datname = '{migration.name}' AND wait_event_type = 'Lock'", "the lock")
                waits.join()  # It has the lock the moment the row is committed.
                fault.seen(migration=migration.name, severity="ticket")
                migration.target("ALTER TABLE t DROP CONSTRAINT narrow")


@long
def test_a_log_that_the_source_keeps(watched, stack):
    """A transaction that somebody has left open keeps the slot where it is."""
    with watched(source={"wal_limit": {"mb": 200, "then": "warn"}}) as (migration, watch):
        with watch.fault("MigrationSourceWalHalf", "MigrationSourceWalFull") as fault:
            with migration.open_transaction("UPDATE t SET n = -1 WHERE id = 1"), \
                    Logging(migration):
                fault.seen(migration=migration.name, severity="ticket")
            # What the slot may let go of is looked at when this is written.
            stack.source.execute("postgres", "CHECKPOINT")


class Logging(Meanwhile):
    """Some four megabytes of log a second."""

    def work(self, cursor):
        cursor.execute("SELECT pg_logical_emit_message(false, 'lab', repeat('x', 1000000)),"
                       " pg_sleep(0.25)")


@long
def test_a_slow_disk_under_the_state(watched):
    """Each write that is made durable takes a second and a half."""
    with watched() as (migration, watch), Writers(migration):
        with watch.fault("MigrationCheckpointSlow", MigrationLagHigh=WAITS, MigrationLateFast=LATE,
                         MigrationLateSlow=LATE, MigrationThrottledLong=WAITS) as fault:
            slow = Process("strace", [
                "strace", "-f", "-q", "-o", "/dev/null", "-p", migration.lockstep.process.pid,
                "-e", "trace=fsync,fdatasync",
                "-e", "inject=fsync,fdatasync:delay_enter=1500000"],
                migration.lockstep.directory / "strace.log")
            try:
                fault.seen(migration=migration.name, severity="ticket")
            finally:
                slow.stop()


@long
def test_a_supervisor_that_hangs(watched, stack):
    """The server's process that answers it is halted."""
    with watched() as (migration, watch):
        with watch.fault("MigrationSilent", MigrationLagUnknown=UNKNOWN) as fault:
            with halted(stack.target, session(stack.target, f"lockstep {migration.name} ledger")):
                fault.seen(migration=migration.name, stage="supervisor", severity="page")
