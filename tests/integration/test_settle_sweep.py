"""Holds that nobody speaks for any more end, and each ends in the right way."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from tests.fix_postgres import Database
from tests.settle_pair import DEADLINE_S, SettlePair
from tests.wait import until
from tools.settle.cell import AT_ONCE, Cell

AHEAD = (("soon", -5_000), ("late", 600_000))
SWEEPS_S = 4  # a sweep a second, on a machine that is shared
SHORT_LIFE = {"TANDEM_SLICE_S": "1", "TANDEM_GRACE_S": "1"}  # of a lease that was past when first seen


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, armed."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def redis_ms(pair: SettlePair) -> int:
    seconds, _ = pair.redis.execute("TIME")
    return int(seconds) * 1000


def test_dead_leases_end_by_what_is_known_of_the_call(pair: SettlePair) -> None:
    """Answered: the granted minute is charged. Unproven or never answered: nothing is. No hold is left of any."""
    pair.redis.execute("HSET", keys.NODES, "n1", redis_ms(pair) + 60_000)
    answered, ringing, unproven = (pair.pinned() for _ in range(3))
    pair.hold(answered, lease_s=1)
    pair.answer(answered, lease_s=1)
    pair.hold(ringing, lease_s=1)
    pair.hold(unproven, lease_s=1, funds=Funds(pair.redis, "n2", grace_s=0))
    alive = pair.pinned()
    pair.hold(alive, lease_s=60)
    with pair.process(**SHORT_LIFE):
        pair.until_posted(3)
    assert dict(pair.sql("select rid, outcome || ' ' || ended_by || ' ' || billed_s from tandem.cdr")) == {
        answered.rid: "estimated sweeper 60",
        ringing.rid: "unknown_end sweeper 0",
        unproven.rid: "unknown_end sweeper 0",
    }
    assert pair.charged()["Alpha"] == 60_000
    assert pair.balance("Alpha").channels == 1
    assert pair.redis.execute("ZRANGE", keys.LEASES, 0, -1) == [alive.rid.encode()]
    pair.assert_agreed()


def test_a_lease_that_is_moved_in_time_stays(pair: SettlePair) -> None:
    """The call goes on: each answer of its node moves the lease, and the sweeper never touches it."""
    moved, dead = pair.pinned(), pair.pinned()
    pair.hold(moved, lease_s=1)
    pair.answer(moved, lease_s=30)
    pair.hold(dead, lease_s=1)
    with pair.process(**SHORT_LIFE):
        pair.until_posted(1)
    found = pair.funds.describe(moved.rid)
    assert found is not None
    assert found.state == "answered"
    assert pair.sql("select rid from tandem.cdr") == [(dead.rid,)]


def test_two_sweepers_charge_once(pair: SettlePair) -> None:
    """Both see the same dead lease; their operation ids are the same."""
    pinned = pair.pinned()
    pair.hold(pinned, lease_s=1)
    pair.answer(pinned, lease_s=1)
    with pair.process(**SHORT_LIFE), pair.process(**SHORT_LIFE):
        pair.until_posted(1)
    assert len(pair.payloads()) == 1
    assert pair.balance("Alpha").charged_micros == 60_000


def test_a_hold_is_gone_soon_after_its_lease(pair: SettlePair) -> None:
    """With a process at work nothing is waited for but the lease itself, whatever the longest life of leases is."""
    with pair.process():
        pair.place(1)
        pair.until_posted(1)
        pair.hold(pair.pinned(), lease_s=3)
        until(lambda: pair.balance("Alpha").held_micros == 0, 3 + SWEEPS_S, "the hold to be gone")
    pair.assert_agreed()


def test_a_lease_past_at_the_start_waits_for_the_longest_life(pair: SettlePair) -> None:
    """After a start nothing tells a dead lease from a clock that jumped: a first sight ends nothing."""
    pinned = pair.pinned()
    pair.hold(pinned, lease_s=0)
    pair.once(slice_s=60)
    assert pair.redis.execute("ZCARD", keys.LEASES) == 1
    with pair.process(**SHORT_LIFE):
        until(lambda: pair.redis.execute("ZCARD", keys.LEASES) == 0, DEADLINE_S, "the lease to end")


def test_a_lease_without_a_reservation_is_removed(pair: SettlePair) -> None:
    pair.redis.execute("ZADD", keys.LEASES, redis_ms(pair) + 1_000, "lost")
    with pair.process(**SHORT_LIFE):
        until(lambda: pair.redis.execute("ZCARD", keys.LEASES) == 0, DEADLINE_S, "the lease to end")
    assert pair.payloads() == []


def test_what_redis_is_told_of_postings_never_falls(pair: SettlePair) -> None:
    """Of two who settle, the one that committed first may tell last: Postgres would seem to know more than it told."""
    cell = Cell(pair.redis, pair.funds)
    for number, told in ((9, 9), (10, 10), (9, 10), (2**40, 2**40), (11, 2**40)):
        cell.note_posted(number)
        assert cell.posted() == told


def test_leases_that_end_soon_are_watched_however_many_and_the_others_are_not(pair: SettlePair) -> None:
    """A cell carries thousands of calls; each second only those are read that end within seconds."""
    now_ms = redis_ms(pair)
    soon, late = ({f"{word}{number}": now_ms + ms + number for number in range(1_200)} for word, ms in AHEAD)
    for leases in (soon, late):
        pair.redis.execute("ZADD", keys.LEASES, *(word for rid, at in leases.items() for word in (at, rid)))
    seen = Cell(pair.redis, pair.funds).signs().leases
    assert seen.items() >= soon.items()
    assert len(seen) < len(soon) + AT_ONCE
