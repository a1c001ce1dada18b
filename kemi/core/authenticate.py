"""Digest: who knows the password of the subscriber that the From names.

Rule 1: an unknown user, a wrong password and a disabled user get the same fresh challenge after the same work; only
the trace, which stays with us, tells them apart. Only for an emergency number the right password of a suspended line,
not of a closed one, says who calls.
Rule 2: every other part of the answer is checked too (user = From, realm, digest uri = R-URI, nonce used once), so
that a response that somebody overheard opens nothing.
"""

from __future__ import annotations

from typing import Final

from kemi import keys
from kemi.core import contacts, emergency
from kemi.core import registration as rules
from kemi.core.chains import climb, first_locked, lock_word
from kemi.core.digest import DUMMY_HA1, challenge_values, make_nonce, nonce_state, uri_matches, verify
from kemi.core.draft import Draft
from kemi.core.identity import FromSubscriber
from kemi.core.known import Uncounted
from kemi.core.outcome import Challenge, Register, Reject
from kemi.core.request import UNCOUNTED, Credentials, SipUri, reservation_id
from kemi.records import Lock, SipDomain, Status, Subscriber

USER_MAX: Final = 64  # characters of a user name that is looked up; a longer one cannot exist
STALE: Final = "nonce is old, used, or of another network: once more with a fresh one"
BOTH: Final = ("MD5", "SHA-256")
WANTED: Final = {"md5": ("MD5",), "sha256": ("SHA-256",)}


def address_of_record(uri: SipUri) -> str:
    """Return `user@host` of a From or To."""
    return f"{uri.user}@{uri.host}"


def names_of(uri: SipUri) -> tuple[str, ...]:
    """Return the short names that a digest check of this From reads."""
    domain = keys.sip_domain(uri.host)
    return (keys.subscriber(address_of_record(uri)), domain) if _is_plausible(uri) else (domain,)


def by_digest(draft: Draft) -> FromSubscriber | Challenge | Reject:
    """Return the subscriber that the From names and the credentials prove, else a challenge.

    A From domain that is not ours is refused: there is no password to ask for, and a challenge with a realm of the
    sender's choice would only serve somebody who reflects traffic.
    """
    domain = draft.known.sip_domain(draft.call.from_uri.host)
    if domain is None or not domain.enabled:
        return draft.refuse("relaying_denied", f"domain {draft.call.from_uri.host} is not served here")
    uri = draft.call.from_uri
    subscriber = draft.known.subscriber(address_of_record(uri)) if _is_plausible(uri) else None
    fault = _fault(draft, domain, subscriber)
    if fault or subscriber is None:
        return _challenge(draft, domain, subscriber, fault)
    draft.note(f"digest proves sub {address_of_record(uri)}")
    return FromSubscriber(subscriber, domain)


def registration(draft: Draft) -> Register | Challenge | Reject:
    """Return what a REGISTER may do: bind contacts of phones to the authenticated user's own address of record.

    Trusted addresses do not count: who is reached by its address has no need to register.
    One that comes from outside the line's networks is told nothing of its password: 403 would say that it is right.
    A suspended account may register, so that it rings again the moment it is reinstated; its calls are refused. One
    that is locked for everything may not: whoever has its passwords shall have no use of them.
    """
    wanted_contacts, by_from = contacts.asked(draft.call), names_of(draft.call.from_uri)
    if len(draft.call.contacts) > rules.CONTACTS_MAX:
        return draft.refuse("contacts", f"{len(draft.call.contacts)} contacts, and no line may have so many")
    draft.known.expect((keys.MASKS, *by_from) if wanted_contacts else by_from)
    masks = draft.known.masks() if wanted_contacts else None
    draft.known.expect((*contacts.source_names(wanted_contacts, masks), *by_from))
    who = by_digest(draft)
    if not isinstance(who, FromSubscriber):
        return who
    wanted = address_of_record(draft.call.to_uri)
    if wanted != who.name:  # RFC 3261 §10.3 step 4
        return draft.refuse("foreign_registration", f"sub {who.name} may not register {wanted}")
    if draft.call.path and not rules.knows_path(draft.call.supported):  # RFC 3327 §5.3
        return draft.refuse("path", "a proxy is on the way, and the phone does not say that it supports path")
    unfit = contacts.fault(draft, masks)
    if unfit:
        return draft.refuse("contact", unfit)
    return _granted(draft, who)


def _granted(draft: Draft, who: FromSubscriber) -> Register | Reject:
    if rules.is_misuse_of_wildcard(draft.call):
        return draft.refuse("malformed", "a Contact of * means all, and goes with an expiry of 0 only")
    limits = draft.facts.limits
    shortest_s, longest_s = rules.bounds(who.subscriber, limits)
    granted = rules.granted(draft.call, shortest_s, longest_s)
    if granted is None:
        refusal = draft.refuse("expires", f"sub {who.name} asks for less than {shortest_s} s")
        return refusal._replace(min_expires_s=shortest_s)
    most = rules.contacts_max(who.subscriber, limits)
    return Register(who.name, draft.trace, granted, most, contacts.is_called_back(draft.call))


