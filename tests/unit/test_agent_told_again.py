"""What a node remembers of a Redis that may lose it: ends that are told again, calls through a reload of the code."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, cast

import pytest

from kemi import codec, keys
from kemi.adapters.ksr_queue import Failed, Held
from kemi.adapters.redis_operations import Part, Reservation
from kemi.agent import AGAIN_MAX
from kemi.agent_rebuild import RECENT_MAX
from kemi.agent_state import AgentState
from kemi.agent_talk import Kept, Talk, in_step, kept, unkept
from kemi.core.outcome import IN
from tests.unit.test_agent import FUND, START_MS, S, World, call_of, rid
from tests.unit.test_agent_rebuild import NEXT, arm, empty, rebuild, remember, reservation, told


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a node with slices of twenty seconds."""
    return World(tmp_path, slice_s=20, grace_s=10)


def test_ends_that_redis_has_forgotten_are_told_again_once(world: World) -> None:
    """What it still knows is replayed; the others come late. What was told long before is left alone."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(2)
    world.hear(world.end(rid()))
    world.run(63)
    world.hear(world.call(rid(2), granted_s=20), world.answer(rid(2)), world.call(rid(3), granted_s=20))
    world.run(65)
    world.hear(world.end(rid(2)))
    world.run(66)
    roll_back = remember(world)
    world.hear(world.end(rid(3)))
    world.run(67)
    assert [event.kind for event in world.funds.events] == ["settle", "settle", "release"]
    roll_back()
    world.funds.void(rid(3))
    rebuild(world)
    world.run(70)

    assert [(event.kind, event.rid) for event in world.funds.events] == [
        ("settle", rid(1)),
        ("settle", rid(2)),
        ("late", rid(3)),
    ]
    assert world.status()["ends_told_again"] == 2


def test_ends_that_an_emptied_redis_has_forgotten_come_late(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(2)
    world.hear(world.end(rid()))
    world.run(3)
    empty(world)
    rebuild(world)
    world.run(5)
    (event,) = world.funds.events
    assert (event.kind, event.end.billed_s) == ("late", 2)
    rebuild(world, epoch=NEXT + 1)
    world.run(7)
    assert [each.kind for each in world.funds.events] == ["late"]


def test_many_ends_that_are_told_again_do_not_delay_live_calls(tmp_path: Path) -> None:
    """Answers have a second; of three thousand ends each is asked about and comes late."""
    world = World(tmp_path, credit_micros=10**9)
    count = 3_000
    for number in range(count):
        world.hear(world.call(rid(number), granted_s=20))
        if number % 200 == 0:
            world.agent.tick()
    world.run(1)
    for number in range(count):
        world.hear(Failed(rid(number), 486, is_cancelled=False, attempts=(), ended_ms=START_MS))
        if number % 200 == 0:
            world.agent.tick()
    world.run(3)
    assert len(world.funds.events) == count
    empty(world)
    rebuild(world)
    world.run(3.65)
    assert len(world.agent._outbox) <= AGAIN_MAX
    world.run(3.7)
    world.hear(world.call(rid(count + 1), granted_s=20), world.answer(rid(count + 1)))
    world.run(3.9)
    assert 0 < len(world.funds.events) < count, "they are still being told"
    assert reservation(world, count + 1).state == "answered"
    world.run(8)
    assert [event.kind for event in world.funds.events] == ["late"] * count


def test_ends_are_told_again_though_the_epoch_has_the_same_number(world: World) -> None:
    """Both stores were lost: Postgres counts epochs from where its past ended."""
    world.hear(world.call(rid(), granted_s=20))
    world.run(1)
    world.hear(Failed(rid(), 486, is_cancelled=False, attempts=(), ended_ms=START_MS))
    world.run(2)
    empty(world)
    world.run(2.3)
    rebuild(world, epoch=1)
    world.run(4)
    assert [event.kind for event in world.funds.events] == ["late"]


def test_an_arming_that_keeps_all_makes_nobody_tell_calls(world: World) -> None:
    """FAST: the ends of the last minute are replayed."""
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()), world.call(rid(2), granted_s=20))
    world.run(2)
    world.hear(world.end(rid(2)))
    world.run(3)
    world.funds.armed_epoch = 0
    world.run(4)
    world.funds.arm(NEXT)
    world.run(6)
    assert [event.kind for event in world.funds.events] == ["release"]
    assert (world.status()["told_again"], world.status()["ends_told_again"], told(world)) == (0, 1, {})


def test_how_many_ends_are_remembered_is_bounded(world: World) -> None:
    world.run(1)
    sent = world.agent._rebuild
    message = world.call(rid(), granted_s=20)
    world.hear(message, world.answer(rid()))
    world.run(2)
    world.hear(world.end(rid()))
    world.run(3)
    (end,) = (outgoing for _, outgoing in sent._recent)
    for _ in range(RECENT_MAX + 10):
        sent.acknowledged(end, world.funds.batch([end.operation])[0], world.now_ns)
    assert len(sent._recent) == RECENT_MAX


def test_a_part_whose_answer_was_lost_is_known_from_its_reservation() -> None:
    talk = Talk(call_of(rid()), b"", (FUND,), 60, is_held=True, seq=3, posted_s=3)
    operation = Part(f"{rid()}:3", rid(), 3, 6, (6_000,), b"")
    found = Reservation(b"", (FUND,), 60, (60_000,), 1, 5, "answered", "n1", 0, billed_s=6)
    assert in_step(talk, operation, found) == []
    assert (talk.seq, talk.told_seq, talk.posted_s) == (5, 5, 6)


@pytest.mark.parametrize(("pending", "told_seq"), [(None, 3), (Part("a:3", "a", 3, 6, (1,), b""), 2)])
def test_a_call_that_older_code_hands_over_has_told_all_but_what_is_on_its_way(
    pending: Part | None, told_seq: int
) -> None:
    talk = Talk(call_of(rid()), codec.pack(call_of(rid())), (FUND,), 60, is_held=True, seq=3, pending=pending)
    older = codec.unpack(Kept, kept(talk))[: Kept._fields.index("sides")]
    assert unkept(codec.pack(older)).told_seq == told_seq


def test_a_reload_in_between_forgets_nothing(world: World) -> None:
    """The new code tells all calls again, which is harmless, and knows the ends that may have to be told again."""
    world.hear(
        world.call(rid(), granted_s=20), world.answer(rid()), world.call(rid(2), granted_s=20)._replace(sides=(IN,))
    )
    world.run(2)
    world.hear(world.end(rid()))
    world.run(3)
    empty(world)
    world.funds.building = NEXT
    world.run(3.5)
    state = world.agent.export()
    world.agent = world.new_agent()
    world.agent.restore(state)
    world.run(4)
    assert told(world) == {"n1": (NEXT, 1)}
    assert reservation(world, 2).sides == (IN,)
    arm(world)
    world.run(6)
    assert [(event.kind, event.rid) for event in world.funds.events] == [("late", rid())]


class OldState(NamedTuple):
    """What an agent handed over before it remembered ends."""

    calls: list[bytes]
    outbox: list[tuple[str, bytes]]
    closings: list[bytes]


def test_what_code_of_the_release_before_hands_over_is_taken(world: World) -> None:
    world.hear(world.call(rid(), granted_s=20), world.answer(rid()))
    world.run(2)
    old = OldState(*world.agent.export()[:3])
    world.agent = world.new_agent()
    world.agent.restore(cast("AgentState", old))
    world.run(3)
    assert world.status()["talking"] == 1


def test_settlement_hears_of_the_node_at_once_when_redis_is_empty(world: World) -> None:
    """What it waits for is the highest operation that was answered; the beat of every second would be late."""
    world.run(5)
    empty(world)
    world.store.written.clear()
    world.run(5.5)
    assert world.store.written.count(("HSET", keys.SEEN, "n1", 0)) >= 4


def test_a_held_message_of_an_older_worker_is_taken(world: World) -> None:
    queued = world.call(rid(), granted_s=20)
    assert queued == Held(*queued[:7])
    world.hear(queued)
    world.run(1)
    empty(world)
    rebuild(world)
    assert reservation(world).sides == (0,)


def test_a_reload_while_ends_are_told_again_goes_on_with_them(tmp_path: Path) -> None:
    world = World(tmp_path, credit_micros=10**9)
    count = AGAIN_MAX + 10
    world.hear(*(world.call(rid(number), granted_s=20) for number in range(count)))
    world.run(1)
    world.hear(*(Failed(rid(n), 486, is_cancelled=False, attempts=(), ended_ms=START_MS) for n in range(count)))
    world.run(2)
    empty(world)
    rebuild(world)
    while not world.funds.events:
        world.run(world.now_ns / S + 0.05)
    assert len(world.funds.events) == AGAIN_MAX
    state = world.agent.export()
    world.agent = world.new_agent()
    world.agent.restore(state)
    world.run(4)
    assert len(world.funds.events) == count
