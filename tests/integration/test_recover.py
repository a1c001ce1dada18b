"""A Redis that was rolled back is made right by itself: nothing is spent twice, what is lost is named, all is seen."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Late, Unknown
from kemi.records import PinnedCall
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.redis_server import empty
from tests.settle_pair import SettlePair
from tests.telling_node import known, telling_node
from tools.settle.books import Books
from tools.settle.cell import Cell

CALLS = 1_000
REBUILT_S = 2.0
MONEY = ("fs:*", "r:*", "leases", "events", "opseq")


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, and arm."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


class Dump:
    """What Redis holds of money at one moment, to be put back later as an old dump would."""

    def __init__(self, redis: RedisClient) -> None:
        names = [name for pattern in MONEY for name in redis.execute("KEYS", f"{keys.TAG}{pattern}")]
        self._values = [(name, redis.execute("DUMP", name)) for name in names]
        self._redis = redis

    def restore(self) -> None:
        """Roll Redis back, and close it as a restart does."""
        for pattern in MONEY:
            for name in self._redis.execute("KEYS", f"{keys.TAG}{pattern}"):
                self._redis.execute("DEL", name)
        for name, value in self._values:
            self._redis.execute("RESTORE", name, 0, value)
        self._redis.execute("DEL", keys.EPOCH)


def talking(pair: SettlePair) -> PinnedCall:
    pinned = pair.pinned()
    pair.hold(pinned)
    pair.answer(pinned)
    return pinned


def outcome_of(pair: SettlePair, pinned: PinnedCall) -> list[tuple[str, int]]:
    return [tuple(row) for row in pair.sql("select outcome, billed_s from tandem.cdr where rid = %s", pinned.rid)]


def test_charges_that_postgres_knows_are_charged_again(pair: SettlePair) -> None:
    """The call was settled and posted, then Redis forgot it: its hold goes, its charge and number come back."""
    ended, going_on = talking(pair), talking(pair)
    old = Dump(pair.redis)
    pair.settle(ended, 30)
    pair.once()
    old.restore()
    done = pair.rebuilt()
    assert (done["kept"], done["voided"], done["events_lost"]) == (1, 1, 0)
    assert pair.balance("Alpha").charged_micros == 30_000
    pair.settle(going_on, 60)
    pair.once()
    pair.assert_agreed()
    assert [outcome_of(pair, each) for each in (ended, going_on)] == [[("answered", 30)], [("answered", 60)]]


def test_a_call_that_redis_forgot_is_told_late(pair: SettlePair) -> None:
    """The hold stood only in the lost operations. Its node tells the end, Postgres posts it."""
    old = Dump(pair.redis)
    forgotten = talking(pair)
    pair.once()
    pair.sql("insert into tandem.node(name, opseq) values ('n1', 2)")
    old.restore()
    with telling_node(pair.redis_url):
        assert pair.rebuilt()["operations_lost"] == 2
    end = codec.pack(calls.answered(30, server_id=7))
    (result,) = pair.funds.batch([Late("late", forgotten.rid, 9, codec.pack(forgotten), end)])
    assert not isinstance(result, Unknown)
    pair.once()
    pair.sync()
    pair.assert_agreed()
    assert outcome_of(pair, forgotten) == [("answered", 30)]


def test_a_part_that_redis_forgot_is_not_charged_again(pair: SettlePair) -> None:
    """Its node is silent, so its hold is kept, with the part that Postgres has."""
    going_on = talking(pair)
    old = Dump(pair.redis)
    pair.part(going_on, 20)
    pair.once()
    old.restore()
    done = pair.rebuilt()
    assert (done["kept"], done["amended"], pair.balance("Alpha").held_micros) == (1, 1, 40_000)
    pair.settle(going_on, 50, seq=3)
    pair.once()
    pair.assert_agreed()
    assert outcome_of(pair, going_on) == [("answered", 50)]
    paid = (
        "select -sum(amount_micros)::bigint from tandem.ledger_entry"
        " where book = 'fund' and account_id = %s and rid = %s"
    )
    assert pair.sql(paid, pair.ids["Alpha"], going_on.rid) == [(50_000,)]


def test_events_that_nobody_got_are_written_down_as_lost(pair: SettlePair) -> None:
    """Of two events the second was posted, the first is gone with Redis: its number is given up, once and for all."""
    first, second = talking(pair), talking(pair)
    old = Dump(pair.redis)
    pair.settle(first, 10)
    (entry,) = pair.redis.execute("XRANGE", keys.EVENTS, "-", "+")
    pair.settle(second, 20)
    pair.redis.execute("XDEL", keys.EVENTS, entry[0])
    pair.once()
    old.restore()
    done = pair.rebuilt()
    assert (done["events_lost"], {fund["events_lost"] for fund in done["funds"]}) == (2, {1})  # both levels' numbers
    assert pair.sql("select sum(events)::int from tandem.fund_loss") == [(2,)]
    pair.settle(first, 10, seq=3)
    pair.place(5)
    pair.once()
    pair.assert_agreed()
    assert not pair.sql("select from tandem.fund_loss where epoch > %s", done["epoch"])


def test_a_recovery_that_was_killed_begins_again(pair: SettlePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the voiding and before the arming: another run takes a new epoch and comes to the same end."""
    ended = talking(pair)
    old = Dump(pair.redis)
    pair.settle(ended, 30)
    pair.once()
    old.restore()
    with dying_in(monkeypatch, Funds, "arm"), pytest.raises(KeyboardInterrupt):
        pair.once()
    assert not pair.is_armed()
    pair.once()
    pair.assert_agreed()
    assert (pair.balance("Alpha").charged_micros, pair.balance("Alpha").held_micros) == (30_000, 0)


