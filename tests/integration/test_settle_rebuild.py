"""Redis comes back armed by itself: with all that it has where it lost nothing, else with what Postgres knows."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.redis_server import TIMEOUT_MS, empty
from tests.settle_pair import OwnRedis, SettlePair, own_redis
from tests.telling_node import telling_node
from tests.wait import until
from tools.errors import OperatorError
from tools.settle.cell import Cell
from tools.settle.command import verdict
from tools.settle.service import connections, reread

SLOW = ["begun", "read", "slow", "called", "charged", "told", "sorted", "counted", "armed"]
ARMED_AGAIN_S = 8.0  # about half a second in quiet; the machine of the tests is shared


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores; nothing is armed."""
    return SettlePair(database, redis_client, redis_url)


@pytest.fixture
def durable() -> Iterator[OwnRedis]:
    """Run a Redis that survives its own death."""
    with own_redis() as made:
        yield made


def epochs(pair: SettlePair) -> list[tuple[int, str]]:
    return [(number, state) for number, state in pair.sql("select number, state from tandem.epoch order by number")]


def steps(pair: SettlePair) -> list[tuple[str, str]]:
    """Return the steps of the last rebuild, with what they say."""
    with connections(pair.options()) as parts:
        return [(step.step, step.said) for step in parts.books.progress.last()]


def said(pair: SettlePair, name: str) -> str:
    return dict(steps(pair))[name]


def test_a_fresh_start_is_armed_as_epoch_1(pair: SettlePair) -> None:
    pair.once()
    assert pair.is_armed()
    assert epochs(pair) == [(1, "armed")]
    pair.once()
    assert epochs(pair) == [(1, "armed")]


def test_a_killed_redis_is_armed_again_with_holds_and_charges(database: Database, durable: OwnRedis) -> None:
    """AOF always, kill -9 during a call: the next epoch within two seconds; the call keeps its hold and settles."""
    pair = SettlePair(database, RedisClient(durable.url, TIMEOUT_MS), durable.url)
    with pair.process():
        pair.until_armed()
        talking = pair.pinned()
        pair.hold(talking)
        pair.answer(talking)
        for _ in range(20):
            pair.place(7)
        before = pair.balance("Alpha")
        durable.kill()
        durable.start()
        began_s = time.monotonic()
        until(pair.is_armed, 10, "Redis to be armed")
        took_s = time.monotonic() - began_s
        pair.redis = RedisClient(durable.url, TIMEOUT_MS)
        pair.funds._client = pair.redis
        assert pair.balance("Alpha") == before
        assert before.held_micros == 60_000
        pair.settle(talking, 60)
        pair.until_posted(21)
    assert took_s < ARMED_AGAIN_S
    assert epochs(pair) == [(1, "lost"), (2, "armed")]
    assert pair.charged()["Alpha"] == pair.balance("Alpha").charged_micros == 20 * 7_000 + 60_000
    assert pair.balance("Alpha").held_micros == 0
    pair.assert_agreed()


def test_reloaded_functions_are_armed_again(pair: SettlePair) -> None:
    """A new library has forgotten that it was armed; a lost one is loaded too."""
    with pair.process():
        pair.until_armed()
        pair.hold(pair.pinned())
        pair.redis.execute("FUNCTION", "FLUSH")
        pair.until_armed()
    assert epochs(pair) == [(1, "lost"), (2, "armed")]
    assert pair.balance("Alpha").held_micros == 60_000
    pair.assert_agreed()


def test_processes_that_start_together_arm_once(pair: SettlePair) -> None:
    with pair.process(), pair.process(), pair.process():
        pair.until_armed()
        pair.place(7)
        pair.until_posted(1)
    assert epochs(pair) == [(1, "armed")]


