"""`tandem demo` and `tandem scenarios`: real calls, and a table of what became of them."""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from tools.errors import not_set
from tools.scenario.observe import Record, Watch
from tools.scenario.run import Endpoint, Result, load_worlds, play
from tools.scenario.spec import discover
from tools.settle.command import options_from, verdict

ROOT = Path(__file__).resolve().parents[2] / "sipp-scenarios"
AT_ONCE = 4
"""Scenarios played at the same time: they have worlds and addresses of their own, and these machines two cores."""

_console = Console(width=132)


def play_all(area: str, endpoint: Endpoint, folder: Path) -> list[Result]:
    """Play every scenario of an area ("" = all), several at once. Returns the results in order."""
    scenarios = discover(ROOT, area)
    run_id = f"{time.time_ns() // 1_000_000:x}"
    watch = Watch(endpoint.database_url, endpoint.redis_url)
    try:
        load_worlds(scenarios, watch)
    finally:
        watch.close()

    def one(index: int) -> Result:
        own = Watch(endpoint.database_url, endpoint.redis_url)
        try:
            scenario = scenarios[index]
            return play(scenario, endpoint, own, folder / scenario.label, run_id)
        finally:
            own.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(len(scenarios))))


def demo() -> None:
    """Place the calls of the demo through the running stack; exit 0 only if every outcome is the expected one."""
    endpoint = endpoint_from(os.environ)
    results = play_all("calls", endpoint, _folder())
    _console.print(_calls(results))
    money = _money(endpoint)
    _explain(results)
    good = sum(not result.problems for result in results)
    typer.echo(f"{len(results)} calls, {good} as expected")
    raise typer.Exit(0 if good == len(results) and money else 1)


def scenarios(area: Annotated[str, typer.Option(help="directory below sipp-scenarios/; empty: all")] = "") -> None:
    """Play the SIPp scenarios of one area and say which passed."""
    results = play_all(area, endpoint_from(os.environ), _folder())
    for result in results:
        typer.echo(
            f"{'passed' if not result.problems else 'FAILED'}  {result.scenario.name}: {result.scenario.summary}"
        )
    _explain(results)
    good = sum(not result.problems for result in results)
    typer.echo(f"{len(results)} scenarios, {good} passed")
    raise typer.Exit(0 if good == len(results) else 1)


def endpoint_from(env: dict[str, str] | os._Environ[str]) -> Endpoint:
    """Return the stack that `.run/env` describes. Raises OperatorError when it is not in the environment."""
    try:
        return Endpoint(env["TANDEM_SIP"], env["DATABASE_URL"], env["REDIS_URL"], env.get("TANDEM_SIP6", ""))
    except KeyError as error:
        raise not_set(error.args[0]) from error


def _folder() -> Path:
    run_dir = os.environ.get("RUN_DIR")
    return Path(run_dir) / "scenarios" if run_dir else Path(tempfile.mkdtemp(prefix="tandem-"))


def _calls(results: list[Result]) -> Table:
    table = Table(title="Calls of the demo", title_justify="left", box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    for column in ("", "call", "caller, callee", "expected", "came out", "carrier", "s", "price at each level"):
        table.add_column(column, justify="right" if column == "s" else "left", no_wrap=column.startswith("price"))
    for number, result in enumerate(results, start=1):
        call, record = result.scenario.call, result.record
        expected = f"{call.outcome} {call.status} {call.reason}" if call.cdr else f"challenged {call.status}"
        came = f"{record.outcome} {record.status} {record.reason}" if record else f"challenged {call.status}"
        table.add_row(
            str(number),
            result.scenario.path.name.partition(".")[2].replace("-", " "),
            f"{call.caller}\n→ {call.callee}",
            expected.strip(),
            f"[red]{came.strip()}[/red]" if result.problems else came.strip(),
            record.carrier if record else "",
            str(record.billed_s) if record and record.billed_s else "",
            _prices(record) if record else "",
        )
    return table


def _prices(record: Record) -> str:
    """Return what each level paid, nearest to the caller first, and last what the carrier gets."""
    paid = sorted((leg for leg in record.legs if leg[3]), key=lambda leg: leg[0] or len(record.legs) + 1)
    return "\n".join(
        f"{payer if level else 'carrier gets'} {charged / 1e6:.4f} {charged_in}"
        for level, payer, _, _, _, charged, charged_in in paid
    )


def _money(endpoint: Endpoint) -> bool:
    """Print whether the ledger sums to zero and the invariants of the money hold; return whether they do."""
    watch = Watch(endpoint.database_url, endpoint.redis_url)
    try:
        sums = watch.ledger()
    finally:
        watch.close()
    for currency, entries, micros in sums:
        typer.echo(f"ledger: {entries} entries in {currency} sum to {micros}")
    report = verdict(options_from(os.environ))
    for line in (*report.numbers, *report.differences):
        typer.echo(line)
    typer.echo(f"{len(report.differences)} differences in {report.funds} funds")
    return not report.differences and not any(micros for _, _, micros in sums)


def _explain(results: list[Result]) -> None:
    for result in results:
        for problem in result.problems:
            typer.echo(f"{result.scenario.name}: {problem}")
