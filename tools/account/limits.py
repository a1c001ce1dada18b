"""What an account may owe, how many calls it may have, what it may spend: `tandem account limit`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, NamedTuple

import typer
from psycopg import sql
from psycopg.rows import class_row

from tools.account.amounts import UNLIMITED, limit_count, limit_micros
from tools.account.find import Account, find, find_billed
from tools.account.options import Actor, As, DatabaseUrl, Json, Who
from tools.errors import OperatorError
from tools.session import Connection, session

CALLS_MAX: Final = 1_000_000
PER_CENT_MAX: Final = 1_000

Day = Annotated[str, typer.Option(metavar="AMOUNT", help="What calls may cost it in a day, or unlimited.")]
Month = Annotated[str, typer.Option(metavar="AMOUNT", help="What calls may cost it in a month, or unlimited.")]
CreditLimit = Annotated[
    str,
    typer.Option(
        metavar="AMOUNT", help="How far below zero the balance may go: 0 = prepaid, an amount or unlimited = postpaid."
    ),
]
Count = Annotated[
    str, typer.Option(metavar="N", help="Calls at the same time, from and to it and all below it, or unlimited.")
]
CountIn = Annotated[str, typer.Option(metavar="N", help="Of these the calls to it and to all below it, or unlimited.")]
CountOut = Annotated[str, typer.Option(metavar="N", help="Of these the calls from it and all below it, or unlimited.")]
Rate = Annotated[str, typer.Option(metavar="N", help="New calls per second, of it and all below it, or unlimited.")]
PerCent = Annotated[
    str,
    typer.Option(
        metavar="PERCENT",
        help="A credit may lift the balance of an account directly below to at most this much above 100 % of this one's"
        " posted balance, and to nothing where that is not above zero.",
    ),
]

_LIMITS: Final = """
select f.credit_limit_micros, f.channels_max, f.channels_in_max, f.channels_out_max, f.cps_max,
       f.day_max_micros, f.month_max_micros, a.overcommit_pct
  from tandem.fund f join tandem.account a on a.id = f.account_id
 where f.account_id = %s and f.currency = %s
"""


class Limits(NamedTuple):
    """The limits of a fund. Maxima: 0 = unlimited. credit_limit_micros -1, overcommit_pct None: unlimited."""

    credit_limit_micros: int
    channels_max: int
    channels_in_max: int
    channels_out_max: int
    cps_max: int
    day_max_micros: int
    month_max_micros: int
    overcommit_pct: int | None

    def as_dict(self, account: Account) -> dict[str, Any]:
        """Return them as programs and people read them: decimal strings, numbers, or the word "unlimited"."""
        return {
            "credit_limit": account.credit_limit,
            "channels": self.channels_max or UNLIMITED,
            "channels_in": self.channels_in_max or UNLIMITED,
            "channels_out": self.channels_out_max or UNLIMITED,
            "cps": self.cps_max or UNLIMITED,
            "spend_day": account.amount(self.day_max_micros) if self.day_max_micros else UNLIMITED,
            "spend_month": account.amount(self.month_max_micros) if self.month_max_micros else UNLIMITED,
            "overcommit_pct": UNLIMITED if self.overcommit_pct is None else self.overcommit_pct,
        }


def limit(  # noqa: PLR0913  one parameter per option
    who: Who, database_url: DatabaseUrl, *,
    credit_limit: CreditLimit = "", channels: Count = "", channels_in: CountIn = "", channels_out: CountOut = "",
    cps: Rate = "", spend_day: Day = "", spend_month: Month = "", overcommit: PerCent = "",
    actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Set limits of an account and show them; without any option, show them.

    They bind all calls of the account and of those below it. A lowered limit ends no call: it bites when a call begins
    or asks for its next minutes. Days and months are those of the account's time zone.
    """
    changes = _fund_changes(
        {"credit-limit": credit_limit, "spend-day": spend_day, "spend-month": spend_month},
        {"channels": channels, "channels-in": channels_in, "channels-out": channels_out, "cps": cps},
    )
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        account = find_billed(own.connection, who)
        if changes or overcommit:
            _write(own.connection, account, changes, overcommit)
            account = find(own.connection, str(account.id))
        found = read_limits(own.connection, account)
    show_limits(account, found, as_json=as_json)


def read_limits(connection: Connection, account: Account) -> Limits:
    """Return the limits of an account's fund. Raises OperatorError when it has none."""
    cursor = connection.cursor(row_factory=class_row(Limits))
    found = cursor.execute(_LIMITS, (account.id, account.currency)).fetchone()
    if found is None:
        raise OperatorError(f"account: {account.id} {account.name!r} has no fund in {account.currency}")
    return found


def show_limits(account: Account, found: Limits, *, as_json: bool) -> None:
    """Print them."""
    rows = found.as_dict(account)
    if as_json:
        typer.echo(json.dumps({"account": account.id, "name": account.name, "paying": account.paying, **rows}))
        return
    typer.echo(f"account {account.id} {account.name}: {paying_sentence(account)}")
    for name, value in rows.items():
        typer.echo(f"  {name.replace('_', ' '):15} {value}")


def paying_sentence(account: Account) -> str:
    """Return how an account pays, in words."""
    if account.credit_limit_micros == 0:
        return "prepaid, its balance never goes below zero by calls"
    if account.credit_limit_micros < 0:
        return "postpaid, it may owe any amount"
    return f"postpaid, it may owe {account.credit_limit} {account.currency}"


def _fund_changes(money: Mapping[str, str], counts: Mapping[str, str]) -> dict[str, int]:
    """Return column -> value of what was given. Raises OperatorError naming the option."""
    changes = {}
    for name, text in money.items():
        if text:
            is_credit = name == "credit-limit"
            column = "credit_limit_micros" if is_credit else f"{name.removeprefix('spend-')}_max_micros"
            value = limit_micros(text, name, zero=is_credit)
            changes[column] = value if value is not None else -1 if is_credit else 0
    for name, text in counts.items():
        if text:
            changes[f"{name.replace('-', '_')}_max"] = limit_count(text, name, CALLS_MAX)
    return changes


def _write(connection: Connection, account: Account, changes: Mapping[str, int], overcommit: str) -> None:
    if account.status == "closed":
        raise OperatorError(f"account: {account.id} {account.name!r} is closed; its limits are history")
    if changes:
        columns = [sql.SQL("{} = {}").format(sql.Identifier(name), value) for name, value in changes.items()]
        statement = sql.SQL("update tandem.fund set {} where account_id = {} and currency = {}")
        written = connection.execute(statement.format(sql.SQL(", ").join(columns), account.id, account.currency))
        if not written.rowcount:  # it is seen, or it would not have been found
            rule = "does not set its own limits; an account above it does"
            raise OperatorError(f"account: {account.id} {account.name!r} {rule}")
    if overcommit:
        per_cent = _per_cent(overcommit)
        connection.execute("update tandem.account set overcommit_pct = %s where id = %s", (per_cent, account.id))


def _per_cent(text: str) -> int | None:
    """Return a percentage of 0 or more, None for unlimited. Raises OperatorError."""
    if text == UNLIMITED:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(PER_CENT_MAX)) and int(text) <= PER_CENT_MAX):
        raise OperatorError(
            f"overcommit: {text[:40]!r} is not a whole number from 0 to {PER_CENT_MAX}, or {UNLIMITED!r}"
        )
    return int(text)
