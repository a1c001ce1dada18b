"""Registrations in Redis: functions/locations.lua from Python."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from kemi import codec, keys
from kemi.adapters.redis_client import Reply
from kemi.adapters.redis_place import Argument
from kemi.records import Location

AT_ONCE: Final = 500  # lines read in one round trip: a millisecond of Redis
PAGE: Final = 150  # lines that `registered` asks for; it may be told of some more
BEGINNING: Final = "0-0"
FIRST_PAGE: Final = "0"


class Store(Protocol):
    """What is needed of redis_client.RedisClient. All raise StoreUnavailable."""

    def fcall(self, name: str, keys: Sequence[str], args: Sequence[Argument], /) -> Reply:
        """Call a function."""

    def fcall_ro(self, name: str, keys: Sequence[str], args: Sequence[Argument], /) -> Reply:
        """Call a function that only reads."""

    def execute(self, *words: Argument) -> Reply:
        """Run one command."""


class Moved(NamedTuple):
    """A change of a line's registrations. node: by whom. gone: contacts that were taken away."""

    at: str
    name: str
    node: str
    gone: tuple[str, ...]


def put(store: Store, name: str, node: str, now_s: int, locations: Sequence[Location], gone: Sequence[str] = ()) -> int:
    """Write contacts of a line and take others away; return how many of these were there. now_s: Unix time."""
    values = [word for each in locations for word in (each.contact, b"%d %b" % (each.expires_s, codec.pack(each)))]
    words = (name, node, now_s, len(locations), *values, *gone)
    return int(store.fcall("tandem_locations_put_1", (keys.location(name),), words))


def read(store: Store, names: Sequence[str], now_s: int) -> dict[str, tuple[Location, ...]]:
    """Return the contacts of lines that have not expired; a line without any has an empty tuple."""
    found: dict[str, tuple[Location, ...]] = {}
    for part in parts(names):
        rows = store.fcall_ro("tandem_locations_rows_1", tuple(map(keys.location, part)), ())
        for name, row in zip(part, rows, strict=True):
            locations = [codec.unpack(Location, value.partition(b" ")[2]) for value in row[1::2]]
            found[name] = tuple(each for each in locations if each.expires_s > now_s)
    return found


def registered(store: Store, cursor: str, now_s: int) -> tuple[list[str], str]:
    """Return some names of lines with a contact that has not expired, and the cursor of the next page.

    cursor: FIRST_PAGE at first; it comes back after the last page, and is good for one `server` only. A line that is
    registered all the time is on a page, however its expiry moves; it may be on two, and a page may be empty.
    """
    following, found = store.execute("ZSCAN", keys.REGISTERED, cursor, "COUNT", PAGE)
    pairs = zip(found[::2], found[1::2], strict=True)
    return [name.decode() for name, expires_s in pairs if float(expires_s) > now_s], following.decode()


def server(store: Store) -> str:
    """Name the server process that answers: another one after a restart or a failover."""
    lines = store.execute("INFO", "server").decode().splitlines()
    return next((line for line in lines if line.startswith("run_id:")), "")


def moved(store: Store, after: str) -> list[Moved]:
    """Return the changes after the one at `after`, oldest first, at most AT_ONCE."""
    entries = store.execute("XRANGE", keys.MOVED, f"({after}", "+", "COUNT", AT_ONCE)
    return [_moved(at.decode(), [word.decode() for word in words]) for at, words in entries]


def ends(store: Store) -> tuple[str, str]:
    """Return where the first and the last change stand that are known, BEGINNING for none."""
    first = store.execute("XRANGE", keys.MOVED, "-", "+", "COUNT", 1)
    last = store.execute("XREVRANGE", keys.MOVED, "+", "-", "COUNT", 1)
    return (first[0][0].decode() if first else BEGINNING), (last[0][0].decode() if last else BEGINNING)


def forget_expired(store: Store, now_s: int) -> None:
    """Take lines off the list of registered ones whose last contact has expired."""
    store.execute("ZREMRANGEBYSCORE", keys.REGISTERED, "-inf", now_s)


def order(at: str) -> tuple[int, int]:
    """Return a place in the stream so that it can be compared."""
    ms, _, number = at.partition("-")
    return int(ms), int(number)


def parts(names: Iterable[str]) -> Iterator[list[str]]:
    """Yield names in lists of at most AT_ONCE."""
    every = list(names)
    for at in range(0, len(every), AT_ONCE):
        yield every[at : at + AT_ONCE]


def _moved(at: str, words: list[str]) -> Moved:
    fields = list(zip(words[::2], words[1::2], strict=True))
    first = dict(reversed(fields))
    return Moved(at, first["name"], first["node"], tuple(value for name, value in fields if name == "gone"))
