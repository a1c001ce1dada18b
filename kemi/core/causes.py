"""What the final status of an unanswered call means: a stable word and a Q.850 cause for the CDR."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """reason: stable word, as in the refusals table where it has one. q850: RFC 3398 §7.2.4.1."""

    reason: str
    q850: int


CAUSES: Final[Mapping[int, Cause]] = MappingProxyType(
    {
        400: Cause("carriers_failed", 41),
        403: Cause("declined", 21),
        404: Cause("not_found", 1),
        405: Cause("method", 63),
        406: Cause("media", 79),
        408: Cause("no_answer", 18),
        410: Cause("number_changed", 22),
        480: Cause("no_answer", 18),
        415: Cause("media", 79),
        482: Cause("loop", 25),
        483: Cause("too_many_hops", 25),
        484: Cause("bad_number", 28),
        485: Cause("bad_number", 1),
        486: Cause("called_busy", 17),
        487: Cause("cancelled", 16),
        488: Cause("media", 79),
        500: Cause("internal", 41),
        501: Cause("carriers_failed", 79),
        502: Cause("carriers_failed", 38),
        503: Cause("carriers_failed", 41),
        504: Cause("carriers_failed", 102),
        600: Cause("called_busy", 17),
        603: Cause("declined", 21),
        604: Cause("not_found", 1),
        606: Cause("media", 79),
        607: Cause("declined", 21),
        608: Cause("declined", 21),
    }
)
CALL_REJECTED: Final = Cause("declined", 21)
INTERWORKING: Final = Cause("carriers_failed", 127)


def cause_of(status: int) -> Cause:
    """Return what `status` (400 … 699) means; an unknown one is told by its class."""
    default = CALL_REJECTED if status >= 600 else INTERWORKING  # noqa: PLR2004  RFC 3261 §21.6
    return CAUSES.get(status, default)
