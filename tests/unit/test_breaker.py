"""When the breakers open, how they close again, and how the address of Redis is read."""

from __future__ import annotations

import pytest

from kemi.adapters.redis_client import (
    FAILURES_MAX,
    PROBE_EVERY_S,
    Breaker,
    Failure,
    NodeBreaker,
    RedisClient,
    RedisUrlError,
    Reply,
    StoreUnavailable,
)
from kemi.adapters.redis_place import Address, parse_sentinel_url
from kemi.adapters.redis_probe import GIVE_UP_S, RETRY_S, Probe
from tests.fakes.redis_wire import FakeFlag, FakePlace

TURN_S = 0.05
TIMEOUT_S = 0.08


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    """Start a clock."""
    return Clock()


@pytest.fixture
def opened(clock: Clock) -> Breaker:
    """Return a breaker that has just opened."""
    breaker = Breaker(clock)
    breaker.failed(Failure.REFUSED)
    return breaker


def test_it_opens_after_three_failures_in_a_row(clock: Clock) -> None:
    """Two are not enough, and a success between starts the count anew."""
    breaker = Breaker(clock)
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(Failure.STALLED)
    breaker.succeeded()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(Failure.STALLED)
    assert breaker.would_pass()
    breaker.failed(Failure.STALLED)
    assert not breaker.would_pass()
    assert breaker.is_open


def test_one_refused_connection_opens_it(opened: Breaker) -> None:
    """Nobody listens: no second call has to find that out."""
    assert opened.is_open
    assert not opened.would_pass()


def test_it_lets_one_probe_through_at_a_time(opened: Breaker, clock: Clock) -> None:
    """The next one has to wait, whatever the failure was."""
    clock.now_s += PROBE_EVERY_S - 0.01
    assert not opened.would_pass()
    clock.now_s += 0.02
    assert opened.would_pass()
    opened.failed(Failure.BROKEN)
    assert not opened.would_pass()
    clock.now_s += PROBE_EVERY_S
    assert opened.would_pass()


def test_a_probe_that_succeeds_closes_it(opened: Breaker, clock: Clock) -> None:
    """It then takes three failures again."""
    clock.now_s += PROBE_EVERY_S
    opened.succeeded()
    assert not opened.is_open
    opened.failed(Failure.BROKEN)
    assert opened.would_pass()


def test_an_address_that_cannot_be_read_is_refused_without_showing_it() -> None:
    """It holds a password."""
    with pytest.raises(RedisUrlError) as refusal:
        RedisClient("redis://worker:sek/ret@@host", 80)
    assert "sek" not in str(refusal.value)


@pytest.fixture
def flag(clock: Clock) -> FakeFlag:
    """Offer a flag of shared memory, not set."""
    return FakeFlag(clock)


@pytest.mark.parametrize("what", [Failure.REFUSED, Failure.STALLED])
def test_what_one_process_found_out_holds_for_all_of_its_node(what: Failure, flag: FakeFlag) -> None:
    """Nobody waits a second time; an answer to somebody who had asked before does not close it."""
    one, other = NodeBreaker(flag), NodeBreaker(flag)
    one.failed(what)
    other.succeeded()
    assert (one.is_open, other.is_open, other.would_pass()) == (True, True, False)
    flag.clear()
    assert (one.would_pass(), other.would_pass()) == (True, True)


def test_a_connection_that_broke_opens_it_only_when_the_next_ones_break_too(flag: FakeFlag) -> None:
    """Redis closes idle connections, and those of a master that it makes a replica."""
    breaker = NodeBreaker(flag)
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(Failure.BROKEN)
    breaker.succeeded()
    for _ in range(FAILURES_MAX - 1):
        breaker.failed(Failure.BROKEN)
    assert breaker.would_pass()
    breaker.failed(Failure.BROKEN)
    assert not breaker.would_pass()


def test_without_a_prober_the_flag_goes_by_itself(flag: FakeFlag, clock: Clock) -> None:
    """An agent that hangs keeps nobody from Redis."""
    breaker = NodeBreaker(flag)
    breaker.failed(Failure.STALLED)
    clock.now_s += FakeFlag.LIFE_S
    assert breaker.would_pass()


