"""What every import is told: which file, how it is written, and who imports it."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tools.imports.table import Layout


class Source(NamedTuple):
    """Which file, and how it is written. errors: where all faults go."""

    path: Path
    encoding: str
    delimiter: str
    layout: Layout
    errors: Path | None


class Who(NamedTuple):
    """Who imports, and where."""

    database_url: str
    as_account: str
    actor: str
