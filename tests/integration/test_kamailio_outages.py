"""What a node does while Redis or another node is down, and after: nothing lost, nothing held."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kemi.adapters.redis_client import RedisClient
from tests.edge import ACME_HOST, NOWHERE, SOON_S, Edge, running_edge
from tests.edge_world import load_world, place, welcome
from tests.fakes.world import ABROAD, World
from tests.kamailio_node import IN_TIME, running_kamailio
from tests.redis_server import TIMEOUT_MS, empty, running_redis
from tests.sip import SDP, Call, Endpoint, Message, dial
from tests.wait import until

LONG_S = 10.0


@pytest.fixture
def edge() -> Iterator[Edge]:
    """Run a node of this test's own."""
    with running_edge({"TANDEM_SLICE_S": "3", "TANDEM_GRACE_S": "2"}) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the caller's endpoint."""
    with edge.phone() as endpoint:
        yield endpoint


def talking(phone: Endpoint, edge: Edge, callee: str = f"{ABROAD}@a.example") -> tuple[Call, Message]:
    """Return a call that goes on, and its 200."""
    call = dial(phone, callee)
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")
    return call, final


def hang_up(phone: Endpoint, final: Message, other: Endpoint) -> None:
    phone.send(phone.within("BYE", final, cseq=9))
    bye = other.wait_request("BYE")
    other.send(other.reply(bye, 200, "OK"))
    assert phone.final().status == 200


def refused_in_s(phone: Endpoint) -> tuple[Message, float]:
    began = time.monotonic()
    phone.send(phone.request("INVITE", f"sip:{ABROAD}@a.example"))
    return phone.final(), time.monotonic() - began


def agent(edge: Edge) -> dict[str, Any]:
    """Return what the agent says of itself; nothing in its first moment."""
    return defaultdict(int, edge.node.noc("status")["agent"] or {})


def test_a_stalled_redis_costs_a_call_no_more_than_100_ms() -> None:
    """Fresh callers, so that every worker has to ask; after one time-out the node's breaker answers at once."""
    with running_edge(IN_TIME) as edge, edge.phone() as phone:
        os.kill(edge.redis.pid, signal.SIGSTOP)
        try:
            answers = [refused_in_s(phone) for _ in range(12)]
        finally:
            os.kill(edge.redis.pid, signal.SIGCONT)

        assert {answer.status for answer, _ in answers} == {503}
        assert {answer.get("Retry-After") for answer, _ in answers} == {"5"}
        assert max(lasted_s for _, lasted_s in answers) < 0.25, "80 ms of waiting, and a loaded machine"
        until(lambda: refused_in_s(phone)[0].status == 407, LONG_S, "calls to be taken again")


def dial_emergency(phone: Endpoint) -> Call:
    """Call 112 as a phone does that knows no credentials; a node that has not noticed yet may ask for them first."""
    until(lambda: refused_in_s(phone)[0].status == 503, LONG_S, "the node to notice")
    for _ in range(10):
        call = Call(phone, phone.request("INVITE", "sip:112@a.example", body=SDP))
        phone.send(call.invite)
        if phone.receive().status == 100 and phone.silent(0.3):
            return call
    raise AssertionError("112 was never routed")


def test_an_emergency_call_goes_without_redis(edge: Edge, phone: Endpoint) -> None:
    os.kill(edge.redis.pid, signal.SIGSTOP)
    try:
        call = dial_emergency(phone)
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
        final = call.final()
        edge.acme.wait_request("ACK")
        hang_up(phone, final, edge.acme)
    finally:
        os.kill(edge.redis.pid, signal.SIGCONT)

    assert final.status == 200
    until(lambda: edge.events(final.get("Call-ID")), LONG_S, "the event")
    (event,) = edge.events(final.get("Call-ID"))
    assert (event.kind, event.end.outcome, event.call.emergency) == ("late", "answered", True)


def test_what_redis_does_not_take_waits_on_disk_and_is_told_in_order(edge: Edge, phone: Endpoint) -> None:
    calls = [talking(phone, edge) for _ in range(3)]
    os.kill(edge.redis.pid, signal.SIGSTOP)
    try:
        for _, final in calls:
            hang_up(phone, final, edge.acme)
        until(lambda: agent(edge)["spool"] >= 3, LONG_S, "three settlements on disk")
        assert (edge.node.folder / "spool" / "spool").stat().st_size > 0
    finally:
        os.kill(edge.redis.pid, signal.SIGCONT)

    until(lambda: agent(edge)["spool"] == 0, LONG_S, "the spool to be told")
    assert [edge.event(final.get("Call-ID")).end.outcome for _, final in calls] == ["answered"] * 3
    assert edge.leases() == 0
    assert (edge.node.folder / "spool" / "spool").stat().st_size == 0


