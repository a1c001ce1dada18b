"""The node agent: one process per node that does what takes time, a turn every 50 ms.

A turn: hear what the workers queued, look at what is due, tell Redis, say how it goes. It owns answer marks, slices,
our BYEs, settlement, the spool and the calls of nodes that died.

Rule 1: no turn waits longer than the time-out of Redis, a few times; nothing sleeps.
Rule 2: one bad message, call or reply spoils nothing else: it is logged and counted.
"""

from __future__ import annotations

import re
import time
import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from kemi import keys
from kemi.adapters import journal, ksr_bye, ksr_capacity, ksr_noc, ksr_queue, ksr_shared, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import Answered, LateAnswer, Message
from kemi.adapters.redis_client import Argument, StoreUnavailable
from kemi.adapters.redis_operations import Adopt, Result
from kemi.adapters.spool import Spool
from kemi.agent_adoption import Moment
from kemi.agent_calls import Calls
from kemi.agent_orders import Entry, HandOver, LetGo, LookUp, Order, Outgoing, Recheck, TakeIn
from kemi.agent_outbox import Money, Outbox, Passing
from kemi.agent_peers import PeerWatch
from kemi.agent_peers import Store as Tables
from kemi.agent_proofs import Proofs
from kemi.agent_takeover import Takeover
from kemi.settings import Settings

MESSAGES_MAX: Final = 1_000  # per turn
PUBLISH_NS: Final = 500_000_000
HEARTBEAT_NS: Final = 1_000_000_000  # the sweeper takes a node for dead that was silent for ten of them
RECONCILE_NS: Final = 5_000_000_000
READ_NS: Final = 1_000_000_000  # after a change: carriers' servers are read again no sooner
FOLLOW_NS: Final = 100_000_000  # how old a refusal may be; 10 reads a second cost Redis nothing
NS_PER_MS: Final = 1_000_000
WHOLE: Final = re.compile(rb"-?[0-9]{1,18}")


class Clock(NamedTuple):
    """What time it is. monotonic_ns: CLOCK_MONOTONIC; unix_ns: the date. boot_id: of the machine; "" = not known."""

    monotonic_ns: Callable[[], int] = time.monotonic_ns
    unix_ns: Callable[[], int] = time.time_ns
    boot_id: str = ""


def this_machine() -> Clock:
    """Return the clock of this machine."""
    return Clock(boot_id=journal.this_boot())


class Store(Protocol):
    """What the agent needs of redis_client.RedisClient."""

    round_trips: int

    @property
    def breaker_is_open(self) -> bool:
        """Whether Redis counts as down."""

    def available(self) -> bool:
        """Tell whether a call would be tried now."""

    def execute(self, *words: Argument) -> Any:
        """Run one command. Raises StoreUnavailable."""

    def close(self) -> None:
        """Drop the connection."""


class AgentState(NamedTuple):
    """An agent on its way through a reload: plain bytes, since the classes are new afterwards."""

    calls: list[bytes]
    outbox: list[tuple[str, bytes]]
    closings: list[bytes]


