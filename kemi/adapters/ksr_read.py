"""KSR -> CallRequest: reads each pseudo-variable once, survives every byte.

Rule 1: what leaves here is text without control characters, bounded in length, with its URIs parsed.
Rule 2: a message that cannot become a CallRequest is a Malformed value with a reason of the refusals table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Final, NamedTuple

from kemi.adapters.ksr_api import Ksr, Xval
from kemi.core.contacts import CONTACTS_READ, is_wildcard, parse_contacts
from kemi.core.digest import for_realm
from kemi.core.request import CallRequest, Contact, SipUri
from kemi.core.uri import default_port, parse_uri

CALL_ID_MAX: Final = 256  # characters; real ones stay below 128
TAG_MAX: Final = 128
HEADER_MAX: Final = 1_024
SCHEMES: Final = ("sip", "sips")
VALUES_MAX: Final = 16  # headers of one name
HEAD_MAX: Final = 16_384  # bytes; with signed identities and long routes real ones stay below 8,000
LINES_MAX: Final = 256
_CONTROL: Final = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\r\n")
_NAME: Final = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+)[ \t]*:")
_LONG: Final = {b"f": b"from", b"t": b"to", b"i": b"call-id", b"l": b"content-length", b"c": b"content-type"} | {
    b"m": b"contact"
}
_USUAL: Final = {
    name: name.lower()
    for name in (
        b"Via From To Call-ID CSeq Contact Max-Forwards Content-Length Content-Type Expires Route Record-Route "
        b"Authorization Proxy-Authorization User-Agent Server Allow Supported Require Accept Allow-Events Date "
        b"Session-Expires Min-SE RSeq RAck Reason Event Privacy P-Asserted-Identity Diversion"
    ).split()
}
"""Names as most write them, and as names are compared; any other one goes through a pattern."""
_ONCE: Final = frozenset(
    {b"from", b"to", b"call-id", b"cseq", b"max-forwards", b"content-length", b"content-type", b"expires", b"contact"}
)
"""Names that may stand once (RFC 3261 §7.3.1): of two, one element would believe the first and the next one the last.

Contact: of a call; a REGISTER may have several.
"""


class Head(NamedTuple):
    """The first line and the headers of a message. fault: as head_fault tells it, "" where there is none.

    names: of its headers, in lower case; None where one is in short, or there is a fault: who wants a header then asks
    Kamailio. repeats: some stand more than once.
    """

    data: bytes
    fault: str
    names: frozenset[bytes] | None
    repeats: bool = False

    def may_have(self, name: str) -> bool:
        """Tell whether Kamailio may find a header of this name."""
        return self.names is None or name.lower().encode() in self.names

    def among(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return those of these names of which it may find one; `X-Name-*` stands for all that begin so."""
        if self.names is None:
            return names
        plain, begun, lowered = _spelled(names)
        there = [] if self.names.isdisjoint(lowered) else [plain[name] for name in sorted(self.names & lowered)]
        there.extend([name for start, name in begun if start in self.data.lower()])
        return tuple(there)


@lru_cache(maxsize=64)
def _spelled(names: tuple[str, ...]) -> tuple[dict[bytes, str], tuple[tuple[bytes, str], ...], frozenset[bytes]]:
    """Return names by how they are compared, the beginnings of lines that `X-Name-*` stands for, and these names."""
    plain = {name.lower().encode(): name for name in names if not name.endswith("*")}
    begun = [(b"\r\n" + name[:-1].lower().encode(), name) for name in names if name.endswith("*")]
    return plain, tuple(begun), frozenset(plain)


class Malformed(NamedTuple):
    """Why a request cannot be read. reason: key of the refusals table; detail: for the log."""

    reason: str
    detail: str


class _UnreadableError(Exception):
    """Carries the Malformed out of the reading of one part."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.malformed = Malformed(reason, detail)


def read(ksr: Ksr, received_ms: int) -> CallRequest | Malformed:
    """Return the initial request under the worker's hands. received_ms: Unix time. Never raises on hostile input."""
    try:
        found = looked_at(head(ksr))
        if found.fault:
            return Malformed("malformed", found.fault)
        found.data.decode()
        return _request(ksr, found, received_ms)
    except _UnreadableError as error:
        return error.malformed
    except UnicodeDecodeError as wrong:  # a name of its own: compiled, a name has one type
        return Malformed("malformed", f"not UTF-8: {wrong.reason}")


