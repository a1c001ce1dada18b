"""Nights of Redis, Postgres and what stands between them, as NOC.md has them, gone through by the page's own lines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Final

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import Database
from tests.kamailio_node import Node, running_kamailio
from tests.nights import Night, night
from tests.redis_server import TIMEOUT_MS, MortalRedis, RedisServer, mortal_redis
from tests.settle_pair import SettlePair
from tests.sip import Endpoint, dial

MANY: Final = """
insert into tandem.number(e164, account_id)
select (49301000 + n)::text, (select id from tandem.account where name = 'Alpha') from generate_series(1, 1199) n
"""
LINE: Final = """
select world.domain('a.example', 'North');
select world.subscriber('alice@a.example', 'Alpha', 'correct horse', '442079460001');
"""
UNSEEN: Final = "set session_replication_role = replica"  # as replicated writes: no trigger tells the outbox


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, and arm."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def rehearsed(title: str, pair: SettlePair, node: Node | None = None, **words: str) -> AbstractContextManager[Night]:
    env = {"DATABASE_URL": pair.database.dsn, "REDIS_URL": pair.redis_url, "TANDEM_SLICE_S": "2", "TANDEM_GRACE_S": "1"}
    return night(title, env | ({"TANDEM_CTL": f"unix:{node.ctl}"} if node else {}), **words)


def answered(node: Node) -> int:
    """Return the status of a call of nobody known: 503 while no calls are taken."""
    with Endpoint(node.address) as phone:
        text = phone.request("INVITE", "sip:100@else.example", caller="sip:100@else.example")
        phone.send(text)
        final = phone.final()
        phone.ack(text, final)
        return final.status


@pytest.fixture
def mortal() -> Iterator[MortalRedis]:
    """Run a Redis of this test's own."""
    with mortal_redis() as redis:
        yield redis


def outcome(node: Node, carrier: Endpoint | None = None) -> int:
    """Return how a call ends. carrier: who gets it, and is busy; None = nobody."""
    with Endpoint(node.address, "127.0.0.2") as phone:
        call = dial(phone, "442071234567@a.example")
        if carrier is not None:
            invite = carrier.wait_request("INVITE")
            carrier.send(carrier.reply(invite, 486, "Busy Here"), node.address)
            carrier.wait_request("ACK")
        final = call.final()
        phone.ack(call.invite, final)
        return final.status


def test_redis_is_gone_or_failed_over(database: Database, mortal: MortalRedis) -> None:
    """It dies under a node and comes back empty: no call is taken until settlement has made it equal to the ledger."""
    client = RedisClient(mortal.url, TIMEOUT_MS)
    pair = SettlePair(database, client, mortal.url)
    with (
        Endpoint(("127.0.0.1", 9), "127.0.0.11") as acme,
        running_kamailio(mortal.worker_url) as node,
        rehearsed("Redis is gone, or failed over", pair, node) as bad,
    ):
        pair.sql(LINE)
        pair.sql("select world.carrier('acme', %s::inet, %s, '44', '0.012')", acme.host, acme.port)
        pair.sync()
        pair.once()
        pair.place(30)
        pair.once()
        assert outcome(node, acme) == 486
        mortal.kill()
        bad.shows("noc status", "store down", status=None)
        assert answered(node) == 503

        shutil.rmtree(mortal.socket.parent / "appendonlydir")
        mortal.start()
        pair.refill()
        bad.shows("noc status", "store up", status=None)
        assert outcome(node) == 503
        with pair.process(TANDEM_SLICE_S="2", TANDEM_GRACE_S="1"):
            bad.shows("recover", "epoch 2 is armed")
            bad.shows("noc status", "spool 0", status=None)
            assert outcome(node, acme) == 486
            bad.shows("settle --verify", "0 differences")
    client.close()


def test_the_configuration_stands_still(pair: SettlePair, redis_server: RedisServer) -> None:
    """The syncer is dead; the next one finds that a lot would go, and waits for a person."""
    pair.sql(MANY)
    pair.sync()
    with (
        running_kamailio(redis_server.worker_url) as node,
        rehearsed("The configuration stands still", pair, node) as bad,
    ):
        bad.shows("noc status", "ALARM: the configuration is frozen", status=1)
        pair.sql(UNSEEN)
        pair.sql("delete from tandem.number where e164 like '4930%'")
        pair.sql("reset session_replication_role")
        with bad.started("sync"):
            page = bad.shows("noc status", "ALARM: changes are held back", status=1)
            assert "frozen, " not in page
            bad.run("sync --once --yes")
            bad.shows("noc status", "live")
        assert "0 differences" in bad.run("sync --verify")


def test_settlement_is_behind(pair: SettlePair) -> None:
    """Calls end, and nobody posts them, until settlement is started."""
    with rehearsed("Settlement is behind", pair) as bad:
        with pair.process():
            bad.shows("noc money", "0 s ago")
        for _ in range(3):
            pair.place(30)
        now_s = int(pair.redis.execute("TIME")[0])
        pair.redis.execute("HSET", keys.SETTLED, "at_ms", (now_s - 3_600) * 1_000)  # an hour passes
        bad.shows("noc money", "ALARM: the last comparison is 36", status=1)
        assert pair.posted() == 0
        with bad.started("settle"):
            pair.until_posted(3)
            bad.shows("noc money", "events of calls that wait to be posted 0")
        assert "0 differences" in bad.run("settle --verify")


def test_a_bill_is_disputed(pair: SettlePair) -> None:
    """The call and its price are found by Call-ID, in the books too, and the customer gets the money back once."""
    pinned = pair.place(30)
    pair.once()
    with rehearsed(
        "A bill is disputed", pair, call_id=pinned.call_id, account="Alpha", day="2020-01-01", amount="0.03"
    ) as bad:
        told = bad.run("explain")
        assert "0.03" in told
        assert "19.97" in bad.run("account statement")
        assert "-0.03" in bad.run("account entries")
        assert "0 differences" in bad.run("settle --verify")
        assert "19.97 → 20.00 EUR" in bad.run("account credit")
        assert "this request was posted before and moves nothing" in bad.run("account credit")
        assert "20.00" in bad.run("account statement")
        pair.sync()
        assert "0 differences" in bad.run("settle --verify")
