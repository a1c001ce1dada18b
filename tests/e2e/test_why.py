"""Why a carrier was not used, as `tandem explain` tells it of calls that were placed."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.scenario.command import ROOT
from tools.scenario.observe import Watch
from tools.scenario.run import Endpoint, load_worlds, play
from tools.scenario.spec import Scenario, discover
from tools.stack.layout import PROJECT

WHY = {
    "71": [r"s71-cheap\) not eligible: number is ported to group"],
    "87": [r"a stopper: no shorter one counts", r"tried server \d+ \(s87-dear/s87-dear\): 503"],
    "88": [r"rule \d+ is disabled", r"s88-gone\) not eligible: it is disabled", r"s88-norate\) not eligible: no rate"],
    "90": [r"s90-loss/s90-loss\) skipped: dearer than level 1 pays, less what account \d+ pays itself"],
    "95": [r"s95-cheap/s95-cheap\) skipped: the call came from it"],
    "101": [r"1 more candidates: only 2 are tried", r"tried server \d+ \(s101-mid/s101-mid\): 500"],
    "102": [r"tried server \d+ \(s102-cheap/s102-cheap\): 408 \(pdd\)"],
    "105": [r"tried server \d+ \(s105-cheap/s105-cheap\): 503 \(channels\)"],
}
"""Number of a scenario -> what has to be said of its call."""

SCENARIOS = {scenario.path.name.partition(".")[0]: scenario for scenario in discover(ROOT, "routing")}


@pytest.mark.parametrize("number", WHY)
def test_a_past_call_tells_why(number: str, endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """By its Call-ID alone: who was left out before, and what became of who was tried."""
    scenario = SCENARIOS[number]
    run_id = secrets.token_hex(4)
    _play(scenario, endpoint, watch, tmp_path, run_id)

    said = " ".join(_explain(endpoint, "--call-id", f"{scenario.label}-{run_id}@tandem").split())

    missing = [sentence for sentence in WHY[number] if not re.search(sentence, said)]
    assert not missing, said


def test_what_is_foretold_is_what_a_call_does(endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """The live tables: the first candidate is who got the call, and who was left out stands there with the reason."""
    scenario = SCENARIOS["90"]
    load_worlds((scenario,), watch)
    call = scenario.call

    told: dict[str, Any] = json.loads(
        _explain(endpoint, "--to", call.callee, "--subscriber", call.caller, "--from", call.caller, "--json")
    )
    _play(scenario, endpoint, watch, tmp_path, secrets.token_hex(4))

    assert (told["verdict"], told["callee"]) == ("route", call.callee)
    assert [each["name"] for each in told["candidates"]] == [f"{call.carrier}/{call.carrier}"]
    reasons = {each["name"]: each["reason"] for each in told["rejected"]}
    assert re.fullmatch(r"dearer than level 1 pays, less what account \d+ pays itself", reasons["s90-loss/s90-loss"])


def _play(scenario: Scenario, endpoint: Endpoint, watch: Watch, folder: Path, run_id: str) -> None:
    load_worlds((scenario,), watch)
    result = play(scenario, endpoint, watch, folder, run_id)
    assert not result.problems, "\n".join(result.problems)


def _explain(endpoint: Endpoint, *options: str) -> str:
    addresses = {"DATABASE_URL": endpoint.database_url, "REDIS_URL": endpoint.redis_url, "COLUMNS": "300"}
    done = subprocess.run(
        [PROJECT / ".venv/bin/tandem", "explain", *options],
        env={**os.environ, **addresses}, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
