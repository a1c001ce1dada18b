"""`tandem stack …`: the private stack from the command line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Annotated

import typer

from tools.errors import OperatorError
from tools.stack import checks, child, plan, report, state
from tools.stack.layout import Layout
from tools.stack.parts import Plan
from tools.stack.stack import Stack, running_or_started
from tools.stack.supervisor import Supervisor

app = typer.Typer(no_args_is_help=True, help="The private stack: Postgres, Redis, sync, settle, Kamailio.")

Only = Annotated[str, typer.Option(help="start only these parts, for example postgres,redis")]


@app.command()
def run(
    only: Only = "",
    background: Annotated[bool, typer.Option(hidden=True)] = False,
    tied_to: Annotated[int, typer.Option(hidden=True)] = 0,
) -> None:
    """Start the stack and stay in the foreground; Ctrl-C stops all of it."""
    if tied_to:
        child.die_with(tied_to, signal.SIGTERM)
    layout, env, names = Layout.from_environment(os.environ), dict(os.environ), _names(only)
    checks.interpreter()
    checks.socket_paths(layout)
    checks.directory(layout)

    def checked_plan() -> Plan:
        plan.check(layout, env, names)
        return plan.make(layout, env, names)

    logged = False

    def say(line: str) -> None:
        _say(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}" if logged else line)

    def on_ready() -> None:
        nonlocal logged
        state.write_env(layout.env_file, plan.environment(layout))
        if background:
            _leave_terminal(layout)
            logged = True
            say("up")
        elif not only:
            _say(f"{report.how_to_call(layout)}\nCtrl-C stops all of it.")

    Supervisor(layout, say).run(checked_plan, on_ready)


@app.command()
def up(only: Only = "") -> None:
    """Start the stack in the background and return when it serves."""
    layout = Layout.from_environment(os.environ)
    Stack(layout).start(_say, only=_names(only))
    _say(f"up; processes are logged in {layout.log_dir}" if only else report.how_to_call(layout))


@app.command()
def down() -> None:
    """Stop every process of the stack, whichever way it was started, also after its supervisor was killed."""
    layout = Layout.from_environment(os.environ)
    _say("stopped" if Stack(layout).stop() else f"nothing ran in {layout.run_dir}")


@app.command()
def status(as_json: Annotated[bool, typer.Option("--json", help="for programs")] = False) -> None:
    """Show each process; exit 0 only when all of them serve."""
    found = report.collect(Stack(Layout.from_environment(os.environ)))
    if as_json:
        typer.echo(json.dumps(found.as_dict()))
    else:
        report.show(found)
    raise typer.Exit(0 if found.up else 1)


@app.command()
def restart(name: Annotated[str, typer.Argument(help="a process as `status` names it")]) -> None:
    """Start one process anew and return when it serves."""
    Stack(Layout.from_environment(os.environ)).restart(name)
    _say(f"{name} serves again")


@app.command("take-away")
def take_away(name: Annotated[str, typer.Argument(help="a process as `status` names it")]) -> None:
    """Kill one process and keep it down until `bring-back`: what happens when a machine dies."""
    Stack(Layout.from_environment(os.environ)).take_away(name)
    _say(f"{name} is gone until `tandem stack bring-back {name}`")


@app.command("bring-back")
def bring_back(name: Annotated[str, typer.Argument(help="a process that was taken away")]) -> None:
    """Let a process be started again that `take-away` keeps down."""
    Stack(Layout.from_environment(os.environ)).bring_back(name)
    _say(f"{name} starts again")


@app.command("exec", context_settings={"ignore_unknown_options": True})
def exec_(command: Annotated[list[str], typer.Argument(help="the program and its arguments")]) -> None:
    """Run a program in the environment of the stack; one that does not run is started for it and stopped after it."""
    stack = Stack(Layout.from_environment(os.environ))
    with running_or_started(stack, _say) as values:
        try:
            code = subprocess.run(command, env={**os.environ, **values}, check=False).returncode
        except OSError as error:
            raise OperatorError(f"cannot run {command[0]}: {error.strerror}") from error
    raise typer.Exit(code if code >= 0 else 128 - code)


def _names(only: str) -> tuple[str, ...]:
    return tuple(name for name in only.split(",") if name)


def _say(line: str) -> None:
    """Print a line. A reader that went away must not end the stack."""
    with suppress(OSError):
        print(line, flush=True)  # noqa: T201  typer.echo raises when its reader has gone


def _leave_terminal(layout: Layout) -> None:
    """Send what is said from now on to the log; whoever waits for the end of the output knows that the stack is up."""
    log = os.open(layout.log_dir / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    os.close(log)
