"""Codes as carriers list them: 4420, 44 20;21;22, 4420-4425, with 00 or + before them, or a country and its areas.

A blank never parts two codes: it parts a country code from what follows, "44 20" is 4420. Lists are parted by ; , /
or |. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from tools.imports.faults import BadValueError

DIGITS_MAX: Final = 15  # prefix_is_1_to_15_digits
EXPANDED_MAX: Final = 10_000  # codes that one cell may stand for
COUNTRY_MAX: Final = 3  # digits of a country code
_PARTS: Final = re.compile(r"[;,/|\n]")
_RANGE: Final = re.compile(r"\s*[-–—]\s*|\s+to\s+", re.IGNORECASE)
_SCIENTIFIC: Final = re.compile(r"[0-9][.,]?[0-9]*[eE]\+?[0-9]+")
_NOT_A_CODE: Final = "a code is digits, such as 4420; several are parted by ; and a range is 4420-4425"
_TOO_MANY: Final = f"a cell stands for at most {EXPANDED_MAX} codes"


class Dialling(NamedTuple):
    """How the numbers of a file begin. strip: what is taken off first, such as a technical prefix 9911#."""

    strip: str = ""
    least_digits: int = 1


def codes(text: str, country: str, dialling: Dialling) -> Sequence[str]:
    """Return the codes of a cell, each 1 to 15 digits. country: of another column, "" = there is none.

    An empty cell beside a country stands for the country. Raises BadValueError.
    """
    if (
        not country
        and text.isdigit()
        and text.isascii()
        and text[0] != "0"
        and not dialling.strip
        and len(text) <= DIGITS_MAX
    ):
        if len(text) < dialling.least_digits:
            raise BadValueError(f"a number has at least {dialling.least_digits} digits")
        return (text,)
    return list(_all(text, country, dialling))


def _all(text: str, country: str, dialling: Dialling) -> Iterator[str]:
    base = _international(country, dialling) if country else ""
    if base and not base.isdigit():
        raise BadValueError("a country code is digits")
    if base and not text:
        yield _checked(base, dialling)
        return
    parts = [part.strip() for part in _PARTS.split(text)]
    made = 0
    shared = base or _shared_country(parts, dialling)
    for part in parts:
        if not part:
            continue  # a ; at the end
        for code in _expanded(part, shared, dialling, own_country=not base):
            made += 1
            if made > EXPANDED_MAX:
                raise BadValueError(_TOO_MANY)
            yield code
    if not made:
        raise BadValueError("a code is missing")


def _shared_country(parts: Sequence[str], dialling: Dialling) -> str:
    """Return the country code that the first of several parts sets apart by a blank, for the parts after it."""
    first, rest = parts[0], parts[1:]
    words = _RANGE.split(first)[0].split()
    return _international(words[0], dialling) if rest and len(words) > 1 else ""


def _expanded(part: str, shared: str, dialling: Dialling, *, own_country: bool) -> Iterator[str]:
    """Yield the codes of one part of a list: a code, or a range of codes of the same length."""
    ends = _RANGE.split(part)
    if len(ends) > 2:  # noqa: PLR2004  two ends
        raise BadValueError(_NOT_A_CODE)
    first = _joined(ends[0], shared, dialling, own_country=own_country)
    if len(ends) == 1:
        yield _checked(first, dialling)
        return
    split_country = _country_of(ends[0]) if own_country else ""
    last = _joined(ends[1], split_country or shared, dialling, own_country=own_country)
    first, last = _checked(first, dialling), _checked(last, dialling)
    if len(first) != len(last) or first > last:
        raise BadValueError("a range goes up, and both of its ends have as many digits")
    if int(last) - int(first) >= EXPANDED_MAX:
        raise BadValueError(_TOO_MANY)
    for code in range(int(first), int(last) + 1):
        yield str(code)


def _country_of(end: str) -> str:
    words = end.split()
    return words[0].removeprefix("+").removeprefix("00") if len(words) > 1 else ""


def _joined(text: str, shared: str, dialling: Dialling, *, own_country: bool) -> str:
    """Return the digits of a code; what it shares comes first, unless it has a country code of its own."""
    words = text.split()
    if not words:
        raise BadValueError(_NOT_A_CODE)
    if len(words) == 1:
        if not shared or (own_country and words[0].startswith("+")):
            return _international(words[0], dialling)
        if own_country and words[0].startswith(shared):
            raise BadValueError(f"{words[0]} is read in two ways, with {shared} before it and without; begin it with +")
        return shared + words[0]
    if not own_country:
        raise BadValueError("a blank stands in a code whose country has a column of its own; part codes by ;")
    words[0] = _international(words[0], dialling)
    if len(words[0]) > COUNTRY_MAX:
        raise BadValueError("a blank parts a country code of 1 to 3 digits from the rest; part codes by ;")
    return "".join(words)


def _international(text: str, dialling: Dialling) -> str:
    """Return a number without what is dialled before it."""
    text = text.strip().removeprefix(dialling.strip)
    return text[1:] if text.startswith("+") else text.removeprefix("00")


def _checked(code: str, dialling: Dialling) -> str:
    if not (code.isdigit() and code.isascii()):
        if _SCIENTIFIC.fullmatch(code):
            raise BadValueError(
                "a spreadsheet has cut this number short; give the column the format Text and save again"
            )
        raise BadValueError(_NOT_A_CODE)
    if code[0] == "0":
        raise BadValueError("a code begins with a country code, 1 to 9")
    if not dialling.least_digits <= len(code) <= DIGITS_MAX:
        least = dialling.least_digits
        raise BadValueError(f"a {'code' if least == 1 else 'number'} has {least} to {DIGITS_MAX} digits")
    return code