class Agent:
    """The agent of a node. Lives in the rtimer process; the others never make one."""

    def __init__(
        self,
        ksr: Ksr,
        settings: Settings,
        client: Store,
        funds: Money,
        clock: Clock | None = None,
        tables: Tables | None = None,
    ) -> None:
        """Read the spool; OSError when its folder cannot be used. tables: of carriers' servers, None: none is asked."""
        self._ksr = ksr
        self._settings = settings
        self._client = client
        self._funds = funds
        self._clock = clock or this_machine()
        self._spool = Spool(settings.spool_dir)
        self._calls = Calls(settings.limits, settings.node, self._clock.boot_id)
        self._outbox = Outbox(funds, self._spool, self)
        proofs = Proofs(journal.noted(settings.spool_dir), ksr_sides.boot_ms(ksr))
        self._takeover = Takeover(funds, self._calls, settings.node, settings.grace_s, proofs)
        self._peers = PeerWatch(ksr, settings, tables) if tables else None
        self._capacity = ksr_capacity.Reconciler()
        self._was_down = False
        self._config_pass = 0
        self._read_at_ns = 0
        self._reconcile_at_ns = 0
        self._publish_at_ns = 0
        self._heartbeat_at_ns = 0
        self._follow_at_ns = 0
        self._told: dict[str, int] = {}
        self._errors = 0

    def tick(self) -> None:
        """Do one turn."""
        self._listen()
        now_ns, now_ms = self._now()
        self._obey(self._calls.due(now_ns, now_ms))
        self._apart("spool", partial(self._outbox.flush, now_ns))
        self._apart("adoption", self._adopt)
        if now_ns >= self._follow_at_ns:
            self._follow_at_ns = now_ns + FOLLOW_NS
            self._apart("configuration", self._follow)
        if self._peers:
            self._apart("peers", partial(self._ask_peers, self._peers, now_ns))
        if now_ns >= self._reconcile_at_ns:
            self._reconcile_at_ns = now_ns + RECONCILE_NS
            self._apart("channels", partial(self._capacity.turn, self._ksr, self._calls.servers()))
        if now_ns >= self._heartbeat_at_ns:
            self._heartbeat_at_ns = now_ns + HEARTBEAT_NS
            self._apart("heartbeat", self._heartbeat)
            self._apart("journal", self._forget_told)
        if now_ns >= self._publish_at_ns:
            self._publish_at_ns = now_ns + PUBLISH_NS
            self._apart("status", self._publish)

    def export(self) -> AgentState:
        """Return all that the code after a reload must know."""
        return AgentState(self._calls.export(), self._outbox.export(), self._calls.closings.export())

    def restore(self, state: AgentState) -> None:
        """Take over from the code before a reload."""
        self._calls.restore(state.calls)
        self._outbox.restore(state.outbox)
        self._calls.closings.restore(state.closings)

    def close(self) -> None:
        """Let the spool and the connection go."""
        self._spool.close()
        self._client.close()

    # What the outbox tells --------------------------------------------------------------------------------------------

    def answered(self, sent: Outgoing, result: Result) -> Iterable[Entry]:
        """Hear a result of Redis."""
        return self._followed_up(self._calls.answered(sent, result, self._clock.monotonic_ns()))

    def asked(self, question: LookUp | Recheck) -> Iterable[Entry]:
        """Ask what became of a reservation, and return what follows. Raises StoreUnavailable."""
        now_ns, now_ms = self._now()
        if isinstance(question, Recheck):
            found = self._funds.describe(question.sent.operation.rid)
            return self._followed_up(self._calls.rechecked(question.sent, found, now_ns, now_ms))
        ended = question.ended
        found = self._takeover.proofs.proven(ended.rid, self._funds.describe(ended.rid))
        ended_redis_ms = self._redis_ms() - (now_ms - ended.ended_ms) if found else 0
        return self._followed_up(self._calls.looked_up(ended, found, ended_redis_ms, now_ns, question.started))

    def not_sent(self, operation: Passing) -> None:
        """Hear what Redis was not asked."""
        now_ns = self._clock.monotonic_ns()
        self._calls.not_sent(operation, now_ns)
        if isinstance(operation, Adopt):
            self._takeover.again(not_before_ns=now_ns + HEARTBEAT_NS)

    def buried(self, what: str) -> None:
        """Hear that something was put aside for people."""
        self._log(f"kept among the dead letters: {what}")

    def _followed_up(self, orders: list[Order]) -> list[Entry]:
        """Carry out what is not for Redis; return the rest."""
        self._do(orders)
        return _entries(orders)

    # One turn ---------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        for _ in range(MESSAGES_MAX):
            try:
                message = ksr_queue.take(self._ksr)
            except ValueError as error:
                self._log(f"message: {error}")
                continue
            if message is None:
                return
            self._apart("message", partial(self._hear, message))

    def _hear(self, message: Message) -> None:
        now_ns, now_ms = self._now()
        if self._peers and self._peers.heard(message, now_ns, now_ms):
            return
        self._obey(self._calls.hear(message, now_ns, now_ms))
        if not isinstance(message, Answered | LateAnswer):
            self._show(message.rid)

    def _obey(self, orders: list[Order]) -> None:
        """Carry out what the calls ask for: our own requests now, the rest through the outbox."""
        self._outbox.add(_entries(orders))
        self._do(orders)

    def _do(self, orders: list[Order]) -> None:
        for order in orders:
            if isinstance(order, Send):
                self._apart("bye", partial(self._send, order))
            elif isinstance(order, LetGo):
                self._apart("end", partial(self._let_go, order))
            elif isinstance(order, TakeIn | HandOver):
                self._show(order.rid)
                if isinstance(order, HandOver):
                    ksr_sides.hand_over(self._ksr, order.rid)
                    ksr_capacity.release(self._ksr, order.rid)

    def _send(self, order: Send) -> None:
        if not ksr_bye.send(self._ksr, order):
            self._log(f"{order.call_id}: our {order.method} could not be sent")

    def _let_go(self, order: LetGo) -> None:
        """Forget an ended call, here and in Kamailio."""
        self._show(order.rid)
        ksr_sides.forget(self._ksr, order.rid)
        ksr_capacity.release(self._ksr, order.rid)
        if order.h_id:
            ksr_bye.let_go(self._ksr, order.h_entry, order.h_id)

    def _adopt(self) -> None:
        """Look for calls that nobody follows, once all that we have to tell of our own is told."""
        is_down = not self._client.available()
        if self._was_down and not is_down:
            self._takeover.again()
            self._heartbeat_at_ns = 0  # settlement waits for it, and calls for settlement
        self._was_down = is_down
        now_ns = self._clock.monotonic_ns()
        if not (is_down or len(self._outbox)) and self._takeover.is_due(now_ns):
            self._obey(self._takeover.turn(Moment(now_ns, self._redis_ms())))

    # How it goes ------------------------------------------------------------------------------------------------------

    def _show(self, rid: str) -> None:
        """Keep the node's table of calls true of this one."""
        talk = self._calls.get(rid)
        if talk is None:
            ksr_noc.hide_call(self._ksr, rid)
            return
        answered_ms = talk.started.answered_ms if talk.started else 0
        server_id = talk.started.server_id if talk.started else 0
        ksr_noc.show_call(self._ksr, talk.call, answered_ms, server_id)

    def _follow(self) -> None:
        """Tell the workers which version of the configuration Redis has."""
        if self._client.available():
            self._config_pass = int(self._client.execute("GET", keys.PASS) or 0)
            ksr_shared.publish_pass(self._ksr, self._config_pass)

    def _ask_peers(self, peers: PeerWatch, now_ns: int) -> None:
        """Speak with carriers' servers; read which they are when the configuration has changed."""
        peers.turn(now_ns)
        if now_ns >= self._read_at_ns and self._client.available():
            self._read_at_ns = now_ns + READ_NS
            peers.follow(self._config_pass, now_ns)

    def _heartbeat(self) -> None:
        """Tell the cell that this node lives, and which operation was answered to it: lost ones are found by that."""
        if self._client.available():
            self._client.execute("HSET", keys.SEEN, self._settings.node, self._outbox.opseq)
            self._client.execute("HSET", keys.NODES, self._settings.node, self._redis_ms())
            self._takeover.see(self._numbers(keys.NODES), self._clock.monotonic_ns())
            ksr_noc.publish_money(self._ksr, self._numbers(keys.SETTLED))

    def _forget_told(self) -> None:
        """Let the noted answers go that Redis knows, or the spool: all that are older than what waits in memory."""
        is_told = len(self._outbox) == self._outbox.on_disk and not self._ksr.mqueue.mq_size(ksr_queue.QUEUE)
        if is_told and not self._takeover.proofs:
            journal.forget_told(self._settings.spool_dir, self._clock.monotonic_ns())

    def _publish(self) -> None:
        """Tell the NOC how it goes, and add up the counters."""
        outbox, calls = self._outbox, self._calls
        if self._peers:
            self._peers.publish(self._now()[1])
        ksr_noc.publish_agent(
            self._ksr,
            {
                "node": self._settings.node,
                "unix_ms": self._now()[1],
                "queue": self._ksr.mqueue.mq_size(ksr_queue.QUEUE),
                "calls": len(calls),
                "talking": calls.talking,
                "adopted": calls.adopted,
                "waiting": len(outbox),
                "spool": outbox.on_disk,
                "torn": self._spool.torn,
                "dead": self._spool.dead,
                "store": "down" if self._client.breaker_is_open else "up",
                "opseq": outbox.opseq,
                "opseq_lost": outbox.opseq_lost,
                "invalid": outbox.invalid,
                "errors": self._errors,
                "last_error": outbox.last_error,
            },
        )
        self._count("agent_round_trips", self._client.round_trips)
        self._count("ended_by_agent", calls.cut)
        self._count("overtalk_ms", calls.overtalk_ms)
        self._count("spooled", outbox.spooled)
        self._count("bye_failed", calls.closings.failed)

    def _count(self, name: str, total: int) -> None:
        """Add to a statistic what came since the last time."""
        more = total - self._told.get(name, 0)
        self._told[name] = total
        if more > 0:
            self._ksr.statistics.update_stat(name, more)

    def _numbers(self, key: str) -> dict[str, int]:
        """Return a hash of whole numbers; what is none is left out."""
        flat = self._client.execute("HGETALL", key)
        pairs = zip(flat[::2], flat[1::2], strict=True)
        return {name.decode(): int(value) for name, value in pairs if WHOLE.fullmatch(value)}

    def _redis_ms(self) -> int:
        seconds, micros = self._client.execute("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def _now(self) -> tuple[int, int]:
        return self._clock.monotonic_ns(), self._clock.unix_ns() // NS_PER_MS

    def _apart(self, what: str, work: Callable[[], None]) -> None:
        """Do `work`; what it raises is logged and spoils nothing else. Redis being down is no error of ours."""
        try:
            work()
        except StoreUnavailable as error:
            self._outbox.last_error = str(error)
        except Exception:  # noqa: BLE001  rule 2
            told = traceback.format_exc().replace("\n", " | ")
            self._log(f"{what}: {told}")

    def _log(self, text: str) -> None:
        self._errors += 1
        self._ksr.err(f"agent: {text}\n")


def _entries(orders: Iterable[Order]) -> list[Entry]:
    return [order for order in orders if isinstance(order, Entry)]
