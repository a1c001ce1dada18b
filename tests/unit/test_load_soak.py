"""A soak in which calls fail is no good soak, whatever the memory does."""

from __future__ import annotations

import pytest

from tools.load.soak import unexpected


@pytest.mark.parametrize(
    ("calls", "well", "told"),
    [(0, 0, []), (1_000, 1_000, []), (1_000, 990, []), (1_000, 989, ["11 of 1000 calls did not end as expected"])],
)
def test_more_than_one_in_a_hundred_that_ends_otherwise_is_a_fault(calls: int, well: int, told: list[str]) -> None:
    assert unexpected(calls, well) == told
