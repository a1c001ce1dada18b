"""A stream of changes, and who watches them arrive in Redis, each in a process of its own.

Every row that changes counts: a change adds one to a number that its record in Redis carries. So what was committed
last is known, and anything that goes back is seen. A record of an account is made of several rows, each with a number
of its own, and changed by several transactions at once: the ones that lose updates where row versions are compared.
"""

from __future__ import annotations

import random
import threading
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from typing import Any, Final, NamedTuple

import psycopg

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from tools.bench.spawned import Spawned, spawned
from tools.bench.sync_world import PHRASE, REASONS, World
from tools.sync.follow import Every
from tools.sync.kinds import BY_VIEW

WRITERS: Final = 12  # one alone waits for its commits; half of them stand still at any time
HOLD_S: Final = 0.02  # how long a transaction over three rows stays open before it commits
LOOK_S: Final = 0.001
ALL_S: Final = 1.0  # between two looks whether readers were told to drop all
TIMEOUT_MS: Final = 10_000

_LINE: Final = "update tandem.subscriber set cli = (cli::bigint + 1)::text where id = %s returning cli"
_REPLY: Final = f"""
update tandem.reply_override set phrase = '{PHRASE}' || (substr(phrase, {len(PHRASE) + 1})::bigint + 1)
 where account_id = %s and reason = %s returning phrase
"""  # noqa: S608  our own words

Row = tuple[str, str]
"""Short name of a record, and which row of it: a reason, "" where it has only one."""


class Change(NamedTuple):
    """A committed change of one row. committed_ns: when the commit had returned, by the machine's monotonic clock."""

    row: Row
    number: int
    committed_ns: int


class Sighting(NamedTuple):
    """The first time that a row's number was seen in Redis."""

    number: int
    seen_ns: int


class Watched(NamedTuple):
    """What was seen. backwards: how often a record's version, or a row's number, was lower than one seen before."""

    sightings: dict[Row, list[Sighting]]
    backwards: int


class Streamed(NamedTuple):
    """The whole. transactions: how many were committed."""

    changes: list[Change]
    transactions: int
    watched: Watched


class Stream:
    """A stream under way."""

    def __init__(self, writer: Spawned, watcher: Spawned) -> None:
        self._writer = writer
        self._watcher = watcher

    def end(self, settled: Any) -> Streamed:
        """Stop writing, call `settled`, which returns when Redis has it all, stop watching, and return the whole."""
        changes, transactions = self._writer.result()
        settled()
        return Streamed(changes, transactions, self._watcher.result())


@contextmanager
def stream(database_url: str, redis_url: str, world: World, rate: int) -> Iterator[Stream]:
    """Change `rate` times a second, and watch. Both processes end with the block."""
    with (
        spawned(_watch, redis_url, world) as watcher,
        spawned(_write, database_url, world, rate) as writer,
    ):
        yield Stream(writer, watcher)


def waits_ms(streamed: Streamed) -> list[tuple[int, float]]:
    """Return for each change when it was committed and how long Redis took to show it; one never shown is left out."""
    found = []
    for change in streamed.changes:
        sightings = streamed.watched.sightings.get(change.row, [])
        at = bisect_left(sightings, change.number, key=lambda sighting: sighting.number)
        if at < len(sightings):
            found.append((change.committed_ns, max(0, sightings[at].seen_ns - change.committed_ns) / 1e6))
    return found


def not_last(redis_url: str, streamed: Streamed) -> list[Row]:
    """Return the rows of which Redis does not hold what was committed last."""
    last: dict[Row, int] = {}
    for change in streamed.changes:
        last[change.row] = max(change.number, last.get(change.row, 0))
    with closing(RedisClient(redis_url, TIMEOUT_MS)) as client:
        held: dict[Row, int] = {}
        for name in {name for name, _ in last}:
            _, numbers = _read(name, client.execute("GET", keys.config(name)))
            held.update(numbers)
    return [row for row, number in last.items() if held.get(row) != number]


def _write(database_url: str, world: World, rate: int, stop: Event, pipe: Connection) -> None:
    found: list[list[Change]] = [[] for _ in range(WRITERS)]
    counts = [0] * WRITERS

    def work(number: int) -> None:
        with psycopg.connect(database_url, autocommit=True, application_name="tandem bench") as database:
            draw, step_s = random.Random(number), WRITERS / rate  # noqa: S311  a benchmark
            due = time.monotonic() + step_s * number / WRITERS
            while not stop.wait(max(0.0, due - time.monotonic())):
                found[number] += _one_change(database, world, draw)
                counts[number] += 1
                due += step_s

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(WRITERS)]
    for thread in threads:
        thread.start()
    pipe.send("begun")
    for thread in threads:
        thread.join()
    pipe.send(([change for each in found for change in each], sum(counts)))


