"""From when until when: the options of all commands that ask for a time, one parser and one wording for them.

Rule: a time begins with its first moment and ends before its last one, so that two in a row share nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime, tzinfo
from typing import Any, Final

import typer

from tools.account.amounts import moment
from tools.errors import OperatorError

BEGIN: Final = (
    "The first moment, included: 2026-11-01, 2026-11-01T08:30, the same with a zone (…T08:30+01:00, …Z), today,"
    " yesterday, 24h or 7d (so long ago). Without a zone it is by the account's clock."
)
END: Final = "The same; excluded: 2026-12-01 means to the end of November. Default: now."


def _no_empty(context: typer.Context, option: typer.CallbackParam, value: str) -> str:
    """Return a time that was given. Raises OperatorError for an empty one: nobody who types it means all of time."""
    source = context.get_parameter_source(option.name or "")
    if not value and source is not None and source.name == "COMMANDLINE":
        moment(value, option.opts[0].removeprefix("--"), UTC)
    return value


def begin_option(name: str) -> Any:
    """Return the option that says where a time begins. name: such as --from."""
    return typer.Option(name, metavar="TIME", callback=_no_empty, help=BEGIN)


def end_option(name: str) -> Any:
    """Return the option that says where a time ends."""
    return typer.Option(name, metavar="TIME", callback=_no_empty, help=END)


def between(
    since: str, until: str, zone: tzinfo, names: tuple[str, str] = ("from", "to")
) -> tuple[datetime | None, datetime | None]:
    """Return the two moments that were typed, None where nothing was. zone: of texts that name none.

    names: of their options, without hyphens. Raises OperatorError, also where the end is not after the begin.
    """
    begin, end = names
    first = moment(since, begin, zone) if since else None
    last = moment(until, end, zone) if until else None
    if first and last and first >= last:
        raise OperatorError(f"{end}: {until} is not after --{begin} {since}")
    return first, last
