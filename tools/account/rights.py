"""What an account may change by itself: `tandem account grant|revoke|rights`.

Rule 1: an account gives at most what it has itself, and never to itself. Rule 2: what is taken from one is taken from
all below it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from tools.account.options import Actor, As, DatabaseUrl, Json, Who
from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.session import Connection, Found, Session, find_account, session, shown
from tools.tenant.catalogue import resource
from tools.tenant.completion import chosen, rows

RIGHTS: Final = {
    "accounts": "make accounts below itself",
    "prices": "make tariffs and set prices",
    "money": "credit, debit and limit accounts below it",
    "carriers_seen": "see the carriers of accounts above, by name",
    "carriers_own": "have carriers of its own",
    "domains": "make SIP domains",
    "numbers": "bring in new numbers",
    "routing": "say how its calls are routed",
    "callflows": "make users, groups and callflows",
}

Rights = Annotated[
    list[str],
    typer.Argument(
        metavar="RIGHT…",
        help="; ".join(f"{name}: {what}" for name, what in RIGHTS.items()),
        autocompletion=chosen(*RIGHTS),
    ),
]
Of = Annotated[
    str,
    typer.Argument(
        metavar="[ACCOUNT]",
        help="Id (5 or #5), name or path; default: who acts.",
        autocompletion=rows(resource("account")),
    ),
]

_GRANT: Final = """
insert into tandem.account_grant(account_id, right_name) select %s, unnest(%s::text[])
on conflict do nothing returning right_name
"""
_HAS: Final = "select right_name from tandem.account_grant where account_id = %s"
_RESTING: Final = """
with recursive resting as (
  select g.account_id, g.right_name from tandem.account_grant g where g.account_id = %s and g.right_name = any (%s)
  union all
  select g.account_id, g.right_name from resting r
    join tandem.account_grant g on g.parent_id = r.account_id and g.right_name = r.right_name
)
select a.id, a.name, array_agg(r.right_name order by r.right_name)
  from resting r join tandem.account a on a.id = r.account_id group by a.id order by a.id
"""


def grant(
    who: Who, right_names: Rights, database_url: DatabaseUrl, *,
    actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Give an account rights, which its parent must have."""
    wanted = _known(right_names)
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        account = _other(own, who)
        _insist_on_parent(own.connection, account, wanted)
        new = sorted(row[0] for row in own.connection.execute(_GRANT, (account.id, wanted)).fetchall())
    if as_json:
        typer.echo(json.dumps({"account": account.id, "name": account.name, "granted": new}))
    else:
        typer.echo(f"account {account.id} {account.name}: {', '.join(new) or 'nothing new'} granted")


def revoke(
    who: Who, right_names: Rights, database_url: DatabaseUrl, *,
    actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Take rights from an account and from all below it."""
    wanted = _known(right_names)
    with session(database_url, as_account=as_account, actor=actor, program="tandem account") as own:
        account = _other(own, who)
        lost = own.connection.execute(_RESTING, (account.id, wanted)).fetchall()
        own.connection.execute(
            "delete from tandem.account_grant where account_id = %s and right_name = any (%s)", (account.id, wanted)
        )
    if as_json:
        rows = [{"account": key, "name": name, "revoked": rights} for key, name, rights in lost]
        typer.echo(json.dumps(rows))
        return
    if not lost:
        typer.echo(f"account {account.id} {account.name} has none of them")
    for key, name, rights in lost:
        typer.echo(f"account {key} {name}: {', '.join(rights)} revoked")


def rights(database_url: DatabaseUrl, who: Of = "", *, as_account: As = "", as_json: Json = False) -> None:
    """Show which rights an account has; the root has them all."""
    with session(database_url, as_account=as_account, program="tandem account") as own:
        account = find_account(own.connection, who or str(own.account_id))
        has = _rights_of(own.connection, account.id, is_root=account.is_root)
    if as_json:
        typer.echo(json.dumps({"account": account.id, "name": account.name, "rights": has}))
        return
    typer.echo(f"account {account.id} {account.name}")
    rows = [{"right": name, "has": "yes" if name in has else "", "what": what} for name, what in RIGHTS.items()]
    show_table({"right": "right", "has": "has it", "what": "to"}, rows)


def _known(names: Sequence[str]) -> list[str]:
    """Return rights, each once. Raises OperatorError naming them all."""
    for name in names:
        if name not in RIGHTS:
            raise OperatorError(f"right: {shown(name)} is not one of {', '.join(RIGHTS)}")
    return sorted(set(names))


def _other(own: Session, who: str) -> Found:
    """Return an account whose rights the acting one changes. Raises OperatorError for itself and for the root."""
    account = find_account(own.connection, who)
    if account.is_root:
        raise OperatorError(f"account: {account.id} {account.name!r} is the root, which has every right for ever")
    if account.id == own.account_id:
        raise OperatorError(f"account: {account.id} {account.name!r} is who acts; only one above it changes its rights")
    return account


def _insist_on_parent(connection: Connection, account: Found, wanted: Sequence[str]) -> None:
    parent = find_account(connection, str(account.parent_id))
    has = _rights_of(connection, parent.id, is_root=parent.is_root)
    lacking = [name for name in wanted if name not in has]
    if lacking:
        rule = f"account {parent.id} {parent.name!r} above it has not"
        raise OperatorError(f"right: {', '.join(lacking)} cannot be given to account {account.id}: {rule}")


def _rights_of(connection: Connection, account_id: int, *, is_root: bool) -> list[str]:
    if is_root:
        return sorted(RIGHTS)
    return sorted(row[0] for row in connection.execute(_HAS, (account_id,)).fetchall())
