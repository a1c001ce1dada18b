"""A Redis that loses all, or what came after a dump, under calls of a real node: they go on, and the books balance.

Settlement is a stand-in here, which does with what it has read of the stream what tools/settle does with Postgres.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import pytest

from kemi import codec, keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Reservation
from kemi.core.outcome import IN, OUT
from kemi.core.rating import by_fund, charges
from kemi.records import CallEvent
from tests.dialogs import confirm, hang_up, refused, talking
from tests.edge import ACME_HOST, NOWHERE, SOON_S, Edge
from tests.edge_world import LEVELS, load_world, place, set_credit
from tests.fakes.config_writer import ConfigWriter
from tests.fakes.world import ABROAD, CUSTOMER, World
from tests.kamailio_node import running_kamailio
from tests.redis_server import OPTIONS, TIMEOUT_MS, WORKER_PASSWORD, running_redis
from tests.sip import SDP, Endpoint, dial
from tests.wait import until

LONG_S: Final = 15.0
PAID_S: Final = 12
MANY: Final = 10
CREDIT_MICROS: Final = 10_000  # 833 a second
FUNDS: Final = tuple(keys.fund(account, "EUR") for account in LEVELS)
SETTINGS: Final = {"TANDEM_SLICE_S": "8", "TANDEM_GRACE_S": "6", "TANDEM_PART_S": "3"} | {
    "TANDEM_REDIS_TIMEOUT_MS": "1000",  # a busy machine is no outage
}


class Settlement:
    """What stands in for tools/settle and tools/sync. books: all events that it has read, in their order."""

    def __init__(self, edge: Edge, credit_micros: int) -> None:
        self.edge = edge
        self.epoch = 1
        self.books: list[CallEvent] = []
        self._credit_micros = credit_micros
        self._fence = 1
        self._funds = Funds(edge.admin, "settle", 0)

    def read(self) -> None:
        """Read what stands in the stream; what is known already counts once."""
        known = {(event.rid, event.seq, event.kind) for event in self.books}
        entries = self.edge.admin.execute("XRANGE", keys.EVENTS, "-", "+")
        found = [codec.unpack(CallEvent, fields[1]) for _, fields in entries]
        self.books += [event for event in found if (event.rid, event.seq, event.kind) not in known]

    def rebuild(self) -> dict[str, Reservation]:
        """Do what settlement does once Redis has lost something; return what is open then."""
        self.read()
        self._sync()
        self.epoch += 1
        self.edge.admin.execute("DEL", keys.ADOPTED)
        self.edge.admin.execute("SET", keys.BUILDING, self.epoch)
        until(self._is_told, SOON_S, "the node to tell its calls")
        self.edge.admin.execute("DEL", keys.BUILDING)
        held = self._sorted_out()
        for fund in FUNDS:
            self._recount(fund, held)
        self._funds.arm(self.epoch)
        return held

    def charged(self, call_id: str) -> int:
        """Return what the customer's fund was charged for a call, in all that was ever read."""
        self.read()
        events = (event for event in self.books if event.call.call_id == call_id)
        own = keys.fund(CUSTOMER, "EUR")
        return sum(each.amount_micros for event in events for each in event.postings if each.fund == own)

    def assert_balanced(self) -> None:
        """I1 and I2 for funds without open calls: charges are those of the events, each once; nothing is held."""
        self.read()
        postings = [each for event in self.books for each in event.postings]
        for found in self._funds.balances(FUNDS):
            own = [each for each in postings if each.fund == found.fund]
            assert [each.n for each in own] == list(range(1, found.n + 1))
            assert sum(each.amount_micros for each in own) == found.charged_micros
            assert (found.held_micros, found.channels, found.channels_in, found.channels_out) == (0, 0, 0, 0)

    def price(self, call_id: str, billed_s: int) -> int:
        """Return what the customer pays for so many seconds of a call."""
        event = next(event for event in self.books if event.call.call_id == call_id and event.end.answered_ms)
        own = (keys.fund(CUSTOMER, "EUR"),)
        return charges(by_fund(event.call.legs, own), billed_s, event.end.answered_ms)[0]

    def _is_told(self) -> bool:
        told = self.edge.admin.execute("HGET", keys.ADOPTED, "t1")
        return bool(told) and int(told.split()[0]) == self.epoch

    def _sync(self) -> None:
        """Load the configuration once more, as a syncer does that finds another Redis."""
        self._fence += 1
        writer = ConfigWriter(self.edge.admin, self._fence, first_pass=1000 * self._fence)
        writer.load(self.edge.world.records, self.edge.world.rates)
        for account_id in LEVELS:
            set_credit(writer, account_id, self._credit_micros, version=self._fence)

    def _sorted_out(self) -> dict[str, Reservation]:
        """Void what no node told or what has ended; say of the others what the books have of their parts."""
        ended = {event.rid for event in self.books if event.kind in ("settle", "release")}
        found = self._funds.described(self._funds.of_node(limit=1000).rids)
        for rid, each in found.items():
            parts = [event for event in self.books if event.rid == rid and event.kind == "part"]
            if each.adopted_epoch != self.epoch or rid in ended:
                self._funds.void(rid)
            elif each.state == "answered":
                posted = [_sum(parts, fund) for fund in each.funds]
                last = parts[-1] if parts else None
                self._funds.amend(rid, last.seq if last else 0, last.end.billed_s if last else 0, posted)
        rids = self._funds.of_node(limit=1000).rids
        return self._funds.described(rids)

    def _recount(self, fund: str, held: dict[str, Reservation]) -> None:
        own = [(each, each.funds.index(fund)) for each in held.values() if fund in each.funds]
        sides = [each.sides[at] for each, at in own]
        numbers = [each.n for event in self.books for each in event.postings if each.fund == fund]
        self._funds.restore_fund(fund, _sum(self.books, fund), max(numbers, default=0))
        micros = sum(each.held[at] - each.posted[at] for each, at in own)
        self._funds.recount(
            fund, micros, len(own), sum(side & OUT > 0 for side in sides), sum(side & IN > 0 for side in sides)
        )


