"""What each row of a price list says: codes, from when on, and a price. Pure but for what it remembers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, tzinfo
from typing import Final, NamedTuple

from tools.errors import OperatorError
from tools.imports import values, words
from tools.imports.codes import Dialling, codes
from tools.imports.columns import CURRENCY_CODE
from tools.imports.faults import Faults
from tools.imports.source import Row
from tools.imports.table import CellError, Kind, Table, read
from tools.imports.values import Comma, DateOrder, Increments, Rounding

PRICES_MAX: Final = 65_536  # idx_is_0_to_65535
REMOVED: Final = -1
_REMEMBERED: Final = 1 << 17

KIND: Final = Kind(
    words.RATES, needs=(("prefix", "area_code", "country_code"), ("price", "forbidden", "action"))
)  # fmt: skip
_PRICED: Final = (
    "price", "increments", "first_s", "next_s", "least_s", "connect", "minimum", "forbidden", "action", "currency",
)  # fmt: skip


class Price(NamedTuple):
    """A price class, as tandem.rate_class has it."""

    per_min_micros: int
    first_s: int
    next_s: int
    connect_micros: int
    forbidden: bool
    min_micros: int


class Reading(NamedTuple):
    """How the cells of a price list are meant. steps: of rows that do not say their increments.

    in_cents: whether prices are in hundredths; None = nobody said, so no heading may say so either.
    """

    currency: str
    zone: tzinfo
    since: datetime | None = None
    comma: Comma = Comma.auto
    rounding: Rounding = Rounding.exact
    dates: DateOrder = DateOrder.unsaid
    steps: Increments = Increments(1, 1)
    in_cents: bool | None = None
    dialling: Dialling = Dialling()


class Rate(NamedTuple):
    """One row. price: idx of a price, or REMOVED. since: None = from the import on."""

    line: int
    prefixes: Sequence[str]
    since: datetime | None
    price: int


class RateRows:
    """Reads the rows of a price list, and numbers the different prices in it."""

    def __init__(self, table: Table, reading: Reading, faults: Faults) -> None:
        """Read a table. Raises OperatorError for columns that contradict each other or the tariff."""
        self.prices: dict[Price, int] = {}
        self.lines = 0
        self._table = table
        self._reading = reading
        self._faults = faults
        self._known: dict[tuple[str, ...], int] = {}
        self._priced = [table.columns.places[field] for field in _PRICED if table.columns.has(field)]
        self.code = "prefix" if table.columns.has("prefix") else "area_code"
        self._country = "country_code"
        if not table.columns.has(self.code):
            self.code, self._country = "country_code", ""
        self._check_columns()

    def __iter__(self) -> Iterator[Rate]:
        """Yield what the rows say; those that are wrong become faults. Raises OperatorError for too many prices."""
        for row in self._table.rows:
            self.lines += 1
            try:
                yield self._rate(row)
            except CellError as error:
                name = self._table.columns.name(error.field) if error.field else ""
                self._faults.add(row.line, name, error.value, error.rule)

    def _check_columns(self) -> None:
        columns = self._table.columns
        if columns.has("prefix") and columns.has("country_code"):
            first, second = columns.name("country_code"), columns.name("prefix")
            raise OperatorError(
                f"columns {first!r} and {second!r}: if codes are whole, say --map country_code= ;"
                f" if they follow the country's, --map area_code={second!r}"
            )
        if not columns.has("price"):
            return
        said = columns.name("price")
        code = next((code for code in CURRENCY_CODE.findall(said) if code in words.CURRENCIES), "")
        if code and code != self._reading.currency:
            raise OperatorError(f"currency: the column {said!r} is in {code}, the tariff in {self._reading.currency}")
        if self._reading.in_cents is None and _CENTS.search(said):
            raise OperatorError(f"price: the column {said!r} seems to be in cents; say --cents or --no-cents")

    def _rate(self, row: Row) -> Rate:
        table = self._table
        table.check_width(row)
        country = table.cell(row, self._country) if self._country else ""
        text = table.cell(row, self.code)
        if (
            self._country == "country_code"
            and self.code == "area_code"
            and not country
            and table.columns.has("country_code")
        ):
            raise CellError("country_code", country, "a country code is missing")
        prefixes = read(self.code, text, lambda cell: codes(cell, country, self._reading.dialling))
        return Rate(row.line, prefixes, self._since(row), self._price_of(row))

    def _since(self, row: Row) -> datetime | None:
        text = self._table.cell(row, "from")
        if not text:
            return self._reading.since
        return read("from", text, lambda cell: values.moment(cell, self._reading.dates, self._reading.zone))

    def _price_of(self, row: Row) -> int:
        """Return the number of a row's price. Most rows have one that was read before."""
        cells = tuple([row.cells[place] for place in self._priced if place < len(row.cells)])
        known = self._known.get(cells)
        if known is None:
            price = self._parsed({field: self._table.cell(row, field) for field in _PRICED})
            known = REMOVED if price is None else self.prices.setdefault(price, len(self.prices))
            if len(self.prices) > PRICES_MAX:
                raise OperatorError(
                    f"file: up to line {row.line} it has more than the {PRICES_MAX} different prices of a deck"
                )
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[cells] = known
        return known

    def _parsed(self, cells: dict[str, str]) -> Price | None:
        """Return what the cells of a row say of its price; None: the code goes."""
        if cells["currency"] and cells["currency"].upper() != self._reading.currency:
            raise CellError("currency", cells["currency"], f"prices are in {self._reading.currency}")
        said = {_word(field, cells[field]) for field in ("price", "forbidden", "action") if cells[field]}
        if "removed" in said:
            return None
        if "forbidden" in said:
            return Price(0, 1, 1, 0, True, 0)
        if not cells["price"]:
            raise CellError("price", "", "a price is missing")
        steps = self._steps(cells)
        return Price(
            self._micros("price", cells), steps.first_s, steps.next_s, self._micros("connect", cells), False,
            self._micros("minimum", cells),
        )  # fmt: skip

    def _micros(self, field: str, cells: dict[str, str]) -> int:
        reading = self._reading
        if not cells[field]:
            return 0
        divisor = 100 if reading.in_cents else 1
        return read(
            field, cells[field],
            lambda cell: values.micros(cell, reading.comma, reading.rounding, reading.currency, divisor),
        )  # fmt: skip

    def _steps(self, cells: dict[str, str]) -> Increments:
        """Return a row's increments, from one column or from several."""
        steps = (
            read("increments", cells["increments"], values.increments) if cells["increments"] else self._reading.steps
        )
        first = read("first_s", cells["first_s"], values.seconds) if cells["first_s"] else steps.first_s
        following = read("next_s", cells["next_s"], values.seconds) if cells["next_s"] else steps.next_s
        steps = read("first_s", cells["first_s"], lambda _: values.counted(first, following))
        if not cells["least_s"]:
            return steps
        return read("least_s", cells["least_s"], lambda cell: values.least(steps, values.seconds(cell)))


_CENTS: Final = re.compile(r"\b(cents?|ct|¢)(?![a-z])", re.IGNORECASE)


def _word(field: str, text: str) -> str:
    """Return what a word says: removed, forbidden, or "" for nothing of the kind. Raises CellError."""
    word = " ".join(text.casefold().split())
    if word in words.REMOVED:
        return "removed"
    if word in words.FORBIDDEN or (field == "forbidden" and word in words.TRUE):
        return "forbidden"
    if field == "price" or word in words.KEPT or word in words.FALSE:
        return ""
    rule = (
        "yes or no, or a word such as blocked or open"
        if field == "forbidden"
        else "a word such as new, increase, unchanged or deleted"
    )
    raise CellError(field, text, f"is {rule}; --map {field}= leaves the column out")
