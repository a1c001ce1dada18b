"""Redis as the syncer sees it: fenced steps through functions/config.lua, and plain reads to compare.

Rule 1: every write names the fence of this syncer and the pass that it left behind. Redis refuses when another syncer
    has taken over (FencedError) or when PASS is another one (LostError): it was emptied, rolled back or replaced.
Rule 2: nothing is retried. What became of a write whose answer was lost is found out by beginning again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple, Self, TypeVar

from kemi import keys
from kemi.adapters.redis_client import Argument, Fcall, FunctionFailed, RedisClient
from tools.sync.kinds import Kind
from tools.sync.marker import NUMBER_MASK, Marker

T = TypeVar("T")

STEP_KEYS: Final = 100  # 500 block Redis for 1.3 ms
STEPS_AT_ONCE: Final = 4  # in one round trip: Redis serves nobody else between commands of one connection
READ_KEYS: Final = 500
FENCE_MAX: Final = 1 << 21  # a version must stay exact as a double
PASS_BITS: Final = 32
TIMEOUT_MS: Final = 5_000  # the largest step takes milliseconds; a stalled Redis is worth some patience here
SCAN_COUNT: Final = 1_000

_FENCED: Final = "FENCED"
_LOST: Final = "LOST"


class FencedError(Exception):
    """Another syncer has taken over."""


class LostError(Exception):
    """Redis is not as this syncer left it."""


class Change(NamedTuple):
    """The new state of one aggregate. record: it, or its bytes; None: it is gone."""

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

    @property
    def own_fence(self) -> int:
        """The fence of `begin`, 0 before it."""
        return self._fence

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

    def apply(self, changes: Sequence[Change], next_pass: Callable[[], int], marker: Marker | None = None) -> int:
        """Apply `changes` in order, in steps of 100 keys with a pass number each; return how many Redis left alone.

        marker: ends the pass too, as `commit` does, in the round trip of its last step.
        """
        steps = list(chunks(changes, STEP_KEYS))
        dropped = 0
        for some in chunks(steps, STEPS_AT_ONCE):
            calls, left = [], self._pass
            for step in some:
                version = self._version(next_pass())
                calls.append(_step("tandem_apply_1", (self._fence, left, version), step))
                left = version
            if marker is not None and some[-1] is steps[-1]:
                calls.append(Fcall("tandem_commit_pass_1", (), (self._fence, left, str(marker), "")))
            written = self._call_all(calls)
            self._pass = left
            dropped += sum(len(step) - int(count) for step, count in zip(some, written, strict=False))
        if marker is not None and not steps:
            self.commit(marker)
        return dropped

    def load(self, changes: Sequence[Change], number: int) -> None:
        """Write `changes`, as of pass `number`, over whatever stands there.

        Only after `forget` and before `commit`, while nobody reads.
        """
        version = self._version(number)
        for some in chunks(list(chunks(changes, STEP_KEYS)), STEPS_AT_ONCE):
            states = [(self._fence, self._pass if step is some[0] else version, version) for step in some]
            self._call_all([_step("tandem_load_1", state, step) for state, step in zip(states, some, strict=True)])
            self._pass = version

    def add_buckets(self, rate_set_id: int, buckets: Sequence[tuple[str, bytes]]) -> None:
        """Add buckets to a rate set that no tariff in Redis names yet. At most 100."""
        fields = [part for bucket in buckets for part in bucket]
        self.fenced("tandem_rates_1", (keys.rate_hash(rate_set_id),), ("", *fields))

    def drop_buckets(self, rate_set_id: int) -> None:
        """Remove all buckets of a rate set that is gone."""
        self.fenced("tandem_rates_1", (keys.rate_hash(rate_set_id),), ("",))

    def fenced(self, name: str, key_names: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Call a function that wants the fence before its arguments. Raises FencedError."""
        return self._call(name, key_names, (self._fence, *arguments))

    def commit(self, marker: Marker, full_pass: int | None = None, status: str = "") -> None:
        """End a pass, or say that the syncer lives. full_pass: of now on; readers drop all they hold.

        status: a JSON object for the NOC; "" leaves the last one.
        """
        version = self._version(full_pass) if full_pass is not None else None
        arguments = (*self._state(), str(marker), "" if version is None else version, status)
        self._call("tandem_commit_pass_1", (), arguments)
        self._pass = self._pass if version is None else version

    def say(self, status: str) -> None:
        """Say that the syncer lives and how it is doing, where no pass can be ended: in a load, or when it freezes."""
        self._call("tandem_sync_status_1", (), (self._fence, status))

    def values(self, names: Sequence[str]) -> list[bytes | None]:
        """Return what stands at Redis keys `names`; at most a few hundred."""
        return list(self._client.execute("MGET", *names)) if names else []

    def names(self, kind: Kind) -> Iterator[str]:
        """Yield the name of everything of a kind that stands in Redis, what is marked as gone included."""
        whole = kind.key(kind.prefix)
        cut = len(kind.key(""))
        pattern = whole if kind.is_one else whole + "*"
        for key in self.scan(pattern):
            yield key[cut:]

    def lacking(self, kind: Kind, names: Sequence[str]) -> list[str]:
        """Return those of `names` at which nothing stands, not even "deleted"; at most a few hundred."""
        if not names or int(self._client.execute("EXISTS", *map(kind.key, names))) == len(names):
            return []
        values = self.values([kind.key(name) for name in names])
        return [name for name, value in zip(names, values, strict=True) if value is None]

    def living(self, kind: Kind, names: Sequence[str]) -> list[str]:
        """Return those of `names` at which a record stands; what cannot be read counts as one."""
        found = []
        for some in chunks(names, READ_KEYS):
            for name, value in zip(some, self.values([kind.key(name) for name in some]), strict=True):
                if kind.lives(value):
                    found.append(name)
        return found

    def scan(self, pattern: str) -> Iterator[str]:
        """Yield every Redis key that matches; some may come twice."""
        for page in self.pages(pattern):
            yield from page

    def pages(self, pattern: str) -> Iterator[list[str]]:
        """Yield what `scan` does in lists as they come, some of them empty. A key that is no text is none of ours."""
        cursor = b"0"
        while True:
            cursor, found = self._client.execute("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            yield [key.decode() for key in found if key.isascii()]
            if cursor == b"0":
                return

    def _state(self) -> tuple[int, int]:
        return self._fence, self._pass

    def _version(self, number: int) -> int:
        """Return the version of a step. Raises LostError once in 2^32 steps: the next fence goes on."""
        if not number & NUMBER_MASK:
            raise LostError("the numbers of passes begin again from 0")
        return self._fence << PASS_BITS | number & NUMBER_MASK

    def _call(self, name: str, key_names: Sequence[str], arguments: Sequence[Argument]) -> Any:
        return self._call_all([Fcall(name, tuple(key_names), tuple(arguments))])[0]

    def _call_all(self, calls: Sequence[Fcall]) -> list[Any]:
        """Call functions in order in one round trip; each names the pass that the one before leaves, if it does."""
        replies = self._client.fcalls(calls)
        for reply in replies:
            if isinstance(reply, FunctionFailed):
                raise self._meaning(reply) from reply
        return replies

    def _meaning(self, error: FunctionFailed) -> Exception:
        if error.text.startswith(_FENCED):
            return FencedError(f"fence {self._fence} is refused: {error.text}")
        if error.text.startswith(_LOST):
            return LostError(f"this syncer left pass {self._pass} in Redis: {error.text}")
        return error


def _step(function: str, state: tuple[int, int, int], step: Sequence[Change]) -> Fcall:
    """state: fence, the pass that stands in Redis before it, its own version."""
    values = [change.kind.value(state[2], change.record) for change in step]
    return Fcall(function, tuple([change.kind.key(change.name) for change in step]), (*state, *values))


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """Yield `items` in runs of at most `size`."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
