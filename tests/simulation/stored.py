"""What stands in the simulated Redis, read from its bytes without any function of ours."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from kemi import codec, keys
from kemi.adapters.redis_operations import FundState, FundTerms
from tests.simulation.redis_shim import RedisShim
from tests.simulation.streams import Id

EPOCH: Final = keys.EPOCH.encode()
BUILDING: Final = keys.BUILDING.encode()
OPSEQ: Final = keys.OPSEQ.encode()
LEASES: Final = keys.LEASES.encode()
EVENTS: Final = keys.EVENTS.encode()
CHANGED_MAX: Final = 512
NOTHING: Final[Mapping[bytes, float]] = {}


class Stored:
    """A view of one Redis, for whoever stands beside it."""

    def __init__(self, redis: RedisShim) -> None:
        self._redis = redis

    def _string(self, key: str) -> bytes | None:
        return self._redis.keys.strings.get(key.encode())

    @property
    def epoch(self) -> int:
        """The epoch of the key, 0 = none."""
        return int(self._redis.keys.strings.get(EPOCH, b"0"))

    @property
    def building(self) -> int:
        """The epoch for which nodes are to tell their calls, 0 = none."""
        return int(self._redis.keys.strings.get(BUILDING, b"0"))

    @property
    def opseq(self) -> int:
        """How many operations were applied."""
        return int(self._redis.keys.strings.get(OPSEQ, b"0"))

    @property
    def leases(self) -> Mapping[bytes, float]:
        """Reservation -> expiry in Redis ms."""
        return self._redis.keys.sorted_sets.get(LEASES, NOTHING)

    def events(self) -> dict[Id, list[bytes]]:
        """Return the entries of the event stream."""
        stream = self._redis.streams.streams.get(EVENTS)
        return stream.entries if stream else {}

    def has_reservation(self, rid: str) -> bool:
        """Whether Redis keeps anything under this id."""
        return self._string(keys.reservation(rid)) is not None

    def terms(self, fund: str) -> FundTerms | None:
        """Return a fund's terms."""
        stored = self._string(keys.fund_terms(fund))
        return codec.unpack(FundTerms, stored) if stored else None

    def sums(self, fund: str) -> FundState:
        """Return what Redis keeps of a fund."""
        stored = self._string(keys.fund_state(fund))
        return FundState.unpack(stored) if stored else FundState()

    def must_be_stale(self, seen: int, used: frozenset[bytes]) -> bool:
        """Return whether a decision may rest on what has changed since, by the names that are listed as changed."""
        pass_, low = int(self._string(keys.PASS) or 0), int(self._string(keys.CHANGED_LOW) or 0)
        changed = self._redis.keys.sorted_sets.get(keys.CHANGED.encode(), NOTHING)
        missed = {name for name, at in changed.items() if at > seen}
        if pass_ and self._string(keys.MARKER) is None:
            return True
        if seen == pass_:
            return False
        return not low <= seen <= pass_ or len(missed) > CHANGED_MAX or bool(missed & used)

    def newer_than(self, seen: int, used: Iterable[bytes]) -> list[bytes]:
        """Return those of the names whose stored record is of a later version, whatever is listed as changed."""
        found = ((name, self._string(keys.config(name.decode()))) for name in sorted(used))
        return [name for name, stored in found if stored and codec.unpack_config(stored).version > seen]
