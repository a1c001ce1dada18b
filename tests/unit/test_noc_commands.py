"""Commands that ask a node or the stack, with what they are asked and what people read of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tools import noc
from tools.cli import app
from tools.errors import OperatorError
from tools.stack.stack import Stack

CALL = {
    "rid": "r1", "source": "alice@a.example", "caller": "4420", "callee": "4930", "direction": "out", "server_id": 1,
    "answered_ms": 7, "started_ms": 1,
}  # fmt: skip
STORES = {"DATABASE_URL": "postgresql:///x", "REDIS_URL": "redis://127.0.0.1:1/0"}
PROBE = {"server_id": 1, "name": "acme", "state": "up", "status": 200, "unanswered": 0}


@pytest.mark.parametrize(
    ("line", "asked", "answer", "read"),
    [
        ("noc counters", "counters", {"calls": 3}, "calls"),
        ("noc calls", "calls", {"count": 1, "calls": [CALL, None]}, "1 call"),
        ("noc calls", "calls", {"count": 0, "calls": []}, "0 calls\n"),
        ("noc caches", "caches", {"caches": []}, "caches, since each process began"),
        ("noc peers", "peers", {"count": 1, "probes": [PROBE], "logins": []}, "acme"),
        ("noc drain on", "drain on", {"draining": True}, '{"draining": true}'),
        ("noc end r1", "end r1", {"ended": "r1"}, '{"ended": "r1"}'),
    ],
)
def test_a_node_is_asked_and_its_answer_is_shown(
    line: str, asked: str, answer: dict[str, Any], read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = []

    def ask(_: str, question: str) -> dict[str, Any]:
        questions.append(question)
        return answer

    monkeypatch.setattr(noc, "ask", ask)
    result = CliRunner().invoke(app, line.split(), env={"COLUMNS": "200", "TANDEM_CTL": "/x"}, catch_exceptions=False)
    assert result.exit_code == 0
    assert read in "\n".join(each.strip() for each in f"{result.output}\n".split("\n")) + "\n"
    assert questions == [asked]


@pytest.mark.parametrize(
    ("line", "method", "said"),
    [
        ("stack restart sync", "restart", "sync serves again\n"),
        ("stack take-away redis", "take_away", "redis is gone until `tandem stack bring-back redis`\n"),
        ("stack bring-back redis", "bring_back", "redis starts again\n"),
    ],
)
def test_a_process_of_the_stack_is_steered(line: str, method: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    steered = []
    monkeypatch.setattr(Stack, method, lambda _, name: steered.append(name))
    assert CliRunner().invoke(app, line.split(), catch_exceptions=False).output == said
    assert steered == [line.rpartition(" ")[2]]


def test_a_relay_is_compared_with_a_node_that_runs(tmp_path: Path) -> None:
    env = {"RUN_DIR": str(tmp_path), "TANDEM_SIP": "127.0.0.1:5060", **STORES}
    with pytest.raises(OperatorError, match="no running Kamailio node; `make up` starts one"):
        CliRunner().invoke(app, ["bench", "relay"], env=env, catch_exceptions=False)
