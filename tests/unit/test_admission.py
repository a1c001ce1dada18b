"""Decide, fetch, hold: what a worker asks Redis, how often, and what it makes of each answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from kemi import codec, keys
from kemi.adapters.cache import CACHE_BYTES_MIN
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Held, Refused, Stale, Unarmed, Void
from kemi.adapters.redis_tables import HELD_MARK, HELD_SEPARATOR, Tables
from kemi.admission import Admission, Seen, Verdict
from kemi.core.measures import Quarantine
from kemi.core.outcome import Challenge, Hold, Need, Reject, Route
from kemi.core.request import CallRequest, SipUri
from kemi.records import Emergency, EmergencyRoute, Period, PeriodPrice, Rate, RateSet, Span, Status
from kemi.settings import Limits, Settings
from tests.fakes.world import CUSTOMER, SECRET, ColdStore, World, invite, request

SEEN = Seen(nonce_uses=1)
SETTINGS = Settings(node="n1", redis_url="", secret=SECRET, spool_dir="", listen="", limits=Limits(), grace_s=10)
Answer = Held | Refused | Stale | Unarmed | Void | StoreUnavailable


class Redis:
    """A world as it stands in Redis; counts what is asked. up False: nothing answers.

    answers: to the holds, in order; the last one stays. passes: when higher than what a reader has seen, that reader is
    told to drop `changed`, or everything where that says nothing.
    """

    def __init__(self, world: World, answers: Sequence[Answer]) -> None:
        self._world = world
        self._answers = list(answers)
        self.round_trips = 0
        self.up = True
        self.passes = 1
        self.changed: tuple[str, ...] = ()
        self.world = b"1 1 1 0"
        self.tables = Tables(cast("RedisClient", self))

    def available(self) -> bool:
        """Tell at once: there is no breaker here."""
        return self.up

    def fcall_ro(self, _function: str, _keys: Sequence[str], args: Sequence[Any]) -> list[Any]:
        """Answer as tandem_fetch_1 does."""
        self.ask()
        seen, digits, *names = args
        is_behind = 0 < seen < self.passes
        held = [name for told in names if told[0] == HELD_MARK for name in told[1:].split(HELD_SEPARATOR)]
        asked = {name for name in names if name[0] != HELD_MARK}
        if is_behind:
            asked |= {name for name in held if name in self.changed} if self.changed else {keys.MASKS, *held}
        groups = [keys.peering_group(group) for route in self._world.emergency.routes for group in route.group_ids]
        store = ColdStore(self._world)
        store.records.clear()
        store.fetch(Need((*asked, *(groups if keys.EMERGENCY in asked else ())), digits))
        records = [part for name, record in store.records.items() for part in (name.encode(), self._value(record))]
        buckets = [part for (set_id, field), it in store.rates.items() for part in (b"%d" % set_id, field.encode(), it)]
        changed = [name.encode() for name in self.changed] if is_behind else []
        return [str(self.passes).encode(), int(is_behind and not changed), changed, records, buckets, self.world]

    def _value(self, record: object | None) -> bytes:
        return codec.pack_config(self.passes, record)

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


def test_what_redis_was_told_of_a_call_is_what_the_agent_is_told() -> None:
    verdict = admit(admission()[0], invite())

    assert isinstance(verdict.decision, Route)
    assert verdict.pinned == codec.pack(verdict.decision.call)


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


def test_a_refusal_is_confirmed_by_what_redis_has_now() -> None:
    """Nobody holds for a refused call, so no hold would tell the worker that it may go now."""
    account = keys.account(CUSTOMER)
    made, redis, world = admission()
    world.change(account, status=Status.SUSPENDED)
    before = redis.round_trips
    assert refusal(admit(made, invite())) == "suspended"
    assert redis.round_trips == before + 2, "a refusal on what has just been fetched needs no other word"
    assert refusal(admit(made, invite())) == "suspended"
    assert redis.round_trips == before + 3, "a warm one costs one round trip"

    world.change(account, status=Status.ACTIVE)
    redis.passes = 2
    before = redis.round_trips
    assert isinstance(admit(made, invite()).decision, Route)
    assert redis.round_trips <= before + 3, "to confirm, to see where it goes, and to hold"


def test_what_confirms_a_refusal_brings_what_it_was_decided_on() -> None:
    """With its new prices: a destination that has a rate by now costs no further round trip but the hold."""
    made, redis, world = admission()
    assert isinstance(admit(made, invite()).decision, Route)
    world.rate_set(3_050, {"44": Rate(50_000)})
    world.change("tar:50", rate_set_id=3_050)
    redis.passes, redis.changed = 2, ("tar:50",)
    redis.tables.invalidate(redis.changed, 2)
    assert refusal(admit(made, invite())) == "no_rate"
    world.rate_set(4_050, {"33": Rate(50_000)})
    world.change("tar:50", rate_set_id=4_050)
    redis.passes = 3
    before = redis.round_trips

    assert isinstance(admit(made, invite()).decision, Route)
    assert redis.round_trips == before + 2


def test_a_refusal_is_not_confirmed_by_prices_that_have_been_mended() -> None:
    """A bucket that was found wrong is written again, which is no pass: the world says that prices are others."""
    made, redis, world = admission()
    right = world.rates.pop((1050, "33"))
    assert refusal(admit(made, invite())) == "no_rate"
    world.rates[1050, "33"] = right
    redis.world = b"1 1 1 1"

    assert isinstance(admit(made, invite()).decision, Route)


def test_a_refusal_is_confirmed_once() -> None:
    """Whatever changes meanwhile: the second decision is carried out, be it a refusal or a route."""
    made, redis, world = admission()
    world.change(keys.account(CUSTOMER), status=Status.SUSPENDED)
    assert refusal(admit(made, invite())) == "suspended"
    world.change(keys.account(CUSTOMER), status=Status.ACTIVE, barred=("33",))
    redis.passes = 2
    before = redis.round_trips
    assert refusal(admit(made, invite())) == "barred"
    assert redis.round_trips - before <= 2


def test_strangers_cannot_make_redis_work() -> None:
    """Who is nobody's line is refused by the cache, but for one question in ten milliseconds."""
    made, redis, _ = admission()
    stranger = invite()._replace(from_uri=SipUri("sip", "alice", "nowhere.example"))
    assert refusal(admit(made, stranger)) == "relaying_denied"
    before = redis.round_trips
    for later_ms in range(100):
        assert refusal(admit(made, stranger._replace(received_ms=stranger.received_ms + later_ms))) == "relaying_denied"
    assert redis.round_trips - before == 10


