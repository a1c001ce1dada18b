"""What is kept of a record, and for how long."""

from __future__ import annotations

from kemi.core.kept import Kept
from kemi.records import PeerServer

SERVER = PeerServer(7, "lon1", "203.0.113.7", 5060, "udp", 100, enabled=True)


def test_it_is_made_once_for_an_object() -> None:
    """An equal record that is another object is made anew, and so is a changed one."""
    made: list[PeerServer] = []

    def name(server: PeerServer) -> str:
        made.append(server)
        return f"{server.name} at {server.address}"

    kept = Kept(name, 10)
    assert [kept.of(SERVER), kept.of(SERVER)] == ["lon1 at 203.0.113.7"] * 2
    assert len(made) == 1
    assert kept.of(SERVER._replace(address="203.0.113.8")) == "lon1 at 203.0.113.8"
    assert kept.of(SERVER._replace()) == "lon1 at 203.0.113.7"
    assert len(made) == 3


def test_no_more_is_kept_than_was_said() -> None:
    """Objects that come and go, whose identities are given out again, never get what another one had."""
    kept: Kept[PeerServer, int] = Kept(lambda server: server.id, 3)
    assert [kept.of(SERVER._replace(id=number)) for number in range(1_000)] == list(range(1_000))
    assert len(kept._by_identity) <= 3
