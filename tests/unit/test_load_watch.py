"""A node that has too much to do: what the agent measures and says, and what a worker sheds by it."""

from __future__ import annotations

import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kemi.adapters import ksr_load
from kemi.agent_load import EVERY_MS, LoadWatch, SipPinger, watch
from kemi.agent_ports import Clock
from kemi.core.digest import make_nonce
from kemi.core.overload import PASSED_MAX, PASSED_S
from kemi.core.refusals import REFUSALS
from tests.fakes.ksr import FakeKsr
from tests.fakes.locations import SETTINGS
from tests.wait import until

MS = 1_000_000
BEARABLE_MS = 100


class Queue:
    """A pinger whose answers come when the test says so."""

    def __init__(self) -> None:
        self.now_ns = 5_000 * MS
        self.waits_ms: float | None = 0.0
        self._asked: tuple[int, int] | None = None
        self.asked = 0

    def ask(self, number: int) -> None:
        """Note when."""
        self._asked = number, self.now_ns
        self.asked += 1

    def heard(self) -> list[tuple[int, int]]:
        """Answer when it is time."""
        if self._asked is None or self.waits_ms is None:
            return []
        number, asked_ns = self._asked
        came_ns = asked_ns + int(self.waits_ms * MS)
        if came_ns > self.now_ns:
            return []
        self._asked = None
        return [(number, came_ns)]

    def close(self) -> None:
        """Forget it."""
        self._asked = None


class Scene:
    """A watch on a fake node."""

    def __init__(self) -> None:
        self.ksr, self.queue = FakeKsr(), Queue()
        clock = Clock(lambda: self.queue.now_ns, lambda: self.queue.now_ns)
        self.watch = LoadWatch(self.ksr, BEARABLE_MS, self.queue, clock)

    def run(self, seconds: float, waits_ms: float | None) -> None:
        """Let the agent turn for so long while a datagram waits so long; None = none is answered."""
        self.queue.waits_ms = waits_ms
        for _ in range(round(seconds * 20)):
            self.queue.now_ns += 50 * MS
            self.watch.turn()

    @property
    def said(self) -> object:
        """What the workers read."""
        return self.ksr.tables["load"].get(ksr_load.ADMITTED)


def test_nothing_is_said_while_nothing_waits() -> None:
    scene = Scene()
    scene.run(5, 20)
    assert (scene.said, scene.ksr.calls) == (None, [])
    assert scene.watch.waited_ms == pytest.approx(20)
    assert scene.queue.asked <= 5_000 / EVERY_MS + 1


@pytest.mark.parametrize("waits_ms", [300.0, None], ids=["long", "for ever"])
def test_a_long_queue_sheds_until_it_is_short_again(waits_ms: float | None) -> None:
    scene = Scene()
    scene.run(5, waits_ms)
    assert isinstance(scene.said, str)
    assert 0 < float(scene.said) < 1
    lines = len(scene.ksr.log)
    assert 1 <= lines <= 5, "once a second at most"
    assert "overload: a datagram waits" in scene.ksr.log[0]

    scene.run(20, 0)
    assert scene.said is None
    assert scene.watch.admitted == 1
    assert "100% of new calls let in" in scene.ksr.log[-1]