def _sum(events: list[CallEvent], fund: str) -> int:
    return sum(each.amount_micros for event in events for each in event.postings if each.fund == fund)


@contextmanager
def running(credit_micros: int) -> Iterator[Settlement]:
    """Run a node with a carrier, and the stand-in."""
    with running_redis() as redis, Endpoint(NOWHERE, ACME_HOST) as acme:
        admin, world = RedisClient(redis.url, TIMEOUT_MS), World()
        place(world, acme)
        writer = load_world(admin, world)
        set_credit(writer, CUSTOMER, credit_micros, version=2)
        with running_kamailio(redis.worker_url, env=SETTINGS) as node:
            acme.server = node.address
            edge = Edge(node, redis, admin, writer, acme, acme, world)
            until(lambda: node.noc("status")["agent"], SOON_S, "the agent's first word")
            yield Settlement(edge, credit_micros)
            assert node.counter("exceptions") == 0, node.alarms
            assert (node.noc("status")["agent"]["dead"], node.noc("status")["agent"]["invalid"]) == (0, 0)
        admin.close()


@pytest.fixture
def settlement() -> Iterator[Settlement]:
    """Give money for twelve seconds."""
    with running(CREDIT_MICROS) as made:
        yield made


@pytest.fixture
def phone(settlement: Settlement) -> Iterator[Endpoint]:
    with Endpoint(settlement.edge.node.address, "127.0.0.2") as endpoint:
        yield endpoint


def talked(settlement: Settlement, count: int) -> None:
    """Wait until the node has told so many answers."""
    edge = settlement.edge
    until(lambda: edge.node.noc("status")["agent"]["talking"] == count, SOON_S, f"{count} answer marks")
    until(lambda: len(answered(edge)) == count, SOON_S, "Redis to hear of them")


def answered(edge: Edge) -> list[str]:
    funds = Funds(edge.admin, "test", 0)
    found = funds.described(funds.of_node(limit=1000).rids)
    return [rid for rid, each in found.items() if each.state == "answered"]


def dump(edge: Edge) -> Callable[[], None]:
    """Return what brings back all that stands in Redis now, as the restart on an old dump does."""
    rows = [(name, edge.admin.execute("DUMP", name)) for name in edge.admin.execute("KEYS", "*")]

    def restore() -> None:
        """At once, as a Redis that loads its dump answers nobody: the node writes whenever it can."""
        edge.admin.executes(
            [("MULTI",), ("FLUSHALL",), *(("RESTORE", name, 0, value) for name, value in rows), ("EXEC",)]
        )
        for source in redis_functions.sources().values():
            edge.admin.execute("FUNCTION", "LOAD", "REPLACE", source)

    return restore


