"""Days and months of the virtual world; short, so that they end often."""

from __future__ import annotations

from typing import Final

from kemi.records import Window

DAY_MS: Final = 300_000
MONTH_MS: Final = 3 * DAY_MS


def window_id(at_ms: int, length_ms: int) -> int:
    """Return the day or month that a moment lies in."""
    return at_ms // length_ms


def windows(now_ms: int, length_ms: int, count: int) -> tuple[Window, ...]:
    """Return this window and those after it."""
    first = window_id(now_ms, length_ms)
    return tuple(Window(each, (each + 1) * length_ms) for each in range(first, first + count))
