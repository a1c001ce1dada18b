"""Each load scenario once, with few calls; a soak of a minute; and what is said when a party cannot play."""

from __future__ import annotations

import json
import os
import socket
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from typer.testing import CliRunner

from tools.cli import app
from tools.errors import OperatorError
from tools.load import after, run, spec
from tools.load.kamcmd import Control
from tools.load.overload import Search
from tools.load.records import Finding, Record
from tools.load.run import Progress, Stack, play, prepare
from tools.load.soak import soak
from tools.load.spec import Wanted
from tools.stack import plan
from tools.stack.stack import Stack as Running

FEW = 12
SLICE_S = 4.0  # of the session's stack
PNG = b"\x89PNG"


@pytest.fixture
def where(stack: Running) -> Stack:
    """Return the session's stack as a load run sees it."""
    return Stack.from_environment(plan.environment(stack.layout))


@pytest.mark.parametrize("name", [scenario.name for scenario in spec.discover() if not scenario.overload])
def test_a_load_scenario_comes_out_as_it_says(name: str, where: Stack, tmp_path: Path) -> None:
    """Every call as expected, each with its record and no record more; long ones go beyond their first slice."""
    scenario, told = spec.named(name), list[Progress]()
    prepare(scenario, where)
    hold_s = 1.5 * SLICE_S if name == "long" else min(1.0, scenario.hold_s)

    report = play(scenario, where, Wanted(6.0, FEW, hold_s), tmp_path / "run", told.append)

    due = sum(spec.share(party, FEW) for party in scenario.callers)
    assert report.findings == []
    assert (report.all.calls, report.all.well) == (due, due), report.sums
    assert told[-1].due == len(told[-1].calls) == due
    assert sum(second.begun for second in report.seconds) == due
    assert any(row.name.startswith("kamailio: udp receiver") and row.bytes_last for row in report.processes)
    assert {"redis", "postgres", "sipp"} <= {row.name for row in report.processes}
    assert json.loads(json.dumps(report.as_dict()))["scenario"] == name
    assert not list((tmp_path / "run").glob("*.short")), "traces of a run without findings are of no use"


def test_overload_says_what_it_has_seen(where: Stack, tmp_path: Path) -> None:
    """With as few calls the limit is not reached: that is said, and no figure is made up."""
    scenario, said = spec.named("overload"), list[str]()
    assert scenario.overload
    prepare(scenario, where)
    search = Search(scenario, where, Wanted(4.0, 12, 0.2), tmp_path)

    verdict = search.run(scenario.overload._replace(step_s=1.0), said.append)

    assert [step.calls for step in verdict.steps] == [5, 6], "and one call for help each"
    assert [(step.emergency, step.helped) for step in verdict.steps] == [(1, 1), (1, 1)]
    assert len(said) == len(search.reports) == 2
    assert [report.findings for report in search.reports] == [[], []]
    if verdict.is_met is None:
        assert "the peak was not found" in verdict.told


def test_the_command_writes_figures_and_a_plot(stack: Running) -> None:
    env = {**os.environ, **plan.environment(stack.layout)}
    done = CliRunner().invoke(app, ["load", "trusted", "--rate", "6", "--calls", "6", "--hold", "0.2"], env=env)

    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[-1] == "6 calls, 6 as expected, 0 findings"
    folder = max((stack.layout.run_dir / "load").glob("trusted-*"), key=lambda each: each.stat().st_mtime)
    result = json.loads((folder / "result.json").read_text())
    assert result["sums"][0]["setup_ms"].keys() == {"p50", "p95", "p99", "max"}
    assert result["outcomes"] == {"answered 200": 6}
    assert (folder / "plot.png").read_bytes().startswith(PNG)


@pytest.mark.parametrize(
    ("words", "last"),
    [
        (
            ("load", "overload", "--rate", "2", "--calls", "12"),
            "the peak was not found: 2 calls a second are no limit yet",
        ),
        (("soak", "--minutes", "0.05", "--rate", "2"), "0 leaks, 0 faults; too short to tell a leak"),
    ],
    ids=["overload", "soak"],
)
def test_the_other_commands_tell_what_they_found(stack: Running, words: tuple[str, ...], last: str) -> None:
    env = {**os.environ, **plan.environment(stack.layout)}
    done = CliRunner().invoke(app, list(words), env=env)

    assert done.exit_code == 0, done.output
    assert last in done.stdout.splitlines()[-1]
    folders = (stack.layout.run_dir / "load").glob(f"{words[1].removeprefix('--minutes') or 'soak'}-*")
    newest = max(folders, key=lambda each: each.stat().st_mtime)
    assert json.loads((newest / "result.json").read_text())
    assert (newest / "plot.png").read_bytes().startswith(PNG)


