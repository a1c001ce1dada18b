"""`tandem subscriber registrations`: the phones of the lines that the acting account sees, as all nodes know them.

Rule: who asks for all lines waits for those that are registered, not for all that there are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from kemi.records import Location
from tools.account.options import Actor, As, DatabaseUrl
from tools.account.tables import show_table
from tools.errors import OperatorError, not_set
from tools.printable import counted
from tools.session import Connection, session
from tools.tenant.actions import PAGE
from tools.tenant.catalogue import resource
from tools.tenant.completion import rows
from tools.tenant.read import Where, find

if TYPE_CHECKING:
    from kemi.adapters.redis_client import RedisClient

SUBSCRIBER: Final = resource("subscriber")
TIMEOUT_MS: Final = 5_000
AT_ONCE: Final = 500  # lines whose phones are read in one round trip
COLUMNS: Final = {
    "line": "line",
    "contact": "contact",
    "received": "called at",
    "path": "path",
    "seconds": "seconds left",
    "user_agent": "user agent",
    "node": "node",
}
_SEEN: Final = """
select s.username || '@' || d.name
  from unnest(%s::text[], %s::text[]) as n(username, domain)
  join tandem.sip_domain d on d.name = n.domain
  join tandem.subscriber s on s.sip_domain_id = d.id and s.username = n.username
"""

Line = Annotated[
    str,
    typer.Argument(metavar="[USER@DOMAIN]", help="Only of this line, or its id, #5.", autocompletion=rows(SUBSCRIBER)),
]
RedisUrl = Annotated[str, typer.Option(envvar="REDIS_URL", help="Where the registrations of all nodes are.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]
Most = Annotated[int | None, typer.Option("--limit", min=1, help=f"At most so many; default: {PAGE}, with --json all.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]


def registrations(  # noqa: PLR0913  one parameter per option
    database_url: DatabaseUrl, line: Line = "", *,
    limit: Most = None, everything: All = False, redis_url: RedisUrl = "", as_json: Json = False,
    as_account: As = "", actor: Actor = "",
) -> None:  # fmt: skip
    """List the phones that are registered: contact, where calls go, for how long, user agent and node."""
    if not redis_url:
        raise not_set("REDIS_URL")
    most = None if everything else limit or (None if as_json else PAGE)
    from kemi.adapters.redis_client import RedisClient, StoreUnavailable  # noqa: PLC0415  no other command needs Redis

    now_s = int(time.time())
    with (
        session(database_url, as_account=as_account, actor=actor) as acting,
        closing(RedisClient(redis_url, TIMEOUT_MS)) as client,
    ):
        try:
            names = [_line(acting.connection, line)] if line else _registered(acting.connection, client, now_s)
            found = list(islice(_phones(client, names, now_s), None if most is None else most + 1))
        except StoreUnavailable as error:
            raise OperatorError(f"REDIS_URL: Redis does not answer: {error}") from error
    shown = [_told(name, each, now_s) for name, each in found[:most]]
    if as_json:
        typer.echo(json.dumps(shown))
        return
    show_table(COLUMNS, shown)
    if len(found) > len(shown):
        typer.echo(f"the first {counted(len(shown), 'phone')} of {counted(len(names), 'line')}; --all shows the others")


def _line(connection: Connection, text: str) -> str:
    user, at, domain = text.rpartition("@")
    values = find(connection, SUBSCRIBER, f"{user}{at}{domain.lower() if at else domain}", Where()).values
    return f"{values['username']}@{values['domain']}"


def _registered(connection: Connection, client: RedisClient, now_s: int) -> list[str]:
    """Return the lines that are registered now and that the acting account sees, by name. Raises StoreUnavailable."""
    from kemi.adapters import redis_locations  # noqa: PLC0415  as above

    found: set[str] = set()
    cursor = redis_locations.FIRST_PAGE
    while True:
        some, cursor = redis_locations.registered(client, cursor, now_s)
        found.update(some)
        if cursor == redis_locations.FIRST_PAGE:
            break
    pairs = [name.rpartition("@")[::2] for name in found]
    seen = connection.execute(_SEEN, ([user for user, _ in pairs], [domain for _, domain in pairs])).fetchall()
    return sorted(name for (name,) in seen)


def _phones(client: RedisClient, names: Sequence[str], now_s: int) -> Iterator[tuple[str, Location]]:
    """Yield lines with each of their phones. Raises StoreUnavailable."""
    from kemi.adapters import redis_locations  # noqa: PLC0415  as above

    for start in range(0, len(names), AT_ONCE):
        some = names[start : start + AT_ONCE]
        found = redis_locations.read(client, some, now_s)
        yield from ((name, each) for name in some for each in found[name])


def _told(name: str, location: Location, now_s: int) -> dict[str, Any]:
    return {
        "line": name,
        "contact": location.contact,
        "received": location.received,
        "path": location.path,
        "seconds": location.expires_s - now_s,
        "user_agent": location.user_agent,
        "node": location.node,
        "q": location.q / 1000 if location.q >= 0 else None,
        "call_id": location.call_id,
        "instance": location.instance,
    }
