"""Funds of lines and users, which count calls and know no money; what a hold tells of others; who joins at the answer.

Against real Redis and the fake with the same tests.
"""

from __future__ import annotations

from typing import Final

import pytest

from kemi import codec
from kemi.adapters.redis_funds import (
    Answer,
    Applied,
    Extend,
    FundTerms,
    Held,
    Invalid,
    Part,
    Refused,
    Rehold,
    Release,
    Settle,
)
from kemi.adapters.redis_operations import LEFT
from kemi.core.outcome import IN, OUT, Hold, HoldFund, HoldRow
from tests.funds_bench import CUSTOMER, NODE, Bench, balance, ended, pinned, reserve, rich

LINE: Final = "line5:"
OTHER: Final = "line6:"
USER: Final = "user7:"
ONE: Final = FundTerms(0, 0, -1, channels_max=1)


def held(*more: HoldFund, price: int = 10, asks: tuple[str, ...] = (), turns: tuple[int, ...] = ()) -> Hold:
    """Return a hold of the customer, for 60 or 120 seconds, with funds that pay nothing."""
    rows = tuple(HoldRow(60 * n, (price * n, *(0,) * len(more))) for n in (1, 2))
    return Hold((HoldFund(CUSTOMER, 11, 1), *more), rows, (), asks, turns)


def of(fund: str, side: int = IN) -> HoldFund:
    """Return the row of a line or user."""
    return HoldFund(fund, 11, 0, side)


def test_a_line_without_terms_has_no_limit_and_is_counted(bench: Bench) -> None:
    """Its limits were just taken off: no call is refused for that, and each counts until it ends."""
    rich(bench, CUSTOMER)
    for rid in ("a", "b", "c"):
        assert isinstance(reserve(bench, rid, held(of(LINE, OUT))), Held)
    found = balance(bench, LINE)
    assert (found.terms, found.channels, found.channels_out, found.held_micros, found.n) == (None, 3, 3, 0, 0)
    settle = Settle("a:1", "a", 1, 60, (10, 0), ended())
    assert isinstance(bench.funds.batch([settle, Release("b:1", "b", 1, ended("failed"))])[1], Applied)
    assert balance(bench, LINE).channels == 1
    assert [posting.fund for event in bench.events() for posting in event.postings] == [CUSTOMER]


def test_an_account_without_terms_stays_closed(bench: Bench) -> None:
    """Only lines and users have no limit where they have no terms."""
    assert reserve(bench, "a", held(of(LINE))) == Refused("status", 11, (), 0, CUSTOMER)


@pytest.mark.parametrize(
    ("terms", "side", "reason"),
    [
        (ONE, IN, "channels"),
        (FundTerms(0, 0, -1, channels_in_max=1), IN, "channels_in"),
        (FundTerms(0, 0, -1, channels_out_max=1), OUT, "channels_out"),
    ],
)
def test_a_limit_of_a_line_refuses_and_names_its_fund(bench: Bench, terms: FundTerms, side: int, reason: str) -> None:
    """The fund tells a line's limit from its account's, whose id both have."""
    rich(bench, CUSTOMER)
    bench.set_terms(LINE, terms)
    assert isinstance(reserve(bench, "a", held(of(LINE, side))), Held)
    assert reserve(bench, "b", held(of(LINE, side))) == Refused(reason, 11, (), 0, LINE)
    assert balance(bench, CUSTOMER).channels == 1


def test_the_calls_of_others_are_told_as_of_the_moment_before(bench: Bench) -> None:
    """Nobody of that name: 0; the call that asks is not among them; nothing asked: nothing told."""
    rich(bench, CUSTOMER)
    reserve(bench, "a", held(of(LINE), of(USER)))
    got = reserve(bench, "b", held(of(LINE), asks=(OTHER, LINE, USER, CUSTOMER)))
    assert isinstance(got, Held)
    assert (got.counts, got.turns) == ((0, 1, 1, 1), ())


def test_a_turn_is_taken_by_who_is_held_and_told_again_to_who_repeats(bench: Bench) -> None:
    """A refused call takes none; a repetition gets the first answer and takes none."""
    rich(bench, CUSTOMER)
    bench.set_terms(LINE, ONE)
    first = reserve(bench, "a", held(of(LINE), asks=(OTHER,), turns=(3, 4)))
    refused = reserve(bench, "b", held(of(LINE), turns=(3,)))
    again = reserve(bench, "a", held(of(LINE), asks=(OTHER,), turns=(3, 4)))
    last = reserve(bench, "c", held(turns=(4, 3, 5)))
    assert isinstance(first, Held)
    assert isinstance(refused, Refused)
    assert isinstance(again, Held)
    assert isinstance(last, Held)
    assert (first.turns, again.turns, again.counts, again.replayed) == ((0, 0), (0, 0), (0,), True)
    assert last.turns == (1, 1, 0)


