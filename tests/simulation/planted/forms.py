"""What a planted bug is made of: a change of a library's text, or a function put in place of another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple


class Change(NamedTuple):
    """A change of a library's text, in which `old` stands exactly once."""

    old: str
    new: str


class Replacement(NamedTuple):
    """A function put in place of `owner.name`; made anew for each run."""

    owner: Any
    name: str
    make: Callable[[], Any]
