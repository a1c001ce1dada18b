"""What tests/side_by_side.py uses of pytest-xdist 3, which has no types of its own."""

from typing import Any

import pytest

class LoadScopeScheduling:
    """Hands out units of tests: those of one scope, in the order of their collection, to one process."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None: ...
    def _split_scope(self, nodeid: str) -> str: ...