class Prober:
    """A node's prober, its clock, and the Redis that it looks after."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.flag = FakeFlag(clock)
        self.redis = FakePlace()
        self.answers: list[Reply | None] = []
        self._probe = Probe(self.redis, TIMEOUT_S, self.flag, clock)

    def turn(self) -> bool:
        """Do a turn; return whether Redis counts as down then."""
        self.clock.now_s += TURN_S
        self.answers.append(self._probe.turn())
        return self.flag.is_set()

    def turns(self, seconds: float) -> list[bool]:
        """Do the turns of some time."""
        return [self.turn() for _ in range(round(seconds / TURN_S))]


@pytest.fixture
def prober(clock: Clock) -> Prober:
    """Offer a prober that has been answered once."""
    made = Prober(clock)
    assert made.turns(3 * TURN_S) == [False, False, False]
    return made


def test_a_stall_is_found_in_the_time_of_a_call_and_two_turns_though_nobody_calls(prober: Prober) -> None:
    """And it stays known for as long as it lasts, over connections that are made anew."""
    prober.redis.stalled = True
    seen = prober.turns(5)
    assert seen.index(True) * TURN_S <= TIMEOUT_S + 2 * TURN_S
    assert all(seen[seen.index(True) :])
    assert prober.redis.connects < 5 / RETRY_S


def test_a_stall_that_ends_is_known_in_the_next_turn(prober: Prober) -> None:
    """The answer to the PING that waited says so."""
    prober.redis.stalled = True
    prober.turns(GIVE_UP_S / 2)
    prober.redis.stalled = False
    assert prober.turn() is False


def test_a_redis_that_was_gone_is_found_within_a_retry_and_a_turn(prober: Prober) -> None:
    """Refused connections cost nothing."""
    prober.redis.gone = True
    assert all(prober.turns(1)[1:])
    prober.redis.gone = False
    assert prober.turns(RETRY_S + 2 * TURN_S)[-1] is False


def test_a_flag_that_a_worker_set_is_cleared_by_a_later_answer_only(prober: Prober) -> None:
    """The answer that lay there already may be older than the stall."""
    prober.flag.set()
    assert prober.turn() is True
    assert prober.turn() is False


def test_an_error_in_answer_to_a_ping_means_down(prober: Prober) -> None:
    """It loads its data, or may not write."""
    prober.redis.error = "LOADING Redis is loading the dataset in memory"
    assert prober.turns(2 * TURN_S)[-1] is True
    prober.redis.error = ""
    assert prober.turns(RETRY_S + 2 * TURN_S)[-1] is False


def test_a_sentinel_url_is_read() -> None:
    """Addresses, service, both logins; ports and logins may be missing."""
    full = parse_sentinel_url(
        "sentinel://w:p%40%2Fss@10.0.0.1:1,[::1]:2,s3/cell-0?sentinel_user=u&sentinel_password=x&db=2"
    )
    assert full.sentinels == (Address("10.0.0.1", 1), Address("::1", 2), Address("s3", 26_379))
    assert (full.service, full.server) == ("cell-0", {"username": "w", "password": "p@/ss", "db": 2})
    assert full.sentinel == {"username": "u", "password": "x"}
    plain = parse_sentinel_url("sentinel://127.0.0.1/cell")
    assert (plain.server, plain.sentinel) == (
        {"username": None, "password": None, "db": 0},
        {"username": None, "password": None},
    )


@pytest.mark.parametrize(
    "url",
    [
        "sentinel://w:geheim@host",
        "sentinel://w:geheim@host/",
        "sentinel://w:geheim@/cell",
        "sentinel://w:geheim@host:0/cell",
        "sentinel://w:geheim@a,,b/cell",
        "sentinel://w:geheim@host/cell?password=geheim",
        "sentinel://w:geheim@host/cell?db=x",
        "sentinel://w:geheim@host/cell?db=-1",
        "sentinel://w:geheim@host/a/cell",
    ],
)
def test_a_sentinel_url_that_cannot_be_read_is_refused_without_showing_it(url: str) -> None:
    """It holds a password."""
    with pytest.raises(RedisUrlError) as refusal:
        RedisClient(url, 80)
    assert "geheim" not in str(refusal.value)


def test_sentinels_that_are_not_there_are_an_outage() -> None:
    """And nothing was sent."""
    client = RedisClient("sentinel://127.0.0.1:9,127.0.0.1:10/cell", 80)
    with pytest.raises(StoreUnavailable, match="no sentinel names the master of cell") as failure:
        client.execute("PING")
    assert not failure.value.maybe_applied
    assert client.breaker_is_open


def test_each_turn_brings_the_answer_to_the_question_of_the_turn_before(prober: Prober) -> None:
    prober.turns(3 * TURN_S)
    assert prober.answers[-3:] == [b"PONG"] * 3
    assert prober.redis.connects == 1


def test_a_connection_from_before_an_outage_says_that_redis_is_up_and_no_more(prober: Prober) -> None:
    """A frozen master that goes on does not know yet that another one has taken its place."""
    prober.redis.stalled = True
    prober.turns(GIVE_UP_S / 2)
    prober.redis.stalled = False
    prober.answers.clear()
    assert prober.turn() is False
    assert (prober.answers, prober.redis.connects) == ([None], 2)
    assert prober.turn() is False
    assert (prober.answers[-1], prober.redis.connects) == (b"PONG", 2)
