"""Laws of the money functions under any interleaving, on the fake and on real Redis.

I1: a fund's hold and channels are those of its open reservations. I2: its charges are the sum of its events, whose
numbers have no gaps. I4: every grant is an open or an ended reservation. A grant never overdraws, and takes the
largest row that the poorest level pays.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kemi import codec
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import (
    Answer,
    Applied,
    Extend,
    FundTerms,
    Held,
    Late,
    Operation,
    Refused,
    Release,
    Replayed,
    Settle,
    Unknown,
    Void,
)
from kemi.core.outcome import HoldRow
from tests.funds_bench import Bench, FakeBench, RedisBench, ended, hold, pinned
from tests.redis_server import empty

FUNDS = ("1:EUR", "2:EUR", "3:EUR")
SLICE_S = 60
OPS_KEPT = 4

chains = st.sets(st.sampled_from(FUNDS), min_size=1).map(sorted)
prices = st.integers(0, 40)
picks = st.integers(0, 10**6)


class Call(NamedTuple):
    """What the model knows of a reservation. per_min: price of a minute per fund. done: operations, oldest first."""

    funds: tuple[str, ...]
    per_min: tuple[int, ...]
    granted_s: int
    held: tuple[int, ...]
    seq: int
    is_open: bool
    done: tuple[tuple[Operation, int], ...] = ()


class FundsMachine(RuleBasedStateMachine):
    """Random calls over three funds. The model holds what each answer implies and compares it with the balances."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.terms = {fund: FundTerms(1, 100, 50) for fund in FUNDS}
        self.calls: dict[str, Call] = {}
        self.grants = 0
        for fund, terms in self.terms.items():
            bench.set_terms(fund, terms)

    def available(self, fund: str) -> int:
        """Return what the fund can spend by its own balance."""
        terms, found = self.terms[fund], self.bench.funds.balances([fund])[0]
        return terms.cred_micros + terms.credit_limit_micros - found.charged_micros - found.held_micros

    def schedule(self, call: Call, minutes: int) -> tuple[HoldRow, ...]:
        """Return rows of whole minutes beyond those granted."""
        first = call.granted_s // SLICE_S
        return tuple(
            HoldRow(minute * SLICE_S, tuple(price * minute for price in call.per_min))
            for minute in range(first + 1, first + 1 + minutes)
        )

    def expected(self, call: Call, rows: tuple[HoldRow, ...]) -> HoldRow | None:
        """Return the largest row whose every price is free or within what its fund can spend beyond the hold."""
        free = [self.available(fund) for fund in call.funds]
        for row in reversed(rows):
            more = [price - held for price, held in zip(row.price_micros, call.held, strict=True)]
            if all(part <= max(0, left) for part, left in zip(more, free, strict=True)):
                return row
        return None

    def open_call(self, pick: int) -> str | None:
        """Name one of the open calls."""
        names = [rid for rid, call in self.calls.items() if call.is_open]
        return names[pick % len(names)] if names else None

    def apply(self, operation: Operation) -> None:
        """Apply an operation of an open call and note its answer."""
        (got,) = self.bench.funds.batch([operation])
        assert isinstance(got, Applied)
        call = self.calls[operation.rid]
        done = (*call.done, (operation, got.granted_s))
        self.calls[operation.rid] = call._replace(granted_s=got.granted_s, seq=call.seq + 1, done=done)

    @rule(funds=chains, data=st.lists(prices, min_size=3, max_size=3), minutes=st.integers(1, 5))
    def reserve(self, funds: list[str], data: list[int], minutes: int) -> None:
        """Ask for a call: exactly the largest payable row is granted, or none where even the first is too dear."""
        rid = f"r{len(self.calls)}-{self.grants}"
        call = Call(tuple(funds), tuple(data[: len(funds)]), 0, (0,) * len(funds), 0, is_open=True)
        rows = self.schedule(call, minutes)
        row = self.expected(call, rows)
        wanted = hold(*funds, rows=tuple((each.talk_s, *each.price_micros) for each in rows))
        got = self.bench.funds.reserve(f"{rid}:0", rid, wanted, 60, 0, codec.pack(pinned(rid)))
        if row is None:
            assert isinstance(got, Refused)
            assert got.reason == "credit"
            return
        assert isinstance(got, Held)
        assert got.granted_s == row.talk_s
        self.grants += 1
        self.calls[rid] = call._replace(granted_s=row.talk_s, held=row.price_micros)

    @rule(pick=picks)
    def answer(self, pick: int) -> None:
        """Answer an open call; nothing moves."""
        rid = self.open_call(pick)
        if rid:
            seq = self.calls[rid].seq + 1
            self.apply(Answer(f"{rid}:{seq}", rid, seq, 60))

    @rule(pick=picks, minutes=st.integers(1, 5))
    def extend(self, pick: int, minutes: int) -> None:
        """Extend an open call: exactly the largest payable row beyond its hold, or it keeps what it has."""
        rid = self.open_call(pick)
        if not rid:
            return
        call = self.calls[rid]
        rows = self.schedule(call, minutes)
        row = self.expected(call, rows) or HoldRow(call.granted_s, call.held)
        self.apply(Extend(f"{rid}:{call.seq + 1}", rid, call.seq + 1, rows, 60))
        assert self.calls[rid].granted_s == row.talk_s
        self.calls[rid] = self.calls[rid]._replace(held=row.price_micros)

    @rule(pick=picks, share=st.integers(0, 100))
    def settle(self, pick: int, share: int) -> None:
        """End an open call, which pays a part of its hold."""
        rid = self.open_call(pick)
        if rid:
            call = self.calls[rid]
            charge = tuple(held * share // 100 for held in call.held)
            billed_s = call.granted_s * share // 100
            self.apply(Settle(f"{rid}:{call.seq + 1}", rid, call.seq + 1, billed_s, charge, ended()))
            self.calls[rid] = self.calls[rid]._replace(is_open=False)

    @rule(pick=picks)
    def release(self, pick: int) -> None:
        """End an open call, which pays nothing."""
        rid = self.open_call(pick)
        if rid:
            call = self.calls[rid]
            self.apply(Release(f"{rid}:{call.seq + 1}", rid, call.seq + 1, ended("cancelled")))
            self.calls[rid] = self.calls[rid]._replace(is_open=False)

    @rule(pick=picks)
    def repeat(self, pick: int) -> None:
        """Repeat any of the last operations: it gets its first answer."""
        done = [each for call in self.calls.values() for each in call.done[-OPS_KEPT:]]
        if done:
            operation, granted_s = done[pick % len(done)]
            (got,) = self.bench.funds.batch([operation])
            assert isinstance(got, Replayed)
            assert got.granted_s == granted_s

    @rule(pick=picks)
    def reserve_again(self, pick: int) -> None:
        """Repeat a reserve: nothing more is held; its first grant while open, void afterwards."""
        if self.calls:
            rid = sorted(self.calls)[pick % len(self.calls)]
            call = self.calls[rid]
            rows = tuple((row.talk_s, *row.price_micros) for row in self.schedule(call, 1))
            wanted = hold(*call.funds, rows=rows)
            got = self.bench.funds.reserve(f"{rid}:0", rid, wanted, 60, 0, codec.pack(pinned(rid)))
            assert isinstance(got, Held if call.is_open else Void)

    @rule(fund=st.sampled_from(FUNDS), amount=st.integers(-100, 200), limit=st.integers(0, 100))
    def top_up(self, fund: str, amount: int, limit: int) -> None:
        """Postgres posts money or corrects it, and sets another limit; a fund may become overdrawn by that alone."""
        before = self.terms[fund]
        self.terms[fund] = FundTerms(before.cver + 1, before.cred_micros + amount, limit)
        self.bench.set_terms(fund, self.terms[fund])

    @rule(known=st.booleans())
    def release_a_stranger(self, *, known: bool) -> None:
        """Release what was never held; the reserve that comes too late is void."""
        rid = f"late-{known}"
        (got,) = self.bench.funds.batch([Release(f"{rid}:1", rid, 1, ended("failed"))])
        assert isinstance(got, Unknown)
        late = self.bench.funds.reserve(
            f"{rid}:0", rid, hold(*FUNDS, rows=((60, 1, 1, 1),)), 60, 0, codec.pack(pinned(rid))
        )
        assert isinstance(late, Void)

    @rule(pick=picks)
    def late(self, pick: int) -> None:
        """Tell of a late end: once, and neither holds nor charges move."""
        if not self.calls:
            return
        rid = list(self.calls)[pick % len(self.calls)]
        call = self.calls[rid]
        end = Late(f"{rid}:{call.seq + 1}", rid, call.seq + 1, codec.pack(pinned(rid)), ended())
        assert [type(got) for got in self.bench.funds.batch([end, end])] == [Applied, Replayed]
        self.calls[rid] = call._replace(seq=call.seq + 1, done=(*call.done, (end, call.granted_s)))

    @invariant()
    def holds_are_those_of_open_calls(self) -> None:
        """I1."""
        for found in self.bench.funds.balances(FUNDS):
            of_fund = [call for call in self.calls.values() if call.is_open and found.fund in call.funds]
            assert found.held_micros == sum(call.held[call.funds.index(found.fund)] for call in of_fund)
            assert found.channels == len(of_fund)

    @invariant()
    def charges_are_the_sum_of_events(self) -> None:
        """I2: exact sums, numbers without gaps, running totals that agree."""
        postings = [posting for event in self.bench.events() for posting in event.postings]
        for found in self.bench.funds.balances(FUNDS):
            own = [posting for posting in postings if posting.fund == found.fund]
            assert [posting.n for posting in own] == list(range(1, found.n + 1))
            total = 0
            for posting in own:
                total += posting.amount_micros
                assert posting.charged_micros == total
            assert found.charged_micros == total

    @invariant()
    def grants_are_open_or_ended(self) -> None:
        """I4: each grant is a lease or one event of its end, never both."""
        leases = [rid for rid, call in self.calls.items() if call.is_open]
        told = [event.rid for event in self.bench.events() if event.kind != "late"]
        assert sorted([*leases, *told]) == sorted(self.calls)
        assert self.grants == len(self.calls)


def run(make: Callable[[], Bench], examples: int) -> None:
    """Run the machine. `make` gives an empty store."""

    class Bound(FundsMachine):
        def __init__(self) -> None:
            super().__init__(make())

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=examples,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_the_laws_hold_in_the_fake() -> None:
    """The fake keeps I1, I2, I4 and the bounds of a grant."""
    run(FakeBench, 100)


def test_the_laws_hold_in_redis(redis_client: RedisClient, redis_worker_url: str) -> None:
    """Real Redis keeps I1, I2, I4 and the bounds of a grant."""
    worker = RedisClient(redis_worker_url, 2_000)

    def make() -> Bench:
        empty(redis_client)
        return RedisBench(redis_client, worker)

    try:
        run(make, 40)
    finally:
        worker.close()


@pytest.mark.parametrize("law", ["holds_are_those_of_open_calls", "charges_are_the_sum_of_events"])
def test_the_laws_notice_a_wrong_balance(law: str) -> None:
    """A micro too much in one sum is found: the invariants are able to fail."""
    bench = FakeBench()
    machine = FundsMachine(bench)
    machine.reserve(["1:EUR"], [10, 0, 0], 2)
    machine.settle(0, 50)
    machine.reserve(["1:EUR"], [10, 0, 0], 2)
    getattr(machine, law)()
    for state in bench.funds.states.values():
        state.held += 1
        state.charged += 1
    with pytest.raises(AssertionError):
        getattr(machine, law)()
