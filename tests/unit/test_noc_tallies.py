"""The tables of what nodes have counted."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from tools import noc_ask
from tools.cli import app
from tools.errors import OperatorError

CARRIER = {
    "server_id": 31, "attempts": 40, "answers": 10, "asr": 0.25, "acd_s": 61.5, "pdd_ms": None,
    "failures": {"486": 2, "503": 28}, "running": 3,
}  # fmt: skip
STAGE = {"stage": "hold", "count": 9, "p50_us": 300, "p95_us": 500, "p99_us": 700, "max_us": 812, "buckets": [[300, 9]]}
TENANT = {"account": 5, "calls": 9, "refused": 2, "reasons": {"cps": 2}}
SOURCE = {"address": "192.0.2.[1]", "count": 7, "reason": "cli"}


def shown(line: str, answer: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> tuple[str, list[str]]:
    """Return what people see of an answer, and what the node was asked."""
    questions = []

    def ask(_: str, question: str) -> dict[str, Any]:
        questions.append(question)
        return {"window_s": 300, "count": 1, **answer}

    monkeypatch.setattr(noc_ask, "ask", ask)
    result = CliRunner().invoke(app, line.split(), env={"COLUMNS": "200", "TANDEM_CTL": "/x"}, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output, questions


@pytest.mark.parametrize(
    ("line", "asked", "answer", "read"),
    [
        ("noc traffic", "traffic 300", {"calls": 8, "asr": 0.5, "acd_s": None}, ("traffic, 300 s", "50.0 %")),
        ("noc times start", "times start", {"stages": [STAGE]}, ("hold", "812")),
        ("noc carriers 60", "carriers 60 20", {"carriers": [CARRIER]}, ("25.0 %", "503 28, 486 2", "61.5")),
        ("noc carriers", "carriers 300 20", {"carriers": [{**CARRIER, "server_id": 0}]}, ("others",)),
        ("noc tenants 3600 --limit 7", "tenants 3600 7", {"tenants": [TENANT]}, ("cps 2",)),
        (
            *("noc refusals", "refusals 300 20"),
            {"reasons": [{"reason": "cli", "count": 7}], "sources": [SOURCE]},
            ("refusals, 300 s", "where from, 300 s", "192.0.2.[1]"),
        ),
    ],
)
def test_an_answer_is_a_table(
    line: str, asked: str, answer: dict[str, Any], read: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    output, questions = shown(line, answer, monkeypatch)

    assert [word for word in read if word not in output] == []
    assert "None" not in output
    assert questions == [asked]


def test_a_window_that_there_is_not_is_said_before_anybody_is_asked() -> None:
    with pytest.raises(OperatorError, match="'61' is no window: say one of 60, 300, 3600, start"):
        CliRunner().invoke(app, ["noc", "traffic", "61"], env={"TANDEM_CTL": "/x"}, catch_exceptions=False)
