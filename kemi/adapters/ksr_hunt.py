"""A hunt in Kamailio's terms: one target after the other, or several at once, edits of each in its branch only.

Rule 1: the plan travels with the transaction (ksr_plan); no process remembers it.
Rule 2: header edits happen in the branch route: those of the request route stick to every later attempt.
Rule 3: what an answer means for the hunt is said in core/hunt.py; here is said what came, and when.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from kemi.adapters import (
    ksr_capacity,
    ksr_connections,
    ksr_dlg_var,
    ksr_fork,
    ksr_media,
    ksr_plan,
    ksr_shared,
    ksr_sides,
    ksr_times,
)
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_fork import CALLED_BACK, LOCATION
from kemi.adapters.ksr_plan import NS_PER_MS, Asked, Here, Outcome, Plan
from kemi.adapters.ksr_read import text
from kemi.adapters.ksr_sides import BRANCHES_MAX
from kemi.adapters.ksr_strip import strip
from kemi.adapters.ksr_within import CSEQ_DIFF
from kemi.core.causes import cause_of
from kemi.core.hunt import Next, Told, after_stage, attempts_most, begin
from kemi.core.login import HA1
from kemi.core.outcome import Route, Target
from kemi.core.refusals import REFUSALS
from kemi.core.sides import CALLER
from kemi.core.targets import REMOVED_OF_HIDDEN
from kemi.core.token import PARAMETER
from kemi.records import Attempt, Login

BRANCH: Final = "ksr_branch"
FAILURE: Final = "ksr_failure"
OVER: Final = "ksr_branch_over"
REPLY: Final = "ksr_branch_reply"
BACKSTOP_S: Final = 10  # the dialog outlives the agent's deadline by this; only a dead agent lets it pass
TRYING: Final = 100
FINAL: Final = 200
OK: Final = 200
REDIRECTED: Final = range(300, 400)
CANNOT: Final = 503
CHALLENGES: Final = (401, 407)
SAYABLE: Final = range(100, 700)  # RFC 3261 §7.2; Kamailio takes others too, and no record may hold them
FAILED: Final = 500
CANCELLED: Final = Told(REFUSALS["cancelled"].status, REFUSALS["cancelled"].phrase)
NO_MEDIA: Final = Told(REFUSALS["media_down"].status, REFUSALS["media_down"].phrase)
STRIPPED: Final = ("Authorization", "Proxy-Authorization", "Route")
HASHED: Final = 1  # uac_auth_mode: the password is an HA1
RURI_USER: Final = "$rU"
CREDENTIALS: Final = ("login_user", "login_realm", "login_ha1")
_BREAK: Final = re.compile(r"[\r\n\x00]+")


def start(ksr: Ksr, route: Route, signed_rid: str, here: Here) -> None:
    """Follow the call and try its first target. signed_rid: value of our Record-Route parameter.

    Raises RuntimeError when Kamailio cannot follow the call: it must not go then, nobody would end it.
    """
    if ksr.dialog.dlg_manage() < 0:
        raise RuntimeError("dlg_manage failed")
    if ksr_dlg_var.get(ksr, "rid"):
        raise RuntimeError("the dialog is another call's")
    ksr.dialog.dlg_set_timeout(route.call.max_s + BACKSTOP_S)
    ksr_dlg_var.put(ksr, "rid", route.call.rid)
    ksr_sides.put(ksr, route.call.rid, CALLER, ksr_connections.begun(ksr, route.call.rid, ksr_sides.of_invite(ksr)))
    shown = {header.name: header.value for header in route.targets[0].headers}
    if set(REMOVED_OF_HIDDEN) <= set(route.targets[0].remove):
        ksr_sides.hide(ksr, route.call.rid, shown.get("Contact", ""))
    ksr.rr.add_rr_param(f";{PARAMETER}={signed_rid}")
    ksr.rr.record_route()
    plan = Plan(route.call.rid, route.ring_max_s, route.targets, stages=route.stages)
    if route.media and not ksr_media.begin_of(ksr, route) and not route.emergency:
        _finish(ksr, plan, NO_MEDIA, "media_down")
    elif route.stages:
        _go_to(ksr, plan, begin(route.stages), here)
    else:
        _go_on(ksr, _try_from(ksr, plan.at(0, route.targets[0], here), here), here)


def failed(ksr: Ksr, here: Here) -> None:
    """Go on after all branches of an attempt failed, from the plan alone. Runs in timer processes too."""
    plan = ksr_plan.load(ksr)
    status = ksr.tm.t_get_status_code()
    status = status if status in SAYABLE else FAILED
    if ksr.tm.t_is_canceled() > 0:
        _cancelled(ksr, plan, here)
        return
    if status in CHALLENGES and not plan.forks and _authorised(ksr, plan, here):
        return
    if plan.forks:
        _go_on(ksr, _Over(ksr_fork.ended(ksr, plan, here.unix_ms)), here)
        return
    rang = ksr_plan.first_rang(ksr, plan)
    status, why = ksr_times.meaning(plan, status, here.ns, has_rung=rang is not None)
    ksr_capacity.release(ksr, plan.rid)
    if plan.target.pinned.server_id:
        ksr_shared.count_failure(ksr, plan.target.pinned.server_id, status, why)
    contact = ksr_plan.moved(ksr) if status in REDIRECTED else ""
    plan = plan.failed(status, why, here.unix_ms, rang.pdd_ms() if rang else -1)
    _go_on(ksr, _hunt_on(ksr, plan, here, contact), here)


def edit_branch(ksr: Ksr, applied_us: int = -1) -> None:
    """Make the request of this branch what its carrier wants, and note who is asked in it. applied_us: as in Asked."""
    plan = ksr_plan.load(ksr)
    place = ksr_fork.place_of(ksr, plan) if plan.forks else plan.current
    target = plan.targets[place] if place >= 0 else plan.target
    _note(ksr, plan, target, place, applied_us)
    if ksr.isbflagset(CALLED_BACK):  # nobody but the phone could make the connection
        ksr.set_forward_no_connect()
    if target.from_uri or target.from_display:
        ksr.uac.uac_replace_from(_line(target.from_display), _line(target.from_uri))
    if target.to_uri:
        ksr.uac.uac_replace_to("", _line(target.to_uri))
    if target.user:
        ksr.pv.sets(RURI_USER, _line(target.user))
    strip(ksr, (*STRIPPED, *target.remove))
    for header in target.headers:
        ksr.hdr.append(f"{_line(header.name)}: {_line(header.value)}\r\n")
    if not ksr_media.offer(ksr):
        ksr.set_drop()


def heard(ksr: Ksr, now_ns: int) -> None:
    """Note what a reply to a branch says of its attempt: that it rings, or where it should go instead."""
    status = ksr.pv.geti("$rs")
    if TRYING < status < REDIRECTED.start:
        ksr_media.heard(ksr)
    if status in REDIRECTED:
        ksr_plan.note_moved(ksr, text(lambda: ksr.pv.gete("$ct")))
        return
    if not TRYING <= status < FINAL:
        return
    branch = ksr.pv.geti("$T_branch_idx")
    asked = ksr_plan.asked_in(ksr, branch)
    if asked is None or asked.rang_ns:
        return
    passed_ms = (now_ns - asked.asked_ns) // NS_PER_MS
    if status > TRYING:
        ksr_plan.note(ksr, branch, asked._replace(rang_ns=now_ns))
        if asked.pdd_max_ms:
            ksr.tm.t_set_fr(max(1, min(asked.ring_s * 1_000, asked.longest_ms - passed_ms)), 0)
    elif asked.pdd_max_ms:
        ksr.tm.t_set_fr(max(1, asked.pdd_max_ms - passed_ms), 0)


def heard_beside(ksr: Ksr, now_ns: int) -> None:
    """Note what a reply to a branch says that is not alone."""
    heard(ksr, now_ns)
    ksr_fork.heard(ksr)


def branch_over(ksr: Ksr) -> None:
    """Note that one of several branches has failed, while others may go on."""
    rid = ksr_dlg_var.get(ksr, "rid")
    if rid:
        ksr_sides.end_branch(ksr, rid, ksr.pv.geti("$T_branch_idx"))


def answered(ksr: Ksr, here: Here) -> tuple[Attempt, ...]:
    """Return the attempt whose 200 this is, the last one, after those that rang beside it.

    server_id 0 for a phone of ours.
    """
    asked = ksr_plan.asked_in(ksr, max(0, ksr.pv.geti("$T_branch_idx")))
    if asked is None:
        return (Attempt(0, OK, ended_ms=here.unix_ms),)
    pdd_ms = asked.pdd_ms(here.ns)
    attempt = Attempt(asked.server_id, OK, asked.asked_ms, here.unix_ms, pdd_ms, "", asked.place)
    if not asked.is_fork:
        return (attempt,)
    ksr_fork.show_as_told(ksr, asked)
    return (*ksr_fork.beside(ksr, asked, here.unix_ms), attempt)


def _note(ksr: Ksr, plan: Plan, target: Target, place: int, applied_us: int) -> None:
    """Note who is asked in the branch under our hands."""
    branch = ksr.pv.geti("$T_branch_idx")
    if branch < plan.branch:  # a branch before it was noted and then could not be made
        ksr_sides.begin_attempt(ksr, plan.rid, branch, has_others=plan.has_others)
    asked = Asked(
        target.pinned.server_id,
        plan.asked_ns,
        plan.asked_ms,
        target.limits.pdd_max_ms,
        plan.ring_s,
        plan.longest_ms,
        place=place,
        is_fork=bool(plan.forks),
        told=(target.from_uri, target.to_uri) if plan.forks else (),
        applied_us=applied_us,
        cseq=ksr_sides.cseq_of(ksr),
    )
    ksr_plan.note(ksr, branch, asked)


class _Over(NamedTuple):
    """A stage is over, unanswered. told, reason: what its hunt ended with, None where all rang together."""

    plan: Plan
    told: Told | None = None
    reason: str = ""


def _go_to(ksr: Ksr, plan: Plan, step: Next | Told, here: Here, reason: str = "") -> None:
    """Ask the first of a stage, or all where they ring together; or tell the caller, and why."""
    while isinstance(step, Next):
        plan = plan.at_stage(step.stage, here)
        over = _ask_all(ksr, plan, here) if plan.stages[step.stage].together else _try_from(ksr, plan, here)
        if over is None:
            return
        plan, step, reason = over.plan, *_step(over)
    _finish(ksr, plan, step, reason)


def _go_on(ksr: Ksr, over: _Over | None, here: Here) -> None:
    """Go on after a stage; None = it is not over."""
    if over is not None:
        step, reason = _step(over)
        _go_to(ksr, over.plan, step, here, reason)


def _step(over: _Over) -> tuple[Next | Told, str]:
    """Return what follows a stage, and why where we know better than the status says."""
    plan, told, reason = over
    if told is not None and not plan.stages:
        return told, reason
    step = after_stage(plan.stages, plan.stage, plan.targets, plan.failures, told)
    return step, reason if step == told else ""


def _ask_all(ksr: Ksr, plan: Plan, here: Here) -> _Over | None:
    """Let all targets of the plan's stage ring. Return None when one does."""
    ksr.resetdsturi()
    gathered = ksr_fork.gather(ksr, plan, here)
    for place, status, why in gathered.missing:
        plan = plan.failed(status, why, here.unix_ms, place=place)
    if gathered.forks:
        plan = plan._replace(forks=gathered.forks)
        if _relay(ksr, plan, here):
            return None
        for place in sorted({place for _, place in gathered.forks}):
            plan = plan.failed(CANNOT, ksr_fork.LOST, here.unix_ms, place=place)
        if ksr_media.is_lost(ksr):
            return _Over(plan, NO_MEDIA, "media_down")
    return _Over(plan)


