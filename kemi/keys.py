"""The only place that spells a Redis key: type, writer, reader, lifetime.

Every key of a cell carries the hash tag `{cell}`. A configuration record has a short name (`acct:7`), used in
facts and caches; on the wire it is `{0}c:acct:7`.
"""

from __future__ import annotations

from typing import Final

CELL: Final = 0
TAG: Final = f"{{{CELL}}}"

EPOCH: Final = f"{TAG}epoch"  # STRING, epoch number; writer: arm; reader: every money function; no expiry
OPSEQ: Final = f"{TAG}opseq"  # STRING counter of applied money operations; writer: money functions; no expiry
LEASES: Final = f"{TAG}leases"  # ZSET rid -> expiry in Redis ms; writer: money functions; reader: sweeper
EVENTS: Final = f"{TAG}events"  # STREAM of CallEvent; writer: money functions; reader: settle; trimmed by MINID
PASS: Final = f"{TAG}pass"  # STRING (fence << 32) | pass, version of the last apply; writer: config apply; no expiry
CHANGED: Final = f"{TAG}changed"  # ZSET short name -> version of its last change; writer: config apply; trimmed
CHANGED_LOW: Final = f"{TAG}changed_low"  # STRING version; what changed up to it may be forgotten; writer: config apply
FENCE: Final = f"{TAG}fence"  # STRING highest fence of a syncer seen; writer: config apply; no expiry
FUND_VERSIONS: Final = f"{TAG}ftv"  # HASH fund -> version of its terms; writer: config apply; no expiry
MARKER: Final = f"{TAG}marker"  # STRING system id, timeline and LSN of Postgres; writer: sync; no expiry
HEARTBEAT: Final = f"{TAG}heartbeat"  # STRING Redis ms of the syncer's last round; writer: sync; no expiry
SYNC_STATUS: Final = f"{TAG}sync_status"  # STRING JSON object, how the syncer is doing; writer: sync; reader: NOC
SETTLED: Final = f"{TAG}settled"  # HASH name -> number, of the last comparison of money; writer: settle; reader: agent
NODES: Final = f"{TAG}nodes"  # HASH node -> last-seen Redis ms; writer: node agents; no expiry
SEEN: Final = f"{TAG}seen"  # HASH node -> highest operation number answered to it; writer: node agents
BUILDING: Final = f"{TAG}building"  # STRING epoch for which nodes tell their calls; writer: settle
ADOPTED: Final = f"{TAG}adopted"  # HASH node -> "epoch calls" it has told; writer: money functions; reader: settle
BEGUN: Final = f"{TAG}begun"  # STRING epoch whose rebuild began in this very Redis; writer and reader: settle
POSTED: Final = (
    f"{TAG}posted"  # STRING number of the last batch in Postgres (tandem.posting), never falls; writer: settle
)
RATE_REPAIRS: Final = f"{TAG}rate_repairs"  # STRING how often buckets in use were mended; writer: sync; no expiry
REGISTERED: Final = f"{TAG}registered"  # ZSET address of record -> Unix s of its last expiry; writer: locations_put
MOVED: Final = f"{TAG}moved"  # STREAM of changed addresses of record; writer: locations_put; readers: agents; trimmed
MEASURES: Final = (
    f"{TAG}measures"  # HASH "order kind value" -> what the NOC ordered; writer: measure_put; readers: agents
)
MEASURED: Final = (
    f"{TAG}measured"  # STRING ms of MEASURES' last change, unlike all before; writer: measure_put; readers: agents
)
MEASURE_LOG: Final = f"{TAG}measure_log"  # STREAM of what the NOC ordered; writer: measure_put; reader: settle; trimmed
CONFIG_PREFIX: Final = f"{TAG}c:"
RATE_PREFIX: Final = f"{TAG}rate:"
FUND_TERMS_PREFIX: Final = f"{TAG}ft:"


def config(name: str) -> str:
    """STRING msgpack [schema, version, row]; writer: sync; readers: workers, agent, explain; no expiry."""
    return CONFIG_PREFIX + name


def rate_hash(rate_set_id: int) -> str:
    """HASH first ≤ 4 digits -> packed suffixes and classes; writer: sync, once; immutable while referenced."""
    return f"{RATE_PREFIX}{rate_set_id}"


def fund_terms(fund: str) -> str:
    """STRING packed credit, limits, status; writer: sync (Postgres owns it); reader: money functions."""
    return FUND_TERMS_PREFIX + fund


def fund_state(fund: str) -> str:
    """STRING packed charged, held, channels, event number; writer and reader: money functions; no expiry."""
    return f"{TAG}fs:{fund}"


