"""Connections: of whom we may have to speak to, they outlive the silence after which others are closed.

Rule 1: whoever has not proven who he is gets no connection for longer than kamailio.cfg says (TCP_SILENT_S): there are
so many of them and no more, for everybody.
Rule 2: nothing makes what a connection was promised shorter: a phone's may be a PBX's, with other lines and calls.
Rule 3: a call keeps one connection of each side, the one by which we would reach it, and lets go of it at its end.
Rule 4: who speaks over UDP costs nothing: his address says so, and no table is asked.

Times kept are seconds of CLOCK_MONOTONIC, which all processes of a machine read alike.
"""

from __future__ import annotations

from time import monotonic, time
from typing import Final, NamedTuple

from kemi.adapters import ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_read import text
from kemi.core.sides import CALLER, Side

TABLE: Final = "connections"  # "<id>": as in _Kept, "<call>/<side>": the id of the one by which that side is reached
LINGER_S: Final = 10  # a connection outlives the registration that came on it, or the call
DATAGRAMS: Final = "udp"
MANY: Final = "+"  # calls use it; none of them says when the last one is over
_BY_DATAGRAMS: Final = f";transport={DATAGRAMS}"
_ID: Final = "$conid"
_SILENT_S: Final = "$def(TCP_SILENT_S)"


class _Kept(NamedTuple):
    """How long a connection is kept. promised_s: until then whatever comes; called_s: so for `call`, "" = for none."""

    promised_s: int = 0
    called_s: int = 0
    call: str = ""


def keep(ksr: Ksr, seconds: int) -> None:
    """Let the connection of the message under our hands live so long from its last word on, or longer."""
    if text(lambda: ksr.pv.gete("$proto")).lower() != DATAGRAMS:
        number, now_s = ksr.pv.geti(_ID), _now_s()
        kept = _read(ksr, number)
        _write(ksr, number, kept._replace(promised_s=max(kept.promised_s, now_s + seconds)), now_s)


def is_one(hop: str) -> bool:
    """Tell whether what came from somewhere came over a connection. hop: where from, as a URI."""
    return not hop.endswith(_BY_DATAGRAMS)


def begun(ksr: Ksr, call: str, caller: Side) -> Side:
    """Keep the caller's connection while it may ring; return the caller."""
    ring(ksr, call, CALLER, caller)
    return caller


def ring(ksr: Ksr, call: str, which: str, side: Side) -> None:
    """Keep the connection of the message, by which a call's side is reached, while it may ring."""
    if _is_his(ksr, side):
        _talk(ksr, call, which, ksr_sides.EARLY_S)


def talk(ksr: Ksr, call: str, which: str, side: Side) -> None:
    """Keep it for what is left of the call, which has been answered."""
    if not _is_his(ksr, side):
        return
    tags = (text(lambda: ksr.pv.gete("$ft")), text(lambda: ksr.pv.gete("$tt")))
    if ksr.dialog.dlg_get(text(ksr.kx.get_callid), *tags) >= 0:
        begun_s = ksr.pv.geti("$dlg(start_ts)")
        passed_s = max(0, int(time()) - begun_s) if begun_s else 0
        _talk(ksr, call, which, max(0, ksr.pv.geti("$dlg(lifetime)") - passed_s))


def part(ksr: Ksr, call: str, which: str, side: Side) -> None:
    """Let go of the connection of a side whose call has ended."""
    number = ksr.htable.sht_get(TABLE, f"{call}/{which}") if is_one(side.hop) else None
    if isinstance(number, str):
        ksr.htable.sht_rm(TABLE, f"{call}/{which}")
        _let_go(ksr, int(number), call)


def _is_his(ksr: Ksr, side: Side) -> bool:
    """Tell whether the message came over a connection, the one by which a side is reached."""
    return is_one(side.hop) and ksr_sides.source(ksr)[1] == side.hop


def _talk(ksr: Ksr, call: str, which: str, seconds: int) -> None:
    """Keep the connection of the message so long as that of a call's side, and let go of the side's one before."""
    number, now_s = ksr.pv.geti(_ID), _now_s()
    name = f"{call}/{which}"
    before = ksr.htable.sht_get(TABLE, name)
    if isinstance(before, str) and before != str(number):
        _let_go(ksr, int(before), call, closes=True)
    ksr.htable.sht_setxs(TABLE, name, str(number), seconds + LINGER_S)
    kept = _read(ksr, number)
    is_alone = kept.call in ("", call) or kept.called_s <= now_s
    called_s = max(kept.called_s, now_s + seconds)
    _write(ksr, number, kept._replace(called_s=called_s, call=call if is_alone else MANY), now_s)


def _let_go(ksr: Ksr, number: int, call: str, *, closes: bool = False) -> None:
    """Keep a connection for this call no longer, if no other needs it. closes: unless it was promised, close it.

    Kamailio would look at the shorter time only when something comes on it.
    """
    kept, now_s = _read(ksr, number), _now_s()
    if kept.call != call:
        return
    _write(ksr, number, kept._replace(called_s=0, call=""), now_s)
    if closes and kept.promised_s <= now_s:
        ksr.tcpops.tcp_close_connection_id(number)


def _read(ksr: Ksr, number: int) -> _Kept:
    row = ksr.htable.sht_get(TABLE, str(number))
    if not isinstance(row, str):
        return _Kept()
    promised_s, called_s, call = row.split(" ")
    return _Kept(int(promised_s), int(called_s), call)


def _write(ksr: Ksr, number: int, kept: _Kept, now_s: int) -> None:
    left_s = max(kept.promised_s, kept.called_s) - now_s
    if left_s > 0:
        ksr.htable.sht_setxs(TABLE, str(number), " ".join(map(str, kept)), left_s + LINGER_S)
    else:
        ksr.htable.sht_rm(TABLE, str(number))
    silent_s = int(text(lambda: ksr.pv.gete(_SILENT_S)) or 0)
    ksr.tcpops.tcp_set_connection_lifetime_cid(number, max(silent_s, left_s + LINGER_S if left_s > 0 else 1))


def _now_s() -> int:
    return int(monotonic())
