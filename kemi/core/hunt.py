"""After a failed attempt: what to try next, or the answer to send up; after a failed stage: which one follows.

Rule 1: what the called party said is final; another carrier would reach the same person. What only the carrier said
is not. A server's own table of statuses comes before the default; what it never said (it was full, it could not be
reached) is not looked up there.
Rule 2: a carrier's 401, 407 and 3xx are never relayed: they would make the caller send credentials, or a call that
nobody pays for, to somebody else. A 3xx is followed where the server may redirect, to its own group's addresses only.
Rule 3: when no candidate is left, the caller hears one thing, the most telling of what all carriers said.
Rule 4: a server that has failed is not asked again in the call.
Rule 5: how a stage ended is one of three words, and each leads on. Of phones that rang together the most telling
counts: who declined; else who rang his time and did not answer; else who was busy; else that nobody could be reached.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from kemi.core.outcome import Stage, Target
from kemi.core.phrases import PHRASES
from kemi.core.refusals import REFUSALS, is_sendable
from kemi.core.request import SipUri
from kemi.core.sides import contact_uri
from kemi.core.sources import same_address
from kemi.core.uri import parse_uri
from kemi.records import Attempt, HuntRule

STOP: Final[Mapping[int, str]] = MappingProxyType(
    {
        status: PHRASES[status]
        for status in (
            404,  # unallocated: Q.850 cause 1 wherever the call goes
            410,  # the number has changed: cause 22
            484,  # digits are missing: cause 28
            485,  # the far end knows several such people
            486,  # cause 17
            487,  # the caller hung up
            600,
            603,
            604,
            606,
            607,
            608,
        )
    }
)
"""Status -> phrase of the answers that end a hunt. All others let it go on, and so do causes that we do not know:

400, 405, 413 … 421, 488, 493: this carrier's stack or codecs; another one may take the same offer.
401, 402, 403, 407: this carrier does not want us; the called party was never asked.
408: nobody answered at all.
480: a phone that is off, says one carrier; another one may know better. One that rang until its time was over (why
"ring") was reached, and ends the hunt as 480; so does a phone of ours.
482, 483: a loop behind this carrier. 5xx: the carrier has a problem. 3xx: see rule 2.
"""

_HUNG_UP: Final = 487
GOING_ON: Final[Mapping[int, str]] = MappingProxyType(
    {status: phrase for status, phrase in STOP.items() if status != _HUNG_UP} | {480: REFUSALS["offline"].phrase}
)
"""The same without the caller's own end, and with a phone that rang too long: for calls that must find somebody."""

REDIRECTS_MAX: Final = 3  # of a call
REJECTS: Final = "flow_reject"
"""Reason of a stage that ends the call with a status of its own."""
UNSAID: Final = frozenset({"channels", "cps", "unreachable", "branches"})
"""Why of an attempt at a server that was never asked."""

_UNAVAILABLE: Final = REFUSALS["offline"]
_CARRIERS_FAILED: Final = REFUSALS["carriers_failed"]
_GLOBAL_FAILURE: Final = 600
_REDIRECTION: Final = range(300, 400)
_CHALLENGES: Final = frozenset({401, 407})
_BUSY_HERE: Final = 486
_BUSY: Final = frozenset({_BUSY_HERE, 600, 603})
_SILENT: Final = 408
SIP_PORT: Final = 5060


class Try(NamedTuple):
    """Send the call to `target`, which stands at `place` of the plan from now on.

    A place that has been tried already: the server there has redirected the call, and `target` says where to.
    """

    place: int
    target: Target


class Told(NamedTuple):
    """The hunt is over: this is what the caller hears. reason: where the status does not say it, a key of REFUSALS."""

    status: int
    phrase: str
    reason: str = ""


class Next(NamedTuple):
    """Ask the targets of this stage, which has some."""

    stage: int


Stages = tuple[Stage, ...]
"""Of a route, each leads to later ones only."""


