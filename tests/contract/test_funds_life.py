"""What the money functions promise once a call is held, against real Redis and the fake with the same tests."""

from __future__ import annotations

import pytest

from kemi import codec
from kemi.adapters.redis_funds import (
    Answer,
    Applied,
    Balance,
    FundTerms,
    Held,
    Invalid,
    MoneyStatus,
    Note,
    Operation,
    Refused,
    Release,
    Replayed,
    Settle,
    Unarmed,
    Unknown,
    Void,
)
from kemi.core.outcome import HoldRow
from kemi.records import CallEnd, CallEvent, FundPosting, Status
from tests.funds_bench import (
    CUSTOMER,
    EPOCH,
    GRACE_S,
    RESELLER,
    Bench,
    balance,
    chain,
    ended,
    extend,
    hold,
    pinned,
    reserve,
    rich,
)
from tests.wait import until


def test_settling_charges_the_price_and_tells_of_it(bench: Bench) -> None:
    """Hold, channel and lease are given back, the price is charged, one event carries call and end untouched."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    bench.funds.batch([Answer("a:1", "a", 1, 120, server_id=7)])
    done = bench.funds.batch([Settle("a:2", "a", 2, 30, (300, 0), ended())])
    assert done == [Applied(120, 3)]
    assert balance(bench, CUSTOMER) == Balance(CUSTOMER, FundTerms(1, 1_000_000), 300, 0, 0, 1)
    assert balance(bench, RESELLER) == Balance(RESELLER, FundTerms(1, 1_000_000), 0, 0, 0, 0)
    end = codec.unpack(CallEnd, ended())
    postings = (FundPosting(CUSTOMER, 300, 1, 300),)
    assert bench.events() == [CallEvent("settle", EPOCH, "a", 2, postings, pinned("a"), end)]
    found = bench.funds.describe("a")
    assert found is not None
    assert (found.state, found.pinned, found.lease_ms, found.server_id) == ("settled", b"", 0, 7)


def test_event_numbers_have_no_gaps_and_sums_run_on(bench: Bench) -> None:
    """Each charge of a fund has the next number and the sum after it."""
    rich(bench, CUSTOMER, RESELLER)
    for call in ("a", "b", "c"):
        reserve(bench, call, chain())
        bench.funds.batch([Settle(f"{call}:1", call, 1, 30, (300, 0 if call == "b" else 200), ended())])
    posted = [posting for event in bench.events() for posting in event.postings]
    assert [(p.n, p.charged_micros) for p in posted if p.fund == CUSTOMER] == [(1, 300), (2, 600), (3, 900)]
    assert [(p.n, p.charged_micros) for p in posted if p.fund == RESELLER] == [(1, 200), (2, 400)]


@pytest.mark.parametrize(
    ("billed_s", "prices"), [(121, (0, 0)), (-1, (0, 0)), (30, (1201, 0)), (30, (-1, 0)), (30, (1,)), (30, (1, 1, 1))]
)
def test_a_charge_never_exceeds_what_is_held(bench: Bench, billed_s: int, prices: tuple[int, ...]) -> None:
    """More seconds or money than granted, or another number of funds, is invalid and changes nothing."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    (got,) = bench.funds.batch([Settle("a:1", "a", 1, billed_s, prices, ended())])
    assert isinstance(got, Invalid)
    assert balance(bench, CUSTOMER).held_micros == 1200
    assert bench.events() == []


def test_a_release_charges_nothing(bench: Bench) -> None:
    """Its event carries the call and no posting."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    assert bench.funds.batch([Release("a:1", "a", 1, ended("cancelled"))]) == [Applied(120, 2)]
    assert balance(bench, CUSTOMER) == Balance(CUSTOMER, FundTerms(1, 1_000_000), 0, 0, 0, 0)
    (event,) = bench.events()
    assert (event.kind, event.postings, event.end.outcome) == ("release", (), "cancelled")


def test_an_extension_holds_the_difference(bench: Bench) -> None:
    """The hold becomes the price of all seconds, and the node that extends is remembered."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    got = bench.funds.batch([Answer("a:1", "a", 1, 120), extend("a", 2, HoldRow(180, (1800, 1200)))])
    assert got == [Applied(120, 2), Applied(180, 3)]
    assert balance(bench, CUSTOMER).held_micros == 1800
    assert balance(bench, RESELLER).held_micros == 1200


