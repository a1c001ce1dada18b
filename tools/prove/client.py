"""A client process: one node's worker and agent in one, placing calls without media as fast as Redis takes them.

Workers reserve one call at a time; the agent tells everything else in batches, repeats what was not answered with its
operation id, and tells of an end that Redis did not settle as a late one. On top it does what a bad day does: sends
twice, drops the connection before the answer, releases what was never held and reserves it afterwards, speaks of calls
that are over, and forgets some calls, as a crash does.

Everything is written to the journal first. Random by seed, slot and incarnation; how calls of several clients mix is
the machine's.
"""

from __future__ import annotations

import json
import mmap
import struct
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient, Reply, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import (
    Applied,
    Held,
    Invalid,
    Note,
    Operation,
    Refused,
    Replayed,
    Result,
    Stale,
    Unarmed,
    Unknown,
    Void,
)
from kemi.adapters.redis_place import Wire
from kemi.records import PinnedCall
from tools.prove import journal
from tools.prove.calls import Live, Steps, intent
from tools.prove.journal import Answer, Intent, Journal, now_ms
from tools.prove.world import Places, Shape, shapes

TIMEOUT_MS: Final = 2_000
LIVE_MAX: Final = 32
NEW_MAX: Final = 10
BATCH_MAX: Final = 64
STALE_MAX: Final = 3
REST_S: Final = 0.1
HEARTBEAT_S: Final = 1.0
COUNTER: Final = struct.Struct("<q")
DOUBLE, LOSE_BATCH, LOSE_RESERVE = 0.03, 0.004, 0.002


class Task(NamedTuple):
    """What a client is told: a line of JSON. quota: operations that its slot sends in all. lease_s: of every step."""

    folder: str
    redis_url: str
    seed: int
    slot: int
    incarnation: int
    quota: int
    lease_s: int
    places: Places


class LossyClient(RedisClient):
    """A connection that can lose what Redis answers: it is dropped after the request has left."""

    lose_next = False

    def _read(self, wire: Wire, deadline: float) -> Reply:
        if self.lose_next:
            self.lose_next = False
            raise OSError("the connection was dropped before the answer")
        return super()._read(wire, deadline)


