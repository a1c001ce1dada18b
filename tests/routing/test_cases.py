"""Every line of the routing corpus: README.md says how they are written."""

from __future__ import annotations

import pytest

from kemi.core.decide import decide
from tests.routing.asking import facts, records_of, request
from tests.routing.claims import faults, told
from tests.routing.tables import Line, lines

LINES = tuple(lines("cases"))
LINES_MIN = 300  # the corpus may grow; a parser that loses lines must not go unnoticed


@pytest.mark.parametrize("line", [pytest.param(line, id=line.place) for line in LINES])
def test_a_call_goes_where_the_table_says(line: Line) -> None:
    """A line is a claim about one call in one small world."""
    records = records_of(line)
    decision = decide(request(line, records), facts(line, records))
    wrong = faults(line, decision, records)
    assert not wrong, "\n".join((f"{line.place} ({line.title}): {line.text}", *wrong, "", *told(decision)))


def test_the_corpus_is_whole() -> None:
    """No line is lost on the way from the text."""
    assert len(LINES) >= LINES_MIN
    assert len({line.place for line in LINES}) == len(LINES)
