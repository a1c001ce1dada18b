"""Laws of the money functions under any interleaving, on the fake and on real Redis.

I1: a fund's hold and channels are those of its open reservations. I2: its charges are the sum of its events, whose
numbers have no gaps. I4: every grant is an open or an ended reservation. A grant breaks no limit at any level, and
takes the largest row that all levels can pay; a refusal names the first level that refuses, and why.
All of it also after the store has lost everything, or what happened since an old dump, and was made right from what
Postgres and the nodes know: no operation counts twice, and no call that goes on is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from kemi import codec
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import (
    Adopt,
    Answer,
    Applied,
    Extend,
    FundTerms,
    Held,
    Invalid,
    Late,
    Operation,
    Part,
    Refused,
    Release,
    Replayed,
    Settle,
    Unknown,
    Void,
)
from kemi.records import Opening, Window
from tests.funds_bench import NODE, Bench, FakeBench, RedisBench, ended, hold, pinned
from tests.property.funds_asked import (
    ALL,
    COUNTERS,
    FAR_MS,
    FUNDS,
    NODES,
    account_of,
    all_sides,
    asked,
    caps,
    chains,
    few,
    hold_of,
    joins,
    nodes,
    openings,
    picks,
    price_of,
    prices,
    schedule,
    turns,
)
from tests.property.funds_loss import OPS_KEPT, Office
from tests.property.funds_model import Call, Model
from tests.redis_server import empty


class FundsMachine(RuleBasedStateMachine):
    """Random calls over three funds. The model holds what each answer implies and compares it with the balances."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench = bench
        self.model = Model({fund: FundTerms(1, 100, 50) for fund in FUNDS}, COUNTERS)
        self.grants = 0
        for fund, terms in self.model.given.items():
            bench.set_terms(fund, terms)
        self.office = Office(bench, self.model)

    def open_call(self, pick: int) -> str:
        """Name one of the open calls, "" when there is none."""
        names = [rid for rid, call in self.model.calls.items() if call.is_open]
        return names[pick % len(names)] if names else ""

    def apply(self, node: str, operation: Operation) -> Call:
        """Apply an operation of an open call and note its answer."""
        (got,) = self.bench.batch_of(node, [operation])
        assert isinstance(got, Applied)
        call = self.model.calls[operation.rid]
        done = (*call.done, (node, operation, got.granted_s))
        return call._replace(granted_s=got.granted_s, seq=call.seq + 1, done=done)

    @rule(funds=chains, data=prices, sides=all_sides, minutes=st.integers(1, 5), asks=asked, groups=turns)
    def reserve(
        self,
        funds: list[str],
        data: list[int],
        sides: list[int],
        minutes: int,
        asks: Sequence[str] = (),
        groups: Sequence[int] = (),
    ) -> None:
        """Ask for a call: exactly the largest payable row is granted, or the first level that refuses is named.

        What it tells of others is as of the moment before, and only who is held takes turns.
        """
        rid, count = f"r{len(self.model.calls)}-{self.grants}", len(funds)
        nothing = (0,) * count
        per_min = tuple(0 if fund in COUNTERS else price for fund, price in zip(funds, data, strict=False))
        call = Call(tuple(funds), tuple(sides[:count]), per_min, 0, nothing, nothing)
        rows = schedule(call, minutes)
        bar, at = self.model.bar(call)
        row = None if bar else self.model.largest(call, rows)
        wanted = hold_of(call, rows, asks, groups)
        got = self.bench.funds.reserve(f"{rid}:0", rid, wanted, 60, 0, codec.pack(pinned(rid)))
        if row is None:
            reason, at = (bar, at) if bar else self.model.short(call, rows[0])
            assert got == Refused(reason, account_of(funds[at]), (), 0, funds[at])
            return
        assert isinstance(got, Held)
        assert got.granted_s == row.talk_s
        assert got.counts == tuple(self.model.channels(fund) for fund in asks)
        assert got.turns == tuple(self.model.turns.get(group, 0) for group in groups)
        self.model.turns.update({group: self.model.turns.get(group, 0) + 1 for group in groups})
        self.grants += 1
        self.model.hold(call)
        told = got.counts, got.turns
        self.model.calls[rid] = call._replace(granted_s=row.talk_s, held=row.price_micros, told=told)

    @rule(
        pick=picks, node=nodes, place=st.integers(-1, 3), who=joins, share=st.integers(0, 100), is_of_now=st.booleans()
    )
    def answer(
        self,
        pick: int,
        node: str,
        place: int = -1,
        who: Sequence[str] = (),
        share: int = 100,
        *,
        is_of_now: bool = True,
    ) -> None:
        """Answer an open call; lines and users join it, and what the answer needs is held on, if it is known."""
        rid = self.open_call(pick)
        if rid:
            before = self.model.calls[rid]
            seq, held = before.seq + 1, price_of(before, share)
            held_s = before.granted_s - (not is_of_now)
            mark = Answer(f"{rid}:{seq}", rid, seq, 60, 0, 0, b"", place, tuple(who), held_s, held)
            call = self.apply(node, mark)
            after = self.model.answered_by(call, place, who, held if is_of_now else ())
            self.model.calls[rid] = after._replace(node=node)
            found = self.bench.funds.describe(rid)
            assert found is not None
            assert (found.place, found.joins, found.sides) == (after.place, after.joins, after.sides)

    @rule(pick=picks, minutes=st.integers(1, 5), node=nodes)
    def extend(self, pick: int, minutes: int, node: str) -> None:
        """Extend an open call: exactly the largest payable row beyond its hold, or it keeps what it has."""
        rid = self.open_call(pick)
        if not rid:
            return
        call = self.model.calls[rid]
        rows = schedule(call, minutes)
        row = self.model.largest(call, rows)
        after = self.apply(node, Extend(f"{rid}:{call.seq + 1}", rid, call.seq + 1, rows, 60))
        assert after.granted_s == (row.talk_s if row else call.granted_s)
        if row:
            self.model.hold(call)
        self.model.calls[rid] = after._replace(held=row.price_micros if row else call.held, node=node)

    @rule(pick=picks, share=st.integers(0, 100), node=nodes)
    def part(self, pick: int, share: int, node: str) -> None:
        """Charge a call that goes on for a part of its hold; refused unless it is answered, and talked on."""
        rid = self.open_call(pick)
        if not rid:
            return
        call = self.model.calls[rid]
        prices = price_of(call, share)
        billed_s = call.billed_s + (call.granted_s - call.billed_s) * share // 100
        operation = Part(f"{rid}:{call.seq + 1}", rid, call.seq + 1, billed_s, prices, ended("talking"))
        if not call.is_answered or billed_s == call.billed_s:
            assert isinstance(self.bench.batch_of(node, [operation])[0], Invalid)
            return
        after = self.apply(node, operation)
        self.model.charge(call, prices)
        self.office.billed[rid, call.seq + 1] = billed_s
        self.model.calls[rid] = after._replace(posted=prices, billed_s=billed_s)

    @rule(pick=picks, first=nodes)
    def adopt(self, pick: int, first: str) -> None:
        """Two nodes want a call: the first gets it."""
        rid = self.open_call(pick)
        if rid:
            operation = Adopt(f"{rid}:{self.model.calls[rid].seq + 1}", rid, self.model.calls[rid].seq + 1, 60)
            self.model.calls[rid] = self.apply(first, operation)._replace(node=first)
            (second,) = (node for node in NODES if node != first)
            assert isinstance(self.bench.batch_of(second, [operation])[0], Invalid)

    @rule(pick=picks, share=st.integers(0, 100), node=nodes)
    def settle(self, pick: int, share: int, node: str) -> None:
        """End an open call, which pays a part of its hold."""
        rid = self.open_call(pick)
        if rid:
            call = self.model.calls[rid]
            prices = price_of(call, share)
            billed_s = call.billed_s + (call.granted_s - call.billed_s) * share // 100
            after = self.apply(node, Settle(f"{rid}:{call.seq + 1}", rid, call.seq + 1, billed_s, prices, ended()))
            self.model.charge(call, prices)
            self.model.calls[rid] = after._replace(is_open=False, posted=prices)

    @rule(pick=picks, node=nodes)
    def release(self, pick: int, node: str) -> None:
        """End an open call, which pays nothing more."""
        rid = self.open_call(pick)
        if rid:
            call = self.model.calls[rid]
            after = self.apply(node, Release(f"{rid}:{call.seq + 1}", rid, call.seq + 1, ended("cancelled")))
            self.model.touch(call)
            self.model.calls[rid] = after._replace(is_open=False)

    @rule(pick=picks)
    def repeat(self, pick: int) -> None:
        """Repeat any of the last operations: it gets its first answer, and another node's does not pass for it."""
        done = [each for call in self.model.calls.values() for each in call.done[-OPS_KEPT:]]
        if done:
            node, operation, granted_s = done[pick % len(done)]
            (got,) = self.bench.batch_of(node, [operation])
            assert isinstance(got, Replayed)
            assert got.granted_s == granted_s
            if not isinstance(operation, Late):
                assert isinstance(self.bench.batch_of("n3", [operation])[0], Invalid | Unknown)

    @rule(pick=picks)
    def repeat_very_late(self, pick: int) -> None:
        """Repeat what is forgotten: it is too late for it, and nothing moves."""
        done = [each for call in self.model.calls.values() for each in call.done[:-OPS_KEPT]]
        if done:
            node, operation, _ = done[pick % len(done)]
            if not isinstance(operation, Late):
                assert isinstance(self.bench.batch_of(node, [operation])[0], Invalid | Unknown)

    @rule(pick=picks)
    def reserve_again(self, pick: int) -> None:
        """Repeat a reserve: nothing more is held; its first grant while open, void afterwards."""
        if self.model.calls:
            rid = sorted(self.model.calls)[pick % len(self.model.calls)]
            call = self.model.calls[rid]
            wanted = hold_of(call, schedule(call, 1), FUNDS, (1,))
            got = self.bench.funds.reserve(f"{rid}:0", rid, wanted, 60, 0, codec.pack(pinned(rid)))
            assert isinstance(got, Held if call.is_open else Void)
            if isinstance(got, Held):  # a store that has lost the call may not know what it told of others
                assert (got.counts, got.turns) in (call.told, ((), ()) if self.office.losses else call.told)

    @rule(fund=st.sampled_from(FUNDS), amount=st.integers(-100, 200), limit=st.integers(0, 100))
    def top_up(self, fund: str, amount: int, limit: int) -> None:
        """Postgres posts money or corrects it, and sets another limit; a fund may become overdrawn by that alone."""
        before = self.model.given[fund]
        cred = before.cred_micros + amount
        self._set_terms(fund, before._replace(cver=before.cver + 1, cred_micros=cred, credit_limit_micros=limit))

    @rule(fund=st.sampled_from(COUNTERS))
    def take_limits_off(self, fund: str) -> None:
        """Take the limits of a line or user away, and so its terms: it is counted on."""
        self._set_terms(fund, None)

    @rule(fund=st.sampled_from(ALL), all_=few, out=few, in_=few)
    def limit_channels(self, fund: str, all_: int, out: int, in_: int) -> None:
        """Postgres sets other maxima; running calls keep their channels."""
        before = self.model.terms(fund)
        self._set_terms(fund, before._replace(channels_max=all_, channels_out_max=out, channels_in_max=in_))

    @rule(
        fund=st.sampled_from(FUNDS),
        day_max=caps,
        month_max=caps,
        day=st.integers(1, 5),
        month=st.integers(1, 3),
        opening=openings,
    )
    def cap_spend(self, fund: str, day_max: int, month_max: int, day: int, month: int, opening: Opening | None) -> None:
        """Postgres sets other caps, and days pass; sometimes its terms are older than those before."""
        days = (Window(day, FAR_MS), Window(day + 1, FAR_MS + 1)) if day_max else ()
        months = (Window(month, FAR_MS),) if month_max else ()
        terms = self.model.given[fund]._replace(day_max_micros=day_max, month_max_micros=month_max)
        opened = opening if day_max or month_max else None
        self._set_terms(fund, terms._replace(days=days, months=months, opening=opened))

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
        if not self.model.calls:
            return
        rid = list(self.model.calls)[pick % len(self.model.calls)]
        call = self.model.calls[rid]
        end = Late(f"{rid}:{call.seq + 1}", rid, call.seq + 1, codec.pack(pinned(rid)), ended())
        first, second = self.bench.funds.batch([end, end])
        assert isinstance(first, Applied)
        assert isinstance(second, Replayed)
        self.model.calls[rid] = call._replace(seq=call.seq + 1, done=(*call.done, (NODE, end, first.granted_s)))

    @rule()
    def save(self) -> None:
        """Write a dump, which may come back one day."""
        self.office.save()

    @rule(is_emptied=st.booleans(), is_read=st.booleans())
    def lose(self, *, is_emptied: bool, is_read: bool) -> None:
        """Lose everything, or what came after the dump; the nodes tell their calls, and the store is made right."""
        self.office.lose(is_emptied=is_emptied, is_read=is_read)

    @invariant()
    def balances_are_those_of_the_calls(self) -> None:
        """I1, and the spend of windows."""
        for found in self.bench.funds.balances(ALL):
            assert found == self.model.balance(found.fund)

    @invariant()
    def charges_are_the_sum_of_events(self) -> None:
        """I2: exact sums, numbers without gaps, running totals that agree."""
        postings = [posting for event in self.office.events() for posting in event.postings]
        assert all(posting.fund in FUNDS for posting in postings)
        for found in self.bench.funds.balances(FUNDS):
            own = [posting for posting in postings if posting.fund == found.fund]
            assert [posting.n for posting in own] == list(range(1, found.n + 1))
            assert [posting.amount_micros for posting in own] == self.model.charged[found.fund]
            total = 0
            for posting in own:
                total += posting.amount_micros
                assert posting.charged_micros == total
            assert found.charged_micros == total

    @invariant()
    def grants_are_open_or_ended(self) -> None:
        """I4: each grant is a lease or one event of its end, never both; and what is open is listed by its node."""
        calls = self.model.calls
        told = [event.rid for event in self.office.events() if event.kind in ("settle", "release")]
        late = {event.rid for event in self.office.events() if event.kind == "late"}
        leases = {node: self.bench.funds.of_node(node, limit=1000).rids for node in ("", *NODES)}
        assert len(told) == len(set(told))
        assert sorted(leases[""]) == sorted(rid for rid, call in calls.items() if call.is_open)
        assert calls.keys() - set(leases[""]) <= {*told, *late}
        assert not set(told) & set(leases[""])
        assert self.grants == len(calls)
        for node in NODES:
            own = [rid for rid, call in calls.items() if call.is_open and call.node == node]
            assert sorted(leases[node]) == sorted(own)

    def _set_terms(self, fund: str, terms: FundTerms | None) -> None:
        self.model.give(fund, terms)
        self.bench.set_terms(fund, terms)


