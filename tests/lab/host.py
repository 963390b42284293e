"""A migration host of its own: a Debian root file system that a real systemd boots (nspawn).

It shares the network with us, so that the lab's servers at 127.0.0.1 are its servers, and nothing
else: what the package installs, starts and leaves behind there is not here.
"""

import shutil
import subprocess
from pathlib import Path

from tests.lab.process import LabError, Process, wait_until

_RELEASE = "bookworm"


def _apt_sources():
    """Where this machine takes Debian's packages from."""
    for path in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")):
        if path.exists():
            return path
    raise LabError("this machine has no list of Debian's package sources")


def _depends(package):
    """What a .deb needs, by name; of alternatives the first, or systemd, which a host has."""
    field = subprocess.run(["dpkg-deb", "-f", package, "Depends"], capture_output=True, text=True,
                           check=True).stdout
    needs = [[one.split("(")[0].strip() for one in each.split("|")] for each in field.split(",")]
    return ["systemd" if "systemd" in names else names[0] for names in needs]


# What debian:bookworm-slim leaves out of its packages.
SLIM = [f"--dpkgopt=path-exclude=/usr/share/{each}/*" for each in ("man", "doc", "locale", "info")]


def make_root(root, packages, *options):
    """Makes a root file system of Debian's smallest set and these packages.  REQUIRES: root."""
    # Merged by hand, as Debian's own images are: usrmerge would bring all of perl.
    merged = ["--hook-dir=/usr/share/mmdebstrap/hooks/merged-usr",
              f"--include={','.join(['usr-is-merged', *packages])}"]
    made = subprocess.run(
        ["mmdebstrap", "--quiet", "--variant=minbase", *merged, *options, _RELEASE, root,
         _apt_sources()], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise LabError(f"mmdebstrap: {made.stderr[-2000:]}")


class Host:
    """REQUIRES: root, and used as a context manager."""

    def __init__(self, directory, package):
        """Makes the root file system, with all that `package` needs but not the package."""
        self.root = Path(directory) / "root"
        self.package = Path(package)
        self._log = Path(directory) / "boot.log"
        self._process = None
        self._leader = None
        make_root(self.root, ["systemd", "dbus", "sudo", *_depends(package)])
        shutil.copy(self.package, self.root / "root")

    def __enter__(self):
        self._process = Process("systemd-nspawn", [
            "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit",
            f"--directory={self.root}", f"--machine=lockstep-{self._log.parent.name}"], self._log)
        self._leader = wait_until(self._find_leader, "systemd to begin", alive=self._process)
        wait_until(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip()
                   in ("running", "degraded"), "the host to have booted", alive=self._process)
        return self

    def __exit__(self, *_):
        self.run("systemctl", "poweroff", check=False)
        self._process.wait()

    def _find_leader(self):
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return children.split()[0] if children else None

    def run(self, *argv, check=True):
        """Runs a command there, as root."""
        done = subprocess.run(["nsenter", "-t", self._leader, "-a", "--", *map(str, argv)],
                              capture_output=True, text=True, check=False, timeout=120,
                              stdin=subprocess.DEVNULL)
        if check and done.returncode != 0:
            raise LabError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n"
                           f"{done.stdout}{done.stderr}")
        return done

    def install(self):
        """Installs the package, or upgrades to it."""
        self.run("dpkg", "--install", f"/root/{self.package.name}")

    def write(self, path, text, mode=0o644):
        """A file there that belongs to root."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=mode)
        file.write_text(text)

    def journal(self, *matches):
        """What the journal holds of our unit or of a field, one line per entry."""
        return self.run("journalctl", "--no-pager", "--output=cat", *matches).stdout

    def show(self, unit, name):
        """A property of a unit."""
        return self.run("systemctl", "show", unit, f"--property={name}", "--value").stdout.strip()
