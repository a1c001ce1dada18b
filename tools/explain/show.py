"""What `tandem explain` tells people about a call as it would go now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from kemi.adapters.redis_funds import Balance
from kemi.adapters.redis_purses import UNLIMITED, Purse
from kemi.core.amounts import amount
from kemi.core.exchange import amount as exchange_amount
from kemi.core.outcome import Challenge, Reject, Route
from kemi.core.rating import charge, cost
from kemi.records import PinnedLeg
from tools.explain.data import MINUTE_S, SIDES, candidates, choices, levels, stages
from tools.explain.whatif import Answer
from tools.printable import printable

MS: Final = 1_000  # of a second
WIDTH_MIN: Final = 120  # of a line that no terminal bounds


def wide_console() -> Console:
    """Return a console that does not cut a table to a narrow pipe."""
    return Console(width=max(Console().width, WIDTH_MIN))


def say(console: Console, sentence: str, *, style: str = "") -> None:
    """Print a line as it is: nothing in it moves the cursor or turns it bold."""
    console.print(printable(sentence), style=style or None, markup=False, highlight=False, soft_wrap=True)


def table(title: str, *columns: str) -> Table:
    """Return an empty table."""
    made = Table(title=title, title_justify="left", highlight=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    return made


def add(made: Table, *cells: object) -> None:
    """Add a row of anybody's text."""
    made.add_row(*(Text(printable(str(cell))) for cell in cells))


def show(found: Answer) -> None:
    """Print the verdict, the trace, and for whom it is a call: candidates, those left out, prices and funds."""
    console = wide_console()
    say(console, headline(found), style="bold")
    for sentence in found.decision.trace:
        say(console, f"  {sentence}")
    made = (_candidates(found), _stages(found), _rejected(found), _levels(found), _funds(found.purses))
    for each in made:
        if each.row_count:
            console.print(each)
    for note in found.notes:
        say(console, note)
    say(console, f"configuration generation {found.config_pass}, {found.rounds} fetches", style="dim")


def headline(found: Answer) -> str:
    """Return the decision in one line."""
    decision = found.decision
    match decision:
        case Route():
            count = len(decision.targets)
            seconds = min((purse.talk_s for purse in found.purses), default=0)
            money = "an emergency call, whatever the funds have" if decision.emergency else f"funds pay for {seconds} s"
            targets = "" if found.is_redacted else f"{count} target{'' if count == 1 else 's'}, "
            return f"ROUTE {decision.call.direction}: {targets}{money}"
        case Reject():
            level = f" at account {decision.account_id}" if decision.account_id else ""
            return f"REJECT {decision.status} {decision.phrase}: {decision.reason}{level}"
        case Challenge():
            return f"CHALLENGE {decision.status}: nobody is identified"
    return type(decision).__name__.upper()


def _candidates(found: Answer) -> Table:
    made = table("Candidates, in order", "", "to", "rule", "prefix", "expected call costs", "next hop", "R-URI")
    for each in candidates(found):
        price = (
            f"{amount(each['cost_micros'], each['currency'])} for {each['expected_s']} s" if each["currency"] else ""
        )
        place = each["place"] if each["tried"] else f"({each['place']})"  # beyond the attempts of one call
        add(made, place, each["name"], each["rule_id"] or "", each["prefix"], price, each["next_hop"], each["ruri"])
    return made


def _stages(found: Answer) -> Table:
    made = table("Stages: what rings after what", "", "who", "rings", "busy", "no answer", "unreachable")
    for each in stages(found):
        joint = " and " if each["together"] else ", else "
        who = joint.join(each["targets"]) or (f"{each['status']} {each['phrase']}" if each["status"] else "nobody")
        after = [f"→ {each[word]}" if each[word] else "end" for word in ("busy", "no_answer", "unreachable")]
        add(made, each["place"], who, f"{each['ring_s']} s" if each["targets"] else "", *after)
    return made


def _rejected(found: Answer) -> Table:
    made = table("Left out", "carrier", "rule", "prefix", "why")
    for choice in choices(found):
        if choice.why:
            add(made, choice.name, choice.rule_id or "", choice.prefix, choice.why)
    return made


def _levels(found: Answer) -> Table:
    columns = ("level", "side", "pays", "to", "tariff", "prefix", "a minute", "increments", "connect", "least")
    made = table("Prices of a call that is answered now", *columns, "60 s cost", "of its fund")
    names = {account.id: account.name for account in found.accounts.values()}
    for level in levels(found):
        if level.leg is None or found.call is None:
            continue
        leg, now_ms = level.leg, found.call.started_ms
        add(
            made,
            level.level,
            level.side,
            f"{level.account_id} {level.account}",
            f"{leg.payee_id} {names.get(leg.payee_id, '')}" if leg.payee_id else "",
            leg.tariff_id or "free",
            leg.prefix,
            " ".join((amount(leg.rate.per_min_micros, leg.currency), *changes(leg))),
            f"{leg.rate.first_s}/{leg.rate.next_s}",
            amount(leg.rate.connect_micros, leg.currency),
            amount(leg.rate.min_micros, leg.currency),
            f"{amount(cost(leg, MINUTE_S, now_ms), leg.currency)}{rounding(leg)}",
            f"{amount(charge(leg, MINUTE_S, now_ms))} {exchange_of(leg)}".rstrip(),
        )
    return made


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
    made = table("Funds", *columns)
    for purse in (each for each in purses if each.level or each.balance.terms):
        balance, terms = purse.balance, purse.balance.terms
        if not purse.level:  # a line's or a user's: it counts calls and has no money
            add(made, "", SIDES[purse.sides], balance.fund, *("",) * 5, calls(balance), "")
            continue
        if terms is None:
            add(made, purse.level, SIDES[purse.sides], balance.fund, "no terms", *("",) * 5, "nothing")
            continue
        add(
            made,
            purse.level,
            SIDES[purse.sides],
            balance.fund,
            amount(terms.cred_micros),
            amount(balance.charged_micros),
            amount(balance.held_micros),
            "unlimited" if terms.credit_limit_micros == UNLIMITED else amount(terms.credit_limit_micros),
            "unlimited" if purse.available_micros is None else amount(purse.available_micros),
            calls(balance),
            f"{purse.talk_s} s",
        )
    return made


def calls(balance: Balance) -> str:
    """Return how many calls a fund has and may have; those to it and from it where these are bounded."""
    terms = balance.terms
    if terms is None:
        return str(balance.channels)
    ways = (("in", balance.channels_in, terms.channels_in_max), ("out", balance.channels_out, terms.channels_out_max))
    bounded = [f"{way} {taken} of {most}" for way, taken, most in ways if most]
    return ", ".join((f"{balance.channels} of {terms.channels_max or '∞'}", *bounded))
