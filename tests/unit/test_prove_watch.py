"""The witness of `make prove-money` reads the log of Redis: every forbidden grant in it is seen, a cut is clean."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemi import codec, keys
from kemi.adapters.redis_operations import FUND_STATE, FundTerms
from kemi.records import Status
from tests.fakes import calls
from tools.prove import aof, plan
from tools.prove.watch import Watch

FUND = "11:EUR"


def command(*words: str | bytes) -> bytes:
    parts = [word.encode() if isinstance(word, str) else word for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)


def state(charged: int = 0, held: int = 0, channels: int = 0) -> bytes:
    return command("MSET", keys.OPSEQ, "1", keys.fund_state(FUND), FUND_STATE.pack(1, charged, held, channels, 0, 0, 0))


def terms(cred: int, limit: int = 0, status: int = Status.ACTIVE, channels_max: int = 0) -> bytes:
    return command("SET", keys.fund_terms(FUND), codec.pack(FundTerms(1, cred, limit, status, channels_max)))


ARM = command("SET", keys.EPOCH, "1")


def watch(*log: bytes) -> Watch:
    made = Watch()
    made.take(aof.commands(b"".join(log)))
    return made


def test_a_grant_that_is_paid_for_passes() -> None:
    made = watch(ARM, terms(1_000), state(held=1_000, channels=1), state(charged=900))
    assert (made.breaches, made.grants) == ([], 1)


def test_a_grant_beyond_the_money_is_seen() -> None:
    (breach,) = watch(ARM, terms(1_000), state(charged=600, held=450)).breaches
    assert (breach.fund, breach.micros) == (FUND, 50)


def test_a_credit_limit_counts_and_none_is_no_limit() -> None:
    assert watch(ARM, terms(1_000, 50), state(held=1_050)).breaches == []
    assert watch(ARM, terms(0, -1), state(held=10**12)).breaches == []


def test_a_charge_that_grants_nothing_may_leave_a_lowered_limit_behind() -> None:
    """A debit came after the hold: what was granted before it is no overdraft."""
    assert watch(ARM, terms(1_000), state(held=900), terms(100), state(charged=900)).breaches == []


def test_a_grant_beyond_the_channels_or_to_a_suspended_fund_is_seen() -> None:
    (full,) = watch(ARM, terms(1_000, 0, Status.ACTIVE, 1), state(channels=1), state(channels=2)).breaches
    assert full.what == "2 channels of 1"
    (suspended,) = watch(ARM, terms(1_000, 0, Status.SUSPENDED), state(channels=1)).breaches
    assert suspended.what == "granted though it is not active"


def test_what_is_restored_before_arming_is_no_grant() -> None:
    assert watch(ARM, terms(100), command("DEL", keys.EPOCH), state(charged=500), ARM).breaches == []


def test_a_transaction_without_its_end_did_not_happen() -> None:
    made = watch(ARM, terms(100), command("MULTI"), state(held=500))
    assert made.breaches == []
    made.take(aof.commands(command("EXEC")))
    assert [breach.micros for breach in made.breaches] == [400]


def test_ends_behind_a_cut_are_taken_back() -> None:
    settled = calls.settled(calls.call("c1", []), calls.answered(1), seq=2)
    log = command("XADD", keys.EVENTS, "*", "e", codec.pack(settled))
    made = watch(log)
    assert made.ended == {"c1": [2]}
    made.rolled_back(len(log) - 1)
    assert (made.ended, made.cut) == ({"c1": []}, {"c1": [2]})


def test_a_file_is_cut_at_the_end_of_a_command(tmp_path: Path) -> None:
    """Never inside one; `sound` is where the last whole transaction ends, which is what Redis keeps."""
    first, begin, second = command("SET", "a", "1"), command("MULTI"), command("SET", "b", "2")
    path = tmp_path / "appendonly.aof.1.incr.aof"
    for wanted in range(len(first) + 1, len(first + begin + second) + 1):
        path.write_bytes(first + begin + second + command("EXEC"))
        done = aof.cut(path, 0, wanted)
        assert done.sound == len(first)
        assert done.at in {len(first + begin), len(first + begin + second)}
        assert path.stat().st_size == done.at >= wanted


def test_a_file_is_followed_over_its_rewriting(tmp_path: Path) -> None:
    old, new = tmp_path / "appendonly.aof.1.incr.aof", tmp_path / "appendonly.aof.2.incr.aof"
    old.write_bytes(command("SET", "a", "1") + command("SET", "b", "2")[:-3])
    tail = aof.Tail(tmp_path)
    assert [words for words, _ in tail.fresh()] == [[b"SET", b"a", b"1"]]
    old.write_bytes(command("SET", "a", "1") + command("SET", "b", "2"))
    new.write_bytes(command("SET", "c", "3"))
    old.unlink()
    assert tail.newer()
    tail.move_on()
    assert [words for words, _ in tail.fresh()] == [[b"SET", b"c", b"3"]]
    tail.close()


def test_bytes_that_are_no_command_are_refused() -> None:
    with pytest.raises(aof.TornFileError):
        list(aof.commands(command("SET", "a", "1"), 3))


def test_a_plan_follows_from_its_seed_alone() -> None:
    assert plan.plan(7, 100_000, 4, 2) == plan.plan(7, 100_000, 4, 2) != plan.plan(8, 100_000, 4, 2)


def test_a_plan_kills_everything_and_cuts_at_most_two_seconds() -> None:
    blows = plan.plan(7, 10_000, 4, 2)
    assert {blow.kind for blow in blows} == {plan.CLIENT, plan.CONSUMER, plan.SYNC, plan.REDIS, plan.CUT}
    assert all(0 <= blow.cut_ms <= 2_000 and 0 < blow.at_ops < 10_000 for blow in blows)
