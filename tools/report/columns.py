"""What a report is made of: columns, and cells that know their kind, so that each output can write them its own way."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum, auto
from typing import NamedTuple


class Kind(Enum):
    """What stands in a column."""

    TEXT = auto()  # somebody's: a name, a number
    WORD = auto()  # one of ours, which catalogues know
    MOMENT = auto()
    DAY = auto()
    MONTH = auto()  # its first day
    COUNT = auto()
    SECONDS = auto()
    MINUTES = auto()  # of seconds
    SHARE = auto()  # Ratio, of 1
    MEAN = auto()  # Ratio, seconds
    MONEY = auto()  # Money
    CURRENCY = auto()


class Money(NamedTuple):
    """Amounts by currency; {} = there is none."""

    micros: Mapping[str, int]


class Ratio(NamedTuple):
    """A quotient that is not divided yet; of zero things there is none."""

    above: int
    below: int


Cell = str | int | date | datetime | Money | Ratio | None


class Column(NamedTuple):
    """A column. key: its name for programs, for ever. heading: in English. is_shown: to people, too.

    is_of_line: it says what a line is of, so people read "(none)" where it is empty.
    """

    key: str
    heading: str
    kind: Kind
    is_shown: bool = True
    is_of_line: bool = False


class Sheet(NamedTuple):
    """What is printed before the rows. head: key -> value for programs; title, subtitle: for people, translated.

    has_total: the totals are a line of the table, below the others.
    """

    title: str
    subtitle: str
    head: Mapping[str, str | int]
    columns: tuple[Column, ...]
    has_total: bool = False
