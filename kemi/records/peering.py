"""Who sends us calls, where calls may go, and how numbers are written there."""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class SourceKind(IntEnum):
    """What a source address stands for; a peer wins a tie with a trusted source."""

    PEER = 0
    TRUSTED = 1


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


class RewriteRule(NamedTuple):
    r"""First match wins. pattern: regex over the dialled digits; replacement with `\1` groups."""

    id: int
    priority: int
    pattern: str
    replacement: str


class RewriteSet(NamedTuple):
    """`rws:<id>`: lists in ascending priority. in: towards E.164; out: towards the next hop.

    callee_lnp: instead of callee_out, from the routing number of a ported one. caller_lnp: instead of caller_out then.
    """

    id: int
    name: str
    caller_in: tuple[RewriteRule, ...] = ()
    callee_in: tuple[RewriteRule, ...] = ()
    caller_out: tuple[RewriteRule, ...] = ()
    callee_out: tuple[RewriteRule, ...] = ()
    caller_lnp: tuple[RewriteRule, ...] = ()
    callee_lnp: tuple[RewriteRule, ...] = ()


class HuntRule(NamedTuple):
    """What a server's final status means for the hunt, where that differs from the default.

    action: "stop" or "continue". told_status, told_phrase: what the caller hears where it ends the hunt; 0 and "" = by
    default.
    """

    status: int
    action: str
    told_status: int = 0
    told_phrase: str = ""


class Identity(NamedTuple):
    """How callers are named between a server and us.

    is_trusted: what it asserts is believed, and hidden numbers are told to it (RFC 3325, Spec(T)). shown: what the From
    says: "caller"; "own": the line's own number, whatever the line shows. headers: which of "pai", "ppi", "rpid",
    "privacy", "diversion" it is sent. host: of these URIs, "" = the caller's domain.
    """

    is_trusted: bool = True
    shown: str = "caller"
    headers: tuple[str, ...] = ("pai", "privacy", "diversion")
    host: str = ""


class Login(NamedTuple):
    """Digest credentials that we have at a server. ha1: MD5 of username:realm:password, lower-case hex.

    register_s: we register for so long with it, 0 = not at all; then contact_user is the user part of the Contact.
    """

    username: str
    realm: str
    ha1: str
    register_s: int = 0
    contact_user: str = ""


class PeerServer(NamedTuple):
    """One server of a peering group. address: an IP address, "" while its name has not been resolved.

    socket: `udp:<address>:<port>` of ours to send from, "" = the stack chooses. probe: ask it by OPTIONS how it is.
    channels_max, cps_max: calls at a time and new ones a second that one node sends, 0 = any number. ring_max_s,
    pdd_max_ms: how long it may ring, and say nothing; 0 = the node's. redirects: its 3xx are followed. ported: what is
    called there for a ported number: "number": what was dialled; "routing": the routing number; "rn": what was dialled,
    with the routing number beside it (RFC 4694). login: None = it asks for no password.
    """

    id: int
    name: str
    address: str
    port: int
    transport: str
    weight: int
    enabled: bool
    rewrite_set_id: int = 0
    socket: str = ""
    probe: bool = False
    channels_max: int = 0
    cps_max: int = 0
    ring_max_s: int = 0
    pdd_max_ms: int = 0
    redirects: bool = False
    ported: str = "number"
    hunt: tuple[HuntRule, ...] = ()
    identity: Identity = Identity()
    login: Login | None = None


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
    share: of the calls among groups that are otherwise equal, 1 … 1000 (percent where they sum to 100). may_return:
    calls that came from it may go back to it.
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
    share: int = 100
    may_return: bool = False


class PeeringRule(NamedTuple):
    """Which calls a group takes. Patterns are regexes ("" = any): callee over `sip:<digits>@…`, caller likewise.

    block: no carrier of this owner, or of one above it, takes such a call by this prefix or a shorter one.
    valid_from_ms ≤ now < valid_to_ms (Unix time; 0 = without end). time_set_id: it holds only then, 0 = always.
    """

    id: int
    group_id: int
    callee_prefix: str
    callee_pattern: str = ""
    caller_pattern: str = ""
    stopper: bool = False
    enabled: bool = True
    block: bool = False
    valid_from_ms: int = 0
    valid_to_ms: int = 0
    time_set_id: int = 0


class PeeringRules(NamedTuple):
    """`rules:<owner account id>:<callee prefix>`: every peering rule of the owner's groups with exactly this prefix.

    "" is a prefix too. The owner is that of the groups: a rule is nobody's business outside the owner's subtree.
    """

    entries: tuple[PeeringRule, ...]


class EmergencyRoute(NamedTuple):
    """An emergency number and the groups to try, in order.

    It counts for a SIP domain; else, where domain is "", for a region; else, where both are "", everywhere. routing:
    what is called instead of the number, "" = the number itself.
    """

    domain: str
    number: str
    group_ids: tuple[int, ...]
    region: str = ""
    routing: str = ""


class Emergency(NamedTuple):
    """`emergency`: the whole table; small, loaded by every worker at start and kept without Redis."""

    routes: tuple[EmergencyRoute, ...]


class ServerQuality(NamedTuple):
    """How a server has done lately, in steps so wide that near-equal values are equal; more is better in asr and acd.

    asr_pct: answered of tried calls. acd_s: length of an answered one. pdd_ms: from our INVITE to the first ringing.
    """

    server_id: int
    asr_pct: int
    acd_s: int
    pdd_ms: int


class Quality(NamedTuple):
    """`quality`: the servers that have had enough calls lately to be judged."""

    servers: tuple[ServerQuality, ...]


class Peers(NamedTuple):
    """`peers`: the groups with a server that is to be probed, or to be registered with."""

    group_ids: tuple[int, ...]
