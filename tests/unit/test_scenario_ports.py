"""Waiting for a SIPp to listen never disturbs it."""

from __future__ import annotations

import socket

import pytest

from tools.scenario.sipp import is_bound

ADDRESS = "127.1.250.1"


@pytest.mark.parametrize(("transport", "kind"), [("udp", socket.SOCK_DGRAM), ("tcp", socket.SOCK_STREAM)])
def test_a_bound_port_is_seen_and_a_free_one_can_be_taken(transport: str, kind: socket.SocketKind) -> None:
    """Bound is what another process holds, on exactly that address; TCP counts when it listens."""
    with socket.socket(socket.AF_INET, kind) as party:
        party.bind((ADDRESS, 0))
        port = party.getsockname()[1]
        if transport == "tcp":
            assert not is_bound(ADDRESS, port, transport)
            party.listen()
        assert is_bound(ADDRESS, port, transport)
        assert not is_bound("127.1.250.2", port, transport)
    assert not is_bound(ADDRESS, port, transport)