def test_a_run_that_is_broken_off_leaves_no_call(where: Stack, tmp_path: Path) -> None:
    scenario = spec.named("trusted")
    prepare(scenario, where)

    def interrupt(now: Progress) -> None:
        if sum(bool(call.answered) for call in now.calls.values()) >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(scenario, where, Wanted(10.0, 10, 60.0), tmp_path, interrupt)

    assert not [call for call in Control(where.control).calls() if call["call_id"].startswith("l03-")]


def test_mixed_traffic_does_not_leak(where: Stack, tmp_path: Path) -> None:
    """Fifty seconds are long enough to judge a process; nothing of a call is left in the node's tables."""
    scenario = spec.named("mixed")
    prepare(scenario, where)

    came = soak(scenario._replace(hold_s=0.5), where, 50 / 60, 3.0, tmp_path, lambda _: None)

    assert (came.leaks, came.faults) == ([], [])
    assert came.is_judged
    assert came.calls >= 100
    assert {each.name.kind for each in came.judged} >= {"own memory", "pkg", "shared memory"}
    assert came.as_dict()["is_judged"] is True


def test_a_record_that_is_missing_is_a_finding(where: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planted: the first of the records is not there, another one is of a call that nobody placed."""
    scenario = spec.named("trusted")
    prepare(scenario, where)

    def planted(
        database_url: str, control: Control, label: str, due: frozenset[str]
    ) -> tuple[list[Record], list[Finding]]:
        found, went_on = after.written(database_url, control, label, due)
        return [found[0]._replace(call_id=f"{label}-nobody"), *found[1:]], went_on

    monkeypatch.setattr(run, "written", planted)
    report = play(scenario, where, Wanted(10.0, 3, 0.2), tmp_path)

    assert [finding.kind for finding in report.findings] == ["answered_without_record", "record_of_nobody"]
    assert (tmp_path / "callers.short").exists()


def test_a_call_that_nobody_ends_is_ended_and_told(where: Stack, tmp_path: Path) -> None:
    """The caller's SIPp has no BYE: the records are waited for in vain until the calls are ended."""
    scenario = spec.named("trusted")
    text = (spec.FOLDER / "common" / "uac-call.xml").read_text()
    silent = tmp_path / "scenario"
    silent.mkdir()
    at = text.index("  <pause/>")
    (silent / "uac-call.xml").write_text(f'{text[:at]}  <nop next="over"/>\n{text[text.index("  <label id=", at) :]}')
    prepare(scenario, where)

    report = play(scenario._replace(path=silent), where, Wanted(10.0, 2, 0.0), tmp_path)

    assert [(finding.kind, finding.calls) for finding in report.findings] == [("went_on", 2)]
    assert report.outcomes == {"answered 200": 2}
    assert not [call for call in Control(where.control).calls() if call["call_id"].startswith("l03-")]


def test_a_party_that_cannot_play_is_named(where: Stack, tmp_path: Path) -> None:
    trusted, inbound = spec.named("trusted"), spec.named("inbound")
    prepare(inbound, where)
    with closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as taken:
        taken.bind(("127.4.3.1", 5080))
        with pytest.raises(OperatorError, match=r"carrier cannot listen on 127\.4\.3\.1:5080: another process does"):
            play(trusted, where, Wanted(10.0, 1, 0.0), tmp_path / "one")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "uas-answer.xml").write_text("<scenario/>")
    with pytest.raises(OperatorError, match=r"carrier did not start, see .*carrier\.log"):
        play(trusted._replace(path=broken), where, Wanted(10.0, 1, 0.0), tmp_path / "one")
    phones = tuple(
        party._replace(password="wrong-secret", lines=2) for party in inbound.parties if party.role == spec.PHONE
    )
    with pytest.raises(OperatorError, match="phones: only 0 of 2 lines could register"):
        play(inbound._replace(parties=(*phones, *inbound.callers)), where, Wanted(10.0, 1, 0.0), tmp_path / "two")


def test_a_world_that_does_not_load_is_named(where: Stack, tmp_path: Path) -> None:
    (tmp_path / "world.sql").write_text("select world.nothing()")
    with pytest.raises(OperatorError, match=r"function world\.nothing"):
        prepare(spec.named("digest")._replace(path=tmp_path, accounts="nobody-"), where)
    with closing(psycopg.connect(where.database_url)) as database:
        assert database.execute("select 1").fetchone()
