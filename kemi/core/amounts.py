"""Amounts as people write them: exact decimals with their currency, for traces and tools."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

MICROS: Final = 1_000_000
AMOUNTS_MAX: Final = 4_096  # kept as text per process: the prices of a tariff are few, and told in every trace


@lru_cache(maxsize=AMOUNTS_MAX)
def amount(micros: int, currency: str = "") -> str:
    """Return an amount of micros for people: "0.012 EUR", at least two decimals, never rounded."""
    whole, part = divmod(abs(micros), MICROS)
    decimals = f"{part:06}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}{whole}.{decimals} {currency}".rstrip()


def per_minute(micros: int, currency: str) -> str:
    """Return a price of a minute for people: "0.012 EUR/min"."""
    return f"{amount(micros, currency)}/min"
