"""Registrations on real parts: what a REGISTER gets, where calls go then, and what outlives whom."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tests.edge import SOON_S, Edge, running_edge
from tests.edge_world import load_world
from tests.fakes.world import BOB_NUMBER, World
from tests.kamailio_node import IN_TIME, Node, running_kamailio
from tests.phones import Phone, answer_to
from tests.redis_server import TIMEOUT_MS, mortal_redis
from tests.sip import PASSWORD, Endpoint, dial
from tests.wait import until
from tools.cli import app
from tools.errors import OperatorError

BOB = "bob@a.example"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node."""
    with running_edge() as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Phone]:
    """Return bob's phone; afterwards he has none."""
    with Phone(edge.node.address, BOB) as own:
        yield own
    forget(edge)


def forget(edge: Edge) -> None:
    """Take all of bob's phones away, everywhere."""
    edge.node.noc(f"unregister {BOB}")
    until(lambda: not edge.admin.execute("EXISTS", keys.location(BOB)), SOON_S, "Redis to forget bob")
    until(lambda: not _known(edge.node, BOB), SOON_S, "the node to forget bob")


def test_what_is_registered_is_in_redis_before_the_answer(edge: Edge, phone: Phone) -> None:
    answer = phone.register()
    assert answer.status == 200
    assert int(edge.admin.execute("HLEN", keys.location(BOB))) == 1
    assert phone.register(expires="0").status == 200
    assert not edge.admin.execute("EXISTS", keys.location(BOB))


@pytest.mark.parametrize(
    ("expires", "status", "told"),
    [
        ("60", 200, "60"),
        ("4294967296", 200, "3600"),
        ("99999999999999999999", 200, "3600"),
        ("soon", 200, "3600"),
        ("-1", 200, "3600"),
        ("29", 423, ""),
    ],
)
def test_an_expiry_is_granted_cut_or_refused(phone: Phone, expires: str, status: int, told: str) -> None:
    answer = phone.register(expires=expires)
    assert answer.status == status
    if status == 200:
        assert f"expires={told}" in answer.get("Contact")
    else:
        assert answer.get("Min-Expires") == "30"


@pytest.mark.parametrize(
    ("contact", "expires", "status"),
    [
        ("*", "60", 400),
        ("*", "", 400),
        ("*", "4294967296", 400),
        ("*", "8589934592", 400),
        ("<sip:ua@127.0.0.1:5099>;expires=60;expires=4294967296", "60", 400),
        ("<sip:ua@127.0.0.1:5099;transport=tls>", "60", 403),
        ("<sip:ua@127.0.0.1:5099;transport=ws>", "60", 403),
        ("*, <sip:ua@127.0.0.1:5099>", "0", 400),
        ("<sip:ua@127.0.0.1:5099>, *", "0", 400),
        ("<sip:ua@127.0.0.1:5099>;received=sip:127.0.0.9", "60", 400),
        (", ".join(f"<sip:ua{n}@127.0.0.1:5099>" for n in range(100)), "60", 403),
        (", ".join(f"<sip:ua{n}@127.0.0.1:5099>" for n in range(11)), "60", 403),
        (", ".join(f"<sip:ua{n}@127.0.0.1:5099>" for n in range(200)), "60", 400),
        ("*", "0", 200),
    ],
)
def test_bad_contacts_get_their_answer(phone: Phone, contact: str, expires: str, status: int) -> None:
    assert phone.register(contact=contact, expires=expires).status == status


@pytest.mark.parametrize("written", ["sip:bob;x=1@a.example", "sip:bob@a.example.", "sip:%62ob@a.example"])
def test_a_to_in_another_spelling_is_the_same_line(edge: Edge, phone: Phone, written: str) -> None:
    """Else a line could have as many addresses of record as it can spell, and nobody would see them."""
    spelt = f"To: <{written}>\r\n"
    for _ in range(2):
        challenge = phone.register(edit=lambda text: text.replace(f"To: <sip:{BOB}>\r\n", spelt))
    assert challenge.status == 200
    assert len(_known(edge.node, BOB)) == 1
    assert edge.node.kamcmd("ul.dump").count("AoR:") == 1


