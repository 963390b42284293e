"""What the daemon tells its service manager, and what its unit allows it (issue O, part 6)."""

import os
import signal
import socket
import subprocess

from tests.integration.conftest import ROOT

UNIT = ROOT / "systemd" / "lockstep@.service"


class Manager:
    """The socket of a service manager (sd_notify(3))."""

    def __init__(self, path):
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.settimeout(60)

    def await_word(self, *words):
        """Reads until a message holds all words; returns it."""
        while True:
            message = self._socket.recv(65536).decode()
            if all(word in message for word in words):
                return message

    def close(self):
        self._socket.close()


def test_the_service_manager_knows_how_the_daemon_does(direct, tmp_path):
    migration = direct()
    migration.prepare()
    manager = Manager(tmp_path / "notify")
    os.environ["NOTIFY_SOCKET"] = str(manager.path)
    os.environ["WATCHDOG_USEC"] = "1000000"
    try:
        with migration.running() as lockstep:
            manager.await_word("READY=1", "STATUS=prepare unknown")
            manager.await_word("STATUS=follow 3000/~", "lag 0.", "WATCHDOG=1")
            lockstep.process.send(signal.SIGHUP)
            manager.await_word("RELOADING=1", "MONOTONIC_USEC=")
            manager.await_word("READY=1")
        manager.await_word("STOPPING=1")
    finally:
        del os.environ["NOTIFY_SOCKET"], os.environ["WATCHDOG_USEC"]
        manager.close()
    migration.finish()


def test_the_unit_is_sound_and_hardened():
    bound = 12  # Tenths of systemd's exposure level.
    done = subprocess.run(["systemd-analyze", "security", "--offline=true", f"--threshold={bound}",
                           UNIT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    assert not done.stderr, done.stderr
