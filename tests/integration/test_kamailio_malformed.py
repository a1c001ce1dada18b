"""Malformed heads of messages, and headers that we interpret in every spelling, before a real Kamailio."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kemi.adapters.ksr_read import HEAD_MAX, LINES_MAX
from tests.dialogs import confirm
from tests.edge import Edge, running_edge
from tests.fakes.world import ABROAD
from tests.sip import SDP, Endpoint, Message, dial, parse

RURI = f"sip:{ABROAD}@a.example"
EVE = "<sip:eve@evil.example>"
SPELLINGS = (
    f"P-Asserted-Identity: {EVE}",
    f"p-asserted-identity : {EVE}",
    f"P-ASSERTED-IDENTITY\t:{EVE}",
    f"P-Asserted-Identity:\r\n {EVE}",
    f"P-Asserted-Identity: <sip:a@b.example>,\r\n\t{EVE}",
    f"P-preferred-Identity \t: {EVE}",
    f"remote-party-id:{EVE};party=calling;privacy=off",
    f"REMOTE-PARTY-ID  : {EVE}",
    f"diversion\t : {EVE};reason=eve",
    f"CC-Diversion: {EVE}",
    f"history-INFO: {EVE};index=1",
    "y: eve",
    "IDENTITY : eve",
    "n: eve",
    f"B : {EVE}",
    f"referred-by: {EVE}",
    f"p-charge-info : {EVE}",
    f"P-Served-User:{EVE}",
    "x-tandem-eve: eve",
    "X-TANDEM-Trace : eve",
)


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node."""
    with running_edge({"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": "3", "TANDEM_GRACE_S": "2"}) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give the attacker's endpoint; after the test nothing is held, nobody was called, and Python has not failed."""
    with edge.phone() as endpoint:
        yield endpoint
    edge.wait_idle()
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    assert edge.acme.silent(0.05)


def refused(phone: Endpoint, *lines: str, method: str = "INVITE") -> int:
    """Send a request with these lines between the usual ones; return the status of its refusal, 0 = there was none."""
    text = phone.request(method, RURI, extra=lines, body=SDP if method == "INVITE" else "")
    phone.send(text.encode("utf-8", "surrogateescape"))
    try:
        final = phone.final(1.0)
    except TimeoutError:
        return 0
    if method == "INVITE":
        phone.ack(text, final)
    return final.status


@pytest.mark.parametrize(
    "line",
    [
        *(f"{name}: {EVE};tag=x" for name in ("From", "f", "FROM ", "To", "t", "Contact", "m")),
        *("Call-ID: another", "i: another", "CSeq: 9 INVITE", "cseq : 9 INVITE", "Max-Forwards: 3"),
        *("Content-Type: text/plain", "c: text/plain", "Expires: 1\r\nexpires: 2"),
    ],
)
def test_a_second_header_of_what_stands_once_opens_nothing(phone: Endpoint, line: str) -> None:
    """Some of them Kamailio drops itself, since it does not know whom to answer."""
    assert refused(phone, line) in (400, 0)


@pytest.mark.parametrize("line", ["Content-Length: 5", "l: 5", "L : 999999", "content-length: 0"])
def test_a_second_length_opens_nothing(phone: Endpoint, line: str) -> None:
    """What is behind the end that one of them names would be another message for whoever believes it."""
    assert refused(phone, line) in (400, 0)


@pytest.mark.parametrize(
    "line",
    [
        *("P Asserted-Identity: x", "P-Asserted-Identity\u00a0: x", "Na\u00efve: x", "X\udc80: y", "X\x7fY: z"),
        *(": nothing", "NoColon", "(x): y", "X/Y: z", "X@Y: z", '"X": y', "X,Y: z", " ", "\t", "=: x"),
    ],
)
def test_a_line_that_is_no_header_opens_nothing(phone: Endpoint, line: str) -> None:
    """Kamailio drops what it cannot parse itself, without an answer: that could go to anybody."""
    assert refused(phone, line) in (400, 0)


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
def test_a_head_of_many_bytes_or_lines_is_refused(phone: Endpoint, method: str) -> None:
    assert refused(phone, f"X-Long: {'x' * HEAD_MAX}", method=method) == 400
    assert refused(phone, *(f"X-{number}: y" for number in range(LINES_MAX)), method=method) == 400
    assert refused(phone, f"X-Long: {'x' * 60_000}", method=method) in (400, 0)
    assert refused(phone, f"{'X' * 20_000}: y", method=method) == 400
    assert refused(phone, "X-Folded: a\r\n" + " b\r\n" * 5_000 + " c", method=method) == 400


