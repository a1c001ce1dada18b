"""What the funds of a call have, and whether the store would grant its hold as they stand now. Nothing is held.

It reckons as the store does (functions/money), with numbers that are a moment old.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final, NamedTuple

from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Balance, Funds, Spent
from kemi.core.outcome import IN, OUT, HoldFund, Route
from kemi.core.rating import charges
from kemi.records import Opening, PinnedCall, Status, Window

UNLIMITED: Final = -1
NODE: Final = "explain"
NOT_OPENED: Final = Opening(0, 0, 0, 0, 0)


class Purse(NamedTuple):
    """A fund of the hold and what it has. sides: as in HoldFund. talk_s: how long it alone could pay.

    credit_micros: balance and credit limit; day_micros, month_micros: what the caps on spend leave. None = unlimited.
    """

    account_id: int
    level: int
    sides: int
    balance: Balance
    talk_s: int
    credit_micros: int | None = None
    day_micros: int | None = None
    month_micros: int | None = None

    @property
    def available_micros(self) -> int | None:
        """What can be spent, None = anything; 0 where the fund may not be used at all."""
        if self.balance.terms is None or self.balance.terms.status != Status.ACTIVE:
            return 0
        left = (self.credit_micros, self.day_micros, self.month_micros)
        return min((micros for micros in left if micros is not None), default=None)


def purses(client: RedisClient, call: PinnedCall, funds: Sequence[HoldFund]) -> tuple[Purse, ...]:
    """Return what funds have for a call, in their order. Raises StoreUnavailable."""
    balances = Funds(client, NODE, 0).balances([fund.fund for fund in funds]) if funds else ()
    return tuple(purse_of(call, *pair) for pair in zip(funds, balances, strict=True))


class Short(NamedTuple):
    """Which fund would refuse, and the store's word for why."""

    account_id: int
    reason: str
    fund: str


def short(route: Route, purses: Sequence[Purse]) -> Short | None:
    """Return the refusal that the store would give as the funds stand now, in its order; None where it would grant.

    Calls per second are those of the moment, which nobody can tell beforehand.
    """
    for purse in purses:
        fault = full(purse)
        if fault:
            return Short(purse.account_id, fault, purse.balance.fund)
    for purse, micros in zip(purses, route.hold.rows[0].price_micros, strict=True):
        left = {"credit": purse.credit_micros, "spend_day": purse.day_micros, "spend_month": purse.month_micros}
        for reason, available in left.items():
            if micros > 0 and available is not None and micros > available:
                return Short(purse.account_id, reason, purse.balance.fund)
    return None


def full(purse: Purse) -> str:
    """Return what forbids a new call whatever it costs, in the store's word; "" = nothing."""
    balance, terms = purse.balance, purse.balance.terms
    if terms is None and not purse.level:
        return ""  # it counts a line's or a user's calls, and bounds nothing
    if terms is None or terms.status != Status.ACTIVE:
        return "status"
    counted = (
        ("channels", balance.channels, terms.channels_max, OUT | IN),
        ("channels_in", balance.channels_in, terms.channels_in_max, IN),
        ("channels_out", balance.channels_out, terms.channels_out_max, OUT),
    )
    return next((word for word, taken, most, side in counted if 0 < most <= taken and side & purse.sides), "")


def purse_of(call: PinnedCall, fund: HoldFund, balance: Balance) -> Purse:
    """Return what a fund has, as the hold would reckon: a free call needs no money, but terms and an active account."""
    terms = balance.terms
    if not fund.level:
        return Purse(fund.account_id, fund.level, fund.sides, balance, call.max_s)
    if terms is None or terms.status != Status.ACTIVE:
        return Purse(fund.account_id, fund.level, fund.sides, balance, 0)
    now_ms, held = call.started_ms, balance.held_micros
    credit = day = month = None
    if terms.credit_limit_micros != UNLIMITED:
        credit = terms.cred_micros - balance.charged_micros - held + terms.credit_limit_micros
    opening = terms.opening or NOT_OPENED
    if terms.day_max_micros:
        spent = Spent(balance.day_id, balance.day_spent_micros), Spent(opening.day_id, opening.day_micros)
        day = terms.day_max_micros - _spent(*spent, window_at(terms.days, now_ms)) - held
    if terms.month_max_micros:
        spent = Spent(balance.month_id, balance.month_spent_micros), Spent(opening.month_id, opening.month_micros)
        month = terms.month_max_micros - _spent(*spent, window_at(terms.months, now_ms)) - held
    purse = Purse(fund.account_id, fund.level, fund.sides, balance, call.max_s, credit, day, month)
    if purse.available_micros is None:
        return purse
    legs, seconds = [[leg for leg in call.legs if leg.fund == fund.fund]], range(call.max_s + 1)
    available = max(purse.available_micros, 0)
    payable = bisect_right(seconds, available, key=lambda talk_s: sum(charges(legs, talk_s, now_ms)))
    return purse._replace(talk_s=payable - 1)


def _spent(counted: Spent, opened: Spent, now_id: int) -> int:
    """Return what counts against a cap now. What an opening says counts before the first hold takes it, too.

    counted: by the store; opened: as the opening says; now_id: the window that is in force.
    """
    return max(opened.micros if opened.id == now_id else 0, counted.micros if counted.id >= now_id else 0)


def window_at(windows: Sequence[Window], now_ms: int) -> int:
    """Return the id of the window that is in force: the first that has not ended, else the last one known, else 0."""
    ahead = [window.id for window in windows if window.end_ms > now_ms]
    return ahead[0] if ahead else windows[-1].id if windows else 0
