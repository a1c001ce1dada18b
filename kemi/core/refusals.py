"""The one table of refusals: reason -> SIP status, phrase, Q.850 cause, Retry-After.

Rule 1: a reason is a stable word. CDRs, statistics, scenarios and tenants' overrides name it; it is never renamed.
Rule 2: the pairs of status and cause follow RFC 3398 §7.2.4.1 where it has one; else 21, call rejected.
Rule 3: Retry-After stands where the same call may succeed by itself soon. A 503 without it sounds to a client like a
dead server (RFC 3261 §21.5.4), so it is kept for calls that another provider should take.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from kemi.core.outcome import Reject, Trace
from kemi.records import PinnedCall, ReplyOverride

STATUS_MIN: Final = 400
STATUS_MAX: Final = 699
PHRASE_MAX: Final = 64  # characters, as in Sipwise C5


class Refusal(NamedTuple):
    """How one reason is told to the caller. retry_after_s: 0 = no Retry-After header."""

    status: int
    phrase: str
    q850: int
    retry_after_s: int = 0


REFUSALS: Final[Mapping[str, Refusal]] = MappingProxyType(
    {
        # The request cannot be served, whoever sent it.
        "malformed": Refusal(400, "Bad Request", 111),
        "method": Refusal(405, "Method Not Allowed", 63),
        "unsupported_scheme": Refusal(416, "Unsupported URI Scheme", 127),
        "loop": Refusal(482, "Loop Detected", 25),
        "merged": Refusal(482, "Loop Detected", 25),
        "forward_loop": Refusal(482, "Loop Detected", 25),
        "too_many_hops": Refusal(483, "Too Many Hops", 25),
        "bad_number": Refusal(484, "Address Incomplete", 28),
        # Who: a domain that is not ours gets no challenge, since no password could ever answer it.
        "relaying_denied": Refusal(403, "Relaying Denied", 21),
        "foreign_registration": Refusal(403, "Not Your Address", 21),
        "contact": Refusal(403, "Contact Not Allowed", 21),
        "contacts": Refusal(403, "Too Many Contacts", 21),  # no 503: the phone would try the next server
        "path": Refusal(420, "Bad Extension", 127),  # a proxy is on the way, and the phone does not know of that
        "expires": Refusal(423, "Interval Too Brief", 31),
        "inbound_rule": Refusal(403, "Forbidden", 21),
        "cli": Refusal(403, "Caller ID Not Allowed", 21),
        # Where to: 404 is final for a client that hunts, 480 tells it that the number exists. One cause for every 480:
        # whether the called has no phone there, no money or no channel is nothing that a stranger may tell apart.
        "not_found": Refusal(404, "Not Found", 1),
        "no_route": Refusal(404, "No Route To Destination", 3),
        "offline": Refusal(480, "Temporarily Unavailable", 20),
        "called_suspended": Refusal(480, "Temporarily Unavailable", 20),
        "called_unavailable": Refusal(480, "Temporarily Unavailable", 20),
        "called_busy": Refusal(486, "Busy Here", 17),
        "blocked_in": Refusal(603, "Decline", 21),  # the called does not want this caller, by any way
        "flow_reject": Refusal(603, "Decline", 21),  # a callflow's step says so, mostly with a status of its own
        # May they: 403, because the same call would be refused again until somebody changes a setting.
        "suspended": Refusal(403, "Account Suspended", 21),
        "locked": Refusal(403, "Account Locked", 21),
        # 403 and no 503: all nodes refuse alike, and a client's trunk would fail over and knock at each of them.
        "quarantined": Refusal(403, "Quarantined", 21),
        "barred": Refusal(403, "Destination Barred", 21),
        "blocked_out": Refusal(403, "Number Blocked", 21),
        "no_rate": Refusal(403, "Destination Has No Rate", 21),
        "no_exchange": Refusal(403, "No Exchange Rate", 21),
        "forbidden": Refusal(403, "Destination Forbidden", 21),
        "too_dear": Refusal(403, "Destination Too Expensive", 21),
        # Money and limits. Channels: 403 and no 503, else a client's trunk would fail over and knock again.
        "no_credit": Refusal(402, "Payment Required", 21),
        "spend": Refusal(403, "Spend Limit Reached", 21),
        "spend_day": Refusal(403, "Spend Limit Reached", 21),
        "spend_month": Refusal(403, "Spend Limit Reached", 21),
        "channels": Refusal(403, "Channel Limit Reached", 34),
        "channels_in": Refusal(403, "Channel Limit Reached", 34),
        "channels_out": Refusal(403, "Channel Limit Reached", 34),
        "cps": Refusal(503, "Call Rate Limit Reached", 42, 1),
        # Carriers: every one was tried. Another provider of the caller may do better, so no Retry-After.
        "carriers_failed": Refusal(503, "Service Unavailable", 41),
        # The relay of sound does not answer, or this node has none: another node may have one.
        "media_down": Refusal(503, "Media Relay Unavailable", 47),
        "noc": Refusal(480, "Temporarily Unavailable", 20),  # the NOC has ended it while it rang
        "cancelled": Refusal(487, "Request Terminated", 16),
        # Our own state. 5 s: a restarted Redis answers again by then, and each node looks for it all the time.
        "store_down": Refusal(503, "Service Unavailable", 41, 5),
        "unarmed": Refusal(503, "Service Unavailable", 41, 5),
        "full": Refusal(503, "Service Unavailable", 42, 5),
        "draining": Refusal(503, "Service Unavailable", 41, 5),
        "shed": Refusal(503, "Overloaded", 42, 5),
        "stale": Refusal(503, "Service Unavailable", 41, 1),
        "misconfigured": Refusal(500, "Server Internal Error", 41),
        "internal": Refusal(500, "Server Internal Error", 41),
    }
)


def reject(
    reason: str,
    trace: Trace = (),
    *,
    account_id: int = 0,
    replies: tuple[ReplyOverride, ...] = (),
    call: PinnedCall | None = None,
) -> Reject:
    """Return the refusal for `reason`, a key of REFUSALS; any other word is told as "internal" and kept as reason.

    account_id: the level that refused, 0 = none. replies: the tenants' own answers, nearest account first; the first
    for this reason wins, unless no SIP client could take it.
    """
    refusal = REFUSALS.get(reason, REFUSALS["internal"])
    own = next((reply for reply in replies if reply.reason == reason and is_sendable(reply.status, reply.phrase)), None)
    return Reject(
        reason=reason,
        status=own.status if own else refusal.status,
        phrase=own.phrase if own else refusal.phrase,
        q850=refusal.q850,
        retry_after_s=refusal.retry_after_s,
        account_id=account_id,
        trace=trace,
        call=call,
    )


def is_sendable(status: int, phrase: str) -> bool:
    """Whether a configured answer is a final failure with a phrase of 1 … 64 printable ASCII characters."""
    fits = 0 < len(phrase) <= PHRASE_MAX and phrase.isascii() and phrase.isprintable()
    return fits and STATUS_MIN <= status <= STATUS_MAX
