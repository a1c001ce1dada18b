"""Every table and verb, as the root, a reseller, its dealer, a customer, a stranger: what policies and grants say.

No trigger and no foreign key is in force here, so nothing but the policies can refuse; test_guards.py has them all.
"""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest

from tests.isolation import asking, judging
from tests.isolation.judging import DENIED, DONE, Planted, acting
from tests.isolation.oracle import sees
from tests.isolation.tables import TABLES, Table

by_table = pytest.mark.parametrize("table", TABLES, ids=[table.name for table in TABLES])


def test_every_table_is_known(planted: Planted) -> None:
    """Each table of the schema is in tables.py, and each has rows, so that there is something to hide."""
    query: LiteralString = "select relname from pg_class where relnamespace = 'tandem'::regnamespace and relkind = 'r'"
    stored = {name for (name,) in planted.database.run(query)}
    assert stored == {table.name for table in TABLES}
    assert [name for name, rows in planted.world.rows.items() if not rows] == []


@by_table
def test_the_statements_do_something(planted: Planted, table: Table) -> None:
    """Each statement changes one row when nothing refuses it; so a refusal is one of policies and grants."""
    asked = zip(planted.asks[table.name], planted.wanted[table.name], strict=True)
    idle = [(ask.text, outcome) for ask, outcome in asked if outcome[:2] != (DONE, 1)]
    # The audit is kept by a trigger that is never off.
    assert [
        text for text, outcome in idle if (table.name, outcome.said) != ("audit", "the audit is never changed")
    ] == []


@by_table
def test_reading(planted: Planted, table: Table) -> None:
    """A viewer reads the rows that the oracle names, no more and no fewer."""
    assert [said for viewer in planted.viewers if (said := judging.misread(planted, viewer, table))] == []


@by_table
def test_writing(planted: Planted, table: Table) -> None:
    """INSERT, UPDATE, DELETE, MERGE, ON CONFLICT and RETURNING do what the oracle allows and nothing else."""
    assert [said for viewer in planted.viewers for said in judging.miswritten(planted, viewer, table)] == []


@by_table
def test_writing_blindly(planted: Planted, table: Table) -> None:
    """UPDATE and DELETE without a condition change the rows that the oracle allows, and none that is only not seen."""
    assert [said for viewer in planted.viewers for said in judging.blind(planted, viewer, table)] == []


@by_table
def test_copying_out(planted: Planted, table: Table) -> None:
    """COPY TO gives the rows that a SELECT gives."""
    columns = ", ".join(table.key)
    for viewer in planted.viewers:
        rows = planted.world.rows[table.name]
        expected = {row[asking.KEY] for row in rows if viewer.is_root or sees(viewer, table.name, row)}
        copied: set[str] = set()
        try:
            with (
                acting(planted.database, judging.role_of(viewer), viewer.id),
                planted.database.connection.cursor() as cursor,
                cursor.copy(f"copy tandem.{table.name} ({columns}) to stdout".encode()) as copy,
            ):
                copy.set_types(["text"] * len(table.key))
                copied = {"/".join(map(str, row)) for row in copy.rows()}
        except psycopg.errors.InsufficientPrivilege:
            assert not expected, viewer.id
        assert judging.differing(f"account {viewer.id}", expected, copied) == ""


@by_table
def test_copying_in_and_truncating(planted: Planted, table: Table) -> None:
    """COPY FROM is refused to everybody below policies, TRUNCATE to everybody, whoever acts."""
    for viewer in planted.viewers[:2]:
        with acting(planted.database, judging.role_of(viewer), viewer.id):
            (truncated,) = judging.run(planted.database, [f"truncate tandem.{table.name} cascade"])
        assert truncated.state == DENIED
        with (
            pytest.raises((psycopg.errors.FeatureNotSupported, psycopg.errors.InsufficientPrivilege)),
            acting(planted.database, judging.role_of(viewer), viewer.id),
            planted.database.connection.cursor() as cursor,
            cursor.copy(f"copy tandem.{table.name} from stdin".encode()) as copy,
        ):
            copy.write(b"")


@by_table
def test_nobody_acts(planted: Planted, table: Table) -> None:
    """Without an acting account a tenant's statement is an error, never empty: an export of nothing deletes a world."""
    assert list(judging.unanswered(planted, table)) == []
