"""What is checked before a stack starts, and how its addresses and files are read."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from tests.fix_stack import free_address
from tools.errors import OperatorError
from tools.stack import checks, kamailio, process, rtpengine, state
from tools.stack.layout import Address, Layout, has_ipv6, parse_address

GIGABYTE = 1_000_000_000


def _layout(run_dir: Path, address: Address | None = None, nodes_n: int = 1) -> Layout:
    return Layout(run_dir, address or Address("127.0.0.1", 5060), nodes_n)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:5060", Address("127.0.0.1", 5060)),
        ("192.0.2.7:6060", Address("192.0.2.7", 6060)),
        ("[::1]:5070", Address("::1", 5070)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize("text", ["127.0.0.1", "localhost:5060", ":5060", "127.0.0.1:0", "127.0.0.1:70000", "::1:5060"])
def test_another_address_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(OperatorError, match=r"set it to address:port, for example 127\.0\.0\.1:5060"):
        parse_address(text)


@pytest.mark.parametrize("nodes", ["0", "3", "two"])
def test_a_number_of_nodes_out_of_range_is_refused(nodes: str) -> None:
    with pytest.raises(OperatorError, match=r"TANDEM_NODES is .*: set it to a number from 1 to 2"):
        Layout.from_environment({"TANDEM_NODES": nodes})


def test_two_nodes_have_ports_names_and_directories_of_their_own(tmp_path: Path) -> None:
    first, second = _layout(tmp_path, nodes_n=2).nodes
    assert (first.part, first.address.port, first.name) == ("kamailio", 5060, "n1")
    assert (second.part, second.address.port, second.name) == ("kamailio-n2", 5061, "n2")
    assert first.home != second.home


def test_replicas_bring_sentinels_with_ports_names_and_directories_of_their_own(tmp_path: Path) -> None:
    alone = Layout.from_environment({"RUN_DIR": str(tmp_path)})
    assert ([server.name for server in alone.redis_servers], alone.sentinels) == (["redis"], ())
    both = Layout.from_environment({"RUN_DIR": str(tmp_path), "TANDEM_REPLICAS": "2"})
    servers = (*both.redis_servers, *both.sentinels)
    assert [server.name for server in both.redis_servers] == ["redis", "redis-replica", "redis-replica-2"]
    assert {server.address.host for server in servers} == {"127.0.0.1"}
    assert len({server.address.port for server in servers}) == len({server.home for server in servers}) == 6
    assert both.redis_servers[0].address.port == 6060
    set_ = Layout.from_environment({"RUN_DIR": str(tmp_path), "TANDEM_REPLICAS": "1", "TANDEM_REDIS_PORT": "7000"})
    assert [server.address.port for server in (*set_.redis_servers, *set_.sentinels)] == [7000, 7001, 7005, 7006, 7007]
    with pytest.raises(OperatorError, match=r"TANDEM_REPLICAS is '3': set it to a number from 0 to 2"):
        Layout.from_environment({"TANDEM_REPLICAS": "3"})


def test_a_relay_of_sound_is_there_where_it_is_asked_for(tmp_path: Path) -> None:
    assert Layout.from_environment({"RUN_DIR": str(tmp_path)}).relay is None
    asked = Layout.from_environment({"RUN_DIR": str(tmp_path), "TANDEM_RTPENGINE": "1"})
    assert asked.relay == Address("127.0.0.1", 5065)
    (part,) = rtpengine.parts(asked, {"PATH": "/usr/bin"})
    assert {"--table=-1", "--listen-ng=127.0.0.1:5065", "--interface=127.0.0.1"} <= set(part.argv)
    server = kamailio.part(asked.nodes[0], {"PATH": "/usr/sbin"}, "secret", "unix:///redis.sock", asked.relay)
    assert 'RTPENGINE="udp:127.0.0.1:5065"' in server.argv
    with pytest.raises(OperatorError, match=r"TANDEM_RTPENGINE is 'yes': set it to a number from 0 to 1"):
        Layout.from_environment({"TANDEM_RTPENGINE": "yes"})


def test_each_node_has_a_page_for_prometheus_where_it_is_asked_for(tmp_path: Path) -> None:
    assert [node.metrics for node in Layout.from_environment({"RUN_DIR": str(tmp_path)}).nodes] == [None]
    asked = Layout.from_environment({"RUN_DIR": str(tmp_path), "TANDEM_METRICS": "9494", "TANDEM_NODES": "2"})
    assert [node.metrics for node in asked.nodes] == [Address("127.0.0.1", 9494), Address("127.0.0.1", 9495)]
    server = kamailio.part(asked.nodes[1], {"PATH": "/usr/sbin"}, "secret", "unix:///redis.sock")
    assert server.argv[server.argv.index("METRICS=9495") - 1] == "-A"
    with pytest.raises(OperatorError, match=r"TANDEM_METRICS is 'on': set it to a number from 0 to 65533"):
        Layout.from_environment({"TANDEM_METRICS": "on"})


def test_a_taken_port_of_the_page_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OperatorError, match="or set TANDEM_METRICS to a free port"):
            checks.ports(Layout(tmp_path, Address("127.0.0.1", free_address().port), metrics_port=port))


def test_a_taken_port_of_redis_is_refused_only_where_there_are_replicas(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        checks.redis_ports(Layout(tmp_path, Address("127.0.0.1", 5060), redis_port=port))
        with pytest.raises(OperatorError, match="or set TANDEM_REDIS_PORT to a free port"):
            checks.redis_ports(Layout(tmp_path, Address("127.0.0.1", 5060), replicas_n=1, redis_port=port))


def test_ipv6_stands_beside_a_loopback_address_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    place = {"RUN_DIR": str(tmp_path), "TANDEM_LISTEN": "127.0.0.1:5070", "TANDEM_NODES": "2"}
    beside = Address("::1", 5071) if has_ipv6() else None

    def second(**more: str) -> Address | None:
        layout = Layout.from_environment(place | more)
        assert Layout.from_environment(place | more | {"TANDEM_LISTEN6": layout.listen6_setting}) == layout
        return layout.nodes[1].address6

    assert second() == beside
    assert second(TANDEM_LISTEN6="[2001:db8::1]:5080") == Address("2001:db8::1", 5081)
    assert second(TANDEM_LISTEN6="off") is None
    assert second(TANDEM_LISTEN="192.0.2.1:5060") is None
    with pytest.raises(OperatorError, match=r"TANDEM_LISTEN6 is '127\.0\.0\.1:5060'"):
        second(TANDEM_LISTEN6="127.0.0.1:5060")


def test_a_socket_path_of_the_greatest_length_is_accepted_and_one_byte_more_is_not() -> None:
    """107 bytes for Postgres and 104 for Kamailio's control socket are reached by the same directory, of 83."""
    checks.socket_paths(_layout(Path("/" + "d" * 82)))
    with pytest.raises(
        OperatorError, match=r"has (108|105) bytes and (107|104) .* RUN_DIR .* 1 bytes shorter, or more"
    ):
        checks.socket_paths(_layout(Path("/" + "d" * 83)))


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_taken_port_is_named_with_its_owner(kind: socket.SocketKind, tmp_path: Path) -> None:
    address = free_address()
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(address)
        if kind == socket.SOCK_STREAM:
            taken.listen(1)
        with pytest.raises(OperatorError) as problem:
            checks.ports(_layout(tmp_path, address))
    name = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    assert f"{name} port {address.port} on 127.0.0.1 is taken by " in str(problem.value)
    assert f"(pid {os.getpid()}): stop that, or set TANDEM_LISTEN to a free address:port" in str(problem.value)


