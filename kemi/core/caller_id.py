"""The caller's number: what is claimed, what is allowed, what is shown.

Rule 1: nobody shows a number that is not his. A subscriber's claim must be among its allowed CLIs; the policy says what
happens otherwise. A trusted server (RFC 3325) asserts the numbers of people whom we cannot know; of one that is not
trusted only the From is read, as of anybody, and whether the number is to be hidden.
Rule 2: who asks for privacy gets it, but trusted carriers are still told who calls.
Rule 3: an emergency call shows a number that can be called back, whatever was asked or claimed.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from kemi.core.asserted import Party, parties
from kemi.core.draft import Draft
from kemi.core.identity import FromPeer, FromSubscriber
from kemi.core.outcome import Reject
from kemi.core.request import CallRequest, SipUri
from kemi.core.rewrite import rewrite, to_e164
from kemi.records import CliPolicy, RewriteSet, Subscriber

ANONYMOUS: Final = "anonymous"  # RFC 3323 §4.1.1.3: user of a hidden From
ANONYMOUS_HOST: Final = "anonymous.invalid"  # and its host
HIDING: Final = frozenset(("id", "user", "header"))  # the values of Privacy that hide a number: RFC 3323, RFC 3325
DIVERSIONS_MAX: Final = 5  # of a call that are passed on, the latest ones


class Diverted(NamedTuple):
    """A line that passed the call on before it came here (RFC 5806). number: E.164 digits. counter: 0 = not said."""

    number: str
    reason: str = "unknown"
    counter: int = 0
    is_hidden: bool = False


class CallerId(NamedTuple):
    """The caller's number as it will be shown.

    number: E.164 digits, "" = none. anonymous: hide it. replaced: it is not the one claimed, so the display name,
    which may spell the claim, goes too. own: the line's own number, "" = it has none, or the caller is no line of ours.
    diversions: latest first, as a trusted server tells them.
    """

    number: str
    anonymous: bool = False
    replaced: bool = False
    own: str = ""
    diversions: tuple[Diverted, ...] = ()


NOBODY: Final = CallerId("", anonymous=True)


def of_subscriber(draft: Draft, caller: FromSubscriber, rules: RewriteSet) -> CallerId | Reject:
    """Return the number that the subscriber may show, or the refusal "cli" where its policy wants that."""
    subscriber = caller.subscriber
    own, is_hidden = subscriber.cli, _is_hidden(draft, subscriber)
    allowed, claimed = _claim(draft, subscriber, rules)
    if allowed:
        return CallerId(allowed, is_hidden, own=own)
    if not claimed:
        return CallerId(own, is_hidden or not own, own=own)
    sentence = f"caller ID {claimed} is not among those of {caller.name}"
    if subscriber.cli_policy == CliPolicy.REJECT:
        return draft.refuse("cli", sentence, subscriber.account_id)
    is_hidden = is_hidden or subscriber.cli_policy == CliPolicy.ANONYMISE or not own
    draft.note(f"{sentence}: shown as {ANONYMOUS if is_hidden else own}")
    return CallerId(own, is_hidden, replaced=True, own=own)


def of_peer(draft: Draft, caller: FromPeer, rules: RewriteSet) -> CallerId:
    """Return the number that a peer's server asserts; one that is no number is nobody's.

    Of a trusted one: P-Asserted-Identity, else P-Preferred-Identity, else Remote-Party-ID, else From. Of another: From.
    The wish to hide is honoured from anybody: who hides a number pretends nothing.
    """
    call = draft.call
    calling = tuple(party for party in parties(call.rpid) if party.role != "called")
    if not caller.server.identity.is_trusted:
        if call.pai or call.ppi or call.rpid or call.diversion:
            draft.note(f"server {caller.server.id} is not trusted: what it asserts is not believed")
        number = _number(draft, rules, call.from_uri.user)
        return CallerId(number, _wants_privacy(call) or any(party.is_hidden for party in calling)) if number else NOBODY
    asserted = parties(call.pai) or parties(call.ppi) or calling or (Party(call.from_uri),)
    numbers = (_number(draft, rules, party.uri.user) for party in asserted)
    number = next(filter(None, numbers), "")
    is_hidden = not number or _wants_privacy(call) or any(party.is_hidden for party in calling)
    return CallerId(number, is_hidden, diversions=_diversions(draft, rules))


def to_call_back(draft: Draft, subscriber: Subscriber, rules: RewriteSet) -> CallerId:
    """Return what an emergency centre sees: the claim if it is allowed, else the subscriber's own number."""
    allowed, claimed = _claim(draft, subscriber, rules)
    return CallerId(allowed or subscriber.cli, replaced=bool(claimed) and not allowed)


def _claim(draft: Draft, subscriber: Subscriber, rules: RewriteSet) -> tuple[str, str]:
    """Return (allowed number or "", what was claimed or "").

    A claim stands in P-Preferred-Identity, which is there for it; or in P-Asserted-Identity, which trunks send though
    nobody trusts them to; or in the From, unless that only names the line.
    """
    call = draft.call
    said = [party.uri for party in parties(call.ppi) or parties(call.pai)] or [call.from_uri]
    claims = [uri for uri in said if uri.user.lower() not in ("", ANONYMOUS, subscriber.username.lower())]
    if not claims:
        return "", ""
    numbers = (_number(draft, rules, uri.user) for uri in claims)
    number = next(filter(None, numbers), "")
    is_allowed = number and (
        number == subscriber.cli or any(fnmatchcase(number, pattern) for pattern in subscriber.allowed_clis)
    )
    return (number if is_allowed else ""), number or claims[0].user


def _diversions(draft: Draft, rules: RewriteSet) -> tuple[Diverted, ...]:
    """Return who diverted the call, as a trusted server says; those without a number say nothing that counts here."""
    told = ((_number(draft, rules, party.uri.user), party) for party in parties(draft.call.diversion)[:DIVERSIONS_MAX])
    return tuple(Diverted(number, party.reason, party.counter, party.is_hidden) for number, party in told if number)


def _number(draft: Draft, rules: RewriteSet, text: str) -> str:
    result, sentence = rewrite(rules.caller_in, text)
    draft.note(sentence)
    return to_e164(result) or ""


def _is_hidden(draft: Draft, subscriber: Subscriber) -> bool:
    if subscriber.is_hidden:
        draft.note("the line's number is never shown")
    return subscriber.is_hidden or _wants_privacy(draft.call)


def _wants_privacy(call: CallRequest) -> bool:
    if _is_anonymous(call.from_uri):
        return True
    return bool(call.privacy) and not HIDING.isdisjoint(re.split(r"[;,\s]", call.privacy.lower()))


def _is_anonymous(uri: SipUri) -> bool:
    return uri.user.lower() == ANONYMOUS or uri.host == ANONYMOUS_HOST
