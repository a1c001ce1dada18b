"""`tandem explain`: why a call goes, or went, the way it does."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from types import MappingProxyType
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.core.amounts import amount
from kemi.core.exchange import amount as exchange_amount
from kemi.core.outcome import IN, OUT, Challenge, Reject, Route, Target
from kemi.core.rating import charge, cost
from kemi.records import PinnedCall, PinnedLeg
from tools.errors import OperatorError, not_set
from tools.explain_past import PastCall, PastLeg, past_calls
from tools.explain_whatif import UNLIMITED, Answer, Purse, Question, answer, subscriber_of

TIMEOUT_MS: Final = 2_000
MINUTE_S: Final = 60
MS: Final = 1_000  # of a second
ENDED: Final = MappingProxyType(
    {
        "money": "more talk was refused: a fund or its cap was at its end",
        "maximum": "the longest a call may be",
        "noc": "`tandem noc end`",
        "store_down": "Redis could not be asked for more talk",
        "node_lost": "its node was dead or stood still when more talk was due",
        "lost_hold": "Redis did not know its hold any more",
        "sweeper": "nobody told of its end",
    }
)
SIDES: Final = MappingProxyType({OUT: "out", IN: "in", OUT | IN: "out and in"})


def explain(  # noqa: PLR0913  one parameter per option
    *,
    caller: Annotated[str, typer.Argument(help="Who calls: user@domain, or a number with one of the options.")] = "",
    callee: Annotated[str, typer.Argument(help="Number or URI as dialled.")] = "",
    subscriber: Annotated[str, typer.Option(help="user@domain that sends it, authenticated by digest.")] = "",
    account: Annotated[int, typer.Option(help="Take this account's first active subscriber.")] = 0,
    from_ip: Annotated[str, typer.Option(help="Source address: a peer's or a trusted one.")] = "",
    transport: Annotated[str, typer.Option(help="udp, tcp, tls or ws.")] = "udp",
    call_id: Annotated[str, typer.Option(help="Explain this past call instead.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what would become of a call, or with --call-id what became of one: trace, carriers, prices, funds."""
    if call_id:
        _show_past(past_calls(_address("DATABASE_URL"), call_id), as_json=as_json)
        return
    if not caller or not callee:
        raise OperatorError("name CALLER and CALLEE, or a past call with --call-id")
    client = RedisClient(_address("REDIS_URL"), TIMEOUT_MS)
    secret = os.environ.get("TANDEM_SECRET", "").encode() or Question._field_defaults["secret"]
    try:
        line = subscriber or (subscriber_of(client, account) if account else "")
        found = answer(client, Question(caller, callee, line, from_ip, transport, secret))
    except StoreUnavailable as error:
        raise OperatorError(f"Redis does not do its part: {error}") from error
    finally:
        client.close()
    if as_json:
        typer.echo(json.dumps(_as_data(found)))
    else:
        _show(found)


def _address(name: str) -> str:
    if not os.environ.get(name):
        raise not_set(name)
    return os.environ[name]


def headline(found: Answer) -> str:
    """Return the decision in one line."""
    decision = found.decision
    match decision:
        case Route():
            count = len(decision.targets)
            seconds = min((purse.talk_s for purse in found.purses), default=0)
            money = "an emergency call, whatever the funds have" if decision.emergency else f"funds pay for {seconds} s"
            return f"ROUTE {decision.call.direction}: {count} target{'' if count == 1 else 's'}, {money}"
        case Reject():
            level = f" at account {decision.account_id}" if decision.account_id else ""
            return f"REJECT {decision.status} {decision.phrase}: {decision.reason}{level}"
        case Challenge():
            return f"CHALLENGE {decision.status}: nobody is identified"
    return type(decision).__name__.upper()


def _show(found: Answer) -> None:
    console = Console(width=max(Console().width, MINUTE_S * 2))
    console.print(headline(found), style="bold", markup=False, highlight=False)
    _show_trace(console, found.decision.trace)
    if isinstance(found.decision, Route):
        console.print(_targets(found.decision), _levels(found.decision.call), _funds(found.purses))
    console.print(f"configuration as of pass {found.config_pass}, {found.rounds} fetches", style="dim", highlight=False)


