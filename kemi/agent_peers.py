"""The node agent's part that speaks with carriers' servers outside calls: are they up, and do they know where we are.

Rule 1: which servers, is read from Redis whenever the configuration has changed; without Redis what was read counts.
Rule 2: a server that answers calls is up, whatever becomes of OPTIONS (ksr_shared).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol

from kemi import keys
from kemi.adapters import ksr_ask, ksr_noc, ksr_shared
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_queue import LoginAnswered, Message, ProbeAnswered
from kemi.agent_logins import Account, Logins
from kemi.agent_watch import AGAIN_NS, Place, Watch
from kemi.core.hunt import SIP_PORT
from kemi.core.outcome import Need
from kemi.core.request import SipUri
from kemi.core.targets import escaped
from kemi.records import PeeringGroup, Peers, PeerServer
from kemi.settings import Settings

FETCH_MAX: Final = 20  # groups with all that they lead to
_TOKEN_BYTES: Final = 16


class Store(Protocol):
    """What is needed of redis_tables.Tables."""

    records: Mapping[str, object]

    def fetch(self, need: Need, /) -> None:
        """Learn records. Raises StoreUnavailable."""


class PeerWatch:
    """Probes and registrations of a node. new_token: hex characters that nobody can guess."""

    def __init__(self, ksr: Ksr, settings: Settings, store: Store, new_token: Callable[[], str] | None = None) -> None:
        self._ksr = ksr
        self._settings = settings
        self._store = store
        self._new_token = new_token or _random_token
        self._watch = Watch()
        self._logins = Logins()
        self._seen_pass = -1
        self._again_ns = 0

    def follow(self, config_pass: int, now_ns: int) -> None:
        """Read which servers there are, if the configuration has changed. Raises StoreUnavailable: it comes again."""
        if config_pass == self._seen_pass:
            return
        groups = self._groups()
        self._seen_pass = config_pass
        enabled = [(group, server) for group in groups for server in group.servers if _is_there(group, server)]
        probed = [self._place(group, server) for group, server in enabled if server.probe]
        for server_id in self._watch.follow(probed, self._new_token(), now_ns):
            ksr_shared.welcome_back(self._ksr, server_id)
        accounts = (self._account(group, server) for group, server in enabled)
        self._logins.follow((account for account in accounts if account), self._new_token(), now_ns)

    def turn(self, now_ns: int) -> None:
        """Send what is due, and let who does not answer be passed over."""
        self._send((*self._watch.due(now_ns), *self._logins.due(now_ns)))
        if now_ns >= self._again_ns:
            self._again_ns = now_ns + AGAIN_NS
            for server_id in self._watch.down():
                ksr_shared.pass_over(self._ksr, server_id)

    def heard(self, message: Message, now_ns: int, now_ms: int) -> bool:
        """Hear a message, if it is for us; tell whether it was."""
        if isinstance(message, LoginAnswered):
            self._send(self._logins.answered(message, self._new_token(), now_ns, now_ms))
            return True
        if not isinstance(message, ProbeAnswered):
            return False
        watched = self._watch.answered(message, now_ns)
        if watched is None:
            return False
        if watched.is_down:
            ksr_shared.pass_over(self._ksr, watched.place.server_id)
        elif not watched.silent:
            ksr_shared.welcome_back(self._ksr, watched.place.server_id)
        return True

    def publish(self, now_ms: int) -> None:
        """Tell the NOC how they are."""
        ksr_noc.publish_peers(self._ksr, {"probes": self._watch.rows(), "logins": self._logins.rows(now_ms)})

    def _send(self, asks: Iterable[ksr_ask.Ask]) -> None:
        for ask in asks:
            if not ksr_ask.send(self._ksr, ask):  # then it is not answered, which is heard of in time
                self._ksr.err(f"agent: {ask.method} to {ask.next_hop} could not be sent\n")

    def _groups(self) -> list[PeeringGroup]:
        self._store.fetch(Need((keys.PEERS,)))
        peers = self._store.records.get(keys.PEERS)
        names = [keys.peering_group(group_id) for group_id in (peers.group_ids if isinstance(peers, Peers) else ())]
        unknown = [name for name in names if name not in self._store.records]
        for at in range(0, len(unknown), FETCH_MAX):
            self._store.fetch(Need(tuple(unknown[at : at + FETCH_MAX])))
        found = (self._store.records.get(name) for name in names)
        return [group for group in found if isinstance(group, PeeringGroup)]

    def _place(self, group: PeeringGroup, server: PeerServer) -> Place:
        port = server.port or SIP_PORT
        host = str(SipUri("sip", "", server.address, port)).partition(":")[2]
        next_hop = f"sip:{host};transport={server.transport or 'udp'}"
        ours = f"sip:{self._own(server)}"
        return Place(server.id, f"{group.name}/{server.name}", host, next_hop, server.socket, ours)

    def _account(self, group: PeeringGroup, server: PeerServer) -> Account | None:
        login = server.login
        if login is None or not login.register_s:
            return None
        domain = str(SipUri("sip", "", server.identity.host or server.address)).partition(":")[2]
        user, contact_user = escaped(login.username), escaped(login.contact_user or login.username)
        transport = f";transport={server.transport}" if server.transport not in ("", "udp") else ""
        contact = f"sip:{contact_user}@{self._own(server)}{transport}"
        return Account(self._place(group, server), login, f"sip:{user}@{domain}", contact)

    def _own(self, server: PeerServer) -> str:
        """Return our address and port, as the server sees them."""
        if server.socket:
            return server.socket.partition(":")[2]
        return self._settings.listen6 if ":" in server.address else self._settings.listen


def _is_there(group: PeeringGroup, server: PeerServer) -> bool:
    return group.enabled and server.enabled and bool(server.address)


def _random_token() -> str:
    return secrets.token_hex(_TOKEN_BYTES)
