"""The session's stack as the scenarios see it, with all their worlds loaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

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
    return Endpoint(values["TANDEM_SIP"], values["DATABASE_URL"], values["REDIS_URL"], values["TANDEM_SIP6"])


@pytest.fixture
def watch(endpoint: Endpoint) -> Iterator[Watch]:
    """Return a reader of the stack's Postgres and Redis, of this test's own: other tests kill these servers."""
    with closing(Watch(endpoint.database_url, endpoint.redis_url)) as reader:
        yield reader


@pytest.fixture(scope="session")
def worlds(endpoint: Endpoint) -> None:
    """Load the world of every scenario, through sync, without a restart."""
    with closing(Watch(endpoint.database_url, endpoint.redis_url)) as reader:
        load_worlds(discover(ROOT), reader)
