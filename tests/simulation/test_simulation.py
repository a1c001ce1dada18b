"""Histories of the virtual world in which every promise is kept, and planted bugs that are found."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from tests.simulation.mutants import STEPS, hunt, names, planted
from tests.simulation.run import simulate
from tests.simulation.world import World


@pytest.mark.parametrize("seed", range(1, 6))
def test_every_promise_is_kept(seed: int) -> None:
    """Faults, clock steps, losses and changes of everything: no overdraft, no lost or double charge, nothing stuck."""
    found = simulate(seed, STEPS)
    assert not found.check, found.story


def test_every_promise_is_kept_in_a_new_history() -> None:
    """A history that nobody has seen yet; the failure says how to see it again."""
    seed = random.SystemRandom().randrange(10**9)
    found = simulate(seed, STEPS)
    assert not found.check, found.story


def test_histories_try_everything() -> None:
    """Every kind of operation occurs many times, every refusal occurs, and everything that can happen does."""
    counts: Counter[str] = Counter()
    told: list[str] = []
    for seed in range(20, 36):
        world = World(seed)
        world.run(STEPS)
        counts.update(world.oracle.applied)
        told += world.trace
    wanted = ("reserve", "answer", "extend", "part", "adopt", "settle", "release", "refused", "void", "late")
    refusals = ("credit", "status", "cps", "channels", "channels_in", "channels_out", "spend_day", "spend_month")
    assert {kind: counts[kind] for kind in wanted if counts[kind] < 10} == {}
    assert {kind for kind in refusals if not counts[kind]} == set()
    story = "\n".join(told)
    happened = (
        *("Redis is killed", "Redis starts", "the clock of Redis steps", "is killed", "a late request", "s pass"),
        *(
            "talk to the old master",
            "the old master is gone",
            "the libraries are upgraded",
            "is upgraded",
            "stalls for",
        ),
        *("Redis is emptied", "hangs up, and nobody hears it", "a broken node"),
    )
    assert [each for each in happened if each not in story] == []


def test_a_seed_is_a_history() -> None:
    """The same seed takes the same steps."""
    first, second = (World(5) for _ in range(2))
    first.run(500)
    second.run(500)
    assert list(first.trace) == list(second.trace)


@pytest.mark.parametrize(
    "name",
    [
        "release of a stranger leaves no tombstone",
        "hold is not given back at the end",
        "what is held counts as free",
        "the answer does not move the lease",
        "a restart does not disarm",
        "acknowledged before the commit",
        "a Redis that lost operations is armed",
        "a rebuild counts nothing again",
    ],
)
def test_a_planted_bug_is_found(name: str) -> None:
    """Within ten histories; `make prove-money-mutants` hunts all of them."""
    assert hunt(name, histories=10).finding.check


@pytest.mark.parametrize("name", names())
def test_a_bug_can_be_planted(name: str) -> None:
    """The text or the function that a mutant changes is still there."""
    with planted(name) as libraries:
        assert libraries
