"""`tandem subscriber passwd` and `move`, `tandem peering server login`: passwords, each bound to a name and a realm."""

from __future__ import annotations

from typing import Annotated, Any, Final

import typer
from psycopg import sql

from tools.account.options import Actor, As, DatabaseUrl
from tools.errors import OperatorError
from tools.printable import printable
from tools.session import Session, session
from tools.tenant.catalogue import resource
from tools.tenant.completion import rows
from tools.tenant.model import Resource
from tools.tenant.passwords import Hashes, asked, checked, hashes
from tools.tenant.read import Row, Where, find
from tools.tenant.write import told, touch

SUBSCRIBER: Final = resource("subscriber")
SERVER: Final = resource("server")

Who = Annotated[
    str, typer.Argument(metavar="USER@DOMAIN", help="Its address, or its id, #5.", autocompletion=rows(SUBSCRIBER))
]
Server = Annotated[str, typer.Argument(metavar="NAME", help="Its name, or its id, #5.", autocompletion=rows(SERVER))]
Peering = Annotated[str, typer.Option(help="Only of this carrier.", autocompletion=rows(resource("peering")))]
Nothing = Annotated[bool, typer.Option("--none", help="Take the password away; nothing is asked.")]
Username = Annotated[str, typer.Option(help="Our user name there.")]
Realm = Annotated[str, typer.Option(help="The realm of its challenges.")]
NewName = Annotated[str, typer.Option("--username", help="Its new user name; default: the one it has.")]
NewDomain = Annotated[
    str, typer.Argument(metavar="DOMAIN", help="Of its account or one above.", autocompletion=rows(resource("domain")))
]

_PASSWORD: Final = sql.SQL("update tandem.subscriber set ha1_md5 = %s, ha1_sha256 = %s where id = %s")
_LOGIN: Final = sql.SQL(
    "update tandem.peering_server set login_username = %s, login_realm = %s, login_ha1 = %s where id = %s"
)
_MOVE: Final = "select tandem.move_subscriber_v1(%s, %s, %s, %s, %s)"


def passwd(
    who: Who, database_url: DatabaseUrl, *, none: Nothing = False, as_account: As = "", actor: Actor = ""
) -> None:
    """Set the password of a subscriber: typed twice on a terminal, or the first line of stdin.

    Only hashes of it are kept, HA1 by MD5 and by SHA-256; its realm is the domain.
    """
    with session(database_url, as_account=as_account, actor=actor) as acting:
        row = find(acting.connection, SUBSCRIBER, who, Where())
        given = None if none else _asked(str(row.values["username"]), str(row.values["domain"]))
        _write(acting, SUBSCRIBER, row, _PASSWORD, given or (None, None))
    typer.echo(f"subscriber #{row.primary[0]} {row.name(SUBSCRIBER)}: {'no password' if none else 'password set'}")


def move(
    who: Who, domain: NewDomain, database_url: DatabaseUrl, *,
    username: NewName = "", none: Nothing = False, as_account: As = "", actor: Actor = "",
) -> None:  # fmt: skip
    """Move a subscriber to another domain or user name, with a new password: the old one's hashes hold for neither.

    --none is for a line without a password.
    """
    with session(database_url, as_account=as_account, actor=actor) as acting:
        row = find(acting.connection, SUBSCRIBER, who, Where())
        target = find(acting.connection, resource("domain"), domain, Where())
        name = SUBSCRIBER.field("username").read(username or row.values["username"])
        given = None if none else _asked(name, str(target.values["name"]))
        with told(acting, SUBSCRIBER, {"username": name, "domain": target.values["name"]}):
            arguments = (row.primary[0], target.primary[0], *(given or (None, None)), name)
            ((address,),) = acting.connection.execute(_MOVE, arguments).fetchall()
    password = "" if none else ", with the new password"
    typer.echo(f"subscriber #{row.primary[0]}: {row.name(SUBSCRIBER)} → {address}{password}")


def login(  # noqa: PLR0913  one parameter per option
    who: Server, database_url: DatabaseUrl, *,
    peering: Peering = "", username: Username = "", realm: Realm = "", none: Nothing = False,
    as_account: As = "", actor: Actor = "",
) -> None:  # fmt: skip
    """Set our name and password at a carrier's server: typed twice on a terminal, or the first line of stdin."""
    given = {"username": username, "realm": realm}
    if missing := [name for name, text in given.items() if not text and not none]:
        raise OperatorError(f"{missing[0]}: is missing; say --username and --realm, or --none for no login")
    with session(database_url, as_account=as_account, actor=actor) as acting:
        where = Where()
        if peering:
            where = Where(parent_id=find(acting.connection, resource("peering"), peering, where).primary[0])
        row = find(acting.connection, SERVER, who, where)
        values = (None, None, None) if none else (username, realm, _carriers(row, username, realm).md5)
        _write(acting, SERVER, row, _LOGIN, values)
    said = "no login" if none else f"login as {username} in {realm}"
    typer.echo(printable(f"server #{row.primary[0]} {row.name(SERVER)} of {row.parent}: {said}"))


def _asked(username: str, realm: str) -> Hashes:
    """Return the hashes of a line's new password. realm: its domain. Raises OperatorError."""
    return hashes(username, realm, checked(asked(f"{username}@{realm}"), username))


def _carriers(row: Row, username: str, realm: str) -> Hashes:
    """Return the hashes of the password that a carrier gave us, however weak. Raises OperatorError for an empty one."""
    password = asked(f"{username} at {row.name(SERVER)}")
    if not password:
        raise OperatorError("password: is empty")
    return hashes(username, realm, password)


def _write(acting: Session, of: Resource, row: Row, statement: sql.SQL, values: tuple[Any, ...]) -> None:
    with told(acting, of, {}):
        touch(acting.connection, of, row, statement, [*values, row.primary[0]])
