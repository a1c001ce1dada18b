"""One syncer takes over from another: at once, without a full load, and without ever calling equal what is not."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from psycopg.pq import TransactionStatus

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.records import Status
from tests import sync_pair
from tests.dying import Killed, deadly
from tests.fix_postgres import Database
from tests.sync_pair import DEADLINE_S, SYNC, SyncPair
from tools.sync import passes, sweeper
from tools.sync.follow import follow
from tools.sync.kinds import KINDS
from tools.sync.marker import FrozenError, Marker, Start, how_to_start
from tools.sync.source import Source
from tools.sync.store import Store
from tools.sync.sweep import Found, Sweep

RENUMBER = "update tandem.number set status = %s where e164 = '442079460001'"
TAKEOVER_S = 6.0  # 0.3 s in quiet
HERE = Marker(7, 5, 1, 1_000)
VERSION = (3 << 32) | 40


@pytest.fixture
def pair(demo_database: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the demo world once."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.once()
    return made


def number_status(pair: SyncPair) -> object:
    return pair.record("num:442079460001").status


def log_of_one_run(pair: SyncPair) -> str:
    with pair.syncer("--once") as process:
        _, text = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, text
    return text


STARTS = [
    (HERE, HERE, VERSION, VERSION, 40, Start.RESUME),
    (HERE, HERE._replace(lsn=2_000), VERSION, VERSION, 60, Start.RESUME),
    (HERE, HERE, VERSION + 3, VERSION, 43, Start.RESUME),  # killed between Redis and Postgres
    (HERE, HERE, VERSION, VERSION, (1 << 32) + 41, Start.RESUME),  # numbers begin again after 2^32
    (HERE, HERE, (3 << 32) | 0xFFFFFFFF, VERSION, 1 << 32, Start.RESUME),
    (HERE, HERE, VERSION - 1, VERSION, 40, Start.REPAIR),  # Redis lost a step
    (HERE, HERE, VERSION, 0, 40, Start.REPAIR),  # a release before this one, or a load that Postgres does not know of
    (HERE, HERE, (2 << 32) | 41, VERSION, 60, Start.REPAIR),  # an older syncer's state with a higher number
    (HERE, HERE._replace(timeline=2), VERSION, VERSION, 40, Start.REPAIR),
    (None, HERE, VERSION, VERSION, 40, Start.REPLACE),
    (HERE._replace(system=8), HERE, VERSION, VERSION, 40, Start.REPLACE),
    (HERE._replace(database=6), HERE, VERSION, VERSION, 40, Start.REPLACE),
]


@pytest.mark.parametrize(("stored", "now", "redis", "applied", "drawn", "how"), STARTS)
def test_how_a_syncer_begins(
    stored: Marker | None, now: Marker, redis: int, applied: int, drawn: int, how: Start
) -> None:
    """By what Redis holds and what Postgres knows to be applied."""
    assert how_to_start(stored, now, redis, applied, drawn, accept_past=False) is how


@pytest.mark.parametrize(
    ("now", "drawn"),
    [
        (HERE._replace(lsn=999), 40),
        (HERE._replace(timeline=0), 40),
        (HERE._replace(lsn=2_000, timeline=2), 39),
        (HERE, (1 << 32) + 39),
    ],
)
def test_a_past_freezes(now: Marker, drawn: int) -> None:
    """Also one whose log has grown beyond the mark again: it has not numbered a pass that Redis has seen."""
    with pytest.raises(FrozenError, match="behind what Redis has seen"):
        how_to_start(HERE, now, VERSION, VERSION, drawn, accept_past=False)
    assert how_to_start(HERE, now, VERSION, VERSION, drawn, accept_past=True) is Start.REPLACE


def test_a_number_is_drawn_for_good_before_redis_sees_it(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass draws none inside its transaction: a crash of Postgres there would take the number back."""
    real, drawn_in = Source.draw_passes, set[TransactionStatus]()

    def draw(self: Source) -> None:
        status, before = self._connection.info.transaction_status, len(self._passes)
        real(self)
        if len(self._passes) > before:
            drawn_in.add(status)

    monkeypatch.setattr(Source, "draw_passes", draw)
    pair.sql(
        "insert into tandem.number(account_id, e164) select 5, '4930' || i from generate_series(1000, %s) i",
        1_000 + passes.ROWS_MAX,
    )
    pair.once()
    lose(pair)
    pair.once()
    pair.redis.execute("FLUSHALL")
    pair.once()
    assert drawn_in == {TransactionStatus.IDLE}


