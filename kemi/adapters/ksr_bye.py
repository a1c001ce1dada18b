"""Our own BYE to both sides of a call. Kamailio's (`dlg_bye`, `send_bye`) is racy and loses some."""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.adapters.ksr_api import Ksr

GONE_AFTER_S: Final = 1  # then the dialog's own timer removes it
REASON: Final = "Reason: Q.850;cause=16\r\n"  # why it ends is between the caller and us: no word of money


class Side(NamedTuple):
    """What a BYE to one side says. route: route set as one header value, "" when direct. socket: where it leaves."""

    call_id: str
    from_uri: str
    from_tag: str
    to_uri: str
    to_tag: str
    cseq: int
    target: str
    route: str
    socket: str


def hang_up(ksr: Ksr, call_id: str, from_tag: str, to_tag: str, caller_shown: str) -> bool:
    """Send a BYE to both sides of a followed call. Return whether Kamailio still knows the call.

    caller_shown: the From that the called side was given, "" = the caller's own. A side whose data cannot be read
    (bytes that are not UTF-8 in its Contact) raises UnicodeDecodeError after the other side got its BYE.
    """
    if ksr.dialog.dlg_get(call_id, from_tag, to_tag) < 0:
        return False
    try:
        _send(ksr, _to_caller(ksr, call_id, from_tag, to_tag))
    finally:
        _send(ksr, _to_called(ksr, call_id, from_tag, to_tag, caller_shown))
    return True


def let_go(ksr: Ksr, h_entry: int, h_id: int) -> None:
    """Let Kamailio forget the call; its `dialog:end` follows."""
    ksr.dialog.dlg_set_timeout_id(GONE_AFTER_S, h_entry, h_id)


def _to_caller(ksr: Ksr, call_id: str, from_tag: str, to_tag: str) -> Side:
    return Side(
        call_id=call_id,
        from_uri=_dlg(ksr, "$dlg(to_uri)"),
        from_tag=to_tag,
        to_uri=_dlg(ksr, "$dlg(from_uri)"),
        to_tag=from_tag,
        cseq=_next(_dlg(ksr, "$dlg(to_cseq)")),
        target=_dlg(ksr, "$dlg(from_contact)"),
        route=_dlg(ksr, "$dlg(from_rs)"),
        socket=_dlg(ksr, "$dlg(from_bindaddr)"),
    )


def _to_called(ksr: Ksr, call_id: str, from_tag: str, to_tag: str, caller_shown: str) -> Side:
    return Side(
        call_id=call_id,
        from_uri=caller_shown or _dlg(ksr, "$dlg(from_uri)"),
        from_tag=from_tag,
        to_uri=_dlg(ksr, "$dlg(to_uri)"),
        to_tag=to_tag,
        cseq=_next(_dlg(ksr, "$dlg(from_cseq)")),
        target=_dlg(ksr, "$dlg(to_contact)"),
        route=_dlg(ksr, "$dlg(to_rs)"),
        socket=_dlg(ksr, "$dlg(to_bindaddr)"),
    )


def _send(ksr: Ksr, side: Side) -> None:
    route = f"Route: {side.route}\r\n" if side.route else ""
    headers = (
        f"From: <{side.from_uri}>;tag={side.from_tag}\r\n"
        f"To: <{side.to_uri}>;tag={side.to_tag}\r\n"
        f"Call-ID: {side.call_id}\r\n"
        f"CSeq: {side.cseq} BYE\r\n"
        f"Max-Forwards: 70\r\n{REASON}{route}"
    )
    ksr.tm.t_uac_send("BYE", side.target, first_hop(side.route), side.socket, headers, "")


def first_hop(route: str) -> str:
    """Return the URI of the first entry of a route set, "" when there is none."""
    return route.partition("<")[2].partition(">")[0]


def _dlg(ksr: Ksr, name: str) -> str:
    return str(ksr.pv.gete(name))


def _next(cseq: str) -> int:
    """Return the CSeq after the last one seen of that side; a side that never asked anything begins at 1."""
    return int(cseq) + 1 if cseq.isdecimal() else 1
