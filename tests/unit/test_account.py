"""Amounts, limits and times out of text: exact, or refused with the field, the value and the rule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.account.amounts import (
    MICROS_MAX,
    decimal,
    exact_micros,
    limit_count,
    limit_micros,
    micros,
    moment,
    signed_micros,
)
from tools.errors import OperatorError
from tools.exchange import NANOS_MAX, rate_of, shown

NOT_A_DECIMAL = [
    "",
    " ",
    "1,50",
    "1.000,50",
    "+5",
    "--5",
    "1e3",
    "1E5",
    "0x10",
    ".5",
    "5.",
    "0.0000001",
    "1.23456789",
    "９",
    "٣",
    "²",
    "1 000",
    "1_000",
    "NaN",
    "nan",
    "inf",
    "-Infinity",
    "5\n",
    "5 EUR",
    "€5",
    "five",
    "None",
    "1\x00",
]
TOO_MUCH = ["1125899906.842625", "1125899907", "99999999999999999999", "9" * 100]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.50", 12_500_000),
        ("0.000001", 1),
        ("7", 7_000_000),
        ("007", 7_000_000),
        ("0.1", 100_000),
        ("1125899906.842624", MICROS_MAX),
    ],
)
def test_a_decimal_string_becomes_exact_micros(text: str, expected: int) -> None:
    assert micros(text) == expected
    assert signed_micros(f"-{text}") == -expected


@pytest.mark.parametrize("text", [*NOT_A_DECIMAL, *TOO_MUCH, "-5", "-0.000001", "0", "0.00", "-0"])
def test_any_other_amount_is_refused_and_named(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^amount: ") as refusal:
        micros(text)
    assert text[:30] in str(refusal.value) or repr(text)[1:30] in str(refusal.value)


@pytest.mark.parametrize("text", [*NOT_A_DECIMAL, *TOO_MUCH, *(f"-{text}" for text in TOO_MUCH), "0", "0.00", "-0"])
def test_a_signed_amount_is_refused_alike(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^amount: "):
        signed_micros(text)


def test_the_refusal_says_which_rule_was_broken() -> None:
    for text, rule in (
        ("1,5", "'1,5' is not a decimal number such as 12.50, with at most 6 decimals"),
        ("-5", "-5 is not above 0"),
        ("0.00", "0.00 is not above 0"),
        ("1125899907", "is more than the most that can be moved, 1125899906.842624"),
        ("9" * 4_000, "'9999999999999999999999999999999999999999…' is more than"),
    ):
        with pytest.raises(OperatorError, match=rule):
            micros(text)


@given(st.text())
def test_no_text_at_all_becomes_anything_but_micros_or_a_refusal(text: str) -> None:
    try:
        value = exact_micros(text, "amount")
    except OperatorError as refusal:
        assert str(refusal).startswith("amount: ")  # noqa: PT017  either is right
        return
    assert abs(value) <= MICROS_MAX


@given(st.integers(-MICROS_MAX, MICROS_MAX), st.integers(0, 6))
def test_what_is_printed_can_be_typed(amount: int, scale: int) -> None:
    assert exact_micros(decimal(amount, scale), "amount") == amount


@pytest.mark.parametrize(
    ("amount", "scale", "text"),
    [
        (-1_500_000, 2, "-1.50"),
        (-1, 2, "-0.000001"),
        (12_000_000, 0, "12"),
        (12_500_000, 0, "12.5"),
        (0, 0, "0"),
        (0, 3, "0.000"),
        (1_000_000, 6, "1.000000"),
    ],
)
def test_an_amount_has_its_currency_s_decimals_and_is_never_rounded(amount: int, scale: int, text: str) -> None:
    assert decimal(amount, scale) == text


def test_no_limit_is_a_word_and_zero_only_where_it_is_meant() -> None:
    assert limit_micros("unlimited", "credit-limit", zero=True) is None
    assert limit_micros("0", "credit-limit", zero=True) == 0
    assert limit_count("unlimited", "channels", 100) == 0
    assert limit_count("100", "channels", 100) == 100
    with pytest.raises(OperatorError, match=r"^spend-day: 0 is not above 0; no limit is 'unlimited'"):
        limit_micros("0", "spend-day", zero=False)
    with pytest.raises(OperatorError, match=r"^credit-limit: -5 is not 0 or above; no limit is 'unlimited'"):
        limit_micros("-5", "credit-limit", zero=True)


@pytest.mark.parametrize("text", ["0", "-1", "101", "1.5", "1e1", "٣", "none", "", "9" * 20, "NaN"])
def test_a_count_is_a_whole_number_or_the_word(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^cps: .* is not a whole number from 1 to 100, or 'unlimited'"):
        limit_count(text, "cps", 100)


def test_a_time_without_a_zone_is_of_the_account_s() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    assert moment("2026-11-01", "from", berlin) == datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert moment("2026-11-01T08:30", "from", berlin) == datetime(2026, 11, 1, 7, 30, tzinfo=UTC)
    assert moment("2026-11-01T08:30+00:00", "from", berlin) == datetime(2026, 11, 1, 8, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"), [("90m", timedelta(minutes=90)), ("24h", timedelta(hours=24)), ("0h", timedelta())]
)
def test_a_time_so_long_ago(text: str, ago: timedelta) -> None:
    before = datetime.now(UTC)
    assert before <= moment(text, "from", ZoneInfo("Asia/Tokyo")) + ago <= datetime.now(UTC)


@pytest.mark.parametrize(("text", "days"), [("today", 0), ("yesterday", 1)])
def test_a_day_in_words_begins_at_its_own_midnight(text: str, days: int) -> None:
    """Of the zone, whatever it was away from UTC on that day."""
    berlin = ZoneInfo("Europe/Berlin")
    wanted = {at.astimezone(berlin).date() - timedelta(days=days) for at in [datetime.now(UTC)]}
    found = moment(text, "from", berlin)
    wanted |= {datetime.now(berlin).date() - timedelta(days=days)}  # midnight may have passed meanwhile
    assert found.date() in wanted
    assert (found.hour, found.minute, found.second) == (0, 0, 0)


@pytest.mark.parametrize(("text", "days"), [("7d", 7), ("2w", 14)])
def test_days_ago_are_calendar_days(text: str, days: int) -> None:
    """The same time of the day, also across a change of the clocks."""
    berlin = ZoneInfo("Europe/Berlin")
    before = datetime.now(berlin).replace(tzinfo=None)
    found = moment(text, "from", berlin).replace(tzinfo=None) + timedelta(days=days)
    assert before - timedelta(hours=1) <= found <= datetime.now(berlin).replace(tzinfo=None) + timedelta(hours=1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-13-01",
        "soon",
        "1e9",
        "999999w",
        "٣d",
        "-1h",
        "1h ago",
        "２０２６-01-01",
        "0001-01-01T00:00+14:00",
        "NaN",
    ],
)
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^from: .* is not a date such as 2026-11-01"):
        moment(text, "from", ZoneInfo("Asia/Tokyo"))


@pytest.mark.parametrize("text", ["1", "1.0825", "0.000000001", "157.25", "0.05"])
def test_an_exchange_rate_is_exact(text: str) -> None:
    assert shown(rate_of(text)) == text


@pytest.mark.parametrize(
    "text", ["0", "0.0", "-1", "1,08", "1e-3", "NaN", "inf", "0.0000000001", "9000000.000000001", "９", "", "1/3"]
)
def test_what_is_no_exchange_rate_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^rate: "):
        rate_of(text)


@given(st.integers(1, NANOS_MAX))
def test_every_rate_that_a_call_can_pin_can_be_typed(nanos: int) -> None:
    text = f"{nanos // 10**9}.{nanos % 10**9:09}"
    assert int(rate_of(text).scaleb(9)) == nanos
