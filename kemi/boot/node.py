"""One node as Kamailio calls it: the worker's callbacks and the agent's turn in one object, from the environment."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence

from kemi.adapters import ksr_metrics, redis_locations, redis_measures
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_locations import Tell
from kemi.adapters.ksr_measures import Orders
from kemi.adapters.ksr_shared import StoreFlag
from kemi.adapters.redis_client import FunctionFailed, NodeBreaker, RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_place import place_of
from kemi.adapters.redis_probe import Probe
from kemi.adapters.redis_tables import Tables
from kemi.admission import Admission
from kemi.agent import Agent
from kemi.agent_follow import QUESTION
from kemi.agent_locations import AgentLocations
from kemi.agent_noc import AgentNoc
from kemi.agent_state import AgentState
from kemi.records import Location
from kemi.settings import Settings
from kemi.worker import DONE, Worker


class Node(Worker):
    """The handler that app_python3 holds; Kamailio finds its methods by the names in kamailio.cfg."""

    def __init__(self, ksr: Ksr, settings: Settings) -> None:
        super().__init__(ksr, settings, lambda: _admission(ksr, settings))
        self._tell_locations = _teller(ksr, settings)
        self._orders = Orders(ksr, _ordered(ksr, settings))
        self._metrics = ksr_metrics.Metrics(ksr)
        self._page_door = ksr_metrics.Door(ksr)
        self._agent: Agent | None = None
        self._locations: AgentLocations | None = None
        self._noc: AgentNoc | None = None

    def ksr_agent_tick(self, _msg: object, _event: str) -> int:
        """Do a turn of the node agent; only the rtimer process comes here."""
        self._guarded("agent", self._tick)
        self._guarded("locations", self._look_after_locations)
        self._guarded("noc", self._answer_noc)
        self._guarded("metrics", lambda: self._metrics.turn(time.monotonic_ns(), time.time_ns() // 1_000_000))
        return DONE

    def ksr_request_route(self, msg: object, *more: object) -> int:
        """Route a SIP request, unless it came by the socket of the page for Prometheus."""
        if not more and self._page_door.is_used():
            self._guarded("page", lambda: ksr_metrics.hang_up(self._ksr))
            return DONE
        return super().ksr_request_route(msg, *more)

    def ksr_http_request(self, _msg: object, *_more: object) -> int:
        """Answer HTTP, where `-A METRICS=port` is given: Prometheus reads the node's figures."""
        self._guarded("http", lambda: ksr_metrics.serve(self._ksr))
        return DONE

    def hand_over(self) -> AgentState | None:
        """Return what the code after a reload must know of the agent; None in processes without one."""
        if self._agent is None:
            return None
        return self._agent.export()._replace(locations=self._locations.export() if self._locations else b"")

    def take_over(self, state: AgentState | None) -> None:
        """Go on where the code before a reload stopped."""
        if state is not None:
            self._agent = self._new_agent()
            self._agent.restore(state)
            if exported := getattr(state, "locations", b""):  # older code had none
                self._locations = self._new_locations()
                self._locations.restore(exported)

    def retire(self) -> None:
        """Let go of files and connections; another object has taken over."""
        for each in (self._agent, self._locations, self._noc):
            if each:
                each.close()

    def _tick(self) -> None:
        if self._agent is None:
            self._agent = self._new_agent()
        self._agent.tick()

    def _look_after_locations(self) -> None:
        if self._locations is None:
            self._locations = self._new_locations()
        self._locations.turn(time.monotonic_ns(), time.time_ns() // 1_000_000)

    def _answer_noc(self) -> None:
        if self._noc is None:
            client, funds = _redis(self._ksr, self._settings)
            self._noc = AgentNoc(self._ksr, self._settings, client, funds)
        self._noc.turn(time.monotonic_ns(), time.time_ns() // 1_000_000)

    def _new_locations(self) -> AgentLocations:
        client, _ = _redis(self._ksr, self._settings)
        return AgentLocations(self._ksr, self._settings, client)

    def _new_agent(self) -> Agent:
        settings, flag = self._settings, StoreFlag(self._ksr)
        client, funds = _redis(self._ksr, settings)
        probe = Probe(place_of(settings.redis_url), settings.redis_timeout_ms / 1000, flag, question=QUESTION)
        return Agent(self._ksr, settings, client, funds, tables=Tables(client), probe=probe)


def node_from_environment(ksr: Ksr) -> Node:
    """Return the node that the environment describes. Raises SettingsError that names the variable."""
    return Node(ksr, Settings.from_environment(os.environ))


def _admission(ksr: Ksr, settings: Settings) -> Admission:
    client, funds = _redis(ksr, settings)
    return Admission(settings, client, Tables(client, settings.cache_mb << 20), funds)


def _teller(ksr: Ksr, settings: Settings) -> Tell:
    """Return how a worker tells Redis of a phone: over a connection of its own, made when it is needed first."""
    client, _ = _redis(ksr, settings)

    def tell(name: str, locations: Sequence[Location], gone: Sequence[str]) -> bool:
        try:
            redis_locations.put(client, name, settings.node, int(time.time()), locations, gone)
        except StoreUnavailable:
            return False
        return True

    return tell


def _ordered(ksr: Ksr, settings: Settings) -> Callable[[], list[tuple[str, str]]]:
    """Return how a worker asks what the NOC has ordered, until the agent has spoken; nothing where Redis is down."""
    client, _ = _redis(ksr, settings)

    def read() -> list[tuple[str, str]]:
        try:
            return redis_measures.pairs(redis_measures.in_force(client, redis_measures.clock_ms(client)))
        except (StoreUnavailable, FunctionFailed):
            return []

    return read


def _redis(ksr: Ksr, settings: Settings) -> tuple[RedisClient, Funds]:
    """Return the way to Redis of this process; what all of the node know of it, they share."""
    client = RedisClient(
        settings.redis_url,
        settings.redis_timeout_ms,
        breaker=NodeBreaker(StoreFlag(ksr)),
        wait_replicas=settings.wait_replicas,
    )
    return client, Funds(client, settings.node, settings.grace_s)