def test_an_emptied_redis_that_knew_no_operation_is_armed_again(pair: SettlePair) -> None:
    """A new stack: nothing was lost, so nobody has to act."""
    with pair.process():
        pair.until_armed()
        empty(pair.redis)
        until(lambda: epochs(pair)[-1] == (2, "building"), 10, "the next epoch")
        assert not pair.is_armed()
        pair.refill()
        pair.until_armed()
    pair.place(8)
    pair.once()
    assert epochs(pair) == [(1, "lost"), (2, "armed")]
    pair.assert_agreed()


def test_events_that_were_not_posted_when_redis_died_are_posted_before_it_opens(
    database: Database, durable: OwnRedis
) -> None:
    """They are in the stream only: without them Postgres would not agree and Redis would stay closed."""
    pair = SettlePair(database, RedisClient(durable.url, TIMEOUT_MS), durable.url)
    pair.once()
    for _ in range(10):
        pair.place(7)
    durable.kill()
    durable.start()
    pair.once()
    assert pair.is_armed()
    assert pair.posted() == 10
    assert epochs(pair) == [(1, "lost"), (2, "armed")]


def test_poison_does_not_keep_redis_closed(database: Database, durable: OwnRedis) -> None:
    """Its charge is known from the event that was set aside, so nothing is missing."""
    pair = SettlePair(database, RedisClient(durable.url, TIMEOUT_MS), durable.url)
    pair.once()
    pinned = pair.pinned()
    pair.hold(pinned)
    pair.answer(pinned)
    pair.sql("alter table tandem.cdr add constraint nobody_talks_9_s check (billed_s <> 9)")
    pair.settle(pinned, 9)
    pair.once()
    assert pair.sql("select count(*) from tandem.event_poison") == [(1,)]
    durable.kill()
    durable.start()
    pair.once()
    assert pair.is_armed()
    (difference,) = pair.verify().differences
    assert "is set aside in tandem.event_poison" in difference


def tampered(pair: SettlePair, charged_more: int = 0, held_more: int = 0) -> None:
    """Change a fund's bytes behind the functions' back."""
    key = keys.fund_state(keys.fund(pair.ids["Alpha"], "EUR"))
    packed = pair.redis.execute("GET", key)
    version, charged, held, *rest = struct.unpack_from("<B6d", packed)
    changed = struct.pack("<B6d", version, charged + charged_more, held + held_more, *rest)
    pair.redis.execute("SET", key, changed + packed[len(changed) :])


def test_a_redis_that_disagrees_becomes_what_postgres_says(pair: SettlePair) -> None:
    pair.once()
    pair.place(7)
    pair.once()
    tampered(pair, charged_more=5, held_more=3)
    pair.redis.execute("DEL", keys.EPOCH)
    pair.once()
    assert (pair.balance("Alpha").charged_micros, pair.balance("Alpha").held_micros) == (7_000, 0)
    assert [step for step, _ in steps(pair)] == SLOW
    assert "has charged 7005 micros in 1 events, Postgres and the events on the way have 7000 in 1" in said(
        pair, "slow"
    )
    pair.assert_agreed()


