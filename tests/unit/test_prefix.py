"""Longest prefix in packed buckets: worked examples, the layout, and bytes that are no bucket."""

from __future__ import annotations

import pytest

from kemi.core.prefix import bucket_fields, longest, pack_bucket

RATES = {
    "4": pack_bucket({"": 1}),
    "44": pack_bucket({"": 2}),
    "4420": pack_bucket({"": 3, "7": 4, "79": 5, "78": 6, "79460000": 7}),
}


@pytest.mark.parametrize(
    ("digits", "expected"),
    [
        ("4930", ("4", 1)),
        ("4419", ("44", 2)),
        ("442", ("44", 2)),
        ("4420", ("4420", 3)),
        ("44207", ("44207", 4)),
        ("442078", ("442078", 6)),
        ("442079", ("442079", 5)),
        ("44207946000", ("442079", 5)),
        ("442079460000", ("442079460000", 7)),
        ("4420794600001234567", ("442079460000", 7)),
        ("4", ("4", 1)),
        ("5", None),
        ("", None),
        ("+44", None),
        ("٤٤", None),
    ],
)
def test_the_longest_prefix_wins(digits: str, expected: tuple[str, int] | None) -> None:
    """Through all fields of a number, none where nothing fits or the text is no number."""
    assert longest(digits, RATES.get) == expected


@pytest.mark.parametrize(
    ("digits", "fields"),
    [("", ()), ("4", ("4",)), ("442", ("4", "44", "442")), ("442079", ("4", "44", "442", "4420")), ("sip", ())],
)
def test_fields_of_a_number(digits: str, fields: tuple[str, ...]) -> None:
    """A number has one field per length up to four digits, shortest first."""
    assert bucket_fields(digits) == fields


def test_the_layout_stays() -> None:
    """Written buckets stand in Redis across releases: these bytes are for ever."""
    packed = pack_bucket({"": 1, "7": 0x0203, "05": 4, "79": 65_535})
    assert packed.hex(" ") == "02 00 00 02 05 00 04 79 ff ff 01 00 00 01 70 02 03 00 00 00 01 00 01"


def test_an_entry_takes_at_most_eight_bytes() -> None:
    """Fifteen digits take 8 bytes; the usual five to seven digits take 4."""
    assert len(pack_bucket({f"{at:011d}": at for at in range(1000)})) <= 8 * 1000 + 4
    assert len(pack_bucket({f"{at:03d}": at for at in range(1000)})) <= 4 * 1000 + 4


@pytest.mark.parametrize("entries", [{"12a": 1}, {"1" * 12: 1}, {"1": -1}, {"1": 65_536}, {"²": 1}])
def test_what_cannot_be_packed_is_named(entries: dict[str, int]) -> None:
    """A wrong entry fails the sync pass with its name, it does not become another price."""
    with pytest.raises(ValueError, match="suffix"):
        pack_bucket(entries)
