"""`tandem load` and `tandem soak`."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from tools.errors import OperatorError
from tools.load import plot, show
from tools.load import soak as soaking
from tools.load.overload import Search
from tools.load.run import Report, Stack, play, prepare
from tools.load.spec import Scenario, Wanted, discover, named, require_loopback, wanted
from tools.stack.layout import Layout
from tools.stack.stack import Stack as PrivateStack
from tools.stack.stack import running_or_started

KEPT: Final = 20  # runs whose folders stay
MINUTES_MAX: Final = 1_440.0
SOAKED: Final = "mixed"
RESULT, PLOT = "result.json", "plot.png"

Rate = Annotated[float | None, typer.Option(help="calls a second; unless said, as the scenario says")]


def load(
    scenario: Annotated[str, typer.Argument(help="its name, as --list shows it")] = "",
    rate: Rate = None,
    calls: Annotated[int | None, typer.Option(help="how many; unless said, as the scenario says")] = None,
    hold: Annotated[float | None, typer.Option(help="seconds that an answered call talks")] = None,
    list_: Annotated[bool, typer.Option("--list", help="show the scenarios and place no call")] = False,
) -> None:
    """Place the SIPp calls of a load scenario through the stack, and compare each with its record; exit 1 on a finding.

    Without a running stack one is started for it. Figures, plot and traces: .run/load/.
    """
    if list_:
        show.scenarios(discover())
        return
    found = named(scenario)
    asked = wanted(found, rate, calls, hold)
    with _stack(os.environ) as stack:
        prepare(found, stack)
        folder = _folder(stack.run_dir, found.name)
        is_well = _overload(found, stack, asked, folder) if found.overload else _run(found, stack, asked, folder)
    raise typer.Exit(0 if is_well else 1)


def soak(
    minutes: Annotated[float, typer.Option(help="how long")] = 10.0,
    rate: Rate = None,
) -> None:
    """Let mixed traffic flow and watch the memory of every process; exit 1 when one leaks, or a record differs.

    Without a running stack one is started for it. Figures and plot: .run/load/.
    """
    if not 0 < minutes <= MINUTES_MAX:
        raise OperatorError(f"MINUTES is {minutes:g}: set it above 0 and to {MINUTES_MAX:g} at most")
    found = named(SOAKED)
    asked = wanted(found, rate, 1, None)
    with _stack(os.environ) as stack:
        prepare(found, stack)
        folder = _folder(stack.run_dir, "soak")
        with show.progress(f"soak {minutes:g} min") as tell:
            came = soaking.soak(found, stack, minutes, asked.rate, folder, tell)
    _write(folder, came.as_dict())
    plot.memory(f"soak: {came.calls} calls in {came.seconds / 60:.1f} min", came.series, folder / PLOT)
    show.soak(came)
    _say_where(folder)
    judged = "" if came.is_judged else "; too short to tell a leak"
    typer.echo(
        f"{came.calls} calls, {came.well} as expected, {len(came.leaks)} leaks, {len(came.faults)} faults{judged}"
    )
    raise typer.Exit(1 if came.leaks or came.faults else 0)


def _run(scenario: Scenario, stack: Stack, asked: Wanted, folder: Path) -> bool:
    """Place the calls once and tell of it; return whether nothing differs."""
    with show.progress(scenario.name) as tell:
        report = play(scenario, stack, asked, folder, tell)
    _write(folder, report.as_dict())
    plot.run(_title(scenario, asked), report.seconds, folder / PLOT)
    show.report(report)
    return _conclude(folder, [report])


def _overload(scenario: Scenario, stack: Stack, asked: Wanted, folder: Path) -> bool:
    """Look for the capacity and tell what is left at twice of it; return whether that is enough, or unknown."""
    assert scenario.overload  # noqa: S101  for the types: the caller has looked
    search = Search(scenario, stack, asked, folder)
    verdict = search.run(scenario.overload, typer.echo)
    _write(folder, {"verdict": verdict._asdict(), "runs": [report.as_dict() for report in search.reports]})
    plot.overload(_title(scenario, asked), verdict, folder / PLOT)
    if search.reports:
        show.report(search.reports[-1])
    for report in search.reports[:-1]:
        show.findings(report.findings)
    show.overload(verdict)
    is_well = _conclude(folder, search.reports)
    typer.echo(verdict.told)
    return is_well and verdict.is_met is not False


def _conclude(folder: Path, reports: list[Report]) -> bool:
    _say_where(folder)
    calls, well = (sum(getattr(report.all, name) for report in reports) for name in ("calls", "well"))
    graves = [finding for report in reports for finding in report.findings if finding.is_grave]
    typer.echo(f"{calls} calls, {well} as expected, {len(graves)} findings")
    return not graves


@contextmanager
def _stack(env: Mapping[str, str]) -> Iterator[Stack]:
    """Yield the stack of the environment, else the private one, started and stopped unless it runs."""
    if env.get("TANDEM_SIP"):
        yield Stack.from_environment(env)
        return
    layout = Layout.from_environment(env)
    require_loopback("TANDEM_LISTEN", layout.listen.host)
    with running_or_started(PrivateStack(layout), typer.echo) as values:
        yield Stack.from_environment({**env, **values})


def _folder(run_dir: Path, name: str) -> Path:
    """Return a new folder for a run; the oldest ones go."""
    home = run_dir / "load"
    folder = home / f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.getpid()}"
    folder.mkdir(parents=True)
    known = sorted(home.iterdir(), key=lambda each: each.stat().st_mtime)
    for old in known[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return folder


def _write(folder: Path, result: dict[str, Any]) -> None:
    (folder / RESULT).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _say_where(folder: Path) -> None:
    typer.echo(f"figures in {folder / RESULT}, plot in {folder / PLOT}")


def _title(scenario: Scenario, asked: Wanted) -> str:
    return f"{scenario.name}: {asked.calls} calls, {asked.rate:g} a second, {asked.hold_s:g} s each"
