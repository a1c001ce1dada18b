"""Calls through a real Kamailio, with the real money functions of a real Redis; phones and carriers are UDP sockets."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from kemi import keys
from kemi.records import Account, AccountKind, Status
from tests.dialogs import drained
from tests.edge import Edge, running_edge, tried
from tests.edge_world import set_credit
from tests.fakes.world import ABROAD, BOB_NUMBER, CUSTOMER, DEALER, TRUNK
from tests.sip import SDP, Call, Endpoint, Message, dial, parse, register, tag, uri
from tests.wait import until

SLICE_S = 2


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node with short slices and little ringing for all tests of this file."""
    with running_edge({"TANDEM_SLICE_S": str(SLICE_S), "TANDEM_RING_MAX_S": "3", "TANDEM_GRACE_S": "2"}) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the caller's endpoint; after the test nothing may be held any more, and Python may not have failed."""
    before = len(edge.node.alarms)
    with edge.phone() as endpoint:
        yield endpoint
    edge.wait_idle()
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    assert edge.node.alarms[before:] == []


def call_id(call: Call) -> str:
    return parse(call.invite.encode()).get("Call-ID")


def answered(call: Call, carrier: Endpoint, via: tuple[str, ...] = ()) -> tuple[Message, Message]:
    """Let the carrier answer the call; return the INVITE it got and the 200 that the caller got."""
    invite = carrier.wait_request("INVITE")
    carrier.send(carrier.reply(invite, 180, "Ringing"))
    carrier.send(carrier.reply(invite, 200, "OK", body=SDP, via=via))
    final = call.final()
    assert final.status == 200
    assert carrier.wait_request("ACK").ruri == carrier.contact
    return invite, final


def refuse(carrier: Endpoint, status: int, phrase: str) -> Message:
    invite = carrier.wait_request("INVITE")
    carrier.send(carrier.reply(invite, status, phrase))
    carrier.wait_request("ACK")
    return invite


def hang_up(phone: Endpoint, final: Message, other: Endpoint) -> Message:
    phone.send(phone.within("BYE", final, cseq=9))
    bye = other.wait_request("BYE")
    other.send(other.reply(bye, 200, "OK"))
    assert phone.final().status == 200
    return bye


def test_a_call_is_held_answered_and_settled_at_every_level(edge: Edge, phone: Endpoint) -> None:
    before = {balance.fund: balance.charged_micros for balance in edge.balances()}
    call = dial(phone, f"{ABROAD}@a.example")
    _, final = answered(call, edge.acme)
    hang_up(phone, final, edge.acme)

    event = edge.event(call_id(call))

    assert event.kind == "settle"
    assert (event.end.outcome, event.end.ended_by, event.end.server_id, event.end.billed_s) == (
        "answered",
        "caller",
        31,
        1,
    )
    assert event.end.talk_ms < 1000
    charged = {p.fund: p.amount_micros for p in event.postings}
    assert charged == {"5:EUR": 834, "3:EUR": 500, "2:EUR": 334}
    after = {balance.fund: balance for balance in edge.balances()}
    assert all(after[fund].charged_micros == before[fund] + micros for fund, micros in charged.items())
    assert all(balance.held_micros == 0 and balance.channels == 0 for balance in after.values())


def test_the_carrier_gets_its_form_of_the_numbers_and_no_credentials(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, "0033140000000@a.example", extra=("X-Tandem-Trace: mine", "X-Other: yours"))

    invite, final = answered(call, edge.acme)
    bye = hang_up(phone, final, edge.acme)

    assert invite.ruri.startswith(f"sip:0033140000000@{edge.acme.host}")
    assert uri(invite.get("From")) == "sip:+442070000001@a.example"
    assert invite.all("P-Asserted-Identity") == ["<sip:+442070000001@a.example>"]
    assert not invite.get("Proxy-Authorization")
    assert not invite.get("X-Tandem-Trace")
    assert invite.get("X-Other") == "yours"
    assert uri(final.get("From")) == "sip:alice@a.example"
    assert uri(bye.get("From")) == "sip:+442070000001@a.example", "a carrier hears of one caller only"


