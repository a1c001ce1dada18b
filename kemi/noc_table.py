"""What processes have left in the table `noc`, read as JSON."""

from __future__ import annotations

import json
from typing import Any, Final

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import NOC, names

NUMBER_MAX: Final = 2**53 - 1  # more is no whole number to programs that read JSON


def value(ksr: Ksr, table: str, key: str) -> object:
    """Return what stands under a key; None where nothing does."""
    found = ksr.htable.sht_get(table, key)
    return json.loads(found) if isinstance(found, str) else None


def rows(ksr: Ksr, prefix: str) -> list[dict[str, Any]]:
    """Return what processes have said of themselves under keys with this prefix, in the order of the keys."""
    found = [value(ksr, NOC, name) for name in sorted(names(ksr, NOC)) if name.startswith(prefix)]
    return [each for each in found if isinstance(each, dict)]
