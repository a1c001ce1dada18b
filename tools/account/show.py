"""`tandem account list` and `show`: accounts as they stand, posted and live."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final

import typer

from tools.account.amounts import UNLIMITED, window_text
from tools.account.entries import Range, entries_of, show_entries
from tools.account.find import Account, find, other_funds, select_accounts
from tools.account.limits import Limits, paying_sentence, read_limits
from tools.account.locks import NONE, locks_above, sentence
from tools.account.options import As, DatabaseUrl, Json, RedisUrl, Who
from tools.account.tables import show_pairs, show_table
from tools.session import Connection, find_account, session
from tools.tenant.actions import for_people
from tools.tenant.catalogue_accounts import ACCOUNT
from tools.tenant.model import Plain
from tools.tenant.naming import paths
from tools.tenant.read import again

ENTRIES_SHOWN: Final = 20
ROWS: Final = 100
UNTOLD: Final = "not told, as it came below another account,"
FORMER: Final = "in a fund that it does not pay with any more"

Below = Annotated[str, typer.Option(metavar="ACCOUNT", help="Only those directly below this one.")]
Begins = Annotated[str, typer.Option("--name", metavar="TEXT", help="Only those whose names begin so.")]
Every = Annotated[bool, typer.Option("--all", help=f"All of them, not only the first {ROWS}.")]

_SPEND: Final = """
select v.kind, v.window_id, case when tandem.acting_saw(%(account)s, date_trunc(v.kind, here.at) at time zone %(zone)s)
                                 then coalesce(w.spent_micros, 0)::bigint end
  from (select now() at time zone %(zone)s as at) as here
 cross join lateral (values ('day', to_char(here.at, 'YYYYMMDD')::integer),
                            ('month', to_char(here.at, 'YYYYMM')::integer)) as v(kind, window_id)
  left join tandem.fund_window w
    on w.account_id = %(account)s and w.currency = %(currency)s and w.kind = v.kind and w.window_id = v.window_id
