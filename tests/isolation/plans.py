"""Plans of statements, with what they really read: of one that is given, or of all that somebody else runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from psycopg import sql

from tests.fix_postgres import Database
from tests.isolation.judging import acting

ROWS_READ_MAX: Final = 5_000  # of a table, by one node: a page has 100, a reseller of our world a few hundred

_LOGGED: Final = re.compile(r"duration: ([0-9.]+) ms  plan:\n(.*?\n\t\})", re.DOTALL)
_SETTINGS: Final = {
    "session_preload_libraries": "auto_explain",
    "auto_explain.log_min_duration": "0",
    "auto_explain.log_analyze": "on",
    "auto_explain.log_format": "json",
    "auto_explain.log_nested_statements": "on",
}


class Plan(NamedTuple):
    """A statement that ran: its text, how long it took, and the nodes of its plan from the top down."""

    query: str
    took_ms: float
    nodes: list[dict[str, Any]]


def explain(database: Database, role: str, account: int, query: str) -> Plan:
    """Run a statement as an account, undo it, and return its plan."""
    with acting(database, role, account, triggers=True):
        (told,) = database.one(f"explain (analyze, format json) {query}".encode())
    return Plan(query, told["Planning Time"] + told["Execution Time"], list(_below(told["Plan"])))


@contextmanager
def watched(database: Database) -> Iterator[list[Plan]]:
    """Have each new connection to the database log its plans; the list is filled when the block ends."""
    name = sql.Identifier(database.name)
    for setting, value in _SETTINGS.items():
        change = sql.SQL("alter database {} set {} = {}")
        parts = sql.SQL(".").join(map(sql.Identifier, setting.split(".")))
        database.connection.execute(change.format(name, parts, sql.Literal(value)))
    log = database.server.socket_dir / "log"
    begin = log.stat().st_size
    plans: list[Plan] = []
    try:
        yield plans
    finally:
        database.connection.execute(sql.SQL("alter database {} reset all").format(name))
    with log.open("rb") as written:
        written.seek(begin)
        for found in _LOGGED.finditer(written.read().decode()):
            told = json.loads(found[2])
            plans.append(Plan(" ".join(told["Query Text"].split()), float(found[1]), list(_below(told["Plan"]))))


def wasteful(plan: Plan) -> list[str]:
    """Say which nodes read more than what is asked for could need.

    The ids that "100 of 99,999" counts are read, from an index alone.
    """
    return [f"{node['Node Type']} of {node['Relation Name']} reads {_read(node):.0f} rows: {plan.query[:300]}"
            for node in plan.nodes if "Relation Name" in node and _read(node) > ROWS_READ_MAX
            and not _is_counted(plan, node)]  # fmt: skip


def _is_counted(plan: Plan, node: dict[str, Any]) -> bool:
    is_of_index = node["Node Type"] == "Index Only Scan" and not node.get("Rows Removed by Filter")
    return is_of_index or plan.query.startswith("select count(*)")


def whole(plan: Plan) -> list[str]:
    """Say which tables a statement reads whole, one row after the other."""
    return [f"{node['Relation Name']} is read whole: {plan.query[:300]}" for node in plan.nodes
            if node["Node Type"] == "Seq Scan" and _read(node) > ROWS_READ_MAX]  # fmt: skip


def _read(node: dict[str, Any]) -> float:
    return float((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])


def _below(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _below(child)
