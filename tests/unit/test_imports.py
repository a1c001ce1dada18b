"""What carriers write in their files, cell by cell: read exactly, or refused by the rule."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tools.errors import OperatorError
from tools.imports import columns, source, values, words
from tools.imports.codes import Dialling, codes
from tools.imports.faults import BadValueError, Faults
from tools.imports.rate_rows import KIND, REMOVED, Price, RateRows, Reading
from tools.imports.table import Layout, opened
from tools.imports.values import Comma, DateOrder, Increments, Rounding

PARIS = ZoneInfo("Europe/Paris")
UTC = ZoneInfo("UTC")
PLAIN = Layout({})


def refused(function: Callable[..., Any], *arguments: object) -> str:
    with pytest.raises(BadValueError) as refusal:
        function(*arguments)
    return str(refusal.value)


def price(text: str, comma: Comma = Comma.auto, rounding: Rounding = Rounding.exact) -> int:
    return values.micros(text, comma, rounding, "EUR")


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0.012", 12_000), ("0,012", 12_000), ("12", 12_000_000), (".5", 500_000), ("0.00400000", 4_000),
        ("1.234,5", 1_234_500_000), ("1,234.5", 1_234_500_000), ("1 234,50", 1_234_500_000),
        ("1'234.50", 1_234_500_000),
        ("0.01 EUR", 10_000), ("EUR 0.01", 10_000), ("€0,01", 10_000), ("5E-04", 500), ("1.2E-5", 12),
        ("0,25", 250_000),
    ],
)  # fmt: skip
def test_prices_are_exact(text: str, micros: int) -> None:
    assert price(text) == micros


def test_what_a_comma_is_can_be_said() -> None:
    assert price("1,234", Comma.decimal) == 1_234_000
    assert price("1,234", Comma.thousands) == 1_234_000_000
    assert "two ways" in refused(price, "1,234")


def test_more_decimals_are_rounded_only_on_demand() -> None:
    assert "at most 6 decimals" in refused(price, "0.0123454")
    assert price("0.0123454", Comma.auto, Rounding.up) == 12_346
    assert price("0.0123454", Comma.auto, Rounding.nearest) == 12_345
    assert values.micros("1.2", Comma.auto, Rounding.exact, "EUR", 100) == 12_000


@pytest.mark.parametrize(
    "text", ["-1", "", "1,2,3", "1.2.3", "٣", "1e5", "nan", "inf", "0x1", "1_0", "--", "1" * 31, "USD"]
)
def test_what_is_no_price(text: str) -> None:
    assert "a price is" in refused(price, text)


@pytest.mark.parametrize("text", ["$0.01", "0.01 USD", "£1", "1₽"])
def test_prices_are_in_the_tariffs_currency(text: str) -> None:
    assert refused(price, text) == "prices are in EUR"
    assert values.micros("$0.01", Comma.auto, Rounding.exact, "CAD") == 10_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4420", ["4420"]), ("+4420", ["4420"]), ("004420", ["4420"]), ("4420-4422", ["4420", "4421", "4422"]),
        ("44 20;21;22", ["4420", "4421", "4422"]), ("44 20-22", ["4420", "4421", "4422"]),
        ("4420, 4421", ["4420", "4421"]),
        ("4420;", ["4420"]), ("0044 20; 0033 1", ["4420", "331"]), ("44 20;+331", ["4420", "331"]),
        ("44 20 - 44 21", ["4420", "4421"]), ("44 20;22-23", ["4420", "4422", "4423"]),
        ("4420/4421|4422", ["4420", "4421", "4422"]),
    ],
)  # fmt: skip
def test_codes(text: str, expected: list[str]) -> None:
    assert list(codes(text, "", Dialling())) == expected


def test_codes_of_a_country() -> None:
    assert list(codes("20;21-22", "44", Dialling())) == ["4420", "4421", "4422"]
    assert list(codes("", "+44", Dialling())) == ["44"]
    assert list(codes("06", "39", Dialling())) == ["3906"]
    assert list(codes("9911#4420", "", Dialling("9911#"))) == ["4420"]


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("1-809", "as many digits"), ("4425-4420", "goes up"), ("4420-442599", "as many digits"),
        ("020", "begins with"),
        ("4.42E+11", "spreadsheet"), ("4420 4421", "a blank parts"), ("-", "a code is digits"), (";", "missing"),
        ("", "missing"),
        ("1234567890123456", "1 to 15 digits"), ("44a", "a code is digits"), ("٤٤", "a code is digits"),
        ("1-2-3", "a code is digits"),
        ("10000000-29999999", "at most 10000"), ("44 20;4421", "two ways"), ("1-", "a code is digits"),
    ],
)  # fmt: skip
def test_what_is_no_code(text: str, rule: str) -> None:
    assert rule in refused(codes, text, "", Dialling())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("60/6", (60, 6)), ("60/1/1", (60, 1)), ("0/60/60", (60, 60)), ("1/1", (1, 1)), ("60", (60, 60)),
        ("1+1", (1, 1)),
        ("60s/6s", (60, 6)), ("30-6", (30, 6)), ("per second", (1, 1)), ("12/6/6", (12, 6)),
    ],
)  # fmt: skip
def test_increments(text: str, expected: tuple[int, int]) -> None:
    assert values.increments(text) == Increments(*expected)


@pytest.mark.parametrize(
    ("text", "rule"), [("60/7/7", "whole number of steps"), ("x", "60/6"), ("3601/1", "3600"), ("0", "1 to 3600")]
)
def test_what_are_no_increments(text: str, rule: str) -> None:
    assert rule in refused(values.increments, text)


@pytest.mark.parametrize(
    ("text", "iso"),
    [
        ("2026-12-01", "2026-11-30T23:00:00+00:00"), ("2026-12-01 08:00", "2026-12-01T07:00:00+00:00"),
        ("01.12.2026", "2026-11-30T23:00:00+00:00"), ("13/12/2026", "2026-12-12T23:00:00+00:00"),
        ("12/13/2026", "2026-12-12T23:00:00+00:00"), ("1-Dec-2026", "2026-11-30T23:00:00+00:00"),
        ("Dec 1, 2026", "2026-11-30T23:00:00+00:00"), ("2026-12-01T00:00:00Z", "2026-12-01T00:00:00+00:00"),
    ],
)  # fmt: skip
def test_moments(text: str, iso: str) -> None:
    found = values.moment(text, DateOrder.unsaid, PARIS)
    assert found
    assert found.isoformat() == iso


def test_moments_that_need_to_be_said() -> None:
    assert values.moment("ASAP", DateOrder.unsaid, UTC) is None
    assert "two ways" in refused(values.moment, "01/12/2026", DateOrder.unsaid, UTC)
    for order, month in ((DateOrder.dmy, 12), (DateOrder.mdy, 1)):
        found = values.moment("01/12/2026", order, UTC)
        assert found
        assert found.month == month


@pytest.mark.parametrize("text", ["31.02.2026", "1999-01-01", "01.12.26", "46357", "soon", "9999-12-31", "1-Foo-2026"])
def test_what_is_no_moment(text: str) -> None:
    assert "date" in refused(values.moment, text, DateOrder.unsaid, UTC) or "year" in refused(
        values.moment, text, DateOrder.unsaid, UTC
    )


def test_headings_in_many_words() -> None:
    heads = ["Destination", " Dial Code ", "Rate (USD/min)", "Effective Date", "Billing Increment", "Setup fee"]
    found = columns.find(heads, words.RATES, {})
    assert found.places == {"prefix": 1, "price": 2, "from": 3, "increments": 4, "connect": 5}
    heads = ["Направление", "Код", "Цена, RUB/мин", "Дата начала", "Первый интервал"]
    russian = columns.find(heads, words.RATES, {})
    assert russian.places == {"prefix": 1, "price": 2, "from": 3, "first_s": 4}
    assert columns.find(["Préfixe", "Prix/minute"], words.RATES, {}).places == {"prefix": 0, "price": 1}


def test_maps_of_columns() -> None:
    mapped = columns.parse_map(["price=Peak", "from=", "prefix=1"], words.RATES)
    assert columns.find(["Code", "Rate", "Peak", "Date"], words.RATES, mapped).places == {"price": 2, "prefix": 0}
    for given, sentence in (
        (["colour=1"], "is not name=column"),
        (["price"], "is not name=column"),
        (["price=1", "price=2"], "given twice"),
    ):
        with pytest.raises(OperatorError, match=sentence):
            columns.parse_map(given, words.RATES)
    with pytest.raises(OperatorError, match="there is no column 'Off-peak'; there are 'Code', 'Rate'"):
        columns.find(["Code", "Rate"], words.RATES, {"price": "Off-peak"})
    with pytest.raises(OperatorError, match="could both be price; say --map"):
        columns.find(["Code", "Rate", "New rate"], words.RATES, {})


def read(tmp_path: Path, data: bytes, layout: Layout = PLAIN, **said: Any) -> tuple[list[Any], Faults, RateRows]:
    path = tmp_path / "deck.csv"
    path.write_bytes(data)
    faults = Faults()
    table = opened(source.rows(source.survey(path), "", faults), KIND, layout)
    rates = RateRows(table, Reading("EUR", UTC, **said), faults)
    found = list(rates)
    named: dict[int, Price | None] = {REMOVED: None, **{number: each for each, number in rates.prices.items()}}
    return [(row.line, list(row.prefixes), named[row.price]) for row in found], faults, rates


def test_a_deck_below_a_letterhead(tmp_path: Path) -> None:
    """Blank rows do not count, and lines are those of an editor."""
    data = 'Acme Telecom;;\n"Rates\nof today";;\n;;\n\nCode;Rate;Billing\n4420;0,012;60/6\n;;\n"4421;4422";blocked;\n'
    found, faults, rates = read(tmp_path, data.encode("utf-8-sig"))
    assert faults.count == 0
    assert rates.lines == 2
    assert found == [
        (7, ["4420"], Price(12_000, 60, 6, 0, False, 0)),
        (9, ["4421", "4422"], Price(0, 1, 1, 0, True, 0)),
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_whoever_has_written_it(tmp_path: Path, encoding: str, mark: str, end: str) -> None:
    rows = (("Pays", "Préfixe", "Prix"), ("Réunion", "262", "0.5"), ('"La, "";| Pointe"', "26269", "0.25"))
    found, faults, _ = read(tmp_path, end.join(mark.join(row) for row in rows).encode(encoding))
    assert faults.count == 0
    assert [(prefixes, each.per_min_micros) for _, prefixes, each in found] == [
        (["262"], 500_000),
        (["26269"], 250_000),
    ]


def test_every_column(tmp_path: Path) -> None:
    data = (
        b"sep=;\nCountry code;Area codes;Rate;Min duration;Increment;Setup;Min charge;Status;Currency;Date\n"
        b"44;20,21;0.01;60;6;0.02;0.1;increase;EUR;2026-12-01\n44;22;;;;;;deleted;;\n44;;closed;;;;;;;\n"
    )
    found, faults, _ = read(tmp_path, data)
    assert faults.count == 0
    assert found == [
        (3, ["4420", "4421"], Price(10_000, 60, 6, 20_000, False, 100_000)),
        (4, ["4422"], None),
        (5, ["44"], Price(0, 1, 1, 0, True, 0)),
    ]


def test_faults_name_line_column_value_and_rule(tmp_path: Path) -> None:
    data = (
        b"Code,Rate,Billing,Curr,Date\n4420,abc,,,\n0x1,0.1,,,\n4421,0.1,7/x,,\n4422,0.1,,USD,\n"
        b"4423,0.1,,,soon\n4424,,,,\n"
        b'4425,0,012,,\n4426,0,012,EUR,2026-12-01,x\n"4427\n'
    )
    _, faults, _ = read(tmp_path, data)
    assert [(fault.line, fault.column, fault.value) for fault in faults.first] == [
        (2, "Rate", "abc"), (3, "Code", "0x1"), (4, "Billing", "7/x"), (5, "Curr", "USD"), (6, "Date", "soon"),
        (7, "Rate", ""),
        (8, "Billing", "012"), (9, "", "4426,0,012,EUR,2026-12-01,x"), (10, "Rate", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"Code,Rate,Min duration\n44,1,4000\n", "seconds are a whole number up to 3600"),
        (b"Code,Rate,First increment\n44,1,0\n", "an increment is 1 to 3600 seconds"),
        (b"Code,Rate,Min duration,Billing\n44,1,61,60/6\n", "at least 61 s is no whole number of steps of 60/6"),
        (b"Code,Rate\n44,1000001\n", "a price is at most 1000000"),
        (b"Code,Rate,Blocked\n44,1,perhaps\n", "is yes or no, or a word such as blocked or open"),
        (b"Code,Rate,Status\n44,1,perhaps\n", "is a word such as new, increase, unchanged or deleted"),
        (b"Country code,Area code,Rate\n,20,1\n", "a country code is missing"),
        (b"Country code,Area code,Rate\nUK,20,1\n", "a country code is digits"),
        (b"Country code,Area code,Rate\n44,20 21,1\n", "a blank stands in a code whose country has a column"),
        (b"Code,Rate\n44,0\x001\n", "has a character that is no text, NUL"),
        (b'Code,Rate\n"44' + b"\n4" * 70_000 + b"\n", "a quote is not closed"),
    ],
)
def test_further_faults(tmp_path: Path, data: bytes, rule: str) -> None:
    _, faults, _ = read(tmp_path, data)
    assert rule in faults.first[0].rule


def test_a_word_in_a_column_of_yes_and_no(tmp_path: Path) -> None:
    data = b"Code,Rate,Blocked\n44,1,yes\n45,1,no\n46,1,\n47,1,blocked\n48,1,open\n"
    found, faults, _ = read(tmp_path, data)
    assert faults.count == 0
    assert [each.forbidden for _, _, each in found] == [True, False, False, True, False]


def test_columns_that_contradict(tmp_path: Path) -> None:
    for head, sentence in (
        (b"Code,Rate USD", "is in USD, the tariff in EUR"),
        (b"Code,Rate (cents)", "say --cents or --no-cents"),
        (b"Country code,Code,Rate", "if codes are whole"),
        (b"Code,Name,Zone", "no column is the price"),
        (b"Name,Rate,Zone", "no column is the prefix"),
    ):
        with pytest.raises(OperatorError, match=sentence):
            read(tmp_path, head + b"\n44,1,2\n")
    found, _, _ = read(tmp_path, b"Code,Rate (cents)\n44,1.5\n", in_cents=True)
    assert found[0][2].per_min_micros == 15_000


def test_no_heading(tmp_path: Path) -> None:
    found, _, _ = read(tmp_path, b"UK,44,0.1\nFR,33,0.2\n", Layout({"prefix": "2", "price": "3"}, has_heading=False))
    assert [prefixes for _, prefixes, _ in found] == [["44"], ["33"]]


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "deck.csv"
    with pytest.raises(OperatorError, match="cannot be read"):
        source.survey(path)
    path.write_bytes(b"")
    with pytest.raises(OperatorError, match="is empty"):
        source.survey(path)
    path.write_bytes(b"\xff\x80")
    assert source.survey(path).encoding == "cp1252"
    with pytest.raises(OperatorError, match="not utf-8 throughout"):
        source.survey(path, "utf-8")
    path.write_bytes(b"PK\x03\x04\x00\xff")
    with pytest.raises(OperatorError, match="is no text file; save it as CSV"):
        source.survey(path)
    for unknown in ("klingon", "rot13", "base64"):
        with pytest.raises(OperatorError, match="is unknown"):
            source.survey(path, unknown)
    path.write_bytes(b"\n\n")
    with pytest.raises(OperatorError, match="it has no rows"):
        read(tmp_path, b"\n\n")
    with pytest.raises(OperatorError, match="longer than"):
        read(tmp_path, b"x" * 70_000)
    for mark in ("", "ab", '"', "\n", "x"):
        with pytest.raises(OperatorError, match="--delimiter"):
            source.delimiter_of(mark)