def test_the_record_route_does_not_tell_whom_the_from_hides(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")

    invite, final = answered(call, edge.acme)
    hang_up(phone, final, edge.acme)

    assert "vsf=" not in invite.get("Record-Route")
    assert "tdm=" in invite.get("Record-Route")


def test_a_503_goes_on_to_the_next_carrier(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 503, "No Circuits")

    invite, final = answered(call, edge.bell)
    bye = hang_up(phone, final, edge.bell)

    assert invite.all("From")[0].count("sip:") == 1, "edits of the first carrier do not stick"
    assert uri(invite.get("From")) == "sip:442070000001@a.example"
    assert uri(bye.get("From")) == "sip:442070000001@a.example"
    end = edge.event(call_id(call)).end
    assert end.server_id == 41
    assert tried(end) == [(31, 503, ""), (41, 200, "")]
    assert all(0 < each.asked_ms <= each.ended_ms for each in end.attempts)
    assert [each.pdd_ms >= 0 for each in end.attempts] == [False, True]


def test_a_silent_carrier_is_left_for_the_next(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    edge.acme.wait_request("INVITE")

    _, final = answered(call, edge.bell)
    hang_up(phone, final, edge.bell)

    assert tried(edge.event(call_id(call)).end) == [(31, 408, ""), (41, 200, "")]
    drained(edge.acme)


def test_busy_is_final(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 486, "Busy Here")

    final = call.final()
    assert (final.status, final.all("Reason")) == (486, ["Q.850;cause=17"])
    assert edge.bell.silent()
    event = edge.event(call_id(call))
    assert (event.kind, event.end.outcome, event.end.status, event.end.reason) == (
        "release",
        "failed",
        486,
        "called_busy",
    )


@pytest.mark.parametrize("status", [401, 407])
def test_a_carriers_challenge_never_reaches_the_caller(edge: Edge, phone: Endpoint, status: int) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, status, "Who Are You")
    refuse(edge.bell, status, "Who Are You")

    final = call.final()

    assert (final.status, final.all("Reason")) == (503, ["Q.850;cause=41"])
    assert not final.get("WWW-Authenticate")
    assert not final.get("Proxy-Authenticate")


def test_ringing_too_long_is_no_reason_to_ring_elsewhere(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))

    assert call.final().status == 480
    cancel = edge.acme.wait_request("CANCEL")
    edge.acme.send(edge.acme.reply(cancel, 200, "OK"))
    edge.acme.send(edge.acme.reply(invite, 487, "Request Terminated"))
    edge.acme.wait_request("ACK")
    assert edge.bell.silent()
    assert edge.event(call_id(call)).end.reason == "no_answer"


