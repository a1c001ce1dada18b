"""Death in the middle of work: code that stops for good before or after one of its calls, as by kill -9."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, nothing is done after it."""


@contextmanager
def deadly(monkeypatch: pytest.MonkeyPatch, *calls: tuple[type, str]) -> Iterator[Callable[[int], None]]:
    """Yield a way to die at the n-th step from now, 0 = not at all; before and after each of `calls` there is one.

    calls: class and name of the method. After the block nobody dies any more.
    """
    left = 0

    def arm(steps: int) -> None:
        nonlocal left
        left = steps

    def point() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    def wrap(owner: type, name: str) -> None:
        original: Callable[..., Any] = getattr(owner, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            point()
            result = original(*args, **kwargs)
            point()
            return result

        monkeypatch.setattr(owner, name, wrapped)

    for owner, name in calls:
        wrap(owner, name)
    yield arm
    arm(0)
