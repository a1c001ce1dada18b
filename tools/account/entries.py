"""What an account's books say: `tandem account entries`, page by page, and `tandem account statement`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final, NamedTuple
from uuid import UUID

import typer
from psycopg.rows import class_row

from tools.account.amounts import decimal
from tools.account.find import Account, find, find_fund, other_funds
from tools.account.options import As, Currency, DatabaseUrl, Json, Since, Until, Who
from tools.account.tables import show_table
from tools.account.times import between
from tools.errors import OperatorError
from tools.printable import counted
from tools.session import Connection, session

Before = Annotated[str, typer.Option(help="Go on where a page before ended, as that page says.")]
Book = Annotated[str, typer.Option(help="Only this book, such as fund.")]
Most = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many on a page.")]

_ENTRIES: Final = """
select e.posted_at, e.id, e.txn_id, e.book, e.currency, c.scale, e.amount_micros, e.origin, coalesce(e.rid, '') as rid,
       e.note, coalesce(tandem.ledger_actor(e.id), '') as actor
  from tandem.ledger_entry e join tandem.currency c on c.code = e.currency
 where e.account_id = %(account)s and e.posted_at >= %(since)s and e.posted_at < %(until)s
   and (%(book)s = '' or e.book = %(book)s)
   and (e.posted_at, e.id) < (%(before_at)s, %(before_id)s)
 order by e.posted_at desc, e.id desc limit %(limit)s
"""
# The sums of a fund are kept, so the opening is what there is now less what was posted since: entries of before need
# not be read, nor may they, where the account has moved.
_STATEMENT: Final = """
select (coalesce((select b.balance_micros from tandem.fund_balance b
                   where b.account_id = %(account)s and b.currency = %(currency)s), 0)
        - coalesce(sum(e.amount_micros), 0))::bigint,
       coalesce(sum(e.amount_micros) filter (where x.within and e.rid is null and e.amount_micros > 0), 0)::bigint,
       coalesce(sum(e.amount_micros) filter (where x.within and e.rid is null and e.amount_micros < 0), 0)::bigint,
       coalesce(sum(e.amount_micros) filter (where x.within and e.rid is not null), 0)::bigint,
       count(distinct e.rid) filter (where x.within)
  from tandem.ledger_entry e cross join lateral (select e.posted_at < %(until)s as within) as x
 where e.account_id = %(account)s and e.currency = %(currency)s and e.book = 'fund' and e.posted_at >= %(since)s
"""
FIRST: Final = datetime.fromisoformat("0001-01-02T00:00+00:00")
LAST: Final = datetime.fromisoformat("9999-12-30T00:00+00:00")
BOOKS: Final = ("fund", "income", "cost", "cash", "fx_bought", "fx_sold", "carrier")
LAST_ID: Final = UUID(int=2**128 - 1)


class Entry(NamedTuple):
    """One ledger entry of an account. rid: the call, "" = none."""

    posted_at: datetime
    id: UUID
    txn_id: UUID
    book: str
    currency: str
    scale: int
    amount_micros: int
    origin: str
    rid: str
    note: str
    actor: str

    def as_dict(self) -> dict[str, str]:
        """Return it as programs read it."""
        return {
            "posted_at": self.posted_at.isoformat(timespec="seconds"),
            "txn": str(self.txn_id),
            "book": self.book,
            "amount": decimal(self.amount_micros, self.scale),
            "currency": self.currency,
            "origin": self.origin,
            "rid": self.rid,
            "note": self.note,
            "actor": self.actor,
        }

    @property
    def cursor(self) -> str:
        """Return the place of this entry, for the page after it."""
        return f"{self.posted_at.isoformat()}/{self.id}"


class Range(NamedTuple):
    """Which entries. since: included, until: not. before: (posted_at, id) of the last one of the page before."""

    since: datetime = FIRST
    until: datetime = LAST
    book: str = ""
    before: tuple[datetime, UUID] = (LAST, LAST_ID)


def entries(  # noqa: PLR0913  one parameter per option
    who: Who, database_url: DatabaseUrl, *,
    since: Since = "", until: Until = "", book: Book = "", before: Before = "", limit: Most = 50,
    as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """List the entries of an account's books, newest first, page by page; by the time of posting."""
    if book and book not in BOOKS:
        raise OperatorError(f"book: {book[:40]!r} is not one of {', '.join(BOOKS)}")
    at = _cursor(before) if before else (LAST, LAST_ID)
    with session(database_url, as_account=as_account, program="tandem account") as own:
        account = find(own.connection, who)
        found = entries_of(own.connection, account, Range(*period(account, since, until), book, at), limit + 1)
    page = found[:limit]
    after = page[-1].cursor if len(found) > limit else ""
    if as_json:
        typer.echo(json.dumps({"entries": [each.as_dict() for each in page], "before": after or None}))
        return
    show_entries(page)
    if after:
        typer.echo(f"older ones: --before {after}")


