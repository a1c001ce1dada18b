"""The page of `tandem top`: what stands on it, on screens of any size, whatever nodes can tell."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from tools.errors import OperatorError
from tools.top.answers import Node, asked
from tools.top.page import page

NOW_MS = 1_700_000_000_000
AGENT = {"node": "n1", "store": "up", "calls": 3, "talking": 2, "spool": 0, "dead": 0}
MONEY = {"at_ms": NOW_MS - 1_000, "round_at_ms": NOW_MS - 2_000, "differences": 0, "poisoned": 0}
STATUS: dict[str, Any] = {"agent": AGENT, "money": MONEY, "draining": False, "down_servers": ["32"], "sync": None}
SYNC = {"age_ms": 400, "state": "live", "held": ""}
TRAFFIC: dict[str, Any] = {"window_s": 60, "calls": 120, "refused": 7, "cps": 2.5, "asr": 0.625, "holds": 88}
CARRIERS: dict[str, Any] = {
    "window_s": 300,
    "count": 1,
    "carriers": [
        {"server_id": 31, "attempts": 40, "answers": 30, "pdd_ms": 800, "failures": {"503": 4}, "running": 5},
    ],
}
REFUSALS: dict[str, Any] = {
    "window_s": 300,
    "count": 2,
    "reasons": [{"reason": "no_credit", "count": 9}, {"reason": "no_route", "count": 2}],
    "sources": [{"address": "203.0.113.9", "count": 11, "reason": "no_credit"}],
}
CALL: dict[str, Any] = {
    "rid": "r1",
    "caller": "+4930111",
    "callee": "+33140",
    "source": "alice@a.example",
    "started_ms": NOW_MS - 130_000,
    "answered_ms": NOW_MS - 125_000,
    "server_id": 31,
    "left_s": 3_700,
}
CALLS: dict[str, Any] = {"count": 2, "shown": 1, "calls": [CALL, None]}
ANSWERS: dict[str, dict[str, Any]] = {"traffic": TRAFFIC, "carriers": CARRIERS, "refusals": REFUSALS, "calls": CALLS}
WELL = Node("/ctl", STATUS, ANSWERS, SYNC)


def shown(*nodes: Node, width: int = 130, height: int = 40) -> str:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None, force_terminal=False)
    console.print(page(nodes, width, height, NOW_MS))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def line(text: str, word: str) -> list[str]:
    """Return the words of the first line with this one."""
    return next(each for each in text.splitlines() if word in each).split()


def test_the_first_line_says_how_much_is_going_on() -> None:
    assert shown(WELL).startswith("tandem top  22:13:20 UTC  3 calls, 2 talking, 2.5 a second  (q quits")


def test_a_node_has_its_line() -> None:
    assert line(shown(WELL), "n1 ") == ["n1", "up", "3", "2", "2.5", "7", "62", "%", "88", "0.4", "s"]


def test_servers_and_who_is_passed_over_are_shown() -> None:
    text = shown(WELL, width=80)

    assert line(text, "800 ms") == ["31", "5", "40", "75", "%", "800", "ms", "503:4", "up"]
    assert line(text, "passed over")[0] == "32"


def test_servers_that_are_not_counted_apart_are_the_others() -> None:
    rest = {**CARRIERS["carriers"][0], "server_id": 0}

    assert line(shown(WELL._replace(answers={**ANSWERS, "carriers": {"carriers": [rest]}})), "800 ms")[0] == "others"


def test_refusals_are_shown_with_where_they_came_from() -> None:
    assert line(shown(WELL, width=80), "203.0.113.9") == ["no_credit", "9", "203.0.113.9", "11", "no_credit"]


def test_calls_are_shown_with_what_is_left_of_them() -> None:
    text = shown(WELL)

    assert line(text, "alice@") == ["+4930111", "+33140", "alice@a.example", "n1", "31", "2:05", "1:01:40"]
    ringing = {**CALL, "answered_ms": 0, "server_id": 0, "left_s": None}
    node = WELL._replace(answers={**ANSWERS, "calls": {"count": 1, "calls": [ringing]}})
    assert line(shown(node), "alice@")[-3:] == ["2:10", "rings", "–"]


def test_several_nodes_are_added_up() -> None:
    other = WELL._replace(status={**STATUS, "agent": {**AGENT, "node": "n2"}})
    text = shown(WELL, other, width=80, height=60)

    assert text.startswith("tandem top  22:13:20 UTC  6 calls, 4 talking, 5.0 a second")
    assert line(text, "800 ms") == ["31", "10", "80", "75", "%", "800", "ms", "503:8", "up"]
    assert line(text, "203.0.113.9")[1:4] == ["18", "203.0.113.9", "22"]


def test_the_delay_of_a_server_counts_by_its_attempts() -> None:
    few = {**CARRIERS["carriers"][0], "attempts": 10, "pdd_ms": 1_800}
    other = WELL._replace(answers={**ANSWERS, "carriers": {"carriers": [few]}})

    assert "1000 ms" in shown(WELL, other)


def test_a_node_that_is_gone_is_shown_as_gone_and_the_others_go_on() -> None:
    gone = Node("/other", STATUS | {"agent": {**AGENT, "node": "n2"}}, gone="no answer through /other: refused")
    text = shown(WELL, gone)

    assert line(text, "gone") == ["n2", "gone"]
    assert "ALARM n2 does not answer: no answer through /other: refused" in text
    assert text.startswith("tandem top  22:13:20 UTC  3 calls")


def test_a_node_that_has_not_answered_yet_is_no_alarm() -> None:
    text = shown(Node("/ctl", is_asked=False))

    assert line(text, "/ctl") == ["/ctl", "is", "being", "asked"]
    assert "ALARM" not in text


def test_what_an_older_release_cannot_tell_is_said() -> None:
    old = Node("/ctl", STATUS, {"calls": CALLS}, SYNC, frozenset({"traffic", "carriers", "refusals"}))
    text = shown(old._replace(status={**STATUS, "down_servers": []}))

    assert text.startswith("tandem top  22:13:20 UTC  3 calls, 2 talking, – a second")
    assert "carriers, 5 minutes: these nodes cannot tell" in text
    assert "refusals, 5 minutes: these nodes cannot tell" in text
    assert line(text, "n1 ")[:6] == ["n1", "up", "3", "2", "–", "–"]


@pytest.mark.parametrize(
    ("changes", "alarm"),
    [
        ({"agent": {**AGENT, "store": "down"}}, "n1: Redis is down: new calls are refused, emergency passes"),
        ({"agent": {**AGENT, "spool": 3}}, "n1: 3 operations wait on the disk"),
        ({"agent": {**AGENT, "dead": 1}}, "n1: 1 operations are put aside for people"),
        ({"agent": None}, "/ctl: the agent has not spoken yet"),
        ({"money": {**MONEY, "differences": 2}}, "n1: 2 differences between Redis and Postgres"),
    ],
)
def test_alarms_are_shown(changes: dict[str, Any], alarm: str) -> None:
    assert f"ALARM {alarm}" in shown(WELL._replace(status={**STATUS, **changes}))


def test_a_frozen_configuration_is_an_alarm() -> None:
    assert "ALARM n1: the configuration is frozen, 9 s old" in shown(WELL._replace(sync={**SYNC, "age_ms": 9_000}))


def test_a_drained_node_says_so() -> None:
    assert line(shown(WELL._replace(status={**STATUS, "draining": True})), "n1 ")[1] == "drained"


def test_what_others_wrote_does_not_move_the_cursor() -> None:
    hostile = {**CALL, "caller": "\x1b[2J[red]x", "source": "a\nb"}
    text = shown(WELL._replace(answers={**ANSWERS, "calls": {"calls": [hostile]}}))

    assert "\x1b" not in text
    assert r"\x1b[2J[red]x" in text


@pytest.mark.parametrize("width", [20, 60, 80, 119, 120, 250])
@pytest.mark.parametrize("height", [4, 10, 24, 60])
@pytest.mark.parametrize("nodes_n", [1, 3])
def test_the_page_fits_its_screen(width: int, height: int, nodes_n: int) -> None:
    rows = [{**CARRIERS["carriers"][0], "server_id": at} for at in range(99)]
    sources = [{"address": f"2001:db8::{at:x}", "count": at, "reason": "unknown_subscriber"} for at in range(99)]
    answers = {
        **ANSWERS,
        "carriers": {"carriers": rows},
        "refusals": {"reasons": REFUSALS["reasons"], "sources": sources},
        "calls": {"calls": [CALL] * 300},
    }
    lines = shown(*[WELL._replace(answers=answers)] * nodes_n, width=width, height=height).splitlines()

    assert max(map(len, lines)) <= width
    if height >= 24:
        assert height - 1 <= len(lines) <= height


@pytest.mark.parametrize("width", [80, 130])
def test_room_that_carriers_and_refusals_leave_is_for_calls(width: int) -> None:
    node = WELL._replace(answers={**ANSWERS, "calls": {"calls": [CALL] * 300}})
    lines = shown(node, width=width, height=40).splitlines()

    assert sum("alice@" in each for each in lines) >= 30
    assert 39 <= len(lines) <= 40


def test_nodes_are_asked_in_the_newest_way_they_know() -> None:
    said: list[str] = []

    def old(_ctl: str, command: str) -> dict[str, Any]:
        said.append(command)
        if command == "status":
            return dict(STATUS)
        if command == "calls":
            return dict(CALLS)
        raise OperatorError("commands: status, calls; then a ticket")

    node = asked(old, "/ctl")

    assert said == ["status", "traffic 60", "carriers 300 100", "refusals 300 20", "calls limit=60", "calls"]
    assert set(node.answers) == {"calls"}
    assert node.unknown == {"traffic", "carriers", "refusals"}


def test_a_node_that_stops_to_answer_half_way_is_gone() -> None:
    def tired(_place: str, command: str) -> dict[str, Any]:
        if command == "status":
            return dict(STATUS)
        raise OperatorError("no answer to evrexec.run through /ctl: timed out")

    assert asked(tired, "/ctl").gone == "no answer to evrexec.run through /ctl: timed out"


def test_a_node_that_does_not_answer_is_gone() -> None:
    def silent(_ctl: str, _command: str) -> dict[str, Any]:
        raise OperatorError("no answer through /ctl: connection refused")

    assert asked(silent, "/ctl") == Node("/ctl", gone="no answer through /ctl: connection refused")
