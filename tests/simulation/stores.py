"""The stores of the virtual world: Redis, whom it answers, what befalls it, and Postgres.

Rule 1: every command is judged, also those that an old master takes which does not know that another one was chosen.
Rule 2: nobody but a process named here decides which Redis it reaches.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, Final

from kemi import codec
from kemi.adapters.redis_client import Argument, FunctionFailed, Reply
from kemi.adapters.redis_operations import FundState
from kemi.records import CallEvent
from tests.simulation import first_release
from tests.simulation.oracle import Oracle
from tests.simulation.postgres import Postgres
from tests.simulation.process import Late, Process, Rates
from tests.simulation.redis_shim import RedisShim
from tests.simulation.shim_client import Commands
from tests.simulation.violation import require
from tools.settle.books import NO_WINDOWS

START_US: Final = 1_770_000_000_000_000
SECOND: Final = 1_000_000
TRACE_KEPT: Final = 5_000
LOSSES: Final = (0, 1, 3, 10, 20, 40, 100, 1_500)  # operations; the last one: an old dump
LAG_US: Final = 30 * SECOND  # how long an old master may go on
TASTES: Final = (0.3, 1, 1, 1, 1, 3)  # how much of something a history has, compared with others
FIRST_SHARE: Final = 0.3  # of the histories begin with the first release
TALKS: Final = (0.8, 0.9, 0.97)  # chances that a phone talks on, each time that it might hang up
WEATHERS: Final = (0.1, 0.3, 1)  # how often faults and deaths are, of all histories


class Stores:
    """Redis and Postgres. sources: the Lua libraries, by default the real ones.

    late: requests that still wander about. lost_us: when events were written that Redis has lost, by its clock.
    old: an old master that still answers `cut_off`, None = there is only one. first_nodes: who runs the first release.
    pins: what was decided for each call. weather: how much of the faults and deaths there are. talks_on: how talkative
    phones are, as a chance.
    """

    def __init__(self, seed: int, sources: Mapping[str, str] | None = None) -> None:
        self.rng = random.Random(seed)  # noqa: S311  reproducible, not secret
        self.talks_on = self.rng.choice(TALKS)
        self.weather = self.rng.choice(WEATHERS)
        rates = Rates(*(rate * self.rng.choice(TASTES) * self.weather for rate in Rates()))
        self.rates = rates._replace(interleave=rates.interleave / self.weather)
        self.late: list[Late] = []
        self.lost_us: list[int] = []
        self.now_us = START_US
        self.steps = 0
        self.trace: deque[str] = deque(maxlen=TRACE_KEPT)
        self.data = Postgres(lambda: self.now_us // 1000)
        self.stepped_us = START_US
        self.redis_offset_us = 0
        self._sources = sources
        begins_first = self.rng.random() < FIRST_SHARE
        self.shim = RedisShim(self.redis_us, first_release.sources() if begins_first else sources)
        self.is_up = True
        self.oracle = Oracle(self.shim, self)
        self.oracle.is_first_release = begins_first
        self.first_nodes: set[str] = {"n1", "n2"} if begins_first else set()
        self.pins: dict[str, Any] = {}
        self.old: Oracle | None = None
        self.old_until_us = 0
        self.cut_off: set[str] = set()

    def redis_us(self) -> int:
        """Return what Redis takes for the date."""
        return self.now_us + self.redis_offset_us

    def redis_generation(self, process: Process) -> int:
        """Return which process of Redis answers; 0 = none."""
        if self._reaches_old(process):
            return -self.shim.starts
        return self.shim.starts if self.is_up else 0

    def redis(self, commands: Commands, process: Process | None = None) -> list[Reply | FunctionFailed]:
        """Execute commands now, each judged."""
        oracle = self.old if self._reaches_old(process) and self.old else self.oracle
        is_first = process is not None and process.machine in self.first_nodes
        return [self._execute(oracle, first_release.asked(words) if is_first else words) for words in commands]

    def check_armed(self, oracle: Oracle) -> None:
        """Compare Redis with the books, at the moment at which it is armed: it has the charges that Postgres knows.

        So has each call that is open there; and every fund holds what these take. Whatever call a node has told that
        goes on there is held, or known to have ended; no call is held of a node that did not tell it.
        """
        self._check_told(oracle)
        ledger = oracle.ledger
        for fund, account in ledger.accounts.items():
            holds = (account.pending, account.channels, account.channels_out, account.channels_in)
            require("armed holds", holds == ledger.taken(fund), f"{fund}: {holds}, not {ledger.taken(fund)}")
        if self.disputes():
            return
        for fund, account in ledger.accounts.items():
            posted = self.data.posted.get(fund)
            charged = posted.charged_micros if posted else 0
            require("armed books", charged == account.posted, f"{fund}: Postgres has {charged}, Redis {account.posted}")
        for known in (ledger.transfers[rid] for rid in ledger.pending):
            paid = {fund: micros for fund, micros in zip(known.funds, known.posted, strict=True) if micros}
            charged_of = self.data.charged_of(known.rid)
            require("armed calls", paid == charged_of, f"{known.rid}: Postgres has {charged_of}, Redis {paid}")

    def _check_told(self, oracle: Oracle) -> None:
        ledger, aside = oracle.ledger, {event.rid for event in self.aside()}
        for node, (epoch, told) in oracle.told_by.items():
            if epoch != oracle.epoch:
                continue
            for rid in told & self.carried_by(node):
                known = ledger.transfers.get(rid)
                is_there = known is not None or rid in self.data.cdrs or rid in aside
                require("held again", is_there, f"{rid} goes on at {node}, and nobody holds it")
            for known in (ledger.transfers[rid] for rid in ledger.pending):
                is_its_own = known.node.decode() != node or known.adopted == epoch
                require("disowned", is_its_own, f"{known.rid} is held for {node}, which does not know it")

    def carried_by(self, node: str) -> frozenset[str]:
        """Return the calls with a hold that a node carries."""
        del node
        return frozenset()

    def aside(self) -> list[CallEvent]:
        """Return the events that are set aside."""
        return [codec.unpack(CallEvent, event.payload) for event in self.data.poison]

    def disputes(self) -> bool:
        """Whether a person must decide what a call has cost: nothing can be said of the books until then."""
        return any(event.postings and self.is_disputed(event) for event in self.aside())

    def is_disputed(self, event: CallEvent) -> bool:
        """Whether two masters have told of this end, each in its own epoch, and so charged it twice.

        That takes two sweepers that end one call at the same time, one of them cut off with the old master. Postgres
        posts what comes first, and sets aside what comes second.
        """
        return len([name for name in self.oracle.events if name[1:] == (event.rid, event.seq, event.kind)]) > 1

    def check_restored(self, fund: str, state: FundState) -> None:
        """Compare the spend that a fund begins with with what Postgres told of it."""
        if not self.oracle.is_first_release:
            told = [each.get(fund, NO_WINDOWS) for each in self.data.windows_told]
            require("restored spend", (state.day, state.month) in told, f"{fund}: {state}, not {told}")

    def may_sweep_early(self, set_us: int) -> bool:
        """Whether nobody could know how long ago a lease was set."""
        return set_us > self.now_us

    def note(self, text: str) -> None:
        """Add a line to the story."""
        self.trace.append(f"{self.steps:6} {text}")

    def _libraries(self, oracle: Oracle, words: Sequence[Argument]) -> Reply:
        """Answer FUNCTION: the libraries are those of this release, or are brought to it."""
        present = {} if oracle.is_first_release else first_release.current()
        if words[1] == "LIST":
            return [[b"library_name", name.encode(), b"library_code", text.encode()] for name, text in present.items()]
        self.note(self.upgrade())
        return b"OK"

    def _execute(self, oracle: Oracle, words: Sequence[Argument]) -> Reply | FunctionFailed:
        if words[0] == "FUNCTION":
            return self._libraries(oracle, words)
        if oracle.is_first_release:
            absent = first_release.absent(words, oracle.stored.opseq)
            if absent is not None:
                return absent
            words = first_release.asked(words)
        reply = first_release.answered(words, oracle.execute(words))
        if words[0] == "FCALL" and isinstance(reply, list) and len(reply) > 1:
            where = "old redis" if oracle is self.old else "redis"
            self.note(f"  {where} {shown(words)} → {' '.join(map(str, reply[1:5]))}")
        return reply

    def _reaches_old(self, process: Process | None) -> bool:
        if self.old is not None and self.now_us > self.old_until_us:
            self.heal()
        return self.old is not None and process is not None and process.machine in self.cut_off

    # What befalls Redis -----------------------------------------------------------------------------------------------

    def kill_redis(self) -> str:
        """Let Redis die, with the last operations that its disk had not."""
        if not self.is_up:
            return ""
        self.is_up = False
        lost = self.rng.choice(LOSSES)
        before = self.oracle.stored.events()
        ids = set(before)
        self.shim.lose(lost)
        self.lost_us += [milliseconds * 1000 for milliseconds, _ in sorted(ids - set(before))]
        self.late.clear()
        return f"Redis is killed and loses {lost} operations"

    def start_redis(self) -> str:
        """Let it start with what its disk has."""
        if self.is_up:
            return ""
        self.is_up = True
        self.shim.journal.forget()  # what it found on its disk stays there
        self.shim.start()
        self.oracle.restarted()
        return "Redis starts"

    def split(self) -> str:
        """Let a replica be promoted, while the old master goes on for those who cannot know."""
        if not self.is_up or self.old is not None:
            return ""
        copy = self.shim.copy()
        old = self.oracle.copy(copy)
        if self.oracle.is_armed:
            copy.execute(("FCALL", "tandem_arm_1", 0, "split", str(self.oracle.epoch)))
        self.cut_off = set(self.rng.choice((("n1",), ("n2",), ("n2", "s2"), ("n1", "s1", "sync"))))
        lost = self.kill_redis().rpartition("loses ")[2]
        self.start_redis()
        self.old, self.old_until_us = old, self.now_us + self.rng.randrange(LAG_US)
        return f"a replica of Redis is promoted that lacks {lost}; {sorted(self.cut_off)} talk to the old master"

    def empty(self) -> str:
        """Let somebody type FLUSHALL."""
        if not self.is_up or self.old is not None:
            return ""
        self.lost_us.clear()
        self.redis([("FLUSHALL",)])
        self.late.clear()
        return "Redis is emptied"

    def heal(self) -> None:
        """Let the old master go, with all that it alone has done."""
        if self.old is not None:
            self.old = None
            self.cut_off = set()
            self.note("the old master is gone")

    def upgrade(self) -> str:
        """Bring the next part of the cell to this release: the library first, then node by node."""
        if self.oracle.is_first_release:
            if not self.is_up or self.old is not None:
                return ""
            self.shim.reload(self._sources if self._sources is not None else first_release.current())
            self.oracle.restarted()
            self.oracle.is_first_release = False
            return "the libraries are upgraded; Redis starts to count sides"
        if not self.first_nodes:
            return ""
        node = min(self.first_nodes)
        self.first_nodes.remove(node)
        return f"{node} is upgraded"


def shown(words: Sequence[Argument]) -> str:
    """Return a command for a person: for a function its name, operation and reservation."""
    chosen = (*words[1:2], *words[3:6]) if words[0] == "FCALL" else words[:2]
    return " ".join(map(str, chosen))
