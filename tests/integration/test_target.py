"""The target's connection against a real server: a GoogleTest binary that is given one."""

import os
import subprocess

from tests.lab.lockstep import ROOT
from tests.lab.postgres import SUPERUSER

BINARY = ROOT / "build" / "asan" / "tests" / "lockstep_integration_test"


def test_target_on_a_real_server(stack):
    target = stack.target
    conninfo = f"host={target.socket_dir} port={target.port} dbname=postgres user={SUPERUSER}"
    environment = {**os.environ, "LOCKSTEP_TEST_TARGET": conninfo}
    ran = subprocess.run([BINARY, "--gtest_brief=1"], env=environment, capture_output=True,
                         text=True, check=False, timeout=600)
    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert "[  SKIPPED ]" not in ran.stdout
