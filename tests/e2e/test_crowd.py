"""Two hundred calls at once on a balance that pays for fifty: `make prove-calls`, one round of it."""

from __future__ import annotations

import pytest

from tools.prove_calls import Plan, prove


@pytest.mark.parametrize("kills", [False, True], ids=["both nodes live", "one node is killed"])
def test_exactly_what_is_paid_for_is_granted_over_four_levels_and_two_nodes(*, kills: bool) -> None:
    """Not a call more, not an increment less: in Redis, ledger and records, and on both sides of the wire.

    Also when a node is killed with its calls up: they are adopted, and end with their money.
    """
    said: list[str] = []

    proof = prove(Plan(1, kills=kills), said.append)

    assert (proof.granted, proof.refused, proof.overdraft_micros, proof.differences) == (50, 150, 0, 0), said
