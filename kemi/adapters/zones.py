"""Time zones by name, from the system's own tables (Debian package tzdata).

Rule 1: a table is read when its zone is first asked for, then kept: the tables change with the system's updates, and
a node takes them on with its next start.
Rule 2: a name that has no table is remembered too, so that a wrong one in a tariff costs one look at the disk.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from cachetools import LRUCache

ZONES_MAX: Final = 1_000  # more than the world has


class Zones(Mapping[str, tzinfo]):
    """IANA name -> zone. One per process; iterating shows what was asked for and exists."""

    def __init__(self) -> None:
        """Start empty, without touching the disk."""
        self._zones: LRUCache[str, tzinfo | None] = LRUCache(ZONES_MAX)

    def __getitem__(self, name: str) -> tzinfo:
        """Return the zone. Raises KeyError where the system has no such table."""
        if name not in self._zones:
            self._zones[name] = _read(name)
        zone = self._zones[name]
        if zone is None:
            raise KeyError(name)
        return zone

    def __iter__(self) -> Iterator[str]:
        """Return the names known by now."""
        return (name for name, zone in self._zones.items() if zone is not None)

    def __len__(self) -> int:
        """Return how many are known by now."""
        return sum(1 for _ in self)


def _read(name: str) -> tzinfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # not there; a folder, or forbidden; no name that a table could have
        return None
