"""Redis as the syncer sees it: fenced steps through functions/config.lua, and plain reads to compare.

Rule 1: every write names the fence of this syncer and the pass that it left behind. Redis refuses when another syncer
    has taken over (FencedError) or when PASS is another one (LostError): it was emptied, rolled back or replaced.
Rule 2: nothing is retried. What became of a write whose answer was lost is found out by beginning again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Self, TypeVar

from kemi import keys
from kemi.adapters.redis_client import FunctionFailed, RedisClient
from tools.sync.kinds import Kind
from tools.sync.marker import Marker

T = TypeVar("T")

STEP_KEYS: Final = 100  # 500 block Redis for 1.3 ms
READ_KEYS: Final = 500
FENCE_MAX: Final = 1 << 21  # a version must stay exact as a double
PASS_BITS: Final = 32
PASS_MAX: Final = (1 << PASS_BITS) - 1
TIMEOUT_MS: Final = 5_000  # the largest step takes milliseconds; a stalled Redis is worth some patience here
SCAN_COUNT: Final = 1_000

_FENCED: Final = "FENCED"
_LOST: Final = "LOST"


class FencedError(Exception):
    """Another syncer has taken over."""


class LostError(Exception):
    """Redis is not as this syncer left it."""


class Change(NamedTuple):
    """The new state of one aggregate; record None: it is gone."""

    kind: Kind
    name: str
    record: object | None


class Store:
    """One syncer's hold on Redis. Every method may raise StoreUnavailable."""

    def __init__(self, client: RedisClient) -> None:
        """Use `client`. Until `begin` only reading is of use."""
        self._client = client
        self._fence = 0
        self._pass = 0

    @classmethod
    def connect(cls, url: str) -> Self:
        """Return a store at `url`; the connection is made with the first call."""
        return cls(RedisClient(url, TIMEOUT_MS))

    @property
    def client(self) -> RedisClient:
        """The plain client, for loading functions."""
        return self._client

    @property
    def version(self) -> int:
        """What this syncer left at PASS: (fence << 32) | pass; 0 before `begin`, and of an empty Redis."""
        return self._pass

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def fence(self) -> int:
        """Return the highest fence that Redis knows."""
        return int(self._client.execute("GET", keys.FENCE) or 0)

    def begin(self, fence: int) -> tuple[int, Marker | None]:
        """Take over with `fence`; return PASS and the marker that stand in Redis. Raises FencedError."""
        if not 0 < fence < FENCE_MAX:
            raise ValueError(f"fence {fence} is not 1 to {FENCE_MAX - 1}")
        self._fence = fence
        redis_pass, marker = self._call("tandem_begin_1", (), (fence, 0))
        self._pass = int(redis_pass)
        return self._pass, None if marker is None else Marker.parse(marker.decode())

    def forget(self) -> None:
        """Make workers use nothing of what stands in Redis until the next commit."""
        self._call("tandem_begin_1", (), (self._fence, 1))

    def apply(self, changes: Sequence[Change], next_pass: Callable[[], int]) -> int:
        """Apply `changes` in order, in steps of 100 keys with a pass number each; return how many Redis left alone."""
        dropped = 0
        for step in chunks(changes, STEP_KEYS):
            version = self._version(next_pass())
            names = [change.kind.key(change.name) for change in step]
            values = [change.kind.value(version, change.record) for change in step]
            written = self._call("tandem_apply_1", names, (*self._state(), version, *values))
            self._pass = version
            dropped += len(step) - int(written)
        return dropped

    def add_buckets(self, rate_set_id: int, buckets: Sequence[tuple[str, bytes]]) -> None:
        """Add buckets to a rate set that no tariff in Redis names yet. At most 100."""
        fields = [part for bucket in buckets for part in bucket]
        self._call("tandem_rates_1", (keys.rate_hash(rate_set_id),), (*self._state(), *fields))

    def drop_buckets(self, rate_set_id: int) -> None:
        """Remove all buckets of a rate set that is gone."""
        self._call("tandem_rates_1", (keys.rate_hash(rate_set_id),), self._state())

    def commit(self, marker: Marker, full_pass: int | None = None) -> None:
        """End a pass, or say that the syncer lives. full_pass: ends a full load; then readers drop all they hold."""
        version = self._version(full_pass) if full_pass is not None else None
        self._call("tandem_commit_pass_1", (), (*self._state(), str(marker), "" if version is None else version))
        self._pass = self._pass if version is None else version

    def values(self, names: Sequence[str]) -> list[bytes | None]:
        """Return what stands at Redis keys `names`; at most a few hundred."""
        return list(self._client.execute("MGET", *names)) if names else []

    def names(self, kind: Kind) -> Iterator[str]:
        """Yield the name of everything of a kind that stands in Redis, what is marked as gone included."""
        whole = kind.key(kind.prefix)
        cut = len(kind.key(""))
        pattern = whole if kind.is_one else whole + "*"
        for key in self._scan(pattern):
            yield key[cut:]

    def living(self, kind: Kind, names: Sequence[str]) -> list[str]:
        """Return those of `names` at which a record stands; what cannot be read counts as one."""
        found = []
        for some in chunks(names, READ_KEYS):
            for name, value in zip(some, self.values([kind.key(name) for name in some]), strict=True):
                if not _is_gone(kind, value):
                    found.append(name)
        return found

    def rate_sets(self) -> Iterator[int]:
        """Yield the id of every rate set that has buckets in Redis."""
        for key in self._scan(f"{keys.RATE_PREFIX}*"):
            yield int(key.removeprefix(keys.RATE_PREFIX))

    def buckets(self, rate_set_id: int, fields: Sequence[str]) -> list[bytes | None]:
        """Return the buckets at `fields` of a rate set; at most a few hundred."""
        return list(self._client.execute("HMGET", keys.rate_hash(rate_set_id), *fields)) if fields else []

    def bucket_count(self, rate_set_id: int) -> int:
        """Return how many buckets a rate set has."""
        return int(self._client.execute("HLEN", keys.rate_hash(rate_set_id)))

    def _state(self) -> tuple[int, int]:
        return self._fence, self._pass

    def _version(self, pass_number: int) -> int:
        if not 0 < pass_number <= PASS_MAX:
            raise ValueError(f"pass {pass_number} is not 1 to {PASS_MAX}")
        return self._fence << PASS_BITS | pass_number

    def _scan(self, pattern: str) -> Iterator[str]:
        cursor = b"0"
        while True:
            cursor, found = self._client.execute("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            yield from (key.decode() for key in found)
            if cursor == b"0":
                return

    def _call(self, name: str, key_names: Sequence[str], arguments: Sequence[str | bytes | int]) -> Any:
        try:
            return self._client.fcall(name, key_names, arguments)
        except FunctionFailed as error:
            if error.text.startswith(_FENCED):
                raise FencedError(f"fence {self._fence} is refused: {error.text}") from error
            if error.text.startswith(_LOST):
                raise LostError(f"this syncer left pass {self._pass} in Redis: {error.text}") from error
            raise


def _is_gone(kind: Kind, value: bytes | None) -> bool:
    try:
        return kind.read(value) is None
    except ValueError:
        return False


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
