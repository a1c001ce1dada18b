"""Fixtures of the tests that hold the simulated Redis to the real one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kemi.adapters.redis_client import RedisClient
from tests.simulation.shim_bench import PROBE, Pair


@pytest.fixture
def pair(redis_client: RedisClient) -> Iterator[Pair]:
    """Offer both, empty, with the probe loaded besides our libraries."""
    made = Pair(redis_client)
    redis_client.execute("FUNCTION", "LOAD", "REPLACE", PROBE)
    made.shim._sources["probe"] = PROBE
    made.shim.start()
    yield made
    redis_client.execute("FUNCTION", "DELETE", "probe")
