"""What the NOC orders of one node holds on all of them: two real nodes on one Redis, asked by kamcmd alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner

from kemi import keys
from kemi.adapters.redis_measures import entries, newest
from tests.edge import SOON_S, Edge, running_edge
from tests.edge_world import CREDIT_MICROS, set_credit
from tests.fakes.world import ABROAD, ACME, ALICE, BELL_1
from tests.kamailio_node import Node, running_kamailio
from tests.sip import Endpoint, Message, dial, register
from tests.wait import until
from tools.cli import app

CALLEE = f"{ABROAD}@a.example"
LONG_S = 30.0
WHO = ("ann", "bob")
TIMES = 20  # each orders and releases; the last word is by chance an order or a release


class Pair(NamedTuple):
    """Two nodes of a cell."""

    edge: Edge
    other: Node

    @property
    def nodes(self) -> tuple[Node, Node]:
        """Both."""
        return self.edge.node, self.other


@pytest.fixture(scope="module")
def cell() -> Iterator[Pair]:
    """Run both for all tests of this file."""
    with running_edge() as edge, running_kamailio(edge.redis.worker_url, env={"TANDEM_NODE": "t2"}) as other:
        yield Pair(edge, other)


@pytest.fixture
def pair(cell: Pair) -> Iterator[Pair]:
    """Give both; afterwards nothing is ordered, and Python may not have failed."""
    yield cell
    cell.edge.admin.execute("DEL", keys.MEASURES)
    cell.edge.admin.execute("INCR", keys.MEASURED)
    over(cell)
    for node in cell.nodes:
        assert node.counter("exceptions") == 0, node.alarms


def heard(node: Node) -> str:
    """Return what the workers of a node are told with each call."""
    text = node.kamcmd("htable.get", "noc", "configuration")
    return text.partition("value: ")[2].splitlines()[0].strip()


def refusal(node: Node, callee: str = CALLEE) -> Message:
    """Call through a node and return the answer; a call that goes is ended by the carrier's."""
    with Endpoint(node.address, "127.0.0.2") as phone:
        call = dial(phone, callee)
        answer = call.final(LONG_S)
        phone.ack(call.invite, answer)
        return answer


def both(pair: Pair, what: Callable[[Node], Any]) -> list[Any]:
    return [what(node) for node in pair.nodes]


def in_force(pair: Pair) -> None:
    """Wait until both nodes have heard that something is ordered."""
    until(lambda: all(" " in heard(node) for node in pair.nodes), SOON_S, "the order to arrive")


def over(pair: Pair) -> None:
    """Wait until both nodes have heard that nothing is ordered any more."""
    until(lambda: not any(" " in heard(node) for node in pair.nodes), SOON_S, "the end to arrive")


def calls_through(node: Node, carrier: Endpoint) -> Message:
    """Call through a node whose call this carrier gets and refuses as busy; return the caller's answer."""
    with Endpoint(node.address, "127.0.0.2") as phone:
        call = dial(phone, CALLEE)
        invite = carrier.wait_request("INVITE")
        carrier.send(carrier.reply(invite, 486, "Busy Here"), node.address)
        carrier.wait_request("ACK")
        answer = call.final(LONG_S)
        phone.ack(call.invite, answer)
        return answer


def test_an_account_asked_of_one_node_is_refused_by_both_until_it_is_released(pair: Pair) -> None:
    ordered = pair.edge.node.noc("quarantine account 3 for=600 who=ann why=fraud, they say")["ordered"]
    assert (ordered["kind"], ordered["value"], ordered["why"]) == ("account", "3", "fraud, they say")
    in_force(pair)
    assert [each.start for each in both(pair, refusal)] == ["SIP/2.0 403 Quarantined"] * 2
    assert pair.edge.leases() == 0, "no money was held"
    (row,) = pair.other.noc("quarantines")["quarantines"]
    assert (row["kind"], row["value"], row["who"], row["node"]) == ("account", "3", "ann", "t1")

    assert pair.other.noc("release account 3")["ended"] == {"kind": "account", "value": "3"}
    over(pair)
    assert both(pair, lambda node: calls_through(node, pair.edge.acme).status) == [486, 486]
    assert pair.other.noc("release account 3")["error"] == "no quarantine of account 3 is in force"


def test_a_quarantine_ends_by_itself(pair: Pair) -> None:
    pair.other.noc("quarantine account 3")
    in_force(pair)
    assert refusal(pair.edge.node).status == 403
    pair.other.noc("quarantine account 3 for=1")
    over(pair)
    assert calls_through(pair.edge.node, pair.edge.acme).status == 486
    assert pair.other.noc("quarantines") == {"quarantines": []}


