"""A call as a tenant may read of it: what stands above and beside the reader is not there.

Rule 1: what is not known to be the reader's to read is left out; an account is 0, a name "", an amount is not there.
Rule 2: who sees the account of the caller reads the trace, as far as it tells of nobody else; who sees that of the
called reads what it tells of his own side, and no caller who hides; who only pays reads his payment, and on the
caller's side where the call went.
Rule 3: of carriers the reader's own are told in full, others by their name where that may be read; which one it is says
the server's id, for names are each account's to choose.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Protocol

from kemi.core.outcome import Reject, Route, Target, Weighed
from kemi.records import Choice, PinnedCall, PinnedLeg
from tools.explain.data import choices, sides
from tools.explain.past import Past, PastAttempt, PastCall, PastLeg
from tools.explain.sentences import (
    ACCOUNT,
    CARRIER,
    LINE,
    NAMED,
    SERVER,
    TARIFF,
    Claim,
    Seen,
    claims_of,
    redacted,
    redacted_sentence,
)
from tools.explain.whatif import Answer

IN: Final = "in"
OUT: Final = "out"
INTERNAL: Final = "internal"
ANONYMOUS: Final = "anonymous"
UNSAID: Final = "for a reason that is not yours to see"
UNREACHED: Final = "not asked: its turn never came"
CALLED_UNAVAILABLE: Final = "called_unavailable"
ALIKE: Final = frozenset({"offline", "called_suspended", CALLED_UNAVAILABLE})
"""Reasons that a caller hears as one answer: which one it was is the called's affair."""


class Asked(Protocol):
    """Where it is asked what a reader sees."""

    @property
    def reader_id(self) -> int:
        """Who reads."""

    def of(self, claims: Iterable[Claim]) -> frozenset[Claim]:
        """Return those of the claims that hold."""


def redacted_past(past: Past, sight: Asked) -> Past | None:
    """Return what the reader may read of a past call, None where he sees no side of it."""
    call, called_id = past.call, _called_id(past)
    claims = sight.of(claims_of(_sentences(past)) | _claims(past, called_id))
    sees_caller = call.direction != IN and _account(call.account_id) in claims
    sees_called = _account(called_id) in claims
    seen = Seen(sight.reader_id, sees_caller, call.callee if sees_caller else "", claims)
    legs = list(_legs(past.legs, seen))
    if not (sees_caller or sees_called or legs):
        return None
    paid = _paid_sides(past, sight.reader_id)
    tried = past.attempts if sees_caller else [each for each in past.attempts if not each.server_id]
    attempts = list(_attempts(tried, seen, is_led_on=call.direction == INTERNAL))
    left_out = [list(choice) for choice in _choices(map(Choice._make, call.left_out), seen)] if sees_caller else []
    shown = call._replace(
        node="",
        direction=call.direction if sees_caller or OUT in paid or call.direction != INTERNAL else IN,
        source=call.source if sees_caller else "",
        account_id=call.account_id if _account(call.account_id) in claims else 0,
        callee=call.callee if sees_caller or sees_called or OUT in paid else "",
        caller=_caller(call, sees_caller=sees_caller, sees_called=sees_called or IN in paid),
        reason=_reason(call, sees_caller=sees_caller, sees_called=sees_called),
        attempts=[[attempt.server_id, attempt.status] for attempt in attempts],
        trace=redacted(call.trace, seen) if sees_caller or sees_called else [],
        refused_by=call.refused_by if _account(call.refused_by) in claims else 0,
        left_out=left_out,
    )
    return Past(shown, legs, attempts)


