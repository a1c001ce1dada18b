"""Calls whose node was killed just after the 200: its journal proves the answer to the node's next life."""

from __future__ import annotations

from pathlib import Path

import pytest

from kemi.adapters.journal import MINUTE_NS, Journal, forget_told, noted
from kemi.adapters.ksr_queue import Ended, Started
from kemi.adapters.redis_operations import Release, Reservation
from kemi.codec import pack
from kemi.records import CallEnd
from tests.unit.test_agent import START_MS, S, World, rid


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a node whose calls outlive it."""
    return World(tmp_path, slice_s=20, grace_s=10)


def note(world: World, started: Started) -> None:
    """Write an answer down as a worker does."""
    Journal(world.settings.spool_dir, world.boot_id, lambda: world.now_ns).note(started)


def restart(world: World) -> None:
    """Let the node begin a new life now; what was queued is lost."""
    world.now_ns += S
    world.ksr.tables["noc"]["boot"] = str(START_MS + world.now_ns // 1_000_000)
    world.agent = world.new_agent()


def killed_after_the_200(world: World, number: int = 1) -> None:
    """Hold and answer a call; Redis never hears of the answer."""
    world.call(rid(number), granted_s=20)
    note(world, world.answer(rid(number)))


def reservation(world: World, number: int = 1) -> Reservation:
    found = world.funds.describe(rid(number))
    assert found is not None
    return found


def bye(world: World) -> Ended:
    return world.end(rid())._replace(is_followed=False)


def test_a_call_of_whose_answer_redis_never_heard_goes_on_with_a_hold(world: World) -> None:
    killed_after_the_200(world)
    restart(world)
    world.run(16)

    found = reservation(world)
    assert (found.state, found.granted_s, found.node_answered_ms) == ("answered", 40, START_MS)
    assert [words[0] for words in world.ksr.did("tm.t_uac_send")] == ["OPTIONS", "OPTIONS"]
    assert rid() in world.ksr.tables["calls"], "as the workers must know: its BYE is answered here"
    world.hear(bye(world))
    world.run(17)
    (event,) = world.funds.events
    assert (event.kind, event.end.outcome, event.end.billed_s, event.end.server_id) == ("settle", "answered", 16, 31)
    assert (world.status()["invalid"], world.status()["dead"], world.funds.leases) == (0, 0, {})


def test_another_node_finds_the_sides_of_such_a_call_in_redis(world: World) -> None:
    killed_after_the_200(world)
    restart(world)
    world.run(2)
    restart(world)
    world.run(4)

    assert (world.status()["talking"], world.status()["adopted"]) == (1, 1)


def test_a_bye_that_comes_before_the_journal_was_looked_at_is_billed(world: World) -> None:
    killed_after_the_200(world)
    world.run(3)
    killed_after_the_200(world, 2)
    restart(world)
    world.hear(Ended(rid(2), "caller", world.now_ns, START_MS + world.now_ns // 1_000_000, is_followed=False))
    world.run(5)

    (event,) = world.funds.events
    assert (event.end.outcome, event.end.billed_s, event.end.ended_by) == ("answered", 1, "caller")
    assert world.status()["talking"] == 1


def test_the_hold_of_a_call_that_rang_is_given_back_at_once(world: World) -> None:
    """Nobody can answer it any more."""
    world.call(rid(), granted_s=20)
    restart(world)
    world.run(2)

    (event,) = world.funds.events
    assert (event.kind, event.end.outcome, event.end.reason) == ("release", "unknown_end", "node_lost")
    assert reservation(world).pinned, "should the end be heard all the same"


def test_a_call_of_this_life_that_the_agent_has_not_heard_of_keeps_its_hold(world: World) -> None:
    """Its INVITE came after the start of the node; its worker is about to tell of it."""
    world.ksr.tables["noc"]["boot"] = str(START_MS)
    world.agent = world.new_agent()
    world.call(rid(), granted_s=20)
    world.run(3)

    assert (reservation(world).state, world.funds.events) == ("held", [])


def test_a_call_given_up_meanwhile_is_ended_on_both_sides_and_billed_late(world: World) -> None:
    killed_after_the_200(world)
    end = CallEnd("unknown_end", START_MS, 0, 0, 0, 0, "node_lost", 0, "sweeper")
    world.funds.batch([Release(f"{rid()}:sweep:1", rid(), 1, pack(end))])
    world.now_ns = 50 * S
    restart(world)
    world.run(52)

    assert [words[0] for words in world.ksr.did("tm.t_uac_send")] == ["BYE", "BYE"]
    event = world.funds.events[-1]
    assert (event.kind, event.end.outcome, event.end.billed_s, event.end.ended_by) == (
        "late",
        "answered",
        20,
        "node_lost",
    )


def test_answers_stay_noted_until_redis_or_the_spool_has_them(world: World) -> None:
    killed_after_the_200(world)
    restart(world)
    world.funds.down = True
    world.run(150, step_s=1)
    assert [each.started.rid for each in noted(world.settings.spool_dir)] == [rid()]
    world.funds.down = False
    world.run(155)

    assert list(noted(world.settings.spool_dir)) == []


def test_torn_and_foreign_lines_are_left_out(world: World) -> None:
    folder = world.settings.spool_dir
    answers = [world.answer(rid(number)) for number in range(3)]
    for each in answers:
        note(world, each)
    path = Path(folder) / "answers.0"
    whole = path.read_bytes()
    path.write_bytes(b"\xff\n\naGVsbG8=\n" + whole[:-7])

    assert [each.started for each in noted(folder)] == answers[:2]


def test_a_file_of_the_minute_before_is_kept_and_of_another_boot_is_not(tmp_path: Path, world: World) -> None:
    clock = [0]
    journal = Journal(str(tmp_path / "new"), "this boot", lambda: clock[0])
    for minute in (900, 3, 4, 5):
        clock[0] = minute * MINUTE_NS
        journal.note(world.answer(rid(minute)))
    forget_told(str(tmp_path / "new"), 5 * MINUTE_NS)

    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["answers.4", "answers.5"]
