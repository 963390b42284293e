"""`./run bench`: ratios on this machine, both sides of each measured in one run.

    backfill   lockstep's rows/s against a raw binary COPY pipe of the same table
    drain      events/s and client CPU per event while a backlog of updates in Kafka is applied
    --peers    the same against native logical replication and the Debezium JDBC sink connector
"""

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, field

from tests.bench import peers
from tests.bench.pipe import fill_target
from tests.lab.lockstep import ROOT, backfill_done
from tests.lab.migration import Migration
from tests.lab.process import LabError, wait_until
from tests.lab.stack import Stack, end_on_signals

TABLE = ROOT / "tests" / "bench" / "bench.sql"
UPDATES_PER_TRANSACTION = 1000
CONNECTIONS = 2


@dataclass
class Bench:
    """What every measurement needs, and the figures so far."""
    stack: Stack
    rows: int
    events: int
    figures: dict = field(default_factory=dict)

    def note(self, name, value):
        self.figures[name] = round(value, 4)
        print(f"{name:<52} {value:>14,.2f}", flush=True)

    def load(self, migration):
        self.stack.source.psql(migration.name, "-v", f"rows={self.rows}", "-f", TABLE)

    def settle(self):
        """Leaves nothing of one measurement for the next to pay for."""
        for cluster in (self.stack.source, self.stack.target):
            cluster.execute("postgres", "CHECKPOINT")


def backfill(bench):
    """lockstep's backfill against the raw pipe, with as many connections."""
    with Migration(bench.stack, "backfill", backfill={"workers": CONNECTIONS}) as migration:
        bench.load(migration)
        migration.prepare()
        pipes = [fill_target(bench, migration, CONNECTIONS)]
        migration.target("TRUNCATE bench")
        bench.settle()
        with migration.running() as lockstep:
            begun = lockstep.await_status(lambda status: status["phase"] != "prepare", "the start")
            started = time.monotonic()
            if backfill_done(begun):
                raise LabError("the table is too small to measure: --rows")
            lockstep.await_follow(900)
            seconds = time.monotonic() - started
            cpu, (_, peak) = lockstep.process.cpu_seconds(), lockstep.process.resident_bytes()
        migration.assert_equal()
        migration.target("TRUNCATE bench")
        # Before and after: the machine drifts.
        pipes.append(fill_target(bench, migration, CONNECTIONS))
    pipe = sum(pipes) / 2
    bench.note("backfill: lockstep, rows/s", bench.rows / seconds)
    bench.note("backfill: raw binary COPY pipe, rows/s", pipe)
    bench.note("backfill: lockstep / raw pipe", bench.rows / seconds / pipe)
    bench.note("backfill: client CPU, us/row", cpu / bench.rows * 1e6)
    bench.note("backfill: peak resident, MiB", peak / 2**20)


def make_backlog(bench, migration, captured=True):
    """Updates rows all over the table, in transactions of UPDATES_PER_TRANSACTION.

    With `captured`, returns when Debezium has written them all to Kafka.
    """
    connection = migration.source_connection()
    cursor = connection.cursor()
    stride = max(bench.rows // UPDATES_PER_TRANSACTION, 1)
    for number in range(bench.events // UPDATES_PER_TRANSACTION):
        cursor.execute("UPDATE bench SET ver = ver + 1, rate = rate + 1, note = 'changed ' || ver"
                       " WHERE id IN (SELECT 1 + (g * %s + %s) %% %s"
                       "                FROM generate_series(1, %s) g)",
                       (stride, number, bench.rows, UPDATES_PER_TRANSACTION))
    connection.close()
    if captured:
        migration.await_captured(600)


def drain(bench):
    """How fast a backlog of updates that waits in Kafka is applied."""
    with Migration(bench.stack, "drain", backfill={"workers": CONNECTIONS}) as migration:
        bench.load(migration)
        migration.prepare()
        migration.lockstep.run_until_synced(900)
        make_backlog(bench, migration)
        waiting = bench.stack.broker.record_count(migration.topic("bench").replace(".", "\\."))
        bench.settle()
        with migration.running() as lockstep:
            lockstep.await_status(lambda status: events_applied(status) > 0, "the first event", 60)
            first, cpu_before = time.monotonic(), lockstep.process.cpu_seconds()
            applied_before = events_applied(lockstep.status())
            wait_until(lambda: events_applied(lockstep.status()) >= waiting, "the backlog's end",
                       900, alive=lockstep.process)
            seconds = time.monotonic() - first
            cpu, (_, peak) = lockstep.process.cpu_seconds() - cpu_before, \
                lockstep.process.resident_bytes()
        migration.finish()
    measured = waiting - applied_before
    bench.note("drain: lockstep, events/s", measured / seconds)
    bench.note("drain: client CPU, us/event", cpu / measured * 1e6)
    bench.note("drain: peak resident, MiB", peak / 2**20)


def events_applied(status):
    return sum(table["events_applied"] for table in status["tables"])


def run(arguments):
    with Stack(sink=arguments.peers) as stack:
        bench = Bench(stack, arguments.rows, arguments.events)
        print(f"{bench.rows} rows, {bench.events} events, {os.cpu_count()} CPUs, "
              f"load {os.getloadavg()[0]:.1f}", flush=True)
        if not arguments.only_peers:
            backfill(bench)
            drain(bench)
        if arguments.peers:
            peers.native_replication(bench, make_backlog)
            peers.jdbc_sink(bench, make_backlog)
            compare_with_peers(bench)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"machine": {"cpus": os.cpu_count(), "kernel": os.uname().release},
                       "rows": arguments.rows, "events": arguments.events,
                       "figures": bench.figures}, file, indent=2)
    return 0


def compare_with_peers(bench):
    for ours, theirs in (("backfill: lockstep, rows/s", "native: initial copy, rows/s"),
                         ("drain: lockstep, events/s", "native: apply, events/s"),
                         ("drain: lockstep, events/s", "jdbc sink: apply, events/s")):
        if ours in bench.figures:
            bench.note(f"{ours.split(',')[0]} / {theirs.split(',')[0]}",
                       bench.figures[ours] / bench.figures[theirs])


def main():
    parser = argparse.ArgumentParser(prog="./run bench")
    parser.add_argument("--peers", action="store_true", help="also run the alternatives")
    parser.add_argument("--only-peers", action="store_true", help="run nothing but them")
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--events", type=int, default=200_000)
    arguments = parser.parse_args()
    arguments.peers = arguments.peers or arguments.only_peers
    end_on_signals()
    try:
        return run(arguments)
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
