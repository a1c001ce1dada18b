"""The sides of every call of this node, in shared memory: table `sides`, a row per side, from the INVITE to the end.

A call without a caller's row is over, or began elsewhere. A row outlives no call: the table forgets after a day.
"""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Final

from kemi import codec
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_read import TAG_MAX, pv_text, source_ip
from kemi.adapters.ksr_shared import NOC
from kemi.core.outcome import Route
from kemi.core.sides import CALLEE, CALLER, Side, contact_uri, host_of, route_uris, source_uri
from kemi.core.token import Origin, sign
from kemi.settings import Settings

SIDES: Final = "sides"
AWAY: Final = "away"
BOOT: Final = "boot"  # Unix ms of this node's start, as text: KSR knows no integers of 64 bits
EARLY_S: Final = 400  # beyond the longest ringing
EARLIES: Final = "earlies"  # table: how many sides of a call have rung, and branches of several are over
EARLY_MAX: Final = 32  # of a call with thirty branches; what rings is for others to say, and memory is everybody's
EARLY_ROW_MAX: Final = 8_192  # characters, two a byte; half of them where a row is plain
PLAIN: Final = "= "  # so begins a row in plain text; neither JSON nor hexadecimal digits do
_SPACES: Final = 8  # in a plain row without a route: before each of its eight fields
ATTEMPT: Final = "attempt"
MANY: Final = "+"
BRANCHES_MAX: Final = 30  # of a transaction: max_branches in kamailio.cfg
HIDDEN: Final = "hidden"
RECORD_ROUTES: Final = "$(hdr(Record-Route)[*])"
NOBODY: Final = Side("", "", "", "")  # of a call whose row is gone before it began
ROUTES: Final = "$(hdr(Route)[*])"


def note_boot(ksr: Ksr, now_ms: int) -> None:
    """Remember when this node began; a reload changes nothing."""
    if ksr.htable.sht_get(NOC, BOOT) is None:
        ksr.htable.sht_sets(NOC, BOOT, str(now_ms))


def boot_ms(ksr: Ksr) -> int:
    """Return when this node began."""
    return int(str(ksr.htable.sht_get(NOC, BOOT) or 0))


def get(ksr: Ksr, rid: str, which: str) -> Side | None:
    """Return a side of a live call. which: CALLER, CALLEE once there is an answer, or early_of(tag) before."""
    row = ksr.htable.sht_get(SIDES, f"{rid}/{which}")
    return _read(row) if isinstance(row, str) else None


def _read(row: str) -> Side:
    """Read a side as `_row` writes it, or the release before did. Raises ValueError where it is none."""
    if not row.startswith(PLAIN):
        return codec.read(Side, row)
    _, tag, uri, ip, hop, target, cseq, shown, socket, *route = row.split(" ")
    return tuple.__new__(Side, (tag, uri, ip, hop, target, tuple(route), int(cseq), shown, socket))


def _row(side: Side) -> str:
    """Write a side: its fields between spaces, the route last. What has a space or an odd character is packed."""
    tag, uri, ip, hop, target, route, cseq, shown, socket = side
    row = " ".join(["=", tag, uri, ip, hop, target, str(cseq), shown, socket, *route])
    is_plain = row.isascii() and row.isprintable() and row.count(" ") == _SPACES + len(route)
    return row if is_plain else codec.write(side)


def _is_long(row: str) -> bool:
    return len(row) * (2 if row.startswith(PLAIN) else 1) > EARLY_ROW_MAX


def early_of(tag: str) -> str:
    """Return what a side is called that rings: there may be several."""
    return f"early/{tag}"


def put(ksr: Ksr, rid: str, which: str, side: Side) -> None:
    """Remember a side."""
    row = _row(side)
    if which in (CALLER, CALLEE):
        ksr.htable.sht_sets(SIDES, f"{rid}/{which}", row)
    elif not _is_long(row):
        ksr.htable.sht_setxs(SIDES, f"{rid}/{which}", row, EARLY_S)


