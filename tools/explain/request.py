"""The call that is asked about, made as its caller would send it.

Rule 1: nothing is decided here. Whoever is to be believed proves it as a real caller does: by digest
(kemi/core/proof.py), or by the address that the call comes from.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final, NamedTuple

from kemi.core.request import CallRequest, SipUri
from kemi.core.uri import parse_uri
from tools.errors import OperatorError

SIP_PORT: Final = 5060
PORT_MAX: Final = 65_535
TRANSPORTS: Final = ("udp", "tcp", "tls", "ws", "wss")
MS: Final = 1_000  # of a second
YEARS: Final = range(2000, 2100)  # of which anything can be configured


class Origin(NamedTuple):
    """Where a call comes from. ip: 192.0.2.1 is nobody's (RFC 5737)."""

    ip: str = "192.0.2.1"
    port: int = SIP_PORT
    transport: str = "udp"


NOWHERE: Final = Origin()


class Question(NamedTuple):
    """The call in question. caller: address of record, number, or URI of the From. callee: number or URI.

    subscriber: address of record that proves itself by digest, "" = the caller's, if it is one. at_ms: Unix time of the
    call, 0 = now. secret: of the nodes, for the same weighted draw as theirs; empty = it is not known.
    """

    caller: str
    callee: str
    subscriber: str = ""
    origin: Origin = NOWHERE
    at_ms: int = 0
    call_id: str = "explain"
    secret: bytes = b""

    @property
    def line(self) -> str:
        """The address of record that proves itself, "" where the call is known by its source alone, if at all."""
        is_own = "@" in self.caller and self.origin == NOWHERE
        return (self.subscriber or (self.caller if is_own else "")).removeprefix("sip:")


def origin(text: str) -> Origin:
    """Return the source that `ip[:port]/transport` names; no transport = udp. Raises OperatorError."""
    rest, _, transport = text.rpartition("/") if "/" in text else (text, "", "udp")
    if rest.startswith("["):
        host, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    else:
        host, _, port = rest.partition(":") if rest.count(":") == 1 else (rest, "", "")
    try:
        address = str(ip_address(host))
        number = int(port or SIP_PORT)
    except ValueError:
        address, number = "", 0
    if not address or not 0 < number <= PORT_MAX or transport.lower() not in TRANSPORTS:
        raise OperatorError(
            f"{text!r} is no source: it looks like 203.0.113.7:5060/udp, 203.0.113.7/tcp or [2001:db8::7]:5060/udp"
        )
    return Origin(address, number, transport.lower())


def moment_ms(text: str) -> int:
    """Return the Unix time of `2026-12-24T18:00+01:00`; without an offset it is UTC. Raises OperatorError.

    It lies in 2000 … 2099.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise OperatorError(f"{text!r} is no time: it looks like 2026-12-24T18:00, or 2026-12-24T18:00+01:00") from None
    if at.year not in YEARS:
        raise OperatorError(f"{text!r} is too far away: the years {YEARS[0]} to {YEARS[-1]} are known")
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * MS)


def invite(question: Question) -> CallRequest:
    """Return the INVITE as the caller would send it first, without credentials. Raises OperatorError."""
    line = question.line
    host = line.partition("@")[2] or "unknown.invalid"
    from_uri = _uri(line or question.caller, host)
    ruri = _uri(question.callee, from_uri.host)
    is_claim = bool(line) and question.caller not in ("", line, f"sip:{line}")
    return CallRequest(
        method="INVITE",
        call_id=question.call_id,
        from_tag="explain",
        cseq="1",
        source_ip=question.origin.ip,
        source_port=question.origin.port,
        transport=question.origin.transport,
        ruri=ruri,
        from_uri=from_uri,
        to_uri=ruri,
        received_ms=question.at_ms or time.time_ns() // 1_000_000,
        ppi=f"<{_uri(question.caller, host)}>" if is_claim else "",
    )


def _uri(text: str, host: str) -> SipUri:
    """Return the URI of a URI, an address of record, or a number (then at `host`)."""
    whole = text if ":" in text else f"sip:{text}" if "@" in text else f"sip:{text}@{host}"
    uri = parse_uri(whole)
    if uri is None:
        raise OperatorError(f"{text!r} is no number, no user@domain and no SIP URI")
    return uri