def test_too_much_asked_is_refused_whole(bench: Bench) -> None:
    """At most 64 funds and 8 turns."""
    rich(bench, CUSTOMER)
    with pytest.raises(ValueError, match="64"):
        reserve(bench, "a", held(asks=tuple(f"line{n}:" for n in range(65))))
    with pytest.raises(ValueError, match="8 turns"):
        reserve(bench, "a", held(turns=tuple(range(9))))
    assert isinstance(reserve(bench, "a", held()), Held)


def test_who_answers_joins_whatever_the_limit_and_parts_at_the_end(bench: Bench) -> None:
    """A line that answers among others is counted from then on; twice named, once counted."""
    rich(bench, CUSTOMER)
    bench.set_terms(LINE, ONE)
    reserve(bench, "a", held(of(LINE)))
    reserve(bench, "b", held())
    joining = Answer("b:1", "b", 1, 60, place=2, joins=(LINE, USER, LINE))
    assert isinstance(bench.funds.batch([joining, joining._replace(op_id="b:2", seq=2)])[1], Applied)
    found = bench.funds.describe("b")
    assert found is not None
    assert (found.place, found.joins, found.funds) == (2, (LINE, USER), (CUSTOMER,))
    assert [(each.channels, each.channels_in) for each in bench.funds.balances([LINE, USER])] == [(2, 2), (1, 1)]
    assert reserve(bench, "c", held(of(LINE))) == Refused("channels", 11, (), 0, LINE)
    bench.funds.batch([Settle("b:3", "b", 3, 60, (10,), ended())])
    assert [(each.channels, each.channels_in) for each in bench.funds.balances([LINE, USER])] == [(1, 1), (0, 0)]


def test_who_calls_himself_is_one_call_and_both_of_its_sides(bench: Bench) -> None:
    """His line is among those that ring, and answers."""
    rich(bench, CUSTOMER)
    reserve(bench, "a", held(of(LINE, OUT)))
    bench.funds.batch([Answer("a:1", "a", 1, 60, place=0, joins=(LINE,))])
    found = balance(bench, LINE)
    assert (found.channels, found.channels_in, found.channels_out) == (1, 1, 1)
    bench.funds.batch([Release("a:2", "a", 2, ended("failed"))])
    found = balance(bench, LINE)
    assert (found.channels, found.channels_in, found.channels_out) == (0, 0, 0)


def test_a_line_that_was_called_is_free_once_somebody_else_has_answered(bench: Bench) -> None:
    """As behind a forward; the caller's own line talks on, and a place that nobody told changes nothing."""
    rich(bench, CUSTOMER)
    bench.set_terms(LINE, ONE)
    reserve(bench, "a", held(of(LINE), of(OTHER, OUT), of(USER, OUT | IN)))
    bench.funds.batch([Answer("a:1", "a", 1, 60, place=3)])
    counted = [
        (each.channels, each.channels_in, each.channels_out) for each in bench.funds.balances([LINE, OTHER, USER])
    ]
    assert counted == [(0, 0, 0), (1, 0, 1), (1, 0, 1)]
    assert isinstance(reserve(bench, "b", held(of(LINE))), Held)
    bench.funds.batch([Settle("a:2", "a", 2, 60, (10, 0, 0, 0), ended()), Answer("b:1", "b", 1, 60)])
    counted = [
        (each.channels, each.channels_in, each.channels_out) for each in bench.funds.balances([LINE, OTHER, USER])
    ]
    assert counted == [(1, 1, 0), (0, 0, 0), (0, 0, 0)]


def test_only_lines_and_users_join(bench: Bench) -> None:
    """No account's fund is joined without a look at its limits."""
    rich(bench, CUSTOMER, "5:EUR")
    reserve(bench, "a", held())
    assert isinstance(bench.funds.batch([Answer("a:1", "a", 1, 60, joins=(LINE, "5:EUR"))])[0], Invalid)
    assert [each.channels for each in bench.funds.balances([LINE, "5:EUR"])] == [0, 0]