def parts_of(settlement: Settlement, call_id: str) -> list[int]:
    settlement.read()
    events = [event for event in settlement.books if event.call.call_id == call_id and event.kind == "part"]
    return [event.end.billed_s for event in events]


def end_of(settlement: Settlement, call_id: str) -> CallEvent:
    """Wait for the one event that ends a call."""

    def ends() -> list[CallEvent]:
        return [event for event in settlement.edge.events(call_id) if event.kind != "part"]

    until(ends, LONG_S, "the end to be told")
    (event,) = ends()
    return event


def test_a_call_outlives_an_emptied_redis_and_ends_with_its_money(settlement: Settlement, phone: Endpoint) -> None:
    """Both sides hear BYE at the paid second since the 200; what it had paid before the loss is not paid again."""
    _, final = talking(settlement.edge, phone)
    call_id = final.get("Call-ID")
    until(lambda: parts_of(settlement, call_id) == [3], SOON_S, "the first part")
    settlement.edge.admin.execute("FLUSHALL")
    (held,) = settlement.rebuild().values()
    assert (held.state, held.posted[held.funds.index(keys.fund(CUSTOMER, "EUR"))]) == ("answered", 2_500)

    confirm(settlement.edge.acme, LONG_S)
    confirm(phone, LONG_S)
    event = end_of(settlement, call_id)
    assert (event.kind, event.end.ended_by, event.end.billed_s) == ("settle", "money", PAID_S)
    assert PAID_S * 1000 <= event.end.talk_ms <= PAID_S * 1000 + 1000
    assert settlement.charged(call_id) == CREDIT_MICROS
    assert parts_of(settlement, call_id) == [3, 6, 9]
    settlement.assert_balanced()