def test_the_port_of_the_second_node_is_checked_too(tmp_path: Path) -> None:
    address = free_address(2)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((address.host, address.port + 1))
        checks.ports(_layout(tmp_path, address))
        with pytest.raises(OperatorError, match=f"UDP port {address.port + 1} "):
            checks.ports(_layout(tmp_path, address, nodes_n=2))


def test_an_address_of_another_machine_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"cannot listen on 203.0.113.1:5060 .* an address of this machine"):
        checks.ports(_layout(tmp_path, Address("203.0.113.1", 5060)))


def test_a_full_disk_is_refused_with_what_is_needed(tmp_path: Path) -> None:
    checks.disk(_layout(tmp_path), lambda _: GIGABYTE)
    with pytest.raises(
        OperatorError, match=r"has 12 MB free and the stack needs 400 MB: free some space, or set RUN_DIR"
    ):
        checks.disk(_layout(tmp_path), lambda _: 12_345_678)


@pytest.mark.parametrize(("base", "version"), [("/opt/python", (3, 11)), ("/usr", (3, 12))])
def test_a_venv_of_another_python_is_refused(base: str, version: tuple[int, int]) -> None:
    checks.interpreter("/usr", (3, 11))
    with pytest.raises(OperatorError, match=r"remove .venv and run `make setup`"):
        checks.interpreter(base, version)


@pytest.mark.parametrize(
    ("server", "says", "needed"),
    [
        ("kamailio", "version: kamailio 5.8.1 (x86_64/linux)", "version 5.8.1 and Tandem needs Kamailio 5.6"),
        ("redis-server", "Redis server v=6.0.16 sha=00000000:0", "version 6.0.16 and Tandem needs Redis 7"),
        ("redis-server", "hello", "does not say its version: install Redis 7"),
    ],
)
def test_a_server_of_another_version_is_refused(server: str, says: str, needed: str, tmp_path: Path) -> None:
    fake = tmp_path / server
    fake.write_text(f"#!/bin/sh\necho '{says}'\n")
    fake.chmod(0o755)
    checks.versions({"PATH": "/nowhere"})
    with pytest.raises(OperatorError, match=f"{fake}.* {needed}"):
        checks.versions({"PATH": str(tmp_path)})


def test_a_run_directory_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OperatorError, match=r"cannot write .*: run as its owner, or set RUN_DIR to another directory"):
        checks.directory(_layout(tmp_path / "file" / "run"))


def test_a_pid_that_went_to_another_process_is_nobody_we_know() -> None:
    me = process.identity(os.getpid())
    assert me
    assert process.alive(me)
    assert not process.alive(me._replace(started=me.started - 1))
    assert not process.alive(me._replace(boot="another boot"))


def test_the_state_is_read_as_it_was_written_and_half_of_it_not_at_all(tmp_path: Path) -> None:
    who = process.Identity(7, 8, "boot")
    rows = (state.ProcessState("redis", who, 2, ready=True), state.ProcessState("sync", None, 3, ready=False))
    written = state.State(who, "up", rows)
    path = tmp_path / "state.json"
    state.write(path, written)
    assert state.read(path) == written
    path.write_text(path.read_text()[:20])
    assert state.read(path) is None
    path.unlink()
    assert state.read(path) is None


def test_the_environment_file_is_private_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "env"
    values = {"DATABASE_URL": "postgresql://postgres@/tandem?host=/tmp/a%20b", "TANDEM_SIP": "127.0.0.1:5060"}
    state.write_env(path, values)
    assert path.stat().st_mode & 0o777 == 0o600
    assert state.read_env(path) == values