def test_the_numbers_of_passes_begin_again(pair: SyncPair) -> None:
    """After 2^32 of them, in the middle of the work: with the next fence, and nothing else is noticed."""
    for last in (2_000_000_000, 4_000_000_000, (1 << 32) - 200):
        pair.sql("select setval('tandem.sync_pass', %s)", last)
        pair.sql(RENUMBER, ("suspended", "active")[last % 3 == 0])
        pair.sql("update tandem.account set blocked_out = %s where id = 5", [str(last)])
        pair.once()
    with pair.service():
        _, fence = pair.pass_and_fence()
        for change in range(90):
            pair.sql(RENUMBER, ("suspended", "active")[change % 2])
            pair.wait_for(pair.outbox_is_empty, "the pass")
        assert pair.pass_and_fence()[1] == fence + 1
    assert pair.sql("select last_value > 4294967296 from tandem.sync_pass") == [(True,)]
    pair.assert_equal()
    pair.once()
    pair.assert_equal()


def test_killed_in_a_pass_the_next_one_just_goes_on(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis has the pass, Postgres does not know: no full load, no repair, no reader that drops everything."""

    def die(*_: object) -> None:
        raise Killed

    low = pair.redis.execute("GET", keys.CHANGED_LOW)
    pair.sql(RENUMBER, "suspended")
    with monkeypatch.context() as patched:
        patched.setattr(Source, "done", die)
        with pytest.raises(Killed):
            pair.once()
    assert number_status(pair) == Status.SUSPENDED
    assert not pair.outbox_is_empty()
    pair.sql(RENUMBER, "active")
    text = log_of_one_run(pair)
    assert "as the last syncer left it" in text
    assert "all equal" not in text
    assert pair.redis.execute("GET", keys.CHANGED_LOW) == low
    assert number_status(pair) == Status.ACTIVE
    pair.assert_equal()


def test_a_standby_is_there_at_once(pair: SyncPair) -> None:
    """After kill -9 in the middle of a stream, and after SIGTERM: what is committed then arrives soon."""
    for end in ("kill", "terminate"):
        with pair.active_syncer() as active, pair.syncer() as standby:
            assert standby.stderr is not None
            assert "standing by" in standby.stderr.readline()
            for change in range(20):
                pair.sql(RENUMBER, ("suspended", "active")[change % 2])
            getattr(active, end)()
            began = time.monotonic()
            pair.sql(RENUMBER, "suspended")
            pair.wait_for(lambda: number_status(pair) == Status.SUSPENDED, "the standby", deadline_s=TAKEOVER_S)
            pair.wait_for(pair.outbox_is_empty, "the rest")
            assert time.monotonic() - began < TAKEOVER_S, end
            assert "as the last syncer left it" in standby.stderr.readline()
    pair.assert_equal()


def test_a_stalled_syncer_loses_the_lock(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process stands still and its connection lives: Postgres ends that, another takes over, and it is fenced."""
    hasty = SYNC[-1].replace("typer.run", "import tools.sync.source as source; source.STALLED_S = 2; typer.run")
    monkeypatch.setattr(sync_pair, "SYNC", (*SYNC[:-1], hasty))
    with pair.active_syncer() as active:
        active.send_signal(signal.SIGSTOP)
        pair.sql(RENUMBER, "suspended")
        with pair.syncer():
            pair.wait_for(lambda: number_status(pair) == Status.SUSPENDED, "the standby")
            active.send_signal(signal.SIGCONT)
            assert active.stderr is not None
            assert any("does not do its part" in line for line in active.stderr)
            pair.sql(RENUMBER, "active")
            pair.wait_for(lambda: number_status(pair) == Status.ACTIVE, "the change")


@pytest.fixture
def slow_sweep(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Event, Event]]:
    """Hold every sweep at its first portion: (it is there, it may go on)."""
    there, may_go_on = Event(), Event()
    real = Sweep.round

    def held(self: Sweep, kinds: Any) -> Iterator[Found | None]:
        there.set()
        may_go_on.wait(DEADLINE_S)
        yield from real(self, kinds)

    monkeypatch.setattr(Sweep, "round", held)
    yield there, may_go_on
    may_go_on.set()


