"""Alerts and panels name metrics that exist, each alert fires on its trouble, and the examples fit
the image (issue O, parts 4 and 7).
"""

import json
import re
import subprocess

import yaml

from tests.integration.conftest import ROOT
from tests.lab.lockstep import BINARY

DOCS = ROOT / "docs"
RULES = DOCS / "prometheus" / "lockstep.rules.yml"
DASHBOARD = DOCS / "grafana" / "lockstep.json"


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def metrics_of(expression):
    return set(re.findall(r"\b(?:migration|process)_\w+", re.sub(r'"[^"]*"', "", expression)))


def panel_queries(migration):
    """What the panels ask for when somebody has chosen this migration."""
    return {target["expr"].replace("$migration", migration)
            for panel in json.loads(DASHBOARD.read_text())["panels"]
            for target in panel.get("targets", [])}


def documented():
    """Every name of a series: a histogram has three."""
    names = set()
    for name, kind in re.findall(r"^\| `(\w+)` \| (\w+) \|", (DOCS / "metrics.md").read_text(), re.M):
        names |= {name} if kind != "histogram" else {f"{name}{part}"
                                                     for part in ("_bucket", "_count", "_sum")}
    return names


def test_each_alert_fires_on_its_trouble_and_is_quiet_beside_it():
    promtool("check", "rules", RULES)
    promtool("test", "rules", RULES.with_name("lockstep.rules_test.yml"))
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    tests = RULES.with_name("lockstep.rules_test.yml").read_text()
    chapters = re.findall(r"^## (\w+)$", (DOCS / "runbook.md").read_text(), re.M)
    assert sorted(alerts) == sorted(chapters)
    for alert in alerts:
        for how in ("fires", "quiet"):
            assert f"- name: {alert} {how}\n" in tests, f"{alert} {how} is not tested"


def test_what_panels_and_alerts_name_exists():
    expressions = panel_queries("shop")
    rules = re.sub(r"(?m)^\s+(summary|runbook_url):.*$", "", RULES.read_text())
    unknown = set().union(*map(metrics_of, [*expressions, rules])) - documented()
    assert len(expressions) > 20 and not unknown, unknown


def test_the_examples_for_containers_say_what_the_image_needs(tmp_path):
    compose = yaml.safe_load((DOCS / "examples" / "compose.yaml").read_text())["services"]["lockstep"]
    parts = {part["kind"]: part
             for part in yaml.safe_load_all((DOCS / "examples" / "kubernetes.yaml").read_text())}
    pod = parts["Deployment"]["spec"]["template"]["spec"]
    container = pod["containers"][0]
    dockerfile = (ROOT / "Dockerfile").read_text()
    # The user, the volume and the health check of the image.
    assert f"USER {pod['securityContext']['runAsUser']}:" in dockerfile
    assert json.dumps(compose["healthcheck"]["test"][1:]) in dockerfile
    state = [mount["mountPath"] for mount in container["volumeMounts"] if mount["name"] == "state"]
    assert state == ["/var/lib/lockstep"] and f"VOLUME {state[0]}\n" in dockerfile
    assert compose["read_only"] and container["securityContext"]["readOnlyRootFilesystem"]
    drain = 30
    assert pod["terminationGracePeriodSeconds"] > drain and int(
        compose["stop_grace_period"].rstrip("s")) > drain
    # The manifest in it is one, and its port is where the probes ask.
    manifest = tmp_path / "migration.yaml"
    manifest.write_text(parts["ConfigMap"]["data"]["migration.yaml"])
    done = subprocess.run([BINARY, "validate", manifest, "--offline"], capture_output=True,
                          text=True, check=False,
                          env={"SOURCE_PASSWORD": "s", "TARGET_PASSWORD": "t"})
    assert done.returncode == 0, done.stderr
    port = yaml.safe_load(manifest.read_text())["listen"]["port"]
    assert container["ports"] == [{"name": "metrics", "containerPort": port}]
    for probe in ("livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["port"] == "metrics"
