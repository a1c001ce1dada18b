"""`tandem noc`: ask and steer running nodes."""

from __future__ import annotations

import getpass
import re
import time
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from tools import noc_caches, noc_calls, noc_measures, noc_money, noc_pages, noc_status, noc_sync, noc_tallies
from tools.account.options import Actor
from tools.errors import OperatorError
from tools.noc_ask import ask
from tools.noc_pages import AllNodes, Ctl, Facts, Json, Node, Page, Where, plain, print_pairs, print_rows
from tools.printable import counted, printable

LINE: Final = re.compile(r"[^\s@\"]{1,64}@[A-Za-z0-9.:-]{1,253}", re.ASCII)
UNSAFE: Final = re.compile(r"[^A-Za-z0-9._@+-]", re.ASCII)  # in the name of who asks: it is one word of a command
ACTOR_MAX: Final = 64
noc = typer.Typer(no_args_is_help=True, help="Ask and steer running nodes.")
noc_measures.add_to(noc)

RedisUrl = Annotated[
    str, typer.Option(envvar="REDIS_URL", help="ask Redis itself; without it the node is asked for what it read there")
]
noc_tallies.add_to(noc)
Switch = Annotated[str, typer.Argument(help="on or off")]


def _serve(where: Where, command: str, page: Any, *, as_json: bool = False) -> None:
    noc_pages.serve(where, ask, command, page, as_json=as_json)


@noc.command()
def status(ctl: Ctl = "", node: Node = "", all_nodes: AllNodes = False, as_json: Json = False) -> None:
    """Show agent, configuration, processes, drain, servers passed over; exit 1 on an ALARM."""
    _serve(Where(ctl, node, all_nodes), "status", _status, as_json=as_json)


def _status(answer: Facts) -> Page:
    sync = noc_sync.told(answer["sync"])  # as the node has read it, for Redis may be dead
    facts = {**answer, "sync": sync, noc_pages.ALARMS: noc_sync.alarms(sync)}

    def draw() -> None:
        newest = (answer["agent"] or {}).get("generation", 0)
        print_pairs("node agent", noc_status.agent(answer))
        print_pairs("configuration", noc_sync.lines(sync))
        print_rows("processes", noc_status.processes(answer["processes"], newest), noc_status.COLUMNS)
        for error in noc_status.errors(answer["processes"], time.time_ns() // 1_000_000):
            typer.echo(printable(error))

    return Page(facts, draw)


@noc.command()
def caches(ctl: Ctl = "", node: Node = "", all_nodes: AllNodes = False, as_json: Json = False) -> None:
    """Show the workers' caches of the configuration: size, share of reads that they answer, what went for room."""
    _serve(Where(ctl, node, all_nodes), "caches", _caches, as_json=as_json)


def _caches(answer: Facts) -> Page:
    def draw() -> None:
        table = Table(title="caches, since each process began")
        for column in noc_caches.COLUMNS:
            table.add_column(column, justify="right")
        for row in noc_caches.rows(answer["caches"]):
            table.add_row(*row)
        Console().print(table)

    return Page(answer, draw)


@noc.command()
def counters(ctl: Ctl = "", node: Node = "", all_nodes: AllNodes = False, as_json: Json = False) -> None:
    """Show the counters since the node started."""
    page = lambda answer: Page(answer, lambda: print_pairs("counters", answer))  # noqa: E731
    _serve(Where(ctl, node, all_nodes), "counters", page, as_json=as_json)


@noc.command()
def calls(
    filters: noc_calls.Filters = None,
    ctl: Ctl = "",
    node: Node = "",
    all_nodes: AllNodes = False,
    as_json: Json = False,
) -> None:
    """Show the calls that go on, the oldest first, with their accounts and the money left."""
    command = " ".join(["calls", *noc_calls.words(filters)])
    noc_pages.serve(Where(ctl, node, all_nodes), _ask_calls, command, noc_calls.page, as_json=as_json)


def _ask_calls(ctl: str, command: str) -> Facts:
    """Return the calls; once more where the node's agent has yet to ask Redis what their accounts have left."""
    answer = ask(ctl, command)
    for _ in range(noc_calls.AGAIN_MAX):
        if answer.get("is_money_known", True):
            break
        time.sleep(noc_calls.AGAIN_S)
        answer = ask(ctl, command)
    return answer


@noc.command()
def money(
    ctl: Ctl = "", redis_url: RedisUrl = "", node: Node = "", all_nodes: AllNodes = False, as_json: Json = False
) -> None:  # fmt: skip
    """Show the last comparison of the money in Redis and in Postgres; exit 1 when something is wrong with it."""
    where = Where(ctl, node, all_nodes)
    if redis_url and not where.is_far:
        told = noc_money.from_redis(redis_url)
        noc_pages.serve(where, lambda *_: {}, "money", lambda _: _money(told), as_json=as_json)
    else:
        _serve(where, "money", lambda answer: _money(noc_money.from_node(answer)), as_json=as_json)


def _money(told: noc_money.Told) -> Page:
    facts = {**told.numbers, noc_pages.ALARMS: noc_money.alarms(told)}
    return Page(facts, lambda: print_pairs("money", noc_money.lines(told)))


@noc.command()
def peers(ctl: Ctl = "", node: Node = "", all_nodes: AllNodes = False, as_json: Json = False) -> None:
    """Show the carriers' servers that are asked how they are, and those where we are registered."""
    _serve(Where(ctl, node, all_nodes), "peers", _peers, as_json=as_json)


def _peers(answer: Facts) -> Page:
    def draw() -> None:
        print_rows("probes", answer["probes"], ("server_id", "name", "state", "status", "unanswered"))
        print_rows("logins", answer["logins"], ("server_id", "name", "user", "state", "status", "until_ms"))

    return Page(answer, draw)


@noc.command()
def drain(switch: Switch, ctl: Ctl = "", node: Node = "", all_nodes: AllNodes = False) -> None:
    """Take no new calls from now on, or take them again. Emergency calls are taken always."""
    if switch not in ("on", "off"):
        raise OperatorError(f"{switch!r} is neither on nor off")
    _serve(Where(ctl, node, all_nodes), f"drain {switch}", plain)


@noc.command()
def end(which: noc_calls.Which, ctl: Ctl = "", node: Node = "", all_nodes: AllNodes = False) -> None:
    """End a call on both sides, or all that filters choose: account=7 older=3600. What rings gets 480."""
    _serve(Where(ctl, node, all_nodes), " ".join(["end", *noc_calls.words(which)]), plain)


@noc.command()
def unregister(
    line: Annotated[str, typer.Argument(metavar="USER@DOMAIN")], ctl: Ctl = "", actor: Actor = "", node: Node = ""
) -> None:  # fmt: skip
    """Take all phones of a line away, on every node, and say how many they were. They may register again.

    The node's log says who did it. Exit 1 where none was registered.
    """
    if not LINE.fullmatch(line):
        raise OperatorError(f"{line!r} is no line: say it as user@domain")
    who = UNSAFE.sub("_", actor or getpass.getuser())[:ACTOR_MAX]
    user, _, domain = line.partition("@")
    line = f"{user}@{domain.lower()}"

    def page(answer: Facts) -> Page:
        if not answer["unregistered"]:
            raise OperatorError(f"{line!r} has no phones: there is no such line, or none of its phones is registered")
        return Page(answer, lambda: typer.echo(f"{line}: {counted(answer['unregistered'], 'phone')} taken away"))

    _serve(Where(ctl, node), f"unregister {line} {who}", page)
