"""TCP on a real node: who says nothing loses his connection soon, and whom we may have to speak to keeps his."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest

from kemi import keys
from tests.edge import SOON_S, Edge, running_edge
from tests.fakes.world import ABROAD, ACME, ACME_1, BOB_NUMBER
from tests.phones import Phone
from tests.sip import Endpoint, Message, dial
from tests.tcp import TcpEndpoint
from tests.wait import until

BOB = "bob@a.example"
FLOW = "<sip:bob@192.168.7.9:5060;transport=tcp;ob>"
PING, PONG = b"\r\n\r\n", b"\r\n"
CLOSED_S = 30.0
SEGMENTS_IN_AT = 140  # tcpi_segs_in of linux/tcp.h's struct tcp_info


class Hidden(TcpEndpoint):
    """A phone behind a NAT: to it no connection can be made."""

    @property
    def contact(self) -> str:
        """An address of its own network."""
        return "sip:ua@192.168.7.9:5060;transport=tcp"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run a node that waits a second where others wait a minute."""
    with running_edge(defines={"TCP_SILENT_S": 1, "TCP_KEEP_S": 1}) as running:
        yield running


def outlast_silence(edge: Edge) -> None:
    """Return when a connection is closed on which something was said last, by a ping of RFC 5626, after all others."""
    with closing(socket.create_connection(edge.node.address)) as silent:
        silent.settimeout(CLOSED_S)
        silent.sendall(PING)
        assert silent.recv(len(PING)) == PONG
        assert silent.recv(1) == b""


def test_a_silent_connection_is_closed_and_a_registered_one_is_not(edge: Edge) -> None:
    """Else one address takes all connections that there are, without a password."""
    with Phone(edge.node.address, BOB, transport="TCP") as phone:
        assert phone.register(contact=FLOW).status == 200
        outlast_silence(edge)
        with edge.phone() as caller:
            dial(caller, f"{BOB_NUMBER}@a.example")
            invite = phone.end.wait_request("INVITE", SOON_S)
            phone.end.send(phone.end.reply(invite, 486, "Busy Here"))
            assert caller.final().status == 486
        assert phone.register(contact="*", expires="0").status == 200


@pytest.mark.parametrize("refreshes", [False, True])
def test_a_caller_keeps_his_connection_through_a_silent_call(edge: Edge, refreshes: bool) -> None:
    """Also on another connection, that he has told us of since: nobody could make one to him."""
    with Hidden(edge.node.address) as caller:
        invite, answer = _talk(edge, caller)
        if refreshes:
            _refresh(edge, caller, answer)
        outlast_silence(edge)
        _hang_up(edge, caller, invite)


def test_a_caller_who_has_told_of_himself_again_is_reached_as_he_says(edge: Edge) -> None:
    """By TCP still: a new Contact counts as it is written."""
    with TcpEndpoint(edge.node.address) as caller:
        invite, answer = _talk(edge, caller)
        _refresh(edge, caller, answer)
        _hang_up(edge, caller, invite)


def test_a_carrier_that_rings_long_answers_on_our_connection(edge: Edge) -> None:
    """And is told on it that the call is over: nobody else has said a word there."""
    with TcpEndpoint(edge.node.address, "127.0.0.13") as carrier, edge.phone() as caller:
        before = edge.world.records[keys.peering_group(ACME)]
        edge.change(ACME_1, address=carrier.host, port=carrier.port, transport="tcp")
        call = dial(caller, f"{ABROAD}@a.example")
        invite = carrier.wait_request("INVITE", SOON_S)
        carrier.send(carrier.reply(invite, 180, "Ringing"))
        outlast_silence(edge)
        (connection,) = carrier.connections
        carrier.send(carrier.reply(invite, 200, "OK"))
        final = call.final()
        assert final.status == 200
        carrier.wait_request("ACK", SOON_S)
        outlast_silence(edge)
        assert _lifetime_s(edge, carrier.host) > 1_000
        caller.send(caller.within("BYE", final, cseq=9))
        bye = carrier.wait_request("BYE", SOON_S)
        assert carrier.connections == (connection,)
        carrier.send(carrier.reply(bye, 200, "OK"))
        assert caller.final().status == 200
        assert _lifetime_s(edge, carrier.host) == 1  # the call is over
        edge.world.records[keys.peering_group(ACME)] = before
        edge.writer.write({keys.peering_group(ACME): before})
        edge.writer.finish()
    edge.wait_idle()


