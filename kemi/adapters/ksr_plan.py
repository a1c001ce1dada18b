"""What a hunt remembers of itself, in Kamailio: no process remembers anything.

Rule 1: the plan travels as JSON in an AVP of the transaction. It may hold a password's hash, so it stands nowhere that
`kamcmd` shows; the dialog's variables do.
Rule 2: the variables of the dialog hold what must be known when a reply comes, and when the call starts or fails.
"""

from __future__ import annotations

import json
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters.ksr_api import Ksr
from kemi.core.charges import FIRST_ANSWER_MAX_S
from kemi.core.outcome import Target
from kemi.core.sides import host_of
from kemi.records import Attempt

NS_PER_MS: Final = 1_000_000
_PLAN: Final = "plan"
_OUTCOME: Final = "outcome"
_MOVED: Final = "moved"


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

    attempts: the failed ones. is_authorised: the target's server has been sent our credentials.
    """

    rid: str
    ring_max_s: int
    targets: tuple[Target, ...]
    current: int = 0
    asked_ns: int = 0
    asked_ms: int = 0
    attempts: tuple[Attempt, ...] = ()
    is_authorised: bool = False

    @property
    def target(self) -> Target:
        """The target being tried."""
        return self.targets[self.current]

    @property
    def ring_s(self) -> int:
        """How long this target may ring; no longer than the node allows, by which the hold's lease is counted."""
        return min(self.target.limits.ring_max_s or self.ring_max_s, self.ring_max_s)

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
            targets=targets, current=place, asked_ns=here.ns, asked_ms=here.unix_ms, is_authorised=False
        )

    def failed(self, status: int, why: str, ended_ms: int, pdd_ms: int = -1) -> Plan:
        """Return the plan after the current target gave `status`. As in Attempt."""
        attempt = Attempt(self.target.pinned.server_id, status, self.asked_ms, ended_ms, pdd_ms, why)
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

    ring_s: how long it may ring; longest_ms: what all of the attempt may take.
    """

    server_id: int
    asked_ns: int
    asked_ms: int
    pdd_max_ms: int
    ring_s: int
    longest_ms: int
    rang_ns: int = 0

    def pdd_ms(self, now_ns: int = 0) -> int:
        """Return what passed until it first rang; else until now_ns where it is given: the answer; −1 = neither."""
        heard_ns = self.rang_ns or now_ns
        return max(0, (heard_ns - self.asked_ns) // NS_PER_MS) if heard_ns else -1


def save(ksr: Ksr, plan: Plan) -> None:
    """Let the transaction carry this plan."""
    ksr.pvx.avp_rm(_PLAN)
    ksr.pvx.avp_sets(_PLAN, json.dumps(plan))


def load(ksr: Ksr) -> Plan:
    """Return the plan of the transaction under our hands."""
    return codec.build(Plan, json.loads(str(ksr.pvx.avp_gete(_PLAN))))


def keep(ksr: Ksr, outcome: Outcome) -> None:
    """Let the call carry how far it came."""
    ksr.dialog.var_sets(_OUTCOME, json.dumps(outcome))


def outcome(ksr: Ksr) -> Outcome:
    """Return how far the current call came."""
    kept = str(ksr.dialog.var_gete(_OUTCOME))
    return codec.build(Outcome, json.loads(kept)) if kept else Outcome(0, is_cancelled=False, attempts=())


def note(ksr: Ksr, branch: int, asked: Asked) -> None:
    """Remember who is asked in a branch."""
    ksr.dialog.var_sets(f"asked{branch}", json.dumps(asked))


def asked_in(ksr: Ksr, branch: int) -> Asked | None:
    """Return who was asked in a branch of the current call, None when nobody was."""
    kept = str(ksr.dialog.var_gete(f"asked{branch}"))
    return codec.build(Asked, json.loads(kept)) if kept else None


def first_rang(ksr: Ksr, plan: Plan) -> Asked | None:
    """Return the branch of the current attempt that rang first, None when none did."""
    rang: list[Asked] = []
    branch = 0
    while (asked := asked_in(ksr, branch)) is not None:
        if asked.rang_ns and asked.asked_ns == plan.asked_ns:
            rang.append(asked)
        branch += 1
    return min(rang, key=lambda asked: asked.rang_ns, default=None)


def branches(ksr: Ksr) -> int:
    """Return how many branches the current call has had."""
    count = 0
    while ksr.dialog.var_gete(f"asked{count}"):
        count += 1
    return count


def note_moved(ksr: Ksr, contact: str) -> None:
    """Remember the Contact of a redirect, "" = there was none."""
    ksr.dialog.var_sets(_MOVED, contact)


def moved(ksr: Ksr) -> str:
    """Return the Contact of the last redirect."""
    return str(ksr.dialog.var_gete(_MOVED))