def test_a_prepaid_call_ends_with_its_slice_when_redis_stays_away(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(phone, edge)
    os.kill(edge.redis.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        for side in (edge.acme, phone):
            bye = side.wait_request("BYE", LONG_S)
            side.send(side.reply(bye, 200, "OK"))
        assert time.monotonic() - began < 6
    finally:
        os.kill(edge.redis.pid, signal.SIGCONT)

    event = edge.event(final.get("Call-ID"))
    assert (event.end.ended_by, event.end.billed_s) == ("store_down", 3)


def test_a_call_whose_hold_redis_has_lost_is_cut_on_both_sides_and_told(edge: Edge, phone: Endpoint) -> None:
    """Redis comes back empty and armed: the next extension finds no hold, so nobody talks on, and the talk is told."""
    _, final = talking(phone, edge)
    until(lambda: agent(edge)["talking"] == 1, SOON_S, "the answer mark")
    empty(edge.admin)
    world = World()
    place(world, edge.acme, None, edge.bell)
    welcome(world)
    load_world(edge.admin, world)
    for side in (edge.acme, phone):
        bye = side.wait_request("BYE", LONG_S)
        side.send(side.reply(bye, 200, "OK"))

    event = edge.event(final.get("Call-ID"))
    assert (event.kind, event.end.outcome, event.end.ended_by) == ("late", "answered", "lost_hold")
    assert 1 <= event.end.billed_s <= 3
    assert (agent(edge)["dead"], agent(edge)["invalid"], edge.leases()) == (0, 0, 0)


def test_a_spool_survives_the_death_of_its_node(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(phone, edge)
    os.kill(edge.redis.pid, signal.SIGSTOP)
    try:
        hang_up(phone, final, edge.acme)
        until(lambda: agent(edge)["spool"] >= 1, LONG_S, "the settlement on disk")
        edge.node.kill()
    finally:
        os.kill(edge.redis.pid, signal.SIGCONT)

    spool = Path(tempfile.mkdtemp(prefix="tdm-"))
    shutil.copytree(edge.node.folder / "spool", spool / "spool")
    with running_kamailio(edge.redis.worker_url, folder=spool):
        assert edge.event(final.get("Call-ID")).end.outcome == "answered"
        until(lambda: edge.leases() == 0, SOON_S, "the lease to be gone")
    shutil.rmtree(spool)


def test_another_node_ends_the_call_of_a_dead_one() -> None:
    """The token in the Record-Route names the reservation: the BYE is relayed, and the call is settled."""
    with running_redis() as redis, Endpoint(NOWHERE, ACME_HOST) as acme:
        admin, world = RedisClient(redis.url, TIMEOUT_MS), World()
        place(world, acme)
        writer = load_world(admin, world)
        first = Path(tempfile.mkdtemp(prefix="tdm-"))
        with running_kamailio(redis.worker_url, folder=first) as node, Endpoint(node.address) as phone:
            edge = Edge(node, redis, admin, writer, acme, acme, world)
            acme.server = node.address
            _, final = talking(phone, edge)
            until(lambda: agent(edge)["talking"] == 1, SOON_S, "the answer mark")
            node.kill()
            with running_kamailio(redis.worker_url, folder=first, port=node.address[1]) as second:
                edge = edge._replace(node=second)
                hang_up(phone, final, acme)
                event = edge.event(final.get("Call-ID"))
                until(lambda: edge.leases() == 0, SOON_S, "the lease to be gone")
        admin.close()
        shutil.rmtree(first)

    assert (event.kind, event.end.outcome, event.end.ended_by) == ("settle", "answered", "caller")
    assert event.end.billed_s >= 1
    assert event.end.server_id == 31


def test_what_a_node_did_not_see_begin_may_only_end_and_only_among_its_own_hosts() -> None:
    """After a restart: no re-INVITE, no BYE to elsewhere, no other Call-ID; the end itself is settled."""
    with running_redis() as redis, Endpoint(NOWHERE, ACME_HOST) as acme, Endpoint(NOWHERE, "127.0.0.3") as victim:
        admin, world = RedisClient(redis.url, TIMEOUT_MS), World()
        place(world, acme)
        writer = load_world(admin, world)
        first = Path(tempfile.mkdtemp(prefix="tdm-"))
        with running_kamailio(redis.worker_url, folder=first) as node, Endpoint(node.address, "127.0.0.2") as phone:
            edge = Edge(node, redis, admin, writer, acme, acme, world)
            acme.server = node.address
            _, final = talking(phone, edge)
            until(lambda: agent(edge)["talking"] == 1, SOON_S, "the answer mark")
            node.kill()
            with running_kamailio(redis.worker_url, folder=first, port=node.address[1]) as second:
                edge = edge._replace(node=second)
                bye = phone.within("BYE", final, cseq=9)
                for text in (phone.within("INVITE", final, cseq=5, body=SDP), bye.replace("Call-ID: ", "Call-ID: x")):
                    phone.send(text)
                    assert phone.final().status == 481
                phone.send(bye.replace(f"BYE {acme.contact}", f"BYE {victim.contact}", 1))
                assert phone.final().status == 200
                assert edge.event(final.get("Call-ID")).end.ended_by == "caller"
                assert acme.silent()
                assert victim.silent()
                until(lambda: edge.leases() == 0, SOON_S, "the lease to be gone")
        admin.close()
        shutil.rmtree(first)
