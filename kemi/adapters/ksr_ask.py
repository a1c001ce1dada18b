"""Our own requests outside a call: the agent's OPTIONS and REGISTER to carriers' servers."""

from __future__ import annotations

from typing import NamedTuple

from kemi.adapters.ksr_api import Ksr


class Ask(NamedTuple):
    """Send this request of ours. uri: of From and To. socket: of ours, "" = the stack chooses. extra: header lines."""

    method: str
    ruri: str
    next_hop: str
    socket: str
    uri: str
    call_id: str
    from_tag: str
    cseq: int
    extra: tuple[str, ...] = ()


def send(ksr: Ksr, ask: Ask) -> bool:
    """Send a request of ours. Return whether it left."""
    lines = (
        f"From: <{ask.uri}>;tag={ask.from_tag}",
        f"To: <{ask.uri if ask.method == 'REGISTER' else ask.ruri}>",
        f"Call-ID: {ask.call_id}",
        f"CSeq: {ask.cseq} {ask.method}",
        "Max-Forwards: 70",
        *ask.extra,
    )
    headers = "".join(f"{line}\r\n" for line in lines)
    return ksr.tm.t_uac_send(ask.method, ask.ruri, ask.next_hop, ask.socket, headers, "") > 0
