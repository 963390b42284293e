"""Alerts and panels name metrics that exist, and each alert fires on its trouble (issue O, part 4)."""

import json
import re
import subprocess

from tests.integration.conftest import ROOT

DOCS = ROOT / "docs"
RULES = DOCS / "prometheus" / "lockstep.rules.yml"
DASHBOARD = DOCS / "grafana" / "lockstep.json"


def promtool(*arguments):
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True,
                          check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr


def metrics_of(expression):
    return set(re.findall(r"\b(?:migration|process)_\w+", re.sub(r'"[^"]*"', "", expression)))


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
    expressions = [target["expr"] for panel in json.loads(DASHBOARD.read_text())["panels"]
                   for target in panel.get("targets", [])]
    rules = re.sub(r"(?m)^\s+(summary|runbook_url):.*$", "", RULES.read_text())
    named = set().union(*map(metrics_of, [*expressions, rules])) - {"migration"}
    labels = {"migration"}
    unknown = named - documented() - labels
    assert len(expressions) > 20 and not unknown, unknown
