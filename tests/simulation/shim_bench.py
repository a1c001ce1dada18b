"""Handles on the simulated Redis for tests: alone, and side by side with the real one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from kemi import codec, keys
from kemi.adapters.redis_client import Argument, FunctionFailed, RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import FundTerms, Operation, Rehold, Result
from kemi.records import CallEvent
from tests.funds_bench import EPOCH, GRACE_S, NODE
from tests.simulation.redis_shim import RedisShim
from tests.simulation.shim_client import direct

PROBE = """#!lua name=probe
local function shown(value)
  if type(value) == "number" then
    return string.format("%.17g", value)
  elseif type(value) ~= "table" then
    return type(value) .. tostring(value)
  end
  local parts, count = {}, 0
  for _ in pairs(value) do
    count = count + 1
  end
  for i = 1, #value do
    parts[i] = shown(value[i])
  end
  return count .. "{" .. table.concat(parts, ",") .. "}"
end

redis.register_function("probe_call", function(_, args)
  return redis.call(unpack(args))
end)

-- Where the reading ended, how Lua shows what was read, and its bytes when packed again.
redis.register_function("probe_msgpack", function(_, args)
  local got = { cmsgpack.unpack_limit(args[1], tonumber(args[2]), tonumber(args[3])) }
  local after, packed = got[1], {}
  for i = 2, #got do
    packed[#packed + 1] = shown(got[i])
    packed[#packed + 1] = cmsgpack.pack(got[i])
  end
  return { after, packed, shown({ cmsgpack.unpack_one(args[1]) }), shown({ cmsgpack.unpack(args[1]) }) }
end)

redis.register_function("probe_struct", function(_, args)
  local numbers = {}
  for i = 2, #args do
    numbers[#numbers + 1] = tonumber(args[i]) or args[i]
  end
  local packed = struct.pack(args[1], unpack(numbers))
  return { packed, shown({ struct.unpack(args[1], packed .. "rest") }) }
end)

-- What becomes of Lua's values on the wire.
redis.register_function("probe_reply", function(_, args)
  return { tonumber(args[1]), true, { 1.9, -1.9, "text", { false, 2 } }, {}, cmsgpack.pack({}, { a = 1 }, nil), 2 ^ 53 }
end)
"""


class Clock:
    """A clock that is set by hand; in microseconds."""

    def __init__(self) -> None:
        self.now_us = 1_700_000_000_000_000

    def __call__(self) -> int:
        """Return the time."""
        return self.now_us


class ShimBench:
    """A handle on the simulated Redis. Meaning of the methods: as in funds_bench.Bench."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.redis = RedisShim(self.clock)
        self._client = direct(self.redis)
        self.funds = self.keeper = Funds(self._client, NODE, GRACE_S)
        self.keeper.arm(EPOCH)

    def batch_of(self, node: str, operations: Sequence[Operation]) -> list[Result]:
        """Apply operations of another node."""
        return Funds(self._client, node, GRACE_S).batch(operations)

    def set_terms(self, fund: str, terms: FundTerms | None) -> None:
        """Do what the sync does."""
        if terms is None:
            self._client.execute("DEL", keys.fund_terms(fund))
        else:
            self._client.execute("SET", keys.fund_terms(fund), codec.pack(terms))

    def set_config(self, config_pass: int, changed: Mapping[str, int], low: int = 0) -> None:
        """Let configuration stand at a pass."""
        self._client.execute("MSET", keys.PASS, config_pass, keys.CHANGED_LOW, low, keys.MARKER, "one")
        self._client.execute("DEL", keys.CHANGED)
        for name, at in changed.items():
            self._client.execute("ZADD", keys.CHANGED, at, name)

    def lose_marker(self) -> None:
        """Do what the sync does before it loads another database."""
        self._client.execute("DEL", keys.MARKER)

    def events(self) -> list[CallEvent]:
        """Return all events so far."""
        return [
            codec.unpack(CallEvent, fields[1]) for _, fields in self._client.execute("XRANGE", keys.EVENTS, "-", "+")
        ]

    def expire_lease(self, rid: str) -> None:
        """Let a lease be past."""
        self._client.execute("ZADD", keys.LEASES, 1, rid)

    def disarm(self) -> None:
        """Do what a restart does."""
        self.redis.start()

    def lose_epoch(self) -> None:
        """Do what a FLUSHALL does to the epoch."""
        self._client.execute("DEL", keys.EPOCH)

    def remember(self) -> object:
        """Return all that stands in it."""
        return self.redis.copy()

    def roll_back(self, before: object) -> None:
        """Let all be as it was, and unarmed."""
        assert isinstance(before, RedisShim)
        self.redis.keys.take(before.keys)
        self.redis.streams.streams = deepcopy(before.streams.streams)
        self.redis.start()

    def call_nodes(self, epoch: int) -> None:
        """Want calls, or no more."""
        self._client.execute("DEL", keys.ADOPTED if epoch else keys.BUILDING)
        if epoch:
            self._client.execute("SET", keys.BUILDING, epoch)

    def raise_opseq(self, opseq: int) -> None:
        """Count on from there."""
        self._client.execute("SET", keys.OPSEQ, max(opseq, self.funds.status().opseq))

    def adopted(self) -> Mapping[str, tuple[int, int]]:
        """Return the nodes that have told all."""
        flat = [part.decode() for part in self._client.execute("HGETALL", keys.ADOPTED)]
        pairs = ((node, told.split()) for node, told in zip(flat[::2], flat[1::2], strict=True))
        return {node: (int(epoch), int(count)) for node, (epoch, count) in pairs}

    def rehold_of(self, node: str, told: Sequence[Rehold]) -> list[Result]:
        """Tell calls as another node."""
        return Funds(self._client, node, GRACE_S).rehold(told)

    def now_ms(self) -> int:
        """Return the time."""
        return self.clock.now_us // 1000

    def second(self) -> int:
        """Return the current second."""
        return self.clock.now_us // 1_000_000

    def let_time_pass(self) -> None:
        """Move the clock."""
        self.clock.now_us += 1_000

    def set_memory_full(self, *, full: bool) -> None:
        """Fill the memory, or make room."""
        self.redis.memory_is_full = full
        self.clock.now_us += 1_000_000


class Pair:
    """The simulated and the real Redis side by side, the clock of the one set to that of the other."""

    def __init__(self, real: RedisClient) -> None:
        self.clock = Clock()
        self.shim = RedisShim(self.clock)
        self.clients = (direct(self.shim), real)
        self.asks = tuple(Funds(client, NODE, GRACE_S) for client in self.clients)

    def same(self, *words: Argument) -> Any:
        """Run a command on both; they answer the same."""
        return self.agree(lambda at: self.clients[at].execute(*words), words)

    def agree(self, work: Callable[[int], Any], what: object) -> Any:
        """Do `work` on the simulated (0) and on the real one (1); both come to the same."""
        seconds, micros = self.clients[1].execute("TIME")
        self.clock.now_us = int(seconds) * 1_000_000 + int(micros)
        simulated, real = (_answer(work, at) for at in (0, 1))
        assert simulated == real, what
        return real

    def events(self, at: int) -> list[Any]:
        """Return the fields of all events of one of them."""
        return [entry[1] for entry in self.clients[at].execute("XRANGE", keys.EVENTS, "-", "+")]


def _answer(work: Callable[[int], Any], at: int) -> Any:
    try:
        return work(at)
    except FunctionFailed as error:
        return f"error {re.split('[ :]', error.text)[0]}"  # Redis adds the line
    except (ValueError, StoreUnavailable) as error:
        return f"{type(error).__name__}: {error}"
