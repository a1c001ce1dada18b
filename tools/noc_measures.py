"""`tandem noc quarantine`, `trace`, `loglevel`, `flush`, what ends and lists them, and `explain`: all through one node.

The node that is asked writes them to Redis, from where all follow (kemi/noc_measures.py); who ordered what, until when
and why is read from Postgres.
"""

from __future__ import annotations

import getpass
import os
import re
from datetime import UTC, datetime
from typing import Annotated, Final

import psycopg
import typer

from tools import noc_cell
from tools.account.options import Actor, DatabaseUrl
from tools.errors import OperatorError
from tools.noc_ask import ask, without_error
from tools.noc_pages import Ctl, Facts, Json, Node, print_json, print_rows
from tools.printable import printable
from tools.session import session

UNSAFE: Final = re.compile(r"[^A-Za-z0-9._@+-]", re.ASCII)  # in a name that is one word of a command
ACTOR_MAX: Final = 64
SECOND_MS: Final = 1_000
LIMIT_MAX: Final = 10_000
_TOLD: Final = """
select to_char(m.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as at, m.act, m.measure, m.kind, m.value,
       to_char(m.until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') as until, m.who, m.node, m.why, m.level
  from tandem.noc_measure m order by m.at desc, m.stream_id desc limit %s
"""

Why = Annotated[str, typer.Option(help="why, for people; Postgres keeps it")]
Held = Annotated[str, typer.Argument(metavar="KIND", help="carrier, server, account or source")]
Followed = Annotated[str, typer.Argument(metavar="KIND", help="line or prefix")]
Value = Annotated[str, typer.Argument(help="an id; an address or a network; user@domain; digits")]
Seconds = Annotated[int, typer.Option("--for", metavar="SECONDS", help="for how long")]


def quarantine(
    kind: Held,
    value: Value,
    *,
    for_s: Seconds = 3_600,
    why: Why = "",
    ctl: Ctl = "",
    node: Node = "",
    actor: Actor = "",
) -> None:
    """Let no new calls of an account or source go, or none to a carrier or server, on all nodes, for a while."""
    _said(_asked(ctl, node, _command(f"quarantine {_word(kind)} {_word(value)} for={for_s}", actor, why)))


def release(kind: Held, value: Value, *, why: Why = "", ctl: Ctl = "", node: Node = "", actor: Actor = "") -> None:
    """End a quarantine before its time, on all nodes."""
    _said(_asked(ctl, node, _command(f"release {_word(kind)} {_word(value)}", actor, why)))


def quarantines(ctl: Ctl = "", node: Node = "", *, as_json: Json = False) -> None:
    """Show who is in quarantine, until when, by whom and why."""
    _show("quarantines", _asked(ctl, node, "quarantines"), as_json=as_json)


def trace(
    kind: Followed,
    value: Value,
    *,
    minutes: Annotated[int, typer.Option(help="for how long, at most 60")] = 10,
    why: Why = "",
    ctl: Ctl = "",
    node: Node = "",
    actor: Actor = "",
) -> None:
    """Let all nodes log each decision on the calls of a line, or from and to numbers, for a while."""
    _said(_asked(ctl, node, _command(f"trace {_word(kind)} {_word(value)} minutes={minutes}", actor, why)))


def untrace(kind: Followed, value: Value, *, why: Why = "", ctl: Ctl = "", node: Node = "", actor: Actor = "") -> None:
    """End a trace before its time."""
    _said(_asked(ctl, node, _command(f"untrace {_word(kind)} {_word(value)}", actor, why)))


def traces(ctl: Ctl = "", node: Node = "", *, as_json: Json = False) -> None:
    """Show whose calls are traced, until when, by whom and why."""
    _show("traces", _asked(ctl, node, "traces"), as_json=as_json)


def loglevel(
    level: Annotated[str, typer.Argument(help="-1, 0, 1, 2 or normal; without it what is in force is shown")] = "",
    *,
    for_s: Seconds = 600,
    all_nodes: Annotated[bool, typer.Option("--all", help="on all nodes, not on this one alone")] = False,
    why: Why = "",
    ctl: Ctl = "",
    node: Node = "",
    actor: Actor = "",
) -> None:
    """Show or set how much this node, or all, log: errors (-1), warnings (0), notices (1), refused calls too (2)."""
    if not level:
        print_json(_asked(ctl, node, "loglevel"))
        return
    lasting = "" if level == "normal" else f" for={for_s}"
    where = " node=all" if all_nodes else ""
    _said(_asked(ctl, node, _command(f"loglevel {_word(level)}{lasting}{where}", actor, why)))


