"""What paying in parts and carrying on by another node promise, on real Redis and on the fake."""

from __future__ import annotations

from typing import Final

import pytest

from kemi import codec
from kemi.adapters.redis_funds import (
    LEGS_MAX,
    Adopt,
    Answer,
    Applied,
    Extend,
    FundTerms,
    Invalid,
    Late,
    Operation,
    Part,
    Release,
    Replayed,
    Settle,
    Unarmed,
    Unknown,
)
from kemi.core.outcome import IN, HoldRow
from kemi.records import CallEnd, CallEvent, FundPosting
from tests.funds_bench import (
    CUSTOMER,
    EPOCH,
    GRACE_S,
    RESELLER,
    Bench,
    answered,
    balance,
    chain,
    ended,
    extend,
    hold,
    pinned,
    reserve,
    rich,
)

TALKING: Final = ended("talking")
END: Final = codec.unpack(CallEnd, TALKING)


def part(rid: str, seq: int, billed_s: int, *prices: int) -> Part:
    return Part(f"{rid}:{seq}", rid, seq, billed_s, prices, TALKING)


def settle(rid: str, seq: int, billed_s: int, *prices: int) -> Settle:
    return Settle(f"{rid}:{seq}", rid, seq, billed_s, prices, ended())


def talking(bench: Bench, rid: str = "a") -> None:
    """Let a call of a customer below a reseller be answered: 120 s for 1200 and 800."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, rid, chain())
    answered(bench, rid)


def sums(bench: Bench) -> tuple[int, int, int]:
    """Return what the customer was charged, holds, and its last event number."""
    found = balance(bench, CUSTOMER)
    return found.charged_micros, found.held_micros, found.n


# Parts ----------------------------------------------------------------------------------------------------------------


def test_a_part_moves_from_the_hold_to_the_charges(bench: Bench) -> None:
    """Channel and lease stay, one event tells of it, and the whole is never charged twice."""
    talking(bench)
    before = bench.funds.describe("a")
    parts = [part("a", 2, 30, 300, 0), part("a", 3, 60, 600, 400)]
    assert bench.funds.batch(parts) == [Applied(120, 3), Applied(120, 4)]
    assert sums(bench) == (600, 600, 2)
    assert before is not None
    assert bench.funds.describe("a") == before._replace(posted=(600, 400), billed_s=60, seq=3)
    assert bench.funds.batch([settle("a", 4, 90, 900, 600)]) == [Applied(120, 5)]
    closed = bench.funds.describe("a")
    assert closed is not None
    assert (closed.state, closed.posted, closed.billed_s) == ("settled", (900, 600), 90)
    assert sums(bench) == (900, 0, 3)
    assert (balance(bench, CUSTOMER).channels, balance(bench, RESELLER).charged_micros) == (0, 600)
    whole = codec.unpack(CallEnd, ended())
    assert bench.events() == [
        CallEvent("part", EPOCH, "a", 2, (FundPosting(CUSTOMER, 300, 1, 300),), pinned("a"), END),
        CallEvent(
            *("part", EPOCH, "a", 3),
            (FundPosting(CUSTOMER, 300, 2, 600), FundPosting(RESELLER, 400, 1, 400)),
            *(pinned("a"), END, 30),
        ),
        CallEvent(
            *("settle", EPOCH, "a", 4),
            (FundPosting(CUSTOMER, 300, 3, 900), FundPosting(RESELLER, 200, 2, 600)),
            *(pinned("a"), whole, 60),
        ),
    ]


def test_an_extension_after_a_part_holds_the_difference_only(bench: Bench) -> None:
    """Rows are totals of the call, and so is what it holds; its fund holds what is not charged yet."""
    talking(bench)
    bench.funds.batch([part("a", 2, 60, 600, 400), extend("a", 3, HoldRow(180, (1800, 1200)))])
    assert sums(bench) == (600, 1200, 1)
    found = bench.funds.describe("a")
    assert found is not None
    assert (found.held, found.posted, found.granted_s) == ((1800, 1200), (600, 400), 180)
    bench.funds.batch([part("a", 4, 180, 1800, 1200)])
    assert sums(bench) == (1800, 0, 2)


def test_a_part_leaves_as_much_to_spend_as_there_was(bench: Bench) -> None:
    """What was held is charged: nobody gains or loses a micro."""
    bench.set_terms(CUSTOMER, FundTerms(1, 1000))
    reserve(bench, "a", hold(CUSTOMER, rows=((60, 600),)))
    answered(bench, "a")
    bench.funds.batch([part("a", 2, 30, 300)])
    assert bench.funds.batch([extend("a", 3, HoldRow(100, (1000,)), HoldRow(101, (1001,)))]) == [Applied(100, 4)]


@pytest.mark.parametrize(
    "wrong",
    [
        part("a", 3, 30, 600, 400),
        part("a", 3, 29, 600, 400),
        part("a", 3, 121, 600, 400),
        part("a", 3, 60, 299, 400),
        part("a", 3, 60, 1201, 400),
        part("a", 3, 60, 600),
        part("a", 3, 60, 600, 400, 0),
        part("a", 2, 60, 600, 400),
        part("a", 3, 60, 600, 400)._replace(end=b"\xc0"),
        settle("a", 3, 29, 600, 400),
        settle("a", 3, 60, 299, 400),
        settle("a", 3, 60, 600, 199),
    ],
)
def test_a_part_or_an_end_never_goes_back(bench: Bench, wrong: Operation) -> None:
    """Seconds rise from part to part, no price falls below what is charged or above what is held; nothing changes."""
    talking(bench)
    bench.funds.batch([part("a", 2, 30, 300, 200)])
    before = bench.funds.describe("a")
    (got,) = bench.funds.batch([wrong])
    assert isinstance(got, Invalid | Replayed if wrong.op_id == "a:2" else Invalid)
    assert bench.funds.describe("a") == before
    assert sums(bench) == (300, 900, 1)
    assert len(bench.events()) == 1


def test_only_an_answered_call_pays_in_parts(bench: Bench) -> None:
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    assert isinstance(bench.funds.batch([part("a", 1, 30, 300, 200)])[0], Invalid)
    assert isinstance(bench.funds.batch([part("b", 1, 30, 300, 200)])[0], Unknown)


def test_a_part_is_charged_once_however_often_and_late_it_comes(bench: Bench) -> None:
    """Repeated, overtaken, or after the end."""
    talking(bench)
    first, second, end = part("a", 2, 30, 300, 200), part("a", 3, 60, 600, 400), settle("a", 5, 90, 900, 600)
    got = bench.funds.batch([second, first, second, end, first, second, part("a", 4, 80, 800, 500)])
    assert [type(each) for each in got] == [Applied, Invalid, Replayed, Applied, Unknown, Replayed, Unknown]
    assert sums(bench) == (900, 0, 2)
    assert [event.kind for event in bench.events()] == ["part", "settle"]


def test_a_release_after_parts_gives_back_the_rest(bench: Bench) -> None:
    """What is charged stays charged."""
    talking(bench)
    bench.funds.batch([part("a", 2, 30, 300, 200), Release("a:3", "a", 3, ended("unknown_end"))])
    assert sums(bench) == (300, 0, 1)
    assert [(event.kind, event.postings, event.billed_before_s) for event in bench.events()][1] == ("release", (), 0)


def test_an_end_that_adds_nothing_to_the_parts_posts_nothing(bench: Bench) -> None:
    """The numbers of a fund are those of its charges."""
    talking(bench)
    bench.funds.batch([part("a", 2, 90, 900, 600), settle("a", 3, 90, 900, 600)])
    assert sums(bench) == (900, 0, 1)
    assert [(event.kind, event.billed_before_s) for event in bench.events()] == [("part", 0), ("settle", 90)]


def test_parts_of_twenty_four_funds_fit(bench: Bench) -> None:
    """The largest call that can be, with charges near 2^53 at every level."""
    names = tuple(f"{account}:EUR" for account in range(101, 125))
    bench.disarm()
    for name in names:
        bench.keeper.restore_fund(name, 2**53 - 101, 1)
        bench.set_terms(name, FundTerms(1, 0, -1))
    bench.keeper.arm(EPOCH)
    reserve(bench, "a", hold(*names, rows=((60, *(100,) * 24),)))
    answered(bench, "a")
    bench.funds.batch([part("a", 2, 30, *(50,) * 24), settle("a", 3, 60, *(100,) * 24)])
    assert {found.charged_micros for found in bench.funds.balances(names)} == {2**53 - 1}
    assert [len(event.postings) for event in bench.events()] == [24, 24]


def test_a_late_end_tells_of_no_part(bench: Bench) -> None:
    """Postgres compares the whole call with what is posted."""
    talking(bench)
    late = Late("a:3", "a", 3, codec.pack(pinned("a")), ended())
    bench.funds.batch([part("a", 2, 30, 300, 200), late])
    assert [(event.kind, event.billed_before_s) for event in bench.events()] == [("part", 0), ("late", 0)]


# Another node ---------------------------------------------------------------------------------------------------------


def test_what_the_node_saw_of_the_answer_is_kept(bench: Bench) -> None:
    """The first time stays; legs are replaced by newer ones, not by none."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", chain())
    legs = bytes(range(256)) * 16
    assert len(legs) == LEGS_MAX
    answers = (
        Answer("a:1", "a", 1, 60, answered_ms=2**52 + 1, legs=b"old"),
        Answer("a:2", "a", 2, 60, answered_ms=5, legs=legs),
        Answer("a:3", "a", 3, 60, legs=legs + b"x"),
        Answer("a:4", "a", 4, 60),
    )
    assert [type(got) for got in bench.funds.batch(answers)] == [Applied] * 4
    found = bench.funds.describe("a")
    assert found is not None
    assert (found.node_answered_ms, found.legs) == (2**52 + 1, legs)
    bench.funds.batch([extend("a", 5, HoldRow(180, (1800, 1200))), part("a", 6, 1, 10, 10)])
    assert bench.funds.describe("a") == found._replace(
        granted_s=180, held=(1800, 1200), posted=(10, 10), billed_s=1, seq=6, lease_ms=_lease_ms(bench)
    )
    bench.funds.batch([settle("a", 7, 30, 300, 200)])
    closed = bench.funds.describe("a")
    assert closed is not None
    assert (closed.legs, closed.node_answered_ms) == (b"", 2**52 + 1)


