"""Random transactions while the syncer works: Redis always holds a committed state of each aggregate, finally the last.

Three writers with transactions of their own: many rows or one, left open long, committed in another order than they
wrote, rolled back, in conflict; aggregates made of several rows; keys that move, vanish and come back; tables that are
truncated. They go on inside each pass, between any two steps of it that reach Redis; at any of these the syncer dies.
Redis is emptied in between, or put back to what it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import DEMO, Database, PostgresServer
from tests.redis_server import TIMEOUT_MS, RedisServer, empty
from tests.sync_history import History, Reached, check_equal
from tests.sync_pair import SyncPair
from tools.sync import store

WRITERS: Final = 3
LAW: Final = settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # an example takes a second: shrinking would take too many
    print_blob=True,
)
LINES: Final = ("alice", "anna", "bob", "pbx", "carol")
TENANTS: Final = ("North", "Alpha", "Fjord")
CARRIERS: Final = ("acme", "blue", "crown")
REASONS: Final = ("barred", "no_rate", "no_credit")

STATEMENTS: Final = MappingProxyType(
    {
        "own number": "update tandem.subscriber set cli = '49300' || {n} where id = {line}",
        "rename": "update tandem.subscriber set username = 'u{n}' where id = {line}",
        "take the name": "update tandem.subscriber set username = 'one-of-two' where id = {line}",
        "move domain": "update tandem.sip_domain set name = 'd{n}.example' where id = {domain}",
        "new number": "insert into tandem.number(account_id, e164, subscriber_id)"
        " select account_id, '4477{b}', id from tandem.subscriber where id = {line}",
        "new numbers": "insert into tandem.number(account_id, e164, subscriber_id)"
        " select account_id, '4478' || {n} * 10 + i, id from tandem.subscriber, generate_series(0, 7) i"
        " where id = {line}",
        "no number": "delete from tandem.number where e164 = '4477{b}'",
        "number elsewhere": "update tandem.number set status = 'suspended', subscriber_id = null"
        " where e164 = '4477{b}'",
        "no numbers": "delete from tandem.number where e164 like '4478%'",
        "new source": "insert into tandem.trusted_source(subscriber_id, network, from_pattern)"
        " values ({line}, '127.9.{b}.0/24', 'p{n}')",
        "move source": "update tandem.trusted_source set network = '127.9.{b}.0/24', from_pattern = 'p{n}'"
        " where subscriber_id = {line}",
        "no source": "delete from tandem.trusted_source where subscriber_id = {line}",
        "answer": "insert into tandem.reply_override(account_id, reason, status, phrase)"
        " values ({tenant}, '{reason}', 480, 'change {n}')"
        " on conflict (account_id, reason) do update set phrase = excluded.phrase",
        "no answer": "delete from tandem.reply_override where account_id = {tenant} and reason = '{reason}'",
        "status": "update tandem.account set status = case status when 'active' then 'suspended' else 'active' end"
        " where id = {tenant}",
        "money": "select tandem.topup_v1({tenant}::bigint, {n}::bigint, 'a test', 'test')",
        "rule": "select world.rule('{carrier}', '4{b}', 'p{n}')",
        "move rules": "update tandem.peering_rule set callee_prefix = '4{b}' where callee_pattern <> ''",
        "no rules": "delete from tandem.peering_rule where callee_prefix = '4{b}'",
        "prices": "select world.tariff('{tenant_name}', 'random', 'EUR', '44', '0.{n:06}', '4{b}', '0.5')",
        "truncate numbers": "truncate tandem.number",
        "truncate sources": "truncate tandem.trusted_source",
        "truncate rules": "truncate tandem.peering_rule",
        "truncate answers": "truncate tandem.reply_override",
    }
)
"""What a writer may do. n: counts, so that no state comes twice."""


class Step(NamedTuple):
    """One thing that a writer does: a statement, or the end of its transaction. a, b: which rows."""

    writer: int
    what: str
    a: int
    b: int


class Killed(BaseException):
    """Stands for kill -9: nothing catches it, nothing is done after it."""


STEPS: Final = st.builds(
    Step,
    st.integers(0, WRITERS - 1),
    st.one_of(st.sampled_from(sorted(STATEMENTS)), st.sampled_from(("commit", "commit", "roll back"))),
    st.integers(0, 4),
    st.integers(0, 3),
)


DEATHS: Final = st.one_of(st.just(0), st.integers(1, 12))
LOSSES: Final = st.sampled_from(("nothing", "nothing", "nothing", "the last steps", "everything"))


class Writers:
    """Transactions under way, each on a connection of its own; every commit goes to the model."""

    def __init__(self, database: Database, history: History, connections: list[psycopg.Connection[Any]]) -> None:
        self._history = history
        self._connections = connections
        self._count = 0
        self._ids = {
            kind: dict(database.run(f"select {column}, id from tandem.{kind}".encode()))  # noqa: S608  ours
            for kind, column in (("subscriber", "username"), ("account", "name"), ("sip_domain", "name"))
        }

    def do(self, step: Step) -> None:
        """Do one step. A statement that is refused, or waits for another writer, undoes its whole transaction."""
        connection = self._connections[step.writer]
        try:
            if step.what == "commit":
                self._commit(connection)
            elif step.what == "roll back":
                connection.rollback()
            else:
                self._count += 1
                connection.execute(self._text(step).encode())
                if step.what.startswith("truncate"):  # left open it would lock everybody out, the syncer too
                    self._commit(connection)
        except psycopg.Error:
            connection.rollback()

    def commit_all(self) -> None:
        """End every transaction."""
        for connection in self._connections:
            self._commit(connection)

    def _commit(self, connection: psycopg.Connection[Any]) -> None:
        connection.commit()
        self._history.committed()

    def _text(self, step: Step) -> str:
        tenant, domains = TENANTS[step.a % len(TENANTS)], list(self._ids["sip_domain"].values())
        return STATEMENTS[step.what].format(
            n=self._count,
            b=step.b,
            line=self._ids["subscriber"][LINES[step.a]],
            domain=domains[step.b % len(domains)],
            tenant=self._ids["account"][tenant],
            tenant_name=tenant,
            reason=REASONS[step.b % len(REASONS)],
            carrier=CARRIERS[step.a % len(CARRIERS)],
        )


class Play:
    """A syncer that is interrupted whenever it reaches Redis, before and after: there writers go on, or it dies."""

    def __init__(self, pair: SyncPair, history: History, writers: Writers, steps: Iterator[Step]) -> None:
        self._pair = pair
        self._history = history
        self._writers = writers
        self._steps = steps
        self._turns: Iterator[int] = iter(())
        self._death = 0
        self._kept: tuple[dict[bytes, bytes], Reached] = {}, Reached({}, {})

    def lose(self, what: str) -> None:
        """Let Redis lose all, or what came after the last time that this was called."""
        if what == "everything":
            empty(self._pair.redis)
            self._history.go_back(Reached({}, {}))
        elif what == "the last steps":
            keys, reached = self._kept
            self._pair.redis.execute("FLUSHDB")
            for key, value in keys.items():
                self._pair.redis.execute("RESTORE", key, 0, value)
            self._history.go_back(reached)
        redis = self._pair.redis
        dumped = {key: redis.execute("DUMP", key) for key in redis.execute("KEYS", "*")}
        self._kept = dumped, self._history.reached()

    def write(self, count: int) -> None:
        """Let the writers do so many steps, as long as there are any."""
        for _, step in zip(range(count), self._steps, strict=False):
            self._writers.do(step)

    def sync(self, turns: list[int], death: int, patch: pytest.MonkeyPatch) -> None:
        """Run a syncer until the outbox is empty, or it dies at the interruption number `death`; 0: it lives.

        turns: how many steps writers do at each interruption.
        """
        self._turns, self._death = iter(turns), death
        original: Callable[..., Any] = RedisClient.fcalls

        def interrupted(client: RedisClient, *words: Any) -> Any:
            self._interrupt()
            answer = original(client, *words)
            self._interrupt()
            return answer

        with patch.context() as patched:
            patched.setattr(RedisClient, "fcalls", interrupted)
            patched.setattr(store, "STEP_KEYS", 3)  # a pass of many steps
            with suppress(Killed):
                self._pair.once()

    def _interrupt(self) -> None:
        self.write(next(self._turns, 0))
        self._history.check(self._pair.redis)
        self._death -= 1
        if self._death == 0:
            raise Killed


@LAW
@given(
    steps=st.lists(STEPS, min_size=20, max_size=80),
    rounds=st.lists(
        st.tuples(st.integers(0, 8), st.lists(st.integers(0, 3), max_size=20), DEATHS, LOSSES),
        min_size=2,
        max_size=6,
    ),
)
def test_redis_holds_a_committed_state_of_everything_and_finally_the_last(
    postgres_server: PostgresServer,
    redis_server: RedisServer,
    steps: list[Step],
    rounds: list[tuple[int, list[int], int, str]],
) -> None:
    """Whatever is committed in whatever order, and wherever the syncer dies: never an uncommitted or an older state."""
    with ExitStack() as beside:
        database = beside.enter_context(postgres_server.clone(DEMO))
        redis = beside.enter_context(closing(RedisClient(redis_server.url, TIMEOUT_MS)))
        patch = beside.enter_context(pytest.MonkeyPatch.context())
        empty(redis)
        pair, history = SyncPair(database, redis, redis_server.url), History(database)
        writers = Writers(database, history, [_writer(database, beside) for _ in range(WRITERS)])
        play = Play(pair, history, writers, iter(steps))
        pair.once()
        for before, turns, death, loss in rounds:
            play.lose(loss)
            play.write(before)
            play.sync(turns, death, patch)
        play.write(len(steps))
        writers.commit_all()
        pair.once()
        check_equal(pair, history)


def _writer(database: Database, beside: ExitStack) -> psycopg.Connection[Any]:
    connection = database.connect()
    beside.callback(connection.close)
    connection.execute("set lock_timeout = '20ms'")
    connection.autocommit = False
    return connection
