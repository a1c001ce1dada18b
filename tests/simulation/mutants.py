"""Bugs planted in the Lua libraries and in settlement: `python -m tests.simulation.mutants` shows that each is found.

Prints one line per mutant: its name, after how many steps it was found, by which check. Last a control without any bug
over all those steps, and `N mutants, N found`; exit 1 otherwise. `--only NAME` plants one and tells its story.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple
from unittest import mock

from kemi.adapters import redis_functions
from tests.simulation.planted import LUA, SETTLEMENT
from tests.simulation.run import Finding, simulate

STEPS: Final = 4_000  # of one history
HISTORIES: Final = 40  # so a bug has to be found within 160,000 steps
CONTROLS: Final = 40


class Result(NamedTuple):
    """What became of a mutant. steps: in all, until it was found. finding: the last history."""

    name: str
    steps: int
    finding: Finding


def names() -> list[str]:
    """Return the names of all mutants."""
    return [*LUA, *SETTLEMENT]


def sources(name: str) -> Mapping[str, str]:
    """Return the libraries with the bug `name` in them. Raises ValueError where its text is not there exactly once."""
    found = redis_functions.sources()
    for change in LUA.get(name, ()):
        where = [library for library, text in found.items() if text.count(change.old) == 1]
        if len(where) != 1:
            raise ValueError(f"mutant {name!r}: its text is not in the libraries exactly once: {change.old!r}")
        found[where[0]] = found[where[0]].replace(change.old, change.new)
    return found


@contextmanager
def planted(name: str) -> Iterator[Mapping[str, str]]:
    """Offer the libraries with a bug in them, or settlement with it. name "": no bug at all."""
    with ExitStack() as stack:
        for replacement in SETTLEMENT.get(name, ()):
            stack.enter_context(mock.patch.object(replacement.owner, replacement.name, replacement.make()))
        yield sources(name)


def hunt(name: str, histories: int = HISTORIES, first_seed: int = 1) -> Result:
    """Look for a bug in at most so many histories of 4,000 steps."""
    steps = 0
    with planted(name) as libraries:
        for seed in range(first_seed, first_seed + histories):
            found = simulate(seed, STEPS, libraries)
            steps += found.steps
            if found.check:
                break
    return Result(name, steps, found)


def main() -> int:
    """Hunt all of them and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants", description="Find every planted bug.")
    parser.add_argument("--only", default="", help="plant this one and tell how it was found")
    only = parser.parse_args().only
    if only:
        print(hunt(only).finding.story)  # noqa: T201  the command's output
        return 0
    found = 0
    with ProcessPoolExecutor() as pool:  # each history is one thread's work, whoever runs beside it
        controls = [pool.submit(hunt, "", 1, seed) for seed in range(1, CONTROLS + 1)]
        for result in pool.map(hunt, names()):
            check = result.finding.check
            found += bool(check)
            by = f"found after {result.steps:>6} steps by: {check}" if check else "NOT FOUND"
            print(f"{result.name:<62} {by}", flush=True)  # noqa: T201
        control = [each.result() for each in controls]
    stories = [each.finding.story for each in control if each.finding.check]
    said = "\n".join(stories) or "nothing found"
    print(f"{'(control: no bug)':<62} {said} in {sum(each.steps for each in control)} steps")  # noqa: T201
    print(f"{len(names())} mutants, {found} found")  # noqa: T201
    return 0 if not stories and found == len(names()) else 1


if __name__ == "__main__":
    sys.exit(main())