def test_an_extension_near_the_limit_grants_what_is_left(bench: Bench) -> None:
    """The largest row that the poorest level pays beyond its hold; the lease is as much shorter as the talk."""
    rich(bench, CUSTOMER)
    bench.set_terms(RESELLER, FundTerms(1, 1000))
    reserve(bench, "a", chain())
    full, less = HoldRow(180, (1800, 1200)), HoldRow(150, (1500, 1000))
    before = bench.second()
    assert bench.funds.batch([extend("a", 1, less, full)]) == [Applied(150, 2)]
    found = bench.funds.describe("a")
    assert found is not None
    assert found.held == (1500, 1000)
    lease_s = found.lease_ms / 1000 - before
    assert 200 - 30 + GRACE_S <= lease_s <= 200 - 30 + GRACE_S + 2


@pytest.mark.parametrize("terms", [FundTerms(2, 800), FundTerms(2, 10**9, 0, Status.SUSPENDED)])
def test_an_extension_without_money_or_of_a_suspended_account_grants_nothing(bench: Bench, terms: FundTerms) -> None:
    """Seconds, hold and lease stay: the call ends with its slice."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    before = bench.funds.describe("a")
    bench.set_terms(RESELLER, terms)
    assert bench.funds.batch([extend("a", 1, HoldRow(180, (1800, 1200)))]) == [Applied(120, 2)]
    after = bench.funds.describe("a")
    assert before is not None
    assert after == before._replace(seq=1)


def test_an_extension_below_the_hold_is_invalid(bench: Bench) -> None:
    """Seconds or prices lower than those held would take money back from a running call."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    got = bench.funds.batch([extend("a", 1, HoldRow(120, (1300, 900))), extend("a", 1, HoldRow(180, (1199, 900)))])
    assert [type(result) for result in got] == [Invalid, Invalid]


def test_a_repeated_operation_returns_its_first_answer(bench: Bench) -> None:
    """Also after the call went on; nothing is applied twice."""
    rich(bench, CUSTOMER, RESELLER)
    first = reserve(bench, "a", chain())
    answer, more = Answer("a:1", "a", 1, 120), extend("a", 2, HoldRow(180, (1800, 1200)))
    end = Settle("a:3", "a", 3, 30, (300, 200), ended())
    bench.funds.batch([answer, more])
    assert reserve(bench, "a", chain()) == Held(120, (), 0, 3, replayed=True)
    assert first == Held(120, (), 0, 1)
    bench.funds.batch([end])
    assert bench.funds.batch([answer, more, end]) == [Replayed(120, 4), Replayed(180, 4), Replayed(180, 4)]
    assert balance(bench, CUSTOMER).charged_micros == 300
    assert len(bench.events()) == 1
    assert reserve(bench, "a", chain()) == Void(4)


def test_another_operation_after_the_end_is_unknown(bench: Bench) -> None:
    """Who settles second, say the node after the sweeper, must post the difference elsewhere."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    bench.funds.batch([Settle("sweep:a", "a", 1, 120, (1200, 800), ended("estimated"))])
    late: list[Operation] = [Settle("a:1", "a", 1, 30, (300, 200), ended()), Release("a:2", "a", 2, ended())]
    assert bench.funds.batch(late) == [Unknown(2), Unknown(2)]


def test_an_old_sequence_is_invalid(bench: Bench) -> None:
    """Operations of one reservation come in order."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    bench.funds.batch([Answer("a:5", "a", 5, 60)])
    late = [Settle(f"late-{seq}", "a", seq, 30, (300, 200), ended()) for seq in (4, 5)]
    assert [type(result) for result in bench.funds.batch(late)] == [Invalid, Invalid]


