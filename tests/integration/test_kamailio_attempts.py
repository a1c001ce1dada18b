"""What a carrier may say too late, too often, or wrongly about an attempt at it; a real Kamailio."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from kemi import keys
from kemi.adapters.ksr_sides import EARLY_MAX
from kemi.records import PeeringGroup
from tests.dialogs import confirm, drained
from tests.edge import SOON_S, Edge, running_edge, tried
from tests.fakes.world import ABROAD, ACME, ACME_1
from tests.integration.test_kamailio_hunt import LOGIN, PLAIN, answer, asks, end, hang_up, refuse, taken
from tests.sip import SDP, Endpoint, Message, dial, tag
from tests.wait import until

RING_S = 4


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node."""
    env = {"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": str(RING_S), "TANDEM_GRACE_S": "2", "TANDEM_ATTEMPTS_MAX": "16"}
    with running_edge(env) as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give a caller; after the test nothing is held, and the servers are as they were."""
    with edge.phone("127.0.0.2") as endpoint:
        yield endpoint
    edge.change(ACME_1, **PLAIN)
    edge.wait_idle()
    until(lambda: taken(edge, ACME_1) == 0, SOON_S, "all places to be free")
    until(lambda: not rows(edge), SOON_S, "all rows of the calls to be gone")
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    for server in ("31", "41"):
        edge.node.kamcmd("htable.delete", "health", f"s:{server}")
        edge.node.kamcmd("htable.delete", "failing", f"s:{server}")
    for carrier in (edge.acme, edge.bell):
        drained(carrier, 0.05)


def rows(edge: Edge) -> list[str]:
    """Return the names of the rows of all calls."""
    return re.findall(r"name: (\S+)", edge.node.kamcmd("htable.dump", "sides"))


def number(message: Message) -> int:
    return int(message.get("CSeq").split()[0])


# Late ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["nothing", "Trying", "503"])
def test_the_late_answer_of_a_server_given_up_is_ended_and_the_next_ones_call_goes_on(
    edge: Edge, phone: Endpoint, said: str
) -> None:
    edge.change(ACME_1, pdd_max_ms=700 if said == "Trying" else 0)
    call = dial(phone, f"{ABROAD}@a.example")
    first = edge.acme.wait_request("INVITE")
    if said == "Trying":
        edge.acme.send(edge.acme.reply(first, 100, "Trying"))
    elif said == "503":
        edge.acme.send(edge.acme.reply(first, 503, "No Circuits"))
    second = edge.bell.wait_request("INVITE")
    edge.bell.send(edge.bell.reply(second, 180, "Ringing"))
    drained(edge.acme, 0.1)

    edge.acme.send(edge.acme.reply(first, 200, "OK", body=SDP))
    ack = edge.acme.wait_request("ACK")
    confirm(edge.acme)
    edge.bell.send(edge.bell.reply(second, 200, "OK", body=SDP))
    final = call.final()
    edge.bell.wait_request("ACK")
    hang_up(phone, final, edge.bell)

    assert (number(ack), tag(ack.get("To"))) == (2, f"t{edge.acme.port}")
    assert tag(final.get("To")) == f"t{edge.bell.port}"
    assert [(server, status) for server, status, _ in tried(end(edge, call))] == [
        (31, 503 if said == "503" else 408),
        (41, 200),
    ]


def test_no_transaction_stays_after_late_answers(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, pdd_max_ms=300)
    call = dial(phone, f"{ABROAD}@a.example")
    first = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(first, 100, "Trying"))
    second = edge.bell.wait_request("INVITE")
    edge.bell.send(edge.bell.reply(second, 180, "Ringing"))
    for _ in range(20):
        edge.acme.send(edge.acme.reply(first, 180, "Ringing"))
        edge.acme.send(edge.acme.reply(first, 200, "OK", body=SDP))
    confirm(edge.acme)
    edge.bell.send(edge.bell.reply(second, 200, "OK", body=SDP))
    hang_up(phone, call.final(), edge.bell)

    until(lambda: "current: 0" in edge.node.kamcmd("tm.stats"), 45, "all transactions to be gone")


# Time ---------------------------------------------------------------------------------------------------------------


def test_a_challenge_gives_an_attempt_no_more_time(edge: Edge, phone: Endpoint) -> None:
    """The lease is counted by the attempts: an answer after it would be of a call that nobody pays for."""
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
    until(lambda: phone.receive().status == 180, SOON_S, "ringing")

    edge.acme.send(edge.acme.reply(invite, 407, "Who", extra=(f"Proxy-Authenticate: {asks()}",)))
    edge.acme.wait_request("ACK")
    _, final = answer(edge.bell, call)
    hang_up(phone, final, edge.bell)

    assert not [message for message in drained(edge.acme, 0.1) if message.method == "INVITE"]
    assert tried(end(edge, call)) == [(31, 407, ""), (41, 200, "")]


def test_who_is_challenged_late_has_what_is_left(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 100, "Trying"))
    began = time.monotonic()
    until(lambda: time.monotonic() - began > RING_S - 0.5, RING_S, "most of the time to pass")
    edge.acme.send(edge.acme.reply(invite, 407, "Who", extra=(f"Proxy-Authenticate: {asks()}",)))
    again = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(again, 180, "Ringing"))

    final = call.final()

    assert final.status == 480
    assert time.monotonic() - began < RING_S + 4, "the ringing time and the first wait, not twice of them"
    cancel = edge.acme.wait_request("CANCEL")
    edge.acme.send(edge.acme.reply(cancel, 200, "OK"))
    edge.acme.send(edge.acme.reply(again, 487, "Request Terminated"))
    edge.acme.wait_request("ACK")
    assert number(cancel) == number(again)


# CSeq ---------------------------------------------------------------------------------------------------------------


def test_a_login_at_one_server_does_not_count_at_the_next(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 407, "Who", f"Proxy-Authenticate: {asks()}")
    refuse(edge.acme, 503)
    invite = edge.bell.wait_request("INVITE")
    edge.bell.send(edge.bell.reply(invite, 200, "OK", body=SDP))
    final = call.final()

    ack = edge.bell.wait_request("ACK")
    bye = hang_up(phone, final, edge.bell)

    assert number(ack) == number(invite) == 2
    assert number(bye) == 9


def test_a_prack_after_a_login_names_the_invite_as_the_server_counts_it(edge: Edge, phone: Endpoint) -> None:
    edge.change(ACME_1, login=LOGIN)
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 407, "Who", f"Proxy-Authenticate: {asks()}")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 183, "Session Progress", extra=("Require: 100rel", "RSeq: 7")))
    while (ringing := phone.receive()).status != 183:
        continue

    phone.send(phone.within("PRACK", ringing, cseq=3, extra=("RAck: 7 2 INVITE",)))
    prack = edge.acme.wait_request("PRACK")
    edge.acme.send(edge.acme.reply(prack, 200, "OK"))
    assert phone.final().status == 200
    edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))

    assert call.final().status == 486
    assert prack.all("RAck") == [f"7 {number(invite)} INVITE"]


@pytest.mark.parametrize("status", [401, 407])
def test_a_server_that_challenges_a_bye_does_not_keep_the_caller(edge: Edge, phone: Endpoint, status: int) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    _, final = answer(edge.acme, call)
    phone.send(phone.within("BYE", final, cseq=9))
    edge.acme.send(edge.acme.reply(edge.acme.wait_request("BYE"), status, "Who"))

    assert phone.final().status == 200
    confirm(edge.acme)


# Rows ---------------------------------------------------------------------------------------------------------------


def test_what_rings_with_ever_new_tags_takes_a_bounded_place(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    for at in range(60):
        edge.acme.send(edge.acme.reply(invite, 183, "Session Progress", to_tag=f"early{at}"))
        assert phone.receive().status in (100, 183)
    long_uri = re.sub("To: <[^>]*>", f"To: <sip:z@{'y' * 9_000}>", edge.acme.reply(invite, 183, "P", to_tag="long"))
    edge.acme.send(long_uri)

    until(lambda: len([row for row in rows(edge) if "/early/" in row]) == EARLY_MAX, SOON_S, "the first of them")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")

    assert sorted(row.partition("/")[2] for row in rows(edge)) == ["attempt", "callee", "caller"]
    hang_up(phone, final, edge.acme)


def test_a_reply_with_a_huge_head_goes_no_further(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 183, "Session Progress", extra=(f"X-Long: {'y' * 17_000}",)))
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))

    until(lambda: phone.receive().status == 180, SOON_S, "the other one")
    edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))

    assert call.final().status == 486


# Statuses -----------------------------------------------------------------------------------------------------------


def test_a_status_that_none_can_have_is_a_failure_of_the_server(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    refuse(edge.acme, 799, "What")

    _, final = answer(edge.bell, call)
    hang_up(phone, final, edge.bell)

    assert tried(end(edge, call)) == [(31, 500, ""), (41, 200, "")]


def test_sixteen_servers_with_logins_are_all_asked(edge: Edge, phone: Endpoint) -> None:
    """A transaction has thirty branches: the last servers get no second INVITE, but none is left out."""
    name = keys.peering_group(ACME)
    group = edge.world.records[name]
    assert isinstance(group, PeeringGroup)
    carrier = group.servers[0]._replace(login=LOGIN, enabled=True)
    servers = tuple(carrier._replace(id=300 + at, name=f"s{at}") for at in range(16))
    edge.writer.write({name: group._replace(servers=servers)})
    edge.writer.finish()
    before = len(edge.node.alarms)
    try:
        call = dial(phone, f"{ABROAD}@a.example")
        asked: list[Message] = []
        while len(asked) < 30:
            asked.append(refuse(edge.acme, 407, "Who", f"Proxy-Authenticate: {asks()}"))
        assert call.final().status == 503
    finally:
        edge.writer.write({name: edge.world.records[name]})
        edge.writer.finish()

    assert len({each.server_id for each in end(edge, call).attempts}) == 16
    assert sum(bool(invite.get("Proxy-Authorization")) for invite in asked) == 14
    assert edge.node.alarms[before:] == []