def _one_change(database: psycopg.Connection[Any], world: World, draw: random.Random) -> list[Change]:
    """Commit one transaction: mostly a subscriber; one in five an account's row; one in ten three rows, held open."""
    line, tenant, kind = draw.choice(world.hot), draw.choice(world.tenants), draw.random()
    if kind < 0.7:  # noqa: PLR2004  shares of the mixture
        done = [_change_line(database, *line)]
    elif kind < 0.9:  # noqa: PLR2004
        done = [_change_reply(database, tenant, draw.choice(REASONS))]
    else:
        with database.transaction():
            done = [_change_reply(database, tenant, reason) for reason in sorted(draw.sample(REASONS, 2))]
            done.append(_change_line(database, *line))
            time.sleep(HOLD_S)
    committed_ns = time.monotonic_ns()
    return [Change(row, number, committed_ns) for row, number in done]


def _change_line(database: psycopg.Connection[Any], line_id: int, address_of_record: str) -> tuple[Row, int]:
    ((cli,),) = database.execute(_LINE, (line_id,)).fetchall()
    return (keys.subscriber(address_of_record), ""), int(cli)


def _change_reply(database: psycopg.Connection[Any], account_id: int, reason: str) -> tuple[Row, int]:
    ((phrase,),) = database.execute(_REPLY.encode(), (account_id, reason)).fetchall()
    return (keys.account(account_id), reason), phrase_number(phrase)


def _watch(redis_url: str, world: World, stop: Event, pipe: Connection) -> None:
    """Ask as a node's agent does what has changed since; read what is watched of it."""
    watched = {keys.subscriber(name) for _, name in world.hot} | set(map(keys.account, world.tenants))
    eye = _Eye()
    with closing(RedisClient(redis_url, TIMEOUT_MS)) as client:
        seen = int(client.execute("GET", keys.PASS))
        eye.look(client, watched)
        drop_all = Every(ALL_S)
        pipe.send("begun")
        while not stop.wait(LOOK_S):
            changed = client.execute("ZRANGEBYSCORE", keys.CHANGED, f"({seen}", "+inf", "WITHSCORES")
            names = {name.decode() for name in changed[::2]} & watched
            if drop_all.is_due() and int(client.execute("GET", keys.CHANGED_LOW) or 0) > seen:
                names, changed = watched, [b"", client.execute("GET", keys.PASS)]
            if changed:
                eye.look(client, names)
                seen = max(seen, int(changed[-1]))
    pipe.send(Watched(dict(eye.sightings), eye.backwards))


class _Eye:
    """Reads records and remembers what was new."""

    def __init__(self) -> None:
        self.sightings: defaultdict[Row, list[Sighting]] = defaultdict(list)
        self.backwards = 0
        self._versions: dict[str, int] = {}

    def look(self, client: RedisClient, names: Sequence[str] | set[str]) -> None:
        """Read the records at `names`."""
        asked = sorted(names)
        values = client.execute("MGET", *map(keys.config, asked)) if asked else []
        seen_ns = time.monotonic_ns()
        for name, value in zip(asked, values, strict=True):
            version, numbers = _read(name, value)
            self.backwards += version < self._versions.get(name, 0)
            self._versions[name] = version
            for row, number in numbers.items():
                known = self.sightings[row]
                if not known or number > known[-1].number:
                    known.append(Sighting(number, seen_ns))
                self.backwards += number < known[-1].number


def _read(name: str, value: bytes | None) -> tuple[int, dict[Row, int]]:
    """Return the version of a stored record and the number of each of its rows; 0 and none where nothing stands."""
    if value is None:
        return 0, {}
    kind = BY_VIEW["subscriber" if name.startswith("sub:") else "account"]
    version, record = codec.unpack_config(value).version, kind.read(value)
    if record is None:
        return version, {}
    if name.startswith("sub:"):
        return version, {(name, ""): int(_field(record, "cli"))}
    return version, {(name, reply.reason): phrase_number(reply.phrase) for reply in _field(record, "replies")}


def phrase_number(phrase: str) -> int:
    """Return the number in a tenant's own answer."""
    return int(phrase.removeprefix(PHRASE))


def _field(record: object, name: str) -> Any:
    return getattr(record, name)
