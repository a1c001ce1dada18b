"""An account by its id or its name, with its fund as far as calls are posted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from psycopg.rows import class_row

from kemi import keys
from tools.account.amounts import UNLIMITED, decimal
from tools.errors import OperatorError
from tools.session import Connection, find_account

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
_FUNDS: Final = """
select b.currency, c.scale, b.cred_micros, b.charged_micros, b.credit_limit_micros
  from tandem.fund_balance b join tandem.currency c on c.code = b.currency
 where b.account_id = %s and b.currency = %s
"""
_OTHERS: Final = """
select b.account_id, b.currency, b.balance_micros, c.scale
  from tandem.fund_balance b
  join tandem.account a on a.id = b.account_id
  join tandem.currency c on c.code = b.currency
 where b.currency <> coalesce(nullif(%s, ''), a.currency) and b.balance_micros <> 0 and b.account_id = any (%s)
 order by b.account_id, b.currency
"""


class Account(NamedTuple):
    """An account with one of its funds, as far as calls are posted. credit_limit_micros -1: unlimited.

    The fund is that in its own currency, unless another one was asked for.

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
            "parent_id": self.parent_id,
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
    """Return the account with this id, name or path. Raises OperatorError when none is seen, or several."""
    (found,) = select_accounts(connection, "where a.id = %s", find_account(connection, who).id)
    return found


def find_billed(connection: Connection, who: str) -> Account:
    """Return the account, which somebody bills. Raises OperatorError, also for the root."""
    account = find(connection, who)
    if account.parent_id is None:
        raise OperatorError(
            f"account: {account.id} {account.name!r} is the root, which is billed by nobody: it has no fund"
        )
    return account


def find_fund(connection: Connection, who: str, currency: str) -> Account:
    """Return the account with its fund in a currency; "" = what it pays in. Raises OperatorError where it has none."""
    account = find_billed(connection, who)
    if currency in {"", account.currency}:
        return account
    found = connection.execute(_FUNDS, (account.id, currency)).fetchone()
    if found is None:
        rule = f"is not that of account {account.id}, {account.currency}, and it has no fund in it"
        raise OperatorError(f"currency: {currency[:40]!r} {rule}")
    code, scale, credited, charged, limit = found
    return account._replace(
        currency=code, scale=scale, cred_micros=credited, charged_micros=charged, credit_limit_micros=limit
    )


def other_funds(connection: Connection, account_ids: Sequence[int], but: str = "") -> dict[int, list[dict[str, str]]]:
    """Return account id -> what there is in its funds but one, for those that have anything there.

    but: the currency of the fund that is left out, "" = that which the account pays with.
    """
    found: dict[int, list[dict[str, str]]] = {}
    for owner, currency, balance, scale in connection.execute(_OTHERS, (but, list(account_ids))).fetchall():
        found.setdefault(owner, []).append({"currency": currency, "balance": decimal(balance, scale)})
    return found


def select_accounts(connection: Connection, where: str, *parameters: int | str | list[int]) -> Sequence[Account]:
    """Return the accounts that a clause of ours selects."""
    cursor = connection.cursor(row_factory=class_row(Account))
    return cursor.execute(f"{_ACCOUNTS} {where}".encode(), parameters).fetchall()
