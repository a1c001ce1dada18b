"""What a hold over four levels costs Redis, beside the plain commands that it is made of: `make bench-money`.

Eight clients, each waiting for its answer before it asks again; all kinds of requests in one run, in alternating
rounds, so that a change of the machine's mood hits all of them. Requests are packed beforehand: what is measured is
Redis, not Python. Once with appendfsync everysec and once with always, each on a Redis of its own.
"""

from __future__ import annotations

import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple, cast

import hiredis
import typer

from kemi import codec, keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_client import Argument, RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import FundTerms
from kemi.core.outcome import Hold, HoldFund
from kemi.core.rating import by_fund, schedule
from kemi.records import PinnedCall, PinnedLeg, Rate
from tools.bench.consumer import consumer
from tools.prove.servers import Servers
from tools.wait import until

CLIENTS: Final = 8
LEVELS: Final = 4
SLICE_S: Final = 60
STARTED_MS: Final = 1_770_000_000_000
RING_MS: Final = 120_000
CRED_MICROS: Final = 2**50
PASSWORD: Final = "bench"  # noqa: S105  of a server that lives for seconds in a private directory
RATE_GOAL: Final = 10_000
P99_GOAL_MS: Final = 3.0
EVENTS_GOAL: Final = 5_000
ANSWER_S: Final = 10.0
BYTES: Final = 65_536
PING, PLAIN, RESERVE = "PING", "MGET+MSET+ZADD", "reserve"


class Figures(NamedTuple):
    """One kind of request. rate: per second. Times in milliseconds, as a client waits."""

    rate: float
    p50_ms: float
    p99_ms: float


class Burst(NamedTuple):
    """What one client saw. Times by the monotonic clock of the machine, in nanoseconds."""

    began_ns: int
    ended_ns: int
    waits_ns: list[int]


def money(
    requests: Annotated[int, typer.Option(min=100, help="requests of each kind per client and round")] = 5_000,
    rounds: Annotated[int, typer.Option(min=1, help="rounds of each kind")] = 3,
) -> None:
    """Measure reserve over four levels beside plain commands, and the consumer; the last line is JSON."""
    found: dict[str, Any] = {}
    for policy in ("everysec", "always"):
        with redis_server(policy) as path:
            measured = _measured(path, requests, rounds)
        for kind, figures in measured.items():
            waits = f"p50 {figures.p50_ms:.2f} ms   p99 {figures.p99_ms:.2f} ms"
            typer.echo(f"{policy:9} {kind:15} {figures.rate:8.0f}/s   {waits}")
        found[policy] = {
            kind: {name: round(value, 3) for name, value in figures._asdict().items()}
            for kind, figures in measured.items()
        }
        ratio = measured[PLAIN].rate / measured[RESERVE].rate
        typer.echo(f"{policy:9} a reserve costs {ratio:.2f} times its plain commands")
        found[f"{policy}_ratio"] = round(ratio, 2)
        if policy == "everysec":
            hold = measured[RESERVE]
            found["met"] = hold.rate >= RATE_GOAL and hold.p99_ms <= P99_GOAL_MS
    events = _consumed()
    typer.echo(f"consumers {events['events_per_s']} call events a second, {events['ledger_rows_per_s']} ledger rows")
    found["consumer"] = events
    found["met"] = found["met"] and events["events_per_s"] >= EVENTS_GOAL
    typer.echo(json.dumps(found))


