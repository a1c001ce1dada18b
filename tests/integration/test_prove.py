"""The proof of the money in small: clients, consumers, sync and Redis killed, a log cut, and every number right."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
OPS: Final = 8_000
MUST_BE_ZERO: Final = (
    "overdraft_micros",
    "lost_cdrs",
    "duplicate_cdrs",
    "drift_micros",
    "stuck_holds",
    "forbidden_grants",
    "differences",
)


def proved(*options: str) -> tuple[int, dict[str, Any], str]:
    """Run the proof; return its status, its last line, and all that it said."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.prove", "--clients", "3", *options],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    last = said.strip().splitlines()[-1]
    return done.returncode, json.loads(last) if last.startswith("{") else {}, said


@pytest.mark.timeout(260)
def test_the_money_is_right_whoever_is_killed() -> None:
    """All that must be zero is zero; everybody was killed at least once, and a tail of Redis' log was cut off."""
    status, figures, said = proved("--ops", str(OPS), "--seed", "7")
    assert status == 0, said
    assert {name: figures[name] for name in MUST_BE_ZERO} == dict.fromkeys(MUST_BE_ZERO, 0)
    assert set(figures["kills"]) == {"client", "consumer", "sync", "redis", "cut"}
    assert figures["grants"] > OPS / 10
    assert figures["calls"] >= figures["grants"] - figures["lost_by_cut"]


def test_too_few_operations_are_refused() -> None:
    status, _, said = proved("--ops", "10")
    assert status != 0
    assert "1000" in said
