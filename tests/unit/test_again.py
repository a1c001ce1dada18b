"""What a call may go without after its hold was refused, and what is told when it may not."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.core.again import ONE_BY_ONE_MAX, Again, again, refused_hold, refused_place
from kemi.core.charges import LED_SLICE_S
from kemi.core.decide import decide
from kemi.core.outcome import IN, OUT, Reject, Route, Weighed
from kemi.records import Forward, ReplyOverride
from kemi.settings import Limits
from tests.fakes.world import (
    ABROAD,
    BOB,
    BOB_NUMBER,
    CAROL,
    CAROL_NUMBER,
    CUSTOMER,
    DEALER,
    NEIGHBOUR,
    World,
    from_peer,
    invite,
)

LINE = keys.line_fund(2)


def forwarding(**fields: object) -> World:
    """Return a world in which bob forwards to a number abroad when he does not answer."""
    world = World()
    to = Forward(5, "no_answer", keys.number(ABROAD))
    world.change(keys.subscriber(BOB), **({"forwards": (to,)} | fields))
    return world


def called(world: World, **fields: frozenset[int] | frozenset[str] | bool) -> Route:
    """Return what becomes of carol's call to bob."""
    decision = decide(invite(CAROL, callee=BOB_NUMBER), world.facts(), **fields)  # type: ignore[arg-type]
    assert isinstance(decision, Route), decision
    return decision


def test_who_cannot_pay_for_a_forward_does_not_hinder_the_rest() -> None:
    """The forwarder's account, and any above it that pays for the forward."""
    route = called(forwarding())
    assert [leg.payer_id for leg in route.call.legs if leg.forward] == [CUSTOMER, DEALER, 2]
    for account_id in (CUSTOMER, DEALER):
        assert again(route, account_id, "credit", f"{account_id}:EUR") == Again(without=frozenset({account_id}))
    second = called(forwarding(), without=frozenset({DEALER}))
    assert not any(leg.forward for leg in second.call.legs)
    assert [target.address_of_record for target in second.targets] == [BOB]
    assert again(second, DEALER, "credit", f"{DEALER}:EUR") is None


def test_who_cannot_pay_for_the_call_itself_ends_it() -> None:
    """The caller's account pays for no forward of bob's."""
    route = called(forwarding())
    assert again(route, NEIGHBOUR, "credit", f"{NEIGHBOUR}:EUR") is None
    assert refused_hold(route, NEIGHBOUR, "credit", f"{NEIGHBOUR}:EUR").reason == "no_credit"


def test_what_concerns_no_account_ends_it() -> None:
    """The store itself could not."""
    assert again(called(forwarding()), CUSTOMER, "full", "5:EUR") is None


def test_a_line_that_has_as_many_calls_as_it_may_is_busy() -> None:
    """Then its forward for that counts, and its own time does not."""
    to = Forward(5, "busy", keys.subscriber("alice@a.example"))
    world = forwarding(counted=(LINE,), forwards=(to,))
    route = called(world)
    assert [(fund.account_id, fund.level, fund.sides) for fund in route.hold.funds if fund.fund == LINE] == [
        (CUSTOMER, 0, IN)
    ]
    assert again(route, CUSTOMER, "channels_in", LINE) == Again(busy=frozenset({LINE}))
    second = called(world, busy=frozenset({LINE}))
    assert [target.address_of_record for target in second.targets] == ["alice@a.example"]
    assert not any(fund.fund == LINE for fund in second.hold.funds)


def test_without_a_forward_it_is_told_as_busy() -> None:
    """The second decision refuses by itself; so does a hold refused for the line's fund alone."""
    world = forwarding(counted=(LINE,), forwards=())
    route = called(world)
    decision = decide(invite(CAROL, callee=BOB_NUMBER), world.facts(), busy=frozenset({LINE}))
    assert isinstance(decision, Reject)
    assert (decision.reason, decision.status) == ("called_busy", 486)
    refusal = refused_hold(route, CUSTOMER, "channels_in", LINE)
    assert (refusal.reason, refusal.status) == ("called_busy", 486)
    assert refusal.trace[-1] == f"hold refused by a line's or user's limit of account {CUSTOMER}: channels_in"


