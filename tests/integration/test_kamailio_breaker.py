"""Redis dead (refused) and stalled (SIGSTOP) under a real node: calls are answered in time, and calls go on and end."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final, NamedTuple

import pytest

from kemi.adapters.ksr_shared import DOWN_S
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Funds
from tests.edge import ACME_HOST, NOWHERE, SOON_S, Edge
from tests.edge_world import load_world, place, welcome
from tests.fakes.world import ABROAD, World
from tests.kamailio_node import IN_TIME, PATIENT, running_kamailio
from tests.redis_server import TIMEOUT_MS, MortalRedis, mortal_redis
from tests.sip import SDP, Call, Endpoint, Message
from tests.wait import until

PBX: Final = "127.1.3.5"  # trusted: no challenge, each call is held
EVERY_S: Final = 0.02
ANSWER_S: Final = 0.1
OPEN_S: Final = 0.3
BACK_S: Final = 2.0
AT_ONCE_S: Final = 0.04
"""A call that waits for nobody; a worker that waits for Redis takes 0.08."""
LOADED: Final = 0.95
"""So many calls must keep their time, for a machine under tests stops now and then; the others, in LATE_S."""
LATE_S: Final = 0.5
CALLS: Final = 8


class Answer(NamedTuple):
    """One call's. began: on the monotonic clock."""

    began: float
    lasted_s: float
    status: int


class Stream:
    """A caller that calls every EVERY_S, and a carrier that is always busy."""

    def __init__(self, phone: Endpoint, carrier: Endpoint) -> None:
        self._phone = phone
        self._carrier = carrier
        self._open: dict[str, tuple[str, float]] = {}
        self.answers: list[Answer] = []

    def run(self, seconds: float) -> None:
        """Call for so long."""
        end = time.monotonic() + seconds
        due = time.monotonic()
        while (now := time.monotonic()) < end:
            if now >= due:
                due = now + EVERY_S
                invite = self._phone.request("INVITE", f"sip:{ABROAD}@a.example", body=SDP)
                call_id = invite.partition("Call-ID: ")[2].partition("\r\n")[0]
                self._open[call_id] = (invite, now)
                self._phone.send(invite)
            self._serve()

    def finish(self) -> list[Answer]:
        """Wait for what is open; return all answers in the order of their calls."""
        until(self._is_served, SOON_S, "the last calls to be answered")
        return sorted(self.answers)

    def _is_served(self) -> bool:
        self._serve()
        return not self._open

    def _serve(self) -> None:
        for take, endpoint in ((self._answered, self._phone), (self._refuse, self._carrier)):
            try:
                take(endpoint.receive(0.001))
            except (TimeoutError, BlockingIOError):
                continue

    def _answered(self, message: Message) -> None:
        found = self._open.get(message.get("Call-ID"))
        if found is None or message.status < 200:
            return
        invite, began = self._open.pop(message.get("Call-ID"))
        self._phone.ack(invite, message)
        self.answers.append(Answer(began, time.monotonic() - began, message.status))

    def _refuse(self, message: Message) -> None:
        if message.method == "INVITE" and not message.status:
            self._carrier.send(self._carrier.reply(message, 486, "Busy Here"))


@pytest.fixture
def redis() -> Iterator[MortalRedis]:
    """Run a Redis that can die."""
    with mortal_redis() as running:
        yield running


@pytest.fixture
def edge(redis: MortalRedis) -> Iterator[Edge]:
    """Run a node with it."""
    with node_of(redis, PATIENT) as running:
        yield running


@pytest.fixture
def timed(redis: MortalRedis) -> Iterator[Edge]:
    """Run a node that waits for it no longer than nodes do."""
    with node_of(redis, IN_TIME) as running:
        yield running


@contextmanager
def node_of(redis: MortalRedis, env: Mapping[str, str]) -> Iterator[Edge]:
    """Run a node with a Redis, and a carrier."""
    with Endpoint(NOWHERE, ACME_HOST) as acme:
        admin, world = RedisClient(redis.url, TIMEOUT_MS), World()
        place(world, acme)
        welcome(world)
        writer = load_world(admin, world)
        with running_kamailio(redis.worker_url, env=env) as node:
            acme.server = node.address
            until(lambda: node.noc("status")["agent"], SOON_S, "the agent's first word")
            yield Edge(node, redis.told(), admin, writer, acme, acme, world)
        admin.close()


def die(redis: MortalRedis) -> Callable[[], None]:
    """Kill it; return what brings it back, armed as `tandem settle` would leave it."""
    redis.kill()

    def back() -> None:
        redis.start()
        admin = RedisClient(redis.url, TIMEOUT_MS)
        Funds(admin, "test", 0).arm(2)
        admin.close()

    return back


def stall(redis: MortalRedis) -> Callable[[], None]:
    """Stop it; return what lets it go on."""
    redis.stall()
    return redis.go_on


def lasted(answers: list[Answer]) -> float:
    """Return how long all but the slowest few took."""
    times = sorted(answer.lasted_s for answer in answers)
    assert times[-1] < LATE_S, times[-5:]
    return times[int(len(times) * LOADED) - 1]


