"""Where the sound of a side may be sent, by its description (SDP), which is whatever it says.

Rule 1: a phone's sound goes to where its message came from, a carrier's to where its description says: the relay sends
each datagram on, from our address, so who could name any place would send what he likes to it. A tenant may have
carriers of its own, which may name their own group's servers: else any tenant could name any place.
Rule 2: nobody's sound goes to a port of SIP, of ours, or of the system; RTCP goes to the port beside where nothing else
is said. What is not understood is not taken: the relay may read it in another way.
Rule 3: the relay believes the address of who speaks ICE, so a phone may name no other than where its message came from;
its candidates, of several networks perhaps, get nothing but a few questions of STUN, and no sound before they answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, ip_address
from typing import Final, NamedTuple

NOWHERE: Final = ""
TO_SOURCE: Final = "source"  # where the message came from, at the ports of the description
AS_TOLD: Final = "told"
SIP_PORTS: Final = frozenset((5060, 5061))
PORTS: Final = range(1024, 65_536)
STREAMS_MAX: Final = 10  # of one m= line; as many as the relay takes
CANDIDATES_MAX: Final = 40  # each is asked several times
_ENDS: Final = re.compile(r"[\r\n]+")
_MEDIA: Final = re.compile(r"m=[\w.+-]+ ([0-9]{1,5})(?:/([0-9]{1,2}))? [!-~].*", re.ASCII)
_CONNECTION: Final = re.compile(r"c=IN IP[46] ([0-9A-Fa-f.:]{2,45}) *", re.ASCII)
_RTCP: Final = re.compile(r"a=rtcp:([0-9]{1,5})(?: IN IP[46] ([0-9A-Fa-f.:]{2,45}))? *", re.ASCII)
_CANDIDATE: Final = re.compile(r"a=candidate:\S+ [0-9]+ \S+ [0-9]+ ([0-9A-Fa-f.:]{2,45}) ([0-9]{1,5}) typ .*", re.ASCII)
_UNASKED: Final = re.compile(
    r"a=candidate:\S+ [0-9]+ tcp .*", re.ASCII | re.IGNORECASE
)  # the relay makes no connections
_ICE: Final = "a=ice-"
_PHONE, _ONLY, _ONE_OF = "@", "=", "+"  # of who is written down: in no address
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")
_SOCKET: Final = re.compile(r"\b(?:udp|tcp):(?:\[([^\]\s]+)\]|([^\[\]:\s\"]+)):([0-9]{1,5})", re.IGNORECASE)


class Own(NamedTuple):
    """Our sockets, and where the relay takes commands. hosts: IP addresses, each in its one spelling."""

    hosts: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()


class Peer(NamedTuple):
    """Who speaks. hosts: all that a tenant's own carrier may name beside its source; None = of the platform's: any."""

    is_phone: bool
    hosts: frozenset[str] | None = None


class _Told(NamedTuple):
    """What a description says. hosts: of all its streams; candidates: others that the relay will ask."""

    hosts: frozenset[str]
    candidates: frozenset[str]
    ports: tuple[int, ...]
    has_ice: bool


def own(sockets: Iterable[str]) -> Own:
    """Return what Kamailio was started with, of texts like `udp:192.0.2.1:5060 tcp:[2001:db8::1]:5060`."""
    found = [match for text in sockets for match in _SOCKET.finditer(text)]
    hosts = (_address(match[1] or match[2]) for match in found)
    return Own(frozenset(host for host in hosts if host), frozenset(int(match[3]) for match in found))


def peer_of(address: str, hosts: Iterable[str] | None = None) -> str:
    """Return how a carrier's server is written down, by the address of its messages. hosts: as in Peer."""
    return address if hosts is None else f"{address}{_ONLY}{_ONE_OF.join(sorted(hosts))}"


def phone_of(address: str) -> str:
    """Return how a phone is written down whose messages come from this address and no other, "" = from none."""
    return f"{_PHONE}{_address(address)}"


def speaker(written: Iterable[str], source: str) -> Peer | None:
    """Return who of those written down speaks from an address, None where none of them does and one should.

    Where only carriers of the platform are written down, or nobody, somebody else is a phone.
    """
    came_from = _address(source)
    is_bound = False
    for each in written:
        address, only, hosts = each.removeprefix(_PHONE).partition(_ONLY)
        is_phone = each.startswith(_PHONE)
        if came_from and _address(address) == came_from:
            return Peer(is_phone=is_phone, hosts=frozenset(map(_address, hosts.split(_ONE_OF))) if only else None)
        is_bound = is_bound or is_phone or bool(only)
    return None if is_bound else Peer(is_phone=True)


