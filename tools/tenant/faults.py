"""What is wrong with a file, all of it at once, each with the line where it stands."""

from __future__ import annotations

from typing import Final, NamedTuple

from tools.errors import OperatorError

SHOWN_MAX: Final = 20  # of the faults of a file; who has more has one that repeats


class Place(NamedTuple):
    """Where in a file something stands. path: what a person would say, such as accounts 'Alpha', tariff."""

    line: int
    path: str

    def at(self, line: int, *steps: str) -> Place:
        """Return a place further in."""
        return Place(line, ", ".join(step for step in (self.path, *steps) if step))


class Faults:
    """Collects faults while a file is read on. file: its name as the user gave it."""

    def __init__(self, file: str) -> None:
        self.file = file
        self._found: dict[tuple[int, str], None] = {}

    def add(self, place: Place, said: str) -> None:
        """Keep a fault. said: what is there and the rule that it breaks, never a secret."""
        path = f"{place.path}: " if place.path else ""
        self._found[place.line, f"{self.file}:{place.line}: {path}{said}"] = None

    def check(self) -> None:
        """Raise OperatorError with the faults in the order of the file, a line each; return when there are none."""
        if not self._found:
            return
        said = [text for _, text in sorted(self._found)]
        more = [f"and {len(said) - SHOWN_MAX} more"] if len(said) > SHOWN_MAX else []
        raise OperatorError("\n".join([*said[:SHOWN_MAX], *more]))
