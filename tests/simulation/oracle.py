"""Judges everything that the simulated Redis does: compares each answer and each sum with the reference model.

Rule 1: it looks at requests, answers and stored bytes only, never at the Lua source.
Rule 2: it is asked after every command; the first thing that is wrong ends the run, under the name of the check.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kemi import keys
from kemi.adapters.redis_client import Argument, FunctionFailed, Reply
from tests.simulation.comparing import Surroundings
from tests.simulation.ending import Ending
from tests.simulation.redis_shim import RedisShim
from tests.simulation.requests import Request, decode
from tests.simulation.violation import require

CONFIGURATION = frozenset({"apply", "begin", "commit_pass", "fetch"})  # these may fail: the sync begins again
REPAIRS = frozenset({"arm", "void", "recount", "restore_fund"})  # these are no operations: opseq stays


class Oracle(Ending):
    """The judge of one Redis. books_seen, poison_seen: how much of Postgres was checked.

    was_armed: whether Redis had to take operations when the last command came: some take its epoch away.
    """

    def __init__(self, redis: RedisShim, surroundings: Surroundings) -> None:
        super().__init__(redis, surroundings)
        self.books_seen = 0
        self.poison_seen = 0
        self.was_armed = False

    def execute(self, words: Sequence[Argument]) -> Reply | FunctionFailed:
        """Run a command and judge it. Raises Violation."""
        request = decode(words)
        if request is not None:
            self._recollect(request.rid)
        before = len(self.stored.events())
        opseq, writes = self.stored.opseq, self.redis.writes
        self.was_armed = self.is_armed
        reply = self.redis.execute(words)
        if words[0] == "FLUSHALL":
            self.ledger.clear()
            self.told.clear()
        if request is None:
            return reply
        if isinstance(reply, FunctionFailed):
            require("function failed", request.kind in CONFIGURATION, f"{request.kind}: {reply.text}")
            return reply
        judge = getattr(self, f"_judge_{request.kind}", None)
        if judge is not None:
            applied, event = judge(request, reply)
            self._check_opseq(request, reply, opseq + applied)
            self._check_event(before, event)
            self._check_sums()
            if applied:
                self._look_at(request.rid)
            elif request.kind not in REPAIRS:
                is_still = self.redis.writes == writes
                require("unchanged", is_still, f"{request.kind} {request.op_id!r} writes: {reply[1]!r}")
        return reply

    def _look_at(self, rid: str) -> None:
        """Compare a reservation as it is stored now."""
        question = ("FCALL_RO", "tandem_describe_1", 1, keys.reservation(rid), "oracle", rid, 2)
        self._judge_describe(Request("describe", b"oracle", rid), self.redis.execute(question))

    def copy(self, redis: RedisShim) -> Oracle:
        """Return a judge of a copy of this Redis, which knows what this one knows; events are common to both."""
        made = Oracle(redis, self._surroundings)
        made.ledger = self.ledger.copy(redis.journal, made.terms)
        made.epoch, made.events, made.told = self.epoch, self.events, dict(self.told)
        made.applied, made.is_first_release = self.applied, self.is_first_release
        made._now_max_ms = self._now_max_ms
        return made

    def restarted(self) -> None:
        """Hear that Redis is a new process; its memory of being armed is gone."""
        self.epoch = None

    def _judge_arm(self, _: Request, reply: Any) -> tuple[int, None]:
        if reply[1] == b"OK":
            self.epoch = self.stored.epoch
            self._surroundings.check_armed(self.ledger)
        return 0, None

    def _judge_void(self, request: Request, reply: Any) -> tuple[int, None]:
        known = self.ledger.transfers.get(request.rid)
        is_due = not self.was_armed and known is not None and known.is_pending
        require("voided", is_due == (reply[1] == b"OK"), f"{request.rid} is {known and known.state}: {reply[1]!r}")
        if known is not None and is_due:
            self._bury(request._replace(kind="void", seq=known.seq), "void")
            self.ledger.note_void(request.rid)
        return 0, None

    def _judge_recount(self, request: Request, reply: Any) -> tuple[int, None]:
        require("armed", not (self.was_armed and reply[1] == b"OK"), f"{request.rid} is recounted while armed")
        if reply[1] == b"OK":
            taken = self.ledger.taken(request.rid)
            require("recounted", request.numbers == taken, f"{request.rid}: {request.numbers}, not {taken}")
            self.ledger.recount(request.rid, taken)
        return 0, None

    def _judge_restore_fund(self, request: Request, reply: Any) -> tuple[int, None]:
        fund = request.rid
        require("armed", not (self.was_armed and reply[1] == b"OK"), f"the sums of {fund} were set while armed")
        if reply[1] == b"OK":
            charged, n, *windows = request.numbers
            found = self.stored.sums(fund)
            kept = [*found.day, *found.month][: len(windows)]
            same = (found.charged_micros, found.n, *kept) == (charged, n, *windows)
            require("restored", same, f"{fund}: {found}, not {request.numbers}")
            self.ledger.restore(fund, charged, n, found.day, found.month)
            self._surroundings.check_restored(fund, found)
        return 0, None