def redacted_answer(found: Answer, sight: Asked, *, line: str) -> Answer | None:
    """Return what the reader may read of a call as it would go now, None where it is not a call of one of its lines.

    line: the line that is said to call, which the reader sees; "" = the call is known by its address.
    """
    call = found.call
    accounts = set(found.accounts) | ({call.account_id} if call else set())
    lines = {target.address_of_record for target in _targets(found) if target.address_of_record}
    asked = {_account(account_id) for account_id in accounts} | {
        Claim(NAMED, str(choice.server_id)) for choice in choices(found)
    }
    asked |= {Claim(CARRIER, str(choice.group_id)) for choice in choices(found)}
    asked |= {Claim(LINE, each) for each in lines}
    whys = (_why_sentence(choice) for choice in choices(found))
    claims = sight.of(asked | claims_of((*found.decision.trace, *found.notes, *whys)))
    is_theirs = bool(call and call.account_id and _account(call.account_id) in claims)
    if not is_theirs and not (call is None and line):
        return None
    sees_caller = call is None or call.direction != IN
    seen = Seen(sight.reader_id, sees_caller, call.callee if call and sees_caller else "", claims)
    purses = tuple(purse for purse in found.purses if _account(purse.account_id) in claims)
    route = _route(found.route, found, seen) if found.route else None
    decision = found.decision
    if isinstance(decision, Route) and route is not None:
        decision = route
    elif isinstance(decision, Reject):
        decision = _refusal(decision, found, seen)
    else:
        decision = decision._replace(trace=tuple(redacted(decision.trace, seen)))
    shown = {each: account for each, account in found.accounts.items() if _account(each) in claims}
    notes = tuple(redacted(found.notes, seen))
    return found._replace(decision=decision, route=route, purses=purses, accounts=shown, notes=notes, is_redacted=True)


def _account(account_id: int) -> Claim:
    return Claim(ACCOUNT, str(account_id))


def _sentences(past: Past) -> Iterator[str]:
    yield from past.call.trace
    yield from (_why_sentence(Choice._make(values)) for values in past.call.left_out)


def _claims(past: Past, called_id: int) -> set[Claim]:
    """Return what the reader has to see of a past call, besides its sentences."""
    call = past.call
    made = {_account(each) for each in (call.account_id, called_id, call.refused_by) if each}
    for leg in past.legs:
        made |= {_account(leg.payer_id), _account(leg.payee_id), Claim(TARIFF, str(leg.tariff_id or 0))}
    for attempt in past.attempts:
        made |= {Claim(SERVER, str(attempt.server_id)), Claim(NAMED, str(attempt.server_id))}
        if not attempt.server_id and attempt.name:
            made.add(Claim(LINE, attempt.name))
    for values in call.left_out:
        choice = Choice._make(values)
        made.add(Claim(CARRIER, str(choice.group_id)))
    return made


def _paid_sides(past: Past, reader_id: int) -> set[str]:
    """Return on which sides of the call the reader itself pays."""
    funds = [leg for leg in past.legs if leg.book == "fund"]
    on_side = sides(past.call.direction, [(leg.payer_id, leg.payee_id) for leg in funds])
    return {side for leg, side in zip(funds, on_side, strict=True) if leg.payer_id == reader_id}


def _called_id(past: Past) -> int:
    """Return the account of the called line, 0 where the call left the cell, or where nothing tells."""
    if past.call.direction == IN:
        return past.call.account_id
    if past.call.direction != INTERNAL:
        return 0
    funds = [leg for leg in past.legs if leg.book == "fund"]
    on_side = sides(INTERNAL, [(leg.payer_id, leg.payee_id) for leg in funds])
    return next((leg.payer_id for leg, side in zip(funds, on_side, strict=True) if side == IN), 0)


def _caller(call: PastCall, *, sees_caller: bool, sees_called: bool) -> str:
    if sees_caller:
        return call.caller
    if not sees_called:
        return ""
    return ANONYMOUS if call.hidden else call.caller


def _reason(call: PastCall, *, sees_caller: bool, sees_called: bool) -> str:
    if sees_caller:
        return _told_caller(call.reason, sees_called=sees_called)
    return call.reason if sees_called and call.direction == IN else ""


def _told_caller(reason: str, *, sees_called: bool) -> str:
    """Return a reason as the caller may read it."""
    return CALLED_UNAVAILABLE if reason in ALIKE and not sees_called else reason


def _legs(legs: Iterable[PastLeg], seen: Seen) -> Iterator[PastLeg]:
    """Yield what the reader pays and is paid, payments between two that it sees, and what it owes carriers itself."""
    for leg in legs:
        sees_payer, sees_payee = _account(leg.payer_id) in seen.claims, _account(leg.payee_id) in seen.claims
        is_payer = leg.payer_id == seen.reader_id
        if not (is_payer or (leg.book == "fund" and (leg.payee_id == seen.reader_id or (sees_payer and sees_payee)))):
            continue
        is_told = not leg.tariff_id or Claim(TARIFF, str(leg.tariff_id)) in seen.claims
        yield leg._replace(
            payer=leg.payer if sees_payer else None,
            payer_id=leg.payer_id if sees_payer else 0,
            payee=leg.payee if sees_payee else None,
            payee_id=leg.payee_id if sees_payee else 0,
            tariff_id=leg.tariff_id if is_told else None,
        )


