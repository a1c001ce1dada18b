"""Digest authentication: challenges, nonces and answers. Source: RFC 2617, RFC 7616, RFC 8760.

Rule 1: nothing here raises on what a client sent. Rule 2: a nonce is signed, not remembered: any node of the cell knows
its own kind, and for which network it was made; how often it was used is the shell's to count. Rule 3: MD5 and SHA-256
with qop=auth only; the session variants and the old form without qop are refused. Rule 4: comparisons of secrets take
constant time, and an unknown user costs what a known one costs.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from kemi.core.mac import mac
from kemi.core.request import Credentials, SipUri
from kemi.core.uri import default_port, parse_uri

HEADER_MAX: Final = 2048  # characters of a header with credentials
PARAMETERS_MAX: Final = 32
NETWORKS_KEPT: Final = 1_024  # addresses whose network is remembered: phones call again
CNONCE_MAX: Final = 128  # characters; clients send 8 to 64
DUMMY_HA1: Final = "0" * 32
"""HA1 of a user who does not exist: verified in the usual time, never accepted."""

_TIME_BYTES: Final = 6
_PLACE_BYTES: Final = 4
_SALT_BYTES: Final = 2
_MAC_BYTES: Final = 12
_NETWORK_BYTES: Final = {4: 3, 6: 8}  # of an address: /24, /64
_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{32}", re.ASCII)  # 24 bytes, so no padding and one spelling only
_NC: Final = re.compile(r"[0-9A-Fa-f]{8}", re.ASCII)
_PARAMETER: Final = re.compile(
    r"""[\s,]*(?P<name>[A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*"""
    r"""(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<token>[^\s,"]*))\s*(?=,|\Z)""",
    re.ASCII | re.DOTALL,
)
_USUAL: Final = {
    before + name: name
    for before in ("", " ")
    for name in ("username", "realm", "nonce", "uri", "response", "algorithm", "cnonce", "qop", "nc", "opaque", "stale")
}
_FIELDS: Final = Credentials._fields
_SCHEME: Final = re.compile(r"\s*digest\s+", re.ASCII | re.IGNORECASE)
_QUOTED_PAIR: Final = re.compile(r"\\(.)", re.DOTALL)


def make_nonce(secret: bytes, now_ms: int, salt: str, source_ip: str) -> str:
    """Return a nonce of 32 URL-safe characters: time, mark of the network, hash of the salt, truncated HMAC-SHA256.

    secret: the cell's. now_ms: Unix time. salt: what tells two challenges of one millisecond and network apart
    (Call-ID). source_ip: who is challenged.
    """
    salted = hashlib.sha256(_bytes(salt)).digest()[:_SALT_BYTES]
    made = max(0, now_ms).to_bytes(8, "big")[-_TIME_BYTES:]
    body = made + _place_mark(secret, made, source_ip) + salted
    return urlsafe_b64encode(body + _nonce_mac(secret, body)).decode()


@lru_cache(maxsize=1)  # of a right answer it is asked twice: before and after its use is counted
def nonce_state(secret: bytes, nonce: str, now_ms: int, expire_s: int, source_ip: str) -> str:
    """Return "ok", "stale" (ours, but old, or made for another network) or "foreign" (not signed by this cell).

    expire_s: how long one is good. A nonce of another node whose clock is ahead is as good as one that is as much
    behind. source_ip: who answers. Else whoever may forge a carrier's address could answer with what came to his own.
    """
    if not _NONCE.fullmatch(nonce):
        return "foreign"
    raw = urlsafe_b64decode(nonce)
    body, signature = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if not hmac.compare_digest(signature, _nonce_mac(secret, body)):
        return "foreign"
    made, mark = body[:_TIME_BYTES], body[_TIME_BYTES : _TIME_BYTES + _PLACE_BYTES]
    is_here = hmac.compare_digest(mark, _place_mark(secret, made, source_ip))
    is_fresh = abs(now_ms - int.from_bytes(made, "big")) <= expire_s * 1000
    return "ok" if is_here and is_fresh else "stale"


def challenge_values(realm: str, nonce: str, stale: bool, algorithms: tuple[str, ...]) -> tuple[str, ...]:
    """Return one WWW-Authenticate or Proxy-Authenticate value per known algorithm ("MD5", "SHA-256").

    MD5 comes first although RFC 8760 §2.4 wants the preferred one first: a known client dies when SHA-256 leads.
    stale: the client's nonce was old and its password may be right: it may answer without asking its user.
    """
    offered = [algorithm for algorithm in _HASHES if algorithm in {name.upper() for name in algorithms}]
    stale_part = ", stale=true" if stale else ""
    return tuple(
        f'Digest realm="{_quoted(realm)}", nonce="{_quoted(nonce)}"{stale_part}, algorithm={algorithm}, qop="auth"'
        for algorithm in offered
    )


@lru_cache(maxsize=1)  # as nonce_state
def verify(credentials: Credentials, method: str, ha1_md5: str, ha1_sha256: str) -> bool:
    """Return whether the response proves knowledge of the password. Source: RFC 7616 §3.4.1.

    ha1_md5, ha1_sha256: lower-case hex of H(user:realm:password), "" where not known; DUMMY_HA1 for an unknown user.
    No algorithm means MD5. Nonce, realm, user and digest uri are the caller's to check.
    """
    algorithm = credentials.algorithm.upper() or "MD5"
    digest = _HASHES.get(algorithm)
    if digest is None or not _is_complete(credentials):
        return False
    ha1 = ha1_md5 if algorithm == "MD5" else ha1_sha256
    is_known = ha1 not in ("", DUMMY_HA1)
    key = ha1 if is_known else DUMMY_HA1 * (1 if algorithm == "MD5" else 2)
    ha2 = digest(f"{method}:{credentials.uri}")
    expected = digest(f"{key}:{credentials.nonce}:{credentials.nc}:{credentials.cnonce}:{credentials.qop}:{ha2}")
    is_equal = hmac.compare_digest(expected.encode(), _bytes(credentials.response.lower()))
    return is_equal and is_known


def has_count(credentials: Credentials) -> bool:
    """Whether the count is one of RFC 7616: exactly eight hex digits."""
    return bool(_NC.fullmatch(credentials.nc))


def parse_credentials(header_value: str) -> Credentials | None:
    """Return the parts of `Digest username="…", …`, None when it is something else, broken or too long.

    Order, case of names and quoting do not matter; parameters that are not known are skipped. A name that stands
    twice makes the header worthless: another element may read the other one.
    """
    scheme = _SCHEME.match(header_value) if len(header_value) <= HEADER_MAX else None
    if scheme is None:
        return None
    found = _parameters(header_value[scheme.end() :].rstrip(" \t\r\n,"))
    if found is None or not all(found.get(name) for name in ("username", "realm", "nonce", "uri", "response")):
        return None
    return Credentials(*[found.get(name, "") for name in _FIELDS])


def parse_challenge(header_value: str) -> dict[str, str] | None:
    """Return the parameters of `Digest realm="…", nonce="…", …`, names in lower case; None as in parse_credentials."""
    scheme = _SCHEME.match(header_value) if len(header_value) <= HEADER_MAX else None
    found = _parameters(header_value[scheme.end() :].rstrip(" \t\r\n,")) if scheme else None
    return found if found and found.get("nonce") else None


def for_realm(header_values: Iterable[str], realm: str) -> Credentials | None:
    """Return the credentials for `realm` among all headers that carry some (RFC 3261 §22.3: one per realm).

    A client may know other proxies too. Two for our realm: None, as if there were none, for each of two answers is as
    good as a guess. None for ours: the first, so that a trace can say for whom it was.
    """
    found = [parsed for value in header_values if (parsed := parse_credentials(value)) is not None]
    ours = [parsed for parsed in found if parsed.realm == realm]
    if len(ours) > 1:
        return None
    return next(iter(ours or found), None)


@lru_cache(maxsize=1)
def uri_matches(digest_uri: str, ruri: SipUri) -> bool:
    """Return whether the digest uri names what the R-URI names: user, host and port as parsed, not as text.

    An absent port is the default one. Source: RFC 7616 §3.4.6 (the server must check their equivalence).
    """
    parsed = parse_uri(digest_uri)
    if parsed is None:
        return False
    return (parsed.user, parsed.host, default_port(parsed)) == (ruri.user, ruri.host, default_port(ruri))


def _parameters(text: str) -> dict[str, str] | None:
    """Return all parameters by their names in lower case; None where one is broken or stands twice."""
    return _usual(text) or _unusual(text)


def _usual(text: str) -> dict[str, str] | None:
    """Return the same of a text as most clients write it, which needs no pattern; None for any other one."""
    parts = text.split(",")
    if "\\" in text or len(parts) > PARAMETERS_MAX:
        return None
    found: dict[str, str] = {}
    for part in parts:
        name, _, value = part.partition("=")
        known = _USUAL.get(name)
        if known is None or known in found:
            return None
        if value[:1] == '"':
            if value.find('"', 1) != len(value) - 1 or len(value) == 1:
                return None
            found[known] = value[1:-1]
        elif '"' in value or value.split() != [value]:
            return None
        else:
            found[known] = value
    return found


def _unusual(text: str) -> dict[str, str] | None:
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        match = _PARAMETER.match(text, at)
        if match is None or len(found) == PARAMETERS_MAX:
            return None
        name = match["name"].lower()
        if name in found:
            return None
        quoted = match["quoted"]
        found[name] = _QUOTED_PAIR.sub(r"\1", quoted) if quoted is not None else match["token"]
        at = match.end()
    return found


def _is_complete(credentials: Credentials) -> bool:
    """Whether the answer is of the one form we ask for: qop=auth, a count and a client nonce."""
    has_cnonce = 0 < len(credentials.cnonce) <= CNONCE_MAX
    return credentials.qop.lower() == "auth" and has_count(credentials) and has_cnonce


def _md5(text: str) -> str:
    return hashlib.md5(_bytes(text), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(_bytes(text)).hexdigest()


_HASHES: Final[dict[str, Callable[[str], str]]] = {"MD5": _md5, "SHA-256": _sha256}  # in the order of our challenges


def _nonce_mac(secret: bytes, body: bytes) -> bytes:
    return mac(secret, b"nonce:" + body)[:_MAC_BYTES]


def _place_mark(secret: bytes, made: bytes, source_ip: str) -> bytes:
    """Return the mark of an address's network, another one each millisecond, so that no fitting one can be sought.

    Networks, not addresses: many a NAT gives its people another address of the same one at each connection.
    """
    return mac(secret, b"place:" + made + _network(source_ip))[:_PLACE_BYTES]


@lru_cache(maxsize=NETWORKS_KEPT)
def _network(source_ip: str) -> bytes:
    """Return the network of an address; of what is no address, all of it."""
    try:
        address = ip_address(source_ip)
    except ValueError:
        return _bytes(source_ip)
    return address.packed[: _NETWORK_BYTES[address.version]]


def _quoted(text: str) -> str:
    """Return the inside of a quoted string; control characters, which could end the header, are dropped."""
    printable = "".join(character for character in text if character.isprintable())
    return printable.replace("\\", "\\\\").replace('"', '\\"')


def _bytes(text: str) -> bytes:
    """Surrogates stand for bytes that were no UTF-8; they pass, each distinct."""
    return text.encode("utf-8", "surrogatepass")
