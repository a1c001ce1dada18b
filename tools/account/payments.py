"""Money outside of calls: `tandem account topup|credit|debit|adjust|reverse`.

Rule 1: money moves by ledger transactions alone; a balance is never set.
Rule 2: what was posted is never changed; a mistake is reversed by its exact opposite, once.
"""

from __future__ import annotations

import json
from typing import Annotated, Final, NamedTuple
from uuid import UUID

import typer

from tools.account.amounts import MICROS_MAX, decimal, micros, signed_micros
from tools.account.find import Account, find_fund
from tools.account.options import Actor, Amount, As, Currency, DatabaseUrl, Json, Note, Request, Who
from tools.account.posted import posted
from tools.errors import OperatorError
from tools.session import Connection, Session, session

Signed = Annotated[str, typer.Argument(metavar="AMOUNT", help="In the account's currency: 12.50 or -12.50.")]
Txn = Annotated[str, typer.Argument(metavar="TXN", help="As `tandem account entries` shows it.")]
AsAdjustment = Annotated[
    bool, typer.Option("--as-adjustment", help="Give back what a call charged; the call's own entries stay.")
]

_REVERSED: Final = """
select e.account_id, a.name, e.book, e.currency, e.amount_micros, c.scale from tandem.ledger_entry e
  join tandem.account a on a.id = e.account_id join tandem.currency c on c.code = e.currency
 where e.txn_id = %s order by e.book = 'fund' desc, e.account_id, e.book, e.currency
"""

_CLOSED_ABOVE: Final = """
select a.id, a.name from tandem.chain(%s) as link join tandem.account a on a.id = link.account_id
 where a.status = 'closed' and link.distance > 0 order by link.distance limit 1
"""


class Wish(NamedTuple):
    """A payment as asked for. kind: topup, credit, debit or adjust. request: "" = a wish of its own."""

    kind: str
    who: str
    amount: str
    note: str
    currency: str
    request: str


class Office(NamedTuple):
    """Where a payment is posted, for which account, and by whom."""

    database_url: str
    as_account: str
    actor: str


class Done(NamedTuple):
    """A payment as posted. moved: False when the same request was posted before."""

    txn: UUID
    before: Account
    after: Account
    moved: bool

    def as_dict(self) -> dict[str, object]:
        """Return it as programs read it."""
        return {
            "txn": str(self.txn),
            "account": self.after.id,
            "name": self.after.name,
            "currency": self.after.currency,
            "before": self.before.amount(self.before.balance_micros),
            "after": self.after.amount(self.after.balance_micros),
            "moved": self.moved,
        }

    def as_text(self) -> str:
        """Return it as people read it."""
        row = self.as_dict()
        moved = f"{row['before']} → {row['after']} {row['currency']}"
        if not self.moved:
            moved = f"{row['after']} {row['currency']}; this request was posted before and moves nothing"
        return f"account {self.after.id} {self.after.name}: {moved}\ntransaction {self.txn}"


