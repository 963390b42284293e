"""`./run bench`: ratios on this machine, both sides of each measured in one run.

    backfill   lockstep's rows/s against a raw binary COPY pipe of the same table
    drain      events/s and client CPU per event while a backlog of updates in Kafka is applied,
               against the server-side floor: the same updates from a table on the target
    decode     events per CPU second, with and without the schema part
    latency    from commit to commit through the direct stream: lone changes, and under load
    grown      deletes and updates of a table whose statements were planned while it was empty
    tables     one-row changes of 10, 200 and 2,000 active tables
    price      events/s of a backlog while everything is compared, against none
    reconcile  rows/s of a comparison of twelve columns, with 0 and 191 differences
    heal       rows written and bytes read by a resync of a table of which 0.1 % is damaged
    metrics    events/s of a backlog of 100 tables while /metrics is scraped, against none; a scrape
    --peers    the same against native logical replication and the Debezium JDBC sink connector, and
               against reladiff and pg_comparator
    --only     one of these rows
"""

import argparse
import json
import os
import sys
from dataclasses import dataclass, field

from tests.bench import floor, peers
from tests.bench.backlog import Backlog
from tests.bench.decode import decode_rates
from tests.bench.heal import heal
from tests.bench.latency import latency
from tests.bench.metrics import metrics
from tests.bench.pipe import fill_target
from tests.bench.plans import grown, many_tables
from tests.bench.price import price
from tests.bench.reconcile import reconcile
from tests.lab.lockstep import ROOT
from tests.lab.migration import Migration
from tests.lab.process import LabError
from tests.lab.stack import Stack, end_on_signals

TABLE = ROOT / "tests" / "bench" / "bench.sql"
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

    def load(self, migration, rows=None):
        self.stack.source.psql(migration.name, "-v", f"rows={rows or self.rows}", "-f", TABLE)

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
            # Nothing is polled meanwhile: it would take its share of the CPUs.
            seconds = -lockstep.await_event("prepared")
            cpu = -lockstep.process.cpu_seconds()
            seconds += lockstep.await_event("backfill of a table is done", 900)
            cpu += lockstep.process.cpu_seconds()
            peak = lockstep.process.resident_bytes()[1]
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


def drain(bench):
    """How fast a backlog of updates that waits in Kafka is applied."""
    with Migration(bench.stack, "drain", backfill={"workers": CONNECTIONS}) as migration:
        bench.load(migration)
        migration.prepare()
        migration.lockstep.run_until_synced(900)
        backlog = Backlog(bench.rows, bench.events)
        backlog.write(migration)
        migration.await_captured(900)
        bench.settle()
        with migration.running() as lockstep:
            rate, cpu = backlog.watch(migration, lockstep.process)
            peak = lockstep.process.resident_bytes()[1]
        migration.finish()
        bench.settle()
        floors = {count: floor.apply_rate(migration, backlog, count) for count in (1, CONNECTIONS)}
    bench.note("drain: lockstep, events/s", rate)
    bench.note("drain: client CPU, us/event", cpu * 1e6)
    bench.note("drain: peak resident, MiB", peak / 2**20)
    for count, server in floors.items():
        bench.note(f"drain: server-side floor, {count} connections, rows/s", server)
        bench.note(f"drain: lockstep / floor, {count} connections", rate / server)


def decode(bench):
    """The decoder alone."""
    without, with_schema = decode_rates(bench)
    bench.note("decode: without schema part, events/CPU s", without)
    bench.note("decode: with schema part, events/CPU s", with_schema)
    bench.note("decode: with / without", with_schema / without)


def run(arguments):
    kafka = arguments.only in (None, "backfill", "drain", "decode")
    with Stack(kafka, sink=arguments.peers and kafka) as stack:
        bench = Bench(stack, arguments.rows, arguments.events)
        print(f"{bench.rows} rows, {bench.events} events, {os.cpu_count()} CPUs, "
              f"load {os.getloadavg()[0]:.1f}", flush=True)
        for name, measure in {"backfill": backfill, "drain": drain, "decode": decode,
                              "latency": lambda b: latency(b, arguments.rate), "grown": grown,
                              "tables": many_tables, "price": price,
                              "reconcile": lambda b: reconcile(b, arguments.peers),
                              "heal": heal, "metrics": metrics}.items():
            if arguments.only == name or not (arguments.only or arguments.only_peers):
                measure(bench)
        if arguments.peers and not arguments.only:
            peers.native_replication(bench)
            peers.jdbc_sink(bench)
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
    parser.add_argument("--only", metavar="NAME", choices=(
        "backfill", "drain", "decode", "latency", "grown", "tables", "price", "reconcile",
        "heal", "metrics"))
    parser.add_argument("--json", metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--rows", type=int, default=3_000_000)
    parser.add_argument("--events", type=int, default=600_000)
    parser.add_argument("--rate", type=int, default=5_000,
                        help="transactions per second under which latency is measured")
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
