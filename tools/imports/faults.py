"""What is wrong with a file: where, what stands there, and which rule it breaks. Few are shown, all are counted."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, TextIO

from tools.errors import OperatorError

SHOWN: Final = 20
VALUE_MAX: Final = 60
_HEADINGS: Final = ("line", "column", "value", "rule")


class BadValueError(Exception):
    """A value that breaks a rule; the message is the rule. Never leaves tools.imports."""


class Fault(NamedTuple):
    """One thing that is wrong. line: of the file, from 1, where the row begins. column: as the file calls it."""

    line: int
    column: str
    value: str
    rule: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as programs read it."""
        return self._asdict()


class Faults:
    """Counts what is wrong, keeps the first ones, and writes all of them to a file where one was named."""

    def __init__(self, every: TextIO | None = None) -> None:
        """every: where all of them go."""
        self.count = 0
        self.first: list[Fault] = []
        self._writer = csv.writer(every) if every else None
        if self._writer:
            self._writer.writerow(_HEADINGS)

    def add(self, line: int, column: str, value: str, rule: str) -> None:
        """Note one."""
        fault = Fault(line, column, value if len(value) <= VALUE_MAX else f"{value[:VALUE_MAX]}…", rule)
        self.count += 1
        if len(self.first) < SHOWN:
            self.first.append(fault)
        if self._writer:
            self._writer.writerow(fault)


@contextmanager
def noted(path: Path | None) -> Iterator[Faults]:
    """Open the file for all faults, where one is wanted. Raises OperatorError where it cannot be written."""
    if path is None:
        yield Faults()
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as every:
            yield Faults(every)
    except OSError as error:
        raise OperatorError(f"errors: {str(path)!r} cannot be written: {error.strerror}") from error
