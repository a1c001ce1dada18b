"""`make prove-calls`: real calls on a balance that pays for a quarter of them; exactly what is paid for is granted.

Each round 200 calls come at once through two Kamailio nodes that share one Redis, over four levels, one of which has
the money of 50 calls. A line per round; the last line is JSON; exit 1 on any difference between paid and granted.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import psycopg
import typer

from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from tools.errors import OperatorError
from tools.scenario.crowd import INCREMENT_S, ROUNDS_MAX, Crowd, place, prepare
from tools.scenario.crowd_check import SPARE_MS, Outcome, outcome, recorded
from tools.scenario.observe import Watch
from tools.settle.command import options_from, verdict
from tools.stack import plan, process
from tools.stack.layout import Address, Layout
from tools.stack.stack import Stack
from tools.wait import DeadlineError, until

NODES: Final = 2
HOST: Final = "127.0.0.1"
KINDS: Final = (socket.SOCK_DGRAM, socket.SOCK_STREAM)
PORTS: Final = range(30_000, 32_000)  # below the kernel's ephemeral ones
RECORDED_DEADLINE_S: Final = 30
KILLED_SPARE_MS: Final = 10_000  # a call whose node is dead ends when the node is there again, or another has noticed
REDIS_TIMEOUT_MS: Final = 5_000
SETTINGS: Final = {"TANDEM_SLICE_S": str(INCREMENT_S), "TANDEM_GRACE_S": "5"} | {
    "TANDEM_REDIS_TIMEOUT_MS": "1000",
    "TANDEM_SHED_DELAY_MS": "0",
}
"""A slice is an increment; patience with a Redis that fsyncs every write on a busy machine."""


class Proof(NamedTuple):
    """All rounds together, in increments. overdraft_micros: what the poorest levels were charged beyond their money."""

    rounds: int
    calls: int
    paid: int
    granted: int
    refused: int
    overdraft_micros: int
    differences: int


class Plan(NamedTuple):
    """What to do in each round. kills: kill -9 a node when all its calls are up; another one each round."""

    rounds: int
    calls: int = 200
    paid: int = 50
    kills: bool = False


def prove(wanted: Plan, say: Callable[[str], None]) -> Proof:
    """Run so many rounds on a stack of their own, and compare. Raises OperatorError when it cannot be run."""
    with tempfile.TemporaryDirectory(prefix="tdm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        stack = Stack(Layout(Path(folder) / "run", free_address(), NODES), SETTINGS)
        stack.start(tied=True)
        try:
            return _rounds(stack, Path(folder), wanted, say)
        finally:
            stack.stop()


def main(
    rounds: Annotated[int, typer.Option(min=1, max=ROUNDS_MAX, help="how often")] = 20,
    calls: Annotated[int, typer.Option(min=2, max=1_000, help="at once, in each round")] = 200,
    paid: Annotated[int, typer.Option(min=0, max=1_000, help="how many of them one level can pay for")] = 50,
    kill: Annotated[bool, typer.Option("--kill", help="kill -9 a node in each round when its calls are up")] = False,
) -> None:
    """Place more calls than a balance pays for, again and again; exit 1 unless exactly what is paid for is granted."""
    try:
        proof = prove(Plan(rounds, calls, paid, kill), typer.echo)
    except OperatorError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(proof._asdict()))
    raise typer.Exit(1 if proof.differences or proof.granted != proof.paid or proof.overdraft_micros else 0)


def _rounds(stack: Stack, folder: Path, wanted: Plan, say: Callable[[str], None]) -> Proof:
    values = plan.environment(stack.layout)
    proxies = [str(node.address) for node in stack.layout.nodes]
    run_id = f"crowd{secrets.token_hex(2)}"
    granted = refused = overdraft = differences = 0
    for number in range(1, wanted.rounds + 1):
        crowd = Crowd(number, f"{run_id}r{number:02d}", wanted.calls, wanted.paid)
        victim = stack.layout.nodes[number % NODES].part if wanted.kills else ""
        came = _one(
            crowd, values, proxies, folder / f"round-{number}", partial(kill_tree, stack, victim) if victim else None
        )
        stack.wait_ready()
        say(_line(crowd, came))
        granted, refused = granted + came.increments, refused + came.refused
        overdraft += max(0, came.charged_micros - crowd.opening_micros(crowd.poorest))
        differences += len(came.differences)
    report = verdict(options_from({**os.environ, **values, **SETTINGS}))
    for line in report.differences:
        say(f"Redis and Postgres differ: {line}")
    differences += len(report.differences)
    paid = wanted.rounds * wanted.paid
    return Proof(wanted.rounds, wanted.rounds * wanted.calls, paid, granted, refused, overdraft, differences)


def _one(
    crowd: Crowd, values: dict[str, str], proxies: list[str], folder: Path, when_up: Callable[[], None] | None = None
) -> Outcome:
    with closing(Watch(values["DATABASE_URL"], values["REDIS_URL"])) as watch:
        prepare(crowd, watch)
        seen = place(crowd, proxies, folder, when_up)
        with suppress(DeadlineError):  # what is missing then is counted
            until(lambda: watch.leases() == 0, RECORDED_DEADLINE_S, "every hold to be gone")
    client = RedisClient(values["REDIS_URL"], REDIS_TIMEOUT_MS)
    database: psycopg.Connection[Any]
    with closing(client), psycopg.connect(values["DATABASE_URL"], autocommit=True) as database:
        with suppress(DeadlineError):
            until(lambda: recorded(crowd, database) >= crowd.calls, RECORDED_DEADLINE_S, "every call's record")
        spare_ms = KILLED_SPARE_MS if when_up else SPARE_MS
        return outcome(crowd, seen, database, Funds(client, "prove", grace_s=0), spare_ms)


def kill_tree(stack: Stack, part: str) -> None:
    """End a node as an accident would, with its whole tree; its supervisor starts it again."""
    tree = [stack.pid(part)]
    for pid in tree:
        tree += process.children(pid)
    for pid in tree:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _line(crowd: Crowd, came: Outcome) -> str:
    shares = ", ".join(f"{node} {calls}" for node, calls in sorted(came.by_node.items()))
    told = "".join(f"\n  {difference}" for difference in came.differences)
    return (
        f"round {crowd.number}: level {crowd.poorest} pays for {crowd.paid} of {crowd.calls} calls;"
        f" {came.granted} granted ({shares}), {came.refused} refused; {came.charged_micros} micros charged;"
        f" {len(came.differences)} differences{told}"
    )


def free_address() -> Address:
    """Return an address with a free port for each node, UDP and TCP. Raises OperatorError."""
    for _ in range(100):
        first = PORTS.start + secrets.randbelow(len(PORTS) - NODES)
        if all(_is_free(port, kind) for port in range(first, first + NODES) for kind in KINDS):
            return Address(HOST, first)
    raise OperatorError("no free port on this machine")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


if __name__ == "__main__":
    typer.run(main)
