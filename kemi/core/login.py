"""Our own digest answers, where a carrier asks us for a password, and what its answers to a REGISTER say.

Rule 1: only to the realm that was configured: another one may be anybody's, and an answer can be attacked offline.
Rule 2: MD5, since that is the hash which we have (RFC 7616 §3.4); with qop=auth where it is offered.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Final

from kemi.core.digest import parse_challenge
from kemi.core.request import SipUri
from kemi.core.uri import default_port, parse_uri
from kemi.records import Login

EXPIRES_MAX_S: Final = 86_400
HA1: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_EXPIRES: Final = re.compile(r";\s*expires\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE)
_CONTACT: Final = re.compile(r"<([^<>\s]+)>([^,]*)")
_NUMBER: Final = re.compile(r"\s*([0-9]{1,9})\s*(?:[;(].*)?", re.ASCII)
_UNSAFE: Final = re.compile(r'["\\\r\n\x00]')


def answer(challenges: Iterable[str], login: Login, method: str, uri: str, cnonce: str) -> str:
    """Return credentials for the first challenge that we can answer, "" when there is none.

    challenges: values of WWW-Authenticate or Proxy-Authenticate. uri: R-URI of the request. cnonce: fresh, hex.
    """
    if not HA1.fullmatch(login.ha1) or _UNSAFE.search(login.username + login.realm + uri):
        return ""
    for challenge in challenges:
        found = parse_challenge(challenge)
        if found is None or found.get("realm") != login.realm or found.get("algorithm", "MD5").upper() != "MD5":
            continue
        nonce, opaque = found["nonce"], found.get("opaque", "")
        if _UNSAFE.search(nonce + opaque):
            continue
        offered = [each.strip().lower() for each in found.get("qop", "").split(",") if each.strip()]
        if not offered or "auth" in offered:
            return _credentials(login, nonce, opaque, method, uri, cnonce if offered else "")
    return ""


def granted_s(contacts: Iterable[str], expires: str, contact: str, asked_s: int) -> int:
    """Return for how long a 2xx to a REGISTER lets `contact` be registered; asked_s where it does not say.

    contacts, expires: values of these headers. RFC 3261 §10.2.4: its own parameter first.
    """
    ours = parse_uri(contact)
    for uri, parameters in (match.groups() for value in contacts for match in _CONTACT.finditer(value)):
        parsed, found = parse_uri(uri), _EXPIRES.search(parameters)
        if parsed and ours and found and _place(parsed) == _place(ours):
            return min(int(found.group(1)), EXPIRES_MAX_S)
    return number(expires) if number(expires) >= 0 else asked_s


def number(header: str) -> int:
    """Return the seconds that Expires or Min-Expires names, −1 when it names none."""
    found = _NUMBER.fullmatch(header)
    return min(int(found.group(1)), EXPIRES_MAX_S) if found else -1


def _place(uri: SipUri) -> tuple[str, str, int]:
    return (uri.user, uri.host, default_port(uri))


def _credentials(login: Login, nonce: str, opaque: str, method: str, uri: str, cnonce: str) -> str:
    ha2 = _md5(f"{method}:{uri}")
    counted = f"{nonce}:00000001:{cnonce}:auth" if cnonce else nonce
    parts = [
        f'Digest username="{login.username}"',
        f'realm="{login.realm}"',
        f'nonce="{nonce}"',
        f'uri="{uri}"',
        f'response="{_md5(f"{login.ha1}:{counted}:{ha2}")}"',
        "algorithm=MD5",
    ]
    if cnonce:
        parts += ["qop=auth", "nc=00000001", f'cnonce="{cnonce}"']
    if opaque:
        parts.append(f'opaque="{opaque}"')
    return ", ".join(parts)


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