def test_the_callers_own_limit_is_told_as_such() -> None:
    """Nothing could be left out for it."""
    world = World()
    world.change(keys.subscriber(CAROL), counted=(keys.line_fund(3),))
    route = world.route(invite(CAROL))
    assert [fund.sides for fund in route.hold.funds if not fund.level] == [OUT]
    assert again(route, NEIGHBOUR, "channels_out", keys.line_fund(3)) is None
    assert refused_hold(route, NEIGHBOUR, "channels_out", keys.line_fund(3)).reason == "channels_out"


def test_a_line_that_calls_itself_is_no_busy_line() -> None:
    """One channel on both sides; its limit refuses the call."""
    world = forwarding(counted=(LINE,), forwards=())
    route = world.route(invite(BOB, callee=BOB_NUMBER))
    assert [fund.sides for fund in route.hold.funds if fund.fund == LINE] == [IN | OUT]
    assert again(route, CUSTOMER, "channels", LINE) is None


def led(**fields: object) -> World:
    """Return a world in which bob, whose calls are counted, forwards to a number abroad when he does not answer."""
    return forwarding(counted=(LINE,), **fields)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("channels", Again(busy=frozenset({LINE}), full=frozenset({LINE}))),
        ("channels_in", Again(busy=frozenset({LINE}))),
        ("channels_out", Again(full=frozenset({LINE}))),
    ],
)
def test_a_line_that_is_called_and_leads_on_goes_without_what_its_limit_forbids(reason: str, expected: Again) -> None:
    """Its calls in, its calls out, or both: one channel is held for it, of both sides."""
    route = called(led())
    assert [fund.sides for fund in route.hold.funds if fund.fund == LINE] == [IN | OUT]
    assert [target.leads for target in route.call.targets] == [(), *[(LINE,)] * (len(route.targets) - 1)]
    assert again(route, CUSTOMER, reason, LINE) == expected


def test_a_line_that_leads_on_as_many_calls_as_it_may_rings_alone() -> None:
    """The forward is left out with a sentence, and nothing is counted out."""
    route = called(led(), full=frozenset({LINE}))
    assert [target.address_of_record for target in route.targets] == [BOB]
    assert [fund.sides for fund in route.hold.funds if fund.fund == LINE] == [IN]
    assert f"leap 1 of account {CUSTOMER}: left out: sub {BOB} has as many calls as it may" in route.trace


def test_a_line_that_leads_every_call_on_is_bounded_by_its_calls_out() -> None:
    """A stolen line with a forward to dear numbers carries no more calls than it may make; then it is busy."""
    world = led(forwards=(Forward(5, "always", keys.number(ABROAD)),))
    route = called(world)
    assert [fund.sides for fund in route.hold.funds if fund.fund == LINE] == [OUT]
    assert again(route, CUSTOMER, "channels_out", LINE) == Again(full=frozenset({LINE}))
    decision = decide(invite(CAROL, callee=BOB_NUMBER), world.facts(), full=frozenset({LINE}))
    assert isinstance(decision, Reject)
    assert (decision.reason, decision.status, decision.account_id) == ("called_busy", 486, 0)


def test_the_callers_own_fund_is_his_own_wherever_it_leads_too() -> None:
    """Bob calls a number that he leads on himself: nobody can leave out his own limit."""
    route = led().route(invite(BOB, callee=BOB_NUMBER))
    assert all(not target.leads for target in route.call.targets)
    assert again(route, CUSTOMER, "channels", LINE) is None


def test_after_two_the_call_goes_without_all_who_lead_it_on() -> None:
    """However many poor forwarders stand behind a phone: it rings, and the caller hears of none of them."""
    route = called(led())
    assert again(route, CUSTOMER, "credit", "5:EUR", 1) == Again(without=frozenset({CUSTOMER}))
    everybody = Again(without=frozenset({CUSTOMER}), unled=True)
    assert again(route, CUSTOMER, "credit", "5:EUR", ONE_BY_ONE_MAX) == everybody
    assert again(route, CUSTOMER, "credit", "5:EUR", ONE_BY_ONE_MAX + 1) is None
    last = called(led(), **everybody._asdict())
    assert [target.address_of_record for target in last.targets] == [BOB]
    assert not any(leg.forward for leg in called(led(), unled=True).call.legs)


