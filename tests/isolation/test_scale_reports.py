"""Reports of an hour or a day in tables of many days read that time, however old it is; no time is asserted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.fix_postgres import SCHEMA, Database, PostgresServer, load_seed
from tests.isolation.commands import Commands
from tests.isolation.judging import HERE
from tests.isolation.plans import Plan, watched
from tests.report_world import WORLD

CALLS_A_DAY: Final = 2_000
RECORDS: Final = frozenset({"cdr", "cdr_leg", "cdr_attempt"})
# A report looks at the two days before its time, too: a call may have begun then. A call has up to four legs.
READ_MAX: Final = 5 * CALLS_A_DAY
TIMES: Final = {
    "an old day": ("2026-01-03", "2026-01-04"),
    "a late day": ("2026-02-27", "2026-02-28"),
    "an old hour": ("2026-01-03 10:00", "2026-01-03 11:00"),
}
REPORTS: Final = ("cdr", "traffic --by day", "traffic --by carrier", "margin --by account")


@pytest.fixture(scope="module")
def calls(postgres_server: PostgresServer) -> Iterator[Database]:
    """Yield sixty days of calls, with statistics, as a database that has been in use."""
    with postgres_server.clone(SCHEMA) as made:
        load_seed(made.connection, "world.sql")
        made.connection.execute(WORLD)
        with made.connection.transaction():
            made.run((HERE / "reports.sql").read_bytes())
        made.run("vacuum (analyze) tandem.cdr, tandem.cdr_leg, tandem.cdr_attempt, tandem.account, tandem.visibility")
        yield made


@pytest.mark.parametrize("asker", ["Tandem", "North", "Alpha"])
def test_a_report_reads_its_time_only(calls: Database, asker: str) -> None:
    """Whoever asks, whatever is summed: no node of any plan reads more of the records than some days of them."""
    commands = Commands(calls)
    faults = []
    for name, (since, until) in TIMES.items():
        for report in REPORTS:
            line = f"report {report} --from '{since}' --to '{until}' --as {asker}"
            with watched(calls) as plans:
                commands.run(line)
            took_ms = sum(plan.took_ms for plan in plans)
            print(f"{asker:>8}: {report:<22} {name:<12} {took_ms:8.1f} ms")  # noqa: T201  the times are what one wants to see
            assert any(node.get("Relation Name") == "cdr" for plan in plans for node in plan.nodes)
            faults += [f"{line}: {fault}" for plan in plans for fault in _wasteful(plan)]
    assert faults == []


def test_the_root_finds_an_hour_by_the_ends(calls: Database) -> None:
    """By their begins alone an hour of the platform would cost two days and an hour."""
    with watched(calls) as plans:
        Commands(calls).run("report cdr --from '2026-01-03 10:00' --to '2026-01-03 11:00'")
    used = {node.get("Index Name") for plan in plans for node in plan.nodes}
    assert "cdr_by_end" in used


def _wasteful(plan: Plan) -> list[str]:
    """Say which nodes read more records of calls than a time of these could need."""
    return [f"{node['Node Type']} of {node['Relation Name']} reads {_read(node):.0f} rows: {plan.query[:200]}"
            for node in plan.nodes if node.get("Relation Name") in RECORDS and _read(node) > READ_MAX]  # fmt: skip


def _read(node: dict[str, Any]) -> float:
    """Return how many rows a node reads, those included that it throws away."""
    dropped = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return float((node["Actual Rows"] + sum(node.get(each, 0) for each in dropped)) * node["Actual Loops"])
