"""A call that its caller saw in one way and its record tells in another is found, and no other one."""

from __future__ import annotations

import pytest

from tools.load.calls import Call
from tools.load.records import Record, compare, due, outcomes
from tools.load.spec import named

PEOPLE, SCANNER, _ = named("scanner").callers
PARTIES = {party.name: party for party in (PEOPLE, SCANNER)}
TALK = Record("a", "answered", 200, "", "caller", 1_000)


def call(status: int, *, party: str = PEOPLE.name, talked_s: float = 1.0) -> Call:
    made = Call(party, "INVITE", 100.0)
    made.status = status
    if status == 200:
        made.answered = 101.0
        made.ended = 101.0 + talked_s
    return made


@pytest.mark.parametrize(
    ("of_caller", "records", "kind"),
    [
        (call(200), [TALK], ""),
        (call(200), [TALK._replace(ended_by="callee")], ""),
        (call(200), [TALK._replace(ended_by="noc")], ""),
        (call(200), [], "answered_without_record"),
        (call(200), [TALK._replace(outcome="failed", status=503)], "answer_not_in_record"),
        (call(200), [TALK._replace(ended_by="money")], "ended_by_router"),
        (call(200, talked_s=3.0), [TALK], "talk_differs"),
        (call(200), [TALK, TALK], "recorded_twice"),
        (call(200), [TALK, TALK._replace(call_id="b")], "record_of_nobody"),
        (call(402), [Record("a", "refused", 402, "no_credit", "", 0)], ""),
        (call(402), [], "refused_without_record"),
        (call(503), [], "shed_without_record"),
        (call(486), [Record("a", "failed", 503, "carriers_failed", "", 0)], "status_differs"),
        (call(402), [TALK], "record_without_answer"),
        (call(0), [TALK], "record_without_answer"),
        (call(0), [Record("a", "cancelled", 487, "cancelled", "", 0)], ""),
        (call(0), [], ""),
        (call(407), [], ""),
        (call(407, party=SCANNER.name), [], ""),
        (call(403, party=SCANNER.name), [], ""),
    ],
)
def test_a_difference_has_a_name(of_caller: Call, records: list[Record], kind: str) -> None:
    found = compare({"a": of_caller}, PARTIES, records)
    assert [(each.kind, each.calls) for each in found] == ([(kind, 1)] if kind else [])


def test_only_a_call_that_was_shed_is_nobodys_fault() -> None:
    calls = {"a": call(503), "b": call(200), "c": call(200)}
    told = {each.kind: each for each in compare(calls, PARTIES, [])}
    assert not told["shed_without_record"].is_grave
    assert told["answered_without_record"].is_grave
    assert told["answered_without_record"].told == "2 calls were answered and have no record"
    assert told["answered_without_record"].call_ids == ("b", "c")


def test_records_are_due_of_whoever_the_router_knows() -> None:
    calls = {"a": call(200), "b": call(402), "c": call(407), "d": call(0), "e": call(503)}
    assert due(calls, PARTIES) == {"a", "b"}


def test_outcomes_are_counted_the_most_frequent_first() -> None:
    told = [Record("a", "refused", 402, "no_credit", "", 0), TALK, TALK]
    assert outcomes(told) == {"answered 200": 2, "refused 402 no_credit": 1}