def test_of_two_adopters_the_first_gets_the_call(bench: Bench) -> None:
    """The second is refused, though both used the same operation id; a repetition gets its own answer."""
    talking(bench)
    adopt = Adopt("a:2", "a", 2, 300)
    before = bench.now_ms()
    (first,) = bench.batch_of("n2", [adopt])
    (second,) = bench.batch_of("n3", [adopt])
    (again,) = bench.batch_of("n2", [adopt])
    assert (first, type(second), again) == (Applied(120, 3), Invalid, Replayed(120, 3))
    found = bench.funds.describe("a")
    assert found is not None
    assert (found.node, found.state, found.seq) == ("n2", "answered", 2)
    assert before <= found.lease_ms - (300 + GRACE_S) * 1000 <= bench.now_ms()
    assert sums(bench) == (0, 1200, 0)
    assert bench.events() == []


def test_a_call_goes_on_at_the_node_that_adopted_it(bench: Bench) -> None:
    """It extends, pays and ends it with what the reservation says."""
    talking(bench)
    operations: list[Operation] = [
        Adopt("a:2", "a", 2, 60),
        Extend("a:3", "a", 3, (HoldRow(180, (1800, 1200)),), 60),
        part("a", 4, 100, 1000, 700),
        settle("a", 5, 150, 1500, 1000),
    ]
    assert [type(got) for got in bench.batch_of("n2", operations)] == [Applied] * 4
    assert sums(bench) == (1500, 0, 2)
    # What the first node still says is too late, under whatever number.
    assert [type(got) for got in bench.funds.batch([operations[1], settle("a", 6, 10, 100, 100)])] == [Unknown, Unknown]


