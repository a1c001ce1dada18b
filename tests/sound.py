"""Calls with sound, for the tests of the relay: an account that asks for it, and a caller and a carrier who talk."""

from __future__ import annotations

from kemi import keys
from tests.dialogs import confirm
from tests.edge import Edge
from tests.fakes.world import ABROAD, CUSTOMER
from tests.rtp import Voice
from tests.sip import Call, Endpoint, Message, dial


def ask_for_relay(edge: Edge) -> None:
    """Let Alice's and Bob's account want the relay."""
    edge.world.change(keys.account(CUSTOMER), media="relay")
    edge.writer.write({keys.account(CUSTOMER): edge.world.records[keys.account(CUSTOMER)]})
    edge.writer.finish()


def let_talk(
    edge: Edge, phone: Endpoint, caller: Voice, called: Voice, line: str = "alice@a.example"
) -> tuple[Message, Message]:
    """Let a line and a carrier talk; return the INVITE that the carrier got and the 200 that the caller got."""
    call = dial(phone, f"{ABROAD}@{line.partition('@')[2]}", caller=line, body=caller.sdp)
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=called.sdp))
    final = verdict(call)
    assert final.status == 200, final
    edge.acme.wait_request("ACK")
    return invite, final


def end_by_caller(edge: Edge, phone: Endpoint, final: Message) -> None:
    """Let the caller end the call with the carrier."""
    phone.send(phone.within("BYE", final, cseq=9))
    confirm(edge.acme)
    assert phone.final().status == 200


def verdict(call: Call) -> Message:
    """Return the final answer; the challenge before it may come again while a worker waits for the relay."""
    while (final := call.final()).status == 407:
        pass
    return final
