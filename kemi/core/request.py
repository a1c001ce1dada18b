"""What was asked, and what is known, as values.

Rule 1: whoever builds these has already turned bytes into text; nothing here can raise on hostile input.
Rule 2: time, randomness and the outside world enter only as fields.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import tzinfo
from functools import lru_cache
from types import MappingProxyType
from typing import Final, NamedTuple, NewType

from kemi.core.measures import NO_QUARANTINE, Quarantine
from kemi.records import Emergency
from kemi.settings import Limits

E164 = NewType("E164", str)
"""Canonical number: 3…15 digits, no "+", first digit 1-9. Only rewriting makes one."""

Fetched = Mapping[str, object]
"""Short key name -> record, or None where Redis is known to hold none."""

RateBuckets = Mapping[tuple[int, str], bytes | None]
"""(rate set id, first ≤ 4 digits) -> packed bucket, or None where the set has none."""


class SipUri(NamedTuple):
    """A parsed SIP URI. scheme and host are lower case; port 0 = not given; user may be empty."""

    scheme: str
    user: str
    host: str
    port: int = 0

    def __str__(self) -> str:
        """Write `scheme:user@host:port` with only what is present."""
        at = f"{self.user}@" if self.user and self.host else self.user
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = f":{self.port}" if self.port else ""
        return f"{self.scheme}:{at}{host}{port}"


class Credentials(NamedTuple):
    """An Authorization or Proxy-Authorization header, unquoted. Source: RFC 7616 §3.4."""

    username: str
    realm: str
    nonce: str
    uri: str
    response: str
    algorithm: str
    qop: str
    nc: str
    cnonce: str


class Contact(NamedTuple):
    """Where a REGISTER wants calls to go. is_ours: the node itself listens there.

    text: as it can be written again, without a name and an expiry. expires: as written, "" where there is none.
    is_flow: the phone asks to be called over the connection that this came on. transport: that its URI names, in lower
    case, "" = none.
    """

    uri: SipUri
    is_ours: bool = False
    text: str = ""
    expires: str = ""
    is_flow: bool = False
    transport: str = ""


class CallRequest(NamedTuple):
    """An initial request: INVITE, or REGISTER (then `to_uri` is the address of record).

    source_ip: text of the address, transport: "udp", "tcp", "tls", "ws". ruri etc. parsed.
    pai, ppi, rpid, diversion: first value of that header or ""; trusted only from peers. history: of History-Info, all
    its values. privacy: all its values, separated by ";". contact: the first Contact of a call, as written; contacts:
    all of a REGISTER. received_ms: Unix time. cseq: number as text. expires, path: of a REGISTER, the header as written
    and the proxies on the way to the phone, nearest to us first; supported: what it says that it knows.
    is_from_us: its source is an address where this node listens; asked of a REGISTER only. is_wildcard: one of its
    Contact headers is `*`, which is not among contacts.
    """

    method: str
    call_id: str
    from_tag: str
    cseq: str
    source_ip: str
    source_port: int
    transport: str
    ruri: SipUri
    from_uri: SipUri
    to_uri: SipUri
    received_ms: int
    credentials: Credentials | None = None
    pai: str = ""
    ppi: str = ""
    rpid: str = ""
    diversion: str = ""
    privacy: str = ""
    user_agent: str = ""
    contact: str = ""
    contacts: tuple[Contact, ...] = ()
    history: str = ""
    expires: str = ""
    path: tuple[Contact, ...] = ()
    supported: str = ""
    is_from_us: bool = False
    is_wildcard: bool = False


UNCOUNTED: Final = -1


class Facts(NamedTuple):
    """All that a decision may look at. Missing knowledge is asked for with `Need`, never guessed.

    nonce_uses: how often this nonce and count came, this request included; UNCOUNTED = to be asked for, 0 = no valid
    nonce was sent.
    down_servers: servers that the node's health memory passes over.
    secret: key of the node's HMACs (nonces, weighted draws), the same on all nodes of a cell.
    emergency: as last heard of, for a node that drains and for the time without a store; else `records` has them.
    store_up: False while the breaker is open: then nothing more can be fetched or held. may_trust: whether accounts'
    word for that time counts, as it does not where only a fetch did not bring what it should.
    zones: time zones by their IANA names; one that is not there is not known.
    without: accounts that cannot take part where this call is led on, as a refused hold has told. busy: funds of lines
    and users that have as many calls as they may, full: of those that lead on as many as they may, likewise. unled:
    nobody leads it on to a number any more, since too many could not.
    listens: `host:port` of where this node hears SIP. quarantine: what the NOC lets take no part in new calls.
    """

    records: Fetched
    rates: RateBuckets
    node: str
    secret: bytes
    limits: Limits = Limits()
    emergency: Emergency = Emergency(())
    nonce_uses: int = 0
    down_servers: frozenset[int] = frozenset()
    store_up: bool = True
    may_trust: bool = True
    draining: bool = False
    config_pass: int = 0
    zones: Mapping[str, tzinfo] = MappingProxyType({})
    without: frozenset[int] = frozenset()
    busy: frozenset[str] = frozenset()
    full: frozenset[str] = frozenset()
    unled: bool = False
    listens: tuple[str, ...] = ()
    quarantine: Quarantine = NO_QUARANTINE


NOTHING_KNOWN = Facts(records=MappingProxyType({}), rates=MappingProxyType({}), node="", secret=b"")


def reservation_id(call: CallRequest) -> str:
    """Return the operation id of the call: 32 hex digits made of Call-ID, From tag, CSeq, source and R-URI.

    A retransmission has the same id, so a hold that is asked twice is made once. Source and R-URI keep apart what only
    looks like one: a call that a carrier sends back to us, and that of somebody who learnt another call's identifiers
    (whoever is called knows them) and would talk on its money.
    """
    source = f"{call.transport}:{call.source_ip}:{call.source_port}"
    return _identified(call.call_id, call.from_tag, call.cseq, source, call.ruri)


@lru_cache(maxsize=1)
def _identified(call_id: str, from_tag: str, cseq: str, source: str, ruri: SipUri) -> str:
    """Return it; of a call it is asked three times."""
    identity = "\n".join((call_id, from_tag, cseq, source, str(ruri)))
    return hashlib.sha256(identity.encode("utf-8", "surrogatepass")).hexdigest()[:32]
