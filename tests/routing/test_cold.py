"""The corpus again, on a node that has nothing cached."""

from __future__ import annotations

from typing import Any, Final, cast

import pytest

from kemi.core.decide import decide
from kemi.core.request import Facts
from tests.fakes.world import ColdStore, World
from tests.routing.asking import facts, records_of, request
from tests.routing.building import Records
from tests.routing.tables import Line, lines

FETCHES_MAX: Final = 2  # and the hold is the third round trip that a cold call may take
LINES: Final = tuple(line for line in lines("cases") if line.settings.get("store") != "down")


class _Store:
    """The line's world as the store behind a node's cache."""

    def __init__(self, line: Line, everything: Records) -> None:
        self._line = line
        self._all = everything
        self.records, self.rates = everything.records, everything.rates

    def facts(self, **fields: Any) -> Facts:
        """Return what the node knows, with only so much of the store."""
        return facts(self._line, self._all)._replace(**fields)


@pytest.mark.parametrize("line", [pytest.param(line, id=line.place) for line in LINES])
def test_a_cold_node_decides_alike(line: Line) -> None:
    """Within two fetches, and with the same words: what is asked for is all that is needed."""
    records = records_of(line)
    store, call = _Store(line, records), request(line, records)
    cold, fetches = ColdStore(cast(World, store)).decide(call, FETCHES_MAX)
    assert cold == decide(call, store.facts()), f"{line.place} ({line.title}): {line.text}"
    assert fetches <= FETCHES_MAX
