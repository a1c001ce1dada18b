"""Asking nodes through Redis: what stands there, what agents answer, and what people hear where none does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from kemi import keys, noc
from kemi.adapters import ksr_noc
from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_operations import Balance, FundTerms
from kemi.agent_noc import ASKED_NS, AgentNoc
from kemi.noc_command import Command, Desk
from kemi.settings import Settings
from tests.fakes.calls import STARTED_MS, leg
from tests.fakes.calls import call as pinned
from tests.fakes.ksr import FakeKsr
from tests.fakes.locations import SETTINGS
from tools import noc_ask, noc_cell
from tools.cli import app
from tools.errors import OperatorError
from tools.noc_cell import GONE_MS, SILENT_MS, Cell

NOW_MS = STARTED_MS + 10_000


class Redis:
    """What agents and askers need of a Redis whose time stands still. looked: called when an answer is looked for."""

    def __init__(self) -> None:
        self.texts: dict[str, bytes] = {}
        self.seen: dict[str, int] = {}
        self.limits: dict[str, int] = {}
        self.looked: Callable[[], None] = lambda: None
        self.is_up = True
        self.asked: list[list[str]] = []

    def available(self) -> bool:
        """Tell whether it is up."""
        return self.is_up

    def close(self) -> None:
        """Nothing to drop."""

    def execute(self, *words: Any) -> Any:
        """Do what the askers and agents ask."""
        if not self.is_up:
            raise StoreUnavailable("gone", maybe_applied=False)
        match words:
            case ("GET", key):
                if key.startswith(keys.noc_answer("")) and not key.endswith(":taken"):
                    self.looked()
                return self.texts.get(key)
            case ("SET", key, text, "NX", *more):
                before = self.texts.get(key)
                done = self.put(key, text) if before is None else None
                return before if "GET" in more else done
            case ("SETEX", key, 30, text):
                return self.put(key, text)
            case ("DEL", *gone):
                return [self.texts.pop(key, None) for key in gone]
            case ("HGETALL", keys.NODES):
                return [word for name, ms in self.seen.items() for word in (name.encode(), b"%d" % ms)]
            case ("TIME",):
                return [b"%d" % (NOW_MS // 1000), b"0"]
        raise AssertionError(words)

    def put(self, key: str, text: str) -> bytes:
        """Keep a text."""
        self.texts[key] = text.encode()
        return b"OK"

    def balances(self, funds: Sequence[str]) -> list[Balance]:
        """Return funds of which 160 are charged or held."""
        self.asked.append(list(funds))
        return [Balance(name, FundTerms(1, 500, self.limits.get(name, 0)), 100, 60, 0, 0) for name in funds]


class Site:
    """Two nodes' agents on one Redis, turned when somebody looks for an answer."""

    def __init__(self) -> None:
        self.redis = Redis()
        self.ksrs = {name: FakeKsr() for name in ("n1", "n2")}
        self.agents = [self.agent(name) for name in self.ksrs]
        self.redis.seen = dict.fromkeys(self.ksrs, NOW_MS)
        self.redis.looked = self.turn
        self.now_ns = 0

    def agent(self, name: str) -> AgentNoc:
        """Return a new agent of a node, as after a restart or reload."""
        settings = Settings(name, "", b"", "", "", SETTINGS.limits)
        return AgentNoc(self.ksrs[name], settings, self.redis, self.redis)

    def turn(self) -> None:
        """Let both agents have a turn."""
        self.now_ns += ASKED_NS
        for agent in self.agents:
            agent.turn(self.now_ns, NOW_MS)

    def ask(self, name: str, command: str) -> dict[str, Any]:
        """Return a node's answer."""
        client: Any = self.redis
        return Cell(client).ask(name, command)

    def tandem(self, *words: str) -> tuple[int, str]:
        """Return exit code and output of `tandem noc`."""
        env = {"REDIS_URL": "redis://127.0.0.1:1/0", "COLUMNS": "200", "TANDEM_CTL": ""}
        result = CliRunner().invoke(app, ["noc", *words], env=env, catch_exceptions=False)
        return result.exit_code, result.output


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    """Give two nodes, and `tandem` on their Redis."""
    made = Site()
    client: Any = made.redis

    @contextmanager
    def opened(_: str) -> Iterator[Cell]:
        yield Cell(client)

    monkeypatch.setattr(noc_cell, "opened", opened)
    monkeypatch.setattr(noc_cell, "ANSWER_S", 0)
    return made


