"""Packed rates: one hash of buckets per rate set. Postgres packs them; here they are compared and carried, in portions.

Rule 1: a set's record stands in Redis only while all of its buckets do: they are written before it, and removed after
    it. Whoever reads a set reaches its buckets through the record.
Rule 2: a set never changes. So its buckets need no pass and no common snapshot: whatever Postgres gives of them, now
    or in a minute, is right, and may be written beside the passes.
Rule 3: a portion is some thousand rates, and a step in Redis at most 100 buckets and 256 KiB: nobody waits for either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from kemi import keys
from tools.sync.batches import batches
from tools.sync.kinds import BY_VIEW, RATE_SET
from tools.sync.source import RESET, OutboxRow, Source
from tools.sync.store import STEP_KEYS, Store

TARIFF: Final = "tariff"
STEP_BYTES: Final = 1 << 18  # 100 buckets of a deck of 10 million rates have twice as many
MEMORY_SHARE_MAX: Final = 0.7  # functions/money: MEMORY_SHARE_MAX 0.8

_RANGES: Final = "SELECT low, high FROM tandem.rate_ranges_v1(%s)"
_BUCKETS: Final = "SELECT field, bucket FROM tandem.rate_buckets_v1(%s, %s, %s)"
_EXISTING: Final = "SELECT id FROM sync.rate_set WHERE id = ANY (%s)"
_ABOVE: Final = """
    SELECT name FROM sync.rate_set WHERE id = ANY (%s)
       AND EXISTS (SELECT FROM jsonb_array_elements_text(layers) AS l WHERE l::bigint = ANY (%s))
"""
_POINTING: Final = """
    SELECT 'tar:' || id FROM tandem.tariff WHERE rate_set_id = ANY (%s) OR inbound_rate_set_id = ANY (%s)
    UNION SELECT 'tar:' || tariff_id FROM tandem.tariff_deck WHERE rate_set_id = ANY (%s)
"""
PAYERS: Final = {
    "account": "SELECT name FROM sync.account WHERE id = ANY (%s) AND tariff_id = ANY (%s)",
    "peering_group": "SELECT name FROM sync.peering_group WHERE id = ANY (%s) AND tariff_id = ANY (%s)",
}
"""Whoever pays by a tariff: the kind, and which of them do so by one of some tariffs."""

_RENEW: Final = """
    SELECT tandem.renew_v1('rate_set', array(
      SELECT name FROM sync.rate_set WHERE id = %s OR layers @> to_jsonb(%s::bigint)))
