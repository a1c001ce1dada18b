"""One node as Kamailio calls it: the worker's callbacks and the agent's turn in one object, from the environment."""

from __future__ import annotations

import os

from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import StoreFlag
from kemi.adapters.redis_client import NodeBreaker, RedisClient
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_place import place_of
from kemi.adapters.redis_probe import Probe
from kemi.adapters.redis_tables import Tables
from kemi.admission import Admission
from kemi.agent import Agent, AgentState
from kemi.settings import Settings
from kemi.worker import DONE, Worker


class Node(Worker):
    """The handler that app_python3 holds; Kamailio finds its methods by the names in kamailio.cfg."""

    def __init__(self, ksr: Ksr, settings: Settings) -> None:
        super().__init__(ksr, settings, lambda: _admission(ksr, settings))
        self._agent: Agent | None = None

    def ksr_agent_tick(self, _msg: object, _event: str) -> int:
        """Do a turn of the node agent; only the rtimer process comes here."""
        self._guarded("agent", self._tick)
        return DONE

    def hand_over(self) -> AgentState | None:
        """Return what the code after a reload must know of the agent; None in processes without one."""
        return self._agent.export() if self._agent else None

    def take_over(self, state: AgentState | None) -> None:
        """Go on where the code before a reload stopped."""
        if state is not None:
            self._agent = self._new_agent()
            self._agent.restore(state)

    def retire(self) -> None:
        """Let go of files and connections; another object has taken over."""
        if self._agent:
            self._agent.close()

    def _tick(self) -> None:
        if self._agent is None:
            self._agent = self._new_agent()
        self._agent.tick()

    def _new_agent(self) -> Agent:
        settings, flag = self._settings, StoreFlag(self._ksr)
        client, funds = _redis(self._ksr, settings)
        probe = Probe(place_of(settings.redis_url), settings.redis_timeout_ms / 1000, flag)
        return Agent(self._ksr, settings, client, funds, tables=Tables(client), probe=probe)


def node_from_environment(ksr: Ksr) -> Node:
    """Return the node that the environment describes. Raises SettingsError that names the variable."""
    return Node(ksr, Settings.from_environment(os.environ))


def _admission(ksr: Ksr, settings: Settings) -> Admission:
    client, funds = _redis(ksr, settings)
    return Admission(settings, client, Tables(client, settings.cache_mb << 20), funds)


def _redis(ksr: Ksr, settings: Settings) -> tuple[RedisClient, Funds]:
    """Return the way to Redis of this process; what all of the node know of it, they share."""
    client = RedisClient(
        settings.redis_url,
        settings.redis_timeout_ms,
        breaker=NodeBreaker(StoreFlag(ksr)),
        wait_replicas=settings.wait_replicas,
    )
    return client, Funds(client, settings.node, settings.grace_s)
