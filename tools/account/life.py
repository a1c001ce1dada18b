"""The life of an account: `tandem account move|suspend|resume|close|remove`.

Each is one transaction of one function of the database; sql/README.md says what it does to calls, money, numbers,
lines and history.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import psycopg
import typer

from tools.account.amounts import decimal
from tools.account.find import Account, find, find_billed
from tools.account.options import Actor, As, DatabaseUrl, Json, Who
from tools.errors import OperatorError
from tools.printable import counted
from tools.session import Connection, Session, find_account, session
from tools.tenant.catalogue import resource
from tools.tenant.naming import find_reference

To = Annotated[str, typer.Option("--to", metavar="ACCOUNT", help="Its new parent: id, name or path.")]
Tariff = Annotated[
    str, typer.Option(metavar="TARIFF", help="What the new parent charges it: one of that one's tariffs.")
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it; else it is only said what would be done.")]

_SUSPENDED_ABOVE: Final = """
select a.id, a.name, a.status from tandem.chain(%s) as link join tandem.account a on a.id = link.account_id
 where a.status <> 'active' and link.distance > 0 order by link.distance
"""
_CHAIN: Final = "select link.account_id from tandem.chain(%s) as link"
_LEFT: Final = "select c.scale from tandem.currency c where c.code = %s"


def move(
    who: Who, database_url: DatabaseUrl, *,
    to: To, tariff: Tariff, actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Move an account with all below it to another parent.

    Its balance, numbers, lines and history go along; rights that the new parent lacks are taken. Calls in progress end
    under the old parent, at their old prices. What it uses of the old parent, such as a domain, must be left before.
    """
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        account = find_billed(own.connection, who)
        parent = find_account(own.connection, to, "to")
        _insist_on_place(own.connection, account, find(own.connection, str(parent.id)))
        tariff_id = find_reference(own.connection, resource("account").field("tariff"), tariff, parent.id)
        arguments = (account.id, parent.id, tariff_id)
        ((done,),) = own.connection.execute("select tandem.move_account_v1(%s, %s, %s)", arguments).fetchall()
        moved = _amounts(own.connection, done["moved"])
    row = {
        "account": account.id,
        "name": account.name,
        "before": account.parent,
        "parent": parent.name,
        "moved": moved,
        "rights_taken": done["rights"],
    }
    if as_json:
        typer.echo(json.dumps(row))
        return
    typer.echo(f"account {account.id} {account.name}: below {account.parent or 'another'} → below {parent.name}")
    for each in moved:
        typer.echo(f"its balance of {each['amount']} {each['currency']} is with {parent.name} now")
    if done["rights"]:
        typer.echo(f"rights that {parent.name} has not are taken: {', '.join(done['rights'])}")


def suspend(
    who: Who, database_url: DatabaseUrl, *, actor: Actor = "", as_account: As = "", as_json: Json = False
) -> None:
    """Suspend an account with all below it: no new calls, none to its numbers, no registrations.

    A call in progress gets no more time: it ends when what it holds is talked. Emergency calls pass.
    """
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        row = _set(own, find_billed(own.connection, who), "select tandem.suspend_account_v1(%s)")
    _print(row, as_json=as_json)


def resume(
    who: Who, database_url: DatabaseUrl, *, actor: Actor = "", as_account: As = "", as_json: Json = False
) -> None:
    """End the suspension of an account. Those below it that are suspended themselves stay so."""
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        row = _set(own, find_billed(own.connection, who), "select tandem.resume_account_v1(%s)")
    _print(row, as_json=as_json)


def close(
    who: Who, database_url: DatabaseUrl, *,
    yes: Yes = False, actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Close an account with all below it, for ever.

    Its lines are closed, its domains and carriers disabled, its trusted sources and rights gone; its numbers go to its
    parent. A call in progress gets no more time. What money is left is shown: `account adjust` pays it out.
    """
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        account = find_billed(own.connection, who)
        ((done,),) = own.connection.execute("select tandem.close_account_v1(%s)", (account.id,)).fetchall()
        balances = _amounts(own.connection, done["balances"])
        if not yes:
            raise psycopg.Rollback
    row = {"account": account.id, "name": account.name, **done, "balances": balances, "done": yes}
    if as_json:
        typer.echo(json.dumps(row))
        return
    typer.echo(
        f"account {account.id} {account.name}: {counted(done['accounts'], 'account')} and"
        f" {counted(done['lines'], 'line')} {_are(yes)} closed"
    )
    if done["numbers"]:
        typer.echo(f"numbers that go to {account.parent or 'its parent'}: {', '.join(done['numbers'])}")
    for each in balances:
        typer.echo(f"left with account {each['account']}: {each['amount']} {each['currency']}")
    _say_yes(yes)


def remove(
    who: Who, database_url: DatabaseUrl, *,
    yes: Yes = False, actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Remove an account with all below it and all that is theirs: closed for 30 days, and never billed for anything."""
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        account = find_billed(own.connection, who)
        ((count,),) = own.connection.execute("select tandem.remove_account_v1(%s)", (account.id,)).fetchall()
        if not yes:
            raise psycopg.Rollback
    if as_json:
        typer.echo(json.dumps({"account": account.id, "name": account.name, "accounts": count, "done": yes}))
        return
    typer.echo(
        f"account {account.id} {account.name}: {counted(count, 'account')} {_are(yes, count)} removed,"
        " with all that is theirs"
    )
    _say_yes(yes)


def _insist_on_place(connection: Connection, account: Account, parent: Account) -> None:
    """Raise OperatorError for a parent that cannot have the account below it."""
    if parent.kind == "customer":
        raise OperatorError(f"to: {parent.name} is a customer and has none below it")
    above = {each for (each,) in connection.execute(_CHAIN, (parent.id,)).fetchall()}
    if account.id != parent.id and account.id in above:
        raise OperatorError(f"to: {parent.name} is below {account.name}")


def _set(own: Session, account: Account, function: str) -> dict[str, Any]:
    own.connection.execute(function.encode(), (account.id,))
    after = find(own.connection, str(account.id))
    above = [dict(zip(("id", "name", "status"), row, strict=True))
             for row in own.connection.execute(_SUSPENDED_ABOVE, (account.id,)).fetchall()]  # fmt: skip
    return {
        "account": account.id,
        "name": account.name,
        "before": account.status,
        "status": after.status,
        "above": above,
    }


def _print(row: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(row))
        return
    typer.echo(f"account {row['account']} {row['name']}: {row['before']} → {row['status']}")
    for above in row["above"]:
        typer.echo(f"account {above['id']} {above['name']} above it is {above['status']}")


def _amounts(connection: Connection, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return rows with an amount in place of micros."""
    scales = {row["currency"]: connection.execute(_LEFT, (row["currency"],)).fetchall()[0][0] for row in rows}
    return [
        {**{name: value for name, value in row.items() if name != "micros"},
         "amount": decimal(row["micros"], scales[row["currency"]])}
        for row in rows
    ]  # fmt: skip


def _are(yes: bool, number: int = 2) -> str:
    """Return the verb of so many things, done or only planned."""
    return "would be" if not yes else "is" if number == 1 else "are"


def _say_yes(yes: bool) -> None:
    if not yes:
        typer.echo("nothing is done yet; --yes does it")
