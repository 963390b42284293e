"""The raw pipe: `COPY binary | COPY binary` into a table with its primary key, nothing between."""

import subprocess
import time

from tests.lab.process import LabError


def key_ranges(rows, count):
    """The key space of the table in `count` equal ranges, as SQL conditions."""
    bounds = [rows * part // count for part in range(count + 1)]
    return [f"id > {low} AND id <= {high}" for low, high in zip(bounds, bounds[1:])]


def fill_target(bench, migration, connections):
    """Copies the table and returns the rows per second it took.  REQUIRES: the target is empty."""
    bench.settle()
    source = bench.stack.source.client_environment(migration.name)
    target = bench.stack.target.client_environment(migration.name)
    psql = ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-c"]
    begun = time.monotonic()
    writers = []
    for condition in key_ranges(bench.rows, connections):
        query = f"COPY (SELECT * FROM bench WHERE {condition}) TO STDOUT (FORMAT binary)"
        reader = subprocess.Popen([*psql, query], env=source, stdout=subprocess.PIPE)
        writers.append(subprocess.Popen([*psql, "COPY bench FROM STDIN (FORMAT binary)"],
                                        env=target, stdin=reader.stdout))
        reader.stdout.close()
    if any([writer.wait() for writer in writers]):
        raise LabError("the raw pipe failed")
    return bench.rows / (time.monotonic() - begun)
