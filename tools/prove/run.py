"""A run: servers, clients and office at work, the blows of the plan, the way back up, and what it all came to."""

from __future__ import annotations

import json
import mmap
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

from kemi import keys
from kemi.adapters.redis_client import StoreUnavailable
from tools.errors import OperatorError
from tools.prove import aof, evidence, plan
from tools.prove.client import COUNTER, Task
from tools.prove.journal import now_ms
from tools.prove.office import Office
from tools.prove.plan import Blow
from tools.prove.servers import LEASE_S, Servers, fund_bytes, places, seed_world
from tools.prove.verdict import Cut, Evidence, Verdict, judge, tell
from tools.prove.watch import Watch
from tools.settle.stream import Stream
from tools.wait import until

PULSE_S: Final = 0.02
PROGRESS_S: Final = 5.0
RECOVERY_S: Final = 300.0
DRAIN_S: Final = 300.0
STALLED_S: Final = 120.0
REMEMBERED_MS: Final = 10_000
REWRITE_BYTES: Final = 200_000_000


class Options(NamedTuple):
    """What is asked for. folder: made by the caller, short. say: prints a line of progress."""

    ops: int
    seed: int
    clients: int
    consumers: int
    folder: Path
    say: Callable[[str], None]


class Place(NamedTuple):
    """Where a transaction ended in the newest file of Redis, and how long that file was, at a time."""

    at_ms: int
    end: int
    size: int


class Outcome(NamedTuple):
    """What became of a run. gap: operations that Redis lost, by its own numbers and those that clients were told.

    witnessed: writes of funds that the log of Redis showed to be grants.
    """

    verdict: Verdict
    kills: Counter[str]
    outcomes: Counter[str]
    refusals: Counter[str]
    recoveries: list[dict[str, Any]]
    gap: int
    witnessed: int


