"""`python -m tests.simulation --seed 7 --steps 100000`: one long history; exit 1 where a promise is broken."""

from __future__ import annotations

import argparse
import random
import sys

from tests.simulation.run import simulate


def main() -> int:
    """Run and say what was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="which history; default: a new one")
    parser.add_argument("--steps", type=int, default=100_000)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    found = simulate(seed, options.steps)
    print(found.story)  # noqa: T201  the command's output
    return 1 if found.check else 0


if __name__ == "__main__":
    sys.exit(main())
