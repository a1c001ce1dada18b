"""The words, numbers and dates of reports in each language, and that no catalogue lacks any."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po

from tools.errors import OperatorError
from tools.report import tongue as module
from tools.report.places import place
from tools.report.subject import _zone
from tools.report.tongue import CATALOGUES, Tongue, tongue
from tools.tenant.kinds import LANGUAGES

SOURCES: Final = sorted(Path(module.__file__).parent.glob("*.py"))
KEYWORDS: Final = {"msg": None, "text": None, "plural": (1, 2)}
FIELD: Final = re.compile(r"%\(\w+\)s")
PARIS: Final = ZoneInfo("Europe/Paris")
AT: Final = datetime(2026, 11, 22, 11, 25, 15, tzinfo=UTC)
TRANSLATED: Final = tuple(code for code in LANGUAGES if code != "en")


def in_language(code: str) -> Tongue:
    return tongue(code, PARIS, is_asked=True)


def messages_of_code() -> set[str | tuple[str, ...]]:
    found: set[str | tuple[str, ...]] = set()
    for path in SOURCES:
        with path.open("rb") as file:
            found.update(message for _, message, _, _ in extract("python", file, keywords=KEYWORDS))
    return found


def catalogue(code: str) -> Catalog:
    with (CATALOGUES / f"{code}.po").open("rb") as file:
        return read_po(file, locale=code, abort_invalid=True)


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_catalogue_has_every_text_of_the_code_and_no_other(code: str) -> None:
    """So none is left in English, and none is kept that nobody says."""
    assert {message.id for message in catalogue(code) if message.id} == messages_of_code()


@pytest.mark.parametrize("code", TRANSLATED)
def test_a_translation_is_whole(code: str) -> None:
    """Every plural form is there, with the same fields as in English, and nothing is a guess."""
    made = catalogue(code)
    for message in made:
        if not message.id:
            continue
        forms = message.string if isinstance(message.string, tuple) else (message.string,)
        assert len(forms) == (made.num_plurals if message.pluralizable else 1), message.id
        english = str(message.id if isinstance(message.id, str) else message.id[0])
        assert not message.fuzzy, message.id
        for form in forms:
            assert form, message.id
            assert sorted(FIELD.findall(str(form))) == sorted(FIELD.findall(english)), message.id


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("en", ("0 calls", "1 call", "2 calls", "5 calls", "21 calls", "12,345 calls")),
        ("fr", ("0 appel", "1 appel", "2 appels", "5 appels", "21 appels", "12\u202f345 appels")),
        ("ru", ("0 вызовов", "1 вызов", "2 вызова", "5 вызовов", "21 вызов", "12\xa0345 вызовов")),
    ],
)
def test_plurals_are_those_of_the_language(code: str, told: tuple[str, ...]) -> None:
    """French counts none as one, Russian has three forms."""
    speaks = in_language(code)
    assert tuple(speaks.plural("%(n)s call", "%(n)s calls", number) for number in (0, 1, 2, 5, 21, 12_345)) == told


@pytest.mark.parametrize(
    ("code", "amount", "percent", "moment", "day", "month"),
    [
        ("en", "-1,234.56789", "45.7%", "22 Nov 2026, 12:25:15", "22 Nov 2026", "November 2026"),
        ("EN", "-1,234.56789", "45.7%", "22 Nov 2026, 12:25:15", "22 Nov 2026", "November 2026"),
        ("en-US", "-1,234.56789", "45.7%", "Nov 22, 2026, 12:25:15\u202fPM", "Nov 22, 2026", "November 2026"),
        ("fr", "-1\u202f234,56789", "45,7\xa0%", "22 nov. 2026, 12:25:15", "22 nov. 2026", "novembre 2026"),
        ("fr_FR", "-1\u202f234,56789", "45,7\xa0%", "22 nov. 2026, 12:25:15", "22 nov. 2026", "novembre 2026"),
        (
            "ru",
            "-1\xa0234,56789",
            "45,7\xa0%",
            "22 нояб. 2026\u202fг., 12:25:15",
            "22 нояб. 2026\u202fг.",
            "ноябрь 2026\u202fг.",
        ),
    ],
)
def test_numbers_and_dates_are_those_of_the_language(
    code: str, amount: str, percent: str, moment: str, day: str, month: str
) -> None:
    """By the account's clock; an amount is never rounded."""
    speaks = in_language(code)
    assert speaks.amount(-1_234_567_890, 2) == amount
    assert speaks.percent(Decimal("0.4567")) == percent
    assert speaks.moment(AT) == moment
    assert speaks.day(date(2026, 11, 22)) == day
    assert speaks.month(date(2026, 11, 1)) == month


@pytest.mark.parametrize(("code", "told"), [("en", "Cost: 1"), ("fr", "Coût\xa0: 1"), ("ru", "Списано: 1")])
def test_a_colon_stands_as_the_language_sets_it(code: str, told: str) -> None:
    """French has a space before it that no line ends at."""
    assert in_language(code).titled("Cost", "1") == told


@pytest.mark.parametrize(
    ("micros", "scale", "told"),
    [(60_000, 2, "0.06"), (1, 2, "0.000001"), (1_500_000, 0, "1.5"), (2_000_000, 2, "2.00")],
)
def test_amounts_have_the_decimals_of_their_currency_at_least(micros: int, scale: int, told: str) -> None:
    """And six at most."""
    assert in_language("en").amount(micros, scale) == told


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ("44", "Royaume-Uni"),
        ("1204", "États-Unis et Canada"),
        ("1809", "République dominicaine"),
        ("7", "Russie"),
        ("77", "Kazakhstan"),
        ("390669", "Italie"),
        ("888", ""),
        ("9", ""),
        ("", ""),
    ],
)
def test_a_prefix_is_called_by_its_country(prefix: str, told: str) -> None:
    """One of several with the same code only where the digits say so."""
    assert place(prefix, in_language("fr")) == told


def test_a_language_without_a_catalogue() -> None:
    """An error for who types it, English for an account that has it."""
    for code in ("de", "xx-YY", "nonsense", ""):
        with pytest.raises(OperatorError, match="is not one of en, fr, ru"):
            in_language(code)
        assert tongue(code, PARIS, is_asked=False).language == "en"


def test_a_time_zone_that_this_machine_does_not_know() -> None:
    """Postgres may know more of them."""
    with pytest.raises(OperatorError, match="timezone: 'Nowhere/Town' is not known on this machine"):
        _zone("Nowhere/Town")