def topup(  # noqa: PLR0913  one parameter per option
    who: Who, amount: Amount, database_url: DatabaseUrl, *,
    note: Note = "top-up", actor: Actor = "", currency: Currency = "", request: Request = "",
    as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Credit an account with money that it paid.

    Where its parent has an overcommit limit, the account's balance after it is at most that much above the parent's own
    posted balance, and nothing comes in while that is not above zero. What calls in progress hold is not seen.
    """
    wish = Wish("topup", who, amount, note, currency, request)
    _print(Office(database_url, as_account, actor), wish, as_json=as_json)


def credit(  # noqa: PLR0913  one parameter per option
    who: Who, amount: Amount, database_url: DatabaseUrl, *,
    note: Note, actor: Actor = "", currency: Currency = "", request: Request = "",
    as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Give an account money out of its parent's income, such as a refund, saying why."""
    wish = Wish("credit", who, amount, note, currency, request)
    _print(Office(database_url, as_account, actor), wish, as_json=as_json)


def debit(  # noqa: PLR0913  one parameter per option
    who: Who, amount: Amount, database_url: DatabaseUrl, *,
    note: Note, actor: Actor = "", currency: Currency = "", request: Request = "",
    as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Take a fee from an account as its parent's income, saying why."""
    wish = Wish("debit", who, amount, note, currency, request)
    _print(Office(database_url, as_account, actor), wish, as_json=as_json)


def adjust(  # noqa: PLR0913  one parameter per option
    who: Who, amount: Signed, database_url: DatabaseUrl, *,
    note: Note, actor: Actor = "", currency: Currency = "", request: Request = "",
    as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Correct a balance up or down by a signed amount, or pay money back, saying why."""
    wish = Wish("adjust", who, amount, note, currency, request)
    _print(Office(database_url, as_account, actor), wish, as_json=as_json)


def reverse(
    txn: Txn, database_url: DatabaseUrl, *,
    note: Note, as_adjustment: AsAdjustment = False, actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Post the exact opposite of a transaction, once, saying why.

    A closed account can only be paid out (adjust), so what would credit it is refused. No overcommit limit binds the
    reversal of a debit: what was taken by mistake is given back.
    """
    try:
        wrong = UUID(txn)
    except ValueError as error:
        rule = "the id of a transaction, as `tandem account entries` shows it"
        raise OperatorError(f"txn: {txn[:40]!r} is not {rule}") from error
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        arguments = (wrong, note, own.actor, as_adjustment)
        ((made,),) = own.connection.execute("select tandem.reverse_v1(%s, %s, %s, %s)", arguments).fetchall()
        entries = own.connection.execute(_REVERSED, (made,)).fetchall()
    if as_json:
        columns = ("account", "name", "book", "currency", "amount")
        rows = [dict(zip(columns, (*entry[:4], decimal(entry[4], entry[5])), strict=True)) for entry in entries]
        typer.echo(json.dumps({"txn": str(made), "reverses": str(wrong), "entries": rows}))
        return
    for account_id, account_name, book, currency, amount, scale in entries:
        typer.echo(f"account {account_id} {account_name}: {book} {decimal(amount, scale)} {currency}")
    typer.echo(f"transaction {made} reverses {wrong}")


def post(own: Session, wish: Wish) -> Done:
    """Post a payment. Raises OperatorError and psycopg errors; then nothing is moved."""
    amount = signed_micros(wish.amount) if wish.kind == "adjust" else micros(wish.amount)
    account = find_fund(own.connection, wish.who, wish.currency)
    _refuse_overflow(account, -amount if wish.kind == "debit" else amount)
    if wish.kind != "debit" and amount > 0:
        _refuse_below_closed(own.connection, account)
    arguments = (account.id, amount, wish.kind, wish.note, own.actor, wish.request or None, account.currency)
    txn, moved = posted(own.connection, "select tandem.move_v1(%s, %s, %s, %s, %s, %s, %s)", arguments)
    return Done(txn, account, find_fund(own.connection, str(account.id), account.currency), moved=moved)


def _refuse_overflow(account: Account, amount: int) -> None:
    """Raise OperatorError when the sum of all payments would leave its bounds; the database has them too."""
    total = account.cred_micros + amount
    if abs(total) > MICROS_MAX:
        sums = f"credited would be {account.amount(total)}, beyond {account.amount(MICROS_MAX)} {account.currency}"
        raise OperatorError(f"amount: of account {account.id} {account.name!r} {sums}")


def _refuse_below_closed(connection: Connection, account: Account) -> None:
    """Raise OperatorError when an account above is closed: nothing below it can ever call for the money."""
    row = connection.execute(_CLOSED_ABOVE, (account.id,)).fetchone()
    if row:
        raise OperatorError(
            f"account: {account.id} {account.name!r} is below account {row[0]} {row[1]!r}, which is closed"
        )


def _print(office: Office, wish: Wish, *, as_json: bool) -> None:
    with session(
        office.database_url, as_account=office.as_account, actor=office.actor, program="tandem account"
    ) as own:
        done = post(own, wish)
    typer.echo(json.dumps(done.as_dict()) if as_json else done.as_text())
