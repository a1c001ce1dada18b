"""What the money functions have to do, in plain Python: the reference of test_funds_machine.py.

All sums are computed from the calls and from what was charged; none is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from kemi import keys
from kemi.adapters.redis_funds import Balance, FundTerms, Operation, Spent
from kemi.adapters.redis_operations import LEFT
from kemi.core.outcome import IN, OUT, HoldRow

NO_LIMIT = FundTerms(0, 0, -1)


class Call(NamedTuple):
    """What the model knows of a reservation. per_min: price of a minute per fund.

    held, posted: totals per fund. done: by which node, what, and the seconds that were answered. place, joins: as of
    the first answer, without funds of the hold. told: what its hold told of others.
    """

    funds: tuple[str, ...]
    sides: tuple[int, ...]
    per_min: tuple[int, ...]
    granted_s: int
    held: tuple[int, ...]
    posted: tuple[int, ...]
    seq: int = 0
    billed_s: int = 0
    node: str = "n1"
    is_open: bool = True
    is_answered: bool = False
    done: tuple[tuple[str, Operation, int], ...] = ()
    place: int = -1
    joins: tuple[str, ...] = ()
    told: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


class Model:
    """Funds and calls. charged: what each event took from a fund. given: the terms that there are.

    spent: the windows of a fund, day and month; opened: the version of the opening that they began with. turns: how
    many calls took each group's.
    """

    def __init__(self, given: dict[str, FundTerms], counters: Sequence[str] = ()) -> None:
        self.given = given
        self.funds = (*given, *counters)
        self.calls: dict[str, Call] = {}
        self.charged: dict[str, list[int]] = {fund: [] for fund in self.funds}
        self.spent: dict[str, tuple[Spent, Spent]] = {fund: (Spent(), Spent()) for fund in self.funds}
        self.opened: dict[str, int] = dict.fromkeys(self.funds, 0)
        self.turns: dict[int, int] = {}

    def terms(self, fund: str) -> FundTerms:
        """Return what counts for a fund: no limit where a line or user has no terms."""
        return self.given.get(fund, NO_LIMIT) if keys.counts_only(fund) else self.given[fund]

    def give(self, fund: str, terms: FundTerms | None) -> None:
        """Let a fund have these terms from now on; None: none."""
        if terms is None:
            self.given.pop(fund, None)
        else:
            self.given[fund] = terms

    def open_of(self, fund: str) -> list[tuple[Call, int]]:
        """Return the open calls that hold of a fund, and where the fund stands in each."""
        calls = (call for call in self.calls.values() if call.is_open and fund in call.funds)
        return [(call, call.funds.index(fund)) for call in calls]

    def held(self, fund: str) -> int:
        """Return what is held and not charged yet."""
        return sum(call.held[at] - call.posted[at] for call, at in self.open_of(fund))

    def channels(self, fund: str, side: int = 0) -> int:
        """Return how many channels are taken: of a side, or in all."""
        joined = sum(call.is_open and fund in call.joins for call in self.calls.values()) if side != OUT else 0
        return joined + sum(bool(call.sides[at] & (side or OUT | IN)) for call, at in self.open_of(fund))

    def answered_by(self, call: Call, place: int, joins: Sequence[str], held: tuple[int, ...]) -> Call:
        """Return a call after its answer: only the first one says whom it concerns, and what has to be held."""
        if call.is_answered:
            return call
        both = zip(call.funds, call.sides, strict=True)
        sides = tuple(_side_of(fund, side, place, joins) for fund, side in both)
        new = tuple(fund for fund in dict.fromkeys(joins) if fund not in call.funds)
        return call._replace(place=place, joins=new, sides=sides, held=held or call.held, is_answered=True)

    def windows(self, fund: str) -> tuple[Spent, Spent]:
        """Return day and month as the next operation finds them."""
        terms, (day, month) = self.terms(fund), self.spent[fund]
        if not self.has_caps(fund):
            return day, month
        day_id = terms.days[0].id if terms.days else 0
        month_id = terms.months[0].id if terms.months else 0
        opening = terms.opening
        if opening is not None and opening.version > self.opened[fund]:
            found = (
                [spent.micros for spent in (day, Spent(opening.day_id, opening.day_micros)) if spent.id == day_id],
                [
                    spent.micros
                    for spent in (month, Spent(opening.month_id, opening.month_micros))
                    if spent.id == month_id
                ],
            )
            return Spent(day_id, max(found[0], default=0)), Spent(month_id, max(found[1], default=0))
        return Spent(day_id) if day.id < day_id else day, Spent(month_id) if month.id < month_id else month

    def left(self, fund: str) -> dict[str, int]:
        """Return what each limit of a fund leaves, by the reason of its refusal, in the order of reasons."""
        terms, (day, month), held = self.terms(fund), self.windows(fund), self.held(fund)
        if terms.credit_limit_micros < 0:
            return {}
        left = {"credit": terms.cred_micros + terms.credit_limit_micros - sum(self.charged[fund]) - held}
        if terms.day_max_micros:
            left["spend_day"] = terms.day_max_micros - day.micros - held
        if terms.month_max_micros:
            left["spend_month"] = terms.month_max_micros - month.micros - held
        return left

    def bar(self, call: Call) -> tuple[str, int]:
        """Return why and where a new call may not even be asked for, ("", 0) if it may."""
        for at, fund in enumerate(call.funds):
            terms, side = self.terms(fund), call.sides[at]
            if 0 < terms.channels_max <= self.channels(fund):
                return "channels", at
            if side & IN and 0 < terms.channels_in_max <= self.channels(fund, IN):
                return "channels_in", at
            if side & OUT and 0 < terms.channels_out_max <= self.channels(fund, OUT):
                return "channels_out", at
        return "", 0

    def short(self, call: Call, row: HoldRow) -> tuple[str, int]:
        """Return why and where a row cannot be held beyond what is, ("", 0) if it can."""
        for at, fund in enumerate(call.funds):
            more = row.price_micros[at] - call.held[at]
            for reason, left in self.left(fund).items():
                if 0 < more > left:
                    return reason, at
        return "", 0

    def largest(self, call: Call, rows: tuple[HoldRow, ...]) -> HoldRow | None:
        """Return the largest row that every fund of a call can pay."""
        return next((row for row in reversed(rows) if not self.short(call, row)[0]), None)

    def has_caps(self, fund: str) -> bool:
        """Return whether there is a cap on what a fund spends."""
        return bool(self.terms(fund).day_max_micros or self.terms(fund).month_max_micros)

    def hold(self, call: Call) -> None:
        """Let a hold or extension be written."""
        self.touch(call)

    def touch(self, call: Call) -> None:
        """Let an operation be written: its funds are in the windows of now."""
        for fund in filter(self.has_caps, call.funds):
            self.spent[fund] = self.windows(fund)
            opening = self.terms(fund).opening
            self.opened[fund] = max(self.opened[fund], opening.version if opening else 0)

    def charge(self, call: Call, prices: tuple[int, ...]) -> None:
        """Charge the total price of a call, less what was charged."""
        self.touch(call)
        for fund, price, posted in zip(call.funds, prices, call.posted, strict=True):
            if price == posted:
                continue
            self.charged[fund].append(price - posted)
            if self.has_caps(fund):
                day, month = self.spent[fund]
                more = price - posted
                self.spent[fund] = Spent(day.id, day.micros + more), Spent(month.id, month.micros + more)

    def balance(self, fund: str) -> Balance:
        """Return what the store has to say of a fund."""
        day, month = self.spent[fund]
        return Balance(
            *(fund, self.given.get(fund), sum(self.charged[fund]), self.held(fund), self.channels(fund)),
            *(len(self.charged[fund]), self.channels(fund, IN), self.channels(fund, OUT)),
            *(day.micros, day.id, month.micros, month.id),
        )


def _side_of(fund: str, side: int, place: int, joins: Sequence[str]) -> int:
    """Return the side of a fund of the hold after the answer: called are only those who answered."""
    if fund in joins:
        return side | IN
    if not keys.counts_only(fund) or place < 0 or not side & IN:
        return side
    return side & ~IN or LEFT