def after_failure(
    targets: tuple[Target, ...], current: int, attempts: tuple[Attempt, ...], contact: str = ""
) -> Try | Told:
    """Return what to try next, or what to tell the caller.

    targets: the plan. current: which of them has failed. attempts: all failed ones so far, the last that of the current
    target: status 408 when nothing came back, 480 and why "ring" when it rang until its time was over, 503 and why
    "channels", "cps" or "unreachable" when it could not be asked. contact: the Contact header of a 3xx, "" = none.
    """
    if not attempts or not 0 <= current < len(targets):
        return _exhausted(targets, attempts)
    target, failed = targets[current], attempts[-1]
    rule = _rule(target, failed)
    if rule is not None and rule.action == "stop":
        return _told(rule) or _final(failed.status)
    if rule is None and failed.status in _REDIRECTION:
        redirected = _redirected(target, contact) if _redirects(attempts) < REDIRECTS_MAX else None
        if redirected is not None:
            return Try(current, redirected)
    if rule is None and _is_last_word(target, failed):
        return _final(failed.status)
    spent = {
        attempt.server_id for attempt in attempts if attempt.server_id
    }  # 0: a place of a line's, or a media server
    places = range(current + 1, len(targets))
    following = next((at for at in places if targets[at].pinned.server_id not in spent), None)
    return _exhausted(targets, attempts) if following is None else Try(following, targets[following])


def begin(stages: Stages) -> Next | Told:
    """Return the stage that the call begins with, or what the caller hears when nobody can be asked at all."""
    return _entered(stages, 0, Told(_BUSY_HERE, STOP[_BUSY_HERE]))


def after_stage(
    stages: Stages, at: int, _targets: tuple[Target, ...], attempts: Sequence[Attempt], told: Told | None
) -> Next | Told:
    """Return which stage follows the one at place `at`, or what to tell the caller.

    attempts: of this stage only, the failed ones. told: of a hunt what `after_failure` has said of its end; None of a
    stage whose targets rang together, each with one attempt: status 480 and why "ring" when it rang its time.
    """
    stage, last = stages[at], attempts[-1:]
    if told is None:
        told = _most_telling(attempts)
        word = _word(told.status, attempts)
    else:
        word = "busy" if any(each.status in _BUSY for each in last) else _word(told.status, last)
    following = {"busy": stage.busy, "no_answer": stage.no_answer}.get(word, stage.unreachable)
    return _entered(stages, following, told) if following > at else told


def attempts_most(targets: tuple[Target, ...]) -> int:
    """Return how many attempts a plan may make: one at each target, and those that redirections add."""
    return len(targets) + (REDIRECTS_MAX if any(target.limits.redirects for target in targets) else 0)


def _entered(stages: Stages, at: int, told: Told) -> Next | Told:
    """Return the first stage from place `at` on that has somebody to ask; told: how the one before ended.

    One without anybody ends at once: with the status that it names, else busy.
    """
    while 0 <= at < len(stages):
        stage = stages[at]
        if stage.places:
            return Next(at)
        if stage.status:
            return Told(stage.status, stage.phrase, REJECTS)
        told = Told(_BUSY_HERE, STOP[_BUSY_HERE])
        at = stage.busy if stage.busy > at else -1
    return told


def _most_telling(attempts: Sequence[Attempt]) -> Told:
    """Return what the caller hears of phones that rang together: who declined, who did not answer, who was busy."""
    heard = [each for each in attempts if each.why not in UNSAID]
    declined = [each.status for each in heard if each.status >= _GLOBAL_FAILURE]
    if declined:
        return _final(declined[0])
    if any(map(_has_rung_out, heard)):
        return _final(_UNAVAILABLE.status)
    said = [each.status for each in heard if each.status in STOP and each.status != _HUNG_UP]
    return _final(_BUSY_HERE if _BUSY_HERE in said else said[0] if said else _UNAVAILABLE.status)


