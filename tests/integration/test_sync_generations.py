"""Which configuration was in force when, and that what stays the same is not written again."""

from __future__ import annotations

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.records import Lengths
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.sync import passes


@pytest.fixture
def pair(demo_database: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the demo world once."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.once()
    return made


def generations(pair: SyncPair) -> list[int]:
    return [number for (number,) in pair.sql("select config_pass from tandem.generation order by config_pass")]


def test_a_load_is_a_generation(pair: SyncPair) -> None:
    """It is what stands at PASS after it, and so what calls name."""
    assert generations(pair) == [pair.pass_and_fence()[0]]


def test_a_pass_is_a_generation(pair: SyncPair) -> None:
    """Each run that changed something has one of its own; one that found nothing to do has none."""
    pair.sql("update tandem.account set name = 'Alpha Two' where name = 'Alpha'")
    pair.once()
    first, second = generations(pair)
    assert (first < second) is True
    assert second == pair.pass_and_fence()[0]
    pair.once()
    assert generations(pair) == [first, second]


def test_at_most_one_a_second(pair: SyncPair) -> None:
    """Many passes in a moment are few generations; the last of them is noted when a second is over."""
    with pair.active_syncer():
        for number in range(20):
            pair.sql("update tandem.account set name = %s where id = 5", f"Alpha {number}")
            pair.wait_for(pair.outbox_is_empty, "the syncer to apply it")
        pair.wait_for(lambda: generations(pair)[-1] == pair.pass_and_fence()[0], "the last one to be noted")
    assert len(generations(pair)) < 20


def test_a_part_of_the_outbox_is_no_generation(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis holds what the snapshot saw only when the pass took all that waited."""
    monkeypatch.setattr(passes, "ROWS_MAX", 1)
    monkeypatch.setattr(passes, "GENERATION_S", 0)
    before = generations(pair)
    pair.sql("update tandem.account set blocked_out = '{1*}'")
    waiting = pair.sql("select count(*) from tandem.outbox")[0][0]
    assert waiting > 1
    pair.once()
    assert len(generations(pair)) <= len(before) + 1


def test_what_stays_the_same_is_not_written(pair: SyncPair) -> None:
    """Another number of a length that there is leaves the lengths as they are: workers keep them."""
    pair.sql("select world.ported('4420', '4499')")
    pair.once()
    assert pair.record(keys.PORTED_LENGTHS) == Lengths((4,))
    score = pair.redis.execute("ZSCORE", keys.CHANGED, keys.PORTED_LENGTHS)
    pair.sql("select world.ported('4421', '4499')")
    pair.once()
    assert pair.record("lnp:4421") is not None
    assert pair.redis.execute("ZSCORE", keys.CHANGED, keys.PORTED_LENGTHS) == score
    pair.sql("select world.ported('44', '4499')")
    pair.once()
    assert pair.record(keys.PORTED_LENGTHS) == Lengths((4, 2))
    pair.assert_equal()
