"""The two kinds of things in a start: a part that runs until the stop, and a step that is done once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


def nothing() -> None:
    """Do nothing: the preparation of a part that needs none."""


class Run(Protocol):
    """How a step runs a program, so that a stop can interrupt it."""

    def __call__(self, name: str, argv: tuple[str, ...], env: Mapping[str, str], deadline_s: float) -> None:
        """Run a program to its end; raise OperatorError with its last words when it fails or takes too long."""


@dataclass(frozen=True, slots=True)
class Part:
    """A process of the stack.

    prepare: done before every start, also after a death (stale sockets and pid files go). ready: whether it serves;
    answers within half a second, never raises. start_s, stop_s: how long it may take. stop_signal: asks it to end.
    is_awaited: the next part starts when this one serves; else with the start of this one, and all wait at the end.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    ready: Callable[[], bool]
    prepare: Callable[[], None] = nothing
    stop_signal: signal.Signals = signal.SIGTERM
    start_s: float = 30.0
    stop_s: float = 10.0
    is_awaited: bool = True


@dataclass(frozen=True, slots=True)
class Step:
    """Something done once in a start, between two parts.

    name: what is done, as the user reads it. of: the part that it belongs to, and with which it is left out.
    """

    name: str
    of: str
    do: Callable[[Run], None] = field(repr=False)


Plan = tuple[Part | Step, ...]
