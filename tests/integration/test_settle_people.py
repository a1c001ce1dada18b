"""Funds that only count the calls of lines and users: compared and made right with the others, unknown to Postgres."""

from __future__ import annotations

import struct
from typing import Final

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_operations import Answer, Balance
from kemi.core.outcome import OUT, HoldFund
from kemi.records import PinnedCall, PinnedTarget
from tests.fix_postgres import Database
from tests.settle_pair import SettlePair
from tests.telling_node import known, telling_node

LINE: Final = "line5:"
OTHER: Final = "line6:"
USER: Final = "user7:"


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, and arm."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def talking(pair: SettlePair) -> PinnedCall:
    """Return a call of a line that another line and its user have answered."""
    pinned = pair.pinned()._replace(targets=(PinnedTarget(0, 0, "b@a.example", joins=(OTHER, USER)),))
    pair.hold(pinned, counted=(HoldFund(LINE, pair.ids["Alpha"], 0, OUT),))
    pair.apply(Answer(f"{pinned.rid}:1", pinned.rid, 1, 60, place=0, joins=(OTHER, USER)))
    return pinned


def counted(pair: SettlePair) -> list[tuple[int, int, int]]:
    """Return channels, in and out, of the three."""
    found: list[Balance] = pair.funds.balances([LINE, OTHER, USER])
    return [(each.channels, each.channels_in, each.channels_out) for each in found]


def leak(pair: SettlePair, fund: str, channels: int) -> None:
    """Let a fund have so many channels more, behind the functions' back."""
    key = keys.fund_state(fund)
    packed = pair.redis.execute("GET", key) or struct.pack("<B8d", 2, *(0.0,) * 8)
    version, charged, held, taken, *rest = struct.unpack("<B8d", packed)
    pair.redis.execute("SET", key, struct.pack("<B8d", version, charged, held, taken + channels, *rest))


def test_who_counts_a_call_agrees_and_leaves_nothing_in_postgres(pair: SettlePair) -> None:
    """One call at three of them; its funds of money are as ever."""
    talking(pair)
    assert counted(pair) == [(1, 0, 1), (1, 1, 0), (1, 1, 0)]
    pair.assert_agreed()
    assert not pair.sql("select from tandem.fund where currency = ''")


def test_verify_finds_a_line_that_counts_a_call_too_many(pair: SettlePair) -> None:
    """Also one without any call, which nothing else would ever put right."""
    talking(pair)
    for fund in (LINE, "line99:"):
        leak(pair, fund, 1)
    differences = pair.verify().differences
    assert [each.partition(":: ")[0] for each in differences] == ["I1: fund line5", "I1: fund line99"]


def test_a_rebuild_counts_lines_and_users_anew(pair: SettlePair) -> None:
    """Those of live calls, as their node tells them; those of calls that are gone are free."""
    pinned = talking(pair)
    found = pair.funds.describe(pinned.rid)
    assert found is not None
    for fund, channels in ((LINE, 4), (USER, -1), ("line99:", 3)):
        leak(pair, fund, channels)
    pair.sql("insert into tandem.node(name, opseq) values ('n1', 1000)")
    pair.redis.execute("DEL", keys.EPOCH)
    with telling_node(pair.redis_url, [known(pinned, found)]):
        pair.once()
    assert pair.is_armed()
    assert counted(pair) == [(1, 0, 1), (1, 1, 0), (1, 1, 0)]
    assert pair.funds.balances(["line99:"])[0].channels == 0
    pair.assert_agreed()


def test_an_emptied_redis_counts_what_the_nodes_tell(pair: SettlePair) -> None:
    """Nothing is left of any fund, nor of who has joined; sync brings terms, the node its call."""
    pinned = talking(pair)
    found = pair.funds.describe(pinned.rid)
    assert found is not None
    pair.sql("insert into tandem.node(name, opseq) values ('n1', 1000)")
    pair.redis.execute("FLUSHALL")
    pair.refill()
    with telling_node(pair.redis_url, [known(pinned, found)], opseq=1000):
        pair.once()
    assert counted(pair) == [(1, 0, 1), (1, 1, 0), (1, 1, 0)]
    pair.assert_agreed()
