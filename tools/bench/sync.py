"""How fast and how surely Redis follows Postgres at full size: `make bench-sync SUBSCRIBERS=1000000 RATES=10000000`.

It runs on a private stack of its own: real Postgres, Redis with appendfsync always, `tandem sync`, `tandem settle`, one
Kamailio. Progress goes to stderr; the last line is JSON. In the order of what happens:

snapshot_s: from the start of the `tandem sync` process, before an empty Redis and a Postgres with SUBSCRIBERS
    subscribers, two price lists of 100,000 rates and some accounts, until Redis holds all of it and workers may use it.
redis_bytes_per_subscriber: by how much the memory that Redis uses has grown then, without the rates, over SUBSCRIBERS.

Then CALLS calls a second pass through Kamailio, placed and taken by SIPp, to numbers from all over the price list;
each pays by the tariff that will be switched. Beside them CHANGES transactions a second are committed by 12 writers:
one subscriber (70 %), one row of an account's own answers (20 %), three rows held open for 20 ms (10 %).

visible_p50_ms, visible_p99_ms, visible_max_ms: from the return of COMMIT until a reader that asks every millisecond
    finds the change in Redis; of every change of the whole run, the switch included. visible_steady_* and
    visible_switch_* are parts of it: before the switch, and during it. Every worker decides on what Redis has: each
    call's hold, and each refusal, is checked against it. late_decisions proves that: once a second a refusal's phrase
    is changed, and as soon as Redis has it 16 INVITEs are sent at once; it counts the answers with another phrase.
rates_switch_s: a new version of the callers' tariff with RATES rates stands in Postgres, under construction. Measured
    from the commit that makes it ready, followed at once by the one that points the tariff to it, until the tariff in
    Redis points to it. So it is the time in which RATES rates come to Redis while calls and changes go on.
setup_p99_ratio: INVITE sent to 180 received, as SIPp saw it. Windows of at most 5 s: those from the statement that
    makes the set ready until the tariff points to it, over those of as long just before. Median of the windows' p99
    during, over the median before; where a switch is short there are several rounds, each with a new version.
calls_failed: calls that never rang, or whose BYE was never answered.
redis_bytes_per_rate: what Redis says that the hash of the new set takes, index included, over RATES.
stale_overwrites: every row of the stream counts its changes in a field that Redis holds too. How often a version or a
    count went back while watched, and rows of which Redis does not hold what was committed last. changes_unseen: those
    that the watcher never saw.
lookup_ratio: a worker's cold lookup (tandem_fetch_1 through kemi's own Tables, then the search for the longest prefix;
    each number asked once) in the new table, over one in the table of 100,000. Median of nine rounds of 300 each.
verify_differences: what `tandem sync --verify` counts in the end. verify_s: how long it takes.
reload_s: Redis is emptied; the whole world again, RATES rates in it, from the start of `tandem sync` as above.

What one machine does, it does with everything on it: callers, carrier, Postgres and Redis share its cores. fsync_ms is
what one write to its disk costs (median of fdatasync after 8 kB): Redis and each commit wait for at least one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import psycopg
import typer

from kemi import keys
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from tools.bench.machine import fsync_ms, progress
from tools.bench.sync_calls import Probed, Setup, calls
from tools.bench.sync_figures import Switch, changes_of, p99_ratio, waits_of
from tools.bench.sync_lookups import Table, lookups
from tools.bench.sync_stream import TIMEOUT_MS, Streamed, not_last, stream
from tools.bench.sync_world import SMALL_RATES, World, build, deck, make_ready
from tools.errors import OperatorError
from tools.stack import plan
from tools.stack.layout import PROJECT, Address, Layout, venv_bin
from tools.stack.stack import Stack
from tools.sync.follow import Every
from tools.sync.kinds import BY_VIEW
from tools.wait import until

LISTEN: Final = Address("127.1.210.5", 5060)
LOADED_S: Final = 900.0
SETTLED_S: Final = 120.0
WARM_S: Final = 5.0
TELL_S: Final = 10.0  # between two lines about a long load
BEFORE_S: Final = 30.0
SHORT_SWITCH_RATES: Final = 1_000_000  # from here on one round has windows enough
SETTINGS: Final = {"TANDEM_REDIS_TIMEOUT_MS": "1000", "TANDEM_SHED_DELAY_MS": "0"}
"""Patience with a Redis that fsyncs every write on a busy machine: what is slow is measured, not refused."""


class Sizes(NamedTuple):
    """What to build, and how often a second. before_s: how long calls and changes go on before each switch."""

    subscribers: int
    rates: int
    rounds: int
    changes: int
    calls: int
    before_s: float


class Round(NamedTuple):
    """All that one round saw."""

    switch: Switch
    rate_set_id: int
    streamed: Streamed
    setups: list[Setup]
    probed: Probed
    not_last: int


def main(
    subscribers: Annotated[int, typer.Option(min=1_000, help="how many there are")] = 1_000_000,
    rates: Annotated[int, typer.Option(min=10_000, max=50_000_000, help="of the new price list")] = 10_000_000,
    rounds: Annotated[int, typer.Option(min=0, help="switches; 0: one, or three short ones")] = 0,
    changes: Annotated[int, typer.Option(min=4, help="transactions a second")] = 500,
    rate: Annotated[int, typer.Option(min=1, help="calls a second")] = 25,
    before: Annotated[float, typer.Option(min=1, help="seconds of calls and changes before a switch")] = BEFORE_S,
) -> None:
    """Measure the sync on a private stack; the last line is JSON."""
    several = 1 if rates >= SHORT_SWITCH_RATES else 3
    try:
        found = measure(Sizes(subscribers, rates, rounds or several, changes, rate, before), progress())
    except (OperatorError, StoreUnavailable, psycopg.Error, TimeoutError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(json.dumps(found))


def measure(sizes: Sizes, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all of it and return the figures by name. Raises OperatorError and the errors of both stores."""
    with tempfile.TemporaryDirectory(prefix="tdm-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)  # Postgres runs as another user
        bench = _Bench(Stack(Layout(Path(folder) / "run", LISTEN, 1, None), SETTINGS), Path(folder), sizes, say)
        try:
            return bench.run()
        finally:
            bench.stack.stop()


class _Bench:
    """One run. stack: not started."""

    def __init__(self, stack: Stack, folder: Path, sizes: Sizes, say: Callable[[str], None]) -> None:
        self.stack = stack
        self._folder = folder
        self._sizes = sizes
        self._say = say
        self._told = Every(TELL_S)

    def run(self) -> dict[str, Any]:
        """Do everything in order."""
        sizes, wait_ms = self._sizes, fsync_ms(self._folder)
        world, found = self._build(), {"subscribers": sizes.subscribers, "rates": sizes.rates, "rounds": sizes.rounds}
        found |= self._snapshot()
        with self._running():
            rounds = [self._round(world, number) for number in range(1, self._sizes.rounds + 1)]
            found |= self._figures(world, rounds)
            found |= self._verified()
        return found | self._reload() | {"cores": os.cpu_count(), "fsync_ms": wait_ms}

    @property
    def _env(self) -> dict[str, str]:
        return plan.environment(self.stack.layout)

    def _build(self) -> World:
        """Make the world while nothing but Postgres runs."""
        self._say(f"making {self._sizes.subscribers} subscribers")
        with self._running("postgres"), self._database() as database:
            return build(database, self._sizes.subscribers)

    def _snapshot(self) -> dict[str, Any]:
        self._say("loading them into an empty Redis")
        with self._running("postgres", "redis"):
            empty = self._memory()
            seconds = self._load()
            client = self._redis()
            with closing(client):
                rates = sum(_size(client, key) for key in client.execute("KEYS", f"{keys.RATE_PREFIX}*"))
            grown = self._memory() - empty - rates
        self._say(f"loaded in {seconds:.1f} s")
        return {
            "snapshot_s": round(seconds, 2),
            "redis_bytes_per_subscriber": round(grown / self._sizes.subscribers, 1),
        }

    def _reload(self) -> dict[str, Any]:
        self._say("everything again into an empty Redis")
        shutil.rmtree(self.stack.layout.redis_dir)
        with self._running("postgres", "redis"):
            return {"reload_s": round(self._load(), 2)}

    def _load(self) -> float:
        """Return how many seconds a new syncer takes until workers may use what is in Redis, and end it."""
        with (self._folder / "sync.log").open("ab") as log, closing(self._redis()) as client:
            began = time.monotonic()
            syncer = subprocess.Popen(
                [str(venv_bin() / "tandem"), "sync"],
                env={**os.environ, **self._env}, cwd=PROJECT, stdout=log, stderr=log,
            )  # fmt: skip
            try:
                until(lambda: self._loaded(client) or syncer.poll() is not None, LOADED_S, "Redis to be loaded")
                seconds = time.monotonic() - began
            finally:
                syncer.terminate()
                syncer.wait()
        if not syncer.returncode == 0:
            raise OperatorError(f"tandem sync ended with status {syncer.returncode}: {self._tail('sync.log')}")
        return seconds

    def _round(self, world: World, number: int) -> Round:
        sizes, env = self._sizes, self._env
        with self._database() as database:
            self._say(f"round {number} of {sizes.rounds}: writing {sizes.rates} rates")
            set_id = deck(database, world.largest_id, sizes.rates, self._say)
            database.execute("vacuum (analyze) tandem.rate")
            urls = env["DATABASE_URL"], env["REDIS_URL"]
            with (
                stream(*urls, world, sizes.changes) as changing,
                calls(self._folder / f"calls-{number}", str(LISTEN), urls, SMALL_RATES, sizes.calls) as calling,
            ):
                self._say(f"{sizes.changes} changes and {sizes.calls} calls a second")
                _pass(WARM_S + sizes.before_s)
                self._say("switching")
                switch = self._switch(database, world.largest_id, set_id)
                self._say(f"switched in {switch.seconds:.1f} s")
                setups, probed = calling.end()
                streamed = changing.end(lambda: self._settled(database))
        return Round(switch, set_id, streamed, setups, probed, len(not_last(urls[1], streamed)))

    def _switch(self, database: psycopg.Connection[Any], tariff_id: int, set_id: int) -> Switch:
        """Put a set in force and wait until Redis has it."""
        began_at, began_ns = time.time(), time.monotonic_ns()
        make_ready(database, set_id)
        ready_ns = time.monotonic_ns()
        database.execute("update tandem.tariff set rate_set_id = %s where id = %s", (set_id, tariff_id))
        with closing(self._redis()) as client:
            until(lambda: _points(client, tariff_id) == set_id, LOADED_S, "the tariff to point to its new rates")
        return Switch(began_at, time.time(), began_ns, time.monotonic_ns(), (time.monotonic_ns() - ready_ns) / 1e9)

    def _settled(self, database: psycopg.Connection[Any]) -> None:
        empty = "select not exists (select from tandem.outbox)"
        until(lambda: database.execute(empty).fetchone() == (True,), SETTLED_S, "the syncer to catch up")
        _pass(1)

    def _figures(self, world: World, rounds: list[Round]) -> dict[str, Any]:
        last, found = rounds[-1], waits_of([(each.switch, each.streamed) for each in rounds])
        with closing(self._redis()) as client:
            found["redis_bytes_per_rate"] = round(
                _size(client, keys.rate_hash(last.rate_set_id)) / self._sizes.rates, 2
            )
        found["rates_switch_s"] = round(sorted(each.switch.seconds for each in rounds)[len(rounds) // 2], 2)
        found |= p99_ratio([(each.switch, each.setups, self._sizes.before_s) for each in rounds])
        found["calls_failed"] = sum(setup.ms is None or not setup.ended for each in rounds for setup in each.setups)
        found["stale_overwrites"] = sum(each.streamed.watched.backwards + each.not_last for each in rounds)
        found |= changes_of([each.streamed for each in rounds])
        found["late_decisions"] = sum(each.probed.late for each in rounds)
        found["decisions_probed"] = sum(each.probed.answers for each in rounds)
        found["probes_silent"] = sum(each.probed.silent for each in rounds)
        self._say("looking up prices")
        largest = Table(world.largest_id, last.rate_set_id, self._sizes.rates)
        small = Table(world.small_id, world.small_set_id, SMALL_RATES)
        seen = lookups(self._env["TANDEM_WORKER_REDIS_URL"], largest, small)
        found["lookup_ratio"], found["lookup_us"] = round(seen.ratio, 3), round(seen.large_us)
        return found

    def _verified(self) -> dict[str, Any]:
        self._say("comparing everything")
        began = time.monotonic()
        done = subprocess.run(
            [str(venv_bin() / "tandem"), "sync", "--verify", "--json"],
            env={**os.environ, **self._env}, cwd=PROJECT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode not in (0, 1) or not done.stdout.startswith("{"):
            raise OperatorError(f"tandem sync --verify failed: {done.stderr.strip()[-1_000:]}")
        verdict = json.loads(done.stdout)
        for difference in verdict["differences"][:10]:
            self._say(f"differs: {difference}")
        return {
            "verify_differences": len(verdict["differences"]),
            "aggregates": verdict["aggregates"],
            "verify_s": round(time.monotonic() - began, 2),
        }

    @contextmanager
    def _running(self, *parts: str) -> Iterator[None]:
        """Run these parts of the stack, or all of it."""
        self.stack.start(only=parts, tied=True)
        try:
            yield
        finally:
            self.stack.stop()

    @contextmanager
    def _database(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self._env["DATABASE_URL"], autocommit=True) as connection:
            yield connection

    def _loaded(self, client: RedisClient) -> bool:
        if self._told.is_due():
            self._say(f"  {client.execute('DBSIZE')} keys")
        return bool(client.execute("EXISTS", keys.MARKER))

    def _redis(self) -> RedisClient:
        return RedisClient(self._env["REDIS_URL"], TIMEOUT_MS)

    def _memory(self) -> int:
        with closing(self._redis()) as client:
            lines = client.execute("INFO", "memory").decode().splitlines()
        return int(dict(line.split(":", 1) for line in lines if ":" in line)["used_memory"])

    def _tail(self, name: str) -> str:
        return (self._folder / name).read_text(errors="replace").strip()[-1_000:]


def _points(client: RedisClient, tariff_id: int) -> int:
    record: Any = BY_VIEW["tariff"].read(client.execute("GET", keys.config(keys.tariff(tariff_id))))
    return int(record.rate_set_id) if record else 0


def _size(client: RedisClient, key: str | bytes) -> int:
    return int(client.execute("MEMORY", "USAGE", key, "SAMPLES", 0) or 0)


def _pass(seconds: float) -> None:
    """Let so much time pass."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() >= end, seconds + 1, "time to pass")


if __name__ == "__main__":
    typer.run(main)
