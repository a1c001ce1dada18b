"""What a user sees: progress while calls are placed, then tables and sentences."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from tools.load.figures import QUANTILES, Sum, quantile
from tools.load.memory import MIB, Judged, amount
from tools.load.overload import Verdict
from tools.load.processes import SIPP, Row
from tools.load.records import Finding
from tools.load.run import Progress as Now
from tools.load.run import Report
from tools.load.soak import Soak
from tools.load.spec import Scenario

AGAIN_S: Final = 1.0
WINDOW_S: Final = 5.0
CPU_SHOWN: Final = 0.1  # per cent of a core
WIDTH: Final = 132
_console: Final = Console(width=WIDTH)


@contextmanager
def progress(what: str) -> Iterator[Callable[[Now], None]]:
    """Show a bar on stderr while the block runs; yield what takes the state of the calls."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(24),
        TextColumn("{task.completed:.0f}/{task.total:.0f} {task.fields[told]}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    task, again = bar.add_task(what, total=1, told=""), 0.0

    def show(now: Now) -> None:
        nonlocal again
        if time.monotonic() >= again or len(now.calls) == now.due:
            again = time.monotonic() + AGAIN_S
            bar.update(task, total=now.due, completed=len(now.calls), told=line(now, time.time()))

    with bar:
        yield show


def line(now: Now, at: float) -> str:
    """Return the state of the calls in a line. at: Unix seconds; rate and latency are those of the last 5 s."""
    states = Counter(
        "answered" if call.answered else "refused" if call.status else "open" for call in now.calls.values()
    )
    lately = [call for call in now.calls.values() if call.began > at - WINDOW_S]
    high = quantile(sorted(call.setup_ms for call in lately if call.heard), 0.95)
    told = ", ".join(f"{states[name]} {name}" for name in ("answered", "refused", "open"))
    return f"{len(lately) / min(WINDOW_S, max(1.0, now.seconds)):.0f} cps, {told}, p95 {high:.0f} ms"


def scenarios(known: Sequence[Scenario]) -> None:
    """Print what there is."""
    table = _table("load scenarios", "SCENARIO", "what happens", "RATE", "CALLS", "HOLD")
    for each in known:
        table.add_row(each.name, each.summary, f"{each.rate:g}", str(each.calls), f"{each.hold_s:g}")
    _console.print(table)


def report(found: Report) -> None:
    """Print what a run came to."""
    _console.print(_sums(found.sums))
    _console.print(_processes(found.processes))
    sizes = (f"{size / MIB:.1f}" for size in (found.shared.used, found.shared.most, found.shared.total))
    typer.echo("shared memory of the node, MiB: {} now, {} at most, of {}".format(*sizes))
    if found.outcomes:
        typer.echo("records: " + ", ".join(f"{count} {what}" for what, count in found.outcomes.items()))
    findings(found.findings)


def findings(found: Sequence[Finding]) -> None:
    """Print the differences, those that are nobody's fault as notes."""
    for each in found:
        ids = f": {', '.join(each.call_ids)}" if each.call_ids else ""
        typer.echo(f"{'FINDING' if each.is_grave else 'note'}: {each.told}{ids}")


def overload(verdict: Verdict) -> None:
    """Print the steps and what they say."""
    table = _table("overload, calls a second", "offered", "placed", "answered in time", "set-up p95 ms", "calls")
    for step in (*verdict.steps, *((verdict.twice,) if verdict.twice else ())):
        figures = (step.offered, step.placed, step.goodput, step.p95_ms)
        table.add_row(*(f"{figure:.0f}" for figure in figures), str(step.calls))
    _console.print(table)


def soak(found: Soak) -> None:
    """Print memory at the beginning and the end, and what leaks."""
    table = _table("memory", "what", "pid", "first", "last", "an hour", "samples", "")
    for each in sorted(found.judged, key=lambda one: (one.name.kind, -one.growth.per_hour)):
        table.add_row(*_memory(each))
    _console.print(table)
    for told in (*found.leaks, *found.faults):
        typer.echo(f"FINDING: {told}")


def _memory(each: Judged) -> tuple[str, ...]:
    name, growth = each.name, each.growth
    verdict = "LEAK" if growth.is_leak else "" if growth.is_judged else "too short to judge"
    rate = amount(name.kind, growth.per_hour) if growth.is_judged else ""
    ends = (amount(name.kind, each.first), amount(name.kind, each.last))
    return (f"{name.kind} of {name.who}", str(name.pid or ""), *ends, rate, str(growth.samples), verdict)


def _sums(sums: Sequence[Sum]) -> Table:
    table = _table(
        "calls", "", "calls", "as expected", "answered", "refused", "no answer", "repeats", "cps", *QUANTILES
    )
    for each in sums:
        refused = ", ".join(f"{status}: {count}" for status, count in each.refused.items())
        counts = (str(each.calls), f"{100 * each.success:.2f} %", str(each.answered), refused)
        latency = (f"{each.setup_ms[name]:.1f}" for name in QUANTILES)
        table.add_row(
            each.party, *counts, str(each.unanswered), str(each.repeated), f"{each.reached_cps:.1f}", *latency
        )
    table.caption = "p50 … max: set-up latency in ms, from the first request until it rings, is answered or refused"
    return table


def _processes(rows: Sequence[Row]) -> Table:
    table = _table("processes", "", "n", "CPU s", "% of a core", "µs a call", "MiB first", "most", "last")
    for row in rows:
        if row.cpu_percent >= CPU_SHOWN:
            sizes = (f"{size / MIB:.1f}" for size in (row.bytes_first, row.bytes_most, row.bytes_last))
            cpu = (f"{row.cpu_s:.2f}", f"{row.cpu_percent:.1f}", f"{row.us_a_call:.0f}")
            table.add_row(row.name, str(row.processes), *cpu, *sizes)
    router = sum(row.cpu_s for row in rows if row.name != SIPP)
    table.caption = (
        f"{router:.2f} s of CPU without SIPp, idle time and the wait for records included; memory: resident, not shared"
    )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, pad_edge=False, caption_justify="left")
    for place, column in enumerate(columns):
        table.add_column(column, justify="left" if place == 0 or column == "what happens" else "right")
    return table
