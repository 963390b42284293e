"""The Debian package and its unit on a host that a real systemd boots (issue O, parts 6 and 8)."""

import subprocess

import pytest

from tests.demo.writer import Writer
from tests.integration.conftest import ROOT, SHOP, is_long
from tests.lab.host import Host
from tests.lab.lockstep import to_yaml
from tests.lab.process import wait_until
from tests.lab.stack import READER, WRITER

pytestmark = pytest.mark.skipif(not is_long(), reason="boots a host; ./run test --long")


@pytest.fixture(scope="module")
def package():
    made = subprocess.run([ROOT / "run", "package"], capture_output=True, text=True, check=True)
    return made.stdout.split()[-1]


@pytest.fixture(scope="module")
def host(package, tmp_path_factory):
    with Host(tmp_path_factory.mktemp("host"), ROOT / package) as booted:
        booted.install()
        yield booted


def test_lintian_finds_no_error(package):
    done = subprocess.run(["lintian", "--allow-root", "--fail-on", "error", package], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


# Perl is what the smallest Debian can open a Unix socket with.
SET_BY_HTTP = r"""
my $socket = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!;
my $body = '{"values": {"backfill.rate_limit_rows_per_second": 777}}';
print $socket "PATCH /api/v1/settings HTTP/1.0\r\nHost: localhost\r\nContent-Length: ",
    length($body), "\r\n\r\n", $body;
<$socket> =~ / 200 / or die "refused";
"""


class Service:
    """A migration of ours as the unit of a host."""

    def __init__(self, host, migration):
        self.host = host
        self.migration = migration
        self.name = migration.name
        self.unit = f"lockstep@{self.name}.service"
        self.manifest = f"/etc/lockstep/{self.name}.yaml"
        stack = migration.stack
        self.passwords = {"source": stack.source.passwords[READER],
                          "target": stack.target.passwords[WRITER]}
        for side, password in self.passwords.items():
            host.write(f"/etc/credstore/lockstep.{self.name}.{side}", password, mode=0o600)
        self.write(backfill={"workers": 2, "chunk_rows": 500})

    def write(self, **changes):
        """The manifest, as the unit wants it."""
        written = {**self.migration.manifest, **changes,
                   "state_dir": f"/var/lib/lockstep/{self.name}"}
        for side in self.passwords:
            connect = {**written[side]["connect"], "password": {"credential": side}}
            written[side] = {**written[side], "connect": connect}
        self.host.write(self.manifest, to_yaml(written))

    def verb(self, verb, *arguments):
        """An operator's verb, beside the unit: without credentials."""
        return self.host.run("sudo", "-u", "lockstep", "lockstep", *verb.split(), self.manifest,
                             *arguments, check=False)

    def await_status(self, *words):
        wait_until(lambda: all(word in self.host.show(self.unit, "StatusText") for word in words),
                   f"the unit's status to hold {words}")

    def restarts(self):
        return int(self.host.show(self.unit, "NRestarts"))


@pytest.fixture
def service(host, direct, stack):
    migration = direct("SELECT 1")
    stack.source.psql(migration.name, "-v", "scale=0.02", "-f", SHOP)
    migration.prepare()
    made = Service(host, migration)
    yield made
    host.run("systemctl", "stop", made.unit, check=False)


def test_a_migration_as_a_service(host, service):
    migration = service.migration
    host.run("systemctl", "start", service.unit)
    service.await_status("follow", "lag 0.")
    assert service.verb("healthcheck").returncode == 0
    assert "synced" in service.verb("status").stdout
    # The journal can be searched by what an event is about.
    assert "backfill of a table is done" in host.journal(f"MIGRATION={service.name}",
                                                         "TABLE=public.orders")
    # A reload that is refused changes nothing and says why; one that is taken counts.
    service.write(backfill={"workers": 2, "chunk_rows": 500}, nonsense=1)
    assert host.run("systemctl", "reload", service.unit, check=False).returncode != 0
    assert "unknown key nonsense" in host.journal(f"--unit={service.unit}")
    service.write(backfill={"workers": 2, "chunk_rows": 500,
                            "rate_limit_rows_per_second": 12345})
    host.run("systemctl", "reload", service.unit)
    assert "12345" in service.verb("get", "backfill.rate_limit_rows_per_second").stdout
    # Who gives an order at the socket is named.
    host.run("useradd", "--uid", "4711", "--groups", "lockstep", "anna")
    host.run("runuser", "-u", "anna", "--", "perl", "-MIO::Socket::UNIX", "-e", SET_BY_HTTP,
             f"/run/lockstep/{service.name}/{service.name}.sock")
    assert "777" in service.verb("get", "backfill.rate_limit_rows_per_second").stdout
    assert "uid 4711 (anna)" in service.verb("audit").stdout
    # Upgrade under load: postinst starts it again, and nothing is lost.
    epoch = host.show(service.unit, "MainPID")
    with Writer(migration.source_connection, seed=1, rate=100):
        host.install()
        wait_until(lambda: host.show(service.unit, "MainPID") not in ("0", epoch),
                   "the unit to run again")
        service.await_status("follow", "lag 0.")
    wait_until(lambda: '"synced":true' in service.verb("status", "--fresh", "--format",
                                                       "json").stdout.replace(" ", ""), "synced")
    migration.assert_equal()
    # No secret in anything that others may read.
    for password in service.passwords.values():
        assert password not in host.journal("--all") + service.verb("config print").stdout
    assert host.show(service.unit, "LimitCORE") == "0"
    # What a stop drains is there.
    host.run("systemctl", "stop", service.unit)
    assert host.show(service.unit, "Result") == "success"


def test_a_wedged_daemon_is_started_again(host, service):
    host.write(f"/etc/systemd/system/{service.unit}.d/test.conf", "[Service]\nWatchdogSec=3\n")
    host.run("systemctl", "daemon-reload")
    host.run("systemctl", "start", service.unit)
    service.await_status("follow", "lag 0.")
    host.run("systemctl", "kill", "--signal=STOP", service.unit)
    wait_until(lambda: service.restarts() == 1, "the watchdog to have it started again")
    service.await_status("follow", "lag 0.")
    assert "result 'watchdog'" in host.journal(f"--unit={service.unit}")
    service.migration.source("DELETE FROM events")
    service.migration.await_target("SELECT count(*) FROM events", 0)


def test_what_a_restart_does_not_cure_is_not_restarted(host, service):
    service.write(nonsense=1)
    assert host.run("systemctl", "start", service.unit, check=False).returncode != 0
    assert host.show(service.unit, "ActiveState") == "failed"
    assert host.show(service.unit, "ExecMainStatus") == "78"
    assert service.restarts() == 0


def test_removal_drains_and_purge_leaves_what_is_the_operators(host, service):
    host.run("systemctl", "start", service.unit)
    service.await_status("follow", "lag 0.")
    host.run("dpkg", "--remove", "lockstep")
    assert host.show(service.unit, "ActiveState") == "inactive"
    assert (host.root / "var/lib/lockstep" / service.name).is_dir()
    host.run("dpkg", "--purge", "lockstep")
    assert not (host.root / "var/lib/lockstep").exists()
    assert (host.root / service.manifest.lstrip("/")).exists()
    host.install()
