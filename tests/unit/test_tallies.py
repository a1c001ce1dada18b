"""What a node answers about its traffic, from calls that the test tells it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kemi.records import Attempt, CallEnd
from kemi.tally_answers import ANSWER_MAX, ANSWERS, REGISTERS_MAX, REGISTERS_MIN, STAGES, Tallies

NOW_S = 5


def answer(tallies: Tallies, what: str, running: dict[int, int] | None = None) -> Any:
    return ANSWERS[what](tallies, NOW_S, 300, running or {})


def end(outcome: str, talk_ms: int = 0, server_id: int = 0) -> CallEnd:
    return CallEnd(outcome, 9, 1, talk_ms, 0, 200, "", 16, "caller", server_id)


def test_before_the_first_call_nothing_is_divided() -> None:
    told = answer(Tallies(0), "traffic")

    assert (told["calls"], told["cps"], told["asr"], told["acd_s"], told["window_s"]) == (0, 0.0, None, None, 300)
    assert answer(Tallies(0), "carriers") == {"window_s": 300, "count": 0, "carriers": []}
    assert [row["p99_us"] for row in answer(Tallies(0), "times")["stages"]] == [None] * 5


def test_addresses_of_registers_are_bounded_and_begin_anew_every_ten_seconds() -> None:
    tallies = Tallies(0)
    for at in range(REGISTERS_MAX):
        tallies.register_refused(NOW_S, "register:challenged", f"phone {at}", 1)
    tallies.register_refused(NOW_S, "register:challenged", "late", 50)
    assert answer(tallies, "refusals")["sources"] == []
    tallies.register_refused(NOW_S + 10, "register:challenged", "late", REGISTERS_MIN - 1)
    tallies.register_refused(NOW_S + 10, "register:challenged", "late", 2)
    tallies.register_refused(NOW_S + 10, "register:challenged", "phone 1", REGISTERS_MIN - 1)
    found: Any = ANSWERS["refusals"](tallies, NOW_S + 10, 300, {})
    (row,) = found["sources"]
    assert (row["address"], row["count"]) == ("late", REGISTERS_MIN + 1)


def test_calls_are_counted_by_what_became_of_them() -> None:
    tallies = Tallies(0)
    for _ in range(4):
        tallies.began(NOW_S, 5, is_held=True)
    tallies.began(NOW_S, 5, is_held=False)
    tallies.answered(NOW_S)
    tallies.answered(NOW_S)
    for each in (end("answered", 3_000), end("answered", 1_000), end("failed"), end("cancelled"), end("unknown_end")):
        tallies.ended(NOW_S, each)
    tallies.refused(NOW_S, "no_credit", "192.0.2.1", 5, 1)
    tallies.counted(NOW_S, "shed", 7)

    told = answer(tallies, "traffic")

    names = (
        "calls",
        "answered",
        "refused",
        "failed",
        "cancelled",
        "holds",
        "asr",
        "acd_s",
        "cps",
        "shed",
        "challenged",
    )
    assert tuple(told[name] for name in names) == (6, 2, 1, 2, 1, 4, 0.4, 2.0, 1.2, 7, 0)


def test_carriers_are_told_apart_by_their_servers() -> None:
    tallies = Tallies(0)
    tried = (Attempt(31, 503, pdd_ms=-1), Attempt(31, 486, pdd_ms=100), Attempt(32, 200, pdd_ms=300), Attempt(0, 200))
    tallies.tried(NOW_S, (*tried, Attempt(33, 503, why="channels"), Attempt(33, 0), Attempt(33, 408, why="pdd")))
    tallies.ended(NOW_S, end("answered", 12_000, 32))

    told = answer(tallies, "carriers", {31: 2, 34: 1, 0: 9})

    rows = {row.pop("server_id"): tuple(row.values()) for row in told["carriers"]}
    assert rows == {
        31: (2, 0, 0.0, None, 100.0, {"503": 1, "486": 1}, 2),
        32: (1, 1, 1.0, 12.0, 300.0, {}, 0),
        33: (2, 0, 0.0, None, None, {"channels": 1, "cancelled": 1, "pdd": 1}, 0),
        34: (0, 0, None, None, None, {}, 1),
    }
    assert told["count"] == 4


def test_tenants_and_refusals_come_with_the_busiest_first() -> None:
    tallies = Tallies(0)
    tallies.began(NOW_S, 7, is_held=True)
    tallies.refused(NOW_S, "no_credit", "192.0.2.1", 5, 1)
    tallies.refused(NOW_S, "cps", "192.0.2.1", 5, 2)
    tallies.refused(NOW_S, "relaying_denied", "", 0, 40)

    assert answer(tallies, "tenants")["tenants"] == [
        {"account": 5, "calls": 3, "refused": 3, "reasons": {"no_credit": 1, "cps": 2}},
        {"account": 7, "calls": 1, "refused": 0, "reasons": {}},
    ]
    told = answer(tallies, "refusals")
    assert [tuple(row.values()) for row in told["reasons"]] == [("relaying_denied", 40), ("cps", 2), ("no_credit", 1)]
    assert [tuple(row.values()) for row in told["sources"]] == [
        ("other", 40, "relaying_denied"),
        ("192.0.2.1", 3, "cps"),
    ]


def test_times_have_percentiles_within_a_step_of_the_truth() -> None:
    tallies = Tallies(0)
    for us in range(1, 101):
        tallies.timed(NOW_S, (us, 10 * us, 0, 40_000_000))
    tallies.timed(NOW_S, ())

    rows = {row["stage"]: row for row in answer(tallies, "times")["stages"]}

    assert list(rows) == [*STAGES, "total"]
    read, decide, apply = rows["read"], rows["decide"], rows["apply"]
    assert (read["count"], read["p50_us"], read["p95_us"], read["p99_us"], read["max_us"]) == (100, 50, 100, 100, 100)
    assert (decide["p50_us"], decide["p99_us"]) == (500, 1_000)
    assert rows["hold"]["max_us"] == 0
    assert apply["max_us"] == 40_000_000
    assert sum(count for _, count in decide["buckets"]) == 100


@pytest.mark.parametrize("what", ["carriers", "tenants", "refusals"])
def test_an_answer_fits_one_reply_of_kamcmd_and_says_how_many_rows_there_are(what: str) -> None:
    tallies = Tallies(0)
    for at in range(1, 3_000):
        tallies.tried(NOW_S, [Attempt(at, 503)] * (2 if at == 7 else 1))
        tallies.refused(NOW_S, "no_credit", f"2001:db8::{at:x}", at, 2 if at == 7 else 1)

    told = answer(tallies, what)

    assert len(json.dumps(told)) <= ANSWER_MAX
    rows = told["sources" if what == "refusals" else what]
    assert 100 < len(rows) < told["count"] < 1_100
    assert rows[0].get("server_id", 0) == 0  # all that had no room of their own come first, and 7 after them
    assert 7 in rows[1].values() or "2001:db8::7" in rows[1].values()
