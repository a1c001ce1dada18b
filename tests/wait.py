"""The only way in which tests wait: as the tools do, but three times as long before they call it a fault.

A machine that runs other things beside the tests is slow, not broken; a wait that comes true costs no more.
"""

from __future__ import annotations

from collections.abc import Callable

import tools.wait
from tools.wait import DeadlineError

__all__ = ["DeadlineError", "until"]
PATIENCE = 3


def until(condition: Callable[[], object], deadline_s: float, what: str) -> None:
    """Return as soon as `condition()` is true. Raises DeadlineError after thrice `deadline_s` seconds."""
    tools.wait.until(condition, PATIENCE * deadline_s, what)
