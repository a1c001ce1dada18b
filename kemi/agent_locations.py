"""Registrations, as the agent sees to them: Redis hears of ours, and our registrar of those that other nodes took.

Rule 1: at the start all that Redis has is read, before OPTIONS are answered, some lines a turn; meanwhile and then the
changes are followed. Nothing that a turn does grows with the number of lines.
Rule 2: Kamailio's memory is what calls are led by. Without Redis it goes on, and what Redis missed is told afterwards.
Rule 3: the registrar takes a contact by a REGISTER of ours, sent to where it listens; one that is not answered is sent
again. An older one than it knows, it refuses by itself (RFC 3261 §10.3 step 7).
"""

from __future__ import annotations

import secrets
import socket
from collections import deque
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from kemi import codec
from kemi.adapters import ksr_locations, redis_locations
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_locations import Change
from kemi.adapters.redis_client import FunctionFailed, StoreUnavailable
from kemi.records import Location
from kemi.settings import Settings

CHANGES_MAX: Final = 500  # of ours, told in one turn
AT_ONCE: Final = 150  # REGISTERs on their way: what a socket's buffer takes for certain
READ_MAX: Final = 200  # lines of all there are, read in one turn: 15 ms
AGAIN_NS: Final = 500_000_000
TRIES_MAX: Final = 10
FOLLOW_NS: Final = 100_000_000
CLEAN_NS: Final = 10_000_000_000
MS: Final = 1_000


class Store(redis_locations.Store, Protocol):
    """What is needed of redis_client.RedisClient."""

    def available(self) -> bool:
        """Tell whether a call would be tried now."""


class _Wanted(NamedTuple):
    """A contact that the registrar shall have. is_old: it was found while all there is was read."""

    name: str
    location: Location
    is_old: bool

    def is_of(self, name: str, contacts: Collection[str]) -> bool:
        """Tell whether it is one of these contacts of a line."""
        return self.name == name and self.location.contact in contacts


class _Sent(NamedTuple):
    """A REGISTER on its way to the registrar. is_gone: the contact was taken away meanwhile."""

    wanted: _Wanted
    at_ns: int
    tries: int
    is_gone: bool = False


class _State(NamedTuple):
    untold: tuple[Change, ...]
    after: str


class _Reading(NamedTuple):
    """How far all that there is has been read. names: of the page that was got last, not looked at yet."""

    server: str
    cursor: str = redis_locations.FIRST_PAGE
    names: tuple[str, ...] = ()
    is_last: bool = False


class Wire:
    """Sockets to our own node."""

    def __init__(self, settings: Settings) -> None:
        self._places = {
            family: _place(address)
            for family, address in ((socket.AF_INET, settings.listen), (socket.AF_INET6, settings.listen6))
            if address
        }
        self._sockets: dict[int, socket.socket] = {}

    def send(self, location: Location, message: str) -> None:
        """Send a REGISTER to the socket of ours that calls to this contact leave from."""
        reached = location.received or location.contact
        family = socket.AF_INET6 if "[" in reached and socket.AF_INET6 in self._places else socket.AF_INET
        if family not in self._sockets:
            made = socket.socket(family, socket.SOCK_DGRAM)
            made.setblocking(False)
            made.bind((self._places[family][0], 0))
            self._sockets[family] = made
        with suppress(OSError):  # it is sent again
            self._sockets[family].sendto(message.encode(), self._places[family])

    def answers(self) -> Iterable[str]:
        """Yield the answers that have come."""
        for each in self._sockets.values():
            while True:
                try:
                    yield each.recv(65_535).decode(errors="replace")
                except OSError:
                    break

    def close(self) -> None:
        """Let the sockets go."""
        for each in self._sockets.values():
            each.close()
        self._sockets.clear()