def test_the_node_that_is_meant_answers_and_nothing_is_left(site: Site) -> None:
    assert site.ask("n2", "drain on") == {"draining": True}
    assert [ksr.tables["noc"].get("drain") for ksr in site.ksrs.values()] == [None, "on"]
    assert site.redis.texts == {}


def test_a_question_is_answered_once(site: Site) -> None:
    """It stands until its asker takes it away: what it lets happen may not happen twice."""
    site.redis.put(keys.noc_question("n1"), json.dumps(["a" * 32, "unregister eva@a.example"]))
    for _ in range(3):
        site.turn()
    assert len(site.ksrs["n1"].log) == 1


def test_neither_a_reload_nor_a_restart_carries_an_order_out_again(site: Site) -> None:
    """The question still stands then."""
    site.redis.put(keys.noc_question("n1"), json.dumps(["a" * 32, "unregister eva@a.example"]))
    site.turn()
    site.agents[0] = site.agent("n1")
    site.turn()
    assert len(site.ksrs["n1"].log) == 1


def test_an_order_that_redis_did_not_confirm_is_ours_all_the_same(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.redis.put(keys.noc_question("n1"), json.dumps(["a" * 32, "unregister eva@a.example"]))
    put = site.redis.put

    def lost(key: str, text: str) -> bytes:
        put(key, text)
        raise StoreUnavailable("time-out", maybe_applied=True)

    monkeypatch.setattr(site.redis, "put", lost)
    site.turn()
    assert site.ksrs["n1"].log == []
    monkeypatch.setattr(site.redis, "put", put)
    site.turn()
    site.turn()
    assert len(site.ksrs["n1"].log) == 1


@pytest.mark.parametrize("asked", ["", "{}", "[1, 2]", '["short", "status"]', "not JSON", "[" * 900, " " * 4001])
def test_what_is_no_question_is_passed_over(site: Site, asked: str) -> None:
    site.redis.put(keys.noc_question("n1"), asked)
    site.turn()
    assert list(site.redis.texts) == [keys.noc_question("n1")]


def test_what_accounts_have_left_comes_with_the_first_answer(site: Site) -> None:
    site.redis.limits = {"3:EUR": -1}
    paid = ksr_noc.Paid(60, ("7:EUR", "3:EUR"), (60, 30))
    call = pinned("r", (leg(1, 7, 3), leg(2, 3, 1)))
    ksr_noc.show_call(site.ksrs["n1"], "r", (ksr_noc.head(call), ksr_noc.paid_part(paid)), 0, 0)
    (row,) = site.ask("n1", "calls")["calls"]
    assert [level["left_micros"] for level in row["levels"]] == [340, None]
    assert row["left_micros"] == 340
    assert site.redis.asked == [["7:EUR", "3:EUR"]], "once, and not for each call"


def test_nobody_is_asked_while_redis_is_down(site: Site) -> None:
    site.redis.is_up = False
    site.turn()
    with pytest.raises(OperatorError, match="REDIS_URL: Redis does not answer: gone"):
        site.ask("n1", "status")


def test_a_command_that_fails_is_said_and_logged(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_desk: Desk, _words: Sequence[str]) -> dict[str, object]:
        raise ZeroDivisionError

    monkeypatch.setitem(noc._BY_NAME, "status", Command("status", "status", "", fail))
    assert site.ask("n1", "status")["error"] == "the node failed at it: ZeroDivisionError; its log says more"
    assert "ZeroDivisionError" in site.ksrs["n1"].log[0]


def test_an_answer_that_is_too_long_is_not_written(site: Site) -> None:
    """Writing megabytes within the time-out of a worker may fail, and would count as an outage of Redis."""
    for at in range(2_500):
        call = pinned(f"rid-{at}", ())
        parts = ksr_noc.head(call), ksr_noc.paid_part(ksr_noc.Paid(60, (), ()))
        ksr_noc.show_call(site.ksrs["n1"], call.rid, parts, 0, 0)
    assert len(site.ask("n1", "calls limit=800")["calls"]) == 800
    assert " bytes, of 500000: choose less, or set limit=" in site.ask("n1", "calls limit=5000")["error"]


def test_all_nodes_are_asked(site: Site) -> None:
    status, output = site.tandem("calls", "--all", "--json")
    empty = {"count": 0, "shown": 0, "is_money_known": True, "calls": []}
    assert (status, json.loads(output)) == (0, {"nodes": {"n1": empty, "n2": empty}})
    status, output = site.tandem("drain", "on", "--all")
    assert (status, output.count('{"draining": true}')) == (0, 2)
    assert "node n1\n" in output
    assert all("drain" in ksr.tables["noc"] for ksr in site.ksrs.values())


def test_one_node_is_asked_by_its_name(site: Site) -> None:
    assert site.tandem("counters", "--node", "n1", "--json")[0] == 0
    with pytest.raises(OperatorError, match="no call abc here"):
        site.tandem("end", "abc", "--node", "n2")


def test_where_one_of_all_fails_the_others_are_shown_and_the_command_ends_with_1(site: Site) -> None:
    site.redis.seen["n3"] = NOW_MS - SILENT_MS - 1
    site.redis.seen["n4"] = NOW_MS - GONE_MS - 1
    status, output = site.tandem("drain", "off", "--all")
    assert status == 1
    assert output.count('{"draining": false}') == 2
    assert "node n3: silent: it does not say any more that it lives" in output
    assert "n4" not in output
    status, output = site.tandem("end", "abc", "--all")
    assert status == 1
    assert "node n1: no call abc here" in output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("status --node n9", "no node 'n9' is seen; seen are: n1, n2"),
        ("status --node n3", "node n3 has been silent for 60 s; seen are: n1, n2"),
        ("status --node n1 --all", "--node and --all: one of them"),
    ],
)
def test_what_cannot_be_asked_is_a_sentence(site: Site, words: str, said: str) -> None:
    site.redis.seen["n3"] = NOW_MS - 60_000
    with pytest.raises(OperatorError) as caught:
        site.tandem(*words.split())
    assert str(caught.value) == said


