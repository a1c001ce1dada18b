"""Redis is away for long: accounts that gave their word have some calls, and their running ones go on for a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.records import CallEvent
from tests.edge import ACME_HOST, NOWHERE, SOON_S, Edge
from tests.edge_world import load_world, place, welcome
from tests.fakes.world import ABROAD, ACME_1, CUSTOMER, World
from tests.integration.test_kamailio_breaker import PBX, Stream, answered, dialled, die, ended, stall, status
from tests.kamailio_node import running_kamailio
from tests.redis_server import TIMEOUT_MS, MortalRedis, mortal_redis
from tests.sip import Endpoint
from tests.wait import until

SLICE_S: Final = 3
WORD_S: Final = 6
CALLS: Final = 2
LONG_S: Final = 15.0
ENV: Final = {"TANDEM_SLICE_S": str(SLICE_S), "TANDEM_GRACE_S": "2"}


@pytest.fixture
def redis() -> Iterator[MortalRedis]:
    """Run a Redis that can die."""
    with mortal_redis() as running:
        yield running


@contextmanager
def node_with(redis: MortalRedis, word: int = CALLS) -> Iterator[Edge]:
    """Run a node whose customer gives its word for so many calls; all its workers know the world."""
    with Endpoint(NOWHERE, ACME_HOST) as acme:
        admin, world = RedisClient(redis.url, TIMEOUT_MS), World()
        place(world, acme)
        welcome(world)
        world.change(keys.account(CUSTOMER), offline_calls=word, offline_s=WORD_S)
        writer = load_world(admin, world)
        with running_kamailio(redis.worker_url, env=ENV) as node:
            acme.server = node.address
            edge = Edge(node, redis.told(), admin, writer, acme, acme, world)
            until(lambda: node.noc("status")["agent"], SOON_S, "the agent's first word")
            with edge.phone(PBX) as phone:
                until(lambda: busy(phone, edge) and warm(edge) >= 2, LONG_S, "two workers that know the world")
            yield edge
        admin.close()


def busy(phone: Endpoint, edge: Edge) -> bool:
    """Call a few times, so close together that one worker cannot take them all."""
    stream = Stream(phone, edge.acme)
    stream.run(0.2)
    return {answer.status for answer in stream.finish()} == {486}


def warm(edge: Edge) -> int:
    """Return how many processes have found what a call stands on in their cache."""
    return sum(row["rate_hits"] > 0 for row in edge.node.noc("caches")["caches"])


def agent(edge: Edge) -> dict[str, Any]:
    return dict(edge.node.noc("status")["agent"])


def told(edge: Edge, call_id: str, kinds: list[str]) -> list[CallEvent]:
    """Return the events of a call once they are these; the agent tells them after Redis has come back."""
    until(lambda: [event.kind for event in edge.events(call_id)] == kinds, LONG_S, f"{kinds} of {call_id}")
    return edge.events(call_id)


def is_down(edge: Edge) -> bool:
    return bool(agent(edge)["store"] == "down")


@pytest.mark.parametrize("harm", [die, stall])
def test_so_many_calls_go_without_a_hold_and_are_told_when_redis_is_back(
    harm: Callable[[MortalRedis], Callable[[], None]], redis: MortalRedis
) -> None:
    with node_with(redis) as edge, ExitStack() as stack:
        first, second, third, refused = (stack.enter_context(edge.phone(PBX)) for _ in range(4))
        back = harm(redis)
        until(lambda: is_down(edge), SOON_S, "the node to notice")
        _, first_final = answered(first, edge)
        began = time.monotonic()
        _, second_final = answered(second, edge)
        final = dialled(refused, ABROAD).final()
        assert (final.status, final.get("Retry-After")) == (503, "5")
        until(lambda: agent(edge)["unheld"] == CALLS, SOON_S, "the agent to follow them")
        assert edge.node.counter("unheld") == CALLS
        assert ended(first, first_final, edge.acme) == 200
        until(lambda: edge.item("offline", str(CUSTOMER)) == 1, SOON_S, "its place to be free")
        _, third_final = answered(third, edge)
        assert ended(third, third_final, edge.acme) == 200
        for side in (edge.acme, second):
            bye = side.wait_request("BYE", LONG_S)
            side.send(side.reply(bye, 200, "OK"))
        assert WORD_S - 1 < time.monotonic() - began < WORD_S + 5
        back()

        events = [told(edge, each.get("Call-ID"), ["late"])[0] for each in (first_final, second_final, third_final)]
        (refusal,) = told(edge, final.get("Call-ID"), ["refused"])
        assert {(event.call.offline_id, event.call.max_s, event.end.outcome) for event in events} == {
            (CUSTOMER, WORD_S, "answered")
        }
        assert [event.end.ended_by for event in events] == ["caller", "maximum", "caller"]
        assert events[1].end.billed_s == WORD_S
        assert all(event.end.billed_s >= 1 and not event.postings for event in events)
        assert refusal.end.reason == "store_down"
        assert refusal.call.trace[-1] == f"account {CUSTOMER} has its {CALLS} calls without a hold on this node"
        until(lambda: edge.item("offline", str(CUSTOMER)) == 0, SOON_S, "all places to be free")
        assert (agent(edge)["dead"], agent(edge)["invalid"], edge.leases(), edge.node.alarms) == (0, 0, 0, [])


def test_who_gave_no_word_has_no_calls(redis: MortalRedis) -> None:
    with node_with(redis, word=0) as edge, edge.phone(PBX) as phone:
        redis.kill()
        until(lambda: is_down(edge), SOON_S, "the node to notice")
        assert status(phone, edge) == 503


@pytest.mark.parametrize("harm", [die, stall])
def test_a_running_call_goes_on_and_is_extended_when_redis_is_back(
    harm: Callable[[MortalRedis], Callable[[], None]], redis: MortalRedis
) -> None:
    """All that was talked is in its one settlement."""
    with node_with(redis) as edge, edge.phone(PBX) as phone:
        _, final = answered(phone, edge)
        until(lambda: agent(edge)["talking"] == 1, SOON_S, "the answer")
        back = harm(redis)
        until(lambda: agent(edge)["going_on"] == 1, SLICE_S + SOON_S, "it to go on beyond what is held")
        back()
        until(lambda: agent(edge)["going_on"] == 0, SOON_S, "it to be held again")
        assert phone.silent(0.5)
        assert ended(phone, final, edge.acme) == 200
        (event,) = told(edge, final.get("Call-ID"), ["settle"])

        assert (event.end.ended_by, event.end.server_id) == ("caller", ACME_1)
        assert event.end.billed_s > SLICE_S
        assert [fund.held_micros for fund in edge.balances()] == [0] * 4
        assert (edge.leases(), edge.node.counter("went_on"), edge.node.counter("overtalk_ms")) == (0, 1, 0)


def test_a_running_call_goes_on_to_its_limit_and_is_told_in_two(redis: MortalRedis) -> None:
    """What is held by a settlement, the rest by a late end."""
    with node_with(redis) as edge, edge.phone(PBX) as phone:
        _, final = answered(phone, edge)
        until(lambda: agent(edge)["talking"] == 1, SOON_S, "the answer")
        back = die(redis)
        for side in (edge.acme, phone):
            bye = side.wait_request("BYE", SLICE_S + WORD_S + SOON_S)
            side.send(side.reply(bye, 200, "OK"))
        back()
        settled, late = told(edge, final.get("Call-ID"), ["settle", "late"])

        assert (settled.end.billed_s, late.end.billed_s) == (SLICE_S, SLICE_S + WORD_S)
        assert settled.end.ended_by == late.end.ended_by == "store_down"
        assert f"{WORD_S} s were talked beyond what was held" in late.end.trace[0]
        assert [fund.held_micros for fund in edge.balances()] == [0] * 4
        assert edge.leases() == 0


def test_a_prepaid_call_ends_with_its_slice(redis: MortalRedis) -> None:
    with node_with(redis, word=0) as edge, edge.phone(PBX) as phone:
        _, final = answered(phone, edge)
        until(lambda: agent(edge)["talking"] == 1, SOON_S, "the answer")
        back = die(redis)
        for side in (edge.acme, phone):
            bye = side.wait_request("BYE", SLICE_S + 1)
            side.send(side.reply(bye, 200, "OK"))
        back()
        (event,) = told(edge, final.get("Call-ID"), ["settle"])
        assert (event.end.billed_s, event.end.ended_by) == (SLICE_S, "store_down")
