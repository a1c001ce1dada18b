"""The two sides of a call as we saw them ourselves: where to, and with which numbers, a request of the call goes.

Rule 1: what a side says of itself counts only when it comes from that side's address.
Rule 2: nothing here resolves names: where a Contact is no plain IP address, or one of a network's inside, the way is
back to where it came from.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from kemi.core.uri import URI_MAX, is_inside, parse_uri

CSEQ_MAX: Final = 2**31 - 2**16  # of a request that we pass on; above it there is room for our own BYE
CSEQ_OURS: Final = 17  # over the last request: the stack counts our logins on the called side, at most one an attempt
CSEQ_LEAP: Final = 2**15  # over the requests of a call that were not seen here
CALLER: Final = "caller"
CALLEE: Final = "callee"
ROUTES_MAX: Final = 16
SIDES_KEPT: Final = 1_024  # of which it is kept whether their URI leads there, per process, < 1 kB each
_BETWEEN: Final = ("", ",", ", ")
_ANGLE: Final = re.compile(r"<([^<>\s]+)>")
_QUOTED: Final = re.compile(r'\s*"(?:[^"\\]|\\.)*"\s*(?=<)', re.DOTALL)  # a display name, whatever it holds
_BARE: Final = re.compile(r"\s*([^<>\s;,\"]+)")
_TRANSPORT: Final = re.compile(r";transport=(\w+)", re.IGNORECASE)
_TRANSPORTS: Final = ("udp", "tcp")


class Side(NamedTuple):
    """One side. tag, uri: as in its From or To. ip: where its messages come from; hop: the same as a URI.

    target: its Contact, "" when there is none that can be used. route: the proxies between us and it, nearest first.
    cseq: the highest of its own requests. shown: the From that it sees, only for a called side. socket: of ours, where
    its messages arrive, `udp:<address>:<port>`, "" = not known here.
    """

    tag: str
    uri: str
    ip: str
    hop: str
    target: str = ""
    route: tuple[str, ...] = ()
    cseq: int = 0
    shown: str = ""
    socket: str = ""

    @property
    def ruri(self) -> str:
        """R-URI of a request to this side."""
        return self.target or self.hop

    @property
    def next_hop(self) -> str:
        """Where a request to this side is sent; "" = where its R-URI says."""
        if self.route:
            return self.route[0]
        return "" if is_reached(self.ruri, self.ip) else self.hop

    def socket_to(self, next_hop: str) -> str:
        """Return the socket of ours to send from, "" where another transport or address family leads there."""
        hop = next_hop or self.ruri
        transport = _TRANSPORT.search(hop)
        kind, _, ours = self.socket.partition(":")
        is_same = kind == (transport.group(1).lower() if transport else "udp")
        return self.socket if is_same and (ours[:1] == "[") == (":" in host_of(hop)) else ""

    def is_at(self, ip: str) -> bool:
        """Tell whether messages of this side may come from `ip`."""
        if ip == self.ip:
            return True
        hosts = {host_of(uri) for uri in (self.target, *self.route[:1]) if uri}
        return ip in hosts

    def refreshed(self, ip: str, hop: str, target: str) -> Side:
        """Return this side after it gave a new Contact, from its own address only (RFC 3261 §12.2).

        target: its URI, as contact_uri returns it; "" = it gave none that can be used.
        """
        return self._replace(target=target, hop=hop) if target and ip == self.ip else self

    def as_told(self) -> Side:
        """Return this side as an answer told of it, for somebody who has seen none of its requests since.

        Perhaps on another node, with other sockets.
        """
        return self._replace(cseq=self.cseq + CSEQ_LEAP, socket="")

    def after(self, before: Side) -> Side:
        """Return this side, of which `before` was known; a CSeq never falls."""
        return self._replace(cseq=max(self.cseq, before.cseq))


def counted(side: Side, cseq: int) -> Side:
    """Return a side after its request of this CSeq. Made in one piece: `_replace` costs twice as much."""
    if cseq == side.cseq:
        return side
    tag, uri, ip, hop, target, route, _, shown, socket = side
    return Side(tag, uri, ip, hop, target, route, cseq, shown, socket)


def source_uri(ip: str, port: int, transport: str) -> str:
    """Return an address as a URI to send to."""
    host = f"[{ip}]" if ":" in ip else ip
    return f"sip:{host}:{port};transport={transport.lower()}"


def contact_uri(contact: str) -> str:
    """Return the first URI of a Contact header, "" when it is no SIP URI."""
    if contact.lstrip()[:1] == '"':
        named = _QUOTED.match(contact)
        contact = contact[named.end() :] if named else ""
    match = _ANGLE.search(contact) or _BARE.match(contact)
    uri = match.group(1) if match else ""
    parsed = parse_uri(uri)
    return uri if parsed is not None and parsed.scheme in ("sip", "sips") else ""


def route_uris(header: str) -> tuple[str, ...]:
    """Return the URIs of a Route or Record-Route, all header fields joined; none when it is not made of `<URI>`s only.

    Kamailio's parser could take what stands between them for one more hop.
    """
    plain = _plain_routes(header)
    if plain is not None:
        return plain
    found = _ANGLE.findall(header)
    if len(found) > ROUTES_MAX or ":" in _ANGLE.sub("", header):
        return ()
    return tuple(found)


def _plain_routes(header: str) -> tuple[str, ...] | None:
    """Return the same of a header that is nothing but `<URI>`s, as nearly all are; None for any other one."""
    *parts, rest = header.split(">")
    if rest or len(parts) > ROUTES_MAX:
        return None
    found: list[str] = []
    for part in parts:
        before, _, uri = part.partition("<")
        if before not in _BETWEEN or "<" in uri or uri.split() != [uri]:
            return None
        found.append(uri)
    return tuple(found)


def is_reached(uri: str, ip: str) -> bool:
    """Tell whether a side whose messages come from `ip` is reached by this URI: no name, and no inside of another."""
    return len(uri) <= URI_MAX and _is_reached(uri, ip)


@lru_cache(maxsize=SIDES_KEPT)
def _is_reached(uri: str, ip: str) -> bool:
    return _is_plain(uri) and not is_inside(host_of(uri), ip)


def host_of(uri: str) -> str:
    """Return the host that a URI names, "" when it is none or wants its request elsewhere (maddr)."""
    parsed = parse_uri(uri)
    return "" if parsed is None or ";maddr=" in uri.lower() else parsed.host


def _is_plain(uri: str) -> bool:
    """Tell whether a URI can be sent to as it is: an IP address, over a transport that we have."""
    transport = _TRANSPORT.search(uri)
    if not uri.lower().startswith("sip:") or (transport and transport.group(1).lower() not in _TRANSPORTS):
        return False
    try:
        ip_address(host_of(uri))
    except ValueError:
        return False
    return True