class Run:
    """One run; `carry_out` is called once."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._servers = Servers(options.folder / "run", options.consumers)
        self._watch = Watch()
        self._recent: deque[Place] = deque()
        self._cuts: list[Cut] = []
        self._began_ms = now_ms()
        self._incarnations = [0] * options.clients
        self._done: set[int] = set()
        self._kills: Counter[str] = Counter()
        self._recoveries: list[dict[str, Any]] = []
        self._sound = 0

    def carry_out(self) -> Outcome:
        """Do everything and judge it. Raises OperatorError where a part dies by itself or nothing moves any more."""
        options = self._options
        try:
            self._servers.start(seed_world)
            with self._servers.database() as connection:
                self._places = places(connection)
                self._tail = aof.Tail(self._servers.aof_folder)
                self._office = Office(connection, self._places, options.seed)
                self._work()
                self._office.close()
                self._drain()
                return self._judged(connection)
        finally:
            self._servers.stop()

    # Work -------------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        options = self._options
        blows = deque(plan.plan(options.seed, options.ops, options.clients, options.consumers))
        counters = options.folder / "counters"
        counters.write_bytes(bytes(COUNTER.size * options.clients))
        with counters.open("r+b") as file, mmap.mmap(file.fileno(), 0) as counter:
            for slot in range(options.clients):
                self._start_client(slot)
            progress_s = moved_s = began_s = time.monotonic()
            ops = before = 0
            while len(self._done) < options.clients:
                ops = sum(COUNTER.unpack_from(counter, slot * COUNTER.size)[0] for slot in range(options.clients))
                now_s = time.monotonic()
                moved_s = now_s if ops > before else moved_s
                before = ops
                if now_s > moved_s + STALLED_S:
                    raise OperatorError(f"no operation for {STALLED_S:.0f} s: {self._servers.tail_of_log('settle-0')}")
                self._office.work(ops)
                self._pulse()
                while blows and blows[0].at_ops <= ops:
                    self._strike(blows.popleft())
                    moved_s = time.monotonic()
                self._supervise()
                if now_s > progress_s:
                    progress_s = now_s + PROGRESS_S
                    self._say(ops, now_s - began_s)
                time.sleep(PULSE_S)
            for blow in blows:
                self._strike(blow)

    def _say(self, ops: int, seconds: float) -> None:
        kills = " ".join(f"{name} {count}" for name, count in sorted(self._kills.items())) or "none"
        watch = self._watch
        self._options.say(
            f"{seconds:6.0f} s  {ops:9d} operations  {ops / max(seconds, 1):6.0f}/s  {len(watch.ended)} calls ended,"
            f" {len(watch.breaches)} forbidden grants; killed: {kills}"
        )

    def _start_client(self, slot: int) -> None:
        options = self._options
        quota = options.ops // options.clients
        self._servers.start_client(
            Task(
                str(options.folder),
                self._servers.worker_url,
                options.seed,
                slot,
                self._incarnations[slot],
                quota,
                LEASE_S,
                self._places,
            )
        )

    def _supervise(self) -> None:
        """Take clients that are done off; anything else that ended by itself fails the run."""
        for name in self._servers.names():
            if self._servers.runs(name):
                continue
            succeeded, words = self._servers.reaped(name)
            if not name.startswith("client-") or not succeeded:
                raise OperatorError(f"{name} died by itself: {words}")
            self._done.add(int(name.removeprefix("client-")))

    def _pulse(self) -> None:
        """Read on in the log of Redis, and note where it stands."""
        newer = self._tail.newer()
        self._sound = self._watch.take(self._tail.fresh()) or self._sound
        if newer:
            self._tail.move_on()
            self._watch.new_file()
            self._recent.clear()
            self._sound = self._watch.take(self._tail.fresh())
        now = now_ms()
        self._recent.append(Place(now, self._sound, self._tail.path.stat().st_size))
        while self._recent[0].at_ms < now - REMEMBERED_MS:
            self._recent.popleft()

    # Blows ------------------------------------------------------------------------------------------------------------

    def _strike(self, blow: Blow) -> None:
        match blow.kind:
            case plan.CLIENT:
                self._kill_client(blow.victim)
                return
            case plan.CONSUMER:
                self._restart_consumer(blow.victim)
            case plan.SYNC:
                self._servers.kill("sync")
                self._servers.start_sync()
            case plan.REDIS | plan.CUT:
                self._kill_redis(blow)
        self._kills[blow.kind] += 1

    def _kill_client(self, wanted: int) -> None:
        """Kill the wanted client, or the next one that still runs."""
        count = self._options.clients
        for slot in ((wanted + more) % count for more in range(count)):
            if slot not in self._done and self._servers.runs(f"client-{slot}"):
                self._servers.kill(f"client-{slot}")
                self._incarnations[slot] += 1
                self._start_client(slot)
                self._kills[plan.CLIENT] += 1
                return

    def _kill_redis(self, blow: Blow) -> None:
        self._pulse()
        wanted_ms = now_ms() - blow.cut_ms
        self._servers.kill("redis")
        self._pulse()
        if blow.kind == plan.CUT:
            self._cut(wanted_ms)
        else:
            aof.cut(self._tail.path, self._sound, self._tail.path.stat().st_size)
            self._watch.rolled_back(self._sound)
        self._tail.offset = self._sound
        began_ms, self._began_ms = self._began_ms, now_ms()
        self._servers.start_redis()
        client = self._servers.redis()
        self._watch.stands(*fund_bytes(client, self._places.funds()))
        client.close()
        self._cuts.append(Cut(began_ms, self._began_ms, self._servers.status().opseq))
        if blow.victim >= 0:
            self._restart_consumer(blow.victim)
            self._kills[plan.CONSUMER] += 1
        self._until_armed()
        self._rewrite_if_long()

    def _restart_consumer(self, number: int) -> None:
        self._servers.kill(f"settle-{number}")
        self._servers.start_consumer(number)

    def _cut(self, wanted_ms: int) -> None:
        """Cut what came after `wanted_ms` off the newest file."""
        places_ = [place for place in self._recent if place.at_ms <= wanted_ms]
        place = places_[-1] if places_ else Place(0, 0, 0)
        done = aof.cut(self._tail.path, place.end, place.size)
        self._options.say(f"         cut {self._recent[-1].size - done.at} bytes off the log of Redis")
        self._watch.rolled_back(done.sound)
        self._sound = done.sound
        self._recent.clear()

    def _until_armed(self) -> None:
        """Wait for the system's own way back, and keep what it found lost."""
        end_s = time.monotonic() + RECOVERY_S
        while not self._is_armed():
            if time.monotonic() > end_s:
                raise OperatorError(f"Redis is not armed: {self._servers.tail_of_log('settle-0')}")
            self._pulse()
            time.sleep(PULSE_S)
        with self._servers.database() as connection:
            reports = connection.execute("select report from tandem.recovery order by epoch").fetchall()
        for (found,) in reports[len(self._recoveries) :]:
            self._recoveries.append(found)
            told = {name: value for name, value in found.items() if name != "funds"}
            self._options.say(f"         rebuilt: {json.dumps(told)}")

    def _is_armed(self) -> bool:
        try:
            return self._servers.status().armed
        except StoreUnavailable:
            return False

    def _rewrite_if_long(self) -> None:
        if self._tail.path.stat().st_size > REWRITE_BYTES:
            client = self._servers.redis()
            client.execute("BGREWRITEAOF")
            client.close()

    # The end ----------------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """Wait until the sweeper has ended what nobody speaks for and every event is posted and synced."""
        self._options.say("         clients are done; waiting for sweeper and consumers")
        client = self._servers.redis()
        stream = Stream(client, "prove")

        def is_drained() -> bool:
            self._pulse()
            self._supervise()
            return not client.execute("ZCARD", keys.LEASES) and not stream.backlog() and self._is_synced()

        try:
            until(is_drained, DRAIN_S, "sweeper and consumers to be done")
        except TimeoutError as error:
            self._options.say(f"         {error}")
        client.close()
        self._pulse()

    def _is_synced(self) -> bool:
        with self._servers.database() as connection:
            row = connection.execute("select not exists (select from tandem.outbox)").fetchone()
        return row == (True,)

    def _judged(self, connection: Any) -> Outcome:
        client = self._servers.redis()
        found = evidence.records(connection)
        told = tell(evidence.lines(self._options.folder))
        verdict = judge(
            Evidence(
                told=told,
                records=found,
                paid=evidence.paid(connection),
                funds=evidence.funds(connection, client, self._places, self._office.committed),
                ended=self._watch.ended,
                cut_ends=self._watch.cut,
                cut_numbers=self._watch.cut_numbers,
                cuts=self._cuts,
                breaches=self._watch.breaches,
                open_rids=evidence.open_rids(client),
                differences=evidence.differences(self._servers),
            )
        )
        client.close()
        self._tail.close()
        outcomes = Counter(record.outcome for record in found.values())
        refusals = Counter(call.refused for call in told.values() if call.refused)
        return Outcome(
            verdict, self._kills, outcomes, refusals, self._recoveries, gap(told, self._cuts), self._watch.grants
        )


def gap(told: Any, cuts: list[Cut]) -> int:
    """Return how many operations the deaths of Redis took, as far as clients were told their numbers."""
    answers = [answer for call in told.values() for answer in (call.granted, call.note, call.end) if answer is not None]
    lost = 0
    for cut in cuts:
        known = [answer.opseq for answer in answers if cut.began_ms <= answer.asked_ms <= cut.died_ms]
        lost += max(0, max(known, default=0) - cut.opseq)
    return lost
