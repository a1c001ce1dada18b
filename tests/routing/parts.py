"""The small parts of a world's records, each from one thing or one word of the text."""

from __future__ import annotations

from decimal import Decimal

from kemi.records import (
    ExchangeRate,
    HuntRule,
    InboundRule,
    Period,
    PeriodPrice,
    Rate,
    RateSet,
    ReplyOverride,
    RewriteRule,
    Status,
)
from tests.routing.entities import Entities, Entity
from tests.routing.moments import micros, rate, spans


def rate_set(it: Entity, set_id: int, prices: dict[str, str]) -> RateSet:
    """Return a rate set, one class a prefix. Times `cheap=…` have a price of a minute of their own: `cheap33=0.001`."""
    cheap = it.by_prefix("cheap")
    rates: list[Rate] = []
    for prefix, text in prices.items():
        at = (PeriodPrice(0, micros(cheap[prefix])),) if prefix in cheap else ()
        rates.append(rate(text)._replace(periods=at))
    return RateSet(set_id, tuple(rates), (Period("cheap", spans(it.text("cheap"))),) if cheap else ())


def numbered(entities: Entities) -> dict[tuple[str, str], int]:
    """Return the numbers of all things: accounts from 1, lines from 51, carriers from 101, their servers from 1011."""
    begin = {"account": 1, "line": 51, "domain": 81, "carrier": 101, "timeset": 701, "barring": 801}
    begin |= {"user": 601, "group": 621, "flow": 641, "media": 661}
    ids: dict[tuple[str, str], int] = {}
    count: dict[str, int] = {}
    for kind, name in entities:
        if kind in begin:
            count[kind] = count.get(kind, 0) + 1
            ids[kind, name] = begin[kind] + count[kind] - 1
    for entity in entities.values():
        if entity.kind == "server":
            group = entity.name.partition("/")[0]
            count[group] = count.get(group, 0) + 1
            ids["server", entity.name] = ids["carrier", group] * 10 + count[group]
        if entity.kind == "rewrite":
            ids.setdefault(("rewrite set", entity.text("of")), 901 + sum(kind == "rewrite set" for kind, _ in ids))
    return ids


def status(it: Entity) -> int:
    """Return the status of an account, a line or a number."""
    return Status[it.text("status", "active").upper()]


def reply(text: str) -> ReplyOverride:
    """Return a tenant's own answer: `locked:480:Phrase`."""
    reason, status, phrase = text.split(":")
    return ReplyOverride(reason, int(status), phrase)


def inbound_rule(it: Entity) -> InboundRule:
    """Return a filter on a carrier's INVITEs."""
    field, _, part = it.values[0].partition(".")
    return InboundRule(
        int(it.name), it.number("priority", 1), field, part, it.values[1], it.number("code"), it.text("phrase")
    )


def rewrite_rule(it: Entity) -> RewriteRule:
    """Return a rule of a rewrite set; its number is its place."""
    return RewriteRule(int(it.name), int(it.name), it.values[1], it.values[2])


def hunt_rule(text: str) -> HuntRule:
    """Return a line of a server's table: `503:stop[:486[:Phrase]]`."""
    status, action, *told = text.split(":")
    return HuntRule(int(status), action, int(told[0]) if told else 0, told[1] if len(told) > 1 else "")


def exchange_rate(it: Entity) -> ExchangeRate:
    """Return what one unit of the first currency costs in the second: `usd-eur 0.9`."""
    base, quote = it.name.upper().split("-")
    return ExchangeRate(base, quote, 0, int(Decimal(it.values[0]) * 1_000_000_000))
