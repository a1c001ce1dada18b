"""The commands `tandem import …`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final
from zoneinfo import ZoneInfo

import typer

from tools.account.options import Actor, As, DatabaseUrl, Json
from tools.errors import OperatorError
from tools.imports import columns, values, words
from tools.imports import numbers as numbers_of
from tools.imports import routes as routes_of
from tools.imports.codes import Dialling
from tools.imports.decks import Bounds
from tools.imports.faults import BadValueError
from tools.imports.history import list_imports
from tools.imports.outcome import Manner
from tools.imports.rate_rows import Reading
from tools.imports.rates import Options, import_rates
from tools.imports.run import Source, Who
from tools.imports.source import delimiter_of
from tools.imports.table import Layout
from tools.imports.undo import undo_import
from tools.imports.values import Comma, DateOrder, Rounding
from tools.tenant.catalogue import resource
from tools.tenant.completion import rows

imports = typer.Typer(no_args_is_help=True, help="Price lists, routes and numbers from files, and their undo.")

File = Annotated[Path, typer.Argument(metavar="FILE", help="Comma separated values, as a carrier sends them.")]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map", metavar="NAME=COLUMN", help="A column by its heading or number; without COLUMN it is not read."
    ),
]
Delimiter = Annotated[str, typer.Option(help="One character, or tab, comma, semicolon, pipe; default: the likeliest.")]
Encoding = Annotated[str, typer.Option(help="Default: by the file's mark, else UTF-8, else Windows-1252.")]
NoHeading = Annotated[bool, typer.Option("--no-heading", help="The first row is data; --map gives columns by number.")]
Strip = Annotated[
    str, typer.Option(help="Taken off before each code, such as a technical prefix; 00 and + always are.")
]
Dates = Annotated[DateOrder, typer.Option(help="Which comes first in 01/02/2026, the day or the month.")]
Full = Annotated[bool, typer.Option("--full/--partial", help="Full: what the file does not name is removed.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Do it all, say what would change, and take it back.")]
Yes = Annotated[bool, typer.Option("--yes", help="Import also what looks absurd.")]
Errors = Annotated[Path | None, typer.Option(metavar="FILE", help="Where all that is wrong is written, as CSV.")]
Rise = Annotated[int, typer.Option(min=0, metavar="PERCENT", help="Stop where a price rises by more.")]
Fall = Annotated[int, typer.Option(min=0, metavar="PERCENT", help="Stop where a price falls by more.")]
Removed = Annotated[int, typer.Option(min=0, metavar="PERCENT", help="Stop where more of what there was would go.")]

_UTC: Final = ZoneInfo("UTC")
_BOUNDS: Final = Bounds()

Tariff = Annotated[
    str,
    typer.Option(help="Whose prices they are: name, OWNER/NAME or id.", autocompletion=rows(resource("tariff"))),
]
Since = Annotated[
    str,
    typer.Option("--from", help="When rows without a date begin to count, in the tariff's time zone; default: now."),
]
CommaIs = Annotated[Comma, typer.Option(help="What a comma in a price is; auto: refused where nobody can tell.")]
Round = Annotated[Rounding, typer.Option("--round", help="Of prices with more than 6 decimals.")]
Cents = Annotated[bool | None, typer.Option("--cents/--no-cents", help="Whether prices are in hundredths.")]
Currency = Annotated[str, typer.Option(help="What the prices are in; must be the tariff's.")]
Steps = Annotated[str, typer.Option(help="Of rows that say none, such as 60/6.")]
DropWaiting = Annotated[bool, typer.Option("--drop-waiting", help="Decks that wait for a later time go.")]
Carrier = Annotated[
    str,
    typer.Option(help="Whose routes they are: name, OWNER/NAME or id.", autocompletion=rows(resource("peering"))),
]
Account = Annotated[
    str,
    typer.Option(
        help="Whose numbers they are: id, name or path; default: the acting account.",
        autocompletion=rows(resource("account")),
    ),
]
Line = Annotated[str, typer.Option(metavar="USER@DOMAIN", help="The line that they reach where the file names none.")]
Every = Annotated[bool, typer.Option("--all", help="All of them; default: the last 100.")]
Number = Annotated[int, typer.Argument(metavar="ID", help="As `tandem import list` shows it.", min=1, max=2**62)]


@imports.command()
def rates(  # noqa: PLR0913  one parameter per option
    file: File, database_url: DatabaseUrl, *, tariff: Tariff, full: Full = False, since: Since = "",
    mapped: Map = None, delimiter: Delimiter = "", encoding: Encoding = "", no_heading: NoHeading = False,
    comma: CommaIs = Comma.auto, rounding: Round = Rounding.exact, cents: Cents = None, currency: Currency = "",
    dates: Dates = DateOrder.unsaid, increments: Steps = "1/1", strip: Strip = "", drop_waiting: DropWaiting = False,
    max_rise: Rise = _BOUNDS.rise_pct, max_fall: Fall = _BOUNDS.fall_pct,
    max_removed: Removed = _BOUNDS.removed_pct, dry_run: DryRun = False, yes: Yes = False, errors: Errors = None,
    as_json: Json = False, as_account: As = "", actor: Actor = "",
) -> None:  # fmt: skip
    """Import a price list into a tariff, whole or not at all.

    Columns (--map): prefix, or country_code and area_code; price; increments (60/6, 60/1/1), or first_s, next_s,
    least_s; connect, minimum; forbidden; action (new, deleted …); from; currency.
    """
    try:
        steps = values.increments(increments.strip())
    except BadValueError as error:
        raise OperatorError(f"--increments: {increments[:40]!r}: {error}") from error
    reading = Reading("", _UTC, None, comma, rounding, dates, steps, cents, Dialling(strip))
    source = _source(file, encoding, delimiter, mapped, errors, words.RATES, has_heading=not no_heading)
    bounds = Bounds(max_rise, max_fall, max_removed)
    options = Options(tariff, currency, since, full, drop_waiting, bounds, reading)
    import_rates(Who(database_url, as_account, actor), source, options, Manner(dry_run, yes, as_json))


@imports.command()
def routes(  # noqa: PLR0913  one parameter per option
    file: File, database_url: DatabaseUrl, *, carrier: Carrier, full: Full = False, mapped: Map = None,
    delimiter: Delimiter = "", encoding: Encoding = "", no_heading: NoHeading = False,
    dates: Dates = DateOrder.unsaid, strip: Strip = "", max_removed: Removed = _BOUNDS.removed_pct,
    dry_run: DryRun = False, yes: Yes = False, errors: Errors = None, as_json: Json = False,
    as_account: As = "", actor: Actor = "",
) -> None:  # fmt: skip
    """Import which calls a carrier takes, whole or not at all.

    Columns (--map): prefix, or country_code and area_code, empty for every number; callee_pattern, caller_pattern;
    stopper, block; enabled (or deleted); description; valid_from, valid_to; time_set.
    """
    source = _source(file, encoding, delimiter, mapped, errors, words.ROUTES, has_heading=not no_heading)
    options = routes_of.Options(carrier, full, max_removed, dates, Dialling(strip))
    routes_of.import_routes(Who(database_url, as_account, actor), source, options, Manner(dry_run, yes, as_json))


@imports.command()
def numbers(  # noqa: PLR0913  one parameter per option
    file: File, database_url: DatabaseUrl, *, account: Account = "", line: Line = "", full: Full = False,
    mapped: Map = None, delimiter: Delimiter = "", encoding: Encoding = "", no_heading: NoHeading = False,
    strip: Strip = "", max_removed: Removed = _BOUNDS.removed_pct, dry_run: DryRun = False, yes: Yes = False,
    errors: Errors = None, as_json: Json = False, as_account: As = "", actor: Actor = "",
) -> None:  # fmt: skip
    """Import the numbers of an account, whole or not at all.

    Columns (--map): number, also lists and ranges; line (user@domain; empty: it reaches nobody); status (active,
    suspended, closed, or deleted). What has no column stays as it is.
    """
    source = _source(file, encoding, delimiter, mapped, errors, words.NUMBERS, has_heading=not no_heading)
    options = numbers_of.Options(account, line, full, max_removed, Dialling(strip, numbers_of.DIGITS_MIN))
    numbers_of.import_numbers(Who(database_url, as_account, actor), source, options, Manner(dry_run, yes, as_json))


@imports.command("list")
def list_command(
    database_url: DatabaseUrl, *, every: Every = False, as_json: Json = False, as_account: As = "", actor: Actor = ""
) -> None:
    """List imports, the newest first."""
    list_imports(Who(database_url, as_account, actor), every=every, as_json=as_json)


@imports.command()
def undo(
    number: Number, database_url: DatabaseUrl, *, as_json: Json = False, as_account: As = "", actor: Actor = ""
) -> None:
    """Give back what was there before an import, unless something newer stands on it."""
    undo_import(Who(database_url, as_account, actor), number, as_json=as_json)


def _source(
    file: Path, encoding: str, delimiter: str, mapped: list[str] | None, errors: Path | None,
    synonyms: columns.Synonyms, *, has_heading: bool,
) -> Source:  # fmt: skip
    """Return how a file is written, as options say it. Raises OperatorError."""
    layout = Layout(columns.parse_map(mapped or (), synonyms), has_heading)
    return Source(file, encoding, delimiter and delimiter_of(delimiter), layout, errors)
