"""`tandem settle poison`: the call events that could not be posted, for the person who sees to them."""

from __future__ import annotations

import getpass
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Final

import psycopg
import typer
from rich.console import Console
from rich.table import Table

from kemi.core.amounts import amount
from kemi.records import CallEvent
from tools.database_url import checked
from tools.printable import counted
from tools.session import refusal
from tools.settle.aside import Aside, Shelf
from tools.settle.stream import decoded

poison: Final = typer.Typer(no_args_is_help=True, help="See to call events that could not be posted.")

Id = Annotated[int, typer.Argument(help="as `tandem settle poison list` shows it")]
Url = Annotated[str, typer.Option("--database-url", envvar="DATABASE_URL", help="the database")]
Actor = Annotated[str, typer.Option(help="who does it, for the audit; the login name otherwise")]
Most = Annotated[int, typer.Option(min=1, max=1000, help="at most so many")]
Json = Annotated[bool, typer.Option("--json", help="for programs")]


@poison.command("list")
def list_(database_url: Url = "", limit: Most = 100, *, as_json: Json = False) -> None:
    """Show the events that are set aside, the oldest first."""
    with shelf(database_url) as found:
        events = found.list(limit)
    if as_json:
        typer.echo(json.dumps([described(event) for event in events]))
        return
    table = Table("id", "since", "kind", "reservation", "reason", title=f"{counted(len(events), 'event')} set aside")
    for event in events:
        told = described(event)
        table.add_row(*(str(told[name]) for name in ("id", "since", "kind", "rid", "reason")))
    Console().print(table)


@poison.command()
def show(event_id: Id, database_url: Url = "") -> None:
    """Print one event, as far as its bytes can be read, as JSON."""
    with shelf(database_url) as found:
        event = found.show(event_id)
    body = decoded(event.payload)
    whole = body if isinstance(body, CallEvent) else None
    typer.echo(json.dumps({**described(event), "event": _named(whole), "bytes": event.payload.hex()}, indent=2))


@poison.command()
def replay(event_id: Id, database_url: Url = "", actor: Actor = "") -> None:
    """Post an event after all: what was missing is there now, or this release understands it."""
    with shelf(database_url) as found:
        added = found.replay(event_id, actor or getpass.getuser())
    typer.echo(f"event {event_id} is posted, {added} new ledger entries")


@poison.command()
def drop(
    event_id: Id,
    note: Annotated[str, typer.Option(help="why it is given up")],
    database_url: Url = "",
    actor: Actor = "",
) -> None:
    """Give an event up: nothing of it will be posted. The audit keeps its bytes and the note.

    What it charged stays charged in Redis, with no ledger entry: tandem.fund_loss says whom, and how much.
    """
    with shelf(database_url) as found:
        event = found.drop(event_id, actor or getpass.getuser(), note)
    typer.echo(f"event {event_id} is given up; the audit keeps it")
    for each in event.postings if event else ():
        charged = amount(each.amount_micros, each.fund.partition(":")[2])
        typer.echo(f"fund {each.fund} stays charged {charged}, of which no ledger entry tells")
    if event is None:
        typer.echo("nobody can say what it charged: if it was a call's, Redis and Postgres differ (settle --verify)")


@contextmanager
def shelf(database_url: str) -> Iterator[Shelf]:
    """Connect and close. Raises OperatorError for whatever the database refuses."""
    try:
        with psycopg.connect(checked(database_url), autocommit=True, connect_timeout=10) as connection:
            yield Shelf(connection)
    except psycopg.Error as error:
        raise refusal(error, is_root=True) from error


def described(event: Aside) -> dict[str, object]:
    """Return an event in words that JSON can say; kind and reservation are empty where the bytes are none."""
    body = decoded(event.payload)
    kind, rid = (body.kind, body.rid) if isinstance(body, CallEvent) else ("", "")
    return {
        "id": event.id,
        "since": event.created_at.isoformat(timespec="seconds"),
        "stream_id": event.stream_id,
        "kind": kind,
        "rid": rid,
        "reason": event.reason,
    }


def _named(value: Any) -> Any:
    """Return records as objects with the names of their fields."""
    if hasattr(value, "_fields"):
        return {name: _named(each) for name, each in zip(value._fields, value, strict=True)}
    if isinstance(value, (tuple, list)):
        return [_named(each) for each in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else repr(value)
