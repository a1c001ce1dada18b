"""Parts of the week in words: `Mon-Fri 08:00-18:00`, `Sat`, `Sun 20:00-24:00`, `08:00-18:00` (every day).

A part is minutes since Monday 00:00, the end not included. Parts are equal when they hold the same minutes: they are
kept merged and in order, so that however somebody wrote them they read back alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from tools.tenant.model import FaultError

DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY: Final = 1440
WEEK: Final = 7 * DAY
RULE: Final = "a part of the week such as Mon-Fri 08:00-18:00, Sat or 08:00-18:00"

Part = tuple[int, int]

_TIME: Final = "([0-9]{2}):([0-9]{2})"
_WORDS: Final = re.compile(rf"(?:([A-Z][a-z]{{1,2}})(?:-([A-Z][a-z]{{1,2}}))?)?(?:(?:^| ){_TIME}-{_TIME})?")


def parts_of(text: str) -> tuple[Part, ...]:
    """Return the parts that one text says. Raises ValueError with the rule, FaultError for times over midnight.

    >>> parts_of("Sat-Sun 22:00-24:00")
    ((8520, 8640), (9960, 10080))
    """
    match = _WORDS.fullmatch(text)
    if match is None or not text:
        raise ValueError(RULE)
    begin, end = 0, DAY
    if match[3] is not None:
        begin, end = _minute(match[3], match[4]), _minute(match[5], match[6])
    if not begin < end:
        if begin == end:
            raise FaultError("ends where it begins")
        rest = f" and 00:00-{_clock(end)}" if end else ""
        raise FaultError(f"ends before it begins; write {_clock(begin)}-24:00{rest}")
    first = 0 if match[1] is None else _day(match[1])
    last = 6 if match[1] is None else first if match[2] is None else _day(match[2])
    days = [(first + step) % 7 for step in range((last - first) % 7 + 1)]
    return merged((day * DAY + begin, day * DAY + end) for day in days)


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the same minutes in order, as few parts as there can be."""
    found: list[Part] = []
    for begin, end in sorted(parts):
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((begin, end))
    return tuple(found)


def shown(parts: Iterable[Part]) -> list[str]:
    """Return parts in words; `parts_of` of them gives the same minutes.

    >>> shown([(480, 1080), (1920, 2520), (7200, 8640)])
    ['Mon-Tue 08:00-18:00', 'Sat']
    """
    days: dict[Part, list[int]] = {}
    for begin, end in merged(parts):
        for day in range(begin // DAY, (end - 1) // DAY + 1):
            piece = (max(begin - day * DAY, 0), min(end - day * DAY, DAY))
            days.setdefault(piece, []).append(day)
    said = [(run[0], piece, run) for piece, held in days.items() for run in _runs(held)]
    return [_words(run, piece) for _, piece, run in sorted(said)]


def _runs(days: Sequence[int]) -> list[list[int]]:
    """Return ascending days cut where one is missing."""
    runs = [[days[0]]]
    for before, day in pairwise(days):
        if day == before + 1:
            runs[-1].append(day)
        else:
            runs.append([day])
    return runs


def _words(run: Sequence[int], piece: Part) -> str:
    times = "" if piece == (0, DAY) else f"{_clock(piece[0])}-{_clock(piece[1])}"
    if len(run) == len(DAYS) and times:
        return times
    days = DAYS[run[0]] if len(run) == 1 else f"{DAYS[run[0]]}-{DAYS[run[-1]]}"
    return f"{days} {times}".rstrip()


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _day(word: str) -> int:
    """Return the number of a day by its first two or three letters, Monday 0. Raises ValueError with the rule."""
    found = [number for number, name in enumerate(DAYS) if word in {name, name[:2]}]
    if not found:
        raise ValueError(RULE)
    return found[0]


def _minute(hour: str, minute: str) -> int:
    """Return the minute of a day, 24:00 included. Raises ValueError with the rule."""
    found = int(hour) * 60 + int(minute)
    if int(minute) > 59 or found > DAY:  # noqa: PLR2004  minutes of an hour
        raise ValueError(RULE)
    return found