def test_the_kernel_says_when_an_answer_came() -> None:
    """It begins to note times a moment after the first socket has asked for them."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
        node.bind(("127.0.0.1", 0))
        node.settimeout(10)
        pinger = SipPinger(f"127.0.0.1:{node.getsockname()[1]}")
        until(lambda: _is_noted(node, pinger), 10, "the kernel's note")
        pinger.close()


def _is_noted(node: socket.socket, pinger: SipPinger) -> bool:
    """Tell whether an answer that nobody looks at for a while counts as come when it came."""
    pinger.ask(7)
    question, asker = node.recvfrom(4_096)
    before_ns = time.time_ns()
    node.sendto(b"SIP/2.0 200 OK\r\nCSeq: 7 OPTIONS\r\n\r\n", asker)
    node.sendto(b"who knows", asker)
    after_ns = time.time_ns()
    time.sleep(0.05)  # as long as an agent is late, here
    heard = pinger.heard()  # over the loopback, all that was sent is there
    assert question.startswith(b"OPTIONS sip:127.0.0.1:")
    assert [number for number, _ in heard] == [7, 0]
    return before_ns - MS <= heard[0][1] <= after_ns + MS


def test_who_cannot_ask_himself_sheds_nothing() -> None:
    ksr = FakeKsr()
    assert watch(ksr, replace(SETTINGS, listen="nowhere"), Clock()) is None
    assert "nothing is shed" in ksr.log[0]
    assert watch(ksr, replace(SETTINGS, shed_delay_ms=0), Clock()) is None


def shed(ksr: FakeKsr, method: str = "INVITE") -> bool:
    return ksr_load.shed(ksr, method, SETTINGS, lambda dialled: dialled == "112")


def answering(made_ms: int, secret: bytes = SETTINGS.secret, source_ip: str = "192.0.2.1") -> str:
    """Return credentials for a challenge that was made then, there; the response is of no matter."""
    nonce = make_nonce(secret, made_ms, "salt", source_ip)
    return f'Digest username="a", realm="r", nonce="{nonce}", uri="sip:b", response="0"'


def test_a_call_pays_one_look_while_nothing_is_shed() -> None:
    ksr = FakeKsr()
    assert not shed(ksr)
    assert ksr.calls == [("htable.sht_get", "load", "admitted")]


def test_what_is_shed_is_told_when_to_come_again_and_counted() -> None:
    ksr = FakeKsr()
    ksr_load.publish(ksr, 0.0)
    assert shed(ksr)
    assert ksr.sent == [(503, REFUSALS["shed"].phrase)]
    assert ksr.reply_headers == ["Retry-After: 5\r\n"]
    assert ksr.statistics_sum == {"shed": 1}


@pytest.mark.parametrize("admitted", [0.1, 0.5])
@pytest.mark.parametrize(("method", "header"), [("INVITE", "Proxy-Authorization"), ("REGISTER", "Authorization")])
def test_who_answers_our_challenge_passes_while_strangers_are_shed(admitted: float, method: str, header: str) -> None:
    ksr = FakeKsr()
    ksr.pvs["$si"] = "192.0.2.1"
    ksr.headers[header] = answering(time.time_ns() // MS)
    ksr_load.publish(ksr, admitted)
    assert not any(shed(ksr, method) for _ in range(100))


@pytest.mark.parametrize(
    "credentials",
    [
        "Digest x",
        answering(time.time_ns() // MS, secret=b"another cell's secret"),
        answering(time.time_ns() // MS - 3_600_000),
        answering(time.time_ns() // MS, source_ip="203.0.113.9"),
    ],
    ids=["none", "of-others", "old", "from-elsewhere"],
)
def test_credentials_that_answer_no_challenge_of_ours_are_a_strangers(credentials: str) -> None:
    ksr = FakeKsr()
    ksr.pvs["$si"] = "192.0.2.1"
    ksr.headers["Proxy-Authorization"] = credentials
    ksr_load.publish(ksr, 0.0)
    assert shed(ksr)


def test_a_call_for_help_passes() -> None:
    ksr = FakeKsr()
    ksr.pvs["$rU"] = "112"
    ksr_load.publish(ksr, 0.0)
    assert not shed(ksr)
    ksr.pvs["$rU"] = "113"
    assert shed(ksr)


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
def test_what_must_pass_does_so_from_one_address_so_often_and_no_more(method: str) -> None:
    ksr = FakeKsr()
    ksr.pvs |= {"$rU": "112", "$tu": "sip:bob@a.example"}
    ksr.results["registrar.registered_uri sip:bob@a.example"] = 1
    ksr_load.publish(ksr, 0.0)
    assert [shed(ksr, method) for _ in range(PASSED_MAX + 2)] == [False] * PASSED_MAX + [True] * 2
    ksr.pvs["$si"] = "192.0.2.7"
    assert not shed(ksr, method)


def test_kamailio_forgets_what_has_passed_when_core_says_so() -> None:
    config = (Path(__file__).parents[2] / "kamailio.cfg").read_text(encoding="utf-8")
    assert f'"{ksr_load.PASSED}=>size=10;initval=0;autoexpire={PASSED_S};updateexpire=0;"' in config


def test_a_phone_that_is_registered_may_stay_so() -> None:
    """It is named by the To: the R-URI of a REGISTER is its domain."""
    ksr = FakeKsr()
    ksr.pvs |= {"$ru": "sip:a.example", "$tu": "sip:bob@a.example"}
    ksr_load.publish(ksr, 0.0)
    assert shed(ksr, "REGISTER")
    ksr.results["registrar.registered_uri sip:bob@a.example"] = 1
    assert not shed(ksr, "REGISTER")
