"""Laws of shedding: it stays in bounds, begins late, ends by itself, and keeps a queue short that grows too fast."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kemi.core.overload import ALL, LEAST, Load, after, is_shed

BEARABLE_MS = 100.0
REFUSING = 0.08
TICK_S = 0.01
SETTLED = 2_000
waits = st.lists(st.floats(0, 10_000), max_size=60)


def load_after(measured: list[float], load: Load | None = None) -> Load:
    now = load or Load()
    for waited_ms in measured:
        now = after(now, waited_ms, BEARABLE_MS)
    return now


@given(waits)
def test_a_share_of_the_calls_is_let_in_whatever_is_measured(measured: list[float]) -> None:
    assert LEAST <= load_after(measured).admitted <= ALL


@given(waits, st.floats(0, 10_000), st.floats(0, 10_000))
def test_a_longer_wait_never_lets_in_more(measured: list[float], one: float, other: float) -> None:
    load = load_after(measured)
    shorter, longer = sorted((one, other))
    assert after(load, longer, BEARABLE_MS).admitted <= after(load, shorter, BEARABLE_MS).admitted


@given(waits)
def test_it_ends_when_nothing_waits_any_more(measured: list[float]) -> None:
    assert load_after([0.0] * 60, load_after(measured)) == Load()


@given(st.floats(0, BEARABLE_MS), st.floats(BEARABLE_MS + 1, 10_000))
def test_one_long_wait_sheds_nobody(short_ms: float, long_ms: float) -> None:
    assert not load_after([short_ms, long_ms, short_ms, long_ms]).is_shedding
    assert load_after([long_ms, long_ms]).is_shedding


@given(st.floats(LEAST, ALL), st.floats(0, 1, exclude_max=True))
def test_who_brings_credentials_is_shed_only_where_a_stranger_is(admitted: float, draw: float) -> None:
    assert is_shed(admitted, draw, is_known=False) or not is_shed(admitted, draw, is_known=True)
    assert not is_shed(ALL, draw, is_known=False)


@given(st.floats(1.2, 3.5))
def test_a_node_that_is_offered_too_much_does_almost_all_that_it_can(offered: float) -> None:
    """A queue in seconds of work, of which refusing is 8 % of serving; measured as the agent does."""
    queue_s, served_s, load, asked_at, found_s, next_at = 0.0, 0.0, Load(), -1, 0.0, 0
    for tick in range(6_000):
        refused = REFUSING * (1 - load.admitted)
        work_s = TICK_S * offered * (load.admitted + refused)
        done_s = min(queue_s + work_s, TICK_S)
        queue_s += work_s - done_s
        served_s += done_s * load.admitted / (load.admitted + refused) if tick >= SETTLED else 0.0
        if asked_at < 0 and tick >= next_at:
            asked_at, found_s, next_at = tick, queue_s, tick + 10
        elif asked_at >= 0 and (tick - asked_at) * TICK_S >= min(found_s, 1.0):
            load, asked_at = after(load, min(found_s, 1.0) * 1e3, BEARABLE_MS), -1
    best = (1 - offered * REFUSING) / (1 - REFUSING)  # of each second, when exactly the right share is let in
    assert served_s / ((6_000 - SETTLED) * TICK_S) >= 0.97 * best
    assert queue_s < 0.5