def statement(
    who: Who, database_url: DatabaseUrl, *,
    since: Since, until: Until = "", currency: Currency = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Show the balance at the beginning and at the end of a time, and what moved it; by the time of posting."""
    with session(database_url, as_account=as_account, program="tandem account") as own:
        account = find_fund(own.connection, who, currency)
        others = other_funds(own.connection, [account.id], but=account.currency).get(account.id, [])
        begin, end = period(account, since, until)
        arguments = {"account": account.id, "currency": account.currency, "since": begin, "until": end}
        row = own.connection.execute(_STATEMENT, arguments).fetchone() or (0, 0, 0, 0, 0)
    opening, credited, debited, charged, calls = row
    amounts = {"opening": opening, "credited": credited, "debited": debited, "calls": charged, "closing": sum(row[:4])}
    shown = {name: account.amount(micros) for name, micros in amounts.items()}
    if as_json:
        head = {"account": account.id, "name": account.name, "currency": account.currency, "calls_count": calls}
        typer.echo(json.dumps({**head, **shown, "other_funds": others}))
        return
    typer.echo(f"account {account.id} {account.name}, {account.currency}, by the time of posting")
    of_calls = f"  ({counted(calls, 'call')})"
    for name, amount in shown.items():
        typer.echo(f"  {name:9} {amount:>20}{of_calls if name == 'calls' else ''}")
    for other in others:
        typer.echo(f"another fund has {other['balance']} {other['currency']} now: --currency {other['currency']}")


def entries_of(connection: Connection, account: Account, wanted: Range, limit: int) -> Sequence[Entry]:
    """Return at most `limit` entries of an account, newest first."""
    cursor = connection.cursor(row_factory=class_row(Entry))
    at, entry_id = wanted.before
    return cursor.execute(
        _ENTRIES,
        {
            "account": account.id,
            "since": wanted.since,
            "until": wanted.until,
            "book": wanted.book,
            "before_at": at,
            "before_id": entry_id,
            "limit": limit,
        },
    ).fetchall()


def show_entries(found: Sequence[Entry]) -> None:
    """Print entries as a table."""
    columns = {
        "posted_at": "posted",
        "txn": "transaction",
        "book": "book",
        "amount": "amount",
        "currency": "currency",
        "rid": "call",
        "note": "note",
        "actor": "by",
    }
    show_table(columns, [each.as_dict() for each in found])


def period(account: Account, since: str, until: str) -> tuple[datetime, datetime]:
    """Return the begin and end of a time in the account's time zone; "" = no bound. Raises OperatorError."""
    begin, end = between(since, until, account.zone)
    return begin or FIRST, end or LAST


def _cursor(text: str) -> tuple[datetime, UUID]:
    at, _, entry_id = text.partition("/")
    try:
        return datetime.fromisoformat(at), UUID(entry_id)
    except ValueError as error:
        raise OperatorError(f"before: {text[:80]!r} is not what a page before said") from error
