"""A node: the worker that asks for a hold, and the agent with the real `Calls` and `Outbox` that carries the call on.

Killed, a node forgets all but its spool and the media: whoever talks goes on talking, and hangs up some day.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any, Final

from kemi import codec, keys
from kemi.adapters.ksr_queue import Held, Message, Refused
from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Adopt, Applied, Reservation, Result, Settle, Stale
from kemi.adapters.redis_operations import Held as Granted
from kemi.adapters.redis_tables import Tables
from kemi.adapters.spool import Spool
from kemi.agent_adoption import Moment
from kemi.agent_calls import Calls
from kemi.agent_orders import Entry, LetGo, LookUp, Order, Outgoing
from kemi.agent_outbox import Outbox, Passing
from kemi.agent_rebuild import Rebuild
from kemi.agent_takeover import Takeover
from kemi.core.outcome import Hold
from kemi.records import CallEnd, PinnedCall
from tests.simulation.media import Media
from tests.simulation.pinning import LIMITS, Pinner
from tests.simulation.process import Process, Surroundings
from tests.simulation.shim_client import ShimClient
from tests.simulation.violation import require

GRACE_S: Final = 10
RING_S: Final = 66  # longer than one attempt may take in all
HOLDS_MAX: Final = 2
SECOND_NS: Final = 1_000_000_000
AGAIN_MAX: Final = 1_000
RECENT_US: Final = 20_000_000  # less than an agent remembers, by what may pass until it tells


class MemorySpool(Spool):
    """A spool on a disk that survives the node."""

    def __init__(self) -> None:
        self._waiting = deque()
        self.torn = 0
        self.dead = 0
        self.letters: list[tuple[str, bytes]] = []

    def append(self, entries: Iterable[tuple[str, bytes]]) -> None:
        """Keep entries."""
        self._waiting.extend(entries)

    def bury(self, kind: str, body: bytes) -> None:
        """Keep a dead letter."""
        self.dead += 1
        self.letters.append((kind, body))

    def drop(self, count: int) -> None:
        """Forget the oldest."""
        for _ in range(count):
            self._waiting.popleft()


class Node:
    """One machine. unix_offset_ms: how wrong its clock is. media: what its phones do, by reservation.

    stalls_until_us: till then it runs nothing, and does not know. buried: what its agent could not tell anybody.
    acknowledged: calls whose charge Redis has taken, with the time: they are told again where Redis forgets them.
    """

    def __init__(self, world: Surroundings, name: str) -> None:
        self.world = world
        self.name = name
        self.boots = 1
        self.unix_offset_ms = 0
        self.stalls_until_us = 0
        self.spool = MemorySpool()
        self.media: dict[str, Media] = {}
        self.acknowledged: dict[str, int] = {}
        self.queue: deque[Message] = deque()
        self.buried: list[str] = []
        self.worker = Worker(self)
        self.agent = Agent(self)

    @property
    def dead(self) -> bool:
        """Whether the machine must be started again."""
        return self.worker.dead or self.agent.dead

    @property
    def idle(self) -> bool:
        """Whether it does nothing now."""
        return self.dead or self.stalls_until_us > self.world.now_us

    def now(self) -> tuple[int, int]:
        """Return monotonic nanoseconds and Unix ms."""
        return self.world.now_us * 1000, self.world.now_us // 1000 + self.unix_offset_ms

    def kill(self) -> None:
        """Pull the plug; phones that ring give up."""
        self.worker.kill()
        self.agent.kill()
        self.queue.clear()
        self.acknowledged.clear()
        self.media = {rid: media for rid, media in self.media.items() if media.answered_ns}

    def forget_long_ago(self) -> None:
        """Promise nothing of charges that were taken long before Redis loses something, and are not posted yet."""
        recent_us = self.world.now_us - RECENT_US
        self.acknowledged = {rid: at_us for rid, at_us in self.acknowledged.items() if at_us >= recent_us}

    def start(self) -> None:
        """Start both processes anew, perhaps on a machine that was booted."""
        self.kill()
        self.boots += self.world.rng.random() < 0.3
        self.worker, self.agent = Worker(self), Agent(self)


class Worker(Process):
    """Lets calls in. Its cache is the real one."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.world, f"{node.name} worker")
        self._node = node
        client = ShimClient(self.exchange)
        self._tables = Tables(client)
        self._pinner = Pinner(self.world.rng, self._tables, node.name, self.world.first_nodes, self.world.pins)
        self._is_spoiled = False
        self._funds = Funds(client, node.name, GRACE_S)

    def ask(self, rid: str) -> str:
        """Place a call; return what became of it. Raises Killed."""
        pinned = b""
        try:
            for _ in range(HOLDS_MAX):
                asked = self._pinner.asked(rid, self._node.now()[1])
                if asked is None:
                    return "has no configuration, or no money would do"
                self._is_spoiled, pinned = asked.is_spoiled, codec.pack(asked.call)
                answer = self._funds.reserve(f"{rid}:0", rid, asked.hold, RING_S, self._tables.seen_pass, pinned)
                if not isinstance(answer, Stale):
                    return self._judge(asked.call, asked.hold, answer)
                self._forget(answer)
        except StoreUnavailable as error:
            self._refuse(rid, pinned, maybe_held=True)
            return f"no answer: {error}"
        except ValueError as error:
            require("validated", self._is_spoiled, f"{rid}: {error}")
            return f"a hold that nobody takes: {error}"
        self._refuse(rid, pinned, maybe_held=False)
        return "stale twice"

    def _judge(self, call: PinnedCall, hold: Hold, answer: Any) -> str:
        if isinstance(answer, Granted):
            self._tables.invalidate(answer.changed, answer.config_pass)
            if answer.replayed:
                return "held before"
            funds = tuple(fund.fund for fund in hold.funds)
            micros = next(row.price_micros for row in hold.rows if row.talk_s == answer.granted_s)
            self._node.media[call.rid] = Media(call.rid, self._node.now()[0])
            held = Held(call.rid, codec.pack(call), funds, answer.granted_s, RING_S, held_micros=micros)
            if not self.world.first_nodes:  # whose nodes do not tell them
                held = held._replace(sides=tuple(fund.sides for fund in hold.funds))
            self._node.queue.append(held)
        else:
            self._refuse(call.rid, codec.pack(call), maybe_held=False)
        return f"{answer}"

    def _refuse(self, rid: str, pinned: bytes, *, maybe_held: bool) -> None:
        _, now_ms = self._node.now()
        end = CallEnd("refused", now_ms, 0, 0, 0, 503, "credit", 41, "")
        if pinned:
            self._node.queue.append(Refused(rid, pinned, codec.pack(end), maybe_held))

    def _forget(self, stale: Stale) -> None:
        if stale.changed:
            self._tables.invalidate(stale.changed, stale.config_pass)
        else:
            self._tables.clear()


