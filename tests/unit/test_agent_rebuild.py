"""A node whose Redis loses what it had acknowledged: it tells its calls, and later the ends that it had told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from kemi.adapters.journal import Journal
from kemi.adapters.ksr_queue import Failed
from kemi.adapters.redis_operations import Reservation
from kemi.core.outcome import IN, OUT
from kemi.records import CallEvent
from tests.fakes.fund_rows import OPEN, FundState
from tests.unit.test_agent import FUND, START_MS, S, World, rid
from tests.unit.test_agent_adoption import Another, run

NEXT = 2


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a node with slices of twenty seconds."""
    return World(tmp_path, slice_s=20, grace_s=10)


def empty(world: World) -> None:
    """Let Redis lose all but its configuration."""
    funds = world.funds
    funds.states, funds._rows, funds.leases, funds.events = {}, {}, {}, []
    funds.epoch = funds.armed_epoch = funds.opseq = 0


def remember(world: World) -> Callable[[], None]:
    """Return what lets Redis forget all that happens from now on."""
    funds = world.funds
    rows = {name: replace(row, ops=dict(row.ops)) for name, row in funds._rows.items()}
    leases, states, events, opseq = (
        dict(funds.leases),
        {FUND: replace(funds.states[FUND])},
        list(funds.events),
        funds.opseq,
    )

    def roll_back() -> None:
        funds._rows, funds.leases, funds.states, funds.events, funds.opseq = rows, leases, states, events, opseq
        funds.armed_epoch = 0

    return roll_back


def many(folder: Path, count: int) -> World:
    """Give a node with so many ringing calls."""
    world = World(folder, credit_micros=10**9)
    for number in range(count):
        world.hear(world.call(rid(number), granted_s=20))
        if number % 500 == 0:
            world.agent.tick()
    world.run(1)
    return world


def arm(world: World, epoch: int = NEXT, charged: int = 0, n: int = 0) -> None:
    """Do what settlement does: dismiss the nodes, take the charges from Postgres, count what is held, open."""
    funds = world.funds
    funds.building = 0
    rows = [row for row in funds._rows.values() if row.phase in OPEN]
    held = sum(row.held[0] - row.posted[0] for row in rows)
    sides = [row.sides[0] for row in rows]
    channels = len(rows), sum(bool(side & IN) for side in sides), sum(bool(side & OUT) for side in sides)
    funds.states = {FUND: FundState(charged, held, channels[0], n, 0, 0, channels[1], channels[2])}
    funds.arm(max(epoch, funds.epoch))


def rebuild(world: World, for_s: float = 0.5, epoch: int = NEXT) -> None:
    """Call the node, and arm."""
    world.funds.building = epoch
    world.run(world.now_ns / S + for_s)
    arm(world, epoch)


def reservation(world: World, number: int = 1) -> Reservation:
    found = world.funds.describe(rid(number))
    assert found is not None
    return found


def told(world: World) -> dict[str, tuple[int, int]]:
    return world.funds.adopted_nodes


def ends(world: World) -> list[CallEvent]:
    return [event for event in world.funds.events if event.kind != "part"]


