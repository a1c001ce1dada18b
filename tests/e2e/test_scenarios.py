"""Every directory of sipp-scenarios/ that says what to expect is a test: real SIPp calls through the real stack."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest

from tools.scenario.command import ROOT
from tools.scenario.observe import Watch
from tools.scenario.run import Endpoint, load_worlds, play
from tools.scenario.spec import Scenario, discover


@pytest.mark.parametrize("scenario", discover(ROOT), ids=lambda scenario: scenario.name)
def test_scenario(scenario: Scenario, endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """The far ends got what the file says, and so did the record, the ledger and the leases."""
    load_worlds((scenario,), watch)  # here, not once for all: other tests spend the same money
    result = play(scenario, endpoint, watch, tmp_path, secrets.token_hex(4))
    assert result.problems == (), f"{scenario.summary} Trace: {result.record and result.record.trace}"
