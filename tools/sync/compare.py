"""Where Postgres and Redis differ: what `--verify` prints.

Texts of differences name fields, never values: hashes of passwords are among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from tools.sync.batches import batches
from tools.sync.kinds import BY_VIEW, KINDS, RATE_SET, Kind
from tools.sync.rates import Rates
from tools.sync.source import Source, WrongRow
from tools.sync.store import READ_KEYS, Store
from tools.sync.sweep import Sweep
from tools.wait import DeadlineError, until

SETTLE_S: Final = 3  # an active syncer may be about to apply what differs


class Difference(NamedTuple):
    """One aggregate that is not the same in both. record: what Redis should hold, None = nothing, or a wrong row."""

    kind: Kind
    name: str
    what: str
    record: bytes | None = None


class Verdict(NamedTuple):
    """What a comparison of everything found; aggregates: how many names there are in either."""

    differences: tuple[Difference, ...]
    aggregates: int


def verify(source: Source, store: Store) -> Verdict:
    """Compare everything both ways. While a syncer is active, what differs is looked at again for up to 3 s."""
    sweep = Sweep(source, store)
    found = [Difference(portion.kind, name, "") for portion in sweep.round(KINDS) if portion for name in portion.names]
    with source.snapshot():
        rates, names = Rates(source, store), list(source.names(BY_VIEW[RATE_SET]))
        found += [Difference(BY_VIEW[RATE_SET], *pair) for pair in rates.differences(names)]
        found += [Difference(BY_VIEW[RATE_SET], *pair) for pair in rates.strangers(names)]

    def certain() -> bool:
        alone = source.try_lock()
        return not _still(source, store, found) or alone

    with suppress(DeadlineError):
        until(certain, SETTLE_S, "the syncer")
    return Verdict(tuple(found), sweep.aggregates)


def differing(store: Store, kind: Kind, rows: Iterable[tuple[str, bytes | WrongRow]]) -> Iterator[Difference]:
    """Yield each of `rows` (all of one kind, from its view) that Redis does not hold so."""
    for some in batches(rows, READ_KEYS):
        stored = store.values([kind.key(name) for name, _ in some])
        for (name, record), value in zip(some, stored, strict=True):
            what = _wrong(record) if isinstance(record, WrongRow) else kind.difference(value, record)
            if what:
                yield Difference(kind, name, what, None if isinstance(record, WrongRow) else record)


def _still(source: Source, store: Store, found: list[Difference]) -> bool:
    """Look again at `found`, keep in it what differs still, and tell whether anything does."""
    names: dict[Kind, dict[str, None]] = {}
    for difference in found:
        names.setdefault(difference.kind, {})[difference.name] = None
    left: list[Difference] = []
    for kind in KINDS:
        for some in batches(names.get(kind, ()), READ_KEYS):
            with source.snapshot():
                left += _again(source, store, kind, some)
    found[:] = left
    return bool(left)


def _again(source: Source, store: Store, kind: Kind, names: Sequence[str]) -> Iterator[Difference]:
    rows = source.aggregates(kind, names)
    yield from differing(store, kind, rows.items())
    gone = [name for name in names if name not in rows]
    yield from (Difference(kind, name, "stands only in Redis") for name in store.living(kind, gone))
    if kind.view == RATE_SET:
        rates = Rates(source, store)
        yield from (Difference(kind, *pair) for pair in rates.differences(rows))
        yield from (Difference(kind, *pair) for pair in rates.left(gone))


def _wrong(row: WrongRow) -> str:
    return f"is wrong in Postgres: {row.why}"