def _hunt_on(ksr: Ksr, plan: Plan, here: Here, contact: str) -> _Over | None:
    """Try what comes after the failed attempt. Return None when somebody is asked."""
    step = plan.after_failure(contact)
    if isinstance(step, Told):
        return _Over(plan, step)
    if step.place == plan.current:
        plan = plan.told_why("redirect")
    return _try_from(ksr, plan.at(step.place, step.target, here), here)


def _try_from(ksr: Ksr, plan: Plan, here: Here) -> _Over | None:
    """Send to the plan's target, or to the next ones while they cannot even be asked. Return None when one is."""
    while True:
        status, why = _ask(ksr, plan, here)
        if not status:
            return None
        plan = plan.failed(status, why, here.unix_ms)
        if ksr_media.is_lost(ksr):
            return _Over(plan, NO_MEDIA, "media_down")
        reason = "offline" if plan.target.kind == "local" else ""
        step = plan.after_failure()
        if isinstance(step, Told):
            return _Over(plan, step, reason)
        plan = plan.at(step.place, step.target, here)


def _ask(ksr: Ksr, plan: Plan, here: Here) -> tuple[int, str]:
    """Ask the plan's current target. Return 0 when the INVITE left, else status and word of the attempt."""
    target = plan.target
    if target.kind == "local":
        return (0, "") if _send(ksr, plan, here) else (REFUSALS["offline"].status, "")
    server_id = target.pinned.server_id
    why = ksr_capacity.take(ksr, plan.rid, server_id, target.limits, here.unix_ms) if server_id else ""
    if why:
        return CANNOT, why
    if _send(ksr, plan, here):
        return 0, ""
    ksr_capacity.release(ksr, plan.rid)
    return CANNOT, "unreachable"


