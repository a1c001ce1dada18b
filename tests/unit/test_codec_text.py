"""Rows in Kamailio's memory: what is written is read again, and so is what the release before has written."""

from __future__ import annotations

import json
from base64 import b64encode

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi import codec
from kemi.adapters import ksr_queue, ksr_sides
from kemi.adapters.ksr_queue import Held
from kemi.core.sides import CALLER, Side
from tests.fakes.ksr import FakeKsr

ODD = st.text(st.characters(exclude_categories=()), max_size=20)  # with surrogates: bytes that were no characters
SIDES = st.builds(Side, ODD, ODD, ODD, ODD, ODD, st.lists(ODD, max_size=3).map(tuple), st.integers(0, 2**31), ODD, ODD)
SIDE = Side("tag", "sip:a@b", "192.0.2.1", "sip:192.0.2.1", route=("sip:p;lr",), cseq=7)
HELD = Held("0" * 32, b"\x00\xff", ("5:EUR",), 60, 90)


@given(SIDES)
def test_a_row_is_read_as_it_was_written(side: Side) -> None:
    text = codec.write(side)

    assert codec.read(Side, text) == side
    assert text.isascii()
    assert text.isprintable()


def test_a_row_of_the_release_before_is_read_after_a_reload() -> None:
    ksr = FakeKsr()
    ksr.htable.sht_sets(ksr_sides.SIDES, f"rid/{CALLER}", json.dumps(SIDE))

    assert ksr_sides.get(ksr, "rid", CALLER) == SIDE


@given(SIDES)
def test_a_side_is_read_as_it_was_put_whatever_it_holds(side: Side) -> None:
    ksr = FakeKsr()
    ksr_sides.put(ksr, "rid", CALLER, side)
    row = str(ksr.htable.sht_get(ksr_sides.SIDES, f"rid/{CALLER}"))

    assert ksr_sides.get(ksr, "rid", CALLER) == side
    assert row.isascii()
    assert row.isprintable()


@pytest.mark.parametrize(
    ("side", "is_plain"),
    [
        (SIDE, True),
        (SIDE._replace(route=()), True),
        (SIDE._replace(route=("",)), True),
        (SIDE._replace(tag=""), True),
        (SIDE._replace(tag="a b"), False),
        (SIDE._replace(route=("a b",)), False),
        (SIDE._replace(shown="a\0b"), False),
        (SIDE._replace(shown="\u00e9"), False),
    ],
)
def test_a_side_without_spaces_and_odd_characters_is_kept_as_plain_text(side: Side, *, is_plain: bool) -> None:
    ksr = FakeKsr()
    ksr_sides.put(ksr, "rid", CALLER, side)

    assert str(ksr.htable.sht_get(ksr_sides.SIDES, f"rid/{CALLER}")).startswith("= ") == is_plain
    assert ksr_sides.get(ksr, "rid", CALLER) == side


@pytest.mark.parametrize("packed", [SIDE, SIDE._replace(tag="a b")])
def test_rows_packed_by_the_release_before_are_read_after_a_reload(packed: Side) -> None:
    ksr = FakeKsr()
    ksr.htable.sht_sets(ksr_sides.SIDES, f"rid/{CALLER}", codec.write(packed))

    assert ksr_sides.get(ksr, "rid", CALLER) == packed


def test_a_message_of_the_release_before_is_read_after_a_reload() -> None:
    ksr = FakeKsr()
    ksr.mqueue.mq_add(ksr_queue.QUEUE, "held", b64encode(msgpack.packb(HELD)).decode())
    ksr_queue.put(ksr, HELD)

    assert [ksr_queue.take(ksr), ksr_queue.take(ksr), ksr_queue.take(ksr)] == [HELD, HELD, None]


@pytest.mark.parametrize("text", ["", "9", "zz", "[", "[1]", "93", "c0"])
def test_what_is_no_row_is_one_error(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  of several parsers
        codec.read(Side, text)
