"""Registrations in Kamailio's memory, and on their way to Redis and from there.

Rule 1: the registrar answers a REGISTER; what is new in its memory is in Redis before, unless Redis is down. What only
lives longer is queued for the agent, so a storm of refreshes waits for nobody.
Rule 2: what comes from Redis is given to the registrar as a REGISTER of the agent's, signed with the cell's secret.
"""

from __future__ import annotations

import hmac
import json
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from kemi.adapters import ksr_connections
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_fork import CALLED_BACK, LOCATION
from kemi.adapters.ksr_read import text
from kemi.adapters.ksr_shared import NOC
from kemi.adapters.ksr_sides import BRANCHES_MAX, boot_ms
from kemi.core.outcome import Register, Reject
from kemi.core.refusals import reject
from kemi.core.request import CallRequest, Contact
from kemi.records import Location

QUEUE: Final = "locations"
LOADING: Final = "loading"
SIGNED: Final = "X-Tandem-Location"
SIGNED_S: Final = 30  # how old a signed REGISTER may be
COVERED: Final = ("To", "Contact", "Call-ID", "CSeq", "User-Agent", "Path")  # by the signature, beside time and source

KEEP_QUIET: Final = 2 | 16  # of save(): answer nothing, but prepare the answer's headers
QUIET: Final = 2
RECEIVED: Final = "$avp(received)"
PROFILE: Final = "locs"
COUNT: Final = "$(ulc(locs=>count)[0])"
FIELDS: Final = ("ruid", "addr", "received", "path", "expires", "q", "callid", "cseq", "user_agent", "socket")
MORE: Final = ("instance", "regid", "modified")
VARIABLES: Final = tuple(
    tuple(f"$(ulc(locs=>{field})[{at}])" for field in (*FIELDS, *MORE)) for at in range(BRANCHES_MAX)
)
_INSTANCE: Final = re.compile(r"""\+sip\.instance[ \t]*=[ \t]*"([^"]+)\"""", re.IGNORECASE)
_REG_ID: Final = re.compile(r";[ \t]*reg-id[ \t]*=[ \t]*([0-9]+)", re.IGNORECASE)


class Bound(NamedTuple):
    """A contact in Kamailio's memory. ruid: its name there."""

    ruid: str
    location: Location


class Change(NamedTuple):
    """What the agent shall tell Redis of a line: contacts to write, others that are gone. is_all: all are gone."""

    name: str
    put: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    is_all: bool = False


Tell = Callable[[str, Sequence[Location], Sequence[str]], bool]
"""Writes contacts of a line to Redis and takes others away; says whether it could."""


def untold(_name: str, _locations: Sequence[Location], _gone: Sequence[str]) -> bool:
    """Tell nobody: there is no Redis."""
    return False


def save(ksr: Ksr, decision: Register, request: CallRequest, node: str, tell: Tell) -> Reject | None:
    """Let the registrar save what was granted, and answer; for too many contacts return a refusal instead.

    They are saved under the name that was decided on: Kamailio reads another one out of a To with user parameters.
    Counted again afterwards, for another worker may have saved some meanwhile.
    """
    name, most = decision.address_of_record, decision.contacts_max
    why = f"sub {name} may have {most} contacts registered"
    before = bound(ksr, name, node)
    if _count_after(before, request.contacts, decision.granted) > most > 0:
        return reject("contacts", (*decision.trace, why))
    _write_granted(ksr, decision, request)
    if decision.is_called_back:
        ksr.nathelper.fix_nated_register()
        ksr.setbflag(CALLED_BACK)
    if ksr.registrar.save_uri(LOCATION, KEEP_QUIET, f"sip:{name}") > 0:
        after = bound(ksr, name, node)
        if len(after) > most > 0 and _take_back(ksr, name, before, after):
            return reject("contacts", (*decision.trace, why))
        if any(decision.granted):
            ksr_connections.keep(ksr, max(decision.granted))
        _tell(ksr, name, (before, after), tell)
    ksr.registrar.reg_send_reply()
    ksr.statistics.update_stat("registered", 1)
    return None


