"""What the money functions promise while a Redis that lost something is made right, on real Redis and on the fake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import FunctionFailed, RedisClient
from kemi.adapters.redis_funds import (
    LEGS_MAX,
    Answer,
    Applied,
    Funds,
    FundTerms,
    Held,
    Invalid,
    Late,
    MoneyStatus,
    Part,
    Rehold,
    Release,
    Replayed,
    Reservation,
    Settle,
    Unarmed,
    Unknown,
    Void,
)
from kemi.core.outcome import IN, OUT, HoldRow
from tests.funds_bench import (
    CUSTOMER,
    EPOCH,
    GRACE_S,
    NODE,
    RESELLER,
    Bench,
    balance,
    chain,
    ended,
    extend,
    pinned,
    reserve,
    rich,
)

NEXT: Final = EPOCH + 1
TOLD: Final = Rehold(
    op_id="a:0",
    rid="a",
    seq=3,
    epoch=NEXT,
    lease_s=50,
    pinned=codec.pack(pinned("a")),
    funds=(CUSTOMER, RESELLER),
    sides=(OUT, OUT | IN),
    granted_s=120,
    held=(1200, 800),
    posted=(300, 200),
    billed_s=30,
    talked_ms=40_000,
    server_id=31,
    node_answered_ms=1_770_000_000_000,
    legs=b"\x93abc",
)
RINGING: Final = TOLD._replace(
    seq=0, posted=(0, 0), billed_s=0, talked_ms=None, server_id=0, node_answered_ms=0, legs=b""
)


@dataclass
class Rebuild:
    """A store that has lost all, and whose nodes are called."""

    bench: Bench
    empty: object = field(init=False)

    def __post_init__(self) -> None:
        rich(self.bench, CUSTOMER, RESELLER)
        self.empty = self.bench.remember()

    def begin(self, lost: object | None = None) -> None:
        """Lose something, all where nothing is said; call the nodes."""
        self.bench.roll_back(self.empty if lost is None else lost)
        self.bench.call_nodes(NEXT)

    def arm(self) -> None:
        """Do what settlement does: count what is held, and open."""
        self.bench.call_nodes(0)
        page = self.bench.keeper.of_node(limit=1000)
        held = [found for found in self.bench.keeper.described(page.rids).values() if CUSTOMER in found.funds]
        for at, fund in enumerate((CUSTOMER, RESELLER)):
            micros = sum(each.held[at] - each.posted[at] for each in held)
            sides = [each.sides[at] for each in held]
            counts = len(sides), sum(bool(side & OUT) for side in sides), sum(bool(side & IN) for side in sides)
            self.bench.keeper.restore_fund(fund, *((300, 1), (200, 1))[at])
            self.bench.keeper.recount(fund, micros, *counts)
        self.bench.keeper.arm(NEXT)

    def found(self, rid: str = "a") -> Reservation:
        """Return a reservation that must be there."""
        reservation = self.bench.funds.describe(rid)
        assert reservation is not None
        return reservation


@pytest.fixture
def rebuild(bench: Bench) -> Rebuild:
    """Offer a store that may be lost."""
    return Rebuild(bench)


def test_a_call_is_held_again_as_its_node_knows_it(rebuild: Rebuild) -> None:
    """Everything that its node needs to go on, and its lease; the answer is as long ago as the node says."""
    rebuild.begin()
    before = rebuild.bench.now_ms()
    assert rebuild.bench.funds.rehold([TOLD]) == [Applied(120, 0)]
    after, found = rebuild.bench.now_ms(), rebuild.found()

    assert before - 40_000 <= found.answered_ms <= after - 40_000
    assert before + (50 + GRACE_S) * 1000 <= found.lease_ms <= after + (50 + GRACE_S) * 1000
    assert found._replace(answered_ms=0, lease_ms=0) == Reservation(
        *(TOLD.pinned, TOLD.funds, 120, (1200, 800), 0, 3, "answered", NODE, 0, 31, (300, 200), 30),
        *(1_770_000_000_000, TOLD.legs, (OUT, OUT | IN), NEXT),
    )
    assert rebuild.bench.funds.of_node(NODE).rids == ("a",)


def test_a_ringing_call_is_held_again(rebuild: Rebuild) -> None:
    rebuild.begin()
    assert rebuild.bench.funds.rehold([RINGING]) == [Applied(120, 0)]
    found = rebuild.found()
    assert (found.state, found.answered_ms, found.seq, found.adopted_epoch) == ("held", 0, 0, NEXT)
    assert (found.posted, found.legs, found.billed_s, found.server_id) == ((0, 0), b"", 0, 0)


def test_holding_again_touches_no_fund_and_counts_as_no_operation(rebuild: Rebuild) -> None:
    """Settlement counts what all hold before it arms; a snapshot of it stands still meanwhile."""
    rebuild.begin()
    rebuild.bench.funds.rehold([TOLD])
    found = balance(rebuild.bench, CUSTOMER)
    assert (found.held_micros, found.channels, found.charged_micros, found.n) == (0, 0, 0, 0)
    assert rebuild.bench.funds.status() == MoneyStatus(EPOCH, False, 0, NEXT)


def test_a_call_that_was_held_again_goes_on_once_redis_is_armed(rebuild: Rebuild) -> None:
    """It is extended, pays the rest, never what parts have paid, and a repeated reserve gets nothing new."""
    rebuild.begin()
    rebuild.bench.funds.rehold([TOLD])
    rebuild.arm()
    rich(rebuild.bench, CUSTOMER, RESELLER)
    assert balance(rebuild.bench, CUSTOMER).held_micros == 900

    assert reserve(rebuild.bench, "a", chain()) == Held(120, (), 0, 0, replayed=True)
    done = rebuild.bench.funds.batch(
        [extend("a", 4, HoldRow(180, (1800, 1200))), Settle("a:5", "a", 5, 150, (1500, 1000), ended())]
    )
    assert done == [Applied(180, 1), Applied(180, 2)]
    (event,) = rebuild.bench.events()
    assert [(each.fund, each.amount_micros, each.n) for each in event.postings] == [
        (CUSTOMER, 1200, 2),
        (RESELLER, 800, 2),
    ]
    assert (event.epoch, event.billed_before_s, event.call) == (NEXT, 30, pinned("a"))
    assert balance(rebuild.bench, CUSTOMER)[2:8] == (1500, 0, 0, 2, 0, 0)
    assert balance(rebuild.bench, RESELLER).channels == 0


def test_a_ringing_call_that_was_held_again_is_answered_under_its_next_sequence(rebuild: Rebuild) -> None:
    rebuild.begin()
    rebuild.bench.funds.rehold([RINGING])
    rebuild.arm()
    assert rebuild.bench.funds.batch([Answer("a:1", "a", 1, 60, 31, 1_770_000_000_000)]) == [Applied(120, 1)]
    assert (rebuild.found().state, rebuild.found().adopted_epoch) == ("answered", NEXT)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda bench: bench.keeper.arm(NEXT),
        lambda bench: bench.call_nodes(0),
        lambda bench: bench.call_nodes(NEXT + 1),
    ],
    ids=["armed", "nobody called", "another epoch"],
)
def test_nothing_is_held_again_but_for_the_epoch_that_is_being_built(
    rebuild: Rebuild, spoil: Callable[[Bench], None]
) -> None:
    """What comes after settlement has counted would hold without being counted."""
    rebuild.begin()
    spoil(rebuild.bench)
    assert [type(got) for got in rebuild.bench.funds.rehold([TOLD, RINGING])] == [Unarmed, Unarmed]
    assert not rebuild.bench.funds.adopted(NEXT, 2)
    assert rebuild.bench.funds.describe("a") is None
    assert rebuild.bench.adopted() == {}


@pytest.mark.parametrize(
    "wrong",
    [
        {"granted_s": -1},
        {"granted_s": 29},
        {"billed_s": 121},
        {"held": (1200,)},
        {"held": (2**53, 800)},
        {"held": (299, 800)},
        {"posted": (300,)},
        {"posted": (-1, 200)},
        {"sides": (OUT,)},
        {"sides": (OUT, 4)},
        {"funds": (CUSTOMER, CUSTOMER)},
        {"pinned": codec.pack("no array")},
    ],
    ids=str,
)
def test_what_no_call_can_be_is_not_held(rebuild: Rebuild, wrong: dict[str, Any]) -> None:
    """A node that errs spoils its own call only."""
    rebuild.begin()
    good = TOLD._replace(rid="b", op_id="b:0")
    results = rebuild.bench.funds.rehold([TOLD._replace(**wrong), good])
    assert [type(got) for got in results] == [Invalid, Applied]
    assert rebuild.bench.funds.describe("a") is None


def test_sides_that_nobody_knows_take_one_channel(rebuild: Rebuild) -> None:
    rebuild.begin()
    assert rebuild.bench.funds.rehold([TOLD._replace(sides=(0, 0))]) == [Applied(120, 0)]
    rebuild.arm()
    found = balance(rebuild.bench, CUSTOMER)
    assert (found.channels, found.channels_out, found.channels_in) == (1, 0, 0)
    rebuild.bench.funds.batch([Release("a:4", "a", 4, ended("cancelled"))])
    assert balance(rebuild.bench, CUSTOMER).channels == 0


def test_legs_that_are_too_long_are_left_out(rebuild: Rebuild) -> None:
    """The hold matters more than who could end the call after its node died."""
    rebuild.begin()
    assert rebuild.bench.funds.rehold([TOLD._replace(legs=b"x" * (LEGS_MAX + 1))]) == [Applied(120, 0)]
    assert rebuild.found().legs == b""


def test_a_repetition_says_so_and_brings_what_has_happened_since(rebuild: Rebuild) -> None:
    """A node that restarts its telling may know of the answer by then."""
    rebuild.begin()
    got = [rebuild.bench.funds.rehold([told]) for told in (RINGING, RINGING, TOLD._replace(seq=0))]
    assert got == [[Applied(120, 0)], [Replayed(120, 0)], [Replayed(120, 0)]]
    assert rebuild.found().state == "answered"


def test_an_old_dump_is_corrected_and_keeps_what_stands_in_it(rebuild: Rebuild) -> None:
    """The time of the answer by Redis' clock, and the answers to operations, which may be repeated."""
    bench = rebuild.bench
    reserve(bench, "a", chain())
    answer = Answer("a:1", "a", 1, 120, 31, 1_770_000_000_000)
    bench.funds.batch([answer])
    answered_ms, dump = rebuild.found().answered_ms, bench.remember()
    bench.funds.batch([extend("a", 2, HoldRow(180, (1800, 1200)))])
    rebuild.begin(dump)

    later = TOLD._replace(seq=2, granted_s=180, held=(1800, 1200), posted=(0, 0), billed_s=0)
    assert bench.funds.rehold([later]) == [Applied(180, 2)]
    found = rebuild.found()
    assert (found.granted_s, found.held, found.seq, found.answered_ms) == (180, (1800, 1200), 2, answered_ms)
    rebuild.arm()
    assert isinstance(bench.funds.batch([answer])[0], Replayed)


