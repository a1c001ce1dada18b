"""Locks: what an account and all below it may not do, set by a person or by a crossed threshold.

Rule: a threshold only raises a lock; it is lowered by a person alone, with a note.
"""

from __future__ import annotations

import json
from typing import Annotated, Final, NamedTuple

import typer

from tools.account.find import Account, find_billed
from tools.account.options import Actor, As, DatabaseUrl, Json, Note, Who
from tools.errors import OperatorError
from tools.session import Connection, Session, session

NONE: Final = "none"
LEVELS: Final = {
    "foreign": "no calls that leave to carriers",
    "outgoing": "no calls of theirs at all",
    "all": "no calls of theirs, and none to them",
    "global": "no calls of theirs, none to them, and no registrations",
}

Level = Annotated[
    str, typer.Argument(metavar="LEVEL", help="; ".join(f"{name}: {what}" for name, what in LEVELS.items()) + ".")
]

_ABOVE: Final = """
select a.id, a.name, a.lock from tandem.chain(%s) as link join tandem.account a on a.id = link.account_id
 where a.lock <> 'none' and link.distance > 0 order by link.distance
"""


class Done(NamedTuple):
    """A lock as it was set. above: the locks of accounts above, nearest first, as far as they are seen."""

    account: int
    name: str
    before: str
    lock: str
    above: list[dict[str, object]]


def lock(
    who: Who, level: Level, database_url: DatabaseUrl, *,
    note: Note, actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Lock an account and all below it, saying why. Calls that go on are not ended; emergency calls pass."""
    known_level(level)
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        done = _set(own, find_billed(own.connection, who), level, note)
    _print(done, as_json=as_json)


def unlock(
    who: Who, database_url: DatabaseUrl, *, note: Note, actor: Actor = "", as_account: As = "", as_json: Json = False
) -> None:
    """Take an account's lock away, saying why. A lock of an account above it stays in force."""
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        done = _set(own, find_billed(own.connection, who), NONE, note)
    _print(done, as_json=as_json)


def known_level(text: str) -> str:
    """Return a level of locks. Raises OperatorError naming the four."""
    if text not in LEVELS:
        raise OperatorError(f"lock: {text[:40]!r} is not one of {', '.join(LEVELS)}")
    return text


def locks_above(connection: Connection, account: Account) -> list[dict[str, object]]:
    """Return the locks of accounts above, nearest first: they bind this account too."""
    rows = connection.execute(_ABOVE, (account.id,)).fetchall()
    return [{"id": row[0], "name": row[1], "lock": row[2]} for row in rows]


def _set(own: Session, account: Account, level: str, note: str) -> Done:
    arguments = (account.id, level, own.actor, note)
    ((before,),) = own.connection.execute("select tandem.lock_v1(%s, %s, %s, %s)", arguments).fetchall()
    return Done(account.id, account.name, before, level, locks_above(own.connection, account))


def _print(done: Done, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(done._asdict()))
        return
    typer.echo(f"account {done.account} {done.name}: lock {done.before} → {done.lock}{sentence(done.lock)}")
    for row in done.above:
        typer.echo(f"still locked by account {row['id']} {row['name']} above it: {row['lock']}")


def sentence(level: str) -> str:
    """Return what a lock forbids, as the end of a line; "" for none."""
    return f": {LEVELS[level]}, except emergency calls" if level in LEVELS else ""
