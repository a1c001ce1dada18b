"""`tandem carrier names`: what the names of carriers' servers stand for, and which of them are in trouble."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, Final, NamedTuple

import typer
from psycopg.rows import class_row

from tools.account.options import As, DatabaseUrl, Json
from tools.account.tables import show_table
from tools.session import session

_NAMES: Final = """
select g.name as carrier, s.id as server_id, s.name as server, s.host, s.port, s.transport,
       array(select host(a.address) from tandem.peering_server_address a where a.server_id = s.id order by a.address)
         as addresses, l.fault, l.since
  from tandem.peering_server s
  join tandem.peering_group g on g.id = s.group_id
  left join tandem.peering_server_lookup l on l.server_id = s.id and l.host = s.host
 where s.host is not null
 order by g.name, s.name, s.id
"""
NEVER: Final = "not looked up yet: tandem sync does it"


class Named(NamedTuple):
    """A server with a name. addresses: the first is sent to, calls from any are the carrier's.

    fault: None = it was never looked up. since: when it came to be so.
    """

    carrier: str
    server_id: int
    server: str
    host: str
    port: int
    transport: str
    addresses: list[str]
    fault: str | None
    since: datetime | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as programs read it."""
        fault = NEVER if self.fault is None else self.fault
        return {**self._asdict(), "fault": fault, "since": self.since.isoformat() if self.since else None}

    def state(self) -> str:
        """Return it in words."""
        if self.fault == "":
            return "found"
        kept = "the last addresses stay" if self.addresses else "it gets no calls"
        since = f", since {self.since:%Y-%m-%d %H:%M:%S %Z}" if self.since else ""
        return f"{self.fault or NEVER}; {kept}{since}"


def names(database_url: DatabaseUrl, *, as_account: As = "", as_json: Json = False) -> None:
    """List the servers that have names, what these stand for, and what is wrong with them."""
    with session(database_url, as_account=as_account, program="tandem carrier") as own:
        found = own.connection.cursor(row_factory=class_row(Named)).execute(_NAMES).fetchall()
    if as_json:
        typer.echo(json.dumps([each.as_dict() for each in found]))
        return
    columns = ("carrier", "server", "name", "addresses", "state")
    rows = [
        {
            "carrier": each.carrier,
            "server": f"{each.server_id} {each.server}",
            "name": f"{each.host}:{each.port}/{each.transport}",
            "addresses": ", ".join(each.addresses) or "none",
            "state": each.state(),
        }
        for each in found
    ]
    show_table({name: name for name in columns}, rows)
