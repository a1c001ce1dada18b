"""Whom a call reaches that goes not simply to a line: what rings, what follows, what it costs and what is held for it.

Rule 1: a plain line, the callee of nearly every call, is none of this module's business; nothing of it is made for one.
Rule 2: what nobody can say before the hold is answered, whose turn it is in a group and who is in a call, is settled by
`arranged`, which changes the order of stages and never the targets: their places are pinned with the hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from kemi import keys
from kemi.core import flows, groups
from kemi.core.called import Called, Led
from kemi.core.callees import source_names, to_line, to_media, to_places
from kemi.core.caller_id import CallerId
from kemi.core.charges import Further, Legs
from kemi.core.draft import Draft
from kemi.core.leaps import Carried, carried, is_full
from kemi.core.outcome import IN, HoldFund, Reject, Route, Stage, Target, Turn
from kemi.core.pieces import Away, Path, Piece, Placed, Played, Refused, Rung
from kemi.core.refusals import is_sendable
from kemi.core.staging import Staged, Staging
from kemi.core.walk import Walk
from kemi.records import Subscriber

FOLLOWERS: Final = {"grp": groups.follow, "flow": flows.follow}
ASKS_MAX: Final = 64  # of one hold, as the store takes them: of a line beyond nobody knows whether it is in a call
TURNS_MAX: Final = 8  # likewise: a group beyond begins with its first member
PHONES: Final = frozenset(("line", "pilot"))


class Reached(NamedTuple):
    """Where a call goes, and what is held for that besides the legs of the caller and the called."""

    staged: Staged
    further: Further

    @property
    def legs(self) -> Legs:
        """Of all forwards."""
        return (*self.further.out_legs, *self.further.in_legs)


def is_plain(line: Subscriber) -> bool:
    """Tell whether a line is its phones and nothing else: no forwards, times, limits or trunks."""
    return line.kind in PHONES and not (line.forwards or line.dnd or line.ring_s or line.counted)


class Reach:
    """Where one call goes: first whom, then, once its own legs are known, how and at which price."""

    def __init__(self, draft: Draft, shown: CallerId) -> None:
        self._draft = draft
        self._shown = shown
        self._walk = Walk(draft, shown, FOLLOWERS)
        self._entry = -1
        self._leads: dict[int, tuple[HoldFund, ...]] = {}

    def look(self, called: Called | Led, number: str) -> Reject | None:
        """Follow what was dialled; return the refusal where nobody can be asked. number: "" = none was dialled."""
        draft, walk = self._draft, self._walk
        path = Path(frozenset((keys.number(number),)) if number else frozenset(), number=number)
        walked = walk.behind(called, number, path)
        self._entry = walked.entry
        if walked.entry < 0:
            return draft.refuse(walked.reason or "called_unavailable", account_id=walked.account_id)
        return None

    def reached(self, before: Legs, own: tuple[str, ...]) -> Reached | Reject:
        """Return where the call goes. before: its own legs, of the caller and the called. own: what counts the caller.

        What counts the caller's own line or user counts the call wherever it is answered.
        """
        draft, walk = self._draft, self._walk
        self._leads = {leap.n: tuple([row for row in leap.leads if row.fund not in own]) for leap in walk.leaps}
        paths = {piece.what.n: piece.path for piece in walk.pieces if isinstance(piece.what, Away)}
        sources = source_names(draft, walk.pieces)
        paid = carried(draft, walk.leaps, paths, self._shown, before, sources)
        draft.known.expect(sources)
        staged = Staging(draft, walk, lambda piece: self._led(piece, self._targets(piece, paid))).staged(self._entry)
        if staged is None:
            is_busy = any(is_full(draft, leap) for leap in walk.leaps)
            reason = "called_busy" if is_busy else "called_unavailable"
            return draft.refuse(reason, "nobody is left whom the call may reach")
        if staged.refused is not None:
            return self._refused(staged.refused)
        return Reached(staged, self._further(staged, paid))

    def _targets(self, piece: Piece, paid: Mapping[int, Carried]) -> tuple[Target, ...] | None:
        """Return the attempts of a piece, None where a forward that leads there cannot be made."""
        draft, shown, path = self._draft, self._shown, piece.path
        if any(n not in paid for n in path.forwards):
            return None
        match piece.what:
            case Rung(lines):
                return tuple(to_line(draft, line, shown, path) for line in lines)
            case Placed(line):
                return to_places(draft, line, shown, path)
            case Away(n):
                return paid[n].targets
            case Played():
                return to_media(draft, piece.what, shown, path)
            case Refused():
                return ()

    def _led(self, piece: Piece, targets: tuple[Target, ...] | None) -> tuple[Target, ...] | None:
        """Return the attempts with who leads the call there."""
        leads = tuple(dict.fromkeys(row.fund for n in piece.path.forwards for row in self._leads[n]))
        if not leads or not targets:
            return targets
        return tuple([target._replace(pinned=target.pinned._replace(leads=leads)) for target in targets])

    def _refused(self, refused: Refused) -> Reject:
        refusal = self._draft.refuse("flow_reject")
        if not is_sendable(refused.status, refused.phrase):
            return refusal
        return refusal._replace(status=refused.status, phrase=refused.phrase)

    def _further(self, staged: Staged, paid: Mapping[int, Carried]) -> Further:
        """Return what is held besides: legs of the forwards that are left, and what counts lines, users and turns."""
        pinned = tuple(target.pinned for target in staged.targets)
        used = {n for target in pinned for n in target.forwards}
        asks = dict.fromkeys(fund for turn in staged.turns for funds in turn.lines for fund in funds)
        return Further(
            out_legs=tuple(leg for n, each in paid.items() if n in used for leg in each.out_legs),
            in_legs=tuple(leg for n, each in paid.items() if n in used for leg in each.in_legs),
            counted=(*self._counted(), *self._leading(used)),
            targets=pinned,
            waits_s=staged.waits_s,
            asks=tuple(asks)[:ASKS_MAX],
            turns=tuple(dict.fromkeys(turn.group_id for turn in staged.turns if turn.is_circular))[:TURNS_MAX],
        )

    def _leading(self, used: set[int]) -> tuple[HoldFund, ...]:
        """Return what counts the forwards that are left among the calls of the lines and users that lead on."""
        return tuple(row for n, rows in self._leads.items() if n in used for row in rows)

    def _counted(self) -> tuple[HoldFund, ...]:
        """Return what counts calls to whom is called, as far as that is the same whoever answers.

        That is the line where it is exactly one, and the user where all lines are his.
        """
        entry = self._walk.pieces[self._entry]
        found = [line for piece in self._walk.pieces if piece.path == entry.path for line in _lines(piece)]
        if not found or entry.path.forwards:
            return ()
        common = set(found[0].subscriber.counted).intersection(*(each.subscriber.counted for each in found))
        return tuple(fund for fund in counted(found[0].subscriber, IN) if fund.fund in common)


def counted(line: Subscriber, side: int) -> tuple[HoldFund, ...]:
    """Return the funds that count a line's calls on one side, () for a line that nobody counts."""
    return tuple([HoldFund(fund, line.account_id, 0, side) for fund in line.counted])


