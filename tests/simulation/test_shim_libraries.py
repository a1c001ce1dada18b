"""Our libraries do the same in the simulated Redis as in the real one, and keep the contract of the money functions."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Final

import pytest

from kemi import codec, keys
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import (
    Adopt,
    Answer,
    Extend,
    FundTerms,
    Late,
    Note,
    Operation,
    Part,
    Release,
    Settle,
)
from kemi.core.outcome import IN, OUT, HoldRow
from kemi.records import Window
from tests.contract import test_funds, test_funds_life
from tests.funds_bench import ended, hold, pinned
from tests.property import test_funds_machine
from tests.simulation.shim_bench import Pair, ShimBench

FUNDS: Final = ("1:EUR", "2:EUR")


@pytest.fixture
def bench() -> ShimBench:
    """Offer the simulated Redis to the tests of the contract below."""
    return ShimBench()


# The very tests that hold the real Redis and the fake to the contract, here with the fixture above.
globals().update(
    (name, test)
    for module in (test_funds, test_funds_life)
    for name, test in vars(module).items()
    if name.startswith("test_")
)


def test_the_laws_hold_in_the_simulated_redis() -> None:
    """I1, I2, I4 and the bounds of a grant, under random interleavings."""
    test_funds_machine.run(ShimBench, 20)


def operation(rng: random.Random, rid: str) -> Operation:
    """Return any operation on a reservation, often an impossible one."""
    seq = rng.randrange(-1, 7)
    op_id = f"{rid}:{seq}"
    rows = tuple(HoldRow(60 * at, (rng.randrange(60) * at, 40 * at)) for at in range(1, rng.randrange(1, 5)))
    prices = (rng.randrange(-1, 90), rng.randrange(90))
    choices: tuple[Operation, ...] = (
        Answer(op_id, rid, seq, 60, rng.randrange(-1, 3), rng.randrange(-1, 9), rng.choice((b"", b"legs"))),
        Adopt(op_id, rid, seq, rng.choice((60, -100))),
        Extend(op_id, rid, seq, rows, 60),
        Part(op_id, rid, seq, rng.randrange(90), prices, ended()),
        Settle(op_id, rid, seq, rng.randrange(90), prices, ended()),
        Release(op_id, rid, seq, ended()),
        Late(op_id, rid, seq, codec.pack(pinned(rid)), ended()),
        Note(f"{rid}:note", rid, codec.pack(pinned(rid)), rng.choice((ended(), b"\xc0"))),
    )
    return rng.choice(choices)


@pytest.mark.parametrize("seed", range(3))
def test_the_libraries_answer_alike(pair: Pair, seed: int) -> None:
    """Random money and configuration, armed and not: same answers, same balances, same reservations, same events."""
    rng = random.Random(seed)  # noqa: S311  reproducible, not secret
    for step in range(250):
        rid = f"r{rng.randrange(8)}"
        act = rng.randrange(12)
        if step % 100 == 0:
            agree(pair, partial(Funds.arm, epoch=1 + step), "arm")
        elif act == 0:
            change(pair, rng, step)
        elif act < 4:
            ask(pair, rng, rid)
        else:
            what = operation(rng, rid)
            agree(pair, partial(Funds.batch, operations=[what]), what)
            agree(pair, partial(described, rid=rid), rid)
    agree(pair, lambda funds: funds.balances(FUNDS), "balances")
    agree(pair, lambda funds: sorted(funds.of_node().rids), "open reservations")
    agree(pair, lambda funds: funds.status(), "status")
    assert pair.events(0) == pair.events(1)


def agree(pair: Pair, work: Callable[[Funds], object], what: object) -> None:
    """Do `work` with the functions of both."""
    pair.agree(lambda at: work(pair.asks[at]), what)


def ask(pair: Pair, rng: random.Random, rid: str) -> None:
    """Place a call."""
    rows = ((30, 20, 10), (60, 40, 20), (90, 70, 30))
    wanted = hold(*FUNDS, rows=rows, used=("tar:1",), sides=rng.choice((OUT, IN, OUT | IN)))
    seen = rng.choice((pass_(pair), pass_(pair), 1))
    call = codec.pack(pinned(rid))
    agree(pair, lambda funds: funds.reserve(f"{rid}:0", rid, wanted, 60, seen, call), rid)


def change(pair: Pair, rng: random.Random, step: int) -> None:
    """Let the sync bring something."""
    terms = FundTerms(step, rng.randrange(-50, 900), rng.choice((0, 50, -1)), rng.choice((0, 0, 1)))
    terms = terms._replace(channels_out_max=rng.choice((0, 2)), channels_in_max=rng.choice((0, 2)))
    if rng.random() < 0.5:  # one window is over, the next is not
        days = (Window(step // 50, 1), Window(step // 50 + 1, 2**50))
        terms = terms._replace(
            day_max_micros=rng.choice((0, 90, 900)), month_max_micros=600, days=days, months=days[1:]
        )
    packed = codec.pack(terms)
    pair.same("FCALL", "tandem_apply_1", 1, keys.fund_terms(rng.choice(FUNDS)), 1, step, step + 1, packed)
    pair.same("FCALL", "tandem_apply_1", 1, keys.config("tar:1"), 1, pass_(pair), pass_(pair) + 1, record(step))
    pair.same("FCALL", "tandem_commit_pass_1", 0, 1, pass_(pair), "m", "")
    pair.same("FCALL", "tandem_fetch_1", 0, rng.randrange(9), "4420", "tar:1", "tar:2")


def pass_(pair: Pair) -> int:
    return int(pair.clients[1].execute("GET", keys.PASS) or 0)


def record(step: int) -> bytes:
    return codec.pack_config(step, [1, 5, "t", "EUR", 7])


def described(funds: Funds, rid: str) -> object:
    """Return a reservation; its times only as far as both clocks agree, to a few seconds."""
    found = funds.describe(rid)
    return found and found._replace(lease_ms=found.lease_ms // 30_000, answered_ms=found.answered_ms > 0)