def _word(status: int, attempts: Sequence[Attempt]) -> str:
    """Return how a stage ended. status: what the caller would hear of it. attempts: those that it was said of."""
    if status in _BUSY:
        return "busy"
    is_unanswered = status == _UNAVAILABLE.status and any(_has_rung_out(each) for each in attempts)
    return "no_answer" if is_unanswered else "unreachable"


def _has_rung_out(attempt: Attempt) -> bool:
    return attempt.why == "ring" or (attempt.status == _SILENT and attempt.pdd_ms >= 0)


def _rule(target: Target, attempt: Attempt) -> HuntRule | None:
    """Return what the server's own table says of the attempt, None when it says nothing."""
    if attempt.why in UNSAID:
        return None
    return next((rule for rule in target.limits.hunt if rule.status == attempt.status), None)


def _is_last_word(target: Target, attempt: Attempt) -> bool:
    if attempt.why in UNSAID:
        return False
    if attempt.status == _UNAVAILABLE.status:
        return target.kind == "local" or attempt.why == "ring"
    return attempt.status in STOP or attempt.status >= _GLOBAL_FAILURE  # RFC 3261 §21.6: no other place either


def _final(status: int) -> Told:
    """Return what a caller hears of a status that ends the hunt: never what a carrier said of us."""
    if status in STOP:
        return Told(status, STOP[status])
    if status >= _GLOBAL_FAILURE:  # RFC 3261 §8.1.3.2: one that is not known counts as the first of its class
        return Told(_GLOBAL_FAILURE, STOP[_GLOBAL_FAILURE])
    refusal = _UNAVAILABLE if status == _UNAVAILABLE.status else _CARRIERS_FAILED
    return Told(refusal.status, refusal.phrase)


def _told(rule: HuntRule) -> Told | None:
    """Return what a rule lets the caller hear, None when it does not say, or says what no caller may be told."""
    told = Told(rule.told_status, rule.told_phrase or STOP.get(rule.told_status, _CARRIERS_FAILED.phrase))
    return told if is_sendable(told.status, told.phrase) and rule.told_status not in _CHALLENGES else None


def _exhausted(targets: tuple[Target, ...], attempts: tuple[Attempt, ...]) -> Told:
    """Return what the caller hears when nothing is left to try.

    What a server's table tells, the last of them; else that the called is not there, if any carrier said so; else that
    we have no carrier.
    """
    by_server = {target.pinned.server_id: target for target in targets if target.pinned.server_id}
    asked = [(by_server[each.server_id], each) for each in reversed(attempts) if each.server_id in by_server]
    for target, attempt in asked:
        rule = _rule(target, attempt)
        told = _told(rule) if rule else None
        if told:
            return told
    is_ours = bool(targets) and not targets[-1].pinned.server_id  # a phone, or a place of a line's
    if is_ours or any(attempt.status == _UNAVAILABLE.status for attempt in attempts):
        return _final(_UNAVAILABLE.status)
    return _final(_CARRIERS_FAILED.status)


def _redirects(attempts: tuple[Attempt, ...]) -> int:
    return sum(attempt.why == "redirect" for attempt in attempts)


def _redirected(target: Target, contact: str) -> Target | None:
    """Return the attempt that a server's Contact asks for, None when it may not ask for that.

    The user is the Contact's. The address is it only where it is one of the group's; else the call goes to the same
    server again, for a redirection must not lead calls to addresses that nobody has configured.
    """
    uri, before = parse_uri(contact_uri(contact)), parse_uri(target.ruri)
    if not target.limits.redirects or uri is None or before is None or uri.scheme != "sip" or not uri.user:
        return None
    host = next((host for host in target.limits.hosts if same_address(host, uri.host)), "")
    port = uri.port or SIP_PORT
    if not host:
        host, port = before.host, before.port
    transport = target.next_hop.partition(";transport=")[2] or "udp"
    ruri = str(SipUri("sip", uri.user, host, port))
    next_hop = f"{SipUri('sip', '', host, port)};transport={transport}"
    return None if ruri == target.ruri else target._replace(ruri=ruri, next_hop=next_hop)