def way(sdp: str, source: str, ours: Own, *, is_peer: bool, hosts: frozenset[str] | None = None) -> str:
    """Return where the sound of a side is sent: TO_SOURCE, AS_TOLD, or NOWHERE.

    sdp: a body; parts beside the description may be in it. source: IP address that the message came from. is_peer: it
    is a carrier's server. One that names no address at all (0.0.0.0, as a call on hold once did) is taken for a phone;
    so is one that names an address which is neither its source nor of hosts (None = any), where it may name these only.
    """
    told = _read(sdp)
    if told is None or not all(_is_free(port, ours) for port in told.ports):
        return NOWHERE
    came_from = _address(source)
    is_peer = is_peer and (hosts is None or told.hosts <= hosts | {came_from})
    if not all(host == came_from or _is_elsewhere(host, ours) for host in told.candidates):
        return NOWHERE
    if told.has_ice and not is_peer:
        return AS_TOLD if told.hosts == {came_from} else NOWHERE
    if not is_peer or (not told.has_ice and any(_is_none(host) for host in told.hosts)):
        return TO_SOURCE
    is_good = bool(told.hosts) and all(host == came_from or _is_elsewhere(host, ours) for host in told.hosts)
    return AS_TOLD if is_good else NOWHERE


def _read(sdp: str) -> _Told | None:
    """Return what a description says, None where it cannot be read or says nothing."""
    hosts, candidates, ports = set[str](), set[str](), list[int]()
    lines = [line for line in _ENDS.split(sdp) if line]
    has_ice = any(line.lower().startswith(_ICE) for line in lines)
    has_media = is_general = False
    for line in lines:
        found = _places(line, has_ice=has_ice)
        if found is None or "" in found[0]:
            return None
        (candidates if has_ice and _is_candidate(line) else hosts).update(found[0])
        ports += found[1]
        is_general = is_general or (line.startswith("c=") and not has_media)
        has_media = has_media or line.startswith("m=")
    has_all = has_media and (is_general or _has_each(lines))
    if not has_media or sum(map(_is_candidate, lines)) > CANDIDATES_MAX:
        return None
    return _Told(frozenset(hosts) if has_all else frozenset(), frozenset(candidates), tuple(ports), has_ice)


def _places(line: str, *, has_ice: bool) -> tuple[tuple[str, ...], tuple[int, ...]] | None:
    """Return addresses ("" = none) and ports that a line names, None where it should and cannot be read."""
    lower = line.lower()
    if lower.startswith("m="):
        found = _MEDIA.fullmatch(line)
        return ((), _streams(int(found[1]), int(found[2] or 1))) if found else None
    if lower.startswith("c="):
        found = _CONNECTION.fullmatch(line)
        return ((_address(found[1]),), ()) if found else None
    if lower.startswith("a=rtcp:"):
        found = _RTCP.fullmatch(line)
        return ((_address(found[2]),) if found[2] else (), _streams(int(found[1]), 1)[:1]) if found else None
    if has_ice and _is_candidate(line) and not _UNASKED.fullmatch(line):
        found = _CANDIDATE.fullmatch(line)
        return ((_address(found[1]),), (int(found[2]),)) if found else None
    return (), ()


def _is_candidate(line: str) -> bool:
    return line.lower().startswith("a=candidate:")


def _streams(port: int, count: int) -> tuple[int, ...]:
    """Return the ports of RTP and RTCP, none of a stream that is refused; 0 where there are too many."""
    if not port:
        return ()
    return tuple(range(port, port + 2 * count)) if 0 < count <= STREAMS_MAX else (0,)


def _has_each(lines: Iterable[str]) -> bool:
    """Tell whether each stream has an address of its own."""
    open_streams = 0
    for line in lines:
        if line.startswith("m="):
            if open_streams:
                return False
            open_streams = 1
        elif line.startswith("c="):
            open_streams = 0
    return not open_streams


def _is_free(port: int, ours: Own) -> bool:
    return port in PORTS and port not in SIP_PORTS and port not in ours.ports


def _is_none(host: str) -> bool:
    return ip_address(host).is_unspecified


def _is_elsewhere(host: str, ours: Own) -> bool:
    """Tell whether an address is of another machine, and of one only."""
    found = ip_address(host)
    is_special = found.is_loopback or found.is_unspecified or found.is_multicast or found.is_link_local
    is_this = found.version == 4 and found in _THIS_NETWORK  # noqa: PLR2004  the version of IP
    return not (is_special or is_this or found.is_reserved or host in ours.hosts)


def _address(text: str) -> str:
    """Return an IP address in its one spelling, "" where it is none."""
    try:
        found = ip_address(text)
    except ValueError:
        return ""
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return str(mapped or found)
