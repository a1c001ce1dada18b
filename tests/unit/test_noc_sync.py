"""What `tandem noc status` finds wrong with the configuration in Redis."""

from __future__ import annotations

import pytest

from tools import noc_sync


def test_a_syncer_at_work_is_no_alarm() -> None:
    """`live` is the syncer's word (tools/sync/status.py) for: Redis has all that Postgres has."""
    assert noc_sync.alarms({"age_ms": 300, "state": "live", "held": ""}) == []


@pytest.mark.parametrize("state", ["repair", "load", "frozen: fenced off"])
def test_a_syncer_that_is_not_through_is_one(state: str) -> None:
    (alarm,) = noc_sync.alarms({"age_ms": 300, "state": state, "held": ""})
    assert alarm.endswith(f"the syncer is at its {state}")
