"""How many call events a second settlement brings into Postgres: records, legs, and ledger entries of four levels.

Needs an empty Redis with our functions and an empty migrated database, both to be thrown away afterwards: the events
are put into the stream as the money functions write them, without the holds before them. The consumers are real
processes of `tandem settle`; they are stopped while the stream is filled, so nothing but their work is measured.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from threading import Event
from typing import Any, Final, NamedTuple

import psycopg

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.core.rating import charge, price
from kemi.records import Attempt, CallEnd, CallEvent, FundPosting, PinnedCall, PinnedLeg, PinnedTarget, Rate
from tools.migrate import SQL
from tools.settle.service import Options, run_once
from tools.settle.stream import GROUP, Stream
from tools.sync.follow import Options as SyncOptions
from tools.sync.follow import follow
from tools.wait import until

SETTLE: Final = (sys.executable, "-c", "import typer; from tools.settle.command import settle; typer.run(settle)")
TIMEOUT_MS: Final = 10_000
START_S: Final = 30.0
DEADLINE_S: Final = 600.0
STARTED_MS: Final = 1_770_000_000_000
CUSTOMERS: Final = 100
PER_MIN_MICROS: Final = (40_000, 30_000, 20_000, 10_000)
DECK: Final = Rate(per_min_micros=4_000)
SERVER_ID: Final = 7
GROUP_ID: Final = 70
WORLD: Final = """
select world.root('Tandem'), world.tariff('Tandem', 'deck', 'EUR', '44', '0.01'),
       world.reseller('bench-3', 'Tandem', 'deck', 1000000), world.tariff('bench-3', 'deck', 'EUR', '44', '0.02'),
       world.reseller('bench-2', 'bench-3', 'deck', 1000000), world.tariff('bench-2', 'deck', 'EUR', '44', '0.03'),
       world.reseller('bench-1', 'bench-2', 'deck', 1000000), world.tariff('bench-1', 'deck', 'EUR', '44', '0.04');
