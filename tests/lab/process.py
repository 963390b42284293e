"""Processes of the lab: started here, logged to a file, ended by their own id.

Should the harness itself be killed, the kernel ends them (setpriv --pdeathsig), so nothing is left.
Start processes from the main thread: the kernel watches the thread that started them.
"""

import os
import pwd
import signal
import socket
import subprocess
import time
from pathlib import Path

SERVER_USER = "postgres"  # Made by Debian's package; servers refuse to run as root.
_PAUSE_SECONDS = 0.05


class LabError(Exception):
    """Something in the lab did not happen: the message says what, and where the log is."""


def wait_until(condition, what, timeout=60, alive=None):
    """Waits until `condition()` is true and returns its value.

    Raises LabError after `timeout` seconds, or at once when the Process `alive` has ended.
    """
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if alive is not None and not alive.is_alive():
            raise LabError(f"{alive.name} ended while waiting for {what}\n{alive.log_tail()}")
        if time.monotonic() > deadline:
            tail = f"\n{alive.log_tail()}" if alive is not None else ""
            raise LabError(f"timeout after {timeout} s waiting for {what}{tail}")
        time.sleep(_PAUSE_SECONDS)


def free_ports(count):
    """Returns `count` different ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def as_server_user(argv):
    """Returns `argv` wrapped so that it runs as an unprivileged user when we are root."""
    if os.geteuid() != 0:
        return list(argv)
    user = pwd.getpwnam(SERVER_USER)
    return ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups", *argv]


def give_to_server_user(path):
    """Makes `path` belong to the user of as_server_user()."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(SERVER_USER)
        os.chown(path, user.pw_uid, user.pw_gid)


class Process:
    """One child process with its output in a log file."""

    def __init__(self, name, argv, log, **options):
        """Starts `argv`.  Options: env, cwd, stdout (default: the log too), server_user."""
        self.name = name
        self.log = Path(log)
        self.started_at = time.monotonic()
        argv = ["setpriv", "--pdeathsig=KILL", *map(str, argv)]
        if options.get("server_user"):
            argv = as_server_user(argv)
        with open(self.log, "ab") as output:
            self._child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=options.get("stdout", output), stderr=output,
                env=options.get("env"), cwd=options.get("cwd"), start_new_session=True)

    @property
    def pid(self):
        return self._child.pid

    def is_alive(self):
        return self._child.poll() is None

    def send(self, number):
        """Sends a signal, unless the process has ended."""
        if self.is_alive():
            self._child.send_signal(number)

    def await_state(self, letter):
        """Waits for a state of ps(1), such as T for stopped."""
        wait_until(lambda: self._stat()[0] == letter, f"{self.name} to be in state {letter}",
                   alive=self)

    def wait(self, timeout=60):
        """Waits for the end and returns the exit code (negative: the signal's number)."""
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(f"{self.name} still runs after {timeout} s\n{self.log_tail()}") from None

    def stop(self, number=signal.SIGTERM, timeout=30):
        """Asks it to end, and ends it for certain.  Returns the exit code."""
        self.send(number)
        try:
            return self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self):
        """kill -9 and wait."""
        self.send(signal.SIGKILL)
        return self._child.wait()

    def log_text(self):
        return self.log.read_text(errors="replace")

    def log_tail(self, lines=30):
        return f"--- {self.log}\n" + "\n".join(self.log_text().splitlines()[-lines:])

    def resident_bytes(self):
        """Resident set in bytes, its peak as the second value."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        kilobytes = {line.split(":")[0]: line.split()[1] for line in status.splitlines()
                     if line.startswith(("VmRSS", "VmHWM"))}
        return int(kilobytes["VmRSS"]) * 1024, int(kilobytes["VmHWM"]) * 1024

    def cpu_seconds(self):
        """User and system CPU seconds spent so far, ended children not included."""
        fields = self._stat()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _stat(self):
        """The fields of /proc/PID/stat from the state on; the name before may contain anything."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
