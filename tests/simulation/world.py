"""The virtual world: one seeded scheduler over nodes, settle processes, sync, people, clocks and failures.

Rule 1: everything random comes from one generator, and nothing reads a real clock: a seed is a history.
Rule 2: the oracle judges every command of Redis; the world itself is checked whenever it is calm.
Rule 3: each history has its own taste: what is rare in one is frequent in another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from kemi.adapters.redis_funds import Funds
from tests.simulation.broken_node import act
from tests.simulation.calm import calm_down, end, virtual_time
from tests.simulation.configuration import SCALES, Configuration, Syncer
from tests.simulation.media import happen
from tests.simulation.node import Node
from tests.simulation.process import NO_FAULTS, Killed, Process
from tests.simulation.settlers import Settler
from tests.simulation.shim_client import ShimClient
from tests.simulation.stores import SECOND, TASTES, Stores, shown
from tests.simulation.verdict import check_books, check_calm, check_end

DEPTH_MAX: Final = 2
CALM_EVERY: Final = 700
JUMPS_US: Final = (2_000, 50_000, 300_000, SECOND, SECOND, 3 * SECOND, 3 * SECOND, 8 * SECOND)
LIVELY: Final = 0.6  # share of agents that have their turn in a jump: they look at their calls every second
NAP_US: Final = 1_200 * SECOND
STALLS_US: Final = (4 * SECOND, 12 * SECOND, 45 * SECOND, 120 * SECOND)
LONG_US: Final = (90 * SECOND, 900 * SECOND, 5_000 * SECOND, 3 * 86_400 * SECOND)
STEP_MAX_US: Final = 600 * SECOND
ASKED_TWICE: Final = 0.06  # share of INVITEs that came before, by another path
TRANSACTION_US: Final = 32 * SECOND  # how long after the first one: RFC 3261, 64 * T1
AGAIN: Final = 0.7  # share of clock steps to the very moment of a lost event: its id is given out again

LIKELY: Final = (
    ("ask", 16),
    ("happen", 30),
    ("tick", 32),
    ("settle", 24),
    ("sync", 8),
    ("time", 16),
    ("change", 5),
    ("late", 3),
    ("long", 0.3),
    ("kill_node", 0.5),
    ("start_node", 6),
    ("reload", 0.5),
    ("stall", 0.25),
    ("kill_settler", 0.4),
    ("kill_redis", 0.6),
    ("start_redis", 10),
    ("split", 0.15),
    ("upgrade", 0.6),
    ("empty", 0.15),
    ("clock_step", 1.2),
    ("memory", 1),
    ("break", 4),
)
DEATHS: Final = frozenset({"kill_node", "stall", "kill_settler", "kill_redis", "empty", "split", "memory", "long"})


class World(Stores):
    """One history."""

    def __init__(self, seed: int, sources: Mapping[str, str] | None = None) -> None:
        super().__init__(seed, sources)
        scales = SCALES[:-1] if self.first_nodes else SCALES  # the first release lost a micro near 2^53
        self.configuration = Configuration(self, self.data, self.rng.choice(scales))
        self.nodes = [Node(self, name) for name in ("n1", "n2")]
        self.settlers = [Settler(self, name, self.data) for name in ("s1", "s2")]
        self.syncer = Syncer(self, self.configuration)
        self.busy: list[Process] = []
        self._calls = 0
        self._asked: dict[str, int] = {}
        self._wishes = (
            [name for name, _ in LIKELY],
            [weight * self.rng.choice(TASTES) * (self.weather if name in DEATHS else 1) for name, weight in LIKELY],
        )

    def interleave(self) -> None:
        """Let others run while a process waits; it cannot, and no more than three wait at a time."""
        if len(self.busy) <= DEPTH_MAX and self.rates is not NO_FAULTS:
            self._step()

    def hang_up(self, rid: str) -> None:
        """Let the phones of a call hear a BYE."""
        for node in self.nodes:
            node.media.pop(rid, None)

    def carried_by(self, node: str) -> frozenset[str]:
        """Return the calls with a hold that a node carries."""
        return next((each.agent.held for each in self.nodes if each.name == node and not each.dead), frozenset())

    def may_sweep_early(self, set_us: int) -> bool:
        """Whether a sweeper cannot know how old a lease set at `set_us` is: it began after a step of Redis' clock."""
        sweeper = next((each for each in reversed(self.busy) if isinstance(each, Settler)), None)
        return sweeper is not None and set_us <= self.stepped_us <= sweeper.began_us

    def run(self, steps: int) -> None:
        """Take steps, with a calm moment now and then, and end everything. Raises Violation."""
        with virtual_time(self):
            while self.steps < steps and not self.disputes():
                self._step()
                if self.steps % CALM_EVERY == 0:
                    calm_down(self)
                    check_calm(self)
            calm_down(self)
            check_calm(self)
            end(self)
            check_end(self)

    def work(self, process: Process, work: Callable[[], object]) -> str:
        """Let a process work, unless it is at it already; return what it did."""
        if process in self.busy:
            return ""
        self.busy.append(process)
        try:
            done = work()
        except Killed:
            done = "killed"
        finally:
            self.busy.remove(process)
        return f"{process.name}: {done}" if done else ""

    def note(self, text: str) -> None:
        """Add a line to the story, further right while processes wait for each other."""
        super().note(f"{'  ' * len(self.busy)}{text}")

    def _step(self) -> None:
        self.steps += 1
        (wish,) = self.rng.choices(*self._wishes)
        done = getattr(self, f"_do_{wish}")()
        if done:
            self.note(done)
        if not self.busy:
            check_books(self)

    def _node(self) -> Node:
        return self.rng.choice(self.nodes)

    # Nodes and phones -------------------------------------------------------------------------------------------------

    def _do_ask(self) -> str:
        node = self._node()
        if node.idle:
            return ""
        self._asked = {rid: at_us for rid, at_us in self._asked.items() if self.now_us - at_us < TRANSACTION_US}
        if self._asked and self.rng.random() < ASKED_TWICE:
            rid = self.rng.choice(list(self._asked))
        else:
            self._calls += 1
            rid = f"r{self._calls}"
            self._asked[rid] = self.now_us
        return self.work(node.worker, lambda: f"asks for {rid}: {node.worker.ask(rid)}")

    def _do_happen(self) -> str:
        node = self._node()
        return happen(node, [each for each in self.nodes if each is not node])

    def _do_tick(self) -> str:
        node = self._node()
        return "" if node.idle else self.work(node.agent, node.agent.tick)

    def _do_reload(self) -> str:
        node = self._node()
        return "" if node.idle else self.work(node.agent, node.agent.reload)

    def _do_stall(self) -> str:
        node = self._node()
        stall_us = self.rng.choice(STALLS_US)
        node.stalls_until_us = self.now_us + stall_us
        return f"{node.name} stalls for {stall_us // SECOND} s"

    def _do_kill_node(self) -> str:
        node = self._node()
        node.kill()
        return f"{node.name} is killed"

    def _do_start_node(self) -> str:
        node = self._node()
        if not node.dead or node.worker in self.busy or node.agent in self.busy:
            return ""
        node.start()
        return f"{node.name} starts"

    def _do_break(self) -> str:
        if not self.is_up or not self.oracle.ledger.pending:
            return ""
        funds = Funds(ShimClient(self.redis), "broken", 0)
        return f"a broken node: {act(self.rng, funds, self.oracle)}"

    # Settlement, sync, people -----------------------------------------------------------------------------------------

    def _do_settle(self) -> str:
        settler = self.rng.choice(self.settlers)
        return self.work(settler, settler.step)

    def _do_sync(self) -> str:
        return self.work(self.syncer, self.syncer.step)

    def _do_change(self) -> str:
        return self.configuration.change_something()

    def _do_kill_settler(self) -> str:
        settler = self.rng.choice(self.settlers)
        settler.kill()
        return f"{settler.name} is killed"

    # Time, networks, stores -------------------------------------------------------------------------------------------

    def _do_time(self) -> str:
        jump_us = self.rng.choice(JUMPS_US)
        self.now_us += jump_us
        for node in self.nodes:
            if jump_us >= SECOND and not node.idle and self.rng.random() < LIVELY:
                self.work(node.agent, node.agent.tick)
        return ""

    def _do_long(self) -> str:
        jump_us = self.rng.choice(LONG_US)
        self.note(f"{jump_us // SECOND} s pass")
        while jump_us > 0:  # settlement that lives is not silent for an hour: a group forgets such consumers
            self.now_us += min(jump_us, NAP_US)
            jump_us -= NAP_US
            for settler in self.settlers:
                if not settler.dead:
                    self.work(settler, settler.step)
        return ""

    def _do_late(self) -> str:
        self.late = [late for late in self.late if late.until_us > self.now_us]
        if not self.late or not self.is_up:
            return ""
        late = self.late.pop(self.rng.randrange(len(self.late)))
        self.redis(late.commands)
        return f"a late request arrives: {'; '.join(map(shown, late.commands))}"

    def _do_kill_redis(self) -> str:
        for node in self.nodes:
            node.forget_long_ago()
        return self.kill_redis()

    def _do_start_redis(self) -> str:
        return self.start_redis()

    def _do_empty(self) -> str:
        for node in self.nodes:
            node.forget_long_ago()
        return self.empty()

    def _do_split(self) -> str:
        for node in self.nodes:
            node.forget_long_ago()
        return self.split()

    def _do_upgrade(self) -> str:
        return self.upgrade()

    def _do_memory(self) -> str:
        self.shim.memory_is_full = not self.shim.memory_is_full and self.rng.random() < 0.15
        return f"memory full: {self.shim.memory_is_full}"

    def _do_clock_step(self) -> str:
        step_us = self.rng.randrange(-STEP_MAX_US, STEP_MAX_US)
        if self.rng.random() < 0.5:
            node = self._node()
            node.unix_offset_ms += step_us // 1000
            return f"the clock of {node.name} steps by {step_us // SECOND} s"
        if self.now_us - self.stepped_us < STEP_MAX_US:
            return ""
        if not self.is_up or any(settler in self.busy for settler in self.settlers):
            return ""
        for settler in self.settlers:  # what a sweeper has never seen before a forward step, it cannot tell apart
            settler.look(self.redis)
        self.stepped_us = self.now_us
        lost = [event for event in self.lost_us if abs(event - self.redis_us()) < STEP_MAX_US]
        if lost and self.rng.random() < AGAIN:
            step_us = self.rng.choice(lost) - self.redis_us()
        self.redis_offset_us += step_us
        return f"the clock of Redis steps by {step_us // SECOND} s"
