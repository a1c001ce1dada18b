"""Dictionaries whose last changes can be taken back: what a Redis loses that was killed before its disk had them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

OPERATIONS_KEPT: Final = 2_000
_MISSING: Final = object()


class Journal:
    """Changes grouped by operation. Whoever writes through it shares one history: a store, and who judges it."""

    def __init__(self) -> None:
        self._operations: list[list[Callable[[], None]]] = [[]]

    def begin(self) -> None:
        """Start the next operation; only the last 2,000 can be taken back."""
        if self._operations[-1]:
            self._operations.append([])
            del self._operations[:-OPERATIONS_KEPT]

    def put(self, into: dict[Any, Any], key: Any, value: Any) -> None:
        """Set `into[key]`."""
        before = into.get(key, _MISSING)
        if before is _MISSING:
            self.undoable(lambda: into.pop(key, None))
        else:
            self.undoable(lambda: into.__setitem__(key, before))
        into[key] = value

    def drop(self, from_: dict[Any, Any], key: Any) -> bool:
        """Remove `from_[key]`; return whether it was there."""
        if key not in from_:
            return False
        before = from_.pop(key)
        self.undoable(lambda: from_.__setitem__(key, before))
        return True

    def undoable(self, undo: Callable[[], object]) -> None:
        """Note how to take back a change that was just made."""
        self._operations[-1].append(lambda: (undo(), None)[1])

    def take_back(self, operations: int) -> None:
        """Undo the last operations that changed anything, newest change first, as far as they are known."""
        while operations and self._operations:
            changes = self._operations.pop()
            operations -= bool(changes)
            for undo in reversed(changes):
                undo()
        if not self._operations:
            self._operations.append([])

    def forget(self) -> None:
        """Make everything so far durable."""
        self._operations = [[]]
