"""How long a change takes on the direct stream, from its commit at the source to that at the target.

Both servers keep the time of every commit (track_commit_timestamp) and read one clock; the target
itself tells us that a change has arrived, so nothing polls while it is measured.
"""

import select
import statistics
import subprocess
import tempfile
from contextlib import contextmanager

from tests.lab.migration import Migration
from tests.lab.postgres import BIN, OWNER
from tests.lab.process import LabError

LONE_CHANGES = 500
SECONDS = 20
CLIENTS = 16
_TABLE = "CREATE TABLE ticks (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)"
_TICK = "INSERT INTO ticks (v) VALUES (repeat('x', 100));\n"
_TELL = """
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN NOTIFY arrived; RETURN NULL; END $$;
CREATE TRIGGER tell AFTER INSERT ON ticks EXECUTE FUNCTION tell();
ALTER TABLE ticks ENABLE ALWAYS TRIGGER tell;
LISTEN arrived;
"""
_COMMITS = "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM ticks"


@contextmanager
def commit_times(stack):
    """Meanwhile both servers remember when each transaction was committed."""
    clusters = (stack.source, stack.target)
    for cluster in clusters:
        cluster.execute("postgres", "ALTER SYSTEM SET track_commit_timestamp = on")
        cluster.restart()
    try:
        yield
    finally:
        for cluster in clusters:
            cluster.execute("postgres", "ALTER SYSTEM RESET track_commit_timestamp")
            cluster.restart()


def latency(bench, rate):
    """Notes p50 and p99 of lone changes, and under `rate` transactions of one row a second."""
    with commit_times(bench.stack), \
            Migration(bench.stack, "latency", stream="direct") as migration:
        migration.source(_TABLE)
        migration.prepare()
        with migration.running() as lockstep:
            lockstep.await_follow()
            _lone_changes(migration)
            _note(bench, migration, "lone changes", 0)
            _load(migration, rate)
            migration.await_target("SELECT max(id) FROM ticks", _last(migration), 120)
            measured = _note(bench, migration, f"{rate} transactions/s", LONE_CHANGES)
        bench.note(f"latency: {rate} transactions/s, reached", measured / SECONDS)
        migration.finish()


def _lone_changes(migration):
    source, target = migration.source_connection(), migration.target_connection()
    target.cursor().execute(_TELL)
    for _ in range(LONE_CHANGES):
        source.cursor().execute(_TICK)
        while not target.notifies:
            if select.select([target], [], [], 60)[0] == []:
                raise LabError("a lone change has not arrived within a minute")
            target.poll()
        target.notifies.clear()
    target.cursor().execute("DROP TRIGGER tell ON ticks")
    source.close()
    target.close()


def _last(migration):
    return migration.source("SELECT max(id) FROM ticks")[0][0]


def _load(migration, rate):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
        script.write(_TICK)
        script.flush()
        done = subprocess.run(
            [BIN / "pgbench", "-n", "-f", script.name, "-c", str(CLIENTS), "-j", "1",
             "-R", str(rate), "-T", str(SECONDS)],
            env=migration.stack.source.client_environment(migration.name, OWNER),
            capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"pgbench: {done.stderr}")


def _note(bench, migration, what, behind):
    """Notes the figures of the changes after id `behind`; returns how many they were."""
    committed = dict(migration.source(f"{_COMMITS} WHERE id > %s", (behind,)))
    applied = dict(migration.target(f"{_COMMITS} WHERE id > %s", (behind,)))
    took = [1000 * (applied[number] - committed[number]) for number in committed]
    cuts = statistics.quantiles(took, n=100)
    bench.note(f"latency: {what}, p50 ms", cuts[49])
    bench.note(f"latency: {what}, p99 ms", cuts[98])
    bench.note(f"latency: {what}, worst ms", max(took))
    return len(took)