def _show_trace(console: Console, trace: Iterable[str]) -> None:
    for sentence in trace:
        console.print(f"  {sentence}", markup=False, highlight=False)


def _targets(route: Route) -> Table:
    table = _table("Targets, in order", "to", "next hop", "R-URI", "carrier's prefix", "costs a minute")
    for target in route.targets:
        leg = target.pinned.cost
        minute = amount(cost(leg, MINUTE_S, route.call.started_ms), leg.currency) if leg else ""
        to = target.pinned.name or target.address_of_record
        table.add_row(to, target.next_hop, target.ruri, leg.prefix if leg else "", minute)
    return table


def _levels(call: PinnedCall) -> Table:
    columns = ("level", "side", "pays", "to", "tariff", "prefix", "a minute", "increments", "connect", "least")
    table = _table("Prices of a call that is answered now", *columns, "60 s cost", "of its fund")
    on_side = sides(call.direction, [(leg.payer_id, leg.payee_id) for leg in call.legs])
    for leg, side in zip(call.legs, on_side, strict=True):
        rate, minute = leg.rate, cost(leg, MINUTE_S, call.started_ms)
        table.add_row(
            str(leg.level),
            side,
            str(leg.payer_id),
            str(leg.payee_id),
            str(leg.tariff_id or "free"),
            leg.prefix,
            " ".join((amount(rate.per_min_micros, leg.currency), *changes(leg))),
            f"{rate.first_s}/{rate.next_s}",
            amount(rate.connect_micros, leg.currency),
            amount(rate.min_micros, leg.currency),
            f"{amount(minute, leg.currency)}{rounding(leg)}",
            f"{amount(charge(leg, MINUTE_S, call.started_ms))} {exchange_of(leg)}".rstrip(),
        )
    return table


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


def changes(leg: PinnedLeg) -> list[str]:
    """Return when the price of a minute changes during the longest possible call, and to what."""
    pairs = pairwise(leg.bands)
    at = [(after.per_min_micros, datetime.fromtimestamp(before.until_ms / MS, UTC)) for before, after in pairs]
    return [f"→ {amount(micros, leg.currency)} at {begins:%a %H:%M} UTC" for micros, begins in at]


def rounding(leg: PinnedLeg) -> str:
    """Return how a price is rounded, "" for up to a micro."""
    if (leg.rounding, leg.round_to_micros) == ("up", 1):
        return ""
    return f" ({leg.rounding.replace('_', ' ')} to {amount(leg.round_to_micros)})"


def exchange_of(leg: PinnedLeg) -> str:
    """Return the currency of the leg's fund, with the exchange rate where that is not the tariff's."""
    currency = leg.fund.partition(":")[2] or leg.currency
    rate = f" (1 {leg.currency} = {exchange_amount(leg.exchange_nanos)} {currency})" if leg.exchange_nanos else ""
    return currency + rate


