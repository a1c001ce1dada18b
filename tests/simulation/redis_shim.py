"""A simulated Redis: our libraries under Lua 5.1 over simulated keys, on a virtual clock, able to forget.

Held to the real Redis by test_shim.py. Not simulated: memory (said to be full or not), ACLs, replication.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple

from lupa.lua51 import LuaError, LuaRuntime

from kemi.adapters import redis_functions
from kemi.adapters.redis_client import Argument, FunctionFailed, Reply
from tests.simulation.journal import Journal
from tests.simulation.keyspace import OK, Keyspace
from tests.simulation.lua_values import LuaValues, Status, argument, from_lua
from tests.simulation.streams import Streams

WRITES: Final = frozenset(
    b"SET MSET DEL UNLINK PEXPIRE HSET ZADD ZREM ZPOPMIN XADD XTRIM XACK XGROUP XREADGROUP XAUTOCLAIM".split()
)
MEMORY_MAX: Final = 1_000_000_000


class Function(NamedTuple):
    """A registered function. reads_only: its flag."""

    callback: Any
    reads_only: bool


class RedisShim:
    """One Redis. now_us: its clock. sources: library name -> Lua, by default those of kemi/adapters/functions.

    writes: how many commands that write its functions have run.
    """

    def __init__(self, now_us: Callable[[], int], sources: Mapping[str, str] | None = None) -> None:
        self._read_clock = now_us
        self._now_us = now_us()
        self._sources = dict(sources if sources is not None else redis_functions.sources())
        self._lua = LuaRuntime(encoding=None, unpack_returned_tuples=True)
        self._values = LuaValues(self._lua)
        self._functions: dict[bytes, Function] = {}
        self._running: Function | None = None
        self.journal = Journal()
        self.keys = Keyspace(self.journal, self.now_ms)
        self.streams = Streams(self.journal, self.now_ms)
        self.memory_is_full = False
        self.starts = 0
        self.writes = 0
        self._commands = {**dict(self.keys.commands()), **dict(self.streams.commands())}
        self._commands |= {b"TIME": self._time, b"INFO": self._info, b"EXISTS": self._exists, b"FCALL": self._fcall}
        self._commands |= {b"FCALL_RO": self._fcall, b"FLUSHALL": self._flush, b"PING": lambda: Status(b"PONG")}
        self._install()
        self.start()

    def now_ms(self) -> int:
        """Return the clock as of the running command; within one command it stands."""
        return self._now_us // 1000

    def clock_ms(self) -> int:
        """Return what the clock shows now, to whoever stands beside Redis."""
        return self._read_clock() // 1000

    def start(self) -> None:
        """Run the libraries: a new process, whose memory of being armed is gone."""
        self.starts += 1
        self.reload(self._sources)

    def reload(self, sources: Mapping[str, str]) -> None:
        """Replace the libraries, as FUNCTION LOAD REPLACE does: the memory of being armed goes with the old ones."""
        self._sources = dict(sources)
        self._functions.clear()
        for source in self._sources.values():
            self._lua.execute(b"--" + source.encode())

    def copy(self) -> RedisShim:
        """Return another process with the same data, as a replica is; it is not armed."""
        made = RedisShim(self._read_clock, self._sources)
        made.memory_is_full = self.memory_is_full
        made.keys.take(self.keys)
        made.streams.streams = deepcopy(self.streams.streams)
        return made

    def lose(self, operations: int) -> None:
        """Take back the last operations, as a killed machine does; the process must be started again."""
        self.journal.take_back(operations)

    def execute(self, words: Sequence[Argument]) -> Reply | FunctionFailed:
        """Run one command of a client and return what goes over the wire; an error is a value."""
        name, *rest = (word if isinstance(word, bytes) else str(word).encode() for word in words)
        self.journal.begin()
        self._now_us = self._read_clock()
        try:
            reply = self._command(name)(*rest)
        except FunctionFailed as error:
            return error
        return bytes(reply) if isinstance(reply, Status) else reply

    def _install(self) -> None:
        lua, names = self._lua, self._lua.globals()
        self._values.install()
        names[b"redis"] = lua.table_from(
            {
                b"call": self._call,
                b"register_function": self._register,
                b"log": lambda *_: None,
                b"LOG_WARNING": 3,
                b"error_reply": lambda text: lua.table_from({b"err": text}),
                b"status_reply": lambda text: lua.table_from({b"ok": text}),
            }
        )

    def _register(self, name: Any, callback: Any = None) -> None:
        flags: list[bytes] = []
        if callback is None:
            given = name
            name, callback = given[b"function_name"], given[b"callback"]
            flags = list(given[b"flags"].values()) if given[b"flags"] is not None else []
        self._functions[name] = Function(callback, b"no-writes" in flags)

    def _call(self, name: bytes, *args: Any) -> Any:
        """`redis.call`: runs a command inside a function."""
        if name in WRITES:
            if self._running is not None and self._running.reads_only:
                raise FunctionFailed("user_function: Write commands are not allowed from read-only scripts.")
            self.writes += 1
        return self._values.to_lua(self._command(name.upper())(*map(argument, args)))

    def _command(self, name: bytes) -> Callable[..., Any]:
        if name not in self._commands:
            raise NotImplementedError(f"{name.decode()} is not simulated")
        return self._commands[name]

    def _fcall(self, name: bytes, count: bytes, *words: bytes) -> Reply:
        function = self._functions.get(name)
        if function is None:
            raise FunctionFailed("Function not found")
        keys, args = list(words[: int(count)]), list(words[int(count) :])
        self._running = function
        try:
            return from_lua(function.callback(self._lua.table_from(keys), self._lua.table_from(args)))
        except (LuaError, TypeError, ValueError, OverflowError) as error:
            raise FunctionFailed(f"user_function: {error}") from error
        finally:
            self._running = None

    def _flush(self) -> Status:
        self.keys.clear()
        self.streams.clear()
        self.journal.forget()
        return OK

    def _exists(self, *names: bytes) -> int:
        return self.keys._do_exists(*names) + sum(name in self.streams.streams for name in names)

    def _time(self) -> list[bytes]:
        return [b"%d" % (self._now_us // 1_000_000), b"%d" % (self._now_us % 1_000_000)]

    def _info(self, section: bytes) -> bytes:
        if section != b"memory":
            raise NotImplementedError("INFO")
        used = MEMORY_MAX if self.memory_is_full else 1
        return b"# Memory\r\nused_memory:%d\r\nmaxmemory:%d\r\n" % (used, MEMORY_MAX)
