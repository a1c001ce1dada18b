"""`tandem rewrite country DE`: the usual national rules, shown, or written into a rewrite set."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from kemi.core.pattern import compile_pattern
from tools.account.options import Actor, As, DatabaseUrl, Json
from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.national.rules import Rule, name_of, plan_of, rules_in, rules_out
from tools.session import Connection, find_account, session

rewrite: Final = typer.Typer(no_args_is_help=True, help="Rewrite sets: how numbers are dialled and sent.")

Country = Annotated[str, typer.Argument(metavar="COUNTRY", help="Two letters, such as DE.")]
SetName = Annotated[str, typer.Option("--set", help="Name of the rewrite set that gets the rules; made if missing.")]
Owner = Annotated[
    str, typer.Option("--account", metavar="ACCOUNT", help="Whose set: id, or name where only one has it.")
]
Out = Annotated[bool, typer.Option("--out", help="Also towards the next hop, in national format.")]
Prefix = Annotated[str, typer.Option(help="International prefix that --out sends, where the country has several.")]
Dry = Annotated[bool, typer.Option("--dry-run", help="Show the rules, write nothing.")]
Replace = Annotated[bool, typer.Option("--replace", help="Rules that the set has on these sides give way.")]

_SET: Final = """
insert into tandem.rewrite_set(account_id, name) values (%s, %s)
on conflict (account_id, name) do update set name = excluded.name returning id
"""
_RULE: Final = """
insert into tandem.rewrite_rule(rewrite_set_id, side, priority, pattern, replacement) values (%s, %s, %s, %s, %s)
"""


@rewrite.callback()
def sets() -> None:
    """Rewrite sets: how numbers are dialled and sent."""


@rewrite.command()
def country(  # noqa: PLR0913  one parameter per option
    country: Country, database_url: DatabaseUrl, *,
    set_name: SetName = "", account: Owner = "", out: Out = False, prefix: Prefix = "", dry_run: Dry = False,
    replace: Replace = False, actor: Actor = "", as_account: As = "", as_json: Json = False,
) -> None:  # fmt: skip
    """Make the usual rules of a country: international prefix, trunk prefix and "+" become E.164.

    Without --set they are only shown. With it all of them are written in one transaction.
    """
    plan, rules = plan_of(country), made(country, out=out, prefix=prefix)
    written = ""
    if set_name and not dry_run:
        if not account:
            raise OperatorError("account: a rewrite set belongs to one; name it by --account")
        with session(database_url, as_account=as_account, actor=actor, program="tandem rewrite") as own:
            written = _written(own.connection, account, set_name, rules, replace=replace)
    if as_json:
        typer.echo(json.dumps({"country": plan.region, "set": written, "rules": [rule._asdict() for rule in rules]}))
        return
    show_table({name: name for name in Rule._fields}, [rule._asdict() for rule in rules])
    state = f"written into {written}" if written else "nothing is written" + ("" if set_name else "; --set does it")
    typer.echo(f"{name_of(plan)}: {len(rules)} rules, {state}")


def made(country: str, *, out: bool = False, prefix: str = "") -> list[Rule]:
    """Return a country's rules, each of which a worker runs. Raises OperatorError."""
    if prefix and not (prefix.isascii() and prefix.isdecimal()):
        raise OperatorError(f"prefix: {prefix[:40]!r} is none, such as 00")
    plan = plan_of(country)
    rules = rules_in(plan)
    if out:
        rules += rules_out(plan._replace(sent_international=prefix or plan.sent_international))
    faults = [f"{rule.pattern}: {fault}" for rule in rules if (fault := compile_pattern(rule.pattern).fault)]
    if faults:
        raise OperatorError(f"country: the numbers of {plan.region} need a rule by hand: {'; '.join(faults)}")
    return rules


def _written(connection: Connection, account: str, name: str, rules: Sequence[Rule], *, replace: bool) -> str:
    """Write rules into an account's set, made if it is missing; return which one that is."""
    owner = find_account(connection, account)
    sides = sorted({rule.side for rule in rules})
    (set_id,) = connection.execute(_SET, (owner.id, name)).fetchall()[0]
    if replace:
        connection.execute(
            "delete from tandem.rewrite_rule where rewrite_set_id = %s and side = any (%s)", (set_id, sides)
        )
    else:
        _insist_on_empty(connection, set_id, name, sides)
    with connection.cursor() as cursor:
        cursor.executemany(_RULE, [(set_id, *rule[:4]) for rule in rules])
    return f"rewrite set {set_id} {name} of {owner.name}"


def _insist_on_empty(connection: Connection, set_id: int, name: str, sides: Sequence[str]) -> None:
    query = "select side, count(*) from tandem.rewrite_rule where rewrite_set_id = %s and side = any (%s) group by side"
    found: dict[str, int] = dict(connection.execute(query, (set_id, sides)).fetchall())
    if found:
        has = ", ".join(f"{count} of {side}" for side, count in sorted(found.items()))
        raise OperatorError(f"set: {name!r} has rules already ({has}); --replace removes them")
