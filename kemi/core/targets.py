"""What each attempt sends: R-URI, next hop, From and identity headers.

Rule 1: every edit starts from the call's E.164 numbers, so the second carrier never sees what was made for the first.
Rule 2: identity towards a carrier is ours to assert (RFC 3325): whatever the caller sent of it is stripped. Credentials
and our own X-Tandem headers are stripped always.
Rule 3: a phone is shown the caller in E.164 with "+", which it can dial back. It gets no P-Asserted-Identity: it needs
none, and would learn numbers that their owners asked to hide.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from kemi.core.called import Called
from kemi.core.caller_id import ANONYMOUS, CallerId, bare_uri
from kemi.core.draft import Draft
from kemi.core.numbers import rules_towards
from kemi.core.order import Candidate
from kemi.core.outcome import Header, Target
from kemi.core.request import E164, SipUri
from kemi.core.rewrite import rewrite
from kemi.records import PeeringGroup, PeerServer, PinnedTarget

ANONYMOUS_HOST: Final = "anonymous.invalid"  # RFC 3323 §4.1.1.3
ANONYMOUS_DISPLAY: Final = "Anonymous"
SIP_PORT: Final = 5060

ALWAYS_REMOVED: Final = (
    "Authorization",  # a response that could be attacked offline: never beyond the node that asked for it
    "Proxy-Authorization",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "Privacy",
    "History-Info",  # numbers along the way, not ours to pass on
    "P-Charge-Info",  # who pays is between us and our tenants
    "Identity",  # signs a From that we may have changed
    "Referred-By",
    "X-Tandem-*",  # all names that begin so: what we say to ourselves cannot be said by others
)
REMOVED_FROM_SUBSCRIBERS: Final = (*ALWAYS_REMOVED, "Diversion")
"""A peer may report a diversion that happened beyond it; a subscriber may not invent one."""

REMOVED_OF_HIDDEN: Final = (
    "Reply-To",
    "Call-Info",
    "Organization",
    "User-Agent",
    "Server",
    "Subject",
    "In-Reply-To",
    "P-Access-Network-Info",
)
"""What else tells who calls, when he asked not to be told: RFC 3323 §5.3 and the place that a network adds."""

_USER_MARKS: Final = "-_.!~*'()&=+$,?/"  # besides letters and digits: RFC 3261 §25.1 `user`, without ";"


def from_uri(caller: CallerId, user: str, host: str) -> str:
    """Return the From URI to show. user: the caller's number in the next hop's dialect."""
    if caller.anonymous or not user:
        return f"sip:{ANONYMOUS}@{ANONYMOUS_HOST}"
    return str(SipUri("sip", escaped(user), host))


def to_carrier(draft: Draft, candidate: Candidate, caller: CallerId, host: str, callee: E164) -> Target:
    """Return the attempt at a carrier's server. host: the caller's domain."""
    group, server = candidate.group, candidate.server
    rules = rules_towards(draft, group, server)
    called_user, called_sentence = rewrite(rules.callee_out, callee)
    caller_user, caller_sentence = rewrite(rules.caller_out, caller.number) if caller.number else ("", "")
    for sentence in (called_sentence, caller_sentence):
        draft.note(sentence and f"server {server.id}: {sentence}")
    pinned = PinnedTarget(group.id, server.id, f"{group.name}/{server.name}", candidate.cost)
    target = _to_server(server, called_user, pinned)._replace(
        from_uri=from_uri(caller, caller_user, host),
        from_display=_display(caller, caller_user),
        headers=_identity(caller, caller_user, host),
    )
    return _hidden(draft, target) if caller.anonymous else target


def to_emergency(group: PeeringGroup, server: PeerServer, dialled: str, caller: CallerId, host: str) -> Target:
    """Return the attempt at a server of an emergency route: the number as dialled, the caller in E.164.

    Without a number to call back (nobody could be identified) the From stays as it came.
    """
    target = _to_server(server, dialled, PinnedTarget(group.id, server.id, f"{group.name}/{server.name}"))
    if not caller.number:
        return target
    user = f"+{caller.number}"
    return target._replace(
        from_uri=from_uri(caller, user, host),
        from_display=_display(caller, user),
        headers=_identity(caller, user, host),
    )


def to_phone(draft: Draft, called: Called, caller: CallerId, *, is_from_peer: bool) -> Target:
    """Return the attempt at the phones registered for a line of ours.

    The From is in the called line's own domain, where the number can be dialled back.
    """
    user = f"+{caller.number}" if caller.number else ""
    target = Target(
        kind="local",
        ruri=f"sip:{called.address_of_record}",
        next_hop="",
        from_uri=from_uri(caller, user, called.subscriber.domain),
        from_display=_display(caller, user),
        headers=(),
        remove=ALWAYS_REMOVED if is_from_peer else REMOVED_FROM_SUBSCRIBERS,
        pinned=PinnedTarget(0, 0, called.address_of_record),
        address_of_record=called.address_of_record,
    )
    return _hidden(draft, target) if caller.anonymous else target


def escaped(user: str) -> str:
    """Return the user part of a URI with every character escaped that may not stand there (# of a rule, say)."""
    return quote(user, safe=_USER_MARKS, errors="replace")


def _to_server(server: PeerServer, user: str, pinned: PinnedTarget) -> Target:
    """Return the bare attempt at a server, the From untouched."""
    port = server.port or SIP_PORT
    next_hop = SipUri("sip", "", server.address, port)
    return Target(
        kind="server",
        ruri=str(SipUri("sip", escaped(user), server.address, port)),
        next_hop=f"{next_hop};transport={server.transport or 'udp'}",
        from_uri="",
        from_display="",
        headers=(),
        remove=REMOVED_FROM_SUBSCRIBERS,
        pinned=pinned,
    )


def _hidden(draft: Draft, target: Target) -> Target:
    """Return the attempt without what else names the caller.

    His Contact stays, since he is reached there, but only its URI: the display name and the parameters, which may hold
    the serial number of his phone, go.
    """
    remove = (*target.remove, *REMOVED_OF_HIDDEN)
    uri = bare_uri(draft.call.contact)
    if not uri:
        return target._replace(remove=remove)
    return target._replace(remove=(*remove, "Contact"), headers=(*target.headers, Header("Contact", f"<{uri}>")))


def _display(caller: CallerId, user: str) -> str:
    """Return the display name to set, "" = leave it. One that was sent with a number not allowed goes with it."""
    if caller.anonymous or not user:
        return ANONYMOUS_DISPLAY
    return user if caller.replaced else ""


def _identity(caller: CallerId, user: str, host: str) -> tuple[Header, ...]:
    """Return the identity that a carrier is told, hidden callers included; none for a caller without a number."""
    if not user:
        return ()
    asserted = Header("P-Asserted-Identity", f"<{SipUri('sip', escaped(user), host)}>")
    return (asserted, Header("Privacy", "id")) if caller.anonymous else (asserted,)
