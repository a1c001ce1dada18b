"""The functions behind `tandem import rates` in plain SQL: each judges by itself who asks, and reads its own tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

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
    """Yield what runs a statement as an account, "" = as the tools do for the root; all of it is rolled back."""
    with world.database.connect("tandem_tool") as connection, connection.transaction(force_rollback=True):
        connection.execute(
            "select tandem.act_as_v1((select id from tandem.account where name = %s), 'eve')", (account or "Tandem",)
        )
        if account:
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
            "select tandem.keep_changes_v1('numbers', (select id from tandem.account where name = 'Alpha'), '{}')",
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
    with acting(world, "North") as run:
        run("select tandem.stage_rates_v1(%s)", (world.retail,))
        run("select tandem.gather_rates_v1(%s)", (world.retail,))
        run("select tandem.diff_rates_v1(%s, now(), null, true, 1, 1)", (world.retail,))
        with pytest.raises(psycopg.Error, match=f"rate set {other} is none of tariff {world.retail}"):
            run("select tandem.build_rates_v1(%s, %s)", (world.retail, other))
    with (
        acting(world, "North") as run,
        pytest.raises(psycopg.Error, match="can only point to a ready rate set of its own"),
    ):
        run(
            "select tandem.switch_rates_v1(%s, jsonb_build_array(jsonb_build_object('set', %s::bigint)), null, '{}')",
            (world.retail, other),
        )


_FILE: Final = "{" + f'"file_name": "f", "sha256": "{"0" * 64}", "lines": 1, "summary": {{}}' + "}"
_ROW: Final = (
    "insert into pg_temp.import_change(key, before, after)"
    " select n.id, to_jsonb(n) || %s, to_jsonb(n) || %s from tandem.number n where n.e164 = '442079460001'"
)


def test_an_import_is_noted_by_its_function_alone(world: ImportWorld) -> None:
    """What an undo brings back is nobody's to write, and nothing that the import has not changed."""
    world.run("numbers", world.file("Number", "442079460001"), "--account", "Alpha")
    alpha, beta = world.account("Alpha"), world.account("Beta")
    for statement in (
        "insert into tandem.import_file(file_name) values ('f')",
        "update tandem.import_file set undone_at = null",
        "insert into tandem.import_change(import_id, key) values (1, 1)",
    ):
        for account in ("North", ""):
            with acting(world, account) as run, pytest.raises(psycopg.Error, match="permission denied"):
                run(statement)
    keep = "select tandem.keep_changes_v1('numbers', %s, %s)"
    for before, after in (
        (f'{{"account_id": {beta}}}', "{}"),
        ('{"id": 999999}', "{}"),
        ("{}", '{"status": "closed"}'),
    ):
        with acting(world, "North") as run:
            run("set local timezone = 'UTC'")
            run("select tandem.stage_changes_v1()")
            run(_ROW, (before, after))
            with pytest.raises(psycopg.Error, match="is none that it changed"):
                run(keep, (alpha, _FILE))
    with acting(world, "North") as run:
        run("select tandem.stage_changes_v1()")
        run(
            "insert into pg_temp.import_change select 99, jsonb_build_object('id', 99, 'account_id', %s::bigint)",
            (alpha,),
        )
        with pytest.raises(psycopg.Error, match="row 99 is none that it changed"):
            run(keep, (alpha, _FILE))
    with acting(world, "South") as run:
        run("select tandem.stage_changes_v1()")
        with pytest.raises(psycopg.Error, match=f"account {alpha} does not exist"):
            run(keep, (alpha, _FILE))


def test_what_an_import_notes_wants_the_right(world: ImportWorld) -> None:
    """Another number than before is a new one."""
    world.run("numbers", world.file("Number", "442079460001"), "--account", "Alpha")
    world.database.run("delete from tandem.account_grant")
    with acting(world, "North") as run:
        run("set local timezone = 'UTC'")
        run("select tandem.stage_changes_v1()")
        run(_ROW, ('{"e164": "442079460002"}', "{}"))
        with pytest.raises(psycopg.Error, match="numbers: not granted"):
            run("select tandem.keep_changes_v1('numbers', %s, %s)", (world.account("Alpha"), _FILE))


def test_an_undo_is_by_the_rights_of_whoever_undoes_it(world: ImportWorld) -> None:
    """Not by those of the importer, who may have lost them: else nobody could take back what it did."""
    world.run("routes", world.file("Code", "44"), "--carrier", "own")
    world.run("numbers", world.file("Number", "442079460001"), "--account", "Alpha")
    made = {
        "carriers_own": world.json("routes", world.file("Code,Status", "44,deleted"), "--carrier", "own", "--yes"),
        "numbers": world.json("numbers", world.file("Number", "442079460002"), "--account", "Alpha"),
        "prices": world.json("rates", world.file("Code,Rate", "44,0.11"), "--tariff", "retail"),
    }
    world.database.run("delete from tandem.account_grant")
    for right, said in made.items():
        assert f"{right}: not granted to account" in world.refused("undo", str(said["import"]))
    for said in made.values():
        world.run("undo", str(said["import"]), as_account="")
    assert world.database.run("select e164::text from tandem.number") == [("442079460001",)]