def test_what_no_configuration_changes_is_not_asked() -> None:
    made, redis, _ = admission()
    before = redis.round_trips
    assert refusal(admit(made, invite()._replace(method="PUBLISH"))) == "method"
    assert redis.round_trips == before


def test_a_source_in_quarantine_makes_redis_do_nothing() -> None:
    made, redis, _ = admission()
    before = redis.round_trips
    seen = SEEN._replace(quarantine=Quarantine(sources=("192.0.2.0/24",)))
    assert [refusal(admit(made, invite(source_ip=f"192.0.2.{n}"), seen)) for n in range(9)] == ["quarantined"] * 9
    assert redis.round_trips == before


def test_an_account_that_has_left_the_one_in_quarantine_calls_again() -> None:
    made, redis, world = admission()
    seen = SEEN._replace(quarantine=Quarantine(accounts=frozenset((3,))))
    assert refusal(admit(made, invite(), seen)) == "quarantined"
    world.change("acct:5", parent_id=2)
    redis.passes = 2
    assert isinstance(admit(made, invite(), seen).decision, Route)


def test_what_is_flushed_is_fetched_again() -> None:
    made, redis, _ = admission()
    admit(made, invite())
    warm = redis.round_trips
    made.flush()
    assert isinstance(admit(made, invite()).decision, Route)
    assert redis.round_trips == warm + 3


def test_one_record_that_is_flushed_is_fetched_again_and_no_other() -> None:
    made, redis, world = admission()
    admit(made, invite())
    warm = redis.round_trips
    world.change("acct:5", status=Status.SUSPENDED)  # of which Redis' pass does not tell
    assert isinstance(admit(made, invite()).decision, Route)
    before = redis.round_trips
    made.flush("acct:5", "acct:999")
    assert refusal(admit(made, invite())) == "suspended"
    assert redis.round_trips - before <= 2 < warm


def test_a_challenge_is_as_young_as_what_the_agent_saw() -> None:
    """It decides nothing, and every call has one: it is made again only when a newer configuration was heard of."""
    made, redis, world = admission()
    assert isinstance(admit(made, request()).decision, Challenge)
    before = redis.round_trips
    assert isinstance(admit(made, request()).decision, Challenge)
    assert redis.round_trips == before
    world.change("dom:a.example", enabled=False)
    redis.passes = 2
    assert isinstance(admit(made, request(), SEEN._replace(newest_pass=1)).decision, Challenge)
    assert refusal(admit(made, request(), SEEN._replace(newest_pass=2))) == "relaying_denied"


def test_a_node_that_drains_hears_of_a_new_emergency_number() -> None:
    """It holds for no call and so hears of nothing, but it confirms its refusals."""
    made, redis, world = admission()
    draining = SEEN._replace(draining=True)
    call = invite(callee="110")
    assert refusal(admit(made, call, draining)) == "draining"
    world.emergency = Emergency((EmergencyRoute("", "110", (3,)),))
    redis.passes = 2
    assert isinstance(admit(made, call._replace(received_ms=call.received_ms + 1_000), draining).decision, Route)


def test_a_call_never_goes_by_an_emergency_table_that_is_old() -> None:
    """What is pinned is served on when Redis is dead; while it answers the table is read there once it has changed."""
    made, redis, world = admission()
    assert isinstance(admit(made, invite()).decision, Route)
    world.emergency = Emergency((EmergencyRoute("", "33140000000", (3,)),))
    redis.passes = 2
    redis.tables.invalidate([keys.EMERGENCY], 2)
    verdict = admit(made, invite())
    assert isinstance(verdict.decision, Route)
    assert verdict.decision.emergency
    redis.passes = 3
    redis.tables.invalidate([keys.EMERGENCY], 3)
    redis.up = False
    verdict = admit(made, invite())
    assert isinstance(verdict.decision, Route)
    assert verdict.decision.emergency


def test_what_does_not_fit_goes_between_two_decisions() -> None:
    """A decision that stands on more than fits is made all the same."""
    made, redis, world = admission()
    small = Tables(cast("RedisClient", redis), CACHE_BYTES_MIN)
    made = Admission(SETTINGS, redis, small, redis)
    world.put("rset:1050", RateSet(1050, tuple(Rate(50_000 + n) for n in range(10_000))))
    for _ in range(2):
        assert isinstance(admit(made, invite()).decision, Route)
        assert made.cache.bytes > CACHE_BYTES_MIN
    assert made.cache.evictions, "the second found no more than fits"


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