def flush(
    key: Annotated[str, typer.Argument(help="one record, as acct:7 or sub:alice@a.example; without it all")] = "",
    *,
    why: Why = "",
    ctl: Ctl = "",
    node: Node = "",
    actor: Actor = "",
) -> None:
    """Let all workers of all nodes forget what they keep of the configuration, or one record, within a second."""
    _asked(ctl, node, _command(f"flush {_word(key)}" if key else "flush", actor, why))
    what = printable(key) if key else "what it keeps of the configuration"
    typer.echo(f"each worker forgets {what} before its next call")


def explain(
    caller: Annotated[str, typer.Argument(help="user@domain; or a number, where a source is given")],
    callee: Annotated[str, typer.Argument(help="number, or URI, as dialled")],
    source: Annotated[str, typer.Argument(help="address[:port][/transport] that the call comes from")] = "",
    ctl: Ctl = "",
    node: Node = "",
) -> None:
    """Show as JSON what would become of a call on this node now, with what it remembers; nothing is held."""
    words = " ".join(_word(each) for each in (caller, callee, *((source,) if source else ())))
    print_json(_asked(ctl, node, f"explain {words}"))


def measures(
    database_url: DatabaseUrl,
    limit: Annotated[int, typer.Option(help="how many, the newest first")] = 50,
    *,
    as_json: Json = False,
) -> None:
    """Show what was ordered: who, when, what, until when, why; from Postgres, where settlement writes it."""
    if not 0 < limit <= LIMIT_MAX:
        raise OperatorError(f"--limit {limit}: from 1 to {LIMIT_MAX}")
    with session(database_url, program="tandem noc measures") as reader:
        cursor = reader.connection.cursor(row_factory=psycopg.rows.dict_row)
        rows = cursor.execute(_TOLD, (limit,)).fetchall()
    if as_json:
        print_json({"measures": rows})
        return
    print_rows("what the NOC ordered", rows, ("at", "act", "measure", "kind", "value", "until", "who", "node", "why"))


def add_to(noc: typer.Typer) -> None:
    """Give `tandem noc` these commands."""
    for command in (quarantine, release, quarantines, trace, untrace, traces, loglevel, flush, explain, measures):
        noc.command()(command)


def _asked(ctl: str, node: str, command: str) -> Facts:
    """Return the answer of the node behind a control socket, or of one by its name, or of any that is seen.

    The last two through REDIS_URL. Raises OperatorError.
    """
    redis_url = os.environ.get("REDIS_URL", "")
    if not node and (ctl or not redis_url):
        return ask(ctl, command)
    with noc_cell.opened(redis_url) as cell:
        return without_error(cell.ask(cell.chosen(node)[0], command))


def _command(words: str, actor: str, why: str) -> str:
    """Return a command with who gives it and why, which comes last: it may have many words."""
    who = UNSAFE.sub("_", actor or getpass.getuser())[:ACTOR_MAX]
    reason = " ".join(why.split())
    return f"{words} who={who}{f' why={reason}' if reason else ''}"


def _word(text: str) -> str:
    """Return an argument that is one word of a command. Raises OperatorError."""
    if not text or text.split() != [text]:
        raise OperatorError(f"{text!r} is not one word")
    return text


def _said(answer: Facts) -> None:
    """Say what was ordered or ended."""
    if "ended" in answer:
        typer.echo(f"{answer['ended']['kind']} {answer['ended']['value']}: ended")
        return
    row = answer["ordered"]
    typer.echo(f"{row['kind']} {row['value']}: until {_time(row['until_ms'])}")


def _show(name: str, answer: Facts, *, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    rows = [{**row, "until": _time(row["until_ms"])} for row in answer[name]]
    print_rows(name, rows, ("kind", "value", "until", "who", "node", "why"))


def _time(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms // SECOND_MS, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