def put_early(ksr: Ksr, rid: str, side: Side) -> None:
    """Remember a side that begins to ring, of which a call has so many and no more."""
    if len(side.tag) > TAG_MAX or _is_long(_row(side)):
        return
    number = ksr.htable.sht_inc(EARLIES, rid)
    if number <= EARLY_MAX:
        ksr.htable.sht_setxs(SIDES, _early(rid, number), early_of(side.tag), EARLY_S)
        put(ksr, rid, early_of(side.tag), side)


def forget_early(ksr: Ksr, rid: str) -> None:
    """Let only who has answered be a side of the call."""
    count = ksr.htable.sht_get(EARLIES, rid)
    if not isinstance(count, int) or count <= 0:  # the table's initial value
        return
    for number in range(1, 1 + min(count, EARLY_MAX + BRANCHES_MAX)):
        which = ksr.htable.sht_get(SIDES, _early(rid, number))
        if isinstance(which, str):
            ksr.htable.sht_rm(SIDES, f"{rid}/{which}")
            ksr.htable.sht_rm(SIDES, _early(rid, number))
    ksr.htable.sht_rm(EARLIES, rid)


def begin_attempt(ksr: Ksr, rid: str, branch: int, *, has_others: bool = False) -> None:
    """Remember the first branch of the attempt that begins now, in the transaction under our hands.

    has_others: it may have several branches, of which one can be given up while the others go on.
    """
    others = MANY if has_others else ""
    ksr.htable.sht_setxs(SIDES, f"{rid}/{ATTEMPT}", f"{_transaction(ksr)} {branch}{others}", EARLY_S)


def is_given_up(ksr: Ksr, rid: str) -> bool:
    """Tell whether the reply under our hands is of an attempt before the one that counts, or of a branch that is over.

    It is over when it was silent for too long, or rang too long, while another one went on.
    """
    transaction, _, first = str(ksr.htable.sht_get(SIDES, f"{rid}/{ATTEMPT}") or "").rpartition(" ")
    if not transaction or ksr.tm.t_check_trans() <= 0 or _transaction(ksr) != transaction:
        return False  # of no transaction of ours, or of the call's way through us before or after this one
    branch = ksr.pv.geti("$T_branch_idx")
    if branch < int(first.rstrip(MANY)):
        return True
    return first.endswith(MANY) and ksr.htable.sht_get(SIDES, f"{rid}/{_over(branch)}") is not None


def end_branch(ksr: Ksr, rid: str, branch: int) -> None:
    """Remember that one of several branches is over: it can answer no more, and the others may."""
    number = ksr.htable.sht_inc(EARLIES, rid)
    if number <= EARLY_MAX + BRANCHES_MAX:
        ksr.htable.sht_setxs(SIDES, _early(rid, number), _over(branch), EARLY_S)
        ksr.htable.sht_setxs(SIDES, f"{rid}/{_over(branch)}", "1", EARLY_S)


def hide(ksr: Ksr, rid: str, contact: str) -> None:
    """Remember that the caller asked to be hidden. contact: value of the Contact that may be shown, "" = none."""
    ksr.htable.sht_sets(SIDES, f"{rid}/{HIDDEN}", f"={contact}")


def hidden(ksr: Ksr, rid: str) -> str | None:
    """Return the Contact that may be shown of a hidden caller, None of one who is not hidden."""
    row = ksr.htable.sht_get(SIDES, f"{rid}/{HIDDEN}")
    return row[1:] if isinstance(row, str) else None


def forget(ksr: Ksr, rid: str) -> bool:
    """Let a call be over. Return False where it is already: by its BYE, or by the agent."""
    ksr.htable.sht_rm(SIDES, f"{rid}/{CALLEE}")
    if ksr.htable.sht_get(SIDES, f"{rid}/{CALLER}") is None:
        return False
    for row in (CALLER, ATTEMPT, HIDDEN):
        ksr.htable.sht_rm(SIDES, f"{rid}/{row}")
    forget_early(ksr, rid)
    return True