def test_the_node_answers_after_all_of_that(phone: Endpoint) -> None:
    phone.send(phone.request("OPTIONS", RURI))

    assert phone.final().status == 200


@pytest.mark.parametrize("count", [17, 100])
def test_more_headers_of_one_name_than_anybody_sends_are_malformed(phone: Endpoint, count: int) -> None:
    assert refused(phone, *(f"P-Asserted-Identity: {EVE}" for _ in range(count))) == 400


def test_short_names_odd_cases_and_folds_are_read_as_their_long_forms(edge: Edge, phone: Endpoint) -> None:
    """The whole call in the spelling of a terse stack."""

    class Terse(Endpoint):
        """The same socket; its requests have short names."""

        def __init__(self) -> None:
            self.__dict__.update(phone.__dict__)

        def request(self, *arguments: object, **parts: object) -> str:
            text = phone.request(*arguments, **parts)  # type: ignore[arg-type]
            for long, short in (("From:", "f :"), ("To:", "t\t:"), ("Call-ID:", "I:"), ("Contact:", "m:\r\n ")):
                text = text.replace(f"\r\n{long}", f"\r\n{short}")
            text = text.replace("Content-Length", "L").replace("Content-Type", "c").replace("Via", "v")
            return text.replace("CSeq:", "cSEQ:").replace("Proxy-Authorization:", "PROXY-authorization :\r\n\t")

    text = Terse().request("INVITE", RURI, body=SDP)
    phone.send(text)
    challenge = phone.final()
    lines = parse(text.encode())
    ack = phone.request("ACK", RURI, call_id=challenge.get("Call-ID"), branch=lines.get("v").partition("branch=")[2])
    phone.send(ack)

    assert challenge.status == 407
    assert edge.acme.silent(0.05)


def test_what_says_who_is_who_is_stripped_in_every_spelling(edge: Edge, phone: Endpoint) -> None:
    for number, line in enumerate(SPELLINGS):
        call = dial(phone, f"{ABROAD}@a.example", extra=(line, "X-Other: mine"))
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
        edge.acme.wait_request("ACK")
        assert call.final().status == 486
        assert "eve" not in told(invite), f"{number}: {line!r}: {told(invite)}"
        assert invite.get("X-Other") == "mine"


def test_within_a_call_too_and_in_answers(edge: Edge, phone: Endpoint) -> None:
    lines = SPELLINGS
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing", extra=lines))
    ringing = next(message for message in iter(phone.receive, None) if message.status == 180)
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP, extra=lines))  # not before: it may overtake the 180
    final = call.final()
    edge.acme.wait_request("ACK")
    phone.send(phone.within("UPDATE", final, cseq=5, extra=lines))
    update = edge.acme.wait_request("UPDATE")
    edge.acme.send(edge.acme.reply(update, 200, "OK", extra=lines))
    updated = phone.final()
    edge.acme.send(edge.acme.back("INFO", invite, cseq=3, extra=lines))
    info = phone.wait_request("INFO")
    phone.send(phone.reply(info, 200, "OK", extra=lines))
    informed = edge.acme.final()
    phone.send(phone.within("BYE", final, cseq=9, extra=lines))
    bye = confirm(edge.acme)
    assert phone.final().status == 200

    for message in (ringing, final, update, updated, info, informed, bye):
        assert "eve" not in told(message), told(message)


@pytest.mark.parametrize("line", ["f: <sip:eve@a.example>;tag=y", "Na\u00efve: x", ": y"])
def test_a_malformed_request_within_a_call_goes_no_further(edge: Edge, phone: Endpoint, line: str) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")

    phone.send(phone.within("INFO", final, cseq=5, extra=(line,)))
    assert edge.acme.silent()

    while not phone.silent(0.1):
        continue
    phone.send(phone.within("BYE", final, cseq=9))
    confirm(edge.acme)
    assert phone.final().status == 200


def told(message: Message) -> str:
    """Return all headers but the way of the message, in lower case."""
    return "\n".join(f"{name}: {value}" for name, value in message.headers if name != "Via").lower()
