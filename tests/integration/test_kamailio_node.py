"""A real Kamailio on the project's own configuration: its start, its answers, hostile bytes, reloads, the NOC."""

from __future__ import annotations

import re
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge import Edge, running_edge
from tests.fakes.world import ABROAD
from tests.kamailio_node import ROOT, running_kamailio
from tests.sip import Endpoint, Message, dial, digest, register
from tests.wait import until

ABOUT_S = 5.0
GOOD_INVITE = "sip:33140000000@a.example"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node for all tests of this file."""
    with running_edge() as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give an endpoint; afterwards Python may not have failed."""
    before = len(edge.node.alarms)
    with edge.phone() as endpoint:
        yield endpoint
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    assert edge.node.alarms[before:] == []


def asked(phone: Endpoint, text: str | bytes) -> Message:
    phone.send(text)
    return phone.final()


def test_options_is_answered_with_what_we_allow(phone: Endpoint) -> None:
    answer = asked(phone, phone.request("OPTIONS", "sip:a.example"))

    assert answer.status == 200
    assert "INVITE" in answer.get("Allow")
    assert not answer.get("Server")


def test_tcp_is_answered_too(edge: Edge, phone: Endpoint) -> None:
    with socket.create_connection(edge.node.address, timeout=ABOUT_S) as connection:
        text = phone.request("OPTIONS", "sip:a.example").replace("SIP/2.0/UDP", "SIP/2.0/TCP")
        connection.sendall(text.encode())
        assert connection.recv(4096).startswith(b"SIP/2.0 200 ")


@pytest.mark.parametrize("method", ["MESSAGE", "SUBSCRIBE", "PUBLISH", "REFER", "BOGUS"])
def test_other_methods_get_405_with_allow(phone: Endpoint, method: str) -> None:
    answer = asked(phone, phone.request(method, "sip:bob@a.example"))

    assert answer.status == 405
    assert "INVITE" in answer.get("Allow")


def from_bytes(phone: Endpoint) -> bytes:
    return phone.request("INVITE", GOOD_INVITE, caller="sip:al@@ce@a.example").encode().replace(b"@@", b"\xff\xfe")


def ruri_bytes(phone: Endpoint) -> bytes:
    return phone.request("INVITE", GOOD_INVITE).encode().replace(b"sip:33", b"sip:\xff\xfe33")


def header_bytes(phone: Endpoint) -> bytes:
    return phone.request("INVITE", GOOD_INVITE, extra=("X-Unknown: QQ",)).encode().replace(b"QQ", b"\xff\xfe")


def no_from_user(phone: Endpoint) -> bytes:
    return phone.request("INVITE", GOOD_INVITE, caller="sip:a.example").encode()


def long_number(phone: Endpoint) -> bytes:
    return phone.request("INVITE", f"sip:{'1' * 300}@a.example").encode()


def tel_uri(phone: Endpoint) -> bytes:
    return phone.request("INVITE", "tel:+33140000000").encode()


def nul_character(phone: Endpoint) -> bytes:
    return phone.request("INVITE", GOOD_INVITE, extra=("X-Unknown: a\0b",)).encode()


@pytest.mark.parametrize(
    ("malformed", "statuses"),
    [
        (from_bytes, {400}),
        (ruri_bytes, {400}),
        (header_bytes, {400}),
        (no_from_user, {400, 407}),
        (long_number, {407, 484}),
        (tel_uri, {416}),
        (nul_character, {400}),
    ],
)
def test_malformed_input_gets_a_sip_error_and_raises_nothing(
    phone: Endpoint, malformed: object, statuses: set[int]
) -> None:
    assert callable(malformed)

    assert asked(phone, malformed(phone)).status in statuses


def test_a_number_of_300_digits_is_refused_to_a_known_caller(phone: Endpoint) -> None:
    assert dial(phone, f"{'1' * 300}@a.example").final().status == 484


def test_a_binary_body_is_no_reason_to_refuse(phone: Endpoint) -> None:
    """ISUP in SIP-T is binary (RFC 3204)."""
    text = phone.request("INVITE", GOOD_INVITE, body="QQ").encode().replace(b"QQ", b"\xff\xfe")

    assert asked(phone, text).status == 407


def test_a_datagram_longer_than_its_content_length_is_taken(phone: Endpoint) -> None:
    """RFC 3261 §18.3: the bytes beyond are discarded."""
    assert asked(phone, phone.request("INVITE", GOOD_INVITE) + "padding").status == 407


def test_too_many_hops(phone: Endpoint) -> None:
    text = phone.request("INVITE", GOOD_INVITE).replace("Max-Forwards: 70", "Max-Forwards: 0")

    assert asked(phone, text).status == 483


def test_a_call_that_comes_again_and_again_is_a_loop(phone: Endpoint) -> None:
    for _ in range(10):
        assert asked(phone, phone.request("INVITE", GOOD_INVITE, call_id="round and round")).status in (400, 407)
    answers = {asked(phone, phone.request("INVITE", GOOD_INVITE, call_id="spiral")).status for _ in range(12)}

    assert answers == {407, 482}


