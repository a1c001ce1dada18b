"""What a real node counts of real calls, what it says of that to the NOC, and the line that its log gets of each."""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.dialogs import hang_up, one_caller, talking
from tests.edge import SOON_S, Edge, running_edge
from tests.fakes.world import ABROAD, CUSTOMER
from tests.sip import Endpoint, dial
from tests.wait import until
from tools.cli import app

LINES_MAX = 5
ACME_SERVER, BELL_SERVER = 31, 41
STAGES = ("read_us", "decide_us", "hold_us", "apply_us")


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node, whose log takes few lines, for all tests of this file."""
    with running_edge({"TANDEM_CALL_LOG_MAX": str(LINES_MAX)}) as running:
        until(lambda: "error" not in running.node.noc("refusals start"), SOON_S, "the first counts")
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give a caller; nothing of his may be held afterwards, and nothing may have failed."""
    with one_caller(edge) as endpoint:
        yield endpoint


def rows(edge: Edge) -> list[dict[str, Any]]:
    """Return the call log."""
    lines = [line[line.index('{"call_id"') :] for line in edge.node.log.splitlines() if '{"call_id"' in line]
    return [json.loads(line) for line in lines]


def row(edge: Edge, call_id: str) -> dict[str, Any]:
    """Return a call's one line, waiting for it."""
    until(lambda: [each for each in rows(edge) if each["call_id"] == call_id], SOON_S, f"the line of {call_id}")
    (found,) = [each for each in rows(edge) if each["call_id"] == call_id]
    return found


def counted(edge: Edge, command: str, name: str, least: int) -> dict[str, Any]:
    """Return an answer, once this count of it has come so far."""
    until(lambda: edge.node.noc(command)[name] >= least, SOON_S, f"{name} {least} of {command}")
    answer: dict[str, Any] = edge.node.noc(command)
    return answer


def carrier(edge: Edge, server_id: int) -> dict[str, Any]:
    """Return what is said of a carrier's server."""
    none = {"attempts": 0, "answers": 0, "failures": {}, "running": 0}
    return next((each for each in edge.node.noc("carriers start")["carriers"] if each["server_id"] == server_id), none)


def failures(edge: Edge) -> tuple[int, int]:
    """Return how often acme said 503, and bell 486."""
    acme, bell = carrier(edge, ACME_SERVER)["failures"], carrier(edge, BELL_SERVER)["failures"]
    return acme.get("503", 0), bell.get("486", 0)


def test_an_answered_call_is_counted_and_logged_once(edge: Edge, phone: Endpoint) -> None:
    before, held = edge.node.noc("traffic start"), carrier(edge, ACME_SERVER)
    _, final = talking(edge, phone)
    counted(edge, "traffic start", "answered", before["answered"] + 1)
    until(lambda: carrier(edge, ACME_SERVER)["running"] == 1, SOON_S, "the running call")
    hang_up(edge, phone, final)

    told = row(edge, final.get("Call-ID"))

    assert next(iter(told)) == "call_id"
    assert (told["verdict"], told["status"], told["server_id"], told["attempts"]) == ("answered", 200, ACME_SERVER, 1)
    assert (told["account"], told["source"], told["callee"]) == (CUSTOMER, "alice@a.example", ABROAD)
    assert (told["ended_by"], told["direction"]) == ("caller", "out")
    assert told["trace_id"] == edge.event(final.get("Call-ID")).call.rid
    assert all(told[stage] > 0 for stage in STAGES)
    assert told["pdd_ms"] >= 0
    assert told["talk_s"] >= 0
    after = counted(edge, "traffic start", "round_trips", before["round_trips"] + 1)
    assert [after[name] - before[name] for name in ("answered", "holds", "failed")] == [1, 1, 0]
    went = [told["calls"] - told["refused"] for told in (before, after)]  # a refusal of before may be counted by now
    assert went[1] - went[0] == 1
    now = carrier(edge, ACME_SERVER)
    assert (now["attempts"] - held["attempts"], now["answers"] - held["answers"]) == (1, 1)
    until(lambda: carrier(edge, ACME_SERVER)["running"] == 0, SOON_S, "no running call")


def test_a_call_that_fails_at_two_carriers_counts_at_both(edge: Edge, phone: Endpoint) -> None:
    before = edge.node.noc("traffic 60")
    failed = failures(edge)
    call = dial(phone, f"{ABROAD}@a.example")
    for server, status in ((edge.acme, 503), (edge.bell, 486)):
        invite = server.wait_request("INVITE")
        server.send(server.reply(invite, status, "No"))
        server.wait_request("ACK")
    final = call.final()
    phone.ack(call.invite, final)

    told = row(edge, final.get("Call-ID"))

    assert (told["verdict"], told["status"], told["attempts"]) == ("failed", 486, 2)
    assert told["reason"]
    counted(edge, "traffic 60", "failed", before["failed"] + 1)
    until(lambda: failures(edge) == (failed[0] + 1, failed[1] + 1), SOON_S, "the failures of both")


