"""SIP and tel URIs as values that can be compared, and written again, without surprise.

Rule 1: nothing here raises; what is no URI is None.
Rule 2: the user of a result is made of harmless characters only, with every other one %-escaped in upper case. So two
spellings of one user are equal, no control character reaches a header, a log or a key, and `str()` parses back.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv6Address, ip_address, ip_network
from typing import Final

from kemi.core.request import SipUri

URI_MAX: Final = 512  # characters
PORT_MAX: Final = 65_535
URIS_KEPT: Final = 512  # per process, < 2 kB each
HOSTS_KEPT: Final = 1_024  # with their ports, of which it is kept what they say, per process, < 2 kB each
DEFAULT_PORTS: Final = {"sip": 5060, "sips": 5061}
INSIDE: Final = tuple(  # private addresses, of carriers' NAT, of one link
    ip_network(text)
    for text in (
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"),
        *("fc00::/7", "fe80::/10"),
    )
)

# RFC 3261 §25.1 `user` without ";", which begins the user's parameters, and without escapes.
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.!~*'()&=+$,?/")
_USER: Final = re.compile(r"(?:%[0-9A-Fa-f]{2}|[!#-$&-;=?-~])+", re.ASCII)  # printable, without space " % < >
_HARMLESS: Final = re.compile(r"[A-Za-z0-9_.!~*'()&=+$,?/-]+", re.ASCII)  # _PLAIN
_CHARACTER: Final = re.compile(r"%([0-9A-Fa-f]{2})|(.)", re.ASCII)
# `_` is no host name character, but is met in the field.
_HOST_PORT: Final = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})))(?::(?P<port>[0-9]{1,5}))?",
    re.ASCII,
)


def parse_uri(text: str) -> SipUri | None:
    """Return the parsed sip:, sips: or tel: URI, None when `text` is none or is longer than 512 characters.

    Password, user parameters (`;phone-context=…`), URI parameters and headers are dropped; the user keeps its case,
    scheme and host get lower case. A tel: URI has the number as user and no host.
    >>> parse_uri("SIP:%2B4420:secret@Example.COM:5070;transport=tcp")
    SipUri(scheme='sip', user='+4420', host='example.com', port=5070)
    """
    return _parsed(text) if len(text) <= URI_MAX else None


@lru_cache(maxsize=URIS_KEPT)
def _parsed(text: str) -> SipUri | None:
    """Parse it. A message names the same ones several times, and the next one of its call again."""
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in ("sip", "sips", "tel"):
        return None
    if scheme == "tel":
        number = _user(rest)
        return SipUri("tel", number, "") if number else None
    before, at, after = rest.partition("@")
    if "@" in after:
        return None  # parsers differ on which one ends the user: refuse rather than read another host than Kamailio
    if not at:
        return _with_host(scheme, "", before)
    user = _user(before.partition(":")[0])
    return _with_host(scheme, user, after) if user else None


def default_port(uri: SipUri) -> int:
    """Return the port of `uri`, its scheme's default where it names none; 0 for tel."""
    return uri.port or DEFAULT_PORTS.get(uri.scheme, 0)


def is_inside(host: str, source_ip: str) -> bool:
    """Tell whether a host is an address of a network's inside, and its owner's messages come from somewhere else."""
    if host == source_ip:
        return False
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return any(address in network for network in INSIDE)


def _user(text: str) -> str:
    """Return the user without parameters in its one spelling, "" when it is none."""
    bare = text.partition(";")[0]
    if _HARMLESS.fullmatch(bare):  # what nearly every user is
        return bare
    if not _USER.fullmatch(bare):
        return ""
    return "".join(_spelled(match[1], match[2]) for match in _CHARACTER.finditer(bare))


def _spelled(escaped: str | None, plain: str | None) -> str:
    character = chr(int(escaped, 16)) if escaped else plain or ""
    return character if character in _PLAIN else f"%{ord(character):02X}"


def _with_host(scheme: str, user: str, text: str) -> SipUri | None:
    found = _host_port(text.partition(";")[0].partition("?")[0])
    return SipUri(scheme, user, found[0], found[1]) if found else None


@lru_cache(maxsize=HOSTS_KEPT)
def _host_port(text: str) -> tuple[str, int] | None:
    """Return host and port, 0 = none is named; None for what is neither. A call names a few hosts a dozen times."""
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"] or 0)
    host = _v6(match["v6"]) if match["v6"] else match["name"].lower().removesuffix(".")
    if not host or port > PORT_MAX or (match["port"] and port == 0):
        return None
    return host, port


def _v6(text: str) -> str:
    try:
        return str(IPv6Address(text))
    except AddressValueError:
        return ""
