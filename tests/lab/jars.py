"""The pinned Java side: Kafka with Connect, and Debezium's connector plugins.

Maven fetches each set once into a cache outside the work tree.  A set is complete or absent: it is
built beside its final place, checked against jars.sha256, and renamed into place.

    python3 -m tests.lab.jars            fetch what `./run demo` needs
    python3 -m tests.lab.jars --record   fetch every set afresh and rewrite jars.sha256
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

KAFKA_VERSION = os.environ.get("KAFKA_V", "4.3.1")
KNOWN_KAFKA_VERSIONS = ("4.3.1", "3.9.2")
DEBEZIUM_VERSION = "3.6.0.Final"
MAVEN_DEPENDENCY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1"

HERE = Path(__file__).resolve().parent
CHECKSUMS = HERE / "jars.sha256"


def cache_dir():
    """Where the sets are kept between runs."""
    return Path(os.environ.get("LOCKSTEP_CACHE") or Path.home() / ".cache" / "lockstep")


def kafka(version=KAFKA_VERSION):
    """Returns the directory of the jars of the broker and of Connect."""
    return _cached(f"kafka-{version}", lambda into: _fetch_kafka(version, into))


def plugin(kind):
    """Returns a Connect plugin.path with one Debezium connector: `postgres` or `jdbc`."""
    name = f"debezium-connector-{kind}-{DEBEZIUM_VERSION}"
    return _cached(name, lambda into: _fetch_plugin(kind, name, into))


def _cached(name, fetch):
    place = cache_dir() / name
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place.parent / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # A second ./run waits here and then finds the set.
        if place.is_dir():
            return place
        if shutil.which("mvn") is None:
            raise SystemExit("mvn is missing: install the Debian package maven")
        print(f"fetching {name}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=place.parent) as scratch:
            built = Path(scratch) / "built"
            built.mkdir()
            _verify(name, fetch(built))
            built.rename(place)
    return place


def _maven(*arguments):
    subprocess.run(["mvn", "-q", "-B", "-Dstyle.color=never", *arguments], check=True,
                   stdout=sys.stderr)


def _fetch_kafka(version, into):
    with tempfile.TemporaryDirectory() as scratch:
        pom = shutil.copy(HERE / "pom.xml", scratch)  # Maven wants to write beside it.
        _maven("-f", pom, f"-Dkafka.version={version}", f"{MAVEN_DEPENDENCY}:copy-dependencies",
               "-DincludeScope=runtime", f"-DoutputDirectory={into}")
    return {f"kafka-{version}/{jar.name}": _digest(jar) for jar in into.iterdir()}


def _fetch_plugin(kind, name, into):
    artifact = f"io.debezium:debezium-connector-{kind}:{DEBEZIUM_VERSION}:tar.gz:plugin"
    with tempfile.TemporaryDirectory() as scratch:
        _maven("-f", shutil.copy(HERE / "pom.xml", scratch), f"{MAVEN_DEPENDENCY}:copy",
               f"-Dartifact={artifact}", f"-DoutputDirectory={scratch}")
        archive = Path(scratch) / f"{name}-plugin.tar.gz"
        with tarfile.open(archive) as tar:
            tar.extractall(into)
        return {archive.name: _digest(archive)}


def _digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _recorded():
    lines = CHECKSUMS.read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}


def _verify(name, fetched):
    """Raises unless exactly the recorded files of this set arrived, byte for byte."""
    recorded = {file: digest for file, digest in _recorded().items() if file.startswith(name)}
    if fetched == recorded:
        return
    wrong = sorted(file for file in fetched.keys() | recorded.keys()
                   if fetched.get(file) != recorded.get(file))
    raise SystemExit(f"{name}: not what {CHECKSUMS.name} records: {', '.join(wrong)}")


def _record():
    found = {}
    with tempfile.TemporaryDirectory() as scratch:
        for version in KNOWN_KAFKA_VERSIONS:
            into = Path(scratch) / version
            into.mkdir()
            found.update(_fetch_kafka(version, into))
        for kind in ("postgres", "jdbc"):
            name = f"debezium-connector-{kind}-{DEBEZIUM_VERSION}"
            found.update(_fetch_plugin(kind, name, Path(scratch)))
    CHECKSUMS.write_text("".join(f"{found[name]}  {name}\n" for name in sorted(found)))


if __name__ == "__main__":
    if "--record" in sys.argv[1:]:
        _record()
    else:
        print(kafka(), plugin("postgres"))