def test_a_caller_never_hears_of_a_forwarders_money() -> None:
    """Neither that he has none, nor whose account it is: bob leads alice on to carol, who leads her on abroad."""
    world = forwarding(forwards=(Forward(5, "always", keys.number(CAROL_NUMBER)),))
    fund = keys.line_fund(3)
    world.change(keys.subscriber(CAROL), forwards=(Forward(6, "always", keys.number(ABROAD)),), counted=(fund,))
    route = world.route(invite(callee=BOB_NUMBER))
    refusal = refused_hold(route, NEIGHBOUR, "credit", f"{NEIGHBOUR}:EUR")
    assert (refusal.reason, refusal.status, refusal.account_id) == ("called_unavailable", 480, 0)
    refusal = refused_hold(route, NEIGHBOUR, "channels_out", fund)
    assert (refusal.reason, refusal.account_id) == ("called_unavailable", 0)


def test_a_forward_that_costs_holds_a_short_first_slice() -> None:
    """Strangers let it ring on the forwarder's money; a forward that is free, and no forward, hold a usual one."""
    assert called(forwarding()).hold.rows[-1].talk_s == LED_SLICE_S
    assert called(forwarding(), without=frozenset({CUSTOMER})).hold.rows[-1].talk_s == Limits().slice_s
    free = forwarding(forwards=(Forward(5, "no_answer", keys.subscriber("alice@a.example")),))
    assert called(free).hold.rows[-1].talk_s == Limits().slice_s


def test_what_was_left_out_before_stays_left_out() -> None:
    """Each refused hold adds to it."""
    first = Again(frozenset({3}), frozenset({"line1:"}), frozenset({"line2:"}))
    second = Again(frozenset({5}), frozenset({"line3:"}), frozenset({"line4:"}), unled=True)
    both = Again(frozenset({3, 5}), frozenset({"line1:", "line3:"}), frozenset({"line2:", "line4:"}), unled=True)
    assert first.besides(second) == second.besides(first) == both
    assert not first.besides(Again()).unled


def test_who_only_leads_on_is_not_busy() -> None:
    """Nobody calls the line that leads all calls on: only its forward is left out, whichever limit it was."""
    route = called(led(forwards=(Forward(5, "always", keys.number(ABROAD)),)))
    assert again(route, CUSTOMER, "channels", LINE) == Again(full=frozenset({LINE}))


def test_where_nobody_knows_who_refused_the_direction_tells_whose_it_is() -> None:
    """A caller from outside pays nothing here: what is refused then is the called's affair."""
    inbound = World().route(from_peer(BOB_NUMBER))
    assert refused_hold(inbound, 0, "credit").reason == "called_unavailable"
    assert refused_hold(World().route(invite()), 0, "credit").reason == "no_credit"


def test_a_call_without_a_hold_is_refused_where_all_places_are_taken() -> None:
    """With all that is known of it, as its account's answers say it, and no place of it is given back."""
    world = World()
    replies = (ReplyOverride("store_down", 503, "Later"),)
    world.change(keys.account(CUSTOMER), offline_calls=2, offline_s=60, replies=replies)
    route = world.route(invite(), store_up=False)
    refusal = refused_place(route)
    assert refusal.call is not None
    sentence = f"account {CUSTOMER} has its 2 calls without a hold on this node"
    assert refusal.trace == refusal.call.trace == (*route.trace, sentence)
    assert (refusal.reason, refusal.status, refusal.phrase) == ("store_down", 503, "Later")
    assert (refusal.account_id, refusal.call.offline_id) == (CUSTOMER, 0)
    assert refusal.call == route.call._replace(trace=refusal.trace, offline_id=0)
    assert refusal.weighed == route.weighed != Weighed()