def test_what_ended_or_never_was_cannot_be_adopted(bench: Bench) -> None:
    talking(bench)
    bench.funds.batch([settle("a", 2, 30, 300, 200)])
    got = bench.batch_of("n2", [Adopt("a:3", "a", 3, 60), Adopt("b:1", "b", 1, 60)])
    assert [type(each) for each in got] == [Unknown, Unknown]
    bench.disarm()
    assert isinstance(bench.batch_of("n2", [Adopt("a:4", "a", 4, 60)])[0], Unarmed)


def test_a_ringing_call_can_be_adopted(bench: Bench) -> None:
    """It stays unanswered."""
    rich(bench, CUSTOMER, RESELLER)
    reserve(bench, "a", hold(CUSTOMER, RESELLER, rows=((60, 1, 1),), sides=IN))
    assert bench.batch_of("n2", [Adopt("a:1", "a", 1, 60)]) == [Applied(60, 2)]
    found = bench.funds.describe("a")
    assert found is not None
    assert (found.node, found.state, found.sides) == ("n2", "held", (IN, IN))


def test_operations_of_two_kinds_or_nodes_never_pass_for_one(bench: Bench) -> None:
    """A node that restarts counts its sequences anew, and two may think that a call is theirs."""
    talking(bench)
    taken = Extend("a:1", "a", 1, (HoldRow(180, (1800, 1200)),), 60)
    assert isinstance(bench.funds.batch([taken])[0], Invalid)
    assert isinstance(bench.batch_of("n2", [Answer("a:1", "a", 1, 120)])[0], Invalid)


def test_open_calls_are_listed_by_node(bench: Bench) -> None:
    """Each of them once, page by page, without those that ended; "" asks for all nodes."""
    rich(bench, CUSTOMER, RESELLER)
    for number in range(300):
        reserve(bench, f"c{number}", chain(((30, 1, 1),)))
    bench.batch_of("n2", [Adopt(f"c{number}:1", f"c{number}", 1, 60) for number in range(0, 300, 3)])
    bench.funds.batch([settle("c1", 2, 0, 0, 0)])
    bench.expire_lease("ghost")
    bench.expire_lease("c1")
    mine = {f"c{number}" for number in range(300) if number % 3 and number != 1}
    theirs = {f"c{number}" for number in range(0, 300, 3)}
    assert listed(bench, "n1") == sorted(mine)
    assert listed(bench, "n2") == sorted(theirs)
    assert listed(bench, "") == sorted(mine | theirs)
    assert listed(bench, "n3") == []


def listed(bench: Bench, node: str) -> list[str]:
    """Return what all pages name."""
    page = bench.funds.of_node(node, limit=50)
    found = list(page.rids)
    while page.after:
        page = bench.funds.of_node(node, page.after, 50)
        found += page.rids
    return sorted(found)


def _lease_ms(bench: Bench) -> int:
    found = bench.funds.describe("a")
    return found.lease_ms if found else 0
