"""The page that Prometheus reads, by a real node: what is on it, and who gets it."""

from __future__ import annotations

import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import RemoteDisconnected

import pytest

from kemi.adapters import ksr_metrics, ksr_noc
from tests.edge import SOON_S, Edge
from tests.fakes.world import ABROAD
from tests.monitored import monitored_edge, page, samples
from tests.sip import dial
from tests.wait import until


@pytest.fixture(scope="module")
def monitored() -> Iterator[tuple[Edge, int]]:
    """Run one node for all tests of this module."""
    with monitored_edge() as running:
        yield running
        edge, _ = running
        assert edge.node.alarms == []


def value(port: int, name: str) -> float:
    (found,) = [sample.value for sample in samples(port) if sample.name == name]
    return float(found)


def test_every_counter_and_every_gauge_is_on_the_page(monitored: tuple[Edge, int]) -> None:
    _, port = monitored
    shown = {sample.name for sample in samples(port)}

    assert {f"tandem_script_{name}" for name in ksr_noc.COUNTERS} <= shown
    assert {f"tandem_{name}" for name in (*ksr_metrics.GAUGES, *ksr_metrics.PER_SERVER)} <= shown
    assert {"tandem_shmem_free_size", "tandem_tmx_active_transactions", "tandem_dialog_active_dialogs"} <= shown


def test_no_sample_comes_twice_and_labels_are_numbers_of_servers(monitored: tuple[Edge, int]) -> None:
    _, port = monitored
    found = [(sample.name, tuple(sample.labels.items())) for sample in samples(port)]

    assert len(found) == len(set(found)) < 400
    assert {name for _, labels in found for name, _ in labels} == {"server"}
    assert all(text.isdecimal() for _, labels in found for _, text in labels)


def test_a_call_counts(monitored: tuple[Edge, int]) -> None:
    edge, port = monitored
    before = value(port, "tandem_script_invites")
    with edge.phone() as phone:
        call = dial(phone, f"{ABROAD}@a.example")
        invite = edge.bell.wait_request("INVITE")
        until(lambda: value(port, "tandem_calls") == 1, SOON_S, "the call to be seen")
        edge.bell.send(edge.bell.reply(invite, 486, "Busy Here"))
        assert call.final().status == 486

    assert value(port, "tandem_script_invites") > before
    until(lambda: value(port, "tandem_calls") == 0, SOON_S, "the call to be over")


def test_the_agents_time_goes_on(monitored: tuple[Edge, int]) -> None:
    _, port = monitored
    before = value(port, "tandem_agent_unix_seconds")

    until(lambda: value(port, "tandem_agent_unix_seconds") > before, SOON_S, "the agent's next word")


def test_a_drained_node_says_so(monitored: tuple[Edge, int]) -> None:
    edge, port = monitored
    edge.node.noc("drain on")
    until(lambda: value(port, "tandem_draining") == 1, SOON_S, "the drain to be seen")
    edge.node.noc("drain off")
    until(lambda: value(port, "tandem_draining") == 0, SOON_S, "its end to be seen")


def test_another_path_gets_no_answer(monitored: tuple[Edge, int]) -> None:
    _, port = monitored
    with pytest.raises((RemoteDisconnected, urllib.error.URLError)):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/other", timeout=10)
    assert page(port).startswith("# User defined metrics")


def test_a_socket_of_sip_does_not_speak_http(monitored: tuple[Edge, int]) -> None:
    edge, port = monitored
    with socket.create_connection(edge.node.address, timeout=10) as asker:
        asker.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        assert asker.recv(1) == b"", "the connection is closed"
    assert value(port, "tandem_script_exceptions") == 0


def test_the_socket_of_the_page_does_not_speak_sip(monitored: tuple[Edge, int]) -> None:
    edge, port = monitored
    with edge.phone() as phone, socket.create_connection(("127.0.0.1", port), timeout=10) as asker:
        asker.sendall(phone.request("OPTIONS", f"sip:127.0.0.1:{port}").encode())
        assert asker.recv(1) == b"", "the connection is closed"


def test_the_page_is_on_the_loopback_only(monitored: tuple[Edge, int]) -> None:
    _, port = monitored
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", port), timeout=10)
