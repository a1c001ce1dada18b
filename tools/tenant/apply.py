"""`tandem apply`: a tenant becomes what a file says of it, as a difference, in one transaction.

Rule 1: the plan that is shown is the plan that is written: it is made once more when all that it touches is held still.
Rule 2: nobody waits for a person: while one is asked no transaction is open.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import psycopg
import typer
from psycopg import sql

from tools.account.options import Actor, As, DatabaseUrl, Json
from tools.errors import OperatorError
from tools.session import Session, session
from tools.tenant.carry_out import carry_out
from tools.tenant.described import DESCRIBED, RIGHT
from tools.tenant.difference import Plan
from tools.tenant.document import Document, read_document
from tools.tenant.faults import Faults
from tools.tenant.order import steps
from tools.tenant.planned import Planned, as_dict, lines, planned, summary, why_ask
from tools.tenant.yaml_tree import read_file

File = Annotated[
    Path, typer.Argument(metavar="FILE", help="The description; `tandem schema` says what may stand there.")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would change, try it, and undo it.")]
Prune = Annotated[bool, typer.Option("--prune", help="Remove what the file leaves out of lists that it says.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask, whatever the plan takes away.")]

_LOCK_ACCOUNTS: Final = "select from tandem.account a where a.id = any (%s) order by a.id for no key update"


class _Wish(NamedTuple):
    """What the user asked for."""

    file: Path
    document: Document
    prune: bool

    def planned(self, acting: Session) -> Planned:
        """Return the plan as it is now. Raises OperatorError."""
        return planned(acting, self.document, Faults(str(self.file)), prune=self.prune)


def apply(  # noqa: PLR0913  one parameter per option
    file: File, database_url: DatabaseUrl, *,
    dry_run: DryRun = False, prune: Prune = False, yes: Yes = False,
    as_account: As = "", actor: Actor = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Make an account what a file says of it, and show each change: + new, ~ changed, - removed.

    What the file does not say stays as it is. All of it happens in one transaction, or nothing does.
    """
    wish = _Wish(file, read(file), prune)
    with session(database_url, as_account=as_account, actor=actor, program="tandem apply") as acting:
        made = wish.planned(acting)
        said = list(lines(made))  # now: it asks for names
        data = as_dict(made) if as_json else {}
        reason = "" if yes or dry_run else why_ask(made.plan)
        if not reason:
            _write(acting, wish, made)
        if dry_run:
            raise psycopg.Rollback
    if reason:
        _ask(made, said, reason, to_stderr=as_json)
        with session(database_url, as_account=as_account, actor=actor, program="tandem apply") as acting:
            _write(acting, wish, _unchanged(wish.planned(acting), made.plan))
    if as_json:
        applied = not dry_run and not made.plan.is_empty
        typer.echo(json.dumps({"applied": applied, **data}, default=str))
    else:
        _say(made, [] if reason else said, dry_run=dry_run)


def read(file: Path) -> Document:
    """Return what a file says. Raises OperatorError with each of its faults."""
    faults = Faults(str(file))
    document = read_document(read_file(file), faults)
    faults.check()
    assert document is not None  # noqa: S101  there was a fault else
    return document


def _write(acting: Session, wish: _Wish, made: Planned) -> None:
    """Write a plan, unless somebody else has changed what it is about.

    Raises OperatorError, also where the world would then not be as the file says.
    """
    if made.plan.is_empty:
        return
    _hold(acting, made)
    made = _unchanged(wish.planned(acting), made.plan)
    carry_out(acting, steps(made.plan), made.world, str(wish.file))
    acting.connection.execute("set constraints all immediate")
    _refuse_contradiction(acting, wish, made.plan)


def _refuse_contradiction(acting: Session, wish: _Wish, done: Plan) -> None:
    """Raise OperatorError where the world is not as the file says now.

    Only rights go with others that a file says: those of an account below go with those of the account.
    """
    if not any(change.at.resource == RIGHT.name for change in done.of("remove")):
        return
    left = wish.planned(acting)
    if not left.plan.is_empty:
        line = next(iter(lines(left)))
        raise OperatorError(f"{wish.file}: contradicts itself: when it is applied there is still to do: {line}")


def _hold(acting: Session, made: Planned) -> None:
    """Hold still the accounts, and the rows that change: in one order, so that two files wait in turn."""
    acting.connection.execute(_LOCK_ACCOUNTS, (sorted(made.world.ids.values()),))
    changed = made.plan.of("set")
    for name, resource in DESCRIBED.items():
        keys = sorted(change.stored.primary for change in changed if change.stored and change.at.resource == name)
        where = sql.SQL(" and ").join(sql.SQL("{} = %s").format(sql.Identifier(column)) for column in resource.primary)
        query = sql.SQL("select from tandem.{} where {} for no key update").format(
            sql.Identifier(resource.table), where
        )
        with acting.connection.cursor() as cursor:
            cursor.executemany(query, keys)


def _unchanged(made: Planned, before: Plan) -> Planned:
    """Return a plan that is the one before. Raises OperatorError when somebody else has changed what it is about."""
    if made.plan != before:
        raise OperatorError(
            "somebody else has changed what this file is about meanwhile; nothing is changed, apply again"
        )
    return made


def _ask(made: Planned, said: Sequence[str], reason: str, *, to_stderr: bool) -> None:
    """Show the plan and let a person decide. Raises OperatorError for a no, and where nobody can be asked."""
    for line in said:
        typer.echo(line, err=to_stderr)
    if not on_terminal():
        raise OperatorError(f"{summary(made)}: {reason}; nothing is changed: look at it, then say --yes")
    if not typer.confirm(f"{summary(made)}: {reason}. Go on?", err=to_stderr):
        raise OperatorError("nothing is changed")


def on_terminal() -> bool:
    """Whether a person can be asked."""
    return sys.stdin.isatty()


def _say(made: Planned, said: Sequence[str], *, dry_run: bool) -> None:
    for line in said:
        typer.echo(line)
    if made.plan.is_empty:
        typer.echo("nothing to change")
    else:
        typer.echo(f"{summary(made)}: {'tried and undone' if dry_run else 'done'}")
