"""The manifest is read again while lockstep runs, and is shown without its secrets.

Issue O, part 1 and acceptance 2.
"""

import json
import re
import signal
import subprocess

from tests.integration.conftest import ROOT, SLOW, TABLE
from tests.lab.lockstep import BINARY, to_yaml
from tests.lab.process import wait_until
from tests.lab.stack import WRITER

LIMIT = "backfill.rate_limit_rows_per_second"


def changed(migration, **sections):
    """Writes the manifest with other values in some sections."""
    manifest = dict(migration.manifest)
    for name, values in sections.items():
        manifest[name] = {**manifest.get(name, {}), **values} if isinstance(values, dict) else values
    migration.lockstep.write(manifest)


def setting(lockstep, name=LIMIT):
    document = lockstep.answer("settings", "--format", "json")
    return {one["name"]: one for one in document["settings"]}[name]


def test_a_hot_key_counts_at_once(direct):
    """The old limit would let the copy run for an hour; what somebody has set stays set."""
    migration = direct(backfill={**SLOW, "rate_limit_rows_per_second": 1})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_status(lambda status: status["phase"] == "backfill", "the copy", 60)
        assert lockstep.verb("config diff").returncode == 0
        changed(migration, backfill={"rate_limit_rows_per_second": 0},
                reconcile={"rows_per_second": 5000})
        diff = lockstep.verb("config diff")
        assert diff.returncode == 2 and f"{LIMIT}: 1 -> 0: counts after lockstep reload" in diff.stdout
        assert lockstep.verb("set", "reconcile.rows_per_second=7").returncode == 0
        done = lockstep.verb("reload", "--reason", "at night")
        assert done.returncode == 0 and f"{LIMIT}: 1 -> 0\n" in done.stdout, done.stdout
        stays, = re.findall(r"reconcile.rows_per_second: 0 -> 5000: (.*)\n", done.stdout)
        assert re.match(r"stays 7, set by uid \d+ \(.*\) at 20\S+Z; next: lockstep set ", stays), stays
        assert stays.endswith(f"{lockstep.manifest} reconcile.rows_per_second=manifest"), stays
        diff = lockstep.verb("config diff")
        assert diff.returncode == 0 and "by this file, but for what is set by hand\n" in diff.stdout
        assert "set by hand: reconcile.rows_per_second = 7 (the manifest says 5000)" in diff.stdout
        lockstep.await_follow(60)
        assert setting(lockstep)["manifest"] == 0
        kept = setting(lockstep, "reconcile.rows_per_second")
        assert (kept["value"], kept["manifest"]) == (7, 5000)
        assert lockstep.verb("reload").stdout == "nothing has changed\n"
        audit = lockstep.answer("audit", "--format", "json")["audit"]
        assert any(one["verb"] == "reload" and LIMIT in one["details"] and "at night" in one["details"]
                   for one in audit)
        changed(migration, backfill={"rate_limit_rows_per_second": 12345})
        lockstep.process.send(signal.SIGHUP)
        wait_until(lambda: setting(lockstep)["value"] == 12345, "SIGHUP to count", 10)
    assert lockstep.verb("reload").returncode == 69


def test_a_file_that_is_not_right_changes_nothing(direct):
    migration = direct(TABLE)
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        changed(migration, backfill={"rate_limit_rows_per_second": 5, "workers": 1},
                debt_attempts=7, target={"lanes": 3})
        refused = lockstep.verb("reload")
        assert refused.returncode == 78
        for line in ("target.lanes: 2 -> 3: it counts from the next start",
                     "debt_attempts: 5 -> 7: it counts", "backfill.workers: 2 -> 1"):
            assert line in refused.stdout, refused.stdout
        assert "lockstep stop" in refused.stdout and LIMIT not in refused.stdout
        assert setting(lockstep)["value"] == 0
        lockstep.process.send(signal.SIGHUP)
        wait_until(lambda: "nothing was changed: " in lockstep.log_text(), "the answer", 10)
        # One that cannot be read: each problem at its place.
        lockstep.manifest.write_text(lockstep.manifest.read_text().replace("workers", "wrokers"))
        refused = lockstep.verb("reload")
        assert refused.returncode == 78 and "did you mean workers?" in refused.stderr
        seen = len(lockstep.log_text())
        lockstep.process.send(signal.SIGHUP)
        wait_until(lambda: "did you mean workers?" in lockstep.log_text()[seen:], "the answer", 10)
        lockstep.write(migration.manifest)
        assert setting(lockstep)["value"] == 0
        assert lockstep.verb("reload").stdout == "nothing has changed\n"


