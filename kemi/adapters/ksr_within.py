"""Requests inside a call: passed on between its two sides, and nowhere else.

Rule 1: a request counts when our token is for its Call-ID and tag, both tags are the call's, and its CSeq rises.
Rule 2: where it goes is what we saw of the other side, not what the request says.
Rule 3: what is not known to be a call of ours gets 481; only a BYE or an ACK of before a restart passes all the same,
and a BYE of another node's call, whichever node its Route names: the token says that it is one of this cell.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from kemi.adapters import ksr_connections, ksr_dlg_var, ksr_mask, ksr_media, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_queue import Ended, Message, Moved
from kemi.adapters.ksr_read import head, pv_text, source_ip, text
from kemi.adapters.ksr_shared import is_known_call
from kemi.adapters.ksr_strip import strip_interpreted
from kemi.core.sides import CALLEE, CALLER, CSEQ_MAX, Side, counted, host_of, route_uris
from kemi.core.token import PARAMETER, Token, token_of

FAILURE: Final = "ksr_within_failure"
NO_CALL: Final = (481, "Call/Transaction Does Not Exist")
OUT_OF_ORDER: Final = (500, "CSeq Out Of Order")  # RFC 3261 §12.2.2
CANNOT_SEND: Final = (500, "Cannot Be Sent")
NO_MEDIA: Final = (503, "Media Relay Unavailable")  # the call goes on as it was
OK: Final = (200, "OK")
CHALLENGES: Final = (401, 407)
ANSWER_MS: Final = 32_000  # timer F; a re-INVITE may ring
RING_MS: Final = 120_000
CSEQ_DIFF: Final = "cseq_diff"  # the dialog module's: by how much the called side's CSeq is ahead
_RACK: Final = re.compile(r"\s*([0-9]{1,10})\s+([0-9]{1,10})\s+([A-Z]+)\s*", re.ASCII)  # RFC 3262 §7.2
REFRESHING: Final = ("INVITE", "UPDATE")


class Ours(NamedTuple):
    """What a worker knows of itself. now_ns: monotonic, now_ms: Unix time; tell: to the agent; False = it is lost."""

    secret: bytes
    node: str
    now_ns: int
    now_ms: int
    tell: Callable[[Message], bool]


class _Within(NamedTuple):
    """A request as read. rest: URIs of its Route after ours."""

    method: str
    from_tag: str
    to_tag: str
    cseq: int
    rest: tuple[str, ...]


class _Pair(NamedTuple):
    """The two sides of a request, and what they are called in the table. shown: as ksr_sides.hidden has it.

    is_ringing: nobody has answered yet.
    """

    rid: str
    sender: Side
    sender_is: str
    other: Side
    shown: str | None
    is_ringing: bool


def serve(ksr: Ksr, ours: Ours, method: str) -> None:
    """Pass a request with a To tag on, or refuse it. method: as Kamailio understands it."""
    if method != "ACK" and ksr.tm.t_check_trans() == 0:
        return
    routes = route_uris(pv_text(ksr, ksr_sides.ROUTES))
    if not routes:
        _refuse(ksr, NO_CALL)
        return
    call_id, from_tag, to_tag = text(ksr.kx.get_callid), pv_text(ksr, "$ft"), pv_text(ksr, "$tt")
    token = token_of(ours.secret, f"<{routes[0]}>", call_id, from_tag, to_tag)
    if token is None:
        _refuse(ksr, NO_CALL)
        return
    is_to_us = ksr.is_myself(routes[0])
    rest = _beyond_us(ksr, token, routes) if is_to_us else routes
    request = _Within(method, from_tag, to_tag, ksr_sides.cseq_of(ksr), rest)
    caller = ksr_sides.get(ksr, token.rid, CALLER)
    if caller is None:
        _of_before(ksr, ours, token, request, is_to_us=is_to_us)
        return
    if not is_to_us:
        _refuse(ksr, NO_CALL)
        return
    pair = _pair(ksr, token, caller, request)
    if pair is None:
        _refuse(ksr, NO_CALL)
    elif request.method == "ACK":
        ksr_connections.talk(ksr, pair.rid, pair.sender_is, pair.sender)
        if request.rest == pair.other.route:
            _pass_on(ksr, "ACK", pair)
    elif not pair.sender.cseq < request.cseq <= CSEQ_MAX:
        _refuse(ksr, OUT_OF_ORDER)
    else:
        _go_on(ksr, ours, token.rid, request, pair)


def failed(ksr: Ksr) -> None:
    """Keep from a side what is not meant for it: a challenge, and that our requests have overtaken its BYE."""
    status = ksr.tm.t_get_status_code()
    if ksr.is_BYE() and (status in CHALLENGES or status == OUT_OF_ORDER[0]):
        ksr.tm.t_reply(*OK)  # who says BYE is out; the agent has heard of the refusal, and sends one of its own
    elif status in CHALLENGES:
        ksr.tm.t_reply(403, "Forbidden")


def _beyond_us(ksr: Ksr, token: Token, routes: tuple[str, ...]) -> tuple[str, ...]:
    """Return the route after our own entries, the first of which is: two where a call changes its transport here."""
    ours = f";{PARAMETER}={token.rid}."
    if ours not in routes[0]:
        return routes
    routes = routes[1:]
    while routes and ours in routes[0] and ksr.is_myself(routes[0]):
        routes = routes[1:]
    return routes


def _pair(ksr: Ksr, token: Token, caller: Side, request: _Within) -> _Pair | None:
    """Return who speaks to whom, None when the called side has another tag."""
    tag = request.to_tag if token.is_callers else request.from_tag
    callee_is = CALLEE
    callee = ksr_sides.get(ksr, token.rid, CALLEE)
    is_ringing = callee is None
    if callee is None:
        callee_is = ksr_sides.early_of(tag)
        callee = ksr_sides.get(ksr, token.rid, callee_is)
    if callee is None or callee.tag != tag:
        return None
    shown = ksr_sides.hidden(ksr, token.rid)
    rid = token.rid
    if token.is_callers:
        return _Pair(rid, caller, CALLER, callee, shown, is_ringing)
    return _Pair(rid, callee, callee_is, caller, shown, is_ringing)


def _go_on(ksr: Ksr, ours: Ours, rid: str, request: _Within, pair: _Pair) -> None:
    is_ringing = pair.is_ringing
    if request.method == "BYE" and is_ringing and pair.sender_is != CALLER:
        _refuse(ksr, NO_CALL)  # RFC 3261 §15: who rings has nothing to end, and the others may ring on
        return
    sender = counted(pair.sender, request.cseq)
    if request.method in REFRESHING:
        sender = sender.refreshed(*ksr_sides.source(ksr), ksr_sides.contact_of(ksr))
        keep = ksr_connections.ring if is_ringing else ksr_connections.talk
        keep(ksr, rid, pair.sender_is, sender)
    if is_ringing or request.method != "BYE":
        ksr_sides.put(ksr, rid, pair.sender_is, sender)
        ours.tell(Moved(rid, pair.sender_is, sender))
    else:
        is_sure = sender.is_at(source_ip(ksr)) and request.rest == pair.other.route
        if ours.tell(Ended(rid, pair.sender_is, ours.now_ns, ours.now_ms, is_sure=is_sure, side=sender)):
            ksr_sides.forget(ksr, rid)  # else the dialog's end tells
        ksr_connections.part(ksr, rid, pair.sender_is, sender)
        ksr_connections.part(ksr, rid, CALLEE if pair.sender_is == CALLER else CALLER, pair.other)
    if request.rest == pair.other.route:
        _pass_on(ksr, request.method, pair)
    elif request.method == "BYE":
        ksr.rr.loose_route()  # so that Kamailio's dialog ends too
        _refuse(ksr, OK)
    else:
        _refuse(ksr, NO_CALL)


def _pass_on(ksr: Ksr, method: str, pair: _Pair) -> None:
    """Send the request to the other side. A BYE that cannot be sent is answered: the agent sends its own."""
    other = pair.other
    if ksr.rr.loose_route() <= 0:
        _refuse(ksr, OK if method == "BYE" else NO_CALL)
        return
    ksr.seturi(other.ruri)
    next_hop = other.next_hop
    if next_hop:
        ksr.setdsturi(next_hop)
    else:
        ksr.resetdsturi()
    if pair.sender_is == CALLER:
        if method == "PRACK":
            _count_on(ksr)
        ksr_mask.of_caller(ksr, pair.shown)
    else:
        ksr_mask.of_callee(ksr, other, pair.sender, pair.shown)
    if not ksr_media.pass_on(ksr, pair.rid, ksr_mask.REPLY, pair.sender_is):
        _refuse(ksr, NO_MEDIA)
        return
    _relay(ksr, method, OK if method == "BYE" else CANNOT_SEND)


def _count_on(ksr: Ksr) -> None:
    """Let a PRACK name the INVITE as the called side counts it: our login there has made its CSeq higher."""
    ahead = text(lambda: ksr_dlg_var.get(ksr, CSEQ_DIFF))
    found = _RACK.fullmatch(text(lambda: ksr.hdr.gete("RAck"))) if ahead.isdecimal() else None
    if found:
        ksr.hdr.remove("RAck")
        ksr.hdr.append(f"RAck: {found[1]} {int(found[2]) + int(ahead)} {found[3]}\r\n")


def _relay(ksr: Ksr, method: str, otherwise: tuple[int, str]) -> None:
    strip_interpreted(ksr, head(ksr))
    if method == "ACK":
        ksr.forward()  # tm would take it for that of a refusal where an ACK of ours to a late answer is around
        return
    ksr.tm.t_on_failure(FAILURE)
    ksr.tm.t_set_fr(RING_MS, ANSWER_MS)
    if ksr.tm.t_relay() < 0:
        _refuse(ksr, otherwise)


def _of_before(ksr: Ksr, ours: Ours, token: Token, request: _Within, *, is_to_us: bool) -> None:
    """Let a call be ended that this node does not know: it began elsewhere, or before a restart.

    The agent settles it through its reservation, and ends it on the wire where the answer was told with its sides; the
    BYE goes on where it can only go to the call's own hosts. It goes nowhere where the agent follows the call, for our
    requests have overtaken its CSeq, or where it was meant for another node (is_to_us False): the agent's go out then.
    """
    is_ours = token.is_of(ours.node) and token.issued_ms >= ksr_sides.boot_ms(ksr)
    is_over = is_ours and not ksr_sides.is_away(ksr, token.rid)
    if is_over or request.method not in ("ACK", "BYE"):
        _refuse(ksr, NO_CALL)
        return
    if request.method == "BYE":
        by = CALLER if token.is_callers else CALLEE
        ip = source_ip(ksr)
        goes_on = is_to_us and not is_known_call(ksr, token.rid)
        ours.tell(
            Ended(token.rid, by, ours.now_ns, ours.now_ms, is_followed=False, ip=ip, is_relayed=goes_on),
        )
    else:
        goes_on = is_to_us
    hosts = [host_of(uri) for uri in (*request.rest, pv_text(ksr, "$ru"))]
    is_safe = all(host and token.leads_to(ours.secret, host) for host in hosts)
    if goes_on and is_safe and ksr.rr.loose_route() > 0:
        _relay(ksr, request.method, OK)
    else:
        _refuse(ksr, OK)


def _refuse(ksr: Ksr, answer: tuple[int, str]) -> None:
    """Answer; an ACK goes nowhere, but may be for a refusal of ours."""
    if ksr.is_ACK():
        ksr.tm.t_check_trans()
    else:
        ksr.sl.send_reply(*answer)
