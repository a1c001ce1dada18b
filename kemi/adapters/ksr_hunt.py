"""A hunt in Kamailio's terms: one target after the other, edits of a carrier in its branch only.

Rule 1: the plan travels as JSON in an AVP of the transaction; no process remembers it.
Rule 2: header edits happen in the branch route: those of the request route stick to every later attempt.
Rule 3: the variables of the dialog hold what the node agent must learn when the call starts or fails.
"""

from __future__ import annotations

import json
import re
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters import ksr_shared, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.core.hunt import after_failure
from kemi.core.outcome import Route, Target
from kemi.core.refusals import REFUSALS
from kemi.core.sides import CALLER
from kemi.core.token import PARAMETER
from kemi.records import Attempt

BRANCH: Final = "ksr_branch"
FAILURE: Final = "ksr_failure"
BACKSTOP_S: Final = 10  # the dialog outlives the agent's deadline by this; only a dead agent lets it pass
FIRST_ANSWER_MS: Final = 2_500  # a server that says nothing at all is left for the next one after this
NO_ANSWER: Final = 408
LOCATION: Final = "location"
STRIPPED: Final = ("Authorization", "Proxy-Authorization", "Route")
_PLAN: Final = "plan"
_BREAK: Final = re.compile(r"[\r\n\x00]+")


class Plan(NamedTuple):
    """What remains of a hunt. current: index of the target being tried, since asked_ns. attempts: the failed ones."""

    rid: str
    ring_max_s: int
    targets: tuple[Target, ...]
    current: int = 0
    asked_ns: int = 0
    attempts: tuple[Attempt, ...] = ()

    @property
    def target(self) -> Target:
        """The target being tried."""
        return self.targets[self.current]

    def failed(self, status: int) -> Plan:
        """Return the plan after the current target gave `status`."""
        return self._replace(attempts=(*self.attempts, Attempt(self.target.pinned.server_id, status)))


class Outcome(NamedTuple):
    """How far a call came that has no answer (yet). Kept in the dialog's variable `outcome`.

    reason: why, where we know better than the status says; a phone that is not registered was never asked.
    """

    status: int
    is_cancelled: bool
    attempts: tuple[Attempt, ...]
    reason: str = ""


def start(ksr: Ksr, route: Route, signed_rid: str, now_ns: int) -> None:
    """Follow the call and try its first target. signed_rid: value of our Record-Route parameter. now_ns: monotonic.

    Raises RuntimeError when Kamailio cannot follow the call: it must not go then, nobody would end it.
    """
    if ksr.dialog.dlg_manage() < 0:
        raise RuntimeError("dlg_manage failed")
    if ksr.dialog.var_gete("rid"):
        raise RuntimeError("the dialog is another call's")
    ksr.dialog.dlg_set_timeout(route.call.max_s + BACKSTOP_S)
    ksr.dialog.var_sets("rid", route.call.rid)
    ksr_sides.put(ksr, route.call.rid, CALLER, ksr_sides.of_invite(ksr))
    ksr.rr.add_rr_param(f";{PARAMETER}={signed_rid}")
    ksr.rr.record_route()
    _try_from(ksr, Plan(route.call.rid, route.ring_max_s, route.targets, asked_ns=now_ns), route.targets[0])


def failed(ksr: Ksr, now_ns: int) -> None:
    """Go on after all branches of an attempt failed, from the plan alone. Runs in timer processes too."""
    plan = _load(ksr)
    status = _meaning(plan, ksr.tm.t_get_status_code(), now_ns)
    if ksr.tm.t_is_canceled() > 0:
        was = Outcome(REFUSALS["cancelled"].status, is_cancelled=True, attempts=plan.failed(0).attempts)
        _keep(ksr, was)
        ksr.tm.t_reply(was.status, "Request Terminated")
        return
    if plan.target.kind == "server":
        ksr_shared.count_failure(ksr, plan.target.pinned.server_id, status)
    plan = plan.failed(status)
    step = after_failure(plan.targets, plan.current + 1, status)
    if isinstance(step, Target):
        _try_from(ksr, plan._replace(asked_ns=now_ns), step)
    else:
        _finish(ksr, plan, *step)


