"""What a late end changes in the ledger: the difference to what is posted of its call, whatever comes in which order.

The sums of a call's entries are those of its late end, always: the late end posts what is missing when it comes, and
what comes after it is taken back at once. Nothing is ever changed. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tools.settle.entries import LATE_NOTE, PART_NOTE
from tools.settle.rows import FUND, CdrRow, EntryRow, Plan, entry_id, txn_id

PART_MARK: Final = "part: "
"""How the notes of parts begin, and of what takes them back: their spend stays in the windows of their own ends."""


class Moved(NamedTuple):
    """Spend that is counted in another window. from_ms, to_ms: of the end that it was counted by, and is by now."""

    account_id: int
    currency: str
    micros: int
    from_ms: int
    to_ms: int


class Place(NamedTuple):
    """Where entries of a call stand in the ledger. group_id: the carrier that they are about, None = none."""

    account_id: int
    book: str
    currency: str
    level: int
    group_id: int | None = None

    @classmethod
    def of(cls, row: EntryRow) -> Place:
        """Return the place of an entry."""
        return cls(row.account_id, row.book, row.currency, row.level, row.group_id)


def difference(late: Plan, posted: Mapping[Place, int]) -> list[EntryRow]:
    """Return what a late end posts: its entries less what is posted at their places, and nothing left at others.

    late: with its record. posted: sums of all entries of the call so far, parts among them.
    """
    if late.cdr is None:
        return []
    due = {Place.of(row): row for row in late.entries}
    made = [row._replace(amount_micros=row.amount_micros - posted.get(place, 0)) for place, row in due.items()]
    # Another carrier may stand at the same level and book, which one sequence has room for once.
    strangers = [(place, micros) for place, micros in posted.items() if place not in due]
    made += [_taken_back(late.cdr, place, micros) for place, micros in strangers]
    return [row for row in made if row.amount_micros]


def moved_spend(
    late: Plan, ends: Mapping[Place, int], ended_ms: int | None, posted: Sequence[tuple[EntryRow, int]]
) -> list[Moved]:
    """Return the spend of a call that its late end counts in another window than it was counted in.

    ends: sums of the call's entries by now, without those of parts. ended_ms: its end by the record before, None = no
    record stood. posted: those of these entries that are new in this batch, with the ends that they are counted by.
    """
    found: list[Moved] = []
    earlier: dict[tuple[int, str], int] = {}
    for place, micros in ends.items():
        if place.book == FUND:
            earlier[place.account_id, place.currency] = earlier.get((place.account_id, place.currency), 0) - micros
    for row, at_ms in posted:
        if row.rid == late.rid and row.book == FUND and not row.note.startswith(PART_MARK):
            earlier[row.account_id, row.currency] = earlier.get((row.account_id, row.currency), 0) + row.amount_micros
            found.append(Moved(row.account_id, row.currency, -row.amount_micros, at_ms, late.ended_ms))
    if ended_ms is not None:
        found += [Moved(*fund, micros, ended_ms, late.ended_ms) for fund, micros in earlier.items()]
    return [each for each in found if each.micros and each.from_ms != each.to_ms]


def taken_back(entries: Sequence[EntryRow]) -> list[EntryRow]:
    """Return what takes the entries of an event back, because a late end of its call is posted already."""
    return [
        row._replace(
            id=entry_id(row.rid, row.level, -row.seq, row.book),
            txn_id=txn_id(row.rid, -row.seq),
            amount_micros=-row.amount_micros,
            origin="pg",
            seq=-row.seq,
            fund_n=None,
            note=f"{_mark(row)}takes back sequence {row.seq}: a late end of the call is posted",
        )
        for row in entries
    ]


def _mark(row: EntryRow) -> str:
    return PART_MARK if row.note == PART_NOTE else ""


def _taken_back(cdr: CdrRow, place: Place, micros: int) -> EntryRow:
    return EntryRow(
        id=entry_id(cdr.rid, place.level, -cdr.seq, place.book),
        txn_id=txn_id(cdr.rid, cdr.seq),
        account_id=place.account_id,
        book=place.book,
        currency=place.currency,
        amount_micros=-micros,
        origin="pg",
        rid=cdr.rid,
        level=place.level,
        seq=-cdr.seq,
        epoch=cdr.epoch,
        fund_n=None,
        note=LATE_NOTE,
        group_id=place.group_id,
    )
