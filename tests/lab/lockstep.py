"""The program under test: its manifest, its process and its verbs."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

from tests.lab.process import LabError, Process, wait_until

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("LOCKSTEP_BINARY", ROOT / "build" / "release" / "lockstep"))
FAILPOINT_EXIT = 86


def to_yaml(value, indent=0):
    """Block YAML of dicts, lists and scalars; scalars are written as JSON, which YAML contains."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        return "".join(f"{pad}{key}:" + _yaml_child(child, indent) for key, child in value.items())
    if isinstance(value, list) and value:
        return "".join(f"{pad}- {to_yaml(child, indent + 1).lstrip()}" for child in value)
    return f"{pad}{json.dumps(value, ensure_ascii=False)}\n"


def _yaml_child(child, indent):
    if isinstance(child, (dict, list)) and child:
        return "\n" + to_yaml(child, indent + 1)
    return " " + to_yaml(child)


def failpoints():
    """The names of every crash point of the program."""
    return _verb("version", "--failpoints").stdout.split()


def _verb(*arguments, timeout=120, env=None):
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True,
                          check=False, timeout=timeout, stdin=subprocess.DEVNULL, env=env)


class _ControlConnection(http.client.HTTPConnection):
    """HTTP over a daemon's control socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def said(stream, *words, timeout=30):
    """The next line with all of the words that a verb writes to `stream`.  LabError: none came."""
    until = time.monotonic() + timeout
    lines = [b""]
    while select.select([stream], [], [], max(0.0, until - time.monotonic()))[0]:
        byte = os.read(stream.fileno(), 1)  # Nothing more, which select() would not see.
        if not byte:
            break
        lines[-1] += byte
        if byte != b"\n":
            continue
        line = lines[-1].decode()
        if all(word in line for word in words):
            return line
        lines.append(b"")
    raise LabError(f"nothing with {words} was said, but {lines}")


def control_connection(lockstep):
    """A connection to the daemon of a Lockstep."""
    return _ControlConnection(lockstep.state / "control.sock")


class Lockstep:
    """One migration as an operator sees it: a manifest, and verbs on it."""

    def __init__(self, directory, manifest):
        """Writes the manifest into `directory`, which is made."""
        self.directory = Path(directory)
        self.directory.mkdir(mode=0o755, exist_ok=True)
        self.name = manifest["migration"]
        self.manifest = self.directory / f"{self.name}.yaml"
        self.state = self.directory / manifest["state_dir"]
        self.log = self.directory / "lockstep.log"
        self.restarts = 0
        self._process = None
        self._log_begin = 0  # Of the present run.
        self.write(manifest)

    def write(self, manifest):
        self.manifest.write_text(to_yaml(manifest))

    def secret(self, name, value):
        """Stores a password for a `{file: name}` reference."""
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(value)

    def verb(self, verb, *arguments, timeout=120):
        """Runs `lockstep VERB FILE ...` to its end; a verb of a group is "findings list"."""
        return _verb(*verb.split(), self.manifest, *arguments, timeout=timeout)

    def undo(self, finding, *arguments):
        """Runs `lockstep repair undo FILE ID ...`."""
        return self.verb("repair undo", finding, *arguments)

    @contextmanager
    def verb_begun(self, verb, *arguments):
        """A verb that goes on: its process, with output to be read (said()); ended at the exit."""
        process = subprocess.Popen([BINARY, *verb.split(), str(self.manifest), *map(str, arguments)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def answer(self, verb, *arguments, expected=(0,)):
        """Runs a verb and returns its JSON.  Raises LabError for another exit code."""
        done = self.verb(verb, *arguments)
        if done.returncode not in expected:
            raise LabError(f"lockstep {verb}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    def connector_config(self):
        """Name and configuration of the Debezium connector that this manifest needs."""
        return self.answer("connector-config")

    def status(self):
        return self.answer("status", "--format", "json")

    def start(self, *arguments, failpoint=None):
        """Starts `lockstep run FILE`; with `failpoint` name[:hit[:stop]] it dies or stops there."""
        env = {**os.environ}
        env.pop("LOCKSTEP_FAILPOINT", None)
        if failpoint:
            env["LOCKSTEP_FAILPOINT"] = failpoint
        self._log_begin = len(self.log_text())
        self._process = Process(f"lockstep {self.name}",
                                [BINARY, "run", self.manifest, *arguments], self.log, env=env)
        self.restarts += 1
        return self._process

    @property
    def process(self):
        return self._process

    def is_running(self):
        return self._process is not None and self._process.is_alive()

    def wait_exit(self, timeout=120):
        return self._process.wait(timeout)

    def stop(self, timeout=60):
        """SIGTERM: drains and ends.  Returns the exit code."""
        self._process.send(signal.SIGTERM)
        return self._process.wait(timeout)

    def kill(self):
        """kill -9, wherever it is."""
        self._process.kill()

    def end(self):
        """For cleaning up: no process of ours is left."""
        if self._process is not None:
            self._process.kill()

    def run_until_synced(self, timeout=300):
        """Runs `--until synced` to its end and returns the seconds it took.

        Raises LabError with the log when it does not exit 0.
        """
        begun = time.monotonic()
        code = self.start("--until", "synced").wait(timeout)
        if code != 0:
            raise LabError(f"--until synced: exit {code}\n{self._process.log_tail(60)}")
        return time.monotonic() - begun

    def _polled_status(self):
        """What the daemon says at its socket, or "" while it does not listen: what the verb says of
        one that is down is of the run before.  (And a process for each of twenty looks a second
        takes a core from what is tested.)"""
        code, body = self._get("/api/v1/status")
        return body if code == 200 else ""

    def _get(self, path):
        """Code and body of an answer of the daemon; (0, "") while it does not listen."""
        connection = control_connection(self)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def await_not_ready(self, *words):
        """Waits until readyz and status name a reason that has all the words; returns it."""
        def is_named(lines):
            return next((line for line in lines if all(word in line for word in words)), None)

        def reason():
            code, body = self._get("/readyz")
            return is_named(json.loads(body)["reasons"]) if code == 503 else None

        named = wait_until(reason, f"readyz to say {words}", 60, alive=self._process)
        self.await_status(lambda status: is_named(status["waiting_for"]), f"status to say {words}", 60)
        return named

    def await_ready(self):
        """Waits until readyz says that it does its work."""
        wait_until(lambda: self._get("/readyz")[0] == 200, "readyz to be well", 60,
                   alive=self._process)

    def await_status(self, condition, what, timeout=120):
        """Polls status until `condition(status)`; returns it.  Fails if the daemon ends."""
        found = {}

        def satisfied():
            document = self._polled_status()
            if not document:
                return False  # Not listening yet; when it has died, `alive` below says so.
            found.update(json.loads(document))
            return condition(found)

        wait_until(satisfied, what, timeout, alive=self._process)
        return found

    def await_follow(self, timeout=300, besides=()):
        """Waits until the phase is `follow` and every table is following, or, where the caller says
        so, in one of the states `besides`.  LabError, at once: a table has stopped."""
        allowed = {"following", *besides}

        def follows(status):
            others = [table for table in status["tables"] if table["state"] not in allowed]
            if status["phase"] != "follow" or not status["tables"]:
                return False
            if any(table["state"] == "stopped" for table in others):
                raise LabError(f"instead of following: {others}")
            return not others

        return self.await_status(follows, "every table to be followed", timeout)

    def await_rows(self, rows, timeout=60):
        """Waits until the backfill has brought at least `rows` rows and is not done."""
        def begun(status):
            if backfill_done(status):
                raise LabError("the backfill was too fast for this test")
            return sum(table["rows_done"] for table in status["tables"]) >= rows

        return self.await_status(begun, f"{rows} rows of the backfill", timeout)

    def await_waiting(self, timeout=60):
        """Waits until status names something that is waited for; returns its lines."""
        found = self.await_status(lambda status: status["waiting_for"], "status to say why",
                                  timeout)
        return found["waiting_for"]

    def await_said(self, *words):
        """Waits until one line of what status waits for has all the words."""
        def is_said(status):
            return any(all(word in line for word in words) for line in status["waiting_for"])

        self.await_status(is_said, f"status to say {words}", timeout=60)

    def await_event(self, message, timeout=300):
        """Waits until this run has logged `message`; returns when that was, in Unix seconds."""
        def logged():
            for line in self._process.log_text()[self._log_begin:].splitlines():
                event = json.loads(line) if line.startswith("{") else {}
                if event.get("msg") == message:
                    return event["ts_ms"] / 1000
            return None

        return wait_until(logged, f"{message!r} in the log", timeout, alive=self._process)

    def log_text(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def run_log(self):
        """What the present run, or the last one, has logged."""
        return self.log_text()[self._log_begin:]


def lag_of(status):
    """By how many seconds the target may be behind: while nobody knows it, for how long already."""
    lag = status["lag_seconds"]
    return status["lag_unknown_for_seconds"] if lag is None else lag


def backfill_done(status):
    """True when no table waits for chunks any more."""
    states = [table["state"] for table in status["tables"]]
    return bool(states) and not {"pending", "backfill"} & set(states)