def test_a_recovery_that_dies_before_the_arming_loses_no_report(
    pair: SettlePair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis is as it must be then, so settlement may open it by itself; what was lost stands in Postgres."""
    talking(pair)
    old = Dump(pair.redis)
    pair.redis.execute("HSET", keys.NODES, "n1", 1)
    for talk_s in (10, 20):
        pair.place(talk_s)
    pair.once()
    old.restore()
    with telling_node(pair.redis_url), dying_in(monkeypatch, Books, "arm"), pytest.raises(KeyboardInterrupt):
        pair.once()
    pair.once()
    pair.assert_agreed()
    ((report,),) = pair.sql("select report from tandem.recovery")
    assert (report["operations_lost"], len(report["funds"])) == (6, 2)


def test_a_call_that_cannot_be_read_does_not_stop_a_recovery(pair: SettlePair) -> None:
    """Its bytes are set aside, of a newer release or spoiled; the rest goes on."""
    unread = talking(pair)
    old = Dump(pair.redis)
    pair.part(unread, 10)
    pair.once()  # so that Redis has another part of it than Postgres
    old.restore()
    key, pinned = keys.reservation(unread.rid), codec.pack(unread)
    packed = pair.redis.execute("GET", key)
    pair.redis.execute("SET", key, packed.removesuffix(pinned) + b"\x91\x01")
    done = pair.rebuilt()
    assert (done["voided"], done["unreadable"], pair.balance("Alpha").held_micros) == (1, 1, 0)
    (difference,) = pair.verify().differences
    assert f"reservation {unread.rid} was given up at a recovery, and its call cannot be read" in difference


@pytest.mark.parametrize("died_in", ["call_nodes", "restore", "void", "recount", "raise_opseq", "dismiss_nodes"])
def test_a_rebuild_that_was_killed_anywhere_begins_again(
    pair: SettlePair, monkeypatch: pytest.MonkeyPatch, died_in: str
) -> None:
    """Another process takes a new epoch and comes to the same end, whatever was half done."""
    ended, going_on = talking(pair), talking(pair)
    told = [known(going_on, found) for found in pair.funds.described([going_on.rid]).values()]
    old = Dump(pair.redis)
    pair.part(ended, 10)
    pair.settle(ended, 30, seq=3)
    pair.once()
    old.restore()
    pair.sql("insert into tandem.node(name, last_seen, opseq) values ('n1', now(), 100)")
    with telling_node(pair.redis_url, told):
        with dying_in(monkeypatch, Cell, died_in), pytest.raises(KeyboardInterrupt):
            pair.once()
        assert not pair.is_armed()
        pair.once()
    assert (pair.balance("Alpha").charged_micros, pair.balance("Alpha").held_micros) == (30_000, 60_000)
    pair.settle(going_on, 60)
    pair.once()
    pair.assert_agreed()


def test_a_running_settle_needs_nobody(pair: SettlePair) -> None:
    """Rolled back under a settle process: calls are taken again, and the command shows what was done."""
    ended = talking(pair)
    old = Dump(pair.redis)
    pair.settle(ended, 30)
    pair.once()
    with pair.process():
        old.restore()
        done = command(pair, "--watch")
        assert done.returncode == 0, done.stderr
        pair.until_armed()
        pair.place(7)
    pair.once()
    pair.assert_agreed()
    said = command(pair).stdout
    assert "1 open calls were given up" in said
    assert said.endswith("epoch 2 is armed\n")
    shown = json.loads(command(pair, "--json").stdout)
    assert (shown["epoch"], shown["state"], [report["voided"] for report in shown["lost"]]) == (2, "armed", [1])
    assert [step["step"] for step in shown["steps"]][:3] == ["begun", "read", "slow"]


def test_a_thousand_live_calls_are_told_in_time(pair: SettlePair) -> None:
    """Redis emptied, everybody alive: from its answer to the opening two seconds at most, on an idle machine."""
    pair.sql("select tandem.topup_v1(%s, 100000000, 'cash', 'test')", pair.ids["Alpha"])
    pair.sync()
    told = []
    for _ in range(CALLS):
        pinned = pair.pinned()
        pair.hold(pinned)
        told += [known(pinned, found) for found in pair.funds.described([pinned.rid]).values()]
    pair.sql("insert into tandem.node(name, last_seen, opseq) values ('n1', now(), %s)", CALLS)
    empty(pair.redis)
    pair.refill()
    with telling_node(pair.redis_url, told, opseq=CALLS):
        began_s = time.monotonic()
        done = pair.rebuilt()
        took_s = time.monotonic() - began_s
    print(f"{CALLS} calls told, armed after {took_s:.2f} s")  # noqa: T201  the figure
    assert (done["told"], done["operations_lost"]) == (CALLS, CALLS)
    assert pair.balance("Alpha").channels == CALLS
    assert took_s < 3 * REBUILT_S  # of a machine that others use too
    pair.assert_agreed()


def command(pair: SettlePair, *options: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DATABASE_URL": pair.database.dsn, "REDIS_URL": pair.redis_url}
    words = [sys.executable, "-m", "tools.cli", "recover", *options]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


@contextmanager
def dying_in(monkeypatch: pytest.MonkeyPatch, owner: type, method: str) -> Iterator[None]:
    """Let a process that comes to a method die before it."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(owner, method, killed)
        yield
