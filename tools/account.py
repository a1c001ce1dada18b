"""`tandem account …`: accounts and their money, for operators.

Rule 1: money moves by ledger transactions alone; a balance is never set.
Rule 2: an amount is a decimal string and becomes micros exactly, or is refused; no float ever touches it.
"""

from __future__ import annotations

import getpass
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import Annotated, Any, Final, NamedTuple

import psycopg
import typer
from psycopg.rows import class_row, dict_row
from rich.console import Console
from rich.table import Table

from tools.errors import OperatorError

MICROS: Final = 1_000_000
MICROS_MAX: Final = 2**50
ENTRIES_SHOWN: Final = 20
AMOUNT: Final = re.compile(r"(\d{1,12})(?:\.(\d{1,6}))?", re.ASCII)

app = typer.Typer(no_args_is_help=True, help="Accounts, their balances, and payments outside of calls.")

DatabaseUrl = Annotated[str, typer.Option(envvar="DATABASE_URL", help="Where: postgresql://…")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; amounts as decimal strings.")]
Who = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Its id, or its name where only one has it.")]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="In the account's currency, such as 12.50.")]
Note = Annotated[str, typer.Option(help="Why, for people.")]
Actor = Annotated[str, typer.Option(envvar="TANDEM_ACTOR", help="Who does it; default: the login name.")]
Currency = Annotated[str, typer.Option(help="To be sure: the command refuses if the account's is another.")]
Request = Annotated[str, typer.Option(help="Name of this wish, such as an invoice number: repeated, it moves nothing.")]

_ACCOUNTS: Final = """
select a.id, a.name, coalesce(p.name, '') as parent, a.kind, a.status, a.currency, a.parent_id,
       coalesce(b.cred_micros, 0)::bigint as cred_micros, coalesce(b.charged_micros, 0)::bigint as charged_micros,
       coalesce(b.credit_limit_micros, 0)::bigint as credit_limit_micros
  from tandem.account a
  left join tandem.account p on p.id = a.parent_id
  left join tandem.fund_balance b on b.account_id = a.id and b.currency = a.currency
"""

_ENTRIES: Final = """
select posted_at, book, currency, amount_micros, coalesce(rid, '') as rid, note, actor
  from tandem.ledger_entry where account_id = %s order by posted_at desc, id limit %s
"""


class Account(NamedTuple):
    """An account with its fund in its own currency, as far as calls are posted. credit_limit_micros -1: unlimited."""

    id: int
    name: str
    parent: str
    kind: str
    status: str
    currency: str
    parent_id: int | None
    cred_micros: int
    charged_micros: int
    credit_limit_micros: int

    @property
    def balance_micros(self) -> int:
        """Return what was credited less what calls charged."""
        return self.cred_micros - self.charged_micros

    def as_dict(self) -> dict[str, Any]:
        """Return the account as programs read it."""
        return {
            "id": self.id,
            "name": self.name,
            "parent": self.parent,
            "kind": self.kind,
            "status": self.status,
            "currency": self.currency,
            "credited": decimal(self.cred_micros),
            "charged": decimal(self.charged_micros),
            "balance": decimal(self.balance_micros),
            "credit_limit": _limit(self),
        }


@app.command("list")
def list_accounts(database_url: DatabaseUrl, *, as_json: Json = False) -> None:
    """List all accounts with their balances."""
    with _connected(database_url) as connection:
        accounts = _accounts(connection, "order by a.id")
    if as_json:
        typer.echo(json.dumps([account.as_dict() for account in accounts]))
        return
    table = Table("id", "name", "parent", "kind", "status", box=None, pad_edge=False)
    for column in ("balance", "credit limit", ""):
        table.add_column(column, justify="right" if column else "left")
    for account in accounts:
        money = (
            ("", "", "")
            if account.kind == "root"
            else (decimal(account.balance_micros), _limit(account), account.currency)
        )
        table.add_row(str(account.id), account.name, account.parent, account.kind, account.status, *money)
    Console().print(table)


@app.command()
def show(who: Who, database_url: DatabaseUrl, *, as_json: Json = False) -> None:
    """Show an account and the last entries of its books."""
    with _connected(database_url) as connection:
        account = find(connection, who)
        cursor = connection.cursor(row_factory=dict_row)
        entries = cursor.execute(_ENTRIES, (account.id, ENTRIES_SHOWN)).fetchall()
    for entry in entries:
        entry["amount"] = decimal(entry.pop("amount_micros"))
        entry["posted_at"] = entry["posted_at"].isoformat(timespec="seconds")
    if as_json:
        typer.echo(json.dumps({**account.as_dict(), "entries": entries}))
        return
    for name, value in account.as_dict().items():
        typer.echo(f"{name.replace('_', ' '):13} {value}")
    table = Table("posted", "book", "amount", "", "call", "note", "by", box=None, pad_edge=False)
    for entry in entries:
        table.add_row(*(entry[name] for name in ("posted_at", "book", "amount", "currency", "rid", "note", "actor")))
    Console().print(table)


@app.command()
def topup(
    who: Who, amount: Amount, database_url: DatabaseUrl, *,
    note: Note = "top-up", actor: Actor = "", currency: Currency = "", request: Request = "",
) -> None:  # fmt: skip
    """Credit an account with money that it paid."""
    _move(database_url, Wish(who, amount, 1, note, actor, currency, request))


@app.command()
def credit(
    who: Who, amount: Amount, database_url: DatabaseUrl, *,
    note: Note, actor: Actor = "", currency: Currency = "", request: Request = "",
) -> None:  # fmt: skip
    """Correct a balance upwards, saying why."""
    _move(database_url, Wish(who, amount, 1, note, actor, currency, request))


@app.command()
def debit(
    who: Who, amount: Amount, database_url: DatabaseUrl, *,
    note: Note, actor: Actor = "", currency: Currency = "", request: Request = "",
) -> None:  # fmt: skip
    """Correct a balance downwards, or pay money back, saying why."""
    _move(database_url, Wish(who, amount, -1, note, actor, currency, request))


class Wish(NamedTuple):
    """A payment as asked for. sign: 1 credits, -1 debits."""

    who: str
    amount: str
    sign: int
    note: str
    actor: str
    currency: str
    request: str


def micros(text: str) -> int:
    """Return the micros of a decimal string such as "12.50", exactly.

    Raises OperatorError for anything else: signs, commas, more than 6 decimals, zero, more than 2^50 micros.
    """
    match = AMOUNT.fullmatch(text)
    if match is None:
        raise OperatorError(f"amount: {text!r} is not a decimal number such as 12.50, with at most 6 decimals")
    value = int(match[1]) * MICROS + int((match[2] or "").ljust(6, "0"))
    if not 0 < value <= MICROS_MAX:
        raise OperatorError(f"amount: {text} is not above 0 and at most {decimal(MICROS_MAX)}")
    return value


def decimal(amount_micros: int) -> str:
    """Return micros as a decimal string with 2 to 6 decimals."""
    exact = f"{Decimal(amount_micros).scaleb(-6):.6f}"
    whole, _, fraction = exact.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def find(connection: psycopg.Connection[Any], who: str) -> Account:
    """Return the account with this id, or this name. Raises OperatorError when there is none, or several."""
    where = "where a.id = %s" if who.isdecimal() else "where a.name = %s order by a.id"
    found = _accounts(connection, where, int(who) if who.isdecimal() else who)
    if not found:
        raise OperatorError(f"account: there is none with the {'id' if who.isdecimal() else 'name'} {who!r}")
    if len(found) > 1:
        ids = ", ".join(f"{account.id} below {account.parent}" for account in found)
        raise OperatorError(f"account: {len(found)} are called {who!r}, give the id: {ids}")
    return found[0]


def _move(database_url: str, wish: Wish) -> None:
    amount = wish.sign * micros(wish.amount)
    actor = wish.actor or getpass.getuser()
    with _connected(database_url) as connection, connection.transaction():
        account = find(connection, wish.who)
        if wish.currency not in {"", account.currency}:
            raise OperatorError(f"currency: {wish.currency!r} is not that of account {account.id}, {account.currency}")
        if account.parent_id is not None:
            connection.execute("select tandem.act_as_v1(%s, %s)", (account.parent_id, actor))
        connection.execute(
            "select tandem.topup_v1(%s, %s, %s, %s, %s)",
            (account.id, amount, wish.note, actor, wish.request or None),
        )
        after = find(connection, str(account.id))
    typer.echo(
        f"account {account.id} {account.name}: {decimal(account.balance_micros)} → {decimal(after.balance_micros)}"
        f" {account.currency}"
    )


def _accounts(connection: psycopg.Connection[Any], where: str, *parameters: int | str) -> Sequence[Account]:
    cursor = connection.cursor(row_factory=class_row(Account))
    return cursor.execute(f"{_ACCOUNTS} {where}".encode(), parameters).fetchall()


def _limit(account: Account) -> str:
    return "unlimited" if account.credit_limit_micros < 0 else decimal(account.credit_limit_micros)


@contextmanager
def _connected(database_url: str) -> Iterator[psycopg.Connection[Any]]:
    """Connect and close; what the database refuses becomes an OperatorError with its own sentence."""
    try:
        with psycopg.connect(
            database_url, autocommit=True, connect_timeout=10, application_name="tandem account"
        ) as made:
            yield made
    except psycopg.OperationalError as error:
        raise OperatorError(f"DATABASE_URL leads to no database: {str(error).strip()}") from error
    except psycopg.Error as error:
        raise OperatorError(error.diag.message_primary or str(error).strip()) from error
