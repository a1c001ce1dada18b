"""Endless rows in handy lists."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield `items` in lists of at most `size`, none of them empty."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