def run(make: Callable[[], Bench], examples: int) -> None:
    """Run the machine. `make` gives an empty store."""

    class Bound(FundsMachine):
        def __init__(self) -> None:
            super().__init__(make())

    run_state_machine_as_test(
        Bound,
        settings=settings(
            max_examples=examples,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_the_laws_hold_in_the_fake() -> None:
    """The fake keeps I1, I2, I4 and the bounds of a grant."""
    run(FakeBench, 150)


def test_the_laws_hold_in_redis(redis_client: RedisClient, redis_worker_url: str) -> None:
    """Real Redis keeps I1, I2, I4 and the bounds of a grant."""
    worker = RedisClient(redis_worker_url, 2_000)

    def make() -> Bench:
        empty(redis_client)
        return RedisBench(redis_client, worker)

    try:
        run(make, 60)
    finally:
        worker.close()


def test_an_answer_may_be_forgotten_for_what_is_told_after_a_loss() -> None:
    """A dump brings operations back that the nodes do not repeat; with those that they do, the oldest answers go."""
    machine = FundsMachine(FakeBench())
    machine.reserve(funds=["1:EUR"], data=[0] * 6, sides=[1] * 6, minutes=1)
    machine.late(pick=0)
    machine.adopt(pick=0, first="n1")
    machine.release(pick=0, node="n1")
    machine.save()
    machine.late(pick=0)
    machine.lose(is_emptied=True, is_read=True)
    machine.late(pick=0)
    machine.lose(is_emptied=False, is_read=False)
    for pick in range(4):
        machine.repeat(pick=pick)
    machine.grants_are_open_or_ended()
