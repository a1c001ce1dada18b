"""What the money functions leave in real Redis beside their answers: lifetimes, layout, the alarm."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgpack
import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import FUND_STATE, Answer, FundTerms, Late, Note, Operation, Rehold, Release, Settle
from kemi.core.outcome import OUT
from kemi.records import Window
from tests.funds_bench import EPOCH, RedisBench, ended, hold, pinned
from tests.redis_server import RedisServer

HOUR_MS = 3_600_000
WEEK_MS = 7 * 24 * HOUR_MS
FUND = "11:EUR"


@pytest.fixture
def bench(redis_client: RedisClient, redis_worker_url: str) -> Iterator[RedisBench]:
    """Offer an armed Redis with one unlimited fund and one open call, `a`."""
    worker = RedisClient(redis_worker_url, 2_000)
    bench = RedisBench(redis_client, worker)
    bench.set_terms(FUND, FundTerms(1, 0, -1))
    reserve(bench, "a")
    yield bench
    worker.close()


def reserve(bench: RedisBench, rid: str) -> None:
    """Hold 60 micros for a call."""
    bench.funds.reserve(f"{rid}:0", rid, hold(FUND, rows=((60, 60),)), 60, 0, codec.pack(pinned(rid)))


def test_an_open_reservation_lives_until_its_end(bench: RedisBench, redis_client: RedisClient) -> None:
    """No lifetime while open, also after an answer."""
    bench.funds.batch([Answer("a:1", "a", 1, 60)])
    assert redis_client.execute("PTTL", keys.reservation("a")) == -1


def test_a_turn_is_forgotten_a_week_after_the_last_call(bench: RedisBench, redis_client: RedisClient) -> None:
    """Each call that takes it keeps it for another week."""
    for rid in ("t1", "t2"):
        wanted = hold(FUND, rows=((60, 60),))._replace(turns=(3,))
        bench.funds.reserve(f"{rid}:0", rid, wanted, 60, 0, codec.pack(pinned(rid)))
        assert WEEK_MS - 60_000 < redis_client.execute("PTTL", keys.turn(3)) <= WEEK_MS
        redis_client.execute("PEXPIRE", keys.turn(3), 1_000_000)
    assert redis_client.execute("GET", keys.turn(3)) == b"2"


def test_an_ended_reservation_and_a_tombstone_stay_for_an_hour(bench: RedisBench, redis_client: RedisClient) -> None:
    """Settled, released, unknown or refused: long enough for every repetition, then gone."""
    reserve(bench, "b")
    note = Note("d:n", "d", codec.pack(pinned("d")), ended("refused"))
    ends: list[Operation] = [Settle("a:1", "a", 1, 6, (6,), ended()), Release("b:1", "b", 1, ended())]
    bench.funds.batch([*ends, Release("c:1", "c", 1, ended()), note])
    call = codec.pack(pinned("a"))
    bench.funds.batch([Late("a:2", "a", 2, call, ended()), Late("e:2", "e", 2, call, ended())])
    for rid in "abcde":
        assert HOUR_MS - 60_000 < redis_client.execute("PTTL", keys.reservation(rid)) <= HOUR_MS
    assert call not in redis_client.execute("GET", keys.reservation("a"))
    assert redis_client.execute("STRLEN", keys.reservation("a")) < 200


def test_a_fund_in_a_newer_layout_keeps_what_follows(bench: RedisBench, redis_client: RedisClient) -> None:
    """Bytes that a later release appends to a fund's state survive this one."""
    redis_client.execute("APPEND", keys.fund_state(FUND), b"more")
    bench.funds.batch([Settle("a:1", "a", 1, 6, (6,), ended())])
    assert redis_client.execute("GET", keys.fund_state(FUND)).endswith(b"more")
    assert bench.funds.balances([FUND])[0].charged_micros == 6


