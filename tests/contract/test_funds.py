"""What a hold promises, against real Redis and the fake with the same tests."""

from __future__ import annotations

import pytest

from kemi import codec
from kemi.adapters.redis_funds import (
    Balance,
    FundTerms,
    Held,
    Refused,
    Release,
    Stale,
)
from kemi.core.outcome import OUT
from kemi.records import Status
from tests.funds_bench import (
    CUSTOMER,
    RESELLER,
    ROWS,
    Bench,
    balance,
    chain,
    ended,
    hold,
    pinned,
    reserve,
    rich,
)


def test_a_hold_takes_the_largest_row_at_every_level(bench: Bench) -> None:
    """All levels hold their own price, a channel and the call's lease."""
    rich(bench, CUSTOMER, RESELLER)
    assert reserve(bench, "a", chain()) == Held(120, (), 0, 1)
    assert balance(bench, CUSTOMER) == Balance(CUSTOMER, FundTerms(1, 1_000_000), 0, 1200, 1, 0, channels_out=1)
    assert balance(bench, RESELLER).held_micros == 800
    found = bench.funds.describe("a")
    assert found is not None
    assert found._replace(lease_ms=0) == (
        *(codec.pack(pinned("a")), (CUSTOMER, RESELLER), 120, (1200, 800), 0, 0),
        *("held", "n1", 0, 0),
        *((0, 0), 0, 0, b"", (OUT, OUT), 0, -1, ()),
    )


def test_the_poorest_level_decides_the_row(bench: Bench) -> None:
    """A rich customer talks as long as the reseller above can pay, to the micro."""
    rich(bench, CUSTOMER)
    bench.set_terms(RESELLER, FundTerms(1, 400))
    assert reserve(bench, "a", chain()) == Held(60, (), 0, 1)
    bench.set_terms(RESELLER, FundTerms(2, 599))
    assert reserve(bench, "b", chain()) == Refused("credit", 5, (), 0, "5:EUR")


@pytest.mark.parametrize(
    ("terms", "reason"),
    [
        (FundTerms(1, 199), "credit"),
        (FundTerms(1, 0, 199), "credit"),
        (FundTerms(1, -500, 600), "credit"),
        (FundTerms(1, 10_000, 0, Status.SUSPENDED), "status"),
        (FundTerms(1, 10_000, -1, Status.CLOSED), "status"),
    ],
)
def test_a_refusal_names_level_and_reason_and_holds_nothing(bench: Bench, terms: FundTerms, reason: str) -> None:
    """Nothing is held at any level when one refuses."""
    rich(bench, CUSTOMER)
    bench.set_terms(RESELLER, terms)
    assert reserve(bench, "a", chain()) == Refused(reason, 5, (), 0, "5:EUR")
    assert balance(bench, CUSTOMER).held_micros == balance(bench, CUSTOMER).channels == 0
    assert bench.funds.describe("a") is None
    assert bench.funds.status().opseq == 0


def test_a_fund_without_terms_refuses(bench: Bench) -> None:
    """What has not come from Postgres is closed, not free."""
    rich(bench, CUSTOMER)
    assert reserve(bench, "a", chain()) == Refused("status", 5, (), 0, "5:EUR")


def test_credit_limits_extend_the_balance(bench: Bench) -> None:
    """A limit counts like money, -1 like all of it."""
    bench.set_terms(CUSTOMER, FundTerms(1, -400, 1_000))
    bench.set_terms(RESELLER, FundTerms(1, -(10**12), -1))
    assert reserve(bench, "a", chain()) == Held(60, (), 0, 1)


def test_a_call_at_price_zero_passes_an_overdrawn_fund(bench: Bench) -> None:
    """It takes a channel and a lease, no money."""
    bench.set_terms(CUSTOMER, FundTerms(1, -1))
    assert reserve(bench, "a", hold(CUSTOMER, rows=((3600, 0),))) == Held(3600, (), 0, 1)
    assert balance(bench, CUSTOMER).channels == 1


def test_channels_are_counted_at_every_level(bench: Bench) -> None:
    """The reseller's only channel is taken until the first call ends."""
    rich(bench, CUSTOMER)
    bench.set_terms(RESELLER, FundTerms(1, 10_000, channels_max=1))
    assert isinstance(reserve(bench, "a", chain()), Held)
    assert reserve(bench, "b", chain()) == Refused("channels", 5, (), 0, "5:EUR")
    bench.funds.batch([Release("a:1", "a", 1, ended("cancelled"))])
    assert isinstance(reserve(bench, "c", chain()), Held)


def test_calls_per_second_are_limited(bench: Bench) -> None:
    """The third call within one second of the store is refused."""
    rich(bench, RESELLER)
    bench.set_terms(CUSTOMER, FundTerms(1, 10**9, cps_max=2))
    for attempt in range(20):
        second = bench.second()
        got = [reserve(bench, f"{attempt}-{call}", chain()) for call in range(3)]
        if bench.second() == second:
            break
    assert [type(answer) for answer in got] == [Held, Held, Refused]
    assert got[2] == Refused("cps", 11, (), 0, "11:EUR")


