"""What a node does for a Redis that has lost something: it tells the calls that it carries, later the ends it told.

Rule 1: while settlement builds an epoch, every call with a hold is told: it rings or talks, is about to be adopted, or
its charge waits to be told. Calls that workers have queued come first. Then the node says that it has told all.
Rule 2: told is what Redis has answered, never what is on its way: that is repeated with its id once Redis is armed.
Rule 3: once Redis is armed for another epoch, the ends that it had acknowledged shortly before are told again. Where it
has kept them nothing happens; where it has lost them they come as late ends, and Postgres posts what is missing.
No clock, no Kamailio; Redis only through the money functions.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final, NamedTuple, Protocol

from kemi import codec
from kemi.adapters.redis_operations import (
    Applied,
    Invalid,
    Late,
    Note,
    Part,
    Rehold,
    Release,
    Replayed,
    Result,
    Settle,
    Unarmed,
    reserve_id,
)
from kemi.agent_adoption import MS, Moment, adoptable
from kemi.agent_calls import FORGET_AFTER_S, Calls
from kemi.agent_orders import Outgoing
from kemi.agent_outbox import BATCH_MAX, ROUNDS_MAX, Money, Outbox, dump, load
from kemi.agent_proofs import Proofs
from kemi.agent_slices import NS, deadline_ns, seconds_up
from kemi.agent_talk import Talk, pack_legs
from kemi.core.rating import by_fund, charges, legs_at
from kemi.records import CallEnd, PinnedCall

PAGE: Final = 100  # reservations of our own looked at in one round trip, which must stay far below the time-out
RECENT_NS: Final = 60 * NS  # longer than a Redis loses that was promoted, or whose machine died
RECENT_MAX: Final = 20_000
PAID_MAX: Final = 20_000  # of calls that go on; the others' parts are as Postgres has them
SETTLING_S: Final = 60  # until the lease ends of a call whose charge waits: it is told as soon as Redis is armed


class Store(Money, Protocol):
    """What a rebuild needs of redis_funds.Funds."""

    def rehold(self, told: Sequence[Rehold], /) -> list[Result]:
        """Tell calls that go on. Raises StoreUnavailable where any answer is missing."""

    def adopted(self, epoch: int, count: int, /) -> bool:
        """Say that all are told. Raises StoreUnavailable."""


class Charge(NamedTuple):
    """The end of a call, which waits to be told. known_seq: the last of its operations that Redis may have answered.

    part: the last that it has paid, as far as we know.
    """

    sent: Outgoing
    known_seq: int
    part: Part | None


Waiting = Talk | Charge | Rehold


class Rebuild:
    """A node's part in making a Redis right again. node, boot_id: as in Calls. proofs: of the takeover.

    is_doubtful: Redis is being made right, or has to be: nobody adopts a call meanwhile.
    """

    def __init__(self, funds: Store, calls: Calls, outbox: Outbox, proofs: Proofs, node: str, boot_id: str) -> None:
        self._funds = funds
        self._calls = calls
        self._outbox = outbox
        self._proofs = proofs
        self._node = node
        self._boot_id = boot_id
        self._recent: deque[tuple[int, Outgoing]] = deque()
        self._again: deque[Outgoing] = deque()
        self.is_doubtful = True  # until Redis has said how it is
        self._paid: OrderedDict[str, Part] = OrderedDict()
        self.armed_epoch = 0
        self._building = 0
        self._epoch = 0  # that is told, or was, over `_connection`
        self._connection = 0
        self._waiting: deque[Waiting] = deque()
        self._found: set[str] = set()
        self._after: str | None = None
        self._said = -1
        self.told = 0
        self.retold = 0
        self.invalid = 0
        self.last_error = ""

    @property
    def is_due(self) -> bool:
        """Whether settlement wants to hear of our calls now."""
        return self._building > 0

    def see(self, epoch: int, building: int, now_ns: int) -> bool:
        """Take in what Redis says; return whether it was armed once more, and may have forgotten something.

        epoch: that it was armed for last, 0 = gone. building: that is being built, 0 = none. now_ns: monotonic.
        """
        self._building = building = building if building > epoch else 0  # else it is left over
        if building or not epoch:
            self.is_doubtful = True
            return False
        self._epoch = 0  # what comes next is told all, even for the same number: Postgres may go back to the past
        if epoch == self.armed_epoch and not self.is_doubtful:
            while self._recent and now_ns - self._recent[0][0] > RECENT_NS:
                self._recent.popleft()
            return False
        if self.armed_epoch:
            self._again.extend(sent for _, sent in self._recent)
            self._recent.clear()
        self.armed_epoch, self.is_doubtful = epoch, False
        return True

    def again(self, count: int) -> list[Outgoing]:
        """Return the next ends to tell once more, at most `count`; not while Redis is being made right."""
        if self.is_doubtful:
            return []
        taken = [self._again.popleft() for _ in range(max(0, min(count, len(self._again))))]
        self.retold += len(taken)
        return taken

    def acknowledged(self, sent: Outgoing, result: Result, now_ns: int) -> None:
        """Keep what Redis has just taken, should it forget: ends, and what a call has paid until its end."""
        operation = sent.operation
        if not isinstance(result, Applied | Replayed):
            return
        if isinstance(operation, Part):
            self._paid[operation.rid] = operation
            if len(self._paid) > PAID_MAX:
                self._paid.popitem(last=False)
        elif isinstance(operation, Settle | Release | Note | Late):
            self._paid.pop(operation.rid, None)
            self._recent.append((now_ns, sent))
            if len(self._recent) > RECENT_MAX:
                self._recent.popleft()

    def turn(self, now: Moment, connection: int, *, is_drained: bool) -> None:
        """Tell some calls, and when these were all, say so. is_drained: no message of a worker waits.

        connection: its number; behind another one may be a Redis to which nothing was told.
        Raises StoreUnavailable: it goes on with the next turn, over another connection from the beginning.
        """
        if (self._building, connection) != (self._epoch, self._connection):
            self._connection = connection
            self._begin()
        self._look_for_more()
        for _ in range(ROUNDS_MAX):
            if self._after is not None:
                self._find_own(now)
            elif self._waiting:
                self._tell(now)
            else:
                break
        else:
            return
        if is_drained and self._building and len(self._found) != self._said:
            if self._funds.adopted(self._building, len(self._found)):
                self._said = len(self._found)
            else:
                self._give_up()

    def export(self) -> list[tuple[int, str, bytes]]:
        """Return the ends that may have to be told again, for the code after a reload; at 0 ns: those that have to."""
        return [(at_ns, *dump(sent)) for at_ns, sent in (*((0, sent) for sent in self._again), *self._recent)]

    def restore(self, exported: Iterable[tuple[int, str, bytes]], epoch: int) -> None:
        """Take over what `export` of the code before returned. epoch: for which Redis was armed then."""
        self.armed_epoch = epoch
        for at_ns, kind, body in exported:
            sent = load(kind, body)
            if isinstance(sent, Outgoing) and at_ns:
                self._recent.append((at_ns, sent))
            elif isinstance(sent, Outgoing):
                self._again.append(sent)

    def _begin(self) -> None:
        """Note all that is to be told now: what ends meanwhile is told all the same, its end comes after it."""
        self._epoch, self._after, self._said = self._building, "", -1
        self._waiting.clear()
        self._found.clear()
        for sent, known_seq in self._outbox.settlements():
            rid = sent.operation.rid
            self._take(rid, Charge(sent, known_seq, self._paid.get(rid)))

    def _look_for_more(self) -> None:
        """Find calls that were not told yet: a worker may have told us late."""
        for talk in self._calls.held:
            self._take(talk.call.rid, talk)

    def _find_own(self, now: Moment) -> None:
        """Find calls of our life before, which nobody follows yet: those that can be adopted are kept."""
        page = self._funds.of_node(self._node, self._after or "", PAGE)
        unknown = [rid for rid in page.rids if not self._calls.knows(rid)]
        for rid, found in (self._funds.described(unknown) if unknown else {}).items():
            proven = self._proofs.proven(rid, found)
            talk = adoptable(proven, self._boot_id, now)
            if talk is not None and proven is not None:
                told = told_talk(talk, self._epoch, self._boot_id, now)
                self._take(rid, told._replace(legs=proven.legs, posted=proven.posted))
        self._after = page.after or None

    def _take(self, rid: str, waiting: Waiting) -> None:
        if rid not in self._found:
            self._found.add(rid)
            self._waiting.append(waiting)

    def _give_up(self) -> None:
        """Stop: this epoch is not being built any more. The next one is told everything."""
        self._building = self._epoch = 0
        self._waiting.clear()

    def _tell(self, now: Moment) -> None:
        batch = list(islice(self._waiting, BATCH_MAX))
        told = [each for each in (self._told(waiting, now) for waiting in batch) if each is not None]
        for each, result in zip(told, self._funds.rehold(told), strict=True):
            if isinstance(result, Unarmed):
                self._give_up()
                return
            if isinstance(result, Invalid):
                self.invalid += 1
                self.last_error = f"call {each.rid} cannot be held again: {result.text}"
        self.told += len(told)
        for _ in batch:
            self._waiting.popleft()

    def _told(self, waiting: Waiting, now: Moment) -> Rehold | None:
        if isinstance(waiting, Talk):
            return told_talk(waiting, self._epoch, self._boot_id, now)
        return told_charge(waiting, self._epoch) if isinstance(waiting, Charge) else waiting


def told_talk(talk: Talk, epoch: int, boot_id: str, now: Moment) -> Rehold:
    """Return a call as Redis has answered it last."""
    rid, started = talk.call.rid, talk.started
    answered_ms = started.answered_ms if started else now.redis_ms
    held = talk.held_micros or charges(talk.paid, talk.granted_s, answered_ms)
    posted = charges(talk.paid, talk.posted_s, answered_ms) if talk.posted_s else (0,) * len(talk.funds)
    told = Rehold(
        op_id=reserve_id(rid),
        rid=rid,
        seq=talk.told_seq,
        epoch=epoch,
        lease_s=seconds_up(talk.due_ns - FORGET_AFTER_S * NS - now.ns),
        pinned=talk.pinned,
        funds=talk.funds,
        sides=talk.sides_now,
        granted_s=talk.granted_s,
        held=held,
        posted=posted,
        billed_s=talk.posted_s,
    )
    if started is None:
        return told
    return told._replace(
        lease_s=seconds_up(deadline_ns(talk, started) - now.ns),
        talked_ms=max(0, now.ns - started.answered_ns) // MS,
        server_id=started.server_id,
        node_answered_ms=answered_ms,
        legs=pack_legs(started, boot_id),
        place=started.place,
        joins=talk.joins,
    )


def told_charge(charge: Charge, epoch: int) -> Rehold | None:
    """Return the call whose charge waits to be told: it holds what it costs until Redis takes it.

    None where the price cannot be told by fund, as of an older release: then it is told as a late end.
    """
    sent, known_seq, part = charge
    settle = sent.operation
    if not isinstance(settle, Settle):
        return None
    try:
        call, end = codec.unpack(PinnedCall, sent.pinned), codec.unpack(CallEnd, settle.end)
    except ValueError:
        return None
    funds = sent.funds or tuple(dict.fromkeys(leg.fund for leg in call.legs if leg.fund))
    paid = by_fund(legs_at(call.legs, call.targets, end.place), funds)
    if charges(paid, settle.billed_s, end.answered_ms) != settle.price_micros:
        return None
    return Rehold(
        op_id=reserve_id(settle.rid),
        rid=settle.rid,
        seq=known_seq,
        epoch=epoch,
        lease_s=SETTLING_S,
        pinned=sent.pinned,
        funds=funds,
        sides=(0,) * len(funds),
        granted_s=settle.billed_s,
        held=settle.price_micros,
        posted=part.price_micros if part else (0,) * len(funds),
        billed_s=part.billed_s if part else 0,
        talked_ms=end.talk_ms,
        server_id=end.server_id,
        node_answered_ms=end.answered_ms,
        place=end.place,
    )
