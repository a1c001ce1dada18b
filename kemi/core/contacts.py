"""Where phones may be reached: the contacts of a REGISTER.

A contact is an address that we will call whenever the line is called, at the caller's cost or at nobody's. So it must
be a phone: never a carrier, whom our own address would make believe that the call is ours, never ourselves, and never a
name, which a worker would wait for in DNS.

Rule 1: a contact is read by a grammar so narrow that no other parser can read another host out of it; what does not fit
is malformed. `maddr`, `received` and URI headers, which lead elsewhere than the host says, do not fit.
Rule 2: the address is looked up among the same sources as that of a caller.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from kemi.core.draft import Draft
from kemi.core.request import Contact, SipUri
from kemi.core.sources import label, networks
from kemi.core.uri import parse_uri
from kemi.records import Masks, SourceKind

CONTACTS_MAX: Final = 10  # as the registrar's max_contacts
VALUE_MAX: Final = 2_048  # characters of one header
WILDCARD: Final = "*"  # with Expires: 0, all of the user's contacts; the registrar checks that
LEADS_ELSEWHERE: Final = frozenset(("maddr", "received"))

_FOLD: Final = re.compile(r"\r\n[ \t]+")
_NAME: Final = r"\-A-Za-z0-9.!%*_+`'~"
_PARAMETER: Final = rf"""[ \t]*;[ \t]*(?P<name>[{_NAME}]+)(?:[ \t]*=[ \t]*(?:"(?:[^"\\]|\\.)*"|[^\s;,<>"]*))?"""
_PARAMETERS: Final = re.compile(_PARAMETER, re.ASCII)
_CONTACT: Final = re.compile(  # each blank can be matched in one place only, so that hostile text costs no more
    rf"""(?:(?:"(?:[^"\\<>]|\\[^<>])*"[ \t]*|[{_NAME}][{_NAME} \t]*)?<(?P<inside>[^\s<>",?]+)>|"""
    rf"""(?P<bare>[^\s<>",;?]+))(?P<parameters>(?:{_PARAMETER.replace("?P<name>", "?:")})*)[ \t]*(?:,[ \t]*|\Z)""",
    re.ASCII,
)
_PLAIN: Final = re.compile(
    r"[a-z]+:(?:[^\s@;:?,<>\"]+@)?(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::[0-9]{1,5})?(?P<parameters>(?:;[^\s;@?,]+)*)",
    re.ASCII | re.IGNORECASE,
)


def parse_contacts(values: Iterable[str]) -> tuple[SipUri, ...] | None:
    """Return the URIs of all Contact headers; () for none or for `*`. None when one of them does not fit."""
    found: list[SipUri] = []
    for value in values:
        if value.strip() == WILDCARD:
            continue
        uris = _uris(value) if len(value) <= VALUE_MAX else None
        if uris is None:
            return None
        found += uris
    return tuple(found) if len(found) <= CONTACTS_MAX else None


def source_names(contacts: Iterable[Contact], masks: Masks | None) -> tuple[str, ...]:
    """Return the short names of all sources that may describe where these contacts are."""
    return tuple(name for contact in contacts for name in networks(masks or Masks((), ()), contact.uri.host))


def fault(draft: Draft, masks: Masks | None) -> str:
    """Return why one of the request's contacts may not be called, "" when all may."""
    for contact in draft.call.contacts:
        why = _address_fault(contact, draft.call.source_ip) or _peer_fault(draft, contact, masks)
        if why:
            return f"contact {contact.uri}: {why}"
    return ""


def _uris(header_value: str) -> list[SipUri] | None:
    value = _FOLD.sub(" ", header_value).strip(" \t")
    found, at = [], 0
    while at < len(value):
        match = _CONTACT.match(value, at)
        if match is None or _leads_elsewhere(match["parameters"]):
            return None
        uri = _uri(match["inside"] or match["bare"])
        if uri is None:
            return None
        found.append(uri)
        at = match.end()
    return None if value.endswith(",") else found or None


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
    groups = map(draft.known.sources, source_names((contact,), masks))
    entries = (entry for group in groups if group for entry in group.entries)
    peer = next((entry for entry in entries if entry.kind == SourceKind.PEER), None)
    return f"it is {label(peer)}" if peer else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None
