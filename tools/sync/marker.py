"""Where Postgres' history stands, and what that means for what Redis holds.

The mark is the flushed end of the log: it survives every crash of Postgres. What is compared with it at a start is the
end of the log as inserted, which is never behind the flushed one of the same history. So "behind" is a restored past.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple, Self

from tools.errors import OperatorError

NUMBER_MASK: Final = (1 << 32) - 1  # of a version


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


def how_to_start(
    stored: Marker | None, now: Marker, redis_version: int, applied: int, drawn: int, *, accept_past: bool
) -> Start:
    """Return how a new syncer begins.

    stored: what Redis holds. now: Postgres. redis_version: PASS. applied: version of the last pass that Postgres knows
    to be applied, 0 = of none: a lower PASS has lost some. A higher one was left by a syncer that died before it could
    tell Postgres; the outbox still names all of that pass. drawn: highest number ever given to a pass. Raises
    FrozenError when Postgres is in the past, unless accept_past.
    """
    if stored is None or (stored.system, stored.database) != (now.system, now.database):
        return Start.REPLACE
    why = past(stored, now, redis_version, drawn)
    if why and not accept_past:
        raise FrozenError(
            f"Postgres is behind what Redis has seen: {why}. It was restored to the past, or a replica "
            "that lacked commits was promoted. Configuration in Redis is frozen; calls go on with it. To make Redis "
            "equal to this Postgres all the same: tandem sync --once --yes"
        )
    if why:  # numbers of rate sets may be given again, to other prices: nobody may use an old one under a new name
        return Start.REPLACE
    if now.timeline != stored.timeline or redis_version < applied or not applied:
        return Start.REPAIR
    return Start.RESUME


def past(stored: Marker, now: Marker, redis_version: int, drawn: int) -> str:
    """Return how Redis shows that Postgres has lost a part of its history, "" when nothing does.

    stored and now: of the same database. A history that was cut and has since grown beyond the mark again is betrayed
    by a pass that it has not numbered: numbers are drawn, for good, before Redis sees them.
    """
    if now.lsn < stored.lsn or now.timeline < stored.timeline:
        return (
            f"log position {_lsn(now.lsn)} on timeline {now.timeline}, "
            f"Redis has {_lsn(stored.lsn)} on timeline {stored.timeline}"
        )
    number, last = redis_version & NUMBER_MASK, drawn & NUMBER_MASK
    if 0 < (number - last) & NUMBER_MASK <= NUMBER_MASK >> 1:  # numbers begin again after 2^32
        return f"pass {last} was its last one, Redis has seen pass {number}"
    return ""


def _lsn(position: int) -> str:
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:08X}"
