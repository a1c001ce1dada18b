"""Tariffs, their prices and when these hold, and exchange rates."""

from __future__ import annotations

from typing import NamedTuple


class Deck(NamedTuple):
    """From valid_from_ms (Unix time) on, this rate set is in force; 0 = from then on the tariff has no prices."""

    valid_from_ms: int
    rate_set_id: int


class Tariff(NamedTuple):
    """`tar:<id>`: which immutable rate sets are in force, and how prices come out of them.

    rate_set_id: in force until the first of `decks`; these rise in time, and the last one that has begun when the call
    begins is in force. timezone: IANA name, of its periods. rounding: of the price of a call, to whole multiples of
    round_to_micros (1 … 1 unit): "up", "down", "half_up", "half_even". onnet: which calls between lines of ours cost
    what rate_set_id says: "free" (none), "other" (to another customer), "all". inbound_rate_set_id: what is paid for
    calls TO a number, by the longest prefix of that number; 0 = nothing.
    """

    id: int
    account_id: int
    name: str
    currency: str
    rate_set_id: int
    timezone: str = "UTC"
    rounding: str = "up"
    round_to_micros: int = 1
    onnet: str = "free"
    inbound_rate_set_id: int = 0
    decks: tuple[Deck, ...] = ()


class PeriodPrice(NamedTuple):
    """The price of a minute and of an answer while a period of the rate set lasts. period: its place there, from 0."""

    period: int
    per_min_micros: int
    connect_micros: int = 0


class Rate(NamedTuple):
    """A price class of a rate set. Charged: connect fee, then first_s, then each begun next_s; at least min_micros.

    first_s, next_s: 1…3600. per_min_micros ≥ 0, in the tariff's currency. forbidden: nobody may call this.
    min_micros: of an answered call. periods: other prices at other times of the week.
    """

    per_min_micros: int
    first_s: int = 1
    next_s: int = 1
    connect_micros: int = 0
    forbidden: bool = False
    min_micros: int = 0
    periods: tuple[PeriodPrice, ...] = ()


class Span(NamedTuple):
    """A part of the week, in minutes since Monday 00:00 of the tariff's time zone: from_min ≤ now < to_min ≤ 10080."""

    from_min: int
    to_min: int


class Period(NamedTuple):
    """Times of the week that have prices of their own.

    Of several that fit, the first of the rate set counts that a class has a price for.
    """

    name: str
    spans: tuple[Span, ...]


class RateSet(NamedTuple):
    """`rset:<id>`: the price classes of an immutable rate set. The prefixes stand in the hash `rate:<id>`.

    layers: whose hashes hold its prefixes, newest first, itself the first; () = its own alone. Per field of a hash (the
    first 1 … 4 digits) the first layer that has it decides, whole; an empty bucket there = the field is gone.
    """

    id: int
    rates: tuple[Rate, ...]
    periods: tuple[Period, ...] = ()
    layers: tuple[int, ...] = ()


class ExchangeRate(NamedTuple):
    """From valid_from_ms on, one unit of `base` costs `nanos` / 10^9 units of `quote`. 1 ≤ nanos < 2^53."""

    base: str
    quote: str
    valid_from_ms: int
    nanos: int


class Exchange(NamedTuple):
    """`fx`: every exchange rate in force or to come, by base, quote and time."""

    rates: tuple[ExchangeRate, ...]


class Band(NamedTuple):
    """A price that holds until until_ms (Unix time; 0 = for ever), from the end of the band before it."""

    until_ms: int
    per_min_micros: int
    connect_micros: int = 0
