"""/metrics says what status says, in a form that Prometheus finds nothing to complain of.

Issue O, part 3; acceptance 5 and 9.
"""

import json
import re
import subprocess
import urllib.error
import urllib.request

import pytest

from tests.integration.conftest import ROOT, TABLE
from tests.lab.lockstep import control_connection
from tests.lab.process import free_ports, wait_until
from tests.lab.stack import WRITER

COMPARED = "migration_reconcile_rows_total"
DOCUMENTED = set(re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / "metrics.md").read_text(), re.M))


def scrape(lockstep):
    """The text of the page."""
    connection = control_connection(lockstep)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    assert answer.status == 200 and answer.headers["Content-Type"].startswith("text/plain")
    return text


def samples(text):
    """{"name": {("label", "value", ..): number}}, without the label of the migration."""
    found = {}
    for line in text.splitlines():
        if line.startswith("#"):
            continue
        name, labels, value = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line).groups()
        pairs = re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', labels)
        assert pairs[0][0] == "migration"
        found.setdefault(name, {})[tuple(sum(pairs[1:], ()))] = float(value)
    return found


def total(lockstep, name):
    """What a counter of /metrics says of all its labels."""
    return sum(samples(scrape(lockstep)).get(name, {}).values())


def check(text):
    """Everything that is shown stands in the document, in Prometheus' form."""
    names = set(re.findall(r"^# TYPE (\w+) ", text, re.M))
    assert names and names <= DOCUMENTED
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, text=True,
                             capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.fixture
def daemon(direct):
    migration = direct(TABLE, reconcile={"every": "1s"}, listen={"port": free_ports(1)[0]})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        yield migration


def test_metrics_are_what_status_says(daemon):
    lockstep = daemon.lockstep
    daemon.source("UPDATE t SET n = n + 1 WHERE id <= 10; DELETE FROM t WHERE id = 11")
    status = lockstep.await_status(
        lambda status: status["synced"] and status["tables"][0]["events_applied"] == 11
        and status["tables"][0]["verified_age_seconds"] is not None, "the changes, compared", 60)
    text = scrape(lockstep)
    shown = samples(text)
    table = ("table", "public.t")
    assert sum(shown["migration_events_total"].values()) == 11
    assert shown["migration_events_total"][table + ("op", "delete")] == 1
    assert shown["migration_backfill_rows_total"][table] == status["tables"][0]["rows_done"]
    assert shown["migration_backfill_state"] == {table + ("state", "following"): 1}
    assert shown["migration_phase"][("phase", "follow")] == 1
    assert shown["migration_ready"][()] == shown["migration_replication_lag_known"][()] == 1
    assert shown["migration_divergent_rows"][table] == 0
    latency = shown["migration_event_apply_latency_seconds_bucket"]
    assert latency[("le", "+Inf")] == 11 and ("le", "5") in latency
    assert shown["migration_source_events_total"][()] >= 11
    assert shown["migration_log_messages_total"][("level", "info", "message", "started")] == 1
    check(text)

    # Over TCP, and nothing else is.
    guest = f"http://127.0.0.1:{daemon.manifest['listen']['port']}"
    with urllib.request.urlopen(f"{guest}/metrics", timeout=30) as answer:
        assert samples(answer.read().decode()).keys() == shown.keys()
    with urllib.request.urlopen(f"{guest}/readyz", timeout=30) as answer:
        assert json.loads(answer.read()) == {"ready": True, "reasons": []}
    for path, host, code in ("/api/v1/status", "127.0.0.1", 404), ("/metrics", "evil.example", 421):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(
                urllib.request.Request(guest + path, headers={"Host": host}), timeout=30)
        assert refused.value.code == code

    # What an operator holds; counts go on in the next run within the process.
    assert lockstep.verb("pause", "--scope", "reconcile").returncode == 0
    assert lockstep.verb("pause", "--table", "public.t").returncode == 0
    held = samples(scrape(lockstep))
    assert held["migration_paused"][("scope", "reconcile")] == 1
    assert held["migration_paused_tables"][()] == 1
    assert lockstep.verb("resume").returncode == 0
    daemon.source("DELETE FROM t WHERE id = 12")
    wait_until(lambda: samples(scrape(lockstep)).get("migration_events_total", {}).get(
        table + ("op", "delete")) == 2, "the delete to be counted", 60)


def test_a_hundred_tables_are_shown(direct):
    """Each of them, in each of what is told by table."""
    names = [f"public.many_{number}" for number in range(100)]
    migration = direct("".join(f"CREATE TABLE {name} (id int PRIMARY KEY);"
                               f"INSERT INTO {name} SELECT generate_series(1, {10 + number});"
                               for number, name in enumerate(names)), reconcile={"mode": "off"})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        migration.source("".join(f"DELETE FROM {name} WHERE id <= 3;" for name in names))
        migration.await_synced("the changes")
        text = scrape(lockstep)
        status = lockstep.status()
    check(text)
    shown = samples(text)
    by_table = {name: {labels[1] for labels in found} for name, found in shown.items()
                if any("table" in labels for labels in found)}
    assert by_table and all(found == set(names) for found in by_table.values()), by_table
    for number, name in enumerate(names):
        assert shown["migration_backfill_rows_total"][("table", name)] == 10 + number
        assert shown["migration_backfill_state"][("table", name, "state", "following")] == 1
        assert shown["migration_events_total"][("table", name, "op", "delete")] == 3
    assert {table["table"] for table in status["tables"]} == set(names)


@pytest.fixture
def seeing_role(stack):
    """Meanwhile lockstep's role may see what others do on the target."""
    stack.target.execute("postgres", f"GRANT pg_monitor TO {WRITER}")
    yield
    stack.target.execute("postgres", f"REVOKE pg_monitor FROM {WRITER}")


@pytest.fixture
def locked(daemon):
    """A lane waits for the lock of a session; its pid."""
    holder = daemon.target_connection(autocommit=False)
    try:
        cursor = holder.cursor()
        cursor.execute("SELECT FROM t WHERE v = 'v7' AND id = 7 FOR UPDATE")
        daemon.source("UPDATE t SET n = 9 WHERE id = 7")
        yield holder.info.backend_pid
    finally:
        holder.close()
    daemon.lockstep.await_ready()


def test_a_lock_that_a_lane_waits_for_is_told_with_its_holder(seeing_role, locked, daemon):
    """Acceptance 9: within 30 seconds, with the first words of its statement and no value of it."""
    reason = daemon.lockstep.await_not_ready("lanes: wait for a lock", f"pid {locked} (lab)")
    assert "idle in transaction" in reason and ": SELECT FROM t WHERE v =; next: " in reason
    assert samples(scrape(daemon.lockstep))["migration_ready"][()] == 0


def test_what_our_role_may_not_see_of_a_holder_is_said(locked, daemon):
    daemon.lockstep.await_not_ready(f"pid {locked}", f"GRANT pg_monitor TO {WRITER}")