class Client:
    """One incarnation of a slot. counter: shared memory that says how many operations the slot has sent."""

    def __init__(self, task: Task, notes: Journal, counter: mmap.mmap) -> None:
        self._task = task
        self._notes = notes
        self._counter = counter
        self._rng = Random(f"client {task.seed} {task.slot} {task.incarnation}")  # noqa: S311  no secret
        self._shapes = shapes(task.seed, task.places)
        self._redis = LossyClient(task.redis_url, TIMEOUT_MS)
        self._asked_ms = 0
        self._node = f"p{task.slot}"
        self._funds = Funds(self._redis, self._node, grace_s=1)
        self._steps = Steps(self._rng, task.lease_s, task.places.server_id)
        self._live: dict[str, Live] = {}
        self._strays: list[Operation] = []
        self._calls = 0
        self._seen_pass = 0
        self._opseq = 0
        self._heartbeat_s = 0.0
        self._told_for = 0

    def run(self) -> None:
        """Place calls until the quota is used up, then end those that go on. Outages are waited out."""
        if self._task.incarnation:
            self._outlast(self._adopt)
        while self._sent() < self._task.quota:
            self._outlast(self._round)
        while self._live:
            for live in self._live.values():
                live.hurry()
            self._outlast(self._tell)

    def _outlast(self, work: Callable[[], None]) -> None:
        try:
            work()
        except StoreUnavailable:
            self._heartbeat_s = 0.0  # settlement waits for what we have seen
            time.sleep(REST_S)
            with suppress(StoreUnavailable):
                self._tell_calls()

    def _tell_calls(self) -> None:
        """Tell a Redis that is rebuilt the calls that go on; of no other one is it asked."""
        building = self._funds.status().building
        if building and building != self._told_for:
            self._redis.execute("HSET", keys.SEEN, self._node, self._opseq)
            told = [self._steps.told(live, building) for live in self._live.values() if live.granted_s]
            for start in range(0, len(told), BATCH_MAX):
                self._funds.rehold(told[start : start + BATCH_MAX])
            if self._funds.adopted(building, len(told)):
                self._told_for = building

    def _round(self) -> None:
        if time.monotonic() > self._heartbeat_s:
            self._heartbeat_s = time.monotonic() + HEARTBEAT_S
            self._redis.execute("HSET", keys.SEEN, self._node, self._opseq)
            self._redis.execute("HSET", keys.NODES, self._node, int(time.time() * 1000))
        for _ in range(self._rng.randint(1, NEW_MAX)):
            if len(self._live) < LIVE_MAX:
                self._begin()
        self._tell()

    def _sent(self, more: int = 0) -> int:
        """Add to the slot's count of operations and return it."""
        (total,) = COUNTER.unpack_from(self._counter, self._task.slot * COUNTER.size)
        if more:
            COUNTER.pack_into(self._counter, self._task.slot * COUNTER.size, total + more)
        return int(total) + more

    # The worker -------------------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        self._calls += 1
        rid = f"p{self._task.slot}.{self._task.incarnation}.{self._calls}"
        shape = self._rng.choice(self._shapes)
        live = Live(rid, shape, self._pinned(shape, rid), self._steps.script())
        if live.script[0] in {"note", "late reserve"}:
            self._live[rid] = live
        else:
            self._reserve(live)

    def _pinned(self, shape: Shape, rid: str) -> PinnedCall:
        return shape.call._replace(rid=rid, call_id=f"{rid}@caller.example", node=self._node)

    def _reserve(self, live: Live) -> None:
        """Ask for a hold as a worker does; what may be held and was not answered is released."""
        op_id = f"{live.rid}:0"
        for _ in range(STALE_MAX):
            self._notes.write([Intent(now_ms(), live.rid, op_id, "reserve", 0, live.shape.funds)])
            self._redis.lose_next = self._rng.random() < LOSE_RESERVE
            self._asked_ms = now_ms()
            try:
                result = self._funds.reserve(
                    op_id, live.rid, live.shape.hold, self._task.lease_s, self._seen_pass, codec.pack(live.call)
                )
            except StoreUnavailable as error:
                self._note(live.rid, op_id, "reserve", "lost")
                if error.maybe_applied:
                    live.pending = self._steps.release(live, "refused")
                    self._live[live.rid] = live
                raise
            self._told_of_reserve(live, op_id, result)
            if not isinstance(result, Stale):
                return

    def _told_of_reserve(self, live: Live, op_id: str, result: Held | Refused | Stale | Unarmed | Void) -> None:
        name = type(result).__name__
        self._sent(not isinstance(result, Unarmed))
        match result:
            case Held(granted_s=granted_s, config_pass=config_pass, opseq=opseq, replayed=replayed):
                self._note(live.rid, op_id, "reserve", "Replayed" if replayed else name, granted_s, opseq)
                self._seen_pass = config_pass
                live.granted_s = granted_s
                self._live[live.rid] = live
                if not replayed and self._rng.random() < DOUBLE:
                    self._reserve(live)
            case Refused(reason=reason, config_pass=config_pass):
                self._note(live.rid, op_id, "reserve", name, text=reason)
                self._seen_pass = config_pass
                live.pending = self._steps.note(live)
                self._live[live.rid] = live
            case Stale(config_pass=config_pass):
                self._note(live.rid, op_id, "reserve", name)
                self._seen_pass = config_pass
            case Unarmed(opseq=opseq) | Void(opseq=opseq):
                self._note(live.rid, op_id, "reserve", name, 0, opseq)
                if isinstance(result, Unarmed):
                    raise StoreUnavailable("unarmed", maybe_applied=False)

    # The agent --------------------------------------------------------------------------------------------------------

    def _adopt(self) -> None:
        """Carry on with half of what the incarnation before left; the rest is the sweeper's."""
        page = self._funds.of_node(self._node)
        for rid in page.rids:
            found = self._funds.describe(rid)
            if found is None or found.state != "answered" or self._rng.random() < 0.5:  # noqa: PLR2004  half
                continue
            call = codec.unpack(PinnedCall, found.pinned)
            shapes = (each for each in self._shapes if each.call.legs == call.legs and each.funds == found.funds)
            shape = next(shapes)
            live = Live(rid, shape, call, ["adopt", "settle"], found.granted_s, found.seq, found.billed_s)
            self._live[rid] = live

    def _tell(self) -> None:
        """Tell what is due, in one batch; some of it twice, some without hearing the answer."""
        waiting = list(self._live.values())
        self._rng.shuffle(waiting)
        batch: list[tuple[Live | None, Operation]] = [(None, operation) for operation in self._strays]
        self._strays = []
        for live in waiting[:BATCH_MAX]:
            operation = self._steps.due(live)
            if operation is not None:
                batch.append((live, operation))
                if self._rng.random() < DOUBLE:
                    batch.append((None, operation))
        self._live = {rid: live for rid, live in self._live.items() if not live.is_over}
        if batch:
            self._send(batch)

    def _send(self, batch: Sequence[tuple[Live | None, Operation]]) -> None:
        self._notes.write([intent(live, operation) for live, operation in batch])
        self._redis.lose_next = self._rng.random() < LOSE_BATCH
        self._asked_ms = now_ms()
        try:
            results = self._funds.batch([operation for _, operation in batch])
        except StoreUnavailable:
            lost = [Answer(self._asked_ms, op.rid, op.op_id, journal.kind_of(op), "lost") for _, op in batch]
            self._notes.write(lost)
            raise
        self._heard(batch, results)

    def _heard(self, batch: Sequence[tuple[Live | None, Operation]], results: Sequence[Result]) -> None:
        self._sent(sum(not isinstance(result, Unarmed) for result in results))
        asked_ms = self._asked_ms
        answers = [_answer(asked_ms, operation, result) for (_, operation), result in zip(batch, results, strict=True)]
        self._notes.write(answers)
        self._opseq = max(self._opseq, *(answer.opseq for answer in answers))
        for (live, operation), result in zip(batch, results, strict=True):
            if live is not None:
                self._steps.heard(live, operation, result)
                self._after(live)
        if any(isinstance(result, Unarmed) for result in results):
            raise StoreUnavailable("unarmed", maybe_applied=False)

    def _after(self, live: Live) -> None:
        """Do what an answer leads to, besides the call's next step."""
        if live.awaits_dead_reserve and isinstance(live.pending, Note):
            live.awaits_dead_reserve = False
            self._reserve(live)  # it was slower than its own release, and must find a tombstone
        if live.is_over:
            self._live.pop(live.rid, None)
            if self._steps.speaks_of_the_dead():
                self._strays.append(self._steps.stray(live))

    def _note(
        self, rid: str, op_id: str, kind: str, code: str, granted_s: int = 0, opseq: int = 0, text: str = ""
    ) -> None:
        self._notes.write([Answer(self._asked_ms, rid, op_id, kind, code, granted_s, opseq, text)])
        self._opseq = max(self._opseq, opseq)


def _answer(asked_ms: int, operation: Operation, result: Result) -> Answer:
    code = type(result).__name__
    head = (asked_ms, operation.rid, operation.op_id, journal.kind_of(operation), code)
    match result:
        case Applied(granted_s=granted_s, opseq=opseq) | Replayed(granted_s=granted_s, opseq=opseq):
            return Answer(*head, granted_s, opseq)
        case Unknown(opseq=opseq) | Unarmed(opseq=opseq):
            return Answer(*head, 0, opseq)
        case Invalid(text=text):
            return Answer(*head, text=text)


def main() -> None:
    """Run the client that the first argument, a line of JSON, describes."""
    task = Task(*json.loads(sys.argv[1]))
    task = task._replace(places=Places(*task.places))
    folder = Path(task.folder)
    with (
        (folder / "counters").open("r+b") as file,
        mmap.mmap(file.fileno(), 0) as counter,
        Journal(folder / f"client-{task.slot}.{task.incarnation}") as notes,
    ):
        Client(task, notes, counter).run()


if __name__ == "__main__":
    main()