def edit_branch(ksr: Ksr) -> None:
    """Make the request of this branch what its carrier wants, and note who is asked in it."""
    target = _load(ksr).target
    branch = ksr.pv.geti("$T_branch_idx")
    ksr.dialog.var_sets(f"server{branch}", str(target.pinned.server_id))
    if target.from_uri or target.from_display:
        ksr.uac.uac_replace_from(_line(target.from_display), _line(target.from_uri))
    for name in (*STRIPPED, *target.remove):
        _remove(ksr, name)
    for header in target.headers:
        ksr.hdr.append(f"{_line(header.name)}: {_line(header.value)}\r\n")


def outcome(ksr: Ksr) -> Outcome:
    """Return what the current dialog's variables say of its hunt."""
    kept = str(ksr.dialog.var_gete("outcome"))
    return codec.build(Outcome, json.loads(kept)) if kept else Outcome(0, is_cancelled=False, attempts=())


def answered_by(ksr: Ksr) -> int:
    """Return the server id of the branch whose 200 this is; 0 for a phone of ours."""
    branch = max(0, ksr.pv.geti("$T_branch_idx"))
    return int(str(ksr.dialog.var_gete(f"server{branch}")) or 0)


def _try_from(ksr: Ksr, plan: Plan, target: Target) -> None:
    """Send to `target`, or to the next ones when it cannot even be asked."""
    for _ in plan.targets:
        plan = plan._replace(current=plan.targets.index(target))
        status = _send(ksr, plan)
        if not status:
            return
        plan = plan.failed(status)
        step = after_failure(plan.targets, plan.current + 1, status)
        if not isinstance(step, Target):
            _finish(ksr, plan, *step, reason="offline" if target.kind == "local" else "")
            return
        target = step


def _send(ksr: Ksr, plan: Plan) -> int:
    """Send the INVITE to the plan's current target. Return 0 when it left, else the status that this counts as."""
    target = plan.target
    ksr.resetdsturi()
    if target.kind == "local":
        ksr.seturi(f"sip:{target.address_of_record}")
        if ksr.registrar.lookup(LOCATION) < 0:
            return REFUSALS["offline"].status
    else:
        ksr.seturi(target.ruri)
        ksr.setdsturi(target.next_hop)
    ksr.pvx.avp_rm(_PLAN)
    ksr.pvx.avp_sets(_PLAN, json.dumps(plan))
    _keep(ksr, Outcome(0, is_cancelled=False, attempts=plan.attempts))
    ksr.tm.t_on_branch(BRANCH)
    ksr.tm.t_on_failure(FAILURE)
    ksr.tm.t_set_fr(plan.ring_max_s * 1000, _first_answer_ms(plan))
    ksr.statistics.update_stat("attempts", 1)
    return 0 if ksr.tm.t_relay() >= 0 else REFUSALS["carriers_failed"].status


def _finish(ksr: Ksr, plan: Plan, status: int, phrase: str, reason: str = "") -> None:
    """Tell the caller. The variable comes first: the dialog fails inside the reply."""
    _keep(ksr, Outcome(status, is_cancelled=False, attempts=plan.attempts, reason=reason))
    ksr.tm.t_reply(status, phrase)


def _remove(ksr: Ksr, name: str) -> None:
    """Strip a header; `X-Name-*` strips all whose name begins so."""
    if name.endswith("*"):
        ksr.textops.remove_hf_re(f"^{name[:-1]}")
    else:
        ksr.hdr.remove(name)


def _first_answer_ms(plan: Plan) -> int:
    """Return how long to wait for any answer at all; well below the ringing time, so that the two can be told apart."""
    return min(FIRST_ANSWER_MS, plan.ring_max_s * 500)


def _meaning(plan: Plan, status: int, now_ns: int) -> int:
    """Return 480 instead of 408 where the phone rang: it was reached, and another carrier would reach the same."""
    limit_ms = (_first_answer_ms(plan) + plan.ring_max_s * 1000) // 2
    rang = (now_ns - plan.asked_ns) // 1_000_000 > limit_ms
    return REFUSALS["offline"].status if status == NO_ANSWER and rang else status


def _keep(ksr: Ksr, kept: Outcome) -> None:
    ksr.dialog.var_sets("outcome", json.dumps(kept))


def _load(ksr: Ksr) -> Plan:
    return codec.build(Plan, json.loads(str(ksr.pvx.avp_gete(_PLAN))))


def _line(text: str) -> str:
    """Keep a configured value on its own header line."""
    return _BREAK.sub(" ", text)