def test_of_two_engineers_at_once_the_last_word_holds_and_both_are_noted(pair: Pair) -> None:
    """Each through another node, on the same account; whoever ends what is not in force any more hears so."""
    begun = newest(pair.edge.admin)

    def order(node: Node, who: str) -> list[bool]:
        lines = [f"quarantine account 3 for=600 who={who}", f"release account 3 who={who}"]
        lines = lines if who == WHO[0] else lines[::-1]  # so that one ends with an order, and the other with a release
        return ["error" not in node.noc(line) for line in lines * TIMES]

    with ThreadPoolExecutor(2) as engineers:
        done = list(engineers.map(order, pair.nodes, WHO))
    acts = entries(pair.edge.admin, begun)

    assert len(acts) == sum(map(sum, done)), "what was accepted is noted, and nothing else"
    assert {each.told.who for each in acts} == set(WHO)
    is_ordered = acts[-1].act == "begin"
    assert [bool(node.noc("quarantines")["quarantines"]) for node in pair.nodes] == [is_ordered] * 2
    (in_force if is_ordered else over)(pair)


def test_nothing_is_taken_from_a_source_in_quarantine(pair: Pair) -> None:
    pair.other.noc("quarantine source 127.0.0.2/32")
    in_force(pair)
    with Endpoint(pair.edge.node.address, "127.0.0.2") as phone:
        phone.send(phone.request("INVITE", f"sip:{CALLEE}", caller=f"sip:{ALICE}"))
        assert phone.final().status == 403
        phone.send(phone.request("REGISTER", "sip:a.example", caller=f"sip:{ALICE}", callee=f"sip:{ALICE}"))
        assert phone.final().status == 403
    with Endpoint(pair.edge.node.address, "127.0.0.3") as phone:
        assert register(phone, ALICE).status == 200
        assert register(phone, ALICE, expires_s=0).status == 200


def test_carriers_and_servers_are_left_out_with_a_sentence(pair: Pair) -> None:
    pair.edge.node.noc(f"quarantine carrier {ACME}")
    in_force(pair)
    assert calls_through(pair.other, pair.edge.bell).status == 486
    before = heard(pair.other)
    pair.edge.node.noc(f"quarantine server {BELL_1}")
    until(lambda: heard(pair.other) != before, SOON_S, "the second order to arrive")
    answer = refusal(pair.other)
    assert answer.status == 404, "no carrier is left"


def test_a_node_that_starts_later_keeps_to_what_is_ordered(pair: Pair) -> None:
    pair.edge.node.noc("quarantine account 3 for=600")
    in_force(pair)
    with running_kamailio(pair.edge.redis.worker_url, env={"TANDEM_NODE": "t3"}) as third:
        until(lambda: " " in heard(third), SOON_S, "the order to arrive")
        assert refusal(third).status == 403


def test_a_node_that_starts_again_refuses_from_its_first_call_on(pair: Pair) -> None:
    pair.edge.node.noc("quarantine account 3 for=600")
    in_force(pair)
    for _ in range(2):
        with running_kamailio(pair.edge.redis.worker_url, env={"TANDEM_NODE": "t4"}) as node:
            assert refusal(node).status == 403


def test_a_traced_line_s_decision_is_in_the_log_of_each_node(pair: Pair) -> None:
    assert pair.edge.node.noc(f"trace line {ALICE} minutes=1")["ordered"]["kind"] == "line"
    in_force(pair)
    for node in pair.nodes:
        assert calls_through(node, pair.edge.acme).status == 486
        lines = [line.partition("trace {")[2] for line in node.log.splitlines() if "trace {" in line]
        told = [json.loads("{" + line) for line in lines]
        assert [each["decision"] for each in told if each["traced"] == f"line {ALICE}"][-2:] == ["challenge", "route"]
        assert told[-1]["trace"]
    assert [row["value"] for row in pair.other.noc("traces")["traces"]] == [ALICE]
    assert pair.other.noc(f"untrace line {ALICE}")["ended"]["value"] == ALICE