def hand_over(ksr: Ksr, rid: str) -> None:
    """Let another node have a call: it is not over, but what comes of it here is as of a call of another node."""
    forget(ksr, rid)
    ksr.htable.sht_sets(SIDES, f"{rid}/{AWAY}", "1")


def is_away(ksr: Ksr, rid: str) -> bool:
    """Tell whether another node has taken this call over."""
    return ksr.htable.sht_get(SIDES, f"{rid}/{AWAY}") is not None


def of_invite(ksr: Ksr) -> Side:
    """Return the caller, from the INVITE under the worker's hands."""
    tag, uri = pv_text(ksr, "$ft"), pv_text(ksr, "$fu")
    return _side(ksr, tag, uri, route_uris(pv_text(ksr, RECORD_ROUTES)), cseq_of(ksr), "")


def of_reply(ksr: Ksr, rid: str) -> Side:
    """Return the called side, from its reply to the INVITE of call `rid`."""
    return of_read(ksr, rid, pv_text(ksr, "$tt"), route_uris(pv_text(ksr, RECORD_ROUTES)))


def of_read(ksr: Ksr, rid: str, tag: str, recorded: tuple[str, ...]) -> Side:
    """Return the same, where its To tag and the URIs of its Record-Route are read."""
    ours = 0
    for at, uri in enumerate(recorded):
        if rid in uri:
            ours = at
            break
    return _side(ksr, tag, pv_text(ksr, "$tu"), recorded[:ours][::-1], 0, pv_text(ksr, "$fu"))


def cseq_of(ksr: Ksr) -> int:
    """Return the number of CSeq, 0 when there is none."""
    found = pv_text(ksr, "$cs")
    return int(found) if found.isdecimal() else 0


def contact_of(ksr: Ksr) -> str:
    """Return the Contact under the worker's hands, "" when it cannot be used; our own address leads nowhere."""
    contact = contact_uri(pv_text(ksr, "$ct"))
    return "" if contact and ksr.is_myself(contact) else contact


def source(ksr: Ksr) -> tuple[str, str]:
    """Return the address that the message came from, and the same as a URI."""
    ip = source_ip(ksr)
    return ip, source_uri(ip, ksr.pv.geti("$sp"), pv_text(ksr, "$proto"))


def _over(branch: int) -> str:
    return f"over/{branch}"


def _early(rid: str, number: int) -> str:
    return f"{rid}/row/{number}"


def _transaction(ksr: Ksr) -> str:
    return f"{ksr.pv.geti('$T(id_index)')}:{ksr.pv.geti('$T(id_label)')}"


def _side(ksr: Ksr, tag: str, uri: str, route: tuple[str, ...], cseq: int, shown: str) -> Side:
    """Return who sent the message, in one piece: what `_replace` adds costs as much as the side."""
    ip, protocol = source_ip(ksr), pv_text(ksr, "$proto")
    hop = source_uri(ip, ksr.pv.geti("$sp"), protocol)
    return Side(tag, uri, ip, hop, contact_of(ksr), route, cseq, shown, _socket(ksr, protocol.lower()))


def _socket(ksr: Ksr, protocol: str) -> str:
    """Return the socket of ours that the message came to."""
    ip = pv_text(ksr, "$Ri").strip("[]")
    host = f"[{IPv6Address(ip)}]" if ":" in ip else ip
    return f"{protocol}:{host}:{ksr.pv.geti('$Rp')}" if ip else ""


def signed(ksr: Ksr, source_ip: str, route: Route, settings: Settings, unix_ms: int) -> str:
    """Return the token of a call: for its own Call-ID and tag, and to the hosts that it may be ended at."""
    call = route.call
    hosts = [source_ip]
    uris = [contact_of(ksr)]
    ways: list[str] = []  # of redirects
    for target in route.targets:
        uris.append(target.next_hop)
        ways.extend(target.limits.hosts)
    for uri in uris:
        host = host_of(uri)
        if host:
            hosts.append(host)
    origin = Origin(settings.node, unix_ms, tuple(hosts + ways))
    return sign(settings.secret, call.rid, call.call_id, call.from_tag, origin)
