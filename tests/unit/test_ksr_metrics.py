"""What the agent tells Prometheus, and which requests of HTTP are answered."""

# ruff: noqa: D102  what each function of the page stands for is said in kemi/adapters/ksr_metrics.py

from __future__ import annotations

from typing import Any

import pytest

from kemi.adapters import ksr_metrics, ksr_noc, ksr_shared
from kemi.adapters.ksr_metrics import EVERY_NS, SERVERS_MAX, Metrics
from tests.fakes.ksr import FakeKsr

NOW_MS = 1_700_000_000_000


class Page:
    """What xhttp_prom has: gauges by name and label."""

    def __init__(self) -> None:
        self.gauges: dict[tuple[str, str], float] = {}
        self.is_asked_for = 1
        self.dispatched = 0

    def check_uri(self) -> int:
        return self.is_asked_for

    def dispatch(self) -> int:
        self.dispatched += 1
        return 1

    def gauge_set_l0(self, name: str, value: str) -> int:
        self.gauges[name, ""] = float(value)
        return 1

    def gauge_set_l1(self, name: str, value: str, label: str) -> int:
        self.gauges[name, label] = float(value)
        return 1


class PromKsr(FakeKsr):
    """A node with METRICS=9494."""

    def __init__(self) -> None:
        super().__init__()
        self.xhttp_prom = Page()
        self.pvs |= {"$def(METRICS)": "9494", "$Ri": "127.0.0.1", "$Rp": 9494, "$conid": 7}


def shown(ksr: PromKsr) -> dict[tuple[str, str], float]:
    Metrics(ksr).turn(0, NOW_MS)
    return ksr.xhttp_prom.gauges


def test_the_page_is_dispatched_on_its_own_socket() -> None:
    ksr = PromKsr()
    ksr_metrics.serve(ksr)

    assert ksr.xhttp_prom.dispatched == 1
    assert ksr.did("tcpops.tcp_close_connection_id") == []


@pytest.mark.parametrize("heard", [{"$Rp": 5060}, {"$Ri": "192.0.2.1"}, {"$def(METRICS)": None, "$Rp": 5060}])
def test_http_at_a_socket_of_sip_costs_its_connection(heard: dict[str, Any]) -> None:
    ksr = PromKsr()
    ksr.pvs |= heard
    ksr_metrics.serve(ksr)

    assert ksr.xhttp_prom.dispatched == 0
    assert ksr.did("tcpops.tcp_close_connection_id") == [(7,)]


def test_a_node_without_a_page_asks_nothing_of_kamailio_about_it() -> None:
    ksr = FakeKsr()

    assert not ksr_metrics.Door(ksr).is_used()
    assert ksr.calls == []


def test_another_path_costs_its_connection() -> None:
    ksr = PromKsr()
    ksr.xhttp_prom.is_asked_for = -1
    ksr_metrics.serve(ksr)

    assert (ksr.xhttp_prom.dispatched, ksr.did("tcpops.tcp_close_connection_id")) == (0, [(7,)])


def test_without_the_module_nothing_is_set_and_nothing_read() -> None:
    ksr = FakeKsr()
    Metrics(ksr).turn(0, NOW_MS)

    assert ksr.calls == []


def test_what_nobody_has_told_yet_is_left_out() -> None:
    names = {name for name, _ in shown(PromKsr())}

    assert not names & {"config_age_seconds", "money_age_seconds", "money_differences", "calls"}
    assert {"agent_unix_seconds", "store_up", "draining"} <= names


def test_gauges_say_what_the_agent_told() -> None:
    ksr = PromKsr()
    ksr_noc.publish_agent(ksr, {"unix_ms": NOW_MS, "store": "up", "calls": 3, "talking": 2, "dead": 1, "node": "n1"})
    ksr_noc.publish_money(ksr, {"at_ms": NOW_MS - 5_000, "round_at_ms": 0, "differences": 4, "events_waiting": 9})
    told = {"age_ms": 300, "state": "live", "outbox": 12, "outbox_s": 1.5, "held": ""}
    ksr_noc.publish_sync(ksr, told, NOW_MS - 700)
    ksr.htable.sht_sets("noc", "drain", "on")
    gauges = shown(ksr)

    expected: dict[str, float] = {"calls": 3, "calls_talking": 2, "dead_letters": 1, "store_up": 1, "draining": 1}
    expected |= {"agent_unix_seconds": 1_700_000_000, "money_differences": 4, "money_events_waiting": 9}
    expected |= {"money_age_seconds": 5, "config_age_seconds": 1, "config_live": 1, "config_held_back": 0}
    expected |= {"config_outbox_rows": 12, "config_outbox_seconds": 1.5}
    assert {name: gauges[name, ""] for name in expected} == expected
    assert ("money_round_age_seconds", "") not in gauges, "no round has ended"


def test_processes_that_run_other_code_than_most_are_counted() -> None:
    ksr = PromKsr()
    for pid, code in enumerate(["generation 2", "generation 2", "generation 1"]):
        ksr_noc.publish_process(ksr, 1, pid, code)
    gauges = shown(ksr)

    assert (gauges["processes", ""], gauges["processes_of_old_code", ""]) == (3, 1)


def test_servers_are_told_apart_by_their_numbers() -> None:
    ksr = PromKsr()
    probes = [{"server_id": 31, "name": 'a "name"', "state": "down"}, {"server_id": 32, "state": "up"}]
    ksr_noc.publish_peers(ksr, {"probes": probes, "logins": [{"server_id": 31, "state": "not registered"}]})
    gauges = shown(ksr)

    assert {label: value for (name, label), value in gauges.items() if name == "server_up"} == {"31": 0, "32": 1}
    assert (gauges["login_up", "31"], gauges["servers_down", ""], gauges["logins_down", ""]) == (0, 1, 1)


def test_of_too_many_servers_those_that_are_down_are_shown() -> None:
    ksr = PromKsr()
    rows = [{"server_id": at, "state": "down" if at >= 900 else "up"} for at in range(1000)]
    ksr_noc.publish_peers(ksr, {"probes": rows, "logins": []})
    gauges = shown(ksr)
    labels = {label for name, label in gauges if name == "server_up"}

    assert len(labels) == SERVERS_MAX
    assert {str(at) for at in range(900, 1000)} <= labels
    assert gauges["servers_down", ""] == 100


def test_a_server_that_gets_calls_again_is_shown_as_such() -> None:
    ksr, name = PromKsr(), "server_passed_over"
    metrics = Metrics(ksr)
    ksr_shared.pass_over(ksr, 31)
    metrics.turn(0, NOW_MS)
    assert ksr.xhttp_prom.gauges[name, "31"] == 1
    ksr_shared.welcome_back(ksr, 31)
    metrics.turn(EVERY_NS - 1, NOW_MS)
    assert ksr.xhttp_prom.gauges[name, "31"] == 1, "not before a second is over"
    metrics.turn(EVERY_NS, NOW_MS)
    assert ksr.xhttp_prom.gauges[name, "31"] == 0


def test_servers_passed_over_are_no_more_than_others() -> None:
    ksr = PromKsr()
    for server_id in range(1, SERVERS_MAX + 50):
        ksr_shared.pass_over(ksr, server_id)
    gauges = shown(ksr)

    assert sum(name == "server_passed_over" for name, _ in gauges) == SERVERS_MAX
    assert gauges["servers_passed_over", ""] == SERVERS_MAX + 49
