"""From which number on the outbox is looked at."""

from __future__ import annotations

import pytest

from tools.sync import window
from tools.sync.window import LATE_S, LOOK_S, Window


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        """Return the time that was set."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Stand in for the module's clock."""
    made = Clock()
    monkeypatch.setattr(window, "time", made)
    return made


def test_the_beginning_is_looked_at_until_there_is_a_history(clock: Clock) -> None:
    """A number below the first one that was seen may belong to a transaction that began before it and is open still."""
    looks = Window()
    assert looks.first() == 0
    for _ in range(LATE_S * 10):
        clock.now_s += 0.1
        assert looks.first() == 0
        looks.saw(500)


def test_between_two_full_looks_the_last_ten_seconds_count(clock: Clock) -> None:
    """From the least number seen 10 s ago on; once a second from the beginning."""
    looks = Window()
    firsts = []
    for tenth in range(400):
        looks.saw(tenth)
        firsts.append(looks.first())
        clock.now_s += 0.1
    full = [at for at, first in enumerate(firsts) if first == 0 and at > 120]
    assert 25 <= len(full) <= 400 / 10 / LOOK_S
    narrow = [(at, first) for at, first in enumerate(firsts) if first]
    assert narrow
    for at, first in narrow:
        assert at - LATE_S * 10 - 11 <= first <= at - LATE_S * 10


def test_after_a_pause_nothing_is_missed(clock: Clock) -> None:
    """The number seen before the pause is the least that a transaction of after it can have."""
    looks = Window()
    looks.saw(40)
    clock.now_s += 3_600
    looks.first()
    looks.saw(43)  # 41 and 42 belong to a transaction that is open
    clock.now_s += 0.1
    assert looks.first() == 40


def test_a_late_number_is_seen_within_a_second(clock: Clock) -> None:
    """Whatever was seen, one look a second goes from the beginning."""
    looks = Window()
    last_full_s = clock.now_s
    for number in range(10_000):
        looks.saw(number)
        if looks.first() == 0:
            last_full_s = clock.now_s
        assert clock.now_s - last_full_s <= LOOK_S + 0.01
        clock.now_s += 0.005
