"""Calls whose node died under them: the same node after its restart, or another one, goes on with them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from kemi.core.sides import CSEQ_LEAP
from kemi.records import CallEvent
from tests.dialogs import confirm, talking
from tests.edge import ACME_HOST, NOWHERE, SOON_S, Edge
from tests.edge_world import load_world, place, set_credit
from tests.fakes.world import ABROAD, CUSTOMER, World
from tests.kamailio_node import Node, running_kamailio
from tests.redis_server import TIMEOUT_MS, running_redis
from tests.sip import Endpoint, Message, dial, parse
from tests.wait import until

LONG_S: Final = 15.0
PAID_S: Final = 12
CREDIT_MICROS: Final = 10_000  # 833 a second
SETTINGS: Final = {"TANDEM_SLICE_S": "8", "TANDEM_GRACE_S": "6", "TANDEM_PART_S": "3"}


class Cell(NamedTuple):
    """One Redis, a carrier, a caller. edge: as the first node sees it; home: that node's directory."""

    edge: Edge
    phone: Endpoint
    home: Path

    def again(self) -> AbstractContextManager[Node]:
        """Start the first node once more, on its port and in its directory."""
        redis_url, port = self.edge.redis.worker_url, self.edge.node.address[1]
        return running_kamailio(redis_url, env=SETTINGS, folder=self.home, port=port)

    def holder(self) -> str:
        """Return which node follows the one call that there is, as Redis knows it; "" when it is over."""
        funds = Funds(self.edge.admin, "test", 0)
        found = [funds.describe(rid) for rid in funds.of_node().rids]
        return found[0].node if found and found[0] else ""

    def ends(self, call_id: str) -> list[CallEvent]:
        """Return the events that end the call."""
        return [event for event in self.edge.events(call_id) if event.kind != "part"]


@pytest.fixture
def cell() -> Iterator[Cell]:
    """Run a node that a test may kill, with money for twelve seconds."""
    home = Path(tempfile.mkdtemp(prefix="tdm-"))
    with running_redis() as redis, Endpoint(NOWHERE, ACME_HOST) as acme:
        admin, world = RedisClient(redis.url, TIMEOUT_MS), World()
        place(world, acme)
        writer = load_world(admin, world)
        set_credit(writer, CUSTOMER, CREDIT_MICROS, version=2)
        with running_kamailio(redis.worker_url, env=SETTINGS, folder=home) as node:
            acme.server = node.address
            with Endpoint(node.address, "127.0.0.2") as phone:
                yield Cell(Edge(node, redis, admin, writer, acme, acme, world), phone, home)
        admin.close()
    shutil.rmtree(home)


@contextmanager
def second_node(cell: Cell) -> Iterator[Node]:
    """Run another node of the cell."""
    with running_kamailio(cell.edge.redis.worker_url, env={**SETTINGS, "TANDEM_NODE": "t2"}) as node:
        until(lambda: cell.edge.admin.execute("HEXISTS", keys.NODES, "t2"), SOON_S, "the second node's first word")
        yield node


def orphan(cell: Cell) -> Message:
    """Let a call be answered, and kill its node. Returns the caller's 200."""
    _, final = talking(cell.edge, cell.phone)
    until(lambda: (cell.edge.node.noc("status")["agent"] or {}).get("talking") == 1, SOON_S, "the answer mark")
    cell.edge.node.kill()
    return final


def the_end(cell: Cell, final: Message) -> CallEvent:
    """Wait for the one event that ends the call."""
    call_id = final.get("Call-ID")
    until(lambda: cell.ends(call_id), SOON_S, "the end to be told")
    (event,) = cell.ends(call_id)
    assert cell.edge.leases() == 0
    return event


def test_a_call_that_ended_while_nobody_was_there_is_found_and_ended(cell: Cell) -> None:
    """The caller has hung up and given up; asked whether the call goes on, its phone knows of none."""
    final = orphan(cell)
    with cell.again():
        question = cell.phone.wait_request("OPTIONS", LONG_S)
        assert question.get("Call-ID") == final.get("Call-ID")
        cell.phone.send(cell.phone.reply(question, 481, "Call/Transaction Does Not Exist"))
        confirm(cell.edge.acme)
        event = the_end(cell, final)

    assert (event.kind, event.end.outcome, event.end.ended_by) == ("settle", "answered", "caller")
    assert event.end.billed_s < PAID_S


def parts(cell: Cell, final: Message) -> list[int]:
    return [event.end.billed_s for event in cell.edge.events(final.get("Call-ID")) if event.kind == "part"]


