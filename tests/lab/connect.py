"""Kafka Connect, one standalone worker, driven through its REST interface."""

import json
import urllib.error
import urllib.request
from pathlib import Path

from tests.lab.kafka import java
from tests.lab.process import LabError, Process, wait_until

_TRYING_AGAIN = (404, 409, 500)  # Not there yet, rebalancing, starting.


class Connect:
    """One worker.  It forgets connectors when it stops; restart() gives them back to it."""

    def __init__(self, directory, broker, plugins, port):
        self.directory = Path(directory)
        self.broker = broker
        self.plugins = plugins
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.heap = "512m"
        self._configs = {}
        self._process = None

    def create(self):
        self.directory.mkdir()
        (self.directory / "worker.properties").write_text(f"""\
bootstrap.servers={self.broker.address}
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename={self.directory}/offsets
offset.flush.interval.ms=1000
plugin.path={','.join(str(path) for path in self.plugins)}
plugin.discovery=service_load
listeners={self.url}
connector.client.config.override.policy=All
producer.max.request.size=16777216
""")

    def start(self, wait=True):
        argv = java(self.broker.jars, self.heap, "org.apache.kafka.connect.cli.ConnectStandalone",
                    self.directory / "worker.properties")
        self._process = Process("connect", argv, self.directory / "connect.log")
        if wait:
            self.await_ready()

    def await_ready(self):
        wait_until(lambda: self._try("GET", "/connectors") is not None, "Connect's REST interface",
                   alive=self._process)

    def is_running(self):
        return self._process is not None and self._process.is_alive()

    def stop(self):
        if self._process is not None:
            self._process.stop()
            self._process = None

    def kill(self):
        """kill -9."""
        self._process.kill()
        self._process = None

    @property
    def process(self):
        return self._process

    def restart(self):
        """Starts again with the connectors that were there; their offsets are in a file."""
        self.stop()
        self.start()
        for name, config in self._configs.items():
            self.put(name, config)

    def put(self, name, config):
        """Creates or changes a connector and returns when its task runs.

        Running is not streaming: see Migration.await_streaming().
        """
        self._configs[name] = config
        wait_until(lambda: self._try("PUT", f"/connectors/{name}/config", config),
                   f"Connect to accept {name}", alive=self._process)
        self.await_state(name, "RUNNING")

    def delete(self, name):
        self._configs.pop(name, None)
        if self._process is not None:
            self.request("DELETE", f"/connectors/{name}")

    def pause(self, name):
        self.request("PUT", f"/connectors/{name}/pause")
        self.await_state(name, "PAUSED")

    def resume(self, name):
        self.request("PUT", f"/connectors/{name}/resume")
        self.await_state(name, "RUNNING")

    def stop_reading(self, name):
        """Lets go of the slot, which a paused connector keeps."""
        self.request("PUT", f"/connectors/{name}/stop")
        wait_until(lambda: self.status(name)["connector"]["state"] == "STOPPED"
                   and not self.status(name)["tasks"],
                   f"connector {name} to be stopped", alive=self._process)

    def forget_offsets(self, name, meanwhile):
        """Has the connector begin anew: stops it, calls `meanwhile`, forgets where it had read to."""
        self.stop_reading(name)
        meanwhile()
        self.request("DELETE", f"/connectors/{name}/offsets")
        self.resume(name)

    def status(self, name):
        return self.request("GET", f"/connectors/{name}/status")

    def await_state(self, name, state):
        """Waits for the connector's tasks.  Raises LabError with the trace when one fails."""
        wait_until(lambda: self._in_state(name, state), f"connector {name} to be {state}",
                   alive=self._process)

    def request(self, method, path, body=None):
        """One REST call; returns the decoded answer."""
        data = None if body is None else json.dumps(body).encode()
        call = urllib.request.Request(self.url + path, data, method=method,
                                      headers={"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(call, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as error:
            error.msg = f"{method} {path}: {error.read().decode(errors='replace')}"
            raise
        return json.loads(text) if text else {}

    def _try(self, method, path, body=None):
        try:
            return self.request(method, path, body)
        except urllib.error.HTTPError as error:
            if error.code in _TRYING_AGAIN:
                return None
            raise LabError(error.msg) from error
        except OSError:
            return None

    def _in_state(self, name, state):
        status = self._try("GET", f"/connectors/{name}/status") or {"tasks": []}
        for task in status["tasks"]:
            if task["state"] == "FAILED" and state != "FAILED":
                raise LabError(f"connector {name} failed: {task['trace']}")
        return bool(status["tasks"]) and all(task["state"] == state for task in status["tasks"])
