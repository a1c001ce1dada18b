"""What a decision can be. Every outcome is a value and carries its trace.

Rule 1: a refusal is a value with a stable reason; the table reason -> SIP stands in refusals.py.
Rule 2: trace entries are short sentences that name the rule ids; they hold no secret.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.core.request import SipUri
from kemi.records import PinnedCall, PinnedTarget, ReplyOverride

Trace = tuple[str, ...]


class Need(NamedTuple):
    """The decision cannot be made before these are known: fetch all in one round trip and ask again.

    keys: short names; the fetch follows their links (subscriber -> account -> parents -> tariffs …).
    digits: when not "", the fetch also brings the rate buckets of these digits for every tariff reached.
    nonce_uses: nothing to fetch: the response is right, so now count how often its nonce and count came.
    held: names that the decision stands on as they are known: the fetch brings those again that have changed meanwhile.
    """

    keys: tuple[str, ...]
    digits: str = ""
    nonce_uses: bool = False
    held: tuple[str, ...] = ()


class Challenge(NamedTuple):
    """Ask for digest credentials: 401 for REGISTER, else 407. headers: complete header values to append."""

    status: int
    header: str
    values: tuple[str, ...]
    trace: Trace


class Reject(NamedTuple):
    """A final refusal. account_id: the level that refused, 0 = none. call: what a CDR can say about it."""

    reason: str
    status: int
    phrase: str
    q850: int
    retry_after_s: int
    account_id: int
    trace: Trace
    call: PinnedCall | None = None


class Register(NamedTuple):
    """An authenticated REGISTER: save the contacts under this address of record."""

    address_of_record: str
    trace: Trace


class Header(NamedTuple):
    """A header that this attempt sends."""

    name: str
    value: str


class Target(NamedTuple):
    """One attempt, ready for the branch route: per-carrier edits, computed from the original numbers.

    kind: "server" (send to next_hop) or "local" (look the address of record up among registrations).
    ruri: for a server the R-URI to send. next_hop: `sip:<ip>:<port>;transport=…`. address_of_record: local only.
    from_uri, from_display: what the From shall say, "" = unchanged. remove: header names to strip.
    pinned: the same candidate as pinned with the hold.
    """

    kind: str
    ruri: str
    next_hop: str
    from_uri: str
    from_display: str
    headers: tuple[Header, ...]
    remove: tuple[str, ...]
    pinned: PinnedTarget
    address_of_record: str = ""


OUT: Final = 1
IN: Final = 2


class HoldFund(NamedTuple):
    """One fund row of a hold, merged: a shared ancestor stands once. level: nearest level it pays for.

    account_id: for naming the level in a refusal. sides: OUT on the caller's chain, IN on the called number's, their
    sum on both: the call is one channel in all, and one of each side.
    """

    fund: str
    account_id: int
    level: int
    sides: int = OUT


class HoldRow(NamedTuple):
    """One row of a schedule: cumulative price of `talk_s` seconds per fund, in the order of the funds."""

    talk_s: int
    price_micros: tuple[int, ...]


class Hold(NamedTuple):
    """What to hold, all or nothing. funds: ≤ 24. rows: ≤ 16, both columns rising. used: short names decided on."""

    funds: tuple[HoldFund, ...]
    rows: tuple[HoldRow, ...]
    used: tuple[str, ...]


class Route(NamedTuple):
    """The call may go once `hold` is granted. emergency: goes even when the hold cannot be asked or is refused.

    targets: in hunting order, at least one. caller_uri: identity of the caller after rewriting.
    ring_max_s: how long one attempt may ring. replies: the tenants' own answers, should the hold be refused.
    """

    call: PinnedCall
    hold: Hold
    targets: tuple[Target, ...]
    caller_uri: SipUri
    ring_max_s: int
    trace: Trace
    emergency: bool = False
    replies: tuple[ReplyOverride, ...] = ()


Decision = Challenge | Reject | Register | Route
