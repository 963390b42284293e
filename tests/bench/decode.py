"""Decoding alone: events per CPU second, with and without the schema part."""

import json
import subprocess

from tests.lab.lockstep import BINARY
from tests.lab.migration import Migration
from tests.lab.process import LabError

_ROWS = 1000
_PROGRAM = BINARY.with_name("lockstep_decode_bench")


def decode_rates(bench):
    """Returns the rates of real records: without the schema part, and with it."""
    files = [_capture(bench, name, schema) for name, schema in (("bare", "false"),
                                                                ("described", "true"))]
    done = subprocess.run([_PROGRAM, *files], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{_PROGRAM.name}: exit {done.returncode}\n{done.stderr}")
    rates = json.loads(done.stdout)
    return rates["without"], rates["with"]


def _capture(bench, name, schema):
    """Writes the records of one update of every row to a file, and returns its path."""
    with Migration(bench.stack, f"decode_{name}") as migration:
        bench.load(migration, rows=_ROWS)
        migration.connector_overrides |= {"key.converter.schemas.enable": schema,
                                          "value.converter.schemas.enable": schema}
        migration.prepare()
        migration.source("UPDATE bench SET ver = ver + 1, rate = rate + 1,"
                         " note = 'changed ' || ver")
        migration.await_captured()
        path = migration.lockstep.directory / "records"
        with open(path, "wb") as file:
            for record in bench.stack.broker.records(migration.topic("bench").replace(".", "\\.")):
                file.write(record.key() + b"\n" + record.value() + b"\n")
    return path