def reservation(rid: str) -> str:
    """STRING packed reservation; writer: money functions; no expiry while open, then kept 1 h for replays."""
    return f"{TAG}r:{rid}"


def turn(group_id: str | int) -> str:
    """STRING number of calls that took a group's turn; writer and reader: money functions; gone a week after the last.

    group_id: "" for what all of them begin with.
    """
    return f"{TAG}turn:{group_id}"


def location(address_of_record: str) -> str:
    """HASH contact -> its expiry and packed Location; writer: locations_put; readers: agents, tools; gone with them."""
    return f"{TAG}loc:{address_of_record}"


NOC_QUESTION_MAX: Final = 4_000
"""Bytes of a question; the longest reason that may be given fits, in any script."""


def noc_question(node: str) -> str:
    """STRING JSON [ticket, command]; writer: operators' tools; reader: the agent of that node; gone in seconds."""
    return f"{TAG}noc_ask:{node}"


def noc_answer(ticket: str) -> str:
    """STRING JSON object, a node's answer; writer: its agent; reader: who asked under this ticket; gone in 30 s."""
    return f"{TAG}noc_answer:{ticket}"


def noc_taken(ticket: str) -> str:
    """STRING, which agent answers a question; writer, reader: the agents of that node; gone in 30 s."""
    return f"{noc_answer(ticket)}:taken"


def account(account_id: int) -> str:
    """Short name of an Account."""
    return f"acct:{account_id}"


def sip_domain(name: str) -> str:
    """Short name of a SipDomain."""
    return f"dom:{name}"


def subscriber(address_of_record: str) -> str:
    """Short name of a Subscriber; address_of_record: `user@domain`."""
    return f"sub:{address_of_record}"


def sources(network: str) -> str:
    """Short name of the Sources of one network in CIDR form, host bits zero."""
    return f"src:{network}"


def number(digits: str) -> str:
    """Short name of a Number; digits: E.164 without "+"."""
    return f"num:{digits}"


def rewrite_set(set_id: int) -> str:
    """Short name of a RewriteSet."""
    return f"rws:{set_id}"


def peering_group(group_id: int) -> str:
    """Short name of a PeeringGroup."""
    return f"pg:{group_id}"


def peering_rules(owner_id: int, callee_prefix: str) -> str:
    """Short name of the PeeringRules of one owner of carriers and one callee prefix; "" = any number."""
    return f"rules:{owner_id}:{callee_prefix}"


def tariff(tariff_id: int) -> str:
    """Short name of a Tariff."""
    return f"tar:{tariff_id}"


def rate_set(rate_set_id: int) -> str:
    """Short name of a RateSet."""
    return f"rset:{rate_set_id}"


def barring_level(level_id: int) -> str:
    """Short name of a BarringLevel."""
    return f"bar:{level_id}"


def time_set(set_id: int) -> str:
    """Short name of a TimeSet."""
    return f"tset:{set_id}"


def ported(digits: str) -> str:
    """Short name of a PortedNumber; digits: a whole number or the beginning of some."""
    return f"lnp:{digits}"


def destinations(number: str) -> str:
    """Short name of the Destinations that a number may belong to."""
    return f"dest:{number[:2]}"


def user(user_id: int) -> str:
    """Short name of a User."""
    return f"user:{user_id}"


def ring_group(group_id: int) -> str:
    """Short name of a RingGroup."""
    return f"grp:{group_id}"


def callflow(flow_id: int) -> str:
    """Short name of a Callflow."""
    return f"flow:{flow_id}"


def extension(account_id: int, dialled: str) -> str:
    """Short name of an Extension; dialled: lower case."""
    return f"ext:{account_id}:{dialled}"


def media_server(server_id: int) -> str:
    """Short name of a MediaServer."""
    return f"media:{server_id}"


MASKS: Final = "masks"
PORTED_LENGTHS: Final = "lnplens"
QUALITY: Final = "quality"
PEERS: Final = "peers"
EMERGENCY: Final = "emergency"
EXCHANGE: Final = "fx"


def line_fund(subscriber_id: int) -> str:
    """Name of the fund that counts a line's calls: it has limits and no money."""
    return f"line{subscriber_id}:"


def user_fund(user_id: int) -> str:
    """Name of the fund that counts the calls of a user's lines."""
    return f"user{user_id}:"


def counts_only(fund_name: str) -> bool:
    """Tell whether a fund is a line's or a user's: it has no currency, so nothing is ever paid from it."""
    return fund_name.endswith(":")


def fund(account_id: int, currency: str) -> str:
    """Name of a fund: what one account owes its parent, in one currency."""
    return f"{account_id}:{currency}"
