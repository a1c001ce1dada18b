"""What a release writes into Redis, that release and every later one read back."""

from __future__ import annotations

from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi import codec, records
from tests.contract.golden_records import EXAMPLES, path

RECORDS: dict[str, Any] = {
    name: kind
    for name, kind in vars(records).items()
    if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")
}
GOLDEN = [(name, number) for name, examples in EXAMPLES.items() for number in range(1, len(examples) + 1)]


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of the type that a field of a record says."""
    if isinstance(hint, UnionType):
        return st.one_of(*(st.none() if part is type(None) else values(part) for part in get_args(hint)))
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if hint in RECORDS.values():
        return st.builds(hint, *(values(field) for field in get_type_hints(hint).values()))
    known: dict[Any, st.SearchStrategy[Any]] = {
        int: st.integers(-(2**63), 2**64 - 1),  # what msgpack can say
        str: st.text(max_size=12),
        bool: st.booleans(),
    }
    return known[hint]


def test_every_record_has_a_golden_example() -> None:
    """A record without one could change its bytes unseen."""
    assert set(EXAMPLES) == set(RECORDS)


@pytest.mark.parametrize(("name", "number"), GOLDEN)
def test_golden_bytes_decode_for_ever(name: str, number: int) -> None:
    """Bytes that a release wrote mean the same record today."""
    assert codec.unpack(RECORDS[name], path(name, number).read_bytes()) == EXAMPLES[name][number - 1]


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_the_newest_golden_bytes_are_what_is_written_today(name: str) -> None:
    """A reordered, renamed or retyped field changes the bytes; an appended one asks for a new example."""
    examples = EXAMPLES[name]
    assert codec.pack(examples[-1]) == path(name, len(examples)).read_bytes()


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_a_record_comes_back_as_it_was_packed(name: str) -> None:
    """decode(encode(r)) == r, types of nested parts included, for any r."""

    @given(values(RECORDS[name]))
    def law(record: Any) -> None:
        back = codec.unpack(RECORDS[name], codec.pack(record))
        assert back == record
        assert repr(back) == repr(record)  # a list or plain tuple would be equal to a record

    law()


@pytest.mark.parametrize("name", sorted(name for name, kind in RECORDS.items() if kind._field_defaults))
def test_rows_of_older_writers_take_the_defaults(name: str) -> None:
    """Each shorter row, down to the fields without defaults, decodes with the defaults of the missing ones."""
    kind: Any = RECORDS[name]
    row = msgpack.unpackb(codec.pack(EXAMPLES[name][-1]))
    assert isinstance(row, list)
    for length in range(len(kind._fields) - len(kind._field_defaults), len(kind._fields)):
        record = codec.build(kind, row[:length])
        assert record[length:] == tuple(kind._field_defaults[field] for field in kind._fields[length:])
        assert record[:length] == EXAMPLES[name][-1][:length]  # type: ignore[index]  # every example is a tuple


@pytest.mark.parametrize(
    "name", sorted(name for name, kind in RECORDS.items() if len(kind._fields) > len(kind._field_defaults))
)
def test_a_row_that_lacks_a_required_field_is_refused(name: str) -> None:
    """An error that names the record, not a record with holes."""
    kind: Any = RECORDS[name]
    required = len(kind._fields) - len(kind._field_defaults)
    row = list(EXAMPLES[name][-1])[: required - 1]  # type: ignore[call-overload]  # every example is a tuple
    with pytest.raises(ValueError, match=name):
        codec.build(kind, row)


def test_fields_of_newer_writers_are_ignored() -> None:
    """An older reader reads what it knows of a longer row."""
    example = EXAMPLES["Tariff"][-1]
    assert codec.build(records.Tariff, [*msgpack_row(example), "new"]) == example


def test_a_newer_schema_is_refused() -> None:
    """A reader says so instead of guessing."""
    newer = msgpack.packb([codec.SCHEMA_VERSION + 1, 1, []])
    with pytest.raises(codec.UnknownSchemaError, match=f"schema {codec.SCHEMA_VERSION + 1} is newer"):
        codec.unpack_config(newer)


@pytest.mark.parametrize("data", [b"", b"\xc1", b"\x93", b"junk", *map(msgpack.packb, (1, [], [1, 2], ["1", 2, []]))])
def test_other_bytes_are_a_value_error(data: bytes) -> None:
    """Whatever stands at a key, a reader gets one kind of error."""
    with pytest.raises(ValueError):  # noqa: PT011  the messages are msgpack's own
        codec.unpack_config(data)


@given(values(records.Subscriber), st.integers(0, 2**53 - 1))
def test_a_configuration_value_carries_its_version(record: records.Subscriber, version: int) -> None:
    """Version and row come back from [schema, version, row]; a deleted one has no row."""
    value = codec.unpack_config(codec.pack_config(version, record))
    assert (value.version, codec.build(records.Subscriber, value.row)) == (version, record)
    assert codec.unpack_config(codec.pack_config(version, None)) == codec.Versioned(version, None)  # deleted


def msgpack_row(record: object) -> list[Any]:
    row = msgpack.unpackb(codec.pack(record))
    assert isinstance(row, list)
    return row