def arranged(route: Route, counts: Mapping[str, int], turns: Mapping[int, int]) -> Route:
    """Return the route once the hold is answered: groups begin where it is their turn, who is in a call is passed over.

    counts: calls now by fund, as Hold.asks wants them; of one that is not there nobody knows, so nobody is passed over.
    turns: by group, how many calls took its turn before. The targets stay where they are.
    """
    stages = list(route.stages)
    for turn in route.turns:
        _arrange(stages, route, turn, counts, turns.get(turn.group_id, 0))
    return route._replace(stages=tuple(stages)) if route.turns else route


def _arrange(stages: list[Stage], route: Route, turn: Turn, counts: Mapping[str, int], taken: int) -> None:
    """Let the members of a turn change places. What leads from a place to the next stays with the place."""
    first, size = turn.first_stage, turn.size
    begin = taken % size if turn.is_circular and size else 0
    left_s = turn.total_s
    for place in range(size):
        member = (begin + place) % size
        content = route.stages[first + member]
        funds = turn.lines[member] if turn.lines else ()
        passed = _passed(route.targets, content, funds, {fund for fund in funds if counts.get(fund, 0) > 0})
        stage = stages[first + place]._replace(
            first=content.first, size=content.size, together=content.together, ring_s=content.ring_s, passed=passed
        )
        if turn.total_s and stage.places:
            ring_s = min(stage.ring_s, left_s)
            left_s -= ring_s
            stage = stage._replace(ring_s=ring_s) if ring_s > 0 else _skipped(stage)
        stages[first + place] = stage


def _passed(targets: tuple[Target, ...], stage: Stage, funds: tuple[str, ...], busy: set[str]) -> tuple[int, ...]:
    """Return the places of a stage whose lines are in a call: of one member all, of several each for itself."""
    places = range(stage.first, stage.first + stage.size)
    if not busy or len(funds) == 1:
        return tuple(places) if busy else ()
    return tuple(place for place in places if not busy.isdisjoint(targets[place].pinned.joins))


def _skipped(stage: Stage) -> Stage:
    return stage._replace(passed=tuple(range(stage.first, stage.first + stage.size)))


def _lines(piece: Piece) -> tuple[Called, ...]:
    return (
        piece.what.lines
        if isinstance(piece.what, Rung)
        else (piece.what.line,)
        if isinstance(piece.what, Placed)
        else ()
    )
