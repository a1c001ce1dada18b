"""Servers with names, and what these stand for, in Postgres."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any, Final, NamedTuple, Self

import psycopg

from tools.database_url import checked
from tools.resolve.lookup import Address, Found

_SESSION: Final = (
    "SET ROLE tandem_sync",  # the least rights, whoever connects
    "SET search_path = pg_catalog",
    "SET lock_timeout = '2s'",  # somebody configures at length: the name has time
    "SET statement_timeout = '5s'",
)
_SERVERS: Final = """
select s.id, s.host, s.port, s.transport from tandem.peering_server s where s.host is not null order by s.id
"""
_INSERT: Final = """
insert into tandem.peering_server_address(server_id, address)
select s.id, %s::inet from tandem.peering_server s where s.id = %s and s.host = %s
on conflict do nothing
"""
_DELETE: Final = """
delete from tandem.peering_server_address a using tandem.peering_server s
 where a.server_id = %s and s.id = a.server_id and s.host = %s
   and a.address <> all (%s::inet[]) and family(a.address) = any (%s)
"""
_STATE: Final = """
insert into tandem.peering_server_lookup as l (server_id, host, fault)
select s.id, s.host, %s from tandem.peering_server s where s.id = %s and s.host = %s
on conflict (server_id) do update set host = excluded.host, fault = excluded.fault, since = now()
 where (l.host, l.fault) is distinct from (excluded.host, excluded.fault)
"""
FAULT_MAX: Final = 500
REFUSED: Final = (psycopg.IntegrityError, psycopg.DataError)


class Server(NamedTuple):
    """A server with a name."""

    id: int
    host: str
    port: int
    transport: str


class NameBook:
    """Postgres over a connection of its own, in autocommit mode. Every method may raise psycopg.Error."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    @classmethod
    def connect(cls, url: str) -> Self:
        """Connect, with the rights of the syncer."""
        made = psycopg.connect(checked(url), autocommit=True, connect_timeout=3, application_name="tandem resolve")
        try:
            for command in _SESSION:
                made.execute(command)
        except psycopg.Error:
            made.close()
            raise
        return cls(made)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def servers(self) -> list[Server]:
        """Return all servers with names."""
        return [Server(*row) for row in self._connection.execute(_SERVERS)]

    def note(self, server: Server, found: Found) -> str:
        """Keep what was found, and return what is wrong, "" if nothing is.

        The addresses of a family that DNS said nothing of stay, and all of them where nothing was found that may stay.
        """
        with self._connection.transaction():
            refusals = self._write(server, found) if found.addresses else []
            fault = "; ".join([*([found.fault] if found.fault else []), *refusals])[:FAULT_MAX]
            self._connection.execute(_STATE, (fault, server.id, server.host))
        return fault

    def _write(self, server: Server, found: Found) -> list[str]:
        """Write addresses that are new, remove those that are no more; return why some were refused."""
        query = "select host(address) from tandem.peering_server_address where server_id = %s"
        known = {ip_address(text) for (text,) in self._connection.execute(query, (server.id,))}
        refusals: dict[Address, str] = {}
        for address in found.addresses:
            if address not in known:
                try:
                    with self._connection.transaction():
                        self._connection.execute(_INSERT, (str(address), server.id, server.host))
                except REFUSED as error:
                    refusals[address] = f"{address} is left out: {error.diag.message_primary or type(error).__name__}"
        taken = [str(address) for address in found.addresses if address not in refusals]
        if taken:
            self._connection.execute(_DELETE, (server.id, server.host, taken, _listed(found.families)))
        return list(refusals.values())


def _listed(families: frozenset[int]) -> Sequence[int]:
    return sorted(families)
