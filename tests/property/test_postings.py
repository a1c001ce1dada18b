"""Laws of posting: double entry always, and the tables depend on the set of events alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from kemi.records import CallEnd, CallEvent, PinnedCall, PinnedLeg, Rate
from tests.fakes import calls
from tools.settle.late import Place, difference, taken_back
from tools.settle.postings import plan
from tools.settle.rows import CdrRow, EntryRow, Plan, Poison

rates = st.builds(
    Rate,
    per_min_micros=st.integers(0, 10_000_000),
    first_s=st.integers(1, 3600),
    next_s=st.integers(1, 3600),
    connect_micros=st.integers(0, 1_000_000),
)
accounts = st.integers(1, 6)
currencies = st.sampled_from(["EUR", "USD", "JPY"])


@st.composite
def pinned_legs(draw: st.DrawFn, level: int) -> PinnedLeg:
    """Draw a leg whose fund may be in another currency, of a tariff that rounds in any way."""
    made = calls.leg(level, draw(accounts), draw(accounts), draw(rates), draw(currencies))._replace(
        rounding=draw(st.sampled_from(["up", "down", "half_up", "half_even"])),
        round_to_micros=draw(st.sampled_from([1, 100, 10_000])),
    )
    if draw(st.booleans()):
        made = calls.exchanged(made, draw(currencies), draw(st.integers(1, 10**12)))
    return made


@st.composite
def pinned_calls(draw: st.DrawFn) -> PinnedCall:
    """Up to 8 levels over few accounts, so that funds repeat, and a carrier of its own currency."""
    legs = [draw(pinned_legs(level)) for level in range(1, draw(st.integers(0, 8)) + 1)]
    target = calls.carrier(server_id=draw(st.integers(1, 3)), owner_id=draw(accounts), rate=draw(rates))
    return calls.call(draw(st.sampled_from(["r1", "r2", "r3"])), legs, [target])


@st.composite
def events(draw: st.DrawFn) -> CallEvent:
    pinned = draw(pinned_calls())
    if draw(st.booleans()):
        return calls.refused(pinned)
    billed_s = draw(st.integers(0, 86_400))
    before_s = draw(st.sampled_from([0, billed_s // 2, billed_s]))
    if draw(st.booleans()):
        return calls.part(pinned, billed_s, before_s, seq=draw(st.integers(1, 5)))
    end = calls.answered(billed_s, server_id=draw(st.integers(0, 3)))
    return calls.settled(pinned, end, seq=draw(st.integers(1, 5)), before_s=before_s)


def planned(event: CallEvent) -> Plan:
    result = plan(event)
    assert isinstance(result, Plan), result
    return result


def unique(found: Iterable[CallEvent]) -> list[CallEvent]:
    """One event per (reservation, sequence), as Redis writes them."""
    return list({(event.rid, event.seq): event for event in found}.values())


def tables(posted: Iterable[CallEvent]) -> tuple[dict[str, CdrRow], dict[object, object], dict[object, object]]:
    """Return what Postgres holds afterwards: the first of an id stays; of a call, the highest sequence."""
    records: dict[str, CdrRow] = {}
    legs: dict[object, object] = {}
    entries: dict[object, object] = {}
    for event in posted:
        made = planned(event)
        before = records.get(made.rid)
        if made.cdr is not None and (before is None or made.cdr.seq > before.seq):
            records[made.rid] = made.cdr
            legs = {key: row for key, row in legs.items() if key[0] != made.rid}  # type: ignore[index]
            legs |= {(row.rid, row.level, row.book): row for row in made.legs}
        for row in made.entries:
            entries.setdefault(row.id, row)
    return records, legs, entries


@given(events())
def test_every_posting_sums_to_zero_per_currency(event: CallEvent) -> None:
    """Whoever pays, someone else has it: for any event, in every currency of it."""
    sums: Counter[str] = Counter()
    for row in planned(event).entries:
        sums[row.currency] += row.amount_micros
    assert all(total == 0 for total in sums.values())


@given(events())
def test_the_fund_entries_are_exactly_what_redis_charged(event: CallEvent) -> None:
    """Σ of book fund, origin redis, is −Σ of the event's postings: that is invariant I2, event by event."""
    charged = {posting.fund: (posting.amount_micros, posting.n) for posting in event.postings}
    entries = [row for row in planned(event).entries if row.book == "fund"]
    assert {f"{row.account_id}:{row.currency}": (-row.amount_micros, row.fund_n) for row in entries} == charged
    assert all(row.origin == "redis" for row in entries)


