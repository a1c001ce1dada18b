"""What each attempt sends: R-URI, next hop, From and identity headers.

Rule 1: every edit starts from the call's E.164 numbers, so the second carrier never sees what was made for the first.
Rule 2: identity towards a carrier is ours to assert (RFC 3325): whatever was sent of it is stripped, whoever sent it,
and set anew for a server that is trusted, in the headers that it wants. Credentials and our own X-Tandem headers are
stripped always.
Rule 3: a hidden number is told to trusted servers only, and only where it is said with it that it is hidden.
Rule 4: a phone is shown the caller in E.164 with "+", which it can dial back. It gets no P-Asserted-Identity: it needs
none, and would learn numbers that their owners asked to hide.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple
from urllib.parse import quote

from kemi.core.asserted import parties
from kemi.core.called import Called
from kemi.core.caller_id import ANONYMOUS, ANONYMOUS_HOST, CallerId, Diverted
from kemi.core.draft import Draft
from kemi.core.hunt import GOING_ON
from kemi.core.kept import Kept
from kemi.core.numbers import routing_number, rules_towards
from kemi.core.outcome import Candidate, Header, ServerLimits, Target
from kemi.core.request import E164, CallRequest, SipUri
from kemi.core.rewrite import rewrite
from kemi.core.uri import DEFAULT_PORTS
from kemi.records import (
    EmergencyRoute,
    HuntRule,
    Identity,
    PeeringGroup,
    PeerServer,
    PinnedTarget,
    PortedNumber,
    RewriteSet,
)

ANONYMOUS_DISPLAY: Final = "Anonymous"
SERVERS_KEPT: Final = 4_096  # of which it is kept how they are reached, per process, < 2 kB each

ALWAYS_REMOVED: Final = (
    "Authorization",  # a response that could be attacked offline: never beyond the node that asked for it
    "Proxy-Authorization",
    "P-Asserted-Identity",
    "P-Preferred-Identity",
    "Remote-Party-ID",
    "Privacy",
    "Diversion",
    "CC-Diversion",  # its name before the RFC, still sent
    "History-Info",  # numbers along the way, not ours to pass on
    "P-Served-User",  # whom another network serves
    "P-Charge-Info",  # who pays is between us and our tenants
    "Identity",  # signs a From that we may have changed
    "Identity-Info",
    "n",  # Identity-Info in short: the stack knows the short forms of the other names, not this one
    "Referred-By",
    "X-Tandem-*",  # all names that begin so: what we say to ourselves cannot be said by others
)

REMOVED_OF_HIDDEN: Final = (
    "Reply-To",
    "Call-Info",
    "Organization",
    "User-Agent",
    "Server",
    "Subject",
    "In-Reply-To",
    "Warning",  # of replies: begins with the host that gave it
    "Alert-Info",  # a ring tone of his own, fetched from his own server
    "Error-Info",
    "User-to-User",  # whatever his PBX says to another one: RFC 7433 §7
    "P-Access-Network-Info",
    "Cellular-Network-Info",
    "P-Visited-Network-ID",
    "P-Private-Network-Indication",  # the domain of his company: RFC 7316
    "Geolocation",
    "Proxy-Require",  # of a privacy service, which is us: RFC 3323 §5
)
"""What else tells who calls, when he asked not to be told: RFC 3323 §5, RFC 5379 §5, and what a network adds of him.

Via and Call-ID remain: without them no answer finds back. So does what is within the body.
"""

EMERGENCY_HUNT: Final = tuple(HuntRule(status, "continue", status, phrase) for status, phrase in GOING_ON.items())
"""Of an emergency call: what ends another one makes the next server be asked. The last one's word is told."""

ASSERTING: Final = (("pai", "P-Asserted-Identity"), ("ppi", "P-Preferred-Identity"))
"""Headers that cannot say by themselves that their number is hidden."""

_USER_MARKS: Final = "-_.!~*'()&=+$,?/"  # besides letters and digits: RFC 3261 §25.1 `user`, without ";"
_PLAIN: Final = re.compile(r"\+?[0-9A-Za-z]*", re.ASCII)  # what nearly every number is: nothing to escape

Dialect = Callable[[str], str]
"""Writes an E.164 number as the next hop reads it."""


def from_uri(caller: CallerId, user: str, host: str) -> str:
    """Return the From URI to show. user: the caller's number in the next hop's dialect."""
    if caller.anonymous or not user:
        return f"sip:{ANONYMOUS}@{ANONYMOUS_HOST}"
    return str(SipUri("sip", escaped(user), host))


