"""Our own requests inside a call: the BYEs of the agent. Kamailio's (`dlg_bye`, `send_bye`) are racy and lose some."""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.adapters.ksr_api import Ksr
from kemi.core.sides import Side

GONE_AFTER_S: Final = 1  # then the dialog's own timer removes it
REASON: Final = "Reason: Q.850;cause=16\r\n"  # why it ends is between the caller and us: no word of money


class Send(NamedTuple):
    """Send this request of ours. is_by_hop: only to where that side's messages come from."""

    rid: str
    method: str
    call_id: str
    from_uri: str
    from_tag: str
    to: Side
    cseq: int
    is_by_hop: bool = False


def send(ksr: Ksr, order: Send) -> bool:
    """Send a request of ours; where its way cannot be used, back to where that side's messages came from.

    Return whether it left.
    """
    side = order.to
    routes = ", ".join(f"<{uri}>" for uri in side.route)
    headers = (
        f"From: <{order.from_uri}>;tag={order.from_tag}\r\n"
        f"To: <{side.uri}>;tag={side.tag}\r\n"
        f"Call-ID: {order.call_id}\r\n"
        f"CSeq: {order.cseq} {order.method}\r\n"
        f"Max-Forwards: 70\r\n" + (f"Route: {routes}\r\n" if routes else "") + (REASON if order.method == "BYE" else "")
    )
    for next_hop in (side.hop,) if order.is_by_hop else (side.next_hop, side.hop):
        socket = side.socket_to(next_hop)
        if ksr.tm.t_uac_send(order.method, side.ruri, next_hop, socket, headers, "") > 0:
            return True
    return False


def let_go(ksr: Ksr, h_entry: int, h_id: int) -> None:
    """Let Kamailio forget the call; its `dialog:end` follows."""
    ksr.dialog.dlg_set_timeout_id(GONE_AFTER_S, h_entry, h_id)
