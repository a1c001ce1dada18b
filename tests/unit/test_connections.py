"""Which connections are kept, for whom, and who pays for that: nobody over UDP."""

from __future__ import annotations

import pytest

from kemi.adapters import ksr_connections
from kemi.core.sides import CALLEE, CALLER, Side
from tests.fakes.ksr import FakeKsr

ONE, OTHER = "a" * 32, "b" * 32
IP, PORT = "192.0.2.1", 5060
CID = 7
REGISTERED_S, TALK_S = 3_600, 14_400
LINGER_S = ksr_connections.LINGER_S


@pytest.fixture
def ksr(monkeypatch: pytest.MonkeyPatch) -> FakeKsr:
    """Give a Kamailio with a message on a connection, of a call that may last for so long; its clock stands still."""
    monkeypatch.setattr(ksr_connections, "monotonic", lambda: 1_000.0)
    ksr = FakeKsr()
    ksr.pvs |= {"$proto": "tcp", "$si": IP, "$sp": PORT, "$conid": CID, "$def(TCP_SILENT_S)": "60"}
    ksr.pvs |= {"$dlg(lifetime)": TALK_S, "$dlg(start_ts)": 0, "$tt": "t2"}
    return ksr


def _side(transport: str = "tcp", port: int = PORT) -> Side:
    return Side("t", "sip:a@x", IP, f"sip:{IP}:{port};transport={transport}")


def _lifetimes(ksr: FakeKsr) -> list[tuple[object, ...]]:
    return ksr.did("tcpops.tcp_set_connection_lifetime_cid")


def test_who_speaks_udp_costs_no_look() -> None:
    ksr, side = FakeKsr(), _side("udp")
    ksr_connections.ring(ksr, ONE, CALLER, side)
    ksr_connections.talk(ksr, ONE, CALLER, side)
    ksr_connections.part(ksr, ONE, CALLER, side)
    assert ksr_connections.begun(ksr, ONE, side) == side
    assert ksr.calls == []


def test_a_call_keeps_no_connection_but_that_by_which_its_side_is_reached(ksr: FakeKsr) -> None:
    for keep in (ksr_connections.ring, ksr_connections.talk):
        keep(ksr, ONE, CALLER, _side(port=PORT + 1))
    assert _lifetimes(ksr) == []


def test_the_last_call_of_a_connection_lets_go_of_it_and_leaves_what_was_promised(ksr: FakeKsr) -> None:
    ksr_connections.keep(ksr, REGISTERED_S)
    ksr_connections.keep(ksr, 30)
    ksr_connections.talk(ksr, ONE, CALLER, _side())
    ksr_connections.part(ksr, ONE, CALLER, _side())
    ksr_connections.part(ksr, ONE, CALLER, _side())  # nothing more
    kept = [REGISTERED_S, REGISTERED_S, TALK_S, REGISTERED_S]
    assert _lifetimes(ksr) == [(CID, seconds + LINGER_S) for seconds in kept]


def test_a_connection_with_several_calls_stays_while_the_longest_may_last(ksr: FakeKsr) -> None:
    ksr_connections.talk(ksr, ONE, CALLEE, _side())
    ksr.pvs["$dlg(lifetime)"] = 5
    ksr_connections.talk(ksr, OTHER, CALLEE, _side())
    for call in (OTHER, ONE):
        ksr_connections.part(ksr, call, CALLEE, _side())
    assert _lifetimes(ksr) == [(CID, TALK_S + LINGER_S)] * 2


@pytest.mark.parametrize("is_promised", [False, True])
def test_a_side_that_is_reached_over_another_one_gives_the_first_up(ksr: FakeKsr, is_promised: bool) -> None:
    if is_promised:
        ksr_connections.keep(ksr, REGISTERED_S)
    ksr_connections.talk(ksr, ONE, CALLER, _side())
    ksr.pvs["$conid"] = CID + 1
    ksr_connections.talk(ksr, ONE, CALLER, _side())
    assert ksr.did("tcpops.tcp_close_connection_id") == ([] if is_promised else [(CID,)])
    assert _lifetimes(ksr)[-2:] == [
        (CID, REGISTERED_S + LINGER_S if is_promised else 60),
        (CID + 1, TALK_S + LINGER_S),
    ]
