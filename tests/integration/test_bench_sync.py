"""`make bench-sync` at a hundredth of its size and less: it measures what it says, and nothing is lost or late."""

from __future__ import annotations

import pytest

from tools.bench.sync import Sizes, measure
from tools.bench.sync_calls import Setup, setups
from tools.bench.sync_figures import Switch, p99_ratio
from tools.bench.sync_stream import Change, Sighting, Streamed, Watched, waits_ms
from tools.bench.sync_world import prefixes

SIZES = Sizes(subscribers=10_000, rates=100_000, rounds=1, changes=200, calls=20, before_s=5)
ROW = ("sub:a@b.example", "")
TRACE = (
    "2026-11-22\t07:48:57.5\t100.500000\tS\tone\tCSeq:1 INVITE\tINVITE sip:5@h SIP/2.0",
    "2026-11-22\t07:48:57.6\t100.510000\tR\tone\tCSeq:1 INVITE\tSIP/2.0 100 trying",
    "2026-11-22\t07:48:57.6\t100.512000\tR\tone\tCSeq:1 INVITE\tSIP/2.0 180 Ringing",
    "2026-11-22\t07:48:57.7\t101.000000\tS\ttwo\tCSeq:1 INVITE\tINVITE sip:5@h SIP/2.0",
    "2026-11-22\t07:48:57.8\t101.100000\tR\ttwo\tCSeq:1 INVITE\tSIP/2.0 503 Service Unavailable",
    "2026-11-22\t07:48:57.9\t102.000000\tS\tone\tCSeq:2 BYE\tBYE sip:5@h SIP/2.0",
)


@pytest.mark.timeout(600)
def test_a_small_run_finds_nothing_lost_nothing_late_and_nothing_different() -> None:
    """Ten thousand subscribers and a hundred thousand rates: all that is not a matter of speed is as it must be."""
    said: list[str] = []

    found = measure(SIZES, said.append)

    wrong = ("stale_overwrites", "verify_differences", "late_decisions", "changes_unseen")
    assert {name: found[name] for name in wrong} == dict.fromkeys(wrong, 0), (found, said)
    assert found["calls"] > found["calls_failed"]  # a busy machine may lose some; nobody answers for it here
    assert found["redis_bytes_per_rate"] <= 20
    assert 100 <= found["redis_bytes_per_subscriber"] <= 600
    measured = ("snapshot_s", "reload_s", "rates_switch_s", "visible_p50_ms", "visible_p99_ms", "visible_max_ms")
    assert all(found[name] > 0 for name in (*measured, "setup_p99_ratio", "lookup_ratio")), found
    assert found["aggregates"] > SIZES.subscribers
    assert found["transactions"] >= SIZES.changes * SIZES.before_s / 2
    assert found["decisions_probed"] > 0


def test_a_set_up_ends_with_the_ringing() -> None:
    """From the first INVITE to the 180; a call that never rings has none."""
    first, second = setups(TRACE)
    assert (first.at, second) == (100.5, Setup(101.0, None))
    assert first.ms == pytest.approx(12)


def test_a_change_is_visible_with_the_first_sighting_that_contains_it() -> None:
    """A later number contains the earlier ones; what was seen before its commit returned waited for nothing."""
    changes = [
        Change(ROW, 1, 1_000_000),
        Change(ROW, 2, 3_000_000),
        Change(ROW, 3, 9_000_000),
        Change(ROW, 4, 9_500_000),
    ]
    seen = {ROW: [Sighting(0, 0), Sighting(2, 4_000_000), Sighting(3, 8_000_000)]}
    streamed = Streamed(changes, 4, Watched(seen, 0))
    assert waits_ms(streamed) == [(1_000_000, 3.0), (3_000_000, 1.0), (9_000_000, 0.0)]


def test_the_ratio_compares_the_windows_of_a_switch_with_those_before() -> None:
    """Twelve seconds are three windows; one bad window of three is no median."""
    before = [Setup(float(second), 10.0) for second in range(30)]
    during = [Setup(30.0 + second, 12.0 if second < 8 else 90.0) for second in range(12)]
    found = p99_ratio([(Switch(30.0, 42.0, 0, 0, 12.0), [*before, *during], 30.0)])
    assert (found["setup_p99_ratio"], found["windows"], found["calls"]) == (1.2, 3, 42)


@pytest.mark.parametrize("rates", [9, 10, 1_000, 100_000])
def test_prefixes_are_as_many_as_asked_for_and_no_two_are_alike(rates: int) -> None:
    assert len(set(prefixes(rates))) == rates
