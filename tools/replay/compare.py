"""What becomes of a call under one configuration, and what is different under another."""

from __future__ import annotations

from typing import Any, NamedTuple

from kemi.core.amounts import amount
from kemi.core.outcome import Challenge, Decision, Reject, Route
from kemi.core.rating import cost
from kemi.records import PinnedLeg
from tools.replay.calls import Asked


class Price(NamedTuple):
    """What one level pays for the call. account_id: who pays; of what a carrier is owed, the carrier's owner."""

    account_id: int
    micros: int
    currency: str

    def __str__(self) -> str:
        """Write it for people."""
        return f"{self.account_id} pays {amount(self.micros, self.currency)}"


class Outcome(NamedTuple):
    """A decision as far as it matters to a replay. carriers: in hunting order. cost: of the first of them."""

    verdict: str
    carriers: tuple[str, ...] = ()
    prices: tuple[Price, ...] = ()
    cost: Price | None = None


class Change(NamedTuple):
    """A call that comes out otherwise. what: "verdict", "carrier", "price", "cost", as far as they change."""

    asked: Asked
    what: tuple[str, ...]
    before: Outcome
    after: Outcome


def outcome(decision: Decision, talk_s: int) -> Outcome:
    """Return what a decision means. talk_s: how long the call is, for its prices."""
    match decision:
        case Route():
            now_ms = decision.call.started_ms
            prices = tuple(_price(leg, talk_s, now_ms) for leg in decision.call.legs)
            carriers = tuple(target.pinned.name or target.address_of_record for target in decision.targets)
            leg = decision.targets[0].pinned.cost
            owed = _price(leg, talk_s, now_ms) if leg else None
            return Outcome(f"route {decision.call.direction}", carriers, prices, owed)
        case Reject():
            level = f" at account {decision.account_id}" if decision.account_id else ""
            return Outcome(f"reject {decision.status} {decision.reason}{level}")
        case Challenge():
            return Outcome("nobody is identified")
    return Outcome(type(decision).__name__.lower())


def change(asked: Asked, before: Outcome, after: Outcome) -> Change | None:
    """Return how a call comes out otherwise, None where it does not."""
    if before.verdict != after.verdict:
        return Change(asked, ("verdict",), before, after)
    differ = {
        "carrier": before.carriers != after.carriers,
        "price": before.prices != after.prices,
        "cost": before.cost != after.cost and before.carriers[:1] == after.carriers[:1],
    }
    what = tuple(word for word, is_different in differ.items() if is_different)
    return Change(asked, what, before, after) if what else None


def as_data(found: Change) -> dict[str, Any]:
    """Return a change for programs. Money is in micros."""
    past = found.asked.past
    return {
        "call_id": past.call_id,
        "rid": past.rid,
        "started_at": past.started_at.isoformat(),
        "source": past.source,
        "caller": past.caller,
        "callee": past.callee,
        "changes": list(found.what),
        "before": _outcome_data(found.before),
        "after": _outcome_data(found.after),
    }


def _outcome_data(told: Outcome) -> dict[str, Any]:
    return {
        "verdict": told.verdict,
        "carriers": list(told.carriers),
        "prices": [price._asdict() for price in told.prices],
        "cost": told.cost._asdict() if told.cost else None,
    }


def _price(leg: PinnedLeg, talk_s: int, now_ms: int) -> Price:
    return Price(leg.payer_id, cost(leg, talk_s, now_ms), leg.currency)