def test_calls_that_talk_and_ring_are_told_and_go_on(world: World) -> None:
    """Their reservations are what they were; the one that talks is extended and ends exactly, the other is answered."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(3)
    world.hear(world.call(rid(2), granted_s=20)._replace(sides=(OUT,)))
    world.run(4)
    before = reservation(world), reservation(world, 2)
    empty(world)
    world.funds.building = NEXT
    world.run(4.3)
    assert told(world) == {"n1": (NEXT, 2)}
    talking, ringing = reservation(world), reservation(world, 2)
    assert talking == before[0]._replace(
        adopted_epoch=NEXT, sides=(0,), lease_ms=talking.lease_ms, answered_ms=START_MS
    )
    assert ringing == before[1]._replace(adopted_epoch=NEXT, lease_ms=ringing.lease_ms)
    assert abs(talking.lease_ms - before[0].lease_ms) <= 1_000
    assert abs(ringing.lease_ms - before[1].lease_ms) <= 1_000

    arm(world)
    world.hear(world.answer(rid(2)))
    world.run(18)
    assert (reservation(world).granted_s, reservation(world, 2).state) == (40, "answered")
    world.hear(world.end(rid()), world.end(rid(2)))
    world.run(19)
    assert [(event.kind, event.epoch, event.end.billed_s) for event in ends(world)] == [
        ("settle", NEXT, 18),
        ("settle", NEXT, 14),
    ]
    assert (world.status()["invalid"], world.status()["told_again"], world.ksr.requests) == (0, 2, [])
    assert (world.funds.states[FUND].held, world.funds.states[FUND].channels) == (0, 0)


def test_a_call_ends_with_its_money_after_a_rebuild(tmp_path: Path) -> None:
    """Nobody talks for nothing, and nobody pays twice: 25 s are paid, 3 of them before Redis was emptied."""
    world = World(tmp_path, credit_micros=25_000, slice_s=20, part_s=3, grace_s=10)
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(4)
    (part,) = world.funds.events
    empty(world)
    world.funds.building = NEXT
    world.run(4.5)
    assert (reservation(world).posted, reservation(world).billed_s) == ((3_000,), 3)
    arm(world, charged=3_000, n=1)
    world.run(26)

    (end,) = ends(world)
    assert (end.end.ended_by, end.end.billed_s) == ("money", 25)
    charged = [part.postings[0].amount_micros, *(each.postings[0].amount_micros for each in world.funds.events)]
    assert (sum(charged), world.funds.states[FUND].charged) == (25_000, 25_000)


def test_a_call_that_only_workers_know_is_told_before_the_node_says_that_this_was_all(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message of its hold waits behind more than the agent hears in a turn."""
    monkeypatch.setattr("kemi.agent.MESSAGES_MAX", 2)
    queued = world.call(rid(), granted_s=20)
    empty(world)
    world.funds.building = NEXT
    world.hear(*(world.end(rid(number)) for number in range(100, 108)), queued)
    world.run(0.2)
    assert told(world) == {}
    world.run(0.5)
    assert told(world) == {"n1": (NEXT, 1)}
    assert reservation(world).adopted_epoch == NEXT


def test_a_hold_of_which_a_worker_tells_late_is_told_late(world: World) -> None:
    queued = world.call(rid(), granted_s=20)
    empty(world)
    world.funds.building = NEXT
    world.run(0.5)
    assert told(world) == {"n1": (NEXT, 0)}
    world.hear(queued)
    world.run(0.6)
    assert told(world) == {"n1": (NEXT, 1)}


def test_a_hold_that_comes_after_all_is_over_holds_nothing_and_its_call_is_cut_with_its_answer(world: World) -> None:
    queued = world.call(rid(), granted_s=20)
    empty(world)
    rebuild(world)
    world.hear(queued, world.answer(rid()))
    world.run(1)
    assert [words[0] for words in world.ksr.did("tm.t_uac_send")] == ["BYE", "BYE"]
    (event,) = ends(world)
    assert (event.kind, event.end.ended_by) == ("late", "lost_hold")


