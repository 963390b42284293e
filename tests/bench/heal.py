"""What a resync of a table with a few damaged rows costs: rows written, bytes read, and time."""

from tests.bench.reconcile import server_cpu
from tests.lab.migration import Migration
from tests.lab.process import LabError

# One row in 1,000 is damaged: the target lacks it, has another value of it, or has it too much.
DAMAGE = {
    "missing": "DELETE FROM bench WHERE id % 3000 = 0",
    "differing": "UPDATE bench SET price = price + 1 WHERE id % 3000 = 1000",
    "extra": "INSERT INTO bench SELECT id + {rows}, ver, customer, price, rate, active, created,"
             " code, title, note FROM bench WHERE id % 3000 = 2000",
}
def damage(bench, migration):
    """Gives how many rows are damaged, as a count of them says."""
    before = migration.rows_written("bench")
    for statement in DAMAGE.values():
        migration.target(statement.format(rows=bench.rows))
    migration.target("VACUUM ANALYZE bench")
    return migration.rows_written("bench") - before


def heal(bench):
    with Migration(bench.stack, "heal", "direct", reconcile={"mode": "off"}) as migration:
        bench.load(migration)
        migration.prepare()
        migration.lockstep.run_until_synced(3600)
        damaged = damage(bench, migration)
        bench.settle()
        before = migration.rows_written("bench")
        cpu = {name: -server_cpu(cluster) for name, cluster in _servers(bench)}
        with migration.running() as lockstep:
            migration.await_synced("the daemon to follow")
            own = -lockstep.process.cpu_seconds()
            if lockstep.verb("resync", "--table", "public.bench").returncode != 0:
                raise LabError("resync failed")
            seconds = -lockstep.await_event("a table is compared, and what differs is read again")
            seconds += lockstep.await_event("a table is healed", 3600)
            own += lockstep.process.cpu_seconds()
            peak = lockstep.process.resident_bytes()[1]
            table, = lockstep.status()["tables"]
        for name, cluster in _servers(bench):
            cpu[name] += server_cpu(cluster)
        rows = migration.rows_written("bench") - before
        migration.assert_equal()
    bench.note("heal: rows damaged", damaged)
    bench.note("heal: rows written on the target", rows)
    bench.note("heal: written / damaged (goal <= 1.05)", rows / damaged)
    for name, _ in _servers(bench):
        bench.note(f"heal: bytes read from the {name}", table["compared_bytes"][name])
        bench.note(f"heal: {name} CPU, us/row", cpu[name] / bench.rows * 1e6)
    bench.note("heal: client CPU, us/row", own / bench.rows * 1e6)
    bench.note("heal: peak resident, MiB", peak / 2**20)
    bench.note("heal: seconds", seconds)
    bench.note("heal: rows/s", bench.rows / seconds)


def _servers(bench):
    return (("source", bench.stack.source), ("target", bench.stack.target))