def test_hanging_up_while_it_rings_releases_the_hold(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
    assert phone.receive().status == 100
    assert phone.receive().status == 180
    assert edge.leases() == 1

    call.cancel()
    cancel = edge.acme.wait_request("CANCEL")
    edge.acme.send(edge.acme.reply(cancel, 200, "OK"))
    edge.acme.send(edge.acme.reply(invite, 487, "Request Terminated"))
    finals = {answer.method: answer for answer in (phone.final(), phone.final())}
    phone.ack(call.invite, finals["INVITE"])
    assert (finals["CANCEL"].status, finals["INVITE"].status) == (200, 487)

    event = edge.event(call_id(call))
    assert (event.kind, event.end.outcome, event.end.ended_by) == ("release", "cancelled", "caller")


def test_a_call_talks_on_over_many_slices_and_pays_for_all(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    _, final = answered(call, edge.acme)
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 2.2 * SLICE_S, 4 * SLICE_S, "more than two slices")

    hang_up(phone, final, edge.acme)

    event = edge.event(call_id(call))
    assert event.end.billed_s == 5
    assert {p.fund: p.amount_micros for p in event.postings} == {"5:EUR": 4167, "3:EUR": 2500, "2:EUR": 1667}


def test_the_end_of_money_ends_the_call_on_both_sides(edge: Edge, phone: Endpoint) -> None:
    """3 seconds at 50,000 a minute are paid for; a slice and a part of the next."""
    charged = next(b.charged_micros for b in edge.balances() if b.fund == "5:EUR")
    set_credit(edge.writer, CUSTOMER, charged + 2500, version=2)
    call = dial(phone, f"{ABROAD}@a.example")
    hop = f"<sip:{edge.acme.host}:{edge.acme.port};lr;hop=carrier>"
    _, final = answered(call, edge.acme, via=(hop,))
    began = time.monotonic()

    to_called, to_caller = edge.acme.wait_request("BYE", 6), phone.wait_request("BYE", 6)

    lasted_s = time.monotonic() - began
    assert 2.9 < lasted_s < 5
    edge.acme.send(edge.acme.reply(to_called, 200, "OK"))
    phone.send(phone.reply(to_caller, 200, "OK"))
    assert to_called.ruri == edge.acme.contact
    assert to_called.all("Route") == [hop]
    assert uri(to_called.get("From")) == "sip:+442070000001@a.example"
    assert tag(to_called.get("To")) == f"t{edge.acme.port}"
    assert to_caller.ruri == phone.contact
    assert uri(to_caller.get("To")) == "sip:alice@a.example"
    assert tag(to_caller.get("From")) == tag(final.get("To"))
    event = edge.event(call_id(call))
    assert (event.end.ended_by, event.end.billed_s) == ("money", 3)
    assert {p.fund: p.amount_micros for p in event.postings}["5:EUR"] == 2500
    set_credit(edge.writer, CUSTOMER, 1_000_000_000, version=3)


def test_requests_inside_a_call_pass_both_ways(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite, final = answered(call, edge.acme)
    for cseq, method in enumerate(("UPDATE", "INFO"), start=3):
        phone.send(phone.within(method, final, cseq=cseq))
        inner = edge.acme.wait_request(method)
        edge.acme.send(edge.acme.reply(inner, 200, "OK"))
        assert phone.final().method == method
    for cseq, method in enumerate(("UPDATE", "INFO"), start=1):
        edge.acme.send(edge.acme.back(method, invite, cseq=cseq))
        inner = phone.wait_request(method)
        assert uri(inner.get("To")) == "sip:alice@a.example", "the caller sees his own From"
        phone.send(phone.reply(inner, 200, "OK"))
        assert edge.acme.final().method == method
    phone.send(phone.within("INVITE", final, cseq=7, body=SDP))
    again = edge.acme.wait_request("INVITE")
    assert uri(again.get("From")) == "sip:+442070000001@a.example"
    edge.acme.send(edge.acme.reply(again, 200, "OK", body=SDP))
    assert phone.final().status == 200
    phone.send(phone.within("ACK", final, cseq=7))
    edge.acme.wait_request("ACK")

    edge.acme.send(edge.acme.back("BYE", invite, cseq=3))
    bye = phone.wait_request("BYE")
    phone.send(phone.reply(bye, 200, "OK"))
    assert edge.acme.final().status == 200

    assert edge.event(call_id(call)).end.ended_by == "callee"


def test_a_reliable_provisional_answer_is_acknowledged_end_to_end(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 183, "Progress", extra=("Require: 100rel", "RSeq: 1")))
    assert phone.receive().status == 100
    progress = phone.receive()
    assert progress.get("RSeq") == "1"

    phone.send(phone.within("PRACK", progress, cseq=3, extra=("RAck: 1 2 INVITE",)))
    prack = edge.acme.wait_request("PRACK")
    edge.acme.send(edge.acme.reply(prack, 200, "OK"))

    assert phone.final().method == "PRACK"
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")
    hang_up(phone, final, edge.acme)


def test_a_registered_phone_is_reached(edge: Edge, phone: Endpoint) -> None:
    with edge.phone() as bob:
        assert register(bob, "bob@a.example").status == 200
        call = dial(phone, f"{BOB_NUMBER}@a.example")
        invite, final = answered(call, bob)
        hang_up(phone, final, bob)
        assert invite.ruri == bob.contact
        register(bob, "bob@a.example", expires_s=0)
    event = edge.event(call_id(call))
    assert (event.call.direction, event.postings) == ("internal", ())


def test_a_phone_that_is_not_registered_is_offline(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{BOB_NUMBER}@a.example")

    assert call.final().status == 480
    assert edge.event(call_id(call)).end.outcome == "failed"


def test_a_refused_call_leaves_an_event_that_names_the_level(edge: Edge, phone: Endpoint) -> None:
    charged = next(b.charged_micros for b in edge.balances() if b.fund == "5:EUR")
    set_credit(edge.writer, CUSTOMER, charged, version=4)
    call = dial(phone, f"{ABROAD}@a.example")

    final = call.final()

    assert (final.status, final.get("Reason")) == (402, "Q.850;cause=21")
    event = edge.event(call_id(call))
    assert (event.kind, event.end.reason) == ("refused", "no_credit")
    assert "hold refused by level 1 account 5: credit" in event.call.trace
    set_credit(edge.writer, CUSTOMER, 1_000_000_000, version=5)


def test_a_change_of_configuration_counts_from_the_next_call_on(edge: Edge, phone: Endpoint) -> None:
    """Every worker has the account cached; the hold tells it that it has changed, and it decides once more.

    A call that it would refuse is never held: it asks whether that is still true, so the account calls again at once.
    """
    for _ in range(8):
        assert_busy(edge, phone)
    account = keys.account(CUSTOMER)
    stale = edge.node.counter("stale_decisions")
    edge.writer.write({account: customer(Status.SUSPENDED)})
    edge.writer.finish()

    answers = {dial(phone, f"{ABROAD}@a.example").final().status for _ in range(4)}

    assert answers == {403}
    assert edge.node.counter("stale_decisions") > stale
    edge.writer.write({account: customer(Status.ACTIVE)})
    edge.writer.finish()
    for _ in range(8):
        assert_busy(edge, phone)


def assert_busy(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 486, "Busy Here")
    assert call.final().status == 486


def customer(status: Status) -> Account:
    return Account(CUSTOMER, DEALER, AccountKind.CUSTOMER, status, "account 5", "EUR", 50, "UTC")


def test_a_trusted_address_calls_without_a_password(edge: Edge) -> None:
    with edge.phone("127.1.3.5") as pbx:
        invite = pbx.request("INVITE", f"sip:{ABROAD}@pbx.example", caller="sip:442070000010@pbx.example", body=SDP)
        pbx.send(invite)
        _, final = answered(Call(pbx, invite), edge.acme)
        hang_up(pbx, final, edge.acme)

    event = edge.event(final.get("Call-ID"))
    assert (event.call.source, event.end.outcome) == (TRUNK, "answered")


def test_a_carrier_reaches_a_registered_phone_by_its_number(edge: Edge) -> None:
    with edge.phone("127.1.4.7") as carrier, edge.phone() as bob:
        assert register(bob, "bob@a.example").status == 200
        invite = carrier.request("INVITE", f"sip:{BOB_NUMBER}@tandem.example", caller="sip:+33199@c.example", body=SDP)
        carrier.send(invite)
        got, final = answered(Call(carrier, invite), bob)
        hang_up(carrier, final, bob)
        assert got.ruri == bob.contact

    event = edge.event(final.get("Call-ID"))
    assert (event.call.direction, event.postings) == ("in", ())


def test_a_warm_call_costs_one_round_trip(edge: Edge, phone: Endpoint) -> None:
    """Budget of the design: the hold, and nothing at CANCEL, ACK or BYE. All workers are warmed first."""
    for _ in range(8):
        call = dial(phone, f"{ABROAD}@a.example")
        refuse(edge.acme, 486, "Busy Here")
        assert call.final().status == 486
    before = edge.node.counter("round_trips")
    for _ in range(4):
        call = dial(phone, f"{ABROAD}@a.example")
        _, final = answered(call, edge.acme)
        hang_up(phone, final, edge.acme)

    assert edge.node.counter("round_trips") - before == 4
