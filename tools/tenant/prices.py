"""Price lists as values, and as they stand in a file: how the two turn into each other, without a database.

A price list is what a rate set holds. It is equal to another when every call costs the same by both and its periods
have the same names: how rows share price classes, and in which order, says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from tools.account.amounts import MICROS, exact_micros
from tools.errors import OperatorError
from tools.session import shown
from tools.tenant import week
from tools.tenant.faults import Faults, Place
from tools.tenant.model import FaultError
from tools.tenant.yaml_tree import Entries, Items, Node, Text

FORBIDDEN: Final = "forbidden"
PRICE_MAX: Final = 1_000_000 * MICROS
SECONDS_MAX: Final = 3600
PERIODS_MAX: Final = 16

_PREFIX: Final = re.compile("[1-9][0-9]{0,14}")
_SECONDS: Final = re.compile("[0-9]{1,4}")
_LABEL: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f]{1,64}")
_PRICE_KEYS: Final = ("per_minute", "first_s", "next_s", "connect", "minimum", "periods")
_PERIOD_KEYS: Final = ("per_minute", "connect")
_AMOUNT: Final = f"an amount from 0 to {PRICE_MAX // MICROS} with at most 6 decimals, such as 0.0250"


class Period(NamedTuple):
    """Times of the week with prices of their own. parts: merged, of at least a minute."""

    name: str
    parts: tuple[week.Part, ...]


class PeriodPrice(NamedTuple):
    """What a call costs in a period, in micros."""

    period: str
    per_minute: int
    connect: int


class Price(NamedTuple):
    """What calls cost, in micros and seconds. periods: by the name of the period, in the order of names."""

    per_minute: int
    first_s: int = 1
    next_s: int = 1
    connect: int = 0
    minimum: int = 0
    forbidden: bool = False
    periods: tuple[PeriodPrice, ...] = ()


class PriceList(NamedTuple):
    """periods: of those that fit at a moment the first counts. rates: prefix -> price."""

    periods: tuple[Period, ...]
    rates: Mapping[str, Price]


def read(faults: Faults, node: Node, place: Place) -> PriceList | None:
    """Return the price list that a file says: {periods: [...], rates: {prefix: price}}; None after a fault."""
    if not isinstance(node, Entries):
        faults.add(place, "is not a price list: {rates: {prefix: price}}")
        return None
    for key, _ in node.pairs:
        if key.value not in {"periods", "rates"}:
            faults.add(place.at(key.line), f"unknown key {shown(key.value)}; a price list has periods and rates")
    periods = _periods(faults, node.get("periods"), place)
    said = node.get("rates")
    if not isinstance(said, Entries):
        faults.add(place.at(node.line, "rates"), "is not a mapping of prefixes to prices")
        return None
    rates: dict[str, Price] = {}
    names = {period.name for period in periods}
    for prefix, price in said.pairs:
        here = place.at(prefix.line, f"rate {shown(prefix.value)}")
        if not _PREFIX.fullmatch(prefix.value):
            faults.add(here, "the prefix is not 1 to 15 digits, the first 1-9")
        elif found := _price(faults, price, names, here):
            rates[prefix.value] = found
    return PriceList(tuple(periods), rates)


def _periods(faults: Faults, node: Node | None, place: Place) -> Sequence[Period]:
    if node is None:
        return ()
    if not isinstance(node, Items) or len(node.nodes) > PERIODS_MAX:
        faults.add(place.at(node.line, "periods"), f"is not a list of at most {PERIODS_MAX} {{name: …, times: […]}}")
        return ()
    found: dict[str, Period] = {}
    for each in node.nodes:
        here = place.at(each.line, "periods")
        name, times = (each.get("name"), each.get("times")) if isinstance(each, Entries) else (None, None)
        if not isinstance(each, Entries) or len(each.pairs) != 2 or not isinstance(name, Text):  # noqa: PLR2004
            faults.add(here, "is not {name: …, times: […]}")
        elif not _LABEL.fullmatch(name.value) or name.value != name.value.strip():
            faults.add(here, f"name {shown(name.value)} is not 1 to 64 printable characters, no blanks at the ends")
        elif name.value in found:
            faults.add(here, f"period {shown(name.value)} is said twice")
        else:
            found[name.value] = Period(name.value, read_times(faults, times, here.at(each.line, shown(name.value))))
    return list(found.values())


def read_times(faults: Faults, node: Node | None, place: Place) -> tuple[week.Part, ...]:
    """Return the parts of the week that a list of texts says; () after a fault."""
    if not isinstance(node, Items) or not node.nodes:
        faults.add(place, f"times are not a list of {week.RULE}")
        return ()
    parts: list[week.Part] = []
    for each in node.nodes:
        text = each.value if isinstance(each, Text) else ""
        try:
            parts += week.parts_of(text)
        except FaultError as error:
            faults.add(place.at(each.line, "times"), f"{shown(text)} {error}")
        except ValueError as error:
            faults.add(place.at(each.line, "times"), f"{shown(text)} is not {error}")
    return week.merged(parts)


def _price(faults: Faults, node: Node, periods: set[str], place: Place) -> Price | None:
    """Return a price: the word forbidden, an amount per minute, or a mapping; None after a fault."""
    if isinstance(node, Text):
        if node.value == FORBIDDEN:
            return Price(0, forbidden=True)
        per_minute = _amount(faults, node, place)
        return None if per_minute is None else Price(per_minute)
    if not isinstance(node, Entries):
        faults.add(place, f"a price is {_AMOUNT}, the word {FORBIDDEN}, or a mapping of {', '.join(_PRICE_KEYS)}")
        return None
    _refuse_other_keys(faults, node, _PRICE_KEYS, place)
    if node.get("per_minute") is None:
        faults.add(place, f"has no per_minute, which is {_AMOUNT}")
        return None
    return Price(
        _amount_at(faults, node, "per_minute", place),
        first_s=_seconds(faults, node.get("first_s"), place, "first_s"),
        next_s=_seconds(faults, node.get("next_s"), place, "next_s"),
        connect=_amount_at(faults, node, "connect", place),
        minimum=_amount_at(faults, node, "minimum", place),
        periods=_period_prices(faults, node.get("periods"), periods, place),
    )


def _period_prices(faults: Faults, node: Node | None, periods: set[str], place: Place) -> tuple[PeriodPrice, ...]:
    if node is None:
        return ()
    if not isinstance(node, Entries):
        faults.add(place.at(node.line, "periods"), "is not a mapping of a period's name to its price")
        return ()
    found = []
    for name, price in node.pairs:
        here = place.at(name.line, f"period {shown(name.value)}")
        if name.value not in periods:
            faults.add(here, "is none of the periods of this price list")
        elif isinstance(price, Text):
            found.append(PeriodPrice(name.value, _amount(faults, price, here) or 0, 0))
        elif isinstance(price, Entries) and price.get("per_minute") is not None:
            _refuse_other_keys(faults, price, _PERIOD_KEYS, here)
            amounts = {key: _amount_at(faults, price, key, here) for key in _PERIOD_KEYS}
            found.append(PeriodPrice(name.value, **amounts))
        else:
            faults.add(here, f"is not {_AMOUNT}, nor {{per_minute: …, connect: …}}")
    return tuple(sorted(found))


def _refuse_other_keys(faults: Faults, node: Entries, known: Sequence[str], place: Place) -> None:
    for key, _ in node.pairs:
        if key.value not in known:
            faults.add(place.at(key.line), f"unknown key {shown(key.value)}; known are {', '.join(known)}")


def _amount_at(faults: Faults, node: Entries, key: str, place: Place) -> int:
    found = node.get(key)
    return 0 if found is None else _amount(faults, found, place.at(found.line, key)) or 0


def _amount(faults: Faults, node: Node, place: Place) -> int | None:
    """Return micros; None after a fault."""
    text = node.value if isinstance(node, Text) else ""
    try:
        value = exact_micros(text, "")
    except OperatorError:
        value = -1
    if 0 <= value <= PRICE_MAX:
        return value
    faults.add(place, f"{shown(text)} is not {_AMOUNT}")
    return None


def _seconds(faults: Faults, node: Node | None, place: Place, key: str) -> int:
    if node is None:
        return 1
    text = node.value if isinstance(node, Text) else ""
    if _SECONDS.fullmatch(text) and 1 <= int(text) <= SECONDS_MAX:
        return int(text)
    faults.add(place.at(node.line, key), f"{shown(text)} is not a whole number of seconds from 1 to {SECONDS_MAX}")
    return 1


def written(prices: PriceList) -> dict[str, Any]:
    """Return a price list as a file says it; amounts as Decimal."""
    periods = [{"name": period.name, "times": week.shown(period.parts)} for period in prices.periods]
    rates = {prefix: written_price(prices.rates[prefix]) for prefix in sorted(prices.rates)}
    return {**({"periods": periods} if periods else {}), "rates": rates}


def written_price(price: Price) -> Any:
    """Return a price as a file says it, as short as it can be said."""
    if price == Price(0, forbidden=True):
        return FORBIDDEN
    said: dict[str, Any] = {"per_minute": _decimal(price.per_minute)}
    said |= {key: value for key in ("first_s", "next_s") if (value := getattr(price, key)) != 1}
    said |= {key: _decimal(value) for key in ("connect", "minimum") if (value := getattr(price, key))}
    if price.periods:
        said["periods"] = {each.period: _written_period(each) for each in price.periods}
    return said["per_minute"] if len(said) == 1 else said


def _written_period(price: PeriodPrice) -> Any:
    if not price.connect:
        return _decimal(price.per_minute)
    return {"per_minute": _decimal(price.per_minute), "connect": _decimal(price.connect)}


def _decimal(value: int) -> Decimal:
    return Decimal(value).scaleb(-6)


def differences(before: PriceList | None, after: PriceList) -> tuple[int, int, int]:
    """Return how many prefixes are new, cost something else, and are gone; other periods change every price."""
    old = {} if before is None else before.rates
    same_periods = before is None or before.periods == after.periods
    changed = sum(
        1 for prefix, price in after.rates.items() if prefix in old and (old[prefix] != price or not same_periods)
    )
    return len(after.rates.keys() - old.keys()), changed, len(old.keys() - after.rates.keys())
