"""Arguments and options that several commands about money share, so that they read alike everywhere."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from tools.account.times import begin_option, end_option
from tools.tenant.catalogue import resource
from tools.tenant.completion import rows

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
Since = Annotated[str, begin_option("--from")]
Until = Annotated[str, end_option("--to")]

# A negative amount must reach the command, which says what is wrong with it, and not pass for an option.
SIGNED: Final = {"ignore_unknown_options": True}
