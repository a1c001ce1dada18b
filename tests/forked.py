"""Phones that ring together, as tests of them see it: who rings, who is cancelled, and what the record says."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from kemi.records import CallEnd
from tests.dialogs import confirm
from tests.edge import SOON_S
from tests.fakes.world import ALICE, BOB, BOB_NUMBER, CAROL
from tests.planned_edge import PlannedEdge
from tests.sip import SDP, Call, Endpoint, Message, dial, parse
from tests.wait import until

RING_S: Final = 4
ELSEWHERE: Final = 'SIP;cause=200;text="Call completed elsewhere"'
NO_SOCKET: Final = re.compile("no corresponding listening socket|adding branches|add branches|failed to forward|sctp")


class Phones:
    """The called phones of a test: two of Bob's, one of Carol's, and a box that takes voice mail."""

    def __init__(self, planned: PlannedEdge, stack: ExitStack) -> None:
        self.planned = planned
        self.bob_1 = stack.enter_context(planned.phone(BOB, "127.0.0.21"))
        self.bob_2 = stack.enter_context(planned.phone(BOB, "127.0.0.22"))
        self.carol = stack.enter_context(planned.phone(CAROL, "127.0.0.23"))
        self.box = stack.enter_context(planned.edge.phone("127.0.0.30"))

    @property
    def all(self) -> tuple[Endpoint, ...]:
        """The phones."""
        return (self.bob_1, self.bob_2, self.carol)


@contextmanager
def called_phones(planned: PlannedEdge) -> Iterator[Phones]:
    """Give phones; after the test nothing is held, no row of a call is left, and nothing was alarming."""
    before = len(planned.edge.node.alarms)
    with ExitStack() as stack:
        yield Phones(planned, stack)
        planned.edge.wait_idle()
    planned.plan.unlink(missing_ok=True)
    for who in (ALICE, BOB, CAROL):
        without_contacts(planned, who)
    assert planned.edge.node.counter("exceptions") == 0, planned.edge.node.alarms
    until(lambda: not rows(planned), SOON_S, "all rows of calls to be gone")
    assert [alarm for alarm in planned.edge.node.alarms[before:] if not NO_SOCKET.search(alarm)] == []


def without_contacts(planned: PlannedEdge, line_name: str) -> None:
    """Let a line have no phone any more."""
    try:
        planned.edge.node.kamcmd("ul.rm", "location", f"s:{line_name}")
    except subprocess.CalledProcessError:
        return  # it has none


def rows(planned: PlannedEdge) -> list[str]:
    """Return the names of all rows of sides and of their number."""
    dumps = [planned.edge.node.kamcmd("htable.dump", table) for table in ("sides", "earlies")]
    return [name for dump in dumps for name in re.findall(r"name: (\S+)", dump)]


def call_of(caller: Endpoint) -> Call:
    """Call Bob."""
    return dial(caller, f"{BOB_NUMBER}@a.example")


def ringing(*phones: Endpoint) -> list[Message]:
    """Let phones ring; return the INVITE of each."""
    invites = [phone.wait_request("INVITE") for phone in phones]
    for phone, invite in zip(phones, invites, strict=True):
        phone.send(phone.reply(invite, 180, "Ringing"))
    return invites


def heard_ringing(caller: Endpoint, phones_n: int) -> None:
    """Wait until the caller has heard so many phones ring: then Kamailio has their 180s.

    To a phone whose 180 comes with the answer it sends the CANCEL later, and says no words with the cause.
    """
    for _ in range(phones_n):
        while caller.receive().status != 180:
            pass


def refuse(phone: Endpoint, invite: Message, status: int, contact: str = "") -> None:
    """Let a phone refuse."""
    phone.send(phone.reply(invite, status, "No", contact=contact))


def answer(phone: Endpoint, invite: Message, call: Call) -> Message:
    """Let a phone answer; return the 200 that the caller got."""
    phone.send(phone.reply(invite, 200, "OK", body=SDP))
    final = call.final()
    assert final.status == 200
    phone.wait_request("ACK")
    return final


def cancelled(phone: Endpoint, invite: Message) -> str:
    """Wait for the CANCEL and obey it; return its Reason."""
    cancel = phone.wait_request("CANCEL")
    phone.send(phone.reply(cancel, 200, "OK"))
    phone.send(phone.reply(invite, 487, "Request Terminated"))
    phone.wait_request("ACK")
    return cancel.get("Reason")


def hang_up(caller: Endpoint, final: Message, phone: Endpoint) -> Message:
    """Let the caller end the call; return the BYE that the phone got."""
    caller.send(caller.within("BYE", final, cseq=9))
    bye = confirm(phone)
    assert caller.final().status == 200
    return bye


def end(planned: PlannedEdge, call: Call) -> CallEnd:
    """Return how a call has ended."""
    return planned.edge.event(parse(call.invite.encode()).get("Call-ID")).end


def told(end: CallEnd) -> list[tuple[int, int, str]]:
    """Return place, status and word of each attempt."""
    return [(each.place, each.status, each.why) for each in end.attempts]
