"""`tandem sync` when things die, go backwards, come twice, or vanish."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import psycopg
import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.records import Status
from tests.dying import Killed, deadly
from tests.fix_postgres import Database
from tests.redis_server import OPTIONS
from tests.sync_pair import DEADLINE_S, SyncPair
from tools.sync import passes, window
from tools.sync.command import sync
from tools.sync.follow import connections, follow
from tools.sync.kinds import BY_VIEW
from tools.sync.marker import FrozenError, Marker
from tools.sync.passes import BRAKE_ROWS, Syncer
from tools.sync.source import Source
from tools.sync.store import Change, FencedError, Store

RENUMBER = "update tandem.number set status = %s where e164 = '442079460001'"
MANY_NUMBERS = """
    insert into tandem.number(account_id, e164, subscriber_id)
    select a.id, '4930' || i, s.id from generate_series(1000, %s) i, tandem.account a, tandem.subscriber s
    where a.name = 'Alpha' and s.username = 'alice'
"""


@pytest.fixture
def pair(demo_database: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the demo world once."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.once()
    return made


def number_status(pair: SyncPair) -> object:
    record = pair.record("num:442079460001")
    return record.status if record else None


@pytest.fixture
def killer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], None]]:
    """Give a way to die at the n-th step that reaches Postgres or Redis, before it or after it."""
    calls = ((Store, "_call_all"), (Source, "done"), (Source, "delete_seen"), (Source, "note_unsure"))
    with deadly(monkeypatch, *calls) as arm:
        yield arm


def test_killed_at_any_step_nothing_is_lost(pair: SyncPair, killer: Callable[[int], None]) -> None:
    """Die before or after each write to Redis and each delete in Postgres; whoever comes next ends with both equal."""
    deaths = 0
    for step in range(1, 100):
        status = ("suspended", "active")[step % 2]
        pair.sql(RENUMBER, status)
        pair.sql("update tandem.account set status = %s where name = 'North'", status)
        pair.sql("select world.tariff('North', 'retail', 'EUR', '44', %s)", f"0.{step:03}")
        pair.sql("update tandem.sip_domain set name = %s where name like '%%a.example'", f"{step}a.example")
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
    assert deaths >= 12  # begin, sign of life, buckets, steps with commit, outbox rows: before and after each


@pytest.mark.parametrize("full_load", [False, True])
def test_a_change_that_commits_during_a_pass_is_not_lost(
    pair: SyncPair, monkeypatch: pytest.MonkeyPatch, full_load: bool
) -> None:
    """It came after the snapshot: neither applied nor deleted with the rest, but left for the next pass."""
    name = "delete_seen" if full_load else "done"
    delete = getattr(Source, name)

    def late(*args: Any) -> None:
        pair.sql(RENUMBER, "suspended")
        monkeypatch.setattr(Source, name, delete)
        delete(*args)

    monkeypatch.setattr(Source, name, late)
    if full_load:
        pair.redis.execute("FLUSHALL")
    pair.sql("update tandem.account set status = 'suspended' where name = 'North'")
    pair.once()
    assert number_status(pair) == Status.SUSPENDED
    pair.assert_equal()


def test_a_long_outbox_takes_several_passes(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the rows that a pass has read are deleted with it."""
    monkeypatch.setattr(passes, "ROWS_MAX", 3)
    pair.sql("update tandem.account set status = 'suspended' where kind <> 'root'")
    pair.sql("update tandem.number set status = 'suspended'")
    pair.once()
    assert pair.outbox_is_empty()
    pair.assert_equal()


def test_killed_during_a_stream_of_changes(pair: SyncPair) -> None:
    """Kill -9 of the process at four moments of a stream: the last state of each row stands in Redis."""
    for round_ in range(4):
        with pair.active_syncer() as process:
            before, _ = pair.pass_and_fence()
            for change in range(40):
                pair.sql(RENUMBER, ("suspended", "active")[change % 2])
                pair.sql(
                    "update tandem.account set status = %s where name = 'North'", ("active", "suspended")[change % 2]
                )
                if change == 10 * round_ + 5:
                    pair.wait_for(lambda: pair.pass_and_fence()[0] > before, "a pass in the stream")  # noqa: B023
                    process.send_signal(signal.SIGKILL)
    pair.once()
    assert number_status(pair) == Status.ACTIVE
    pair.assert_equal()


