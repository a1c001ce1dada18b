"""The node agent: one process per node that does what takes time, a turn every 50 ms.

A turn: hear what the workers queued, look at what is due, tell Redis, say how it goes. It owns answer marks, slices,
our BYEs, settlement, the spool and the calls of nodes that died.

Rule 1: no turn waits longer than the time-out of Redis, a few times; nothing sleeps.
Rule 2: one bad message, call or reply spoils nothing else: it is logged and counted.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from kemi.adapters import journal, ksr_bye, ksr_capacity, ksr_noc, ksr_queue, ksr_shared, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_bye import Send
from kemi.adapters.ksr_queue import Answered, Decided, LateAnswer, Told
from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_operations import Adopt, Answer, Applied, Extend, Reservation, Result
from kemi.adapters.spool import Spool
from kemi.agent_adoption import Moment
from kemi.agent_beyond import going_on, on_whose_word
from kemi.agent_calls import Calls
from kemi.agent_follow import QUESTION, Standing, beat, redis_ms, standing
from kemi.agent_load import watch
from kemi.agent_measures import MeasureWatch
from kemi.agent_orders import Entry, HandOver, LetGo, LookUp, Order, Outgoing, TakeIn
from kemi.agent_outbox import Outbox, Passing
from kemi.agent_peers import PeerWatch
from kemi.agent_peers import Store as Tables
from kemi.agent_ports import Clock, Prober, Store, this_machine
from kemi.agent_proofs import Proofs
from kemi.agent_rebuild import Rebuild
from kemi.agent_rebuild import Store as RebuildStore
from kemi.agent_shown import Shown
from kemi.agent_state import AgentState
from kemi.agent_takeover import Takeover
from kemi.agent_tally import AgentTally
from kemi.settings import Settings

MESSAGES_MAX: Final = 1_000  # per turn
AGAIN_MAX: Final = 256  # ends told again at once: what happens now goes between them
PUBLISH_NS: Final = 500_000_000
HEARTBEAT_NS: Final = 1_000_000_000  # the sweeper takes a node for dead that was silent for ten of them
RECONCILE_NS: Final = 5_000_000_000
READ_NS: Final = 1_000_000_000  # after a change: carriers' servers are read again no sooner
FOLLOW_NS: Final = 100_000_000  # how old a refusal may be
NS_PER_MS: Final = 1_000_000


class Agent:
    """The agent of a node. Lives in the rtimer process; the others never make one."""

    def __init__(
        self,
        ksr: Ksr,
        settings: Settings,
        client: Store,
        funds: RebuildStore,
        clock: Clock | None = None,
        tables: Tables | None = None,
        probe: Prober | None = None,
    ) -> None:
        """Read the spool; OSError when its folder cannot be used.

        tables: of carriers' servers, None: none is asked. probe: looks after Redis for the node's breaker.
        """
        self._ksr = ksr
        self._settings = settings
        self._client = client
        self._funds = funds
        self._clock = clock or this_machine()
        self._spool = Spool(settings.spool_dir)
        self._calls = Calls(settings.limits, settings.node, self._clock.boot_id)
        self._tally = AgentTally(ksr, self._calls, settings.call_log_max, self._clock.monotonic_ns())
        self._outbox = Outbox(funds, self._spool, self)
        proofs = Proofs(journal.noted(settings.spool_dir), ksr_sides.boot_ms(ksr))
        self._takeover = Takeover(funds, self._calls, settings.node, settings.grace_s, proofs)
        self._rebuild = Rebuild(funds, self._calls, self._outbox, proofs, settings.node, self._clock.boot_id)
        self._peers = PeerWatch(ksr, settings, tables) if tables else None
        self._probe = probe
        self._measures = MeasureWatch(ksr, settings.node, client)
        self._load = watch(ksr, settings, self._clock)
        self._capacity = ksr_capacity.Reconciler()
        self._unheld = ksr_capacity.Reconciler(ksr_shared.UNHELD, ksr_shared.OFFLINE)
        self._was_down = False
        self._told_workers: tuple[int, str] | None = None
        self._read_at_ns = self._reconcile_at_ns = self._publish_at_ns = 0
        self._heartbeat_at_ns = self._follow_at_ns = 0
        self._shown = Shown(ksr)
        self._errors = self._config_pass = 0

    def tick(self) -> None:
        """Do one turn."""
        if self._probe:
            self._apart("store", partial(self._ask_store, self._probe))
        if self._load:
            self._apart("load", self._load.turn)
        is_drained = self._listen()
        now_ns, now_ms = self._now()
        self._obey(self._calls.due(now_ns, now_ms))
        self._outbox.add(self._rebuild.again(AGAIN_MAX - len(self._outbox)))
        self._apart("spool", partial(self._outbox.flush, now_ns))
        self._apart("adoption", self._adopt)
        if now_ns >= self._follow_at_ns:
            self._follow_at_ns = now_ns + FOLLOW_NS
            self._apart("configuration", self._follow)
        self._apart("tally", partial(self._tally.turn, now_ns))
        if self._rebuild.is_due:
            self._apart("rebuild", partial(self._tell_calls, is_drained=is_drained))
        if self._peers:
            self._apart("peers", partial(self._ask_peers, self._peers, now_ns))
        if now_ns >= self._reconcile_at_ns:
            self._reconcile_at_ns = now_ns + RECONCILE_NS
            self._apart("channels", partial(self._capacity.turn, self._ksr, self._calls.servers()))
            self._apart("channels", partial(self._unheld.turn, self._ksr, on_whose_word(self._calls.talks)))
        if now_ns >= self._heartbeat_at_ns:
            self._heartbeat_at_ns = now_ns + HEARTBEAT_NS
            self._apart("heartbeat", self._heartbeat)
            self._apart("journal", self._forget_told)
        if now_ns >= self._publish_at_ns:
            self._publish_at_ns = now_ns + PUBLISH_NS
            self._apart("status", self._publish)

    def export(self) -> AgentState:
        """Return all that the code after a reload must know."""
        calls, rebuild = self._calls, self._rebuild
        kept = (calls.export(), self._outbox.export(), calls.closings.export(), rebuild.export(), rebuild.armed_epoch)
        return AgentState(*kept, tally=self._tally.export(), measures=self._measures.export())

    def restore(self, state: AgentState) -> None:
        """Take over from the code before a reload."""
        self._calls.restore(state.calls)
        self._outbox.restore(state.outbox)
        self._calls.closings.restore(state.closings)
        self._rebuild.restore(getattr(state, "recent", ()), getattr(state, "armed_epoch", 0))  # older code had none
        self._apart("tally", partial(self._tally.restore, getattr(state, "tally", b"")))
        self._apart("measures", partial(self._measures.restore, getattr(state, "measures", b"")))

    def close(self) -> None:
        """Let the spool and the connections go."""
        self._spool.close()
        self._client.close()
        if self._load:
            self._load.close()
        if self._probe:
            self._probe.close()

    # What the outbox tells --------------------------------------------------------------------------------------------

    def answered(self, sent: Outgoing, result: Result) -> Iterable[Entry]:
        """Hear a result of Redis."""
        self._rebuild.acknowledged(sent, result, self._clock.monotonic_ns())
        followed = self._followed_up(self._calls.answered(sent, result, self._clock.monotonic_ns()))
        if isinstance(sent.operation, Answer | Extend) and isinstance(result, Applied):
            self._shown.call(sent.operation.rid, self._calls.get(sent.operation.rid))
        return followed

    def asked(self, question: LookUp) -> Iterable[Entry]:
        """Ask what became of a reservation, and return what follows. Raises StoreUnavailable."""
        now_ns, now_ms = self._now()
        ended = question.ended
        found = self._takeover.proofs.proven(ended.rid, self._funds.describe(ended.rid))
        ended_redis_ms = self._redis_ms() - (now_ms - ended.ended_ms) if found else 0
        return self._followed_up(self._calls.looked_up(ended, found, ended_redis_ms, now_ns, question.started))

    def rechecked(self, sent: Outgoing, found: Reservation | None) -> Iterable[Entry]:
        """Hear what became of a reservation, and return what follows."""
        return self._followed_up(self._calls.rechecked(sent, found, *self._now()))

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

    def _listen(self) -> bool:
        """Hear what workers have queued; return whether that was all."""
        for _ in range(MESSAGES_MAX):
            try:
                message = ksr_queue.take(self._ksr)
            except ValueError as error:
                self._log(f"message: {error}")
                continue
            if message is None:
                return True
            self._apart("message", partial(self._hear, message))
        return False

    def _hear(self, message: Told) -> None:
        now_ns, now_ms = self._now()
        if isinstance(message, Decided):
            self._tally.decided(message, now_ns)
            return
        if self._peers and self._peers.heard(message, now_ns, now_ms):
            return
        orders = self._calls.hear(message, now_ns, now_ms)
        self._apart("tally", partial(self._tally.heard, message, now_ns))  # before what may end in the call's log line
        self._obey(orders)
        if not isinstance(message, Answered | LateAnswer):
            self._shown.call(message.rid, self._calls.get(message.rid))

    def _obey(self, orders: list[Order]) -> None:
        """Carry out what the calls ask for: our own requests now, the rest through the outbox."""
        self._outbox.add(_entries(orders))
        self._do(orders)

    def _do(self, orders: list[Order]) -> None:
        if orders:
            self._apart("tally", partial(self._tally.did, orders, self._clock.monotonic_ns()))
        for order in orders:
            if isinstance(order, Send):
                self._apart("bye", partial(self._send, order))
            elif isinstance(order, LetGo):
                self._apart("end", partial(self._let_go, order))
            elif isinstance(order, TakeIn | HandOver):
                self._shown.call(order.rid, self._calls.get(order.rid))
                if isinstance(order, HandOver):
                    ksr_sides.hand_over(self._ksr, order.rid)
                    ksr_capacity.let_go(self._ksr, order.rid)

    def _send(self, order: Send) -> None:
        if not ksr_bye.send(self._ksr, order):
            self._log(f"{order.call_id}: our {order.method} could not be sent")

    def _let_go(self, order: LetGo) -> None:
        """Forget an ended call, here and in Kamailio."""
        self._shown.call(order.rid, self._calls.get(order.rid))
        ksr_sides.forget(self._ksr, order.rid)
        ksr_capacity.let_go(self._ksr, order.rid)
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
        if not (is_down or self._rebuild.is_doubtful or len(self._outbox)) and self._takeover.is_due(now_ns):
            self._obey(self._takeover.turn(Moment(now_ns, self._redis_ms())))

    # How it goes ------------------------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """Ask Redis how it stands, where the prober has not heard it just now. What is ordered ends without it, too."""
        if self._client.available():
            self._stands(standing(self._client.execute(*QUESTION)))
        elif self._measures.is_known:
            self._tell_workers()

    def _stands(self, found: Standing) -> None:
        """Take in which version of the configuration Redis has, what the NOC orders, and how its money is."""
        if self._rebuild.see(found.epoch, found.building, self._clock.monotonic_ns()):
            self._takeover.again()
        if self._rebuild.is_due or not found.epoch:
            self._heartbeat_at_ns = 0  # settlement waits for our word, and calls for settlement
        self._config_pass = found.config_pass
        self._apart("measures", partial(self._measures.follow, found.measured, self._clock.monotonic_ns()))
        self._tell_workers()

    def _tell_workers(self) -> None:
        """Tell the workers what has changed."""
        told = (self._config_pass, self._measures.turn(self._clock.monotonic_ns()))
        if told != self._told_workers:
            self._told_workers = told
            ksr_shared.publish_pass(self._ksr, *told)
        self._apart("log level", partial(self._measures.set_level, self._clock.monotonic_ns()))

    def _ask_store(self, probe: Prober) -> None:
        """Look after Redis, and take in what it has answered since the last turn: nobody has to ask once more then."""
        answer = probe.turn()
        if answer is not None and self._client.available():
            self._stands(standing(answer))
            self._follow_at_ns = self._clock.monotonic_ns() + FOLLOW_NS

    def _tell_calls(self, *, is_drained: bool) -> None:
        """Tell settlement, which builds an epoch, what we carry."""
        if self._client.available():
            moment = Moment(self._clock.monotonic_ns(), self._redis_ms())
            self._rebuild.turn(moment, self._client.connections, is_drained=is_drained)

    def _ask_peers(self, peers: PeerWatch, now_ns: int) -> None:
        """Speak with carriers' servers; read which they are when the configuration has changed."""
        peers.turn(now_ns)
        if now_ns >= self._read_at_ns and self._client.available():
            self._read_at_ns = now_ns + READ_NS
            peers.follow(self._config_pass, now_ns)

    def _heartbeat(self) -> None:
        """Tell the cell that this node lives, and which operation was answered to it: lost ones are found by that."""
        if self._client.available():
            found = beat(self._client, self._settings.node, self._outbox.opseq)
            self._takeover.see(found.nodes, self._clock.monotonic_ns())
            self._measures.see(found.now_ms, self._clock.monotonic_ns())
            ksr_noc.publish_money(self._ksr, found.money)
            ksr_noc.publish_sync(self._ksr, found.sync, self._now()[1])
            self._told_workers = None  # told again: somebody may have taken it out of the table

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
                "generation": self._config_pass,
                "queue": self._ksr.mqueue.mq_size(ksr_queue.QUEUE),
                "calls": len(calls),
                "talking": calls.talking,
                "unheld": sum(map(bool, on_whose_word(calls.talks).values())),
                "going_on": going_on(calls.talks),
                "adopted": calls.adopted,
                "waiting": len(outbox),
                "spool": outbox.on_disk,
                "torn": self._spool.torn,
                "dead": self._spool.dead,
                "store": "down" if self._client.breaker_is_open else "up",
                "sip_wait_ms": round(self._load.waited_ms) if self._load else -1,
                "admitted_percent": round(self._load.admitted * 100) if self._load else 100,
                "opseq": outbox.opseq,
                "opseq_lost": outbox.opseq_lost,
                "invalid": outbox.invalid + self._rebuild.invalid,
                "told_again": self._rebuild.told,
                "ends_told_again": self._rebuild.retold,
                "errors": self._errors,
                "last_error": self._rebuild.last_error or outbox.last_error,
            },
        )
        self._shown.count(
            {
                "agent_round_trips": self._client.round_trips,
                "ended_by_agent": calls.cut,
                "overtalk_ms": calls.overtalk_ms,
                "went_on": calls.went_on,
                "spooled": outbox.spooled,
                "bye_failed": calls.closings.failed,
            }
        )

    def _redis_ms(self) -> int:
        return redis_ms(self._client.execute("TIME"))

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