def test_what_redis_knows_later_than_the_node_stays_and_is_marked(rebuild: Rebuild) -> None:
    """An extension whose answer was lost: it is repeated and gets its answer. The longer lease stays."""
    bench = rebuild.bench
    reserve(bench, "a", chain())
    more = extend("a", 2, HoldRow(180, (1800, 1200)))
    bench.funds.batch([Answer("a:1", "a", 1, 120), more])
    before = rebuild.found()
    rebuild.begin(bench.remember())
    told = TOLD._replace(seq=1, posted=(0, 0), billed_s=0, lease_s=1)
    assert bench.funds.rehold([told]) == [Replayed(180, 3)]
    assert rebuild.found() == before._replace(adopted_epoch=NEXT)
    rebuild.arm()
    assert isinstance(bench.funds.batch([more])[0], Replayed)


def test_a_lease_that_is_past_is_moved_when_what_redis_knows_stays(rebuild: Rebuild) -> None:
    bench = rebuild.bench
    reserve(bench, "a", chain())
    bench.funds.batch([Answer("a:1", "a", 1, 120)])
    bench.expire_lease("a")
    rebuild.begin(bench.remember())
    bench.funds.rehold([RINGING])
    assert rebuild.found().lease_ms > bench.now_ms()


@pytest.mark.parametrize("first", ["n1", "n2"])
def test_of_two_nodes_that_tell_one_call_the_one_that_adopted_it_has_it(rebuild: Rebuild, first: str) -> None:
    """Who adopted has the higher sequence, whoever tells first."""
    rebuild.begin()
    told = {"n1": TOLD, "n2": TOLD._replace(seq=4)}
    second = "n2" if first == "n1" else "n1"
    results = [rebuild.bench.rehold_of(node, [told[node]])[0] for node in (first, second)]
    assert [type(got) for got in results] == [Applied, Replayed]
    assert (rebuild.found().node, rebuild.found().seq) == ("n2", 4)


