"""Functions that run with their owner's rights judge by themselves: each, for each row, as each viewer.

What the rules allow does what it does for the platform; what they forbid is refused; and what is not seen is refused in
the words for what does not exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from tests.isolation import judging
from tests.isolation.judging import DONE, Outcome, Planted, acting
from tests.isolation.oracle import Row, Viewer

_ABSENT: Final = 999_999
_REFUSED: Final = frozenset({"42501", "23503", "23514"})
_ID: Final = "{id}"
_NO_PRICE: Final = '[{"prefix": "44", "price": null}]'


class Door(NamedTuple):
    """A function. call: its statement; table: whose ids it takes; may: whether a viewer may call it for a row."""

    call: str
    table: str
    may: Callable[[Viewer, Row], bool]


def _sees(viewer: Viewer, row: Row) -> bool:
    return row["id"] in viewer.visible


def _is_above(viewer: Viewer, row: Row) -> bool:
    return row["id"] in viewer.visible and row["id"] != viewer.id


def _pays(viewer: Viewer, row: Row) -> bool:
    return _is_above(viewer, row) and "money" in viewer.rights


def _prices(viewer: Viewer, row: Row) -> bool:
    return row["account_id"] in viewer.visible and "prices" in viewer.rights


def _has_carriers(viewer: Viewer, row: Row) -> bool:
    return row["account_id"] in viewer.visible and "carriers_own" in viewer.rights


DOORS: Final = {
    "top up": Door("select tandem.topup_v1({id}, 1000, 'note', 'oracle')", "account", _pays),
    "credit": Door("select tandem.move_v1({id}, 1000, 'credit', 'note', 'oracle')", "account", _pays),
    "lock": Door("select tandem.lock_v1({id}, 'all', 'oracle', 'note')", "account", _is_above),
    "suspend": Door("select tandem.suspend_account_v1({id})", "account", _is_above),
    "close": Door("select tandem.close_account_v1({id})", "account", _is_above),
    "calls": Door("select from tandem.calls_v1({id}, '2000-01-01', '2099-01-01')", "account", _sees),
    "tries": Door("select from tandem.tries_v1({id}, '2000-01-01', '2099-01-01')", "account", _sees),
    "edit prices": Door(f"select tandem.set_rates_v1({_ID}, '{_NO_PRICE}')", "tariff", _prices),
    "pay a carrier": Door("select tandem.pay_carrier_v1({id}, 1000, 'note', 'oracle')", "peering_group", _has_carriers),
}
READING: Final = frozenset({"calls", "tries"})  # how many rows they give depends on who reads


@pytest.mark.parametrize("name", DOORS)
def test_who_may_call_it(planted: Planted, name: str) -> None:
    """Each row of its table, as each viewer."""
    door = DOORS[name]
    rows = planted.world.rows[door.table]
    calls = [door.call.replace(_ID, str(key)) for key in (_ABSENT, *(row["id"] for row in rows))]
    with acting(planted.database, "postgres", planted.viewers[0].id, triggers=True):
        _, *wanted = judging.run(planted.database, calls)
    assert any(best.state == DONE for best in wanted)
    for viewer in planted.viewers[1:]:
        with acting(planted.database, judging.TENANT, viewer.id, triggers=True):
            absent, *outcomes = judging.run(planted.database, calls)
        for row, best, outcome in zip(rows, wanted, outcomes, strict=True):
            if name in READING:
                best, outcome = (each._replace(found=0) for each in (best, outcome))  # noqa: PLW2901
            assert _is_right(viewer, door, row, best, outcome, absent), f"account {viewer.id}: {row['id']}: {outcome}"


def _is_right(viewer: Viewer, door: Door, row: Row, best: Outcome, outcome: Outcome, absent: Outcome) -> bool:
    if door.may(viewer, row):
        return (outcome.state, outcome.found) == (best.state, best.found)
    owner = row["id"] if door.table == "account" else row["account_id"]
    if owner in viewer.visible:
        return outcome.state in _REFUSED
    said = (outcome.said or "").replace(str(row["id"]), str(_ABSENT), 1)
    return outcome.state in _REFUSED and (outcome.state, said) == (absent.state, absent.said)