def test_a_charge_that_waits_is_held_until_it_is_told(world: World) -> None:
    """The call is over, its money is not free: it is settled as if nothing had been, and charged once."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(5)
    world.funds.down = True
    world.hear(world.end(rid()))
    world.run(6)
    empty(world)
    world.funds.down = False
    world.funds.building = NEXT
    world.run(7)
    found = reservation(world)
    assert (found.state, found.held, found.granted_s, found.adopted_epoch) == ("answered", (5_000,), 5, NEXT)
    arm(world)
    assert world.funds.states[FUND].held == 5_000
    world.run(8)
    (event,) = world.funds.events
    assert (event.kind, event.end.billed_s, event.postings[0].amount_micros) == ("settle", 5, 5_000)
    assert (world.funds.states[FUND].held, world.status()["spool"], world.status()["dead"]) == (0, 0, 0)


def test_a_charge_that_waits_knows_what_its_parts_have_paid(tmp_path: Path) -> None:
    """Settlement need not guess how many seconds they were."""
    world = World(tmp_path, slice_s=20, part_s=3, grace_s=10)
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(4)
    world.funds.armed_epoch = 0
    world.hear(world.end(rid()))
    world.run(5)
    empty(world)
    world.funds.building = NEXT
    world.run(5.5)
    found = reservation(world)
    assert (found.held, found.posted, found.billed_s) == ((4_000,), (3_000,), 3)
    arm(world, charged=3_000, n=1)
    world.run(7)
    (event,) = world.funds.events
    assert (event.kind, event.postings[0].amount_micros, event.billed_before_s) == ("settle", 1_000, 3)


@pytest.mark.parametrize("spooled", [False, True])
def test_an_answer_that_waits_before_its_charge_is_taken_too(world: World, *, spooled: bool) -> None:
    """A short call of which Redis has heard nothing but the hold: both are told as they would have been."""
    queued = world.call(rid(), granted_s=20)
    world.funds.armed_epoch = 0
    world.hear(queued, world.answer(rid()))
    world.run(1)
    world.hear(world.end(rid()))
    world.run(2)
    if spooled:
        world.agent = world.new_agent()
    empty(world)
    rebuild(world)
    assert reservation(world).held == (1_000,)
    world.run(4)
    (event,) = world.funds.events
    assert (event.kind, event.end.billed_s) == ("settle", 1)
    assert (world.status()["invalid"], world.status()["spool"]) == (0, 0)


def test_a_charge_that_waits_since_the_last_life_is_held_too(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(5)
    world.funds.down = True
    world.hear(world.end(rid()))
    world.run(6)
    empty(world)
    world.agent = world.new_agent()
    world.funds.down = False
    world.funds.building = NEXT
    world.run(7)
    assert reservation(world).held == (5_000,)


def test_an_emergency_call_holds_nothing_and_is_not_told(world: World) -> None:
    held = world.call(rid(), granted_s=20)
    empty(world)
    world.hear(held._replace(is_held=False), world.answer(rid()))
    world.funds.building = NEXT
    world.run(1)
    assert (told(world), world.funds.describe(rid())) == ({"n1": (NEXT, 0)}, None)


def test_what_an_operation_on_its_way_would_change_is_not_told(world: World) -> None:
    """Its answer may never have come: it is repeated with its id once Redis is armed, and applied."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(10)
    empty(world)
    world.run(16)
    world.funds.building = NEXT
    world.run(16.5)
    assert (reservation(world).granted_s, reservation(world).seq) == (20, 1)
    arm(world)
    world.run(19)
    assert (reservation(world).granted_s, reservation(world).seq) == (40, 2)
    assert world.status()["invalid"] == 0


