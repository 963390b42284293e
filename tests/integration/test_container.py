"""The image: built by buildah from the Dockerfile, run beside real servers (issue O, part 7)."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.integration.conftest import ROOT, is_long
from tests.lab.host import SLIM, make_root
from tests.lab.lockstep import to_yaml
from tests.lab.process import Process, wait_until
from tests.lab.stack import READER, WRITER

pytestmark = pytest.mark.skipif(not is_long(), reason="builds an image; ./run test --long")

_SIZE_MAX = 150_000_000
_USER = "65532"


def buildah(*argv, check=True):
    done = subprocess.run(["buildah", *map(str, argv)], capture_output=True, text=True,
                          check=False, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout.strip()


def inside(pid, name):
    """The process of this name among those that `pid` began, directly or not."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        for child in (thread / "children").read_text().split():
            if Path(f"/proc/{child}/comm").read_text().strip() == name:
                return int(child)
            if found := inside(child, name):
                return found
    return None


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Images of ours for as long as the tests run: the base that a host's Debian gives, and lockstep."""
    mark = f"lockstep-test-{time.time_ns()}"
    base, made = f"localhost/{mark}-base", f"localhost/{mark}"
    root = tmp_path_factory.mktemp("base") / "root"
    make_root(root, [], *SLIM)
    scratch = buildah("from", "scratch")
    try:
        buildah("add", "-q", scratch, root, "/")
        buildah("commit", "-q", "--rm", scratch, base)
        buildah("bud", "--isolation=chroot", "--format=docker", f"--build-arg=BASE={base}",
                "--build-arg=REVISION=test", "-t", made, ROOT)
        yield made
    finally:
        for each in (made, base):
            buildah("rmi", "--force", each, check=False)


@pytest.fixture
def container(image):
    made = buildah("from", image)
    yield made
    buildah("rm", made)


def test_what_the_image_says_of_itself(image):
    config = json.loads(buildah("inspect", "--type=image", image))["Docker"]["config"]
    assert config["User"].split(":")[0] == _USER
    assert config["Healthcheck"]["Test"][:3] == ["CMD", "lockstep", "healthcheck"]
    assert config["Entrypoint"] == ["lockstep"] and config["StopSignal"] == "SIGTERM"
    assert list(config["Volumes"]) == ["/var/lib/lockstep"]
    labels = config["Labels"]
    assert labels["org.opencontainers.image.revision"] == "test", labels
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


def test_the_image_is_small_and_nobody_in_it_is_root(container):
    tree = buildah("mount", container)
    size = int(subprocess.run(["du", "-sb", tree], capture_output=True, text=True,
                              check=True).stdout.split()[0])
    print(f"image: {size / 1e6:.0f} MB")
    assert size <= _SIZE_MAX, size
    assert "(test)" in buildah("run", "--isolation=chroot", container, "--", "lockstep", "version")
    assert buildah("run", "--isolation=chroot", container, "--", "id", "-u") == _USER


def test_a_migration_in_a_container(direct, container, tmp_path):
    migration = direct()
    migration.prepare()
    manifest = {**migration.manifest, "state_dir": f"/var/lib/lockstep/{migration.name}"}
    passwords = {"source": migration.stack.source.passwords[READER],
                 "target": migration.stack.target.passwords[WRITER]}
    for side, password in passwords.items():
        connect = {**manifest[side]["connect"], "password": {"env": f"{side.upper()}_PASSWORD"}}
        manifest[side] = {**manifest[side], "connect": connect}
    config = tmp_path / "migration.yaml"
    config.write_text(to_yaml(manifest))
    environment = [f"--env={side.upper()}_PASSWORD={each}" for side, each in passwords.items()]

    def command(*argv):
        return ["buildah", "run", "--isolation=chroot", *environment,
                f"--volume={config}:/etc/lockstep/migration.yaml:ro", container, "--", "lockstep",
                *argv, "/etc/lockstep/migration.yaml"]

    daemon = Process("buildah run", command("run"), tmp_path / "log")
    try:
        wait_until(lambda: subprocess.run(command("healthcheck"), capture_output=True,
                                          check=False).returncode == 0,
                   "the container to be healthy", alive=daemon)
        migration.source("DELETE FROM t WHERE id % 3 = 0")
        migration.await_target("SELECT count(*) FROM t", 2000)
        # As a container engine does: the signal is for the program inside.
        os.kill(inside(daemon.pid, "lockstep"), signal.SIGTERM)
        code = daemon.wait()
    finally:
        daemon.stop(signal.SIGKILL)
    assert code == 0, daemon.log_tail()
    migration.assert_equal()
