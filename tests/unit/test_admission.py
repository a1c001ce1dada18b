"""Decide, fetch, hold: what a worker asks Redis, how often, and what it makes of each answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Held, Refused, Stale, Unarmed, Void
from kemi.adapters.redis_tables import Tables
from kemi.admission import Admission, Seen, Verdict
from kemi.core.outcome import Challenge, Hold, Need, Reject, Route
from kemi.core.request import CallRequest
from kemi.records import Period, PeriodPrice, Rate, Span, Status
from kemi.settings import Limits, Settings
from tests.fakes.world import CUSTOMER, SECRET, ColdStore, World, invite, request

SEEN = Seen(nonce_uses=1)
SETTINGS = Settings(node="n1", redis_url="", secret=SECRET, spool_dir="", listen="", limits=Limits(), grace_s=10)
Answer = Held | Refused | Stale | Unarmed | Void | StoreUnavailable


class Redis:
    """Counts what is asked. up False: nothing answers. answers: to the holds, in order; the last one stays."""

    def __init__(self, world: World, answers: Sequence[Answer]) -> None:
        self._world = world
        self._answers = list(answers)
        self.round_trips = 0
        self.up = True
        self.passes = 1
        self.tables = WorldTables(self, world)

    def available(self) -> bool:
        """Tell at once: there is no breaker here."""
        return self.up

    def fcall_ro(self, *_: Any) -> Any:
        """Not asked: the tables below read the world."""
        raise AssertionError

    def ask(self) -> None:
        """Count one question. Raises StoreUnavailable when down."""
        if not self.up:
            raise StoreUnavailable("down", maybe_applied=False)
        self.round_trips += 1

    def reserve(self, _op: str, _rid: str, _hold: Hold, _lease: int, _seen: int, _pinned: bytes, /) -> Any:
        """Give the next planned answer."""
        self.ask()
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, StoreUnavailable):
            raise answer
        return answer


class WorldTables(Tables):
    """Tables whose fetches read the world: what they bring is what stands there now."""

    def __init__(self, redis: Redis, world: World) -> None:
        super().__init__(cast("RedisClient", redis))
        self._redis = redis
        self._world = world

    def fetch(self, need: Need) -> None:
        """Bring what is asked for, and drop what a newer pass has changed."""
        self._redis.ask()
        if self._redis.passes > self.seen_pass:
            self.invalidate(list(self._records), self._redis.passes)
        store = ColdStore(self._world)
        groups = [keys.peering_group(group) for route in self._world.emergency.routes for group in route.group_ids]
        store.fetch(need._replace(keys=(*need.keys, *groups)) if keys.EMERGENCY in need.keys else need)
        self._records.update(store.records)
        self._rates.update(store.rates)
        self._pinned[keys.EMERGENCY] = self._world.emergency


def admission(*answers: Answer) -> tuple[Admission, Redis, World]:
    world = World()
    redis = Redis(world, answers or (Held(60, (), 1, 1),))
    made = Admission(SETTINGS, redis, redis.tables, redis)
    made.load()
    return made, redis, world


def admit(made: Admission, call: CallRequest, seen: Seen = SEEN) -> Verdict:
    return made.admit(call, seen)


def refusal(verdict: Verdict) -> str:
    assert isinstance(verdict.decision, Reject), verdict
    return verdict.decision.reason


def test_a_cold_call_costs_three_round_trips_and_a_warm_one_the_hold() -> None:
    made, redis, _ = admission()
    before = redis.round_trips

    assert isinstance(admit(made, invite()).decision, Route)
    cold = redis.round_trips
    assert isinstance(admit(made, invite()).decision, Route)

    assert (cold - before, redis.round_trips - cold) == (3, 1)


@pytest.mark.parametrize(("zone", "per_min_micros"), [("Europe/London", 90_000), ("Pacific/Honolulu", 50_000)])
def test_a_decision_knows_the_time_zones_of_tariffs(zone: str, per_min_micros: int) -> None:
    """On Monday 2 February 2026 at 02:40 in London it is Sunday in Honolulu."""
    made, _, world = admission()
    monday = Period("monday", (Span(0, 1_440),))
    world.rate_set(1050, {"33": Rate(50_000, periods=(PeriodPrice(0, 90_000),))}, (monday,))
    world.change("tar:50", timezone=zone)
    decision = admit(made, invite()).decision
    assert isinstance(decision, Route)
    assert decision.call.legs[0].rate.per_min_micros == per_min_micros


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Refused("credit", CUSTOMER, (), 1), "no_credit"),
        (Refused("channels", CUSTOMER, (), 1), "channels"),
        (Refused("full", 0, (), 1), "full"),
        (Unarmed(0), "unarmed"),
        (Void(0), "cancelled"),
        (StoreUnavailable("lost", maybe_applied=True), "store_down"),
    ],
)
def test_a_call_that_is_not_held_does_not_go_unless_somebody_is_in_need(answer: Answer, reason: str) -> None:
    made, _, _ = admission(answer)

    ordinary, urgent = admit(made, invite()), admit(made, invite(callee="112"))

    assert refusal(ordinary) == reason
    assert ordinary.held is None
    assert isinstance(urgent.decision, Route)
    assert urgent.decision.emergency
    assert urgent.held is None
    assert ordinary.maybe_held is isinstance(answer, StoreUnavailable)


def test_a_stale_decision_is_made_again_on_what_is_true_now() -> None:
    account = keys.account(CUSTOMER)
    made, redis, world = admission(Held(60, (), 1, 1), Stale((account,), 2), Held(60, (), 2, 2))
    assert isinstance(admit(made, invite()).decision, Route)
    world.change(account, status=Status.SUSPENDED)
    redis.passes = 2

    verdict = admit(made, invite())

    assert (refusal(verdict), verdict.stale) == ("suspended", 1)


def test_a_decision_that_stays_stale_is_refused_with_a_hint_to_come_again() -> None:
    made, _, _ = admission(Stale((), 2))

    verdict = admit(made, invite())

    assert (refusal(verdict), verdict.stale) == ("stale", 2)
    assert isinstance(verdict.decision, Reject)
    assert verdict.decision.retry_after_s


def test_a_refusal_is_checked_against_a_newer_configuration() -> None:
    """Nobody holds for a refused call, so no hold would tell the worker that it may go now."""
    account = keys.account(CUSTOMER)
    made, redis, world = admission()
    world.change(account, status=Status.SUSPENDED)
    assert refusal(admit(made, invite())) == "suspended"
    world.change(account, status=Status.ACTIVE)
    redis.passes = 2
    assert refusal(admit(made, invite(), SEEN._replace(newest_pass=1))) == "suspended", "nothing new was heard"

    assert isinstance(admit(made, invite(), SEEN._replace(newest_pass=2)).decision, Route)


def test_a_dead_store_refuses_all_but_emergencies_and_asks_nothing() -> None:
    made, redis, _ = admission()
    redis.up = False
    before = redis.round_trips

    assert refusal(admit(made, invite())) == "store_down"
    assert isinstance(admit(made, request(callee="112")).decision, Route)
    assert redis.round_trips == before


def test_a_merged_request_does_not_go_on_the_hold_of_the_first() -> None:
    """Nor does it leave a record or give that hold back: both are the first request's. RFC 3261 §8.2.2.2."""
    made, _, _ = admission(Held(60, (), 1, 1, replayed=True))

    for call in (invite(), invite(callee="112")):
        verdict = admit(made, call)

        assert refusal(verdict) == "merged"
        assert isinstance(verdict.decision, Reject)
        assert (verdict.decision.status, verdict.decision.call) == (482, None)
        assert (verdict.held, verdict.maybe_held) == (None, False)