@pytest.mark.parametrize("expires", ["4294967296", "8589934592", "18446744073709551616"])
def test_a_contact_that_wants_to_be_kept_for_ever_is_kept(edge: Edge, phone: Phone, expires: str) -> None:
    """The registrar counts modulo 2^32: such an expiry must not come there, or it would take the phone away."""
    assert phone.register().status == 200
    assert phone.register(contact="*", expires=expires).status == 400
    for contact, header in ((f"<{phone.end.contact}>;expires={expires}", "60"), (None, expires)):
        assert "expires=3600" in phone.register(contact=contact, expires=header).get("Contact")
        assert len(_known(edge.node, BOB)) == 1


def test_several_contacts_of_one_line_are_told_with_their_q(phone: Phone) -> None:
    contact = "<sip:one@127.0.0.1:5098>;q=0.7, <sip:two@127.0.0.1:5099>;q=0.2;expires=90"
    assert phone.register(contact=contact, expires="60").status == 200
    told = ", ".join(phone.register(contact="").all("Contact"))
    assert "sip:one@127.0.0.1:5098" in told
    assert "q=0.7" in told
    assert "q=0.2" in told


@pytest.mark.parametrize("host", ["192.168.7.9", "198.51.100.7"])
def test_a_phone_is_called_where_it_came_from_whatever_address_it_gives(edge: Edge, phone: Phone, host: str) -> None:
    """One of its own network leads nowhere, and one of somebody else is not for a phone to give."""
    assert phone.register(contact=f"<sip:bob@{host}:5060>").status == 200
    with edge.phone() as caller:
        dial(caller, f"{BOB_NUMBER}@a.example")
        invite = phone.end.wait_request("INVITE", SOON_S)
        assert invite.ruri.startswith(f"sip:bob@{host}:5060")
        phone.end.send(phone.end.reply(invite, 486, "Busy Here"))
        assert caller.final().status == 486


def test_a_challenge_is_answered_from_where_it_was_sent_to(edge: Edge, phone: Phone) -> None:
    """Whoever forges an address has not heard what was sent there; who has moved answers once more by himself."""
    phone.end.send(phone.text())
    challenge = phone.end.final().get("WWW-Authenticate")
    with Endpoint(edge.node.address, "127.9.0.7") as elsewhere:
        for stale in (True, False):
            answer = answer_to(challenge, "bob", PASSWORD, "sip:a.example")
            elsewhere.send(phone.text(contact="<sip:bob@127.9.0.7>", extra=(f"Authorization: {answer}",)))
            told = elsewhere.final()
            challenge = told.get("WWW-Authenticate")
            assert (told.status, "stale=true" in challenge) == ((401, True) if stale else (200, False))


def test_path_is_followed_where_it_came_from_only(edge: Edge, phone: Phone) -> None:
    own = f"<sip:{phone.end.at};lr>"
    elsewhere = "<sip:203.0.113.9:5060;lr>"
    assert phone.register(extra=(f"Path: {own}",)).status == 420
    assert phone.register(extra=(f"Path: {elsewhere}", "Supported: path")).status == 403
    answer = phone.register(contact="<sip:bob@10.9.8.7:5060>", extra=(f"Path: {own}", "Supported: path"))
    assert (answer.status, answer.get("Path")) == (200, own)
    with edge.phone() as caller:
        dial(caller, f"{BOB_NUMBER}@a.example")
        invite = phone.end.wait_request("INVITE", SOON_S)
        assert invite.ruri.startswith("sip:bob@10.9.8.7:5060")
        assert own in invite.get("Route")
        phone.end.send(phone.end.reply(invite, 486, "Busy Here"))
        assert caller.final().status == 486


def test_a_flow_over_tcp_is_used_and_nothing_is_connected(edge: Edge) -> None:
    with Phone(edge.node.address, BOB, transport="TCP") as phone:
        contact = '<sip:bob@192.168.7.9:5060;transport=tcp;ob>;reg-id=1;+sip.instance="<urn:uuid:1>"'
        assert phone.register(contact=contact).status == 200
        with edge.phone() as caller:
            dial(caller, f"{BOB_NUMBER}@a.example")
            invite = phone.end.wait_request("INVITE", SOON_S)
            phone.end.send(phone.end.reply(invite, 486, "Busy Here"))
            assert caller.final().status == 486
    with edge.phone() as caller:
        assert dial(caller, f"{BOB_NUMBER}@a.example").final().status == 480
    forget(edge)


