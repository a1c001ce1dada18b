"""Thresholds: amounts whose crossing gives one alert, and locks where it is told to: `tandem account threshold`."""

from __future__ import annotations

import json
from typing import Annotated, Any, Final

import typer

from tools.account.amounts import decimal, exact_micros, micros
from tools.account.find import Account, find_billed
from tools.account.locks import known_level
from tools.account.options import SIGNED, Actor, As, DatabaseUrl, Json, Who
from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.session import Connection, session

KINDS: Final = {
    "balance": "the balance falls below the amount",
    "day": "the calls of a day cost the amount",
    "month": "the calls of a month cost the amount",
}

threshold = typer.Typer(no_args_is_help=True, help="Amounts whose posted crossing gives one alert.")

Kind = Annotated[str, typer.Argument(metavar="KIND", help="; ".join(f"{k}: {what}" for k, what in KINDS.items()) + ".")]
Limit = Annotated[str, typer.Argument(metavar="AMOUNT", help="Such as 12.50; for a balance also 0 or less.")]
LockTo = Annotated[str, typer.Option("--lock", help="Also lock the account: foreign, outgoing, all or global.")]
Id = Annotated[int, typer.Argument(metavar="ID", help="As `tandem account threshold list` shows it.")]

_THRESHOLDS: Final = """
select t.id, t.account_id, t.kind, t.amount_micros, t.currency, c.scale, t.lock
  from tandem.threshold t join tandem.currency c on c.code = t.currency
 where t.account_id = %s order by t.id
"""
_ADD: Final = """
insert into tandem.threshold(account_id, currency, kind, amount_micros, lock) values (%s, %s, %s, %s, %s)
on conflict do nothing returning id
"""


@threshold.command("add", context_settings=SIGNED)
def add(  # noqa: PLR0913  one parameter per option
    who: Who, kind: Kind, amount: Limit, database_url: DatabaseUrl, *,
    lock: LockTo = "", actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Watch an account: one alert each time that the amount is crossed; of a day or month, once in each."""
    if kind not in KINDS:
        raise OperatorError(f"kind: {kind[:40]!r} is not one of {', '.join(KINDS)}")
    limit = exact_micros(amount, "amount") if kind == "balance" else micros(amount)
    level = known_level(lock) if lock else None
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        account = find_billed(own.connection, who)
        if account.status == "closed":
            raise OperatorError(f"account: {account.id} {account.name!r} is closed; there is nothing to watch")
        row = own.connection.execute(_ADD, (account.id, account.currency, kind, limit, level)).fetchone()
        if row is None:
            rule = f"watches {kind} at {account.amount(limit)} {account.currency} already"
            raise OperatorError(f"threshold: account {account.id} {account.name!r} {rule}")
        rows = [each for each in thresholds_of(own.connection, account) if each["id"] == row[0]]
    if as_json:
        typer.echo(json.dumps(rows[0]))
    else:
        _print(account, rows)


@threshold.command("list")
def list_thresholds(who: Who, database_url: DatabaseUrl, *, as_account: As = "", as_json: Json = False) -> None:
    """List what is watched of an account."""
    with session(database_url, as_account=as_account, program="tandem account") as own:
        account = find_billed(own.connection, who)
        rows = thresholds_of(own.connection, account)
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _print(account, rows)


@threshold.command("remove")
def remove(threshold_id: Id, database_url: DatabaseUrl, *, actor: Actor = "", as_account: As = "") -> None:
    """Stop watching. Alerts that were given stay; so does a lock, until a person lifts it."""
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        seen = own.connection.execute("select from tandem.threshold where id = %s", (threshold_id,)).rowcount
        gone = own.connection.execute("delete from tandem.threshold where id = %s", (threshold_id,)).rowcount
        if not seen:
            raise OperatorError(f"threshold: there is none with the id {threshold_id}")
        if not gone:
            raise OperatorError(f"threshold: {threshold_id} locks; only an account above removes it")
    typer.echo(f"threshold {threshold_id} is removed")


def thresholds_of(connection: Connection, account: Account) -> list[dict[str, Any]]:
    """Return the thresholds of an account as programs read them, oldest first."""
    columns = ("id", "account", "kind", "amount", "currency", "lock")
    rows = connection.execute(_THRESHOLDS, (account.id,)).fetchall()
    return [
        dict(zip(columns, (key, owner, kind, decimal(amount, scale), currency, lock), strict=True))
        for key, owner, kind, amount, currency, scale, lock in rows
    ]


def _print(account: Account, rows: list[dict[str, Any]]) -> None:
    if not rows:
        typer.echo(f"account {account.id} {account.name} has no thresholds")
        return
    columns = {"id": "id", "when": "alert when", "amount": "amount", "currency": "currency", "lock": "and lock"}
    show_table(columns, [{**row, "when": KINDS[row["kind"]]} for row in rows])
