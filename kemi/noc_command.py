"""What a command of the NOC is: its words, and what it is given to answer with."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from kemi.adapters.ksr_api import Ksr
from kemi.settings import Settings

WHO_MAX: Final = 64  # characters of the name of who asks
LINE_FORM: Final = re.compile(r"[^\s@\"]{1,64}@[A-Za-z0-9.:-]{1,253}", re.ASCII)
Answer = dict[str, object]
"""What is shown to the asker, as JSON; {"error": text} where it cannot be done. Long lists at its top are its rows."""


class Desk(NamedTuple):
    """What a command may use. now_ns: CLOCK_MONOTONIC; unix_ms: the date."""

    ksr: Ksr
    settings: Settings
    now_ns: int
    unix_ms: int


class Command(NamedTuple):
    """One command. usage: with its arguments; help: one sentence; serve: answers, or raises UsageError."""

    name: str
    usage: str
    help: str
    serve: Callable[[Desk, Sequence[str]], Answer]


class UsageError(ValueError):
    """The arguments make no sense; the text is shown to the asker, and the usage after it."""
