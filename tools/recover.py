"""`tandem recover`: how the rebuild of the money in Redis gets on, and an operator's word where one is needed."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC
from threading import Event
from typing import Annotated, Any, Final, NamedTuple

import psycopg
import typer

from kemi.adapters.redis_client import StoreUnavailable
from kemi.core.amounts import amount
from tools.errors import OperatorError
from tools.settle.books import Books, Epoch, EpochMovedError
from tools.settle.cell import Cell
from tools.settle.command import options_from
from tools.settle.past import Accepted, accept, in_the_past, past
from tools.settle.progress import Step
from tools.settle.service import Options, connections
from tools.settle.sums import parts
from tools.sync.follow import Options as SyncOptions
from tools.sync.follow import follow

LEAD_DEADLINE_S: Final = 30.0
POLL_S: Final = 0.2


class Shown(NamedTuple):
    """What is shown: the newest epoch, the steps of the rebuild under way or the last one, and what it found lost.

    fault: what an operator has to decide, "" = nothing.
    """

    fault: str
    epoch: Epoch
    steps: list[Step]
    reports: list[Any]

    def json(self) -> str:
        """Return it in one line of JSON."""
        steps = [{**step._asdict(), "at": step.at.isoformat(timespec="milliseconds")} for step in self.steps]
        epoch = {"fault": self.fault, "epoch": self.epoch.number, "state": self.epoch.state}
        return json.dumps({**epoch, "steps": steps, "lost": self.reports})


def recover(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on showing steps until calls are taken.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one line of JSON.")] = False,
    accept_past: Annotated[
        bool, typer.Option("--accept-past", help="Go on with a Postgres that was restored to the past.")
    ] = False,
) -> None:
    """Show the rebuild of the money in Redis that is under way, or the last one (DATABASE_URL, REDIS_URL).

    `tandem settle` rebuilds by itself whatever Redis has lost. It asks where Postgres was restored to the past:
    --accept-past posts the retained stream again, lets sync make Redis equal, and says what is lost for good. What a
    rebuild found lost is kept in tandem.recovery and tandem.fund_loss.
    """
    options = options_from(os.environ)
    try:
        if accept_past:
            _print_accepted(accepted(options), as_json=as_json)
        else:
            _show(options, watch=watch, as_json=as_json)
    except (psycopg.Error, StoreUnavailable, EpochMovedError) as error:
        raise OperatorError(f"not done; run it again: {str(error).strip()}") from error


def accepted(options: Options) -> Accepted:
    """Go on with a Postgres in the past. Raises OperatorError where it is not, psycopg errors, StoreUnavailable."""
    with connections(options) as found:
        _lead(found.books)
        sync = SyncOptions(options.database_url, options.redis_url, once=True, accept=True)
        return accept(*found, lambda: follow(sync, Event()))


def shown(books: Books, cell: Cell) -> Shown:
    """Return how it stands, as far as Redis answers. Raises psycopg errors."""
    try:
        found = past(books, cell)
    except StoreUnavailable:
        found = ""
    fault = in_the_past(found) if found else ""
    steps = books.progress.last()
    return Shown(fault, books.epoch(), steps, books.progress.reported(sorted({step.epoch for step in steps})))


def _lead(books: Books) -> None:
    deadline_s = time.monotonic() + LEAD_DEADLINE_S
    while not books.lead():
        if time.monotonic() > deadline_s:
            raise OperatorError("a tandem settle process is rebuilding; `tandem recover` shows how far it is")
        time.sleep(POLL_S)


def _show(options: Options, *, watch: bool, as_json: bool) -> None:
    with connections(options) as stores:
        found, lines = shown(stores.books, stores.cell), 0
        while watch:
            lines = _print_steps(found.steps, lines)
            if found.fault or found.epoch.state == "armed":
                break
            time.sleep(POLL_S)
            found = shown(stores.books, stores.cell)
    if as_json:
        typer.echo(found.json())
        return
    _print_steps(found.steps, lines)
    for report in found.reports:
        _print_lost(report)
    if found.fault:
        typer.echo(found.fault)
    typer.echo(f"epoch {found.epoch.number} is {found.epoch.state}")


def _print_steps(steps: list[Step], start: int) -> int:
    """Print the steps from `start` on; return how many there are."""
    for step in steps[start:]:
        typer.echo(f"{step.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC  epoch {step.epoch}  {step.step:<9}  {step.said}")
    return len(steps)


def _print_lost(report: dict[str, Any]) -> None:
    for fund in report["funds"]:
        currency = parts(fund["fund"])[1]
        before, after, unproven = (
            amount(fund.get(name, 0), currency)
            for name in ("charged_before_micros", "charged_micros", "unproven_micros")
        )
        typer.echo(
            f"fund {fund['fund']}: charged {before} → {after}, {fund['events_lost']} events lost,"
            f" {unproven} no longer charged because nobody knows what for"
        )
    typer.echo(
        f"epoch {report['epoch']}: at least {report['operations_lost']} operations were lost, {report['events_lost']}"
        f" events; {report['voided']} open calls were given up"
    )
    if report["unreadable"]:
        typer.echo(f"{report['unreadable']} calls could not be read: `tandem settle poison list`")


def _print_accepted(done: Accepted, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps({**done._asdict(), "lost": [fund._asdict() for fund in done.lost]}))
        return
    for fund in done.lost:
        charged = amount(fund.micros, parts(fund.fund)[1])
        typer.echo(f"fund {fund.fund}: {fund.events} events are lost for good, {charged} stay charged")
    typer.echo(
        f"epoch {done.epoch}: Postgres has {done.entries} ledger entries again, {done.set_aside} events are set aside"
    )
