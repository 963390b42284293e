"""The whole lab: two PostgreSQL clusters, the broker and Connect, up and down as one."""

import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from tests.lab import jars
from tests.lab.connect import Connect
from tests.lab.kafka import Broker
from tests.lab.postgres import OWNER, Cluster
from tests.lab.process import free_ports

READER = "lockstep_reader"
WRITER = "lockstep_writer"

SOURCE_SETTINGS = {
    "wal_level": "logical",
    "max_wal_senders": 20,
    "max_replication_slots": 20,
    "max_prepared_transactions": 20,
}


def end_on_signals():
    """Lets the first SIGTERM or Ctrl-C unwind the program, so that what was started is stopped."""
    signalled = []

    def interrupt(number, _frame):
        signalled.append(number)
        if len(signalled) == 1:  # A second one must not end the unwinding.
            raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)


class Stack:
    """A context manager.  Kafka is optional: `kafka=False` brings up PostgreSQL alone.

    LOCKSTEP_KEEP=1 keeps the directory, with all logs, for a look afterwards.
    """

    def __init__(self, kafka=True, sink=False):
        kinds = ("postgres", "jdbc") if sink else ("postgres",)
        self._sets = [jars.kafka(), *map(jars.plugin, kinds)] if kafka else []
        self.directory = None
        self.source = self.target = self.broker = self.connect = None
        self._undo = ExitStack()

    def __enter__(self):
        with ExitStack() as undo:  # Whatever fails below, what was done before is undone.
            self.directory = Path(tempfile.mkdtemp(prefix="lockstep-"))
            undo.callback(self._remove_directory)
            self.directory.chmod(0o755)  # PostgreSQL's user has to pass through.
            self._build(undo)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *error):
        return self._undo.__exit__(*error)

    def ensure_up(self):
        """Starts again what a test stopped or killed and left so."""
        for part in (self.source, self.target, self.broker):
            if part is not None and not part.is_running():
                part.start()
        if self.connect is not None and not self.connect.is_running():
            self.connect.restart()

    def _remove_directory(self):
        if os.environ.get("LOCKSTEP_KEEP"):
            print(f"kept: {self.directory}", file=sys.stderr)
        else:
            shutil.rmtree(self.directory)

    def _build(self, undo):
        ports = free_ports(5)
        self.source = Cluster("source", self.directory / "source", ports[0], SOURCE_SETTINGS)
        self.target = Cluster("target", self.directory / "target", ports[1],
                              {"max_prepared_transactions": 20})
        parts = [self.source, self.target]
        if self._sets:
            kafka_jars, *plugins = self._sets
            self.broker = Broker(self.directory / "kafka", kafka_jars, ports[2], ports[3])
            self.connect = Connect(self.directory / "connect", self.broker, plugins, ports[4])
            parts = [self.broker, *parts, self.connect]
        for part in parts:  # Each starts while the next is made; the broker takes longest.
            part.create()
            if part is self.connect:
                self.broker.await_ready()
            undo.callback(part.stop)
            part.start(wait=False)
        for part in parts:
            part.await_ready()
        self._create_roles()

    def _create_roles(self):
        for cluster in (self.source, self.target):
            cluster.create_role(OWNER)
        self.source.create_role(READER, "LOGIN REPLICATION")
        self.target.create_role(WRITER)
        self.target.execute("postgres",
                            f"GRANT SET ON PARAMETER session_replication_role TO {WRITER}")
