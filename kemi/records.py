"""The shape of everything that crosses Redis.

Rule 1: a record is a `NamedTuple`; its wire form is a msgpack array in field order (see codec.py).
Rule 2: fields are only ever appended, with a default; never reordered, renamed in meaning, or reused.
Rule 3: money is an integer in micro-units of the named currency, time an integer with its unit last in the name.
Rule 4: one record per aggregate; an aggregate never embeds its ancestors, it names their keys.

This module knows nothing of Redis, Postgres, SIP stacks or the decision.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


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


class SourceKind(IntEnum):
    """What a source address stands for; a peer wins a tie with a trusted source."""

    PEER = 0
    TRUSTED = 1


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
    lock: a Lock, of this account and all below it.
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


class SipDomain(NamedTuple):
    """`dom:<name>`: a SIP domain with the defaults of its subscribers. rewrite_set_id: 0 = none."""

    id: int
    name: str
    account_id: int
    enabled: bool
    rewrite_set_id: int = 0


class Subscriber(NamedTuple):
    """`sub:<username>@<domain>`: a SIP line or trunk.

    ha1_md5, ha1_sha256: lower-case hex (32 / 64 characters) or "" where that algorithm is not offered.
    cli: own number, E.164 digits without "+". allowed_clis: shell patterns (`* ? [a-z]`) over such digits.
    rewrite_set_id: 0 = use the domain's. channels_max: 0 = no limit of its own.
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


class Source(NamedTuple):
    """One meaning of a source network: a peer's server, or a trusted source that stands for a subscriber.

    transport: "udp", "tcp", "tls", or "" for any. from_pattern: regex searched in the From URI; "" = any.
    group_id, server_id: set for a peer. subscriber: address of record, set for a trusted source.
    """

    id: int
    kind: int
    network: str
    transport: str = ""
    from_pattern: str = ""
    group_id: int = 0
    server_id: int = 0
    subscriber: str = ""


class Sources(NamedTuple):
    """`src:<network>`: every source with exactly this network, e.g. `src:203.0.113.0/24`."""

    entries: tuple[Source, ...]


class Masks(NamedTuple):
    """`masks`: the prefix lengths that occur among source networks, longest first."""

    v4: tuple[int, ...]
    v6: tuple[int, ...]


class Number(NamedTuple):
    """`num:<E.164 digits>`: a DID, alias or extension and the subscriber that it reaches."""

    number: str
    account_id: int
    status: int
    subscriber: str


class RewriteRule(NamedTuple):
    r"""First match wins. pattern: regex over the dialled digits; replacement with `\1` groups."""

    id: int
    priority: int
    pattern: str
    replacement: str


class RewriteSet(NamedTuple):
    """`rws:<id>`: four lists in ascending priority. in: towards E.164; out: towards the next hop."""

    id: int
    name: str
    caller_in: tuple[RewriteRule, ...] = ()
    callee_in: tuple[RewriteRule, ...] = ()
    caller_out: tuple[RewriteRule, ...] = ()
    callee_out: tuple[RewriteRule, ...] = ()


class PeerServer(NamedTuple):
    """One server of a peering group. address: an IP address (names are resolved outside workers)."""

    id: int
    name: str
    address: str
    port: int
    transport: str
    weight: int
    enabled: bool
    rewrite_set_id: int = 0


class InboundRule(NamedTuple):
    """A filter on INVITEs from a group's servers.

    field: "from", "to", "ruri", "pai"; part: "user", "domain", "uri". code 0: no answer of its own, the
    group is passed over when the pattern does not match.
    """

    id: int
    priority: int
    field: str
    part: str
    pattern: str
    code: int = 0
    phrase: str = ""


class PeeringGroup(NamedTuple):
    """`pg:<id>`: a carrier. All servers of a group terminate the same destinations.

    account_id: who owns the interconnection (root, or a tenant with carriers of its own; only that
    account's subtree may use it). tariff_id: the carrier's deck, what it charges the owner.
    spent: why no more money may go there, "" = it may: "balance", "day" or "month", as far as calls are posted.
    """

    id: int
    name: str
    account_id: int
    priority: int
    enabled: bool
    tariff_id: int
    currency: str
    rewrite_set_id: int = 0
    servers: tuple[PeerServer, ...] = ()
    inbound_rules: tuple[InboundRule, ...] = ()
    spent: str = ""