def test_a_superseded_syncer_is_refused(pair: SyncPair) -> None:
    """Its session is cut, another takes over, and what it still sends to Redis changes nothing."""
    with connections(pair.options()) as (source, store):
        assert source.try_lock()
        old = Syncer(source, store, accept=False)
        old.start()
        pair.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tandem sync'")
        pair.sql(RENUMBER, "suspended")
        pair.once()
        number = pair.record("num:442079460001")
        with pytest.raises(FencedError):
            store.apply(
                [Change(BY_VIEW["number"], "num:442079460001", number._replace(status=0))], iter([9_999]).__next__
            )
        with pytest.raises(psycopg.OperationalError):
            old.run_pass()
    assert number_status(pair) == Status.SUSPENDED
    pair.assert_equal()


def test_a_standby_takes_over_within_two_seconds(pair: SyncPair) -> None:
    """The second process waits, and once the first is killed a change arrives in two seconds."""
    with pair.active_syncer() as active, pair.syncer() as standby:
        assert standby.stderr is not None
        line = standby.stderr.readline()
        assert "standing by" in line
        _, fence = pair.pass_and_fence()
        active.kill()
        pair.sql(RENUMBER, "suspended")
        pair.wait_for(lambda: number_status(pair) == Status.SUSPENDED, "the standby to apply it", deadline_s=2.0)
        assert pair.pass_and_fence()[1] > fence


def test_a_running_syncer_applies_at_once(pair: SyncPair) -> None:
    """A commit wakes it; `--once` beside it waits until the running one has applied everything, and leaves it alone."""
    with pair.active_syncer():
        _, fence = pair.pass_and_fence()
        pair.sql(RENUMBER, "suspended")
        pair.once()
        assert number_status(pair) == Status.SUSPENDED
        assert pair.pass_and_fence()[1] == fence


def test_sigterm_stops_between_passes(pair: SyncPair) -> None:
    """Exit 0, nothing half done: the next one finds everything as it was left and needs no full load."""
    with pair.active_syncer() as process:
        pair.sql(RENUMBER, "suspended")
        pair.wait_for(pair.outbox_is_empty, "the change to be applied")
        process.terminate()
        assert process.wait(DEADLINE_S) == 0
    with pair.syncer("--once") as process:
        assert process.wait(DEADLINE_S) == 0
        assert process.stderr is not None
        assert "as the last syncer left it" in process.stderr.read()


def test_redis_loses_everything_under_a_running_syncer(pair: SyncPair) -> None:
    """No change in Postgres is needed: the next sign of life finds it, and all is loaded again."""
    with pair.active_syncer():
        pair.redis.execute("FLUSHALL")
        pair.wait_for(
            lambda: number_status(pair) == Status.ACTIVE and pair.redis.execute("GET", keys.MARKER), "the reload"
        )
    pair.assert_equal()


def test_redis_rolled_back_between_two_syncers(pair: SyncPair) -> None:
    """Acknowledged steps are missing and the outbox is empty: the pass number tells, and all is made equal.

    What a worker holds may be of those steps: each drops all, also what the repair then finds equal.
    """
    old = {name: pair.redis.execute("GET", name) for name in (keys.PASS, keys.config("num:442079460001"))}
    pair.sql(RENUMBER, "suspended")
    pair.once()
    lost, _ = pair.pass_and_fence()
    for name, value in old.items():
        pair.redis.execute("SET", name, value)
    assert pair.outbox_is_empty()
    pair.once()
    assert number_status(pair) == Status.SUSPENDED
    assert int(pair.redis.execute("GET", keys.CHANGED_LOW)) > lost
    pair.assert_equal()


