"""The laws of test_funds_machine.py are able to fail: what breaks one of them is noticed."""

from __future__ import annotations

from typing import Final

import pytest

from kemi.core.outcome import IN, OUT
from tests.funds_bench import NODE, FakeBench
from tests.property.test_funds_machine import FundsMachine

STEPS: Final = [("amend", False), ("void", True), ("recount", True), ("restore_fund", True)]


@pytest.mark.parametrize("law", ["balances_are_those_of_the_calls", "charges_are_the_sum_of_events"])
@pytest.mark.parametrize("sum_", ["held", "charged", "channels_in"])
def test_the_laws_notice_a_wrong_balance(law: str, sum_: str) -> None:
    """A micro too much in one sum is found: the invariants are able to fail."""
    bench = FakeBench()
    machine = FundsMachine(bench)
    machine.reserve(["1:EUR"], [10, 0, 0], [IN, OUT, OUT], 2)
    machine.settle(0, 50, NODE)
    machine.reserve(["1:EUR"], [10, 0, 0], [IN, OUT, OUT], 2)
    getattr(machine, law)()
    state = bench.funds.states["1:EUR"]
    setattr(state, sum_, getattr(state, sum_) + 1)
    if law == "charges_are_the_sum_of_events" and sum_ != "charged":
        getattr(machine, law)()
        return
    with pytest.raises(AssertionError):
        getattr(machine, law)()


def _forgetting(name: str) -> FakeBench:
    """Return a fake of which one step of a rebuild does nothing."""
    bench = FakeBench()
    setattr(bench.funds, name, lambda *_: None)
    return bench


@pytest.mark.parametrize(("step", "is_read"), STEPS)
def test_the_laws_notice_a_rebuild_that_leaves_something_out(step: str, *, is_read: bool) -> None:
    """A part of which Postgres knows nothing, a call that has ended since the dump, holds, charges."""
    machine = FundsMachine(_forgetting(step))
    machine.reserve(["1:EUR"], [10, 0, 0], [IN, OUT, OUT], 2)
    machine.reserve(["1:EUR"], [10, 0, 0], [IN, OUT, OUT], 2)
    machine.answer(0, NODE)
    machine.save()
    machine.part(0, 50, NODE)
    machine.release(1, NODE)
    machine.charges_are_the_sum_of_events()
    with pytest.raises(AssertionError):
        _lose_and_go_on(machine, is_read=is_read)


def _lose_and_go_on(machine: FundsMachine, *, is_read: bool) -> None:
    machine.lose(is_emptied=False, is_read=is_read)
    for law in (machine.balances_are_those_of_the_calls, machine.charges_are_the_sum_of_events):
        law()
    machine.grants_are_open_or_ended()
    machine.settle(0, 100, NODE)
    machine.charges_are_the_sum_of_events()
