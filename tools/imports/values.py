"""What carriers write in a cell, exactly or refused: prices, increments, moments, words. Pure.

Every function takes the text of a cell, without blanks around it; BadValueError says which rule it breaks.
They remember what they have read: a deck of a million rows has some thousand different cells.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from functools import lru_cache
from typing import Final, NamedTuple

from tools.imports import words
from tools.imports.faults import BadValueError

MICROS: Final = 1_000_000
MICROS_MAX: Final = 1_000_000 * MICROS  # a_minute_costs_at_most_a_million_units
SECONDS_MAX: Final = 3600  # first_s_is_1_to_3600
YEARS: Final = range(2000, 2100)
_REMEMBERED: Final = 1 << 16
_DIGITS_MAX: Final = 30


class Comma(StrEnum):
    """What a comma is in a number."""

    auto = "auto"
    decimal = "decimal"
    thousands = "thousands"


class Rounding(StrEnum):
    """What becomes of a price with more than six decimals."""

    exact = "exact"
    up = "up"
    nearest = "nearest"


class DateOrder(StrEnum):
    """Which of two small numbers in a date is the day."""

    unsaid = "unsaid"
    dmy = "dmy"
    mdy = "mdy"


class Increments(NamedTuple):
    """How talk is counted: `first_s` at once, then steps of `next_s`."""

    first_s: int
    next_s: int


_CURRENCY: Final = re.compile(r"^([A-Z]{3}|[€$£₽])\s*(?=[0-9.,])|(?<=[0-9.,])\s*([A-Z]{3}|[€$£₽])$")
_SYMBOLS: Final = {"€": "EUR", "£": "GBP", "₽": "RUB"}  # a dollar may be anybody's
_SPACES: Final = str.maketrans("", "", "\u00a0\u202f\u2009 '’")
_POINT: Final = re.compile(r"[0-9]{0,12}(?:\.[0-9]{0,20})?")
_SCIENTIFIC: Final = re.compile(r"([0-9](?:[.,][0-9]{1,15})?)[eE]-([0-9]{1,2})")
_GROUPS: Final = {mark: re.compile(rf"[0-9]{{1,3}}(?:\{mark}[0-9]{{3}})+") for mark in ".,"}
_NOT_A_PRICE: Final = "a price is a number such as 0.0125 or 0,0125"
_BELOW_ZERO: Final = re.compile(r"[-\u2212]\s*[0-9.,]+|\(\s*[0-9.,]+\s*\)|[0-9.,]+\s*-")
_INCREMENTS: Final = re.compile(
    r"(0|[1-9][0-9]{0,4})\s*(?:s|sec)?" + 2 * r"(?:\s*[/+:x-]\s*(0|[1-9][0-9]{0,4})\s*(?:s|sec)?)?", re.IGNORECASE
)  # fmt: skip
_INCREMENT_WORDS: Final = {
    "per second": Increments(1, 1), "second": Increments(1, 1),
    "per minute": Increments(60, 60), "minute": Increments(60, 60),
}  # fmt: skip
_NUMERIC_DATE: Final = re.compile(
    r"([0-9]{1,4})([./-])([0-9]{1,2})\2([0-9]{2,4})(?:[ T]+([0-9]{1,2}):([0-9]{2})(?::([0-9]{2}))?)?"
)
_WORDED: Final = re.compile(
    r"([0-9]{1,2})[ -]+([A-Za-z]{3,9})\.?,?[ -]+([0-9]{4})|([A-Za-z]{3,9})\.?[ -]+([0-9]{1,2}),?[ -]+([0-9]{4})"
)
_MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTHS_OF_A_YEAR: Final = 12
_NOT_A_DATE: Final = "a date is such as 2026-12-01, 2026-12-01 08:00, 01.12.2026 or 1-Dec-2026, or the word now"


@lru_cache(_REMEMBERED)
def micros(text: str, comma: Comma, rounding: Rounding, currency: str, divisor: int = 1) -> int:
    """Return the micros of a price. currency: what may stand beside it. divisor: 100 where prices are in cents."""
    digits = _without_currency(text, currency)
    if _BELOW_ZERO.fullmatch(digits.strip()):
        raise BadValueError("a price is not below 0")
    match = _SCIENTIFIC.fullmatch(digits)
    if match:
        exact = Decimal(match[1].replace(",", ".")).scaleb(-int(match[2]))
    else:
        exact = Decimal(_pointed(digits.translate(_SPACES), comma))
    scaled = exact * MICROS / divisor
    whole = int(scaled)
    if whole != scaled:
        if rounding is Rounding.exact:
            raise BadValueError("a price has at most 6 decimals; --round up or --round nearest takes more")
        whole += rounding is Rounding.up or scaled - whole >= Decimal("0.5")
    if whole > MICROS_MAX:
        raise BadValueError(f"a price is at most {MICROS_MAX // MICROS}")
    return whole


def _without_currency(text: str, currency: str) -> str:
    """Return the number beside a currency; only the right one may be there."""
    match = _CURRENCY.search(text)
    if match is None:
        return text
    said = match[1] or match[2]
    if said == "$" and not currency.endswith("D"):
        raise BadValueError(f"prices are in {currency}")
    if said != "$" and _SYMBOLS.get(said, said) != currency:
        raise BadValueError(f"prices are in {currency}")
    return text[: match.start()] + text[match.end() :]


def _pointed(text: str, comma: Comma) -> str:
    """Return a number with a decimal point and nothing else."""
    if not 0 < len(text) <= _DIGITS_MAX:
        raise BadValueError(_NOT_A_PRICE)
    point = _decimal_mark(text, comma)
    group = "," if point == "." else "."
    whole, _, part = text.partition(point)
    if group in whole:
        if not _GROUPS[group].fullmatch(whole):
            raise BadValueError(_NOT_A_PRICE)
        whole = whole.replace(group, "")
    plain = f"{whole or '0'}.{part}" if part else whole
    if not plain or not _POINT.fullmatch(plain):
        raise BadValueError(_NOT_A_PRICE)
    return plain


def _decimal_mark(text: str, comma: Comma) -> str:
    """Return which mark is the decimal one. Raises BadValueError where nobody can tell."""
    if comma is not Comma.auto:
        return "," if comma is Comma.decimal else "."
    commas, points = text.count(","), text.count(".")
    if commas and points:
        return "," if text.rindex(",") > text.rindex(".") else "."
    if points > 1:
        return ","
    if commas > 1 or not commas:
        return "."
    whole, _, part = text.partition(",")
    if len(part) == 3 and whole.strip("0"):  # noqa: PLR2004  a group of thousands
        raise BadValueError("1,234 is read in two ways; say --comma decimal or --comma thousands")
    return ","


@lru_cache(_REMEMBERED)
def seconds(text: str) -> int:
    """Return a number of seconds, 0 to 3600; 60 and 60s."""
    digits = text.lower().removesuffix("sec").removesuffix("s").strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 5 or int(digits) > SECONDS_MAX:  # noqa: PLR2004
        raise BadValueError(f"seconds are a whole number up to {SECONDS_MAX}")
    return int(digits)


@lru_cache(_REMEMBERED)
def increments(text: str) -> Increments:
    """Return increments: 60/6, 1+1, 60 (of 60), or three parts, least/first/next, such as 60/1/1."""
    known = _INCREMENT_WORDS.get(text.lower())
    if known:
        return known
    match = _INCREMENTS.fullmatch(text)
    if match is None:
        raise BadValueError("increments are such as 60/6, 1/1 or 60/1/1, in seconds")
    first, second, third = (None if part is None else int(part) for part in match.groups())
    assert first is not None  # noqa: S101  the pattern wants it
    if third is not None and second is not None:
        return least(counted(second, third), first)
    return counted(first, first if second is None else second)


def counted(first_s: int, next_s: int) -> Increments:
    """Return increments within their bounds."""
    if not (1 <= first_s <= SECONDS_MAX and 1 <= next_s <= SECONDS_MAX):
        raise BadValueError(f"an increment is 1 to {SECONDS_MAX} seconds")
    return Increments(first_s, next_s)


def least(steps: Increments, least_s: int) -> Increments:
    """Return increments that charge at least so many seconds; these must be a whole number of steps."""
    if least_s <= steps.first_s:
        return steps
    if (least_s - steps.first_s) % steps.next_s:
        raise BadValueError(f"at least {least_s} s is no whole number of steps of {steps.first_s}/{steps.next_s}")
    return counted(least_s, steps.next_s)


@lru_cache(_REMEMBERED)
def moment(text: str, order: DateOrder, zone: tzinfo) -> datetime | None:
    """Return a date (its first moment) or date and time, in UTC; None for the word now. zone: what it is written in."""
    if text.lower() in words.NOW:
        return None
    try:
        found = _dated(text, order)
        return (found if found.tzinfo else found.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadValueError(_NOT_A_DATE) from error


def _dated(text: str, order: DateOrder) -> datetime:
    """Return a date as it is written. Raises ValueError and BadValueError."""
    match = _NUMERIC_DATE.fullmatch(text)
    if match and len(match[1]) <= 2:  # noqa: PLR2004  not a year
        found = _ordered(match, order)
    elif match:
        found = datetime(int(match[1]), int(match[3]), int(match[4]), *_time(match))  # noqa: DTZ001
    elif worded := _WORDED.fullmatch(text):
        day, month, year = worded.groups()[:3] if worded[1] else (worded[5], worded[4], worded[6])
        found = datetime(int(year), _MONTHS.index(month[:3].lower()) + 1, int(day))  # noqa: DTZ001
    else:
        found = datetime.fromisoformat(text)
    if found.year not in YEARS:
        raise BadValueError(f"a date lies in the years {YEARS[0]} to {YEARS[-1]}")
    return found


def _ordered(match: re.Match[str], order: DateOrder) -> datetime:
    """Return a date whose year comes last. A point says that the day comes first; a slash says nothing."""
    first, second, year = int(match[1]), int(match[3]), int(match[4])
    if len(match[4]) != 4:  # noqa: PLR2004
        raise BadValueError("a year has four digits")
    unsaid = order is DateOrder.unsaid and match[2] != "."
    if unsaid and first != second and max(first, second) <= _MONTHS_OF_A_YEAR:
        raise BadValueError("this date is read in two ways; say --dates dmy or --dates mdy")
    month_first = order is DateOrder.mdy or (unsaid and second > _MONTHS_OF_A_YEAR)
    day, month = (second, first) if month_first else (first, second)
    return datetime(year, month, day, *_time(match))  # noqa: DTZ001


def _time(match: re.Match[str]) -> tuple[int, int, int]:
    return int(match[5] or 0), int(match[6] or 0), int(match[7] or 0)


@lru_cache(_REMEMBERED)
def flag(text: str) -> bool:
    """Return what a word such as yes, no, 1 or 0 says; nothing is no."""
    word = text.lower()
    if word in words.TRUE:
        return True
    if word in words.FALSE:
        return False
    raise BadValueError("is yes or no")