def _attempts(attempts: Iterable[PastAttempt], seen: Seen, *, is_led_on: bool) -> Iterator[PastAttempt]:
    """Yield the attempts that are told: a phone's to whoever sees its line, also where he does not see the caller.

    is_led_on: who was called led it to carriers, and that is his own affair.
    """
    for attempt in attempts:
        if not attempt.server_id:
            if Claim(LINE, attempt.name) in seen.claims:
                yield attempt
            continue
        group = attempt.name.partition("/")[0]
        if Claim(SERVER, str(attempt.server_id)) in seen.claims:
            yield attempt
        elif group and not is_led_on and Claim(NAMED, str(attempt.server_id)) in seen.claims:
            yield PastAttempt(0, group, attempt.status, attempt.asked_at, attempt.ended_at, attempt.pdd_ms)


def _why_sentence(choice: Choice) -> str:
    """Return why a carrier was left out as the trace says it."""
    if choice.server_id:
        return f"server {choice.server_id} ({choice.name}) skipped: {choice.why}"
    return f"group {choice.group_id} ({choice.name}) not eligible: {choice.why}"


def _choices(weighed: Iterable[Choice], seen: Seen) -> Iterator[Choice]:
    """Yield the reader's own carriers that were weighed, those that were left out with a reason that it may read."""
    for choice in weighed:
        if Claim(CARRIER, str(choice.group_id)) not in seen.claims:
            continue
        if not choice.why:
            yield choice._replace(why=UNREACHED)
        else:
            yield choice if redacted_sentence(_why_sentence(choice), seen) else choice._replace(why=UNSAID)


def _route(route: Route, found: Answer, seen: Seen) -> Route:
    targets = tuple(target for target in route.targets if _is_told(target, seen))
    is_whole = len(targets) == len(route.targets)
    return route._replace(
        call=_call(route.call, seen),
        targets=targets,
        stages=route.stages if is_whole else (),
        turns=route.turns if is_whole else (),
        trace=tuple(redacted(route.trace, seen)),
        weighed=Weighed((), tuple(_weighed(found, seen)), route.weighed.call_s),
    )


def _refusal(refusal: Reject, found: Answer, seen: Seen) -> Reject:
    sees_called = refusal.call is not None and refusal.call.direction == IN
    account_id = refusal.account_id if _account(refusal.account_id) in seen.claims else 0
    return refusal._replace(
        reason=_told_caller(refusal.reason, sees_called=sees_called or bool(account_id)),
        account_id=account_id,
        trace=tuple(redacted(refusal.trace, seen)),
        call=_call(refusal.call, seen) if refusal.call else None,
        weighed=Weighed((), tuple(_weighed(found, seen)), refusal.weighed.call_s),
    )


def _call(call: PinnedCall, seen: Seen) -> PinnedCall:
    return call._replace(legs=tuple(_pinned(call.legs, seen)), targets=(), trace=(), left_out=())


def _pinned(legs: Iterable[PinnedLeg], seen: Seen) -> Iterator[PinnedLeg]:
    for leg in legs:
        if _account(leg.payer_id) in seen.claims:
            yield leg if _account(leg.payee_id) in seen.claims else leg._replace(payee_id=0)


def _weighed(found: Answer, seen: Seen) -> Iterator[Choice]:
    """Yield the carriers that may be told: the reader's own, and of other candidates the name where it may be read."""
    if not seen.sees_caller:
        return
    for choice in choices(found, is_led_on=False):
        group = choice.name.partition("/")[0]
        if Claim(CARRIER, str(choice.group_id)) in seen.claims:
            is_told = not choice.why or bool(redacted_sentence(_why_sentence(choice), seen))
            yield choice if is_told else choice._replace(why=UNSAID)
        elif not choice.why and Claim(NAMED, str(choice.server_id)) in seen.claims:
            yield Choice(0, 0, 0, group, "")


def _targets(found: Answer) -> tuple[Target, ...]:
    return found.route.targets if found.route else ()


def _is_told(target: Target, seen: Seen) -> bool:
    if target.address_of_record:
        return Claim(LINE, target.address_of_record) in seen.claims
    return seen.sees_caller and Claim(CARRIER, str(target.pinned.group_id)) in seen.claims