def test_of_two_nodes_that_tell_one_call_with_one_sequence_the_first_has_it(rebuild: Rebuild) -> None:
    rebuild.begin()
    assert isinstance(rebuild.bench.rehold_of("n2", [TOLD])[0], Applied)
    assert isinstance(rebuild.bench.rehold_of("n1", [TOLD])[0], Replayed)
    assert rebuild.found().node == "n2"


def test_a_call_that_has_ended_is_never_held_again(rebuild: Rebuild) -> None:
    """Its event is in the stream, or a rebuild has voided it: its node hears of it with its next operation."""
    bench = rebuild.bench
    for rid in ("a", "b"):
        reserve(bench, rid, chain())
    bench.funds.batch([Settle("a:1", "a", 1, 30, (300, 200), ended()), Release("c:1", "c", 1, ended("failed"))])
    rebuild.begin(bench.remember())
    bench.keeper.void("b")
    bench.call_nodes(NEXT)
    for rid in ("a", "b", "c"):
        (got,) = bench.funds.rehold([TOLD._replace(rid=rid, op_id=f"{rid}:0", seq=9)])
        assert isinstance(got, Invalid)
        assert rebuild.found(rid).state in ("settled", "void")


def test_a_node_says_that_it_has_told_all(rebuild: Rebuild) -> None:
    rebuild.begin()
    assert rebuild.bench.funds.adopted(NEXT, 0)
    assert rebuild.bench.adopted() == {NODE: (NEXT, 0)}
    assert rebuild.bench.funds.adopted(NEXT, 1000)
    assert not rebuild.bench.funds.adopted(NEXT + 1, 7)
    assert rebuild.bench.adopted() == {NODE: (NEXT, 1000)}