def test_a_call_keeps_one_connection_of_each_side_and_nobody_elses(edge: Edge) -> None:
    """Who has its numbers could keep all that there are, for as long as a call may last."""
    with Hidden(edge.node.address, "127.0.0.65") as caller, ExitStack() as open_ones:
        _, answer = _talk(edge, caller)
        (first,) = caller.connections
        updates = [_update_over(edge, caller, answer, cseq, "127.0.0.66") for cseq in range(10, 13)]
        updates += [_update_over(edge, caller, answer, cseq, caller.host) for cseq in range(13, 16)]
        for each in updates:
            open_ones.enter_context(each)
        outlast_silence(edge)
        updates.append(open_ones.enter_context(_update_over(edge, caller, answer, 20, caller.host)))
        until(lambda: all(map(_is_closed, updates[:-1])), CLOSED_S, "all connections but the last to be closed")
        until(lambda: _is_closed(first), CLOSED_S, "that of the INVITE too")
        outlast_silence(edge)
        assert not _is_closed(updates[-1])
        updates[-1].sendall(caller.within("BYE", answer, cseq=99).encode())
        edge.acme.send(edge.acme.reply(edge.acme.wait_request("BYE", SOON_S), 200, "OK"))
        updates[-1].setblocking(True)
        assert updates[-1].recv(65_535).startswith(b"SIP/2.0 200 ")
        until(lambda: _is_closed(updates[-1]), CLOSED_S, "the last one to be closed after the call")
    edge.wait_idle()


def test_a_shorter_word_never_shortens_what_a_connection_was_promised() -> None:
    """Neither a call that may last for seconds only, nor another line of the same PBX."""
    with (
        running_edge({"TANDEM_MAX_CALL_S": "5"}, defines={"TCP_SILENT_S": 1, "TCP_KEEP_S": 1}) as edge,
        Phone(edge.node.address, BOB, transport="TCP") as phone,
    ):
        assert phone.register(contact=FLOW, expires="3600").status == 200
        dial(phone.end, f"{ABROAD}@a.example", caller=BOB)
        invite = edge.acme.wait_request("INVITE", SOON_S)
        edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
        assert phone.end.final().status == 486
        assert _lifetime_s(edge, phone.end.host) > 3_500
        other = Phone(edge.node.address, "alice@a.example", transport="TCP")
        with other:
            other.end, own = phone.end, other.end
            assert other.register(contact=FLOW.replace("bob", "alice"), expires="30").status == 200
            assert _lifetime_s(edge, phone.end.host) > 3_500
            assert other.register(contact="*", expires="0").status == 200
            other.end = own
        assert phone.register(contact="*", expires="0").status == 200


def test_a_phone_that_says_nothing_is_asked_whether_it_is_there(edge: Edge) -> None:
    """By the kernel, again and again, which keeps the way through a NAT open: no SIP is said."""
    with Phone(edge.node.address, BOB, transport="TCP") as phone:
        assert phone.register(contact=FLOW).status == 200
        before = _heard(phone.end)
        until(lambda: _heard(phone.end) >= before + 2, SOON_S, "two segments without a word")
        assert phone.end.silent()
        assert phone.register(contact="*", expires="0").status == 200


def _talk(edge: Edge, caller: TcpEndpoint) -> tuple[Message, Message]:
    """Return the INVITE that acme has answered, and the caller's answer."""
    call = dial(caller, f"{ABROAD}@sip.example")
    invite = edge.acme.wait_request("INVITE", SOON_S)
    edge.acme.send(edge.acme.reply(invite, 200, "OK"))
    answer = call.final()
    assert answer.status == 200
    edge.acme.wait_request("ACK", SOON_S)
    return invite, answer


def _hang_up(edge: Edge, caller: TcpEndpoint, invite: Message) -> None:
    """Let acme end the call."""
    edge.acme.send(edge.acme.back("BYE", invite, cseq=9))
    bye = caller.wait_request("BYE", SOON_S)
    caller.send(caller.reply(bye, 200, "OK"))
    assert edge.acme.final().status == 200


def _refresh(edge: Edge, caller: TcpEndpoint, answer: Message) -> None:
    """Begin a new connection by an UPDATE."""
    caller.send(caller.within("UPDATE", answer, cseq=7), edge.node.address)
    update = edge.acme.wait_request("UPDATE", SOON_S)
    edge.acme.send(edge.acme.reply(update, 200, "OK"))
    assert caller.final().status == 200


def _update_over(edge: Edge, caller: TcpEndpoint, answer: Message, cseq: int, host: str) -> socket.socket:
    """Return a new connection on which the caller's side was told of again."""
    made = socket.create_connection(edge.node.address, source_address=(host, 0))
    made.sendall(caller.within("UPDATE", answer, cseq=cseq).encode())
    update = edge.acme.wait_request("UPDATE", SOON_S)
    edge.acme.send(edge.acme.reply(update, 200, "OK"))
    made.settimeout(SOON_S)
    assert made.recv(65_535).startswith(b"SIP/2.0 200 ")
    return made


def _is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(65_535, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


def _lifetime_s(edge: Edge, host: str) -> int:
    """Return how long the one connection with a host may be silent."""
    (found,) = (
        int(each["lifetime"].partition(" ")[0])
        for each in map(_fields, edge.node.kamcmd("core.tcp_list").split("\n}"))
        if host in (each.get("src_ip"), each.get("dst_ip"))
    )
    return found


def _fields(row: str) -> dict[str, str]:
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in row.splitlines())}


def _heard(end: Endpoint) -> int:
    """Return how many segments have come on the phone's connection."""
    assert isinstance(end, TcpEndpoint)
    (connection,) = end.connections
    told = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("I", told, SEGMENTS_IN_AT)[0])