def _funds(purses: Iterable[Purse]) -> Table:
    columns = ("level", "side", "fund", "credit", "charged", "held", "limit", "available", "channels", "pays for")
    table = _table("Funds", *columns)
    for purse in purses:
        balance, terms = purse.balance, purse.balance.terms
        if terms is None:
            table.add_row(str(purse.level), SIDES[purse.sides], balance.fund, "no terms", *("",) * 5, "nothing")
            continue
        unlimited = terms.credit_limit_micros == UNLIMITED
        table.add_row(
            str(purse.level),
            SIDES[purse.sides],
            balance.fund,
            amount(terms.cred_micros),
            amount(balance.charged_micros),
            amount(balance.held_micros),
            "unlimited" if unlimited else amount(terms.credit_limit_micros),
            "unlimited" if purse.available_micros is None else amount(purse.available_micros),
            f"{balance.channels} of {terms.channels_max or '∞'}",
            f"{purse.talk_s} s",
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", highlight=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def _as_data(found: Answer) -> dict[str, Any]:
    decision = found.decision
    data: dict[str, Any] = {
        "decision": type(decision).__name__.lower(),
        "headline": headline(found),
        "trace": list(decision.trace),
        "config_pass": found.config_pass,
        "fetches": found.rounds,
        "targets": [],
        "levels": [],
        "funds": [],
    }
    if isinstance(decision, Reject):
        data |= {"status": decision.status, "reason": decision.reason, "account_id": decision.account_id}
    if isinstance(decision, Route):
        now_ms = decision.call.started_ms
        data["targets"] = [_target_data(target, now_ms) for target in decision.targets]
        data["levels"] = [_leg_data(leg, now_ms) for leg in decision.call.legs]
        data["funds"] = [
            {
                "fund": purse.balance.fund,
                "level": purse.level,
                "side": SIDES[purse.sides],
                "available_micros": purse.available_micros,
                "talk_s": purse.talk_s,
            }
            for purse in found.purses
        ]
    return data


def _target_data(target: Target, now_ms: int) -> dict[str, Any]:
    leg = target.pinned.cost
    return {
        "name": target.pinned.name or target.address_of_record,
        "server_id": target.pinned.server_id,
        "ruri": target.ruri,
        "next_hop": target.next_hop,
        "cost": _leg_data(leg, now_ms) if leg else None,
    }


def _leg_data(leg: PinnedLeg, now_ms: int) -> dict[str, Any]:
    return leg._asdict() | {
        "rate": leg.rate._asdict(),
        "bands": [band._asdict() for band in leg.bands],
        "minute_micros": cost(leg, MINUTE_S, now_ms),
        "fund_currency": leg.fund.partition(":")[2],
        "minute_charge_micros": charge(leg, MINUTE_S, now_ms),
    }


def _show_past(calls: list[tuple[PastCall, list[PastLeg]]], *, as_json: bool) -> None:
    if as_json:
        rows = [call._asdict() | {"legs": [leg._asdict() for leg in legs]} for call, legs in calls]
        typer.echo(json.dumps(rows, default=str))
        return
    console = Console(width=max(Console().width, MINUTE_S * 2))
    for call, legs in calls:
        _show_past_call(console, call, legs)


def _show_past_call(console: Console, call: PastCall, legs: Sequence[PastLeg]) -> None:
    reason = f" {call.reason}" if call.reason else ""
    if call.refused_by:
        reason += f" at account {call.refused_by}"
    talked = f"talked {call.talk_ms / MS:.1f} s"
    line = f"{call.outcome.upper()}: {call.sip_status}{reason}, Q.850 {call.q850}, {talked}{ended(call)}"
    console.print(line, style="bold", markup=False, highlight=False)
    numbers = f"{call.source} {call.caller} → {call.callee} {call.direction}".rstrip()
    console.print(f"  {call.started_at:%Y-%m-%d %H:%M:%S %Z} on {call.node}: {numbers}", markup=False, highlight=False)
    _show_trace(console, call.trace)
    for server_id, status in call.attempts:
        console.print(f"  tried server {server_id}: {status or 'cancelled'}", highlight=False)
    if legs:
        console.print(_payments(call, legs))


def ended(call: PastCall) -> str:
    """Return who or what ended a past call, as the end of a sentence; "" where the outcome says it all."""
    if not call.ended_by:
        return ""
    return f", ended by {call.ended_by}" + (f" ({ENDED[call.ended_by]})" if call.ended_by in ENDED else "")


def billed(call: PastCall) -> str:
    """Return for how long a past call is paid, and why that is less than was talked."""
    told = f"Payments for {call.billed_s} s"
    if call.talk_ms < call.billed_s * MS + MS / 10:  # else nobody could see the difference
        return told
    return f"{told}: no more was granted, the other {call.talk_ms / MS - call.billed_s:.1f} s are our loss"


def _payments(call: PastCall, legs: Sequence[PastLeg]) -> Table:
    table = _table(billed(call), "level", "side", "pays", "to", "tariff", "prefix", "price", "paid as")
    on_side = iter(sides(call.direction, [(leg.payer, leg.payee) for leg in legs if leg.book == "fund"]))
    for leg in legs:
        payee = "the carrier" if leg.book == "cost" else leg.payee or ""
        side = "" if leg.book == "cost" else next(on_side)
        tariff = str(leg.tariff_id or "free")
        paid = ""
        if leg.charged_micros is not None and leg.fund_currency and leg.fund_currency != leg.currency:
            paid = amount(leg.charged_micros, leg.fund_currency)
        price = amount(leg.price_micros, leg.currency)
        table.add_row(str(leg.level), side, leg.payer or "", payee, tariff, leg.prefix, price, paid)
    return table
