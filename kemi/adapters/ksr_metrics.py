"""What Prometheus reads of a node: Kamailio's statistics and ours as they are, and gauges of the agent's findings.

Kamailio's xhttp_prom writes the page, on a socket of the loopback that `-A METRICS=port` opens; without it neither
module is loaded and nothing here does anything. Names begin with `tandem_`, which kamailio.cfg says.

Rule 1: a label is a number of ours, for xhttp_prom escapes none; SERVERS_MAX of them at most.
Rule 2: gauges stay as they were when the agent stands still: `agent_unix_seconds` tells.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final, Protocol, cast

from kemi.adapters import ksr_noc
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import NOC, down_servers, is_draining, names

SERVERS_MAX: Final = 300
EVERY_NS: Final = 1_000_000_000
LOOPBACK: Final = "127.0.0.1"
PORT: Final = "$def(METRICS)"
HEARD_AT, HEARD_ON, CONNECTION = "$Ri", "$Rp", "$conid"
LIVE: Final = "live"  # what the syncer is at when Redis has all that Postgres has
WELL: Final = ("up", "registered", "asked")  # asked: nothing is known yet, which is no fault

BY_AGENT: Final = {
    "calls": "calls",
    "talking": "calls_talking",
    "unheld": "calls_unheld",
    "going_on": "calls_going_on",
    "queue": "agent_queue",
    "waiting": "agent_waiting",
    "spool": "spool",
    "torn": "spool_torn",
    "dead": "dead_letters",
    "invalid": "agent_invalid",
    "errors": "agent_errors",
}
"""Gauges whose number the agent's status has, by its name there."""
BY_MONEY: Final = {
    "differences": "money_differences",
    "poisoned": "money_poisoned",
    "events_waiting": "money_events_waiting",
    "expired": "money_leases_expired",
}
"""The same of what settlement told. Its ages are reckoned here."""
BY_SYNC: Final = {
    "outbox": "config_outbox_rows",
    "outbox_s": "config_outbox_seconds",
    "drift": "config_drift",
    "wrong": "config_wrong_rows",
}
"""The same of what the syncer told."""
OWN: Final = (
    *("agent_unix_seconds", "store_up", "draining", "processes", "processes_of_old_code"),
    *("config_age_seconds", "config_live", "config_held_back"),
    *("money_age_seconds", "money_round_age_seconds"),
    *("servers_passed_over", "servers_down", "logins_down"),
)
PER_SERVER: Final = ("server_up", "server_passed_over", "login_up")
"""With the label `server`: the number of a carrier's server."""
GAUGES: Final = (*BY_AGENT.values(), *BY_MONEY.values(), *BY_SYNC.values(), *OWN)


class XhttpProm(Protocol):
    """The module that writes the page."""

    def check_uri(self) -> int:
        """Tell whether the page is asked for; > 0: it is."""

    def dispatch(self) -> int:
        """Answer with the page."""

    def gauge_set_l0(self, name: str, value: str, /) -> int:
        """Set a gauge that kamailio.cfg declares."""

    def gauge_set_l1(self, name: str, value: str, label: str, /) -> int:
        """Set one with a label."""


def serve(ksr: Ksr) -> None:
    """Answer a request of HTTP with the page. Whatever else is asked, or came to a socket of SIP, costs its connection.

    A refusal in words would be an error to Kamailio, which reads what it sends and knows only 2xx as HTTP.
    """
    page = _page(ksr)
    if page is not None and Door(ksr).is_used() and page.check_uri() > 0:
        page.dispatch()
    else:
        hang_up(ksr)


def hang_up(ksr: Ksr) -> None:
    """Close the connection that the message under our hands came by."""
    ksr.tcpops.tcp_close_connection_id(ksr.pv.geti(CONNECTION))


class Door:
    """The socket of the page. SIP that comes in by it is none: whoever opened it meant Prometheus."""

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr
        self._port: str | None = None

    def is_used(self) -> bool:
        """Tell whether the message under our hands came by it. Asks nothing of Kamailio where there is no page."""
        pv = self._ksr.pv
        if self._port is None:
            self._port = str(pv.gete(PORT)) if _page(self._ksr) else ""
        return bool(self._port) and str(pv.gete(HEARD_ON)) == self._port and pv.gete(HEARD_AT) == LOOPBACK


