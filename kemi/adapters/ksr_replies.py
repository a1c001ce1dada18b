"""Every reply, before Kamailio takes it: who answers a call, and that a call which is over stays over.

Rule 1: the first 2xx to an INVITE makes the called side. Kamailio would pass every later one on to the caller, also
after a CANCEL or after we gave up: such a one is dropped here, and the agent ends that leg.
Rule 2: what a side says of who is who goes no further.
Rule 3: what ends a BYE is told to the agent, which makes sure that both sides are out; so is what it asked them.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.adapters import ksr_connections, ksr_dlg_var, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_queue import ByeAnswered, LateAnswer, LoginAnswered, Message, Moved, ProbeAnswered
from kemi.adapters.ksr_read import HEAD_MAX, head, pv_text, source_ip, text, values
from kemi.adapters.ksr_strip import strip_interpreted
from kemi.adapters.ksr_within import REFRESHING, Ours
from kemi.core.sides import CALLEE, CALLER, Side, counted, route_uris
from kemi.core.token import token_of

TRYING: Final = 100
FINAL: Final = 200
REFUSING: Final = 300


class _Reply(NamedTuple):
    """A reply as read. recorded: URIs of its Record-Route. rids: the calls that they name.

    There is more than one when a call came through us twice.
    """

    from_tag: str
    to_tag: str
    recorded: tuple[str, ...]
    rids: tuple[str, ...]

    def side(self, ksr: Ksr, rid: str) -> Side:
        """Return who has sent it, as the called side of this call."""
        return ksr_sides.of_read(ksr, rid, self.to_tag, self.recorded)


def serve(ksr: Ksr, ours: Ours) -> None:
    """Note what a reply says of a call; drop it when it must not go on."""
    found = head(ksr)
    if len(found) > HEAD_MAX:
        ksr.set_drop()
        return
    status = ksr.pv.geti("$rs")
    method = text(ksr.kx.get_method)
    if method == "REGISTER":
        if status >= FINAL:
            ours.tell(_of_login(ksr, status))
        return
    strip_interpreted(ksr, found)
    if method == "BYE" and status >= FINAL:
        ours.tell(ByeAnswered(text(ksr.kx.get_callid), pv_text(ksr, "$ft"), status, source_ip(ksr)))
    elif method == "OPTIONS" and status >= FINAL:
        tag = pv_text(ksr, "$ft")
        ours.tell(ProbeAnswered(text(ksr.kx.get_callid), tag, status, source_ip(ksr), ksr_sides.cseq_of(ksr)))
    elif method == "INVITE" and TRYING < status < FINAL:
        _ringing(ksr, ours)
    elif method in REFRESHING and FINAL <= status < REFUSING:
        _answered(ksr, ours, method)


def _of_login(ksr: Ksr, status: int) -> Message:
    asks = {401: "WWW-Authenticate", 407: "Proxy-Authenticate"}.get(status)
    return LoginAnswered(
        text(ksr.kx.get_callid),
        status,
        values(ksr, asks) if asks else (),
        values(ksr, "Contact"),
        text(lambda: ksr.hdr.gete("Expires")),
        text(lambda: ksr.hdr.gete("Min-Expires")),
        source_ip(ksr),
        ksr_sides.cseq_of(ksr),
    )


def _ringing(ksr: Ksr, ours: Ours) -> None:
    """Remember a side that rings: it may be asked something before it answers."""
    reply = _read(ksr, ours)
    which = ksr_sides.early_of(reply.to_tag)
    for rid in reply.rids if reply.to_tag else ():
        if ksr_sides.get(ksr, rid, CALLER) is None or ksr_sides.get(ksr, rid, CALLEE) or ksr_sides.get(ksr, rid, which):
            continue
        if not ksr_sides.is_given_up(ksr, rid):
            side = reply.side(ksr, rid)
            ksr_sides.put_early(ksr, rid, side)
            ksr_connections.ring(ksr, rid, which, side)


def _answered(ksr: Ksr, ours: Ours, method: str) -> None:
    reply = _read(ksr, ours)
    rids = reply.rids or _followed(ksr, reply)
    callees = [(rid, ksr_sides.get(ksr, rid, CALLEE)) for rid in rids]
    if method == "INVITE" and (not rids or any(_is_late(ksr, rid, callee, reply) for rid, callee in callees)):
        ksr.set_drop()
        for rid in rids[:1]:
            ours.tell(_late(ksr, rid))
        return
    for rid, callee in callees:
        if callee is None and method == "INVITE":
            if ksr_sides.is_given_up(
                ksr, rid
            ):  # tm drops it; were it dropped here, its transaction would stay for ever
                ours.tell(_late(ksr, rid))
                return
            _join(ksr, rid, reply)
        else:
            _refresh(ksr, ours, rid)


def _read(ksr: Ksr, ours: Ours) -> _Reply:
    """Read the reply under our hands, each part once."""
    recorded = route_uris(pv_text(ksr, ksr_sides.RECORD_ROUTES))
    call_id, tag = text(ksr.kx.get_callid), pv_text(ksr, "$ft")
    tokens = [token_of(ours.secret, uri, call_id, tag, "") for uri in recorded]
    rids = tuple(dict.fromkeys([token.rid for token in tokens if token]))
    return _Reply(tag, pv_text(ksr, "$tt"), recorded, rids)


def _followed(ksr: Ksr, reply: _Reply) -> tuple[str, ...]:
    """Return the call that Kamailio knows the reply to be of: one inside a call, or of who left our route out."""
    call_id = text(ksr.kx.get_callid)
    if not call_id or ksr.dialog.dlg_get(call_id, reply.from_tag, reply.to_tag) < 0:
        return ()
    rid = text(lambda: ksr_dlg_var.get(ksr, "rid"))
    return (rid,) if rid else ()


def _is_late(ksr: Ksr, rid: str, callee: Side | None, reply: _Reply) -> bool:
    """Tell whether the call is over, or somebody else has answered it."""
    if not reply.to_tag or ksr_sides.get(ksr, rid, CALLER) is None:
        return True
    return callee is not None and callee.tag not in (reply.from_tag, reply.to_tag)


def _join(ksr: Ksr, rid: str, reply: _Reply) -> None:
    callee = reply.side(ksr, rid)
    early = ksr_sides.get(ksr, rid, ksr_sides.early_of(callee.tag))
    ksr_sides.put(ksr, rid, CALLEE, counted(callee, early.cseq) if early else callee)
    ksr_sides.forget_early(ksr, rid)
    ksr_connections.talk(ksr, rid, CALLEE, callee)


def _refresh(ksr: Ksr, ours: Ours, rid: str) -> None:
    """Take the new Contact of who answered a re-INVITE or an UPDATE."""
    tag = pv_text(ksr, "$tt")
    for which in (CALLER, CALLEE):
        side = ksr_sides.get(ksr, rid, which)
        if side is None or side.tag != tag:
            continue
        fresh = side.refreshed(*ksr_sides.source(ksr), ksr_sides.contact_of(ksr))
        if fresh != side:
            ksr_sides.put(ksr, rid, which, fresh)
            ours.tell(Moved(rid, which, fresh))
        ksr_connections.talk(ksr, rid, which, fresh)


def _late(ksr: Ksr, rid: str) -> Message:
    return LateAnswer(
        rid,
        text(ksr.kx.get_callid),
        pv_text(ksr, "$ft"),
        ksr_sides.of_reply(ksr, rid),
        ksr_sides.cseq_of(ksr),
    )
