"""The answers of this node's last life, which Redis may not have heard of: the node was killed just after the 200.

Rule 1: who answered is adopted, and Redis is told of the answer: nobody talks without a hold because a node died.
Rule 2: what was held before this node began, and is not known to be answered, never will be: a 200 that comes now is
ended at once. So its money comes free; the record says that nobody knows, for a note may be missing.
Rule 3: a call that a sweeper has given up meanwhile is ended on the wire, and told as what it was.
"""

from __future__ import annotations

from collections.abc import Iterable

from kemi import codec
from kemi.adapters.journal import Noted
from kemi.adapters.ksr_queue import Started
from kemi.adapters.redis_operations import Answer, Release, Reservation, sweep_id
from kemi.agent_orders import Outgoing
from kemi.agent_slices import NODE_LOST, deadline_ns, seconds_up
from kemi.agent_talk import Talk, lower, pack_legs
from kemi.records import CallEnd, PinnedCall


def answer_mark(talk: Talk, started: Started, legs: bytes, now_ns: int) -> Outgoing:
    """Return what tells Redis of an answer, and whom it concerns. legs: as packed for an adopter."""
    lease_s, held_micros = seconds_up(deadline_ns(talk, started) - now_ns), lower(talk, started)
    who = started.place, talk.answerers
    mark = Answer(*talk.next_op(), lease_s, started.server_id, started.answered_ms, legs, *who, leaves=talk.left)
    return Outgoing(mark._replace(held_s=talk.granted_s, held_micros=held_micros) if held_micros else mark)


class Proofs:
    """What was noted before this node began. began_ms: Unix time; 0 = not known, then nothing is of before."""

    def __init__(self, notes: Iterable[Noted], began_ms: int) -> None:
        self._began_ms = began_ms
        self._notes = {note.started.rid: note for note in notes if note.started.answered_ms < began_ms}

    def __len__(self) -> int:
        return len(self._notes)

    def first(self, count: int) -> list[str]:
        """Return some of the calls that were not looked at yet."""
        return list(self._notes)[:count]

    def drop(self, rids: Iterable[str]) -> None:
        """Forget calls that were looked at."""
        for rid in rids:
            self._notes.pop(rid, None)

    def proven(self, rid: str, reservation: Reservation | None) -> Reservation | None:
        """Return a reservation with the answer that Redis was not told of, where one is noted."""
        note = self._notes.get(rid)
        if note is None or reservation is None or not reservation.pinned or reservation.answered_ms:
            return reservation
        started = note.started
        return reservation._replace(
            state="answered" if reservation.state == "held" else reservation.state,
            server_id=started.server_id,
            answered_ms=started.answered_ms,
            node_answered_ms=started.answered_ms,
            legs=pack_legs(started, note.boot_id),
            place=started.place,
        )

    def given_up(self, rid: str, reservation: Reservation | None, redis_ms: int) -> list[Outgoing]:
        """Return what gives back the hold of a call that rang when this node's last life ended.

        As a sweeper does, which guesses too: should the end be heard all the same, the call is still known.
        """
        if reservation is None or reservation.state != "held" or rid in self._notes:
            return []
        try:
            started_ms = codec.unpack(PinnedCall, reservation.pinned).started_ms
        except ValueError:
            return []
        if started_ms >= self._began_ms:
            return []
        seq = reservation.seq + 1
        trace = (f"node {reservation.node} was killed before it told of an answer",)
        end = CallEnd("unknown_end", redis_ms, 0, 0, 0, 0, NODE_LOST, 0, "", trace=trace)
        return [Outgoing(Release(sweep_id(rid, seq), rid, seq, codec.pack(end)))]
