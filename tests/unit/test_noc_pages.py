"""What `tandem noc` shows of the configuration: its age, and how the workers' caches do."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from kemi.adapters.cache import Counts
from tools import noc

WELL = {"agent": {"node": "n1"}, "draining": False, "down_servers": [], "processes": []}
LIVE = {"state": "live", "pass": 7, "drift": 0, "held": ""}


def shown(monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any], *words: str, status: int = 0) -> str:
    """Return what an operator sees where a node answers so. status: that the command ends with."""
    monkeypatch.setattr(noc, "ask", lambda _ctl, _command: answer)
    monkeypatch.setenv("COLUMNS", "200")
    result = CliRunner().invoke(noc.noc, list(words), catch_exceptions=False)
    assert result.exit_code == status
    return result.output


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize(
    ("told", "alarm"),
    [
        ({}, ""),
        ({"age_ms": 10_000}, "the configuration is frozen, 10 s old"),
        ({"held": "12 of 20 accounts would go"}, "changes are held back: 12 of 20 accounts would go"),
        ({"state": "repair"}, "the syncer is at its repair"),
    ],
)
def test_what_is_wrong_with_the_configuration_is_an_alarm(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, Any], alarm: str
) -> None:
    answer = {**WELL, "sync": {"age_ms": 20, **LIVE, **told, "unix_ms": now_ms()}}
    found = json.loads(shown(monkeypatch, answer, "status", "--json", status=bool(alarm)))["alarms"]
    assert len(found) == bool(alarm)
    assert alarm in "".join(found)
    page = shown(monkeypatch, answer, "status", status=bool(alarm))
    assert ("ALARM" in page) is bool(alarm)
    assert "live" in page or told.get("state")


def test_the_age_grows_when_the_node_reads_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its agent cannot ask a dead Redis; what it read a minute ago is a minute older."""
    answer = {**WELL, "sync": {"age_ms": 20, **LIVE, "unix_ms": now_ms() - 60_000}}
    told = json.loads(shown(monkeypatch, answer, "status", "--json", status=1))["sync"]
    assert 60_000 < told["age_ms"] < 70_000
    assert "unix_ms" not in told


@pytest.mark.parametrize("sync", [None, {"unix_ms": 5}])
def test_a_node_that_has_read_nothing_says_so(monkeypatch: pytest.MonkeyPatch, sync: dict[str, Any] | None) -> None:
    page = shown(monkeypatch, {**WELL, "sync": sync}, "status")
    assert "no `tandem sync` has ever run" in page
    assert "ALARM" not in page


def test_caches_are_shown_by_process_and_together(monkeypatch: pytest.MonkeyPatch) -> None:
    idle = Counts(0, 0, 0, 64 << 20, 0, 0, 0, 0, 0)
    busy = Counts(300, 40, 3 << 20, 64 << 20, 990, 10, 0, 0, 7)
    caches = [{"pid": 11, **idle._asdict()}, {"pid": 12, **busy._asdict()}]
    lines = shown(monkeypatch, {"caches": caches}, "caches").splitlines()
    rows = [line.replace("│", " ").split() for line in lines if "│" in line and "pid" not in line]
    assert [row[0] for row in rows] == ["12", "11", "all"]
    assert rows[0] == ["12", "3.0", "64", "300", "99.00", "%", "40", "990", "10", "7"]
    assert rows[2][:3] == ["all", "3.0", "128"]
    assert json.loads(shown(monkeypatch, {"caches": caches}, "caches", "--json"))["caches"] == caches
