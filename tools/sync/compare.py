"""Where Postgres and Redis differ: what a full load repairs and `--verify` prints.

Rows are compared as records, so a value that an older release wrote, with fewer fields, is equal when the missing ones
have their defaults. Texts of differences name fields, never values: hashes of passwords are among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, Final, NamedTuple, TypeVar

from kemi import keys
from tools.sync.kinds import BY_VIEW, KINDS, RATE_SET, Kind
from tools.sync.source import Source, WrongRow
from tools.sync.store import READ_KEYS, Store
from tools.wait import DeadlineError, until

T = TypeVar("T")

SETTLE_S: Final = 3  # an active syncer may be about to apply what differs


class Difference(NamedTuple):
    """One aggregate that is not the same in both. record: what Redis should hold, None = nothing or a wrong row."""

    kind: Kind
    name: str
    what: str
    record: object | None = None


class Verdict(NamedTuple):
    """What a comparison of everything found; aggregates: how many names there are in either."""

    differences: tuple[Difference, ...]
    aggregates: int


def verify(source: Source, store: Store) -> Verdict:
    """Compare everything both ways. While a syncer is active, what differs is looked at again for up to 3 s."""
    found: list[Difference] = []
    aggregates = 0
    with source.snapshot():
        for kind in KINDS:
            names, differences = _compare_kind(source, store, kind)
            aggregates += names
            found += differences

    def certain() -> bool:
        alone = source.try_lock()
        return not _still(source, store, found) or alone

    with suppress(DeadlineError):
        until(certain, SETTLE_S, "the syncer")
    return Verdict(tuple(found), aggregates)


def differing(store: Store, kind: Kind, rows: Iterable[tuple[str, object | WrongRow]]) -> Iterator[Difference]:
    """Yield each of `rows` (all of one kind, from its view) that Redis does not hold so."""
    for some in batches(rows, READ_KEYS):
        stored = store.values([kind.key(name) for name, _ in some])
        for (name, record), value in zip(some, stored, strict=True):
            what = _what(kind, record, value)
            if what:
                yield Difference(kind, name, what, None if isinstance(record, WrongRow) else record)


def surplus(source: Source, store: Store, kind: Kind) -> list[str]:
    """Return the names of a kind that live only in Redis; needs a snapshot."""
    names = set(source.names(kind))
    return [
        name for some in batches(store.names(kind), READ_KEYS) for name in store.living(kind, some) if name not in names
    ]


def differing_buckets(source: Source, store: Store, rate_set_id: int) -> tuple[list[tuple[str, bytes]], bool]:
    """Return the buckets that Redis lacks or holds differently, and whether it holds any that should not be there."""
    count, differences = 0, []
    for some in batches(source.buckets(rate_set_id), READ_KEYS):
        for bucket, value in zip(some, store.buckets(rate_set_id, [field for field, _ in some]), strict=True):
            count += value is not None
            if bucket[1] != value:
                differences.append(bucket)
    return differences, store.bucket_count(rate_set_id) > count


def rate_set_id(name: str) -> int:
    """Return the id in the short name of a rate set."""
    return int(name.removeprefix(keys.rate_set(0)[:-1]))


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield `items` in lists of at most `size`, none of them empty."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _compare_kind(source: Source, store: Store, kind: Kind) -> tuple[int, list[Difference]]:
    """Return how many names there are in either, and what differs."""
    found: list[Difference] = []
    names = []

    def noted() -> Iterator[tuple[str, object | WrongRow]]:
        for name, record in source.all_aggregates(kind):
            names.append(name)
            yield name, record

    found += differing(store, kind, noted())
    extra = surplus(source, store, kind)
    found += [Difference(kind, name, "stands only in Redis") for name in extra]
    if kind.view == RATE_SET:
        found += [d for name in names for d in _compare_buckets(source, store, name)]
        known = {rate_set_id(name) for name in names}
        found += [
            Difference(kind, keys.rate_set(number), "its buckets stand only in Redis")
            for number in store.rate_sets()
            if number not in known
        ]
    return len(names) + len(extra), found


def _compare_buckets(source: Source, store: Store, name: str) -> list[Difference]:
    buckets, foreign = differing_buckets(source, store, rate_set_id(name))
    whats = [f"bucket {field} is missing or differs" for field, _ in buckets]
    whats += ["has buckets that stand only in Redis"] if foreign else []
    return [Difference(BY_VIEW[RATE_SET], name, what) for what in whats]


def _still(source: Source, store: Store, found: list[Difference]) -> bool:
    """Look again at `found`, keep in it what differs still, and tell whether anything does."""
    kinds = {difference.kind for difference in found}
    left: list[Difference] = []
    with source.snapshot():
        for kind in kinds:
            names = [difference.name for difference in found if difference.kind == kind]
            left += _again(source, store, kind, names)
    found[:] = left
    return bool(left)


def _again(source: Source, store: Store, kind: Kind, names: Sequence[str]) -> Iterator[Difference]:
    rows = source.aggregates(kind, names)
    yield from differing(store, kind, rows.items())
    gone = [name for name in dict.fromkeys(names) if name not in rows]
    yield from (Difference(kind, name, "stands only in Redis") for name in store.living(kind, gone))
    if kind.view == RATE_SET:
        for name in rows:
            yield from _compare_buckets(source, store, name)
        yield from (
            Difference(kind, name, "its buckets stand only in Redis")
            for name in gone
            if store.bucket_count(rate_set_id(name))
        )


def _fields(record: Any) -> tuple[Any, ...]:
    return tuple(record)


def _what(kind: Kind, record: object | WrongRow, value: bytes | None) -> str:
    """Return how the stored value differs from the row, "" when it does not."""
    if isinstance(record, WrongRow):
        return f"is wrong in Postgres: {record.why}"
    try:
        stored: Any = kind.read(value)
    except ValueError as error:
        return f"cannot be read in Redis: {error}"
    if stored is None:
        return "is missing in Redis"
    pairs = zip(stored, _fields(record), strict=True)
    fields = [kind.record._fields[at] for at, (here, there) in enumerate(pairs) if here != there]
    return f"differs in {', '.join(fields)}" if fields else ""
