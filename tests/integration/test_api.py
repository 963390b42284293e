"""The API of the control socket is what daemon/openapi.json says; events are told, kept and followed.

Issue O, part 1.
"""

import json
import re
import signal
import subprocess

import jsonschema
import pytest

from tests.integration.conftest import ROOT, TABLE
from tests.lab.lockstep import BINARY, control_connection
from tests.lab.process import wait_until

DOCUMENT = json.loads((ROOT / "daemon" / "openapi.json").read_text())
PROBLEM = "application/problem+json"
# Asking for these would end or change the run, or needs more than an empty body.
ASKED_ONLY = {"/api/v1/tables/{table}": "/api/v1/tables/public.t"}


def ask(lockstep, path, method="GET", body=None, **headers):
    """Status, headers and body of an answer: a document, or text."""
    connection = control_connection(lockstep)
    connection.request(method, path, body=None if body is None else json.dumps(body),
                       headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    is_text = answer.headers["Content-Type"].startswith("text/")
    return answer.status, answer.headers, text if is_text else json.loads(text)


def check(document, name_or_schema):
    schema = {"$ref": f"#/components/schemas/{name_or_schema}"} \
        if isinstance(name_or_schema, str) else name_or_schema
    jsonschema.Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(document)


def check_answer(operation, status, headers, document):
    described = operation["responses"].get(str(status), operation["responses"].get("default"))
    mime = headers["Content-Type"]
    check(document, described["content"][mime]["schema"])
    if status >= 400:
        assert mime == PROBLEM and document["status"] == status and document["title"]


@pytest.fixture
def daemon(direct):
    migration = direct(TABLE, reconcile={"every": "1s", "repair": "confirm"})
    migration.prepare()
    with migration.running() as lockstep:
        lockstep.await_follow()
        yield migration


def test_every_answer_is_as_described(daemon):
    """What is read, what a wrong method gets, and a body that is none."""
    lockstep = daemon.lockstep
    daemon.target("DELETE FROM t WHERE id = 7")  # A finding.
    lockstep.await_status(lambda status: status["tables"][0]["findings"], "a finding", 60)
    for path, operations in DOCUMENT["paths"].items():
        asked = ASKED_ONLY.get(path, path)
        methods = ", ".join(name.upper() for name in operations)
        status, headers, document = ask(lockstep, asked, "DELETE")
        assert (status, headers["Allow"]) == (405, methods), path
        check(document, "Problem")
        if "get" in operations:
            answer = ask(lockstep, asked)
            check_answer(operations["get"], *answer)
            assert answer[0] == 200, (path, answer)
        for method in set(operations) - {"get"}:
            if path not in ("/api/v1/stop", "/api/v1/proof"):  # Neither reads a body.
                answer = ask(lockstep, asked, method.upper(), body=[])
                check_answer(operations[method], *answer)
                assert answer[0] == 400, (path, answer)
    for path in ("/api/v1/nothing", "/api/v1/tables/public.nothing", "/api/v1/tables/",
                 "/api/v1/findings?table=public.nothing"):
        status, headers, document = ask(lockstep, path)
        assert status == 404 and headers["Content-Type"] == PROBLEM
        check(document, "Problem")
    assert ask(lockstep, "/api/v1/tables/public%2Et")[2]["table"] == "public.t"
    assert ask(lockstep, "/api/v1/openapi.json")[2] == DOCUMENT
    status, _, document = ask(lockstep, "/api/v1/findings?table=public.t&limit=1")
    assert (document["total"], document["findings"][0]["kind"]) == (1, "missing_in_target")
    daemon.target("INSERT INTO t VALUES (7, 'v7', 0)")


def test_every_route_is_described():
    """The daemon knows no path that the document does not."""
    source = (ROOT / "daemon" / "run_api.cc").read_text()
    routes = re.findall(r"\{(k\w+), \"([A-Z, ]+)\", &RunState", source)
    described = {path: ", ".join(method.upper() for method in operations)
                 for path, operations in DOCUMENT["paths"].items()}
    assert len(routes) == len(described) and sorted(m for _, m in routes) == sorted(
        described.values())


@pytest.mark.parametrize("path, method, body, status", [
    ("/api/v1/pause", "POST", {"scope": "everything"}, 404),
    ("/api/v1/pause", "POST", {"table": "public.nothing"}, 404),
    ("/api/v1/pause", "POST", {"table": "public.t", "scope": "apply"}, 422),
    ("/api/v1/settings", "PATCH", {"values": {"nothing": 1}}, 404),
    ("/api/v1/settings", "PATCH", {"values": {"reconcile.rows_per_second": "fast"}}, 422),
    ("/api/v1/settings", "PATCH", {"values": {}}, 422),
    ("/api/v1/resume", "POST", {"table": "public.t"}, 404),
    ("/api/v1/events?after=x", "GET", None, 400),
])
def test_what_is_wrong_has_its_status(daemon, path, method, body, status):
    answer = ask(daemon.lockstep, path, method, body)
    assert answer[0] == status and answer[1]["Content-Type"] == PROBLEM, answer
    check(answer[2], "Problem")


def listen(lockstep, last=None):
    """A stream of events that was begun."""
    connection = control_connection(lockstep)
    headers = {"Accept": "text/event-stream"}
    if last is not None:
        headers["Last-Event-ID"] = str(last)
    connection.request("GET", "/api/v1/events", headers=headers)
    answer = connection.getresponse()
    assert answer.headers["Content-Type"] == "text/event-stream"
    return connection, answer


def next_event(answer, wanted):
    """Reads the stream until an event with the message `wanted`; returns it."""
    number = None
    while True:
        line = answer.readline().decode().rstrip("\n")
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            event = json.loads(line[6:])
            check(event, "Event")
            assert event["id"] == number
            if event["message"] == wanted:
                return event


def test_events_are_told_kept_and_followed(daemon):
    lockstep = daemon.lockstep
    connection, answer = listen(lockstep)
    first = next_event(answer, "backfill of a table is done")
    assert first["fields"]["table"] == "public.t"
    with lockstep.verb_begun("events", "--follow", "--format", "json", "--limit", "1") as follower:
        follower.stdout.readline()
        assert lockstep.verb("pause", "--table", "public.t", "--reason", "soon").returncode == 0
        paused = next_event(answer, "a table is paused; the others go on")
        assert "soon" in paused["fields"]["why"]
        wait_until(lambda: json.loads(follower.stdout.readline())["id"] == paused["id"],
                   "the follower to hear of it", 20)
    connection.close()
    # A listener that lost its connection misses nothing and hears nothing twice.
    assert lockstep.verb("resume").returncode == 0
    connection, answer = listen(lockstep, paused["id"])
    order = next_event(answer, "an operator's order")
    assert order["id"] > paused["id"] and "resume" in order["fields"]["order"]
    connection.close()
    lockstep.kill()
    kept = [json.loads(line)
            for line in lockstep.verb("events", "--format", "json").stdout.splitlines()]
    assert order in kept and [one["id"] for one in kept] == sorted({one["id"] for one in kept})
    lockstep.start()
    lockstep.await_follow()
    connection, answer = listen(lockstep, kept[-1]["id"])
    assert next_event(answer, "started")["id"] > kept[-1]["id"]
    connection.close()
    shown = lockstep.verb("events", "--limit", "3").stdout.splitlines()
    assert len(shown) == 3 and all(line[:2] == "20" for line in shown)


def test_health_says_whether_it_does_its_work(daemon, stack):
    lockstep = daemon.lockstep
    assert lockstep.verb("healthcheck").returncode == 0
    assert lockstep.verb("pause").returncode == 0
    assert lockstep.verb("healthcheck").returncode == 0  # What an operator holds is no fault.
    assert lockstep.verb("resume").returncode == 0
    stack.target.stop()
    try:
        wait_until(lambda: lockstep.verb("healthcheck").returncode == 1, "the fault to be seen", 30)
        status, _, document = ask(lockstep, "/readyz")
        assert status == 503 and any("target" in reason for reason in document["reasons"])
        assert ask(lockstep, "/livez")[0] == 200
    finally:
        stack.target.start()
    wait_until(lambda: lockstep.verb("healthcheck").returncode == 0, "it to be well again", 60)
    assert lockstep.stop() == 0
    assert lockstep.verb("healthcheck").returncode == 69
    lockstep.start()
    lockstep.await_follow()


def test_the_command_line_is_completed():
    def completed(*words):
        script = ('source <("$0" completion bash); COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); '
                  '_lockstep; echo "${COMPREPLY[@]}"')
        return subprocess.run(["bash", "-c", script, str(BINARY), "lockstep", *words], check=True,
                              capture_output=True, text=True).stdout.split()

    assert completed("pau") == ["pause"]
    assert completed("pause", "--t") == ["--table"]
    assert completed("findings", "sh") == ["show"]
    assert "--yes" in completed("repair", "undo", "--")


def test_status_is_watched_until_ctrl_c(daemon):
    daemon.lockstep.await_status(lambda status: status["phase"] == "follow", "the phase to follow")
    with daemon.lockstep.verb_begun("status", "--watch", "--format", "json") as process:
        first, second = (json.loads(process.stdout.readline()) for _ in range(2))
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0, process.stderr.read()
    assert first["migration"] == second["migration"] and first["phase"] == "follow"
