"""What a comparison that goes on all the time takes from applying: the same backlog with and
without, twice each and in turn, over the direct stream."""

from statistics import mean

from tests.bench.backlog import Backlog
from tests.lab.migration import Migration

ALL_THE_TIME = {"every": "1s"}
OFF = {"mode": "off"}


def price(bench):
    rates = {"without": [], "with": []}
    for number in range(2):
        for what, settings in (("without", OFF), ("with", ALL_THE_TIME)):
            rates[what].append(_rate(bench, f"price_{what}_{number}", settings))
    for what, measured in rates.items():
        bench.note(f"price: applied {what} a comparison, events/s", mean(measured))
    bench.note("price: with / without", mean(rates["with"]) / mean(rates["without"]))


def _rate(bench, name, settings):
    rows = bench.rows // 3
    with Migration(bench.stack, name, "direct", reconcile=settings) as migration:
        bench.load(migration, rows)
        migration.prepare()
        migration.lockstep.run_until_synced(900)
        backlog = Backlog(rows, bench.events)
        backlog.write(migration)
        bench.settle()
        with migration.running() as lockstep:
            return backlog.watch(migration, lockstep.process)[0]
