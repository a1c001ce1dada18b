"""What is asked of the money functions in test_funds_machine.py: funds, sides, prices, limits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from hypothesis import strategies as st

from kemi.adapters.redis_operations import LEFT
from kemi.core.outcome import IN, OUT, Hold, HoldFund, HoldRow
from kemi.records import Opening
from tests.funds_bench import NODE
from tests.property.funds_model import Call

FUNDS: Final = ("1:EUR", "2:EUR", "3:EUR")
COUNTERS: Final = ("line4:", "line5:", "user6:")
ALL: Final = (*FUNDS, *COUNTERS)
NODES: Final = (NODE, "n2")
SLICE_S: Final = 60
FAR_MS: Final = 2**45

chains = st.sets(st.sampled_from(ALL), min_size=1).map(sorted)
joins = st.lists(st.sampled_from(COUNTERS), max_size=3)
asked = st.lists(st.sampled_from(ALL), max_size=2)
turns = st.lists(st.integers(1, 2), max_size=2, unique=True)
prices = st.lists(st.integers(0, 40), min_size=6, max_size=6)
all_sides = st.lists(st.sampled_from((OUT, IN, OUT | IN)), min_size=6, max_size=6)
picks = st.integers(0, 10**6)
nodes = st.sampled_from(NODES)
caps = st.one_of(st.just(0), st.integers(1, 300))
spends = st.integers(0, 200)
openings = st.one_of(
    st.none(), st.builds(Opening, st.integers(1, 6), st.integers(1, 5), spends, st.integers(1, 3), spends)
)
few = st.sampled_from((0, 0, 1, 2, 3))


def account_of(fund: str) -> int:
    """Return whose fund it is; those of lines and users are all of account 9."""
    return 9 if fund in COUNTERS else int(fund[0])


def schedule(call: Call, minutes: int) -> tuple[HoldRow, ...]:
    """Return rows of whole minutes beyond those granted."""
    first = call.granted_s // SLICE_S
    return tuple(
        HoldRow(minute * SLICE_S, tuple(price * minute for price in call.per_min))
        for minute in range(first + 1, first + 1 + minutes)
    )


def hold_of(call: Call, rows: tuple[HoldRow, ...], asks: Sequence[str], groups: Sequence[int]) -> Hold:
    """Return the hold of a call."""
    funds = zip(call.funds, call.sides, strict=True)
    rows_of = tuple(HoldFund(fund, account_of(fund), 1, IN if side == LEFT else side) for fund, side in funds)
    return Hold(rows_of, rows, (), tuple(asks), tuple(groups))


def price_of(call: Call, share: int) -> tuple[int, ...]:
    """Return a price between what is charged and what is held."""
    return tuple(done + (held - done) * share // 100 for held, done in zip(call.held, call.posted, strict=True))
