"""Waiting for a condition with a deadline: the only way in which tools and tests wait."""

from __future__ import annotations

import time
from collections.abc import Callable

STEP_S = 0.02


class DeadlineError(TimeoutError):
    """The condition did not come true in time; the message says which."""


def until(condition: Callable[[], object], deadline_s: float, what: str) -> None:
    """Return as soon as `condition()` is true. Raises DeadlineError naming `what` after `deadline_s` seconds."""
    end = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end:
            raise DeadlineError(f"waited {deadline_s:g} s for {what}")
        time.sleep(STEP_S)
