"""When a server of a carrier is passed over for a while. Nobody unlocks it: the memory expires."""

from __future__ import annotations

from typing import Final

FAILURES_MAX: Final = 3  # in a row, within DOWN_S; one bad call proves nothing
DOWN_S: Final = 30  # as long as the trade's probes take to notice recovery
_SICK: Final = frozenset({408, 500, 503, 504})
_INNOCENT: Final = frozenset({"channels", "cps", "ring", "redirect"})


def counts_against(status: int, why: str = "") -> bool:
    """Whether a failed attempt speaks against the server itself; status 408 = it said nothing at all.

    A refusal of this call (4xx, 6xx) does not: the server is alive and has judged. why: as in Attempt; what we did not
    even ask of it, and a phone behind it that rang, say nothing of it.
    """
    return status in _SICK and why not in _INNOCENT