def test_the_tool_orders_through_a_node_by_its_name_or_through_any(pair: Pair) -> None:
    env = {"REDIS_URL": pair.edge.redis.url, "TANDEM_ACTOR": "ann", "COLUMNS": "200"}

    def run(*words: str) -> str:
        return CliRunner().invoke(app, ["noc", *words], env=env, catch_exceptions=False).output

    until(lambda: pair.edge.admin.execute("HLEN", keys.NODES) >= 2, SOON_S, "both to say that they live")
    assert run("quarantine", "account", "3", "--node", "t2", "--why", "a look").startswith("account 3: until 2")
    in_force(pair)
    (row,) = json.loads(run("quarantines", "--json"))["quarantines"]
    assert (row["who"], row["why"], row["node"]) == ("ann", "a look", "t2")
    assert json.loads(run("explain", ALICE, ABROAD))["reason"] == "quarantined"
    assert run("release", "account", "3", "--node", "t1") == "account 3: ended\n"


def level(node: Node) -> int:
    return int(node.kamcmd("cfg.get", "core", "debug"))


def test_the_level_of_the_log_is_set_in_all_processes_of_a_node_and_goes_back(pair: Pair) -> None:
    assert both(pair, level) == [1, 1]
    pair.edge.node.noc("loglevel 2")
    until(lambda: level(pair.edge.node) == 2, SOON_S, "the level to be set")
    pair.edge.node.noc("quarantine account 3")
    in_force(pair)
    assert level(pair.other) == 1
    assert refusal(pair.edge.node).status == 403
    assert "403 quarantined" in pair.edge.node.log, "a worker logs at the new level"
    assert pair.edge.node.noc("loglevel")["level"] == 2
    pair.edge.node.noc("loglevel 2 for=1")
    until(lambda: level(pair.edge.node) == 1, SOON_S, "the level to go back by itself")


def test_the_level_is_set_on_all_nodes_and_taken_back(pair: Pair) -> None:
    pair.edge.node.noc("loglevel 0 node=all")
    until(lambda: both(pair, level) == [0, 0], SOON_S, "the level to be set")
    pair.other.noc("loglevel normal node=all")
    until(lambda: both(pair, level) == [1, 1], SOON_S, "the level to go back")


@pytest.mark.parametrize("key", ["", "acct:3"])
def test_caches_are_emptied_in_each_worker(pair: Pair, key: str) -> None:
    costs: list[int] = []

    def is_warm() -> bool:
        costs.append(cost(pair.other, pair.edge.acme))
        return costs[-5:] == [1] * 5

    until(is_warm, LONG_S, "all workers to know what a call needs")
    assert pair.edge.node.noc(f"flush {key} who=ann") == {"flushed": key or "*"}
    in_force(pair)
    assert cost(pair.other, pair.edge.acme) > 1


def cost(node: Node, carrier: Endpoint) -> int:
    """Return how many round trips to Redis a call costs."""
    before = node.counter("round_trips")
    assert calls_through(node, carrier).status == 486
    return node.counter("round_trips") - before


def test_a_node_explains_what_it_would_do_and_does_nothing(pair: Pair) -> None:
    until(lambda: pair.edge.leases() == 0, LONG_S, "the calls of before to be over")
    node, before = pair.edge.node, {each.fund: each.held_micros for each in pair.edge.balances()}
    told = node.noc(f"explain {ALICE} {ABROAD}")
    assert (told["verdict"], told["source"], told["callee"]) == ("route", ALICE, ABROAD)
    assert [level["account"] for level in told["chain"]] == [5, 3, 2]
    assert {target["server_id"] for target in told["targets"]} >= {BELL_1}
    assert [(fund["account"], fund["left_micros"] > 0, fund["talk_s"] > 60) for fund in told["funds"]] == [
        (account, True, True) for account in (5, 3, 2)
    ]
    assert any("digest proves" in sentence for sentence in told["trace"])
    assert node.noc(f"explain {ALICE} 33140000000 192.0.2.1")["verdict"] == "challenge"
    assert node.noc("explain nobody@a.example 33140000000")["verdict"] == "challenge"

    set_credit(pair.edge.writer, 3, 1, version=2)
    try:
        told = node.noc(f"explain {ALICE} {ABROAD}")
        assert (told["verdict"], told["reason"], told["status"], told["account_id"]) == ("refuse", "no_credit", 402, 3)
        assert next(fund for fund in told["funds"] if fund["account"] == 3)["left_micros"] <= 1
    finally:
        set_credit(pair.edge.writer, 3, CREDIT_MICROS, version=3)

    pair.other.noc("quarantine account 5")
    told = node.noc(f"explain {ALICE} {ABROAD}")
    assert (told["verdict"], told["reason"], told["status"]) == ("refuse", "quarantined", 403)
    assert {each.fund: each.held_micros for each in pair.edge.balances()} == before
    assert pair.edge.leases() == 0
