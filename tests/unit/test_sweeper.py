"""When a lease is over, and what becomes of the reservation behind it."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kemi import codec
from kemi.adapters.redis_operations import Release, Reservation, Settle
from kemi.core.rating import charges, price
from kemi.records import Band, CallEnd, PinnedCall, PinnedTarget, Rate
from tests.fakes import calls
from tools.settle.sweeper import LeaseWatch, Signs, ending

NOW_MS = 1_770_000_100_000
TTL_S = 70.0


def watched(leases: Mapping[str, int], redis_ms: int = NOW_MS, now_s: float = 1_000.0) -> LeaseWatch:
    watch = LeaseWatch(TTL_S)
    watch.see(leases, redis_ms, now_s)
    return watch


def test_a_lease_is_due_when_its_time_is_over_by_our_own_clock() -> None:
    watch = watched({"r1": NOW_MS + 30_000})
    assert not watch.is_due("r1", 1_029.9)
    assert watch.is_due("r1", 1_030.0)


def test_a_forward_step_of_redis_clock_makes_no_lease_due() -> None:
    """Redis jumps an hour ahead: every lease looks past, but ours has 30 s left, in which its node moves it."""
    watch = watched({"r1": NOW_MS + 30_000})
    watch.see({"r1": NOW_MS + 30_000}, NOW_MS + 3_600_000, 1_001.0)
    assert not watch.is_due("r1", 1_001.0)
    watch.see({"r1": NOW_MS + 3_660_000}, NOW_MS + 3_600_000, 1_002.0)
    assert not watch.is_due("r1", 1_061.9)
    assert watch.is_due("r1", 1_062.0)


def test_a_lease_that_was_past_when_first_seen_gets_the_full_time() -> None:
    """After a start nothing tells whether the lease is dead or the clock has jumped."""
    watch = watched({"r1": NOW_MS - 1})
    assert not watch.is_due("r1", 1_000.0 + TTL_S - 0.1)
    assert watch.is_due("r1", 1_000.0 + TTL_S)


def test_after_an_outage_of_redis_every_node_has_the_full_time_again() -> None:
    """Nobody could move a lease meanwhile: calls that went on beyond what is held are extended now."""
    watch = watched({"r1": NOW_MS + 10_000})
    watch.forget()
    assert not watch.is_due("r1", 1_060.0)
    watch.see({"r1": NOW_MS + 10_000}, NOW_MS + 60_000, 1_060.0)
    assert not watch.is_due("r1", 1_060.0 + TTL_S - 0.1)
    assert watch.is_due("r1", 1_060.0 + TTL_S)


def test_a_lease_that_is_gone_or_was_never_seen_is_not_due() -> None:
    watch = watched({"r1": NOW_MS})
    watch.see({}, NOW_MS, 1_001.0)
    assert not watch.is_due("r1", 9_999.0)
    assert not watch.is_due("r2", 9_999.0)


def reservation(
    state: str, targets: tuple[PinnedTarget, ...] = (), node: str = "n1", server_id: int = 0
) -> Reservation:
    wholesale = Rate(per_min_micros=30_000, first_s=30, next_s=6)
    pinned = calls.call("r1", [calls.leg(1, 5, 2), calls.leg(2, 2, 1, wholesale)], targets)
    return Reservation(
        pinned=codec.pack(pinned),
        funds=("5:EUR", "2:EUR"),
        granted_s=40,
        held=(price(calls.RETAIL, 40), price(wholesale, 40)),
        answered_ms=NOW_MS - 60_000,
        seq=2,
        state=state,
        node=node,
        lease_ms=NOW_MS - 1,
        server_id=server_id,
    )


def signs(**nodes: int) -> Signs:
    return Signs(NOW_MS, {}, nodes)


def ended(operation: object) -> CallEnd:
    assert isinstance(operation, Settle | Release)
    return codec.unpack(CallEnd, operation.end)


def test_an_answered_call_is_charged_what_was_granted() -> None:
    """Both funds pay what they hold for 40 s, each by its own increments; the record says that it is an estimate."""
    operation = ending("r1", 2, reservation("answered", (calls.carrier(7), calls.carrier(8)), server_id=8), signs())
    assert isinstance(operation, Settle)
    assert (operation.seq, operation.billed_s, operation.price_micros) == (3, 40, reservation("answered").held)
    end = ended(operation)
    assert (end.outcome, end.ended_by, end.server_id) == ("estimated", "sweeper", 8)
    assert end.ended_ms == end.answered_ms + 40_000


@pytest.mark.parametrize(
    ("silent_ms", "reason"),
    [(0, "lease"), (10_000, "lease"), (10_001, "node_lost")],
)
def test_a_call_not_known_as_answered_is_never_charged(silent_ms: int, reason: str) -> None:
    """Nobody knows: a node that lives may have died and come back, or its word of the answer was lost."""
    operation = ending("r1", 0, reservation("held"), signs(n1=NOW_MS - silent_ms))
    assert isinstance(operation, Release)
    assert (ended(operation).outcome, ended(operation).reason) == ("unknown_end", reason)


def test_a_node_never_heard_of_is_a_silent_one() -> None:
    assert ended(ending("r1", 0, reservation("held"), signs(n2=NOW_MS))).outcome == "unknown_end"


def test_a_lease_without_a_reservation_is_released() -> None:
    operation = ending("r1", -1, None, signs())
    assert isinstance(operation, Release)
    assert operation.seq == 0


def test_unreadable_bytes_charge_nothing() -> None:
    broken = reservation("answered")._replace(pinned=b"\x91\x01")
    assert isinstance(ending("r1", 2, broken, signs()), Release)


def test_operation_ids_are_the_sweepers_own() -> None:
    """Agents use `<rid>:<sequence>`; two sweepers that act on the same sight use the same id."""
    first, second = (ending("r1", 2, reservation("answered"), signs()) for _ in range(2))
    assert first.op_id == second.op_id == "r1:sweep:3"


def banded(node_answered_ms: int, held_micros: int, billed_s: int = 0, posted_micros: int = 0) -> Reservation:
    """Return an answered call of 40 granted s that costs 1,000 a second, and ten times that from NOW_MS on."""
    bands = (Band(NOW_MS, 60_000), Band(0, 600_000))
    leg = calls.leg(1, 5, 2)._replace(bands=bands)
    return Reservation(
        pinned=codec.pack(calls.call("r1", [leg])),
        funds=("5:EUR",),
        granted_s=40,
        held=(held_micros,),
        answered_ms=NOW_MS - 10_000,
        seq=2,
        state="answered",
        node="n1",
        lease_ms=NOW_MS - 1,
        posted=(posted_micros,),
        billed_s=billed_s,
        node_answered_ms=node_answered_ms,
    )


def test_prices_count_from_the_answer_as_the_node_saw_it() -> None:
    """Seen by the node 12 s before the dear hour, by Redis 10 s before it: 12 cheap seconds, 28 dear ones."""
    operation = ending("r1", 2, banded(NOW_MS - 12_000, 292_000), signs())
    assert isinstance(operation, Settle)
    assert (operation.billed_s, operation.price_micros) == (40, (292_000,))
    assert ended(operation).answered_ms == NOW_MS - 12_000


def test_what_the_hold_does_not_pay_for_is_not_asked() -> None:
    """Only Redis knows the answer, 2 s too late, and 40 s would cost 310,000: 38 s cost 290,000, which is held."""
    operation = ending("r1", 2, banded(0, 292_000), signs())
    assert isinstance(operation, Settle)
    assert (operation.billed_s, operation.price_micros) == (38, (290_000,))
    assert ended(operation).talk_ms == 38_000


def test_what_parts_have_charged_stays_charged() -> None:
    """The price is that of the whole call; Redis takes off what was posted. Never fewer seconds than were billed."""
    found = banded(NOW_MS - 12_000, 292_000, billed_s=20, posted_micros=92_000)
    operation = ending("r1", 2, found, signs())
    assert isinstance(operation, Settle)
    assert operation.price_micros == (292_000,)
    broken = ending("r1", 2, found._replace(held=(91_000,)), signs())
    assert isinstance(broken, Settle)
    assert broken.billed_s == 20
    leg = codec.unpack(PinnedCall, found.pinned).legs
    assert broken.price_micros == charges([leg], 20, NOW_MS - 12_000)
