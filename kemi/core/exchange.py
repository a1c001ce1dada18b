"""Exchange rates: what a tariff in one currency costs a fund in another, and carriers against prices.

Rule 1: a leg is exchanged by the rate entered for exactly its two currencies, the newest that has begun when the call
begins. Nothing is inverted or crossed there: somebody decided what is paid.
Rule 2: where amounts are only compared, the rate of the opposite direction does as well.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from kemi.core.draft import Draft
from kemi.core.rating import NANOS, exchanged
from kemi.records import ExchangeRate

_DEAREST: Final = 2**63  # sorts after every rate


def nanos_for(draft: Draft, base: str, quote: str) -> int:
    """Return what 10^9 units of `base` cost in units of `quote`; 0 where nobody has said so."""
    exchange = draft.known.exchange()
    rates = exchange.rates if exchange else ()
    place = bisect_right(rates, ExchangeRate(base, quote, draft.call.received_ms, _DEAREST))
    rate = rates[place - 1] if place else None
    return rate.nanos if rate and (rate.base, rate.quote) == (base, quote) and rate.nanos > 0 else 0


def compared(draft: Draft, micros: int, base: str, quote: str) -> int | None:
    """Return about what `micros` of `base` are in `quote`, rounded up; None where no rate says."""
    if base == quote:
        return micros
    nanos = nanos_for(draft, base, quote)
    if nanos:
        return exchanged(micros, nanos)
    inverse = nanos_for(draft, quote, base)
    return -(-micros * NANOS // inverse) if inverse else None


def amount(nanos: int) -> str:
    """Return an exchange rate as people write it: "0.92"."""
    whole, part = divmod(nanos, NANOS)
    return f"{whole}.{part:09}".rstrip("0").rstrip(".")
