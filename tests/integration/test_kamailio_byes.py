"""The end of money cannot be disarmed: our BYE finds the other side, above every CSeq, until it is out."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kemi.agent_closing import OTHERS_LEAP
from kemi.core.sides import CSEQ_OURS
from tests.dialogs import CALLER, LONG_S, SHORT, confirm, one_caller, refused, talking
from tests.edge import Edge, running_edge
from tests.edge_world import set_credit
from tests.fakes.world import ABROAD, CUSTOMER
from tests.sip import SDP, Endpoint, Message, dial


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node for all tests of this file."""
    with running_edge(SHORT) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the caller's endpoint; nothing may be left after the test."""
    with one_caller(edge) as endpoint:
        yield endpoint


def short_of_money(edge: Edge, version: int) -> None:
    """Leave the customer three seconds."""
    charged = next(b.charged_micros for b in edge.balances() if b.fund == "5:EUR")
    set_credit(edge.writer, CUSTOMER, charged + 2500, version=version)


VERSION = iter(range(2, 100))


@pytest.fixture
def poor(edge: Edge) -> Iterator[None]:
    """Let the caller's money last for three seconds."""
    short_of_money(edge, next(VERSION))
    yield
    set_credit(edge.writer, CUSTOMER, 1_000_000_000, version=next(VERSION))


def ended_by_money(edge: Edge, phone: Endpoint, final: Message) -> Message:
    """Wait for our BYEs; return the carrier's."""
    to_carrier = confirm(edge.acme, LONG_S)
    confirm(phone)
    assert edge.event(final.get("Call-ID")).end.ended_by == "money"
    return to_carrier


@pytest.mark.usefixtures("poor")
@pytest.mark.parametrize("method", ["UPDATE", "INVITE"])
def test_the_caller_cannot_move_the_other_side(edge: Edge, phone: Endpoint, method: str) -> None:
    invite, final = talking(edge, phone)
    with edge.phone(CALLER) as sink:
        forged = edge.acme.back(method, invite, cseq=7).replace(edge.acme.contact, sink.contact)
        phone.send(forged.replace(f"{edge.acme.host}:{edge.acme.port};branch", f"{CALLER}:{phone.port};branch"))
        got = phone.wait_request(method)
        phone.send(phone.reply(got, 200, "OK"))

        assert ended_by_money(edge, phone, final).ruri == edge.acme.contact
        assert sink.silent()


@pytest.mark.usefixtures("poor")
def test_our_bye_is_above_every_cseq_seen(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    phone.send(phone.within("INFO", final, cseq=2_000_000_000))
    info = edge.acme.wait_request("INFO")
    edge.acme.send(edge.acme.reply(info, 200, "OK"))
    assert phone.final().status == 200
    assert refused(phone, phone.within("INFO", final, cseq=3)) == 500
    assert refused(phone, phone.within("INFO", final, cseq=2**31 - 1)) == 500

    assert ended_by_money(edge, phone, final).get("CSeq") == f"{2_000_000_000 + CSEQ_OURS} BYE"


@pytest.mark.usefixtures("poor")
def test_our_bye_that_is_refused_is_repeated_with_a_higher_cseq(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    first = edge.acme.wait_request("BYE", LONG_S)
    edge.acme.send(edge.acme.reply(first, 500, "Out Of Order"))

    second = ended_by_money(edge, phone, final)

    assert (first.get("CSeq"), second.get("CSeq")) == (
        f"{2 + CSEQ_OURS} BYE",
        f"{3 + CSEQ_OURS + OTHERS_LEAP} BYE",
    )


@pytest.mark.usefixtures("poor")
@pytest.mark.parametrize(
    "contact",
    [
        "",
        "Contact: <sip:x@nohost.invalid>\r\n",
        "Contact: <sip:\xff\xfe@127.0.0.1:9>\r\n",
        "Contact: <sips:x@127.0.0.1:9>\r\n",
        "Contact: <sip:x@127.0.0.1:9;transport=tls>\r\n",
        "Contact: *\r\n",
    ],
)
def test_our_bye_finds_its_way_without_a_contact(edge: Edge, phone: Endpoint, contact: str) -> None:
    dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    answer = edge.acme.reply(invite, 200, "OK", body=SDP)
    edge.acme.send(answer.replace(f"Contact: <{edge.acme.contact}>\r\n", contact, 1).encode("latin-1"))
    final = phone.final()
    routes = "".join(f"Route: {route}\r\n" for route in reversed(final.all("Record-Route")))
    ack = phone.within("ACK", final, cseq=2).replace("ACK  SIP", "ACK sip:x@127.0.0.1 SIP", 1)
    assert routes
    phone.send(re.sub(r"^ACK \S+ ", "ACK sip:x@127.0.0.1 ", ack))
    edge.acme.wait_request("ACK")

    ended_by_money(edge, phone, final)
