"""`make prove-money`: runs, reports, and says in its last line, JSON, whether the money is right."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

from tools.errors import OperatorError
from tools.prove.run import Options, Outcome, Run


def prove(
    ops: Annotated[int, typer.Option(min=1_000, help="operations that the clients send")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="of the plan and of every client")] = 7,
    clients: Annotated[int, typer.Option(min=1, max=16, help="client processes")] = 4,
    consumers: Annotated[int, typer.Option(min=1, max=8, help="`tandem settle` processes")] = 2,
) -> None:
    """Kill everything that handles money, and show that none was lost or counted twice; exit 1 where it was."""
    began_s = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="tandem-prove-", dir="/tmp"))  # short, for a socket's path
    folder.chmod(0o755)  # Postgres runs as another user
    try:
        done = Run(Options(ops, seed, clients, consumers, folder, _say)).carry_out()
    except OperatorError as error:
        raise OperatorError(f"{error}\n{folder} is kept") from error
    for finding in done.verdict.findings:
        typer.echo(f"WRONG  {finding}")
    if done.verdict.is_clean:
        shutil.rmtree(folder)
    else:
        typer.echo(f"{folder} is kept")
    typer.echo(json.dumps({"ops": ops, **figures(done), "seed": seed, "seconds": round(time.monotonic() - began_s)}))
    if not done.verdict.is_clean:
        sys.exit(1)


def figures(done: Outcome) -> dict[str, object]:
    """Return the numbers of the last line; those before `kills` must be zero."""
    verdict = done.verdict
    return {
        "overdraft_micros": verdict.overdraft_micros,
        "lost_cdrs": verdict.lost_cdrs,
        "duplicate_cdrs": verdict.duplicate_cdrs,
        "drift_micros": verdict.drift_micros,
        "stuck_holds": verdict.stuck_holds,
        "forbidden_grants": verdict.forbidden_grants,
        "differences": verdict.differences,
        "kills": dict(sorted(done.kills.items())),
        "grants": verdict.grants,
        "witnessed": done.witnessed,
        "calls": sum(done.outcomes.values()),
        "refusals": dict(sorted(done.refusals.items())),
        "estimated": done.outcomes["estimated"],
        "unknown": done.outcomes["unknown_end"],
        "lost_by_cut": verdict.lost_by_cut,
        "lost_by_cut_micros": verdict.lost_by_cut_micros,
        "lost_events": verdict.lost_events,
        "lost_operations": done.gap,
        "recoveries": len(done.recoveries),
    }


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201