def to_carrier(
    draft: Draft,
    candidate: Candidate,
    caller: CallerId,
    host: str,
    callee: E164,
    ported: PortedNumber | None = None,
    written: Dialects | None = None,
) -> Target:
    """Return the attempt at a carrier's server. host: the caller's domain. ported: as what the callee is served now.

    written: what was written for other servers of the same call, which most carriers' servers share.
    """
    group, server = candidate.group, candidate.server
    rules = rules_towards(draft, group, server)
    dialect = id(rules), server.ported, server.identity
    known = written.get(dialect) if written is not None else None
    if known is None:
        known = _written(server, rules, caller, host, callee, routing_number(callee, ported))
        if written is not None:
            written[dialect] = known
    called_user, named, sentences = known
    for sentence in sentences:
        draft.note(f"server {server.id}: {sentence}")
    pinned = PinnedTarget(group.id, server.id, f"{group.name}/{server.name}", candidate.cost)
    target = _to_server(group, server, called_user, pinned, named)
    return _hidden(draft.call, target) if caller.anonymous else target


def to_emergency(group: PeeringGroup, server: PeerServer, route: EmergencyRoute, caller: CallerId, host: str) -> Target:
    """Return the attempt at a server of an emergency route: what the route calls, the caller in E.164.

    It does not count on the server's channels and calls a second, and neither its own table nor the default
    stops the hunt. Without a number to call back (nobody could be
    identified) the From stays as it came; with one, that is shown, whatever the server is shown of other calls.
    """
    called_user = escaped(route.routing or route.number)
    pinned = PinnedTarget(group.id, server.id, f"{group.name}/{server.name}")
    named = _AS_IT_CAME
    if caller.number:
        headers = tuple(word for word in server.identity.headers if word != "diversion")
        identity = server.identity._replace(shown="caller", headers=headers)
        named = _named(identity, caller, _with_plus(caller.number), _with_plus, host)
    target = _to_server(group, server, called_user, pinned, named)
    return target._replace(limits=target.limits._replace(channels_max=0, cps_max=0, hunt=EMERGENCY_HUNT))


def to_phone(draft: Draft, called: Called, caller: CallerId) -> Target:
    """Return the attempt at the phones registered for a line of ours."""
    return to_address(draft, called.address_of_record, called.subscriber.domain, caller)


def to_address(draft: Draft, address_of_record: str, host: str, caller: CallerId) -> Target:
    """Return the attempt at the phones registered for an address of record.

    The From is in the domain `host`, the called line's own, where the number can be dialled back. Who diverted the call
    is told where that is not hidden.
    """
    user = _with_plus(caller.number)
    open_to_all = tuple(diverted for diverted in caller.diversions if not diverted.is_hidden)
    target = Target(
        kind="local",
        ruri=f"sip:{address_of_record}",
        next_hop="",
        from_uri=from_uri(caller, user, host),
        from_display=_display(caller, user, is_replaced=caller.replaced),
        headers=_diversions(open_to_all, _with_plus, host),
        remove=ALWAYS_REMOVED,
        pinned=PinnedTarget(0, 0, address_of_record),
        address_of_record=address_of_record,
    )
    return _hidden(draft.call, target) if caller.anonymous else target


def escaped(user: str) -> str:
    """Return the user part of a URI with every character escaped that may not stand there (# of a rule, say)."""
    return user if _PLAIN.fullmatch(user) else quote(user, safe=_USER_MARKS, errors="replace")


def _written(
    server: PeerServer, rules: RewriteSet, caller: CallerId, host: str, callee: E164, routing: str
) -> _Written:
    """Return both numbers of a call as a server reads them: what was dialled or its routing number, and who calls."""
    is_routed = server.ported == "routing" and routing != callee
    called_rules = rules.callee_lnp if is_routed and rules.callee_lnp else rules.callee_out
    caller_rules = rules.caller_lnp if is_routed and rules.caller_lnp else rules.caller_out
    user, of_called = rewrite(called_rules, routing if is_routed else callee)
    called_user = escaped(user)
    if server.ported == "rn" and routing != callee:
        called_user += f";rn=+{escaped(routing)};npdi"  # RFC 4694 §5: parameters of the number, so of the user
    caller_user, of_caller = rewrite(caller_rules, caller.number) if caller.number else ("", "")
    named = _named(server.identity, caller, caller_user, lambda number: rewrite(caller_rules, number)[0], host)
    return _Written(called_user, named, tuple([sentence for sentence in (of_called, of_caller) if sentence]))


class _Reached(NamedTuple):
    """How a server is reached, and what an attempt there has to obey; but for where its redirects may lead."""

    address: str
    next_hop: str
    limits: ServerLimits


def _reach(server: PeerServer) -> _Reached:
    transport = server.transport or "udp"
    port = server.port or DEFAULT_PORTS["sips" if transport == "tls" else "sip"]
    next_hop = str(SipUri("sip", "", server.address, port))
    limits = ServerLimits(
        socket=server.socket,
        channels_max=server.channels_max,
        cps_max=server.cps_max,
        ring_max_s=server.ring_max_s,
        pdd_max_ms=server.pdd_max_ms,
        redirects=server.redirects,
        hunt=server.hunt,
        login=server.login,
    )
    return _Reached(next_hop.removeprefix("sip:"), f"{next_hop};transport={transport}", limits)


_REACHED: Final = Kept(_reach, SERVERS_KEPT)


