"""What the daemon tells its service manager, and what its unit allows it (issue O, part 6)."""

import configparser
import json
import os
import signal
import socket
import stat
import subprocess
from pathlib import Path

from tests.integration.conftest import ROOT, TABLE
from tests.lab.lockstep import control_connection
from tests.lab.stack import READER, WRITER

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
    # In a user namespace SO_PEERCRED names everybody 65534, and the audit log nobody.
    assert "PrivateUsers=" not in [line[:13] for line in UNIT.read_text().splitlines()]


def test_the_unit_never_gives_up_on_what_passes():
    """A full disk ends the daemon within a second, each time: for hours, at night."""
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str
    unit.read(UNIT)
    again = float(unit["Service"]["RestartSec"])
    assert again <= 10  # Nobody waits long once it is cured.
    interval = float(unit["Unit"].get("StartLimitIntervalSec", "10"))
    burst = int(unit["Unit"].get("StartLimitBurst", "5"))
    assert interval == 0 or again * burst > interval, "systemd would give it up (systemd.unit(5))"
    cured_by_nobody = unit["Service"]["RestartPreventExitStatus"].split()
    assert not {"74", "75"} & set(cured_by_nobody)


def test_an_upgrade_goes_on_without_a_migration_that_it_refuses(tmp_path):
    """Else the package stays half-configured, and every later apt fails."""
    programs, booted = tmp_path / "bin", tmp_path / "booted"
    programs.mkdir()
    booted.mkdir()
    for name in ("systemd-sysusers", "chown", "chmod", "systemctl", "deb-systemd-invoke"):
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/called\n'
                                     f"exit {1 if name == 'deb-systemd-invoke' else 0}\n")
        (programs / name).chmod(0o755)
    script = (ROOT / "package" / "postinst").read_text()
    assert "/run/systemd/system" in script  # There is none here.
    script = script.replace("/run/systemd/system", str(booted))
    done = subprocess.run(["sh", "-c", script, "postinst", "configure", "0.9"], check=False,
                          env={"PATH": f"{programs}:/usr/bin:/bin"}, capture_output=True, text=True)
    assert "deb-systemd-invoke try-restart" in (tmp_path / "called").read_text()
    assert done.returncode == 0, done
    assert "did not start again" in done.stderr and "journalctl" in done.stderr, done


def table(status, name):
    return {one["table"]: one for one in status["tables"]}.get(f"public.{name}", {
        "findings": 0, "ranges_total": 0})


def test_no_secret_and_no_row_is_told(direct, tmp_path):
    """Issue O, acceptance 10: passwords and values of rows, wherever lockstep tells something; also
    those that a server names when it refuses a row."""
    row, key = "canary-of-a-row", "canary-of-a-key"
    # Of so many rows that several ranges end at a key.
    migration = direct(f"""{TABLE};
        CREATE TABLE people (email text PRIMARY KEY);
        INSERT INTO people SELECT '{key}-' || g FROM generate_series(1, 120000) g;
        CREATE TABLE refused (email text PRIMARY KEY, v text);
        INSERT INTO refused VALUES ('{key}-1', '{row}'), ('{key}-2', '{row}'), ('{key}-3', '')""",
                       reconcile={"every": "1s"}, debt_attempts=1)
    migration.prepare()
    migration.target("ALTER TABLE refused ADD UNIQUE (v), ADD CHECK (v <> '')")
    passwords = [migration.stack.source.passwords[READER], migration.stack.target.passwords[WRITER]]
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.target(f"UPDATE t SET v = '{row}' WHERE id = 7")
        lockstep.await_status(lambda status: table(status, "t")["findings"], "a finding")
        status = lockstep.await_status(
            lambda status: (table(status, "people")["ranges_total"] or 0) > 1, "ranges that end at a key")
        assert any(one["upper"] for one in table(status, "people")["ranges"])
        lockstep.await_status(lambda status: table(status, "refused")["quarantined"] == 2,
                              "rows to be refused")
        refusals = "\n".join(migration.stack.target.log_lines())
        for words in (f"Key (v)=({row}) already exists", f"Failing row contains ({key}-3, "):
            assert words in refusals, f"the server does not say {words}"
        told = {"cmdline": Path(f"/proc/{lockstep.process.pid}/cmdline").read_text(),
                "environ": Path(f"/proc/{lockstep.process.pid}/environ").read_text(),
                "core": "" if "Max core file size        0 " in Path(
                    f"/proc/{lockstep.process.pid}/limits").read_text() else "cores are not off"}
        for path in ("/", "/metrics", "/api/v1/status", "/api/v1/tables",
                     "/api/v1/tables/public.people", "/api/v1/config", "/api/v1/events",
                     "/api/v1/findings", "/api/v1/settings", "/api/v1/pause", "/readyz",
                     "/api/v1/quarantine", "/api/v1/history"):
            connection = control_connection(lockstep)
            connection.request("GET", path)
            told[path] = connection.getresponse().read().decode()
            connection.close()
        bundle = tmp_path / "bundle.json"
        done = lockstep.verb("doctor", "--out", bundle)
        assert done.returncode == 0, done
        assert stat.S_IMODE(bundle.stat().st_mode) == 0o600
        told["doctor"] = bundle.read_text()
        document = json.loads(told["doctor"])
        assert document["status"].get("migration") == migration.name, document["status"]
        assert document["daemon"]["events"]
        assert not [name for name, part in document["daemon"].items()
                    if isinstance(part, dict) and "missing" in part]
        assert lockstep.verb("doctor", "--out", bundle).returncode == 74  # It is there already.
        told["status"] = lockstep.verb("status", "--format", "json").stdout
        assert told["/api/v1/quarantine"].count('"id"') == 2, told["/api/v1/quarantine"]
        for verb in ("quarantine list", "quarantine show", "findings list", "events"):
            done = lockstep.verb(verb)
            told[verb] = done.stdout + done.stderr
        shown = lockstep.answer("status", "--format", "json", "--show-values")
        assert key in json.dumps(table(shown, "people")["ranges"]), table(shown, "people")
        told["log"] = lockstep.log_text()
    assert told.pop("core") == ""
    secrets = {**{one: "a password" for one in passwords}, row: "a row", key: "a key",
               row.encode().hex(): "a row in hex", key.encode().hex(): "a key in hex"}
    found = [(where, what) for where, text in told.items() for secret, what in secrets.items()
             if secret in text]
    assert not found, found
    # Without a daemon: what lies in the state directory.
    assert lockstep.verb("doctor", "--out", tmp_path / "stopped.json").returncode == 0
    stored = json.loads((tmp_path / "stopped.json").read_text())["stored"]
    assert [one for one in stored["events"]["events"] if one["message"] == "started"], stored
    assert [one["table"] for one in stored["findings"]["findings"]] == ["public.t"], stored
    assert stored["settings"]["settings"] and "missing" in stored["history"], stored
    migration.target("UPDATE t SET v = 'v7' WHERE id = 7;"
                     "ALTER TABLE refused DROP CONSTRAINT refused_v_key, DROP CONSTRAINT refused_v_check")
    assert lockstep.verb("quarantine retry").returncode == 0
    migration.finish()
