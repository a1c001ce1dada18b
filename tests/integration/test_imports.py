"""`tandem import rates`: a price list is in force whole or not at all, and goes again as it came."""

from __future__ import annotations

import csv
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_tables import Tables
from kemi.core.outcome import Need
from kemi.core.prefix import longest
from tests.fix_postgres import Database
from tests.import_world import ImportWorld
from tests.sync_pair import SyncPair
from tools.imports import rate_rows, staging

BEFORE: Final = {"44": 100_000, "441": 200_000, "33": 300_000, "1900": 0}
RETAIL: Final = ("--tariff", "retail")


@pytest.fixture
def world(database: Database, tmp_path: Path) -> ImportWorld:
    """Make the small world."""
    return ImportWorld(database, tmp_path)


def day(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).strftime("%Y-%m-%d")


def state(world: ImportWorld) -> list[Any]:
    """Return all that prices a call now or later."""
    return world.database.run("select rate_set_id from tandem.tariff order by id") + world.database.run(
        "select tariff_id, valid_from, rate_set_id from tandem.tariff_deck order by 1, 2"
    )


def test_a_partial_deck_keeps_what_it_does_not_name(world: ImportWorld) -> None:
    said = world.json("rates", world.file("Code,Rate", "44,0.12", "441,0.15", "49,0.05", "33,0.3"), *RETAIL)
    (deck,) = said["decks"]
    counted = {key: deck[key] for key in ("new", "removed", "increased", "decreased", "other_terms", "unchanged")}
    assert counted == {"new": 1, "removed": 0, "increased": 1, "decreased": 1, "other_terms": 1, "unchanged": 1}
    assert deck["extremes"] == [
        {"prefix": "44", "before": "0.1", "after": "0.12", "percent": 20.0},
        {"prefix": "441", "before": "0.2", "after": "0.15", "percent": -25.0},
    ]
    assert world.prices() == {**BEFORE, "44": 120_000, "441": 150_000, "49": 50_000}
    assert said["import"] == world.json("list")[0]["id"]


def test_a_full_deck_removes_what_it_does_not_name(world: ImportWorld) -> None:
    text = world.run(
        "rates", world.file("Code;Rate;Billing", "44;0,1;1/1", "33;0,33;60/6", "441;0,2;"), *RETAIL, "--full"
    )
    assert "at once: 0 new, 1 removed, 1 increased, 0 decreased, 2 unchanged" in text
    assert world.prices() == {"44": 100_000, "441": 200_000, "33": 330_000}


def test_what_is_so_already_changes_nothing(world: ImportWorld) -> None:
    """The same file again makes no rate set, no deck and no import."""
    path = world.file("Code,Rate", "44,0.12")
    world.run("rates", path, *RETAIL)
    before = state(world), world.database.one("select count(*) from tandem.rate_set")
    assert "nothing changes" in world.run("rates", path, *RETAIL)
    assert world.json("rates", path, *RETAIL)["import"] is None
    assert (state(world), world.database.one("select count(*) from tandem.rate_set")) == before
    assert len(world.json("list")) == 1


def test_a_dry_run_says_it_and_leaves_no_trace(world: ImportWorld) -> None:
    before = state(world)
    said = world.json("rates", world.file("Code,Rate", "44,9"), *RETAIL, "--dry-run")
    assert (said["import"], said["dry_run"], said["decks"][0]["increased"]) == (None, True, 1)
    assert said["brakes"] == ["1 of 4 codes rise by more than 400 %"]
    text = world.run("rates", world.file("Code,Rate", "44,9"), *RETAIL, "--dry-run")
    assert "+8,900.0 %" in text
    assert "would stop without --yes" in text
    assert state(world) == before
    assert world.json("list") == []


@pytest.mark.parametrize(
    ("lines", "words", "sentence"),
    [
        (("44,1",), (), "1 of 4 codes rise by more than 400 %"),
        (("44,0.001",), (), "1 of 4 codes fall by more than 90 %"),
        (("44,0.1",), ("--full",), "3 of 4 codes are removed"),
        (("49,0",), (), "1 codes are to cost nothing"),
        (("44,0.2",), ("--max-rise", "50"), "1 of 4 codes rise by more than 50 %"),
    ],
)
def test_the_brake(world: ImportWorld, lines: tuple[str, ...], words: tuple[str, ...], sentence: str) -> None:
    """What looks like a slip is not imported, unless it is meant."""
    path, before = world.file("Code,Rate", *lines), state(world)
    refusal = world.refused("rates", path, *RETAIL, *words)
    assert refusal.startswith("stopped, nothing was imported: ")
    assert sentence in refusal
    assert state(world) == before
    assert world.json("rates", path, *RETAIL, *words, "--yes")["import"]
    assert state(world) != before


