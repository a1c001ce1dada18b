"""The tries of a hunt as rows, and what they say of servers."""

from __future__ import annotations

import random
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi import codec
from kemi.records import Attempt, CallEnd, CallEvent
from tests.fakes import calls
from tools.settle.attempts import at
from tools.settle.postings import plan
from tools.settle.quality import CallsRow, Tally, Tried
from tools.settle.rows import AttemptRow, Plan, Poison

T0 = calls.STARTED_MS  # 2026-02-02 02:40:00 UTC


def event(*told: Attempt, talk_s: int = 60, server_id: int = 7, rid: str = "r") -> CallEvent:
    end = calls.answered(talk_s, server_id)._replace(attempts=told)
    return calls.settled(calls.call(rid, []), end)


def rows(told: CallEvent) -> tuple[AttemptRow, ...]:
    made = plan(told)
    assert isinstance(made, Plan), made
    return made.attempts


def test_each_try_is_a_row_in_hunting_order() -> None:
    tried = event(
        Attempt(5, 503, T0, T0 + 250, -1), Attempt(6, 408, T0 + 250, T0 + 4_250, -1, "pdd"),
        Attempt(7, 200, T0 + 4_250, T0 + 9_000, 0),
    )  # fmt: skip
    assert rows(tried) == (
        AttemptRow("r", 1, 5, "2026-02-02 02:40:00.000+00", "2026-02-02 02:40:00.250+00", 503, None, ""),
        AttemptRow("r", 2, 6, "2026-02-02 02:40:00.250+00", "2026-02-02 02:40:04.250+00", 408, None, "pdd"),
        AttemptRow("r", 3, 7, "2026-02-02 02:40:04.250+00", "2026-02-02 02:40:09.000+00", 200, 0, ""),
    )


def test_what_an_older_node_tells_is_completed() -> None:
    """It told of two fields, and of those that failed alone; who took the call stands in the end."""
    row: Any = msgpack.unpackb(codec.pack(event(Attempt(5, 503))))
    end = row[CallEvent._fields.index("end")]
    end[CallEnd._fields.index("attempts")] = [[5, 503]]
    old = codec.unpack(CallEvent, msgpack.packb(row))
    assert rows(old) == (
        AttemptRow("r", 1, 5, None, None, 503, None, ""),
        AttemptRow("r", 2, 7, None, at(T0 + 2_000), 200, None, ""),
    )


def test_a_call_that_nobody_took_gets_no_row_that_says_so() -> None:
    assert rows(event(Attempt(5, 503), server_id=0)) == (AttemptRow("r", 1, 5, None, None, 503, None, ""),)
    assert rows(calls.refused(calls.call("r", []))) == ()


def test_a_part_leaves_no_tries() -> None:
    assert rows(calls.part(calls.call("r", []), 60)) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        (-1, 200), (2**63, 200), ("1", 200), (1, 700), (1, -1), (1, None), (1, 200.5), (1, 200, -5), (1, 200, 10**15),
        (1, 200, 0, 10**18), (1, 200, 0, 0, -2), (1, 200, 0, 0, 2**31), (1, 200, 0, 0, 0, 7),
        *((1, 200, 0, 0, 0, why) for why in ("a\tb", "a\nb", "\\.", "None", "x" * 33)),
    ],
)  # fmt: skip
def test_what_no_try_can_say_is_set_aside(wrong: tuple[Any, ...]) -> None:
    """Its text goes into the stream of rows as it is: nothing that could end one may pass."""
    assert isinstance(plan(event(Attempt(*wrong))), Poison)


@given(st.integers(1, 253_402_300_799_999))
def test_times_are_exact_to_the_millisecond(unix_ms: int) -> None:
    text = at(unix_ms)
    assert text is not None
    assert int(text[-6:-3]) == unix_ms % 1000


tries = st.lists(
    st.builds(
        Tried,
        st.integers(0, 3),
        st.sampled_from([0, 180, 200, 486, 503]),
        st.one_of(st.none(), st.integers(0, 9_000)),
        st.sampled_from(["", "cps", "channels", "redirect", "pdd", "ring", "unreachable"]),
    ),
    max_size=6,
)
told_calls = st.lists(st.tuples(tries, st.integers(0, 10**7), st.integers(T0, T0 + 10**6)), max_size=8)


@given(told_calls, st.randoms(use_true_random=False))
def test_order_and_batches_change_nothing(told: list[tuple[list[Tried], int, int]], chance: random.Random) -> None:
    whole, parts = Tally(), [Tally(), Tally()]
    for each in told:
        whole.add(*each)
    chance.shuffle(told)
    for each in told:
        chance.choice(parts).add(*each)
    sums: dict[tuple[int, str], list[int]] = {}
    for part in parts:
        for row in part.rows():
            found = sums.setdefault((row.server_id, row.minute_at), [0] * 5)
            found[:] = [here + there for here, there in zip(found, row[2:], strict=True)]
    assert sums == {(row.server_id, row.minute_at): list(row[2:]) for row in whole.rows()}


@given(told_calls)
def test_what_is_taken_away_leaves_nothing(told: list[tuple[list[Tried], int, int]]) -> None:
    tally = Tally()
    for each in told:
        tally.add(*each)
    for each in told:
        tally.add(*each, sign=-1)
    assert tally.rows() == []


def test_who_was_not_asked_is_not_judged() -> None:
    """Full servers were not asked, a redirect is asked again under its own number; a phone is no server."""
    tally = Tally()
    tally.add(
        [
            Tried(5, 503, None, "channels"), Tried(5, 503, None, "cps"), Tried(6, 302, None, "redirect"),
            Tried(6, 408, None, "pdd"), Tried(7, 200, 1_500, ""), Tried(0, 200, 100, ""),
        ],
        61_000, T0 + 59_999,
    )  # fmt: skip
    assert tally.rows() == [
        CallsRow(6, "2026-02-02 02:40:00+00", 1, 0, 0, 0, 0),
        CallsRow(7, "2026-02-02 02:40:00+00", 1, 1, 61_000, 1, 1_500),
    ]
