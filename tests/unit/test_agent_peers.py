"""Which servers the agent speaks to, as what, and what the workers and the NOC learn from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kemi import keys
from kemi.adapters.ksr_queue import Ended, LoginAnswered, ProbeAnswered
from kemi.agent_peers import FETCH_MAX, PeerWatch
from kemi.agent_watch import NS, call_id_of
from kemi.core.outcome import Need
from kemi.records import Identity, Login, PeeringGroup, Peers, PeerServer
from kemi.settings import Limits, Settings
from tests.fakes.ksr import FakeKsr

NOW_MS = 1_770_000_000_000
LOGIN = Login("tan dem", "acme.example", "0123456789abcdef" * 2, register_s=600)
SERVER = PeerServer(31, "one", "192.0.2.1", 0, "udp", 1, enabled=True, probe=True)


class Store:
    """A cache in front of groups; each fetch brings what is asked for, the first one `linked` groups besides."""

    def __init__(self, *groups: PeeringGroup, linked: int = 1000) -> None:
        named = {keys.peering_group(group.id): group for group in groups}
        self._held: dict[str, object] = {keys.PEERS: Peers(tuple(group.id for group in groups)), **named}
        self._linked = list(named)[:linked]
        self.records: Mapping[str, object] = {}
        self.needs: list[Need] = []

    def fetch(self, need: Need, /) -> None:
        """Learn."""
        self.needs.append(need)
        self.records = {**self.records, **{name: self._held[name] for name in (*need.keys, *self._linked)}}


class Scene:
    """An agent's watch over groups."""

    def __init__(self, *groups: PeeringGroup, linked: int = 1000) -> None:
        settings = Settings("n1", "", b"", "", "198.51.100.1:5060", Limits(), listen6="[2001:db8::9]:5060")
        self.ksr, self.store = FakeKsr(), Store(*groups, linked=linked)
        self.watch = PeerWatch(self.ksr, settings, self.store, lambda: "token")
        self.watch.follow(1, 0)

    def sent(self, at_s: int = 1) -> list[tuple[str, ...]]:
        """Return what leaves until then."""
        self.ksr.requests.clear()
        self.watch.turn(at_s * NS)
        return list(self.ksr.requests)

    def shown(self) -> dict[str, Any]:
        """Return what the NOC sees."""
        self.watch.publish(NOW_MS)
        return dict(json.loads(str(self.ksr.tables["noc"]["peers"])))


def group(*servers: PeerServer, **fields: Any) -> PeeringGroup:
    return PeeringGroup(3, "acme", 1, 0, True, 7, "EUR", servers=servers)._replace(**fields)


def test_a_probe_leaves_for_each_server_that_wants_one() -> None:
    v6 = SERVER._replace(id=32, address="2001:db8::1", port=5070, transport="tcp")
    own = SERVER._replace(id=33, socket="udp:203.0.113.5:5066")
    scene = Scene(group(SERVER, v6, own, SERVER._replace(id=34, probe=False)))

    sent = {request[2]: request for request in scene.sent()}

    assert sorted(sent) == ["sip:192.0.2.1:5060;transport=udp", "sip:[2001:db8::1]:5070;transport=tcp"]
    assert "From: <sip:[2001:db8::9]:5060>" in sent["sip:[2001:db8::1]:5070;transport=tcp"][4]
    assert sent["sip:192.0.2.1:5060;transport=udp"][3] == "udp:203.0.113.5:5066", "the last of the two"
    assert [row["server_id"] for row in scene.shown()["probes"]] == [31, 32, 33]


def test_servers_that_are_not_there_are_not_asked() -> None:
    disabled, unresolved = SERVER._replace(enabled=False), SERVER._replace(id=32, address="")

    assert Scene(group(disabled, unresolved)).sent() == []
    assert Scene(group(SERVER, enabled=False)).sent() == []


def test_a_registration_says_where_we_are() -> None:
    login = SERVER._replace(
        probe=False, login=LOGIN, transport="tcp", identity=Identity(host="voip.example"), address="2001:db8::1"
    )

    ((method, ruri, next_hop, socket, headers, _),) = Scene(group(login)).sent()

    assert (method, ruri, next_hop, socket) == (
        "REGISTER",
        "sip:voip.example",
        "sip:[2001:db8::1]:5060;transport=tcp",
        "",
    )
    assert "To: <sip:tan%20dem@voip.example>" in headers
    assert "Contact: <sip:tan%20dem@[2001:db8::9]:5060;transport=tcp>" in headers
    assert LOGIN.ha1 not in headers


def test_a_login_for_calls_alone_is_not_registered() -> None:
    assert Scene(group(SERVER._replace(probe=False, login=LOGIN._replace(register_s=0)))).sent() == []


def test_who_does_not_answer_is_passed_over_and_who_answers_is_not() -> None:
    scene = Scene(group(SERVER))
    for second in (0, 5, 10, 15, 20):
        scene.sent(second)
    assert scene.ksr.tables["health"] == {"31": "silent"}

    assert scene.watch.heard(
        ProbeAnswered(call_id_of("token", 31, "probe"), "tag", 200, SERVER.address, 5), 21 * NS, NOW_MS
    )

    assert scene.ksr.tables["health"] == {}


def test_what_calls_have_said_stays() -> None:
    """Three failed calls in a row: OPTIONS prove nothing about calls, and the memory ends by itself."""
    scene = Scene(group(SERVER))
    scene.ksr.tables["health"]["31"] = "down"
    scene.sent(0)

    scene.watch.heard(ProbeAnswered(call_id_of("token", 31, "probe"), "tag", 200, SERVER.address, 1), NS, NOW_MS)
    assert scene.ksr.tables["health"] == {"31": "down"}
    scene.ksr.tables["health"].clear()
    scene.ksr.tables["proven"]["31"] = "1"
    for second in (40, 45, 50, 55, 60, 65):
        scene.sent(second)

    assert scene.ksr.tables["health"] == {}, "who has just answered a call is up"


def test_messages_of_calls_are_left_to_the_calls() -> None:
    scene = Scene(group(SERVER))

    assert not scene.watch.heard(ProbeAnswered("a call", "tag", 200), 0, NOW_MS)
    assert not scene.watch.heard(Ended("ab" * 16, "caller", 0, 0), 0, NOW_MS)
    assert scene.watch.heard(LoginAnswered("nobody's", 200), 0, NOW_MS)


def test_the_servers_are_read_again_only_after_a_change() -> None:
    scene = Scene(group(SERVER))

    scene.watch.follow(1, NS)
    assert len(scene.store.needs) == 1
    scene.watch.follow(2, NS)

    assert len(scene.store.needs) == 2


def test_more_groups_than_one_fetch_brings_are_all_read() -> None:
    groups = [group(SERVER._replace(id=100 + number), id=number) for number in range(1, 2 * FETCH_MAX + 5)]

    scene = Scene(*groups, linked=3)

    assert len(scene.shown()["probes"]) == len(groups)
    assert [len(need.keys) for need in scene.store.needs] == [1, FETCH_MAX, FETCH_MAX, 1]
