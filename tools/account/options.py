"""Arguments and options that several commands about money share, so that they read alike everywhere."""

from __future__ import annotations

from datetime import UTC
from typing import Annotated, Final

import typer

from tools.account.amounts import moment
from tools.tenant.catalogue import resource
from tools.tenant.completion import rows


def no_empty_time(context: typer.Context, option: typer.CallbackParam, value: str) -> str:
    """Return a time that was given. Raises OperatorError for an empty one: nobody who types it means all of time."""
    source = context.get_parameter_source(option.name or "")
    if not value and source is not None and source.name == "COMMANDLINE":
        moment(value, option.opts[0].removeprefix("--"), UTC)
    return value


DatabaseUrl = Annotated[
    str, typer.Option(envvar="DATABASE_URL", default_factory=str, show_default=False, help="Where: postgresql://…")
]
RedisUrl = Annotated[str, typer.Option(envvar="REDIS_URL", help="With it, also what calls in progress hold.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON; amounts as decimal strings.")]
Who = Annotated[
    str,
    typer.Argument(
        metavar="ACCOUNT",
        help="Its id (5 or #5), its name, or a path such as North/Alpha.",
        autocompletion=rows(resource("account")),
    ),
]
Amount = Annotated[str, typer.Argument(metavar="AMOUNT", help="In the account's currency, such as 12.50.")]
Note = Annotated[str, typer.Option(help="Why, for people.")]
Actor = Annotated[str, typer.Option(envvar="TANDEM_ACTOR", help="Who does it; default: the login name.")]
As = Annotated[
    str,
    typer.Option(
        "--as",
        metavar="ACCOUNT",
        envvar="TANDEM_AS",
        help="Act as this account: id, name or path; default: the root.",
        autocompletion=rows(resource("account")),
    ),
]
Currency = Annotated[
    str, typer.Option(help="Which of its funds, also one of a former currency; default: what it pays in.")
]
Request = Annotated[str, typer.Option(help="Name of this wish, such as an invoice number: repeated, it moves nothing.")]
Since = Annotated[
    str,
    typer.Option(
        "--from",
        callback=no_empty_time,
        help="Date, date and time, yesterday or 24h, in the account's time zone; included.",
    ),
]
Until = Annotated[str, typer.Option("--to", callback=no_empty_time, help="The same; not included. Default: now.")]

# A negative amount must reach the command, which says what is wrong with it, and not pass for an option.
SIGNED: Final = {"ignore_unknown_options": True}
