"""What DNS says of a server's name, as far as RFC 3263 fits servers with one port.

Rule 1: a server is written with its port and transport, so its name is asked for A and AAAA. Only a name that has
neither is asked for SRV (`_sip._udp.<name>`, and so on), as is one that begins with `_`: it is written for SRV.
Rule 2: of SRV the targets of the best priority count that have the server's port; the others are other servers.
Rule 3: what DNS says is not to be trusted with ourselves: an address of ours, and one of the loopback unless a resolver
on the loopback is asked by name (tests, the demo), is left out. Postgres refuses the others: another carrier's, those
within a trusted source's network, and what is no host's.
Rule 4: nothing here raises because of what DNS says, or because it says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, NamedTuple

import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver

from tools.errors import OperatorError

TTL_MIN_S: Final = 5
TTL_MAX_S: Final = 3_600
LIFETIME_S: Final = 2.0  # of one question, over all servers that may answer it
TRY_S: Final = 0.9
ADDRESSES_MAX: Final = 16
TARGETS_MAX: Final = 8
DNS_PORT: Final = 53
VARIABLE: Final = "TANDEM_RESOLVER"
LISTENING: Final = ("TANDEM_LISTEN", "TANDEM_LISTEN6", "TANDEM_LISTEN_MORE")
FAMILIES: Final = {"A": 4, "AAAA": 6}
SERVICES: Final = {"udp": "_sip._udp", "tcp": "_sip._tcp", "tls": "_sips._tcp"}

_RESOLVER: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<v4>[0-9.]+))(?::(?P<port>[0-9]{1,5}))?")

Address = IPv4Address | IPv6Address


class Found(NamedTuple):
    """What DNS says of a name. addresses: rising. families: 4, 6: of which it has said all that there are.

    ttl_s: how long that holds, within TTL_MIN_S … TTL_MAX_S. fault: what is wrong, "" = nothing.
    """

    addresses: tuple[Address, ...]
    families: frozenset[int]
    ttl_s: int
    fault: str = ""


class Reply(NamedTuple):
    """The answer to one question. is_certain: it is an answer, be it that there is nothing."""

    values: tuple[Any, ...]
    ttl_s: int
    fault: str
    is_certain: bool


def resolver_from(env: Mapping[str, str]) -> dns.resolver.Resolver | None:
    """Return what asks the servers that TANDEM_RESOLVER names, such as 127.0.0.1:5353, [::1] or several with commas.

    None: it names none; the machine's own are asked. Raises OperatorError where it cannot be read.
    """
    text = env.get(VARIABLE, "").strip()
    if not text:
        return None
    places = [_place(each.strip()) for each in text.split(",")]
    made = dns.resolver.Resolver(configure=False)
    made.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in places]
    return _patient(made)


def own_hosts(env: Mapping[str, str]) -> frozenset[Address]:
    """Return the addresses that the settings of LISTENING name; what cannot be read is none."""
    found: set[Address] = set()
    for place in (place for name in LISTENING for place in env.get(name, "").split()):
        with suppress(ValueError):
            found.add(ip_address(place.rpartition(":")[0].removeprefix("[").removesuffix("]")))
    return frozenset(found)


def asks_itself(resolver: dns.resolver.Resolver) -> bool:
    """Whether TANDEM_RESOLVER named only servers on the loopback: then names may stand for such addresses, too."""
    places = [each for each in resolver.nameservers if isinstance(each, dns.nameserver.Do53Nameserver)]
    return bool(places) and all(ip_address(each.address).is_loopback for each in places)


def without_ours(found: Found, own: frozenset[Address], *, may_loop: bool) -> Found:
    """Return what was found without our own addresses, and say so.

    own: at which we listen. may_loop: others of the loopback stay.
    """
    ours = [each for each in found.addresses if each in own or (each.is_loopback and not may_loop)]
    if not ours:
        return found
    kept = tuple(each for each in found.addresses if each not in ours)
    told = f"{', '.join(map(str, ours))} refused: a name must not stand for ourselves"
    return found._replace(addresses=kept, fault="; ".join(filter(None, (found.fault, told))))


def machines_resolver() -> dns.resolver.Resolver:
    """Return what asks the servers of this machine. Raises dns.resolver.NoResolverConfiguration."""
    return _patient(dns.resolver.Resolver())


def look_up(resolver: dns.resolver.Resolver, host: str, port: int, transport: str) -> Found:
    """Return the addresses of a server. host: DNS name; port: that calls are sent to; transport: udp, tcp or tls."""
    if host.startswith("_"):
        return _by_service(resolver, host, port)
    found = _by_name(resolver, host)
    if found.addresses or len(found.families) < len(FAMILIES):
        return found
    service = _by_service(resolver, f"{SERVICES[transport]}.{host}", port)
    return service if service.addresses else found


def _by_name(resolver: dns.resolver.Resolver, name: str) -> Found:
    """Return the addresses that a name has itself."""
    addresses: list[Address] = []
    families: set[int] = set()
    faults: list[str] = []
    ttls: list[int] = []
    for kind, family in FAMILIES.items():
        reply = _ask(resolver, name, kind)
        addresses += (ip_address(value.address) for value in reply.values)
        if reply.is_certain:
            families.add(family)
        faults += [reply.fault] if reply.fault else []
        ttls += [reply.ttl_s] if reply.values or reply.fault else []
        if reply.fault:
            break  # what does not exist has no addresses of the other family, and who is silent stays so
    if reply.is_certain and reply.fault:
        families.update(FAMILIES.values())
    fault = "" if addresses else "; ".join(faults) or f"{name} has no address"
    return Found(_lowest(addresses), frozenset(families), _ttl(ttls), fault)


def _by_service(resolver: dns.resolver.Resolver, name: str, port: int) -> Found:
    """Return the addresses of the best targets of a service with this port."""
    reply = _ask(resolver, name, "SRV")
    if not reply.values:
        every = frozenset(FAMILIES.values() if reply.is_certain else ())
        return Found((), every, _ttl([reply.ttl_s]), reply.fault or f"{name} has no SRV record")
    best = min(value.priority for value in reply.values)
    targets = sorted({str(value.target) for value in reply.values if value.priority == best and value.port == port})
    if not targets:
        return Found((), frozenset(FAMILIES.values()), reply.ttl_s, f"{name} names no target with port {port}")
    each = [_by_name(resolver, target) for target in targets[:TARGETS_MAX]]
    addresses = [address for found in each for address in found.addresses]
    families = frozenset.intersection(*(found.families for found in each))
    fault = "" if addresses else next(found.fault for found in each)
    return Found(_lowest(addresses), families, _ttl([reply.ttl_s, *(found.ttl_s for found in each)]), fault)


def _ask(resolver: dns.resolver.Resolver, name: str, kind: str) -> Reply:
    """Ask one question."""
    try:
        answer = resolver.resolve(name, kind, search=False, raise_on_no_answer=False)
    except dns.resolver.NXDOMAIN:
        return Reply((), TTL_MIN_S, f"{name} does not exist", is_certain=True)
    except dns.exception.Timeout:
        return Reply((), TTL_MIN_S, f"DNS does not answer for {name}", is_certain=False)
    except dns.resolver.NoNameservers as error:
        return Reply((), TTL_MIN_S, f"DNS cannot say what {name} is: {_codes(error)}", is_certain=False)
    except (dns.exception.DNSException, OSError, ValueError) as error:
        return Reply((), TTL_MIN_S, f"{name} cannot be looked up: {type(error).__name__}", is_certain=False)
    values = tuple(answer.rrset or ())
    return Reply(values, int(answer.chaining_result.minimum_ttl), "", is_certain=True)


def _codes(error: dns.resolver.NoNameservers) -> str:
    """Return what each server answered instead, in a few words."""
    told = [str(entry[3]) for entry in error.kwargs.get("errors", ())]
    return ", ".join(dict.fromkeys(told))[:80] or "no server does"


def _lowest(addresses: list[Address]) -> tuple[Address, ...]:
    rising = sorted(set(addresses), key=lambda address: (address.version, int(address)))
    return tuple(rising[:ADDRESSES_MAX])


def _ttl(seconds: list[int]) -> int:
    return max(TTL_MIN_S, min(min(seconds, default=TTL_MIN_S), TTL_MAX_S))


def _patient(resolver: dns.resolver.Resolver) -> dns.resolver.Resolver:
    """Bound what one question may take."""
    resolver.timeout = TRY_S
    resolver.lifetime = LIFETIME_S
    return resolver


def _place(text: str) -> tuple[str, int]:
    read = _RESOLVER.fullmatch(text)
    try:
        address = str(ip_address((read["v6"] or read["v4"]) if read else ""))
        port = int(read["port"] or DNS_PORT) if read else 0
    except ValueError:
        address, port = "", 0
    if not address or not 0 < port < 2**16:
        raise OperatorError(f"{VARIABLE}: {text[:60]!r} is no address of a DNS server, such as 127.0.0.1:5353 or [::1]")
    return address, port