def test_a_killed_redis_and_a_cut_postgres(demo_database: Database, tmp_path: Path) -> None:
    """The syncer says so, waits, and goes on by itself when they are back: Redis empty, Postgres as it was."""
    socket = tmp_path / "r.sock"
    words = ["redis-server", *OPTIONS, "--dir", str(tmp_path), "--unixsocket", str(socket)]
    client = RedisClient(f"unix://{socket}", 2_000)
    pair = SyncPair(demo_database, client, f"unix://{socket}")
    with subprocess.Popen(words, stdout=subprocess.DEVNULL) as first:
        SyncPair.wait_for(socket.exists, "redis-server")
        with pair.active_syncer() as process:
            first.kill()
            first.wait()
            assert process.stderr is not None
            assert any("Redis does not do its part" in line for line in process.stderr)
            with subprocess.Popen(words, stdout=subprocess.DEVNULL) as second:
                client = RedisClient(f"unix://{socket}", 2_000)
                pair.redis = client
                SyncPair.wait_for(lambda: client.available() and _loaded(client), "the reload")
                pair.sql(
                    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'tandem sync'"
                )
                pair.sql(RENUMBER, "suspended")
                assert any("Postgres does not do its part" in line for line in process.stderr)
                SyncPair.wait_for(lambda: number_status(pair) == Status.SUSPENDED, "the change")
                second.kill()


def _loaded(client: RedisClient) -> bool:
    try:
        return client.execute("GET", keys.MARKER) is not None
    except StoreUnavailable:
        return False


def test_postgres_restored_to_the_past_freezes(pair: SyncPair) -> None:
    """Redis has seen a later position of the log: nothing is written, the sentence says what to do, --yes does it."""
    marker = Marker.parse(pair.redis.execute("GET", keys.MARKER).decode())
    assert marker is not None
    for ahead in (marker._replace(lsn=marker.lsn + (1 << 40)), marker._replace(timeline=marker.timeline + 1)):
        pair.redis.execute("SET", keys.MARKER, str(ahead))
        pair.sql(RENUMBER, "suspended")
        with pytest.raises(FrozenError, match=r"behind what Redis has seen.*frozen.*tandem sync --once --yes"):
            pair.once()
        assert number_status(pair) == Status.ACTIVE
        pair.once(accept=True)
        assert number_status(pair) == Status.SUSPENDED
        pair.sql(RENUMBER, "active")
        pair.once()


def test_a_frozen_service_lets_the_operator_in(pair: SyncPair) -> None:
    """It keeps running without the lock and says why; the operator's --once --yes gets through beside it."""
    marker = Marker.parse(pair.redis.execute("GET", keys.MARKER).decode())
    assert marker is not None
    pair.redis.execute("SET", keys.MARKER, str(marker._replace(lsn=1 << 60)))
    with pair.syncer() as service:
        assert service.stderr is not None
        assert any("behind what Redis has seen" in line for line in service.stderr)
        pair.once(accept=True)
        assert service.poll() is None
    pair.assert_equal()


def test_another_database_is_loaded_whole(
    pair: SyncPair, database: Database, redis_client: RedisClient, redis_url: str
) -> None:
    """What stands in Redis belongs to another database: loaded anew, with what only Redis has removed."""
    with database.connection.transaction():
        database.connection.execute((Path(__file__).parents[2] / "sql/seed/world.sql").read_bytes())
        database.connection.execute("select world.root('Other', 'EUR')")
    other = SyncPair(database, redis_client, redis_url)
    _, fence = other.pass_and_fence()
    other.once()
    assert other.record("acct:1").name == "Other"
    assert other.record("sub:alice@a.example") is None
    assert other.pass_and_fence()[1] > fence
    other.assert_equal()
    assert pair.verify().differences