def test_a_signed_register_of_a_stranger_is_none(edge: Edge, phone: Phone) -> None:
    """Whoever makes one up is asked for a password like anybody."""
    phone.end.send(phone.text(extra=("X-Tandem-Location: 1 00 sip:127.0.0.9:5060",)))
    assert phone.end.final().status == 401
    assert not edge.admin.execute("EXISTS", keys.location(BOB))


def test_a_killed_node_knows_its_phones_again(edge: Edge) -> None:
    """With who came from where, and the way there; nobody is lost, for each was in Redis before its 200."""
    env = {"TANDEM_NODE": "t2"}
    with running_kamailio(edge.redis.worker_url, env=env) as first, Phone(first.address, BOB) as phone:
        assert phone.register(contact="<sip:bob@192.168.7.9:5060>;q=0.3").status == 200
        until(lambda: _known(edge.node, BOB), SOON_S, "this node to hear of bob")
        first.kill()
        with running_kamailio(edge.redis.worker_url, env=env, port=first.address[1]) as again:
            assert _known(again, BOB)[0]["Received"].startswith(f"sip:{phone.end.at}")
            with Endpoint(again.address) as caller:
                dial(caller, f"{BOB_NUMBER}@a.example")
                phone.end.wait_request("INVITE", SOON_S)
            assert phone.register(expires="0", contact="*").status == 200
            until(lambda: not _known(edge.node, BOB), SOON_S, "this node to hear that bob is gone")


def test_two_nodes_know_each_others_phones(edge: Edge, phone: Phone) -> None:
    """Also what is taken away, at whichever of them."""
    with running_kamailio(edge.redis.worker_url, env={"TANDEM_NODE": "t2"}) as other:
        assert phone.register().status == 200
        until(lambda: _known(other, BOB), SOON_S, "the other node to hear of bob")
        assert other.noc(f"unregister {BOB}") == {"unregistered": 1}
        until(lambda: not _known(edge.node, BOB), SOON_S, "this node to hear that bob is gone")
        assert phone.register().status == 200
        until(lambda: _known(other, BOB), SOON_S, "the other node to hear of bob again")
        assert phone.register(contact="*", expires="0").status == 200
        until(lambda: not _known(other, BOB), SOON_S, "the other node to hear that bob is gone")


def test_a_phone_that_is_called_over_its_connection_is_reached_from_its_own_node_only(edge: Edge) -> None:
    """From another one it is unreachable, at once: nobody could connect to it. Others are reached from all nodes."""
    env = {"TANDEM_NODE": "t2"}
    with running_kamailio(edge.redis.worker_url, env=env) as other, Endpoint(other.address) as caller:
        with Phone(edge.node.address, BOB, transport="TCP") as inside:
            assert inside.register(contact="<sip:bob@192.168.7.9:5060;transport=tcp;ob>").status == 200
            until(lambda: _known(other, BOB), SOON_S, "the other node to hear of bob")
            assert dial(caller, f"{BOB_NUMBER}@a.example").final().status == 480
            assert inside.register(contact="*", expires="0").status == 200
        until(lambda: not _known(other, BOB), SOON_S, "the other node to hear that bob is gone")
        with Phone(edge.node.address, BOB) as outside:
            assert outside.register().status == 200
            until(lambda: _known(other, BOB), SOON_S, "the other node to hear of bob again")
            call = dial(caller, f"{BOB_NUMBER}@a.example")
            invite = outside.end.wait_request("INVITE", SOON_S)
            outside.end.send(outside.end.reply(invite, 486, "Busy Here"))
            assert call.final().status == 486
    forget(edge)


