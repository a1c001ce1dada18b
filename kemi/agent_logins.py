"""Our registrations at carriers' servers. No clock, no I/O.

Rule 1: refreshed at half of what was granted; after a failure again in a minute.
Rule 2: a challenge is answered once; a second one in a row is a failure, and so is none that we can answer.
Rule 3: nothing that can be shown holds a password's hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from kemi.adapters.ksr_ask import Ask
from kemi.adapters.ksr_queue import LoginAnswered
from kemi.agent_watch import NS, SPREAD, Place, call_id_of
from kemi.core.login import answer, granted_s, number
from kemi.records import Login

AGAIN_S: Final = 60
WAIT_S: Final = 8  # for an answer; the transaction has given up long before
LEAST_S: Final = 5  # between two REGISTERs, whatever was granted
OK: Final = range(200, 300)
CHALLENGES: Final = (401, 407)
TOO_BRIEF: Final = 423
_HEADERS: Final = {401: "Authorization", 407: "Proxy-Authorization"}


class Account(NamedTuple):
    """A login and where. contact: our URI, where calls are to come."""

    place: Place
    login: Login
    aor: str
    contact: str


@dataclass(slots=True)
class Registration:
    """One of them. status: of the last answer, 0 = none came. until_ms: Unix time, 0 = not registered."""

    account: Account
    call_id: str
    due_ns: int
    expires_s: int
    cseq: int = 0
    status: int = 0
    until_ms: int = 0
    is_asked: bool = False
    has_answered: bool = False


class Logins:
    """All of them, of one node."""

    def __init__(self) -> None:
        self._registrations: dict[int, Registration] = {}
        self._by_call: dict[str, int] = {}

    def follow(self, accounts: Iterable[Account], token: str, now_ns: int) -> None:
        """Keep these registered from now on, and no others. token: nobody can guess it."""
        wanted = {account.place.server_id: account for account in accounts}
        for server_id in [known for known, kept in self._registrations.items() if kept.account != wanted.get(known)]:
            del self._registrations[server_id]
        for place_number, (server_id, account) in enumerate(wanted.items()):
            if server_id not in self._registrations:
                due_ns = now_ns + place_number % SPREAD * NS // 10
                call_id = call_id_of(token, server_id, "register")
                self._registrations[server_id] = Registration(account, call_id, due_ns, account.login.register_s)
        self._by_call = {kept.call_id: server_id for server_id, kept in self._registrations.items()}

    def due(self, now_ns: int) -> list[Ask]:
        """Return what to send now."""
        asks: list[Ask] = []
        for kept in self._registrations.values():
            if kept.due_ns > now_ns:
                continue
            if kept.is_asked:  # nobody answered
                kept.is_asked, kept.status, kept.due_ns = False, 0, now_ns + (AGAIN_S - WAIT_S) * NS
            else:
                asks.append(_register(kept, now_ns))
        return asks

    def answered(self, heard: LoginAnswered, cnonce: str, now_ns: int, now_ms: int) -> list[Ask]:
        """Return what to send after an answer. cnonce: fresh, hex."""
        kept = self._registrations.get(self._by_call.get(heard.call_id, 0))
        if kept is None or not kept.is_asked or not _is_of(kept, heard):
            return []
        kept.is_asked, kept.status = False, heard.status
        if heard.status in OK:
            _granted(kept, heard, now_ns, now_ms)
        elif heard.status in CHALLENGES and not kept.has_answered:
            account = kept.account
            credentials = answer(heard.challenges, account.login, "REGISTER", _ruri(account), cnonce)
            if credentials:
                kept.has_answered = True
                return [_register(kept, now_ns, f"{_HEADERS[heard.status]}: {credentials}")]
            _failed(kept, now_ns)
        elif heard.status == TOO_BRIEF and number(heard.min_expires) > kept.expires_s:
            kept.expires_s, kept.has_answered = number(heard.min_expires), False
            return [_register(kept, now_ns)]
        else:
            _failed(kept, now_ns)
        return []

    def rows(self, now_ms: int) -> list[dict[str, object]]:
        """Return how they are, for the NOC. until_ms: Unix time, 0 = not registered now."""
        return [
            {
                "server_id": server_id,
                "name": kept.account.place.name,
                "state": "registered" if kept.until_ms > now_ms else "not registered",
                "status": kept.status,
                "until_ms": kept.until_ms if kept.until_ms > now_ms else 0,
                "user": kept.account.login.username,
            }
            for server_id, kept in self._registrations.items()
        ]


def _is_of(kept: Registration, heard: LoginAnswered) -> bool:
    """Tell whether an answer is the server's to our last request: nobody else's says what it grants."""
    return heard.cseq == kept.cseq and kept.account.place.is_at(heard.ip)


def _granted(kept: Registration, heard: LoginAnswered, now_ns: int, now_ms: int) -> None:
    lasts_s = granted_s(heard.contacts, heard.expires, kept.account.contact, kept.expires_s)
    kept.has_answered, kept.until_ms = False, now_ms + lasts_s * 1_000
    kept.due_ns = now_ns + max(LEAST_S, lasts_s // 2) * NS


def _failed(kept: Registration, now_ns: int) -> None:
    kept.has_answered, kept.due_ns = False, now_ns + AGAIN_S * NS


def _register(kept: Registration, now_ns: int, *credentials: str) -> Ask:
    account, tag = kept.account, kept.call_id[:16]
    kept.cseq += 1
    kept.is_asked, kept.due_ns = True, now_ns + WAIT_S * NS
    if not credentials:
        kept.has_answered = False
    extra = (f"Contact: <{account.contact}>", f"Expires: {kept.expires_s}", *credentials)
    place = account.place
    return Ask(
        "REGISTER", _ruri(account), place.next_hop, place.socket, account.aor, kept.call_id, tag, kept.cseq, extra
    )


def _ruri(account: Account) -> str:
    """Return the registrar: the domain of the address of record."""
    return f"sip:{account.aor.partition('@')[2]}"
