"""`tandem noc status` in a night: processes alike are one line, and all of it fits 80 columns."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from typer.testing import CliRunner

from tools import noc, noc_status

NEWEST = 3 << 32 | 7_041
CODE = "compiled 0123456789ab"
TANGLED = "generation 2 failed: SyntaxError: invalid syntax (worker.py, line 7)"


def process(pid: int, rank: int, **other: Any) -> dict[str, Any]:
    row = {"pid": pid, "rank": rank, "code": CODE, "generation": NEWEST, "hit_rate": 0.99, "breaker": "closed"}
    return {**row, "last_error": None, "last_error_ms": None, **other}


def page(monkeypatch: pytest.MonkeyPatch, processes: list[dict[str, Any]], *words: str) -> str:
    """Return what an operator sees in a window of 80 columns."""
    agent = {"node": "n1", "generation": NEWEST}
    answer = {"agent": agent, "draining": False, "down_servers": [], "processes": processes, "sync": None}
    monkeypatch.setattr(noc, "ask", lambda _ctl, _command: answer)
    env = {"COLUMNS": "80", "TANDEM_CTL": "/x"}
    return CliRunner().invoke(noc.noc, ["status", *words], env=env, catch_exceptions=False).output


def rows(shown: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("│").split("│")] for line in shown.splitlines() if line[:1] == "│"]


def test_processes_alike_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [process(100 + rank, rank) for rank in range(1, 9)]
    found += [process(200 + at, -1, generation=None, hit_rate=None) for at in range(4)]
    shown = page(monkeypatch, found)
    assert ["workers 1–8", CODE, "newest", "99.0 %"] in rows(shown)
    assert ["4 others", CODE, "no call yet", ""] in rows(shown)
    assert ["generation", f"3.7041, as a number {NEWEST}"] in rows(shown)
    assert ["breaker", "closed"] in rows(shown)
    assert max(map(len, shown.splitlines())) <= 80


def test_who_is_behind_or_runs_other_code_is_a_line_of_its_own() -> None:
    found = [process(1, 1), process(2, 2, generation=NEWEST - 2, hit_rate=0.5), process(3, 3, hit_rate=0.9)]
    found += [process(4, 4, code=TANGLED), process(5, 5, generation=2 << 32 | 9)]
    shown = noc_status.processes(found, NEWEST)
    assert [(row["processes"], row["configuration"], row["cache answers"]) for row in shown] == [
        ("workers 1, 3", "newest", "90.0–99.0 %"),
        ("workers 2", "2 behind", "50.0 %"),
        ("workers 4", "newest", "99.0 %"),
        ("workers 5", "2.9", "99.0 %"),
    ]
    assert shown[2]["code"] == TANGLED


def test_an_error_is_told_with_its_process_and_age(monkeypatch: pytest.MonkeyPatch) -> None:
    now_ms = time.time_ns() // 1_000_000
    found = [process(1, 1), process(2, 2, last_error="noc: [red]x\x1b", last_error_ms=now_ms - 3_600_000)]
    shown = page(monkeypatch, found)
    assert "last error of pid 2, 60 min ago: noc: [red]x" in shown
    assert "\x1b" not in shown


def test_json_has_every_process_with_its_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [process(1, 1), process(2, 2)]
    told = json.loads(page(monkeypatch, found, "--json"))
    assert (told["processes"], told["agent"]["generation"]) == (found, NEWEST)
