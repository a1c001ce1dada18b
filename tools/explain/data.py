"""What `tandem explain` tells programs.

Rule: ten keys, always all of them, whatever the verdict: verdict, reason, status, caller, callee, chain, candidates,
rejected, trace, generation; and stages, of a call that is led from one to the next. Money is in micros of the currency
beside it; 0 and "" mean none. The trace ends with what nodes may do otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from kemi.adapters.redis_purses import Purse
from kemi.core.outcome import IN, OUT, Reject, Route, Target
from kemi.core.rating import charge, cost
from kemi.records import Choice, PinnedLeg
from tools.explain.whatif import Answer

MINUTE_S: Final = 60
SIDES: Final = MappingProxyType({OUT: "out", IN: "in", OUT | IN: "out and in"})


class Level(NamedTuple):
    """One level of the call's chains. leg: what it pays, None for a call that was refused before that was known."""

    level: int
    side: str
    account_id: int
    account: str
    leg: PinnedLeg | None
    purse: Purse | None


def as_data(found: Answer) -> dict[str, Any]:
    """Return the ten keys, and the stages where there are some."""
    decision, call = found.decision, found.call
    refusal = decision if isinstance(decision, Reject) else None
    verdict = type(decision).__name__.lower()
    data = {
        "verdict": verdict,
        "reason": refusal.reason if refusal else "" if isinstance(decision, Route) else verdict,
        "status": getattr(decision, "status", 0),
        "caller": call.caller if call else "",
        "callee": call.callee if call else "",
        "chain": [_level_data(level, call.started_ms) for level in levels(found)] if call else [],
        "candidates": list(candidates(found)),
        "rejected": [choice_data(choice) | {"reason": choice.why} for choice in choices(found) if choice.why],
        "trace": [*decision.trace, *found.notes],
        "generation": found.config_pass,
    }
    return data | {"stages": list(stages(found))} if found.route and found.route.stages else data


def stages(found: Answer) -> Iterator[dict[str, Any]]:
    """Yield what rings after what: who, whether at once, for how long, and the place of the stage that follows, from 1.

    Each by how it ends; 0 = the call ends there. status, phrase: of a stage that rings nobody and ends the call so.
    """
    route = found.route
    for place, stage in enumerate(route.stages if route else (), 1):
        yield {
            "place": place,
            "targets": [_name(route.targets[at]) for at in stage.places] if route else [],
            "together": stage.together,
            "ring_s": stage.ring_s,
            "busy": stage.busy + 1,
            "no_answer": stage.no_answer + 1,
            "unreachable": stage.unreachable + 1,
            "status": stage.status,
            "phrase": stage.phrase,
        }


def choices(found: Answer, *, is_led_on: bool = True) -> tuple[Choice, ...]:
    """Return the carriers that were weighed: those that may take the call in hunting order, and those left out.

    is_led_on: those for the numbers that the called leads the call to, too.
    """
    decision = found.route or found.decision
    if not isinstance(decision, Route | Reject):
        return ()
    return decision.choices if is_led_on else decision.weighed._replace(more=()).choices


def candidates(found: Answer) -> Iterator[dict[str, Any]]:
    """Yield who would be tried, in order: our own lines, then servers with what the expected call costs there.

    tried: within the attempts that one call makes. A call that has no route is led on to nobody.
    """
    targets = found.route.targets if found.route else ()
    by_server = {target.pinned.server_id: target for target in targets if target.pinned.server_id}
    place = count(1)
    eligible = [choice for choice in choices(found, is_led_on=found.route is not None) if not choice.why]
    for phone in targets if eligible else ():
        if not phone.pinned.server_id:
            chosen = Choice(0, 0, 0, _name(phone), "")
            yield {"place": next(place), **choice_data(chosen), **_next_hop(phone), "tried": True}
    for choice in eligible:
        target = by_server.get(choice.server_id)
        is_tried = target is not None or (found.is_redacted and not choice.server_id)  # told by its name alone
        yield {"place": next(place), **choice_data(choice), **_next_hop(target), "tried": is_tried}
    for target in targets if not eligible else ():
        chosen = Choice(0, target.pinned.group_id, target.pinned.server_id, _name(target), "")
        yield {"place": next(place), **choice_data(chosen), **_next_hop(target), "tried": True}


