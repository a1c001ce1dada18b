"""Calls of before a move whose money comes after it: told to whom the calls are told, and as they were told."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.fix_postgres import Database
from tests.report_world import ReportWorld

OWN = "select count(*) from tandem.ledger_entry where rid = %s and account_id = %s"
LEGS = "select level from tandem.cdr_leg where rid = %s order by level"


@pytest.fixture
def world(database: Database) -> Iterator[ReportWorld]:
    """Make the small tree; North pays what is below it and sees Gamma only when it is its own."""
    made = ReportWorld(database)
    yield made
    made.close()


@contextmanager
def acting(world: ReportWorld, name: str) -> Iterator[Database]:
    with world.database.connection.transaction(force_rollback=True):
        world.database.run("select tandem.act_as_v1(%s, 'a test')", world.ids[name])
        world.database.run("set local role tandem_tenant")
        yield world.database


def move(world: ReportWorld) -> None:
    """Let Gamma come from Fjord, which shares nothing, to North."""
    world.database.run(
        "select tandem.move_account_v1(a.id, a.upper, t.id) from (select %s::bigint as id, %s::bigint as upper) as a"
        " join tandem.tariff t on t.account_id = a.upper and t.name = 'retail'",
        world.ids["Gamma"],
        world.ids["North"],
    )


def test_what_is_posted_late_is_of_the_time_of_its_call(world: ReportWorld) -> None:
    """What Gamma paid Fjord is Fjord's and Gamma's to know, whenever settlement came to it."""
    call = world.call("old", "Gamma", "acme")
    move(world)
    world.settle(call, 60)
    gamma = world.ids["Gamma"]
    with acting(world, "North") as database:
        assert database.one(OWN, "old", gamma) == 0
        assert database.run(LEGS, "old") == [(2,), (3,)]
    with acting(world, "Gamma") as database:
        assert database.one(OWN, "old", gamma) == 1
    txn = world.database.one("select txn_id from tandem.ledger_entry where rid = 'old' and account_id = %s", gamma)
    world.database.run("select world.grant('North', 'money')")
    with acting(world, "North") as database:
        said = database.refused(f"select tandem.reverse_v1('{txn}', 'n', 'a', true)".encode())
        assert said == f"there is no transaction {txn}"


def test_calls_since_the_move_are_the_new_parents(world: ReportWorld) -> None:
    call = world.call("new", "Gamma", "acme")
    move(world)
    world.database.run("update tandem.visibility set since = '2000-01-01' where since is not null")
    world.settle(call, 60)
    with acting(world, "North") as database:
        assert database.one(OWN, "new", world.ids["Gamma"]) == 1
        assert database.one("select tandem.call_began_since('new', '2000-01-01')") is True
    with acting(world, "South") as database:
        assert database.one("select tandem.call_began_since('new', '2000-01-01')") is False


def told(world: ReportWorld, rid: str) -> tuple[Any, ...]:
    """Return as whose call North reads one, and what it paid and sold of it."""
    (row,) = [row for row in world.json("cdr", as_account="North")["rows"] if row["rid"] == rid]
    return row["account_id"], row["account"], row["callee"], json.dumps(row["paid"]), json.dumps(row["sold"])


def test_an_old_call_is_whose_it_was(world: ReportWorld) -> None:
    """Which of Fjord's calls were Gamma's nobody learns by taking Gamma over."""
    world.settle(world.call("old", "Gamma", "acme"), 60)
    before = told(world, "old")
    assert before[:2] == (world.ids["Fjord"], "Fjord")
    move(world)
    assert told(world, "old") == before
    world.database.run("update tandem.visibility set since = '2000-01-01' where since is not null")
    assert told(world, "old")[:2] == (world.ids["Gamma"], "Gamma")
