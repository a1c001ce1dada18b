"""The agent and carriers' servers outside calls: OPTIONS that say how they are, and our registrations there."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from kemi import keys
from kemi.records import Login, Peers
from tests.edge import SOON_S, Edge, running_edge
from tests.fakes.world import ABROAD, ACME, ACME_1, BELL
from tests.sip import Message, dial, md5, uri
from tests.wait import until

LONG_S = 30.0
REALM, USER, WORD = "acme.example", "tandem", "a word between us"
HA1 = md5(f"{USER}:{REALM}:{WORD}")
LOGIN = Login(USER, REALM, HA1, register_s=600, contact_user="trunk-7")


@pytest.fixture
def edge() -> Iterator[Edge]:
    """Run one node; each test speaks to it as a carrier of its own making."""
    with running_edge({"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": "3", "TANDEM_GRACE_S": "2"}) as running:
        yield running
        assert running.node.counter("exceptions") == 0, running.node.alarms
        assert HA1 not in running.node.log


def begin(edge: Edge, server_id: int, **fields: Any) -> None:
    """Let the agent know of a server that is to be probed or registered with."""
    edge.writer.write({keys.PEERS: Peers((ACME, BELL))})
    edge.change(server_id, **fields)


def row(edge: Edge, table: str) -> dict[str, Any]:
    """Return what the NOC sees of the one server, as soon as it sees it."""
    until(lambda: len(edge.node.noc("peers")[table]) == 1, SOON_S, "the NOC to hear of the server")
    (found,) = edge.node.noc("peers")[table]
    return dict(found)


def down(edge: Edge) -> list[str]:
    return list(edge.node.noc("status")["down_servers"])


def accept(edge: Edge, request: Message, status: int = 200, *lines: str) -> None:
    edge.acme.send(edge.acme.reply(request, status, "Well", extra=lines))


# Probes -------------------------------------------------------------------------------------------------------------


def test_a_server_that_answers_options_is_up(edge: Edge) -> None:
    begin(edge, ACME_1, probe=True)

    options = edge.acme.wait_request("OPTIONS")
    accept(edge, options, 404)

    until(lambda: row(edge, "probes")["state"] == "up", SOON_S, "the NOC to hear of the answer")
    assert options.ruri == f"sip:{edge.acme.host}:{edge.acme.port}"
    assert uri(options.get("From")) == f"sip:127.0.0.1:{edge.node.address[1]}"
    assert (row(edge, "probes")["status"], down(edge)) == (404, [])
    assert edge.acme.silent(1.0), "the next one comes in half a minute"


def test_a_server_that_does_not_answer_is_passed_over_until_it_does(edge: Edge) -> None:
    begin(edge, ACME_1, probe=True)
    until(lambda: down(edge) == ["31"], LONG_S, "three times no answer")
    until(lambda: row(edge, "probes")["state"] == "down", SOON_S, "the NOC to hear of it")
    with edge.phone("127.0.0.2") as phone:
        call = dial(phone, f"{ABROAD}@a.example")
        invite = edge.bell.wait_request("INVITE")
        edge.bell.send(edge.bell.reply(invite, 486, "Busy Here"))
        assert call.final().status == 486
    while not edge.acme.silent(0.1):
        continue

    options = edge.acme.wait_request("OPTIONS", 8)
    accept(edge, options)

    until(lambda: down(edge) == [], SOON_S, "the server to have calls again")
    until(lambda: row(edge, "probes")["state"] == "up", SOON_S, "the NOC to hear of it")


def test_a_server_that_answers_calls_is_up_whatever_options_say(edge: Edge) -> None:
    begin(edge, ACME_1, probe=True)
    with edge.phone("127.0.0.2") as phone:
        call = dial(phone, f"{ABROAD}@a.example")
        invite = edge.acme.wait_request("INVITE")
        edge.acme.send(edge.acme.reply(invite, 200, "OK"))
        final = call.final()
        edge.acme.wait_request("ACK")
        until(lambda: row(edge, "probes")["unanswered"] >= 3, LONG_S, "three times no answer")

        assert down(edge) == []
        phone.send(phone.within("BYE", final, cseq=9))
        bye = edge.acme.wait_request("BYE")
        edge.acme.send(edge.acme.reply(bye, 200, "OK"))
        assert phone.final().status == 200


def forged(edge: Edge, seen: Message, status: int, *lines: str) -> str:
    """Return an answer of somebody who knows all of a request but is not where it went."""
    via = f"SIP/2.0/UDP 127.0.0.1:{edge.node.address[1]};branch=z9hG4bKabc.def.0"
    parts = [f"{name}: {seen.get(name)}" for name in ("From", "To", "Call-ID", "CSeq")]
    return "\r\n".join([f"SIP/2.0 {status} Well", f"Via: {via}", *parts, *lines, "Content-Length: 0", "", ""])


def test_what_a_stranger_says_of_a_server_does_not_count(edge: Edge) -> None:
    begin(edge, ACME_1, probe=True, login=LOGIN)
    with edge.phone("127.0.0.77") as stranger:
        for method in ("OPTIONS", "REGISTER"):
            seen = edge.acme.wait_request(method)
            stranger.send(forged(edge, seen, 200, "Expires: 86400"))
            if method == "REGISTER":
                accept(edge, seen, 403)
            else:
                accept(edge, seen, 404)

        until(lambda: row(edge, "logins")["status"] == 403, SOON_S, "what the server said")

    assert row(edge, "logins")["state"] == "not registered"
    assert row(edge, "probes")["status"] == 404


# Registrations ------------------------------------------------------------------------------------------------------


def is_right(credentials: str, ruri: str) -> bool:
    found = dict(re.findall(r'(\w+)="?([^",]+)"?', credentials))
    ha2 = md5(f"REGISTER:{ruri}")
    wanted = md5(f"{HA1}:{found['nonce']}:{found['nc']}:{found['cnonce']}:auth:{ha2}")
    return (found["username"], found["realm"], found["response"]) == (USER, REALM, wanted)


def asks(edge: Edge, request: Message, realm: str = REALM, nonce: str = "n1") -> None:
    sha = f'WWW-Authenticate: Digest realm="{realm}", nonce="{nonce}s", qop="auth", algorithm=SHA-256'
    accept(edge, request, 401, sha, f'WWW-Authenticate: Digest realm="{realm}", nonce="{nonce}", qop="auth,auth-int"')


def test_the_node_registers_with_its_password_and_refreshes_at_half_the_time(edge: Edge) -> None:
    begin(edge, ACME_1, login=LOGIN)
    first = edge.acme.wait_request("REGISTER")
    asks(edge, first)
    second = edge.acme.wait_request("REGISTER")
    contact = second.get("Contact")
    edge.acme.send(edge.acme.reply(second, 200, "OK", contact=f'<sip:x@192.0.2.1>;expires=9, {contact};expires="10"'))

    until(lambda: row(edge, "logins")["state"] == "registered", SOON_S, "the NOC to hear of it")
    began = time.monotonic()
    third = edge.acme.wait_request("REGISTER", 10)

    assert 3.5 < time.monotonic() - began < 9.5
    accept(edge, third, 200, "Expires: 600")
    assert contact == f"<sip:trunk-7@127.0.0.1:{edge.node.address[1]}>"
    assert first.ruri == second.ruri == f"sip:{edge.acme.host}"
    assert uri(second.get("To")) == uri(second.get("From")) == f"sip:{USER}@{edge.acme.host}"
    assert first.get("Expires") == "600"
    assert not first.get("Authorization")
    assert is_right(second.get("Authorization"), second.ruri)
    assert len({message.get("Call-ID") for message in (first, second, third)}) == 1
    numbers = [int(message.get("CSeq").split()[0]) for message in (first, second, third)]
    assert numbers == sorted(set(numbers))
    shown = row(edge, "logins")
    assert (shown["status"], shown["user"]) == (200, USER)
    assert HA1 not in str(edge.node.noc("peers"))


@pytest.mark.parametrize("realm", ["evil.example", REALM])
def test_a_registration_that_is_refused_says_so_and_is_not_tried_at_once(edge: Edge, realm: str) -> None:
    begin(edge, ACME_1, login=LOGIN)
    first = edge.acme.wait_request("REGISTER")
    asks(edge, first, realm)
    if realm == REALM:
        asks(edge, edge.acme.wait_request("REGISTER"), realm, "n2")

    until(lambda: row(edge, "logins")["status"] == 401, SOON_S, "the NOC to hear of it")
    assert row(edge, "logins")["state"] == "not registered"
    assert edge.acme.silent(1.0)


def test_too_brief_a_time_is_mended(edge: Edge) -> None:
    begin(edge, ACME_1, login=LOGIN._replace(register_s=60))
    accept(edge, edge.acme.wait_request("REGISTER"), 423, "Min-Expires: 1800")

    again = edge.acme.wait_request("REGISTER")
    accept(edge, again)

    assert again.get("Expires") == "1800"
    until(lambda: row(edge, "logins")["state"] == "registered", SOON_S, "the NOC to hear of it")


def test_without_redis_the_agent_goes_on_with_what_it_read(edge: Edge) -> None:
    begin(edge, ACME_1, probe=True)
    accept(edge, edge.acme.wait_request("OPTIONS"))
    until(lambda: row(edge, "probes")["state"] == "up", SOON_S, "the NOC to hear of the answer")

    os.kill(edge.redis.pid, signal.SIGSTOP)
    try:
        until(lambda: edge.node.noc("status")["agent"]["store"] == "down", SOON_S, "the agent to notice")
        assert row(edge, "probes")["state"] == "up"
    finally:
        os.kill(edge.redis.pid, signal.SIGCONT)
