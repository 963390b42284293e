"""README's quick start, typed word for word on two fresh servers (issue E, row 26).

Only the hosts' names are replaced: db1 and db2 are two ports of this machine.
"""

import os
import re
import signal
import subprocess
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT
from tests.lab.compare import Side, compare
from tests.lab.lockstep import BINARY
from tests.lab.postgres import Cluster
from tests.lab.process import Process, free_ports, give_to_server_user, wait_until

# A role, a view and a sequence that nobody has on the target; the role has a grant.
SHOP = """
CREATE TABLE orders (id serial PRIMARY KEY, v text);
CREATE MATERIALIZED VIEW totals AS SELECT count(*) FROM orders;
INSERT INTO orders (v) SELECT 'v' || g FROM generate_series(1, 500) g;
GRANT SELECT ON orders TO reporting;
"""


def quick_start():
    text = (ROOT / "README.md").read_text()
    return text[text.index("## Quick start"):text.index("To begin a migration anew")]


def blocks(language):
    """The fenced blocks of a language, in their order."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```$", quick_start(), re.MULTILINE | re.DOTALL)
    return [re.sub(r"^   ", "", block, flags=re.MULTILINE) for block in found]


def make_certificate(directory):
    """ca.pem signs itself, for 127.0.0.1."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", directory / "key.pem", "-out", directory / "ca.pem"],
                   check=True, capture_output=True)
    (directory / "key.pem").chmod(0o600)
    give_to_server_user(directory / "key.pem")


class Newcomer:
    """Somebody with two servers, a shell and README."""

    def __init__(self, directory, undo, tls):
        self.directory = directory
        settings = {"wal_level": "logical"}
        if tls:
            make_certificate(directory)
            settings |= {"ssl": "on", "ssl_cert_file": f"'{directory / 'ca.pem'}'",
                         "ssl_key_file": f"'{directory / 'key.pem'}'"}
        ports = free_ports(2)
        self.source = Cluster("db1", directory / "db1", ports[0], settings)
        self.target = Cluster("db2", directory / "db2", ports[1], settings)
        passwords = ""
        for cluster in (self.source, self.target):
            cluster.create()
            undo.callback(cluster.stop)
            cluster.start()
            cluster.create_role("owner")
            cluster.execute("postgres", "CREATE DATABASE shop OWNER owner")
            passwords += f"127.0.0.1:{cluster.port}:*:owner:{cluster.passwords['owner']}\n"
        self.source.create_role("reporting")
        self.source.execute("shop", SHOP, user="owner")
        (directory / "bin").mkdir()
        (directory / "bin" / "lockstep").symlink_to(BINARY)
        (directory / "pgpass").write_text(passwords)
        (directory / "pgpass").chmod(0o600)
        self.environment = {**os.environ, "PGPASSFILE": str(directory / "pgpass"),
                            "PATH": f"{directory / 'bin'}:{os.environ['PATH']}"}

    def placed(self, text):
        """What README says, with its hosts on this machine."""
        for host, cluster in (("db1", self.source), ("db2", self.target)):
            text = text.replace(f"-h {host}", f"-h 127.0.0.1 -p {cluster.port}")
            text = text.replace(f"host: {host}", f"host: 127.0.0.1, port: {cluster.port}")
        return text

    def shell(self, text, expected=0):
        done = subprocess.run(["bash", "-euo", "pipefail", "-c", self.placed(text)],
                              cwd=self.directory, env=self.environment, capture_output=True,
                              text=True, check=False, timeout=120)
        assert done.returncode == expected, (text, done.returncode, done.stdout, done.stderr)
        return done.stdout

    def follow_steps_two_and_three(self):
        schema, secrets, _ = blocks("sh")
        self.shell(schema)
        at_source, at_target = blocks("sql")
        self.source.execute("shop", at_source)
        self.target.execute("shop", at_target)
        self.shell(secrets)
        manifest, = blocks("yaml")
        (self.directory / "shop.yaml").write_text(self.placed(manifest))


@pytest.fixture
def newcomer():
    with ExitStack() as undo:
        directory = Path(undo.enter_context(tempfile.TemporaryDirectory(prefix="lockstep-")))
        directory.chmod(0o755)
        yield lambda tls: Newcomer(directory, undo, tls)


def test_the_quick_start_leads_to_two_equal_databases(newcomer):
    me = newcomer(tls=True)
    commands = re.findall(r"`(lockstep [^`]+)`", quick_start())
    validate, run, status, fresh, until, reset = commands
    me.follow_steps_two_and_three()
    # Step 4: the one thing that is missing is printed as a statement, and who must run it.
    printed = me.shell(validate, expected=78)
    sql = re.search(r"\((CREATE PUBLICATION .*?\)); as the tables' owner", printed)[1]
    assert printed.count(": error: ") == 1, printed
    me.source.execute("shop", sql, user="owner")
    assert "nothing stands in the way" in me.shell(validate)
    # Step 5.
    daemon = Process("lockstep", ["lockstep", *run.split()[1:]], me.directory / "log",
                     env=me.environment, cwd=me.directory)
    try:
        wait_until(lambda: "synced true" in me.shell(status), "status to say synced", 60,
                   alive=daemon)
        me.source.execute("shop", "INSERT INTO orders (v) VALUES ('new')", user="owner")
        me.shell(fresh)
        assert me.target.execute("shop", "SELECT count(*) FROM orders WHERE v = 'new'") == [(1,)]
        daemon.send(signal.SIGTERM)
        assert daemon.wait(60) == 0
    finally:
        daemon.kill()
    # Steps 6 and 7.
    me.shell(until)
    outcome = compare(Side(me.source.client_environment("shop")),
                      Side(me.target.client_environment("shop")))
    assert outcome.equal, outcome
    me.shell(blocks("sh")[2])
    assert me.target.execute("shop", "INSERT INTO orders (v) VALUES ('mine') RETURNING id",
                             user="owner") == [(502,)]
    # Step 8: the publication is its owner's.
    assert me.shell(reset).count("would ") == 4
    left = me.shell(f"{reset} --yes", expected=77)
    me.source.execute("shop", re.search(r"(DROP PUBLICATION [^;]+);", left)[1], user="owner")
    assert "nothing of migration shop is there" in me.shell(f"{reset} --yes")


def test_a_server_without_tls_is_told_apart_from_one_that_is_away(newcomer):
    """The message says where verify-full comes from and what to write."""
    me = newcomer(tls=False)
    me.follow_steps_two_and_three()
    (me.directory / "ca.pem").write_text("")
    printed = me.shell("lockstep validate shop.yaml", expected=69)
    assert "does not support SSL" in printed and "`sslmode: disable`" in printed, printed
