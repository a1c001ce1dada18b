"""A deterministic simulator of the money: the real Lua source, agent and settlement in a virtual world, with an oracle.

`python -m tests.simulation --seed 7 --steps 100000` runs it; `python -m tests.simulation.mutants` plants bugs in it.
"""
