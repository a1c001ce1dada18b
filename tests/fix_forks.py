"""Phones that ring together, as fixtures; see forked.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.forked import RING_S, Phones, called_phones
from tests.planned_edge import PlannedEdge, running_planned_edge
from tests.sip import Endpoint


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlannedEdge]:
    """Run one node for all tests of a file."""
    with running_planned_edge(tmp_path_factory.mktemp("project"), RING_S) as running:
        yield running


@pytest.fixture
def phones(planned: PlannedEdge) -> Iterator[Phones]:
    """Give the called phones; nothing may be left after the test."""
    with called_phones(planned) as made:
        yield made


@pytest.fixture
def caller(planned: PlannedEdge) -> Iterator[Endpoint]:
    """Give the caller."""
    with planned.edge.phone("127.0.0.2") as endpoint:
        yield endpoint
