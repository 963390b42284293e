"""`./run test`: builds, runs every group of tests, and counts.

The last line printed is `N passed, N failed`, after the names and reasons of what failed; the exit
code is 1 when anything failed.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.lab.lockstep import ROOT
from tests.lab.stack import end_on_signals

# Group: preset, the binaries' names, and what the environment adds.
_NATIVE = {
    "unit": ("dev", ["unit"], {}),
    "sim": ("dev", ["sim"], {}),
    "tidy": ("dev", ["tidy"], {}),
    "fuzz": ("dev", ["fuzz"], {}),
    "asan": ("asan", ["unit", "sim", "tidy", "fuzz"], {"LOCKSTEP_SIM_SEEDS": "2000"}),
    "tsan": ("tsan", ["unit", "sim"], {"LOCKSTEP_SIM_SEEDS": "200"}),
}
# What runs when no group is named: each thing once, under the sanitizers, so that a clean clone
# compiles as little as possible.
_SHORT = ["asan"]
_FULL = ["sim", "asan", "tsan"]
# The integration tests wait for most of their time: the parts of each stream run side by side, each
# with servers of its own (a broker and a connector cost more than a third part of Debezium's would
# gain).  The parts of a stream take about as long, and begin with what takes longest.
DIRECT = [
    ["test_shape", "test_partitions", "test_target_watch", "test_resync", "test_direct",
     "test_reconcile_kills", "test_planted", "test_toast", "test_accepted", "test_refused",
     "test_abort", "test_api", "test_metrics", "test_dashboards", "test_page", "test_host",
     "test_container"],
    ["test_kill", "test_exported", "test_repair", "test_races", "test_direct_slot",
     "test_identity", "test_claims", "test_false_alarms", "test_aggregates", "test_smoke",
     "test_floods", "test_orders"],
    ["test_shapes", "test_reconcile", "test_throttle", "test_steering", "test_digests",
     "test_quiet", "test_direct_types", "test_restart_truth", "test_explain_row",
     "test_direct_load", "test_quarantine", "test_foreign_writers", "test_reload",
     "test_service", "test_init", "test_alerts", "test_pause_time", "test_load_step"]]
_DEBEZIUM = [
    ["test_shape", "test_partitions", "test_definition", "test_first_use", "test_races",
     "test_validate", "test_bad_events", "test_smoke", "test_parity", "test_compare"],
    ["test_kill", "test_reconcile", "test_resync", "test_restart_truth", "test_identity",
     "test_connector", "test_memory", "test_synced", "test_toast", "test_readme", "test_shapes",
     "test_quarantine", "test_false_alarms"]]
_NO_DAEMON = "test_target"
# What measures a load of its own is worth nothing beside four other parts: the full counts of these
# run when all else is over.
_TIMED = {"direct": ["test_load_step", "test_pause_time", "test_false_alarms"],
          "debezium": ["test_false_alarms"]}
_LONG = {"LOCKSTEP_LONG": "1", "LOCKSTEP_SIM_SEEDS": "100000"}

_TESTS = ROOT / "tests" / "integration"

_SANITIZERS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
    "TSAN_OPTIONS": f"suppressions={ROOT}/tests/tsan.supp second_deadlock_stack=1",
}

# One cache for every clone of the repository, as in ./run build.
_CCACHE = {"CCACHE_BASEDIR": str(ROOT), "CCACHE_NOHASHDIR": "1"}


class Suite:
    """Counts of what ran so far."""

    def __init__(self, scratch, environment, full_counts):
        self.scratch = Path(scratch)
        self.environment = environment
        self.full_counts = full_counts
        self.passed = 0
        self.failed = 0
        self.reasons = []  # A line for each that failed.
        self.runs = 0  # Of pytest.

    def native(self, group):
        """Builds and runs the C++ test binaries of a group."""
        preset, names, extra = _NATIVE[group]
        targets = [f"lockstep_{name}_test" for name in names]
        if not self._build(preset, targets):
            return
        for target in targets:
            self._say(f"{group}: {target}")
            report = self.scratch / f"{group}-{target}.json"
            code = self._run([ROOT / "build" / preset / "tests" / target, "--gtest_brief=1",
                              f"--gtest_output=json:{report}"], extra)
            self._count_gtest(report, code)

    def everything(self):
        """The integration tests over both streams, beside them all groups; then what is timed."""
        if not self._build("release", ["lockstep"]):
            return
        for file in sorted(_TESTS.glob("test_*.py")):
            if file.stem not in [*sum(DIRECT + _DEBEZIUM, []), _NO_DAEMON]:
                self._fail(file.stem, "is in no list of suite.py: over which stream does it run?")
        apart = _TIMED if self.full_counts else {}
        parts = [(stream, [_TESTS / f"{name}.py" for name in part
                           if name not in apart.get(stream, [])])
                 for stream, of_stream in (("debezium", _DEBEZIUM), ("direct", DIRECT))
                 for part in of_stream]
        with ExitStack() as beside:
            for stream, files in parts:
                beside.enter_context(self._pytest_beside(stream, files))
            for group in _FULL if self.full_counts else _SHORT:
                self.native(group)
            if self._build("asan", ["lockstep_integration_test"]):
                self._pytest("direct", "release", [_TESTS / f"{_NO_DAEMON}.py"])
        for stream, names in apart.items():
            self._pytest(stream, "release", [_TESTS / f"{name}.py" for name in names])

    def integration(self, expression=None):
        """Runs the integration tests, or those whose name matches."""
        if (self._build("release", ["lockstep"]) and
                self._build("asan", ["lockstep_integration_test"])):
            self._pytest(os.environ.get("LOCKSTEP_STREAM", "debezium"), "release",
                         [_TESTS, *(["-k", expression] if expression else [])])

    def sanitized_integration(self, preset):
        """One whole migration with the daemon under a sanitizer."""
        if self._build(preset, ["lockstep"]):
            self._pytest("debezium", preset, [_TESTS / "test_smoke.py"])

    def _pytest(self, stream, preset, arguments):
        """Runs integration tests."""
        self._say(f"integration: {stream}, {preset}")
        argv, extra, report = self._of_pytest(stream, preset, arguments)
        self._count_pytest(report, self._run(argv, extra))

    @contextmanager
    def _pytest_beside(self, stream, files):
        """Runs integration tests beside what the caller does; their output comes at the exit."""
        what = f"integration: {stream}, {files[0].stem} and {len(files) - 1} more"
        self._say(f"{what}, beside what follows")
        argv, extra, report = self._of_pytest(stream, "release", files)
        argv = ["nice", "-n", "4", *argv]  # Who waits for the compiler waits for longest.
        log = report.with_suffix(".log")
        with log.open("w") as output, self._running(argv, extra, output) as child:
            yield
        self._say(what)
        print(log.read_text(errors="replace"), flush=True)
        self._count_pytest(report, child.returncode)

    def _of_pytest(self, stream, preset, arguments):
        """Command, environment and report of one run of pytest."""
        self.runs += 1
        report = self.scratch / f"pytest-{self.runs}.xml"
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--durations=25",
                f"--junitxml={report}", *arguments]
        extra = {"LOCKSTEP_BINARY": str(ROOT / "build" / preset / "lockstep"),
                 "LOCKSTEP_STREAM": stream}
        return argv, extra, report

    def _build(self, preset, targets):
        self._say(f"building {preset}: {', '.join(targets)}")
        configure = ["cmake", "--preset", preset, "--log-level=ERROR"]
        compile_them = ["cmake", "--build", "--preset", preset, "--target", *targets]
        if self._run(configure, {}) == 0 and self._run(compile_them, {}) == 0:
            return True
        self._fail(f"the build of {preset}", "see above")
        return False

    def _fail(self, name, reason, count=1):
        """`reason` is cut to what fits into a line."""
        words = " ".join(reason.split()) or "no reason given"
        self.reasons.append(f"FAILED {name}: {words[:400]}")
        self.failed += count

    def _run(self, argv, extra):
        """Runs a child to its end and returns its exit code."""
        with self._running(argv, extra) as child:
            pass
        return child.returncode

    @contextmanager
    def _running(self, argv, extra, output=None):
        """A child, which has ended at the exit: by itself, or by a signal when one came to us."""
        # In a session of its own, so that Ctrl-C reaches it once, from here.
        child = subprocess.Popen(list(map(str, argv)), cwd=ROOT, start_new_session=True,
                                 stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                 env={**self.environment, **_CCACHE, **_SANITIZERS, **extra})
        try:
            yield child
            child.wait()
        except BaseException:
            if argv[0] == "cmake":  # It does not tell the compilers.
                os.killpg(child.pid, signal.SIGTERM)
            else:
                child.send_signal(signal.SIGTERM)
            child.wait()
            raise

    def _count_gtest(self, report, code):
        if not report.exists():  # It crashed before it could write: that is one failure at least.
            self._fail(report.stem, f"ended with code {code} before its report")
            return
        suites = json.loads(report.read_text())
        tests = [test for suite in suites["testsuites"] for test in suite["testsuite"]]
        bad = [test for test in tests if test.get("failures")]
        for test in bad:
            self._fail(f"{test['classname']}.{test['name']}", test["failures"][0]["failure"])
        if code != 0 and not bad:
            self._fail(report.stem, f"ended with code {code}, though no test failed")
        self.passed += suites["tests"] - len(bad) - suites["disabled"]

    def _count_pytest(self, report, code):
        if not report.exists():
            self._fail(report.stem, f"pytest ended with code {code} before its report")
            return
        suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite")
        bad = set()
        for case in suite.iter("testcase"):
            found = [each for each in case if each.tag in ("failure", "error")]
            if found:
                name = f"{case.get('classname')}.{case.get('name')}"
                bad.add(name)
                self._fail(name, found[0].get("message") or found[0].text or "")
        if code != 0 and not bad:
            self._fail(report.stem, f"pytest ended with code {code}, though no test failed")
        self.passed += int(suite.get("tests")) - int(suite.get("skipped")) - len(bad)

    @staticmethod
    def _say(what):
        print(f"== {what}", flush=True)


def main():
    parser = argparse.ArgumentParser(prog="./run test")
    parser.add_argument("name", nargs="?",
                        help=f"{' '.join(_NATIVE)} integration, or a test's name")
    parser.add_argument("--long", action="store_true", help="the full counts")
    arguments = parser.parse_args()
    end_on_signals()
    environment = {**os.environ, **(_LONG if arguments.long else {})}
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="lockstep-test-") as scratch:
        suite = Suite(scratch, environment, arguments.long)
        if arguments.name in _NATIVE:
            suite.native(arguments.name)
        elif arguments.name:
            suite.integration(None if arguments.name == "integration" else arguments.name)
        else:
            suite.everything()
            if arguments.long:
                suite.sanitized_integration("asan")
                suite.sanitized_integration("tsan")
    print(f"== {time.monotonic() - begun:.0f} s")
    for reason in suite.reasons:
        print(reason)
    print(f"{suite.passed} passed, {suite.failed} failed", flush=True)
    return 1 if suite.failed else 0


if __name__ == "__main__":
    sys.exit(main())
