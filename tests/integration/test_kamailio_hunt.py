"""What a server of a carrier may ask for in a hunt, and what each attempt leaves in the record; a real Kamailio."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from kemi.records import CallEnd, Login
from tests.dialogs import confirm, drained
from tests.edge import SOON_S, Edge, running_edge, tried
from tests.fakes.world import ABROAD, ACME_1, BELL_1
from tests.fix_stack import free_address
from tests.sip import SDP, Call, Endpoint, Message, dial, md5, tag, uri
from tests.wait import until

RING_S = 4
REALM, USER, WORD = "acme.example", "tandem", "a word between us"
HA1 = md5(f"{USER}:{REALM}:{WORD}")
LOGIN = Login(USER, REALM, HA1)
PLAIN = {
    "login": None,
    "redirects": False,
    "socket": "",
    "ring_max_s": 0,
    "pdd_max_ms": 0,
    "channels_max": 0,
    "cps_max": 0,
}
OTHER_PORT = free_address().port


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node with a second socket to send from."""
    env = {"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": str(RING_S), "TANDEM_GRACE_S": "2"}
    with running_edge(env, more=f"udp:127.0.0.1:{OTHER_PORT}") as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give a caller; after the test nothing is held, no place is taken, and the servers are as they were."""
    with edge.phone("127.0.0.2") as endpoint:
        yield endpoint
    edge.change(ACME_1, **PLAIN)
    edge.wait_idle()
    until(lambda: taken(edge, ACME_1) == 0, SOON_S, "all places to be free")
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    for server in ("31", "41"):
        edge.node.kamcmd("htable.delete", "health", f"s:{server}")
        edge.node.kamcmd("htable.delete", "failing", f"s:{server}")
    for carrier in (edge.acme, edge.bell):
        drained(carrier, 0.05)


def taken(edge: Edge, server_id: int) -> int:
    """Return how many calls the node counts at a server."""
    return edge.item("channels", str(server_id))


def call_id(call: Call) -> str:
    return next(line[9:] for line in call.invite.split("\r\n") if line.startswith("Call-ID: "))


def end(edge: Edge, call: Call) -> CallEnd:
    return edge.event(call_id(call)).end


def the_call(edge: Edge) -> dict[str, object]:
    """Return the one call of the node once it knows the answer."""
    until(lambda: [row for row in edge.node.noc("calls")["calls"] if row["answered_ms"]], SOON_S, "the agent to hear")
    (row,) = edge.node.noc("calls")["calls"]
    return dict(row)


def refuse(carrier: Endpoint, status: int, phrase: str = "No", *lines: str, contact: str = "") -> Message:
    invite = carrier.wait_request("INVITE")
    carrier.send(carrier.reply(invite, status, phrase, extra=lines, contact=contact))
    carrier.wait_request("ACK")
    return invite


def answer(carrier: Endpoint, call: Call) -> tuple[Message, Message]:
    """Let the carrier answer; return the INVITE that it got and the 200 that the caller got."""
    invite = carrier.wait_request("INVITE")
    carrier.send(carrier.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    carrier.wait_request("ACK")
    return invite, final


def hang_up(phone: Endpoint, final: Message, carrier: Endpoint) -> Message:
    phone.send(phone.within("BYE", final, cseq=9))
    bye = confirm(carrier)
    assert phone.final().status == 200
    return bye


def asks(realm: str = REALM, **more: str) -> str:
    parts = {"realm": realm, "nonce": "n0", "qop": "auth", "algorithm": "MD5"} | more
    return "Digest " + ", ".join(f'{name}="{value}"' for name, value in parts.items())


def is_right(credentials: str, ruri: str, method: str = "INVITE") -> bool:
    """Whether an answer to `asks` is the one that our password gives."""
    found = dict(re.findall(r'(\w+)="?([^",]+)"?', credentials))
    ha2 = md5(f"{method}:{ruri}")
    wanted = md5(f"{HA1}:{found['nonce']}:{found['nc']}:{found['cnonce']}:auth:{ha2}")
    return (found["username"], found["uri"], found["response"]) == (USER, ruri, wanted)


# Login --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "asking", "answering"),
    [(401, "WWW-Authenticate", "Authorization"), (407, "Proxy-Authenticate", "Proxy-Authorization")],
)
def test_a_server_that_asks_for_our_password_gets_it(
    edge: Edge, phone: Endpoint, status: int, asking: str, answering: str
) -> None:
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    first = refuse(edge.acme, status, "Who Are You", f"{asking}: {asks()}")

    second, final = answer(edge.acme, call)
    bye = hang_up(phone, final, edge.acme)

    assert is_right(second.get(answering), second.ruri)
    assert len(second.all(answering)) == 1
    assert not first.get(answering)
    for name in ("From", "P-Asserted-Identity", "To", "Call-ID"):
        assert second.all(name) == first.all(name), f"{name}: the edits of the branch are made anew, once"
    assert uri(bye.get("From")) == uri(second.get("From"))
    assert tried(end(edge, call)) == [(31, 200, "")]


def test_the_answer_has_a_higher_cseq_and_the_call_keeps_it(edge: Edge, phone: Endpoint) -> None:
    """RFC 3261 §22.2; who is asked counts our requests, who asks counts his own."""
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    first = refuse(edge.acme, 407, "Who Are You", f"Proxy-Authenticate: {asks()}")
    second = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(second, 200, "OK", body=SDP))
    final = call.final()
    ack = edge.acme.wait_request("ACK")
    bye = hang_up(phone, final, edge.acme)

    numbers = [int(message.get("CSeq").split()[0]) for message in (first, second, ack, bye)]

    assert final.get("CSeq") == "2 INVITE"
    assert numbers[1] == numbers[0] + 1
    assert numbers[2] == numbers[1]
    assert numbers[3] > numbers[1]


def test_the_nodes_own_bye_counts_on_behind_the_answer(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 407, "Who Are You", f"Proxy-Authenticate: {asks()}")
    second, _ = answer(edge.acme, call)
    row = the_call(edge)

    edge.node.noc(f"end {row['rid']}")
    bye = confirm(edge.acme)
    confirm(phone)

    assert int(bye.get("CSeq").split()[0]) > int(second.get("CSeq").split()[0])
    assert (tag(bye.get("From")), tag(bye.get("To"))) == (tag(second.get("From")), f"t{edge.acme.port}")


def of_call(messages: list[Message], final: Message) -> list[Message]:
    """Return those of the call that was answered so: a CANCEL of another test's may be sent again."""
    return [message for message in messages if message.get("Call-ID") == final.get("Call-ID")]


