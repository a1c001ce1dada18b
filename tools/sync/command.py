"""`tandem sync`: keep Redis equal to Postgres."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from threading import Event
from typing import Annotated

import psycopg
import typer

from kemi.adapters.redis_client import StoreUnavailable
from tools.errors import OperatorError, not_set
from tools.printable import counted
from tools.sync.compare import Verdict, verify
from tools.sync.follow import Options, connections, follow

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def sync(
    *,
    once: Annotated[bool, typer.Option("--once", help="Stop when everything that waits is applied.")] = False,
    check: Annotated[bool, typer.Option("--verify", help="Compare all, both ways; exit 1 on any difference.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --once: allow mass deletion or a restored past.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --verify: print the differences as JSON.")] = False,
) -> None:
    """Keep Redis equal to Postgres (DATABASE_URL, REDIS_URL). Any number may run: one is active, others stand by."""
    if yes and not once:
        raise OperatorError("--yes allows one deliberate run and needs --once; the service never runs with it")
    options = options_from(os.environ, once=once, accept=yes)
    _log_to_stderr()
    if once or not check:
        follow(options, _stop_on_signals())
    if check:
        _report(_verdict(options), as_json=as_json)


def options_from(env: Mapping[str, str], *, once: bool = False, accept: bool = False) -> Options:
    """Return the options with the addresses in `env`. Raises OperatorError that names what is missing."""
    return Options(_address(env, "DATABASE_URL"), _address(env, "REDIS_URL"), once=once, accept=accept)


def _address(env: Mapping[str, str], name: str) -> str:
    if not env.get(name):
        raise not_set(name)
    return env[name]


def _verdict(options: Options) -> Verdict:
    try:
        with connections(options) as (source, store):
            return verify(source, store)
    except (psycopg.Error, StoreUnavailable) as error:
        raise OperatorError(f"cannot compare: {str(error).strip()}") from error


def _report(verdict: Verdict, *, as_json: bool) -> None:
    rows = [(difference.kind.view, difference.name, difference.what) for difference in verdict.differences]
    if as_json:
        found = [{"kind": kind, "name": name, "what": what} for kind, name, what in rows]
        typer.echo(json.dumps({"aggregates": verdict.aggregates, "differences": found}))
    else:
        for kind, name, what in rows:
            typer.echo(f"{kind} {name} {what}")
        typer.echo(f"{counted(len(rows), 'difference')} in {counted(verdict.aggregates, 'aggregate')}")
    if rows:
        sys.exit(1)


def _stop_on_signals() -> Event:
    """Return an event that the first SIGTERM or SIGINT sets: the pass in hand is finished, then the process ends."""
    stop = Event()
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: stop.set())
    return stop


def _log_to_stderr() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
