"""From pieces to stages: what can be asked, for how long, and what follows.

Rule 1: nobody waits for ever. All that can ring one after the other is bounded (charges.stages_max_s), and so are the
targets of a call, since a transaction has no more branches. What is beyond is left out with a sentence.
Rule 2: whatever is left out, what led to it leads to what would follow where nobody can be reached there.
Rule 3: edges lead to later stages only, so every call ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from kemi.core.charges import FIRST_ANSWER_MAX_S, stages_max_s
from kemi.core.draft import Draft
from kemi.core.hunt import attempts_most
from kemi.core.outcome import Stage, Target, Turn
from kemi.core.pieces import BUSY, NO_ANSWER, UNREACHABLE, Block, Piece, Refused, Rung
from kemi.core.walk import TOGETHER_MAX, Walk

TARGETS_MAX: Final = TOGETHER_MAX  # branches of a transaction: max_branches in kamailio.cfg
RING_MIN_S: Final = 5  # less time is not worth ringing
ATTEMPT_MIN_S: Final = 15  # of a hunt each; where there is less time, fewer are tried

Targets = tuple[Target, ...]


class Staged(NamedTuple):
    """What a call does. entry: what it ends with at once when there are no targets. waits_s: as in Route."""

    targets: Targets
    stages: tuple[Stage, ...]
    turns: tuple[Turn, ...]
    waits_s: int
    refused: Refused | None = None


class Kept(NamedTuple):
    """A piece that can be asked: its targets, and for how long each rings."""

    targets: Targets
    ring_s: int
    lasts_s: int


class Staging:
    """Lays the pieces of a walk out in time."""

    def __init__(self, draft: Draft, walk: Walk, targets_of: Callable[[Piece], Targets | None]) -> None:
        """Take the pieces. targets_of: the attempts of one, None where it may not be asked at all."""
        self._draft = draft
        self._pieces, self._edges, self._blocks = walk.pieces, walk.edges, walk.blocks
        self._targets_of = targets_of
        self._ring_max_s = draft.facts.limits.ring_max_s
        self._budget_s = stages_max_s(draft)
        self._begins: dict[int, int] = {}
        self._kept: dict[int, Kept] = {}
        self._room = TARGETS_MAX
        self._totals: dict[int, int] = {}
        self._of_piece = {
            at: number
            for number, block in enumerate(self._blocks)
            for at in range(block.first, block.first + block.size)
        }

    def staged(self, entry: int) -> Staged | None:
        """Return the stages from a piece on, None where nobody of them can be asked."""
        self._begins[entry] = 0
        for at in range(entry, len(self._pieces)):
            if at in self._begins:
                self._lay(at)
        first = self._followed(entry)
        if first < 0:
            return None
        what = self._pieces[first].what
        if isinstance(what, Refused):
            return Staged((), (), (), 0, what)
        order = [at for at in sorted(self._kept) if at in self._begins and at >= first]
        places = {at: place for place, at in enumerate(order)}
        targets: list[Target] = []
        stages: list[Stage] = []
        for at in order:
            stages.append(self._stage(at, len(targets), places))
            targets.extend(self._kept[at].targets)
        waits_s = max(self._begins[at] + self._lasts_s(at) for at in order)
        turns = tuple(turn for number in range(len(self._blocks)) if (turn := self._turn(number, places)))
        if self._is_plain(order, stages, turns):
            return Staged(tuple(targets), (), (), 0)
        return Staged(tuple(targets), tuple(stages), turns, waits_s)

    def _is_plain(self, order: Sequence[int], stages: Sequence[Stage], turns: Sequence[Turn]) -> bool:
        """Tell whether one hunt through all targets says the same."""
        if len(order) > 1 or turns or self._pieces[order[0]].ring_s:
            return False
        return stages[0].size == 1 or not stages[0].together

    def _lay(self, at: int) -> None:
        """Keep a piece if it can be asked, and let those that follow it begin after it."""
        piece, begins_s, edges = self._pieces[at], self._begins[at], self._edges[at]
        number = self._of_piece.get(at)
        room_s = self._budget_s - begins_s
        if number is not None:
            room_s = self._block_s(number, room_s)
        targets = self._targets_of(piece) if self._has_room(piece) else None
        kept = self._fitted(piece, targets, room_s) if targets is not None else None
        if kept is None:
            self._begin(edges[UNREACHABLE], begins_s)
            return
        self._kept[at] = kept
        self._room -= len(kept.targets)
        block = self._blocks[number] if number is not None else None
        ends_s = begins_s + self._lasts_s(at)
        for after in edges:
            is_within = block is not None and block.first <= after < block.first + block.size
            self._begin(after, begins_s if is_within else ends_s)

    def _has_room(self, piece: Piece) -> bool:
        """Tell whether the call has a branch left for what rings; whatever is left out is not worth being made."""
        if self._room > 0 or isinstance(piece.what, Refused):
            return True
        self._draft.note(f"left out: a call has {TARGETS_MAX} branches")
        return False

    def _lasts_s(self, at: int) -> int:
        number = self._of_piece.get(at)
        return self._kept[at].lasts_s if number is None else self._totals[number]

    def _begin(self, at: int, second: int) -> None:
        if at >= 0:
            self._begins[at] = max(self._begins.get(at, 0), second)

    def _block_s(self, number: int, room_s: int) -> int:
        """Return how long all members of a block ring together."""
        if number not in self._totals:
            block = self._blocks[number]
            members = self._pieces[block.first : block.first + block.size]
            wanted_s = sum(map(self._ring_s, members))
            rings_s = min(wanted_s, block.total_s) if block.total_s else wanted_s
            self._totals[number] = min(room_s, rings_s + block.size * FIRST_ANSWER_MAX_S)
        return self._totals[number]

    def _ring_s(self, piece: Piece) -> int:
        return min(piece.ring_s or self._ring_max_s, self._ring_max_s)

    def _fitted(self, piece: Piece, targets: Targets, room_s: int) -> Kept | None:
        """Return the piece within the time and the targets that are left, None where nothing of it fits."""
        if isinstance(piece.what, Refused):
            return Kept((), 0, 0)
        if not targets:
            return None
        if len(targets) > self._room:
            self._draft.note(
                f"{len(targets) - self._room} of {len(targets)} branches left out: a call has {TARGETS_MAX}"
            )
            targets = targets[: self._room]
        if isinstance(piece.what, Rung):
            attempts = 1
        else:
            targets, attempts = _hunted(targets, room_s)
        ring_s = min(self._ring_s(piece), room_s // max(1, attempts) - FIRST_ANSWER_MAX_S)
        if not targets or ring_s < min(RING_MIN_S, self._ring_s(piece)):
            self._draft.note(f"left out: {self._budget_s} s of ringing are over by then")
            return None
        return Kept(targets, ring_s, attempts * (FIRST_ANSWER_MAX_S + ring_s))

    def _followed(self, at: int) -> int:
        """Return the piece that an edge leads to once what was left out is gone, -1 = none."""
        while at >= 0 and at not in self._kept:
            at = self._edges[at][UNREACHABLE]
        return at

    def _stage(self, at: int, first: int, places: dict[int, int]) -> Stage:
        piece, kept = self._pieces[at], self._kept[at]
        after = [places.get(self._followed(edge), -1) for edge in self._edges[at]]
        if isinstance(piece.what, Refused):
            return Stage(first, 0, status=piece.what.status, phrase=piece.what.phrase)
        return Stage(
            first,
            len(kept.targets),
            isinstance(piece.what, Rung),
            kept.ring_s,
            busy=after[BUSY],
            no_answer=after[NO_ANSWER],
            unreachable=after[UNREACHABLE],
        )

    def _turn(self, number: int, places: dict[int, int]) -> Turn | None:
        """Return what is left of a block; None where that needs no order of anybody's."""
        block: Block = self._blocks[number]
        kept = [at for at in range(block.first, block.first + block.size) if at in places]
        if not kept:
            return None
        lines = tuple(block.lines[at - block.first] for at in kept) if block.lines else ()
        rings_s = max(1, self._totals[number] - block.size * FIRST_ANSWER_MAX_S)
        return Turn(block.group_id, places[kept[0]], len(kept), block.is_circular, lines, rings_s)


def _hunted(targets: Targets, room_s: int) -> tuple[Targets, int]:
    """Return those of a hunt that there is time for, and how many attempts they may take."""
    while targets and attempts_most(targets) * ATTEMPT_MIN_S > room_s:
        targets = targets[:-1]
    return targets, attempts_most(targets)
