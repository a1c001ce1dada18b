"""A call that rings is ended by the NOC: its caller is told at once, and the hunt is over.

Kamailio answers the transaction itself, under the lock that its failure routes take too: a hunt that goes on at that
moment has its new branch cancelled with the others. The dialog then fails as it does after any refusal, and the agent
releases the hold.
"""

from __future__ import annotations

from typing import Final

from kemi.adapters import ksr_dlg_var, ksr_plan, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_plan import NO_TAG, Outcome
from kemi.core.refusals import REFUSALS
from kemi.core.sides import CALLER
from kemi.records import Attempt

REASON: Final = "noc"
CSEQS: Final = 16  # requests of the caller since his INVITE, of each the number is one higher: PRACK, UPDATE


def end(ksr: Ksr, rid: str, call_id: str, unix_ms: int) -> bool:
    """End a call of this node; False = it does not ring, or Kamailio finds no transaction by its Call-ID and CSeq.

    Kamailio compares both as `Call-ID: …` and `CSeq: …`: a caller who spells these names otherwise rings on.
    """
    caller = ksr_sides.get(ksr, rid, CALLER)
    if caller is None or ksr.dialog.dlg_get(call_id, caller.tag, NO_TAG) <= 0 or ksr_dlg_var.get(ksr, "rid") != rid:
        return False
    was = ksr_plan.outcome(ksr)
    attempts = _attempts(ksr, unix_ms)
    if was.status or not attempts:
        return False
    told = REFUSALS[REASON]
    outcome = Outcome(told.status, is_cancelled=False, attempts=(*was.attempts, *attempts), reason=REASON)
    ksr_plan.keep(ksr, outcome)  # the dialog fails inside the reply
    for cseq in range(caller.cseq, max(-1, caller.cseq - CSEQS), -1):
        if ksr.tmx.t_reply_callid(call_id, str(cseq), told.status, told.phrase) > 0:
            return True
    ksr_plan.keep(ksr, was)
    return False


def _attempts(ksr: Ksr, unix_ms: int) -> tuple[Attempt, ...]:
    """Return those of the attempt that goes on now; none where nobody has been asked yet."""
    last = ksr_plan.asked_in(ksr, ksr_plan.branches(ksr) - 1)
    asked = ksr_plan.asked_since(ksr, last.asked_ns) if last else []
    return tuple([Attempt(each.server_id, 0, each.asked_ms, unix_ms, each.pdd_ms(), "", each.place) for each in asked])
