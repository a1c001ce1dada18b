"""An account by its id or its name, with its fund as far as calls are posted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg.rows import class_row

from kemi import keys
from tools.account.amounts import UNLIMITED, decimal
from tools.account.database import Connection
from tools.errors import OperatorError

_ACCOUNTS: Final = """
select a.id, a.name, coalesce(p.name, '') as parent, a.kind, a.status, a.currency, c.scale, a.parent_id,
       a.timezone, a.lock, a.lock_note, coalesce(b.cred_micros, 0)::bigint as cred_micros,
       coalesce(b.charged_micros, 0)::bigint as charged_micros,
       coalesce(b.credit_limit_micros, 0)::bigint as credit_limit_micros
  from tandem.account a
  join tandem.currency c on c.code = a.currency
  left join tandem.account p on p.id = a.parent_id
  left join tandem.fund_balance b on b.account_id = a.id and b.currency = a.currency
"""


class Account(NamedTuple):
    """An account with its fund in its own currency, as far as calls are posted. credit_limit_micros -1: unlimited.

    scale: decimals of its currency. lock: its own, whatever those above it have; lock_note: why it is so.
    """

    id: int
    name: str
    parent: str
    kind: str
    status: str
    currency: str
    scale: int
    parent_id: int | None
    timezone: str
    lock: str
    lock_note: str
    cred_micros: int
    charged_micros: int
    credit_limit_micros: int

    @property
    def balance_micros(self) -> int:
        """Return what was credited less what calls charged."""
        return self.cred_micros - self.charged_micros

    @property
    def fund(self) -> str:
        """Return the name of its fund in Redis."""
        return keys.fund(self.id, self.currency)

    @property
    def zone(self) -> ZoneInfo:
        """Return its time zone. Raises OperatorError where this machine does not know it."""
        try:
            return ZoneInfo(self.timezone)
        except ZoneInfoNotFoundError as error:
            raise OperatorError(f"timezone: this machine does not know {self.timezone!r}; install tzdata") from error

    @property
    def credit_limit(self) -> str:
        """Return how far below zero it may go, as people read it."""
        return UNLIMITED if self.credit_limit_micros < 0 else self.amount(self.credit_limit_micros)

    @property
    def paying(self) -> str:
        """Return whether it pays before its calls or after them."""
        return "prepaid" if self.credit_limit_micros == 0 else "postpaid"

    def amount(self, micros: int) -> str:
        """Return micros with the decimals of its currency."""
        return decimal(micros, self.scale)

    def as_dict(self) -> dict[str, Any]:
        """Return the account as programs read it."""
        return {
            "id": self.id,
            "name": self.name,
            "parent": self.parent,
            "kind": self.kind,
            "status": self.status,
            "lock": self.lock,
            "lock_note": self.lock_note,
            "currency": self.currency,
            "credited": self.amount(self.cred_micros),
            "charged": self.amount(self.charged_micros),
            "balance": self.amount(self.balance_micros),
            "credit_limit": self.credit_limit,
            "paying": self.paying,
        }


def find(connection: Connection, who: str) -> Account:
    """Return the account with this id, or this name. Raises OperatorError when there is none, or several."""
    by_id = who.isascii() and who.isdecimal()
    where = "where a.id = %s" if by_id else "where a.name = %s order by a.id"
    found = select_accounts(connection, where, int(who) if by_id else who)
    if not found:
        raise OperatorError(f"account: there is none with the {'id' if by_id else 'name'} {who!r}")
    if len(found) > 1:
        ids = ", ".join(f"{account.id} below {account.parent}" for account in found)
        raise OperatorError(f"account: {len(found)} are called {who!r}, give the id: {ids}")
    return found[0]


def find_billed(connection: Connection, who: str) -> Account:
    """Return the account, which somebody bills. Raises OperatorError, also for the root."""
    account = find(connection, who)
    if account.parent_id is None:
        raise OperatorError(
            f"account: {account.id} {account.name!r} is the root, which is billed by nobody: it has no fund"
        )
    return account


def select_accounts(connection: Connection, where: str, *parameters: int | str) -> Sequence[Account]:
    """Return the accounts that a clause of ours selects."""
    cursor = connection.cursor(row_factory=class_row(Account))
    return cursor.execute(f"{_ACCOUNTS} {where}".encode(), parameters).fetchall()
