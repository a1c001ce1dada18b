"""What a hunt remembers of itself, in Kamailio: no process remembers anything.

Rule 1: the plan travels in an AVP of the transaction. It may hold a password's hash, so it stands nowhere that
`kamcmd` shows; the dialog's variables do.
Rule 2: the variables of the dialog hold what must be known when a reply comes, and when the call starts or fails.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters import ksr_dlg_var
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_read import text
from kemi.core.charges import FIRST_ANSWER_MAX_S
from kemi.core.hunt import Told, Try, after_failure
from kemi.core.outcome import Stage, Target
from kemi.core.refusals import REFUSALS
from kemi.core.sides import host_of
from kemi.records import Attempt

NS_PER_MS: Final = 1_000_000
_PLAN: Final = "plan"
_OUTCOME: Final = "outcome"
_MOVED: Final = "moved"
NO_TAG: Final = "-"  # of a called side that has not answered: any but an empty one will do, which Kamailio refuses
_read: Final[dict[str, Plan]] = {}  # the last one that this process wrote or read: each branch asks for the same one


class Here(NamedTuple):
    """A moment on this node. ns: CLOCK_MONOTONIC; unix_ms: the date. listen, listen6: its addresses, "" = none."""

    ns: int
    unix_ms: int
    listen: str = ""
    listen6: str = ""

    def socket_to(self, next_hop: str) -> str:
        """Return the socket to send from where none is configured.

        The stack itself would take the one on which the process at work happens to listen, or the one before.
        """
        address = self.listen6 if ":" in host_of(next_hop) else self.listen
        return f"udp:{address}" if address and next_hop.endswith(";transport=udp") else ""


class Plan(NamedTuple):
    """What remains of a hunt. current: place of the target being tried, since asked_ns, which was asked_ms.

    attempts: the failed ones. is_authorised: the target's server has been sent our credentials. stages: as in Route.
    stage: place of the one that goes on; before: how many attempts had failed before it. branch: the first of what is
    tried now, in the transaction. forks: what each branch of a stage that rings together is known by, and the place of
    its target; () = one target is tried.
    """

    rid: str
    ring_max_s: int
    targets: tuple[Target, ...]
    current: int = 0
    asked_ns: int = 0
    asked_ms: int = 0
    attempts: tuple[Attempt, ...] = ()
    is_authorised: bool = False
    stages: tuple[Stage, ...] = ()
    stage: int = 0
    before: int = 0
    branch: int = 0
    forks: tuple[tuple[str, int], ...] = ()

    @property
    def target(self) -> Target:
        """The target being tried."""
        return self.targets[self.current]

    @property
    def places(self) -> tuple[int, ...]:
        """The targets of the stage that goes on, by their places; without stages it is all of them."""
        return self.stages[self.stage].places if self.stages else tuple(range(len(self.targets)))

    @property
    def has_others(self) -> bool:
        """Whether what is tried now may have several branches: phones of several targets, or of one."""
        return bool(self.forks) or self.target.kind == "local"

    @property
    def failures(self) -> tuple[Attempt, ...]:
        """The attempts of the stage."""
        return self.attempts[self.before :]

    @property
    def ring_s(self) -> int:
        """How long this target may ring; no longer than the node allows, by which the hold's lease is counted."""
        stage_s = self.stages[self.stage].ring_s if self.stages else 0
        return min(self.target.limits.ring_max_s or self.ring_max_s, stage_s or self.ring_max_s, self.ring_max_s)

    @property
    def longest_ms(self) -> int:
        """What all of an attempt may take, by which the hold's lease is counted."""
        return (FIRST_ANSWER_MAX_S + self.ring_max_s) * 1_000

    def left_ms(self, now_ns: int) -> int:
        """Return what is left of that to the current attempt, which a challenge makes no longer."""
        return self.longest_ms - (now_ns - self.asked_ns) // NS_PER_MS

    def at(self, place: int, target: Target, here: Here) -> Plan:
        """Return the plan that tries `target` now, which stands, or is put, at `place`."""
        targets = (*self.targets[:place], target, *self.targets[place + 1 :])
        return self._replace(
            targets=targets, current=place, asked_ns=here.ns, asked_ms=here.unix_ms, is_authorised=False, forks=()
        )

    def at_stage(self, stage: int, here: Here) -> Plan:
        """Return the plan that begins with the first target of this stage."""
        first = self.stages[stage].places[0]
        return self._replace(stage=stage, before=len(self.attempts)).at(first, self.targets[first], here)

    def after_failure(self, contact: str = "") -> Try | Told:
        """Return what the hunt of the stage goes on with, at which place of the plan."""
        places = self.places
        hunted = tuple([self.targets[place] for place in places])
        step = after_failure(hunted, places.index(self.current), self.failures, contact)
        return step._replace(place=places[step.place]) if isinstance(step, Try) else step

    def failed(self, status: int, why: str, ended_ms: int, pdd_ms: int = -1, place: int | None = None) -> Plan:
        """Return the plan after a target gave `status`. As in Attempt. place: None = the current one."""
        at = self.current if place is None else place
        server_id = self.targets[at].pinned.server_id
        attempt = Attempt(server_id, status, self.asked_ms, ended_ms, pdd_ms, why, at)
        return self._replace(attempts=(*self.attempts, attempt))

    def told_why(self, why: str) -> Plan:
        """Return the plan with another word about its last attempt."""
        return self._replace(attempts=(*self.attempts[:-1], self.attempts[-1]._replace(why=why)))


