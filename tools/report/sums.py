"""Sums of amounts in several currencies."""

from __future__ import annotations

from collections.abc import Mapping

from tools.report.columns import Money


class Sums:
    """What has been added up so far, per currency; whole micros, of any size."""

    def __init__(self) -> None:
        self._micros: dict[str, int] = {}

    def add(self, amounts: Mapping[str, int], sign: int = 1) -> None:
        """Add amounts, or take them away with sign −1."""
        for currency, micros in amounts.items():
            self._micros[currency] = self._micros.get(currency, 0) + sign * int(micros)

    @property
    def money(self) -> Money:
        """The sums, by currency in the order of their codes."""
        return Money(dict(sorted(self._micros.items())))


def money(amounts: Mapping[str, int] | None) -> Money:
    """Return amounts as Postgres gives them, in the order of the currencies' codes."""
    return Money({currency: int(micros) for currency, micros in sorted((amounts or {}).items())})
