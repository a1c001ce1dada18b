"""How the suites share the processes of `pytest -n`: a file stays together, and so does all of tests/e2e.

A file's tests share servers that its fixtures start. Those of tests/e2e share the addresses of the scenarios, too, and
what they promise is in seconds: one process plays them one after another, beside which the others do the rest. Without
`-n` nothing of this happens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import pytest
from xdist.scheduler import LoadScopeScheduling

TOGETHER: Final = "tests/e2e"
ORDER: Final = (TOGETHER, "tests/simulation", "tests/isolation", "tests/integration")
"""What takes long is begun first, the files of seconds are left for the end: there no process waits for another."""


class ByFile(LoadScopeScheduling):
    """Hands whole files to the processes, in the order of their collection; TOGETHER as one."""

    def _split_scope(self, nodeid: str) -> str:
        return _unit(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Replace whatever --dist asks for: tests of one file cannot be parted."""
    config.option.loadscopereorder = False  # else by the number of tests, which says nothing of their time
    return ByFile(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Bring what takes long to the front; the rest stays in the random order that it has got before."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _turn(item.nodeid))


def _turn(nodeid: str) -> int:
    file = Path(nodeid.partition("::")[0])
    return next((turn for turn, folder in enumerate(ORDER) if file.is_relative_to(folder)), len(ORDER))


def _unit(nodeid: str) -> str:
    file = Path(nodeid.partition("::")[0])
    return TOGETHER if file.is_relative_to(TOGETHER) else str(file)
