"""`tandem import rates`: a price list becomes decks of a tariff, in one transaction."""

from __future__ import annotations

from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import typer
from psycopg import Rollback
from psycopg.rows import class_row

from tools.account.amounts import decimal
from tools.account.tables import show_table
from tools.errors import OperatorError
from tools.imports import decks, staging, values
from tools.imports.decks import Plan, Wish
from tools.imports.faults import BadValueError, noted
from tools.imports.outcome import Manner, Outcome, brake, conclude, refuse
from tools.imports.progress import Steps, steps
from tools.imports.rate_rows import KIND, RateRows, Reading
from tools.imports.run import Source, Who
from tools.imports.source import Survey, rows, survey
from tools.imports.table import opened
from tools.printable import counted
from tools.session import Connection, Session, not_there, session, shown
from tools.tenant.catalogue import resource
from tools.tenant.naming import find_named

_TARIFF: Final = """
select t.id, t.name, t.currency, t.timezone, a.name as owner
  from tandem.tariff t join tandem.account a on a.id = t.account_id where t.id = %s
"""
_COUNTED: Final = {
    "new": "new", "removed": "removed", "increased": "increased", "decreased": "decreased",
    "other_terms": "other terms", "forbidden": "forbidden now", "allowed": "allowed again", "unchanged": "unchanged",
}  # fmt: skip
_ALWAYS: Final = frozenset({"new", "removed", "increased", "decreased", "unchanged"})


class Tariff(NamedTuple):
    """Whose prices come. timezone: in which dates without a zone are written."""

    id: int
    name: str
    currency: str
    timezone: str
    owner: str

    @property
    def shown(self) -> str:
        """Return it for people."""
        return f"tariff {self.id} {self.name} of {self.owner}, {self.currency}"


class Options(NamedTuple):
    """Options of a price list. currency: what the user says it is in, "" = nothing. since: of rows without a date.

    reading: how cells are meant; its currency, zone and since come with the tariff.
    """

    tariff: str
    currency: str
    since: str
    is_full: bool
    drops_waiting: bool
    bounds: decks.Bounds
    reading: Reading


class Run(NamedTuple):
    """An import under way."""

    connection: Connection
    tariff: Tariff
    file: Survey
    source: Source
    options: Options
    step: Steps

    @property
    def wish(self) -> Wish:
        """Return what the file is to do."""
        options = self.options
        return Wish(self.tariff.id, options.is_full, options.drops_waiting, options.bounds)


def import_rates(who: Who, source: Source, options: Options, manner: Manner) -> None:
    """Import a price list. Raises OperatorError; nothing has changed then."""
    file = survey(source.path, source.encoding)
    with session(who.database_url, as_account=who.as_account, actor=who.actor, program="tandem import") as acting:
        tariff = find_tariff(acting, options.tariff)
        with steps(shown=not manner.as_json) as step:
            run = Run(acting.connection, tariff, file, source, options, step)
            summary, plan = _planned(run, manner)
        if not manner.as_json:
            _show(run, summary, plan)
        brakes = decks.brakes(plan, options.bounds)
        brake(brakes, manner)
        import_id = None
        if not manner.is_dry and not plan.is_empty:
            import_id = decks.switch(run.connection, run.wish, plan, file, summary)
        conclude(Outcome(file, tariff.shown, summary, brakes, import_id), manner)
        if import_id is None:
            raise Rollback


def _planned(run: Run, manner: Manner) -> tuple[dict[str, Any], Plan]:
    """Return what the file says and what it changes. Raises OperatorError for anything wrong in it."""
    with noted(run.source.errors) as faults:
        here = staging.open_stage(run.connection, run.tariff.id)
        run.step.begin("reading", run.file.size)
        read = rows(run.file, run.source.delimiter, faults, run.step.reach)
        table = opened(read, KIND, run.source.layout)
        rates = RateRows(table, _reading(run), faults)
        staged = staging.copy_rates(run.connection, rates, here)
        staging.copy_prices(run.connection, rates.prices.items())
        run.step.begin("sorting")
        codes = staging.gather(run.connection, run.tariff.id, table.columns.name(rates.code), faults)
        refuse(faults, run.file, manner, str(run.source.errors or ""))
    if not codes:
        raise OperatorError(f"file: {run.file.path.name!r} names no code")
    run.step.begin("comparing and building")
    plan = decks.build(run.connection, run.wish, staged)
    counts = {"lines": rates.lines, "codes": codes, "said_twice": staged.codes - codes}
    return {**counts, "full": run.options.is_full, "decks": [deck.as_dict() for deck in plan.decks]}, plan


def _reading(run: Run) -> Reading:
    """Return how cells are meant, with what the tariff says. Raises OperatorError where the options contradict it."""
    tariff, options = run.tariff, run.options
    if options.currency and options.currency.upper() != tariff.currency:
        raise OperatorError(f"--currency: {shown(options.currency)} is not that of {tariff.shown}")
    zone = ZoneInfo(tariff.timezone)
    since = None
    if options.since:
        try:
            since = values.moment(options.since, options.reading.dates, zone)
        except BadValueError as error:
            raise OperatorError(f"--from: {shown(options.since)}: {error}") from error
    return options.reading._replace(currency=tariff.currency, zone=zone, since=since)


def find_tariff(acting: Session, who: str) -> Tariff:
    """Return the tariff that a text names. Raises OperatorError: none, several, or one whose owner is not seen."""
    tariff_id = find_named(acting.connection, resource("tariff"), who, acting.account_id, "tariff")
    found = acting.connection.cursor(row_factory=class_row(Tariff)).execute(_TARIFF, (tariff_id,)).fetchone()
    if found is None:
        raise not_there("tariff", who)
    return found


def _show(run: Run, summary: dict[str, Any], plan: Plan) -> None:
    """Print what changes, for people."""
    kind = "full" if run.options.is_full else "partial"
    twice = f", {summary['said_twice']:,} said twice" if summary["said_twice"] else ""
    size = f"{counted(summary['lines'], 'line')}, {counted(summary['codes'], 'code')}{twice}"
    typer.echo(f"{run.tariff.shown}: {kind} deck, {size}")
    for deck in plan.decks:
        changed = (
            f"{deck.counts[key]:,} {name}" for key, name in _COUNTED.items() if deck.counts[key] or key in _ALWAYS
        )
        typer.echo(f"{f'from {decks.shown(deck.since)}' if deck.since else 'at once'}: {', '.join(changed)}")
        changes = [
            {"code": prefix, "before": decimal(old, 0), "after": decimal(new, 0), "change": _percent(old, new)}
            for prefix, old, new in deck.counts["extremes"]
        ]
        if changes:
            show_table({"code": "code", "before": "before", "after": "after", "change": "change"}, changes)
    for since in plan.dropped:
        typer.echo(f"the deck that waited for {decks.shown(since)} goes")


def _percent(old: int, new: int) -> str:
    found = decks.percent(old, new)
    return "from nothing" if found is None else f"{found:+,.1f} %"
