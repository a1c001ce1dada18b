"""Whom a number reaches beyond a single line: users, groups, callflows, forwards.

A destination is written as the short name of what is reached: `sub:<user>@<domain>`, `user:<id>`, `grp:<id>`,
`flow:<id>`, `num:<E.164 digits>` (a number of ours, or one that leaves to carriers), `ext:<account>:<dialled>`, or
`media:<id>` with the user part that is called there; "" = nothing.
"""

from __future__ import annotations

from typing import NamedTuple


class Forward(NamedTuple):
    """Where calls to a line or a user go instead, or afterwards.

    kind: "always" (CFU), "busy" (CFB: or declined), "no_answer" (CFNA: it rang its time), "timeout" (CFT: it rang
    after_s seconds), "unreachable" (CFNR: no phone is registered, or none says anything). Of one kind the first whose
    conditions hold counts. to, to_user: a destination; to_user of a media server only. after_s: of "timeout", ≥ 1.
    time_set_id: it holds only then, 0 = always. callers: shell patterns over E.164 digits, "anonymous" for callers
    without a number; () = all.
    """

    id: int
    kind: str
    to: str
    to_user: str = ""
    after_s: int = 0
    time_set_id: int = 0
    callers: tuple[str, ...] = ()


class TrunkPlace(NamedTuple):
    """Where an IP trunk takes calls. address: an IP address. port: 0 = the transport's. transport: "udp" or "tcp".

    The lowest priority is tried first, within one a draw by weight (≥ 0) decides the order.
    """

    id: int
    address: str
    port: int = 0
    transport: str = "udp"
    priority: int = 0
    weight: int = 1


class User(NamedTuple):
    """`user:<id>`: a person; calling it rings all its lines (addresses of record) at once.

    status: a Status. dnd: it takes no calls. ring_s: how long they ring, 0 = the node's. calls_max: calls at a time of
    all its lines together, 0 = any number; its fund bounds them, and counts what its own forwards lead on too.
    forwards: in the order in which they are looked at.
    """

    id: int
    account_id: int
    name: str
    status: int
    lines: tuple[str, ...] = ()
    dnd: bool = False
    ring_s: int = 0
    calls_max: int = 0
    forwards: tuple[Forward, ...] = ()


class Member(NamedTuple):
    """One of a group: a line (`sub:…`) or a user (`user:…`). ring_s: 0 = the group's."""

    to: str
    ring_s: int = 0


class RingGroup(NamedTuple):
    """`grp:<id>`: several lines and users that are called together or in turn.

    policy: "parallel", "serial" (in order), "random" (another order each call), "circular" (each call begins with the
    member after the one that the call before began with). member_s: how long each rings when they are called in turn;
    total_s: how long all of them together; 0 = the node's. skip_busy: who is in a call is passed over.
    overflow, overflow_user: a destination when nobody answers, "" = the call fails.
    """

    id: int
    account_id: int
    name: str
    policy: str
    members: tuple[Member, ...] = ()
    member_s: int = 0
    total_s: int = 0
    skip_busy: bool = False
    overflow: str = ""
    overflow_user: str = ""


class Step(NamedTuple):
    """One step of a callflow. Steps follow each other; a condition that does not hold leads to another one.

    kind: "ring" (to, for ring_s seconds, 0 = the node's; unanswered: the next step), "forward" (to a number, for good),
    "flow" (another callflow, for good), "media" (a media server's to_user, for good: an announcement, a voicemail box),
    "reject" (status, phrase), "time" (the time set holds: the next step, else step `otherwise`), "caller" (the caller
    is among callers: the next step, else step `otherwise`). otherwise: place in the callflow, from 0, always a later
    one; a place behind the last step ends the callflow. position: what people number the step by, 0 = by its place.
    """

    kind: str
    to: str = ""
    to_user: str = ""
    ring_s: int = 0
    time_set_id: int = 0
    callers: tuple[str, ...] = ()
    otherwise: int = 0
    status: int = 0
    phrase: str = ""
    position: int = 0


class Callflow(NamedTuple):
    """`flow:<id>`: literal steps: it does what they say and nothing else; after the last one the call has failed."""

    id: int
    account_id: int
    name: str
    steps: tuple[Step, ...] = ()


class Extension(NamedTuple):
    """`ext:<account>:<dialled>`: what a line of the account reaches by these digits or this word."""

    account_id: int
    dialled: str
    to: str
    to_user: str = ""


class MediaServer(NamedTuple):
    """`media:<id>`: where announcements and voicemail boxes live. address: an IP address; port: 0 = the transport's."""

    id: int
    account_id: int
    name: str
    address: str
    port: int = 0
    transport: str = "udp"
