"""Amounts in and out of text: exact, or refused with the field, the value and the rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools.account import MICROS_MAX, decimal, micros
from tools.errors import OperatorError


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12.50", 12_500_000), ("0.000001", 1), ("7", 7_000_000), ("0.1", 100_000), ("1125899906.842624", MICROS_MAX)],
)
def test_a_decimal_string_becomes_exact_micros(text: str, expected: int) -> None:
    assert micros(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "1,50", "-5", "+5", "1e3", ".5", "5.", "0.0000001", "0", "0.00", "1125899906.842625", "９", "1 000", "NaN"],
)
def test_anything_else_is_refused_and_named(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^amount: "):
        micros(text)


@given(st.integers(1, MICROS_MAX))
def test_what_is_printed_can_be_typed(amount: int) -> None:
    assert micros(decimal(amount)) == amount


def test_a_debt_is_printed_with_its_sign() -> None:
    assert decimal(-1_500_000) == "-1.50"
    assert decimal(-1) == "-0.000001"
