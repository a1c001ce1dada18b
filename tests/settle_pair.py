"""A Postgres, a Redis, and calls that move money between a small tree of accounts: what the tests of settle drive."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any, Final

from kemi import codec, keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Answer, Applied, Balance, Held, Operation, Part, Settle
from kemi.core.outcome import Hold, HoldFund
from kemi.core.rating import by_fund, charges, schedule
from kemi.records import CallEnd, CallEvent, PinnedCall
from tests.fakes import calls
from tests.fix_postgres import Database, load_seed
from tests.redis_server import OPTIONS, TIMEOUT_MS
from tests.wait import until
from tools.settle.command import verdict
from tools.settle.poster import Outcome
from tools.settle.reconcile import Report
from tools.settle.service import Options, run_once
from tools.sync.follow import Options as SyncOptions
from tools.sync.follow import follow

ROOT: Final = Path(__file__).resolve().parents[1]
SETTLE: Final = (sys.executable, "-c", "import typer; from tools.settle.command import settle; typer.run(settle)")
DEADLINE_S: Final = 15.0
WORLD: Final = """
select world.root('Tandem');
select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.03');
select world.reseller('North', 'Tandem', 'wholesale', 500);
select world.tariff('North', 'retail', 'EUR', '44', '0.06');
select world.customer('Alpha', 'North', 'retail', 20);
select world.customer('Beta', 'North', 'retail', 30);
"""
ANSWERED_MS: Final = calls.answered(0).answered_ms
_rids = count(1)


class SettlePair:
    """`database` is where calls end up, `redis` an administrator's client of where they are held."""

    def __init__(self, database: Database, redis: RedisClient, redis_url: str) -> None:
        load_seed(database.connection, "world.sql")
        database.connection.execute(WORLD)
        self.database = database
        self.redis = redis
        self.redis_url = redis_url
        self.funds = Funds(redis, "n1", grace_s=0)
        self.ids: dict[str, int] = dict(self.sql("select name, id from tandem.account"))
        self.sync()
        run_once(self.options(slice_s=0, grace_s=0))  # no node is waited for

    def sql(self, statement: str, *arguments: object) -> list[Any]:
        """Run one statement in a transaction of its own; return its rows, if it has any."""
        cursor = self.database.connection.execute(statement, arguments or None)
        return cursor.fetchall() if cursor.description else []

    def sync(self) -> None:
        """Bring configuration and fund terms to Redis."""
        follow(SyncOptions(self.database.dsn, self.redis_url, once=True), Event())

    def refill(self) -> None:
        """Bring the terms of all funds, as tandem sync does that finds Redis emptied."""
        self.sql("insert into tandem.outbox(kind, key) select 'fund_terms', '*'")
        self.sync()

    def options(self, **changes: int) -> Options:
        """Return the options of a settle process between the two."""
        return Options(self.database.dsn, self.redis_url, **changes)

    def once(self, **changes: int) -> Outcome:
        """Arm if that is due, post what waits, sweep. Raises OperatorError."""
        return run_once(self.options(**changes))

    def rebuilt(self, **changes: int) -> dict[str, Any]:
        """Do the same, and return what the last rebuild found lost. Raises OperatorError, ValueError for no rebuild."""
        self.once(**changes)
        ((report,),) = self.sql("select report from tandem.recovery order by epoch desc limit 1")
        return dict(report)

    def verify(self) -> Report:
        """Compare Redis and Postgres."""
        return verdict(self.options())

    def assert_agreed(self) -> None:
        """Fail with the differences, if there are any."""
        assert self.verify().differences == ()

    @contextmanager
    def process(self, **env: str) -> Iterator[subprocess.Popen[str]]:
        """Run `tandem settle` as a process of its own; it is killed at the end."""
        own = {**os.environ, "DATABASE_URL": self.database.dsn, "REDIS_URL": self.redis_url, **env}
        with subprocess.Popen(SETTLE, env=own, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def pinned(self, customer: str = "Alpha", rid: str = "") -> PinnedCall:
        """Return a call of a customer: it pays North 60,000 a minute, North pays Tandem 30,000, a carrier 12,000."""
        legs = [
            calls.leg(1, self.ids[customer], self.ids["North"], calls.RETAIL),
            calls.leg(2, self.ids["North"], self.ids["Tandem"], calls.WHOLESALE),
        ]
        return calls.call(rid or f"call-{next(_rids)}", legs, [calls.carrier(7, self.ids["Tandem"])])

    def hold(
        self,
        pinned: PinnedCall,
        lease_s: int = 60,
        funds: Funds | None = None,
        counted: tuple[HoldFund, ...] = (),
    ) -> Held:
        """Hold a minute of a call. counted: funds of lines and users."""
        funds_of = _funds(pinned)
        legs = by_fund(pinned.legs, funds_of)
        rows = schedule(legs, 0, 60, ANSWERED_MS)
        rows_of = tuple(
            HoldFund(fund, paid[0].payer_id, paid[0].level) for fund, paid in zip(funds_of, legs, strict=True)
        )
        nothing = (0,) * len(counted)
        rows = tuple(row._replace(price_micros=(*row.price_micros, *nothing)) for row in rows)
        hold = Hold((*rows_of, *counted), rows, ())
        seen = int(self.redis.execute("GET", keys.PASS) or 0)
        held = (funds or self.funds).reserve(f"{pinned.rid}:0", pinned.rid, hold, lease_s, seen, codec.pack(pinned))
        assert isinstance(held, Held), held
        return held

    def apply(self, operation: Operation) -> None:
        """Apply one operation, which must take place now."""
        (result,) = self.funds.batch([operation])
        assert isinstance(result, Applied), result

    def answer(self, pinned: PinnedCall, lease_s: int = 60) -> None:
        """Mark a held call as answered."""
        self.apply(Answer(f"{pinned.rid}:1", pinned.rid, 1, lease_s, answered_ms=ANSWERED_MS))

    def prices(self, pinned: PinnedCall, talk_s: int) -> tuple[int, ...]:
        """Return what each fund of a call pays for `talk_s` seconds."""
        return charges(by_fund(pinned.legs, _funds(pinned)), talk_s, ANSWERED_MS)

    def part(self, pinned: PinnedCall, talk_s: int, seq: int = 2, ended_ms: int = 0) -> None:
        """Let an answered call that goes on pay for the first `talk_s` seconds. ended_ms: when they were over."""
        end = _ended(calls.answered(talk_s)._replace(outcome="talking"), ended_ms)
        self.apply(Part(f"{pinned.rid}:{seq}", pinned.rid, seq, talk_s, self.prices(pinned, talk_s), codec.pack(end)))

    def settle(self, pinned: PinnedCall, talk_s: int, seq: int = 2, ended_ms: int = 0) -> None:
        """End an answered call after `talk_s` seconds. ended_ms: when; 0 = when it would have been."""
        end = _ended(calls.answered(talk_s, server_id=7), ended_ms)
        self.apply(Settle(f"{pinned.rid}:{seq}", pinned.rid, seq, talk_s, self.prices(pinned, talk_s), codec.pack(end)))

    def place(self, talk_s: int, customer: str = "Alpha") -> PinnedCall:
        """Make a whole call."""
        pinned = self.pinned(customer)
        self.hold(pinned)
        self.answer(pinned)
        self.settle(pinned, talk_s)
        return pinned

    def append(self, payload: bytes) -> None:
        """Write an entry into the stream as if a function had."""
        self.redis.execute("XADD", keys.EVENTS, "*", "e", payload)

    def payloads(self) -> list[bytes]:
        """Return what stands in the stream, oldest first."""
        return [fields[1] for _, fields in self.redis.execute("XRANGE", keys.EVENTS, "-", "+")]

    def events(self) -> list[CallEvent]:
        """Return the events in the stream, oldest first."""
        return [codec.unpack(CallEvent, payload) for payload in self.payloads()]

    def balance(self, name: str) -> Balance:
        """Return the fund of an account as Redis has it."""
        return self.funds.balances([keys.fund(self.ids[name], "EUR")])[0]

    def charged(self) -> dict[str, int]:
        """Return account name -> what calls charged its fund, as posted in Postgres."""
        rows = self.sql(
            "select a.name, charged_micros from tandem.fund_balance b join tandem.account a on a.id = b.account_id"
        )
        return dict(rows)

    def outcomes(self) -> Mapping[str, int]:
        """Return outcome -> how many call records have it."""
        return Counter(outcome for (outcome,) in self.sql("select outcome from tandem.cdr"))

    def posted(self) -> int:
        """Return how many calls have a record."""
        return int(self.sql("select count(*) from tandem.cdr")[0][0])

    def until_posted(self, calls_count: int) -> None:
        """Wait until so many calls have a record."""
        until(lambda: self.posted() >= calls_count, DEADLINE_S, f"{calls_count} call records")

    def is_armed(self) -> bool:
        """Return whether Redis answers and takes operations. Asked over a connection of its own."""
        client = RedisClient(self.redis_url, TIMEOUT_MS)
        try:
            return Funds(client, "test", 0).status().armed
        except StoreUnavailable:
            return False
        finally:
            client.close()

    def until_armed(self) -> None:
        """Wait until Redis takes operations and Postgres says so too."""
        armed = "select exists (select from tandem.epoch where state = 'armed')"
        until(lambda: self.is_armed() and self.sql(armed) == [(True,)], DEADLINE_S, "Redis to be armed")


class OwnRedis:
    """A Redis that writes every command to disk before it answers, and that a test kills and starts again."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.url = f"unix://{folder}/redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start on what is in the folder and wait until it answers."""
        words = ["redis-server", *OPTIONS, "--dir", self._folder, "--unixsocket", f"{self._folder}/redis.sock"]
        words += ["--appendonly", "yes", "--appendfsync", "always", "--logfile", f"{self._folder}/log"]
        self._process = subprocess.Popen(words)
        until(self._answers, DEADLINE_S, "redis-server to answer")

    def kill(self) -> None:
        """Kill it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        client = RedisClient(self.url, TIMEOUT_MS)
        try:
            return bool(client.execute("PING") == b"PONG")
        except StoreUnavailable:
            return False
        finally:
            client.close()


@contextmanager
def own_redis() -> Iterator[OwnRedis]:
    """Run a Redis of the test's own, with our functions in it."""
    with tempfile.TemporaryDirectory(prefix="tandem-aof-") as folder:
        redis = OwnRedis(folder)
        redis.start()
        try:
            client = RedisClient(redis.url, TIMEOUT_MS)
            redis_functions.load(client)
            client.close()
            yield redis
        finally:
            redis.kill()


def _ended(end: CallEnd, ended_ms: int) -> CallEnd:
    return end._replace(ended_ms=ended_ms or end.ended_ms)


def _funds(pinned: PinnedCall) -> list[str]:
    return list(dict.fromkeys(leg.fund for leg in pinned.legs if leg.fund))