def test_several_dates_are_several_decks(world: ImportWorld) -> None:
    """Past dates count at once, the newest of them; a code keeps its price until its date comes."""
    lines = (
        "Code,Rate,Date", f"44,0.11,{day(-9)}", f"44,0.12,{day(-2)}", f"44,0.13,{day(10)}", f"33,0.31,{day(10)}",
        f"49,0.05,{day(20)}",
        f"441,deleted,{day(20)}",
    )  # fmt: skip
    said = world.json("rates", world.file(*lines), *RETAIL, "--yes")
    assert [deck["from"] and deck["from"][:10] for deck in said["decks"]] == [None, day(10), day(20)]
    assert world.prices() == {**BEFORE, "44": 120_000}
    assert world.prices(11) == {**BEFORE, "44": 130_000, "33": 310_000}
    later = {**BEFORE, "44": 130_000, "33": 310_000, "49": 50_000}
    del later["441"]
    assert world.prices(21) == later


def test_a_full_deck_with_dates_to_come(world: ImportWorld) -> None:
    """What it names for later keeps its price until then; what it does not name goes with its first date."""
    lines = ("Code,Rate,Date", "44,0.11,", f"33,0.33,{day(10)}")
    world.json("rates", world.file(*lines), *RETAIL, "--full", "--yes")
    assert world.prices() == {"44": 110_000, "33": 300_000}
    assert world.prices(11) == {"44": 110_000, "33": 330_000}
    world.json("rates", world.file("Code,Rate", "44,0.11"), *RETAIL, "--full", "--yes", "--from", day(20))
    assert world.prices(11) == {"44": 110_000, "33": 330_000}
    assert world.prices(21) == {"44": 110_000}


def test_a_deck_that_waits_is_not_lost_silently(world: ImportWorld) -> None:
    world.run("rates", world.file("Code,Rate", "44,0.2"), *RETAIL, "--from", day(10))
    path, sentence = world.file("Code,Rate", "44,0.15"), "waits for"
    assert sentence in world.refused("rates", path, *RETAIL)
    assert "goes" in world.run("rates", path, *RETAIL, "--drop-waiting")
    assert world.prices()["44"] == world.prices(11)["44"] == 150_000
    world.run("undo", str(world.json("list")[0]["id"]))
    assert (world.prices()["44"], world.prices(11)["44"]) == (100_000, 200_000)


def test_the_same_date_again_corrects_the_deck(world: ImportWorld) -> None:
    world.run("rates", world.file("Code,Rate", "44,0.2"), *RETAIL, "--from", day(10))
    world.run("rates", world.file("Code,Rate", "33,0.4"), *RETAIL, "--from", day(10))
    assert world.prices(11) == {**BEFORE, "44": 200_000, "33": 400_000}
    world.run("undo", str(world.json("list")[0]["id"]))
    assert world.prices(11) == {**BEFORE, "44": 200_000}


def test_undo_gives_back_what_was_there(world: ImportWorld) -> None:
    before, calls = state(world), world.prices()
    made = world.json("rates", world.file("Code,Rate", "44,0.2", "49,0.3"), *RETAIL)["import"]
    assert world.prices() != calls
    assert f"import {made} of rates is undone" in world.run("undo", str(made))
    assert state(world) == before
    (row,) = world.json("list")
    assert (row["undone_by"], row["undone_at"] is not None) == ("eve", True)
    assert "by eve" in world.run("list")
    assert "was undone already" in world.refused("undo", str(made))
    audited = world.database.run(
        "select actor, table_name, action from tandem.audit"
        " where actor = 'eve' and table_name in ('import_file', 'tariff') order by id"
    )
    assert audited == [
        ("eve", "tariff", "update"), ("eve", "import_file", "insert"), ("eve", "tariff", "update"),
        ("eve", "import_file", "update"),
    ]  # fmt: skip


def test_undo_after_a_deck_has_begun(world: ImportWorld) -> None:
    """What was in force stays in the books; the former prices come as a newer deck."""
    world.database.run(
        "insert into tandem.tariff_deck(tariff_id, valid_from, rate_set_id)"
        " select id, now() - interval '1 day', rate_set_id"
        " from tandem.tariff where id = %s",
        world.retail,
    )
    made = world.json("rates", world.file("Code,Rate", "44,0.2"), *RETAIL)["import"]
    assert world.prices()["44"] == 200_000
    world.json("undo", str(made))
    assert world.prices() == BEFORE
    assert world.database.one("select count(*) from tandem.tariff_deck where tariff_id = %s", world.retail) == 3


