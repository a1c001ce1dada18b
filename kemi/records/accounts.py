"""Tenants, their domains, lines and numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

from kemi.records.people import Forward, TrunkPlace
from kemi.records.prices import Span


class AccountKind(IntEnum):
    """Where an account stands in the tree. Only the root has no parent, and it is billed by nobody."""

    ROOT = 0
    RESELLER = 1
    CUSTOMER = 2


class Status(IntEnum):
    """Whether an account, a subscriber or a number may make and receive calls."""

    ACTIVE = 0
    SUSPENDED = 1
    CLOSED = 2


class CliPolicy(IntEnum):
    """What happens to a caller number that is not among the subscriber's allowed CLIs."""

    OVERRIDE = 0
    ANONYMISE = 1
    REJECT = 2


class Lock(IntEnum):
    """What a person, or a crossed threshold, has forbidden an account and all below it; each adds to the one before.

    FOREIGN: calls that leave to carriers. OUTGOING: every call of theirs. ALL: calls to them too. GLOBAL: registering
    too. Emergency calls pass all of them.
    """

    NONE = 0
    FOREIGN = 1
    OUTGOING = 2
    ALL = 3
    GLOBAL = 4


class ReplyOverride(NamedTuple):
    """A tenant's own SIP code and phrase for one refusal reason."""

    reason: str
    status: int
    phrase: str


class Account(NamedTuple):
    """`acct:<id>`: one node of the tenant tree.

    parent_id: 0 for the root. tariff_id: what the parent charges this account; 0 for the root.
    routing: sequence of {prefix, priority, cost, quality, weight}, inherited from above when empty.
    barred: E.164 prefixes that this account and all below it may not call.
    owns_carriers: there are peering groups of its own, so there may be PeeringRules of its own.
    lock: a Lock, of this account and all below it. barring_id: the barring level that the account above has set;
    own_barring_id: that the account has set itself; 0 = none; both hold for all below it. blocked_in, blocked_out:
    shell patterns over E.164 digits, "anonymous" for callers without a number: who may not call a line of this account,
    and whom it may not call. carriers: whose it uses: "all"; "own_first": those of the nearest account that owns some
    before the others; "own_only". loss_pct: how much more it may spend on a call, on its parent and a carrier of its
    own, than those below pay it: -1 = anything, 0 = no more. attempts_max: servers tried per call; 0 = what the account
    above says. offline_calls: how many calls at a time each node lets in for this account, and for all below it that
    say nothing of their own, while nothing can be held because the store is down: 0 = none here and below, as for every
    prepaid account; -1 = what the account above says, and none where nobody says anything. offline_s: the longest such
    call, and how long one goes on beyond what is held for it when the store goes down meanwhile. media: whether sound
    goes through our relay: "relay", "direct"; "" = as the account above says, direct where nobody says anything.
    """

    id: int
    parent_id: int
    kind: int
    status: int
    name: str
    currency: str
    tariff_id: int
    timezone: str
    routing: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()
    replies: tuple[ReplyOverride, ...] = ()
    owns_carriers: bool = False
    lock: int = Lock.NONE
    barring_id: int = 0
    own_barring_id: int = 0
    blocked_in: tuple[str, ...] = ()
    blocked_out: tuple[str, ...] = ()
    carriers: str = "all"
    loss_pct: int = 0
    attempts_max: int = 0
    offline_calls: int = -1
    offline_s: int = 600
    media: str = ""


class SipDomain(NamedTuple):
    """`dom:<name>`: a SIP domain with the defaults of its subscribers.

    rewrite_set_id: 0 = none. region: whose emergency numbers count, "" = none in particular. digest: what its lines are
    asked for: "md5", "sha256", "both".
    """

    id: int
    name: str
    account_id: int
    enabled: bool
    rewrite_set_id: int = 0
    region: str = ""
    digest: str = "md5"