def test_what_cannot_be_made_right_asks_for_somebody_to_look(pair: SettlePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two rebuilds in a row that end in differences: Redis stays closed, and says what differs."""
    pair.once()
    pair.place(7)
    pair.once()
    monkeypatch.setattr(Cell, "restore", lambda *_: None)
    tampered(pair, charged_more=5)
    pair.redis.execute("DEL", keys.EPOCH)
    with pytest.raises(OperatorError, match=r"still differs .* 7005 micros .* an operator must act, that was 2 times"):
        pair.once()
    assert not pair.is_armed()
    assert epochs(pair)[-2:] == [(2, "lost"), (3, "building")]
    assert [step for step, _ in steps(pair)].count("differs") == 2
    monkeypatch.undo()
    pair.once()
    pair.assert_agreed()


def test_a_redis_that_is_emptied_just_before_it_is_opened_stays_closed(
    pair: SettlePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was compared, and then it was not the one any more: it is filled before it takes a call."""
    pair.once()
    pair.place(7)
    pair.once()
    arm = Funds.arm

    def emptied(funds: Funds, epoch: int) -> None:
        monkeypatch.setattr(Funds, "arm", arm)
        pair.redis.execute("FLUSHALL")
        pair.refill()
        arm(funds, epoch)

    monkeypatch.setattr(Funds, "arm", emptied)
    pair.redis.execute("DEL", keys.EPOCH)
    with telling_node(pair.redis_url):
        pair.once()
    assert pair.balance("Alpha").charged_micros == 7_000
    assert [state for _, state in epochs(pair)[-2:]] == ["lost", "armed"]
    assert pair.is_armed()
    pair.assert_agreed()


def test_a_redis_that_forgot_operations_is_rebuilt(pair: SettlePair) -> None:
    """Charges agree, but fewer operations than once answered: holds of running calls may be gone."""
    pair.once()
    pair.place(7)
    pair.once()
    pair.sql("insert into tandem.node(name, opseq) values ('n1', 1000)")
    pair.redis.execute("DEL", keys.EPOCH)
    with telling_node(pair.redis_url):
        pair.once()
    assert "has applied 3 operations and once answered 1000" in said(pair, "slow")
    assert pair.funds.status().opseq == 1_000
    assert pair.is_armed()


def test_every_step_of_a_fast_rebuild_is_seen(pair: SettlePair) -> None:
    pair.once()
    pair.place(7)
    pair.once()
    pair.redis.execute("DEL", keys.EPOCH)
    pair.once()
    assert [step for step, _ in steps(pair)] == ["begun", "read", "fast", "armed"]
    assert said(pair, "fast") == "Redis has kept everything, 3 operations: holds and charges stay"


def test_the_highest_operation_number_is_kept_in_postgres(pair: SettlePair) -> None:
    pair.redis.execute("HSET", keys.NODES, "n1", 1_770_000_000_000)
    with pair.process():
        pair.until_armed()
        pair.place(7)
        until(lambda: pair.sql("select opseq from tandem.node") == [(3,)], 10, "the number to be noted")


def test_a_rebuild_that_was_killed_is_begun_again(pair: SettlePair) -> None:
    """It left an epoch `building`; the next process does not take it over, it begins another."""
    pair.once()
    pair.sql("update tandem.epoch set state = 'lost'")
    pair.sql("insert into tandem.epoch(number, state) values (2, 'building')")
    pair.place(7)
    pair.once()
    assert epochs(pair) == [(1, "lost"), (2, "lost"), (3, "armed")]
    assert pair.posted() == 1
    pair.assert_agreed()


def test_verify_counts_what_agrees(pair: SettlePair) -> None:
    pair.once()
    pair.place(60)
    pair.hold(pair.pinned())
    pair.once()
    report = pair.verify()
    assert report.funds == 3
    assert report.differences == ()
    assert report.numbers == (
        "Redis is at epoch 1, armed; Postgres says epoch 1 is armed",
        "I1: 90000 micros and 2 channels are held, by 1 open reservations",
        "I2: 90000 micros are charged, in 2 events",
        "I3: 550000000 micros are credited",
        "I4: 2 grants of the last hour = 1 open + 1 ended",
    )


def test_verify_finds_a_tampered_fund(pair: SettlePair) -> None:
    pair.once()
    pair.place(60)
    pair.once()
    tampered(pair, charged_more=1, held_more=2)
    fund = keys.fund(pair.ids["Alpha"], "EUR")
    holds, charges = pair.verify().differences
    none = "0 channels (0 in, 0 out)"
    assert holds == f"I1: fund {fund}: holds 2 micros on {none}, its open reservations 0 micros on {none}"
    assert f"{fund}: Redis has charged 60001 micros in 1 events, Postgres" in charges
    assert charges.endswith("have 60000 in 1")


def test_verify_counts_events_that_wait(pair: SettlePair) -> None:
    """What is charged and not posted yet is on the way, not lost."""
    pair.once()
    pair.place(60)
    assert pair.posted() == 0
    pair.assert_agreed()


def test_verify_finds_an_acknowledged_event_that_postgres_has_not(pair: SettlePair) -> None:
    """A Postgres that was restored: the stream still has what it lost, and --reread posts it, once."""
    pair.once()
    pair.place(60)
    with connections(pair.options()) as parts:
        parts.stream.acknowledge(parts.stream.fresh(1))
    assert pair.posted() == 0
    found = [difference.partition(":")[0] for difference in pair.verify().differences]
    assert found == ["I2", "I2", "I4"]
    assert (reread(pair.options()).added, reread(pair.options()).added, pair.posted()) == (6, 0, 1)
    pair.assert_agreed()


def test_verify_finds_a_lost_event_by_its_number(pair: SettlePair) -> None:
    pair.once()
    for _ in range(3):
        pair.place(60)
    entry_id, _ = pair.redis.execute("XRANGE", keys.EVENTS, "-", "+")[1]
    pair.redis.execute("XDEL", keys.EVENTS, entry_id)
    pair.once()
    found = [difference for difference in pair.verify().differences if "I2" in difference]
    assert len(found) == 2
    assert all(
        "have 120000 in 2; missing are event 2" in each or "60000 in 2; missing are event 2" in each for each in found
    )


def test_verify_finds_a_credit_that_did_not_arrive(pair: SettlePair) -> None:
    pair.once()
    pair.sql("select tandem.topup_v1(%s, 1000000, 'cash', 'test')", pair.ids["Alpha"])
    fund = keys.fund(pair.ids["Alpha"], "EUR")
    assert f"I3: fund {fund}: Redis knows version 1 of its credit, Postgres 2" in pair.verify().differences
    pair.sync()
    pair.assert_agreed()


def test_verify_finds_a_reservation_that_nothing_would_end(pair: SettlePair) -> None:
    pair.once()
    pinned = pair.pinned()
    pair.hold(pinned)
    pair.redis.execute("ZREM", keys.LEASES, pinned.rid)
    assert f"I4: reservation {pinned.rid} is open and has no lease: nothing would end it" in pair.verify().differences


def test_verify_says_what_does_not_answer(pair: SettlePair) -> None:
    with pytest.raises(OperatorError, match="cannot compare"):
        verdict(pair.options()._replace(redis_url="unix:///nowhere.sock"))


def test_charges_restored_to_an_empty_redis_include_what_is_set_aside(pair: SettlePair) -> None:
    """An event set aside is charged money too: it must not become credit because Redis lost its memory."""
    pair.once()
    pinned = pair.pinned()
    pair.append(b"no event")
    event = calls.settled(pinned, calls.answered(9, 7), {"3:EUR": 1, "2:EUR": 1})
    pair.sql("alter table tandem.cdr add constraint nobody_talks_9_s check (billed_s <> 9)")
    pair.append(codec.pack(event))
    pair.once()
    assert pair.sql("select count(*) from tandem.event_poison") == [(2,)]
    empty(pair.redis)
    pair.refill()
    pair.once()
    assert pair.balance("Alpha").charged_micros == 9_000


def test_a_rebuild_posts_only_what_has_no_record(pair: SettlePair, caplog: pytest.LogCaptureFixture) -> None:
    """A day's events are many and calls wait. Parts, late ends and bytes that are no event are looked at again."""
    pair.once()
    pair.place(7)
    talking = pair.pinned()
    pair.hold(talking)
    pair.answer(talking)
    pair.part(talking, 20)
    pair.once()
    pair.place(9)
    pair.append(b"")
    pair.redis.execute("DEL", keys.EPOCH)
    with caplog.at_level("INFO"):
        pair.once()
    assert "read the whole stream: 1 events posted before, 3 others" in caplog.text
    assert pair.charged() == {"North": 18_000, "Alpha": 36_000, "Beta": 0}
