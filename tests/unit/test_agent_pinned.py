"""The pinned call as the agent reads it: the same record as everybody's, its legs made once."""

from __future__ import annotations

import msgpack
import pytest

from kemi import codec
from kemi.agent_pinned import LEGS_KEPT_MAX, PinnedCalls
from kemi.records import Choice, PinnedCall, PinnedLeg
from tests.funds_bench import pinned


def a_leg(prefix: str = "44") -> PinnedLeg:
    """Return a leg that a fund pays."""
    row = [1, 12, 11, "EUR", "12:EUR", 12, 12, prefix, [40_000, 60, 60, 0, False, 0, []]]
    return codec.build(PinnedLeg, row)


def test_a_call_is_read_as_everybody_reads_it() -> None:
    """But for the carriers that were left out, which only the record of the call tells."""
    left_out = (codec.build(Choice, [1, 1, 0, "acme", "", 0, "", 0, "too dear"]),)
    call = pinned("a")._replace(legs=(a_leg(), a_leg("49")), left_out=left_out)
    reader = PinnedCalls()
    assert reader.read(codec.pack(call)) == codec.unpack(PinnedCall, codec.pack(call))._replace(left_out=())


def test_equal_legs_are_one() -> None:
    """Of as many as are kept; then it begins anew."""
    reader = PinnedCalls()
    first = reader.read(codec.pack(pinned("a")._replace(legs=(a_leg(),)))).legs[0]
    assert reader.read(codec.pack(pinned("b")._replace(legs=(a_leg("49"), a_leg())))).legs[1] is first
    for number in range(LEGS_KEPT_MAX):
        reader.read(codec.pack(pinned("c")._replace(legs=(a_leg(f"1{number}"),))))
    again = reader.read(codec.pack(pinned("d")._replace(legs=(a_leg(),)))).legs[0]
    assert again == first
    assert again is not first


@pytest.mark.parametrize("row", [1, [], ["rid"], [*pinned("a")[:11], 7, [], []], [*pinned("a")[:11], [[{}]], [], []]])
def test_other_bytes_are_no_call(row: object) -> None:
    """A message that cannot be read is told as such."""
    with pytest.raises(ValueError, match="Pinned"):
        PinnedCalls().read(msgpack.packb(row))