def bound(ksr: Ksr, name: str, node: str = "") -> tuple[Bound, ...]:
    """Return the contacts of a line that Kamailio knows. name: `user@domain`."""
    if ksr.registrar.reg_fetch_contacts(LOCATION, f"sip:{name}", PROFILE) < 0:
        return ()
    try:
        return tuple([_row(ksr, variables, node) for variables in VARIABLES[: ksr.pv.geti(COUNT)]])
    finally:
        ksr.registrar.reg_free_contacts(PROFILE)


def remove(ksr: Ksr, name: str, contacts: Iterable[str] | None = None) -> int:
    """Take contacts of a line out of Kamailio's memory, None = all. Return how many went."""
    wanted = None if contacts is None else frozenset(contacts)
    found = [each for each in bound(ksr, name) if wanted is None or each.location.contact in wanted]
    return sum(ksr.registrar.unregister_ruid(LOCATION, f"sip:{name}", each.ruid) > 0 for each in found)


def queue(ksr: Ksr, change: Change) -> None:
    """Let the agent tell Redis. A full queue: Redis hears of the phone when it registers again."""
    ksr.mqueue.mq_add(QUEUE, change.name, json.dumps(change))


def take(ksr: Ksr) -> Change | None:
    """Return the next change that waits for the agent, None for none."""
    if ksr.mqueue.mq_fetch(QUEUE) < 0:
        return None
    name, put, gone, is_all = json.loads(str(ksr.mqueue.mqv_get(QUEUE)))
    return Change(name, tuple(put), tuple(gone), bool(is_all))


def begin(ksr: Ksr) -> None:
    """Say at the very start of a node that it has not read yet which phones are registered."""
    if not boot_ms(ksr):
        ksr.htable.sht_sets(NOC, LOADING, "1")


def loaded(ksr: Ksr) -> None:
    """Say that it has."""
    ksr.htable.sht_rm(NOC, LOADING)


def is_loading(ksr: Ksr) -> bool:
    """Tell whether a call to this node may find a phone unknown that is registered."""
    return ksr.htable.sht_get(NOC, LOADING) is not None


def is_signed(ksr: Ksr, secret: bytes, now_s: int) -> bool:
    """Tell whether the REGISTER under our hands is an agent's of this cell."""
    value = text(lambda: ksr.hdr.gete(SIGNED))
    if not value:
        return False
    made, _, rest = value.partition(" ")
    mac, _, received = rest.partition(" ")
    if not (made.isascii() and made.isdecimal() and abs(now_s - int(made[:12])) <= SIGNED_S):
        return False
    lines = [text(lambda name=name: ksr.hdr.gete(name)) for name in COVERED]  # type: ignore[misc]
    return hmac.compare_digest(mac.encode(), signature(secret, made, received, lines).encode())


def take_in(ksr: Ksr) -> None:
    """Save the contact of a signed REGISTER, without a word to Redis, where it came from."""
    received = text(lambda: ksr.hdr.gete(SIGNED)).split(" ", 2)[2:]
    if received and received[0]:
        ksr.pv.sets(RECEIVED, received[0])
        ksr.setbflag(CALLED_BACK)
    is_saved = ksr.registrar.save(LOCATION, QUIET) > 0
    ksr.sl.send_reply(*((200, "OK") if is_saved else (400, "Bad Request")))


