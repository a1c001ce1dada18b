"""The simulated Redis answers as the real one: commands, streams, msgpack, struct, Lua's values on the wire."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgpack
import pytest

from kemi.adapters.redis_client import Argument
from tests.simulation.shim_bench import Pair


def commands(rng: random.Random) -> tuple[Argument, ...]:
    """Return one of the commands that the libraries and settlement use, on few keys."""
    name, field = rng.choice(("a", "b", "c")), rng.choice(("x", "y", "z"))
    score = rng.choice((rng.randrange(-3, 9), 2**53 - 1, 2**52 + 1))
    bounds = (rng.choice(("-inf", "2", "(2", str(2**52 + 1))), rng.choice(("+inf", "5", "(5", str(2**53 - 1))))
    return rng.choice(
        (
            *(("GET", f"s{name}"), ("MGET", "sa", f"s{name}", "none"), ("SET", f"s{name}", score), ("DEL", f"s{name}")),
            *(
                ("MSET", "sa", score, f"s{name}", field),
                ("UNLINK", f"s{name}", "sb"),
                ("EXISTS", f"s{name}", "e", "sa"),
            ),
            *(("PEXPIRE", f"s{name}", rng.choice((60_000, 0))), ("HSET", f"h{name}", field, score, "x", 1)),
            *(("HGET", f"h{name}", field), ("HMGET", f"h{name}", "x", field), ("HGETALL", f"h{name}")),
            *(
                ("ZADD", f"z{name}", score, field),
                ("ZADD", f"z{name}", "GT", score, field),
                ("ZREM", f"z{name}", field),
            ),
            *(("ZSCORE", f"z{name}", field), ("ZCARD", f"z{name}"), ("ZPOPMIN", f"z{name}", 1)),
            *(("ZCOUNT", f"z{name}", *bounds), ("ZRANGE", f"z{name}", 0, rng.choice((-1, 1)), "WITHSCORES")),
            *(("ZRANGEBYSCORE", f"z{name}", *bounds), ("ZRANGEBYSCORE", f"z{name}", *bounds, "LIMIT", 0, 2)),
        )
    )


@pytest.mark.parametrize("seed", range(3))
def test_commands_answer_alike(pair: Pair, seed: int) -> None:
    """The same random commands, sent by a client and from inside a function, get the same answers."""
    rng = random.Random(seed)  # noqa: S311  reproducible, not secret
    for _ in range(400):
        words = commands(rng)
        if rng.random() < 0.5:
            words = ("FCALL", "probe_call", 0, *words)
        pair.same(*words)


class StreamPair:
    """One stream in both; ids are given out by each for itself, so they are named by their position."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.known: tuple[list[bytes], list[bytes]] = ([], [])

    def add(self) -> None:
        """Add an entry to both."""
        for client, ids in zip(self.pair.clients, self.known, strict=True):
            ids.append(client.execute("XADD", "t", "*", "e", len(ids)))

    def same(self, *words: Any) -> None:
        """Run a command on both; an id is written as (position,)."""
        self.agree(lambda at: self.pair.clients[at].execute(*(self._sent(at, word) for word in words)), words)

    def agree(self, work: Callable[[int], Any], what: object) -> None:
        """Do `work` on both."""
        self.pair.agree(lambda at: self._named(at, work(at)), what)

    def _sent(self, at: int, word: Any) -> Any:
        return self.known[at][word[0]] if isinstance(word, tuple) else word

    def _named(self, at: int, reply: Any) -> Any:
        if isinstance(reply, list):
            return [self._named(at, item) for item in reply]
        return self.known[at].index(reply) if reply in self.known[at] else reply


def test_streams_answer_alike(pair: Pair) -> None:
    """Reading as a group, acknowledging, taking over and trimming."""
    rng = random.Random(5)  # noqa: S311  reproducible, not secret
    streams = StreamPair(pair)
    streams.same("XREADGROUP", "GROUP", "g", "one", "COUNT", 9, "STREAMS", "t", ">")
    streams.same("XGROUP", "CREATE", "t", "g", "0", "MKSTREAM")
    for _ in range(300):
        stream_step(streams, rng)
    streams.same("XGROUP", "DELCONSUMER", "t", "g", "one")


def stream_step(streams: StreamPair, rng: random.Random) -> None:
    """Do one of the things that settlement does with a stream."""
    who, count, clients = rng.choice(("one", "two")), len(streams.known[0]), streams.pair.clients
    act = rng.randrange(8)
    if act < 3 or not count:
        streams.add()
    elif act == 3:
        streams.same("XREADGROUP", "GROUP", "g", who, "COUNT", 2, "STREAMS", "t", rng.choice((">", "0")))
    elif act == 4:
        streams.same("XACK", "t", "g", (rng.randrange(count),))
    elif act == 5:  # where to go on after these is of no use to settlement
        claim = ("XAUTOCLAIM", "t", "g", who, 0, "0", "COUNT", 3)
        streams.agree(lambda at: clients[at].execute(*claim)[1:], claim)
    elif act == 6:
        streams.same("XTRIM", "t", "MINID", (rng.randrange(max(1, count // 2)),))
    else:
        streams.same("XPENDING", "t", "g")
        streams.same("XRANGE", "t", "-", "+", "COUNT", 5)
        streams.agree(lambda at: _group(clients[at].execute("XINFO", "GROUPS", "t")), "XINFO GROUPS")


def _group(reply: list[list[Any]]) -> list[Any]:
    """Return what settlement reads of a group; `lag` only where Redis knows it, which after a trim it need not."""
    fields = dict(zip(reply[0][::2], reply[0][1::2], strict=True))
    return [fields[name] for name in (b"name", b"pending", b"last-delivered-id")]


@pytest.mark.parametrize(
    "value",
    [
        *([], [[]], {}, {"a": [1]}, None, True, False, "", "text", b"\x00\xff" * 40, "x" * 300, "ä" * 20),
        *(0, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53, 2**53 + 1, 2**63, -1, -32, -33, -128, -129),
        *(-(2**15) - 1, -(2**31) - 1, -(2**53), [1, None, 2], list(range(20)), [[1, "a", [2.0, 7]], "b"]),
    ],
)
@pytest.mark.parametrize(("limit", "offset"), [(9, 0), (1, 0), (2, 1)])
def test_msgpack_reads_and_writes_alike(pair: Pair, value: object, limit: int, offset: int) -> None:
    """The same Lua values come out of bytes, and the same bytes out of Lua values."""
    data = b"\xc3" * offset + msgpack.packb(value) + msgpack.packb(["rest", 1])
    pair.same("FCALL", "probe_msgpack", 0, data, limit, offset)
    pair.same("FCALL", "probe_msgpack", 0, msgpack.packb(value), 9, 0)


@pytest.mark.parametrize("numbers", [(1, 0, 0, 0, 0, 0, 0), (1, 2**53 - 1, -1, 0.5, 1e300, 2**53 - 2, 7)])
def test_structs_are_packed_alike(pair: Pair, numbers: tuple[float, ...]) -> None:
    """The layouts of a fund's state and of a reservation."""
    pair.same("FCALL", "probe_struct", 0, "<Bdddddd", *map(str, numbers))
    pair.same("FCALL", "probe_struct", 0, "<BHc0dH", 3, 4, "some", "0.5", 2**16 - 1)
    pair.same("FCALL", "probe_struct", 0, "<Hc0", 0, "")
    pair.same("FCALL", "probe_reply", 0, 2**53 - 1)
