"""Whatever a file holds, its reader ends with rates, faults, or one sentence; and what is written is read back."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tools.errors import OperatorError
from tools.imports import numbers, rate_rows, routes, source
from tools.imports.codes import DIGITS_MAX, Dialling
from tools.imports.faults import Faults
from tools.imports.rate_rows import RateRows, Reading
from tools.imports.table import Layout, opened
from tools.imports.values import Comma, DateOrder, Rounding

UTC = ZoneInfo("UTC")
HEADS = [
    "Code", "Country code", "Area code", "Rate", "Billing", "Date", "Status", "Min duration", "Setup", "Number", "Line",
    "Notes", "",
]  # fmt: skip
ODD = [
    "44", "4420-4425", "44 20;21", "+1 809", "0.01", "1,234", "1.2.3", "5E-99", "60/6", "60/1/1", "0/0/0", "01/02/2026",
    "2026-12-01", "99.99.9999", "31-Feb-2026", "blocked", "deleted", "now", "\x00", '"', "€", "-", "9" * 40,
    "1e400", "NaN", "²", "٣", "4420-9999999", "10000000-99999999", " ", "\u2028", "0000-12-31T23:59:59+23:59",
    "2099-12-31T23:59:59-23:59",
]  # fmt: skip
CELLS = st.sampled_from(ODD) | st.text(max_size=12) | st.text(st.sampled_from("0123456789.,;-/ +eE:"), max_size=20)
TABLES = st.tuples(
    st.lists(st.sampled_from(HEADS), min_size=1, max_size=7, unique=True),
    st.lists(st.lists(CELLS, max_size=8), max_size=6),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("imports") / "deck.csv"


def read(path: Path, data: bytes, kind: str) -> tuple[list[Any], Faults]:
    """Read a file of one of the kinds. Raises OperatorError."""
    path.write_bytes(data)
    faults = Faults()
    file = source.survey(path)
    makers = {"rates": rate_rows.KIND, "routes": routes.KIND, "numbers": numbers.KIND}
    table = opened(source.rows(file, "", faults), makers[kind], Layout({}))
    if kind == "rates":
        return list(RateRows(table, Reading("EUR", UTC), faults)), faults
    if kind == "routes":
        options = routes.Options("c", False, 50, DateOrder.unsaid, Dialling())
        return list(routes.RouteRows(table, options, UTC, faults)), faults
    return list(numbers.NumberRows(table, numbers.Options("a", "", False, 50, Dialling("", 3)), faults)), faults


def written(table: tuple[list[str], list[list[str]]], mark: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=mark).writerows([table[0], *table[1]])
    return text.getvalue().encode()


@pytest.mark.parametrize("kind", ["rates", "routes", "numbers"])
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()) | TABLES.map(written))
@example(data=b'Code,Rate\n"')
@example(data=b"\xff\xfe\x00")
@example(data=b"Code,Rate\r\r\n\x00,\n")
def test_never_a_trace(path: Path, kind: str, data: bytes) -> None:
    """Bytes, text and tables of half-sensible cells."""
    try:
        found, faults = read(path, data, kind)
    except OperatorError as error:
        assert "\n" not in str(error) or "\\n" in repr(data)  # noqa: PT017  a heading may have one
        return
    assert all(fault.rule for fault in faults.first)
    assert faults.count == 0 or found is not None


@given(
    st.dictionaries(
        st.from_regex(rf"[1-9][0-9]{{0,{DIGITS_MAX - 1}}}", fullmatch=True),
        st.integers(0, 10**12),
        min_size=1,
        max_size=20,
    ),
    st.sampled_from(",;\t|"),
    st.booleans(),
)
def test_what_is_written_is_read(path: Path, deck: dict[str, int], mark: str, comma: bool) -> None:
    """Every price and code comes back exactly, with any delimiter, with a decimal comma too."""
    prices = {prefix: f"{micros // 10**6}.{micros % 10**6:06}" for prefix, micros in deck.items()}
    rows = [[prefix, text.replace(".", ",") if comma else text] for prefix, text in prices.items()]
    path.write_bytes(written((["Prefix", "Price"], rows), mark))
    faults = Faults()
    table = opened(source.rows(source.survey(path), mark, faults), rate_rows.KIND, Layout({}))
    reading = Reading("EUR", UTC, None, Comma.decimal if comma else Comma.auto, Rounding.exact)
    rates = RateRows(table, reading, faults)
    found = [(row.prefixes, row.price) for row in rates]
    numbered = {number: price.per_min_micros for price, number in rates.prices.items()}
    assert faults.count == 0
    assert {prefixes[0]: numbered[number] for prefixes, number in found} == deck