class Outcome(NamedTuple):
    """How far a call came that has no answer (yet).

    reason: why, where we know better than the status says; a phone that is not registered was never asked.
    """

    status: int
    is_cancelled: bool
    attempts: tuple[Attempt, ...]
    reason: str = ""


class Asked(NamedTuple):
    """One branch: whom we asked and when, and when it first rang, 0 = it did not. As in Plan and ServerLimits.

    ring_s: how long it may ring; longest_ms: what all of the attempt may take. place: of the target, -1 = not known.
    is_fork: others ring beside it. Of such only: status: the final one, 0 = none came; told: From and To that it shows,
    "" = as they came. sent_to: where, of a relayed call. applied_us: of the INVITE's own: how long it took from the
    decision until it left, else -1. cseq: number of the caller's INVITE, 0 in rows of the release before.
    """

    server_id: int
    asked_ns: int
    asked_ms: int
    pdd_max_ms: int
    ring_s: int
    longest_ms: int
    rang_ns: int = 0
    place: int = -1
    is_fork: bool = False
    status: int = 0
    told: tuple[str, ...] = ()
    sent_to: str = ""
    applied_us: int = -1
    cseq: int = 0

    def pdd_ms(self, now_ns: int = 0) -> int:
        """Return what passed until it first rang; else until now_ns where it is given: the answer; −1 = neither."""
        heard_ns = self.rang_ns or now_ns
        return max(0, (heard_ns - self.asked_ns) // NS_PER_MS) if heard_ns else -1


def save(ksr: Ksr, plan: Plan) -> None:
    """Let the transaction carry this plan."""
    text = codec.write(plan)
    ksr.pvx.avp_rm(_PLAN)
    ksr.pvx.avp_sets(_PLAN, text)
    _read.clear()
    _read[text] = plan


def load(ksr: Ksr) -> Plan:
    """Return the plan of the transaction under our hands."""
    text = str(ksr.pvx.avp_gete(_PLAN))
    plan = _read.get(text)
    if plan is None:
        plan = codec.read(Plan, text)
        _read.clear()
        _read[text] = plan
    return plan


def keep(ksr: Ksr, outcome: Outcome) -> None:
    """Let the call carry how far it came."""
    ksr_dlg_var.put(ksr, _OUTCOME, json.dumps(outcome))


def outcome(ksr: Ksr) -> Outcome:
    """Return how far the current call came."""
    kept = ksr_dlg_var.get(ksr, _OUTCOME)
    return codec.build(Outcome, json.loads(kept)) if kept else Outcome(0, is_cancelled=False, attempts=())


def note_cancel(ksr: Ksr) -> None:
    """Remember that the caller hangs up, from the CANCEL under our hands, which has found its INVITE.

    Kamailio may answer that by itself, and then no failure route runs that could say so.
    """
    call_id, tag = text(ksr.kx.get_callid), text(lambda: ksr.pv.gete("$ft"))
    if call_id and ksr.dialog.dlg_get(call_id, tag, NO_TAG) > 0 and ksr_dlg_var.get(ksr, "rid"):
        was = outcome(ksr)
        if not was.status:
            keep(ksr, was._replace(status=REFUSALS["cancelled"].status, is_cancelled=True))


def note(ksr: Ksr, branch: int, asked: Asked) -> None:
    """Remember who is asked in a branch."""
    ksr_dlg_var.put(ksr, f"asked{branch}", codec.write(asked))


def asked_in(ksr: Ksr, branch: int) -> Asked | None:
    """Return who was asked in a branch of the current call, None when nobody was."""
    kept = ksr_dlg_var.get(ksr, f"asked{branch}")
    return _asked(kept) if kept else None


@lru_cache(maxsize=16)
def _asked(kept: str) -> Asked:
    """Read it; each reply of a branch asks, and the answer twice."""
    return codec.read(Asked, kept)


def first_rang(ksr: Ksr, plan: Plan) -> Asked | None:
    """Return the branch of the current attempt that rang first, None when none did."""
    rang = [asked for asked in asked_since(ksr, plan.asked_ns) if asked.rang_ns]
    return min(rang, key=lambda asked: asked.rang_ns, default=None)


def asked_since(ksr: Ksr, asked_ns: int) -> list[Asked]:
    """Return the branches of the attempt that began then."""
    found: list[Asked] = []
    branch = 0
    while (asked := asked_in(ksr, branch)) is not None:
        if asked.asked_ns == asked_ns:
            found.append(asked)
        branch += 1
    return found


def branches(ksr: Ksr) -> int:
    """Return how many branches the current call has had."""
    count = 0
    while ksr_dlg_var.get(ksr, f"asked{count}"):
        count += 1
    return count


def note_moved(ksr: Ksr, contact: str) -> None:
    """Remember the Contact of a redirect, "" = there was none."""
    ksr_dlg_var.put(ksr, _MOVED, contact)


def moved(ksr: Ksr) -> str:
    """Return the Contact of the last redirect."""
    return ksr_dlg_var.get(ksr, _MOVED)
