"""The benchmark of the consumer measures what it says: every event leaves a record, legs and ten entries."""

from __future__ import annotations

from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import Database
from tests.redis_server import empty
from tools.bench.consumer import consumer


def test_the_benchmark_posts_every_event_it_counts(
    database: Database, redis_client: RedisClient, redis_url: str
) -> None:
    empty(redis_client)
    found = consumer(database.dsn, redis_url, events=300, consumers=2)
    assert (found.events, found.levels, found.consumers, found.ledger_rows) == (300, 4, 2, 3_000)
    assert found.events_per_s == round(300 / found.seconds) or found.seconds < 1
    assert database.one("select count(*) from tandem.cdr_leg") == 1_500
    assert database.one("select count(*) from tandem.event_poison") == 0
    assert database.one("select sum(events)::int from tandem.fund_charge") == 1_200
