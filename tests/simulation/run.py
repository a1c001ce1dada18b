"""One run, and what is said of it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from tests.simulation.violation import Violation
from tests.simulation.world import World

LAST_SHOWN: Final = 25
BEFELL: Final = ("Redis", "empties", "tandem_arm", "killed", "calm", "clock")


class Finding(NamedTuple):
    """How a run ended. check: what was violated, "" = nothing. steps: taken by then. story: for a person."""

    seed: int
    check: str
    steps: int
    story: str


def relevant(trace: Sequence[str], violation: str) -> list[str]:
    """Return the steps that name a call of the violation, what befell the stores meanwhile, and the last steps."""
    calls = re.findall(r"\br\d+\b", violation)
    about = re.compile("|".join([*(rf"\b{call}\b" for call in calls), *BEFELL]))
    first = next((at for at, line in enumerate(trace) if any(re.search(rf"\b{call}\b", line) for call in calls)), None)
    start = len(trace) - LAST_SHOWN
    chosen = [line for line in trace[first:start] if about.search(line)] if first is not None else []
    return [*chosen, *trace[max(0, start) :]]


def simulate(seed: int, steps: int, sources: Mapping[str, str] | None = None) -> Finding:
    """Run a world of this seed for so many steps; with `sources` in place of the real Lua libraries."""
    world = World(seed, sources)
    try:
        world.run(steps)
    except Violation as violation:
        history = "\n".join(relevant(list(world.trace), str(violation)))
        story = (
            f"{history}\nseed {seed}, step {world.steps}: {violation}\nagain: python -m tests.simulation --seed {seed}"
        )
        return Finding(seed, violation.check, world.steps, f"{story} --steps {steps}")
    return Finding(
        seed, "", world.steps, f"seed {seed}: {world.steps} steps, {dict(sorted(world.oracle.applied.items()))}"
    )