class Agent(Process):
    """Carries calls on; the part of kemi/agent.py that is no Kamailio."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.world, f"{node.name} agent")
        self._node = node
        self._client = ShimClient(self.exchange)
        self._funds = Funds(self._client, node.name, GRACE_S)
        self._calls = Calls(LIMITS, node.name, self._boot_id)
        self._outbox = Outbox(self._funds, node.spool, self)
        self._takeover = Takeover(self._funds, self._calls, node.name, GRACE_S)
        self._rebuild = self._new_rebuild()
        self._was_down = False

    def _new_rebuild(self) -> Rebuild:
        takeover, name = self._takeover, self._node.name
        return Rebuild(self._funds, self._calls, self._outbox, takeover.proofs, name, self._boot_id)

    @property
    def _boot_id(self) -> str:
        return f"{self._node.name}-{self._node.boots}"

    def tick(self) -> None:
        """Do one turn. Raises Killed."""
        while self._node.queue:
            now_ns, now_ms = self._node.now()
            self._obey(self._calls.hear(self._node.queue.popleft(), now_ns, now_ms))
        now_ns, now_ms = self._node.now()
        self._obey(self._calls.due(now_ns, now_ms))
        self._outbox.add(self._rebuild.again(AGAIN_MAX - len(self._outbox)))
        self._outbox.flush(now_ns)
        try:
            self._adopt(now_ns)
            self._tell_calls(now_ns)
            self._client.execute("HSET", keys.SEEN, self._node.name, self._outbox.opseq)
            self._client.execute("HSET", keys.NODES, self._node.name, self._redis_ms())
            flat: Any = self._client.execute("HGETALL", keys.NODES)
        except StoreUnavailable:
            self._was_down = True
            return
        nodes = {name.decode(): int(sign) for name, sign in zip(flat[::2], flat[1::2], strict=True)}
        self._takeover.see(nodes, self._node.now()[0])

    def reload(self) -> None:
        """Go on in new code, with what the old code knew."""
        calls, waiting = self._calls.export(), self._outbox.export()
        self._calls = Calls(LIMITS, self._node.name, self._boot_id)
        self._outbox = Outbox(self._funds, self._node.spool, self)
        self._takeover = Takeover(self._funds, self._calls, self._node.name, GRACE_S)
        recent, armed_epoch = self._rebuild.export(), self._rebuild.armed_epoch
        self._rebuild = self._new_rebuild()
        self._calls.restore(calls)
        self._outbox.restore(waiting)
        self._rebuild.restore(recent, armed_epoch)

    @property
    def waiting(self) -> int:
        """How much has to be told yet, or once more."""
        return len(self._outbox) + len(self._node.queue) + len(self._rebuild._again)

    @property
    def held(self) -> frozenset[str]:
        """The calls with a hold that it carries."""
        return frozenset(talk.call.rid for talk in self._calls.held)

    @property
    def armed_epoch(self) -> int:
        """The epoch for which it has seen Redis armed last."""
        return self._rebuild.armed_epoch

    @property
    def adopted(self) -> int:
        """How many calls it has adopted."""
        return self._calls.adopted

    def answered(self, sent: Outgoing, result: Result) -> Iterable[Entry]:
        """Hear a result of Redis."""
        self._rebuild.acknowledged(sent, result, self._node.now()[0])
        if isinstance(sent.operation, Settle) and isinstance(result, Applied) and _is_proven(sent.operation):
            self._node.acknowledged[sent.operation.rid] = self.world.now_us
        return self._followed_up(self._calls.answered(sent, result, self._node.now()[0]))

    def asked(self, question: LookUp) -> Iterable[Entry]:
        """Ask what became of a reservation, and return what follows."""
        now_ns, now_ms = self._node.now()
        ended = question.ended
        found = self._funds.describe(ended.rid)
        ended_redis_ms = self._redis_ms() - (now_ms - ended.ended_ms) if found else 0
        return self._followed_up(self._calls.looked_up(ended, found, ended_redis_ms, now_ns))

    def rechecked(self, sent: Outgoing, found: Reservation | None) -> Iterable[Entry]:
        """Hear what became of a reservation, and return what follows."""
        return self._followed_up(self._calls.rechecked(sent, found, *self._node.now()))

    def buried(self, what: str) -> None:
        """Hear that something is kept among the dead letters."""
        self._node.buried.append(what)

    def not_sent(self, operation: Passing) -> None:
        """Hear what Redis was not asked."""
        now_ns = self._node.now()[0]
        self._calls.not_sent(operation, now_ns)
        if isinstance(operation, Adopt):
            self._takeover.again(not_before_ns=now_ns + SECOND_NS)

    def _adopt(self, now_ns: int) -> None:
        """Look for calls that nobody follows, once all that we have to tell of our own is told."""
        if self._was_down:
            self._takeover.again()
        self._was_down = False
        if not (len(self._outbox) or self._rebuild.is_doubtful) and self._takeover.is_due(now_ns):
            self._outbox.add(_entries(self._takeover.turn(Moment(now_ns, self._redis_ms()))))

    def _tell_calls(self, now_ns: int) -> None:
        """Tell the calls that go on to a Redis that is rebuilt, and afterwards the ends that it may have lost."""
        epoch, building = (int(word or 0) for word in self._client.execute("MGET", keys.EPOCH, keys.BUILDING))
        if self._rebuild.see(epoch, building, now_ns):
            self._takeover.again()
        if self._rebuild.is_due:
            now_ns, _ = self._node.now()
            moment = Moment(now_ns, self._redis_ms())
            self._rebuild.turn(moment, self._client.connections, is_drained=not self._node.queue)

    def _followed_up(self, orders: list[Order]) -> list[Entry]:
        self._hang_up(orders)
        return _entries(orders)

    def _obey(self, orders: list[Order]) -> None:
        self._outbox.add(_entries(orders))
        self._hang_up(orders)

    def _hang_up(self, orders: list[Order]) -> None:
        """End calls on the wire: their phones may be anywhere."""
        for order in orders:
            if isinstance(order, LetGo):
                self.world.hang_up(order.rid)

    def _redis_ms(self) -> int:
        seconds, micros = self._client.execute("TIME")
        return int(seconds) * 1000 + int(micros) // 1000


def _is_proven(settle: Settle) -> bool:
    """Whether the node saw the talk that is charged, and has not found a call of somebody else."""
    return codec.unpack(CallEnd, settle.end).outcome == "answered"


def _entries(orders: Iterable[Order]) -> list[Entry]:
    return [order for order in orders if isinstance(order, Entry)]
