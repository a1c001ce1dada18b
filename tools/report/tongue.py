"""The language of a report: its words from a catalogue, its numbers and dates as that language writes them.

Rule 1: the words are English in the code and in `locale/<language>.po` for the others; a catalogue is read as it is
written, so there is nothing to compile or to forget. A test holds the two together.
Rule 2: amounts are exact: at least the decimals of their currency, at most six, never rounded.
"""

from __future__ import annotations

import gettext
import io
from collections.abc import Sequence
from datetime import date, datetime, tzinfo
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

from babel import Locale, UnknownLocaleError
from babel.dates import format_date, format_datetime, format_skeleton
from babel.lists import format_list
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal

from tools.account.amounts import MICROS
from tools.errors import OperatorError
from tools.session import shown
from tools.tenant.kinds import LANGUAGES

ENGLISH: Final = "en"
WORLDWIDE: Final = Locale(ENGLISH, "GB")  # of English without a region: day, month, year and 24 hours
CATALOGUES: Final = Path(__file__).parent / "locale"
DECIMALS_MAX: Final = 6
MINUTE_S: Final = 60


class Tongue(NamedTuple):
    """One language and region, and the account's clock. words: its catalogue."""

    locale: Locale
    words: gettext.NullTranslations
    zone: tzinfo

    @property
    def language(self) -> str:
        """The code of the language, without its region."""
        return str(self.locale.language)

    def text(self, message: str) -> str:
        """Return an English text in this language; itself where the catalogue does not have it."""
        return self.words.gettext(message) if message else ""

    def plural(self, one: str, many: str, number: int) -> str:
        """Return the text for so many; `%(n)s` in it is the number as it is written here."""
        return self.words.ngettext(one, many, number) % {"n": self.number(number)}

    def titled(self, title: str, value: str) -> str:
        """Return an English title in this language and, after its colon, what it is of: `Coût : 0,06 EUR`."""
        return self.text("%(title)s: %(value)s") % {"title": self.text(title), "value": value}

    def number(self, value: int) -> str:
        """Return a whole number with its groups."""
        return str(format_decimal(value, locale=self.locale))

    def rounded(self, value: Decimal, decimals: int) -> str:
        """Return a number with so many decimals, at least one."""
        return str(format_decimal(value, format=f"#,##0.{'0' * decimals}", locale=self.locale))

    def percent(self, share: Decimal) -> str:
        """Return a share of 1 as a percentage with one decimal."""
        plain = str(self.locale.percent_formats[None].pattern)
        return str(format_decimal(share, format=plain.replace("#,##0", "#,##0.0"), locale=self.locale))

    def amount(self, micros: int, scale: int) -> str:
        """Return micros exactly. scale: decimals shown at least."""
        pattern = f"#,##0.{'0' * scale}{'#' * (DECIMALS_MAX - scale)}"
        return str(format_decimal(Decimal(micros) / MICROS, format=pattern, locale=self.locale))

    def moment(self, at: datetime) -> str:
        """Return a date and time by the account's clock."""
        return str(format_datetime(at, "medium", tzinfo=self.zone, locale=self.locale))

    def day(self, day: date) -> str:
        """Return a date."""
        return str(format_date(day, "medium", locale=self.locale))

    def month(self, day: date) -> str:
        """Return the month of a date."""
        return str(format_skeleton("yMMMM", datetime(day.year, day.month, 1, tzinfo=self.zone), locale=self.locale))

    def listed(self, names: Sequence[str]) -> str:
        """Return names as a list: `a, b and c`."""
        return str(format_list(list(names), locale=self.locale))


def msg(message: str) -> str:
    """Return the message as it is: it names a text for the catalogues where none can be looked up yet."""
    return message


def tongue(code: str, zone: tzinfo, *, is_asked: bool) -> Tongue:
    """Return a language by its code, such as fr, fr-CA or fr_FR; English where there is no catalogue of it.

    is_asked: somebody typed it: one without a catalogue is an error. Raises OperatorError.
    """
    code = code.replace("_", "-")
    language = code.partition("-")[0].lower()
    try:
        locale = (
            WORLDWIDE if code.lower() == ENGLISH else Locale.parse(code if language in LANGUAGES else ENGLISH, sep="-")
        )
    except (ValueError, UnknownLocaleError):
        language, locale = "", WORLDWIDE
    if language in LANGUAGES:
        return Tongue(locale, _words(language), zone)
    if is_asked:
        raise OperatorError(
            f"language: {shown(code)} is not one of {', '.join(LANGUAGES)}, with or without a region: fr-CA"
        )
    return Tongue(WORLDWIDE, _words(ENGLISH), zone)


@cache
def _words(language: str) -> gettext.NullTranslations:
    """Return a catalogue, compiled in memory."""
    if language == ENGLISH:
        return gettext.NullTranslations()
    with (CATALOGUES / f"{language}.po").open("rb") as file:
        catalogue = read_po(file, locale=language, abort_invalid=True)
    compiled = io.BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return gettext.GNUTranslations(compiled)