@pytest.mark.parametrize(
    ("seq", "billed_s", "posted", "rest"),
    [(2, 10, (100, 67), (1400, 933)), (3, 60, (600, 400), (900, 600)), (9, 0, (0, 0), (1500, 1000))],
    ids=["an acknowledged part was lost", "an answer was lost", "all parts were lost"],
)
def test_what_parts_have_charged_is_what_postgres_says(
    rebuild: Rebuild, seq: int, billed_s: int, posted: tuple[int, int], rest: tuple[int, int]
) -> None:
    """The end charges exactly the rest, and no operation passes for one that Postgres has."""
    rebuild.begin()
    rebuild.bench.funds.rehold([TOLD._replace(granted_s=180, held=(1800, 1200))])
    rebuild.bench.keeper.amend("a", seq, billed_s, posted)
    found = rebuild.found()
    assert (found.posted, found.billed_s, found.seq) == (posted, billed_s, max(3, seq))
    rebuild.arm()
    rich(rebuild.bench, CUSTOMER, RESELLER)
    last = max(3, seq)
    repeated, end = (Settle(f"a:{n}", "a", n, 150, (1500, 1000), ended()) for n in (last, last + 1))
    assert [type(got) for got in rebuild.bench.funds.batch([repeated, end])] == [Invalid, Applied]
    (event,) = rebuild.bench.events()
    assert tuple(posting.amount_micros for posting in event.postings) == rest
    assert event.billed_before_s == billed_s
    assert balance(rebuild.bench, CUSTOMER).held_micros == 0


@pytest.mark.parametrize(
    ("seq", "billed_s", "posted"),
    [(3, 121, (0, 0)), (3, -1, (0, 0)), (-1, 0, (0, 0)), (3, 0, (0,)), (3, 0, (1201, 0)), (3, 0, (-1, 0))],
)
def test_what_a_call_cannot_have_paid_is_refused(
    rebuild: Rebuild, seq: int, billed_s: int, posted: tuple[int, ...]
) -> None:
    rebuild.begin()
    rebuild.bench.funds.rehold([TOLD])
    before = rebuild.found()
    with pytest.raises(ValueError, match=r"amount|billed|sequence"):
        rebuild.bench.keeper.amend("a", seq, billed_s, posted)
    assert rebuild.found() == before