def test_undo_wants_nothing_newer(world: ImportWorld) -> None:
    first = world.json("rates", world.file("Code,Rate", "44,0.2"), *RETAIL)["import"]
    second = world.json("rates", world.file("Code,Rate", "44,0.3"), *RETAIL)["import"]
    assert f"import {second} of the same tariff came after it; undo that first" in world.refused("undo", str(first))
    world.run("undo", str(second))
    world.run("undo", str(first))
    assert world.prices() == BEFORE
    third = world.json("rates", world.file("Code,Rate", "44,0.2"), *RETAIL)["import"]
    world.database.run("select world.edit_rates('North', 'retail', '44', '0.25')")
    assert "the prices of tariff" in world.refused("undo", str(third))
    assert "does not exist" in world.refused("undo", "4711")


def test_all_that_is_wrong_is_listed_and_nothing_is_imported(world: ImportWorld) -> None:
    before = state(world)
    lines = [
        "Code,Rate",
        "44,0.11",
        "33,abc",
        "44,0.11",
        "44,0.12",
        "44,0.11",
        "49,0.1",
        "49,0.1",
        *(f"5{n},x" for n in range(30)),
    ]
    errors = world.folder / "errors.csv"
    refusal = world.refused("rates", world.file(*lines), *RETAIL, "--errors", str(errors))
    assert refusal == f"file: 'file.csv': 32 values are wrong, nothing was imported; all of them are in {errors}"
    rows = list(csv.reader(errors.read_text().splitlines()))
    assert len(rows) == 33
    assert rows[:2] == [
        ["line", "column", "value", "rule"],
        ["3", "Rate", "abc", "a price is a number such as 0.0125 or 0,0125"],
    ]
    assert rows[-1] == ["5", "Code", "44", "line 2 gives this code another price from the same time on"]
    assert state(world) == before
    assert "--errors FILE has all" in world.refused("rates", world.file(*lines), *RETAIL)
    assert "1 value is wrong, nothing was imported" in world.refused("rates", world.file("Code,Rate", "4,4,4"), *RETAIL)
    assert "cannot be written" in world.refused(
        "rates", world.file(*lines), *RETAIL, "--errors", str(world.folder / "no" / "x")
    )


