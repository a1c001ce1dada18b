"""The alert rules, tried by promtool; and what rules and dashboard ask for is what a node exports."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.alert_nights import LATE, NIGHTS, Night, case
from tests.monitored import monitored_edge, samples
from tools.stack.layout import PROJECT

FOLDER: Final = PROJECT / "tools" / "monitoring"
RULES: Final = FOLDER / "alerts.yml"
SEVERITIES: Final = {"critical", "warning", "info"}
NAME: Final = re.compile(r"\btandem_[a-z0-9A-Z_]+")


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    found = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def asked_by_panels() -> list[str]:
    """Return the expressions of the dashboard as Grafana sends them."""
    written = [target["expr"] for panel in panels() for target in panel["targets"]]
    return [text.replace("$__rate_interval", "1m").replace("$node", ".*") for text in written]


def promtool(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["promtool", *words], capture_output=True, text=True, check=False, timeout=120)


def tried(tmp_path: Path, nights: dict[str, Night], every: str = "30s") -> subprocess.CompletedProcess[str]:
    """Let promtool go through the nights; it ends with 0 where exactly the expected alerts fire."""
    told = {
        "rule_files": [str(RULES)],
        "evaluation_interval": every,
        "tests": [case(name, night) for name, night in nights.items()],
    }
    file = tmp_path / "nights.yml"
    file.write_text(yaml.safe_dump(told), encoding="utf-8")
    return promtool("test", "rules", str(file))


def test_rules_and_configuration_are_what_prometheus_reads() -> None:
    assert promtool("check", "config", str(FOLDER / "prometheus.yml")).returncode == 0


def test_every_alert_has_a_night_of_its_own() -> None:
    assert sorted(rule["alert"] for rule in rules()) == sorted([*NIGHTS, *LATE])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_how_bad_it_is_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in SEVERITIES
    assert set(rule["annotations"]) == {"summary", "do"}
    known = (PROJECT / "tools" / "COMMANDS.md").read_text(encoding="utf-8")
    for command in re.findall(r"`(tandem(?: [a-z]+){1,2})", rule["annotations"]["do"]):
        assert f"`{command}" in known, command


def test_each_bad_night_raises_its_alert_and_no_other(tmp_path: Path) -> None:
    done = tried(tmp_path, NIGHTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_bad_night_after_a_calm_day_raises_its_alert_and_no_other(tmp_path: Path) -> None:
    done = tried(tmp_path, LATE, every="5m")
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_calm_night_raises_none(tmp_path: Path) -> None:
    done = tried(tmp_path, {"": Night({})})
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_night_with_an_alert_too_many_is_found(tmp_path: Path) -> None:
    """Proves that the trials above can fail."""
    assert tried(tmp_path, {"TandemSpool": Night({"tandem_dead_letters": "1"})}).returncode != 0


def test_what_rules_and_dashboard_ask_for_is_exported() -> None:
    wanted = set(NAME.findall(" ".join([*(rule["expr"] for rule in rules()), *asked_by_panels()])))
    with monitored_edge() as (_, port):
        exported = {sample.name for sample in samples(port)}

    assert len(wanted) > 40
    assert wanted - exported == set()


def test_the_dashboard_asks_what_prometheus_understands(tmp_path: Path) -> None:
    told = [{"record": f"panel:{at}", "expr": text} for at, text in enumerate(asked_by_panels())]
    file = tmp_path / "panels.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": told}]}), encoding="utf-8")
    done = promtool("check", "rules", str(file))

    assert len(told) > 20
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_whole() -> None:
    """Numbers are unique, nothing lies over anything else, and every panel asks the source that is chosen."""
    whole = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))["panels"]
    cells = [
        (x, y)
        for panel in whole
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]

    assert len({panel["id"] for panel in whole}) == len(whole)
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert {panel["datasource"]["uid"] for panel in panels()} == {"${source}"}
