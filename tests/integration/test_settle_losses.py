"""What Redis has lost is noticed before it is opened, by whoever knows of it: Postgres, or a node; and made good."""

from __future__ import annotations

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Late, Rehold
from kemi.records import PinnedCall
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.redis_server import empty
from tests.settle_pair import SettlePair
from tests.telling_node import known, telling_node
from tools.errors import OperatorError


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, and arm."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def test_an_emptied_redis_is_filled_with_what_postgres_and_the_nodes_know(pair: SettlePair) -> None:
    """Charges and numbers of every fund; the call that goes on has its hold again, and settles."""
    pair.redis.execute("HSET", keys.NODES, "n1", 1)
    talking = talking_call(pair)
    pair.place(5)
    pair.once()
    before = {name: pair.balance(name) for name in ("North", "Alpha")}
    told = [told_of(pair, talking)]
    empty(pair.redis)
    pair.refill()
    with telling_node(pair.redis_url, told, opseq=5):
        done = pair.rebuilt()
    assert (done["operations_lost"], done["told"], done["voided"], done["events_lost"]) == (5, 1, 0, 0)
    assert {name: pair.balance(name) for name in before} == before
    pair.settle(talking, 30)
    pair.once()
    assert (pair.balance("Alpha").n, pair.charged()["Alpha"]) == (2, 35_000)
    pair.assert_agreed()


def test_an_emptied_redis_waits_for_the_terms_of_every_fund(pair: SettlePair) -> None:
    """Without them nobody may call: who has no terms has no credit."""
    pair.place(5)
    pair.once()
    empty(pair.redis)
    with pytest.raises(OperatorError, match="waiting for tandem sync to bring the terms of 3 of 3 funds"):
        pair.once(patience_s=1)
    pair.refill()
    pair.once()
    pair.assert_agreed()


def test_a_node_that_lived_is_waited_for_until_its_slice_and_grace_are_over(pair: SettlePair) -> None:
    """Its calls talk on a hold that nobody has: nothing is granted while it may still tell of them."""
    now_ms = pair.redis.execute("TIME")[0]
    pair.redis.execute("HSET", keys.NODES, "n1", int(now_ms) * 1000)
    pair.place(5)
    pair.once()
    empty(pair.redis)
    pair.refill()
    with pytest.raises(OperatorError, match="waiting for n1 to tell their calls"):
        pair.once(slice_s=60, patience_s=1)
    done = pair.rebuilt(slice_s=3, grace_s=1)
    assert done["silent"] == ["n1"]
    pair.assert_agreed()


def test_a_rebuilt_redis_counts_operations_on(pair: SettlePair) -> None:
    """Emptied twice: what was lost the first time is not lost again, and what nodes have seen stays true."""
    pair.redis.execute("HSET", keys.NODES, "n1", 1)
    pair.place(5)
    pair.once()
    for lost in (3, 6):
        empty(pair.redis)
        pair.refill()
        with telling_node(pair.redis_url):
            assert pair.rebuilt()["operations_lost"] == lost
        assert pair.funds.status().opseq == lost
        pair.redis.execute("DEL", keys.EPOCH)
        pair.once()
        pair.place(5)
        pair.once()
    pair.assert_agreed()


def test_what_only_a_node_has_seen_is_lost_too(pair: SettlePair) -> None:
    """The tail since settlement looked last: Redis agrees with Postgres without it, and a node was answered more."""
    pair.redis.execute("HSET", keys.NODES, "n1", 1_770_000_000_000)
    pair.redis.execute("HSET", keys.SEEN, "n1", 1_000)  # of before: rolled back with the rest, it proves nothing
    pair.place(7)
    pair.once()
    pair.redis.execute("DEL", keys.EPOCH)
    with telling_node(pair.redis_url, opseq=3):
        pair.once()
    assert pair.sql("select count(*) from tandem.recovery") == [(0,)]
    pair.redis.execute("DEL", keys.EPOCH)
    with telling_node(pair.redis_url, opseq=5):
        assert pair.rebuilt()["operations_lost"] == 2
    pair.assert_agreed()


