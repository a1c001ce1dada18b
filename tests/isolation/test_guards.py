"""The same statements with every trigger and foreign key in force, and single columns: what a tenant really can do.

What the rules allow comes out as it does for the platform, errors included; what they forbid changes nothing, and no
error tells of an account that is not seen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

import pytest

from tests.isolation import asking, guards, judging
from tests.isolation.asking import Ask
from tests.isolation.judging import DENIED, DONE, Outcome, Planted, acting
from tests.isolation.oracle import Viewer
from tests.isolation.tables import TABLES, Table

# What no tool writes no tenant writes: test_policies.py has it.
WRITTEN: Final = [table for table in TABLES if table.verbs]
by_table = pytest.mark.parametrize("table", WRITTEN, ids=[table.name for table in WRITTEN])
# Other forms of the same change take the same triggers.
VERBS: Final = frozenset({"insert", "update", "delete", "update of the owner", "taking by insert on conflict"})

_REFUSED = re.compile("42501|23...")  # denied, or an integrity rule: the statement did nothing
_NAME = re.compile(r"\b(?:70\d{3}|A\d+|Root)\b")  # what the accounts of a world are called: ids and names


def _misjudged(planted: Planted, table: Table, asks: list[Ask]) -> Iterator[str]:
    """Yield what a viewer can do and should not, or cannot and should, and what errors tell."""
    with acting(planted.database, "postgres", planted.viewers[0].id, triggers=True):
        wanted = judging.run(planted.database, [ask.text for ask in asks])
    for viewer in planted.viewers:
        with acting(planted.database, judging.role_of(viewer), viewer.id, triggers=True):
            outcomes = judging.run(planted.database, [ask.text for ask in asks])
        for ask, best, outcome in zip(asks, wanted, outcomes, strict=True):
            if fault := _fault(viewer, table, ask, best, outcome):
                yield f"account {viewer.id} {fault}: {ask.verb}: {ask.text}: {outcome}; the platform: {best}"


def _fault(viewer: Viewer, table: Table, ask: Ask, best: Outcome, outcome: Outcome) -> str:
    allowed = ask.is_allowed(viewer, table) and (
        viewer.is_root or guards.lets_pass(viewer, ask.table, ask.old, ask.new)
    )
    if allowed:
        return "" if outcome[:2] == best[:2] else "may"
    if not _REFUSED.fullmatch(outcome.state) and (outcome.state, outcome.found) != (DONE, 0):
        return "may not"
    if not viewer.is_root and outcome.said and _tells(viewer, ask, outcome.said):
        return "is told too much"
    return ""


def _tells(viewer: Viewer, ask: Ask, said: str) -> bool:
    """Say whether an error names an account that the viewer does not see and the statement does not name itself."""
    accounts = viewer.world.by_id["account"]
    unseen = {str(key) for key in accounts.keys() - viewer.visible} | {
        row["name"] for key, row in accounts.items() if key not in viewer.visible
    }
    return bool((set(_NAME.findall(said)) - set(_NAME.findall(ask.text))) & unseen)


@by_table
def test_statements(planted: Planted, table: Table) -> None:
    """Every verb, as in test_policies.py, with all that else may refuse."""
    asks = [ask for ask in planted.asks[table.name] if ask.verb in VERBS]
    assert list(_misjudged(planted, table, asks)) == []


@by_table
def test_columns(planted: Planted, table: Table) -> None:
    """Each column of an account, and each column that names a row, set to what another row has there."""
    asks = list(asking.columns_of(planted.world, table, [viewer.id for viewer in planted.viewers]))
    assert list(_misjudged(planted, table, asks)) == []


def test_a_rule_of_a_carrier_that_is_not_seen(planted: Planted) -> None:
    """A peering rule is its carrier's owner's, whatever the statement says: nobody adds one to a foreign carrier."""
    groups = planted.world.rows["peering_group"]
    for viewer in planted.viewers[1:]:
        foreign = [row["id"] for row in groups if row["account_id"] not in viewer.visible]
        texts = [asking.sneaking(group, viewer.id) for group in foreign]
        with acting(planted.database, judging.role_of(viewer), viewer.id, triggers=True):
            assert {outcome.state for outcome in judging.run(planted.database, texts)} <= {DENIED}
