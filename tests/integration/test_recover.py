"""A Redis that was rolled back is opened again by an operator: nothing is spent twice, and what is lost is named."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_operations import Late, Unknown
from kemi.records import PinnedCall
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.settle_pair import SettlePair
from tools.errors import OperatorError
from tools.settle.service import connections
from tools.settle.slow import Recovery, Slow

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


def recover(pair: SettlePair) -> Recovery:
    with connections(pair.options()) as parts:
        return Slow(*parts).recover()


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
    with pytest.raises(OperatorError, match="operator must act, it differs from Postgres"):
        pair.once()
    done = recover(pair)
    assert (done.kept, done.voided, done.events_lost) == (1, 1, 0)
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
    assert recover(pair).operations_lost == 2
    end = codec.pack(calls.answered(30, server_id=7))
    (result,) = pair.funds.batch([Late("late", forgotten.rid, 9, codec.pack(forgotten), end)])
    assert not isinstance(result, Unknown)
    pair.once()
    pair.sync()
    pair.assert_agreed()
    assert outcome_of(pair, forgotten) == [("answered", 30)]


def test_a_part_that_redis_forgot_voids_the_hold_and_leaves_a_record(pair: SettlePair) -> None:
    """To go on would charge the part again. The record says unknown_end until the node tells the real one."""
    going_on = talking(pair)
    old = Dump(pair.redis)
    pair.part(going_on, 20)
    pair.once()
    old.restore()
    assert (recover(pair).voided, pair.balance("Alpha").held_micros) == (1, 0)
    assert outcome_of(pair, going_on) == [("unknown_end", 0)]
    end = codec.pack(calls.answered(50, server_id=7))
    pair.funds.batch([Late("late", going_on.rid, 9, codec.pack(going_on), end)])
    pair.once()
    pair.sync()
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
    done = recover(pair)
    assert (done.events_lost, {fund.events_lost for fund in done.funds}) == (2, {1})  # both levels' numbers
    assert pair.sql("select sum(events)::int from tandem.fund_loss") == [(2,)]
    pair.settle(first, 10, seq=3)
    pair.place(5)
    pair.once()
    pair.assert_agreed()
    assert not pair.sql("select from tandem.fund_loss where epoch > %s", done.epoch)


def test_nothing_is_recovered_of_what_works(pair: SettlePair) -> None:
    with pytest.raises(OperatorError, match="nothing is to be recovered: epoch 1 is armed"):
        recover(pair)


def test_a_recovery_that_was_killed_begins_again(pair: SettlePair, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the voiding and before the arming: another run takes a new epoch and comes to the same end."""
    ended = talking(pair)
    old = Dump(pair.redis)
    pair.settle(ended, 30)
    pair.once()
    old.restore()
    with connections(pair.options()) as parts:
        monkeypatch.setattr(parts.cell.funds, "arm", _killed)
        with pytest.raises(KeyboardInterrupt):
            Slow(*parts).recover()
    assert not pair.is_armed()
    recover(pair)
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
    with connections(pair.options()) as parts:
        monkeypatch.setattr(parts.books, "arm", lambda *_: _killed(0))
        with pytest.raises(KeyboardInterrupt):
            Slow(*parts).recover()
    pair.once()
    pair.assert_agreed()
    ((report,),) = pair.sql("select report from tandem.recovery")
    assert (report["operations_lost"], len(report["funds"])) == (6, 2)


def test_a_call_that_cannot_be_read_does_not_stop_a_recovery(pair: SettlePair) -> None:
    """Its bytes are set aside, of a newer release or spoiled; the rest goes on."""
    unread = talking(pair)
    old = Dump(pair.redis)
    pair.part(unread, 10)
    pair.once()
    old.restore()
    key, pinned = keys.reservation(unread.rid), codec.pack(unread)
    packed = pair.redis.execute("GET", key)
    pair.redis.execute("SET", key, packed.removesuffix(pinned) + b"\x91\x01")
    done = recover(pair)
    assert (done.voided, done.unreadable, pair.balance("Alpha").held_micros) == (1, 1, 0)
    (difference,) = pair.verify().differences
    assert f"reservation {unread.rid} was given up at a recovery, and its call cannot be read" in difference


def test_a_running_settle_lets_the_operator_in(pair: SettlePair) -> None:
    """The command beside a settle process, as in the night: JSON in the last line, and settle goes on by itself."""
    ended = talking(pair)
    old = Dump(pair.redis)
    pair.settle(ended, 30)
    pair.once()
    with pair.process():
        old.restore()
        done = command(pair, "--accept-loss", "--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["voided"] == 1
        pair.until_armed()
        pair.place(7)
    pair.once()
    pair.assert_agreed()


def test_the_loss_must_be_accepted(pair: SettlePair) -> None:
    done = command(pair)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("--accept-loss is missing")


def command(pair: SettlePair, *options: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "DATABASE_URL": pair.database.dsn, "REDIS_URL": pair.redis_url}
    words = [sys.executable, "-m", "tools.cli", "recover", *options]
    return subprocess.run(words, env=env, capture_output=True, text=True, timeout=60, check=False)


def _killed(_: int) -> None:
    raise KeyboardInterrupt
