"""Time zones from the system's tables."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kemi.adapters.zones import Zones


def test_a_zone_knows_its_clock_changes() -> None:
    """Berlin is one hour ahead of UTC in winter, two in summer."""
    berlin = Zones()["Europe/Berlin"]
    ahead = [berlin.utcoffset(datetime(2026, month, 1, tzinfo=UTC).replace(tzinfo=None)) for month in (1, 7)]
    assert ahead == [timedelta(hours=1), timedelta(hours=2)]


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 300])
def test_what_is_no_zone_is_absent(name: str) -> None:
    """Whatever a tariff says, there is no other error, and no file is read that is no table of a zone."""
    zones = Zones()
    assert zones.get(name) is None
    assert name not in zones
    assert list(zones) == []


def test_the_disk_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a name that has no table."""
    zones = Zones()
    assert zones.get("Mars/Olympus") is None
    assert zones["Europe/Berlin"] is zones["Europe/Berlin"]
    monkeypatch.setattr("kemi.adapters.zones.ZoneInfo", None)
    assert zones.get("Mars/Olympus") is None
    assert (list(zones), len(zones)) == (["Europe/Berlin"], 1)
