"""`tandem lint-routes`: everything about prices and routes that a call would find out too late."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime
from typing import Annotated, Final

import psycopg
import typer
from psycopg import IsolationLevel

from kemi.settings import Limits
from tools.database_url import checked
from tools.errors import OperatorError
from tools.explain.request import moment_ms
from tools.explain.show import add, say, table, wide_console
from tools.lint_routes.dead_ends import dead_ends
from tools.lint_routes.findings import KINDS, Findings
from tools.lint_routes.rows import row_findings
from tools.lint_routes.subjects import carriers_of, subjects_of
from tools.lint_routes.sweep import Sweep
from tools.node_limits import node_limits
from tools.sql_tables import SqlTables

FOUND: Final = 1  # exit status
MS: Final = 1_000  # of a second


def lint_routes(
    *,
    at: Annotated[
        str, typer.Option(help="As of then: 2026-12-24T18:00, UTC unless it says +01:00; now by default.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Look for rules that never count, sold, emergency and ported numbers that nobody takes, losses, price gaps, ends.

    Calls to every prefix are decided by the code of the live nodes, over the tables in Postgres, at the prices of one
    moment. Nothing is written. Exit status 1 if anything is wrong.
    """
    at_ms = moment_ms(at) if at else time.time_ns() // 1_000_000
    try:
        found = lint(os.environ.get("DATABASE_URL", ""), at_ms, node_limits(os.environ))
    except psycopg.Error as error:
        raise OperatorError(f"Postgres does not do its part: {str(error).strip()}") from error
    if as_json:
        findings = [each._asdict() for kind in KINDS for each in found.of(kind)]
        counts = {kind: found.counts[kind] for kind in KINDS}
        typer.echo(json.dumps({"at": _iso(at_ms), "counts": counts, "findings": findings}))
    else:
        _show(found)
    if found.counts.total():
        raise typer.Exit(FOUND)


def lint(database_url: str, at_ms: int, limits: Limits) -> Findings:
    """Return what is wrong at a moment (Unix time). Raises OperatorError and psycopg errors."""
    found = Findings()
    connection = psycopg.connect(checked(database_url), connect_timeout=3, application_name="tandem lint-routes")
    try:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        with connection.transaction():
            for finding in (*row_findings(connection, _iso(at_ms)), *dead_ends(connection, _iso(at_ms))):
                found.add(finding)
            tables = SqlTables(connection)
            carriers = carriers_of(tables)
            subjects = subjects_of(connection, tables, carriers, at_ms)
            Sweep(tables, carriers, subjects, limits).run(connection, found)
    finally:
        connection.close()
    return found


def _iso(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / MS, UTC).isoformat()


def _show(found: Findings) -> None:
    console = wide_console()
    for kind, title in KINDS.items():
        kept = found.of(kind)
        if not kept:
            continue
        made = table(title, "where", "what")
        for each in kept:
            add(made, each.where, each.what)
        console.print(made)
        if found.counts[kind] > len(kept):
            say(console, f"… and {found.counts[kind] - len(kept)} more")
    say(console, f"{found.counts.total()} findings" if found.counts.total() else "nothing is wrong")