def test_only_an_open_call_of_an_unarmed_redis_is_amended(rebuild: Rebuild) -> None:
    rebuild.begin()
    rebuild.bench.funds.rehold([TOLD, RINGING._replace(rid="b", op_id="b:0")])
    for rid in ("b", "c"):
        with pytest.raises(ValueError, match=r"only"):
            rebuild.bench.keeper.amend(rid, 9, 30, (300, 200))
    rebuild.arm()
    with pytest.raises(ValueError, match="only while unarmed"):
        rebuild.bench.keeper.amend("a", 9, 30, (300, 200))


def test_an_end_that_redis_has_lost_is_told_again_as_a_late_one(rebuild: Rebuild) -> None:
    """What the agent does after an arming: known ends are replayed, lost ones are unknown and come late, once."""
    bench = rebuild.bench
    ends = [Settle(f"{rid}:1", rid, 1, 30, (300, 200), ended()) for rid in ("a", "b")]
    reserve(bench, "a", chain())
    bench.funds.batch(ends[:1])
    dump = bench.remember()
    reserve(bench, "b", chain())
    bench.funds.batch(ends[1:])
    rebuild.begin(dump)
    rebuild.arm()
    assert [type(got) for got in bench.funds.batch(ends)] == [Replayed, Unknown]
    late = Late("b:2", "b", 2, codec.pack(pinned("b")), ended())
    assert [type(got) for got in bench.funds.batch([late, late])] == [Applied, Replayed]
    assert [(event.kind, event.rid) for event in bench.events()] == [("settle", "a"), ("late", "b")]
    assert isinstance(reserve(bench, "b", chain()), Void)


def test_many_reservations_are_described_at_once(rebuild: Rebuild) -> None:
    """As each by itself; what is not known is left out."""
    bench = rebuild.bench
    for number in range(3):
        reserve(bench, f"r{number}", chain())
    bench.funds.batch([Answer("r1:1", "r1", 1, 60)])
    rids = [f"r{number}" for number in range(5)]
    assert bench.funds.described(rids) == {rid: bench.funds.describe(rid) for rid in rids[:3]}
    assert bench.funds.described(()) == {}


def test_a_call_that_was_held_again_can_be_held_again(rebuild: Rebuild) -> None:
    """A rebuild that broke off begins with another epoch; parts paid in between count."""
    rebuild.begin()
    rebuild.bench.funds.rehold([TOLD])
    rebuild.arm()
    rebuild.bench.funds.batch([Part("a:4", "a", 4, 60, (600, 400), ended("talking"))])
    dump = rebuild.bench.remember()
    rebuild.begin(dump)
    rebuild.bench.call_nodes(NEXT + 1)
    again = TOLD._replace(epoch=NEXT + 1, seq=4, posted=(600, 400), billed_s=60)
    assert isinstance(rebuild.bench.funds.rehold([again])[0], Applied)
    assert (rebuild.found().adopted_epoch, rebuild.found().posted) == (NEXT + 1, (600, 400))


def test_the_workers_user_tells_its_calls_and_no_more(redis_client: RedisClient, redis_worker_url: str) -> None:
    """It may neither call for calls nor say what Postgres has, nor set what is held: all that is settlement's."""
    worker = RedisClient(redis_worker_url, 2_000)
    funds = Funds(worker, NODE, GRACE_S)
    redis_client.execute("SET", keys.BUILDING, NEXT)
    assert funds.rehold([TOLD]) == [Applied(120, 0)]
    assert funds.adopted(NEXT, 1)
    attempts: list[Callable[[], object]] = [
        lambda: funds.amend("a", 3, 30, (300, 200)),
        lambda: funds.void("a"),
        lambda: funds.recount(CUSTOMER, 0, 0, 0, 0),
        lambda: worker.execute("SET", keys.BUILDING, NEXT),
        lambda: worker.execute("DEL", keys.BUILDING),
        lambda: worker.execute("DEL", keys.ADOPTED),
    ]
    for attempt in attempts:
        with pytest.raises(FunctionFailed, match=r"permission|can't run"):
            attempt()
    worker.close()


def test_terms_are_not_needed_to_hold_again(rebuild: Rebuild) -> None:
    """The sync may bring them later; a fund that is gone holds nothing that anybody counts."""
    rebuild.begin()
    rebuild.bench.set_terms(CUSTOMER, FundTerms(1, 0))
    assert isinstance(rebuild.bench.funds.rehold([TOLD])[0], Applied)