def lose(pair: SyncPair) -> None:
    """Roll Redis back by some acknowledged steps."""
    names = (keys.PASS, keys.config("num:442079460001"), keys.config("sub:alice@a.example"))
    old = {name: pair.redis.execute("GET", name) for name in names}
    pair.sql(RENUMBER, "suspended")
    pair.sql("update tandem.subscriber set status = 'suspended' where username = 'alice'")
    pair.once()
    for name, value in old.items():
        pair.redis.execute("SET", name, value)


def test_a_repair_is_on_line(pair: SyncPair, slow_sweep: tuple[Event, Event]) -> None:
    """While everything is compared changes arrive as ever, and the status says that it is not sure yet."""
    there, may_go_on = slow_sweep
    lose(pair)
    with pair.service():
        assert there.wait(DEADLINE_S)
        pair.sql("update tandem.number set status = 'suspended' where e164 = '442079460011'")
        pair.wait_for(lambda: pair.record("num:442079460011").status == Status.SUSPENDED, "the pass beside it")
        assert number_status(pair) == Status.ACTIVE  # what was lost is still to be found
        pair.wait_for(lambda: pair.status()["state"] == "repair", "the status")
        assert pair.sql("select unsure <> '{}' from tandem.sync_state") == [(True,)]
        may_go_on.set()
        pair.wait_for(lambda: pair.status()["state"] == "live", "the end of the repair")
        assert number_status(pair) == Status.SUSPENDED
        assert pair.sql("select unsure from tandem.sync_state") == [([],)]
    assert pair.sql("select drift from tandem.sync_state") == [(0,)]  # what Redis lost is no drift
    pair.assert_equal()


def test_readers_drop_all_when_a_repair_begins(pair: SyncPair, slow_sweep: tuple[Event, Event]) -> None:
    """What one holds may be of a step that Redis lost, and PASS looks right again after the next one."""
    there, _ = slow_sweep
    lose(pair)
    seen = int(pair.sql("select max(version) from tandem.sync_applied")[0][0])
    with pair.service():
        assert there.wait(DEADLINE_S)
        pair.sql("update tandem.number set status = 'suspended' where e164 = '442079460011'")
        pair.wait_for(pair.outbox_is_empty, "a pass")
        now, everything, *_ = pair.redis.fcall_ro("tandem_fetch_1", (), (seen, ""))
        assert (int(now) > seen, everything) == (True, 1)


