"""What the NOC ordered stands in Postgres, once, whoever reads the stream and however often."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from kemi import keys
from kemi.adapters import redis_measures
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_measures import Told, What
from tests.fix_postgres import Database
from tests.settle_pair import SettlePair
from tools.cli import app
from tools.settle.measures import MeasureLog

ROWS = "select act, measure, kind, value, who, node, why, level from tandem.noc_measure order by at, stream_id"
ACCOUNT = What("quarantine", "account", "7")
LEVEL = What("loglevel", "node", "n1")


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores."""
    return SettlePair(database, redis_client, redis_url)


def test_orders_and_their_ends_are_written_once(pair: SettlePair) -> None:
    redis_measures.put(pair.redis, ACCOUNT, 60, Told("ann", "n1", "fraud; no 'drop table'"))
    redis_measures.put(pair.redis, LEVEL, 60, Told("bob", "n2", level=2))
    assert redis_measures.release(pair.redis, ACCOUNT, Told("bob", "n2"))
    pair.once()
    rows = [
        ("begin", "quarantine", "account", "7", "ann", "n1", "fraud; no 'drop table'", 0),
        ("begin", "loglevel", "node", "n1", "bob", "n2", "", 2),
        ("end", "quarantine", "account", "7", "bob", "n2", "", 0),
    ]
    assert pair.sql(ROWS) == rows
    pair.once()
    assert MeasureLog(pair.database.connection).step(pair.redis) == 3, "whoever starts reads all there is"
    assert pair.sql(ROWS) == rows
    (lasts_s,) = pair.sql("select extract(epoch from until - at)::float from tandem.noc_measure where level = 2")[0]
    assert lasts_s == pytest.approx(60, abs=0.01)


def test_what_nobody_can_read_keeps_nothing_waiting(pair: SettlePair) -> None:
    pair.redis.execute("XADD", keys.MEASURE_LOG, "*", "act", "begin")
    pair.redis.execute("XADD", keys.MEASURE_LOG, "*", "act", "end", "told", "{", "until", "x")
    whole = ("order", "flush", "kind", "caches", "value", "*")
    for act, end, level in (("begin", "9" * 30, "0"), ("begin", "-1", "0"), ("end", "7", "9" * 30)):
        told = ("told", f'{{"who": "eve", "level": {level}}}')
        pair.redis.execute("XADD", keys.MEASURE_LOG, "*", "act", act, *whole, "until", end, *told)
    surrogate = ("told", '{"who": "\\ud800"}')
    pair.redis.execute("XADD", keys.MEASURE_LOG, "*", "act", "end", *whole, "until", "7", *surrogate)
    redis_measures.put(pair.redis, ACCOUNT, 60, Told("ann\0", "n1"))
    pair.once()
    assert [row[4] for row in pair.sql(ROWS)] == ["?", "ann"]


def test_a_redis_that_begins_anew_is_read_from_its_beginning(pair: SettlePair) -> None:
    log = MeasureLog(pair.database.connection)
    pair.redis.execute("XADD", keys.MEASURE_LOG, "9999999999999-1", "act", "begin")
    assert log.step(pair.redis) == 1
    pair.redis.execute("DEL", keys.MEASURE_LOG)
    redis_measures.put(pair.redis, ACCOUNT, 60, Told("ann", "n1"))
    assert log.step(pair.redis) == 0
    assert log.step(pair.redis) == 1
    assert len(pair.sql(ROWS)) == 1


def test_the_tool_shows_them_the_newest_first(pair: SettlePair) -> None:
    redis_measures.put(pair.redis, ACCOUNT, 60, Told("ann", "n1", "fraud"))
    assert redis_measures.release(pair.redis, ACCOUNT, Told("bob", "n2"))
    pair.once()
    env = {"DATABASE_URL": pair.database.dsn, "COLUMNS": "200"}
    told = CliRunner().invoke(app, ["noc", "measures", "--json"], env=env, catch_exceptions=False).output
    assert [(row["act"], row["value"], row["who"]) for row in json.loads(told)["measures"]] == [
        ("end", "7", "bob"),
        ("begin", "7", "ann"),
    ]
    shown = CliRunner().invoke(app, ["noc", "measures", "--limit", "1"], env=env, catch_exceptions=False).output
    assert "bob" in shown
    assert "fraud" not in shown