def test_the_last_four_answers_are_kept_and_that_of_the_reserve(bench: Bench) -> None:
    """An older repetition is an old sequence: no agent has more than one batch on its way."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    answers = [Answer(f"a:{seq}", "a", seq, 60) for seq in range(1, 6)]
    bench.funds.batch(answers)
    assert [type(result) for result in bench.funds.batch(answers)] == [Invalid, *[Replayed] * 4]
    assert reserve(bench, "a", chain()) == Held(120, (), 0, 6, replayed=True)


def test_the_first_report_of_the_answer_counts(bench: Bench) -> None:
    """The time of the answer does not move when a node that adopts the call reports it again."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    bench.funds.batch([Answer("a:1", "a", 1, 60)])
    first = bench.funds.describe("a")
    bench.let_time_pass()
    bench.funds.batch([Answer("a:2", "a", 2, 60)])
    again = bench.funds.describe("a")
    assert first is not None
    assert again is not None
    assert again.answered_ms == first.answered_ms > 0
    assert again.lease_ms > first.lease_ms


def test_another_reserve_under_a_taken_id_is_void(bench: Bench) -> None:
    """Two operations must never share one hold."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    assert bench.funds.reserve("other", "a", chain(), 60, 0, codec.pack(pinned("a"))) == Void(1)


def test_sums_end_below_2_to_the_53(bench: Bench) -> None:
    """Beyond it a double would round: an unlimited fund refuses too."""
    bench.set_terms(CUSTOMER, FundTerms(1, 0, -1))
    bench.disarm()
    bench.keeper.restore_fund(CUSTOMER, 2**53 - 600, 1)
    bench.keeper.arm(EPOCH)
    assert reserve(bench, "a", hold(CUSTOMER, rows=((30, 300), (60, 599)))) == Held(60, (), 0, 1)
    assert reserve(bench, "b", hold(CUSTOMER, rows=((30, 1), (60, 599)))) == Refused("full", 11, (), 0, "11:EUR")


def test_a_stalled_reserve_that_runs_after_its_release_is_void(bench: Bench) -> None:
    """The release of an unknown reservation leaves a tombstone; repeating it says the same."""
    rich(bench, CUSTOMER, RESELLER)
    give_up = Release("a:1", "a", 1, ended("failed"))
    assert bench.funds.batch([give_up]) == [Unknown(1)]
    assert reserve(bench, "a", chain()) == Void(1)
    assert bench.funds.batch([give_up]) == [Unknown(1)]
    assert balance(bench, CUSTOMER).held_micros == 0
    assert bench.events() == []


def test_redis_charges_only_what_it_holds(bench: Bench) -> None:
    """Answer, extension and settlement of an unknown reservation change nothing."""
    operations: list[Operation] = [
        Answer("a:1", "a", 1, 60),
        extend("a", 2, HoldRow(180, (1800, 1200))),
        Settle("a:3", "a", 3, 30, (300, 200), ended()),
    ]
    assert bench.funds.batch(operations) == [Unknown(0), Unknown(0), Unknown(0)]
    assert bench.funds.describe("a") is None


def test_a_refused_call_is_told_once(bench: Bench) -> None:
    """Also after the release of a hold that nobody saw; never for a call that was held."""
    rich(bench, CUSTOMER, RESELLER)
    note = Note("a:0n", "a", codec.pack(pinned("a")), ended("refused"))
    assert bench.funds.batch([note, note]) == [Applied(0, 1), Replayed(0, 1)]
    assert reserve(bench, "a", chain()) == Void(1)
    bench.funds.batch([Release("b:1", "b", 1, ended("failed"))])
    assert bench.funds.batch([Note("b:2", "b", codec.pack(pinned("b")), ended("failed"))]) == [Applied(0, 3)]
    reserve(bench, "c", chain())
    third = Note("c:n", "c", codec.pack(pinned("c")), ended("refused"))
    got = bench.funds.batch([third, Release("c:1", "c", 1, ended()), third])
    assert [type(result) for result in got] == [Invalid, Applied, Invalid]
    assert [(event.kind, event.rid) for event in bench.events()] == [
        ("refused", "a"),
        ("refused", "b"),
        ("release", "c"),
    ]


def test_unarmed_refuses_everything_and_reading_goes_on(bench: Bench) -> None:
    """After a restart all is refused until armed; open reservations are as they were."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    bench.disarm()
    note = Note("n", "n", codec.pack(pinned("n")), ended("refused"))
    operations: list[Operation] = [Answer("a:1", "a", 1, 60), Release("b:1", "b", 1, ended()), note]
    assert reserve(bench, "b", chain()) == Unarmed(1)
    assert bench.funds.batch(operations) == [Unarmed(1)] * 3
    assert bench.funds.status() == MoneyStatus(EPOCH, False, 1)
    assert bench.funds.describe("a") is not None
    bench.keeper.arm(EPOCH + 1)
    assert bench.funds.status() == MoneyStatus(EPOCH + 1, True, 1)
    assert bench.funds.batch([Answer("a:1", "a", 1, 60)]) == [Applied(120, 2)]