def test_a_second_challenge_is_a_failure(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    for _ in range(2):
        refuse(edge.acme, 407, "Who Are You", f"Proxy-Authenticate: {asks()}")

    _, final = answer(edge.bell, call)
    hang_up(phone, final, edge.bell)

    assert tried(end(edge, call)) == [(31, 407, ""), (41, 200, "")]


def test_another_realm_gets_no_answer(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 407, "Who Are You", f"Proxy-Authenticate: {asks('evil.example')}")

    _, final = answer(edge.bell, call)
    hang_up(phone, final, edge.bell)

    assert not of_call(drained(edge.acme, 0.1), final)


def test_a_hash_that_is_none_is_neither_used_nor_logged(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, login=LOGIN._replace(ha1="not a hash of ours"))
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 407, "Who Are You", f"Proxy-Authenticate: {asks()}")

    _, final = answer(edge.bell, call)
    hang_up(phone, final, edge.bell)

    assert not of_call(drained(edge.acme, 0.1), final)
    assert "not a hash" not in edge.node.log


def test_no_command_shows_the_hash(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 407, "Who Are You", f"Proxy-Authenticate: {asks()}")
    _, final = answer(edge.acme, call)

    shown = [edge.node.kamcmd("dlg.list_ctx"), edge.node.kamcmd("tm.list"), edge.node.log]
    shown += [edge.node.kamcmd("htable.dump", table) for table in ("calls", "noc", "sides", "busy")]
    hang_up(phone, final, edge.acme)

    assert not [text for text in shown if HA1 in text]


# Redirects ----------------------------------------------------------------------------------------------------------