class PeeringRule(NamedTuple):
    """Which calls a group takes. Patterns are regexes ("" = any): callee over `sip:<digits>@…`, caller likewise."""

    id: int
    group_id: int
    callee_prefix: str
    callee_pattern: str = ""
    caller_pattern: str = ""
    stopper: bool = False
    enabled: bool = True


class PeeringRules(NamedTuple):
    """`rules:<owner account id>:<callee prefix>`: every peering rule of the owner's groups with exactly this prefix.

    "" is a prefix too. The owner is that of the groups: a rule is nobody's business outside the owner's subtree.
    """

    entries: tuple[PeeringRule, ...]


class Deck(NamedTuple):
    """From valid_from_ms (Unix time) on, this rate set is in force; 0 = from then on the tariff has no prices."""

    valid_from_ms: int
    rate_set_id: int


class Tariff(NamedTuple):
    """`tar:<id>`: which immutable rate sets are in force, and how prices come out of them.

    rate_set_id: in force until the first of `decks`; these rise in time, and the last one that has begun when the call
    begins is in force. timezone: IANA name, of its periods. rounding: of the price of a call, to whole multiples of
    round_to_micros (1 … 1 unit): "up", "down", "half_up", "half_even". onnet: which calls between lines of ours cost
    what rate_set_id says: "free" (none), "other" (to another customer), "all". inbound_rate_set_id: what is paid for
    calls TO a number, by the longest prefix of that number; 0 = nothing.
    """

    id: int
    account_id: int
    name: str
    currency: str
    rate_set_id: int
    timezone: str = "UTC"
    rounding: str = "up"
    round_to_micros: int = 1
    onnet: str = "free"
    inbound_rate_set_id: int = 0
    decks: tuple[Deck, ...] = ()


class PeriodPrice(NamedTuple):
    """The price of a minute and of an answer while a period of the rate set lasts. period: its place there, from 0."""

    period: int
    per_min_micros: int
    connect_micros: int = 0


class Rate(NamedTuple):
    """A price class of a rate set. Charged: connect fee, then first_s, then each begun next_s; at least min_micros.

    first_s, next_s: 1…3600. per_min_micros ≥ 0, in the tariff's currency. forbidden: nobody may call this.
    min_micros: of an answered call. periods: other prices at other times of the week.
    """

    per_min_micros: int
    first_s: int = 1
    next_s: int = 1
    connect_micros: int = 0
    forbidden: bool = False
    min_micros: int = 0
    periods: tuple[PeriodPrice, ...] = ()


class Span(NamedTuple):
    """A part of the week, in minutes since Monday 00:00 of the tariff's time zone: from_min ≤ now < to_min ≤ 10080."""

    from_min: int
    to_min: int


class Period(NamedTuple):
    """Times of the week that have prices of their own.

    Of several that fit, the first of the rate set counts that a class has a price for.
    """

    name: str
    spans: tuple[Span, ...]


class RateSet(NamedTuple):
    """`rset:<id>`: the price classes of an immutable rate set. The prefixes stand in the hash `rate:<id>`."""

    id: int
    rates: tuple[Rate, ...]
    periods: tuple[Period, ...] = ()


class ExchangeRate(NamedTuple):
    """From valid_from_ms on, one unit of `base` costs `nanos` / 10^9 units of `quote`. 1 ≤ nanos < 2^53."""

    base: str
    quote: str
    valid_from_ms: int
    nanos: int


class Exchange(NamedTuple):
    """`fx`: every exchange rate in force or to come, by base, quote and time."""

    rates: tuple[ExchangeRate, ...]


class EmergencyRoute(NamedTuple):
    """An emergency number of a SIP domain ("" = everywhere) and the groups to try, in order."""

    domain: str
    number: str
    group_ids: tuple[int, ...]


class Emergency(NamedTuple):
    """`emergency`: the whole table; small, loaded by every worker at start and kept without Redis."""

    routes: tuple[EmergencyRoute, ...]


class Band(NamedTuple):
    """A price that holds until until_ms (Unix time; 0 = for ever), from the end of the band before it."""

    until_ms: int
    per_min_micros: int
    connect_micros: int = 0


