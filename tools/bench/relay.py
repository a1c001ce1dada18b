"""What a call costs in the router's processes, beside a bare relay under the same calls.

Both sides run in one process of measurement, in alternating rounds, so that a change of the machine's mood hits both.
The figure is CPU time of Kamailio's processes per call (user and system, from /proc), not elapsed time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from tools.errors import OperatorError
from tools.scenario.command import endpoint_from
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S
from tools.stack.process import children, usage
from tools.wait import until

ROOT = Path(__file__).resolve().parents[2]
WORLD = ROOT / "sipp-scenarios" / "load" / "relay.sql"
COMMON = ROOT / "sipp-scenarios" / "common"
CALLER, CALLEE, RELAY = "127.1.200.9", "127.1.200.1", "127.1.200.5:5060"
NUMBER = "888200000001"
BARE_PROCESSES = 4


class Round(NamedTuple):
    """One round of calls through one router. cpu_us: per call."""

    calls: int
    cpu_us: float


def relay(
    calls: Annotated[int, typer.Option(help="calls per round")] = 1000,
    rate: Annotated[int, typer.Option(help="calls per second")] = 50,
    rounds: Annotated[int, typer.Option(help="rounds of each router")] = 3,
) -> None:
    """Compare CPU per call of the running stack with a bare relay; the last line is JSON."""
    endpoint = endpoint_from(os.environ)
    node = _node_pid(Path(os.environ.get("RUN_DIR", ".run")))
    watch = Watch(endpoint.database_url, endpoint.redis_url)
    watch.load_world("relay-", WORLD.read_text(encoding="utf-8"))
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the benchmark's world to Redis")
    watch.close()
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        bare = _start_bare(Path(folder))
        try:
            measured = [
                (_round(bare.pid, RELAY, calls, rate, folder), _round(node, endpoint.proxy, calls, rate, folder))
                for _ in range(rounds)
            ]
        finally:
            bare.terminate()
            bare.wait()
    bare_us = statistics.median(pair[0].cpu_us for pair in measured)
    tandem_us = statistics.median(pair[1].cpu_us for pair in measured)
    for number, (plain, full) in enumerate(measured, start=1):
        typer.echo(f"round {number}: bare relay {plain.cpu_us:.0f} us a call, tandem {full.cpu_us:.0f} us a call")
    figures = {"bare_us": round(bare_us), "tandem_us": round(tandem_us), "ratio": round(tandem_us / bare_us, 2)}
    typer.echo(json.dumps({**figures, "calls": calls, "rate": rate, "rounds": rounds}))


def _round(router: int, proxy: str, calls: int, rate: int, folder: str) -> Round:
    """Send `calls` calls of a trusted source through `proxy`; return the CPU that the router's processes used."""
    before = usage(router).cpu_s
    callee = _sipp(["uas-answer.xml", CALLEE, "5080"], proxy, calls, folder, [])
    caller = _sipp(["uac-plain.xml", CALLER, "5081"], proxy, calls, folder, [
        "-s", NUMBER, "-key", "user", "888200100001", "-key", "domain", "bench.example", "-r", str(rate), "-d", "100",
    ])  # fmt: skip
    if caller.wait(calls / rate + 60) or callee.wait(10):
        raise OperatorError(f"the calls through {proxy} did not all succeed: see {folder}")
    # The end of the calls is settled behind them; without this the last batch would be free.
    idle = time.monotonic() + 2
    until(lambda: time.monotonic() > idle, 5, "the router to settle")
    return Round(calls, (usage(router).cpu_s - before) * 1e6 / calls)


def _sipp(where: list[str], proxy: str, calls: int, folder: str, more: list[str]) -> subprocess.Popen[bytes]:
    file, address, port = where
    return subprocess.Popen(
        ["sipp", proxy, "-sf", str(COMMON / file), "-i", address, "-p", port, "-m", str(calls), "-nostdin",
         "-timeout", "300s", "-timeout_error", *more],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder,
    )  # fmt: skip


def _start_bare(folder: Path) -> subprocess.Popen[bytes]:
    log = folder / "relay.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["kamailio", "-f", str(Path(__file__).with_name("relay.cfg")), "-l", f"udp:{RELAY}", "-DD", "-E",
             "-x", "tlsf", "-X", "tlsf", "-Y", str(folder), "-P", str(folder / "relay.pid"),
             "-A", f'NEXT_HOP="sip:{CALLEE}:5080"'],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    until(lambda: len(children(process.pid)) >= BARE_PROCESSES or process.poll() is not None, 10, "the bare relay")
    if process.poll() is not None:
        raise OperatorError(f"the bare relay did not start: {log.read_text(errors='replace')[-500:]}")
    return process


def _node_pid(run_dir: Path) -> int:
    found = sorted(run_dir.glob("kamailio/*/kamailio.pid"))
    if not found:
        raise OperatorError(f"{run_dir}: no running Kamailio node; `make up` starts one")
    return int(found[0].read_text())