"""
_ONLY_IN_REDIS: Final = "its buckets stand only in Redis"

Bucket = tuple[str, bytes]
"""A field of a rate hash, and what stands there."""


class Portion(NamedTuple):
    """What a part of one set lacks in Redis. foreign: fields there that are none of the set. buckets: looked at."""

    number: int
    lacking: Sequence[Bucket]
    foreign: Sequence[str]
    buckets: int

    @property
    def is_right(self) -> bool:
        """True when nothing has to be done."""
        return not self.lacking and not self.foreign


class Beside(Protocol):
    """Whoever loads sets beside the passes."""

    def want(self, number: int) -> None:
        """Have a set loaded."""

    def waiting(self) -> frozenset[int]:
        """Return the sets that are wanted and not complete yet. Raises what stopped the loader."""

    def known(self) -> frozenset[int]:
        """Return the sets that are wanted, and those that it has completed."""

    def forget(self, number: int) -> None:
        """Note that the buckets of a set are gone."""

    def take_strangers(self) -> frozenset[int]:
        """Return, once, the sets that had buckets in Redis when Postgres had no such set for it."""


class Rates:
    """The buckets of rate sets in both. Sets are called by their short names, or by number.

    Every method may raise psycopg.Error, StoreUnavailable and FencedError.
    """

    def __init__(self, source: Source, store: Store, beside: Beside | None = None) -> None:
        """Use a pair of connections; those of the passes, or others. beside: who loads what is too large for a pass."""
        self._source = source
        self._store = store
        self._beside = beside
        self._waited: frozenset[int] = frozenset()
        self._held: frozenset[tuple[str, str]] = frozenset()

    @property
    def held(self) -> frozenset[tuple[str, str]]:
        """(kind, key) of what `ready` has left out, for as long as all that it waits for is still waited for."""
        if not self._waited <= (self._beside.waiting() if self._beside else frozenset()):
            self._waited, self._held = frozenset(), frozenset()
        return self._held

    def renew_world(self) -> None:
        """Make readers drop all buckets: in a Postgres that was restored other sets may have the same numbers."""
        self._mend(0, (), ())

    def load(self, names: Iterable[str], beat: Callable[[], None] = lambda: None) -> None:
        """Write the buckets of `names`, which are all sets; remove those of any other. beat: called now and then."""
        known = {rate_set_number(name) for name in names}
        for number in known:
            for _ in self.complete(number) if self._count(number) else self._fill(number):
                beat()
        for number in set(self.stored_numbers()) - known:
            self._store.drop_buckets(number)

    def ready(self, rows: Sequence[OutboxRow]) -> list[OutboxRow]:
        """Return the rows that may be applied now: not those of sets that are still loaded, nor of what leads there.

        That is sets on them, their tariffs, and who would pay by a tariff that Redis does not have without them. What
        is left out stays in the outbox. Without a loader everything may be applied.
        """
        if self._beside is None:
            return list(rows)
        self._drop_strangers(self._beside.take_strangers())
        named = {*_numbers(rows, RATE_SET)}
        for number in self._absent(named - self._beside.known()):
            if self.is_large(number):
                self._beside.want(number)
        waiting = self._beside.waiting()
        if not waiting:
            return list(rows)
        self._held, self._waited = self.held | self._leading_to(waiting, rows), waiting
        return [row for row in rows if (row.kind, row.key) not in self._held]

    def write(self, names: Iterable[str]) -> None:
        """Complete the buckets of those sets that nobody reads yet; before their records are applied."""
        loaded = self._beside.known() if self._beside else frozenset()
        for number in self._absent({rate_set_number(name) for name in names} - loaded):
            for _ in self.complete(number):
                pass

    def complete(self, number: int) -> Iterator[int]:
        """Write what a set that nobody reads yet lacks; yield how many buckets were looked at, portion by portion."""
        for portion in self.compare(number):
            if portion.foreign:  # what a killed syncer leaves is right: this is of another world
                yield from self._fill(number)
                return
            self._add(number, portion.lacking)
            yield portion.buckets

    def drop(self, names: Iterable[str]) -> None:
        """Remove all buckets of sets that are gone; after their removal is applied.

        UNLINK takes a hash out at once and frees it beside the commands, so a set of any size holds nobody up.
        """
        for name in names:
            number = rate_set_number(name)
            self._store.drop_buckets(number)
            if self._beside:
                self._beside.forget(number)

    def compare(self, number: int) -> Iterator[Portion]:
        """Yield what differs in a set, portion by portion; what is foreign to it comes last."""
        fields: set[str] = set()
        for portion in self._portions(number):
            lacking: list[Bucket] = []
            for some in batches(portion, STEP_KEYS):
                stored = self._stored(number, [field for field, _ in some])
                lacking += [bucket for bucket, value in zip(some, stored, strict=True) if bucket[1] != value]
            fields.update(field for field, _ in portion)
            yield Portion(number, lacking, (), len(portion))
        if self._count(number) > len(fields):
            yield Portion(number, (), [field for field in self._fields(number) if field not in fields], 0)

    def mend(self, portion: Portion) -> int:
        """Put right what is wrong in a set that readers use, and have its record applied again: they hear of it.

        Return how many buckets were wrong; a set that has gone meanwhile has none.
        """
        if portion.is_right or not self.is_read(portion.number):
            return 0
        for some in _steps(portion.lacking):
            self._mend(portion.number, some, ())
        for gone in batches(portion.foreign, STEP_KEYS):
            self._mend(portion.number, (), gone)
        self._source.rows(_RENEW, (portion.number, portion.number))
        return len(portion.lacking) + len(portion.foreign)

    def differences(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, what differs) for sets that Redis should have."""
        for name in names:
            for portion in self.compare(rate_set_number(name)):
                yield from ((name, f"bucket {field} is missing or differs") for field, _ in portion.lacking)
                if portion.foreign:
                    yield name, "has buckets that stand only in Redis"

    def strangers(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, what is wrong) for sets whose buckets stand in Redis, but which are none of `names`."""
        known = {rate_set_number(name) for name in names}
        for number in dict.fromkeys(self.stored_numbers()):
            if number not in known:
                yield keys.rate_set(number), _ONLY_IN_REDIS

    def left(self, names: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield (name, what is wrong) for those of `names`, sets that are gone, whose buckets still stand in Redis."""
        for name in names:
            if self._count(rate_set_number(name)):
                yield name, _ONLY_IN_REDIS

    def stored_numbers(self) -> Iterator[int]:
        """Yield the number of every rate set that has buckets in Redis; some may come twice."""
        for key in self._store.scan(f"{keys.RATE_PREFIX}*"):
            yield int(key.removeprefix(keys.RATE_PREFIX))

    def is_read(self, number: int) -> bool:
        """Tell whether a set is one for Redis, and its record stands there."""
        there = self._source.rows(_EXISTING, ([number],))
        return bool(there and self._store.living(BY_VIEW[RATE_SET], [keys.rate_set(number)]))

    def is_room_left(self) -> bool:
        """Tell whether Redis has memory for more rates. Above 80 % calls are refused, which no price list may cause."""
        info = self._store.client.execute("INFO", "memory").decode()
        facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        maximum = int(facts["maxmemory"])
        return not maximum or int(facts["used_memory"]) <= maximum * MEMORY_SHARE_MAX

    def is_large(self, number: int) -> bool:
        """Tell whether a set is too large for a pass: it comes in more than one portion."""
        return len(self._source.rows(_RANGES, (number,))) > 1

    def _leading_to(self, waiting: frozenset[int], rows: Sequence[OutboxRow]) -> frozenset[tuple[str, str]]:
        """Return (kind, key) of what must not be applied before `waiting` are complete."""
        held = {(TARIFF, RESET), *((RATE_SET, keys.rate_set(number)) for number in waiting)}
        sets, numbers = list(waiting), {kind: _numbers(rows, kind) for kind in (RATE_SET, TARIFF, *PAYERS)}
        if numbers[RATE_SET]:
            held |= {(RATE_SET, name) for (name,) in self._source.rows(_ABOVE, (numbers[RATE_SET], sets))}
        if not any(numbers[kind] for kind in (TARIFF, *PAYERS)):
            return frozenset(held)
        pointing = {name for (name,) in self._source.rows(_POINTING, [sets] * 3)}
        held |= {(TARIFF, name) for name in pointing}
        absent = pointing.difference(self._store.living(BY_VIEW[TARIFF], sorted(pointing)))
        tariffs = [int(name.partition(":")[2]) for name in absent]
        for kind, query in PAYERS.items() if tariffs else ():
            held |= {(kind, name) for (name,) in self._source.rows(query, (numbers[kind], tariffs))}
        return frozenset(held)

    def _drop_strangers(self, numbers: frozenset[int]) -> None:
        """Remove buckets of sets that this snapshot does not have; only here, where nobody else writes such."""
        there = {number for (number,) in self._source.rows(_EXISTING, (list(numbers),))} if numbers else set()
        for number in numbers - there:
            self._store.drop_buckets(number)

    def _absent(self, numbers: Collection[int]) -> list[int]:
        """Return those of `numbers`, sets that Postgres has for Redis, of which Redis has no record."""
        if not numbers:
            return []
        there = [number for (number,) in self._source.rows(_EXISTING, (list(numbers),))]
        living = set(self._store.living(BY_VIEW[RATE_SET], [keys.rate_set(number) for number in there]))
        return [number for number in there if keys.rate_set(number) not in living]

    def _fill(self, number: int) -> Iterator[int]:
        """Write all buckets of a set that nobody reads, over nothing; yield how many, portion by portion."""
        self._store.drop_buckets(number)
        for portion in self._portions(number):
            self._add(number, portion)
            yield len(portion)

    def _portions(self, number: int) -> Iterator[list[Bucket]]:
        """Yield the buckets that Postgres has of a set, by ranges of fields."""
        for low, high in self._source.rows(_RANGES, (number,)):
            yield [(field, bytes(bucket)) for field, bucket in self._source.rows(_BUCKETS, (number, low, high))]

    def _add(self, number: int, buckets: Sequence[Bucket]) -> None:
        for some in _steps(buckets):
            self._store.add_buckets(number, some)

    def _mend(self, number: int, buckets: Sequence[Bucket], gone: Sequence[str]) -> None:
        parts = [part for bucket in buckets for part in bucket]
        self._store.fenced("tandem_mend_rates_1", (keys.rate_hash(number),), (len(buckets), *parts, *gone))

    def _fields(self, number: int) -> list[str]:
        return [field.decode() for field in self._store.client.execute("HKEYS", keys.rate_hash(number))]

    def _stored(self, number: int, fields: Sequence[str]) -> list[bytes | None]:
        return list(self._store.client.execute("HMGET", keys.rate_hash(number), *fields)) if fields else []

    def _count(self, number: int) -> int:
        return int(self._store.client.execute("HLEN", keys.rate_hash(number)))


def rate_set_number(name: str) -> int:
    """Return the number in the short name of a rate set."""
    return int(name.removeprefix(keys.rate_set(0)[:-1]))


def _numbers(rows: Iterable[OutboxRow], kind: str) -> list[int]:
    return [int(row.key.partition(":")[2]) for row in rows if row.kind == kind and row.key != RESET]


def _steps(buckets: Iterable[Bucket]) -> Iterator[list[Bucket]]:
    """Yield `buckets` in lists that Redis takes without holding anybody up."""
    step: list[Bucket] = []
    size = 0
    for bucket in buckets:
        if step and (len(step) == STEP_KEYS or size + len(bucket[1]) > STEP_BYTES):
            yield step
            step, size = [], 0
        step.append(bucket)
        size += len(bucket[1])
    if step:
        yield step
