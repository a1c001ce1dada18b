"""`tandem settle`: events of calls into Postgres, dead leases, arming, and whether the money agrees."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from threading import Event
from typing import Annotated, Final

import psycopg
import typer

from kemi.adapters.redis_client import StoreUnavailable
from tools.errors import OperatorError, not_set
from tools.printable import counted
from tools.settle.poison import poison
from tools.settle.reconcile import Report, reconcile
from tools.settle.service import Options, connections, reread, run_once, serve

STOP_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def settle(
    ctx: typer.Context,
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop when everything that waits is posted.")] = False,
    again: Annotated[
        bool, typer.Option("--reread", help="Post the whole stream again, for a Postgres that was restored, and stop.")
    ] = False,
    verify: Annotated[bool, typer.Option("--verify", help="Compare the money; exit 1 on any difference.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --verify: print the comparison as JSON.")] = False,
) -> None:
    """Post the events of calls to Postgres, exactly once (DATABASE_URL, REDIS_URL). Any number may run."""
    if ctx.invoked_subcommand is not None:
        return
    options = options_from(os.environ)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if once or again:
        done = reread(options) if again else run_once(options)
        typer.echo(f"{done.entries} events posted, {done.added} new ledger entries, {done.poisoned} events set aside")
    elif not verify:
        serve(options, _stop_on_signals())
    if verify:
        _print(verdict(options), as_json=as_json)


app: Final = typer.Typer(help="Settlement of calls.")
app.callback(invoke_without_command=True)(settle)
app.add_typer(poison, name="poison")


def options_from(env: Mapping[str, str]) -> Options:
    """Return the options in `env`. Raises OperatorError that names the variable."""
    return Options(
        database_url=_text(env, "DATABASE_URL"),
        redis_url=_text(env, "REDIS_URL"),
        slice_s=_number(env, "TANDEM_SLICE_S", 60, 1, 3_600),
        grace_s=_number(env, "TANDEM_GRACE_S", 10, 1, 600),
        retention_s=_number(env, "TANDEM_EVENT_RETENTION_S", 86_400, 60, 31_536_000),
    )


def verdict(options: Options) -> Report:
    """Compare Redis and Postgres. Raises OperatorError where one of them does not answer."""
    try:
        with connections(options) as parts:
            return reconcile(*parts)
    except (psycopg.Error, StoreUnavailable) as error:
        raise OperatorError(f"cannot compare: {str(error).strip()}") from error


def _print(report: Report, *, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(report._asdict()))
    else:
        for line in (*report.numbers, *report.differences):
            typer.echo(line)
        typer.echo(f"{counted(len(report.differences), 'difference')} in {counted(report.funds, 'fund')}")
    if report.differences:
        sys.exit(1)


def _stop_on_signals() -> Event:
    """Return an event that the first SIGTERM or SIGINT sets: the batch in hand is finished, then the process ends."""
    stop = Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    return stop


def _text(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise not_set(name)
    return env[name]


def _number(env: Mapping[str, str], name: str, default: int, low: int, high: int) -> int:
    text = env.get(name, str(default))
    if not text.isdecimal() or not low <= int(text) <= high:
        raise OperatorError(f"{name}: {text!r} is not a whole number from {low} to {high}")
    return int(text)
