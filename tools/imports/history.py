"""`tandem import list`: what came in, and what became of it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import typer
from psycopg.rows import dict_row

from tools.account.tables import show_table
from tools.imports.run import Who
from tools.session import session

SHOWN: Final = 100
IN_FORCE: Final = "in force"
_LIST: Final = """
select f.id, f.created_at, f.kind, f.target, a.name as account, f.file_name as file, f.lines, f.undone_at,
       made.actor, undone.actor as undone_by,
       case f.kind when 'rates' then f.summary -> 'decks' end as begins
  from tandem.import_file f
  join tandem.account a on a.id = f.account_id
  left join tandem.audit_record made
         on made.table_name = 'import_file' and made.key = f.id::text and made.action = 'insert'
  left join tandem.audit_record undone
         on undone.table_name = 'import_file' and undone.key = f.id::text and undone.action = 'update'
 order by f.id desc limit %s
"""
_COLUMNS: Final = ("id", "created_at", "kind", "target", "account", "file", "lines", "actor", "state")


def list_imports(who: Who, *, every: bool, as_json: bool) -> None:
    """Print imports. Raises OperatorError."""
    with session(who.database_url, as_account=who.as_account, actor=who.actor, program="tandem import") as acting:
        cursor = acting.connection.cursor(row_factory=dict_row)
        found = cursor.execute(_LIST, (None if every else SHOWN + 1,)).fetchall()
        total = len(found)
        if not every and total > SHOWN:
            found = found[:SHOWN]
            ((total,),) = acting.connection.execute("select count(*) from tandem.import_file").fetchall()
    now = datetime.now(UTC)
    shown = [_row(row, now) for row in found]
    if as_json:
        typer.echo(json.dumps(shown))
        return
    show_table({name: name.replace("created_at", "at") for name in _COLUMNS}, shown)
    if total > len(found):
        typer.echo(f"{len(found)} of {total:,}; --all shows the others")


def _row(row: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return an import as programs read it."""
    kept = {name: value for name, value in row.items() if name != "begins"}
    times = {name: _time(row[name]) for name in ("created_at", "undone_at")}
    return {**kept, **times, "state": _state(row, now)}


def _begins(decks: object) -> list[datetime | None]:
    """Return when the decks of an import begin, None = at once. decks: as a summary has them, whoever wrote it."""
    found: list[datetime | None] = []
    for deck in decks if isinstance(decks, list) else ():
        said = deck.get("from") if isinstance(deck, dict) else None
        try:
            at = datetime.fromisoformat(said) if isinstance(said, str) else None
        except ValueError:
            at = None
        found.append(at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at)
    return found


def _state(row: dict[str, Any], now: datetime) -> str:
    """Return what became of an import, in words; nobody is named who is not seen."""
    if row["undone_at"] is not None:
        by = f" by {row['undone_by']}" if row["undone_by"] else ""
        return f"undone {_time(row['undone_at'])}{by}"
    return counts(_begins(row["begins"]), now)


def counts(begins: Sequence[datetime | None], now: datetime) -> str:
    """Return in words since when an import counts. begins: when its decks do, None = at once."""
    waiting = sorted(at for at in begins if at is not None and at > now)
    if not waiting:
        return IN_FORCE
    return f"{f'{IN_FORCE}, more' if len(waiting) < len(begins) else 'waits'} from {_time(waiting[0])}"


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")
