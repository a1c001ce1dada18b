"""`tandem report`: calls and money as whoever asks may see them, in the account's time zone and language."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from tools.account.options import As, DatabaseUrl, Since, Until
from tools.report.balance import WAYS as STEPS
from tools.report.balance import balance
from tools.report.calls import calls
from tools.report.margin import WAYS, margin
from tools.report.subject import Form, Subject, subject, writer
from tools.report.traffic import traffic
from tools.report.writers import Writer
from tools.session import Session, session
from tools.tenant.catalogue import resource
from tools.tenant.completion import chosen, rows
from tools.tenant.kinds import LANGUAGES

Account = Annotated[
    str,
    typer.Option(
        metavar="ACCOUNT",
        help="Id (5 or #5), name or path; default: the account that you act as.",
        autocompletion=rows(resource("account")),
    ),
]
AsCsv = Annotated[bool, typer.Option("--csv", help="Comma separated values: decimals with a dot, times in ISO 8601.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON, a row a line; amounts as decimal strings by currency.")]
Language = Annotated[
    str,
    typer.Option(
        metavar="CODE",
        help="en, fr or ru, with or without a region; default: the account's.",
        autocompletion=chosen(*LANGUAGES),
    ),
]
Ways = Annotated[
    list[str] | None,
    typer.Option(
        "--by",
        metavar="WAY",
        help="A line each: day, destination, account, carrier; several may be given.",
        autocompletion=chosen(*WAYS),
    ),
]
Step = Annotated[
    str, typer.Option("--by", metavar="STEP", help="A line each: day or month.", autocompletion=chosen(*STEPS))
]

Write = Callable[[Session, Subject, Writer], None]

report = typer.Typer(no_args_is_help=True, help="Calls, margins, traffic and balances, as you may see them.")


@report.command()
def cdr(  # noqa: PLR0913  one parameter per option
    database_url: DatabaseUrl, *,
    since: Since, until: Until = "", account: Account = "", language: Language = "",
    as_csv: AsCsv = False, as_json: AsJson = False, as_account: As = "",
) -> None:  # fmt: skip
    """List the calls of an account that ended in a time, with its own prices and those of whoever is directly below."""
    _report(database_url, as_account, Form(account, since, until, language, as_csv, as_json), calls)


@report.command(name="margin")
def show_margin(  # noqa: PLR0913  one parameter per option
    database_url: DatabaseUrl, *,
    since: Since, until: Until = "", account: Account = "", by: Ways = None, language: Language = "",
    as_csv: AsCsv = False, as_json: AsJson = False, as_account: As = "",
) -> None:  # fmt: skip
    """Show what calls brought an account, what it paid for them, and the difference; nobody reads another one's."""

    def write(acting: Session, of: Subject, out: Writer) -> None:
        margin(acting, of, out, _words(by))

    _report(database_url, as_account, Form(account, since, until, language, as_csv, as_json), write)


@report.command(name="traffic")
def show_traffic(  # noqa: PLR0913  one parameter per option
    database_url: DatabaseUrl, *,
    since: Since, until: Until = "", account: Account = "", by: Ways = None, language: Language = "",
    as_csv: AsCsv = False, as_json: AsJson = False, as_account: As = "",
) -> None:  # fmt: skip
    """Show attempts, answered calls (ASR), their length (ACD), how soon they rang (PDD), and minutes."""

    def write(acting: Session, of: Subject, out: Writer) -> None:
        traffic(acting, of, out, _words(by))

    _report(database_url, as_account, Form(account, since, until, language, as_csv, as_json), write)


@report.command(name="balance")
def show_balance(  # noqa: PLR0913  one parameter per option
    database_url: DatabaseUrl, *,
    since: Since, until: Until = "", account: Account = "", by: Step = "day", language: Language = "",
    as_csv: AsCsv = False, as_json: AsJson = False, as_account: As = "",
) -> None:  # fmt: skip
    """Show the balance of an account day by day: opening, credits, debits, calls, closing; by the time of posting."""

    def write(acting: Session, of: Subject, out: Writer) -> None:
        balance(acting, of, out, by)

    _report(database_url, as_account, Form(account, since, until, language, as_csv, as_json), write)


def _report(database_url: str, as_account: str, form: Form, write: Write) -> None:
    with session(database_url, as_account=as_account, program="tandem report") as acting:
        acting.connection.execute("set local jit = off")  # compiling a sum takes longer than reading a day of calls
        of = subject(acting, form)
        write(acting, of, writer(form, of))


def _words(by: Sequence[str] | None) -> tuple[str, ...]:
    """Return what --by says, given several times or with commas."""
    return tuple(word.strip() for each in by or () for word in each.split(",") if word.strip())
