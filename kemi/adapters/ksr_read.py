"""KSR -> CallRequest: reads each pseudo-variable once, survives every byte.

Rule 1: what leaves here is text without control characters, bounded in length, with its URIs parsed.
Rule 2: a message that cannot become a CallRequest is a Malformed value with a reason of the refusals table.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from kemi.adapters.ksr_api import Ksr, Xval
from kemi.core.digest import parse_credentials
from kemi.core.request import CallRequest, SipUri
from kemi.core.uri import parse_uri

CALL_ID_MAX: Final = 256  # characters; real ones stay below 128
TAG_MAX: Final = 128
HEADER_MAX: Final = 1_024
SCHEMES: Final = ("sip", "sips")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


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
        _check_bytes(ksr)
        return _request(ksr, received_ms)
    except _UnreadableError as error:
        return error.malformed
    except UnicodeDecodeError as error:
        return Malformed("malformed", f"not UTF-8: {error.reason}")


def text(get: Callable[[], Xval]) -> str:
    """Return a value as text, "" when it is absent or not UTF-8. For logs and look-ups that must not fail."""
    try:
        return _text(get())
    except UnicodeDecodeError:
        return ""


def _request(ksr: Ksr, received_ms: int) -> CallRequest:
    method = _text(ksr.kx.get_method())
    header = "Authorization" if method == "REGISTER" else "Proxy-Authorization"
    credentials = _text(ksr.hdr.gete(header))
    return CallRequest(
        method=method,
        call_id=_bounded("Call-ID", ksr.kx.get_callid(), CALL_ID_MAX),
        from_tag=_bounded("From tag", ksr.pv.gete("$ft"), TAG_MAX),
        cseq=_bounded("CSeq", ksr.pv.gete("$cs"), TAG_MAX),
        source_ip=_text(ksr.kx.get_srcip()),
        source_port=ksr.pv.geti("$sp"),
        transport=_text(ksr.pv.gete("$proto")).lower(),
        ruri=_uri("R-URI", ksr.pv.gete("$ru"), SCHEMES),
        from_uri=_uri("From", ksr.pv.gete("$fu")),
        to_uri=_uri("To", ksr.pv.gete("$tu")),
        received_ms=received_ms,
        credentials=parse_credentials(credentials) if credentials else None,
        pai=_header(ksr, "P-Asserted-Identity"),
        ppi=_header(ksr, "P-Preferred-Identity"),
        rpid=_header(ksr, "Remote-Party-ID"),
        diversion=_header(ksr, "Diversion"),
        privacy=_header(ksr, "Privacy"),
        user_agent=_header(ksr, "User-Agent"),
    )


def _check_bytes(ksr: Ksr) -> None:
    """Refuse a head with control characters or bytes that are not UTF-8 (RFC 3261 §25.1). A body may be binary."""
    try:
        head = _text(ksr.kx.get_msgbuf()).partition("\r\n\r\n")[0]
    except UnicodeDecodeError as error:
        end = error.object.find(b"\r\n\r\n")
        if end < 0 or error.start < end:
            raise _UnreadableError("malformed", f"not UTF-8 at byte {error.start}") from error
        head = error.object[:end].decode()
    if _CONTROL.search(head):
        raise _UnreadableError("malformed", "control character in a header")


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


def _text(value: Xval) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)
