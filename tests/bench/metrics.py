"""What it costs to be watched: the same backlog of changes of a hundred tables applied while
/metrics is scraped every second over TCP, and without a listener, in pairs and in turn; and how
large and slow one scrape is.

The target's own times of its commits tell the rate, so that nothing polls while it is measured.
"""

import http.client
import resource
import statistics
import time

from tests.bench.latency import commit_times
from tests.lab.meanwhile import Beside
from tests.lab.migration import Migration
from tests.lab.process import free_ports

TABLES = 100
PAIRS = 5
IDLE_SCRAPES = 500
_HEAD = 0.1  # The clock starts when a tenth is applied: what is measured is the flow.
_PER_TRANSACTION = 100

_MAKE = """
DO $$ BEGIN FOR n IN 1..{tables} LOOP
  EXECUTE format('CREATE TABLE t%s (id int PRIMARY KEY, v int, note text)', n);
  EXECUTE format('INSERT INTO t%s SELECT g, 0, md5(g::text) FROM generate_series(1, {rows}) g', n);
END LOOP; END $$
"""
_CHANGE = """
DO $$ BEGIN FOR part IN 0..{rows} / {each} - 1 LOOP
  FOR n IN 1..{tables} LOOP
    EXECUTE format('UPDATE t%s SET v = v + 1 WHERE id BETWEEN %s AND %s', n, part * {each} + 1,
                   (part + 1) * {each});
    COMMIT;
  END LOOP;
END LOOP; END $$
"""
_TIMES = """
SELECT percentile_disc({head}) WITHIN GROUP (ORDER BY at), max(at) FROM
  (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 FROM ({rows}) r) c (at)
"""


class Scraper(Beside):
    """A context manager: a scrape each second, once the port is open."""

    def __init__(self, port):
        super().__init__()
        self.took = []  # In seconds.
        self.size = 0  # Of the last one, in bytes.
        self._port = port

    def run(self):
        while not self.is_over(1):
            self.scrape()

    def scrape(self):
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        begun = time.perf_counter()
        try:
            connection.request("GET", "/metrics")
            self.size = len(connection.getresponse().read())
            self.took.append(time.perf_counter() - begun)
        except ConnectionRefusedError:
            pass  # It does not listen yet, or not any more.
        finally:
            connection.close()


def metrics(bench):
    """Notes the ratio of each pair, its spread, and what a scrape takes."""
    rows = bench.events // TABLES // _PER_TRANSACTION * _PER_TRANSACTION
    with commit_times(bench.stack), \
            Migration(bench.stack, "metrics", "direct", reconcile={"mode": "off"}) as migration:
        migration.source(_MAKE.format(tables=TABLES, rows=rows))
        migration.prepare()
        migration.lockstep.run_until_synced(900)
        ratios, costs, took = [], [], []
        for pair in range(PAIRS):
            measured = {}
            for scraped in (True, False) if pair % 2 else (False, True):
                measured[scraped] = _apply(bench, migration, rows, scraped, took)
            (without, cheap), (watched, dear) = measured[False], measured[True]
            ratios.append(watched / without)
            costs.append(dear / cheap)
            print(f"  pair {pair + 1}: {without:,.0f} events/s without, {watched:,.0f} with: "
                  f"{ratios[-1]:.4f}; CPU {costs[-1]:.4f}", flush=True)
        _note_ratios(bench, "events/s", ratios)
        _note_ratios(bench, "CPU", costs)
        bench.note(f"metrics: {len(took)} scrapes under load, median ms",
                   1000 * statistics.median(took))
        bench.note("metrics: scrapes under load, worst ms", 1000 * max(took))
        _scrape_idle(bench, migration)
        migration.finish()


def _note_ratios(bench, what, ratios):
    bench.note(f"metrics: {what} with / without, median of {PAIRS}", statistics.median(ratios))
    bench.note(f"metrics: {what} with / without, least", min(ratios))
    bench.note(f"metrics: {what} with / without, most", max(ratios))


def _apply(bench, migration, rows, scraped, took):
    """Writes a backlog and applies it: events/s, and CPU seconds of the whole run."""
    port, = free_ports(1)
    migration.lockstep.write({**migration.manifest, **({"listen": {"port": port}} if scraped
                                                       else {})})
    migration.source(_CHANGE.format(tables=TABLES, rows=rows, each=_PER_TRANSACTION))
    bench.settle()
    cpu = -_cpu_of_children()
    if scraped:
        with Scraper(port) as scraper:
            migration.lockstep.run_until_synced(900)
        took += scraper.took
    else:
        migration.lockstep.run_until_synced(900)
    cpu += _cpu_of_children()
    of_all = " UNION ALL ".join(f"SELECT xmin FROM t{n}" for n in range(1, TABLES + 1))
    head, end = migration.target(_TIMES.format(head=_HEAD, rows=of_all))[0]
    return (1 - _HEAD) * rows * TABLES / (end - head), cpu


def _cpu_of_children():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _scrape_idle(bench, migration):
    port, = free_ports(1)
    migration.lockstep.write({**migration.manifest, "listen": {"port": port}})
    scraper = Scraper(port)
    with migration.running() as lockstep:
        lockstep.await_follow()
        cpu = -lockstep.process.cpu_seconds()
        for _ in range(IDLE_SCRAPES):
            scraper.scrape()
        cpu += lockstep.process.cpu_seconds()
    bench.note(f"metrics: a scrape of {TABLES} tables, kB", scraper.size / 1000)
    bench.note("metrics: a scrape, median ms", 1000 * statistics.median(scraper.took))
    bench.note("metrics: a scrape, worst ms", 1000 * max(scraper.took))
    bench.note("metrics: a scrape, CPU ms", 1000 * cpu / IDLE_SCRAPES)
    migration.lockstep.write(migration.manifest)
