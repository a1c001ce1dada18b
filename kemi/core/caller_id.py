"""The caller's number: what is claimed, what is allowed, what is shown.

Rule 1: nobody shows a number that is not his. A subscriber's claim must be among its allowed CLIs; the policy says what
happens otherwise. A peer is trusted (RFC 3325): it asserts the numbers of people whom we cannot know.
Rule 2: who asks for privacy gets it, but carriers are still told who calls, in P-Asserted-Identity with Privacy: id.
Rule 3: an emergency call shows a number that can be called back, whatever was asked or claimed.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from kemi.core.draft import Draft
from kemi.core.identity import FromSubscriber
from kemi.core.outcome import Reject
from kemi.core.request import CallRequest, SipUri
from kemi.core.rewrite import rewrite, to_e164
from kemi.core.uri import parse_uri
from kemi.records import CliPolicy, RewriteSet, Subscriber

ANONYMOUS: Final = "anonymous"  # RFC 3323 §4.1.1.3: user and, with .invalid, host of a hidden From
HIDING: Final = frozenset(("id", "user", "header"))  # the values of Privacy that hide a number: RFC 3323, RFC 3325
HEADER_MAX: Final = 512  # characters of an identity header that is parsed

_DISPLAY_NAME: Final = re.compile(r'\s*"(?:[^"\\]|\\.)*"\s*', re.DOTALL)


class CallerId(NamedTuple):
    """The caller's number as it will be shown.

    number: E.164 digits, "" = none. anonymous: hide it. replaced: it is not the one claimed, so the display name,
    which may spell the claim, goes too.
    """

    number: str
    anonymous: bool = False
    replaced: bool = False


NOBODY: Final = CallerId("", anonymous=True)


def of_subscriber(draft: Draft, caller: FromSubscriber, rules: RewriteSet) -> CallerId | Reject:
    """Return the number that the subscriber may show, or the refusal "cli" where its policy wants that."""
    subscriber = caller.subscriber
    is_hidden = _wants_privacy(draft.call)
    allowed, claimed = _claim(draft, subscriber, rules)
    if allowed:
        return CallerId(allowed, is_hidden)
    if not claimed:
        return CallerId(subscriber.cli, is_hidden or not subscriber.cli)
    sentence = f"caller ID {claimed} is not among those of {caller.name}"
    if subscriber.cli_policy == CliPolicy.REJECT:
        return draft.refuse("cli", sentence, subscriber.account_id)
    is_hidden = is_hidden or subscriber.cli_policy == CliPolicy.ANONYMISE or not subscriber.cli
    draft.note(f"{sentence}: shown as {'anonymous' if is_hidden else subscriber.cli}")
    return CallerId(subscriber.cli, is_hidden, replaced=True)


def of_peer(draft: Draft, rules: RewriteSet) -> CallerId:
    """Return the number that a peer asserts: P-Asserted-Identity, else From. One that is no number is nobody's."""
    asserted = asserted_uri(draft.call.pai)
    number = _number(draft, rules, (asserted or draft.call.from_uri).user)
    return CallerId(number, _wants_privacy(draft.call)) if number else NOBODY


def to_call_back(draft: Draft, subscriber: Subscriber, rules: RewriteSet) -> CallerId:
    """Return what an emergency centre sees: the claim if it is allowed, else the subscriber's own number."""
    allowed, claimed = _claim(draft, subscriber, rules)
    return CallerId(allowed or subscriber.cli, replaced=bool(claimed) and not allowed)


def asserted_uri(header_value: str) -> SipUri | None:
    """Return the URI of an identity header (`"Name" <sip:…>`, `<sip:…>` or `sip:…`), None when it has none."""
    if len(header_value) > HEADER_MAX:
        return None
    bare = _without_display_name(header_value)
    _, bracket, inside = bare.partition("<")
    return parse_uri(inside.partition(">")[0] if bracket else bare.strip())


def bare_uri(header_value: str) -> str:
    """Return what stands in the angle brackets of a header with an address, as written; "" without brackets."""
    inside, bracket, _ = _without_display_name(header_value).partition("<")[2].partition(">")
    return inside.strip() if bracket else ""


def _without_display_name(header_value: str) -> str:
    """Return the value without a quoted name, in which brackets would mean nothing."""
    return _DISPLAY_NAME.sub("", header_value, count=1) if header_value.lstrip().startswith('"') else header_value


def _claim(draft: Draft, subscriber: Subscriber, rules: RewriteSet) -> tuple[str, str]:
    """Return (allowed number or "", what was claimed or "").

    A claim stands in P-Preferred-Identity, which is there for it; or in P-Asserted-Identity, which trunks send though
    nobody trusts them to; or in the From, unless that only names the line.
    """
    call = draft.call
    uri = asserted_uri(call.ppi) or asserted_uri(call.pai) or call.from_uri
    if uri.user.lower() in ("", ANONYMOUS, subscriber.username.lower()):
        return "", ""
    number = _number(draft, rules, uri.user)
    is_allowed = number and (
        number == subscriber.cli or any(fnmatchcase(number, pattern) for pattern in subscriber.allowed_clis)
    )
    return (number if is_allowed else ""), number or uri.user


def _number(draft: Draft, rules: RewriteSet, text: str) -> str:
    result, sentence = rewrite(rules.caller_in, text)
    draft.note(sentence)
    return to_e164(result) or ""


def _wants_privacy(call: CallRequest) -> bool:
    asked = {value.strip().lower() for value in re.split(r"[;,\s]", call.privacy)}
    return bool(asked & HIDING) or call.from_uri.user.lower() == ANONYMOUS
