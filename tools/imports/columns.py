"""Which column is what: by its heading, in the words of several languages, or as --map says."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from tools.errors import OperatorError

_UNIT: Final = re.compile(r"[(\[].*?[)\]]")
_PER: Final = re.compile(r"\b(per|pro|par|в|za|за)?\s*(minute|min|minuta|мин|минуту|минута)\b")
CURRENCY_CODE: Final = re.compile(r"(?<![A-Za-z])([A-Z]{3})(?![A-Za-z])")
SHOWN: Final = 12
UNNAMED: Final = "column {}"

Synonyms = Mapping[str, Sequence[str]]


class Columns(NamedTuple):
    """Where each field of a kind of file stands. places: field -> place in the row, from 0. names: place -> heading."""

    places: Mapping[str, int]
    names: Sequence[str]

    def has(self, field: str) -> bool:
        """Tell whether there is such a column."""
        return field in self.places

    def name(self, field: str) -> str:
        """Return what the file calls it; the field's own name where no column has it."""
        return self.names[self.places[field]] if field in self.places else field


def folded(heading: str) -> str:
    """Return a heading as synonyms have it: small letters without accents, and one blank between words."""
    plain = unicodedata.normalize("NFKD", _UNIT.sub(" ", heading)).casefold()
    kept = "".join(char if char.isalnum() else " " for char in plain if not unicodedata.combining(char))
    return " ".join(kept.split())


def parse_map(words: Iterable[str], synonyms: Synonyms) -> dict[str, str]:
    """Return field -> column of --map field=column; an empty column: the field is not read. Raises OperatorError."""
    found: dict[str, str] = {}
    for word in words:
        field, equals, column = word.partition("=")
        if not equals or field not in synonyms:
            raise OperatorError(f"--map: {word[:60]!r} is not name=column with one of the names {', '.join(synonyms)}")
        if field in found:
            raise OperatorError(f"--map: {field} is given twice")
        found[field] = column.strip()
    return found


def find(heading: Sequence[str], synonyms: Synonyms, mapped: Mapping[str, str]) -> Columns:
    """Return the columns of a heading. Raises OperatorError for two that are the same, or a mapped one not there."""
    places = _mapped(heading, mapped)
    taken = set(places.values())
    by_word = {folded(word): field for field, words in synonyms.items() for word in (field, *words)}
    for place, name in enumerate(heading):
        field = None if place in taken else _field(name, by_word)
        if field is None or field in mapped:
            continue
        if field in places:
            other = heading[places[field]]
            raise OperatorError(f"columns {other!r} and {name!r} could both be {field}; say --map {field}={name!r}")
        places[field] = place
    return Columns(places, [name.strip() or UNNAMED.format(place + 1) for place, name in enumerate(heading)])


def without_heading(width: int, mapped: Mapping[str, str]) -> Columns:
    """Return the columns of a file that has no heading: --map gives their numbers, from 1. Raises OperatorError."""
    heading = [UNNAMED.format(place + 1) for place in range(width)]
    return Columns(_mapped(heading, mapped), heading)


def _field(name: str, by_word: Mapping[str, str]) -> str | None:
    """Return what a heading means, also with a unit or a currency beside it: "Rate USD/min"."""
    plain = folded(name)
    return (
        by_word.get(plain)
        or by_word.get(folded(CURRENCY_CODE.sub(" ", name)))
        or by_word.get(" ".join(_PER.sub(" ", folded(CURRENCY_CODE.sub(" ", name))).split()))
    )


def _mapped(heading: Sequence[str], mapped: Mapping[str, str]) -> dict[str, int]:
    """Return field -> place of what --map says, by heading or by number."""
    places: dict[str, int] = {}
    names = [name.strip().casefold() for name in heading]
    for field, column in mapped.items():
        if not column:
            continue
        if column.casefold() in names:
            places[field] = names.index(column.casefold())
        elif column.isascii() and column.isdecimal() and 1 <= int(column[:9]) <= len(heading):
            places[field] = int(column) - 1
        else:
            there = ", ".join(repr(name) for name in heading[:SHOWN])
            raise OperatorError(f"--map: {field}: there is no column {column[:60]!r}; there are {there}")
    return places