def test_who_may(world: ImportWorld) -> None:
    """A reseller imports into its own tariffs, with the right; others' and unknown ones are the same to it."""
    path = world.file("Code,Rate", "44,0.11")
    assert world.refused("rates", path, "--tariff", "wholesale") == "tariff: 'wholesale' does not exist"
    assert world.refused("rates", path, "--tariff", "4711") == "tariff: '4711' does not exist"
    assert world.refused("rates", path, "--tariff", "South/retail") == "tariff: 'South/retail' does not exist"
    assert "prices: not granted to account" in world.refused("rates", path, *RETAIL, as_account="South")
    assert "several are called 'retail'" in world.refused("rates", path, *RETAIL, as_account="")
    made = world.json("rates", path, "--tariff", "North/retail", as_account="")["import"]
    assert world.refused("undo", str(made), as_account="South") == f"import: '{made}' does not exist"
    assert world.json("list", as_account="South") == []
    assert world.json("list")[0]["actor"] == ""  # somebody above, whom North does not see
    assert world.json("list", as_account="")[0]["actor"] == "eve"
    world.run("undo", str(made))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--currency", "USD"), "--currency: 'USD' is not that of tariff"),
        (("--from", "soon"), "--from: 'soon': a date is such as"),
        (("--increments", "x"), "--increments: 'x': increments are such as"),
        (("--delimiter", "ab"), "--delimiter"),
        (("--encoding", "klingon"), "--encoding: 'klingon' is unknown"),
        (("--map", "x=y"), "--map: 'x=y' is not name=column"),
        (("--map", "price=Peak"), "there is no column 'Peak'"),
        (("--tariff", ""), "tariff: '' does not exist"),
    ],
)
def test_options_that_make_no_sense(world: ImportWorld, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in world.refused("rates", world.file("Code,Rate", "44,0.11"), *RETAIL, *words)


def test_decks_beyond_bounds(world: ImportWorld) -> None:
    lines = ["Code,Rate,Date", *(f"44,0.1{n},{day(n)}" for n in range(1, 14))]
    assert "it has 13 dates to come, and at most 12" in world.refused("rates", world.file(*lines), *RETAIL)
    assert "names no code" in world.refused("rates", world.file("Code,Rate"), *RETAIL)
    assert "would have no rates left" in world.refused(
        "rates", world.file("Code,Rate", "44,deleted", "441,deleted", "33,deleted", "1900,deleted"), *RETAIL, "--yes"
    )


def test_prices_by_time_of_the_week_stay_where_nothing_is_said(world: ImportWorld) -> None:
    world.database.run("select world.period('peak', 'Mon-Fri 08:00-18:00')")
    world.database.run("select world.tariff('North', 'retail', 'EUR', '44', '0.1 @peak 0.2', '33', '0.1')")
    world.run("rates", world.file("Code,Rate", "33,0.11", "49,0.2"), *RETAIL)
    assert world.prices() == {"44": 100_000, "33": 110_000, "49": 200_000}
    assert world.database.one(
        "select count(*) from tandem.rate_class_period p join tandem.tariff t on t.rate_set_id = p.rate_set_id"
        " where t.id = %s", world.retail,
    ) == 1  # fmt: skip
    assert "1 of 3 codes lose their prices by time of the week" in world.refused(
        "rates", world.file("Code,Rate", "44,0.1"), *RETAIL
    )


def test_few_changes_of_a_large_deck_become_a_layer(world: ImportWorld) -> None:
    """Redis then loads only what changed."""
    world.run("rates", world.file("Code,Rate", *(f"44{n},0.1" for n in range(1000, 2000))), *RETAIL, "--yes")
    world.run("rates", world.file("Code,Rate", "441500,0.12", "49,0.2", "441501,deleted"), *RETAIL)
    assert world.database.one(
        "select cardinality(s.layers) from tandem.rate_set s join tandem.tariff t on t.rate_set_id = s.id"
        " where t.id = %s", world.retail,
    ) == 2  # fmt: skip
    assert len(world.prices()) == 1004
    assert world.prices()["441500"] == 120_000


def test_what_is_too_much_is_refused_in_the_middle(world: ImportWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are on their way to Postgres already; nothing of them stays."""
    before = state(world)
    lines = ["Code,Rate", *(f"4{n},0.{n}" for n in range(5000, 5100))]
    assert "line 102 is longer than 65536" in world.refused("rates", world.file(*lines, "x" * 70_000), *RETAIL)
    monkeypatch.setattr(rate_rows, "PRICES_MAX", 50)
    assert "up to line 52 it has more than the 50 different prices" in world.refused(
        "rates", world.file(*lines), *RETAIL
    )
    monkeypatch.undo()
    monkeypatch.setattr(staging, "CODES_MAX", 9000)
    refusal = world.refused("rates", world.file("Code,Rate", "10000-19999,0.1"), *RETAIL)
    assert "by line 2 it has 10000 codes and 1 dates; at most 9000" in refusal
    assert state(world) == before


def test_calls_are_priced_by_it(world: ImportWorld, redis_client: RedisClient, redis_url: str) -> None:
    """Redis has the new prices after the import, and the former ones after its undo."""
    pair = SyncPair(world.database, redis_client, redis_url)

    def priced(number: str) -> int:
        pair.once()
        tables = Tables(redis_client)
        tables.fetch(Need((keys.tariff(world.retail),), number))
        tariff: Any = tables.records[keys.tariff(world.retail)]
        found = longest(number, lambda field: tables.rates[tariff.rate_set_id, field])
        rates: Any = tables.records[keys.rate_set(tariff.rate_set_id)]
        assert found
        return int(rates.rates[found[1]].per_min_micros)

    assert priced("4420") == 100_000
    made = world.json("rates", world.file("Code,Rate", "442,0.2", "44,0.11"), *RETAIL)["import"]
    assert (priced("4420"), priced("4411"), priced("4499")) == (200_000, 200_000, 110_000)
    world.run("undo", str(made))
    assert priced("4420") == 100_000


PRICE = st.sampled_from(["0.1", "0.2", "0.25", "forbidden", "deleted"])
FILES = st.lists(
    st.tuples(
        st.booleans(),
        st.dictionaries(st.text(st.sampled_from("12"), min_size=1, max_size=5), PRICE, min_size=1, max_size=12),
    ),
    min_size=1, max_size=4,
)  # fmt: skip


def test_any_files_lead_to_what_a_dictionary_says(world: ImportWorld) -> None:
    """Full and partial decks one after the other; undone one by one the prices are those of before each."""

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(FILES)
    def holds(files: list[tuple[bool, dict[str, str]]]) -> None:
        history: list[tuple[int | None, dict[str, int]]] = []
        for is_full, said in files:
            before = world.prices()
            kept = {} if is_full else dict(before)
            new = {
                prefix: 0 if text == "forbidden" else round(float(text) * 10**6)
                for prefix, text in said.items()
                if text != "deleted"
            }
            expected = {prefix: price for prefix, price in {**kept, **new}.items() if said.get(prefix) != "deleted"}
            path = world.file("Code,Rate", *(f"{prefix},{text}" for prefix, text in said.items()))
            words = ("rates", path, *RETAIL, "--yes", *(("--full",) if is_full else ()))
            if not expected:
                assert "would have no rates left" in world.refused(*words)
                continue
            history.append((world.json(*words)["import"], before))
            assert world.prices() == expected
        for made, before in reversed(history):
            if made is not None:
                world.run("undo", str(made))
            assert world.prices() == before

    holds()
