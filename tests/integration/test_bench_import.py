"""`make bench-import` with few rows: the decks are what they say, and both are imported."""

from __future__ import annotations

import pytest

from tools.bench.imports import full_deck, measure, partial_deck
from tools.bench.sync_world import prefixes

ROWS = 2_000


@pytest.mark.timeout(300)
def test_a_small_run_imports_both_decks() -> None:
    """Each row of both becomes a price; of the figures only those are judged that are no matter of speed."""
    said: list[str] = []

    found = measure(ROWS, said.append)

    assert (found["rows"], found["partial_rows"]) == (ROWS, ROWS // 100), (found, said)
    assert all(found[name] > 0 for name in ("seconds", "rows_per_s", "partial_seconds", "partial_rows_per_s"))
    assert all(20 < found[name] < 500 for name in ("peak_mb", "partial_peak_mb")), found


def test_a_full_deck_has_each_code_once() -> None:
    assert [row.split(";")[1] for row in full_deck(ROWS)] == list(prefixes(ROWS))


def test_half_of_a_partial_deck_costs_something_else() -> None:
    """A hundredth of the codes; all else of a row is as it was."""
    before = {row.split(";")[1]: row.split(";") for row in full_deck(ROWS)}
    rows = [row.split(";") for row in partial_deck(ROWS)]
    changed = [row for row in rows if row != before[row[1]]]
    assert (len(rows), len(changed)) == (ROWS // 100, ROWS // 200)
    assert all(row[2] != before[row[1]][2] and row[3] == before[row[1]][3] for row in changed)