def test_a_redirect_is_followed_to_a_server_of_the_group(edge: Edge, phone: Endpoint) -> None:
    """The Contact leads to another port of the same address: a media gateway behind the carrier's proxy."""
    edge.change(ACME_1, redirects=True)
    call = dial(phone, f"{ABROAD}@a.example")
    with Endpoint(edge.node.address, edge.acme.host) as gateway:
        refuse(edge.acme, 302, "Moved", contact=f"<sip:0044@{gateway.host}:{gateway.port}>;q=0.5")
        invite, final = answer(gateway, call)
        bye = hang_up(phone, final, gateway)

    assert invite.ruri == f"sip:0044@{gateway.host}:{gateway.port}"
    assert len(invite.all("P-Asserted-Identity")) == 1
    assert bye.ruri == gateway.contact
    assert tried(end(edge, call)) == [(31, 302, "redirect"), (31, 200, "")]


def test_a_redirect_elsewhere_goes_to_the_same_server(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, redirects=True)
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 302, "Moved", contact="<sip:0044@127.0.0.99:5060>")

    invite, final = answer(edge.acme, call)
    hang_up(phone, final, edge.acme)

    assert invite.ruri == f"sip:0044@{edge.acme.host}:{edge.acme.port}"


def test_redirects_come_to_an_end(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, redirects=True)
    call = dial(phone, f"{ABROAD}@a.example")
    for number in range(4):
        refuse(edge.acme, 302, "Moved", contact=f"<sip:004{number}@{edge.acme.host}:{edge.acme.port}>")

    _, final = answer(edge.bell, call)
    hang_up(phone, final, edge.bell)

    assert [(status, why) for _, status, why in tried(end(edge, call))] == [
        *[(302, "redirect")] * 3,
        (302, ""),
        (200, ""),
    ]


def test_a_redirect_that_is_not_allowed_is_a_failure_and_never_relayed(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    for carrier in (edge.acme, edge.bell):
        refuse(carrier, 302, "Moved", contact="<sip:premium@127.0.0.99:5060>")

    final = call.final()

    assert final.status == 503
    assert "premium" not in final.get("Contact")
    assert tried(end(edge, call)) == [(31, 302, ""), (41, 302, "")]


# Time ---------------------------------------------------------------------------------------------------------------


def test_a_server_that_takes_the_call_and_says_nothing_is_left(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, pdd_max_ms=700)
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    began = time.monotonic()
    edge.acme.send(edge.acme.reply(invite, 100, "Trying"))

    _, final = answer(edge.bell, call)

    assert 0.5 < time.monotonic() - began < 4
    hang_up(phone, final, edge.bell)
    first, second = end(edge, call).attempts
    assert (first.status, first.why, first.pdd_ms, second.server_id) == (408, "pdd", -1, BELL_1)


def test_a_server_that_rings_in_time_may_ring_on(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, pdd_max_ms=700)
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 100, "Trying"))
    edge.acme.send(edge.acme.reply(invite, 183, "Session Progress"))
    began = time.monotonic()
    until(lambda: time.monotonic() - began > 1.5, 3, "longer than the first sign may take")

    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")
    hang_up(phone, final, edge.acme)

    (attempt,) = end(edge, call).attempts
    assert 0 <= attempt.pdd_ms < attempt.ended_ms - attempt.asked_ms - 1_000
    assert attempt.ended_ms - attempt.asked_ms >= 1_500


def test_ringing_has_its_own_time_at_each_server(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, ring_max_s=1)
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
    began = time.monotonic()

    final = call.final()

    assert final.status == 480
    assert 0.8 < time.monotonic() - began < 5
    cancel = edge.acme.wait_request("CANCEL")
    edge.acme.send(edge.acme.reply(cancel, 200, "OK"))
    edge.acme.send(edge.acme.reply(invite, 487, "Request Terminated"))
    edge.acme.wait_request("ACK")
    (attempt,) = end(edge, call).attempts
    assert (attempt.status, attempt.why) == (480, "ring")
    assert 0 <= attempt.pdd_ms < 1_000


def test_a_480_of_a_carrier_goes_on(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 480, "Not Available")

    _, final = answer(edge.bell, call)
    hang_up(phone, final, edge.bell)

    assert tried(end(edge, call)) == [(31, 480, ""), (41, 200, "")]


# Places and calls a second ------------------------------------------------------------------------------------------


