"""What would become of a call, said by the node itself: the decision that its workers would make now.

Rule 1: nothing is held, counted or written. What the funds have is looked at as the store would, a moment later. The
node's own memory counts: servers that failed lately, draining, and what is in quarantine.
Rule 2: who calls is believed as a worker believes: a line by its digest, for which its stored hash answers here; a
source by its address.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final

from kemi.adapters import ksr_shared, redis_measures
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_purses import Purse
from kemi.adapters.redis_tables import Tables
from kemi.adapters.redis_whatif import foreseen, proven
from kemi.adapters.zones import Zones
from kemi.core.outcome import Challenge, Decision, Need, Register, Reject, Route, Target
from kemi.core.request import CallRequest, Facts, SipUri
from kemi.core.uri import parse_uri
from kemi.noc_command import Answer, Command, Desk, UsageError

SHOWN_MAX: Final = 64
SIP_PORT: Final = 5060
PORT_MAX: Final = 65_535
NOWHERE: Final = "192.0.2.1"  # nobody's (RFC 5737)
TRANSPORTS: Final = ("udp", "tcp", "tls")
CACHE_BYTES: Final = 8 << 20
NO_HOST: Final = "unknown.invalid"


def _explain(desk: Desk, words: Sequence[str]) -> Answer:
    if len(words) not in (2, 3):
        raise UsageError("say who calls, and whom")
    caller, callee, *source = words
    call = _call(desk, caller, callee, source[0] if source else "")
    line = caller.removeprefix("sip:") if "@" in caller and not source else ""
    client = RedisClient(desk.settings.redis_url, desk.settings.redis_timeout_ms)
    try:
        tables = Tables(client, CACHE_BYTES)
        tables.load_pinned()
        if line:
            call = proven(tables, call, line, desk.settings.secret)
        found = foreseen(client, tables, call, _facts(desk, client))
    except StoreUnavailable as error:
        return {"error": f"Redis does not answer: {error}"}
    finally:
        client.close()
    decision = found.decision
    if isinstance(decision, Need):
        return {"error": f"still unknown after {found.rounds} fetches: {', '.join(decision.keys)[:SHOWN_MAX]}"}
    return {**_told(decision), "funds": [_purse(each) for each in found.purses], "config_pass": tables.seen_pass}


def _facts(desk: Desk, client: RedisClient) -> Facts:
    """Return the facts that are in no table."""
    settings = desk.settings
    return Facts(
        records={},
        rates={},
        node=settings.node,
        secret=settings.secret,
        limits=settings.limits,
        nonce_uses=1,
        down_servers=ksr_shared.down_servers(desk.ksr),
        draining=ksr_shared.is_draining(desk.ksr),
        zones=Zones(),
        listens=settings.listens,
        quarantine=redis_measures.quarantine(client, redis_measures.clock_ms(client)),
    )


def _told(decision: Decision) -> Answer:
    """Return a decision as programs are told of it."""
    match decision:
        case Route():
            told: Answer = {"verdict": "route", "targets": [_target(each) for each in decision.targets]}
        case Reject():
            told = {"verdict": "refuse", "reason": decision.reason, "status": decision.status}
            told |= {"phrase": decision.phrase, "account_id": decision.account_id}
        case Challenge():
            told = {"verdict": "challenge", "status": decision.status}
        case Register():
            told = {"verdict": "register"}
    call = decision.call if isinstance(decision, Route | Reject) else None
    if call is not None:
        told |= {"caller": call.caller, "callee": call.callee, "source": call.source, "direction": call.direction}
        told["chain"] = [
            {"level": leg.level, "account": leg.payer_id, "tariff": leg.tariff_id, "prefix": leg.prefix}
            for leg in call.legs
        ]
    return {**told, "trace": list(decision.trace)}


def _purse(purse: Purse) -> dict[str, object]:
    """Return what a fund has. left_micros: null = unlimited; talk_s: how long it alone could pay for this call."""
    return {
        "fund": purse.balance.fund,
        "account": purse.account_id,
        "level": purse.level,
        "left_micros": purse.available_micros,
        "talk_s": purse.talk_s,
    }


def _target(target: Target) -> dict[str, object]:
    pinned = target.pinned
    return {"server_id": pinned.server_id, "name": pinned.name or target.address_of_record}


def _call(desk: Desk, caller: str, callee: str, source: str) -> CallRequest:
    """Return the INVITE as its caller would send it first. Raises UsageError."""
    from_uri = _uri(caller, NO_HOST)
    ruri = _uri(callee, from_uri.host)
    ip, port, transport = _source(source)
    return CallRequest(
        method="INVITE",
        call_id="explain",
        from_tag="explain",
        cseq="1",
        source_ip=ip,
        source_port=port,
        transport=transport,
        ruri=ruri,
        from_uri=from_uri,
        to_uri=ruri,
        received_ms=desk.unix_ms,
    )


def _source(text: str) -> tuple[str, int, str]:
    """Return address, port and transport of `address[:port][/transport]`, an IPv6 one in brackets."""
    place, _, transport = text.partition("/")
    host, _, port = place.rpartition(":") if place.count(":") == 1 or "]:" in place else (place, "", "")
    host = host.strip("[]") or NOWHERE
    try:
        address = str(ip_address(host))
    except ValueError:
        address = ""
    number = int(port) if port.isascii() and port.isdigit() and len(port) < SHOWN_MAX else 0
    if not address or (port and not 0 < number <= PORT_MAX) or (transport or "udp") not in TRANSPORTS:
        raise UsageError(f"{text[:SHOWN_MAX]!r} is no source: say address[:port][/transport]")
    return address, number or SIP_PORT, transport or "udp"


def _uri(text: str, host: str) -> SipUri:
    """Return the URI of a URI, an address of record, or a number (then at `host`)."""
    whole = text if ":" in text else f"sip:{text}" if "@" in text else f"sip:{text}@{host}"
    uri = parse_uri(whole)
    if uri is None:
        raise UsageError(f"{text[:SHOWN_MAX]!r} is no number, no user@domain and no SIP URI")
    return uri


COMMANDS: Final[tuple[Command, ...]] = (
    Command(
        "explain",
        "explain CALLER CALLEE [SOURCE]",
        "Say what would become of a call on this node now; nothing is held or written.",
        _explain,
    ),
)
