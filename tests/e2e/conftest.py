"""The session's stack as the scenarios see it, with all their worlds loaded."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tools.scenario.command import ROOT
from tools.scenario.observe import Watch
from tools.scenario.run import Endpoint, load_worlds
from tools.scenario.spec import discover
from tools.stack import plan
from tools.stack.stack import Stack


@pytest.fixture(scope="session")
def endpoint(stack: Stack) -> Endpoint:
    """Return where the session's stack can be reached."""
    values = plan.environment(stack.layout)
    return Endpoint(values["TANDEM_SIP"], values["DATABASE_URL"], values["REDIS_URL"])


@pytest.fixture(scope="session")
def watch(endpoint: Endpoint) -> Iterator[Watch]:
    """Return a reader of the stack's Postgres and Redis."""
    reader = Watch(endpoint.database_url, endpoint.redis_url)
    yield reader
    reader.close()


@pytest.fixture(scope="session")
def worlds(watch: Watch) -> None:
    """Load the world of every scenario, through sync, without a restart."""
    load_worlds(discover(ROOT), watch)