def test_the_use_of_a_nonce_is_counted_once_and_only_after_a_right_response() -> None:
    made, _, _ = admission(Stale((), 2), Held(60, (), 2, 2))
    counted: list[int] = []

    def count() -> int:
        counted.append(1)
        return len(counted)

    seen = Seen(count_nonce=count)
    right = invite()
    assert right.credentials is not None
    wrong = right._replace(credentials=right.credentials._replace(response="0" * 32))
    foreign = right._replace(from_uri=right.from_uri._replace(host="nowhere.example"))

    for call in (request(), wrong, foreign):
        admit(made, call, seen)
    assert counted == []

    verdict = admit(made, right, seen)
    assert isinstance(verdict.decision, Route)
    assert (verdict.stale, counted) == (1, [1]), "a decision that is made again counts no second use"

    assert isinstance(admit(made, right, seen).decision, Challenge)
    assert counted == [1, 1]


def test_a_challenge_holds_nothing() -> None:
    made, _, _ = admission()

    verdict = admit(made, request())

    assert isinstance(verdict.decision, Challenge)
    assert (verdict.held, verdict.maybe_held) == (None, False)


def test_a_lease_is_as_long_as_all_attempts_may_ring() -> None:
    made, _, _ = admission()
    decision = admit(made, invite()).decision

    assert isinstance(decision, Route)
    assert made.lease_s(decision) == (3 + 120) * len(decision.targets)
