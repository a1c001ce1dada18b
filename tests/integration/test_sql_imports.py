"""The functions behind `tandem import rates` in plain SQL: each judges by itself who asks, and reads its own tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.fix_postgres import Database
from tests.import_world import ImportWorld

Tenant = Callable[..., Any]


@pytest.fixture
def world(database: Database, tmp_path: Path) -> ImportWorld:
    """Make the small world."""
    return ImportWorld(database, tmp_path)


@contextmanager
def acting(world: ImportWorld, account: str) -> Iterator[Tenant]:
    """Yield what runs a statement as an account that is not the root, in one transaction that is rolled back."""
    with world.database.connect("tandem_tool") as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "select tandem.act_as_v1((select id from tandem.account where name = %s), 'eve')", (account,)
        )
        connection.execute("set local role tandem_tenant")
        yield connection.execute


@pytest.mark.parametrize(
    "statement",
    [
        "select tandem.stage_rates_v1(%(tariff)s)",
        "select tandem.gather_rates_v1(%(tariff)s)",
        "select tandem.diff_rates_v1(%(tariff)s, now(), null, true, 1, 1)",
        "select tandem.build_rates_v1(%(tariff)s, null)",
        "select tandem.switch_rates_v1(%(tariff)s, '[]', now(), '{}')",
    ],
)
def test_every_function_asks_who_may(world: ImportWorld, statement: str) -> None:
    """A neighbour's tariff does not exist; one's own wants the right."""
    with acting(world, "South") as run, pytest.raises(psycopg.Error, match=f"tariff {world.retail} does not exist"):
        run(statement, {"tariff": world.retail})
    world.database.run("delete from tandem.account_grant where right_name = 'prices'")
    with acting(world, "North") as run, pytest.raises(psycopg.Error, match="prices: not granted"):
        run(statement, {"tariff": world.retail})


def test_undo_asks_who_may(world: ImportWorld) -> None:
    made = world.json("rates", world.file("Code,Rate", "44,0.11"), "--tariff", "retail")["import"]
    with acting(world, "South") as run, pytest.raises(psycopg.Error, match=f"import {made} does not exist"):
        run("select tandem.undo_rates_v1(%s)", (made,))
    world.run("undo", str(made))
    with acting(world, "North") as run, pytest.raises(psycopg.Error, match="was undone already"):
        run("select tandem.undo_rates_v1(%s)", (made,))


@pytest.mark.parametrize("kind", ["table", "view"])
def test_somebodys_own_temporary_tables_are_not_read(world: ImportWorld, kind: str) -> None:
    """What runs with the owner's rights would run what stands behind a view."""
    body = "(a int)" if kind == "table" else "as select 1 as a"
    for name in ("import_row", "import_moment", "import_price", "import_rate", "import_diff", "import_change"):
        for statement in (
            "select tandem.gather_rates_v1(%(tariff)s)",
            "select tandem.diff_rates_v1(%(tariff)s, now(), null, true, 1, 1)",
            "select tandem.build_rates_v1(%(tariff)s, null)",
            "select tandem.keep_changes_v1(1)",
        ):
            with acting(world, "North") as run:
                run(f"create temporary {kind} {name} {body}")
                with pytest.raises(psycopg.Error, match="nothing is staged"):
                    run(statement, {"tariff": world.retail})


def test_no_set_of_another_tariff(world: ImportWorld) -> None:
    """Neither to compare with, which would tell its prices, nor to switch to."""
    other = world.database.one("select rate_set_id from tandem.tariff where name = 'wholesale'")
    with acting(world, "North") as run:
        run("select tandem.stage_rates_v1(%s)", (world.retail,))
        run("select tandem.gather_rates_v1(%s)", (world.retail,))
        with pytest.raises(psycopg.Error, match="is none of tariff"):
            run("select tandem.diff_rates_v1(%s, now(), %s, true, 1, 1)", (world.retail, other))
    with (
        acting(world, "North") as run,
        pytest.raises(psycopg.Error, match="can only point to a ready rate set of its own"),
    ):
        run(
            "select tandem.switch_rates_v1(%s, jsonb_build_array(jsonb_build_object('set', %s::bigint)), null, '{}')",
            (world.retail, other),
        )


def test_only_imports_of_this_transaction_get_changes(world: ImportWorld) -> None:
    made = world.json("numbers", world.file("Number", "442079460001"), "--account", "Alpha")["import"]
    with acting(world, "North") as run:
        run("select tandem.stage_changes_v1()")
        run("insert into pg_temp.import_change(key, after) values (1, '{}')")
        with pytest.raises(psycopg.Error, match="is none of this transaction"):
            run("select tandem.keep_changes_v1(%s)", (made,))


def test_a_deck_has_at_most_so_many_prices(world: ImportWorld) -> None:
    """Those that stay and those that come count together."""
    world.run(
        "rates",
        world.file("Code,Rate", *(f"5{n},0.{n}" for n in range(10_000, 50_000))),
        "--tariff",
        "retail",
        "--full",
        "--yes",
    )
    path = world.file("Code,Rate", *(f"6{n},1.{n}" for n in range(10_000, 50_000)))
    sentence = world.refused("rates", path, "--tariff", "retail", "--yes")
    assert sentence == "the deck would have 80000 different prices; at most 65536 are allowed"
