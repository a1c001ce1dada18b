"""Calls that cannot be held, because Redis is down: who goes all the same, how many at a time, and for how long."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from kemi import keys
from kemi.adapters.ksr_capacity import Reconciler, let_go, let_in
from kemi.adapters.ksr_shared import OFFLINE, UNHELD
from kemi.adapters.redis_client import StoreUnavailable
from kemi.adapters.redis_funds import Held
from kemi.admission import Seen
from kemi.core.decide import decide_offline
from kemi.core.outcome import Challenge, Reject, Route
from kemi.core.request import UNCOUNTED
from kemi.records import Status
from kemi.settings import Limits
from tests.fakes.ksr import FakeKsr
from tests.fakes.world import (
    ABROAD,
    ALICE,
    BOB_NUMBER,
    CUSTOMER,
    DEALER,
    RESELLER,
    ROOT,
    Everything,
    World,
    from_peer,
    from_trunk,
    invite,
    request,
)
from tests.unit.test_admission import Answer, Redis, admission

HELD = Held(60, (), 1, 1)


def promising(account_id: int = CUSTOMER, calls: int = 2, most_s: int = 300) -> World:
    """Return a world in which an account gives its word for some calls."""
    world = World()
    world.change(keys.account(account_id), offline_calls=calls, offline_s=most_s)
    return world


class AllBut(Everything):
    """All that a world knows, and one gap."""

    def __init__(self, world: World, gap: str) -> None:
        super().__init__(world.records)
        self._gap = gap

    def __getitem__(self, key: Any) -> Any:
        if key == self._gap:
            raise KeyError(key)
        return super().__getitem__(key)


def test_an_account_that_gives_its_word_has_its_calls_decided_as_ever() -> None:
    decision = promising().route(invite(), store_up=False)

    assert (decision.call.offline_id, decision.call.offline_s, decision.call.max_s, decision.places) == (5, 300, 300, 2)
    assert [leg.payer_id for leg in decision.call.legs] == [CUSTOMER, DEALER, RESELLER], "every level will be charged"
    sentence = "the store is down: account 5 lets in 2 calls at a time, each of at most 300 s"
    assert sentence in decision.trace
    assert decision.trace == decision.call.trace
    assert promising().route(from_trunk(), store_up=False).call.offline_id == CUSTOMER


def test_while_the_store_is_up_the_word_is_only_pinned() -> None:
    call = promising().route(invite()).call

    assert (call.offline_id, call.offline_s, call.max_s) == (0, 300, 14_400)
    assert World().route(invite()).call.offline_s == 0


@pytest.mark.parametrize(
    ("words", "account_id"),
    [
        ({}, 0),
        ({RESELLER: 7}, RESELLER),
        ({RESELLER: 7, CUSTOMER: 1}, CUSTOMER),
        ({RESELLER: 0, CUSTOMER: 1}, 0),
        ({CUSTOMER: 0, RESELLER: 7}, 0),
        ({ROOT: 3}, ROOT),
        ({ROOT: 0, CUSTOMER: 9}, 0),
    ],
)
def test_the_nearest_account_that_says_something_decides_and_each_may_forbid(
    words: dict[int, int], account_id: int
) -> None:
    world = World()
    for account, calls in words.items():
        world.change(keys.account(account), offline_calls=calls)
    decision = world.decide(invite(), store_up=False)

    assert (decision.call.offline_id if isinstance(decision, Route) else 0) == account_id
    if isinstance(decision, Reject):
        assert (decision.reason, decision.status, decision.retry_after_s) == ("store_down", 503, 5)
        assert decision.trace == ("the store is down: nothing can be held",)
        assert decision.call is not None
        assert not decision.call.source, "a refused call of an outage leaves no record"


def test_what_is_not_cached_is_not_guessed() -> None:
    world = promising()
    for name in (keys.account(RESELLER), keys.tariff(50), f"sub:{ALICE}", keys.number(ABROAD)):
        refusal = world.refusal(invite(), store_up=False, records=AllBut(world, name))
        assert (refusal.reason, refusal.trace[-1]) == ("store_down", f"{name} is not cached")


def test_somebody_who_proves_nothing_is_asked_only_where_a_word_is_given() -> None:
    assert isinstance(promising().decide(request(), store_up=False), Challenge)
    assert World().refusal(request(), store_up=False).reason == "store_down"
    assert promising().refusal(request(caller="nobody@a.example"), store_up=False).reason == "store_down"
    need = decide_offline(invite(), promising().facts(nonce_uses=UNCOUNTED), is_down=True)
    assert getattr(need, "nonce_uses", False), "a password that comes again opens nothing"


def test_a_carriers_call_has_nobodys_word() -> None:
    world = promising(ROOT)
    assert world.refusal(from_peer(), store_up=False).reason == "store_down"


def test_a_fetch_that_brings_nothing_lets_nobody_in() -> None:
    """The store is up then, and only this call knows too little."""
    world = promising()
    for is_down, kind in ((True, Route), (False, Reject)):
        assert isinstance(decide_offline(invite(), world.facts(), is_down=is_down), kind)


def test_rules_hold_as_ever() -> None:
    world = promising()
    world.change(keys.account(CUSTOMER), status=Status.SUSPENDED)
    assert world.refusal(invite(), store_up=False).reason == "suspended"
    assert promising().refusal(invite(), store_up=False, draining=True).reason == "draining"
    assert promising().route(invite(callee="112"), store_up=False).call.offline_id == 0, "112 needs nobody's word"


def test_a_call_for_which_the_called_would_have_to_pay_has_only_half_a_word() -> None:
    free, paid = promising(), promising()
    paid.rate_set(4_000, {BOB_NUMBER[:4]: paid_rate(paid)})
    for tariff_id in (20, 30, 50):
        paid.change(keys.tariff(tariff_id), inbound_rate_set_id=4_000)

    assert free.route(invite(callee=BOB_NUMBER), store_up=False).call.offline_id == CUSTOMER
    assert paid.refusal(invite(callee=BOB_NUMBER), store_up=False).reason == "store_down"
    assert paid.route(invite(callee=BOB_NUMBER)).call.offline_s == 0


def paid_rate(world: World) -> Any:
    found: Any = world.records[keys.rate_set(1_050)]
    return found.rates[0]


def test_an_emergency_call_goes_on_as_long_as_any() -> None:
    assert World().route(invite(callee="112")).call.offline_s == Limits().max_call_s


def outage(*answers: Answer) -> tuple[Any, Redis, World, Seen]:
    """Return a warm worker whose Redis is gone, with an account that lets two calls in."""
    made, redis, world = admission(*answers or (HELD,))
    world.change(keys.account(CUSTOMER), offline_calls=2)
    assert isinstance(made.admit(invite(), Seen(nonce_uses=1)).decision, Route)
    return made, redis, world, Seen(nonce_uses=1, let_in=partial(let_in, FakeKsr()))


def test_so_many_calls_go_and_the_next_is_refused() -> None:
    made, redis, _, seen = outage()
    redis.up = False
    verdicts = [made.admit(invite()._replace(call_id=f"call {number}"), seen) for number in range(3)]

    assert [isinstance(verdict.decision, Route) for verdict in verdicts] == [True, True, False]
    assert [(verdict.held, verdict.maybe_held) for verdict in verdicts] == [(None, False)] * 3
    refusal = verdicts[2].decision
    assert isinstance(refusal, Reject)
    assert (refusal.reason, refusal.status, refusal.retry_after_s) == ("store_down", 503, 5)
    assert refusal.trace[-1] == "account 5 has its 2 calls without a hold on this node"
    assert refusal.call is not None
    assert (refusal.call.offline_id, refusal.call.source) == (0, ALICE), "it leaves a record"


def test_the_call_that_finds_redis_gone_goes_too_unless_it_may_be_held() -> None:
    """A hold of which nothing came back may stand: the call does not go, and the hold is given back."""
    for maybe_applied, goes in ((False, True), (True, False)):
        made, _, _, seen = outage(HELD, StoreUnavailable("refused", maybe_applied=maybe_applied))
        verdict = made.admit(invite(), seen)
        assert isinstance(verdict.decision, Route) is goes
        assert verdict.maybe_held is maybe_applied


def test_a_worker_without_shared_memory_lets_nobody_in() -> None:
    made, redis, _, _ = outage()
    redis.up = False
    assert isinstance(made.admit(invite(), Seen(nonce_uses=1)).decision, Reject)


def test_places_of_an_account_are_given_back_once_and_counted_apart_from_servers() -> None:
    ksr = FakeKsr()
    assert [let_in(ksr, rid, 5, 2) for rid in ("a", "b", "c")] == [True, True, False]
    assert let_in(ksr, "d", 6, 1), "another account has places of its own"
    for _ in range(2):
        let_go(ksr, "a")
    let_go(ksr, "c")

    assert (ksr.tables[OFFLINE]["5"], list(ksr.tables[UNHELD])) == (1, ["b", "d"])
    assert not ksr.tables["channels"]
    assert let_in(ksr, "e", 5, 2)


def test_places_that_got_lost_are_put_right() -> None:
    ksr, reconciler = FakeKsr(), Reconciler(UNHELD, OFFLINE)
    for rid in ("goes on", "is gone"):
        let_in(ksr, rid, 5, 2)
    ksr.tables[OFFLINE]["6"] = 3
    for _ in range(3):
        reconciler.turn(ksr, {"goes on": 5, "was held": 0})

    assert (ksr.tables[OFFLINE], list(ksr.tables[UNHELD])) == ({"5": 1, "6": 0}, ["goes on"])