@given(st.lists(events(), max_size=8), st.data())
def test_order_and_repetition_of_events_change_nothing(found: list[CallEvent], data: st.DataObject) -> None:
    """Any order and any number of deliveries leave the same records, legs and entries."""
    once = unique(found)
    delivered = data.draw(st.permutations(once + data.draw(st.lists(st.sampled_from(once)) if once else st.just([]))))
    assert tables(delivered) == tables(once)


@st.composite
def corrected_calls(draw: st.DrawFn) -> list[CallEvent]:
    """Events of one call, at least one of them a late end, under sequences of their own."""
    pinned = draw(pinned_calls())
    ends = st.builds(calls.answered, st.integers(0, 86_400), server_id=st.integers(0, 3))
    made = [
        draw(
            st.one_of(
                st.builds(calls.late, st.just(pinned), ends, seq=st.just(seq)),
                st.builds(calls.settled, st.just(pinned), ends, seq=st.just(seq)),
                st.builds(calls.part, st.just(pinned), st.integers(0, 86_400), seq=st.just(seq)),
            )
        )
        for seq in range(2, draw(st.integers(2, 6)))
    ]
    return [*made, calls.late(pinned, draw(ends), seq=draw(st.sampled_from([1, 9])))]


class Ledger:
    """What Postgres holds of one call, an event at a time: the steps of Books.post, with sets for tables."""

    def __init__(self) -> None:
        self.rows: dict[object, EntryRow] = {}
        self.standing: Plan | None = None

    def post(self, event: CallEvent) -> None:
        """Post one event."""
        made, before = planned(event), self.standing
        if made.cdr is not None and (before is None or _rank(before) < _rank(made)):
            self.standing = made
        if not made.is_late:
            new = [row for row in made.entries if row.id not in self.rows]
            self.add(new)
            if before is not None and before.is_late:
                self.add(taken_back(new))
        elif self.standing is made:
            self.add(difference(made, self.sums()))

    def add(self, rows: Iterable[EntryRow]) -> None:
        """Add rows, whose ids and places must be new, and which sum to zero."""
        rows = list(rows)
        totals: Counter[tuple[object, str]] = Counter()
        for row in rows:
            place = (row.level, row.seq, row.book)
            assert place not in {(each.level, each.seq, each.book) for each in self.rows.values()}
            assert row.id not in self.rows
            self.rows[row.id] = row
            totals[row.txn_id, row.currency] += row.amount_micros
        assert not any(totals.values())

    def sums(self) -> dict[Place, int]:
        """Return place -> sum."""
        sums: Counter[Place] = Counter()
        for row in self.rows.values():
            sums[Place.of(row)] += row.amount_micros
        return dict(sums)


def _rank(each: Plan) -> tuple[bool, int]:
    assert each.cdr is not None
    return each.is_late, each.cdr.seq


@given(corrected_calls(), st.data())
def test_a_late_end_is_charged_once_in_any_order(found: list[CallEvent], data: st.DataObject) -> None:
    """Whatever else is told of the call, before or after and how often: the sums are those of the last late end."""
    delivered = data.draw(st.permutations(found + data.draw(st.lists(st.sampled_from(found)))))
    ledger = Ledger()
    for event in delivered:
        ledger.post(event)
    truth = planned(max((event for event in found if event.kind == "late"), key=lambda event: event.seq))
    due = {Place.of(row): row.amount_micros for row in truth.entries}
    assert {place: micros for place, micros in ledger.sums().items() if micros} == due
    assert ledger.standing is not None
    assert _rank(ledger.standing) == _rank(truth)


@given(events(), st.integers(-5, 5).filter(bool))
def test_a_charge_that_is_not_the_price_is_never_posted(event: CallEvent, off_by: int) -> None:
    for posting in event.postings:
        wrong = posting._replace(amount_micros=posting.amount_micros + off_by)
        others = tuple(each for each in event.postings if each is not posting)
        assert isinstance(plan(event._replace(postings=(*others, wrong))), Poison)


any_value = st.one_of(st.none(), st.integers(), st.text(), st.floats(), st.tuples(), st.binary())


@given(events(), st.sampled_from(CallEvent._fields + PinnedCall._fields + CallEnd._fields), any_value)
def test_planning_never_raises_whatever_a_field_holds(event: CallEvent, field: str, value: object) -> None:
    """Bytes of a broken writer decode to anything; the answer is rows or a reason."""
    change: dict[str, Any] = {field: value}
    if field in CallEvent._fields:
        event = event._replace(**change)
    elif field in PinnedCall._fields:
        event = event._replace(call=event.call._replace(**change))
    else:
        event = event._replace(end=event.end._replace(**change))
    assert isinstance(plan(event), Plan | Poison)