class Subscriber(NamedTuple):
    """`sub:<username>@<domain>`: a SIP line or trunk.

    ha1_md5, ha1_sha256: lower-case hex (32 / 64 characters) or "" where that algorithm is not offered.
    cli: own number, E.164 digits without "+". allowed_clis: shell patterns (`* ? [a-z]`) over such digits.
    rewrite_set_id: 0 = use the domain's. barring_id, own_barring_id, blocked_in, blocked_out: as in Account.
    is_hidden: the number is never shown (CLIR), whatever the call asks. region: "" = the domain's. lock: a Lock.
    kind: "line"; "pilot" (its numbers, with an extension of the account behind them, reach that extension); "trunk" (a
    PBX that registers) and "ip_trunk" (one at `places`), which are told the dialled number where did_in says: "ruri" or
    "to". user_id: whose device it is, 0 = nobody's. dnd: it takes no calls. forwards: in the order in which they are
    looked at. ring_s: how long it rings, 0 = the node's. contacts_max: phones that may be registered, 0 = the node's.
    expires_min_s, expires_max_s: bounds of a registration, 0 = the node's. register_from: networks in CIDR form from
    which it may register, () = all. digest: as of the domain, "" = the domain's. counted: the funds that count its
    calls, by name: its own, and its user's; those of them that have limits, or are in a group that passes over who is
    in a call. The limits themselves are terms of these funds.
    """

    id: int
    username: str
    domain: str
    account_id: int
    status: int
    ha1_md5: str
    ha1_sha256: str
    cli: str
    allowed_clis: tuple[str, ...] = ()
    cli_policy: int = CliPolicy.OVERRIDE
    rewrite_set_id: int = 0
    barring_id: int = 0
    own_barring_id: int = 0
    blocked_in: tuple[str, ...] = ()
    blocked_out: tuple[str, ...] = ()
    is_hidden: bool = False
    region: str = ""
    lock: int = Lock.NONE
    kind: str = "line"
    user_id: int = 0
    dnd: bool = False
    forwards: tuple[Forward, ...] = ()
    ring_s: int = 0
    did_in: str = "ruri"
    places: tuple[TrunkPlace, ...] = ()
    contacts_max: int = 0
    expires_min_s: int = 0
    expires_max_s: int = 0
    register_from: tuple[str, ...] = ()
    digest: str = ""
    counted: tuple[str, ...] = ()


class Number(NamedTuple):
    """`num:<E.164 digits>`: a DID or alias and what it reaches.

    subscriber: address of record, "" = none. to, to_user: where it reaches no line, a destination as in people.py.
    """

    number: str
    account_id: int
    status: int
    subscriber: str
    to: str = ""
    to_user: str = ""


class BarringRule(NamedTuple):
    """One pattern of a barring level: a regex searched in the called number, E.164 digits without "+"."""

    id: int
    pattern: str


class BarringLevel(NamedTuple):
    """`bar:<id>`: what may not be called. is_whitelist: only what a rule matches may be called; else all but that.

    time_set_id: the level holds only then, 0 = always. spares_internal: calls to lines of ours pass.
    """

    id: int
    name: str
    is_whitelist: bool
    rules: tuple[BarringRule, ...] = ()
    time_set_id: int = 0
    spares_internal: bool = False


class DayRange(NamedTuple):
    """Days from the first to the last, both included, as yyyymmdd; as mmdd they return each year (1224 … 106 too)."""

    first: int
    last: int


class TimeSet(NamedTuple):
    """`tset:<id>`: times at which something holds.

    spans: of the week, in the time zone (IANA name); () = at all times, but on the open days only where there are some.
    shut: on these days it does not hold. open: on these days it holds from midnight to midnight, whatever else is said.
    """

    id: int
    name: str
    timezone: str
    spans: tuple[Span, ...] = ()
    shut: tuple[DayRange, ...] = ()
    open: tuple[DayRange, ...] = ()


class PortedNumber(NamedTuple):
    """`lnp:<digits>`: a number, or every number that begins so, that another network serves now.

    digits: E.164. routing: the number, or the beginning that takes the place of `digits`, by which a carrier is chosen.
    group_id: the only carrier that takes it, 0 = any.
    """

    digits: str
    routing: str
    group_id: int = 0


class Lengths(NamedTuple):
    """`lnplens`: how long the digits of ported numbers are, longest first: which keys may exist."""

    lengths: tuple[int, ...]


class Destination(NamedTuple):
    """How long an answered call to numbers with this prefix is expected to last. expected_s ≥ 1."""

    prefix: str
    expected_s: int


class Destinations(NamedTuple):
    """`dest:<first two digits>`: the destinations that begin so, by prefix; a shorter prefix stands below each."""

    entries: tuple[Destination, ...]
