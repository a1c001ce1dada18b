"""Lines and users that lead a call on one after the other: each counts the number that it comes to in the end."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final

import pytest

from kemi import keys
from kemi.core.again import Again, again, refused_hold
from kemi.core.decide import decide
from kemi.core.leaps import FUNDS_MAX
from kemi.core.outcome import IN, OUT, Reject, Route
from kemi.records import Callflow, Forward, Number, Step, User
from tests.fakes.world import ABROAD, ALICE, BOB, BOB_NUMBER, CAROL, CAROL_NUMBER, CUSTOMER, NEIGHBOUR, World, invite

LINE: Final = keys.line_fund(2)
CAROLS: Final = keys.line_fund(3)
EVAS: Final = keys.user_fund(7)
TO_ALICE: Final = Forward(5, "always", keys.subscriber(ALICE))
LEFT_OUT: Final = "left out: who leads there has as many calls as it may"


def leading(forward: Forward, **fields: Any) -> World:
    """Return a world in which bob, whose calls are counted, leads so, and alice, whose are not, leads all abroad."""
    world = World()
    world.change(keys.subscriber(BOB), **({"counted": (LINE,), "forwards": (forward,)} | fields))
    world.change(keys.subscriber(ALICE), forwards=(Forward(6, "always", keys.number(ABROAD)),))
    return world


def called(world: World, **fields: Any) -> Route:
    """Return what becomes of carol's call to bob."""
    decision = decide(invite(CAROL, callee=BOB_NUMBER), world.facts(), **fields)
    assert isinstance(decision, Route), decision
    return decision


def counts(route: Route) -> list[tuple[str, int, int]]:
    """Return the funds of lines and users that a call holds, whose they are, and on which sides they count it."""
    return [(fund.fund, fund.account_id, fund.sides) for fund in route.hold.funds if not fund.level]


@pytest.mark.parametrize("to", ["sub:alice@a.example", "user:7", "flow:1", "num:442070000400", "num:442070000500"])
def test_a_stop_without_limits_on_the_way_changes_nothing(to: str) -> None:
    """A line, a user, a callflow, a number of ours that leads to one, and one that leads to a number."""
    world = leading(Forward(5, "always", to))
    world.put(keys.user(7), User(7, CUSTOMER, "eva", 0, (), forwards=(Forward(8, "always", keys.number(ABROAD)),)))
    world.put(keys.callflow(1), Callflow(1, CUSTOMER, "main", (Step("forward", keys.number(ABROAD)),)))
    world.put(keys.number("442070000400"), Number("442070000400", CUSTOMER, 0, "", "user:7"))
    world.put(keys.number("442070000500"), Number("442070000500", CUSTOMER, 0, "", keys.number(ABROAD)))
    route = called(world)
    assert counts(route) == [(LINE, CUSTOMER, OUT)]
    assert {target.leads for target in route.call.targets} == {(LINE,)}
    assert again(route, CUSTOMER, "channels_out", LINE) == Again(full=frozenset({LINE}))
    refusal = decide(invite(CAROL, callee=BOB_NUMBER), world.facts(), full=frozenset({LINE}))
    assert isinstance(refusal, Reject)
    assert (refusal.reason, refusal.account_id) == ("called_busy", 0)
    assert refusal.trace[-2].endswith(LEFT_OUT)


def test_each_is_counted_for_the_account_that_it_is_of() -> None:
    """Bob leads alice on to carol, who leads her on abroad and pays for that; each phone answers for itself."""
    world = leading(Forward(5, "no_answer", keys.number(CAROL_NUMBER)))
    world.change(keys.subscriber(CAROL), counted=(CAROLS,), forwards=(Forward(6, "no_answer", keys.number(ABROAD)),))
    route = world.route(invite(ALICE, callee=BOB_NUMBER))
    assert counts(route) == [(LINE, CUSTOMER, IN | OUT), (CAROLS, NEIGHBOUR, OUT)]
    at_bob, at_carol, *abroad = (target.leads for target in route.call.targets)
    assert (at_bob, at_carol, set(abroad)) == ((), (LINE,), {(LINE, CAROLS)})
    for account_id, fund in ((CUSTOMER, LINE), (NEIGHBOUR, CAROLS)):
        refusal = refused_hold(route, account_id, "channels_out", fund)
        assert fund == LINE or (refusal.reason, refusal.account_id) == ("called_unavailable", 0)


def test_what_counts_two_of_them_counts_the_call_once() -> None:
    """Bob and alice are eva's, whose calls are counted."""
    world = leading(TO_ALICE, counted=(LINE, EVAS))
    world.change(keys.subscriber(ALICE), counted=(EVAS,))
    route = called(world)
    assert counts(route) == [(LINE, CUSTOMER, OUT), (EVAS, CUSTOMER, OUT)]
    assert {target.leads for target in route.call.targets} == {(LINE, EVAS)}


def test_who_is_in_the_way_is_named_where_the_forward_is_his_own() -> None:
    """To who reads of a forward further on he is nobody."""
    world = leading(Forward(5, "no_answer", keys.number(CAROL_NUMBER)))
    world.change(keys.subscriber(CAROL), counted=(CAROLS,), forwards=(Forward(6, "busy", keys.number(ABROAD)),))
    call, facts = invite(ALICE, callee=BOB_NUMBER), world.facts()
    full = decide(call, facts, full=frozenset({LINE}))
    assert [sentence for sentence in full.trace if "left out" in sentence] == [  # type: ignore[union-attr]
        f"leap 1 of account {CUSTOMER}: left out: sub {BOB} has as many calls as it may",
        f"leap 2 of account {NEIGHBOUR}: {LEFT_OUT}",
    ]


def test_who_leads_on_further_needs_room_in_the_hold_too() -> None:
    """Four users and a line, each with a limit, lead on one after the other; what has no room is left out."""
    world = leading(Forward(5, "always", keys.user(11)))
    for user_id, after in pairwise((11, 12, 13, 14, 0)):
        to = keys.user(after) if after else keys.number(ABROAD)
        forward = Forward(user_id, "always", to)
        world.put(keys.user(user_id), User(user_id, CUSTOMER, "eva", 0, (), forwards=(forward,), calls_max=1))
    users = tuple(map(keys.user_fund, (11, 12, 13, 14)))
    route = called(world)
    assert counts(route) == [(fund, CUSTOMER, OUT) for fund in (LINE, *users)]
    room = FUNDS_MAX - sum(1 for fund in route.hold.funds if fund.level) - len(users)
    funds = tuple(keys.line_fund(100 + n) for n in range(room))
    world.change(keys.subscriber(BOB), counted=funds)
    assert len(called(world).hold.funds) == FUNDS_MAX
    world.change(keys.subscriber(BOB), counted=(LINE, *funds))
    refusal = decide(invite(CAROL, callee=BOB_NUMBER), world.facts())
    assert isinstance(refusal, Reject)
    assert f"leap 1 of account {CUSTOMER}: left out: more than {FUNDS_MAX} accounts would have to pay" in refusal.trace