def test_an_answer_gives_back_what_the_dearer_places_would_have_cost(bench: Bench) -> None:
    """The forwarder has not answered: his money is his own again at once; extensions and the end go on from there."""
    rich(bench, CUSTOMER, "5:EUR")
    rows = (HoldRow(60, (10, 50)), HoldRow(120, (20, 100)))
    reserve(bench, "a", Hold((HoldFund(CUSTOMER, 11, 1), HoldFund("5:EUR", 5, 2)), rows, ()))
    bench.funds.batch([Answer("a:1", "a", 1, 120, place=0, held_s=120, held_micros=(20, 0))])
    assert [each.held_micros for each in bench.funds.balances([CUSTOMER, "5:EUR"])] == [20, 0]
    assert isinstance(bench.funds.batch([Extend("a:2", "a", 2, (HoldRow(180, (30, 0)),), 60)])[0], Applied)
    part, end = Part("a:3", "a", 3, 60, (10, 0), ended("talking")), Settle("a:4", "a", 4, 180, (30, 0), ended())
    assert all(isinstance(each, Applied) for each in bench.funds.batch([part, end]))
    assert [(each.held_micros, each.charged_micros) for each in bench.funds.balances([CUSTOMER, "5:EUR"])] == [
        (0, 30),
        (0, 0),
    ]


def test_no_answer_raises_a_hold_and_a_late_one_lowers_none(bench: Bench) -> None:
    """What is held for other seconds by now, or more than is held, stays; so does the hold of a call known to talk."""
    rich(bench, CUSTOMER)
    for rid, held_s, micros in (("a", 60, 0), ("b", 120, 500)):
        reserve(bench, rid, held())
        bench.funds.batch([Answer(f"{rid}:1", rid, 1, 120, place=0, held_s=held_s, held_micros=(micros,))])
    bench.funds.batch([Answer("a:2", "a", 2, 120, place=0, held_s=120, held_micros=(0,))])
    assert [found.held for found in map(bench.funds.describe, "ab") if found] == [(20,), (20,)]


def test_a_call_is_held_again_with_those_who_answered(bench: Bench) -> None:
    """What its node tells of them stands in the reservation; settlement counts the funds."""
    rich(bench, CUSTOMER)
    bench.disarm()
    bench.lose_epoch()
    bench.call_nodes(9)
    told = Rehold("a:0", "a", 1, 9, 60, codec.pack(pinned("a")), (CUSTOMER, LINE), (OUT, OUT), 120, (20, 0), (0, 0))
    told = told._replace(talked_ms=5, place=1, joins=(USER,))
    assert isinstance(bench.rehold_of(NODE, [told])[0], Applied)
    found = bench.funds.describe("a")
    assert found is not None
    assert (found.place, found.joins, found.held) == (1, (USER,), (20, 0))
    for joins in ((LINE,), ("5:EUR",)):
        assert isinstance(bench.rehold_of(NODE, [told._replace(rid="b", joins=joins)])[0], Invalid)


def test_who_leads_a_call_on_counts_it_where_it_is_answered_behind_that(bench: Bench) -> None:
    """And no more where somebody else answers; a limit on calls out, or on all of them, refuses the next one."""
    rich(bench, CUSTOMER)
    bench.set_terms(LINE, FundTerms(0, 0, -1, channels_out_max=1))
    bench.set_terms(USER, FundTerms(0, 0, -1, channels_max=1))
    reserve(bench, "a", held(of(LINE, OUT | IN), of(USER, OUT)))
    for fund, reason in ((LINE, "channels_out"), (USER, "channels")):
        assert reserve(bench, "b", held(of(fund, OUT))) == Refused(reason, 11, (), 0, fund)
    bench.funds.batch([Answer("a:1", "a", 1, 60, place=1)])
    assert counted(bench, LINE, USER) == [(1, 0, 1), (1, 0, 1)]
    bench.funds.batch([Settle("a:2", "a", 2, 60, (10, 0, 0), ended())])
    reserve(bench, "c", held(of(LINE, OUT | IN), of(USER, OUT)))
    bench.funds.batch([Answer("c:1", "c", 1, 60, place=0, joins=(LINE,), leaves=(LINE, USER))])
    assert counted(bench, LINE, USER) == [(1, 1, 0), (0, 0, 0)]
    found = bench.funds.describe("c")
    assert found is not None
    assert found.sides == (OUT, IN, LEFT)
    assert isinstance(reserve(bench, "d", held(of(LINE, OUT), of(USER, OUT))), Held)
    bench.funds.batch([Release("c:2", "c", 2, ended("failed")), Release("d:1", "d", 1, ended("failed"))])
    assert counted(bench, LINE, USER) == [(0, 0, 0), (0, 0, 0)]


def test_only_lines_and_users_lead_on(bench: Bench) -> None:
    """No account's fund is left before the end."""
    rich(bench, CUSTOMER)
    reserve(bench, "a", held())
    assert isinstance(bench.funds.batch([Answer("a:1", "a", 1, 60, place=0, leaves=(CUSTOMER,))])[0], Invalid)
    assert counted(bench, CUSTOMER) == [(1, 0, 1)]


def counted(bench: Bench, *funds: str) -> list[tuple[int, int, int]]:
    """Return the calls of each fund: all, in, out."""
    return [(each.channels, each.channels_in, each.channels_out) for each in bench.funds.balances(funds)]