def test_what_no_key_shows_is_compared_too(direct):
    """The order of the tables' rules, of which a later one wins; a password of the file itself; and
    what is known beside a daemon that has another state_dir."""
    rules = [{"source": "public.*"}, {"source": "public.t*"}]
    migration = direct(TABLE, tables=rules)
    migration.prepare()
    secret = migration.stack.target.passwords[WRITER]
    migration.manifest["target"]["connect"]["password"] = secret
    changed(migration)
    with migration.running() as lockstep:
        lockstep.await_follow()
        assert lockstep.verb("config diff").returncode == 0
        changed(migration, tables=rules[::-1])
        for verb, code in (("config diff", 2), ("reload", 78)):
            done = lockstep.verb(verb)
            assert done.returncode == code, done
            assert ('tables.order: "public.* before public.t*" -> "public.t* before public.*"'
                    in done.stdout), done
        connect = {**migration.manifest["target"]["connect"], "password": "another"}
        changed(migration, target={"connect": connect})
        for verb, code in (("config diff", 2), ("reload", 78)):
            done = lockstep.verb(verb)
            assert done.returncode == code and "target.connect.password: " in done.stdout, done
            assert secret not in done.stdout and "another" not in done.stdout, done
        changed(migration, state_dir="elsewhere")
        for verb in ("config diff", "reload"):
            done = lockstep.verb(verb)
            assert done.returncode == 69 and "does not run" not in done.stderr, done
            assert "elsewhere: " in done.stderr and "goes on with that" in done.stderr, done
        changed(migration)


def test_another_migration_with_the_same_state_dir_orders_nothing(direct):
    """A copy of the manifest in which nobody changed state_dir."""
    migration = direct(TABLE, reconcile={"repair": "confirm"})
    migration.prepare()
    other = migration.lockstep.directory / "other.yaml"
    other.write_text(to_yaml({**migration.manifest, "migration": "other"}))

    def verb(words, *arguments):
        return subprocess.run([BINARY, *words.split(), str(other), *arguments], capture_output=True,
                              text=True, check=False, timeout=60)

    with migration.running() as lockstep:
        lockstep.await_follow()
        for words in ("stop", "abort", "pause", "resume", "reload", "resync", "config diff", "status",
                      "settings", "healthcheck", "events", "quarantine list", "validate --offline"):
            done = verb(words)
            said = done.stdout + done.stderr
            assert done.returncode == 78, (words, done)
            assert f"'{migration.name}'" in said and "'other'" in said, (words, done)
        assert verb("repair", "--yes").returncode == 78
        assert verb("set", "reconcile.rows_per_second=7").returncode == 78
        assert not lockstep.status()["paused"]
        assert lockstep.verb("audit").stdout == "nobody has ordered anything\n"
    for words in ("reset", "audit", "findings list", "aggregates", "pause"):
        done = verb(words, *(("--yes",) if words == "reset" else ()))
        assert done.returncode == 65 and "belongs to migration" in done.stderr, (words, done)
    done = verb("validate --offline")
    assert done.returncode == 78 and "belongs to migration" in done.stdout, done
    assert migration.stack.source.value(
        migration.name, "SELECT count(*) FROM pg_replication_slots WHERE database = "
                        "current_database()") == 1
    migration.finish()


def test_the_manifest_is_shown_without_secrets(direct):
    migration = direct(TABLE)
    lockstep = migration.lockstep
    manifest = json.loads(json.dumps(migration.manifest))
    manifest["target"]["connect"]["password"] = "canary-secret"
    lockstep.write(manifest)
    text = lockstep.verb("config print").stdout
    assert "canary-secret" not in text and 'password: "***"' in text
    assert "chunk_rows: 50000" in text and 'source.password"\n' in text
    document = lockstep.answer("config print", "--format", "json")
    assert document["reconcile"]["every"] == "86400s" and "canary" not in json.dumps(document)
    # What is printed says the same when it is read.
    lockstep.manifest.write_text(text.replace('"***"', '"canary-secret"'))
    assert lockstep.answer("config print", "--format", "json") == document


def test_the_schema_names_what_is_hot(direct):
    migration = direct(TABLE)
    done = subprocess.run([BINARY, "config", "schema"], capture_output=True, text=True, check=True)
    printed = json.loads(done.stdout)
    assert printed == json.loads((ROOT / "config" / "manifest.schema.json").read_text())
    effective = migration.lockstep.answer("config print", "--format", "json")
    optional = {"source": {"debezium"}, "throttle": {"query"}}
    for section, part in printed["properties"].items():  # Nothing is left out of what is compared.
        if "properties" in part:
            missing = set(part["properties"]) - set(effective[section])
            assert missing <= optional.get(section, set()), section
    hot = {f"{section}.{key}" for section, part in printed["properties"].items()
           for key, value in part.get("properties", {}).items() if value.get("x-hot")}
    names = {one["name"] for one in migration.lockstep.answer("settings", "--format",
                                                              "json")["settings"]}
    assert hot == names
