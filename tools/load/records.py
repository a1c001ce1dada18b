"""What the router wrote down of the same calls, and where that differs from what the callers saw."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from tools.load.calls import CHALLENGES, Call
from tools.load.spec import Party

ANSWERED: Final = "answered"
TALK_SPARE_MS: Final = 1_500
"""So much the two clocks of a talk may differ: a worker and SIPp each wait for the CPU."""
EXAMPLES: Final = 3
SHED: Final = 503
_SHED: Final = "shed_without_record"
_RECORDS: Final = """
select c.call_id, c.outcome, c.sip_status as status, c.reason, c.ended_by, c.talk_ms
  from tandem.cdr c where starts_with(c.call_id, %s) and c.started_at > now() - interval '3 hours'
"""


class Record(NamedTuple):
    """A call detail record, as far as a caller can know it, too."""

    call_id: str
    outcome: str
    status: int
    reason: str
    ended_by: str
    talk_ms: int


class Finding(NamedTuple):
    """A difference. kind: a stable word. calls: how many. told: a sentence. call_ids: the first of them.

    is_grave: a fault of somebody; else it is only worth knowing.
    """

    kind: str
    calls: int
    told: str
    call_ids: tuple[str, ...]
    is_grave: bool = True


_TOLD: Final[Mapping[str, str]] = {
    "answered_without_record": "were answered and have no record",
    "record_without_answer": "have a record that says answered, and no caller saw an answer",
    "answer_not_in_record": "were answered, and their record says otherwise",
    "refused_without_record": "were refused and have no record",
    "status_differs": "were refused with another status than their record says",
    "talk_differs": "talked longer or shorter than their record says, by more than 1.5 s",
    "ended_by_router": "were ended by the router and not by the caller",
    _SHED: "were refused with 503 and have no record: the router was too busy, or without Redis, to know whose",
    "recorded_twice": "have more than one record",
    "record_of_nobody": "have a record, and no caller placed them",
}


def read(database: psycopg.Connection[Any], label: str) -> list[Record]:
    """Return the records of calls whose Call-ID begins with `label`."""
    rows: list[Any] = database.cursor(row_factory=namedtuple_row).execute(_RECORDS, (label,)).fetchall()
    return [Record(*row) for row in rows]


def due(calls: Mapping[str, Call], parties: Mapping[str, Party]) -> frozenset[str]:
    """Return the Call-IDs of which a record must come; of calls refused with 503 it may."""
    return frozenset(
        call_id for call_id, call in calls.items() if _leaves_record(call, parties[call.party]) and call.status != SHED
    )


def compare(calls: Mapping[str, Call], parties: Mapping[str, Party], records: Iterable[Record]) -> list[Finding]:
    """Return the differences between what callers saw and what was written down, the gravest kinds first."""
    found: dict[str, list[str]] = {kind: [] for kind in _TOLD}
    by_id: dict[str, Record] = {}
    for record in records:
        if record.call_id in by_id:
            found["recorded_twice"].append(record.call_id)
        if record.call_id not in calls:
            found["record_of_nobody"].append(record.call_id)
        by_id[record.call_id] = record
    for call_id, call in calls.items():
        if kind := _difference(call, parties[call.party], by_id.get(call_id)):
            found[kind].append(call_id)
    return [
        Finding(kind, len(ids), f"{len(ids)} calls {_TOLD[kind]}", tuple(sorted(ids)[:EXAMPLES]), kind != _SHED)
        for kind, ids in found.items()
        if ids
    ]


def outcomes(records: Sequence[Record]) -> dict[str, int]:
    """Return how many records say what: "refused 402 no_credit"."""
    said = Counter(f"{record.outcome} {record.status} {record.reason}".strip() for record in records)
    return dict(said.most_common())


def _difference(call: Call, party: Party, record: Record | None) -> str:
    """Return in which way one call differs, "" where it does not."""
    if record is None:
        if not _leaves_record(call, party):
            return ""
        if call.status == SHED:
            return _SHED
        return "answered_without_record" if call.answered else "refused_without_record"
    if call.is_answered:
        return _of_answered(call, record)
    if record.outcome == ANSWERED:
        return "record_without_answer"
    return "status_differs" if call.status and record.status != call.status else ""


def _of_answered(call: Call, record: Record) -> str:
    if record.outcome != ANSWERED:
        return "answer_not_in_record"
    if record.ended_by not in ("caller", "callee", "noc"):  # that is told of by itself
        return "ended_by_router"
    talked_ms = (call.ended - call.answered) * 1e3
    return "talk_differs" if call.ended and abs(talked_ms - record.talk_ms) > TALK_SPARE_MS else ""


def _leaves_record(call: Call, party: Party) -> bool:
    """Tell whether the router must have written the call down: it answered it, and knew whose it was."""
    return party.records and bool(call.status) and call.status not in CHALLENGES