def test_what_is_kept_is_what_there_was(world: ImportWorld) -> None:
    """The audit is asked: an undo by somebody with more rights writes nothing that was made up."""
    world.run("numbers", world.file("Number", "442079460001"), "--account", "Alpha")
    changed = "update tandem.number set status = 'suspended' where e164 = '442079460001'"
    keep = "select tandem.keep_changes_v1('numbers', %s, %s)"
    for before, is_kept in (('{"status": "closed"}', False), ('{"status": "active"}', True)):
        with acting(world, "North") as run:
            run("set local timezone = 'UTC'")
            run("select tandem.stage_changes_v1()")
            run(changed)
            run(_ROW, (before, "{}"))
            if is_kept:
                run(keep, (world.account("Alpha"), _FILE))
            else:
                with pytest.raises(psycopg.Error, match="was not so before"):
                    run(keep, (world.account("Alpha"), _FILE))
    with acting(world, "North") as run:
        run("set local timezone = 'UTC'")
        run("select tandem.stage_changes_v1()")
        run(_ROW, ('{"status": "suspended"}', "{}"))  # nothing was changed in this transaction
        with pytest.raises(psycopg.Error, match="was not so before"):
            run(keep, (world.account("Alpha"), _FILE))


def test_an_undo_is_of_the_account_that_it_was_for(world: ImportWorld) -> None:
    """A carrier or a tariff that is another's since is not given back what the former owner had."""
    north, south = world.account("North"), world.account("South")
    made = [
        world.json("routes", world.file("Code", "44"), "--carrier", "own")["import"],
        world.json("rates", world.file("Code,Rate", "44,0.11"), "--tariff", "retail")["import"],
    ]
    world.database.run("update tandem.import_file set account_id = %s where account_id = %s", south, north)
    for number in made:
        assert "is another account's now" in world.refused("undo", str(number), as_account="")


def test_an_undo_shows_a_name_as_it_is_written(world: ImportWorld) -> None:
    world.database.run("update tandem.account set name = %s where name = 'Alpha'", "Al\u202epha")
    path = world.file("Number", "442079460001", name="a\x1bb.csv")
    made = world.json("numbers", path, "--account", str(world.account("Al\u202epha")))["import"]
    assert "Al\\u202epha has what it had before" in world.run("undo", str(made))
    assert world.database.one("select file_name from tandem.import_file") == "a\\x1bb.csv"


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


def test_an_undo_is_noted_when_it_was_one(world: ImportWorld) -> None:
    """Else the import would stay for good, and could be undone no more: the rows are back at commit."""
    world.run("numbers", world.file("Number", "442079460001"), "--account", "Alpha")
    made = world.json("numbers", world.file("Number", "442079460002"), "--account", "Alpha")["import"]
    with acting(world, "Alpha") as run, pytest.raises(psycopg.Error, match="numbers: not granted to account"):
        run("select tandem.end_import_v1(%s)", (made,))
    with acting(world, "North") as run:
        run("select tandem.end_import_v1(%s)", (made,))
        with pytest.raises(psycopg.Error, match=f"import {made} is not undone: row"):
            run("set constraints all immediate")
    with acting(world, "North") as run, pytest.raises(psycopg.Error, match="is not being undone in this transaction"):
        run("select tandem.return_rows_v1(%s)", (made,))


def test_imports_are_undone_one_after_the_other(world: ImportWorld) -> None:
    """A row that comes back has the key that it had, by which the import before knows it."""
    first = world.json("numbers", world.file("Number", "442079460001"), "--account", "Alpha")["import"]
    keys = world.database.run("select id from tandem.number")
    second = world.json("numbers", world.file("Number,Status", "442079460001,deleted"), "--account", "Alpha", "--yes")
    assert world.database.run("select id from tandem.number") == []
    world.run("undo", str(second["import"]))
    assert world.database.run("select id from tandem.number") == keys
    world.run("undo", str(first))
    assert world.database.run("select id from tandem.number") == []


@pytest.mark.parametrize(
    ("summary", "sentence"),
    [
        ("[]", "import of numbers: its summary is an object of at most 100000 characters"),
        ('{"decks": 5}', "import of rates: decks is a list of objects"),
        ('{"decks": [{"from": "never"}]}', "import of rates: 'never' is no time at which a deck begins"),
        ('{"new": "many"}', "import of numbers: its summary says numbers, yes and no"),
    ],
)
def test_a_summary_that_nobody_could_read(world: ImportWorld, summary: str, sentence: str) -> None:
    """Everybody above would read it."""
    kind = sentence.split(" ")[2].rstrip(":")
    assert world.database.refused("select tandem.check_summary(%s, %s)", kind, summary) == sentence
    file = _FILE.replace("{}", summary)
    keep, switch = (
        "select tandem.keep_changes_v1('numbers', %s, %s)",
        "select tandem.switch_rates_v1(%s, '[]', null, %s)",
    )
    with acting(world, "North") as run:
        run("set local timezone = 'UTC'")
        run("select tandem.stage_changes_v1()")
        with pytest.raises(psycopg.Error, match="it changed nothing"):
            run(keep, (world.account("Alpha"), file))
    with acting(world, "North") as run, pytest.raises(psycopg.Error, match="import of rates"):
        run(switch, (world.retail, file))


def test_a_summary_of_before_is_listed_all_the_same(world: ImportWorld) -> None:
    """One that nobody checked when it was written hides no import."""
    for number, (kind, summary) in enumerate(
        (
            ("numbers", '{"decks": 5}'),
            ("rates", '{"decks": [{"from": "never"}, 7, {"from": 1}]}'),
            ("rates", '{"decks": 5}'),
        )
    ):
        world.database.run(
            "insert into tandem.import_file(account_id, kind, target_id, target, file_name, sha256, lines, summary)"
            " values (%s, %s, 1, 'old', %s, repeat('0', 64), 0, %s)",
            world.account("Alpha"), kind, f"f{number}", summary,
        )  # fmt: skip
    assert {row["state"] for row in world.json("list", as_account="")} == {"in force"}
