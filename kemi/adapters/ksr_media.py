"""Sound through our relay, rtpengine, of the calls that need it.

Rule 1: the relay knows a call by our own id of it, not by its Call-ID: a call may come through us twice, and each time
is one of its own. A branch is told apart by its number, so that each phone that rings has ports of its own.
Rule 2: a call that needs the relay does not go without it, except to an emergency number: its sides might not hear each
other, and somebody would pay for the silence.
Rule 3: who has waited for the relay in vain says so to the whole node, and nobody else waits for it during 5 s. The
module alone would ask a dead one again at every call.
Rule 4: where the relay sends sound is for core/media.py to say, message by message: a side could name any place. Who is
a carrier's server is told by the address that a message comes from and by the side that speaks: a phone that forges a
carrier's address stays a phone. A phone speaks from where its INVITE came from or was sent to, and from nowhere else.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import partial
from time import monotonic_ns
from typing import Final, Protocol, cast

from kemi.adapters import ksr_plan, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_read import source_ip, text
from kemi.core.media import NOWHERE, TO_SOURCE, Own, own, peer_of, phone_of, speaker, way
from kemi.core.outcome import Route
from kemi.core.sides import CALLEE, CALLER, host_of

TABLE: Final = "media"  # a row per call: when it was offered, who calls, who is called (core/media.py), tag
AT_ONCE: Final = "early"
LATE: Final = "late"  # the INVITE has no description, so the answer has the offer
LOST: Final = "lost"
SILENT: Final = "silent"  # a row too, while nobody asks
SILENT_S: Final = 5
VAIN_NS: Final = 200_000_000  # as long the module waits at least (kamailio.cfg); a relay that refuses is faster
MUST: Final = "must"
MAY: Final = "may"
FINAL: Final = 200
OFFERING: Final = ("INVITE", "UPDATE", "PRACK")
_CALL: Final = "media"  # AVP of an INVITE's transaction: "<must or may> <rid> <early or late>"
_LOST: Final = "media_lost"
_WITHIN: Final = "media_within"  # AVP of another one's: "<rid> <offer or answer> <side>", of its reply's SDP
_CONTENT_TYPE: Final = "$cT"
_BODY: Final = "$rb"
_HOW: Final = "replace-origin replace-session-connection ICE=remove"
# Who has spoken first is listened to alone, and of those who begin together who is where he should be.
_STRICT: Final = "strict-source endpoint-learning-heuristic"
_TO_SOURCE: Final = "SIP-source-address"
_SOCKETS: Final = ("LISTEN_UDP", "LISTEN_TCP", "LISTEN_UDP6", "LISTEN_TCP6", "LISTEN_MORE", "RTPENGINE")  # kamailio.cfg
_PEER: Final = "peer:"  # as PinnedCall.source begins
_SDP: Final = "application/sdp"
_TOKEN: Final = re.compile(r"[A-Za-z0-9.!%*_+`'~-]+")  # RFC 3261 §25.1


class Rtpengine(Protocol):
    """Kamailio's module, which is there where kamailio.cfg is started with RTPENGINE."""

    def rtpengine_offer(self, flags: str, /) -> int:
        """Let the relay take the SDP under our hands, which begins an exchange, and write its own instead."""

    def rtpengine_answer(self, flags: str, /) -> int:
        """Likewise with the SDP that ends an exchange."""

    def rtpengine_delete(self, flags: str, /) -> int:
        """Let the relay forget a call."""


def begin(ksr: Ksr, rid: str, *, is_urgent: bool, calling: Iterable[str] = (), called: Iterable[str] = ()) -> bool:
    """Let the sound of the call whose INVITE is under our hands go through the relay; False = this node has none.

    is_urgent: the call goes without it too, where the relay says nothing. calling, called: who calls, and may be
    called, as core/media.py writes them down.
    """
    if _relay(ksr) is None:
        return _lost(ksr)
    when = AT_ONCE if _has_sdp(ksr) else LATE
    _write(ksr, rid, (when, ",".join(sorted(calling)), ",".join(sorted(called)), text(lambda: ksr.pv.gete("$ft"))))
    ksr.pvx.avp_sets(_CALL, f"{MAY if is_urgent else MUST} {rid} {when}")
    ksr.statistics.update_stat("relayed", 1)
    return True


