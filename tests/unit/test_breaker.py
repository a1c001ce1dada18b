"""When the breaker opens, and how it closes again."""

from __future__ import annotations

import pytest

from kemi.adapters.redis_client import FAILURES_MAX, PROBE_EVERY_S, Breaker, RedisClient, RedisUrlError


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Start a clock."""
    return Clock()


@pytest.fixture
def opened(clock: Clock) -> Breaker:
    """Return a breaker that has just opened."""
    breaker = Breaker(clock)
    breaker.failed(refused=True)
    return breaker


def test_it_opens_after_three_failures_in_a_row(clock: Clock) -> None:
    """Two are not enough, and a success between starts the count anew."""
    breaker = Breaker(clock)
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(refused=False)
    breaker.succeeded()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(refused=False)
    assert breaker.would_pass()
    breaker.failed(refused=False)
    assert not breaker.would_pass()
    assert breaker.is_open


def test_one_refused_connection_opens_it(opened: Breaker) -> None:
    """Nobody listens: no second call has to find that out."""
    assert opened.is_open
    assert not opened.would_pass()


def test_it_lets_one_probe_through_per_second(opened: Breaker, clock: Clock) -> None:
    """A probe that fails waits for the next second, whatever the failure was."""
    clock.now_s += PROBE_EVERY_S - 0.01
    assert not opened.would_pass()
    clock.now_s += 0.02
    assert opened.would_pass()
    opened.failed(refused=False)
    assert not opened.would_pass()
    clock.now_s += PROBE_EVERY_S
    assert opened.would_pass()


def test_a_probe_that_succeeds_closes_it(opened: Breaker, clock: Clock) -> None:
    """It then takes three failures again."""
    clock.now_s += PROBE_EVERY_S
    opened.succeeded()
    assert not opened.is_open
    opened.failed(refused=False)
    assert opened.would_pass()


def test_an_address_that_cannot_be_read_is_refused_without_showing_it() -> None:
    """It holds a password."""
    with pytest.raises(RedisUrlError) as refusal:
        RedisClient("redis://worker:sek/ret@@host", 80)
    assert "sek" not in str(refusal.value)
