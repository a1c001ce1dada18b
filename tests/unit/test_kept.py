"""What is kept of a record, and for how long."""

from __future__ import annotations

from kemi.core.kept import Kept, KeptOfAll, KeptWith
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


def test_what_is_made_of_several_is_made_once_for_these_in_this_order() -> None:
    """One record that is another object, or another order, makes it anew; no more is kept than was said."""
    made: list[tuple[PeerServer, ...]] = []

    def names(servers: tuple[PeerServer, ...]) -> str:
        made.append(servers)
        return ",".join(server.name for server in servers)

    kept = KeptOfAll(names, 3)
    other = SERVER._replace(name="lon2")
    assert [kept.of((SERVER, other)), kept.of((SERVER, other))] == ["lon1,lon2"] * 2
    assert len(made) == 1
    assert kept.of((other, SERVER)) == "lon2,lon1"
    assert kept.of((SERVER, other._replace(name="lon3"))) == "lon1,lon3"
    found = [kept.of((SERVER, SERVER._replace(name=str(number)))) for number in range(1_000)]
    assert found == [f"lon1,{number}" for number in range(1_000)]
    assert len(kept._by_identity) <= 3


def test_what_is_made_of_records_and_a_value_is_made_once_for_both() -> None:
    """The records by identity, what is besides by its value; no more is kept than was said."""
    made: list[str] = []

    def name(servers: tuple[PeerServer], besides: tuple[int, str]) -> str:
        made.append(servers[0].name)
        return f"{servers[0].name}{besides[0]}{besides[1]}"

    kept = KeptWith(name, 3)
    assert [kept.of((SERVER,), (1, "x")), kept.of((SERVER,), (1, "x"))] == ["lon11x"] * 2
    assert len(made) == 1
    assert kept.of((SERVER,), (2, "x")) == "lon12x"
    assert kept.of((SERVER._replace(name="lon2"),), (1, "x")) == "lon21x"
    assert [kept.of((SERVER,), (number, "")) for number in range(1_000)] == [f"lon1{number}" for number in range(1_000)]
    assert len(kept._by_identity) <= 3