def test_a_full_server_is_not_asked(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, channels_max=1)
    first = dial(phone, f"{ABROAD}@a.example")
    _, first_final = answer(edge.acme, first)
    with edge.phone("127.0.0.2") as other:
        second = dial(other, f"{ABROAD}@a.example")
        _, second_final = answer(edge.bell, second)
        assert (taken(edge, ACME_1), taken(edge, BELL_1)) == (1, 1)
        hang_up(other, second_final, edge.bell)
        assert tried(end(edge, second)) == [(31, 503, "channels"), (41, 200, "")]
        hang_up(phone, first_final, edge.acme)
        until(lambda: taken(edge, ACME_1) == 0, SOON_S, "the place to be free")

        third = dial(other, f"{ABROAD}@a.example")
        _, third_final = answer(edge.acme, third)
        hang_up(other, third_final, edge.acme)

    assert "31" not in edge.node.noc("status")["down_servers"]


def test_a_failed_attempt_takes_no_place(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, channels_max=1)
    for _ in range(3):
        call = dial(phone, f"{ABROAD}@a.example")
        refuse(edge.acme, 486, "Busy Here")
        assert call.final().status == 486
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
    until(lambda: phone.receive().status == 180, SOON_S, "ringing")
    assert taken(edge, ACME_1) == 1

    call.cancel()
    cancel = edge.acme.wait_request("CANCEL")
    edge.acme.send(edge.acme.reply(cancel, 200, "OK"))
    edge.acme.send(edge.acme.reply(invite, 487, "Request Terminated"))

    until(lambda: taken(edge, ACME_1) == 0, SOON_S, "the place to be free")


def test_more_calls_a_second_than_a_server_takes_go_elsewhere(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, cps_max=1)
    began = time.time()
    until(lambda: time.time() // 1 > began // 1, 2, "a second to begin")
    calls = []
    for carrier in (edge.acme, edge.bell):
        call = dial(phone, f"{ABROAD}@a.example")
        refuse(carrier, 486, "Busy Here")
        assert call.final().status == 486
        calls.append(call)

    assert [tried(end(edge, call)) for call in calls] == [
        [(31, 486, "")],
        [(31, 503, "cps"), (41, 486, "")],
    ]


def test_a_count_that_got_lost_heals(edge: Edge, phone: Endpoint) -> None:
    edge.node.kamcmd("htable.seti", "channels", "s:31", "7")
    edge.node.kamcmd("htable.sets", "busy", "s:nocall", "s:41")

    until(lambda: taken(edge, ACME_1) == 0, 15, "the count to heal")
    until(lambda: "nocall" not in edge.node.kamcmd("htable.dump", "busy"), 15, "the stray place to go")
    assert phone.silent(0.01)


# Sockets ------------------------------------------------------------------------------------------------------------


def test_a_server_is_sent_to_from_its_own_socket(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, socket=f"udp:127.0.0.1:{OTHER_PORT}")
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP), ("127.0.0.1", OTHER_PORT))
    call.final()
    edge.acme.wait_request("ACK")

    edge.node.noc(f"end {the_call(edge)['rid']}")
    bye = confirm(edge.acme)
    confirm(phone)

    sent_by = f"127.0.0.1:{OTHER_PORT};"
    assert sent_by in invite.get("Via")
    assert sent_by in bye.get("Via"), "the node's own requests too"


def test_the_next_server_is_sent_to_as_the_stack_chooses(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, socket=f"udp:127.0.0.1:{OTHER_PORT}")
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 503, "No Circuits")

    invite, final = answer(edge.bell, call)
    hang_up(phone, final, edge.bell)

    assert f"127.0.0.1:{edge.node.address[1]};" in invite.get("Via")


def test_a_socket_that_we_have_not_makes_a_server_unreachable(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, socket="udp:192.0.2.77:5060")
    for _ in range(2):
        call = dial(phone, f"{ABROAD}@a.example")
        refuse(edge.bell, 486, "Busy Here")
        assert call.final().status == 486

        assert tried(end(edge, call)) == [(31, 503, "unreachable"), (41, 486, "")]

    assert edge.node.log.count("no socket udp:192.0.2.77:5060 here") == 1