def test_a_fund_whose_spend_is_counted_keeps_what_follows_too(bench: RedisBench, redis_client: RedisClient) -> None:
    """Also when the cap is lifted: then the windows stay as they are."""
    days = (Window(20261122, 2**45),)
    bench.set_terms(FUND, FundTerms(1, 0, -1, day_max_micros=1_000, days=days))
    reserve(bench, "b")
    redis_client.execute("APPEND", keys.fund_state(FUND), b"more")
    bench.funds.batch([Settle("b:1", "b", 1, 6, (6,), ended())])
    bench.set_terms(FUND, FundTerms(2, 0, -1))
    bench.funds.batch([Settle("a:1", "a", 1, 6, (6,), ended())])
    assert redis_client.execute("GET", keys.fund_state(FUND)).endswith(b"more")
    found = bench.funds.balances([FUND])[0]
    assert (found.charged_micros, found.day_id, found.day_spent_micros) == (12, 20261122, 6)
    assert redis_client.execute("STRLEN", keys.fund_state(FUND)) == FUND_STATE.size + 16 + 40 + len(b"more")


def test_a_fund_without_caps_has_no_windows(bench: RedisBench, redis_client: RedisClient) -> None:
    """Two doubles more than in the release before, and no others."""
    bench.funds.batch([Settle("a:1", "a", 1, 6, (6,), ended())])
    assert redis_client.execute("STRLEN", keys.fund_state(FUND)) == FUND_STATE.size + 16


def test_legs_go_with_the_call(bench: RedisBench, redis_client: RedisClient) -> None:
    """An ended reservation keeps what repetitions ask for, and no more."""
    bench.funds.batch([Answer("a:1", "a", 1, 60, legs=b"x" * 4000), Settle("a:2", "a", 2, 6, (6,), ended())])
    assert redis_client.execute("STRLEN", keys.reservation("a")) < 200


def test_a_reservation_bears_the_epoch_of_a_rebuild_and_else_what_it_did(
    bench: RedisBench, redis_client: RedisClient
) -> None:
    """Golden bytes: its numbers, then what it holds, its side, and its texts."""
    call, log = codec.pack(pinned("a")), struct.pack("<H3sd", 3, b"a:0", 60)
    texts = b"n1", msgpack.packb([FUND]), log, b"", b""
    numbers = 3, 1, 1, 0, 0, 60, 0, 0, 0, 0
    sizes = [len(text) for text in texts]
    before = struct.pack("<4B8d5H", *numbers, 0, -1, *sizes) + struct.pack("<dB", 60, OUT) + b"".join(texts) + call
    assert redis_client.execute("GET", keys.reservation("a")) == before
    bench.disarm()
    bench.call_nodes(EPOCH + 1)
    told = Rehold("a:0", "a", 0, EPOCH + 1, 60, call, (FUND,), (OUT,), 60, (60,), (0,))
    bench.funds.rehold([told])
    numbers = 3, 1, 1, 1, 0, 60, 0, 0, 0, 0
    after = struct.pack("<4B8d5H", *numbers, EPOCH + 1, -1, *sizes) + struct.pack("<2dB", 60, 0, OUT)
    assert redis_client.execute("GET", keys.reservation("a")) == after + b"".join(texts) + call


def test_a_sum_that_passes_2_to_the_50_is_reported_once(bench: RedisBench, redis_server: RedisServer) -> None:
    """Redis' log names the fund, when years are left to act."""
    bench.disarm()
    bench.keeper.restore_fund(FUND, 2**50 - 6, 1)
    bench.keeper.arm(EPOCH)
    reserve(bench, "b")
    bench.funds.batch([Settle("a:1", "a", 1, 6, (6,), ended()), Settle("b:1", "b", 1, 6, (6,), ended())])
    log = (redis_server.folder / "log").read_text()
    assert log.count(f"charges of fund {FUND} have passed 2^50") == 1


def test_a_lost_state_does_not_become_credit(bench: RedisBench, redis_client: RedisClient) -> None:
    """Where a fund's state was lost, ending its calls never makes its hold negative."""
    redis_client.execute("DEL", keys.fund_state(FUND))
    bench.funds.batch([Release("a:1", "a", 1, ended())])
    found = bench.funds.balances([FUND])[0]
    assert (found.held_micros, found.channels) == (0, 0)


def test_a_past_lease_ends_nothing_by_itself(bench: RedisBench) -> None:
    """A clock that stepped forward must not end calls: a past lease is a sign for the sweeper, no more."""
    bench.expire_lease("a")
    assert bench.funds.expired(10) == [("a", 0)]
    found = bench.funds.describe("a")
    assert found is not None
    assert found.state == "held"
    assert bench.funds.balances([FUND])[0].channels == 1
