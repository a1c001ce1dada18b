"""What a line may not call, and who may not call a line.

Rule 1: barring levels and block lists add up: the line's own, then those of each account above it, the root included.
Within one of them the level that was set from above comes first, then its own one, then its list of blocked numbers.
Rule 2: they look at the number that is called, in E.164; where it is routed to does not matter.
Rule 3: a pattern that cannot be used matches nothing; Postgres takes none. A level that is not there bars everything:
nobody can say what it would have allowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from kemi.core.called import Called, Led
from kemi.core.caller_id import ANONYMOUS, CallerId
from kemi.core.chains import CHAINS_KEPT, Chain
from kemi.core.draft import Draft
from kemi.core.kept import Kept
from kemi.core.outcome import Reject
from kemi.core.pattern import fitting_mask
from kemi.core.request import E164
from kemi.core.time_sets import holds_now
from kemi.records import Account, BarringLevel, Subscriber

_LINE: Final = 0


class _Holder(NamedTuple):
    """A line or an account that bars. level: of the account, 0 = the line."""

    level: int
    account_id: int
    entry: Subscriber | Account

    def __str__(self) -> str:
        if isinstance(self.entry, Subscriber):
            return f"sub {self.entry.username}@{self.entry.domain}"
        return f"level {self.level} account {self.account_id}"


def barred_out(
    draft: Draft, chain: Chain, subscriber: Subscriber | None, callee: E164, *, is_ours: bool
) -> Reject | None:
    """Return the refusal "barred" or "blocked_out" of a call by a line of ours, None when nothing bars it.

    subscriber: None where no line calls, as in may_call. is_ours: the number reaches a line of ours, which some
    levels spare.
    """
    for holder in _holders(chain, subscriber):
        for level_id in (holder.entry.barring_id, holder.entry.own_barring_id):
            fault = _level_fault(draft, level_id, callee, is_ours=is_ours) if level_id else ""
            if fault:
                return draft.refuse("barred", f"{holder}: {fault}", holder.account_id)
        mask = fitting_mask(holder.entry.blocked_out, callee)
        if mask is not None:
            return draft.refuse("blocked_out", f"{holder} blocks calls to {mask}", holder.account_id)
    return None


def barred_in(draft: Draft, called: Called | Led, shown: CallerId) -> Reject | None:
    """Return the refusal "blocked_in" when the called line, or an account above it, takes no calls from this caller.

    Who hides his number is anonymous and nothing else: a list that still fitted would tell whose number it is.
    """
    name = known_as(shown)
    for holder in _holders(called.chain, called.subscriber):
        mask = fitting_mask(holder.entry.blocked_in, name)
        if mask is not None:
            return draft.refuse("blocked_in", f"{holder} blocks calls from {mask}", holder.account_id)
    return None


def known_as(shown: CallerId) -> str:
    """Return what lists of callers know this one as: his number, else "anonymous"."""
    return ANONYMOUS if shown.anonymous or not shown.number else shown.number


def _holders(chain: Chain, subscriber: Subscriber | None) -> Iterator[_Holder]:
    """Yield the line and the accounts above it that bar anything."""
    if subscriber is not None and _bars(subscriber):
        yield _Holder(_LINE, subscriber.account_id, subscriber)
    yield from _ABOVE.of(chain)


def _above(chain: Chain) -> tuple[_Holder, ...]:
    accounts = enumerate((*chain.levels, chain.root), 1)
    return tuple([_Holder(level, account.id, account) for level, account in accounts if _bars(account)])


_ABOVE: Final = Kept(_above, CHAINS_KEPT)


def _bars(entry: Subscriber | Account) -> bool:
    return bool(entry.barring_id or entry.own_barring_id or entry.blocked_out or entry.blocked_in)


def _level_fault(draft: Draft, level_id: int, callee: E164, *, is_ours: bool) -> str:
    """Return why a barring level forbids the call, "" when it does not."""
    level = draft.known.barring_level(level_id)
    if level is None:
        return f"barring level {level_id} is not known"
    if (is_ours and level.spares_internal) or not holds_now(draft, level.time_set_id):
        return ""
    rule_id = _first_match(draft, level, callee)
    if level.is_whitelist:
        return "" if rule_id is not None else f"barring level {level.id} ({level.name}) allows only what its rules name"
    return f"barring level {level.id} ({level.name}) rule {rule_id}" if rule_id is not None else ""


def _first_match(draft: Draft, level: BarringLevel, callee: E164) -> int | None:
    whose = f"barring level {level.id}"
    return next((rule.id for rule in level.rules if draft.pattern(whose, rule.pattern).search(callee)), None)