class AgentLocations:
    """Of the agent of one node."""

    def __init__(self, ksr: Ksr, settings: Settings, store: Store, wire: Wire | None = None) -> None:
        self._ksr = ksr
        self._settings = settings
        self._store = store
        self._wire = wire or Wire(settings)
        self._untold: dict[str, Change] = {}
        self._waiting: deque[_Wanted] = deque()
        self._sent: dict[str, _Sent] = {}
        self._doubted: dict[str, set[str]] = {}
        self._after = ""
        self._reading: _Reading | None = None
        self._follow_at_ns = self._clean_at_ns = 0
        self.refused = 0

    @property
    def untold(self) -> int:
        """How many lines Redis has to be told of."""
        return len(self._untold)

    @property
    def _is_taking(self) -> bool:
        """Whether the registrar still has to take what was there at the start. What comes new keeps nobody waiting."""
        wanted = (*self._waiting, *(sent.wanted for sent in self._sent.values()))
        return any(each.is_old for each in wanted)

    def turn(self, now_ns: int, now_ms: int) -> None:
        """Do what is due."""
        self._hear_workers()
        self._hear_answers()
        self._register(now_ns, now_ms // MS)
        if not self._store.available():
            ksr_locations.loaded(self._ksr)  # as far as it can be
            return
        try:
            self._speak(now_ns, now_ms // MS)
        except FunctionFailed:
            ksr_locations.loaded(self._ksr)  # a Redis that refuses is as one that is away
        except StoreUnavailable:
            return  # what was not told or read is due again in the next turn
        if self._after and not (self._reading or self._is_taking):
            ksr_locations.loaded(self._ksr)

    def _speak(self, now_ns: int, now_s: int) -> None:
        """Tell Redis what is new here, and read what is new there."""
        self._tell(now_s)
        if now_ns >= self._follow_at_ns:
            self._follow_at_ns = now_ns + FOLLOW_NS
            self._follow(now_s)
        self._look_again(now_s)
        self._read_on(now_s)
        if now_ns >= self._clean_at_ns:
            self._clean_at_ns = now_ns + CLEAN_NS
            redis_locations.forget_expired(self._store, now_s)
            self._check_place()

    def export(self) -> bytes:
        """Return what the code after a reload must know."""
        after = "" if self._reading else self._after  # what is half read is read again
        return codec.pack(_State(tuple(self._untold.values()), after))

    def restore(self, exported: bytes) -> None:
        """Take over from the code before a reload."""
        state = codec.unpack(_State, exported)
        self._untold, self._after = {change.name: change for change in state.untold}, state.after

    def close(self) -> None:
        """Let the sockets go."""
        self._wire.close()

    # To Redis ---------------------------------------------------------------------------------------------------------

    def _hear_workers(self) -> None:
        for _ in range(CHANGES_MAX):
            change = ksr_locations.take(self._ksr)
            if change is None:
                return
            self._untold[change.name] = _both(self._untold.get(change.name), change)

    def _tell(self, now_s: int) -> None:
        """Tell Redis of our lines. What it was not told stays."""
        for name in list(self._untold)[:CHANGES_MAX]:
            change = self._untold[name]
            here = ksr_locations.bound(self._ksr, name, self._settings.node)
            put = [each.location for each in here if each.location.contact in change.put]
            gone = change.gone
            if change.is_all:
                known = redis_locations.read(self._store, [name], now_s)[name]
                gone = tuple({*gone, *(location.contact for location in known)} - {each.contact for each in put})
            redis_locations.put(self._store, name, self._settings.node, now_s, put, gone)
            del self._untold[name]

    # From Redis -------------------------------------------------------------------------------------------------------

    def _follow(self, now_s: int) -> None:
        """Hear what other nodes have changed; begin with all there is, where it is not known how far we are."""
        if not self._after:
            self._reading = _Reading(redis_locations.server(self._store))
            _, self._after = redis_locations.ends(self._store)
            return
        entries = redis_locations.moved(self._store, self._after)
        others = [entry for entry in entries if entry.node != self._settings.node]
        rows = redis_locations.read(self._store, sorted({entry.name for entry in others}), now_s)
        for entry in others:
            self._let_go(entry.name, set(entry.gone) - {location.contact for location in rows[entry.name]})
        self._want(rows)
        if entries:
            self._after = entries[-1].at

    def _let_go(self, name: str, gone: set[str]) -> None:
        """Take contacts of a line away; one whose REGISTER is on its way is looked at again when it is answered."""
        ksr_locations.remove(self._ksr, name, gone)
        self._waiting = deque(each for each in self._waiting if not each.is_of(name, gone))
        for serial, sent in self._sent.items():
            if sent.wanted.is_of(name, gone):
                self._sent[serial] = sent._replace(is_gone=True)

    def _look_again(self, now_s: int) -> None:
        """Take away what the registrar took after it had gone, unless it has come back."""
        rows = redis_locations.read(self._store, sorted(self._doubted), now_s)
        for name, contacts in self._doubted.items():
            ksr_locations.remove(self._ksr, name, contacts - {location.contact for location in rows[name]})
        self._doubted.clear()

    def _read_on(self, now_s: int) -> None:
        """Read some more of all there is, once the registrar has been told of most of what was read before."""
        if self._reading is None or len(self._waiting) >= READ_MAX:
            return
        if not self._reading.names:
            self._reading = self._turned(self._reading, now_s)
        names, rest = self._reading.names[:READ_MAX], self._reading.names[READ_MAX:]
        self._want(redis_locations.read(self._store, names, now_s))
        self._reading = None if self._reading.is_last and not rest else self._reading._replace(names=rest)

    def _turned(self, reading: _Reading, now_s: int) -> _Reading:
        """Return the next page; where another server answers now, nothing yet: its first page comes next."""
        names, cursor = redis_locations.registered(self._store, reading.cursor, now_s)
        server = redis_locations.server(self._store)
        if server != reading.server:
            return _Reading(server)
        return _Reading(server, cursor, tuple(names), is_last=cursor == redis_locations.FIRST_PAGE)

    def _check_place(self) -> None:
        """Read all again where changes were missed, or where Redis has begun anew."""
        first, last = map(redis_locations.order, redis_locations.ends(self._store))
        here = redis_locations.order(self._after or redis_locations.BEGINNING)
        if here < first or here > last:
            self._after = ""

    def _want(self, rows: dict[str, tuple[Location, ...]]) -> None:
        """Let the registrar have what it does not know, or knows as older."""
        for name, locations in rows.items():
            here = {each.location.contact: each.location for each in ksr_locations.bound(self._ksr, name)}
            for location in locations:
                known = here.get(location.contact)
                if known is None or known.expires_s < location.expires_s or known.received != location.received:
                    self._waiting.append(_Wanted(name, location, self._reading is not None))

    def _register(self, now_ns: int, now_s: int) -> None:
        for serial, sent in list(self._sent.items()):
            if now_ns - sent.at_ns > AGAIN_NS:
                del self._sent[serial]
                if sent.tries < TRIES_MAX and not sent.is_gone:
                    self._send(sent.wanted, now_ns, now_s, sent.tries + 1)
        while self._waiting and len(self._sent) < AT_ONCE:
            self._send(self._waiting.popleft(), now_ns, now_s, 1)

    def _send(self, wanted: _Wanted, now_ns: int, now_s: int, tries: int) -> None:
        name, location, _ = wanted
        if location.expires_s <= now_s:
            return
        serial = secrets.token_hex(8)
        settings = self._settings
        message = ksr_locations.signed_register(name, location, settings.node, now_s, serial, settings.secret)
        self._sent[serial] = _Sent(wanted, now_ns, tries)
        self._wire.send(location, message)

    def _hear_answers(self) -> None:
        for answer in self._wire.answers():
            sent = self._sent.pop(answer.partition("branch=z9hG4bK")[2][:16], None)
            if sent and not answer.startswith("SIP/2.0 200"):
                self.refused += 1
            elif sent and sent.is_gone:
                self._doubted.setdefault(sent.wanted.name, set()).add(sent.wanted.location.contact)


def _both(before: Change | None, change: Change) -> Change:
    """Return two changes of a line as one: what came last of a contact counts."""
    if before is None:
        return change
    put = {*(set(before.put) - set(change.gone)), *change.put}
    gone = {*(set(before.gone) - set(change.put)), *change.gone}
    return Change(change.name, tuple(sorted(put)), tuple(sorted(gone)), before.is_all or change.is_all)


def _place(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)