@pytest.mark.parametrize("harm", [die, stall])
def test_calls_are_refused_in_time_at_once_after_a_moment_and_taken_soon_after(
    harm: Callable[[MortalRedis], Callable[[], None]], redis: MortalRedis, timed: Edge
) -> None:
    """100 ms at most; without waiting from 300 ms on; taken again 2 s after Redis has come back."""
    with timed.phone(PBX) as phone:
        stream = Stream(phone, timed.acme)
        stream.run(1)
        down = time.monotonic()
        back = harm(redis)
        stream.run(1.5)
        back()
        up = time.monotonic()
        stream.run(BACK_S + 1)
        answers = stream.finish()

    during = [answer for answer in answers if down < answer.began < up]
    open_ = [answer for answer in during if answer.began > down + OPEN_S]
    after = [answer for answer in answers if answer.began > up]
    first = next(answer for answer in after if answer.status == 486).began - up
    told = f"answer {max(during, key=lambda one: one.lasted_s)}, open {lasted(open_)}, back {first}"
    assert {answer.status for answer in answers if answer.began < down - ANSWER_S} == {486}
    assert {answer.status for answer in during} == {503}, told
    assert lasted(during) <= ANSWER_S, told
    assert lasted(open_) <= AT_ONCE_S, told
    assert {answer.status for answer in after if answer.began > up + BACK_S} == {486}, told
    assert timed.node.noc("status")["agent"]["store"] == "up"


@pytest.mark.parametrize("harm", [die, stall])
def test_every_call_ends_and_every_emergency_call_goes_while_redis_is_away(
    harm: Callable[[MortalRedis], Callable[[], None]], redis: MortalRedis, edge: Edge
) -> None:
    """BYE, CANCEL and 112: all of them, from the first moment on, before anybody knows."""
    with ExitStack() as stack:
        phones = [stack.enter_context(edge.phone(PBX)) for _ in range(3 * CALLS)]
        talking = [answered(phone, edge) for phone in phones[:CALLS]]
        ringing = [rings(phone, edge) for phone in phones[CALLS : 2 * CALLS]]
        back = harm(redis)
        emergencies = [emergency(phone, edge) for phone in phones[2 * CALLS :]]
        for phone, final in talking:
            assert ended(phone, final, edge.acme) == 200
        for call, invite in ringing:
            assert cancelled(call, invite, edge.acme) == 487
        assert emergencies == [200] * CALLS
        back()


def test_a_node_whose_agent_hangs_finds_redis_again_by_itself(redis: MortalRedis, edge: Edge) -> None:
    """Nobody clears the flag then; it goes, and the next call tries."""
    agent = agent_pid(edge)
    os.kill(agent, signal.SIGSTOP)
    try:
        with edge.phone(PBX) as phone:
            redis.stall()
            assert status(phone, edge) == 503
            redis.go_on()
            until(lambda: status(phone, edge) == 486, DOWN_S + 1 + SOON_S, "calls to be taken again")
    finally:
        os.kill(agent, signal.SIGCONT)


def agent_pid(edge: Edge) -> int:
    """Return the process id of the node's agent: kamcmd gives a line with the number, then one with the name."""
    lines = edge.node.kamcmd("core.ps").splitlines()
    return int(lines[next(n for n, line in enumerate(lines) if "timer=agent" in line) - 1])


def status(phone: Endpoint, edge: Edge) -> int:
    """Return what a call gets to a carrier that is busy."""
    stream = Stream(phone, edge.acme)
    stream.run(EVERY_S / 2)
    return stream.finish()[0].status


def dialled(phone: Endpoint, number: str) -> Call:
    """Call a number as the PBX does."""
    call = Call(phone, phone.request("INVITE", f"sip:{number}@a.example", body=SDP))
    phone.send(call.invite)
    return call


def answered(phone: Endpoint, edge: Edge) -> tuple[Endpoint, Message]:
    """Return a phone that talks, and the 200 that it got."""
    call = dialled(phone, ABROAD)
    edge.acme.send(edge.acme.reply(edge.acme.wait_request("INVITE"), 200, "OK", body=SDP))
    final = call.final()
    assert final.status == 200
    edge.acme.wait_request("ACK")
    return phone, final


def rings(phone: Endpoint, edge: Edge) -> tuple[Call, Message]:
    """Return a call that rings, and its INVITE as the carrier got it."""
    call = dialled(phone, ABROAD)
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing"))
    while phone.receive().status != 180:
        continue
    return call, invite


def emergency(phone: Endpoint, edge: Edge) -> int:
    """Return what a call to 112 gets."""
    call = dialled(phone, "112")
    edge.acme.send(edge.acme.reply(edge.acme.wait_request("INVITE"), 200, "OK", body=SDP))
    final = call.final()
    edge.acme.wait_request("ACK")
    return final.status


def ended(phone: Endpoint, final: Message, carrier: Endpoint) -> int:
    """Return what a BYE gets that the carrier answers."""
    phone.send(phone.within("BYE", final, cseq=9))
    carrier.send(carrier.reply(carrier.wait_request("BYE"), 200, "OK"))
    return phone.final().status


def cancelled(call: Call, invite: Message, carrier: Endpoint) -> int:
    """Return what the INVITE gets whose CANCEL the carrier obeys."""
    call.cancel()
    carrier.send(carrier.reply(carrier.wait_request("CANCEL"), 200, "OK"))
    carrier.send(carrier.reply(invite, 487, "Request Terminated"))
    assert call.phone.final().status == 200, "of the CANCEL"
    return call.phone.final().status