def _send(ksr: Ksr, plan: Plan, here: Here) -> bool:
    """Send the INVITE to the plan's current target. Return whether it left."""
    target = plan.target
    ksr.resetdsturi()
    if not ksr_shared.send_from(ksr, target.limits.socket, here.socket_to(target.next_hop)):
        return False
    if target.kind == "local":
        ksr.seturi(f"sip:{target.address_of_record}")
        if ksr.registrar.lookup(LOCATION) < 0:
            return False
    else:
        ksr.seturi(target.ruri)
        ksr.setdsturi(target.next_hop)
    return _relay(ksr, plan, here)


def _relay(ksr: Ksr, plan: Plan, here: Here) -> bool:
    """Send the INVITE to where R-URI and branches lead now. Return whether it left."""
    plan = plan._replace(branch=ksr_plan.branches(ksr))
    if plan.branch and not plan.is_authorised:
        ksr_dlg_var.drop(ksr, CSEQ_DIFF)
    ksr_sides.begin_attempt(ksr, plan.rid, plan.branch, has_others=plan.has_others)
    if plan.has_others:
        ksr.tm.t_on_branch_failure(OVER)
    ksr_plan.save(ksr, plan)
    if plan.branch:  # nobody has been asked before, nor moved away
        ksr_plan.note_moved(ksr, "")
    if plan.attempts:
        ksr_plan.keep(ksr, Outcome(0, is_cancelled=False, attempts=plan.attempts))
    ksr.tm.t_on_branch(BRANCH)
    ksr.tm.t_on_reply(ksr_fork.REPLY if plan.forks else REPLY)
    ksr.tm.t_on_failure(FAILURE)
    ksr.tm.t_set_fr(*ksr_times.times_ms(plan, here.ns))
    ksr.statistics.update_stat("attempts", 1)
    return ksr.tm.t_relay() >= 0


