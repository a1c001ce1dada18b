"""Which kinds the syncer is sure of: what a repair still has to compare, and what it may not remove."""

from __future__ import annotations

from collections.abc import Iterable

from tools.errors import OperatorError
from tools.sync.kinds import KINDS, Kind


class Certainty:
    """Kinds in doubt. repaired: aggregates put right since all was certain."""

    def __init__(self) -> None:
        """Begin with no doubt."""
        self.repaired = 0
        self._unsure: set[Kind] = set()
        self._since_begun: set[Kind] = set()
        self._held: dict[Kind, str] = {}
        self._left: set[tuple[str, str]] = set()  # (kind, key)

    @property
    def unsure(self) -> tuple[Kind, ...]:
        """Kinds that must be compared, in the order of KINDS."""
        return tuple(kind for kind in KINDS if kind in self._unsure)

    @property
    def urgent(self) -> tuple[Kind, ...]:
        """Those of them that comparing again at once may help."""
        return tuple(kind for kind in self.unsure if kind not in self._waiting())

    @property
    def held_text(self) -> str:
        """What an operator is told of them, "" when there are none."""
        return " ".join(self._held.values())

    def doubt(self, kinds: Iterable[Kind]) -> None:
        """Have `kinds` compared from the beginning, whatever of them is being compared now."""
        added = set(kinds)
        self._unsure |= added
        self._since_begun |= added

    def begin(self) -> None:
        """Begin to compare; a doubt that arises from now on outlives it."""
        self._since_begun.clear()

    def hold(self, kind: Kind, why: OperatorError) -> None:
        """Remember what may not be removed."""
        self._held[kind] = str(why)

    def release(self, kind: Kind) -> None:
        """Forget that."""
        self._held.pop(kind, None)

    def leave(self, kind: Kind, names: Iterable[str]) -> None:
        """Remember what is known to differ and left to a pass that is still to come."""
        self._left |= {(kind.view, name) for name in names}

    def came(self, applied: Iterable[tuple[str, str]]) -> None:
        """Note (kind, key) of what a pass has applied."""
        self._left.difference_update(applied)

    def swept(self, kinds: Iterable[Kind]) -> None:
        """Be sure of what was compared, unless something of it waits or was doubted meanwhile."""
        self._unsure -= set(kinds) - self._since_begun - self._waiting()

    def _waiting(self) -> set[Kind]:
        """Return kinds of which something waits for an operator or for a pass."""
        return {*self._held, *(kind for kind in self._unsure if any(view == kind.view for view, _ in self._left))}
