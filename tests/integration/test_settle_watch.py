"""The money is compared all the time, and the numbers in Redis say what does not agree."""

from __future__ import annotations

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.settle_pair import DEADLINE_S, SettlePair
from tests.wait import until
from tools.settle import watch as watched
from tools.settle.service import connections, run_once
from tools.settle.stream import Stream
from tools.settle.watch import CALM_EVERY_S, Watch


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, armed."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def numbers(pair: SettlePair) -> dict[str, int]:
    """Return what settlement last told the NOC."""
    flat = pair.redis.execute("HGETALL", keys.SETTLED)
    return {name.decode(): int(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}


def told(pair: SettlePair, steps: int = 3) -> dict[str, int]:
    """Return the numbers after some steps of a comparison, between which Redis' clock moves on."""
    with connections(pair.options()) as parts:
        watch = Watch(*parts)
        for _ in range(steps):
            watch.step()
            asked_ms = parts.cell.now_ms()
            _wait_past(parts.stream, asked_ms)
    return numbers(pair)


def _wait_past(stream: Stream, asked_ms: int) -> None:
    """Wait until all that was written up to then is posted, unless something waits for a consumer."""
    until(lambda: stream.posted_before_ms() > asked_ms or stream.backlog(), DEADLINE_S, "Redis' clock to move on")


def test_a_process_at_work_tells_that_all_agrees(pair: SettlePair) -> None:
    with pair.process():
        for talk_s in (5, 6, 7):
            pair.place(talk_s)
        pair.until_posted(3)
        talking = pair.pinned()
        pair.hold(talking)
        (now_s, _) = pair.redis.execute("TIME")
        until(lambda: numbers(pair).get("at_ms", 0) > (int(now_s) + 1) * 1000, DEADLINE_S, "word of all that was done")
        compared = "a comparison, maybe the second: a moment without operations is needed"
        until(lambda: numbers(pair)["i1_at_ms"] and numbers(pair)["funds"], CALM_EVERY_S + DEADLINE_S, compared)
    found = numbers(pair)
    assert (found["differences"], found["i1_micros"], found["i2_micros"], found["i3_micros"]) == (0, 0, 0, 0)
    assert (found["epoch"], found["funds"], found["poisoned"], found["events_waiting"]) == (1, 3, 0, 0)


def test_each_invariant_that_breaks_is_a_number(pair: SettlePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lost event of 60,000 and 30,000 (I2), a changed credit (I3), a lease of nothing (I4), a lost hold (I1)."""
    monkeypatch.setattr(watched, "BEHIND_S", 0.0)
    pinned = pair.place(60)
    (entry_id, _), *_ = pair.redis.execute("XRANGE", keys.EVENTS, "-", "+")
    pair.redis.execute("XDEL", keys.EVENTS, entry_id)
    held = pair.pinned()
    pair.hold(held)
    pair.redis.execute("DEL", keys.reservation(held.rid))
    pair.sql("select tandem.topup_v1((select id from tandem.account where name = 'Beta'), 7, 'test', 'test')")
    found = told(pair)
    assert pinned.rid not in pair.sql("select rid from tandem.cdr")
    assert (found["i2_micros"], found["i3_micros"]) == (90_000, 7)
    assert (found["i1_micros"], found["i4"]) == (90_000, 1)
    assert found["differences"] == 6


def test_an_event_on_the_way_is_no_difference(pair: SettlePair) -> None:
    """Waiting in the stream it is not compared yet; set aside it is counted as poisoned, and its charge is known."""
    pair.place(60)
    found = told(pair)
    assert (found["i2_micros"], found["events_waiting"]) == (0, 1)
    payload = pair.payloads()[0]
    pair.sql("insert into tandem.event_poison(stream_id, reason, payload) values ('1-0', 'a test', %s)", payload)
    with connections(pair.options()) as parts:
        parts.stream.acknowledge(parts.stream.fresh(1))
    found = told(pair)
    assert (found["i2_micros"], found["poisoned"], found["events_waiting"]) == (0, 1, 0)


def test_a_fund_is_compared_at_the_number_that_redis_had(pair: SettlePair) -> None:
    """Events that came and were posted after Redis was asked do not count, however many there are."""
    with connections(pair.options()) as parts:
        watch = Watch(*parts)
        pair.place(10)
        pair.once()
        watch.step()
        for talk_s in (20, 30):
            pair.place(talk_s)
        pair.once()
        _wait_past(parts.stream, parts.cell.now_ms())
        watch.step()
    assert (numbers(pair)["i2_micros"], numbers(pair)["differences"]) == (0, 0)


def test_funds_take_turns_and_one_process_compares(pair: SettlePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two at a time of three funds: the round is told when all had their turn; a second process leaves it alone."""
    monkeypatch.setattr(watched, "FUNDS_AT_ONCE", 2)
    with connections(pair.options()) as first, connections(pair.options()) as second:
        Watch(*first).step()
        assert numbers(pair)["funds"] == 0
        pair.redis.execute("DEL", keys.SETTLED)
        Watch(*second).step()
        assert numbers(pair) == {}
    assert told(pair)["funds"] == 3


def test_dead_leases_and_other_kinds_of_events_are_told(pair: SettlePair) -> None:
    pair.hold(pair.pinned(), lease_s=0)
    pair.append(codec.pack(calls.refused(pair.pinned())))
    run_once(pair.options(slice_s=60))
    found = told(pair)
    assert (found["expired"], found["i4"], found["differences"]) == (1, 0, 0)
