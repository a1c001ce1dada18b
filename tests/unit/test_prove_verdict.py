"""The checker of `make prove-money` can fail: each kind of wrong money is found, and named by its own number."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tools.prove.journal import Answer, Intent
from tools.prove.verdict import Cut, Evidence, FundFacts, Record, Verdict, judge, tell
from tools.prove.watch import Breach

FUND, ABOVE = "11:EUR", "5:EUR"
FACTS = FundFacts(
    charged_redis=300,
    charged_posted=300,
    n_redis=1,
    n_posted=1,
    missing=(),
    cred_redis=1_000,
    cred_postgres=1_000,
    cred_ledger=1_000,
    cred_late=0,
    booked=1_000,
    held=0,
    channels=0,
)


def lines(rid: str = "c1", opseq: int = 3) -> list[Intent | Answer]:
    """Return a whole call: held, answered, settled for 300 and 200 micros."""
    return [
        Intent(10, rid, f"{rid}:0", "reserve", 0, (FUND, ABOVE)),
        Answer(11, rid, f"{rid}:0", "reserve", "Held", 60, opseq - 2),
        Intent(12, rid, f"{rid}:1", "answer", 1),
        Answer(13, rid, f"{rid}:1", "answer", "Applied", 60, opseq - 1),
        Intent(14, rid, f"{rid}:2", "settle", 2, (FUND, ABOVE), 30, (300, 200)),
        Answer(15, rid, f"{rid}:2", "settle", "Applied", 60, opseq),
    ]


def evidence() -> Evidence:
    """Return what a run without any fault leaves."""
    return Evidence(
        told=tell(lines()),
        records={"c1": Record("answered", 2, is_late=False)},
        paid={"c1": {FUND: 300, ABOVE: 200}},
        funds={FUND: FACTS},
        ended={"c1": [2]},
    )


def numbers(verdict: Verdict) -> dict[str, int]:
    """Return the numbers that are not zero, but for the count of grants."""
    fields = ("overdraft_micros", "forbidden_grants", "lost_cdrs", "duplicate_cdrs", "drift_micros", "stuck_holds")
    found = {name: getattr(verdict, name) for name in (*fields, "differences", "lost_by_cut", "lost_by_cut_micros")}
    return {name: number for name, number in found.items() if number}


def test_a_right_run_is_clean() -> None:
    verdict = judge(evidence())
    assert verdict.is_clean
    assert numbers(verdict) == {}
    assert (verdict.grants, verdict.findings) == (1, [])


def test_a_lost_record_is_found() -> None:
    verdict = judge(replace(evidence(), records={}))
    assert numbers(verdict) == {"lost_cdrs": 1}
    assert verdict.findings == ["call c1 has no record, though settle was answered with Applied at 3"]


def test_a_lost_record_of_a_refused_call_is_found() -> None:
    told = tell([Intent(1, "c1", "c1:note", "note", 0), Answer(2, "c1", "c1:note", "note", "Applied", 0, 1)])
    assert numbers(judge(Evidence(told=told, records={}, paid={}, funds={}))) == {"lost_cdrs": 1}


def test_a_call_that_was_ended_twice_is_found() -> None:
    assert numbers(judge(replace(evidence(), ended={"c1": [2, 3]}))) == {"duplicate_cdrs": 1}


def test_a_call_that_was_ended_again_after_a_lost_tail_is_found() -> None:
    """Postgres had the end that Redis forgot; Redis must not end the call once more."""
    assert numbers(judge(replace(evidence(), ended={"c1": [4]}, cut_ends={"c1": [2]}))) == {"duplicate_cdrs": 1}


@pytest.mark.parametrize("paid", [{FUND: 600, ABOVE: 200}, {FUND: 300}, {FUND: 300, ABOVE: 200, "2:EUR": 1}, {}])
def test_a_ledger_that_says_another_price_than_the_client_was_told_drifts(paid: dict[str, int]) -> None:
    off = sum(abs(paid.get(fund, 0) - micros) for fund, micros in ((FUND, 300), (ABOVE, 200), ("2:EUR", 0)))
    assert numbers(judge(replace(evidence(), paid={"c1": paid}))) == {"drift_micros": off}


@pytest.mark.parametrize("field", ["charged_redis", "cred_redis", "booked", "cred_late"])
def test_sums_that_differ_drift(field: str) -> None:
    facts = FACTS._replace(**{field: getattr(FACTS, field) + 7})
    assert numbers(judge(replace(evidence(), funds={FUND: facts}))) == {"drift_micros": 7}


def test_a_gap_in_the_events_is_found() -> None:
    gap = FACTS._replace(n_redis=2, missing=(1,))
    assert numbers(judge(replace(evidence(), funds={FUND: gap}))) == {"differences": 1}
    assert numbers(judge(replace(evidence(), funds={FUND: gap}, cut_numbers={FUND: {2}}))) == {"differences": 1}


def test_a_gap_that_a_lost_tail_explains_is_counted_apart() -> None:
    """Also where `settle --verify` names it; the fund's sums must agree all the same."""
    gap = replace(
        evidence(),
        funds={FUND: FACTS._replace(n_redis=2, missing=(1,))},
        cut_numbers={FUND: {1}},
        differences=[f"I2: fund {FUND}: … missing are event 1"],
    )
    verdict = judge(gap)
    assert verdict.is_clean
    assert verdict.lost_events == 1
    off = replace(gap, funds={FUND: FACTS._replace(n_redis=2, missing=(1,), charged_redis=301)})
    assert numbers(judge(off)) == {"drift_micros": 1, "differences": 1}