def test_an_extension_whose_answer_was_lost_stays_and_is_repeated(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(14.9)
    world.funds.lost = 1
    world.run(15.1)
    world.funds.armed_epoch = 0
    world.funds.building = NEXT
    world.run(15.5)
    assert (reservation(world).granted_s, reservation(world).adopted_epoch) == (40, NEXT)
    arm(world)
    world.run(21)
    assert (world.status()["talking"], world.status()["invalid"], world.ksr.requests) == (1, 0, [])


@pytest.mark.parametrize(
    ("posted", "billed_s", "seq"), [((0,), 0, 1), ((6_000,), 6, 3)], ids=["an event was lost", "an answer was lost"]
)
def test_a_call_goes_on_with_what_postgres_has_of_its_parts(
    tmp_path: Path, posted: tuple[int, ...], billed_s: int, seq: int
) -> None:
    """Whatever its node believes: in all exactly what was talked is charged, each second once."""
    world = World(tmp_path, slice_s=20, part_s=3, grace_s=10)
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(5)
    empty(world)
    world.funds.building = NEXT
    world.run(6.5)
    world.funds.amend(rid(), seq, billed_s, posted)
    arm(world, charged=posted[0], n=1)
    world.run(11)
    world.hear(world.end(rid()))
    world.run(12)

    charged = [event.postings[0].amount_micros for event in world.funds.events]
    assert posted[0] + sum(charged) == world.funds.states[FUND].charged == 11_000
    assert world.funds.events[0].billed_before_s == billed_s
    assert ends(world)[0].end.billed_s == 11
    assert (world.ksr.requests, world.funds.states[FUND].held) == ([], 0)


def test_a_call_that_settlement_has_voided_is_cut_and_told_late(world: World) -> None:
    """Postgres has its end: nobody talks on without a hold."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(5)
    empty(world)
    world.funds.building = NEXT
    world.run(5.5)
    world.funds.void(rid())
    arm(world)
    world.run(16)
    (event,) = world.funds.events
    assert (event.kind, event.end.ended_by) == ("late", "lost_hold")
    assert [words[0] for words in world.ksr.did("tm.t_uac_send")] == ["BYE", "BYE"]


@pytest.mark.parametrize("spooled", [False, True])
def test_calls_of_the_life_before_are_told_where_they_can_be_carried_on(world: World, *, spooled: bool) -> None:
    """From an old dump: the one that talks; the one whose answer is only noted; not the one that rang.

    spooled: something waits to be told, so nothing was looked at for adoption yet.
    """
    world.hear(*(message for n in (1, 4) for message in (world.call(rid(n), granted_s=20), world.answer(rid(n)))))
    world.run(1)
    for number in (2, 3):
        world.call(rid(number), granted_s=20)
    world.funds.down = spooled
    world.hear(world.end(rid(4)))
    world.run(1.5)
    world.funds.down = False
    Journal(world.settings.spool_dir, world.boot_id, lambda: world.now_ns).note(world.answer(rid(2)))
    world.now_ns += S
    world.ksr.tables["noc"]["boot"] = str(START_MS + world.now_ns // 1_000_000)
    world.funds.armed_epoch = 0
    world.agent = world.new_agent()
    world.funds.building = NEXT
    world.run(3)

    assert told(world) == {"n1": (NEXT, 2 + spooled)}
    assert [reservation(world, number).adopted_epoch for number in (1, 2, 3)] == [NEXT, NEXT, 0]
    assert reservation(world, 2).state == "answered"
    world.funds.void(rid(3))
    arm(world)
    world.run(16)
    assert (world.status()["talking"], world.status()["adopted"]) == (2, 2)
    assert reservation(world).granted_s == 40


def test_redis_going_away_while_calls_are_told_loses_none(tmp_path: Path) -> None:
    world = many(tmp_path, 3_000)
    empty(world)
    world.funds.building = NEXT
    world.run(1.15)
    assert 0 < len(world.funds.leases) < 3_000
    world.funds.down = True
    world.run(2)
    world.funds.down = False
    world.run(3)
    assert told(world) == {"n1": (NEXT, 3_000)}
    assert len(world.funds.leases) == 3_000


def test_a_rebuild_that_begins_again_is_told_everything_again(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(1)
    empty(world)
    world.funds.building = NEXT
    world.run(1.5)
    empty(world)
    world.funds.building = NEXT + 1
    world.run(2)
    assert told(world) == {"n1": (NEXT + 1, 1)}
    assert reservation(world).adopted_epoch == NEXT + 1


@pytest.mark.parametrize("saw_it_armed", [True, False])
def test_another_redis_that_is_rebuilt_for_the_same_number_is_told_everything_again(
    world: World, *, saw_it_armed: bool
) -> None:
    """Postgres was put back, too, so it counts the same epoch again; the node may have missed that it was armed."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(1)
    empty(world)
    world.funds.building = NEXT
    world.run(1.5)
    if saw_it_armed:
        arm(world)
        world.run(1.6)
    empty(world)
    world.funds.adopted_nodes.clear()
    world.funds.building = NEXT
    world.store.connections += not saw_it_armed
    world.run(2)
    assert told(world) == {"n1": (NEXT, 1)}
    assert reservation(world).adopted_epoch == NEXT


def test_a_rebuild_that_is_over_in_the_middle_of_the_telling_is_left_alone(tmp_path: Path) -> None:
    world = many(tmp_path, 3_000)
    empty(world)
    world.funds.building = NEXT
    world.run(1.15)
    arm(world)
    world.run(3)
    assert told(world) == {}
    assert world.status()["invalid"] == 0
    assert world.status()["told_again"] < 3_000


def test_a_call_for_calls_that_was_left_over_means_nothing(world: World) -> None:
    """A rebuild broke off, and a later one kept everything and armed."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(1)
    world.funds.armed_epoch = 0
    world.run(2)
    world.funds.building = NEXT
    world.funds.arm(NEXT + 1)
    trips = world.store.round_trips
    world.run(3)
    assert (told(world), world.status()["told_again"]) == ({}, 0)
    assert world.store.round_trips - trips < 25


def test_a_call_that_ends_while_it_waits_to_be_told_is_held_until_it_is_settled(tmp_path: Path) -> None:
    """The node tells a thousand calls a turn; the last of three thousand is cancelled meanwhile."""
    world = many(tmp_path, 3_000)
    empty(world)
    world.funds.building = NEXT
    world.run(1.15)
    assert rid(2_999) not in world.funds.leases
    world.hear(Failed(rid(2_999), 486, is_cancelled=False, attempts=(), ended_ms=START_MS))
    world.run(2)
    assert told(world) == {"n1": (NEXT, 3_000)}
    assert reservation(world, 2_999).state == "held"
    arm(world)
    world.run(3)
    assert [(event.kind, event.rid) for event in world.funds.events] == [("release", rid(2_999))]


def test_two_nodes_tell_each_its_own(world: World, tmp_path: Path) -> None:
    """The first was stalled when the second adopted its call, and believes that it still has it."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    other = Another(world, tmp_path)
    run(3, other, first=world, with_first=True)
    run(14, other, first=world)
    assert reservation(world).node == "n2"
    empty(world)
    world.funds.building = NEXT
    run(14.5, other, first=world, with_first=True)
    assert told(world) == {"n1": (NEXT, 1), "n2": (NEXT, 1)}
    assert reservation(world).node == "n2"
    arm(world)
    run(30, other, first=world, with_first=True)
    assert (world.status()["calls"], other.calls, world.ksr.did("tm.t_uac_send")) == (0, 1, [])


def test_what_a_node_noted_of_its_life_before_waits_until_redis_is_right(world: World) -> None:
    """Redis is empty when the node comes back, and gets its dump later: who talks by then is not forgotten."""
    world.call(rid(), granted_s=20)
    Journal(world.settings.spool_dir, world.boot_id, lambda: world.now_ns).note(world.answer(rid()))
    world.now_ns += S
    world.ksr.tables["noc"]["boot"] = str(START_MS + world.now_ns // 1_000_000)
    world.agent = world.new_agent()
    rows, leases = dict(world.funds._rows), dict(world.funds.leases)
    empty(world)
    world.run(3)
    world.funds._rows, world.funds.leases = rows, leases
    arm(world)
    world.run(5)
    assert (reservation(world).state, world.status()["talking"]) == ("answered", 1)


def test_a_bye_that_another_node_hears_while_redis_knows_nothing_ends_the_call(world: World, tmp_path: Path) -> None:
    """It asks about the call when Redis is armed: before, the answer would be that there is none."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    other = Another(world, tmp_path)
    run(3, other, first=world, with_first=True)
    empty(world)
    other.hear(world.end(rid())._replace(is_followed=False, ended_ns=world.now_ns + other.offset_ns))
    run(4, other, first=world, with_first=True)
    world.funds.building = NEXT
    run(4.5, other, first=world, with_first=True)
    assert reservation(world).node == "n1"
    arm(world)
    run(6, other, first=world, with_first=True)
    (event,) = world.funds.events
    assert (event.kind, event.end.billed_s, event.end.ended_by) == ("settle", 3, "caller")


def test_calls_of_a_silent_node_that_come_back_with_a_dump_are_adopted(world: World, tmp_path: Path) -> None:
    """They were looked for, in vain, while Redis was empty."""
    world.hear(world.call(rid(), granted_s=40), world.answer(rid()))
    other = Another(world, tmp_path)
    run(3, other, first=world, with_first=True)
    rows, leases = dict(world.funds._rows), dict(world.funds.leases)
    empty(world)
    run(14, other, first=world)
    world.funds._rows, world.funds.leases = rows, leases
    arm(world)
    run(16, other, first=world)
    assert (reservation(world).node, other.calls) == ("n2", 1)
