"""Decision -> KSR calls. Each decision sends at most one thing."""

from __future__ import annotations

from typing import Final, assert_never

from kemi.adapters import ksr_hunt, ksr_locations
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_plan import Here
from kemi.core.outcome import Challenge, Reject, Route
from kemi.core.refusals import reject

ALLOW: Final = "INVITE, ACK, CANCEL, BYE, OPTIONS, REGISTER, UPDATE, PRACK, INFO"
CHALLENGE_PHRASES: Final = {401: "Unauthorized", 407: "Proxy Authentication Required"}


def apply(ksr: Ksr, decision: Challenge | Reject | Route, signed_rid: str, here: Here) -> None:
    """Carry out a decision on the request under the worker's hands. Registrations are ksr_locations' matter.

    A Route must have its hold. signed_rid: value of our Record-Route parameter, for a Route.
    """
    match decision:
        case Challenge():
            _challenge(ksr, decision)
        case Reject():
            answer(ksr, decision)
        case Route():
            ksr.statistics.update_stat("routed", 1)
            ksr_hunt.start(ksr, decision, signed_rid, here)
        case _:
            assert_never(decision)


def answer(ksr: Ksr, refusal: Reject) -> None:
    """Refuse, with the cause for telephone networks (RFC 3326) and when to come again."""
    ksr.statistics.update_stat("refused", 1)
    ksr.hdr.append_to_reply(f"Reason: Q.850;cause={refusal.q850}\r\n")
    if refusal.reason == "path":
        ksr.hdr.append_to_reply("Unsupported: path\r\n")
    if refusal.min_expires_s:
        ksr.hdr.append_to_reply(f"Min-Expires: {refusal.min_expires_s}\r\n")
    if refusal.retry_after_s:
        ksr.hdr.append_to_reply(f"Retry-After: {refusal.retry_after_s}\r\n")
    ksr.sl.send_reply(refusal.status, refusal.phrase)


def refuse(ksr: Ksr, reason: str) -> None:
    """Refuse a request that never becomes a call. reason: key of the refusals table."""
    answer(ksr, reject(reason))


def refuse_stray(ksr: Ksr) -> None:
    """Refuse a request that belongs to a call or a transaction which we do not know."""
    ksr.sl.send_reply(481, "Call/Transaction Does Not Exist")


def refuse_method(ksr: Ksr) -> None:
    """Refuse a method that we do not serve outside a call, naming those that we do (RFC 3261 §21.4.6)."""
    ksr.hdr.append_to_reply(f"Allow: {ALLOW}\r\n")
    refuse(ksr, "method")


def answer_options(ksr: Ksr) -> None:
    """Answer a keep-alive: we are here, or not yet: who asks us first, shall send calls elsewhere."""
    if ksr_locations.is_loading(ksr):
        ksr.sl.send_reply(503, "Registrations Are Being Read")
        return
    ksr.hdr.append_to_reply(f"Allow: {ALLOW}\r\n")
    ksr.sl.send_reply(200, "OK")


def _challenge(ksr: Ksr, challenge: Challenge) -> None:
    ksr.statistics.update_stat("challenged", 1)
    for value in challenge.values:
        ksr.hdr.append_to_reply(f"{challenge.header}: {value}\r\n")
    ksr.sl.send_reply(challenge.status, CHALLENGE_PHRASES[challenge.status])
