"""`tandem noc`: ask and steer a running node through Kamailio's control socket."""

from __future__ import annotations

import getpass
import json
import re
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tools import noc_caches, noc_money, noc_sync
from tools.account.options import Actor
from tools.errors import OperatorError
from tools.noc_ask import ask
from tools.printable import counted, printable

LINE: Final = re.compile(r"[^\s@\"]{1,64}@[A-Za-z0-9.:-]{1,253}", re.ASCII)
UNSAFE: Final = re.compile(r"[^A-Za-z0-9._@+-]", re.ASCII)  # in the name of who asks: it is one word of a command
ACTOR_MAX: Final = 64
noc = typer.Typer(no_args_is_help=True, help="Ask and steer a running node.")

Ctl = Annotated[str, typer.Option("--ctl", envvar="TANDEM_CTL", help="path of the node's control socket")]
RedisUrl = Annotated[
    str, typer.Option(envvar="REDIS_URL", help="ask Redis itself; without it the node is asked for what it read there")
]
Json = Annotated[bool, typer.Option("--json", help="for programs")]


@noc.command()
def status(ctl: Ctl = "", as_json: Json = False) -> None:
    """Show the agent, the age of the configuration, the processes and their code, drain, servers passed over."""
    answer = ask(ctl, "status")
    sync = noc_sync.told(answer["sync"])  # as the node has read it, for Redis may be dead
    answer = {**answer, "sync": sync, "alarms": noc_sync.alarms(sync)}
    if as_json:
        _print_json(answer)
        return
    rows = dict(answer["agent"] or {"agent": "has not spoken yet"})
    rows["draining"] = answer["draining"]
    rows["servers passed over"] = ", ".join(answer["down_servers"]) or "none"
    _print_pairs("node agent", rows)
    _print_pairs("configuration", noc_sync.lines(sync))
    codes = sorted({process["code"] for process in answer["processes"]})
    for code in codes:
        pids = [str(process["pid"]) for process in answer["processes"] if process["code"] == code]
        Console().print(f"{len(pids)} processes run {code}: {' '.join(pids)}", highlight=False)
    for alarm in answer["alarms"]:
        typer.echo(f"ALARM: {alarm}")


@noc.command()
def caches(ctl: Ctl = "", as_json: Json = False) -> None:
    """Show the workers' caches of the configuration: size, share of reads that they answer, what went for room."""
    answer = ask(ctl, "caches")
    if as_json:
        _print_json(answer)
        return
    table = Table(title="caches, since each process began")
    for column in noc_caches.COLUMNS:
        table.add_column(column, justify="right")
    for row in noc_caches.rows(answer["caches"]):
        table.add_row(*row)
    Console().print(table)


@noc.command()
def counters(ctl: Ctl = "", as_json: Json = False) -> None:
    """Show the counters since the node started."""
    answer = ask(ctl, "counters")
    if as_json:
        _print_json(answer)
    else:
        _print_pairs("counters", answer)


@noc.command()
def calls(ctl: Ctl = "", as_json: Json = False) -> None:
    """Show the calls that go on, at most 200 of them."""
    answer = ask(ctl, "calls")
    if as_json:
        _print_json(answer)
        return
    columns = ("rid", "source", "caller", "callee", "direction", "server_id", "answered_ms")
    table = Table(*columns, title=counted(answer["count"], "call"))
    for call in answer["calls"]:
        if call is not None:  # ended while the list was written
            table.add_row(*(escape(printable(str(call[column]))) for column in columns))
    Console().print(table)


@noc.command()
def money(ctl: Ctl = "", redis_url: RedisUrl = "", as_json: Json = False) -> None:
    """Show the last comparison of the money in Redis and in Postgres; exit 1 when something is wrong with it."""
    told = noc_money.from_redis(redis_url) if redis_url else noc_money.from_node(ask(ctl, "money"))
    found = noc_money.alarms(told)
    if as_json:
        _print_json({**told.numbers, "alarms": found})
    else:
        _print_pairs("money", noc_money.lines(told))
        for alarm in found:
            typer.echo(f"ALARM: {alarm}")
    if found:
        raise typer.Exit(1)


@noc.command()
def peers(ctl: Ctl = "", as_json: Json = False) -> None:
    """Show the carriers' servers that are asked how they are, and those where we are registered."""
    answer = ask(ctl, "peers")
    if as_json:
        _print_json(answer)
        return
    _print_rows("probes", answer["probes"], ("server_id", "name", "state", "status", "unanswered"))
    _print_rows("logins", answer["logins"], ("server_id", "name", "user", "state", "status", "until_ms"))


@noc.command()
def drain(switch: Annotated[str, typer.Argument(help="on or off")], ctl: Ctl = "") -> None:
    """Take no new calls from now on, or take them again. Emergency calls are taken always."""
    if switch not in ("on", "off"):
        raise OperatorError(f"{switch!r} is neither on nor off")
    _print_json(ask(ctl, f"drain {switch}"))


@noc.command()
def end(rid: Annotated[str, typer.Argument(help="as `tandem noc calls` shows it")], ctl: Ctl = "") -> None:
    """End a call on both sides."""
    _print_json(ask(ctl, f"end {rid}"))


@noc.command()
def unregister(
    line: Annotated[str, typer.Argument(metavar="USER@DOMAIN")], ctl: Ctl = "", actor: Actor = ""
) -> None:  # fmt: skip
    """Take all phones of a line away, on every node, and say how many they were. They may register again.

    The node's log says who did it. Exit 1 where none was registered.
    """
    if not LINE.fullmatch(line):
        raise OperatorError(f"{line!r} is no line: say it as user@domain")
    who = UNSAFE.sub("_", actor or getpass.getuser())[:ACTOR_MAX]
    user, _, domain = line.partition("@")
    line = f"{user}@{domain.lower()}"
    answer = ask(ctl, f"unregister {line} {who}")
    if not answer["unregistered"]:
        raise OperatorError(f"{line!r} has no phones: there is no such line, or none of its phones is registered")
    typer.echo(f"{line}: {counted(answer['unregistered'], 'phone')} taken away")


def _print_json(answer: object) -> None:
    typer.echo(json.dumps(answer))


def _print_rows(title: str, rows: list[dict[str, Any]], columns: tuple[str, ...]) -> None:
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(escape(printable(str(row[column]))) for column in columns))
    Console().print(table)


def _print_pairs(title: str, rows: dict[str, Any]) -> None:
    table = Table(title=title, show_header=False)
    for name, value in rows.items():
        table.add_row(name, escape(printable(str(value))))
    Console().print(table)
