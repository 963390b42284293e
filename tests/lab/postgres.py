"""A private PostgreSQL cluster: its socket for us (trusted), 127.0.0.1 and passwords for others."""

import os
import secrets
import shutil
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from tests.lab.process import (LabError, Process, as_server_user, free_ports,
                               give_to_server_user, wait_until)

BIN = Path(os.environ.get("LOCKSTEP_PG_BIN", "/usr/lib/postgresql/15/bin"))
SUPERUSER = "postgres"
OWNER = "shop"  # Owns the databases; what lockstep and Debezium use has far fewer rights.
STOP_SIGNALS = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}

COMMON_SETTINGS = {
    "listen_addresses": "'127.0.0.1'",
    "max_connections": 100,
    "shared_buffers": "'256MB'",
    "max_wal_size": "'4GB'",
    "checkpoint_timeout": "'30min'",
    "timezone": "'UTC'",
    "log_line_prefix": "'%m [%p] %q%u@%d '",
    "log_lock_waits": "on",
    "log_checkpoints": "off",
}


def lsn_number(text):
    """A position of the log, such as 0/16B3748, as a number that can be compared."""
    high, low = text.split("/")
    return int(high, 16) << 32 | int(low, 16)


class Cluster:
    """One server and its data directory.  Several databases live in it, one per test."""

    def __init__(self, name, directory, port, settings=None):
        self.name = name
        self.port = port
        self.directory = Path(directory)
        self.data = self.directory / "data"
        self.socket_dir = self.directory / "s"
        self.settings = {**COMMON_SETTINGS, **(settings or {})}
        self.passwords = {}
        self._process = None

    def create(self):
        """initdb with our settings."""
        self.directory.mkdir(mode=0o755)
        self.socket_dir.mkdir(mode=0o755)
        self.data.mkdir(mode=0o700)
        for path in (self.directory, self.socket_dir, self.data):
            give_to_server_user(path)
        argv = [BIN / "initdb", "-D", self.data, "-U", SUPERUSER, "-E", "UTF8", "--locale=C.UTF-8",
                "--auth-local=trust", "--auth-host=scram-sha-256", "--no-sync"]
        done = subprocess.run(as_server_user(map(str, argv)), capture_output=True, text=True,
                              cwd="/", check=False)
        if done.returncode != 0:
            raise LabError(f"initdb {self.name}: {done.stderr}")
        self.configure({"port": self.port, "unix_socket_directories": f"'{self.socket_dir}'",
                        **self.settings})

    def configure(self, settings):
        """Appends settings to postgresql.conf; they count from the next start."""
        with open(self.data / "postgresql.conf", "a") as conf:
            conf.writelines(f"{key} = {value}\n" for key, value in settings.items())

    def start(self, wait=True):
        """Starts the server; with `wait`, returns when it answers."""
        self._process = Process(f"postgres {self.name}", [BIN / "postgres", "-D", self.data],
                                self.directory / "server.log", server_user=True, cwd="/")
        if wait:
            self.await_ready()

    def await_ready(self):
        wait_until(self._answers, f"PostgreSQL {self.name}", alive=self._process)

    def is_running(self):
        return self._process is not None and self._process.is_alive()

    def stop(self, mode="fast"):
        """Stops the server: smart, fast or immediate."""
        if self._process is not None:
            self._process.stop(STOP_SIGNALS[mode], timeout=60)
            self._process = None

    def restart(self, mode="fast"):
        self.stop(mode)
        self.start()

    def connect(self, dbname="postgres", user=SUPERUSER, autocommit=True):
        """A psycopg2 connection through the socket."""
        connection = psycopg2.connect(host=str(self.socket_dir), port=self.port, dbname=dbname,
                                      user=user, application_name="lab")
        connection.autocommit = autocommit
        return connection

    def execute(self, dbname, sql, parameters=None, user=SUPERUSER):
        """Runs SQL and returns its rows, if it has any."""
        connection = self.connect(dbname, user)
        try:
            cursor = connection.cursor()
            cursor.execute(sql, parameters)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def value(self, dbname, sql, parameters=None):
        """The first column of the first row."""
        return self.execute(dbname, sql, parameters)[0][0]

    def client_environment(self, dbname, user=SUPERUSER):
        """Environment for psql and pg_dump."""
        return {**os.environ, "PGHOST": str(self.socket_dir), "PGPORT": str(self.port),
                "PGDATABASE": dbname, "PGUSER": user, "PGOPTIONS": "-c client_min_messages=warning"}

    def psql(self, dbname, *arguments, user=OWNER):
        """Runs psql to its end and returns its output.  Raises LabError with psql's own words."""
        argv = ["psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", *map(str, arguments)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False,
                              stdin=subprocess.DEVNULL, env=self.client_environment(dbname, user))
        if done.returncode != 0:
            raise LabError(f"psql on {self.name}: {done.stderr}")
        return done.stdout

    def create_role(self, name, attributes="LOGIN"):
        """Creates a role with a random password, once."""
        if name in self.passwords:
            return
        self.passwords[name] = f"pw-{secrets.token_hex(12)}"
        self.execute("postgres", f"CREATE ROLE {name} {attributes} PASSWORD %s",
                     (self.passwords[name],))

    def create_database(self, dbname):
        self.execute("postgres", f'CREATE DATABASE "{dbname}" OWNER {OWNER}')

    def drop_database(self, dbname):
        self.execute("postgres", f'DROP DATABASE IF EXISTS "{dbname}" WITH (FORCE)')

    def alter(self, setting):
        """ALTER SYSTEM SET, for one that counts without a restart."""
        self.execute("postgres", f"ALTER SYSTEM SET {setting}")
        self.execute("postgres", "SELECT pg_reload_conf()")

    @contextmanager
    def commits_hang(self):
        """Meanwhile a commit is written and decoded, yet visible to nobody (it awaits a standby).

        Sessions with synchronous_commit = local commit as always.
        """
        self.alter("synchronous_standby_names = 'nobody'")
        try:
            yield
        finally:
            self.alter("synchronous_standby_names = ''")

    def await_waiting(self, condition, what):
        """Waits until pg_stat_activity has a session for which `condition` (SQL) holds."""
        wait_until(lambda: self.value("postgres", "SELECT count(*) FROM pg_stat_activity"
                                                  f" WHERE {condition}"), what)

    def await_none(self, condition):
        """Waits until no session is one for which `condition` (SQL) holds."""
        wait_until(lambda: not self.value("postgres", "SELECT count(*) FROM pg_stat_activity"
                                                      f" WHERE {condition}"),
                   f"the sessions to end: {condition}")

    def log_lines(self):
        """What the server has said so far."""
        return (self.directory / "server.log").read_text(errors="replace").splitlines()

    def promote(self):
        """Starts the server as a standby and promotes it.  REQUIRES: it is stopped."""
        (self.data / "standby.signal").touch()
        self.start()
        self.value("postgres", "SELECT pg_promote()")

    @contextmanager
    def standby(self, directory):
        """A hot standby of this server, which runs meanwhile; as a Cluster."""
        other = Cluster(f"standby of {self.name}", directory, free_ports(1)[0])
        other.directory.mkdir(mode=0o755)
        other.socket_dir.mkdir(mode=0o755)
        for path in (other.directory, other.socket_dir):
            give_to_server_user(path)
        argv = ["pg_basebackup", "-D", other.data, "-R", "-X", "stream", "-c", "fast", "-d",
                f"host={self.socket_dir} port={self.port} user={SUPERUSER}"]
        done = subprocess.run(as_server_user([str(BIN / argv[0]), *map(str, argv[1:])]),
                              capture_output=True, text=True, cwd="/", check=False)
        if done.returncode != 0:
            raise LabError(f"pg_basebackup of {self.name}: {done.stderr}")
        other.configure({"port": other.port, "unix_socket_directories": f"'{other.socket_dir}'"})
        other.start()
        try:
            yield other
        finally:
            other.stop("immediate")
            shutil.rmtree(other.directory)

    @contextmanager
    def frozen(self, condition):
        """Meanwhile the only session (over TCP) for which `condition` (SQL over pg_stat_activity)
        holds does nothing more, and keeps its connection: what a server that hangs looks like.
        Begins once somebody waits for it."""
        def the_only():
            rows = self.execute("postgres", "SELECT pid, client_port FROM pg_stat_activity"
                                            f" WHERE {condition}")
            return rows[0] if len(rows) == 1 else None

        pid, port = wait_until(the_only, f"one session with {condition}")
        os.kill(pid, signal.SIGSTOP)
        try:
            wait_until(lambda: self._unread(port), f"the session with {condition} to be asked")
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _unread(self, client_port):
        """Bytes that the kernel keeps for the server process of a connection."""
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues = line.split()[:5]
            if local.endswith(f":{self.port:04X}") and remote.endswith(f":{client_port:04X}"):
                return int(queues.split(":")[1], 16)
        return 0

    @contextmanager
    def damaged(self, dbname, table):
        """Meanwhile the second page of the table's file is none.  The server restarts."""
        path = self.data / self.value(dbname, "SELECT pg_relation_filepath(%s)", (table,))

        def put(page):
            self.stop()
            with open(path, "r+b") as file:
                file.seek(len(page))
                was = file.read(len(page))
                file.seek(len(page))
                file.write(page)
            self.start()
            return was

        was = put(b"\xa5" * 8192)
        try:
            yield
        finally:
            put(was)

    @contextmanager
    def rewound(self):
        """At the exit the server holds what it held at the entry, whatever was written meanwhile."""
        saved = self.directory / "saved"
        self.stop()
        subprocess.run(["cp", "-a", self.data, saved], check=True)
        self.start()
        yield
        self.stop()
        shutil.rmtree(self.data)
        saved.rename(self.data)
        self.start()

    def _answers(self):
        try:
            self.connect().close()
            return True
        except psycopg2.OperationalError:
            return False