def test_the_noc_takes_a_line_away_and_is_told_how_many_phones(edge: Edge, phone: Phone) -> None:
    assert phone.register(contact="<sip:a@127.0.0.1:5098>, <sip:b@127.0.0.1:5099>").status == 200
    env = {"TANDEM_CTL": f"unix:{edge.node.ctl}"}
    answer = CliRunner().invoke(
        app, ["noc", "unregister", BOB.replace("a.example", "A.example")], env=env, catch_exceptions=False
    )
    assert answer.output == f"{BOB}: 2 phones taken away\n"
    assert not _known(edge.node, BOB)
    for line in (BOB, "nobody@a.example"):
        with pytest.raises(OperatorError, match=f"'{line}' has no phones: there is no such line, or none"):
            CliRunner().invoke(app, ["noc", "unregister", line], env=env, catch_exceptions=False)
    with pytest.raises(OperatorError, match="is no line: say it as user@domain"):
        CliRunner().invoke(app, ["noc", "unregister", "bob"], env=env, catch_exceptions=False)


def test_a_domain_that_wants_sha_256_takes_nothing_else(edge: Edge, phone: Phone) -> None:
    """RFC 8760; the phone is our own, for SIPp knows MD5 only."""
    hashed = hashlib.sha256(f"bob:a.example:{PASSWORD}".encode()).hexdigest()
    edge.world.change("dom:a.example", digest="sha256")
    edge.world.change(f"sub:{BOB}", ha1_sha256=hashed)
    _write(edge)
    try:
        assert phone.register(algorithm="SHA-256").status == 200
        assert phone.register(algorithm="SHA-256", password="wrong").status == 401
    finally:
        edge.world.change("dom:a.example", digest="both")
        _write(edge)
    assert phone.register(algorithm="SHA-256").status == 200
    assert phone.register(algorithm="MD5").status == 200


def test_a_way_back_is_kept_open(edge: Edge, phone: Phone) -> None:
    """Whoever is called back where he came from gets OPTIONS, and his answer ends nowhere."""
    assert phone.register(contact="<sip:bob@192.168.7.9:5060>").status == 200
    before = len(edge.node.alarms)
    ping = phone.end.wait_request("OPTIONS", 40)
    assert ping.ruri == "sip:bob@192.168.7.9:5060"
    phone.end.send(phone.end.reply(ping, 200, "OK"))
    assert phone.register().status == 200
    assert edge.node.alarms[before:] == []


def test_while_redis_stands_still_phones_register_at_once() -> None:
    """A stalled Redis holds nobody up, and hears afterwards who came meanwhile."""
    with mortal_redis() as redis:
        admin = RedisClient(redis.url, TIMEOUT_MS)
        load_world(admin, World())
        with running_kamailio(redis.worker_url, env=IN_TIME) as node, Phone(node.address, BOB) as phone:
            until(lambda: _warm(phone), SOON_S, "every worker to know bob")
            redis.stall()
            try:
                until(lambda: phone.register(contact="<sip:new@127.0.0.1:5098>").status == 200, SOON_S, "a 200")
                began = time.monotonic()
                assert phone.register(contact="<sip:newer@127.0.0.1:5099>").status == 200
                assert time.monotonic() - began < SOON_S / 4
                assert len(_known(node, BOB)) == 3
            finally:
                redis.go_on()
            until(lambda: admin.execute("HLEN", keys.location(BOB)) == 3, SOON_S, "Redis to hear of them")
        admin.close()


def _warm(phone: Phone) -> bool:
    """Register often enough for each of two workers to have had a turn."""
    return [phone.register().status for _ in range(12)] == [200] * 12


def _write(edge: Edge) -> None:
    names = ["dom:a.example", f"sub:{BOB}"]
    edge.writer.write({name: edge.world.records[name] for name in names})
    edge.writer.finish()
    until(lambda: edge.node.noc("status")["sync"], SOON_S, "the node to hear of it")


def _known(node: Node, name: str) -> list[dict[str, str]]:
    """Return the contacts that a node's memory has of a line."""
    try:
        text = node.kamcmd("ul.lookup", "location", name)
    except subprocess.CalledProcessError:
        return []
    found: list[dict[str, str]] = []
    for line in text.splitlines():
        key, _, value = line.strip().partition(": ")
        if key == "Address":
            found.append({})
        if found and value:
            found[-1][key] = value
    return found