class _Named(NamedTuple):
    """How an attempt names the caller. from_uri, from_display: "" = as they came."""

    from_uri: str
    from_display: str
    headers: tuple[Header, ...]


_AS_IT_CAME: Final = _Named("", "", ())


class _Written(NamedTuple):
    """A call's numbers in a server's dialect. called_user: escaped. sentences: what rules have done."""

    called_user: str
    named: _Named
    sentences: tuple[str, ...]


Dialects = dict[tuple[int, str, Identity], _Written]
"""What was written for servers of one call: by identity of their rules, by what they read of ported numbers, and by how
they want callers named. For one decision, during which no record goes."""


def _to_server(group: PeeringGroup, server: PeerServer, user: str, pinned: PinnedTarget, named: _Named) -> Target:
    """Return the attempt at a server. user: escaped. A redirect leads to enabled servers of its group only."""
    address, next_hop, limits = _REACHED.of(server)
    if server.redirects:
        hosts = tuple(other.address for other in group.servers if other.enabled and other.address)
        limits = limits._replace(hosts=hosts)
    ruri = f"sip:{user}@{address}" if user else f"sip:{address}"
    # By place: names would double what it costs, and a call may have thirty.
    from_, display, headers = named
    return Target("server", ruri, next_hop, from_, display, headers, ALWAYS_REMOVED, pinned, "", limits)


def _named(identity: Identity, caller: CallerId, user: str, dialect: Dialect, host: str) -> _Named:
    """Return the caller as a server wants him named. user: his number in its dialect."""
    host = identity.host or host
    is_own = identity.shown == "own" and caller.own not in ("", caller.number)
    shown = dialect(caller.own) if is_own else user
    uri = str(SipUri("sip", escaped(user), host)) if user else ""
    return _Named(
        uri if uri and not (is_own or caller.anonymous) else from_uri(caller, shown, host),
        _display(caller, shown, is_replaced=caller.replaced or is_own),
        _identity(identity, caller, uri) + _diverted(identity, caller, dialect, host),
    )


def _hidden(call: CallRequest, target: Target) -> Target:
    """Return the attempt without what else names the caller.

    Of his Contact only the address stays: its user may be the number, its name and parameters his name and the serial
    number of his phone. Requests inside the call reach him all the same, since we know his Contact.
    """
    remove = (*target.remove, *REMOVED_OF_HIDDEN)
    if not call.contact:
        return target._replace(remove=remove)
    known = parties(call.contact)
    uri = known[0].uri if known and known[0].uri.host else SipUri("sip", "", call.source_ip, call.source_port)
    transport = f";transport={call.transport}" if call.transport != "udp" else ""
    contact = Header("Contact", f"<{uri._replace(user='')}{transport}>")
    return target._replace(remove=(*remove, "Contact"), headers=(*target.headers, contact))


def _display(caller: CallerId, user: str, *, is_replaced: bool) -> str:
    """Return the display name to set, "" = leave it. One that was sent with a number not shown goes with it."""
    if caller.anonymous or not user:
        return ANONYMOUS_DISPLAY
    return user if is_replaced else ""


def _identity(identity: Identity, caller: CallerId, uri: str) -> tuple[Header, ...]:
    """Return who calls, hidden callers included, in the headers that a trusted server wants.

    uri: of the caller, "" for one without a number, who is named nowhere. What cannot say that its number is hidden
    goes only with Privacy.
    """
    if not identity.is_trusted or not uri:
        return ()
    says_hidden = caller.anonymous and "privacy" in identity.headers
    headers = [Header(name, f"<{uri}>") for word, name in ASSERTING if word in identity.headers]
    if caller.anonymous and not says_hidden:
        headers = []
    if "rpid" in identity.headers:
        privacy = "full" if caller.anonymous else "off"
        headers.append(Header("Remote-Party-ID", f"<{uri}>;party=calling;privacy={privacy}"))
    return (*headers, Header("Privacy", "id")) if says_hidden else tuple(headers)


def _diverted(identity: Identity, caller: CallerId, dialect: Dialect, host: str) -> tuple[Header, ...]:
    """Return over whom the call came to a trusted server: who diverted it, else our line that shows another number."""
    if not identity.is_trusted or "diversion" not in identity.headers:
        return ()
    is_elsewhere = identity.shown != "own" and caller.own not in ("", caller.number)
    own = (Diverted(caller.own, is_hidden=caller.anonymous),) if is_elsewhere else ()
    return _diversions(caller.diversions or own, dialect, host)


def _diversions(diversions: tuple[Diverted, ...], dialect: Dialect, host: str) -> tuple[Header, ...]:
    """Return Diversion headers as RFC 5806 §4 writes them, latest first."""
    return tuple(
        Header(
            "Diversion",
            f"<{SipUri('sip', escaped(dialect(diverted.number)), host)}>;reason={diverted.reason}"
            + (f";counter={diverted.counter}" if diverted.counter else "")
            + (";privacy=full" if diverted.is_hidden else ""),
        )
        for diverted in diversions
    )


def _with_plus(number: str) -> str:
    return f"+{number}" if number else ""