def test_a_restarted_node_extends_its_calls_and_ends_them_with_their_money(cell: Cell) -> None:
    """Both sides get a BYE that they must take, at the paid second since the 200; every micro is charged once."""
    final = orphan(cell)
    with cell.again():
        to_acme, to_phone = confirm(cell.edge.acme, LONG_S), confirm(cell.phone, LONG_S)
        event = the_end(cell, final)

    assert (event.kind, event.end.ended_by, event.end.billed_s, event.end.server_id) == ("settle", "money", PAID_S, 31)
    assert PAID_S * 1000 <= event.end.talk_ms <= PAID_S * 1000 + 1000
    assert min(int(bye.get("CSeq").split()[0]) for bye in (to_acme, to_phone)) > CSEQ_LEAP
    assert parts(cell, final) == [3, 6, 9]
    customer = next(balance for balance in cell.edge.balances() if balance.fund == keys.fund(CUSTOMER, "EUR"))
    assert (customer.charged_micros, customer.held_micros, customer.channels) == (CREDIT_MICROS, 0, 0)


def test_another_node_ends_the_calls_of_a_dead_one(cell: Cell) -> None:
    with second_node(cell) as second:
        final = orphan(cell)
        until(lambda: cell.holder() == "t2", LONG_S, "the second node to adopt")
        until(lambda: second.noc("status")["agent"]["adopted"] == 1, SOON_S, "the second node's word")
        confirm(cell.edge.acme, LONG_S)
        confirm(cell.phone, LONG_S)
        event = the_end(cell, final)

    assert (event.kind, event.end.ended_by, event.end.billed_s) == ("settle", "money", PAID_S)


def test_a_hang_up_that_reaches_the_adopter_settles_exactly_and_ends_the_other_side(cell: Cell) -> None:
    """The phone sends its BYE where its route leads: to the first node's port, where another node stands by then."""
    final = orphan(cell)
    with cell.again() as node:
        until(lambda: cell.holder() == "t1", SOON_S, "the reservation")
        until(lambda: (node.noc("status")["agent"] or {}).get("adopted") == 1, SOON_S, "the adoption")
        for side in (cell.phone, cell.edge.acme):
            side.send(side.reply(side.wait_request("OPTIONS"), 200, "OK"))
        cell.phone.send(cell.phone.within("BYE", final, cseq=9))
        confirm(cell.edge.acme)
        assert cell.phone.final().status == 200
        event = the_end(cell, final)
        assert cell.edge.acme.silent(4.0), "who took our BYE gets no other one"
        assert cell.phone.silent(), "who hung up gets no BYE of ours"

    assert (event.kind, event.end.ended_by) == ("settle", "caller")
    assert event.end.billed_s == -(-event.end.talk_ms // 1000)


def test_a_call_whose_node_is_killed_with_the_200_goes_on_with_a_hold(cell: Cell) -> None:
    """Whether Redis has heard of the answer or not: what the worker noted is enough."""
    _, final = talking(cell.edge, cell.phone)
    cell.edge.node.kill()
    with cell.again():
        confirm(cell.edge.acme, LONG_S)
        confirm(cell.phone, LONG_S)
        event = the_end(cell, final)

    assert (event.kind, event.end.outcome, event.end.ended_by) == ("settle", "answered", "money")
    assert (event.end.billed_s, event.end.server_id) == (PAID_S, 31)


def test_the_hold_of_a_call_that_rang_comes_free_when_its_node_is_back(cell: Cell) -> None:
    """Long before its lease ends, which waits for the longest ringing."""
    call = dial(cell.phone, f"{ABROAD}@a.example")
    cell.edge.acme.send(cell.edge.acme.reply(cell.edge.acme.wait_request("INVITE"), 180, "Ringing"))
    until(lambda: cell.edge.leases() == 1, SOON_S, "the hold")
    cell.edge.node.kill()
    with cell.again():
        until(lambda: cell.edge.leases() == 0, SOON_S, "the hold to be given back")
    (event,) = cell.ends(parse(call.invite.encode()).get("Call-ID"))

    assert (event.kind, event.end.outcome, event.end.reason) == ("release", "unknown_end", "node_lost")


def test_a_bye_that_another_node_gets_ends_the_call_though_its_own_node_lives(cell: Cell) -> None:
    """Its Route names the first node; the token in it says that it is a call of the cell."""
    with second_node(cell) as second:
        _, final = talking(cell.edge, cell.phone)
        until(lambda: cell.edge.node.noc("status")["agent"]["talking"] == 1, SOON_S, "the answer mark")
        cell.phone.send(cell.phone.within("BYE", final, cseq=9), to=second.address)
        assert cell.phone.final().status == 200
        confirm(cell.edge.acme)
        event = the_end(cell, final)

    assert (event.kind, event.end.outcome, event.end.ended_by) == ("settle", "answered", "caller")
