"""Groups: who of them rings, in which order, and for how long.

Rule 1: a member who takes no calls, or whose account does not, is passed over; nobody's forwards count.
Rule 2: a random order is drawn from the call's own seed. A circular one, and who is in a call, is known once the hold
is answered: until then these pieces are a block.
Rule 3: the group's overflow counts where the group is called by itself, not in a callflow's step.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi import keys
from kemi.core.called import Called, named
from kemi.core.draft import how_many
from kemi.core.forwards import Forwarder
from kemi.core.order import draw_member
from kemi.core.pieces import Block, Path, Walked
from kemi.core.walk import Walk, whole
from kemi.records import Member, RingGroup

MEMBERS_MAX: Final = 64  # that one call looks at; the rest of a larger group is left out
BESIDE: Final = 1 << 8  # members of a group are drawn by numbers next to the group's own


class Ringing(NamedTuple):
    """A member and its lines. fund: what counts its calls, "" where that is not asked."""

    member: Member
    lines: tuple[Called, ...]
    fund: str


def follow(walk: Walk, rest: str, _to_user: str, _by: Forwarder, path: Path) -> Walked:
    """Follow a group that is called by itself: its members, then its overflow."""
    group = walk.draft.known.ring_group(whole(rest))
    if group is None:
        return walk.dead("called_unavailable", f"ring group {rest} is not there")
    name = _name(group)
    by = walk.entered(name, group.account_id, path)
    if isinstance(by, Walked):
        return by
    walked = rung(walk, group, path, group.total_s)
    if not group.overflow:
        return walked
    reason = "no-answer" if walked.entry >= 0 else "user-busy" if walked.reason == "called_busy" else "unavailable"
    beyond = walk.lead(f"overflow of {name}", (group.overflow, group.overflow_user), by, path, reason)
    return walk.then(walked, beyond)


def rung(walk: Walk, group: RingGroup, path: Path, total_s: int) -> Walked:
    """Let the members ring as the group's policy says. total_s: all of them together, 0 = as long as each does."""
    name = _name(group)
    found, is_busy = _ringing(walk, group)
    if not found:
        return walk.dead("called_busy" if is_busy else "called_unavailable", f"{name}: nobody can be rung")
    funds = tuple(each.fund for each in found) if group.skip_busy else ()
    if group.policy == "parallel":
        return _at_once(walk, group, found, path, total_s or group.member_s)
    if group.policy == "random":
        found = _drawn(walk, group, found)
        funds = tuple(each.fund for each in found) if group.skip_busy else ()
    is_block = group.policy == "circular" or group.skip_busy
    walk.draft.note(f"{name} rings {how_many(len(found), 'member')} in turn ({group.policy})")
    if is_block:
        lines = tuple((fund,) for fund in funds)
        walk.blocks.append(Block(group.id, len(walk.pieces), len(found), group.policy == "circular", lines, total_s))
    return _in_turn(walk, group, found, path, 0 if is_block else total_s)


def _at_once(walk: Walk, group: RingGroup, found: list[Ringing], path: Path, ring_s: int) -> Walked:
    lines = tuple({line.address_of_record: line for each in found for line in each.lines}.values())
    walk.draft.note(f"{_name(group)} rings {how_many(len(lines), 'line')} at once")
    if group.skip_busy:
        funds = tuple(each.fund for each in found)
        walk.blocks.append(Block(group.id, len(walk.pieces), 1, False, (funds,), 0))
    return walk.ring(lines, path, ring_s)


def _in_turn(walk: Walk, group: RingGroup, found: list[Ringing], path: Path, total_s: int) -> Walked:
    """Let one ring after the other. total_s: 0 = nobody is left out for want of time."""
    walked, passed_s = Walked(), 0
    for each in found:
        ring_s = each.member.ring_s or group.member_s or walk.draft.facts.limits.ring_max_s
        if total_s:
            ring_s = min(ring_s, total_s - passed_s)
        if ring_s <= 0:
            walk.draft.note(f"{_name(group)}: {named(each.member.to)} left out: its {total_s} s are over by then")
            continue
        passed_s += ring_s
        walked = walk.then(walked, walk.ring(each.lines, path, ring_s))
    return walked


def _ringing(walk: Walk, group: RingGroup) -> tuple[list[Ringing], bool]:
    """Return the members that can be rung, and whether one is passed over as busy."""
    found: list[Ringing] = []
    is_any_busy = False
    for member in group.members[:MEMBERS_MAX]:
        if walk.lines_left <= 0:
            walk.looks()  # says so
            break
        kind, _, name = member.to.partition(":")
        lines, is_busy = walk.user_lines(name) if kind == "user" else walk.ringable((name,))
        is_any_busy = is_any_busy or is_busy
        if lines:
            fund = keys.user_fund(whole(name)) if kind == "user" else keys.line_fund(lines[0].subscriber.id)
            found.append(Ringing(member, lines, fund))
    return found, is_any_busy


def _drawn(walk: Walk, group: RingGroup, found: list[Ringing]) -> list[Ringing]:
    tickets = {place: draw_member(walk.draft, group.id * BESIDE + place) for place in range(len(found))}
    return [found[place] for place in sorted(tickets, key=lambda place: (tickets[place], place))]


def _name(group: RingGroup) -> str:
    return f"ring group {group.id} of account {group.account_id}"