def text(get: Callable[[], Xval]) -> str:
    """Return a value as text, "" when it is absent or not UTF-8. For logs and look-ups that must not fail."""
    try:
        return _text(get())
    except UnicodeDecodeError:
        return ""


def pv_text(ksr: Ksr, name: str) -> str:
    """Return a pseudo-variable as text, likewise. name: a constant, since Kamailio keeps each for ever."""
    try:
        found = ksr.pv.gete(name)
    except UnicodeDecodeError:
        return ""
    return found if isinstance(found, str) else _text(found)


def method_of(ksr: Ksr) -> str:
    """Return the method; that of an ACK, BYE or CANCEL as Kamailio understands it, however it is written."""
    found = text(ksr.kx.get_method)
    if found.isupper():
        return found
    return "ACK" if ksr.is_ACK() else "BYE" if ksr.is_BYE() else "CANCEL" if ksr.is_CANCEL() else found


def _request(ksr: Ksr, found: Head, received_ms: int) -> CallRequest:
    method = _text(ksr.kx.get_method())
    is_register = method == "REGISTER"
    credentials = _values(ksr, found, "Authorization" if is_register else "Proxy-Authorization")
    from_uri = _uri("From", ksr.pv.gete("$fu"))
    source, port = source_ip(ksr), ksr.pv.geti("$sp")
    return CallRequest(
        method=method,
        call_id=_bounded("Call-ID", ksr.kx.get_callid(), CALL_ID_MAX),
        from_tag=_bounded("From tag", ksr.pv.gete("$ft"), TAG_MAX),
        cseq=_bounded("CSeq", ksr.pv.gete("$cs"), TAG_MAX),
        source_ip=source,
        source_port=port,
        transport=_text(ksr.pv.gete("$proto")).lower(),
        ruri=_uri("R-URI", ksr.pv.gete("$ru"), SCHEMES),
        from_uri=from_uri,
        to_uri=_uri("To", ksr.pv.gete("$tu")),
        received_ms=received_ms,
        credentials=for_realm(credentials, from_uri.host),
        pai=_joined(ksr, found, "P-Asserted-Identity"),
        ppi=_joined(ksr, found, "P-Preferred-Identity"),
        rpid=_joined(ksr, found, "Remote-Party-ID"),
        diversion=_joined(ksr, found, "Diversion"),
        privacy=";".join(_values(ksr, found, "Privacy"))[:HEADER_MAX],
        user_agent=_header(ksr, "User-Agent"),
        contact="" if is_register else _header(ksr, "Contact"),
        contacts=_contacts(ksr, found) if is_register else (),
        history=_joined(ksr, found, "History-Info"),
        expires=_header(ksr, "Expires") if is_register else "",
        path=_contacts(ksr, found, "Path") if is_register else (),
        supported=_joined(ksr, found, "Supported") if is_register else "",
        is_from_us=is_register and _is_ours(ksr, SipUri("sip", "", source, port)),
        is_wildcard=is_register and is_wildcard(_values(ksr, found, "Contact", CONTACTS_READ)),
    )


def head_fault(ksr: Ksr) -> str:
    """Return what no head of a message may contain, "" when there is nothing of it (RFC 3261 §25.1).

    Control characters, and CR or LF apart from each other: some parsers end a line there, so that the text behind it
    would be a header for them that we have not seen. Likewise a line that is no header, a name with odd bytes, and a
    second header of a name that stands once. A body may be binary.
    """
    return looked_at(head(ksr)).fault


@lru_cache(maxsize=1)
def looked_at(data: bytes) -> Head:
    """Return a head with what is said of it. The request's route asks, and each of its branches again."""
    if len(data) > HEAD_MAX:
        return Head(data, f"{len(data)} bytes of headers", None)
    lines = data.split(b"\r\n")
    breaks = len(lines) - 1
    if data.count(b"\r") != breaks or data.count(b"\n") != breaks:
        return Head(data, "CR or LF alone in a header", None)
    if len(data.translate(None, _CONTROL)) != len(data):
        return Head(data, "control character in a header", None)
    del lines[0]
    return _plain(data, lines) or Head(data, _line_fault(data), None)


def _plain(data: bytes, lines: list[bytes]) -> Head | None:
    """Return a head in which no line needs to be looked at on its own, as in most; else None. lines: its headers."""
    if len(lines) > LINES_MAX:
        return None
    found: set[bytes] = set()
    repeats = False
    for line in lines:
        spelled, colon, _ = line.partition(b":")
        name = (_USUAL.get(spelled) if colon else None) or _name(line)
        if name is None or (name in found and name in _ONCE):
            return None
        repeats = repeats or name in found
        found.add(name)
    return Head(data, "", frozenset(found), repeats)


