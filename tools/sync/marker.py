"""Where Postgres' history stands, and what that means for what Redis holds.

The mark is the flushed end of the log: it survives every crash of Postgres. What is compared with it at a start is the
end of the log as inserted, which is never behind the flushed one of the same history. So "behind" is a restored past.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Self

from tools.errors import OperatorError


class FrozenError(OperatorError):
    """Redis stays as it is until an operator decides."""


class Start(Enum):
    """How a syncer begins: go on, make all equal again, or load over what another database left."""

    RESUME = "resume"
    REPAIR = "repair"
    REPLACE = "replace"


class Marker(NamedTuple):
    """system: identifier of the cluster. database: its oid. lsn: bytes of log written since the cluster was made."""

    system: int
    database: int
    timeline: int
    lsn: int

    def __str__(self) -> str:
        """Write the form that stands in Redis: `<system> <database> <timeline> <lsn>`."""
        return f"{self.system} {self.database} {self.timeline} {self.lsn}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the marker that `str` wrote, None for any other text."""
        fields = text.split(" ")
        if len(fields) != len(cls._fields) or not all(field.isdecimal() for field in fields):
            return None
        return cls(*map(int, fields))


def how_to_start(stored: Marker | None, now: Marker, redis_pass: int, last_pass: int, *, accept_past: bool) -> Start:
    """Return how a new syncer begins.

    stored: what Redis holds. now: Postgres. redis_pass: low 32 bits of PASS. last_pass: last number drawn for a pass.
    The numbers differ when a syncer died inside a pass or when Redis lost steps: the two look alike, so all is made
    equal again. Raises FrozenError when Postgres is behind what Redis has seen, unless accept_past.
    """
    if stored is None or (stored.system, stored.database) != (now.system, now.database):
        return Start.REPLACE
    behind = now.lsn < stored.lsn or now.timeline < stored.timeline
    if behind and not accept_past:
        raise FrozenError(
            f"Postgres is behind what Redis has seen: log position {_lsn(now.lsn)} on timeline {now.timeline}, "
            f"Redis has {_lsn(stored.lsn)} on timeline {stored.timeline}. It was restored to the past, or a replica "
            "that lacked commits was promoted. Configuration in Redis is frozen; calls go on with it. To make Redis "
            "equal to this Postgres all the same: tandem sync --once --yes"
        )
    if behind or now.timeline != stored.timeline or redis_pass != last_pass:
        return Start.REPAIR
    return Start.RESUME


def _lsn(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:08X}"
