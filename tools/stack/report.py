"""What the user reads about a stack."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from kemi import keys
from tools.stack import process, redis_server, state
from tools.stack.layout import Layout
from tools.stack.stack import Stack


class Row(NamedTuple):
    """One process. since: Unix seconds of its start, 0 while it waits to be started again."""

    name: str
    state: str
    pid: int
    since: float
    restarts: int
    cpu_s: float
    memory_bytes: int


class Report(NamedTuple):
    """The stack at this moment. phase: down, starting, up, stopping. sync_age_s: None when Redis does not say."""

    run_dir: str
    phase: str
    rows: tuple[Row, ...]
    sync_age_s: float | None

    @property
    def up(self) -> bool:
        """Whether every process serves."""
        return self.phase == "up" and all(row.state == "up" for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as programs read it."""
        rows = [row._asdict() for row in self.rows]
        return {"run_dir": self.run_dir, "phase": self.phase, "sync_age_s": self.sync_age_s, "processes": rows}


def how_to_call(layout: Layout) -> str:
    """Return where SIP listens and how a phone registers and calls."""
    where = ", ".join(str(node.address) for node in layout.nodes)
    beside = ", ".join(str(node.address6) for node in layout.nodes if node.address6)
    proxy = layout.nodes[0].address
    return "\n".join(
        (
            f"SIP listens on {where}, UDP and TCP." + (f" Over IPv6 on {beside}." if beside else ""),
            f"Call with any phone: user alice, domain a.example, password alice-secret, outbound proxy {proxy};",
            "  bob (password bob-secret) answers on 02079460011 once he has registered the same way.",
            "`make demo` places calls through carriers; `make status` shows the processes.",
        )
    )


def collect(stack: Stack) -> Report:
    """Return what runs now."""
    found = stack.state()
    run_dir = str(stack.layout.run_dir)
    if found is None or not process.alive(found.supervisor):
        return Report(run_dir, "down", (), None)
    rows = tuple(_row(part.name, part.who, part.restarts, ready=part.ready) for part in found.processes)
    return Report(run_dir, found.phase, rows, _sync_age_s(stack.layout))


def show(report: Report) -> None:
    """Print the report as a table."""
    if report.phase == "down":
        print(f"no stack runs in {report.run_dir}: `make up` starts one")  # noqa: T201
        return
    table = Table(box=None, pad_edge=False)
    for name in ("process", "state", "pid", "up since", "restarts", "CPU s", "MB"):
        table.add_column(name, justify="left" if name in {"process", "state"} else "right")
    for row in report.rows:
        since = time.strftime("%Y-%m-%d %H:%M:%S %Z", time.localtime(row.since)) if row.since else "–"
        megabytes = f"{row.memory_bytes / 1e6:.0f}"
        table.add_row(row.name, row.state, str(row.pid or "–"), since, str(row.restarts), f"{row.cpu_s:.1f}", megabytes)
    console = Console()
    console.print(table)
    age = "unknown: Redis does not say" if report.sync_age_s is None else f"{report.sync_age_s:.1f} s"
    console.print(f"{report.phase} in {report.run_dir}; last round of sync: {age}", soft_wrap=True)


def _row(name: str, who: process.Identity | None, restarts: int, *, ready: bool) -> Row:
    if who is None or not process.alive(who):
        return Row(name, "died", 0, 0.0, restarts, 0.0, 0)
    used = process.usage(who.pid)
    since = time.time() - process.seconds_since(who.started)
    return Row(name, "up" if ready else "starting", who.pid, since, restarts, used.cpu_s, used.memory_bytes)


def _sync_age_s(layout: Layout) -> float | None:
    url = state.read_env(layout.env_file).get("REDIS_URL")
    if url is None:
        return None
    beat_ms, now = redis_server.ask(url, "GET", keys.HEARTBEAT), redis_server.ask(url, "TIME")
    if beat_ms is None or now is None:
        return None
    return max(0.0, int(now[0]) + int(now[1]) / 1e6 - int(beat_ms) / 1000)
