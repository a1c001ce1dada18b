"""Random worlds for the tests of this directory: one that is always the same, one from the seed that pytest prints."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fix_postgres import SCHEMA, PostgresServer
from tests.isolation.judging import Planted, plant

FIXED = 20


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for `planted` both worlds, unless its module says that one is enough.

    The random one is of the seed that pytest-randomly prints; `pytest -p randomly_seed=…` brings it back.
    """
    if "planted" in metafunc.fixturenames:
        seeds = {"fixed": FIXED}
        if not getattr(metafunc.module, "FIXED_WORLD_ONLY", False):
            seed = int(metafunc.config.getoption("randomly_seed", 1))
            seeds[f"random-{seed}"] = seed
        metafunc.parametrize("planted", [*seeds.values()], ids=[*seeds], indirect=True, scope="session")


@pytest.fixture(scope="session")
def planted(postgres_server: PostgresServer, request: pytest.FixtureRequest) -> Iterator[Planted]:
    """Yield a world with every kind of account and a few rows in every table; whatever is asked of it is undone."""
    with postgres_server.clone(SCHEMA) as database:
        made = plant(database, request.param)
        root, reseller, dealer, *_, last = made.viewers
        yield made if request.param == FIXED else made._replace(viewers=(root, reseller, dealer, last))  # half the time
