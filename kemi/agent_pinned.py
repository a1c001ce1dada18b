"""The pinned call of a hold as the agent keeps it: the legs that many calls have alike are made once.

Whom else the call might have gone by (`left_out`) nobody asks the agent; the bytes that it passes on still say so.
"""

from __future__ import annotations

from typing import Any, Final

import msgpack

from kemi import codec
from kemi.records import PinnedCall, PinnedLeg

LEGS_KEPT_MAX: Final = 2_000
LEGS: Final = PinnedCall._fields.index("legs")
LEFT_OUT: Final = PinnedCall._fields.index("left_out")


class PinnedCalls:
    """Reads pinned calls. The legs of one payer to one destination are the same in all his calls."""

    def __init__(self) -> None:
        self._legs: dict[Any, PinnedLeg] = {}

    def read(self, pinned: bytes) -> PinnedCall:
        """Return the call, without what was left out. Raises ValueError when the bytes are none."""
        row = msgpack.unpackb(pinned, use_list=False)
        if not isinstance(row, tuple) or len(row) <= LEGS or not isinstance(row[LEGS], tuple):
            return codec.build(PinnedCall, row)
        fields = list(row)
        fields[LEGS] = ()
        if len(fields) > LEFT_OUT:
            fields[LEFT_OUT] = ()
        legs = tuple([self._leg(leg) for leg in row[LEGS]])
        return codec.build(PinnedCall, fields)._replace(legs=legs)

    def _leg(self, row: Any) -> PinnedLeg:
        try:
            found = self._legs.get(row)
        except TypeError:  # no row of ours has in it what cannot be looked up
            return codec.build(PinnedLeg, row)
        if found is None:
            if len(self._legs) >= LEGS_KEPT_MAX:
                self._legs.clear()
            found = self._legs[row] = codec.build(PinnedLeg, row)
        return found
