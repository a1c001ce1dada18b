"""Two sides of a call, for the tests of dialogs. The caller has an address of its own: a node can tell them apart."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from tests.edge import SOON_S, Edge
from tests.fakes.world import ABROAD
from tests.sip import SDP, Endpoint, Message, dial

CALLER: Final = "127.0.0.2"
LONG_S: Final = 8.0
SHORT: Final = {"TANDEM_SLICE_S": "2", "TANDEM_RING_MAX_S": "3", "TANDEM_GRACE_S": "2"}
ODD_CONTACT: Final = re.compile("populate_leg_info|could not add further info")  # Kamailio complains and goes on


@contextmanager
def one_caller(edge: Edge) -> Iterator[Endpoint]:
    """Give the caller's endpoint; after it nothing may be held any more, and Python may not have failed."""
    before = len(edge.node.alarms)
    with edge.phone(CALLER) as endpoint:
        yield endpoint
    edge.wait_idle()
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    assert [line for line in edge.node.alarms[before:] if not ODD_CONTACT.search(line)] == []
    for carrier in (edge.acme, edge.bell):
        drained(carrier, 0.05)


def drained(endpoint: Endpoint, quiet_s: float = 0.3) -> list[Message]:
    """Return all that comes until nothing comes for a while."""
    found = []
    while True:
        try:
            found.append(endpoint.receive(quiet_s))
        except TimeoutError:
            return found


def methods(messages: list[Message]) -> list[str]:
    """Return the methods of the requests among these."""
    return [message.method for message in messages if not message.status]


def talking(edge: Edge, phone: Endpoint) -> tuple[Message, Message]:
    """Return the INVITE that the carrier got and the 200 that the caller got."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")
    return invite, final


def confirm(endpoint: Endpoint, deadline_s: float = SOON_S) -> Message:
    """Answer the BYE that comes."""
    bye = endpoint.wait_request("BYE", deadline_s)
    endpoint.send(endpoint.reply(bye, 200, "OK"))
    return bye


def hang_up(edge: Edge, phone: Endpoint, final: Message, cseq: int = 50) -> None:
    """Let the caller end the call, and the carrier hear of it."""
    phone.send(phone.within("BYE", final, cseq=cseq))
    confirm(edge.acme)
    assert phone.final().status == 200


def refused(phone: Endpoint, text: str) -> int:
    """Return the status that a request gets."""
    phone.send(text)
    return phone.final().status
