"""What an agent's registrations stand on, in memory: Redis with pages as a test says, and a registrar that answers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kemi import codec, keys
from kemi.adapters.redis_client import Reply, StoreUnavailable
from kemi.adapters.redis_place import Argument
from kemi.agent_locations import Wire
from kemi.records import Location
from kemi.settings import Limits, Settings

SETTINGS = Settings("n1", "", b"secret", "", "192.0.2.9:5060", Limits())
NOW_S = 4_000_000_000
TURN_NS = 50_000_000


class FakeWire(Wire):
    """The registrar: it takes everything, at once unless it is slow. lines: which it was told of."""

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.is_slow = False
        self.lines: set[str] = set()
        self._answers: list[str] = []

    def send(self, location: Location, message: str) -> None:
        """Take a REGISTER."""
        del location
        found = re.search(r"branch=(z9hG4bK[0-9a-f]+).*\r\nTo: <sip:([^>]+)>", message, re.DOTALL)
        assert found
        self.lines.add(found[2])
        self._answers.append(f"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP n1.invalid;branch={found[1]}\r\n\r\n")

    def answers(self) -> Iterable[str]:
        """Answer what came."""
        if self.is_slow:
            return []
        answers, self._answers = self._answers, []
        return answers


class PagedStore:
    """Redis as far as registrations are read. pages: of ZSCAN, as they come; each line has a contact.

    server: which one answers. moved: ids of the stream's ends; news: entries after them. gone: names without contacts.
    read_at_once: lines of each reading. fails: at the next.
    """

    def __init__(self, pages: list[list[str]]) -> None:
        self.pages = pages
        self.server = "a"
        self.moved = ("1-0", "2-0")
        self.news: list[list[bytes]] = []
        self.gone: set[str] = set()
        self.read_at_once: list[int] = []
        self.fails: Exception | None = None
        self.is_up = True

    def available(self) -> bool:
        """Tell whether a call would be tried now."""
        return self.is_up

    def fcall(self, name: str, keys: Sequence[str], args: Sequence[Argument], /) -> Reply:
        """Write nothing."""
        raise StoreUnavailable(f"{name} {keys} {args}", maybe_applied=False)

    def fcall_ro(self, name: str, keys: Sequence[str], args: Sequence[Argument], /) -> Reply:
        """Return the rows of lines."""
        assert (name, args) == ("tandem_locations_rows_1", ())
        self._fail()
        self.read_at_once.append(len(keys))
        return [[] if key.rpartition(":")[2] in self.gone else _row(key) for key in keys]

    def execute(self, *words: Argument) -> Reply:
        """Answer what registrations ask."""
        self._fail()
        match words:
            case ("ZSCAN", keys.REGISTERED, str(cursor), "COUNT", int()):
                at = int(cursor)
                following = at + 1 if at + 1 < len(self.pages) else 0
                page = self.pages[at] if at < len(self.pages) else []
                found = [word for name in page for word in (name.encode(), b"%d" % (NOW_S + 60))]
                return [b"%d" % following, found]
            case ("INFO", "server"):
                return f"# Server\r\nrun_id:{self.server}\r\n".encode()
            case ("XRANGE" | "XREVRANGE" as verb, keys.MOVED, "-" | "+", *_):
                return [[self.moved[verb == "XREVRANGE"].encode(), [b"name", b"x", b"node", b"n1"]]]
            case ("XRANGE", keys.MOVED, *_):
                news, self.news = self.news, []
                return [[b"3-%d" % at, words] for at, words in enumerate(news)]
            case ("ZREMRANGEBYSCORE", keys.REGISTERED, *_):
                return 0
        raise AssertionError(words)

    def _fail(self) -> None:
        error, self.fails = self.fails, None
        if error:
            raise error


def _row(key: str) -> list[bytes]:
    contact = f"sip:{key.rpartition(':')[2].partition('@')[0]}@192.0.2.1"
    row = Location(contact, "", "", NOW_S + 60, -1, "c", 1, "", "udp:192.0.2.1:5060", "", 0, NOW_S, "n2")
    return [contact.encode(), b"%d %b" % (row.expires_s, codec.pack(row))]
