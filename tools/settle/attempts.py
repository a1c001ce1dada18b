"""The tries of a call's hunt, as rows beside its record, and the carriers that were not tried. Pure."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from kemi.records import Attempt, CallEvent, Choice
from tools.settle.rows import AttemptRow

OK: Final = 200
STATUS_MAX: Final = 699
PDD_MAX_MS: Final = 2**31 - 1
PLACE_MAX: Final = 2**15 - 1
SERVER_MAX: Final = 2**63 - 1
TIME_MAX_MS: Final = 253_402_300_800_000  # the year 10000, which has no four digits
SECONDS_KEPT: Final = 4_096
WORD: Final = re.compile(r"[a-z0-9_-]{0,32}")
"""What `why` may be: nothing that a row of COPY would have to escape."""
NAME: Final = re.compile(r"[!-\[\]-~]{1,256}[@:][!-\[\]-~]{1,256}")
"""What a line or a media server is named by, likewise."""


def attempt_fault(told: Sequence[Attempt]) -> str:
    """Return what makes one of the tries impossible to store, "" if nothing does."""
    for each in told:
        server_id, status, asked_ms, ended_ms, pdd_ms, why, place = each
        if not (
            0 <= server_id <= SERVER_MAX
            and 0 <= status <= STATUS_MAX
            and 0 <= asked_ms < TIME_MAX_MS
            and 0 <= ended_ms < TIME_MAX_MS
            and -1 <= pdd_ms <= PDD_MAX_MS
            and -1 <= place <= PLACE_MAX
            and (not why or WORD.fullmatch(why))
            and isinstance(server_id + status + asked_ms + ended_ms + pdd_ms + place, int)
        ):
            return f"an attempt says what none can: {each}"
    return ""


def attempts(event: CallEvent) -> tuple[AttemptRow, ...]:
    """Return the tries of a call that ended, in hunting order.

    A node of a release that told only of those that failed leaves out the server that took the call: it gets a row too.
    """
    rid, end = event.rid, event.end
    made: list[AttemptRow] = []
    is_told = not (end.answered_ms and end.server_id)
    for server_id, status, asked_ms, ended_ms, pdd_ms, why, place in end.attempts:
        pdd, where = (value if value >= 0 else None for value in (pdd_ms, place))
        name = "" if server_id else _name(event, place)
        row = AttemptRow(rid, len(made) + 1, server_id, at(asked_ms), at(ended_ms), status, pdd, why, where, name)
        made.append(row)
        is_told = is_told or has_answered(status)
    if not is_told:
        made.append(AttemptRow(rid, len(made) + 1, end.server_id, None, at(end.answered_ms), OK, None, ""))
    return tuple(made)


def _name(event: CallEvent, place: int) -> str:
    """Return the line or the media server at a place of the call, "" where there is none that can be stored."""
    targets = event.call.targets
    if not 0 <= place < len(targets) or targets[place].server_id:
        return ""
    name = targets[place].name
    return name if isinstance(name, str) and NAME.fullmatch(name) else ""


def left_out(event: CallEvent) -> str:
    """Return the carriers that were weighed and not asked, as JSON: those of the record, then candidates in order.

    "[]" for nearly every call that found its carrier at once. Raises TypeError, ValueError for what no JSON can say.
    """
    call, end = event.call, event.end
    asked = {end.server_id, 0, *(attempt.server_id for attempt in end.attempts)}
    waiting = [target for target in call.targets if target.server_id not in asked]
    if not (call.left_out or waiting):
        return "[]"
    choices = (*call.left_out, *(Choice(0, each.group_id, each.server_id, each.name, "") for each in waiting))
    rows = [[_storable(value) for value in choice] for choice in choices]
    return json.dumps(rows, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _storable(value: int | str) -> int | str:
    """Return what jsonb takes: it has no NUL."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value


def has_answered(status: int) -> bool:
    """Return whether a SIP status takes the call."""
    return status // 100 == 2  # noqa: PLR2004  2xx


def at(unix_ms: int) -> str | None:
    """Return a time as Postgres reads it, None for 0 and for what no calendar has."""
    return f"{second(unix_ms // 1000)}.{unix_ms % 1000:03}+00" if 0 < unix_ms < TIME_MAX_MS else None


@lru_cache(maxsize=SECONDS_KEPT)
def second(unix_s: int) -> str:
    """Return a whole second in UTC, without saying so. Calls of a batch end within few of them."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(unix_s))