def begin_of(ksr: Ksr, route: Route) -> bool:
    """Do so with the call of a route."""
    gateways = dict(route.gateways)
    called = {
        peer_of(host, gateways.get(target.pinned.group_id))
        for target in route.targets
        if target.pinned.server_id
        for host in (host_of(target.next_hop), *target.limits.hosts)
        if host
    }
    if any(not target.pinned.server_id for target in route.targets):
        called.add(phone_of(""))
    source = source_ip(ksr)
    is_peer = route.call.source.startswith(_PEER)
    calling = {peer_of(source, gateways.get(route.caller_group)) if is_peer else phone_of(source)}
    return begin(ksr, route.call.rid, is_urgent=route.emergency, calling=calling, called=called)


def offer(ksr: Ksr) -> bool:
    """Let the branch under our hands offer the relay's ports. False = the call needs them, and the relay gives none."""
    how, rid, is_late = _call(ksr)
    if rid:
        _note_way(ksr)
    if not rid or is_late or _do(ksr, "offer", _of_branch(rid), CALLER) or how == MAY:
        return True
    ksr.pvx.avp_sets(_LOST, LOST)
    return False


def _note_way(ksr: Ksr) -> None:
    """Note with the branch under our hands where it is sent: nobody but who is there answers it."""
    branch = ksr.pv.geti("$T_branch_idx")
    asked = ksr_plan.asked_in(ksr, branch)
    if asked is not None:
        hop = text(lambda: ksr.pv.gete("$du")) or text(lambda: ksr.pv.gete("$ru"))
        ksr_plan.note(ksr, branch, asked._replace(sent_to=host_of(hop)))


def is_lost(ksr: Ksr) -> bool:
    """Tell whether a branch of the call under our hands could not go, since the relay gave no ports."""
    return str(ksr.pvx.avp_gete(_LOST)) == LOST


def heard(ksr: Ksr) -> None:
    """Let a reply to the INVITE, of somebody who rings or has answered, name the relay's ports."""
    _, rid, is_late = _call(ksr)
    if not rid or not _counts(ksr, rid):
        return
    asked = ksr_plan.asked_in(ksr, max(0, ksr.pv.geti("$T_branch_idx")))
    phone = "" if asked and asked.server_id else phone_of(asked.sent_to if asked else "")
    row = _row(ksr, rid)
    if phone and row:
        is_answer = ksr.pv.geti("$rs") >= FINAL  # then no carrier is called any more
        called = {phone} if is_answer else {phone, *row[2].split(",")} - {""}
        _write(ksr, rid, (row[0], row[1], ",".join(sorted(called)), row[3]))
    if _has_sdp(ksr):
        _do(ksr, "offer" if is_late else "answer", _of_branch(rid), phone or CALLEE)


def pass_on(ksr: Ksr, rid: str, reply_route: str, sender_is: str) -> bool:
    """Let a request inside a call, and its reply, name the relay's ports. False = the relay gives none.

    reply_route: the callback that calls `heard_within`. sender_is: as its row among the sides is called.
    """
    row = _row(ksr, rid)
    if row is None:
        return True
    speaker, listener = (CALLER, CALLEE) if sender_is == CALLER else (CALLEE, CALLER)
    method = text(ksr.kx.get_method)
    has_sdp = _has_sdp(ksr)
    is_answer = method == "ACK" or (method == "PRACK" and row[0] == LATE and ksr_sides.get(ksr, rid, CALLEE) is None)
    if is_answer and has_sdp:
        _do(ksr, "answer", rid, speaker)  # whatever comes of it: who has been answered must hear so
    if is_answer or method not in OFFERING:
        return True
    if has_sdp and not _do(ksr, "offer", rid, speaker):
        return False
    ksr.pvx.avp_sets(_WITHIN, f"{rid} {'answer' if has_sdp else 'offer'} {listener}")
    ksr.tm.t_on_reply(reply_route)
    return True


def heard_within(ksr: Ksr) -> None:
    """Let the reply to a request inside a call name the relay's ports."""
    rid, _, rest = str(ksr.pvx.avp_gete(_WITHIN)).partition(" ")
    operation, _, speaker = rest.partition(" ")
    if rid and ksr.pv.geti("$rs") // 100 in (1, 2) and _has_sdp(ksr):
        _do(ksr, operation, rid, speaker)


