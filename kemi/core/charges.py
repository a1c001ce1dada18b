"""What each level pays for a call, and what has to be held for it.

Rule 1: at every level the account pays its own tariff to its parent. A level that has no rate refuses the call, for
nobody would pay its part; so does one whose rate is forbidden.
Rule 2: inbound, internal and emergency calls have the same legs at price 0: they take channels and write CDRs too.
Rule 3: a fund stands in a hold once, however many legs it pays.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

from kemi import keys
from kemi.core.chains import Chain
from kemi.core.draft import Draft
from kemi.core.outcome import Hold, HoldFund, Reject
from kemi.core.prefix import longest
from kemi.core.rating import schedule
from kemi.core.request import E164
from kemi.records import Account, PeeringGroup, PinnedLeg, Rate, Tariff

FREE: Final = Rate(per_min_micros=0)


class Tariffed(NamedTuple):
    """The rate that a tariff has for a number, and the prefix that it stands under."""

    tariff: Tariff
    prefix: str
    rate: Rate


def paid_legs(draft: Draft, chain: Chain, callee: E164) -> tuple[PinnedLeg, ...] | Reject:
    """Return what each level pays, nearest to the caller first; or the refusal "no_rate" or "forbidden"."""
    legs: list[PinnedLeg] = []
    for level, account in enumerate(chain.levels, 1):
        who = f"level {level} account {account.id}"
        found = rate_for(draft, account.tariff_id, callee)
        if found is None:
            return draft.refuse("no_rate", f"{who} has no rate for {callee} in tariff {account.tariff_id}", account.id)
        tariff, prefix, rate = found
        by_tariff = f"by tariff {tariff.id} prefix {prefix}"
        if tariff.currency != account.currency:
            sentence = f"{who} has {account.currency}, tariff {tariff.id} is in {tariff.currency}"
            return draft.refuse("no_rate", sentence, account.id)
        if rate.forbidden:
            return draft.refuse("forbidden", f"{who} may not call it {by_tariff}", account.id)
        draft.note(f"{who} pays {rate.per_min_micros}/min {by_tariff}")
        legs.append(
            _leg(level, account)._replace(tariff_id=tariff.id, rate_set_id=tariff.rate_set_id, prefix=prefix, rate=rate)
        )
    return tuple(legs)


def free_legs(*chains: Chain) -> tuple[PinnedLeg, ...]:
    """Return a leg at price 0 for each level of the chains; levels count on from one chain to the next."""
    accounts = (account for chain in chains for account in chain.levels)
    return tuple(_leg(level, account) for level, account in enumerate(accounts, 1))


def carrier_leg(draft: Draft, group: PeeringGroup, callee: E164) -> PinnedLeg | None:
    """Return what the group's owner would pay the carrier by the carrier's own deck; None when it does not sell that.

    Payer and payee are the owner: what he owes a carrier is posted in Postgres only, on his own books.
    """
    found = rate_for(draft, group.tariff_id, callee)
    if found is None or found.rate.forbidden:
        return None
    return PinnedLeg(
        level=0,
        payer_id=group.account_id,
        payee_id=group.account_id,
        currency=found.tariff.currency,
        fund="",
        tariff_id=found.tariff.id,
        rate_set_id=found.tariff.rate_set_id,
        prefix=found.prefix,
        rate=found.rate,
    )


def rate_for(draft: Draft, tariff_id: int, number: str) -> Tariffed | None:
    """Return the tariff's rate for the longest prefix of `number`; None when it has none."""
    tariff = draft.known.tariff(tariff_id)
    if tariff is None:
        return None
    rate_set = draft.known.rate_set(tariff.rate_set_id)
    found = longest(number, partial(draft.known.rate_bucket, tariff.id, tariff.rate_set_id))
    if rate_set is None or found is None:
        return None
    prefix, class_index = found
    return Tariffed(tariff, prefix, rate_set.rates[class_index]) if class_index < len(rate_set.rates) else None


def hold_for(draft: Draft, legs: Iterable[PinnedLeg]) -> Hold:
    """Return what the call has to hold before it may go: its funds, and the first slice of its price."""
    by_fund: dict[str, list[PinnedLeg]] = {}
    for leg in legs:
        by_fund.setdefault(leg.fund, []).append(leg)
    funds = tuple(HoldFund(fund, paid[0].payer_id, paid[0].level) for fund, paid in by_fund.items())
    limits = draft.facts.limits
    rates = [[leg.rate for leg in paid] for paid in by_fund.values()]
    return Hold(funds, schedule(rates, 0, min(limits.slice_s, limits.max_call_s)), draft.known.used)


def _leg(level: int, account: Account) -> PinnedLeg:
    return PinnedLeg(
        level=level,
        payer_id=account.id,
        payee_id=account.parent_id,
        currency=account.currency,
        fund=keys.fund(account.id, account.currency),
        tariff_id=0,
        rate_set_id=0,
        prefix="",
        rate=FREE,
    )
