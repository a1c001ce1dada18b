"""The language of the corpus: what it can say, and that a table which is wrong is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemi.core.decide import decide
from kemi.core.outcome import Decision, Need
from kemi.records import DayRange, Rate, Span
from tests.routing import tables
from tests.routing.asking import facts, request
from tests.routing.building import Records
from tests.routing.claims import faults
from tests.routing.entities import TextError, changed, find, parse
from tests.routing.moments import day_ranges, micros, rate, spans, unix_ms
from tests.routing.tables import Line

RIGHT = "alice | 0033140000000 | | out | acme/one bell/one own/one | acme/one dials 33140000000"


def line(text: str, tmp_path: Path, *before: str) -> Line:
    """Return the only line of a file on the base world."""
    path = tmp_path / "one.cases"
    path.write_text("\n".join(("world base", *before, text)))
    (found,) = tables.of_file(path)
    return found


def decided(asked: Line) -> tuple[Decision | Need, Records]:
    records = Records(asked.world)
    return decide(request(asked, records), facts(asked, records)), records


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (RIGHT.replace("| out", "| in"), "verdict is out, not in"),
        (RIGHT.replace("| out", "| barred 403"), "verdict is out, not barred 403"),
        (RIGHT.replace("acme/one bell/one", "bell/one acme/one"), "carriers are acme/one bell/one own/one"),
        (RIGHT.replace(" own/one", ""), "carriers are acme/one bell/one own/one"),
        (RIGHT.replace("own/one", "own/one own/two"), "carriers are acme/one bell/one own/one"),
        (RIGHT.replace("acme/one bell/one", "(bell/one own/one)"), "carriers are acme/one bell/one own/one"),
        (RIGHT.replace("dials 33140000000", "dials 33140000001"), "it is 33140000000"),
        (f"{RIGHT}; caller 1", "it is 442070000001"),
        (f"{RIGHT}; not own", "it is there"),
        (f"{RIGHT}; not lone: disabled", "its reasons are []"),
        (f"{RIGHT}; says nonsense", "no sentence says so"),
        (f"{RIGHT}; unheard acme", "a trace names it"),
        (f"{RIGHT}; by cust", "nobody refused"),
        (f"{RIGHT}; reply 403 Forbidden 21", "no reply was told"),
        (f"{RIGHT}; pays cust 0.04 by 33", "it is 50000 by 33"),
        (f"{RIGHT}; pays cust 0.05 by 44", "it is 50000 by 33"),
        (f"{RIGHT}; pays next 0.05 by 33", "it pays nothing"),
        (f"{RIGHT}; acme/one costs 0.016 EUR for 180 s", "it costs (15000, 'EUR', 180)"),
        (f"{RIGHT}; acme/one costs 0.015 EUR for 60 s", "it costs (15000, 'EUR', 180)"),
        (f"{RIGHT}; lone/one costs 0.015 EUR", "it was not weighed"),
        (f"{RIGHT}; acme/one no-pai", "it is <sip:442070000001@a.example>"),
        (f"{RIGHT}; acme/one rpid <sip:1@x>", "it is not there"),
        (f"{RIGHT}; acme/one keeps Privacy", "it strips"),
        (f"{RIGHT}; acme/one strips Subject", "it strips"),
        (f"{RIGHT}; lone/one dials 1", "the call does not go there"),
        ("alice | 1 | | bad_number 484 | acme/one |", "carriers are none"),
        ("alice | 1 | | bad_number 484 | | reply 484 Address Incomplete 21", "it is 484 Address Incomplete 28"),
        ("alice | 1 | | bad_number 484 | | by cust", "account 0 refused"),
    ],
)
def test_a_table_that_is_wrong_is_found_out(text: str, fault: str, tmp_path: Path) -> None:
    """Every kind of claim can fail, and says what is there instead."""
    asked = line(text, tmp_path)
    assert [found for found in faults(asked, *decided(asked)) if fault in found]


def test_a_table_that_is_right_has_no_faults(tmp_path: Path) -> None:
    """The one that all others above are made of."""
    asked = line(RIGHT, tmp_path)
    assert faults(asked, *decided(asked)) == []


@pytest.mark.parametrize(
    "text",
    [
        "alice | 1 | colour=red | out | |",  # no such setting
        "alice | 1 | nobody.lock=all | out | |",  # no such thing
        "alice | 1 | nonsense | out | |",
        "alice | 1 | 'open | out | |",
        "alice",
        "+ planet mars",
        "+ account 'x",
    ],
)
def test_a_line_that_says_nothing_is_refused(text: str, tmp_path: Path) -> None:
    """With its place, so that it is found."""
    with pytest.raises(TextError, match="one:2"):
        request(asked := line(text, tmp_path), Records(asked.world))


def test_a_claim_that_nobody_knows_is_refused(tmp_path: Path) -> None:
    """A slip of the pen must not look like a claim that holds."""
    asked = line(f"{RIGHT}; acme/one color red", tmp_path)
    with pytest.raises(TextError, match="color"):
        faults(asked, *decided(asked))


def test_what_a_section_adds_ends_with_it(tmp_path: Path) -> None:
    """A line sees what stands above it: the file's own, its section's, its own changes."""
    path = tmp_path / "two.cases"
    above = ("world base", "+ account cust lock=all", "== One", "+ account next lock=all")
    path.write_text("\n".join((*above, "a | 1 | dave.lock=all | out | |", "== Two", "b | 1 | | out | |")))
    one, two = tables.of_file(path)
    locks = [[each.world["account", name].text("lock") for name in ("cust", "next", "dave")] for each in (one, two)]
    assert locks == [["all", "all", "all"], ["all", "", ""]]
    assert (one.title, two.title) == ("One", "Two")


def test_things_of_a_world() -> None:
    """Fields, flags, objects and bare words; a later line changes what it names and nothing else."""
    world = parse(["rule 7 33 to acme stopper caller='^a b'  # says why", "", "# a comment", "rule 7 enabled=no"], {})
    rule = world[find(world, "rule7")]
    assert (rule.values, rule.text("to"), rule.yes("stopper"), rule.text("caller")) == (("33",), "acme", True, "^a b")
    assert not rule.yes("enabled", default=True)
    assert changed(world, [("rule7", "", "")]) == {}
    with pytest.raises(TextError):
        find(world, "rule8")
    with pytest.raises(TextError):
        world["rule", "7"]._replace(fields={"enabled": "maybe"}).yes("enabled")


def test_amounts_and_moments() -> None:
    """As people write them."""
    assert (micros("0.02"), micros("3")) == (20_000, 3_000_000)
    with pytest.raises(ValueError, match="finer"):
        micros("0.0000001")
    assert rate("0.05+0.01/30/6>0.02") == Rate(50_000, 30, 6, connect_micros=10_000, min_micros=20_000)
    assert (rate("0.05"), rate("forbidden")) == (Rate(50_000), Rate(0, forbidden=True))
    assert unix_ms("1970-01-02") == 86_400_000
    assert unix_ms("1970-01-01T01:00@Europe/Berlin") == 0
    assert spans("Tu-We 08:00-18:30, Su 00:00-24:00") == (Span(1920, 2550), Span(3360, 3990), Span(8640, 10_080))
    assert day_ranges("1224-106, 20260604") == (DayRange(1224, 106), DayRange(20_260_604, 20_260_604))
