"""`tandem replay`: what would have become of recent calls under another configuration."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import Annotated, Final

import psycopg
import typer
from rich.console import Console

from kemi.core.amounts import amount
from tools.errors import OperatorError
from tools.explain.request import moment_ms
from tools.explain.secret import node_secret
from tools.explain.show import add, say, table, wide_console
from tools.node_limits import node_limits
from tools.replay.compare import Change, Outcome, as_data
from tools.replay.run import Plan, Replayed, replay

COUNT_MAX: Final = 100_000
WORDS: Final = ("verdict", "carrier", "price", "cost")


def replay_calls(
    *,
    calls: Annotated[int, typer.Option(help="How many of the newest calls.", min=1, max=COUNT_MAX)] = 100,
    against: Annotated[str, typer.Option(help="A generation (tandem explain names them), or a file of SQL.")],
    at: Annotated[str, typer.Option(help="Let all of them begin then, e.g. 2026-12-24T18:00, UTC.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Decide recent calls under two configurations, and tell which come out otherwise: verdict, carrier, price, cost.

    A generation is compared with what is configured now; what is configured now with what it would be after a file of
    SQL. Nothing is changed: the file runs in a transaction that is rolled back. Its locks last as long as the replay,
    and numbers that its rows draw are lost. Money is not asked: funds are as they are, and no call is held. Nor is what
    nodes remember of servers that failed lately.
    """
    database_url = os.environ.get("DATABASE_URL", "")
    plan = Plan(
        calls,
        against,
        node_secret(os.environ),
        node_limits(os.environ),
        moment_ms(at) if at else 0,
    )
    try:
        found = replay(database_url, plan)
    except psycopg.Error as error:
        raise OperatorError(f"Postgres does not do its part: {str(error).strip()}") from error
    if as_json:
        typer.echo(json.dumps(_data(found)))
    else:
        _show(found)


def _data(found: Replayed) -> dict[str, object]:
    return {
        "before": found.before,
        "after": found.after,
        "calls": found.calls,
        "skipped": found.skipped,
        "changed": len(found.changes),
        "counts": _counts(found),
        "changes": [as_data(each) for each in found.changes],
        "notes": list(found.notes),
    }


def _counts(found: Replayed) -> dict[str, int]:
    counted = Counter(word for each in found.changes for word in each.what)
    return {word: counted[word] for word in WORDS}


def _show(found: Replayed) -> None:
    console = wide_console()
    say(console, f"before: {found.before}")
    say(console, f"after: {found.after}")
    for note in found.notes:
        say(console, note)
    if found.changes:
        _show_changes(console, found)
    counts = ", ".join(f"{word} of {number}" for word, number in _counts(found).items() if number)
    skipped = f", {found.skipped} cannot be asked again" if found.skipped else ""
    say(
        console,
        f"{found.calls} calls, {len(found.changes)} come out otherwise{': ' + counts if counts else ''}{skipped}",
    )


def _show_changes(console: Console, found: Replayed) -> None:
    made = table("Calls that come out otherwise", "Call-ID", "from", "to", "what", "before", "after")
    for each in found.changes:
        past = each.asked.past
        before, after = (_told(side, each) for side in (each.before, each.after))
        add(made, past.call_id, f"{past.source} {past.caller}", past.callee, ", ".join(each.what), before, after)
    console.print(made)


def _told(side: Outcome, change: Change) -> str:
    """Return of one side what is different on the other."""
    parts: list[str] = []
    if "verdict" in change.what:
        parts.append(side.verdict)
    if "carrier" in change.what or ("verdict" in change.what and side.carriers):
        parts.append(" > ".join(side.carriers))
    if "price" in change.what:
        parts += map(str, side.prices)
    if "cost" in change.what and side.cost is not None:
        parts.append(f"the carrier costs {amount(side.cost.micros, side.cost.currency)}")
    return "; ".join(parts)
