"""The log's one line a call: JSON, the Call-ID first. Pure: lines come out, time comes in.

Rule 1: nothing secret, and who hides his number is not named: logs are read by more people than records.
Rule 2: what others have written is escaped, ASCII and short, so no line can be forged or broken.
Rule 3: of what ends alike there are so many lines a second; how many were left out is said afterwards, in one line.
"""

from __future__ import annotations

import json
from typing import Final

from kemi.adapters.ksr_queue import Decided
from kemi.records import CallEnd, PinnedCall

TEXT_MAX: Final = 128
STAGES: Final = ("read_us", "decide_us", "hold_us", "apply_us")


class CallLog:
    """Lets lines pass. lines_max: a second of each kind, 0 = none at all."""

    def __init__(self, lines_max: int) -> None:
        self._lines_max = lines_max
        self._second = 0
        self._written: dict[str, int] = {}
        self._left: dict[str, int] = {}

    def passes(self, kind: str) -> bool:
        """Tell whether a line may be written now. kind: reason of a refusal or failure, else the verdict."""
        written = self._written.get(kind, 0)
        if written >= self._lines_max:
            self.leave_out(kind, 1)
            return False
        self._written[kind] = written + 1
        return True

    def leave_out(self, kind: str, count: int) -> None:
        """Count lines that are not written."""
        self._left[kind] = self._left.get(kind, 0) + count

    def left_out(self, now_s: int) -> list[str]:
        """Return a line for each kind that had too many, once the second is over; then a new one begins."""
        if now_s == self._second:
            return []
        left, self._left, self._written, self._second = self._left, {}, {}, now_s
        if not self._lines_max:
            return []
        return [json.dumps({"call_id": "", "reason": kind, "left_out": count}) for kind, count in left.items()]


def refused_line(told: Decided) -> str:
    """Return the line of a call that was refused."""
    return _line(
        told.call_id,
        verdict="refused",
        reason=told.reason,
        status=told.status,
        trace_id=told.rid,
        account=told.account_id or None,
        source=told.source or told.address,
        caller=told.caller,
        callee=told.callee,
        direction="",
        server_id=None,
        attempts=0,
        ended_by="",
        pdd_ms=None,
        talk_s=0.0,
        **_stages(told.stages_us),
    )


def ended_line(call: PinnedCall, end: CallEnd, stages_us: tuple[int, ...]) -> str:
    """Return the line of a call that went and is over. stages_us: as in Decided."""
    last = end.attempts[-1] if end.attempts else None
    return _line(
        call.call_id,
        verdict=end.outcome,
        reason=end.reason,
        status=end.status,
        trace_id=call.rid,
        account=call.account_id,
        source=call.source,
        caller="" if call.hidden else call.caller,
        callee=call.callee,
        direction=call.direction,
        server_id=end.server_id or (last.server_id if last else 0) or None,
        attempts=len(end.attempts),
        ended_by=end.ended_by,
        pdd_ms=last.pdd_ms if last and last.pdd_ms >= 0 else None,
        talk_s=end.talk_ms / 1000,
        **_stages(stages_us),
    )


def _stages(stages_us: tuple[int, ...]) -> dict[str, object]:
    return {name: stages_us[at] if at < len(stages_us) else None for at, name in enumerate(STAGES)}


def _line(call_id: str, **fields: object) -> str:
    """Write JSON in the order given; the Call-ID comes first, so that a search of the log finds it."""
    row = {"call_id": call_id, **fields}
    return json.dumps({name: value[:TEXT_MAX] if isinstance(value, str) else value for name, value in row.items()})