def test_a_shared_ancestor_counts_once(bench: Bench) -> None:
    """A fund may stand in a hold only once: two rows of it would each pass on the same money."""
    rich(bench, CUSTOMER)
    with pytest.raises(ValueError, match="merged"):
        reserve(bench, "a", hold(CUSTOMER, CUSTOMER, rows=ROWS))


@pytest.mark.parametrize(
    "rows",
    [
        (),
        tuple((second, 1, 1) for second in range(1, 18)),
        ((30, 300, 200), (30, 600, 400)),
        ((30, 300, 200), (60, 299, 400)),
        ((30, -1, 200),),
        ((30, 2**53, 200),),
    ],
)
def test_an_impossible_schedule_is_refused_whole(bench: Bench, rows: tuple[tuple[int, ...], ...]) -> None:
    """No rows, more than 16, standing seconds, a falling price, a negative one, one that doubles would round."""
    rich(bench, CUSTOMER, RESELLER)
    with pytest.raises(ValueError, match="schedule"):
        reserve(bench, "a", chain(rows))
    assert bench.funds.describe("a") is None


def test_thirty_two_funds_and_sixteen_rows_fit(bench: Bench) -> None:
    """The largest hold that a call can need."""
    names = tuple(f"{account}:EUR" for account in range(101, 133))
    rich(bench, *names)
    rows = tuple((second, *(second,) * 32) for second in range(1, 17))
    assert reserve(bench, "a", hold(*names, rows=rows)) == Held(16, (), 0, 1)
    with pytest.raises(ValueError, match="32"):
        reserve(bench, "b", hold(*names, "133:EUR", rows=((1, *(1,) * 33),)))


def test_a_used_name_that_changed_makes_the_decision_stale(bench: Bench) -> None:
    """Nothing is held; with the new pass, the same decision may be taken."""
    rich(bench, CUSTOMER, RESELLER)
    bench.set_config(9, {"acct:5": 8, "tar:1": 9, "dom:x": 3})
    assert reserve(bench, "a", chain(used=("acct:11", "acct:5")), 7) == Stale(("acct:5", "tar:1"), 9)
    assert bench.funds.describe("a") is None
    assert reserve(bench, "a", chain(used=("acct:11", "acct:5")), 9) == Held(120, (), 9, 1)


def test_other_changes_ride_on_the_answer(bench: Bench) -> None:
    """A hold and a refusal bring the names to drop and the pass that is then known."""
    rich(bench, CUSTOMER, RESELLER)
    bench.set_config(9, {"acct:5": 8, "tar:1": 9})
    assert reserve(bench, "a", chain(used=("acct:11",)), 7) == Held(120, ("acct:5", "tar:1"), 9, 1)
    bench.set_terms(CUSTOMER, FundTerms(2, 0))
    assert reserve(bench, "b", chain(used=("acct:11",)), 8) == Refused("credit", 11, ("tar:1",), 9, "11:EUR")


@pytest.mark.parametrize(("seen", "low", "names"), [(10, 0, 1), (3, 4, 1), (1, 0, 513)])
def test_a_worker_that_cannot_know_drops_everything(bench: Bench, seen: int, low: int, names: int) -> None:
    """It is ahead of Redis, behind what Redis remembers, or missed more than 512 names."""
    rich(bench, CUSTOMER, RESELLER)
    bench.set_config(9, {f"num:{number}": 9 for number in range(names)}, low)
    assert reserve(bench, "a", chain(used=("acct:11",)), seen) == Stale((), 9)


def test_a_worker_at_the_low_mark_still_knows(bench: Bench) -> None:
    """What may be forgotten is what changed up to the mark."""
    rich(bench, CUSTOMER, RESELLER)
    bench.set_config(9, {"tar:1": 9}, low=4)
    assert reserve(bench, "a", chain(used=("acct:11",)), 4) == Held(120, ("tar:1",), 9, 1)


def test_configuration_without_marker_is_used_by_nobody(bench: Bench) -> None:
    """Another database is being loaded: also a worker that is up to date must drop what it has."""
    rich(bench, CUSTOMER, RESELLER)
    bench.set_config(9, {})
    bench.lose_marker()
    assert reserve(bench, "a", chain(used=("acct:11",)), 9) == Stale((), 9)


def test_versions_near_two_to_the_52_are_compared_exactly(bench: Bench) -> None:
    """A pass is (fence << 32) | pass; a neighbour must not look equal."""
    rich(bench, CUSTOMER, RESELLER)
    version = (2**20 << 32) + 1
    bench.set_config(version, {"acct:5": version})
    assert reserve(bench, "a", chain(used=("acct:5",)), version - 1) == Stale(("acct:5",), version)
    assert reserve(bench, "a", chain(used=("acct:5",)), version) == Held(120, (), version, 1)
