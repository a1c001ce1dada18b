"""What a call may go without once its hold was refused, and what is told when it may not.

Rule 1: who refuses beside the caller is left out, and the rest of the call goes: a forwarder who cannot pay or leads on
as many calls as it may, a called line that has all its calls.
Rule 2: that is done for so many, and then for all who lead the call on at once: whom it reaches rings, however many
stand behind.
Rule 3: a caller learns nothing of another's finances.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from kemi.core.outcome import IN, HoldFund, Reject, Route
from kemi.core.refusals import reject

ONE_BY_ONE_MAX: Final = 2  # holds refused by somebody beside the caller after which he alone is left out
REFUSED_HOLDS: Final = {"credit": "no_credit", "status": "suspended", "void": "cancelled"}
"""How the store's word for a refused hold is told, where it is not the reason itself. Void: the caller has hung up."""

REFUSED_CALLED: Final = {
    "channels": "called_busy",
    "channels_in": "called_busy",
    "cps": "called_busy",
    "status": "called_suspended",
}
"""The same where a level refuses that is only the called number's: a caller learns nothing of another's finances."""

STORE_REASONS: Final = frozenset(("full", "void", "unarmed", "store_down", "stale"))
"""Refusals that concern no level: they are told alike to everybody."""


class Again(NamedTuple):
    """What the next decision about a call has to leave out, since its hold was refused for that: as in Facts."""

    without: frozenset[int] = frozenset()
    busy: frozenset[str] = frozenset()
    full: frozenset[str] = frozenset()
    unled: bool = False

    def besides(self, other: Again) -> Again:
        """Return what both leave out."""
        unled = self.unled or other.unled
        return Again(self.without | other.without, self.busy | other.busy, self.full | other.full, unled)


def again(route: Route, account_id: int, reason: str, fund: str = "", times: int = 0) -> Again | None:
    """Return what the call may go without after its hold was refused, None where it may not go at all.

    account_id, reason: as in refused_hold. fund: that refused, "" = not known. times: how often it was asked again
    before: after ONE_BY_ONE_MAX all who lead it on are left out, and then nobody more.
    """
    if reason in STORE_REASONS or times > ONE_BY_ONE_MAX:
        return None
    held = _held(route, account_id, fund)
    leads = _leads(route)
    if held is not None and not held.level:
        found = _without_line(held, reason, is_led=held.fund in leads)
    else:
        pays = any(leg.forward and leg.payer_id == account_id for leg in route.call.legs)
        found = Again(without=frozenset((account_id,))) if pays else None
    return found if found is None or times < ONE_BY_ONE_MAX else found._replace(unled=True)


def refused_place(route: Route) -> Reject:
    """Return the refusal of a call that cannot be held, and whose account has its calls without a hold already."""
    account_id = route.call.offline_id
    trace = (*route.trace, f"account {account_id} has its {route.places} calls without a hold on this node")
    call = route.call._replace(trace=trace, offline_id=0)
    refusal = reject("store_down", trace, account_id=account_id, replies=route.replies, call=call)
    return refusal._replace(weighed=route.weighed)


def refused_hold(route: Route, account_id: int, reason: str, fund: str = "") -> Reject:
    """Return the refusal of a call whose hold was refused.

    account_id: the level that refused, 0 = none. reason: the store's word ("credit", "channels", "channels_in",
    "channels_out", "cps", "spend_day", "spend_month", "status", "full", "void"), or a reason of REFUSALS. fund: that
    refused, "" = that of the account.
    """
    held = _held(route, account_id, fund)
    who = "the store"
    if held is not None:
        who = (
            f"level {held.level} account {account_id}"
            if held.level
            else f"a line's or user's limit of account {account_id}"
        )
    trace = (*route.trace, f"hold refused by {who}: {reason}")
    told = REFUSED_HOLDS.get(reason, reason)
    if reason not in STORE_REASONS and held is not None and _is_forwarders(route, held):
        told, account_id = "called_unavailable", 0
    elif reason not in STORE_REASONS and (held.sides == IN if held else route.call.direction == "in"):
        told = REFUSED_CALLED.get(reason, "called_unavailable")
    call = route.call._replace(trace=trace)
    refusal = reject(told, trace, account_id=account_id, replies=route.replies, call=call)
    return refusal._replace(weighed=route.weighed)


def _held(route: Route, account_id: int, fund: str) -> HoldFund | None:
    """Return the row of the hold that refused; None where no level did, or nobody knows which."""
    rows = route.hold.funds
    return next((row for row in rows if (row.fund == fund if fund else row.account_id == account_id)), None)


def _leads(route: Route) -> frozenset[str]:
    return frozenset(fund for target in route.call.targets for fund in target.leads)


def _without_line(held: HoldFund, reason: str, *, is_led: bool) -> Again | None:
    """Return what goes without a line or user that has its calls: it is busy, or leads no more on, or both.

    None where it is the caller's own, or refuses what nobody asked of it.
    """
    if held.sides != IN and not is_led:
        return None
    is_called = bool(held.sides & IN) and reason != "channels_out"
    leads_on = is_led and reason != "channels_in"
    if not (is_called or leads_on):
        return None
    fund = frozenset((held.fund,))
    return Again(busy=fund if is_called else frozenset(), full=fund if leads_on else frozenset())


def _is_forwarders(route: Route, held: HoldFund) -> bool:
    """Tell whether only forwards need this fund: whoever calls has never heard of its account."""
    if not held.level:
        return not held.sides & IN and held.fund in _leads(route)
    legs = [leg for leg in route.call.legs if leg.fund == held.fund]
    return bool(legs) and all(leg.forward for leg in legs)
