"""A call that rings is ended by the NOC: its caller is told at once, and the hunt is over.

Kamailio answers the transaction itself, under the lock that its failure routes take too: a hunt that goes on at that
moment has its new branch cancelled with the others. The dialog then fails as it does after any refusal, and the agent
releases the hold.
"""

from __future__ import annotations

from typing import Final

from kemi.adapters import ksr_dlg_var, ksr_plan, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_plan import NO_TAG, Asked, Outcome
from kemi.core.refusals import REFUSALS
from kemi.core.sides import CALLER
from kemi.records import Attempt

REASON: Final = "noc"


def end(ksr: Ksr, rid: str, call_id: str, unix_ms: int) -> bool:
    """End a call of this node; False = it does not ring, or Kamailio finds no transaction by its Call-ID and CSeq.

    The number is that of the INVITE: a PRACK or UPDATE that waits for its answer is no call's end. Kamailio compares
    both as `Call-ID: …` and `CSeq: …`: a caller who spells these names otherwise rings on.
    """
    caller = ksr_sides.get(ksr, rid, CALLER)
    if caller is None or ksr.dialog.dlg_get(call_id, caller.tag, NO_TAG) <= 0 or ksr_dlg_var.get(ksr, "rid") != rid:
        return False
    was, last = ksr_plan.outcome(ksr), ksr_plan.asked_in(ksr, ksr_plan.branches(ksr) - 1)
    if was.status or last is None or not last.cseq:
        return False
    told = REFUSALS[REASON]
    attempts = (*was.attempts, *_attempts(ksr, last, unix_ms))
    ksr_plan.keep(ksr, Outcome(told.status, is_cancelled=False, attempts=attempts, reason=REASON))  # it fails meanwhile
    if ksr.tmx.t_reply_callid(call_id, str(last.cseq), told.status, told.phrase) > 0:
        return True
    ksr_plan.keep(ksr, was)
    return False


def _attempts(ksr: Ksr, last: Asked, unix_ms: int) -> tuple[Attempt, ...]:
    """Return those of the attempt that goes on now. last: its last branch."""
    asked = ksr_plan.asked_since(ksr, last.asked_ns)
    return tuple([Attempt(each.server_id, 0, each.asked_ms, unix_ms, each.pdd_ms(), "", each.place) for each in asked])
