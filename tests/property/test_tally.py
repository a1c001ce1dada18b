"""Windows of counts, against a model that keeps every single count and adds them up when it is asked."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from kemi.tally import BUCKET_S, FIELDS_MAX, OTHER, SPANS_S, START, Counts, Tally

NAMES_MAX = 4
STEPS = st.lists(
    st.tuples(
        st.one_of(st.integers(0, 30), st.integers(0, 900), st.just(5_000)),  # seconds since the step before
        st.sampled_from("abc"),
        st.sampled_from(("x", "y")),
        st.integers(0, 3),
    ),
    max_size=60,
)


def counted(counts: Counts) -> dict[tuple[str, str], int]:
    return {(name, field): count for name, fields in counts.items() for field, count in fields.items()}


def is_within(at_s: int, now_s: int, span_s: int) -> bool:
    """Whether a count of then belongs to a window of now: it is in one of its newest buckets."""
    return span_s == START or at_s // BUCKET_S > now_s // BUCKET_S - span_s // BUCKET_S


@given(STEPS, st.integers(0, 4_000), st.integers(0, 1_000))
def test_every_window_has_what_a_list_of_all_counts_has(
    steps: list[tuple[int, str, str, int]], later_s: int, started_s: int
) -> None:
    tally, now_s = Tally(NAMES_MAX, started_s), started_s
    seen: list[tuple[int, str, str, int]] = []
    for more_s, name, field, count in steps:
        now_s += more_s
        tally.add(now_s, name, field, count)
        tally.peak(now_s, name, field, count)
        seen.append((now_s, name, field, count))
    now_s += later_s

    again = Tally(NAMES_MAX, 0)
    again.restore(tally.export())

    for span_s in (*SPANS_S, START):
        model: Counter[tuple[str, str]] = Counter()
        peaks: Counter[tuple[str, str]] = Counter()
        for at_s, name, field, count in seen:
            if is_within(at_s, now_s, span_s):
                model[name, field] += count
                peaks[name, field] = max(peaks[name, field], count)
        for each in (tally, again):
            assert counted(each.read(now_s, span_s)) == {key: count for key, count in model.items() if count}
            assert all(each.largest(now_s, span_s, *key) == peak for key, peak in peaks.items())
            assert each.started_s == started_s


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 200), st.integers(0, 200)), max_size=300))
def test_memory_is_bounded_and_no_count_is_lost(steps: list[tuple[int, int, int]]) -> None:
    tally, now_s = Tally(NAMES_MAX, 0), 0
    for more_s, name, field in steps:
        now_s += more_s
        tally.add(now_s, str(name), str(field))

    assert sum(counted(tally.read(now_s, START)).values()) == len(steps)
    for span_s in (*SPANS_S, START):
        counts = tally.read(now_s, span_s)
        assert set(counts) <= {OTHER, *counts}
        assert len(counts) <= NAMES_MAX + 1
        assert all(len(fields) <= FIELDS_MAX + 1 for fields in counts.values())
    assert len(tally._buckets) <= SPANS_S[-1] // BUCKET_S


@given(st.integers(0, 100_000), st.integers(0, 20_000), st.sampled_from((*SPANS_S, START)))
def test_a_window_covers_what_it_says_but_for_a_bucket(started_s: int, up_s: int, span_s: int) -> None:
    covered_s = Tally(1, started_s).covered_s(started_s + up_s, span_s)

    assert 1 <= covered_s <= max(1, up_s)
    if span_s != START and up_s >= span_s:
        assert span_s - BUCKET_S <= covered_s <= span_s