def _page(ksr: Ksr) -> XhttpProm | None:
    return cast("XhttpProm | None", getattr(ksr, "xhttp_prom", None))


class Metrics:
    """The gauges, set anew at most once a second from what the agent has told the NOC; the agent's process does it."""

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr
        self._again_ns = 0
        self._passed_over: set[int] = set()

    def turn(self, now_ns: int, unix_ms: int) -> None:
        """Set them, if it is time. now_ns: CLOCK_MONOTONIC."""
        page = _page(self._ksr)
        if page is None or now_ns < self._again_ns:
            return
        self._again_ns = now_ns + EVERY_NS
        peers = self._told(ksr_noc.PEERS)
        for name, value in self._gauges(peers, unix_ms).items():
            page.gauge_set_l0(name, _text(value))
        self._show_states(page, "server_up", peers.get("probes", ()))
        self._show_states(page, "login_up", peers.get("logins", ()))
        self._show_passed_over(page)

    def _gauges(self, peers: Mapping[str, Any], unix_ms: int) -> dict[str, float]:
        ksr = self._ksr
        agent, money, sync = (self._told(name) for name in (ksr_noc.AGENT, ksr_noc.MONEY, ksr_noc.SYNC))
        codes = [self._told(name).get("code") for name in names(ksr, NOC) if name.startswith(ksr_noc.PROCESS)]
        return {
            **_numbers(agent, BY_AGENT),
            **_numbers(money, BY_MONEY),
            **_ages(money, {"money_age_seconds": "at_ms", "money_round_age_seconds": "round_at_ms"}, unix_ms),
            **_configuration(sync, unix_ms),
            "agent_unix_seconds": agent.get("unix_ms", 0) / 1000,
            "store_up": agent.get("store") == "up",
            "draining": is_draining(ksr),
            "processes": len(codes),
            "processes_of_old_code": len(codes) - max(map(codes.count, codes), default=0),
            "servers_passed_over": len(down_servers(ksr)),
            "servers_down": _count_ill(peers.get("probes", ())),
            "logins_down": _count_ill(peers.get("logins", ())),
        }

    def _show_states(self, page: XhttpProm, name: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Show which servers are well; where they are too many, those that are ill first."""
        for row in sorted(rows, key=lambda row: row["state"] in WELL)[:SERVERS_MAX]:
            page.gauge_set_l1(name, _text(row["state"] in WELL), str(int(row["server_id"])))

    def _show_passed_over(self, page: XhttpProm) -> None:
        """Show which servers get no calls here; one that gets them again is shown as 0 from then on."""
        down = down_servers(self._ksr)
        self._passed_over.update(sorted(down)[: SERVERS_MAX - len(self._passed_over)])
        for server_id in self._passed_over:
            page.gauge_set_l1("server_passed_over", _text(server_id in down), str(server_id))

    def _told(self, name: str) -> Mapping[str, Any]:
        """Return what the NOC was told under a name; nothing before the first word of it."""
        value = self._ksr.htable.sht_get(NOC, name)
        found = json.loads(value) if isinstance(value, str) else None
        return found if isinstance(found, dict) else {}


def _numbers(told: Mapping[str, Any], gauges: Mapping[str, str]) -> dict[str, float]:
    return {gauge: told[name] for name, gauge in gauges.items() if name in told}


def _ages(told: Mapping[str, Any], gauges: Mapping[str, str], unix_ms: int) -> dict[str, float]:
    """Return how old each time is, in seconds. What has never been is left out: alerts ask for its absence."""
    return {gauge: max(0, unix_ms - told[name]) / 1000 for gauge, name in gauges.items() if told.get(name)}


def _configuration(sync: Mapping[str, Any], unix_ms: int) -> dict[str, float]:
    """Return how the configuration in Redis stands, grown older since it was read."""
    if "age_ms" not in sync:
        return {}
    return {
        **_numbers(sync, BY_SYNC),
        "config_age_seconds": (sync["age_ms"] + max(0, unix_ms - sync["unix_ms"])) / 1000,
        "config_live": sync.get("state") == LIVE,
        "config_held_back": bool(sync.get("held")),
    }


def _count_ill(rows: Iterable[Mapping[str, Any]]) -> int:
    return sum(row["state"] not in WELL for row in rows)


def _text(value: float) -> str:
    return f"{float(value):.3f}"
