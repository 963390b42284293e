"""Somebody with two fresh servers, a shell and what README or `lockstep init` tells them to do."""

import os
import re
import subprocess
from pathlib import Path

from tests.lab.lockstep import BINARY
from tests.lab.postgres import SUPERUSER, Cluster
from tests.lab.process import free_ports, give_to_server_user

_STEP = re.compile(r"^== \d+\. (.*)\n", re.MULTILINE)


def make_certificate(directory):
    """ca.pem signs itself, for 127.0.0.1."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", directory / "key.pem", "-out", directory / "ca.pem"],
                   check=True, capture_output=True)
    (directory / "key.pem").chmod(0o600)
    give_to_server_user(directory / "key.pem")


def steps(printed):
    """What `lockstep init` has printed to be run, in its order: (by whom, text)."""
    parts = _STEP.split(printed[:printed.index("\n== Then")])
    return list(zip(parts[1::2], parts[2::2]))


class Newcomer:
    """db1 and db2 are two ports of this machine; the role `owner` may log in to both."""

    def __init__(self, directory, undo, settings=None, tls=False):
        """`undo`: an ExitStack that stops the servers."""
        self.directory = Path(directory)
        settings = dict(settings or {})
        if tls:
            make_certificate(self.directory)
            settings |= {"ssl": "on", "ssl_cert_file": f"'{self.directory / 'ca.pem'}'",
                         "ssl_key_file": f"'{self.directory / 'key.pem'}'"}
        ports = free_ports(2)
        self.source = Cluster("db1", self.directory / "db1", ports[0], settings)
        self.target = Cluster("db2", self.directory / "db2", ports[1], settings)
        passwords = ""
        for cluster in (self.source, self.target):
            cluster.create()
            undo.callback(cluster.stop, "immediate")  # Nobody needs what it holds.
            cluster.start()
            cluster.create_role("owner")
            passwords += f"127.0.0.1:{cluster.port}:*:owner:{cluster.passwords['owner']}\n"
        (self.directory / "bin").mkdir()
        (self.directory / "bin" / "lockstep").symlink_to(BINARY)
        (self.directory / "pgpass").write_text(passwords)
        (self.directory / "pgpass").chmod(0o600)
        self.environment = {**os.environ, "PGPASSFILE": str(self.directory / "pgpass"),
                            "PATH": f"{self.directory / 'bin'}:{os.environ['PATH']}"}

    def create_databases(self, name):
        """An empty one on each side, which `owner` owns."""
        for cluster in (self.source, self.target):
            cluster.execute("postgres", f'CREATE DATABASE "{name}" OWNER owner')

    def placed(self, text):
        """What README says, with its hosts on this machine."""
        for host, cluster in (("db1", self.source), ("db2", self.target)):
            text = text.replace(f"-h {host}", f"-h 127.0.0.1 -p {cluster.port}")
            text = text.replace(f"@{host}/", f"@127.0.0.1:{cluster.port}/")
        return text

    def shell(self, text, expected=0):
        """Runs it word for word, but for the hosts, and returns what it prints."""
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", self.placed(text)],
                              cwd=self.directory, env=self.environment, capture_output=True,
                              text=True, check=False, timeout=120)
        assert done.returncode == expected, (text, done.returncode, done.stdout, done.stderr)
        return done.stdout + (done.stderr if expected else "")

    def follow(self, printed, database):
        """Runs the steps that `lockstep init` has printed, word for word, each as whom it names.

        Returns who was asked.
        """
        for who, text in steps(printed):
            self.follow_step(who, text, database)
        return [who for who, _ in steps(printed)]

    def follow_step(self, who, text, database):
        if who.startswith("In a shell"):
            self.shell(text)
        elif who.startswith("On the machine of the source"):
            assert "Restart the server" in text
            self.source.restart()
        else:
            cluster = self.source if who.startswith("On the source") else self.target
            user = re.search(r"as (\S+), who owns", who)
            script = self.directory / "step.sql"
            script.write_text(text)
            cluster.psql(database, "-f", script, user=user[1] if user else SUPERUSER)
