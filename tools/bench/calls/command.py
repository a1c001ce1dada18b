"""`tandem bench calls`: what a call costs here, beside what others would make of Kamailio."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from tools.bench.calls import figures, measure
from tools.bench.calls.chart import draw
from tools.bench.calls.guard import guarded
from tools.bench.calls.ours import Tandem
from tools.bench.calls.router import Router
from tools.bench.calls.stock import Floor, Lua, Sql
from tools.bench.machine import progress
from tools.errors import OperatorError
from tools.stack.layout import PROJECT, Layout

README = PROJECT / "README.md"


def calls(  # noqa: PLR0913, PLR0917  options of a command
    calls: Annotated[int, typer.Option(min=10, max=100_000, help="of each round and router")] = 2_000,
    rounds: Annotated[int, typer.Option(min=1, max=100, help="of each router, alternating")] = 5,
    rate: Annotated[int, typer.Option(min=1, max=2_000, help="calls a second of the rounds")] = 100,
    lines: Annotated[int, typer.Option(min=1, max=100_000, help="subscribers who call in turn")] = 200,
    talk_ms: Annotated[int, typer.Option(min=0, max=60_000, help="from the answer to the BYE")] = 1_000,
    steps: Annotated[int, typer.Option(min=0, max=30, help="of the search for the highest rate, each 25 % up")] = 12,
    step_s: Annotated[float, typer.Option(min=0.1, max=60, help="how long each of them lasts")] = 4,
    profile: Annotated[
        bool, typer.Option("--profile", help="then look where the time of (d) goes; needs root")
    ] = False,
    readme: Annotated[bool, typer.Option("--readme", help="write the table into README.md")] = False,
) -> None:
    """Compare a call's CPU, set-up and highest rate with stock Kamailio, SQL and Lua; the last line is JSON."""
    length = figures.Length(calls, rounds, rate, lines, talk_ms)
    out = Layout.from_environment(os.environ).run_dir / "bench"
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="c-", dir=out, ignore_cleanup_errors=True) as folder:
        page = out / "profile.txt" if profile else None
        found = measured(Path(folder), length, measure.Climb(steps, step_s, rate), progress(), page)
    (out / "calls.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found, out / "calls.png")
    table = figures.table(found)
    if readme:
        _into_readme(table)
    typer.echo(table)
    typer.echo(json.dumps(found))


def measured(
    folder: Path, length: figures.Length, climb: measure.Climb, say: measure.Say, page: Path | None = None
) -> dict[str, Any]:
    """Measure all four in a directory, and return the figures. page: where a profile of (d) is written, if anywhere."""
    folder.chmod(0o711)  # Postgres runs as another user
    ours = Tandem(folder / "d", length.lines)
    routers: list[Router] = [
        Floor(folder / "a"),
        Sql(folder / "b", length.lines),
        Lua(folder / "c", length.lines),
        ours,
    ]
    traces = folder / "sipp"
    with guarded([*(folder / name for name in "abcd"), traces]), measure.started(routers, say):
        found = measure.rounds(routers, length, traces, say)
        if page:
            page.write_text(measure.profiled(ours, length, traces) + "\n")
            say(f"where the time of (d) goes: {page}")
        most = {router.name: measure.highest(router, climb, length, traces, say) for router in routers}
    return figures.figures(found, most, length)


def _into_readme(table: str) -> None:
    text = README.read_text(encoding="utf-8")
    try:
        README.write_text(figures.between_marks(text, table), encoding="utf-8")
    except ValueError as error:
        raise OperatorError(f"{README}: {error}") from error
