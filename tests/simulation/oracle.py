"""Judges everything that the simulated Redis does: compares each answer and each sum with the reference model.

Rule 1: it looks at requests, answers and stored bytes only, never at the Lua source.
Rule 2: it is asked after every command; the first thing that is wrong ends the run, under the name of the check.
"""

from __future__ import annotations

from collections.abc import Sequence

from kemi import keys
from kemi.adapters.redis_client import Argument, FunctionFailed, Reply
from kemi.adapters.redis_funds import DESCRIBE_FORM
from tests.simulation.comparing import Surroundings
from tests.simulation.rebuilding import Rebuilding
from tests.simulation.redis_shim import RedisShim
from tests.simulation.requests import Request, decode
from tests.simulation.violation import require

CONFIGURATION = frozenset({"apply", "begin", "commit_pass", "fetch"})  # these may fail: the sync begins again
REPAIRS = frozenset(
    {"arm", "void", "recount", "restore_fund", "amend", "rehold", "adopted"}
)  # these are no operations: opseq stays


class Oracle(Rebuilding):
    """The judge of one Redis. books_seen, poison_seen: how much of Postgres was checked."""

    def __init__(self, redis: RedisShim, surroundings: Surroundings) -> None:
        super().__init__(redis, surroundings)
        self.books_seen = 0
        self.poison_seen = 0

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
            if applied or request.kind in ("rehold", "amend"):
                self._look_at(request.rid)
            elif request.kind not in REPAIRS:
                is_still = self.redis.writes == writes
                require("unchanged", is_still, f"{request.kind} {request.op_id!r} writes: {reply[1]!r}")
        return reply

    def _look_at(self, rid: str) -> None:
        """Compare a reservation as it is stored now."""
        question = ("FCALL_RO", "tandem_describe_1", 1, keys.reservation(rid), "oracle", rid, DESCRIBE_FORM)
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
