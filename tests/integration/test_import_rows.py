"""`tandem import routes` and `numbers`: what a carrier takes, and which numbers an account has."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fix_postgres import Database
from tests.import_world import ImportWorld

OWN: Final = ("--carrier", "own")
ALPHA: Final = ("--account", "Alpha")


@pytest.fixture
def world(database: Database, tmp_path: Path) -> ImportWorld:
    """Make the small world."""
    return ImportWorld(database, tmp_path)


def routes(world: ImportWorld) -> set[tuple[Any, ...]]:
    return set(
        world.database.run(
            "select callee_prefix, callee_pattern, stopper, block, enabled, description from tandem.peering_rule"
            " where group_id = (select id from tandem.peering_group where name = 'own')"
        )
    )


def numbers(world: ImportWorld, account: str = "Alpha") -> dict[str, tuple[str, str | None]]:
    """Return number -> status and user of an account."""
    rows = world.database.run(
        "select n.e164, n.status, s.username from tandem.number n"
        " left join tandem.subscriber s on s.id = n.subscriber_id"
        " where n.account_id = (select id from tandem.account where name = %s)",
        account,
    )
    return {number: (status, user) for number, status, user in rows}


def counted(said: Mapping[str, Any]) -> tuple[int, ...]:
    return tuple(said[name] for name in ("new", "removed", "changed", "unchanged"))


def test_routes_full_and_partial_and_back(world: ImportWorld) -> None:
    before = routes(world)
    assert before == {("", "", False, False, True, "")}
    lines = (
        "Country code,Codes,Stop,Block,Description,Status",
        "44,20;21,yes,,London,",
        "49,,,x,Germany,active",
        "33,,,,France,no",
    )
    mapped = ("--map", "area_code=Codes")
    first = world.json("routes", world.file(*lines), *OWN, *mapped)
    assert counted(first) == (4, 0, 0, 0)
    made = {
        ("4420", "", True, False, True, "London"), ("4421", "", True, False, True, "London"),
        ("49", "", False, True, True, "Germany"), ("33", "", False, False, False, "France"),
    }  # fmt: skip
    assert routes(world) == before | made
    path = world.file("Code,Stop,Description,Status", "4420,yes,London,", "4421,,Leeds,", "33,,,deleted", "1,,,")
    assert counted(world.json("routes", path, *OWN)) == (1, 1, 1, 1)
    second = world.json("list")[0]["id"]
    assert "removed" in world.refused("routes", world.file("Code", "7"), *OWN, "--full")
    assert "nothing was imported: --dry-run" in world.run(
        "routes", world.file("Code", "7"), *OWN, "--full", "--dry-run"
    )
    third = world.json("routes", world.file("Code", "7"), *OWN, "--full", "--yes")
    assert routes(world) == {("7", "", False, False, True, "")}
    assert "route '' was changed after it" not in world.refused("undo", str(second))
    for number in (third["import"], second, first["import"]):
        world.run("undo", str(number))
    assert routes(world) == before


def test_the_same_routes_again_change_nothing(world: ImportWorld) -> None:
    path = world.file(
        "Code,Callee pattern,Valid from,Valid to",
        "44,^sip:44,2030-01-01,2031-01-01",
        "44,^sip:44,2030-01-01,2031-01-01",
    )
    world.run("routes", path, *OWN)
    assert "nothing changes" in world.run("routes", path, *OWN)
    assert len(world.json("list")) == 1


def test_what_is_wrong_with_routes(world: ImportWorld) -> None:
    lines = (
        "Code,Callee pattern,Stop,Block,Time set,Valid from,Valid to,Description",
        "4x,,,,,,,", "44,(((,,,,,,", "45,,maybe,,,,,", "46,,yes,yes,,,,", "47,,,,nights,,,",
        "48,,,,,2031-01-01,2030-01-01,", f"49,,,,,,,{'x' * 201}",
        "50,,yes,,,,,", "50,,no,,,,,",
    )  # fmt: skip
    errors = world.folder / "errors.csv"
    assert "8 values are wrong" in world.refused("routes", world.file(*lines), *OWN, "--errors", str(errors))
    told = errors.read_text()
    for rule in (
        "a code is digits", "a pattern that is no regular expression", "is yes or no", "blocks or stops",
        "does not exist", "ends after",
        "up to 200", "line 9 says the same route otherwise",
    ):  # fmt: skip
        assert rule in told
    assert routes(world) == {("", "", False, False, True, "")}


def test_who_may_import_routes(world: ImportWorld) -> None:
    path = world.file("Code", "44")
    assert world.refused("routes", path, "--carrier", "acme") == "carrier: 'acme' does not exist"
    assert world.refused("routes", path, *OWN, as_account="South") == "carrier: 'own' does not exist"
    world.database.run("delete from tandem.account_grant where right_name = 'carriers_own'")
    assert "carriers_own: not granted to account" in world.refused("routes", path, *OWN)
    assert world.json("routes", path, "--carrier", "North/own", as_account="")["import"]


def test_carriers_of_the_same_name(world: ImportWorld) -> None:
    world.database.run("select world.carrier_of('South', 'own', '127.0.1.8', 5080, '44', '0.003')")
    path = world.file("Code", "44")
    refusal = world.refused("routes", path, *OWN, as_account="")
    assert "carrier: several are called 'own', give the id or a path: #" in refusal
    assert world.json("routes", path, *OWN)["import"]


def test_numbers_of_an_account_and_its_line(world: ImportWorld) -> None:
    path = world.file("DID;SIP", "+44 20 7946 0001;alice@a.example", "442079460002-442079460004;", "004420 79460009;")
    first = world.json("numbers", path, *ALPHA)
    assert counted(first) == (5, 0, 0, 0)
    assert numbers(world)["442079460001"] == ("active", "alice")
    assert numbers(world)["442079460003"] == ("active", None)
    second = world.json(
        "numbers", world.file("Number,Status", "442079460001,suspended", "442079460009,deleted"), *ALPHA
    )
    assert counted(second) == (0, 1, 1, 0)
    assert numbers(world)["442079460001"] == ("suspended", "alice")
    third = world.json(
        "numbers", world.file("Number", "442079460001", "442079460002"), *ALPHA, "--line", "alice@a.example"
    )
    assert counted(third) == (0, 0, 1, 1)
    assert "2 of 4 numbers are removed" not in world.run(
        "numbers", world.file("Number", "442079460001", "442079460002"), *ALPHA, "--full"
    )
    assert numbers(world) == {"442079460001": ("suspended", "alice"), "442079460002": ("active", "alice")}
    for row in world.json("list"):
        world.run("undo", str(row["id"]))
    assert numbers(world) == {}


def test_a_line_takes_the_place_of_what_a_number_reached(world: ImportWorld) -> None:
    """A file that says the line takes all else away; one that says none leaves it; undone, all is as before.

    Also where a release noted the import that did not know all columns.
    """
    reached = "select user_id is not null, subscriber_id is not null from tandem.number"
    world.database.run(
        "with eva as (insert into tandem.user(account_id, name) select id, 'Eva' from tandem.account"
        " where name = 'Alpha' returning id, account_id)"
        " insert into tandem.number(account_id, e164, user_id) select account_id, '442079460001', id from eva"
    )
    world.run("numbers", world.file("Number,Line,Status", "442079460001,,suspended"), *ALPHA)
    assert world.database.run(reached) == [(True, False)]
    made = world.json("numbers", world.file("Number,Line", "442079460001,alice@a.example"), *ALPHA)["import"]
    assert world.database.run(reached) == [(False, True)]
    world.database.run("update tandem.import_change set before = before - 'media_user', after = after - 'media_user'")
    world.run("undo", str(made))
    assert world.database.run(reached) == [(True, False)]


def test_what_is_wrong_with_numbers(world: ImportWorld) -> None:
    world.run("numbers", world.file("Number", "442079460001"), "--account", "Beta")
    lines = ("Number,Line,Status", "44,,", "442079460005,bob@a.example,", "442079460006,nobody@x.example,",
             "442079460007,,asleep",
             "442079460008,alice@a.example,", "442079460008,,")  # fmt: skip
    errors = world.folder / "errors.csv"
    assert "5 values are wrong" in world.refused("numbers", world.file(*lines), *ALPHA, "--errors", str(errors))
    told = errors.read_text()
    for rule in ("a number has at least 3 digits", "bob@a.example,is no line of Alpha", "nobody@x.example,is no line",
                 "is one of active",
                 "line 6 says something else"):  # fmt: skip
        assert rule in told
    assert numbers(world) == {}


def test_a_number_of_somebody_else_is_not_available(world: ImportWorld) -> None:
    """Whether a neighbour, a child or nobody visible has it: the same words."""
    world.run("numbers", world.file("Number", "442079460001"), "--account", "Beta")
    world.run("numbers", world.file("Number", "4930000001"), "--account", "South", as_account="")
    errors = world.folder / "errors.csv"
    path = world.file("Number", "442079460001", "4930000001", "442079460002")
    assert "2 values are wrong" in world.refused("numbers", path, *ALPHA, "--errors", str(errors))
    assert errors.read_text().splitlines()[1:] == [
        "2,Number,442079460001,is not available",
        "3,Number,4930000001,is not available",
    ]
    assert numbers(world) == {}
    world.database.run("delete from tandem.account_grant where right_name = 'numbers'")
    assert "numbers: not granted to account" in world.refused("numbers", world.file("Number", "442079460002"), *ALPHA)
    assert world.refused("numbers", path, "--account", "South") == "--account: 'South' does not exist"


def test_undo_of_rows_wants_nothing_newer(world: ImportWorld) -> None:
    made = world.json("numbers", world.file("Number", "442079460001"), *ALPHA)["import"]
    world.database.run("update tandem.number set status = 'suspended'")
    assert (
        world.refused("undo", str(made))
        == f"import: {made} cannot be undone: number '442079460001' was changed after it"
    )
    world.database.run("update tandem.number set status = 'active'")
    world.run("undo", str(made))
    assert "was undone already" in world.refused("undo", str(made))


FILES = st.lists(
    st.tuples(
        st.booleans(),
        st.dictionaries(
            st.sampled_from([f"4420794600{n:02}" for n in range(6)]),
            st.sampled_from(["active", "suspended", "deleted"]),
            min_size=1,
        ),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


def test_any_lists_of_numbers_lead_to_what_a_dictionary_says(world: ImportWorld) -> None:
    """Full and partial lists one after the other, and back."""

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(FILES)
    def holds(files: list[tuple[bool, dict[str, str]]]) -> None:
        history: list[tuple[int | None, dict[str, Any]]] = []
        for is_full, said in files:
            before = numbers(world)
            kept = {} if is_full else dict(before)
            expected = {**kept, **{number: (word, None) for number, word in said.items()}}
            expected = {number: row for number, row in expected.items() if row[0] != "deleted"}
            path = world.file("Number,Status", *(f"{number},{word}" for number, word in said.items()))
            made = world.json("numbers", path, *ALPHA, "--yes", *(("--full",) if is_full else ()))["import"]
            history.append((made, before))
            assert numbers(world) == expected
        for made, before in reversed(history):
            if made is not None:
                world.run("undo", str(made))
            assert numbers(world) == before

    holds()
