"""The corpus again, on a node that has nothing cached."""

from __future__ import annotations

import re
from typing import Any, Final, cast

import pytest

from kemi.core.decide import decide
from kemi.core.outcome import Reject, Route, Target
from kemi.core.request import Facts
from tests.fakes.world import ColdStore, World
from tests.routing.asking import facts, records_of, request
from tests.routing.building import Records
from tests.routing.tables import Line, lines

FETCHES_MAX: Final = 2  # and the hold is the third round trip that a cold call may take
LED_ON_MAX: Final = 3  # of a call that is led to a number, a place or a server: unknown before the called is known
_LED_ON: Final = re.compile(
    "leads to (?:number|extension) |extension .* reaches number |: it is an address of this node"
)
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


def _is_place(target: Target) -> bool:
    """Tell a trunk's place or a media server, whose address is looked up among sources."""
    return target.kind == "server" and not target.pinned.server_id


@pytest.mark.parametrize("line", [pytest.param(line, id=line.place) for line in LINES])
def test_a_cold_node_decides_alike(line: Line) -> None:
    """Within two fetches, and with the same words: what is asked for is all that is needed."""
    records = records_of(line)
    store, call = _Store(line, records), request(line, records)
    warm = decide(call, store.facts())
    is_led_on = isinstance(warm, Route | Reject) and any(_LED_ON.search(each) for each in warm.trace)
    is_led_on = is_led_on or (isinstance(warm, Route) and any(_is_place(target) for target in warm.targets))
    cold, _ = ColdStore(cast(World, store)).decide(call, LED_ON_MAX if is_led_on else FETCHES_MAX)
    assert cold == warm, f"{line.place} ({line.title}): {line.text}"