def signed_register(name: str, row: Location, node: str, now_s: int, serial: str, secret: bytes) -> str:
    """Return the REGISTER by which the registrar of our own node learns of a contact. serial: its transaction."""
    parts = (
        f"<{row.contact}>",
        f"expires={row.expires_s - now_s}",
        *((f"q={row.q / 1000:.3f}",) if row.q >= 0 else ()),
        *((f'+sip.instance="{row.instance}"',) if row.instance else ()),
        *((f"reg-id={row.reg_id}",) if row.reg_id else ()),
    )
    user_agent, path = row.user_agent or "-", row.path
    values = (f"<sip:{name}>", ";".join(parts), row.call_id, f"{row.cseq} REGISTER", user_agent, path)
    made = str(now_s)
    mac = signature(secret, made, row.received, values)
    lines = (
        f"REGISTER sip:{name.rpartition('@')[2]} SIP/2.0",
        f"Via: SIP/2.0/UDP {node}.invalid;rport;branch=z9hG4bK{serial}",
        "Max-Forwards: 1",
        f"From: <sip:{name}>;tag={serial}",
        *(f"{header}: {value}" for header, value in zip(COVERED, values, strict=True) if value),
        *(("Supported: path",) if path else ()),
        f"{SIGNED}: {made} {mac} {row.received}",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", ""))


def signature(secret: bytes, made: str, received: str, values: Iterable[str]) -> str:
    """Return the HMAC over what the registrar will believe."""
    body = "\n".join((made, received, *values)).encode("utf-8", "surrogatepass")
    return hmac.digest(secret, b"location:" + body, "sha256").hex()


def _row(ksr: Ksr, variables: tuple[str, ...], node: str) -> Bound:
    ruid, contact, received, path, expires, q, call_id, cseq, agent, socket, instance, reg_id, modified = (
        text(lambda name=name: ksr.pv.gete(name))  # type: ignore[misc]
        for name in variables
    )
    numbers = (_number(value) for value in (expires, cseq, reg_id, modified))
    expires_s, cseq_n, reg_id_n, modified_s = numbers
    quality = int(q) if q.lstrip("-").isdecimal() else -1
    return Bound(
        ruid,
        Location(
            contact=contact,
            received=received,
            path=path,
            expires_s=expires_s,
            q=quality,
            call_id=call_id,
            cseq=cseq_n,
            user_agent=agent,
            socket=socket,
            instance=instance,
            reg_id=reg_id_n,
            modified_s=modified_s,
            node=node,
        ),
    )


def _number(value: str) -> int:
    return int(value) if value.isdecimal() else 0


def _take_back(ksr: Ksr, name: str, before: tuple[Bound, ...], after: tuple[Bound, ...]) -> bool:
    """Take out what was just saved and was not there before; return whether there was anything."""
    known = {each.ruid for each in before}
    new = [each.ruid for each in after if each.ruid not in known]
    return sum(ksr.registrar.unregister_ruid(LOCATION, f"sip:{name}", ruid) > 0 for ruid in new) > 0


def _tell(ksr: Ksr, name: str, was: tuple[tuple[Bound, ...], tuple[Bound, ...]], tell: Tell) -> None:
    """Say what has become of a line: at once where somebody came or went, else when the agent has time."""
    before, after = was
    known = {each.ruid: each.location for each in before}
    changed = [each for each in after if known.get(each.ruid) != each.location]
    gone = {each.location.contact for each in before} - {each.location.contact for each in after}
    if not (changed or gone):
        return
    is_new = bool(gone) or any(each.ruid not in known for each in changed)
    locations = [each.location for each in changed]
    if not (is_new and tell(name, locations, sorted(gone))):
        queue(ksr, Change(name, tuple(each.contact for each in locations), tuple(sorted(gone))))


def _write_granted(ksr: Ksr, decision: Register, request: CallRequest) -> None:
    """Write the expiry that was granted into the request, where it says another one."""
    pairs = list(zip(request.contacts, decision.granted, strict=True))
    if all((contact.expires or request.expires) == str(seconds) for contact, seconds in pairs):
        return
    ksr.hdr.remove("Contact")
    ksr.hdr.remove("Expires")
    for contact, seconds in pairs:
        ksr.hdr.append(f"Contact: {contact.text};expires={seconds}\r\n")
    ksr.textopsx.msg_apply_changes()


def _count_after(before: tuple[Bound, ...], contacts: tuple[Contact, ...], granted: tuple[int, ...]) -> int:
    """Return how many contacts the line would have."""
    known = {_key_of(each.location) for each in before}
    for contact, seconds in zip(contacts, granted, strict=True):
        (known.add if seconds else known.discard)(_key(contact.text))
    return len(known)


def _key(header_value: str) -> tuple[str, str]:
    """Return what makes a contact another one: its URI, or instance and reg-id where it has both."""
    uri = header_value.partition("<")[2].partition(">")[0]
    instance, reg_id = _INSTANCE.search(header_value), _REG_ID.search(header_value)
    return (instance[1], str(int(reg_id[1]))) if instance and reg_id else (uri, "")


def _key_of(location: Location) -> tuple[str, str]:
    has_both = location.instance and location.reg_id
    return (location.instance, str(location.reg_id)) if has_both else (location.contact, "")