def _authorised(ksr: Ksr, plan: Plan, here: Here) -> bool:
    """Answer a server's challenge with our login there, once an attempt. Return whether the INVITE left again.

    The module compares the realm. It would log a hash that is none, so it never gets one.
    """
    login = plan.target.limits.login
    if login is None or plan.is_authorised or not HA1.fullmatch(login.ha1):
        return False
    if plan.left_ms(here.ns) <= 0 or ksr_plan.first_rang(ksr, plan) is not None:
        return False  # who rang has had his time: he would ring twice as long
    others = attempts_most(plan.targets) - len(plan.attempts) - 1
    if ksr_plan.branches(ksr) + others >= BRANCHES_MAX:
        return False  # each attempt that may come is worth a branch, before this one gets two
    _put_credentials(ksr, login)
    try:
        return ksr.uac.uac_auth_mode(HASHED) > 0 and _send(ksr, plan._replace(is_authorised=True), here)
    finally:
        for name in CREDENTIALS:
            ksr.pvx.avp_rm(name)


def _put_credentials(ksr: Ksr, login: Login) -> None:
    for name, value in zip(CREDENTIALS, (login.username, login.realm, login.ha1), strict=True):
        ksr.pvx.avp_sets(name, value)


def _cancelled(ksr: Ksr, plan: Plan, here: Here) -> None:
    """Let the caller's CANCEL end the hunt."""
    ksr_capacity.release(ksr, plan.rid)
    if plan.forks:
        plan = ksr_fork.cancelled(ksr, plan, here.unix_ms)
    else:
        rang = ksr_plan.first_rang(ksr, plan)
        plan = plan.failed(0, "", here.unix_ms, rang.pdd_ms() if rang else -1)
    ksr_plan.keep(ksr, Outcome(CANCELLED.status, is_cancelled=True, attempts=plan.attempts))
    ksr.tm.t_reply(*CANCELLED[:2])


def _finish(ksr: Ksr, plan: Plan, last: Told, reason: str = "") -> None:
    """Tell the caller. The variable comes first: the dialog fails inside the reply."""
    is_cancelled = ksr.tm.t_is_canceled() > 0  # while we looked for the next one: then Kamailio let nothing go
    if is_cancelled:
        last, reason = CANCELLED, "cancelled"
    reason = reason or last.reason
    ksr_plan.keep(ksr, Outcome(last.status, is_cancelled=is_cancelled, attempts=plan.attempts, reason=reason))
    q850 = REFUSALS[reason].q850 if reason else cause_of(last.status).q850
    ksr.hdr.append_to_reply(f"Reason: Q.850;cause={q850}\r\n")  # RFC 3326, as in a refusal of ours
    ksr.tm.t_reply(last.status, last.phrase)


def _line(text: str) -> str:
    """Keep a configured value on its own header line."""
    return text if text.isprintable() else _BREAK.sub(" ", text)
