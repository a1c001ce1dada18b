"""What the release before left in Redis goes on: its states, its reservations, and its nodes that still run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from unittest.mock import ANY

import msgpack
import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import (
    FUND_STATE,
    Adopt,
    Answer,
    Applied,
    FundTerms,
    Held,
    Operation,
    Part,
    Release,
    Replayed,
    Settle,
    Spent,
)
from kemi.core.outcome import IN, OUT, HoldRow
from kemi.records import CallEnd, CallEvent, FundPosting, Window
from tests.funds_bench import EPOCH, NODE, RedisBench, ended, extend, hold, pinned, reserve

FUND: Final = "11:EUR"
OLD_TERMS: Final = (1, 1_000, 0, 0, 5, 0)
PINNED: Final = codec.pack(pinned("old"))


@pytest.fixture
def bench(redis_client: RedisClient, redis_worker_url: str) -> Iterator[RedisBench]:
    """Offer an armed Redis with a fund and one answered call, `old`, as the release before wrote them."""
    worker = RedisClient(redis_worker_url, 2_000)
    bench = RedisBench(redis_client, worker)
    row = [1, "answered", 1, 60, 1_700_000_000_000, "n1", [FUND], [1], [600], ["old:0", 60, "old:1", 60], 7]
    values = {
        keys.fund_terms(FUND): msgpack.packb(OLD_TERMS),
        keys.fund_state(FUND): FUND_STATE.pack(1, 100, 600, 1, 3, 0, 0),
        keys.reservation("old"): msgpack.packb(row) + PINNED,
    }
    for key, value in values.items():
        redis_client.execute("SET", key, value)
    redis_client.execute("ZADD", keys.LEASES, 2**45, "old")
    yield bench
    worker.close()


def sums(bench: RedisBench) -> tuple[int, ...]:
    """Return charged, held, channels, n, channels out and in."""
    found = bench.funds.balances([FUND])[0]
    return (found.charged_micros, found.held_micros, found.channels, found.n, found.channels_out, found.channels_in)


def test_old_rows_are_read(bench: RedisBench) -> None:
    """What they do not say has its default; their channel has no side."""
    found = bench.funds.describe("old")
    assert found is not None
    assert (found.posted, found.billed_s, found.node_answered_ms, found.legs, found.sides) == ((0,), 0, 0, b"", (0,))
    assert (found.state, found.held, found.server_id, found.pinned) == ("answered", (600,), 7, PINNED)
    assert bench.funds.balances([FUND])[0].terms == FundTerms(*OLD_TERMS)
    assert sums(bench) == (100, 600, 1, 3, 0, 0)
    assert bench.funds.of_node("n1").rids == ("old",)


def test_rows_that_are_arrays_with_sides_are_read_and_go_on(bench: RedisBench, redis_client: RedisClient) -> None:
    """As the releases wrote them that knew sides, parts, legs, who joined and what a hold was told of others."""
    row = [2, "answered", 1, 60, 5_000, "n1", [FUND], [2], [600], ["old:0", 60, "old:1", 60], 7]
    more = [4_000, "way", 10, [100], 9, 1, ["line5:"], [[3], [4]]]
    redis_client.execute("SET", keys.reservation("old"), msgpack.packb([*row, *more]) + PINNED)
    before = bench.funds.describe("old")
    assert before is not None
    assert (before.posted, before.billed_s, before.node_answered_ms, before.legs) == ((100,), 10, 4_000, b"way")
    assert (before.sides, before.adopted_epoch, before.place, before.joins) == ((IN,), 9, 1, ("line5:",))
    assert bench.funds.batch([Adopt("old:2", "old", 2, 60)]) == [Applied(60, 1)]
    assert bench.funds.describe("old") == before._replace(seq=2, node=NODE, lease_ms=ANY)
    assert reserve(bench, "old", hold(FUND, rows=((60, 600),))) == Held(
        60, (), 0, 1, replayed=True, counts=(3,), turns=(4,)
    )


def test_an_old_call_ends_as_it_would_have(bench: RedisBench) -> None:
    """Its one channel and its hold come back, and the event is that of any call."""
    assert bench.funds.batch([Settle("old:2", "old", 2, 30, (300,), ended())]) == [Applied(60, 1)]
    assert sums(bench) == (400, 0, 0, 4, 0, 0)
    end = codec.unpack(CallEnd, ended())
    (event,) = bench.events()
    assert event == CallEvent("settle", EPOCH, "old", 2, (FundPosting(FUND, 300, 4, 400),), pinned("old"), end)


def test_an_old_call_goes_on_beside_new_ones(bench: RedisBench) -> None:
    """It is extended and pays in parts; channels of a side are those of new calls only."""
    reserve(bench, "a", hold(FUND, rows=((60, 10),), sides=IN | OUT))
    assert sums(bench) == (100, 610, 2, 3, 1, 1)
    part = Part("old:3", "old", 3, 10, (100,), ended("talking"))
    more: list[Operation] = [extend("old", 2, HoldRow(70, (700,))), part]
    assert bench.funds.batch(more) == [Applied(70, 2), Applied(70, 3)]
    assert sums(bench) == (200, 610, 2, 4, 1, 1)
    bench.funds.batch([Release("old:4", "old", 4, ended()), Release("a:1", "a", 1, ended())])
    assert sums(bench) == (200, 0, 0, 4, 0, 0)


def test_a_cap_may_be_set_on_an_old_state(bench: RedisBench) -> None:
    """Its windows begin with the first hold or extension after."""
    days = (Window(20261122, 2**45),)
    bench.set_terms(FUND, FundTerms(1, 10_000, day_max_micros=800, days=days))
    more = extend("old", 2, HoldRow(70, (700,)), HoldRow(80, (801,)))
    assert bench.funds.batch([more, Settle("old:3", "old", 3, 30, (300,), ended())])[0] == Applied(70, 1)
    found = bench.funds.balances([FUND])[0]
    assert Spent(found.day_id, found.day_spent_micros) == Spent(20261122, 300)
    assert (found.charged_micros, found.n) == (400, 4)


def test_nodes_of_the_release_before_are_served(bench: RedisBench, redis_client: RedisClient) -> None:
    """Their calls of the functions have fewer arguments, and they expect shorter answers."""
    ask = ["n1", 60_000, 0, [FUND], [1], [60, 10]]
    args = ("b:0", "b", msgpack.packb(ask), msgpack.packb([]), PINNED)
    assert redis_client.fcall("tandem_reserve_1", (keys.reservation("b"),), args)[1] == b"HELD"
    redis_client.fcall("tandem_answer_1", (keys.reservation("b"),), ("b:1", "b", 1, 1_000, "n1", 3))
    assert len(redis_client.fcall_ro("tandem_describe_1", (keys.reservation("b"),), ("q", "b"))) == 13
    assert sums(bench) == (100, 610, 2, 3, 1, 0)
    bench.disarm()
    assert redis_client.fcall("tandem_restore_fund_1", (), ("q", FUND, 5, 1))[1] == b"OK"
    assert sums(bench)[0] == 5


def test_what_the_old_node_did_is_not_done_again(bench: RedisBench) -> None:
    """A repetition under an id of the release before is too late, not new: its sequence is used."""
    (got,) = bench.funds.batch([Answer("old:1", "old", 1, 60)])
    assert not isinstance(got, Applied | Replayed)