def end(ksr: Ksr, rid: str) -> None:
    """Let the relay forget a call. May run in a timer process, on a message that is not the call's."""
    row = _row(ksr, rid)
    if row is None:
        return
    ksr.htable.sht_rm(TABLE, rid)
    tag = row[3]
    if _TOKEN.fullmatch(tag):  # of any other the relay forgets by itself, when it has been silent for a minute
        _do(ksr, "delete", f"{rid} from-tag={tag} delete-delay=0")


def _row(ksr: Ksr, rid: str) -> list[str] | None:
    """Return what is known of a call, None of one that is not relayed: when, calling, called, tag."""
    row = ksr.htable.sht_get(TABLE, rid) if _relay(ksr) else None
    return row.split(" ", 3) if isinstance(row, str) else None


def _write(ksr: Ksr, rid: str, row: tuple[str, str, str, str]) -> None:
    ksr.htable.sht_sets(TABLE, rid, " ".join(row))


def _relay(ksr: Ksr) -> Rtpengine | None:
    return cast("Rtpengine | None", vars(ksr).get("rtpengine"))  # a getattr that finds nothing is forty times as dear


def _call(ksr: Ksr) -> tuple[str, str, bool]:
    how, _, rest = str(ksr.pvx.avp_gete(_CALL)).partition(" ")
    rid, _, when = rest.partition(" ")
    return how, rid, when == LATE


def _counts(ksr: Ksr, rid: str) -> bool:
    """Tell whether what a reply says is for the caller: nothing is that comes beside or after the answer."""
    callee = ksr_sides.get(ksr, rid, CALLEE)
    if ksr.pv.geti("$rs") >= FINAL:
        return callee is not None and callee.tag == text(lambda: ksr.pv.gete("$tt"))
    return callee is None and not ksr_sides.is_given_up(ksr, rid)


def _of_branch(rid: str) -> str:
    return f"{rid} via-branch=extra"


def _do(ksr: Ksr, operation: str, call: str, who: str = "") -> bool:
    """Ask the relay; without a good answer what is under our hands stays as it is. who: whose description it is."""
    relay = _relay(ksr)
    where = _where(ksr, call.split(" ", 1)[0], who) if who else ""
    if relay is None or where is None or ksr.htable.sht_get(TABLE, SILENT) is not None:
        return _lost(ksr)
    begun_ns = monotonic_ns()
    asked = {"offer": relay.rtpengine_offer, "answer": relay.rtpengine_answer, "delete": relay.rtpengine_delete}
    done = asked[operation](f"call-id={call} {_HOW}{where}") > 0
    if done:
        return True
    if monotonic_ns() - begun_ns >= VAIN_NS:
        ksr.htable.sht_setxs(TABLE, SILENT, "1", SILENT_S)
    return _lost(ksr)


def _where(ksr: Ksr, rid: str, who: str) -> str | None:
    """Return the flags that say where the sound of who speaks under our hands goes, None = nowhere.

    who: CALLER, CALLEE, or a phone as it is written down.
    """
    row = _row(ksr, rid) or ["", "", "", ""]
    written = {CALLER: row[1], CALLEE: row[2]}.get(who, who)
    source = source_ip(ksr)
    peer = speaker(written.split(","), source)
    if peer is None:
        return None
    found = way(text(lambda: ksr.pv.gete(_BODY)), source, _own(ksr), is_peer=not peer.is_phone, hosts=peer.hosts)
    if found == NOWHERE:
        return None
    return f" {_STRICT} {_TO_SOURCE}" if found == TO_SOURCE else f" {_STRICT}"


def _own(ksr: Ksr) -> Own:
    return own(text(partial(ksr.pv.gete, f"$def({name})")) for name in _SOCKETS)


def _lost(ksr: Ksr) -> bool:
    ksr.statistics.update_stat("media_lost", 1)
    return False


def _has_sdp(ksr: Ksr) -> bool:
    kind = text(lambda: ksr.pv.gete(_CONTENT_TYPE)).lower()
    if _SDP in kind:
        return True
    return kind.startswith("multipart/") and _SDP in text(lambda: ksr.pv.gete(_BODY)).lower()
