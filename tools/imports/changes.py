"""Routes and numbers: rows that a file adds, changes and removes, as the acting account and under its policies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, LiteralString, NamedTuple

import typer
from psycopg import Rollback

from tools.imports.columns import Columns
from tools.imports.faults import Faults
from tools.imports.outcome import Manner, Outcome, brake, conclude
from tools.imports.source import Survey
from tools.printable import counted, printable
from tools.session import Connection

_STAGE: Final = "select tandem.stage_changes_v1()"
_KEEP: Final = "select tandem.keep_changes_v1(%s, %s, %s)"
_COUNT: Final = """
select count(*) filter (where before is null) as new, count(*) filter (where after is null) as removed,
       count(*) filter (where before is not null and after is not null and before <> after) as changed,
       (select count(*) from pg_temp.import_line l where not l.removed) as staged
  from pg_temp.import_change
"""
_CHANGES: Final = ("new", "removed", "changed")


class Target(NamedTuple):
    """What the rows belong to: a carrier or an account. before: how many rows it had."""

    kind: LiteralString
    id: int
    name: str
    account_id: int
    shown: str
    before: int


class Statements(NamedTuple):
    """What a kind of import runs, with the parameters of the target. Before and after go into pg_temp.import_change.

    prepare: completes what was staged. told_off: (line, column, value, rule) of staged rows that cannot be.
    changes: makes the rows. left_over: like told_off, asked afterwards: what was staged and is not there.
    """

    prepare: Sequence[LiteralString]
    told_off: Sequence[LiteralString]
    changes: Sequence[LiteralString]
    left_over: Sequence[LiteralString]


def stage(
    connection: Connection, table: LiteralString, columns: LiteralString, rows: Iterable[Sequence[object]]
) -> None:
    """Copy rows into a temporary table of this session. table: its definition. columns: their names."""
    connection.execute(_STAGE)
    connection.execute("set local timezone = 'UTC'")  # rows are noted as JSON, and compared by an undo
    connection.execute(f"create temporary table import_line ({table}) on commit drop")
    with connection.cursor() as cursor, cursor.copy(f"copy pg_temp.import_line({columns}) from stdin") as copy:
        for row in rows:
            copy.write_row(row)
    connection.execute("analyze pg_temp.import_line")


def run(connection: Connection, statements: Sequence[LiteralString], parameters: dict[str, Any]) -> None:
    """Run statements. Raises psycopg.Error."""
    for statement in statements:
        connection.execute(statement, parameters)


def ask(
    connection: Connection,
    queries: Sequence[LiteralString],
    parameters: dict[str, Any],
    columns: Columns,
    faults: Faults,
) -> None:
    """Note what queries find wrong; they name fields, users read headings."""
    for query in queries:
        with connection.cursor() as cursor:
            for line, column, value, rule in cursor.stream(query, parameters):
                faults.add(line, columns.name(column), value, rule)


def counts(connection: Connection) -> dict[str, int]:
    """Return how many rows are new, removed, changed and unchanged."""
    ((new, removed, changed, staged),) = connection.execute(_COUNT).fetchall()
    return {"new": new, "removed": removed, "changed": changed, "unchanged": staged - new - changed}


def finish(
    connection: Connection, target: Target, file: Survey, summary: dict[str, Any], removed_pct: int, manner: Manner
) -> None:
    """Show what changed, hold it where that is absurd, and note it for an undo; or take it back, on a dry run.

    Raises OperatorError and psycopg.Rollback.
    """
    if not manner.as_json:
        said = ", ".join(f"{summary[name]:,} {name}" for name in (*_CHANGES, "unchanged"))
        typer.echo(f"{target.shown}: {counted(summary['lines'], 'line')}: {said}")
    brakes = []
    if summary["removed"] * 100 > target.before * removed_pct:
        brakes = [f"{summary['removed']} of {target.before} {target.kind} are removed"]
    brake(brakes, manner)
    import_id = None
    if not manner.is_dry and any(summary[name] for name in _CHANGES):
        noted = {
            "file_name": printable(file.path.name)[:255],
            "sha256": file.sha256,
            "lines": summary["lines"],
            "summary": summary,
        }
        ((import_id,),) = connection.execute(_KEEP, (target.kind, target.id, json.dumps(noted))).fetchall()
    conclude(Outcome(file, target.shown, summary, brakes, import_id), manner)
    if import_id is None:
        raise Rollback