def test_a_repair_that_was_killed_begins_again(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Redis' PASS looks right by then; Postgres remembers what was in doubt."""

    def die(*_: object) -> Iterator[None]:
        raise Killed

    lose(pair)
    with monkeypatch.context() as patched:
        patched.setattr(Sweep, "round", die)
        with pytest.raises(Killed):
            pair.once()
    pair.sql(RENUMBER, "suspended")
    assert pair.sql("select cardinality(unsure) from tandem.sync_state") == [(len(KINDS),)]
    pair.once()
    assert pair.sql("select unsure from tandem.sync_state") == [([],)]
    pair.assert_equal()


def test_a_truncated_kind_stays_in_doubt_until_it_is_compared(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed between the pass that has read the reset and the comparison: the next one compares."""

    def die(*_: object) -> Iterator[None]:
        raise Killed

    pair.sql("truncate tandem.number")
    with monkeypatch.context() as patched:
        patched.setattr(Sweep, "round", die)
        with pytest.raises(Killed):
            pair.once()
    assert pair.outbox_is_empty()
    assert pair.sql("select unsure from tandem.sync_state") == [(["number"],)]
    pair.once()
    assert pair.record("num:442079460001") is None
    pair.assert_equal()


def test_a_reset_that_comes_during_a_comparison_outlives_it(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared before it may have been read before it: the kind is compared again."""
    there, may_go_on, real = Event(), Event(), Sweep.round

    def held(self: Sweep, kinds: Any) -> Iterator[Found | None]:
        yield from real(self, kinds)
        there.set()
        may_go_on.wait(DEADLINE_S)

    monkeypatch.setattr(Sweep, "round", held)
    monkeypatch.setattr(sweeper, "EVERY_S", 3_600)
    lose(pair)
    with pair.service():
        assert there.wait(DEADLINE_S)
        pair.sql("truncate tandem.number")
        pair.wait_for(pair.outbox_is_empty, "the pass")
        may_go_on.set()
        pair.wait_for(lambda: pair.record("num:442079460001") is None, "the second comparison")
        pair.wait_for(lambda: pair.status()["state"] == "live", "its end")
    pair.assert_equal()


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Give a way to die at the n-th step of a repair that writes anywhere, before it or after it."""
    calls = ((Store, "_call_all"), (Source, "done"), (Source, "note_unsure"), (Source, "note_sweep"))
    with deadly(monkeypatch, *calls) as arm:
        yield arm


def test_killed_at_any_step_of_a_repair(pair: SyncPair, killer: Callable[[int], None]) -> None:
    """Nothing is called equal that is not: whoever comes next ends with both equal, whatever Redis had lost."""
    deaths = 0
    for step in range(1, 100):
        lose(pair)
        pair.redis.execute("COPY", keys.config("num:442079460001"), keys.config("num:4930999"), "REPLACE")
        killer(step)
        try:
            pair.once()
        except Killed:
            deaths += 1
        else:
            break
        finally:
            killer(0)
        pair.once()
        pair.assert_equal()
        assert pair.sql("select unsure from tandem.sync_state") == [([],)]
        pair.sql(RENUMBER, "active")
        pair.sql("update tandem.subscriber set status = 'active' where username = 'alice'")
        pair.once()
    assert deaths >= 14  # begin, doubt, sign of life, two repairs with their rows, the end: before and after each


def test_a_load_can_be_stopped(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGTERM does not wait for a million rows; nobody is served what was loaded by half; the next one loads all."""
    monkeypatch.setattr(passes, "LOAD_CHANGES", 1)
    pair.redis.execute("FLUSHALL")
    loaded = Event()
    real = Store.load

    def load(self: Store, *args: Any) -> None:
        real(self, *args)
        loaded.set()
        stop.wait(DEADLINE_S)

    monkeypatch.setattr(Store, "load", load)
    stop = Event()
    with ThreadPoolExecutor(1) as threads:
        syncer = threads.submit(follow, pair.options(once=False), stop)
        assert loaded.wait(DEADLINE_S)
        stop.set()
        syncer.result(DEADLINE_S)
    assert pair.redis.execute("GET", keys.MARKER) is None
    assert pair.status()["state"] == "load"
    pair.once()
    pair.assert_equal()


def test_a_frozen_syncer_says_so(pair: SyncPair) -> None:
    """The NOC reads why in the status."""
    marker = Marker.parse(pair.redis.execute("GET", keys.MARKER).decode())
    assert marker is not None
    pair.redis.execute("SET", keys.MARKER, str(marker._replace(lsn=1 << 60)))
    with pytest.raises(FrozenError):
        pair.once()
    assert pair.status()["state"].startswith("frozen: Postgres is behind what Redis has seen")


def test_a_service_without_a_reason_compares_slowly(pair: SyncPair) -> None:
    """A start in which nothing is in doubt does not compare at full speed."""
    assert sweeper.IDLE >= 9
    with pair.service():
        pair.wait_for(lambda: pair.status().get("state") == "live", "the first sign of life")
