"""Alerts that crossed thresholds gave: `tandem account alerts`."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Annotated, Any, Final, NamedTuple

import psycopg
import typer
from psycopg.rows import class_row

from tools.account.amounts import decimal, window_text
from tools.account.find import find_billed
from tools.account.options import As, DatabaseUrl, Json
from tools.account.tables import show_table
from tools.database_url import checked
from tools.session import Connection, refusal, session
from tools.tenant.catalogue import resource
from tools.tenant.completion import rows

CHANNEL: Final = "tandem_alert"
ASK_EVERY_S: Final = 30.0
SEEN_MAX: Final = 1000  # alerts between two looks

Follow = Annotated[bool, typer.Option("--follow", help="Go on and print each new alert as it comes, until Ctrl-C.")]
Of = Annotated[
    str,
    typer.Argument(
        metavar="[ACCOUNT]",
        help="Only of this account: id (5 or #5), name or path.",
        autocompletion=rows(resource("account")),
    ),
]
Most = Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many, the newest.")]

_ALERTS: Final = """
select l.id, l.at, l.account_id, a.name, l.kind, l.amount_micros, l.value_micros, l.window_id, l.currency, c.scale,
       l.threshold_id, t.lock
  from tandem.alert l
  left join tandem.threshold t on t.id = l.threshold_id
  join tandem.account a on a.id = l.account_id
  join tandem.currency c on c.code = l.currency
 where %s = 0 or l.account_id = %s
"""


class Wanted(NamedTuple):
    """Whose alerts. as_account: who looks, "" = the root. who: of one account, "" = of all that are seen."""

    database_url: str
    as_account: str
    who: str


class Alert(NamedTuple):
    """One crossing. kind: balance, day or month. value_micros: the balance or spend that crossed amount_micros.

    window_id: the day or month, such as 20261122; of no meaning for a balance. lock: that its
    threshold sets as long as there is one.
    """

    id: int
    at: datetime
    account_id: int
    name: str
    kind: str
    amount_micros: int
    value_micros: int
    window_id: int | None
    currency: str
    scale: int
    threshold_id: int | None
    lock: str | None

    def as_dict(self) -> dict[str, Any]:
        """Return it as programs read it."""
        return {
            "id": self.id,
            "at": self.at.isoformat(timespec="seconds"),
            "account": self.account_id,
            "name": self.name,
            "kind": self.kind,
            "amount": decimal(self.amount_micros, self.scale),
            "value": decimal(self.value_micros, self.scale),
            "currency": self.currency,
            "window": self.window_id,
            "threshold": self.threshold_id,
            "lock": self.lock,
        }

    def as_text(self) -> str:
        """Return it as a line for people."""
        row = self.as_dict()
        window = window_text(self.window_id) if self.window_id else ""
        spent = f"calls of {self.kind} {window} cost {row['value']} {self.currency}, reaching {row['amount']}"
        fell = f"balance fell to {row['value']} {self.currency}, below {row['amount']}"
        locks = f"; it locks the account: {self.lock}" if self.lock else ""
        return f"{row['at']} account {self.account_id} {self.name}: {fell if self.kind == 'balance' else spent}{locks}"


def alerts(
    database_url: DatabaseUrl, who: Of = "", *,
    limit: Most = 50, follow: Follow = False, as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Show the alerts of crossed thresholds, newest first; with --follow, oldest first, one JSON object a line."""
    wanted = Wanted(database_url, as_account, who)
    if follow:
        with suppress(KeyboardInterrupt):
            for each in followed(wanted, limit):
                typer.echo(json.dumps(each.as_dict()) if as_json else each.as_text())
        return
    found = newest(wanted, limit)
    if as_json:
        typer.echo(json.dumps([each.as_dict() for each in found]))
        return
    columns = {"at": "at", "account": "id", "name": "account", "kind": "kind", "window": "window", "value": "value"}
    rows_ = [{**each.as_dict(), "window": window_text(each.window_id) if each.window_id else ""} for each in found]
    show_table({**columns, "amount": "threshold", "currency": "currency", "lock": "lock"}, rows_)


def newest(wanted: Wanted, limit: int) -> Sequence[Alert]:
    """Return at most `limit` alerts, newest first. Raises OperatorError."""
    with session(wanted.database_url, as_account=wanted.as_account, program="tandem account") as own:
        account_id = find_billed(own.connection, wanted.who).id if wanted.who else 0
        cursor = own.connection.cursor(row_factory=class_row(Alert))
        statement = f"{_ALERTS} order by l.id desc limit %s".encode()
        return cursor.execute(statement, (account_id, account_id, limit)).fetchall()


def followed(wanted: Wanted, limit: int) -> Generator[Alert]:
    """Yield the newest `limit` alerts, oldest first, then each new one; never ends by itself. Raises OperatorError.

    Listening begins before the first look, so that none falls between the two; and what is new is told by what was
    seen, not by the highest id, because ids are given before they are committed. Each look is a transaction of its own:
    what the account may see is asked anew.
    """
    with _listening(wanted.database_url) as heard:
        found = newest(wanted, SEEN_MAX)
        fresh = found[:limit]
        while True:
            yield from reversed(fresh)
            for _ in heard.notifies(timeout=ASK_EVERY_S, stop_after=1):
                pass
            seen = {each.id for each in found}
            found = newest(wanted, SEEN_MAX)
            fresh = [each for each in found if each.id not in seen]


@contextmanager
def _listening(database_url: str) -> Iterator[Connection]:
    """Connect outside of any transaction, where notifications arrive; they say that there is something, not what."""
    try:
        with psycopg.connect(
            checked(database_url), autocommit=True, connect_timeout=10, application_name="tandem account alerts"
        ) as connection:
            connection.execute(f"listen {CHANNEL}".encode())
            yield connection
    except psycopg.Error as error:
        raise refusal(error, is_root=True) from error
