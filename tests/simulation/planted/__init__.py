"""The planted bugs, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tests.simulation.planted.charges import CHARGES
from tests.simulation.planted.forms import Change
from tests.simulation.planted.holds import HOLDS
from tests.simulation.planted.settlement import SETTLEMENT

LUA: Final[Mapping[str, tuple[Change, ...]]] = {**HOLDS, **CHARGES}

__all__ = ["LUA", "SETTLEMENT"]