@contextmanager
def redis_server(policy: str) -> Iterator[str]:
    """Run a private Redis with our functions, armed, and the funds of the chains; yield the path of its socket."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        path = f"{folder}/redis.sock"
        words = ["redis-server", "--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]
        words += ["--appendonly", "yes", "--appendfsync", policy, "--logfile", f"{folder}/log"]
        process = subprocess.Popen(words)
        try:
            until(lambda: _answers(path), ANSWER_S, "redis-server to answer")
            _prepare(path)
            yield path
        finally:
            process.terminate()
            process.wait()


def _answers(path: str) -> bool:
    client = RedisClient(f"unix://{path}", 1_000)
    try:
        return bool(client.execute("PING") == b"PONG")
    except StoreUnavailable:
        return False
    finally:
        client.close()


def _prepare(path: str) -> None:
    client = RedisClient(f"unix://{path}", 5_000)
    client.execute("ACL", "SETUSER", "worker", *redis_functions.worker_acl(PASSWORD))
    redis_functions.load(client)
    Funds(client, "bench", 10).arm(1)
    for number in range(CLIENTS):
        for leg in _legs(number):
            client.execute("SET", keys.fund_terms(leg.fund), codec.pack(FundTerms(1, CRED_MICROS)))
    client.close()


def _legs(number: int) -> list[PinnedLeg]:
    """Return who pays whom in the calls of one client: a customer of its own below three shared levels."""
    payers = [100 + number, *range(LEVELS, 1, -1)]
    return [
        PinnedLeg(level, payer, payee, "EUR", f"{payer}:EUR", 1, 1, "44", Rate(60_000 - 10_000 * level))
        for level, (payer, payee) in enumerate(zip(payers, [*payers[1:], 1], strict=True), 1)
    ]


class _Recorder:
    """Stands for a client: keeps what is asked, and answers that it is held."""

    def __init__(self) -> None:
        self.words: tuple[Argument, ...] = ()

    def fcall(self, name: str, names: Sequence[str], args: Sequence[Argument]) -> list[Any]:
        """Keep one call of a function."""
        self.words = ("FCALL", name, len(names), *names, *args)
        return [str(args[0]).encode(), b"HELD", 1, SLICE_S, 0]


def _reserves(number: int, batch: str, count: int) -> list[bytes]:
    """Return packed holds as a worker sends them."""
    legs = _legs(number)
    funds = [leg.fund for leg in legs]
    rows = schedule(by_fund(legs, funds), 0, SLICE_S, STARTED_MS, STARTED_MS + RING_MS)
    hold = Hold(tuple(HoldFund(leg.fund, leg.payer_id, leg.level) for leg in legs), rows, ("acct:1", "sub:a@b"))
    recorder = _Recorder()
    worker = Funds(cast("RedisClient", recorder), "bench", 10)
    found = []
    for each in range(count):
        rid = f"{batch}.{number}.{each}"
        worker.reserve(f"{rid}:0", rid, hold, RING_MS // 1000, 0, codec.pack(_pinned(rid, legs)))
        found.append(_packed(*recorder.words))
    return found


def _pinned(rid: str, legs: Sequence[PinnedLeg]) -> PinnedCall:
    return PinnedCall(
        rid, f"{rid}@phone", "tag", "n1", STARTED_MS, "out", "alice@a.example", legs[0].payer_id, "4930111",
        "442079460000", 14_400, tuple(legs), (), ("rule 12: 00 → +",),
    )  # fmt: skip


def _plain(number: int, batch: str, count: int) -> list[bytes]:
    """Return the commands inside a hold, without the function around them, on keys and values as long as its own."""
    funds = [leg.fund for leg in _legs(number)]
    states = [f"{keys.TAG}x:{fund}" for fund in funds]
    head = [keys.EPOCH, keys.OPSEQ, keys.PASS, keys.CHANGED_LOW, keys.MARKER]
    found = []
    for each in range(count):
        rid = f"x:{batch}.{number}.{each}"
        own = keys.reservation(rid)
        value = b"v" * (len(codec.pack(_pinned(rid, _legs(number)))) + 200)
        changes = [word for state in states for word in (state, b"s" * 65)]
        found.append(
            _packed("MGET", *head, own, *states, *(keys.fund_terms(fund) for fund in funds))
            + _packed("MSET", f"{keys.TAG}x", 1, own, value, *changes)
            + _packed("ZADD", f"{keys.TAG}xl", STARTED_MS, rid)
        )
    return found


def _pings(_number: int, _batch: str, count: int) -> list[bytes]:
    return [_packed("PING")] * count


def _packed(*words: Argument) -> bytes:
    return cast("bytes", hiredis.pack_command(cast("Any", words)))


KINDS: Final[dict[str, tuple[Callable[[int, str, int], list[bytes]], int]]] = {
    PING: (_pings, 1),
    PLAIN: (_plain, 3),
    RESERVE: (_reserves, 1),
}
"""How requests are made, and how many answers each has."""


def _measured(path: str, requests: int, rounds: int) -> dict[str, Figures]:
    found: dict[str, list[Figures]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS:
            found[kind].append(_round(path, kind, f"{number}", requests))
    return {kind: Figures(*map(statistics.median, zip(*each, strict=True))) for kind, each in found.items()}


def _round(path: str, kind: str, batch: str, requests: int) -> Figures:
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(CLIENTS), context.SimpleQueue()
    clients = [
        context.Process(target=_client, args=(path, kind, batch, number, requests, barrier, queue))
        for number in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    bursts: list[Burst] = [queue.get() for _ in clients]
    for client in clients:
        client.join()
    waits = sorted(wait for burst in bursts for wait in burst.waits_ns)
    seconds = (max(burst.ended_ns for burst in bursts) - min(burst.began_ns for burst in bursts)) / 1e9
    return Figures(len(waits) / seconds, waits[len(waits) // 2] / 1e6, waits[len(waits) * 99 // 100] / 1e6)


def _client(
    path: str, kind: str, batch: str, number: int, count: int, barrier: Barrier, queue: SimpleQueue[Burst]
) -> None:
    make, answers = KINDS[kind]
    requests, waits, reader = make(number, batch, count), [], hiredis.Reader()
    with socket.socket(socket.AF_UNIX) as wire:
        wire.connect(path)
        if kind == RESERVE:
            _ask(wire, reader, _packed("AUTH", "worker", PASSWORD), 1)
        barrier.wait()
        began_ns = time.monotonic_ns()
        for request in requests:
            before_ns = time.monotonic_ns()
            reply = _ask(wire, reader, request, answers)
            waits.append(time.monotonic_ns() - before_ns)
            if kind == RESERVE and (not isinstance(reply, list) or reply[1] != b"HELD"):
                queue.put(Burst(0, 1, [0]))
                sys.exit(f"a hold was not granted: {reply!r}")
        queue.put(Burst(began_ns, time.monotonic_ns(), waits))


def _ask(wire: socket.socket, reader: hiredis.Reader, request: bytes, answers: int) -> Any:
    """Send a request and return the last of its answers."""
    wire.sendall(request)
    reply: Any = False
    for _ in range(answers):
        reply = reader.gets()
        while reply is False:
            reader.feed(wire.recv(BYTES))
            reply = reader.gets()
    return reply


def _consumed() -> dict[str, Any]:
    """Return how fast two consumers post call events, on a Postgres that writes to its disk and waits for it."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-", dir="/tmp") as folder:
        Path(folder).chmod(0o755)  # Postgres runs as another user
        servers = Servers(Path(folder) / "run", 0, {"shared_buffers": "256MB", "max_wal_size": "4GB"})
        try:
            servers.start_stores()
            return consumer(servers.database_url, servers.redis_url)._asdict()
        finally:
            servers.stop()


if __name__ == "__main__":
    typer.run(money)
