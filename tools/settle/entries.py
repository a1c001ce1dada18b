"""The money of one event: what each leg costs, and the ledger entries and record legs that follow from it.

Double entry. A minus is a debit, a plus a credit; the entries of an event are one transaction, and sum to zero in each
currency:

    each fund that pays           fund of the payer  −y (origin redis, fund_n)
      in the payee's currency       income of the payee  +y
      in another one                fx_bought of the payee  +y
                                    fx_sold of the payee  −x    income of the payee  +x   (x: in the tariff's currency)
    the carrier that answered     cost of its owner  −c         carrier, of its owner  +c (what we owe it; origin pg)

An event charges what its talk costs less what earlier parts of its call have charged, per leg: totals of a call are
those of its whole talk, never of rounded parts. The carrier is owed with the end of the call, once.

A late end charged nothing in Redis: its entries say what the whole call costs, all of origin pg.

A call that was forwarded is paid for by the legs of the place that answered it; the others leave nothing behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from kemi.core.rating import charge, cost, legs_at
from kemi.records import CallEnd, CallEvent, PinnedCall, PinnedLeg, PinnedTarget
from tools.settle.rows import (
    CARRIER,
    COST,
    FUND,
    FX_BOUGHT,
    FX_SOLD,
    INCOME,
    EntryRow,
    LegRow,
    Names,
)

PAYERS: Final = frozenset({FUND, COST, CARRIER})
"""Books of whoever pays a leg; the others are its payee's."""

NAMED_AS: Final = {CARRIER: "cash"}
"""Ids are made from the book that the releases before had such an entry in: what they posted is never posted again."""

LATE: Final = "late"
PART: Final = "part"
PART_NOTE: Final = "part: the call goes on"
LATE_NOTE: Final = "late end: what the call costs less what was posted"
SECOND_MS: Final = 1000


class Priced(NamedTuple):
    """A leg with its price. cost_micros, charged_micros: of the whole call, in the payee's and in the fund's currency.

    cost_now, charged_now: the same of this event alone.
    """

    leg: PinnedLeg
    cost_micros: int
    charged_micros: int
    cost_now: int
    charged_now: int


class Owed(NamedTuple):
    """What the carrier that took the call is owed by the owner of the interconnection."""

    leg: PinnedLeg
    group_id: int
    micros: int


class _Earned(NamedTuple):
    """What one payee earns from one fund in one currency, named by the nearest leg."""

    leg: PinnedLeg
    cost_micros: int
    charged_micros: int


def priced(event: CallEvent) -> dict[str, list[Priced]]:
    """Return fund -> the legs that it pays, nearest first, with their prices. "": legs that no fund pays."""
    found: dict[str, list[Priced]] = {}
    legs_due = legs_at(event.call.legs, event.call.targets, event.end.place)
    for leg in sorted(legs_due, key=lambda each: each.level):
        found.setdefault(leg.fund, []).append(_priced(leg, event))
    return found


def owed(event: CallEvent) -> Owed | None:
    """Return what the server that took the call costs its owner; None: no carrier answered, or the call goes on."""
    end = event.end
    if not end.answered_ms or event.kind == PART:
        return None
    target = next((each for each in answerers(event.call, end) if each.cost is not None), None)
    if target is None or target.cost is None:
        return None
    return Owed(target.cost, target.group_id, cost(target.cost, _carried_s(end), end.answered_ms))


def answerers(call: PinnedCall, end: CallEnd) -> list[PinnedTarget]:
    """Return the target that took the call; where its place is not known, all those of the server that did."""
    own = [each for each in call.targets[end.place : end.place + 1] if end.place >= 0]
    return [each for each in own or call.targets if each.server_id == end.server_id]


def entries(event: CallEvent, paid: Mapping[str, Sequence[Priced]], carrier: Owed | None) -> tuple[EntryRow, ...]:
    """Return all entries of an event whose postings are exactly what `paid` says."""
    make = _late_entries if event.kind == LATE else _fund_entries
    return (*make(event, paid), *_carrier_entries(event, carrier))


def legs(event: CallEvent, paid: Mapping[str, Sequence[Priced]], carrier: Owed | None) -> tuple[LegRow, ...]:
    """Return what the record of the call says of its payments; nothing while the call goes on."""
    if event.kind == PART:
        return ()
    found = [each for share in paid.values() for each in share]
    rows = [_leg(event.rid, each.leg, each.cost_micros, each.charged_micros) for each in found]
    if carrier is not None:
        rows.append(_leg(event.rid, carrier.leg._replace(fund=""), carrier.micros, 0))
    return tuple(rows)


def fund_currency(fund: str) -> str:
    """Return the currency of a fund's name, "" where it has none."""
    return fund.partition(":")[2]