def test_a_call_that_its_node_does_not_know_is_given_up(pair: SettlePair) -> None:
    """An old dump still holds it; its end was told in the lost operations, and comes once more as a late one."""
    old_call = talking_call(pair)
    pair.sql("insert into tandem.node(name, last_seen, opseq) values ('n1', now(), 100)")
    pair.redis.execute("DEL", keys.EPOCH)
    with telling_node(pair.redis_url):
        done = pair.rebuilt()
    assert (done["told"], done["kept"], done["voided"]) == (0, 0, 1)
    assert (pair.balance("Alpha").held_micros, pair.outcomes()) == (0, {"unknown_end": 1})
    end = codec.pack(calls.answered(30, server_id=7))
    pair.apply(Late("late", old_call.rid, 9, codec.pack(old_call), end))
    pair.once()
    pair.sync()
    assert (pair.outcomes(), pair.charged()["Alpha"]) == ({"answered": 1}, 0)
    assert pair.sql("select cred_micros from tandem.fund_credit where account_id = %s", pair.ids["Alpha"]) == [
        (20_000_000 - 30_000,)
    ]
    pair.assert_agreed()


def test_a_call_of_a_silent_node_keeps_its_hold_and_its_lease(pair: SettlePair) -> None:
    """Nobody knows whether it is dead: the sweeper settles it once the lease is over."""
    silent = talking_call(pair, Funds(pair.redis, "n9", 0))
    pair.sql("insert into tandem.node(name, last_seen, opseq) values ('n1', now(), 100)")
    lease_ms = pair.redis.execute("ZSCORE", keys.LEASES, silent.rid)
    pair.redis.execute("DEL", keys.EPOCH)
    with telling_node(pair.redis_url):
        done = pair.rebuilt()
    assert (done["kept"], done["voided"]) == (1, 0)
    assert pair.balance("Alpha").held_micros == 60_000
    assert pair.redis.execute("ZSCORE", keys.LEASES, silent.rid) == lease_ms
    pair.assert_agreed()


def test_a_postgres_of_before_the_first_call_hears_the_nodes_before_it_calls_an_empty_redis_new(
    pair: SettlePair,
) -> None:
    """It knows no node and no operation, as on the first day; the node that carries the call may need a second."""
    going_on = talking_call(pair)
    told = [told_of(pair, going_on)]
    empty(pair.redis)
    pair.refill()
    with telling_node(pair.redis_url, told, opseq=2, after_s=0.5):
        done = pair.rebuilt()
    assert (done["operations_lost"], done["told"], done["voided"]) == (2, 1, 0)
    pair.settle(going_on, 30)
    pair.once()
    assert (pair.outcomes(), pair.charged()["Alpha"]) == ({"answered": 1}, 30_000)
    pair.assert_agreed()


def test_a_postgres_that_knows_no_node_hears_those_that_redis_knows(pair: SettlePair) -> None:
    """It has calls again, from the stream, and yet nobody to ask: the node alone knows what Redis has lost."""
    going_on = talking_call(pair)
    told = [told_of(pair, going_on)]
    pair.place(5)
    pair.once()
    opseq = pair.funds.status().opseq
    pair.redis.execute("HSET", keys.NODES, "n1", int(pair.redis.execute("TIME")[0]) * 1000)
    pair.sql("delete from tandem.node")
    pair.redis.execute("DEL", keys.EPOCH)
    with telling_node(pair.redis_url, told, opseq=opseq + 3, after_s=0.5):
        done = pair.rebuilt()
    assert (done["operations_lost"], done["told"], done["voided"]) == (3, 1, 0)
    pair.assert_agreed()


@pytest.mark.parametrize("is_posted", [True, False])
def test_a_part_that_only_one_side_knows_is_charged_once(pair: SettlePair, *, is_posted: bool) -> None:
    """Its event was posted and its answer lost, or the reverse: the call goes on from what Postgres has."""
    going_on = talking_call(pair)
    before = told_of(pair, going_on)
    pair.part(going_on, 20)
    after = told_of(pair, going_on)
    if is_posted:
        pair.once()
    empty(pair.redis)
    pair.refill()
    pair.sql("insert into tandem.node(name, last_seen, opseq) values ('n1', now(), 100)")
    with telling_node(pair.redis_url, [before if is_posted else after]):
        done = pair.rebuilt()
    assert (done["told"], done["amended"], done["voided"]) == (1, 1, 0)
    assert pair.balance("Alpha").charged_micros == (20_000 if is_posted else 0)
    pair.settle(going_on, 50, seq=5)
    pair.once()
    assert (pair.charged()["Alpha"], pair.charged()["North"]) == (50_000, 25_000)
    assert pair.outcomes() == {"answered": 1}
    pair.assert_agreed()


def talking_call(pair: SettlePair, funds: Funds | None = None) -> PinnedCall:
    pinned = pair.pinned()
    pair.hold(pinned, funds=funds)
    if funds is None:
        pair.answer(pinned)
    return pinned


def told_of(pair: SettlePair, pinned: PinnedCall) -> Rehold:
    found = pair.funds.describe(pinned.rid)
    assert found is not None
    return known(pinned, found)
