"""Callflows: literal steps.

Rule 1: it does what the steps say and nothing else: nobody's forwards, and no group's overflow, count in them.
Rule 2: what can be said when the call comes is decided then: times and callers. What remains are the steps that ring,
one after the other, and at most one that the call is led to for good.
Rule 3: a step leads to later ones only; one that does not ends the callflow.
"""

from __future__ import annotations

from typing import Final

from kemi.core.called import named
from kemi.core.forwards import Forwarder, is_among
from kemi.core.groups import rung
from kemi.core.phrases import phrase_of
from kemi.core.pieces import Path, Refused, Walked
from kemi.core.refusals import is_sendable
from kemi.core.time_sets import holds_now
from kemi.core.walk import Walk, whole
from kemi.records import Callflow, Step

CONDITIONS: Final = frozenset(("time", "caller"))


def follow(walk: Walk, rest: str, _to_user: str, _by: Forwarder, path: Path) -> Walked:
    """Follow a callflow, step by step."""
    flow = walk.draft.known.callflow(whole(rest))
    if flow is None:
        return walk.dead("called_unavailable", f"callflow {rest} is not there")
    name = f"callflow {flow.id} of account {flow.account_id}"
    by = walk.entered(name, flow.account_id, path)
    if isinstance(by, Walked):
        return by
    walked = _stepped(walk, flow, by, path)
    if walked.entry >= 0 or walked.reason:
        return walked
    return walk.dead("called_unavailable", f"{name} ends without ringing anybody")


def _stepped(walk: Walk, flow: Callflow, by: Forwarder, path: Path) -> Walked:
    walked, at = Walked(), 0
    while at < len(flow.steps):
        step, name = flow.steps[at], f"step {flow.steps[at].position or at + 1} of {by.name}"
        if step.kind in CONDITIONS:
            following = at + 1 if _holds(walk, step, name) else step.otherwise
            if following <= at:
                walk.draft.note(f"{name} leads back: the callflow ends")
                return walked
            at = following
            continue
        if step.kind != "ring":
            return walk.then(walked, _for_good(walk, step, name, by, path))
        at += 1
        if walk.lines_left <= 0:
            continue  # nobody is left who could ring: only what ends the callflow counts
        walked = walk.then(walked, _ring(walk, step, name, path))
    return walked


def _holds(walk: Walk, step: Step, name: str) -> bool:
    if step.kind == "time":
        holds = holds_now(walk.draft, step.time_set_id)
        walk.draft.note(f"{name}: time set {step.time_set_id} {'holds' if holds else 'does not hold'} now")
    else:
        holds = is_among(step.callers, walk.shown)
        walk.draft.note(f"{name}: the caller is {'' if holds else 'not '}among its callers")
    return holds


def _for_good(walk: Walk, step: Step, name: str, by: Forwarder, path: Path) -> Walked:
    """Follow a step that no other one comes after."""
    if step.kind == "reject":
        phrase = step.phrase or phrase_of(step.status)
        is_told = is_sendable(step.status, phrase)
        status, phrase = (step.status, phrase) if is_told else (0, "")
        walk.draft.note(f"{name} rejects: {status} {phrase}" if is_told else f"{name} rejects")
        return walk.add(Refused(status, phrase), path)
    if step.kind in ("forward", "flow", "media"):
        return walk.lead(name, (step.to, step.to_user), by, path, "unconditional")
    return walk.dead("called_unavailable", f"{name} is of no known kind: the callflow ends")


def _ring(walk: Walk, step: Step, name: str, path: Path) -> Walked:
    """Let a step ring whom it names, and nobody else."""
    ring_s = step.ring_s or walk.draft.facts.limits.ring_max_s
    walk.draft.note(f"{name} rings {named(step.to)} for {ring_s} s")
    kind, _, rest = step.to.partition(":")
    if kind == "grp":
        group = walk.draft.known.ring_group(whole(rest))
        return rung(walk, group, path, step.ring_s or group.total_s) if group else Walked()
    lines, _ = walk.user_lines(rest) if kind == "user" else walk.ringable((rest,))
    return walk.ring(lines, path, ring_s) if lines else Walked()