select world.customer('bench-c' || n, 'bench-1', 'deck', 1000) from generate_series(1, 100) as n;
"""


class Figures(NamedTuple):
    """What was measured. ledger_rows: new entries. CPU per event: of the consumers, and of their Postgres backends.

    CPU tells two releases apart also on a machine that has other work; postgres_us is 0 where Postgres runs elsewhere.
    """

    events: int
    levels: int
    consumers: int
    seconds: float
    events_per_s: int
    ledger_rows: int
    ledger_rows_per_s: int
    cpu_us: float
    postgres_us: float


def consumer(database_url: str, redis_url: str, events: int = 30_000, consumers: int = 2) -> Figures:
    """Measure. Raises TimeoutError when the events are not posted in ten minutes; other errors of both stores."""
    client = RedisClient(redis_url, TIMEOUT_MS)
    with (
        psycopg.connect(database_url, autocommit=True) as database,
        _processes(database_url, redis_url, consumers) as (
            processes,
            start,
        ),
    ):
        ids = _world(database)
        follow(SyncOptions(database_url, redis_url, once=True), Event())
        run_once(Options(database_url, redis_url))
        start()
        until(lambda: len(_consumers(client)) > consumers, START_S, "the consumers to begin")
        _signal(processes, signal.SIGSTOP)
        for payload in payloads(ids, events):
            client.execute("XADD", keys.EVENTS, "*", "e", payload)
        ours, theirs = [process.pid for process in processes], _backends(database)
        before_s, began_s = (_cpu_s(ours), _cpu_s(theirs)), time.perf_counter()
        _signal(processes, signal.SIGCONT)
        stream = Stream(client, "bench")
        until(lambda: stream.backlog() == 0, DEADLINE_S, "the events to be posted")
        seconds = time.perf_counter() - began_s
        cpu_us, postgres_us = (
            _us(_cpu_s(pids) - spent_s, events) for pids, spent_s in zip((ours, theirs), before_s, strict=True)
        )
        rows = _count(database, "select count(*) from tandem.ledger_entry where rid is not null")
        posted = _count(database, "select count(*) from tandem.cdr")
    client.close()
    if posted != events:
        raise RuntimeError(f"{events} events left {posted} records")
    return Figures(events, len(PER_MIN_MICROS), consumers, round(seconds, 2), round(events / seconds), rows,
                   round(rows / seconds), cpu_us, postgres_us)  # fmt: skip


def payloads(ids: dict[str, int], events: int) -> Iterator[bytes]:
    """Yield so many ended calls as the money functions write them. ids: account name -> id."""
    above = [ids[name] for name in ("bench-1", "bench-2", "bench-3", "Tandem")]
    numbers: Counter[str] = Counter()
    for number in range(events):
        chain = [ids[f"bench-c{number % CUSTOMERS + 1}"], *above]
        call = _call(f"{number:032x}", chain)
        talk_s = 1 + number % 300
        numbers.update(leg.fund for leg in call.legs)
        postings = tuple(
            FundPosting(leg.fund, charge(leg, talk_s, 0), numbers[leg.fund], numbers[leg.fund]) for leg in call.legs
        )
        yield codec.pack(CallEvent("settle", 1, call.rid, 2, postings, call, _end(talk_s)))


def _call(rid: str, chain: Sequence[int]) -> PinnedCall:
    legs = tuple(
        PinnedLeg(level, payer, payee, "EUR", keys.fund(payer, "EUR"), 1, 1, "44", Rate(per_min))
        for level, (payer, payee, per_min) in enumerate(zip(chain, chain[1:], PER_MIN_MICROS, strict=False), 1)
    )
    cost = PinnedLeg(0, chain[-1], chain[-1], "EUR", "", 1, 1, "44", DECK)
    return PinnedCall(
        rid=rid,
        call_id=f"{rid[-12:]}@198.51.100.7",
        from_tag="tag",
        node="n1",
        started_ms=STARTED_MS,
        direction="out",
        source="alice@a.example",
        account_id=chain[0],
        caller="4930123456",
        callee="442071838750",
        max_s=14_400,
        legs=legs,
        targets=(PinnedTarget(GROUP_ID, SERVER_ID, "acme-1", cost), PinnedTarget(GROUP_ID, 8, "acme-2", cost)),
        trace=tuple(f"level {leg.level} account {leg.payer_id} pays {price(leg.rate, 60)} a minute" for leg in legs),
    )


def _end(talk_s: int) -> CallEnd:
    return CallEnd(
        outcome="answered",
        ended_ms=STARTED_MS + 2_000 + talk_s * 1000,
        answered_ms=STARTED_MS + 2_000,
        talk_ms=talk_s * 1000,
        billed_s=talk_s,
        status=200,
        reason="",
        q850=16,
        ended_by="caller",
        server_id=SERVER_ID,
        attempts=(Attempt(SERVER_ID, 200, STARTED_MS, STARTED_MS + 2_000, 1_200),),
    )


def _world(database: psycopg.Connection[Any]) -> dict[str, int]:
    with database.transaction():
        database.execute((SQL / "seed" / "world.sql").read_bytes())
        database.execute(WORLD.encode())
    return dict(database.execute("select name, id from tandem.account").fetchall())


@contextmanager
def _processes(
    database_url: str, redis_url: str, consumers: int
) -> Iterator[tuple[list[subprocess.Popen[bytes]], Any]]:
    """Yield the processes, none yet, and what starts them; they are killed at the end."""
    env = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url}
    processes: list[subprocess.Popen[bytes]] = []

    def start() -> None:
        processes.extend(subprocess.Popen(SETTLE, env=env, stderr=subprocess.DEVNULL) for _ in range(consumers))

    try:
        yield processes, start
    finally:
        for process in processes:
            process.kill()
            process.wait()


def _signal(processes: Sequence[subprocess.Popen[bytes]], number: signal.Signals) -> None:
    for process in processes:
        process.send_signal(number)


def _backends(database: psycopg.Connection[Any]) -> list[int]:
    """Return the process ids of the consumers' backends, [] where they run on another machine."""
    rows = database.execute(
        "select pid from pg_stat_activity where application_name = 'tandem settle' and client_addr is null"
    )
    return [pid for (pid,) in rows]


def _cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds that processes have used."""
    ticks = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:  # noqa: PTH123  not a file of ours
            user, system = stat.read().rpartition(")")[2].split()[11:13]
        ticks += int(user) + int(system)
    return ticks / os.sysconf("SC_CLK_TCK")


def _us(seconds: float, events: int) -> float:
    return round(seconds / events * 1e6, 1)


def _consumers(client: RedisClient) -> list[Any]:
    return list(client.execute("XINFO", "CONSUMERS", keys.EVENTS, GROUP))


def _count(database: psycopg.Connection[Any], query: str) -> int:
    row = database.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0
