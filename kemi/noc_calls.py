"""The calls that a node follows: which, whose, for how long they are paid; and ending them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kemi import noc_table
from kemi.adapters import ksr_queue
from kemi.adapters.ksr_shared import CALLS, names
from kemi.noc_command import Answer, Command, Desk, UsageError

RID_SHOWN: Final = 64  # characters of one that is none
CALLS_MAX: Final = 200


def _calls(desk: Desk, _words: Sequence[str]) -> Answer:
    rids = names(desk.ksr, CALLS)
    return {"count": len(rids), "calls": [noc_table.value(desk.ksr, CALLS, rid) for rid in rids[:CALLS_MAX]]}


def _end(desk: Desk, words: Sequence[str]) -> Answer:
    """Let the agent end a call. An error where this node does not follow it, or where it still rings."""
    if len(words) != 1:
        raise UsageError("say which call")
    rid = words[0]
    call = noc_table.value(desk.ksr, CALLS, rid)
    if not isinstance(call, dict):
        return {"error": f"no call {rid[:RID_SHOWN]} here: it is over, or on another node; `calls` lists this one's"}
    if not call["answered_ms"]:
        return {"error": f"call {rid} is not answered yet, and ends by itself when it has rung for long enough"}
    ksr_queue.put(desk.ksr, ksr_queue.HangUp(rid))
    return {"ending": rid}


COMMANDS: Final[tuple[Command, ...]] = (
    Command("calls", "calls", "The calls that go on.", _calls),
    Command("end", "end <rid>", "End a call on both sides.", _end),
)