def test_a_long_reason_in_any_script_arrives_and_a_question_that_is_too_long_is_said(site: Site) -> None:
    """Nodes pass over what is too long: the asker would only hear that nobody answers."""
    why = "🐌" * 200
    assert "say on or off" in site.ask("n1", f"drain who={'x' * 64} why={why}")["error"]
    with pytest.raises(OperatorError, match=r"a question of \d+ bytes is too long: at most 4000"):
        site.ask("n1", "x" * 4_000)


def test_a_filter_is_one_word(site: Site) -> None:
    with pytest.raises(OperatorError, match="'caller=a b' is not one word of at most 128 characters"):
        site.tandem("calls", "caller=a b", "--all")


def test_where_nobody_answers_it_is_said(site: Site) -> None:
    site.redis.looked = lambda: None
    with pytest.raises(OperatorError, match="node n1 gave no answer to 'status' within 0 s"):
        site.ask("n1", "status")
    with pytest.raises(OperatorError, match="node n1 is being asked by somebody else and does not answer them"):
        site.ask("n1", "status")
    site.redis.seen = {}
    with pytest.raises(OperatorError, match="no node is seen: none has told this Redis lately that it lives"):
        site.tandem("status", "--all")


def test_without_redis_no_node_can_be_named() -> None:
    with pytest.raises(OperatorError, match="REDIS_URL is not set"), noc_cell.opened(""):
        pass


def test_what_kamcmd_prints_of_a_fault_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """It ends with 0 then."""
    kamcmd = tmp_path / "kamcmd"
    kamcmd.write_text('#!/bin/sh\necho "error: 500 - Invalid parameters"\n')
    kamcmd.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(OperatorError, match=r"the node behind /x refuses evrexec\.run: 500 - Invalid parameters"):
        noc_ask.ask("/x", "status")


def test_an_answer_that_comes_in_part_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    first = 'value: {"page": 1, "pages": 2, "calls": []}'
    monkeypatch.setattr(noc_ask, "kamcmd", lambda *words: "" if words[-1].endswith(":2") else first)
    with pytest.raises(OperatorError, match="the node behind /x gave its answer to 'calls' only in part; ask again"):
        noc_ask.ask("/x", "calls")
