"""How fast two equal tables, and two with 191 differences, are compared; and by other tools."""

import os
import subprocess
import sys
import time
from pathlib import Path

from tests.lab.lockstep import ROOT
from tests.lab.migration import Migration
from tests.lab.process import LabError

DIFFERENCES = 191
# Two columns more than bench.sql, twelve in all.
WIDER = ("ALTER TABLE bench ADD COLUMN flags int NOT NULL DEFAULT 7,"
         " ADD COLUMN day date NOT NULL DEFAULT '2024-02-29'")
COLUMNS = ("ver,customer,price,rate,active,created,code,title,note,flags,day").split(",")
PEERS = ROOT / "build" / "peers"
PEER = "peer"  # Their role.
RELADIFF = "reladiff[postgresql]==0.6.0"


def timed(argv, environment=None):
    """Runs a program to its end; returns seconds and what it printed."""
    begun = time.monotonic()
    done = subprocess.run(list(map(str, argv)), capture_output=True, text=True, check=False,
                          env={**os.environ, **(environment or {})})
    seconds = time.monotonic() - begun
    if done.returncode not in (0, 2):  # 2 is ours, of what differs.
        raise LabError(f"{argv[0]}: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
    return seconds, done.stdout


def server_cpu(cluster):
    """CPU seconds of the cluster's processes so far, also of those that have ended."""
    def seconds(pid, first, last):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[first:last])) / os.sysconf("SC_CLK_TCK")

    postmaster = int((cluster.data / "postmaster.pid").read_text().split()[0])
    children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
    return seconds(postmaster, 11, 15) + sum(seconds(pid, 11, 13) for pid in children)


def ours(bench, migration, differences):
    lockstep = migration.lockstep
    source, client = server_cpu(bench.stack.source), lockstep.process.cpu_seconds()
    begun = time.monotonic()
    report = lockstep.answer("reconcile", "--once", "--format", "json",
                             expected=(2 if differences else 0,))
    seconds = time.monotonic() - begun
    found = len(report["findings"])
    if found != differences:
        raise LabError(f"lockstep finds {found} of {differences} differences")
    what = f"reconcile: lockstep, {differences} differences"
    bench.note(f"{what}, rows/s", bench.rows / seconds)
    bench.note(f"{what}, source CPU, us/row",
               (server_cpu(bench.stack.source) - source) / bench.rows * 1e6)
    bench.note(f"{what}, client CPU, us/row",
               (lockstep.process.cpu_seconds() - client) / bench.rows * 1e6)
    return seconds


def reladiff(bench, migration, differences):
    def url(cluster):
        return f"postgresql://{PEER}:{cluster.passwords[PEER]}@127.0.0.1:{cluster.port}/{migration.name}"

    program = PEERS / "bin" / "reladiff"
    if not program.exists():
        timed([sys.executable, "-m", "venv", PEERS])
        timed([PEERS / "bin" / "pip", "-q", "install", RELADIFF])
    columns = [option for column in COLUMNS for option in ("-c", column)]
    seconds, printed = timed([program, url(bench.stack.source), "bench", url(bench.stack.target),
                              "bench", "-k", "id", *columns, "-j", "2", "--json"])
    found = len({line.split(",")[1] for line in printed.splitlines() if line.startswith("[")})
    if found != differences:
        raise LabError(f"reladiff finds {found} of {differences} differences")
    return seconds


def pg_comparator(bench, migration, differences):
    def url(cluster):
        return (f"pgsql://{PEER}:{cluster.passwords[PEER]}@127.0.0.1:{cluster.port}"
                f"/{migration.name}/bench?id:{','.join(COLUMNS)}")

    for cluster in (bench.stack.source, bench.stack.target):
        cluster.execute(migration.name, "CREATE EXTENSION IF NOT EXISTS pgcmp")
    seconds, printed = timed(["pg_comparator", url(bench.stack.source), url(bench.stack.target)])
    found = sum(line.startswith(("UPDATE", "INSERT", "DELETE")) for line in printed.splitlines())
    if found != differences:
        raise LabError(f"pg_comparator finds {found} of {differences} differences")
    return seconds


def reconcile(bench, with_peers):
    tools = {"lockstep": ours}
    if with_peers:
        tools.update({"reladiff": reladiff, "pg_comparator": pg_comparator})
    with Migration(bench.stack, "reconcile", "direct", reconcile={"mode": "off"}) as migration:
        bench.load(migration)
        migration.source(WIDER)
        migration.prepare()
        migration.lockstep.run_until_synced(900)
        for cluster in (bench.stack.source, bench.stack.target):
            cluster.create_role(PEER, "LOGIN SUPERUSER")
        for differences in (0, DIFFERENCES):
            if differences:
                migration.target("UPDATE bench SET price = price + 1 WHERE id IN (SELECT"
                                 f" {bench.rows}::bigint * g / {DIFFERENCES}"
                                 f" FROM generate_series(1, {DIFFERENCES}) g)")
            bench.settle()
            seconds = {}
            for name, compare in tools.items():
                if compare is ours:
                    with migration.running():
                        migration.await_synced("the daemon to follow")
                        seconds[name] = compare(bench, migration, differences)
                else:
                    seconds[name] = compare(bench, migration, differences)
                    bench.note(f"reconcile: {name}, {differences} differences, rows/s",
                               bench.rows / seconds[name])
                    bench.note(f"reconcile: lockstep / {name}, {differences} differences",
                               seconds[name] / seconds["lockstep"])