def test_a_hold_that_nobody_ends_is_found() -> None:
    open_one = replace(evidence(), open_rids=["c1"], funds={FUND: FACTS._replace(held=300, channels=1)})
    assert numbers(judge(open_one)) == {"stuck_holds": 2}


def test_an_overdraft_is_found() -> None:
    verdict = judge(replace(evidence(), breaches=[Breach(FUND, 40, "granted more than there is")]))
    assert numbers(verdict) == {"overdraft_micros": 40}
    assert not verdict.is_clean


def test_a_grant_that_a_limit_forbids_is_found() -> None:
    assert numbers(judge(replace(evidence(), breaches=[Breach(FUND, 0, "7 channels of 6")]))) == {"forbidden_grants": 1}


def test_what_settle_says_differs_is_found() -> None:
    assert numbers(judge(replace(evidence(), differences=["I3: fund 11:EUR"]))) == {"differences": 1}


def test_a_call_inside_a_lost_tail_is_counted_apart() -> None:
    verdict = judge(replace(evidence(), records={}, paid={}, ended={}, cuts=[Cut(0, 20, opseq=0)]))
    assert numbers(verdict) == {"lost_by_cut": 1, "lost_by_cut_micros": 500}
    assert verdict.is_clean


def test_a_lost_tail_excuses_nothing_that_redis_still_knew() -> None:
    """The hold was not in the tail: the call must have a record, if only an estimate."""
    assert numbers(judge(replace(evidence(), records={}, paid={}, cuts=[Cut(0, 20, opseq=1)])))["lost_cdrs"] == 1


@pytest.mark.parametrize("cut", [Cut(0, 9, opseq=0), Cut(16, 30, opseq=0)])
def test_the_tail_of_another_redis_excuses_nothing(cut: Cut) -> None:
    assert numbers(judge(replace(evidence(), records={}, cuts=[cut]))) == {"lost_cdrs": 1}


def test_a_late_end_stands_above_the_estimate() -> None:
    told = tell([
        *lines()[:4],
        Intent(20, "c1", "c1:2", "settle", 2, (FUND, ABOVE), 30, (300, 200)),
        Answer(21, "c1", "c1:2", "settle", "Unknown", 0, 9),
        Intent(22, "c1", "c1:3", "late", 3, (FUND, ABOVE), 30, (300, 200)),
        Answer(23, "c1", "c1:3", "late", "Applied", 60, 10),
    ])  # fmt: skip
    assert told["c1"].late
    assert judge(replace(evidence(), told=told, ended={"c1": [2]})).is_clean


def test_a_release_takes_no_more_than_the_parts_did() -> None:
    told = tell([
        *lines()[:4],
        Intent(14, "c1", "c1:2", "part", 2, (FUND, ABOVE), 10, (100, 70)),
        Answer(15, "c1", "c1:2", "part", "Applied", 60, 4),
        Intent(16, "c1", "c1:3", "release", 3),
        Answer(17, "c1", "c1:3", "release", "Applied", 60, 5),
    ])  # fmt: skip
    assert judge(replace(evidence(), told=told, paid={"c1": {FUND: 100, ABOVE: 70}})).is_clean
    assert numbers(judge(replace(evidence(), told=told))) == {"drift_micros": 330}


def test_a_call_whose_client_did_not_live_to_end_it_needs_a_record_and_no_price() -> None:
    told = tell(lines()[:5])
    assert judge(replace(evidence(), told=told, paid={"c1": {FUND: 999}})).is_clean
    assert numbers(judge(replace(evidence(), told=told, records={}))) == {"lost_cdrs": 1}


def test_a_call_that_is_held_after_its_release_is_found() -> None:
    """The reserve that was slower than its own release must find a tombstone."""
    late = [
        Intent(1, "c1", "c1:1", "release", 1),
        Answer(2, "c1", "c1:1", "release", "Unknown", 0, 1),
        *[line._replace(asked_ms=line.asked_ms + 5) for line in lines()[:2]],
    ]
    assert numbers(judge(replace(evidence(), told=tell(late)))) == {"forbidden_grants": 1}


def test_an_operation_that_takes_place_twice_is_found_and_a_replay_is_not() -> None:
    again = lines()[5]
    assert isinstance(again, Answer)
    assert judge(replace(evidence(), told=tell([*lines(), again._replace(code="Replayed")]))).is_clean
    assert numbers(judge(replace(evidence(), told=tell([*lines(), again])))) == {"forbidden_grants": 1}
    other = again._replace(code="Replayed", granted_s=61)
    assert numbers(judge(replace(evidence(), told=tell([*lines(), other])))) == {"forbidden_grants": 1}


def test_what_a_cut_took_may_take_place_again() -> None:
    again = lines()[5]._replace(asked_ms=40)
    assert judge(replace(evidence(), told=tell([*lines(), again]), cuts=[Cut(0, 20, opseq=2)])).is_clean