class PinnedLeg(NamedTuple):
    """One payment of a call, with everything needed to price it later whatever changes meanwhile.

    payer_id pays payee_id. fund: "<account id>:<currency>" that Redis holds for it, "" where it is posted
    in Postgres only (what we owe a carrier). level: 1 = the payer nearest to the caller.
    currency: of the tariff, so of the rate and of what the payee earns. exchange_nanos: what the fund pays for 10^9 of
    it; 0 = the fund is in the same currency. rounding, round_to_micros: as in Tariff. bands: where the price changes
    during the longest possible call, rising; () = rate holds all the time.
    """

    level: int
    payer_id: int
    payee_id: int
    currency: str
    fund: str
    tariff_id: int
    rate_set_id: int
    prefix: str
    rate: Rate
    bands: tuple[Band, ...] = ()
    rounding: str = "up"
    round_to_micros: int = 1
    exchange_nanos: int = 0


class PinnedTarget(NamedTuple):
    """A candidate of the call as chosen: where it goes and what it would cost the owner of the carrier."""

    group_id: int
    server_id: int
    name: str
    cost: PinnedLeg | None = None


class PinnedCall(NamedTuple):
    """What a reservation pins at the hold: enough to extend, settle, explain and adopt the call.

    started_ms: Unix time of the INVITE. source: address of record or "peer:<group name>".
    direction: "out", "in" or "internal". max_s: hard maximum duration. part_at_ms: rising, when a day of one of the
    payers ends during the longest possible call: what is talked before has to be charged by then.
    """

    rid: str
    call_id: str
    from_tag: str
    node: str
    started_ms: int
    direction: str
    source: str
    account_id: int
    caller: str
    callee: str
    max_s: int
    legs: tuple[PinnedLeg, ...]
    targets: tuple[PinnedTarget, ...]
    trace: tuple[str, ...]
    config_pass: int = 0
    emergency: bool = False
    part_at_ms: tuple[int, ...] = ()


class Attempt(NamedTuple):
    """One try of the hunt: which server, and the SIP status that it gave (0 = cancelled while trying)."""

    server_id: int
    status: int


class CallEnd(NamedTuple):
    """How a call ended. `outcome`: answered, cancelled, failed, refused, estimated, unknown_end.

    answered_ms: Unix time of the 200, 0 if never. talk_ms: measured; billed_s: min(real, granted), whole
    seconds, rounded up. ended_by: caller, callee, maximum, noc, sweeper; money: more was refused; store_down: Redis
    could not be asked for more; node_lost: nobody asked in time; lost_hold: Redis did not know the hold; "": none.
    account_id: the level that refused it, 0 = none did. Outcome "talking": of an event of kind "part".
    """

    outcome: str
    ended_ms: int
    answered_ms: int
    talk_ms: int
    billed_s: int
    status: int
    reason: str
    q850: int
    ended_by: str
    server_id: int = 0
    attempts: tuple[Attempt, ...] = ()
    trace: tuple[str, ...] = ()
    account_id: int = 0


class FundPosting(NamedTuple):
    """What one event did to one fund. n: the fund's event number, gapless; charged_micros: `chg` afterwards."""

    fund: str
    amount_micros: int
    n: int
    charged_micros: int


class CallEvent(NamedTuple):
    """One entry of the event stream, written by the function that moved the money.

    kind: "settle", "release", "refused" (no hold was made), "late" (the end came when nothing was held any more: what
    is missing is posted in Postgres), "part" (a call that goes on paid what it has talked). Unique by (rid, seq).
    postings say what this event charged: the price of end.billed_s less that of billed_before_s, which earlier parts of
    the same call have charged.
    """

    kind: str
    epoch: int
    rid: str
    seq: int
    postings: tuple[FundPosting, ...]
    call: PinnedCall
    end: CallEnd
    billed_before_s: int = 0


class Window(NamedTuple):
    """A day or month of an account's time zone. id: 20261122 or 202611, rising. end_ms: Unix time of its end."""

    id: int
    end_ms: int


class Opening(NamedTuple):
    """What the windows of a fund with caps on spend begin with. version: rises with each opening of any fund.

    Made when the fund gets a cap that it had not, and when the account's time zone changes. day_id, month_id: the
    windows of that moment; day_micros, month_micros: what was posted in them by then.
    """

    version: int
    day_id: int
    day_micros: int
    month_id: int
    month_micros: int