def test_a_lost_epoch_key_disarms(bench: Bench) -> None:
    """A FLUSHALL leaves the library's memory, not the key."""
    bench.lose_epoch()
    assert reserve(bench, "a", chain()) == Unarmed(0)
    with pytest.raises(ValueError, match="epoch"):
        bench.keeper.arm(0)


def test_an_epoch_never_goes_back(bench: Bench) -> None:
    """An older epoch's arming is refused."""
    with pytest.raises(ValueError, match="epoch"):
        bench.keeper.arm(EPOCH - 1)


def test_sums_are_restored_only_while_unarmed(bench: Bench) -> None:
    """Charges and event number come from Postgres; the holds of open reservations stay."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    with pytest.raises(ValueError, match="unarmed"):
        bench.keeper.restore_fund(CUSTOMER, 5, 1)
    bench.disarm()
    bench.keeper.restore_fund(CUSTOMER, 2**52 + 1, 9)
    restored = Balance(CUSTOMER, FundTerms(1, 1_000_000), 2**52 + 1, 1200, 1, 9, channels_out=1)
    assert balance(bench, CUSTOMER) == restored


def test_expired_leases_are_found_with_their_sequence(bench: Bench) -> None:
    """Only those that are past, by the store's clock; an ended call has none."""
    rich(bench, CUSTOMER, RESELLER)
    for rid in ("a", "b", "c"):
        reserve(bench, rid, chain())
    bench.funds.batch([Answer("b:4", "b", 4, 60)])
    bench.expire_lease("b")
    bench.expire_lease("c")
    assert sorted(bench.funds.expired(10)) == [("b", 4), ("c", 0)]
    assert len(bench.funds.expired(1)) == 1
    bench.funds.batch([Release("b:5", "b", 5, ended()), Release("c:1", "c", 1, ended())])
    assert bench.funds.expired(10) == []


def test_a_lease_without_reservation_is_removed_by_a_release(bench: Bench) -> None:
    """It is shown with sequence -1."""
    bench.expire_lease("ghost")
    assert bench.funds.expired(10) == [("ghost", -1)]
    bench.funds.batch([Release("ghost:0", "ghost", 0, ended())])
    assert bench.funds.expired(10) == []


def test_a_full_store_refuses_new_calls_and_settles_running_ones(bench: Bench) -> None:
    """The refusal names no level; repeating a granted reserve still returns its answer."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    bench.set_memory_full(full=True)
    attempts = iter(range(1_000_000))
    until(
        lambda: reserve(bench, f"x{next(attempts)}", chain()) == Refused("full", 0, (), 0),
        5,
        "the store to notice that it is full",
    )
    assert isinstance(reserve(bench, "a", chain()), Held)
    (got,) = bench.funds.batch([Settle("a:1", "a", 1, 30, (300, 200), ended())])
    assert isinstance(got, Applied)
    assert len(bench.events()) == 1
    bench.set_memory_full(full=False)


def test_a_call_without_funds_still_has_lease_and_record(bench: Bench) -> None:
    """The root is billed by nobody: its own calls hold nothing, and are told of all the same."""
    assert reserve(bench, "a", hold(rows=((60,), (120,)))) == Held(120, (), 0, 1)
    assert bench.funds.batch([extend("a", 1, HoldRow(180, ()))]) == [Applied(180, 2)]
    assert bench.funds.batch([Settle("a:2", "a", 2, 30, (), ended())]) == [Applied(180, 3)]
    assert [(event.kind, event.call) for event in bench.events()] == [("settle", pinned("a"))]


def test_a_pinned_call_must_be_an_array(bench: Bench) -> None:
    """Spliced into an event, other bytes would make it unreadable for ever."""
    rich(bench, CUSTOMER, RESELLER)
    with pytest.raises(ValueError, match="array"):
        bench.funds.reserve("a:0", "a", chain(), 60, 0, b"\xc0")
    assert bench.funds.describe("a") is None