def test_a_refused_call_is_told_with_its_reason_and_account(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, "9@a.example")
    final = call.final()
    phone.ack(call.invite, final)

    told = row(edge, final.get("Call-ID"))

    assert (told["verdict"], told["status"], told["account"]) == ("refused", final.status, CUSTOMER)
    assert told["server_id"] is None
    assert told["decide_us"] > 0

    def tenant() -> dict[str, Any]:
        found = [each for each in edge.node.noc("tenants start")["tenants"] if each["account"] == CUSTOMER]
        return found[0] if found else {"reasons": {}}

    until(lambda: tenant()["reasons"].get(told["reason"]), SOON_S, "the tenant's refusal")
    assert tenant()["calls"] >= tenant()["refused"] >= 1
    reasons = {each["reason"] for each in edge.node.noc("refusals 60 5")["reasons"]}
    assert told["reason"] in reasons


def stranger(phone: Endpoint, at: int) -> str:
    """Call from a domain that is nobody's, with words that would break a careless line; return the Call-ID."""
    call_id = f'"%n%s\\{{{phone.at}}}<{at}'
    text = phone.request("INVITE", "sip:1@else.example", caller="sip:%25n%22%7D@else.example", call_id=call_id)
    phone.send(text)
    final = phone.final()
    phone.ack(text, final)
    assert final.status == 403
    return call_id


def test_a_flood_is_counted_whole_and_fills_no_log(edge: Edge, phone: Endpoint) -> None:
    """More than a process tells one by one in a second; the rest goes with its next message."""
    numbers = itertools.count()
    first = stranger(phone, next(numbers))
    told = row(edge, first)
    reason = told["reason"]
    assert (told["source"], told["account"], told["caller"]) == ("127.0.0.2", None, "%25n%22%7D")

    def count(of: str = "reasons", key: str = "reason", value: str = reason) -> int:
        return sum(int(each["count"]) for each in edge.node.noc("refusals start")[of] if each[key] == value)

    until(lambda: count() > 0, SOON_S, "the first refusal")
    before = count()
    for _ in range(150):
        stranger(phone, next(numbers))

    def all_of_them() -> bool:
        stranger(phone, next(numbers))
        return count() - before >= 150

    until(all_of_them, SOON_S, "all refusals counted")
    until(lambda: [each for each in rows(edge) if each.get("left_out")], SOON_S, "the line of what was left out")
    assert count("sources", "address", "127.0.0.2") >= 150


@pytest.mark.parametrize(
    "line", ["noc traffic", "noc times start", "noc carriers 3600", "noc tenants 60", "noc refusals start --limit 3"]
)
def test_the_commands_show_tables_and_json(edge: Edge, phone: Endpoint, line: str) -> None:
    call = dial(phone, "9@a.example")
    phone.ack(call.invite, call.final())
    counted(edge, "traffic start", "refused", 1)
    env = {"TANDEM_CTL": str(edge.node.ctl), "COLUMNS": "160"}

    shown = CliRunner().invoke(app, shlex.split(line), env=env, catch_exceptions=False)
    told = CliRunner().invoke(app, [*shlex.split(line), "--json"], env=env, catch_exceptions=False)

    assert (shown.exit_code, told.exit_code) == (0, 0)
    assert " s" in shown.output.splitlines()[0]
    assert json.loads(told.output)["window_s"] >= 1


def test_a_window_that_there_is_not_is_said(edge: Edge) -> None:
    assert edge.node.noc("traffic 61")["error"].startswith("no window 61: say one of 60, 300, 3600, start; usage:")
    assert edge.node.noc("carriers 60 0")["error"].startswith("no limit 0: say a number from 1")
    assert "say a window and no more" in edge.node.noc("times 60 60")["error"]
    assert "say a window and a limit and no more" in edge.node.noc("tenants 60 5 5")["error"]


def test_counts_survive_a_reload(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    before = counted(edge, "traffic start", "answered", 1)
    edge.node.kamcmd("app_python.reload")
    until(lambda: "generation 2" in json.dumps(edge.node.noc("status")["processes"]), SOON_S, "the new code")
    hang_up(edge, phone, final)

    assert row(edge, final.get("Call-ID"))["verdict"] == "answered"
    after = edge.node.noc("traffic start")
    assert after["answered"] >= before["answered"]
    assert after["calls"] >= before["calls"]