def test_a_call_outlives_an_old_dump(settlement: Settlement, phone: Endpoint) -> None:
    """Of before its answer. Its node knows better than Redis, and Postgres what it has paid."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = settlement.edge.acme.wait_request("INVITE")
    until(lambda: settlement.edge.leases() == 1, SOON_S, "the hold")
    restore = dump(settlement.edge)
    settlement.edge.acme.send(settlement.edge.acme.reply(invite, 200, "OK", body=SDP))
    call_id = call.final().get("Call-ID")
    settlement.edge.acme.wait_request("ACK")
    until(lambda: parts_of(settlement, call_id) == [3], SOON_S, "the first part")
    restore()
    (held,) = settlement.rebuild().values()
    assert (held.state, held.billed_s, held.adopted_epoch) == ("answered", 3, 2)

    confirm(settlement.edge.acme, LONG_S)
    confirm(phone, LONG_S)
    assert end_of(settlement, call_id).end.billed_s == PAID_S
    assert settlement.charged(call_id) == CREDIT_MICROS
    settlement.assert_balanced()


def test_a_call_that_rings_while_redis_is_emptied_is_answered_and_paid(settlement: Settlement, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    edge = settlement.edge
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
    until(lambda: edge.leases() == 1, SOON_S, "the hold")
    edge.admin.execute("FLUSHALL")
    (held,) = settlement.rebuild().values()
    assert (held.state, held.node) == ("held", "t1")

    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")
    talked(settlement, 1)
    hang_up(edge, phone, final)
    event = end_of(settlement, final.get("Call-ID"))
    assert (event.kind, event.epoch, event.end.outcome) == ("settle", 2, "answered")
    assert settlement.charged(final.get("Call-ID")) == settlement.price(final.get("Call-ID"), event.end.billed_s) > 0
    settlement.assert_balanced()


def test_calls_are_taken_again_and_refused_while_redis_is_not_right(settlement: Settlement, phone: Endpoint) -> None:
    """The money of a running call stays held: what it may still talk is not sold a second time."""
    _, final = talking(settlement.edge, phone)
    talked(settlement, 1)
    settlement.read()
    settlement.edge.admin.execute("FLUSHALL")
    with settlement.edge.phone("127.0.0.3") as other:
        invite = other.request("INVITE", f"sip:{ABROAD}@a.example", caller="sip:alice@a.example", body=SDP)
        assert refused(other, invite) == 503
        settlement.rebuild()
        first_s = _talk_s(settlement)
        call = dial(other, f"{ABROAD}@a.example")
        asked = settlement.edge.acme.wait_request("INVITE")
        assert _talk_s(settlement) <= PAID_S
        settlement.edge.acme.send(settlement.edge.acme.reply(asked, 486, "Busy Here"))
        assert call.final().status == 486
    assert first_s >= 8
    hang_up(settlement.edge, phone, final)
    end_of(settlement, final.get("Call-ID"))
    settlement.edge.wait_idle()
    settlement.assert_balanced()


def _talk_s(settlement: Settlement) -> int:
    """Return how many seconds are held by all calls together."""
    funds = Funds(settlement.edge.admin, "test", 0)
    return sum(each.granted_s for each in funds.described(funds.of_node(limit=1000).rids).values())


def test_an_end_that_redis_has_forgotten_is_told_again(settlement: Settlement, phone: Endpoint) -> None:
    """It was acknowledged, and nobody had read it: Postgres posts it as a late one."""
    _, final = talking(settlement.edge, phone)
    talked(settlement, 1)
    hang_up(settlement.edge, phone, final)
    lost = end_of(settlement, final.get("Call-ID"))
    settlement.edge.admin.execute("FLUSHALL")
    assert settlement.rebuild() == {}
    event = end_of(settlement, final.get("Call-ID"))
    assert (event.kind, event.end) == ("late", lost.end)
    settlement.assert_balanced()


def test_a_call_that_ends_while_redis_is_replaced_is_settled_once(settlement: Settlement, phone: Endpoint) -> None:
    """Redis is killed, the caller hangs up, and a new one comes: what the call costs is held until it is charged."""
    edge = settlement.edge
    _, final = talking(edge, phone)
    talked(settlement, 1)
    settlement.read()
    subprocess.run(["kill", "-9", str(edge.redis.pid)], check=True)
    hang_up(edge, phone, final)
    until(lambda: edge.node.noc("status")["agent"]["spool"] == 1, SOON_S, "the end to be spooled")
    with _another_redis(edge):
        (held,) = settlement.rebuild().values()
        event = end_of(settlement, final.get("Call-ID"))
        assert (event.kind, event.end.billed_s) == ("settle", held.granted_s)
        price = settlement.charged(final.get("Call-ID"))
        assert price == max(held.held) == settlement.price(final.get("Call-ID"), held.granted_s)
        assert edge.node.noc("status")["agent"]["ends_told_again"] == 0
        settlement.assert_balanced()


@contextmanager
def _another_redis(edge: Edge) -> Iterator[None]:
    """Run an empty Redis where the killed one was."""
    socket = edge.redis.folder / "redis.sock"
    words = ["redis-server", *OPTIONS, "--dir", str(edge.redis.folder), "--unixsocket", str(socket)]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as process:
        try:
            until(lambda: _prepared(edge.redis.url), SOON_S, "the new Redis")
            yield
        finally:
            process.kill()


def _prepared(url: str) -> bool:
    """Give a new Redis our user and functions; return whether that went well."""
    client = RedisClient(url, TIMEOUT_MS)
    try:
        client.execute("ACL", "SETUSER", "worker", *redis_functions.worker_acl(WORKER_PASSWORD))
        redis_functions.load(client)
    except Exception:  # noqa: BLE001  it is not there yet
        return False
    finally:
        client.close()
    return True


def test_many_ringing_calls_are_told_within_a_second() -> None:
    """From the call of settlement to an armed Redis, that is: the node looks ten times a second."""
    with running(10**9) as settlement:
        edge = settlement.edge
        with edge.phone("127.0.0.2") as phone:
            calls = [dial(phone, f"{ABROAD}@a.example") for _ in range(MANY)]
            invites = [edge.acme.wait_request("INVITE") for _ in calls]
            until(lambda: edge.leases() == MANY, LONG_S, "all holds")
            edge.admin.execute("FLUSHALL")
            began_s = time.monotonic()
            assert len(settlement.rebuild()) == MANY
            assert time.monotonic() - began_s < 5
            for invite in invites:
                edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
            edge.wait_idle()
            settlement.assert_balanced()
