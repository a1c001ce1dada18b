"""What the NOC ordered, from Redis through the agent to each process of a node."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kemi import keys
from kemi.adapters import ksr_measures
from kemi.adapters.ksr_measures import Orders
from kemi.adapters.ksr_shared import NOC, publish_pass
from kemi.adapters.redis_client import StoreUnavailable
from kemi.agent_measures import MeasureWatch
from kemi.core.measures import NO_MEASURES, Quarantine
from kemi.core.outcome import Challenge, Route
from tests.fakes.ksr import FakeKsr
from tests.fakes.world import ABROAD, ALICE, World, invite, register

NOW_MS = 1_000_000  # of Redis; the node's own clock begins elsewhere
MONO_MS = 400_000
NS_PER_MS = 1_000_000


class FakeStore:
    """Redis, as far as measures are read. A contract test has the real one's form of a row."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}
        self.reads = 0
        self.is_down = False
        self.now_ms = NOW_MS

    def order(self, what: str, until_ms: int = NOW_MS + 9_000, at_ms: int = 7, **told: Any) -> None:
        """Write a row as functions/measures.lua does."""
        row = {"who": "ann", "node": "n1", "why": "", "level": 0, **told}
        self.rows[what.encode()] = f"{until_ms} {at_ms} {json.dumps(row)}".encode()

    def execute(self, *words: Any) -> Any:
        """Answer the one command that is asked."""
        if self.is_down:
            raise StoreUnavailable("down", maybe_applied=False)
        if words == ("TIME",):
            return [b"%d" % (self.now_ms // 1_000), b"%d" % (self.now_ms % 1_000 * 1_000)]
        assert words == ("HGETALL", keys.MEASURES)
        self.reads += 1
        return [part for pair in self.rows.items() for part in pair]


class Node:
    """An agent, and one of the workers."""

    def __init__(self) -> None:
        self.ksr, self.store, self.flushes = FakeKsr(), FakeStore(), 0
        self.flushed: list[tuple[str, ...]] = []
        self.watch, self.orders = MeasureWatch(self.ksr, "n1", self.store), Orders(self.ksr)

    def turn(self, version: int, now_ms: int = NOW_MS) -> None:
        """Let the agent do a turn, and a worker look."""
        self.store.now_ms = now_ms
        now_ns = mono_ns(now_ms)
        self.watch.follow(version, now_ns)
        publish_pass(self.ksr, 42, self.watch.turn(now_ns))
        self.watch.set_level(now_ns)
        assert self.orders.look(self.flush) == 42

    def flush(self, *names: str) -> None:
        """Count."""
        self.flushes += 1
        self.flushed.append(names)


def mono_ns(now_ms: int) -> int:
    """Return the node's clock when Redis' has come to this time."""
    return (now_ms - NOW_MS + MONO_MS) * NS_PER_MS


@pytest.fixture
def node() -> Node:
    return Node()


def test_a_worker_reads_one_value_while_nothing_is_ordered(node: Node) -> None:
    node.turn(0)
    assert node.ksr.tables[NOC] == {"configuration": "42"}
    node.ksr.calls.clear()
    node.orders.look(node.flush)
    assert node.ksr.calls == [("htable.sht_get", NOC, "configuration")]
    assert node.orders.measures == NO_MEASURES
    assert node.store.reads == 0


def test_a_worker_reads_what_is_ordered_once(node: Node) -> None:
    node.store.order("quarantine account 5")
    node.turn(1)
    assert node.orders.measures.quarantine == Quarantine(accounts=frozenset((5,)))
    node.ksr.calls.clear()
    node.orders.look(node.flush)
    assert node.ksr.calls == [("htable.sht_get", NOC, "configuration")]
    node.turn(1)
    assert node.store.reads == 1, "its version tells that nothing is new"
    assert not node.flushes


def test_what_is_over_goes_by_itself_even_without_redis(node: Node) -> None:
    node.store.order("quarantine account 5", until_ms=NOW_MS + 1)
    node.turn(1)
    node.store.is_down = True
    publish_pass(node.ksr, 42, node.watch.turn(mono_ns(NOW_MS + 1)))
    assert node.orders.look(node.flush) == 42
    assert node.orders.measures == NO_MEASURES


def test_a_reload_while_redis_is_away_loses_nothing_and_ends_it_in_time(node: Node) -> None:
    node.store.order("quarantine account 5", until_ms=NOW_MS + 9)
    node.turn(1)
    fresh = MeasureWatch(node.ksr, "n1", node.store)
    fresh.restore(node.watch.export())
    node.store.is_down = True
    assert fresh.is_known
    publish_pass(node.ksr, 42, fresh.turn(mono_ns(NOW_MS + 8)))
    node.orders.look(node.flush)
    assert node.orders.measures.quarantine.accounts == {5}
    publish_pass(node.ksr, 42, fresh.turn(mono_ns(NOW_MS + 9)))
    node.orders.look(node.flush)
    assert node.orders.measures == NO_MEASURES


def test_code_that_handed_nothing_over_knows_nothing(node: Node) -> None:
    node.watch.restore(b"")
    assert not node.watch.is_known


def test_a_clock_of_redis_that_was_put_right_counts(node: Node) -> None:
    """Another primary after a failover may have another time; the agent hears it with each sign of life."""
    node.store.order("quarantine account 5", until_ms=NOW_MS + 9_000)
    node.turn(1)
    node.watch.see(NOW_MS + 9_000, mono_ns(NOW_MS))
    node.turn(1)
    assert node.orders.measures == NO_MEASURES


def test_a_level_that_cannot_be_set_is_tried_again_a_second_later(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.store.order("loglevel node n1", level=2)
    tried = []

    def fail(_ksr: Any, level: int | None) -> None:
        tried.append(level)
        raise ZeroDivisionError

    with monkeypatch.context() as broken:
        broken.setattr(ksr_measures, "set_level", fail)
        with pytest.raises(ZeroDivisionError):
            node.turn(1)
        node.turn(1, NOW_MS + 999)
        assert tried == [2]
    node.turn(1, NOW_MS + 1_000)
    assert node.ksr.debug == 2


def test_what_is_released_goes(node: Node) -> None:
    node.store.order("quarantine account 5")
    node.store.order("quarantine server 31")
    node.turn(1)
    del node.store.rows[b"quarantine account 5"]
    node.turn(2)
    assert node.orders.measures.quarantine == Quarantine(servers=frozenset((31,)))


def test_a_redis_that_has_lost_everything_ends_nothing(node: Node) -> None:
    node.store.order("quarantine account 5")
    node.turn(1)
    node.store.rows.clear()
    node.turn(0)
    assert node.orders.measures.quarantine.accounts == {5}
    assert node.watch.is_known


def test_caches_are_emptied_once_for_each_order(node: Node) -> None:
    node.store.order("flush caches *", at_ms=7)
    node.turn(1)
    node.turn(1)
    assert node.flushes == 1
    node.store.order("flush caches *", at_ms=8)
    node.turn(2)
    assert node.flushes == 2
    node.turn(2, NOW_MS + 99_000)
    assert node.flushes == 2, "not at its end"
    assert node.ksr.tables[NOC]["configuration"] == "42"


def test_one_record_is_forgotten_also_where_several_are_ordered_at_once(node: Node) -> None:
    node.store.order("flush record acct:7", at_ms=7)
    node.turn(1)
    node.store.order("flush record acct:8", until_ms=NOW_MS + 5, at_ms=7)
    node.turn(2)
    assert node.flushed == [("acct:7",), ("acct:8",)]
    node.turn(2, NOW_MS + 6)
    assert len(node.flushed) == 2, "not at its end"
    node.store.order("flush record acct:7", at_ms=9)
    node.store.order("flush caches *", at_ms=9)
    node.turn(3)
    assert node.flushed[2:] == [()]


@pytest.mark.parametrize(
    ("ordered", "level"), [({"n1": 2, "*": 0}, 2), ({"*": 0}, 0), ({"n2": 2}, 1), ({"n1": -1}, -1), ({}, 1)]
)
def test_the_level_of_the_log_is_set_for_this_node_and_goes_back_by_itself(
    node: Node, ordered: dict[str, int], level: int
) -> None:
    for name, each in ordered.items():
        node.store.order(f"loglevel node {name}", level=each)
    node.turn(1)
    assert node.ksr.debug == level
    node.turn(1)
    assert len(node.ksr.did("jsonrpcs.exec")) == int(level != 1)
    node.turn(1, NOW_MS + 99_000)
    assert node.ksr.debug == 1


def test_the_level_from_before_is_known_after_a_reload(node: Node) -> None:
    node.store.order("loglevel node n1", level=2)
    node.turn(1)
    node.watch = MeasureWatch(node.ksr, "n1", node.store)
    node.turn(1)
    assert node.ksr.debug == 2
    node.turn(1, NOW_MS + 99_000)
    assert node.ksr.debug == 1


def traced(node: Node) -> list[dict[str, Any]]:
    return [json.loads(line.removeprefix("trace ")) for line in node.ksr.log if line.startswith("trace ")]


def test_a_traced_line_s_decisions_are_in_the_log(node: Node) -> None:
    world, call = World(), invite()
    node.orders.trace(call, world.decide(call))
    assert traced(node) == [], "nobody is traced"
    node.store.order(f"trace line {ALICE}")
    node.turn(1)
    node.orders.trace(call, world.decide(call))
    node.orders.trace(call, world.decide(call, quarantine=Quarantine(accounts=frozenset((5,)))))
    challenge = world.decide(invite()._replace(credentials=None))
    assert isinstance(challenge, Challenge)
    node.orders.trace(call, challenge)
    node.orders.trace(register(), world.decide(register()))
    routed, refused, challenged = traced(node)
    assert next(iter(routed)) == "call_id"
    assert (routed["call_id"], routed["traced"], routed["decision"]) == (call.call_id, f"line {ALICE}", "route")
    assert "acme/one" in routed["targets"]
    decided = world.decide(call)
    assert isinstance(decided, Route)
    assert routed["trace"] == list(decided.trace)
    assert (refused["status"], refused["reason"]) == (403, "quarantined")
    assert challenged["decision"] == "challenge"


@pytest.mark.parametrize(("prefix", "is_traced"), [("331", True), ("4420", True), ("34", False)])
def test_a_prefix_is_looked_for_in_both_numbers(node: Node, prefix: str, *, is_traced: bool) -> None:
    node.store.order(f"trace prefix {prefix}")
    node.turn(1)
    call = invite(callee=ABROAD)
    node.orders.trace(call, World().decide(call))
    assert [each["traced"] for each in traced(node)] == [f"prefix {prefix}"] * is_traced


def test_who_is_called_is_traced_too(node: Node) -> None:
    node.store.order("trace line bob@a.example")
    node.turn(1)
    call = invite(callee="bob")
    node.orders.trace(call, World().decide(call))
    assert len(traced(node)) == 1


def test_a_level_that_is_taken_back_goes_at_once(node: Node) -> None:
    node.store.order("loglevel node n1", level=2)
    node.turn(1)
    node.store.rows.clear()
    node.turn(2)
    assert node.ksr.debug == 1


def test_a_worker_asks_redis_itself_until_the_agent_has_spoken(node: Node) -> None:
    orders = Orders(node.ksr, lambda: [("account", "5")])
    assert orders.look(node.flush) == 0
    assert orders.measures.quarantine.accounts == {5}
    node.turn(0)
    assert orders.look(node.flush) == 42
    assert orders.measures == NO_MEASURES, "it was released meanwhile"
