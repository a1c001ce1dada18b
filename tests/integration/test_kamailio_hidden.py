"""A hidden caller stays hidden for the whole call, not only in the INVITE; a real Kamailio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.dialogs import SHORT, confirm, one_caller
from tests.edge import Edge, running_edge
from tests.fakes.world import ABROAD
from tests.sip import SDP, Endpoint, Message, dial, tag, uri

TELLING = (
    "User-Agent: eve-phone",
    "Call-Info: <http://eve.example>",
    "Reply-To: <sip:eve@a.example>",
    "P-Access-Network-Info: eve",
    "Alert-Info: <http://eve.example/ring.wav>",
    "User-to-User: eve;encoding=hex",
    'Warning: 399 eve "busy"',
)
TOLD = ("alice", "eve", "ua@127.0.0.2")


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node."""
    with running_edge(SHORT) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the caller."""
    with one_caller(edge) as endpoint:
        yield endpoint


def nothing_of_him(message: Message) -> bool:
    """Tell whether no header names the caller or his phone."""
    headers = [value for _, value in message.headers]
    return not any(word in value for word in TOLD for value in headers)


def test_all_that_a_hidden_caller_sends_in_the_call_is_clean(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example", extra=("Privacy: id", *TELLING))
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    found = [invite, edge.acme.wait_request("ACK")]
    for cseq, method in ((6, "UPDATE"), (7, "INFO"), (8, "INVITE")):
        phone.send(phone.within(method, final, cseq=cseq, extra=TELLING))
        found.append(edge.acme.wait_request(method))
        edge.acme.send(edge.acme.reply(found[-1], 200, "OK"))
        assert phone.final().status == 200
    phone.send(phone.within("ACK", final, cseq=8, extra=TELLING))
    found.append(edge.acme.wait_request("ACK"))
    phone.send(phone.within("BYE", final, cseq=9, extra=TELLING))
    found.append(confirm(edge.acme))
    assert phone.final().status == 200

    assert [message.start for message in found if not nothing_of_him(message)] == []
    contacts = {uri(message.get("Contact")) for message in found}
    assert contacts == {f"sip:127.0.0.2:{phone.port}"}, "he can still be reached where it says"


@pytest.mark.parametrize("to", ["To", "t"])
def test_his_replies_are_clean(edge: Edge, phone: Endpoint, to: str) -> None:
    call = dial(phone, f"{ABROAD}@a.example", extra=("Privacy: id",))
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")
    for cseq, method in ((3, "INFO"), (4, "UPDATE"), (5, "INVITE"), (6, "BYE")):
        edge.acme.send(edge.acme.back(method, invite, cseq=cseq))
        request = phone.wait_request(method)
        reply = phone.reply(request, 200, "OK", extra=("Server: eve-phone",)).replace("\r\nTo:", f"\r\n{to}:")
        phone.send(reply)

        answer = edge.acme.final()

        assert uri(request.get("To")) == "sip:alice@a.example", "he himself is called as he calls himself"
        assert nothing_of_him(answer), answer
        assert (uri(answer.get("To")), tag(answer.get("To"))) == (uri(invite.get("From")), tag(final.get("From")))
        assert len(answer.all("To")) + len(answer.all("t")) == 1
        if method == "INVITE":
            edge.acme.send(edge.acme.back("ACK", invite, cseq=5))
            phone.wait_request("ACK")


def test_the_line_behind_a_number_that_is_shown_instead_is_not_told(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    call.final()
    edge.acme.wait_request("ACK")

    edge.acme.send(edge.acme.back("BYE", invite, cseq=3))
    phone.send(phone.reply(phone.wait_request("BYE"), 200, "OK"))

    answer = edge.acme.final()
    assert uri(answer.get("To")) == uri(invite.get("From")) != "sip:alice@a.example"
    assert answer.get("Contact"), "nobody asked to hide this"


def test_a_hidden_caller_can_be_asked_and_answered_while_it_rings(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example", extra=("Privacy: id",))
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 183, "Session Progress", extra=("Require: 100rel", "RSeq: 1")))
    while (ringing := phone.receive()).status != 183:
        continue
    phone.send(phone.within("PRACK", ringing, cseq=3, extra=("RAck: 1 2 INVITE", *TELLING)))
    prack = edge.acme.wait_request("PRACK")
    edge.acme.send(edge.acme.reply(prack, 200, "OK"))
    assert phone.final().status == 200
    edge.acme.send(edge.acme.back("UPDATE", invite, cseq=3))
    phone.send(phone.reply(phone.wait_request("UPDATE"), 200, "OK"))

    answer = edge.acme.final()

    edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
    assert call.final().status == 486
    assert nothing_of_him(prack)
    assert nothing_of_him(answer)
