"""A real Prometheus that loads the shipped alerts and scrapes one daemon, and what it says.

So that nobody waits for an hour, a minute of the alerts is a second here: in every `for:` and in
every range such as [5m].  What they compare with, such as 60 seconds of lag, is as it is shipped.
"""

import json
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.lab.lockstep import ROOT
from tests.lab.process import LabError, Process, free_ports, wait_until

SHIPPED = ROOT / "docs" / "prometheus"
_SECONDS = {"m": 1, "h": 60, "d": 24 * 60}  # Of what is a minute, an hour, a day outside.
_DURATION = r"(\d+)([mhd])"
_SCRAPE = "1s"  # Outside 15 s, of which it may take 10.
# What may fire at any time, and why, and what once the cure has begun.
_ALWAYS = {"MigrationDown": "a busy machine answers later than a scrape may take"}
_AFTERWARDS = {
    "MigrationNotReady": "the cure has begun a run, which is prepared first",
    "MigrationLagUnknown": "some seconds pass until there is a proof again",
    "MigrationLateFast": "what had to wait comes late; in a second for a minute one change is many",
    "MigrationLateSlow": "likewise",
}
_EVALUATE = "250ms"


def shortened(rules):
    """The text of a file of rules, with a second in the place of each minute."""
    def shorter(found):
        return f"{found[1]}{int(found[2]) * _SECONDS[found[3]]}s{found[4]}"

    rules = re.sub(rf"(?m)^(\s+for: ){_DURATION}($)", shorter, rules)
    return re.sub(rf"(\[){_DURATION}(\])", shorter, rules)


class Prometheus:
    """A context manager."""

    def __init__(self, directory, port):
        """`port`: that of the daemon's `listen`."""
        self.directory = Path(directory)
        self.directory.mkdir()
        self._port, = free_ports(1)
        config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": _SCRAPE, "scrape_timeout": _SCRAPE,
                            "evaluation_interval": _EVALUATE}
        job, = config["scrape_configs"]
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
        (self.directory / "prometheus.yml").write_text(yaml.safe_dump(config))
        for name in config["rule_files"]:
            rules = shortened((SHIPPED / name).read_text())
            (self.directory / name).write_text(rules)
        self._process = None

    def __enter__(self):
        self._process = Process("prometheus", [
            "prometheus", f"--config.file={self.directory}/prometheus.yml",
            f"--storage.tsdb.path={self.directory}/data", "--log.level=warn",
            f"--web.listen-address=127.0.0.1:{self._port}"], self.directory / "prometheus.log")
        try:
            wait_until(self._is_ready, "Prometheus to be ready", alive=self._process)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(self, *_):
        self._process.stop()

    def query(self, expression):
        """[(labels, value)] of an instant query; a scalar has no labels.  LabError: refused."""
        found = self._answer("query", query=expression)
        if found["resultType"] == "scalar":
            return [({}, float(found["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in found["result"]]

    def alerts(self):
        """Those that are pending or fire: [{"state", "labels", ..}]."""
        return self._answer("alerts")["alerts"]

    def firing(self, name):
        """The labels of those alerts of a name that fire."""
        return [alert["labels"] for alert in self.alerts()
                if alert["labels"]["alertname"] == name and alert["state"] == "firing"]

    def fired(self, begun, ended):
        """All alerts that have fired meanwhile, in Unix seconds: {name: when, in words}."""
        found = self._answer("query_range", query='ALERTS{alertstate="firing"}', start=begun,
                             end=ended, step="250ms")
        return {one["metric"]["alertname"]: f"{one['values'][0][0] - begun:.1f} to "
                                            f"{one['values'][-1][0] - begun:.1f} s"
                for one in found["result"]}

    def _answer(self, what, **parameters):
        url = (f"http://127.0.0.1:{self._port}/api/v1/{what}?"
               f"{urllib.parse.urlencode(parameters)}")
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.loads(answer.read())["data"]
        except urllib.error.HTTPError as refused:
            raise LabError(f"{parameters}: {refused.read().decode()}") from refused

    def _is_ready(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=30):
                return True
        except OSError:
            return False


class Watch:
    """What Prometheus says of a daemon while it meets with one fault after another."""

    def __init__(self, prometheus, lockstep):
        self.prometheus = prometheus
        self._lockstep = lockstep

    def await_quiet(self, timeout=120):
        """Waits until it is scraped and nothing is pending or fires."""
        def quiet():
            return self.prometheus.query("up == 1") and not self.prometheus.alerts()

        self._await(quiet, "every alert to be gone", timeout)

    @contextmanager
    def fault(self, *names, **implied):
        """In the block somebody causes a fault, awaits seen(), and cures it.

        At the exit every alert is gone again; those named, and none but the `implied` (name: why),
        have fired, and during the cure none but those and what any cure may bring.  Prints the
        seconds.
        """
        self.await_quiet()
        fault = _Fault(self, names)
        yield fault
        fault.await_gone()
        allowed = {*names, *implied, *_ALWAYS}
        before = self.prometheus.fired(fault.begun, fault.cured)
        after = self.prometheus.fired(fault.cured, time.time())
        print(f"  all before the cure: {before}; after it began: {after}")
        assert before.keys() <= allowed, f"beside {names} fired {before}"
        assert after.keys() <= allowed | set(_AFTERWARDS), f"after {names} fired {after}"

    def _await(self, condition, what, timeout):
        try:
            return wait_until(condition, what, timeout)
        except LabError as error:
            said = [(one["labels"]["alertname"], one["state"]) for one in self.prometheus.alerts()]
            raise LabError(f"{error}; the alerts: {said}; {self._lockstep.verb('status').stdout}"
                           ) from error


class _Fault:
    def __init__(self, watch, names):
        self.begun = time.time()
        self._watch = watch
        self._names = names
        self.cured = None

    def seen(self, timeout=120, **labels):
        """Waits until all of the named fire, the first of them with these labels."""
        took = {}

        def fire():
            for name in self._names:
                wanted = labels if name == self._names[0] else {}
                if name not in took and any(wanted.items() <= found.items()
                                            for found in self._watch.prometheus.firing(name)):
                    took[name] = time.time() - self.begun
            return len(took) == len(self._names)

        self._watch._await(fire, f"{self._names} to fire with {labels}", timeout)
        for name, seconds in took.items():
            print(f"{name}: fires after {seconds:.1f} s")
        self.cured = time.time()

    def await_gone(self):
        left = set(self._names)
        prometheus = self._watch.prometheus

        def gone():
            alerts = prometheus.alerts()
            for name in sorted(left - {one["labels"]["alertname"] for one in alerts}):
                print(f"{name}: gone after {time.time() - self.cured:.1f} s")
                left.discard(name)
            return not alerts and prometheus.query("up == 1")

        self._watch._await(gone, "every alert to be gone", 180)