def test_mass_deletion_wants_an_operator(pair: SyncPair) -> None:
    """More than 5 % and more than 50 of a kind: refused whole, by DELETE or by TRUNCATE; --yes does it."""
    pair.sql(MANY_NUMBERS, 1_199)
    pair.once()
    pair.sql("delete from tandem.number where e164 like '493010%%' and e164 < %s", f"49301{BRAKE_ROWS:03}")
    pair.once()  # 50 of 204 are still a day's work
    for statement in ("delete from tandem.number where e164 like '4930%'", "truncate tandem.number"):
        pair.sql(statement)
        with pytest.raises(FrozenError, match=r"150 of 15[04] in number would be deleted.*tandem sync --once --yes"):
            pair.once()
        assert pair.record("num:49301199") is not None
    pair.once(accept=True)
    assert pair.record("num:49301199") is None
    pair.assert_equal()


def test_a_small_share_of_a_large_kind_may_go(pair: SyncPair) -> None:
    """60 of 2,004 are below 5 %."""
    pair.sql(MANY_NUMBERS, 2_999)
    pair.once()
    pair.sql("delete from tandem.number where e164 like '4930%' and e164 < '49301060'")
    pair.once()
    pair.assert_equal()


def test_yes_belongs_to_one_deliberate_run() -> None:
    """A service that was started with --yes would wave everything through for ever."""
    with pytest.raises(Exception, match="needs --once"):
        sync(yes=True)


def test_an_outage_ends_a_single_run(pair: SyncPair) -> None:
    """`--once` does not wait for ever: it says what is missing."""
    options = pair.options()._replace(redis_url="unix:///nonexistent/redis.sock")
    with pytest.raises(Exception, match="Redis does not do its part"):
        follow(options, Event())
    options = pair.options()._replace(database_url="postgresql:///x?host=/nonexistent")
    with pytest.raises(Exception, match="Postgres does not do its part"):
        follow(options, Event())


def test_a_transaction_that_was_open_for_long(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its outbox rows have lower numbers than what was applied long ago: they are found within a second."""
    monkeypatch.setattr(window, "LATE_S", 0.0)
    with pair.database.connect() as late, pair.service():
        late.autocommit = False
        late.execute(RENUMBER, ("suspended",))
        for change in range(20):
            pair.sql("update tandem.account set blocked_out = %s where id = 5", [str(change)])
            pair.wait_for(pair.outbox_is_empty, "the change")
        late.commit()
        pair.wait_for(lambda: number_status(pair) == Status.SUSPENDED, "the late one")
    pair.assert_equal()


BOTH_AT_ONCE = [
    (
        "update tandem.subscriber set username = 'alicia' where username = 'alice'",
        "update tandem.sip_domain set name = 'z.example' where name = 'a.example'",
    ),
    (
        "update tandem.number set e164 = '4411' where e164 = '442079460001'",
        "update tandem.sip_domain set name = 'z.example' where name = 'a.example'",
    ),
    (
        "delete from tandem.number where e164 = '442079460001'",
        "update tandem.subscriber set username = 'alicia' where username = 'alice'",
    ),
    (
        "update tandem.trusted_source set network = '127.0.9.0/24' where id = 1",
        "update tandem.sip_domain set name = 'z.example' where name = 'a.example'",
    ),
    (
        "update tandem.peering_server set address = '127.0.1.99' where id = 1",
        "update tandem.peering_group set enabled = false where id = 1",
    ),
]


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("statements", BOTH_AT_ONCE)
def test_two_rows_of_one_value_change_at_once(pair: SyncPair, statements: tuple[str, str], order: int) -> None:
    """Neither transaction has seen what the value is called after both: the one waits for the other, and then has."""
    first, second = statements[::order]
    with pair.database.connect() as one, pair.database.connect() as other, ThreadPoolExecutor(1) as threads:
        one.autocommit = other.autocommit = False
        one.execute(first.encode())
        waiting = threads.submit(other.execute, second.encode())
        pair.wait_for(
            lambda: waiting.done() or pair.sql("select count(*) from pg_locks where not granted") != [(0,)], "the other"
        )
        pair.once()
        one.commit()
        waiting.result(DEADLINE_S)
        pair.once()
        other.commit()
    pair.once()
    pair.assert_equal()
