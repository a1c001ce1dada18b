"""How carriers' servers are, asked by OPTIONS. No clock, no I/O.

Rule 1: any answer below 500 but 408 means that a server is up: also one that does not know OPTIONS.
Rule 2: an answer counts that comes from the server, to the last question, with a Call-ID that only the server has seen.
Rule 3: three times in a row none, or another one, means that it is down. A server in doubt is asked more often.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from kemi.adapters.ksr_ask import Ask
from kemi.adapters.ksr_queue import ProbeAnswered
from kemi.core.sides import host_of
from kemi.core.sources import same_address

NS: Final = 1_000_000_000
EVERY_NS: Final = 30 * NS
AGAIN_NS: Final = 5 * NS  # a server in doubt, and one that is down; also how long an answer may take
SILENT_MAX: Final = 3
SPREAD: Final = 50  # all begin with the node: 50 groups of them, 100 ms apart
UNHEARD: Final = 408
SICK_MIN: Final = 500


class Place(NamedTuple):
    """A server of a carrier as our requests reach it. host: its address, IPv6 in brackets. ours: our URI there."""

    server_id: int
    name: str
    host: str
    next_hop: str
    socket: str
    ours: str

    def is_at(self, ip: str) -> bool:
        """Tell whether an answer from this address can be the server's."""
        host = host_of(self.next_hop)
        return ip == host or same_address(ip, host)


def call_id_of(token: str, server_id: int, purpose: str) -> str:
    """Return the Call-ID of our requests to a server: who sees one knows nothing of those to others."""
    return hashlib.sha256(f"{token}-{server_id}-{purpose}".encode()).hexdigest()[:40]


@dataclass(slots=True)
class Watched:
    """One server. asked: an answer is awaited. silent: how often in a row there was none that counts."""

    place: Place
    call_id: str
    due_ns: int
    cseq: int = 0
    asked: bool = False
    silent: int = 0
    last_status: int = 0

    @property
    def is_down(self) -> bool:
        """Whether it is to be passed over."""
        return self.silent >= SILENT_MAX


class Watch:
    """All of them, of one node."""

    def __init__(self) -> None:
        self._watched: dict[int, Watched] = {}
        self._by_call: dict[str, int] = {}

    def follow(self, places: Iterable[Place], token: str, now_ns: int) -> list[int]:
        """Ask these from now on, and no others. token: nobody can guess it. Return those that may be down no more."""
        wanted = {place.server_id: place for place in places}
        gone = [known for known in self._watched if self._watched[known].place != wanted.get(known)]
        back = [server_id for server_id in gone if self._watched.pop(server_id).is_down]
        for number, (server_id, place) in enumerate(wanted.items()):
            if server_id not in self._watched:
                due_ns = now_ns + number % SPREAD * NS // 10
                self._watched[server_id] = Watched(place, call_id_of(token, server_id, "probe"), due_ns)
        self._by_call = {watched.call_id: server_id for server_id, watched in self._watched.items()}
        return back

    def answered(self, heard: ProbeAnswered, now_ns: int) -> Watched | None:
        """Hear an answer; return the server that gave it, None when it is none of ours, or none that counts."""
        watched = self._watched.get(self._by_call.get(heard.call_id, 0))
        if watched is None or heard.cseq != watched.cseq or not watched.place.is_at(heard.ip):
            return None
        status = watched.last_status = heard.status
        if status < SICK_MIN and status != UNHEARD:
            watched.silent, watched.asked, watched.due_ns = 0, False, now_ns + EVERY_NS
        elif watched.asked:
            watched.silent, watched.asked, watched.due_ns = watched.silent + 1, False, now_ns + AGAIN_NS
        return watched

    def due(self, now_ns: int) -> list[Ask]:
        """Return what to ask now."""
        asks: list[Ask] = []
        for watched in self._watched.values():
            if watched.due_ns > now_ns:
                continue
            if watched.asked:
                watched.silent, watched.last_status = watched.silent + 1, 0
            watched.asked, watched.due_ns = True, now_ns + AGAIN_NS
            watched.cseq += 1
            asks.append(_options(watched))
        return asks

    def down(self) -> list[int]:
        """Return the servers that are to be passed over."""
        return [server_id for server_id, watched in self._watched.items() if watched.is_down]

    def rows(self) -> list[dict[str, object]]:
        """Return how they are, for the NOC. status: of the last answer, 0 = none came."""
        return [
            {
                "server_id": server_id,
                "name": watched.place.name,
                "state": "down" if watched.is_down else "up" if watched.last_status else "asked",
                "status": watched.last_status,
                "unanswered": watched.silent,
            }
            for server_id, watched in self._watched.items()
        ]


def _options(watched: Watched) -> Ask:
    place, tag = watched.place, watched.call_id[:16]
    ruri = f"sip:{place.host}"
    return Ask("OPTIONS", ruri, place.next_hop, place.socket, place.ours, watched.call_id, tag, watched.cseq)
