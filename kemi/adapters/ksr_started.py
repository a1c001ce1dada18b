"""The answer of a call as the agent is told of it, from what Kamailio and the tables of this node remember."""

from __future__ import annotations

from kemi.adapters import ksr_hunt, ksr_plan, ksr_sides
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_plan import Here
from kemi.adapters.ksr_queue import Started
from kemi.adapters.ksr_read import text
from kemi.core.sides import CALLEE, CALLER


def applied_us(ksr: Ksr) -> int:
    """Return how long it took until the first INVITE of the current call left, -1 where that is not known."""
    first = ksr_plan.asked_in(ksr, 0)
    return first.applied_us if first else -1


def of(ksr: Ksr, rid: str, here: Here) -> Started:
    """Return who has answered the call whose 200 is under our hands, and all attempts, the one that succeeded last."""
    *beside, answered = ksr_hunt.answered(ksr, here)
    caller, callee = (ksr_sides.get(ksr, rid, which) for which in (CALLER, CALLEE))
    return Started(
        rid=rid,
        h_entry=ksr.pv.geti("$dlg(h_entry)"),
        h_id=ksr.pv.geti("$dlg(h_id)"),
        caller=caller or ksr_sides.NOBODY,
        callee=callee or ksr_sides.of_reply(ksr, rid),
        server_id=answered.server_id,
        attempts=(*ksr_plan.outcome(ksr).attempts, *beside, answered),
        answered_ns=here.ns,
        answered_ms=here.unix_ms,
        call_id=text(lambda: ksr.pv.gete("$dlg(callid)")),
        place=answered.place,
        applied_us=applied_us(ksr),
    )