"""


def list_accounts(
    database_url: DatabaseUrl, *,
    below: Below = "", begins: Begins = "", every: Every = False, as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """List the acting account and those that it sees, with their balances. JSON has all of them."""
    with session(database_url, as_account=as_account, program="tandem account") as own:
        below_id = find_account(own.connection, below, "below").id if below else 0
        chosen = _chosen(own.connection, below_id, begins)
        ids = chosen if every or as_json else chosen[:ROWS]
        accounts = select_accounts(own.connection, "where a.id = any (%s) order by a.id", ids)
        others = other_funds(own.connection, ids)
        seen = paths(own.connection, ids)
    rows = [
        {**account.as_dict(), "path": seen[account.id], "other_funds": others.get(account.id, [])}
        for account in accounts
    ]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    shown: list[dict[str, Any]] = []
    for row in rows:
        if row["kind"] == "root":  # billed by nobody
            row.update(balance="", credit_limit="", currency="", paying="")
        row["lock"] = "" if row["lock"] == NONE else row["lock"]
        shown.append(row)
        shown += [{**row, "credit_limit": "", "paying": FORMER, **other} for other in row["other_funds"]]
    columns = {name: name for name in ("id", "name", "parent", "kind", "status", "lock", "balance")}
    show_table({**columns, "credit_limit": "credit limit", "currency": "currency", "paying": "paying"}, shown)
    if len(rows) < len(chosen):
        typer.echo(f"{len(rows):,} of {len(chosen):,}; --all shows the others")


def show(
    who: Who, database_url: DatabaseUrl, redis_url: RedisUrl = "", *, as_account: As = "", as_json: Json = False
) -> None:
    """Show an account: balance, limits, locks, what it spends and holds, settings, the last entries of its books."""
    with session(database_url, as_account=as_account, program="tandem account") as own:
        account = find(own.connection, who)
        is_billed = account.parent_id is not None
        found = entries_of(own.connection, account, Range(), ENTRIES_SHOWN)
        settings = again(own.connection, ACCOUNT, (account.id,)).values
        path = paths(own.connection, [account.id])[account.id]
        parts = _billed(own.connection, account) if is_billed else {}
    if is_billed:
        parts["live"] = _live(redis_url, account) if redis_url else None
    if as_json:
        rows = [each.as_dict() for each in found]
        typer.echo(json.dumps({**settings, **account.as_dict(), "path": path, **parts, "entries": rows}))
        return
    show_pairs(_lines(account, parts) | _settings(settings))
    show_entries(found)


def _chosen(connection: Connection, below_id: int, begins: str) -> list[int]:
    """Return the ids of accounts that are seen, in order. below_id: 0 = below any. begins: "" = of any name."""
    conditions, values = ["true"], list[int | str]()
    if below_id:
        conditions.append("a.parent_id = %s")
        values.append(below_id)
    if begins:
        conditions.append("a.name ^@ %s")  # leakproof, as like is not: below a policy only the former may use an index
        values.append(begins)
    query = f"select a.id from tandem.account a where {' and '.join(conditions)} order by a.id"  # noqa: S608  ours
    return [row[0] for row in connection.execute(query.encode(), values).fetchall()]


def _billed(connection: Connection, account: Account) -> dict[str, Any]:
    limits = read_limits(connection, account)
    return {
        "other_funds": other_funds(connection, [account.id]).get(account.id, []),
        "limits": limits.as_dict(account),
        "locks_above": locks_above(connection, account),
        "spend": _spend(connection, account, limits),
    }


def _spend(connection: Connection, account: Account, limits: Limits) -> dict[str, Any]:
    """Return what calls cost in the day and the month that it is for the account, as far as they are posted.

    spent: None where the account came to be seen by a move since the day or month began: it tells of before.
    """
    caps = {"day": limits.day_max_micros, "month": limits.month_max_micros}
    arguments = {"zone": account.timezone, "account": account.id, "currency": account.currency}
    return {
        kind: {
            "window": window,
            "spent": None if spent is None else account.amount(spent),
            "limit": account.amount(caps[kind]) if caps[kind] else UNLIMITED,
        }
        for kind, window, spent in connection.execute(_SPEND, arguments).fetchall()
    }


def _live(redis_url: str, account: Account) -> dict[str, Any]:
    from tools.account.live import live  # noqa: PLC0415  redis-py takes a tenth of a second, and few ask for Redis

    return live(redis_url, account)


def _settings(values: Mapping[str, Plain]) -> dict[str, object]:
    """Return name -> text of what `account set` changes and no other line says."""
    said = {"name", "kind", "currency"}
    return {name: for_people(value) or "none" for name, value in values.items() if name not in said}


def _lines(account: Account, parts: dict[str, Any]) -> dict[str, object]:
    """Return name -> text for people."""
    below = f" below {account.parent}" if account.parent else ""
    lines: dict[str, object] = {"account": f"{account.id} {account.name}, {account.kind}{below}, {account.status}"}
    if not parts:
        return lines
    row = account.as_dict()
    lines["balance"] = (
        f"{row['balance']} {account.currency}: {row['credited']} credited, {row['charged']} charged by calls"
    )
    for other in parts["other_funds"]:
        lines[f"also {other['currency']}"] = f"{other['balance']} {other['currency']} {FORMER}"
    lines["pays"] = paying_sentence(account)
    why = f" ({account.lock_note})" if account.lock_note else ""
    lines["lock"] = account.lock + why + sentence(account.lock)
    for above in parts["locks_above"]:
        lines[f"locked by {above['id']}"] = f"{above['name']} above it: {above['lock']}{sentence(above['lock'])}"
    limits = {name: value for name, value in parts["limits"].items() if value != UNLIMITED and name != "credit_limit"}
    lines["limits"] = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in limits.items()) or "none"
    for kind, spend in parts["spend"].items():
        when = window_text(spend["window"])
        spent = UNTOLD if spend["spent"] is None else f"{spend['spent']} {account.currency} spent"
        lines[kind] = f"{spent} in {when} of {spend['limit']}"
    if parts["live"] is not None:
        lines["calls now"] = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in parts["live"].items())
    return lines