def _priced(leg: PinnedLeg, event: CallEvent) -> Priced:
    now_s, answered_ms = event.end.billed_s, event.end.answered_ms
    before_s = 0 if event.kind == LATE else event.billed_before_s
    earned = cost(leg, now_s, answered_ms)
    earned_before = cost(leg, before_s, answered_ms) if before_s else 0
    if not leg.exchange_nanos:
        return Priced(leg, earned, earned, earned - earned_before, earned - earned_before)
    charged = charge(leg, now_s, answered_ms)
    charged_before = charge(leg, before_s, answered_ms) if before_s else 0
    return Priced(leg, earned, charged, earned - earned_before, charged - charged_before)


def _fund_entries(event: CallEvent, paid: Mapping[str, Sequence[Priced]]) -> Iterable[EntryRow]:
    """Yield what Redis charged: it posts only funds whose charges move; what a payee earns may move without."""
    make = _Maker(event, "redis", PART_NOTE if event.kind == PART else "")
    postings = {posting.fund: posting for posting in event.postings}
    for fund, share in paid.items():
        if not fund:
            continue
        currency = fund_currency(fund)
        posting = postings.get(fund)
        if posting is not None:
            yield make.row(share[0].leg, FUND, currency, -posting.amount_micros, posting.n)
        yield from _payee_entries(make, share, currency)


def _late_entries(event: CallEvent, paid: Mapping[str, Sequence[Priced]]) -> Iterable[EntryRow]:
    """Yield both sides of what each fund owes for the call: Redis charged nothing for this event."""
    make = _Maker(event, "pg", LATE_NOTE)
    for fund, share in paid.items():
        if not fund:
            continue
        currency = fund_currency(fund)
        micros = sum(each.charged_now for each in share)
        if micros:
            yield make.row(share[0].leg, FUND, currency, -micros)
        yield from _payee_entries(make, share, currency)


def _payee_entries(make: _Maker, share: Sequence[Priced], currency: str) -> Iterable[EntryRow]:
    """Yield what the payees of one fund get. currency: the fund's."""
    for leg, earned, charged in _earned(share):
        if leg.exchange_nanos and charged:
            yield make.row(leg, FX_BOUGHT, currency, charged)
        if leg.exchange_nanos and earned:
            yield make.row(leg, FX_SOLD, leg.currency, -earned)
        if earned:
            yield make.row(leg, INCOME, leg.currency, earned)


def _earned(share: Sequence[Priced]) -> Iterable[_Earned]:
    """Return what each payee earns in each currency. A fund pays one payee in one currency, almost always."""
    if len(share) == 1:
        (only,) = share
        return (_Earned(only.leg, only.cost_now, only.charged_now),)
    found: dict[tuple[int, str, bool], _Earned] = {}
    for each in share:
        place = each.leg.payee_id, each.leg.currency, bool(each.leg.exchange_nanos)
        leg, earned, charged = found.get(place, _Earned(each.leg, 0, 0))
        found[place] = _Earned(leg, earned + each.cost_now, charged + each.charged_now)
    return found.values()


def _carrier_entries(event: CallEvent, carrier: Owed | None) -> Iterable[EntryRow]:
    if carrier is None or not carrier.micros:
        return
    leg, micros = carrier.leg, carrier.micros
    make = _Maker(event, "pg", LATE_NOTE if event.kind == LATE else "", carrier.group_id)
    yield make.row(leg, COST, leg.currency, -micros)
    yield make.row(leg, CARRIER, leg.currency, micros)


class _Maker:
    """Makes the entries of one event, which are one transaction."""

    def __init__(self, event: CallEvent, origin: str, note: str = "", group_id: int | None = None) -> None:
        self._names = Names(event.rid)
        self._rid, self._seq, self._epoch = event.rid, event.seq, event.epoch
        self._txn_id = self._names.txn(event.seq)
        self._origin, self._note, self._group_id = origin, note, group_id

    def row(self, leg: PinnedLeg, book: str, currency: str, micros: int, fund_n: int | None = None) -> EntryRow:
        """Return the entry of one book: the payer's for what is paid, the payee's for what is earned."""
        level, seq = leg.level, self._seq
        entry_id = self._names.entry(level, seq, NAMED_AS.get(book, book))
        account_id = leg.payer_id if book in PAYERS else leg.payee_id
        return EntryRow(entry_id, self._txn_id, account_id, book, currency, micros, self._origin, self._rid, level, seq,
                        self._epoch, fund_n, self._note, self._group_id)  # fmt: skip


def _carried_s(end: CallEnd) -> int:
    """Seconds that the carrier will bill: the real talk, also where we could bill less (a late BYE is our loss)."""
    return max(end.billed_s, -(-end.talk_ms // SECOND_MS))


def _leg(rid: str, leg: PinnedLeg, price_micros: int, charged_micros: int) -> LegRow:
    fund = leg.fund
    paid = (FUND, fund_currency(fund), charged_micros) if fund else (COST, None, None)
    return LegRow(rid, leg.level, leg.payer_id, leg.payee_id, leg.currency, price_micros, leg.tariff_id,
                  leg.rate_set_id, leg.prefix, *paid)  # fmt: skip
