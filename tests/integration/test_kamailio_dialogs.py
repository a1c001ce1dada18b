"""Hostile requests inside a call: what ends a call in our books ends it on the wire, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from kemi.core.sides import CSEQ_OURS
from tests.dialogs import CALLER, SHORT, confirm, drained, hang_up, methods, one_caller, refused, talking
from tests.edge import Edge, running_edge
from tests.sip import Endpoint, uri


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


def foreign_call_id(text: str) -> str:
    return text.replace("Call-ID: ", "Call-ID: foreign-")


def other_from_tag(text: str) -> str:
    return re.sub(r"(From: [^\r]*;tag=)", r"\1x", text)


def other_to_tag(text: str) -> str:
    return re.sub(r"(To: [^\r]*;tag=)", r"\1x", text)


@pytest.mark.parametrize("spoil", [foreign_call_id, other_from_tag, other_to_tag])
@pytest.mark.parametrize("method", ["BYE", "INFO"])
def test_a_token_with_another_call_id_or_tag_reaches_and_ends_nothing(
    edge: Edge, phone: Endpoint, spoil: object, method: str
) -> None:
    _, final = talking(edge, phone)

    assert callable(spoil)
    assert refused(phone, spoil(phone.within(method, final, cseq=5))) == 481

    assert edge.acme.silent()
    assert edge.events(final.get("Call-ID")) == []
    hang_up(edge, phone, final)
    assert edge.event(final.get("Call-ID")).end.ended_by == "caller"


@pytest.mark.parametrize("cseq", [1, 2])
def test_a_bye_with_a_low_cseq_ends_nothing(edge: Edge, phone: Endpoint, cseq: int) -> None:
    """The INVITE had 2; the other side would refuse this BYE and talk on, unpaid."""
    _, final = talking(edge, phone)

    assert refused(phone, phone.within("BYE", final, cseq=cseq)) == 500

    assert edge.acme.silent()
    assert edge.events(final.get("Call-ID")) == []
    hang_up(edge, phone, final)


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "UPDATE"])
def test_a_request_inside_a_call_goes_to_the_other_side_whatever_its_uri(
    edge: Edge, phone: Endpoint, method: str
) -> None:
    _, final = talking(edge, phone)
    with edge.phone() as sink:
        text = phone.within(method, final, cseq=5)
        phone.send(text.replace(f"{method} {edge.acme.contact}", f"{method} {sink.contact}", 1))
        got = edge.acme.wait_request(method)
        edge.acme.send(edge.acme.reply(got, 200, "OK"))
        assert got.ruri == edge.acme.contact
        assert phone.final().status == 200
        assert sink.silent()
    if method == "INVITE":
        phone.send(phone.within("ACK", final, cseq=5).replace(edge.acme.contact, "sip:778@127.0.0.3", 1))
        assert edge.acme.wait_request("ACK").ruri == edge.acme.contact
    if method != "BYE":
        hang_up(edge, phone, final)
    assert edge.event(final.get("Call-ID")).end.ended_by == "caller"


def test_a_bye_by_another_route_ends_the_call_on_both_sides(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    with edge.phone() as sink:
        text = phone.within("BYE", final, cseq=5)
        phone.send(text.replace("\r\nContent-Length", f"\r\nRoute: <{sink.contact};lr>\r\nContent-Length", 1))
        assert phone.final().status == 200
        assert confirm(edge.acme).ruri == edge.acme.contact
        confirm(phone)
        assert sink.silent()
    assert edge.event(final.get("Call-ID")).end.ended_by == "caller"


def test_a_bye_that_the_other_side_refuses_is_followed_by_ours(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    phone.send(phone.within("BYE", final, cseq=5))
    first = edge.acme.wait_request("BYE")
    edge.acme.send(edge.acme.reply(first, 500, "Out Of Order"))
    assert phone.final().status == 200, "who says BYE is out, whatever the other side says"

    second = confirm(edge.acme)

    assert int(second.get("CSeq").split()[0]) > 5
    assert second.ruri == edge.acme.contact
    assert methods(drained(edge.acme, 1.5)) == []
    assert edge.event(final.get("Call-ID")).end.outcome == "answered"


def test_a_bye_that_the_other_side_never_hears_is_followed_by_ours(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    phone.send(phone.within("BYE", final, cseq=5))
    bye = unheard = edge.acme.wait_request("BYE")
    while bye.get("CSeq") == "5 BYE":
        bye = edge.acme.wait_request("BYE")
    edge.acme.send(edge.acme.reply(bye, 200, "OK"))

    assert bye.get("CSeq") == f"{5 + CSEQ_OURS} BYE"
    edge.acme.send(edge.acme.reply(unheard, 481, "No Such Call"))
    assert phone.final().status == 481
    assert edge.event(final.get("Call-ID")).end.outcome == "answered"


def test_a_bye_in_the_name_of_the_other_side_ends_the_call_there_too(edge: Edge, phone: Endpoint) -> None:
    invite, final = talking(edge, phone)
    forged = edge.acme.back("BYE", invite, cseq=7).replace(
        f"{edge.acme.host}:{edge.acme.port};branch", f"{CALLER}:{phone.port};branch"
    )
    phone.send(forged)
    confirm(phone)

    assert confirm(edge.acme).ruri == edge.acme.contact
    assert edge.event(final.get("Call-ID")).end.ended_by == "callee"
    for message in drained(phone, 1.2):
        if not message.status:
            phone.send(phone.reply(message, 200, "OK"))


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "OPTIONS", "REGISTER", "BYE", "ACK", "REFER", "INFO"])
def test_the_token_of_a_call_that_is_over_opens_nothing(edge: Edge, phone: Endpoint, method: str) -> None:
    _, final = talking(edge, phone)
    hang_up(edge, phone, final)
    text = phone.within(method, final, cseq=60)
    with edge.phone() as sink:
        for ruri in (edge.acme.contact, sink.contact):
            phone.send(
                text.replace(f"{method} {edge.acme.contact}", f"{method} {ruri}", 1).replace(
                    "branch=", "branch=z9hG4bKx"
                )
            )
            if method != "ACK":
                assert phone.final().status == 481
        assert sink.silent()
    assert edge.acme.silent()
    with edge.phone() as stranger:
        route = f"Route: {final.get('Record-Route')}"
        stranger.send(stranger.request(method, edge.acme.contact, to_tag="zzz", extra=(route,)))
        assert method == "ACK" or stranger.final().status == 481
    assert edge.acme.silent()


def test_credentials_and_identities_stay_here_inside_a_call_too(edge: Edge, phone: Endpoint) -> None:
    _, final = talking(edge, phone)
    extra = (
        'Proxy-Authorization: Digest username="leak"',
        'Authorization: Digest username="leak"',
        "P-Asserted-Identity: <sip:+441@x>",
        "P-Preferred-Identity: <sip:+441@x>",
        "Remote-Party-ID: <sip:+441@x>",
        "Diversion: <sip:+441@x>",
        "History-Info: <sip:+441@x>",
        "X-Tandem-Rid: 1",
        "X-Other: yours",
    )
    for cseq, method in enumerate(("INFO", "BYE"), start=5):
        phone.send(phone.within(method, final, cseq=cseq, extra=extra))
        got = edge.acme.wait_request(method)
        edge.acme.send(edge.acme.reply(got, 200, "OK"))
        assert phone.final().status == 200
        assert [name for line in extra[:-1] if (name := line.partition(":")[0]) if got.get(name)] == []
        assert got.get("X-Other") == "yours"
        assert uri(got.get("From")) == "sip:+442070000001@a.example"


@pytest.mark.parametrize("status", [401, 407])
def test_a_challenge_inside_a_call_is_not_passed_on(edge: Edge, phone: Endpoint, status: int) -> None:
    _, final = talking(edge, phone)
    phone.send(phone.within("INFO", final, cseq=5))
    got = edge.acme.wait_request("INFO")
    challenge = ('WWW-Authenticate: Digest realm="c", nonce="n"', 'Proxy-Authenticate: Digest realm="c", nonce="n"')
    edge.acme.send(edge.acme.reply(got, status, "Who Are You", extra=challenge))

    answer = phone.final()

    assert (answer.status, answer.get("WWW-Authenticate"), answer.get("Proxy-Authenticate")) == (403, "", "")
    hang_up(edge, phone, final)