def _is_plausible(uri: SipUri) -> bool:
    return 0 < len(uri.user) <= USER_MAX


def _fault(draft: Draft, domain: SipDomain, subscriber: Subscriber | None) -> str:
    """Return why the credentials prove nothing, "" when they do."""
    call, credentials = draft.call, draft.call.credentials
    if credentials is None:
        return "no credentials"
    active = subscriber if subscriber is not None and _may_prove(draft, domain, subscriber) else None
    ha1_md5, ha1_sha256 = _hashes(domain, active) if active else (DUMMY_HA1, DUMMY_HA1)
    is_proven = verify(credentials, call.method, ha1_md5, ha1_sha256)
    nonce = _nonce_state(draft, credentials)
    faults = (
        (credentials.realm != domain.name, "credentials are for another realm"),
        (credentials.username != call.from_uri.user, "credentials are of another user than the From"),
        (not uri_matches(credentials.uri, call.ruri), "digest uri is not the R-URI"),
        (nonce == "foreign", "nonce is not ours"),
        (subscriber is None, "no such subscriber"),
        (active is None, "subscriber is not active"),
        (not is_proven, "wrong password"),
    )
    for is_wrong, sentence in faults:
        if is_wrong:
            return sentence
    return _locked_out(draft, active) or (STALE if nonce == "stale" else _reuse(draft))


def _hashes(domain: SipDomain, subscriber: Subscriber) -> tuple[str, str]:
    """Return the hashes of a line's password that count, "" = an answer with that algorithm does not."""
    offered = _algorithms(domain, subscriber)
    return (subscriber.ha1_md5 if "MD5" in offered else ""), (subscriber.ha1_sha256 if "SHA-256" in offered else "")


def _may_prove(draft: Draft, domain: SipDomain, subscriber: Subscriber) -> bool:
    """Whether the password of this line is worth anything: it is active, or calls an emergency number suspended."""
    if subscriber.status != Status.SUSPENDED or draft.call.method != "INVITE":
        return subscriber.status == Status.ACTIVE
    return emergency.of_line(draft, FromSubscriber(subscriber, domain)) is not None


def _locked_out(draft: Draft, subscriber: Subscriber | None) -> str:
    """Return what makes a right password worth nothing to a REGISTER, "" = nothing does. Told like a wrong one."""
    if subscriber is None or draft.call.method != "REGISTER":
        return ""
    if not rules.may_come_from(subscriber, draft.call.source_ip):
        return f"it may not register from {draft.call.source_ip}"
    if subscriber.lock >= Lock.GLOBAL:
        return f"the line is locked: {lock_word(subscriber.lock)}"
    chain = climb(draft, subscriber.account_id)
    locked = first_locked(chain, Lock.GLOBAL) if chain else None
    return f"level {locked[0]} account {locked[1].id} is locked: {lock_word(locked[1].lock)}" if locked else ""


def _reuse(draft: Draft) -> str:
    """Return STALE for a right response that came before. Nothing else is counted: anybody may invent counts."""
    if draft.facts.nonce_uses == UNCOUNTED:
        raise Uncounted
    return "" if draft.facts.nonce_uses == 1 else STALE


def _nonce_state(draft: Draft, credentials: Credentials) -> str:
    facts = draft.facts
    call = draft.call
    return nonce_state(facts.secret, credentials.nonce, call.received_ms, facts.limits.nonce_expire_s, call.source_ip)


def _challenge(draft: Draft, domain: SipDomain, subscriber: Subscriber | None, fault: str) -> Challenge:
    """stale=true only after a right password: it tells the client to answer again by itself."""
    draft.note(f"digest of {address_of_record(draft.call.from_uri)}: {fault}")
    call = draft.call
    nonce = make_nonce(draft.facts.secret, call.received_ms, reservation_id(call), call.source_ip)
    values = challenge_values(domain.name, nonce, fault == STALE, _algorithms(domain, subscriber))
    if call.method == "REGISTER":
        return Challenge(401, "WWW-Authenticate", values, draft.trace)
    return Challenge(407, "Proxy-Authenticate", values, draft.trace)


def _algorithms(domain: SipDomain, subscriber: Subscriber | None) -> tuple[str, ...]:
    """Return what to offer: what the line or its domain asks for; an answer by another one proves nothing.

    A user who does not exist looks like one with both hashes, the way passwords are normally stored. A line that was
    given one only has to be offered that one: clients take the topmost that they know (RFC 8760 §2.4), and MD5 is what
    lines are asked for that nobody said anything of. One that lacks SHA-256 where only that is wanted is asked for it
    all the same, and never proves anything.
    """
    wanted = (subscriber.digest if subscriber else "") or domain.digest
    if wanted == "sha256":
        return WANTED[wanted]
    if subscriber is not None and bool(subscriber.ha1_md5) != bool(subscriber.ha1_sha256):
        return WANTED["md5" if subscriber.ha1_md5 else "sha256"]
    return WANTED.get(wanted, BOTH)