def levels(found: Answer) -> list[Level]:
    """Return the levels of the call's chains, the caller's first."""
    call, purses = found.call, {purse.account_id: purse for purse in found.purses if purse.level}
    if call is None:
        return []
    if not call.legs:
        accounts = enumerate(found.accounts.values(), 1)
        return [
            Level(
                level, SIDES[IN if call.direction == "in" else OUT], account.id, account.name, None, purses[account.id]
            )
            for level, account in accounts
            if account.id in purses
        ]
    own = [leg for leg in call.legs if not leg.forward]
    on_side = sides(call.direction, [(leg.payer_id, leg.payee_id) for leg in own])
    on_side += [f"leap {leg.forward}" for leg in call.legs if leg.forward]
    names = {account.id: account.name for account in found.accounts.values()}
    return [
        Level(leg.level, side, leg.payer_id, names.get(leg.payer_id, ""), leg, purses.get(leg.payer_id))
        for leg, side in zip(call.legs, on_side, strict=True)
    ]


def sides(direction: str, payments: Iterable[tuple[object, object]]) -> list[str]:
    """Return on which side of the call each payment stands. payments: payer and payee, up one chain, then the other.

    The called number's chain begins where a payer is not the one who was paid before.
    """
    told: list[str] = []
    side, paid = ("in" if direction == "in" else "out"), None
    for payer, payee in payments:
        if told and payer != paid:
            side = "in"
        told.append(side)
        paid = payee
    return told


def _level_data(level: Level, now_ms: int) -> dict[str, Any]:
    return {
        "level": level.level,
        "side": level.side,
        "account_id": level.account_id,
        "account": level.account,
        "rate": _leg_data(level.leg, now_ms) if level.leg else None,
        "fund": _purse_data(level.purse) if level.purse else None,
    }


def _leg_data(leg: PinnedLeg, now_ms: int) -> dict[str, Any]:
    return {
        "payee_id": leg.payee_id,
        "tariff_id": leg.tariff_id,
        "rate_set_id": leg.rate_set_id,
        "prefix": leg.prefix,
        "currency": leg.currency,
        **leg.rate._replace(periods=())._asdict(),
        "bands": [band._asdict() for band in leg.bands],
        "rounding": leg.rounding,
        "round_to_micros": leg.round_to_micros,
        "minute_micros": cost(leg, MINUTE_S, now_ms),
        "fund_currency": leg.fund.partition(":")[2],
        "exchange_nanos": leg.exchange_nanos,
        "minute_charge_micros": charge(leg, MINUTE_S, now_ms),
    }


def _purse_data(purse: Purse) -> dict[str, Any]:
    balance, terms = purse.balance, purse.balance.terms
    cred = terms.cred_micros if terms else 0
    return {
        "fund": balance.fund,
        "balance_micros": cred - balance.charged_micros,
        "held_micros": balance.held_micros,
        "credit_limit_micros": terms.credit_limit_micros if terms else 0,
        "available_micros": purse.available_micros,
        "channels": balance.channels,
        "channels_max": terms.channels_max if terms else 0,
        "talk_s": purse.talk_s,
    }


def choice_data(choice: Choice) -> dict[str, Any]:
    """Return a carrier that was weighed, as programs are told of it."""
    data = choice._asdict()
    del data["why"]
    return data


def _next_hop(target: Target | None) -> dict[str, str]:
    return {"ruri": target.ruri if target else "", "next_hop": target.next_hop if target else ""}


def _name(target: Target) -> str:
    return target.pinned.name or target.address_of_record
