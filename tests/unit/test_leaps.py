"""Forwards to numbers: what each pays beside the others, and what is said of those that are left out."""

from __future__ import annotations

from itertools import groupby, pairwise
from typing import Final

from kemi import keys
from kemi.core.chains import LEVELS_MAX
from kemi.core.charges import LED_SLICE_S
from kemi.core.leaps import FUNDS_MAX
from kemi.core.outcome import OUT, HoldFund, Route
from kemi.records import Account, Forward, Lock, Number, Subscriber
from tests.fakes.world import (
    ABROAD,
    BOB,
    BOB_NUMBER,
    CAROL,
    CAROL_NUMBER,
    CUSTOMER,
    DEALER,
    NEIGHBOUR,
    RESELLER,
    ROOT,
    World,
    enrich,
    invite,
)

BUSY: Final = Forward(5, "busy", keys.number(CAROL_NUMBER))
NO_ANSWER: Final = Forward(6, "no_answer", keys.number(ABROAD))
UNREACHABLE: Final = Forward(7, "unreachable", keys.number(ABROAD))
OF_CALL: Final = 4  # accounts that pay for carol's call to bob: her own, his, the dealer and the reseller


def called(world: World, *forwards: Forward, counted: tuple[str, ...] = ()) -> Route:
    """Return what becomes of carol's call to bob, who forwards so."""
    world.change(keys.subscriber(BOB), forwards=forwards, counted=counted)
    return world.route(invite(CAROL, callee=BOB_NUMBER))


def test_the_levels_of_all_forwards_are_counted_on() -> None:
    """No two legs of a call have one level: records and holds know them by it. Prices that change hinder none."""
    world = World()
    enrich(world)
    legs = sorted(called(world, BUSY, NO_ANSWER, UNREACHABLE).call.legs, key=lambda leg: leg.level)
    assert [leg.level for leg in legs] == list(range(1, 17))
    assert [leg.forward for leg in legs] == [0] * 5 + [1] * 5 + [2] * 3 + [3] * 3
    payers = [leg.payer_id for leg in legs if leg.forward == 1]
    assert payers == [CUSTOMER, DEALER, RESELLER, NEIGHBOUR, RESELLER], "to a number of ours both sides"


def test_each_sentence_of_a_forward_says_of_which() -> None:
    """And none of the others does: what its levels pay is told as of every call."""
    trace = called(World(), NO_ANSWER, UNREACHABLE).trace
    begin = [begin for begin, _ in groupby(sentence.split()[0] for sentence in trace)]
    assert begin == ["digest", "number", "forward", "level", "leap", "level", "leap"]
    assert all(sentence.count("leap ") <= 1 for sentence in trace)


def test_what_is_left_out_is_left_out_with_a_sentence() -> None:
    """Nobody takes it, or its forwarder may not call so."""
    world = World()
    world.forget_rules()
    assert f"leap 1 of account {CUSTOMER}: left out: nobody takes it" in called(world, NO_ANSWER).trace
    world.change(keys.account(CUSTOMER), lock=Lock.FOREIGN)
    assert f"leap 1 of account {CUSTOMER}: left out: it may not be made" in called(world, NO_ANSWER).trace


def test_of_two_forwards_the_dearer_is_held_not_both() -> None:
    """A call is answered once."""
    one, two = called(World(), NO_ANSWER).hold, called(World(), NO_ANSWER, UNREACHABLE).hold
    assert one.funds == two.funds
    assert one.rows == two.rows
    prices = dict(zip([fund.account_id for fund in one.funds], one.rows[-1].price_micros, strict=True))
    per_min_micros = {CUSTOMER: 50_000, DEALER: 30_000, RESELLER: 20_000, NEIGHBOUR: 0}
    assert prices == {payer: -(-micros * LED_SLICE_S // 60) for payer, micros in per_min_micros.items()}


def test_what_counts_a_line_that_leads_on_is_its_accounts() -> None:
    """Its calls out, without money."""
    route = called(World(), NO_ANSWER._replace(kind="always"), counted=("line2:",))
    assert route.hold.funds[-1] == HoldFund("line2:", CUSTOMER, 0, OUT)


def deep(world: World, first: int) -> Forward:
    """Add a line whose calls as many accounts pay for as can be, numbered from `first`; return a forward to it."""
    like = world.records[keys.account(CUSTOMER)]
    line = world.records[keys.subscriber(BOB)]
    assert isinstance(like, Account)
    assert isinstance(line, Subscriber)
    accounts = range(first, first + LEVELS_MAX)
    for above, account_id in pairwise((ROOT, *accounts)):
        world.put(keys.account(account_id), like._replace(id=account_id, parent_id=above))
    name, number = f"line{first}@b.example", f"4420990{first}"
    world.put(keys.subscriber(name), line._replace(id=first, account_id=accounts[-1], username=f"line{first}"))
    world.put(keys.number(number), Number(number, accounts[-1], 0, name))
    return Forward(first, "busy", keys.number(number))


def test_a_hold_has_room_for_so_many_accounts() -> None:
    """What would need one more is left out, with the sentence that says so."""
    world = World()
    forwards = [
        deep(world, first)._replace(kind=kind)
        for first, kind in ((100, "busy"), (200, "no_answer"), (300, "unreachable"))
    ]
    route = called(world, *forwards)
    assert len(route.hold.funds) == OF_CALL + 3 * LEVELS_MAX == FUNDS_MAX
    route = called(world, *forwards, counted=("line2:",))
    assert {leg.forward for leg in route.call.legs} == {0, 1, 2}
    assert f"leap 3 of account {CUSTOMER}: left out: more than {FUNDS_MAX} accounts would have to pay" in route.trace


def test_without_the_store_nothing_is_led_to_a_number() -> None:
    """The word that is given for the call is not given for the forward's price."""
    world = World()
    world.change(keys.account(NEIGHBOUR), offline_calls=1, offline_s=60)
    world.change(keys.subscriber(BOB), forwards=(NO_ANSWER,))
    route = world.route(invite(CAROL, callee=BOB_NUMBER), store_up=False)
    assert [target.address_of_record for target in route.targets] == [BOB]
    assert f"leap 1 of account {CUSTOMER}: left out: nothing can be held for it" in route.trace
