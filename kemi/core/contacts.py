"""Where phones may be reached: the contacts of a REGISTER.

A contact is an address that we will call whenever the line is called, at the caller's cost or at nobody's. So it must
be a phone: never a carrier, whom our own address would make believe that the call is ours, never ourselves, and never a
name, which a worker would wait for in DNS.

Rule 1: a contact is read by a grammar so narrow that no other parser can read another host out of it; what does not fit
is malformed. `maddr`, `received` and URI headers, which lead elsewhere than the host says, do not fit.
Rule 2: the address is looked up among the same sources as that of a caller.
Rule 3: a proxy that wants to be on the way (Path, RFC 3327) is called at its own address, where the REGISTER came from:
whoever else it names, would be called by us on a stranger's word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from kemi.core.draft import Draft
from kemi.core.request import CallRequest, Contact, SipUri
from kemi.core.sources import label, networks
from kemi.core.uri import parse_uri
from kemi.records import Masks, SourceKind

CONTACTS_READ: Final = 128  # of one REGISTER: more than any line may have, for a better answer than "malformed"
VALUE_MAX: Final = 8_192  # characters of one header
WILDCARD: Final = "*"  # with Expires: 0, all of the user's contacts
LEADS_ELSEWHERE: Final = frozenset(("maddr", "received"))
EXPIRES: Final = "expires"
TRANSPORT: Final = "transport"
SERVED: Final = frozenset(("", "udp", "tcp"))  # what a node listens on, and calls phones over; "" is udp
FLOW: Final = frozenset(("reg-id", "ob"))  # the phone keeps its connection open, to be called over it: RFC 5626

_FOLD: Final = re.compile(r"\r\n[ \t]+")
_NAME: Final = r"\-A-Za-z0-9.!%*_+`'~"
_PARAMETER: Final = rf"""[ \t]*;[ \t]*(?P<name>[{_NAME}]+)(?:[ \t]*=[ \t]*(?P<value>"(?:[^"\\]|\\.)*"|[^\s;,<>"]*))?"""
_PARAMETERS: Final = re.compile(_PARAMETER, re.ASCII)
_UNNAMED: Final = _PARAMETER.replace("?P<name>", "?:").replace("?P<value>", "?:")
_CONTACT: Final = re.compile(  # each blank can be matched in one place only, so that hostile text costs no more
    rf"""(?:(?:"(?:[^"\\<>]|\\[^<>])*"[ \t]*|[{_NAME}][{_NAME} \t]*)?<(?P<inside>[^\s<>",?]+)>|"""
    rf"""(?P<bare>[^\s<>",;?]+))(?P<parameters>(?:{_UNNAMED})*)[ \t]*(?:,[ \t]*|\Z)""",
    re.ASCII,
)
_PLAIN: Final = re.compile(
    r"[a-z]+:(?:[^\s@;:?,<>\"]+@)?(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?(?P<parameters>(?:;[^\s;@?,]+)*)",
    re.ASCII | re.IGNORECASE,
)


def parse_contacts(values: Iterable[str]) -> tuple[Contact, ...] | None:
    """Return what all Contact (or Path) headers name; () for none or for `*`. None when one of them does not fit."""
    found: list[Contact] = []
    for value in values:
        if value.strip() == WILDCARD:
            continue
        contacts = _contacts(value) if len(value) <= VALUE_MAX else None
        if contacts is None:
            return None
        found += contacts
    return tuple(found) if len(found) <= CONTACTS_READ else None


def is_wildcard(values: Iterable[str]) -> bool:
    """Tell whether one of the Contact headers is `*`."""
    return any(value.strip() == WILDCARD for value in values)


def source_names(contacts: Iterable[Contact], masks: Masks | None) -> tuple[str, ...]:
    """Return the short names of all sources that may describe where these contacts are."""
    return tuple(name for contact in contacts for name in networks(masks or Masks((), ()), contact.uri.host))


def asked(call: CallRequest) -> tuple[Contact, ...]:
    """Return all that a REGISTER wants us to call: contacts, the proxy next to us on the way, or where it came from."""
    source = Contact(SipUri("sip", "", call.source_ip, call.source_port), call.is_from_us)
    return (*call.contacts, *call.path[:1], *((source,) if is_called_back(call) else ()))


def fault(draft: Draft, masks: Masks | None) -> str:
    """Return why one of the request's contacts may not be called, "" when all may."""
    source_ip = draft.call.source_ip
    for proxy in draft.call.path[:1]:
        if proxy.uri.host != source_ip:
            return f"path {proxy.uri}: it is not where the request came from"
        if proxy.transport not in SERVED:
            return f"path {proxy.uri}: transport {proxy.transport} is not served"
    for contact in asked(draft.call):
        why = _address_fault(contact, source_ip) or _peer_fault(draft, contact, masks)
        if not why and contact.transport not in SERVED and not draft.call.path:  # a proxy on the way calls it
            why = f"transport {contact.transport} is not served"
        if why:
            return f"contact {contact.uri}: {why}"
    return ""


def is_called_back(call: CallRequest) -> bool:
    """Tell whether calls go back to where the request came from, whatever its contacts say.

    So it is with a phone that gives another address than it has shown to have: one of its own network, or one that is
    anybody's, such as a carrier's that we do not know, who would take the call for ours. So it is too with one that
    keeps its connection open for calls. A proxy on the way knows by itself where the phone is.
    """
    if call.path or not call.contacts:
        return False
    is_kept = call.transport != "udp" and any(contact.is_flow for contact in call.contacts)
    return is_kept or any(contact.uri.host != call.source_ip for contact in call.contacts)


def _contacts(header_value: str) -> list[Contact] | None:
    value = _FOLD.sub(" ", header_value).strip(" \t")
    found, at = [], 0
    while at < len(value):
        match = _CONTACT.match(value, at)
        if match is None or _leads_elsewhere(match["parameters"]):
            return None
        inside = match["inside"] or match["bare"]
        uri = _uri(inside)
        contact = _contact(uri, inside, match["parameters"]) if uri else None
        if contact is None:
            return None
        found.append(contact)
        at = match.end()
    return None if value.endswith(",") else found or None


def _contact(uri: SipUri, inside: str, parameters: str) -> Contact | None:
    """Return a contact as it can be written again: without its display name, its expiry apart.

    None for one that says its expiry or its transport twice: the registrar could believe the other one.
    """
    named = [(match["name"].lower(), match["value"] or "", match[0]) for match in _PARAMETERS.finditer(parameters)]
    of_uri = [(match["name"].lower(), (match["value"] or "").lower()) for match in _PARAMETERS.finditer(inside)]
    expires = [value for name, value, _ in named if name == EXPIRES]
    transports = [value for name, value in of_uri if name == TRANSPORT]
    if len(expires) > 1 or len(transports) > 1:
        return None
    kept = "".join(text for name, _, text in named if name != EXPIRES)
    names = {name for name, _, _ in named} | {name for name, _ in of_uri}
    return Contact(
        uri,
        text=f"<{inside}>{kept}",
        expires="".join(expires),
        is_flow=bool(names & FLOW),
        transport="".join(transports),
    )


def _uri(text: str) -> SipUri | None:
    uri = parse_uri(text)
    if uri is None or uri.scheme == "tel":
        return uri
    match = _PLAIN.fullmatch(text)
    return uri if match and not _leads_elsewhere(match["parameters"]) else None


def _leads_elsewhere(parameters: str) -> bool:
    return any(match["name"].lower() in LEADS_ELSEWHERE for match in _PARAMETERS.finditer(parameters))


def _address_fault(contact: Contact, source_ip: str) -> str:
    if contact.uri.scheme != "sip":
        return f"{contact.uri.scheme}: is not served"
    address = _address(contact.uri.host)
    if address is None or (isinstance(address, IPv6Address) and address.ipv4_mapped):
        return "the host is no plain IP address"
    if contact.is_ours:
        return "it is an address of this node"
    if address.is_loopback:
        source = _address(source_ip)
        return "" if source and source.is_loopback else "it is the inside of this machine"
    if address.is_unspecified or address.is_multicast or address.is_reserved:
        return "nobody has this address"
    return ""


def _peer_fault(draft: Draft, contact: Contact, masks: Masks | None) -> str:
    """Return the peer that has the contact's address, "" when none has."""
    return peer_at(draft, contact.uri.host, masks)


def peer_at(draft: Draft, address: str, masks: Masks | None) -> str:
    """Return the peer that has an address, as a sentence goes on; "" when none has. masks: as they are known."""
    groups = map(draft.known.sources, networks(masks or Masks((), ()), address))
    entries = (entry for group in groups if group for entry in group.entries)
    peer = next((entry for entry in entries if entry.kind == SourceKind.PEER), None)
    return f"it is {label(peer)}" if peer else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
