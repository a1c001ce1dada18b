"""What the platform's own roles do below the policies: whatever their grants say, on every row."""

from __future__ import annotations

from collections.abc import Iterator

from tests.isolation import asking, judging
from tests.isolation.asking import KEY
from tests.isolation.judging import DONE, Planted, acting
from tests.isolation.tables import Table

_VERBS = {"i": "INSERT", "u": "UPDATE", "d": "DELETE"}


def misdone(planted: Planted, role: str, table: Table) -> Iterator[str]:
    """Yield what a role that is no tenant cannot see or do, though it was granted to it."""
    granted = _granted(planted, role, table)
    if "SELECT" not in granted:
        return
    chosen = [pair for pair in zip(planted.asks[table.name], planted.wanted[table.name], strict=True)
              if {_VERBS[need] for need in pair[0].needs} <= granted]  # fmt: skip
    with acting(planted.database, role, None):
        seen, *outcomes = judging.run(planted.database, [asking.reading(table), *(ask.text for ask, _ in chosen)])
    expected = {row[KEY] for row in planted.world.rows[table.name]}
    if seen.state != DONE or set(seen.keys or []) != expected:
        yield f"{role} reads {table.name}: {seen}"
    for (ask, best), outcome in zip(chosen, outcomes, strict=True):
        if outcome[:2] != best[:2]:
            yield f"{role}: {ask.text}: {outcome}"


def _granted(planted: Planted, role: str, table: Table) -> set[str]:
    return {right for (right,) in planted.database.run(
        "select r from unnest(array['SELECT', 'INSERT', 'UPDATE', 'DELETE']) as r"
        " where has_table_privilege(%s, %s, r)", role, f"tandem.{table.name}")}  # fmt: skip