def _name(line: bytes) -> bytes | None:
    """Return the name of a header as names are compared; None for a short one, a folded line, or no header."""
    match = _NAME.match(line)
    name = b"" if match is None else match[1].lower()
    return name if len(name) > 1 else None


def head(ksr: Ksr) -> bytes:
    """Return the first line and the headers of the message under our hands, as they came."""
    try:
        message = _text(ksr.kx.get_msgbuf()).encode()
    except UnicodeDecodeError as error:
        message = error.object
    return message.lstrip(b"\r\n").partition(b"\r\n\r\n")[0]  # empty lines may come first: RFC 3261 §7.5


def source_ip(ksr: Ksr) -> str:
    """Return where the message came from, in the one spelling of its address."""
    found = text(ksr.kx.get_srcip)
    return str(IPv6Address(found)) if ":" in found else found


def _line_fault(found: bytes) -> str:
    first, *lines = found.split(b"\r\n")
    if len(lines) > LINES_MAX:
        return f"{len(lines)} lines of headers"
    may_repeat = b"contact" if first.startswith(b"REGISTER ") else b""
    seen: set[bytes] = set()
    for line in lines:
        if line[:1] in (b" ", b"\t"):
            if not seen or not line.strip():
                return "a folded line of nothing"
            continue
        match = _NAME.match(line)
        if match is None:
            return "a line that is no header"
        name = match[1].lower()
        name = _LONG.get(name, name)
        if name in seen and name in _ONCE and name != may_repeat:
            return f"two headers {name.decode()}"
        seen.add(name)
    return ""


def _contacts(ksr: Ksr, found: Head, name: str = "Contact") -> tuple[Contact, ...]:
    contacts = parse_contacts(_values(ksr, found, name, CONTACTS_READ))
    if contacts is None:
        raise _UnreadableError("malformed", f"{name} that cannot be read, or too many of them")
    return tuple(contact._replace(is_ours=_is_ours(ksr, contact.uri)) for contact in contacts)


def _is_ours(ksr: Ksr, uri: SipUri) -> bool:
    """Tell whether this node listens where the URI leads, on any transport."""
    return ksr.is_myself(str(SipUri("sip", "", uri.host, default_port(uri)))) if uri.host else False


def _values(ksr: Ksr, found: Head, name: str, most: int = VALUES_MAX) -> tuple[str, ...]:
    """Return the values of all headers of this name, long and compact form, in order; "" for an empty one."""
    if not found.may_have(name):
        return ()
    if found.names is None or found.repeats:
        return _all_values(ksr, name, most)
    value = ksr.hdr.get_idx(name, 0)
    return () if value is None else (_text(value),)


def _all_values(ksr: Ksr, name: str, most: int) -> tuple[str, ...]:
    found: list[str] = []
    while (value := ksr.hdr.get_idx(name, len(found))) is not None:
        found.append(_text(value))
        if len(found) > most:
            raise _UnreadableError("malformed", f"more than {most} headers {name}")
    return tuple(found)


def values(ksr: Ksr, name: str) -> tuple[str, ...]:
    """Return the same, none where they cannot be read; for replies, which nobody refuses."""
    try:
        return _all_values(ksr, name, VALUES_MAX)
    except (_UnreadableError, UnicodeDecodeError):
        return ()


def _uri(what: str, value: Xval, schemes: tuple[str, ...] = ()) -> SipUri:
    """Return the parsed URI. schemes: the allowed ones, empty = any that can be parsed."""
    uri = parse_uri(_text(value))
    if uri is None:
        raise _UnreadableError("malformed", f"{what} is no URI")
    if schemes and uri.scheme not in schemes:
        raise _UnreadableError("unsupported_scheme", f"{what} is {uri.scheme}:")
    return uri


def _bounded(what: str, value: Xval, length_max: int) -> str:
    found = _text(value)
    if not 0 < len(found) <= length_max:
        raise _UnreadableError("malformed", f"{what} has {len(found)} characters")
    return found


def _header(ksr: Ksr, name: str) -> str:
    return _text(ksr.hdr.gete(name))[:HEADER_MAX]


def _joined(ksr: Ksr, found: Head, name: str) -> str:
    """Return a header that is a list, however it was split."""
    return ", ".join(_values(ksr, found, name))[:HEADER_MAX]


def _text(value: Xval) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
