"""What the agent hears of Redis with its prober's answers, and what it queues for itself across a reload."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kemi import keys
from kemi.adapters.ksr_measures import Orders
from kemi.adapters.ksr_queue import QUEUE
from kemi.adapters.redis_client import FunctionFailed
from kemi.agent import Agent
from kemi.agent_follow import QUESTION, Standing, standing
from kemi.agent_ports import Clock
from tests.unit.test_agent import START_MS, S, World, rid

ARMED: list[bytes | None] = [b"9", b"1", None, None]
BUILDING: list[bytes | None] = [b"9", b"1", b"2", None]


class Prober:
    """Answers at once what a test has put down; None: nothing has come."""

    def __init__(self) -> None:
        self.answer: list[bytes | None] | None = ARMED

    def turn(self) -> list[bytes | None] | None:
        """Return the answer."""
        return self.answer

    def close(self) -> None:
        """Nothing to drop."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Give a node whose agent has no prober yet."""
    return World(tmp_path)


@pytest.fixture
def prober(world: World) -> Prober:
    """Give it one."""
    made = Prober()
    clock = Clock(lambda: world.now_ns, lambda: START_MS * 1_000_000 + world.now_ns, world.boot_id)
    world.agent = Agent(world.ksr, world.settings, world.store, world.funds, clock, probe=made)
    return made


def test_numbers_that_redis_lacks_are_none() -> None:
    assert standing([b"7", None, b"3", None]) == Standing(7, 0, 3, 0)
    with pytest.raises(ValueError, match="invalid literal"):
        standing([b"7", b"x", None, None])


def test_what_the_prober_was_answered_is_asked_no_second_time(world: World, prober: Prober) -> None:
    world.run(1)
    assert newest_pass(world) == 9
    assert QUESTION not in world.store.written
    prober.answer = [b"12", b"1", None, None]
    world.run(1.05)
    assert newest_pass(world) == 12


def test_where_the_prober_is_answered_nothing_the_agent_asks_by_itself(world: World, prober: Prober) -> None:
    prober.answer = None
    world.run(1)
    assert newest_pass(world) == 7
    assert world.store.written.count(QUESTION) >= 9


def test_what_somebody_took_out_of_the_table_is_told_again(world: World, prober: Prober) -> None:
    assert prober.answer == ARMED
    world.run(1)
    world.ksr.tables["noc"].pop("configuration")
    world.run(2.5)
    assert newest_pass(world) == 9


def test_orders_that_cannot_be_read_hold_back_no_configuration(
    world: World, prober: Prober, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise FunctionFailed("WRONGTYPE")

    monkeypatch.setattr(world.agent._measures, "follow", fail)
    assert prober.answer == ARMED
    world.run(1)
    assert newest_pass(world) == 9
    assert "WRONGTYPE" in world.status()["last_error"]


def test_what_an_unreachable_redis_has_said_before_counts_no_more(world: World, prober: Prober) -> None:
    world.run(0.1)
    world.funds.down = True
    prober.answer = [b"99", b"1", None, None]
    world.run(0.5)
    assert newest_pass(world) == 9


def test_while_an_epoch_is_built_each_turn_gives_a_sign_of_life(world: World, prober: Prober) -> None:
    """Settlement waits for the word of each node; answers that come with every turn must not put it off."""
    world.run(1)
    world.store.written.clear()
    prober.answer = BUILDING
    world.run(1.5)
    assert sum(words[:2] == ("HSET", keys.NODES) for words in world.store.written) >= 9


def test_a_sign_of_life_is_two_round_trips(world: World, prober: Prober) -> None:
    assert prober.answer == ARMED
    world.run(1.5)
    asked = world.store.round_trips
    world.run(2.45)
    assert world.store.round_trips - asked == 2


def test_a_call_is_shown_to_the_noc_when_something_of_it_has_changed(world: World) -> None:
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(1)
    shown = dict(world.ksr.tables["calls"])
    assert json.loads(str(shown[rid()]))["answered_ms"] > 0
    world.ksr.tables["calls"].clear()
    world.hear(world.end(rid()))
    world.run(1.05)
    assert world.ksr.tables["calls"] == {}


@pytest.mark.parametrize("value", ["", "[", "{}", "7", "kg==", "not base64", "\u00e9"])
def test_what_is_no_message_is_logged_and_spoils_nothing(world: World, value: str) -> None:
    world.ksr.mqueue.mq_add(QUEUE, "held", value)
    world.hear(world.call(rid()), world.answer(rid()))
    world.run(1)
    assert (world.status()["errors"], world.status()["talking"]) == (1, 1)
    assert world.now_ns == S


def newest_pass(world: World) -> int:
    return Orders(world.ksr).look(lambda: None)