@pytest.mark.parametrize("method", ["INVITE", "BYE", "INFO", "REFER"])
def test_a_request_with_an_invented_to_tag_reaches_nobody(edge: Edge, phone: Endpoint, method: str) -> None:
    host, port = edge.node.address
    with edge.phone() as victim:
        route = f"Route: <sip:{host}:{port};lr;tdm={'0' * 32}.{'0' * 16}>"
        answer = asked(phone, phone.request(method, victim.contact, to_tag="invented", extra=(route,)))
        assert answer.status == 481
        assert victim.silent()


def test_a_route_of_the_callers_choice_is_not_followed(edge: Edge, phone: Endpoint) -> None:
    with edge.phone() as victim:
        route = f"Route: <sip:{edge.node.address[0]}:{edge.node.address[1]};lr>, <{victim.contact};lr>"
        call = dial(phone, f"{ABROAD}@a.example", extra=(route,))
        invite = edge.acme.wait_request("INVITE")
        assert not invite.get("Route")
        edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
        assert call.final().status == 486
        assert victim.silent()


def test_registering_takes_the_right_password(phone: Endpoint) -> None:
    answer = register(phone, "alice@a.example")

    assert answer.status == 200
    assert phone.contact in answer.get("Contact")


@pytest.mark.parametrize(("user", "password"), [("alice@a.example", "wrong"), ("nobody@a.example", "correct horse")])
def test_wrong_password_and_unknown_user_get_the_same_answer(phone: Endpoint, user: str, password: str) -> None:
    answer = register(phone, user, password=password)

    assert answer.status == 401
    assert re.sub(r'nonce="[^"]*"', "", answer.get("WWW-Authenticate")) == (
        'Digest realm="a.example", , algorithm=MD5, qop="auth"'
    )


def test_a_nonce_is_taken_once(phone: Endpoint) -> None:
    first = phone.request("REGISTER", "sip:a.example", callee="sip:alice@a.example")
    challenge = asked(phone, first).get("WWW-Authenticate")
    answer = digest(
        challenge, username="alice", password="correct horse", method="REGISTER", digest_uri="sip:a.example"
    )
    again = {
        asked(phone, phone.request("REGISTER", "sip:a.example", callee="sip:alice@a.example", cseq=n, extra=(header,)))
        for n, header in enumerate([f"Authorization: {answer}"] * 2, start=2)
    }

    assert sorted(message.status for message in again) == [200, 401]


@pytest.fixture
def own_copy(tmp_path: Path) -> Path:
    """Give a copy of the project that a test may break."""
    shutil.copy(ROOT / "kamailio.cfg", tmp_path)
    shutil.copytree(ROOT / "kemi", tmp_path / "kemi", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("worker.py", "def broken(:\n"),
        ("agent.py", "import no_such_module\n"),
        ("settings.py", "raise KeyError('x')\n"),
    ],
)
def test_a_reload_of_broken_code_keeps_the_old(own_copy: Path, file: str, text: str) -> None:
    """Kamailio 5.6.3 crashes on the third message after a reload that fails; ours must never look so to it."""
    with running_kamailio(root=own_copy) as node, Endpoint(node.address) as phone:
        good = (own_copy / "kemi" / file).read_text(encoding="utf-8")
        (own_copy / "kemi" / file).write_text(text, encoding="utf-8")
        node.kamcmd("app_python.reload")
        for _ in range(20):
            assert asked(phone, phone.request("OPTIONS", "sip:a.example")).status == 200
        until(lambda: "reload failed" in str(node.noc("status")), ABOUT_S, "the failure in the status")
        assert node.process.poll() is None

        (own_copy / "kemi" / file).write_text(good, encoding="utf-8")
        node.kamcmd("app_python.reload")
        for _ in range(20):
            assert asked(phone, phone.request("OPTIONS", "sip:a.example")).status == 200
        until(lambda: "generation 2" in str(node.noc("status")), ABOUT_S, "the new code")


def test_a_call_survives_a_reload(edge: Edge, phone: Endpoint) -> None:
    """The agent hands its calls over: the call is settled by the new code as if nothing had happened."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK"))
    final = call.final()
    edge.acme.wait_request("ACK")
    talking = edge.node.noc("status")["agent"]["talking"]
    edge.node.kamcmd("app_python.reload")
    until(lambda: edge.node.noc("status")["agent"]["talking"] >= max(1, talking), ABOUT_S, "the call in the new agent")

    phone.send(phone.within("BYE", final, cseq=3))
    bye = edge.acme.wait_request("BYE")
    edge.acme.send(edge.acme.reply(bye, 200, "OK"))
    assert phone.final().status == 200

    event = edge.event(final.get("Call-ID"))
    assert (event.kind, event.end.outcome, event.end.server_id) == ("settle", "answered", 31)


def test_the_environment_is_checked_before_anything_runs() -> None:
    with pytest.raises(AssertionError, match="TANDEM_SECRET"), running_kamailio(env={"TANDEM_SECRET": "short"}):
        raise RuntimeError("started with a short secret")
