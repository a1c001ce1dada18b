"""What is made of a record once, and kept for as long as the record is the same object.

Rule 1: records never change, a changed one is a new object. So identity tells more cheaply than equality whether the
kept value is still right: comparing, or hashing, a carrier with its servers costs more than what is made of it.
Rule 2: only what follows from the record alone is kept, never a part of a decision; and never more than a fixed number.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

R = TypeVar("R")
T = TypeVar("T", bound=tuple[object, ...])
A = TypeVar("A")
V = TypeVar("V")


class Kept(Generic[R, V]):
    """Values made of records. The record is kept with its value, so that no other object can get its identity."""

    def __init__(self, make: Callable[[R], V], kept_max: int) -> None:
        """Keep what `make` makes. kept_max: records; when there are more, all are forgotten and made again."""
        self._make = make
        self._kept_max = kept_max
        self._by_identity: dict[int, tuple[R, V]] = {}

    def of(self, record: R) -> V:
        """Return what is made of the record."""
        kept = self._by_identity.get(id(record))
        if kept is not None:
            return kept[1]
        if len(self._by_identity) >= self._kept_max:
            self._by_identity.clear()
        made = self._make(record)
        self._by_identity[id(record)] = record, made
        return made


class KeptOfAll(Generic[R, V]):
    """The same of values made of several records: right as long as each of them is the same object."""

    def __init__(self, make: Callable[[tuple[R, ...]], V], kept_max: int) -> None:
        """Keep what `make` makes. kept_max: values; when there are more, all are forgotten and made again."""
        self._make = make
        self._kept_max = kept_max
        self._by_identity: dict[tuple[int, ...], tuple[tuple[R, ...], V]] = {}

    def of(self, records: tuple[R, ...]) -> V:
        """Return what is made of the records, in this order."""
        identity = tuple(map(id, records))
        kept = self._by_identity.get(identity)
        if kept is not None:
            return kept[1]
        if len(self._by_identity) >= self._kept_max:
            self._by_identity.clear()
        made = self._make(records)
        self._by_identity[identity] = records, made
        return made


class KeptWith(Generic[T, A, V]):
    """The same of values made of several records and of something small besides, which is compared as any value is."""

    def __init__(self, make: Callable[[T, A], V], kept_max: int) -> None:
        """Keep what `make` makes. kept_max: values; when there are more, all are forgotten and made again."""
        self._make = make
        self._kept_max = kept_max
        self._by_identity: dict[tuple[tuple[int, ...], A], tuple[T, V]] = {}

    def of(self, records: T, besides: A) -> V:
        """Return what is made of the records, in this order, and of what is besides."""
        identity = tuple(map(id, records)), besides
        kept = self._by_identity.get(identity)
        if kept is not None:
            return kept[1]
        if len(self._by_identity) >= self._kept_max:
            self._by_identity.clear()
        made = self._make(records, besides)
        self._by_identity[identity] = records, made
        return made
