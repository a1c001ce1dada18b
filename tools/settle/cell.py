"""What settlement reads of a cell in Redis besides the stream: funds, reservations, leases, nodes, the time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Final, NamedTuple

from kemi import keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_client import Argument, Fcall, FunctionFailed, RedisClient
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Balance, MoneyStatus, Reservation, Spent
from tools.settle import rollcall
from tools.settle.stream import Entry, Stream, told
from tools.settle.sweeper import OPEN, Signs
from tools.sync.marker import Marker

AT_ONCE: Final = 500
REPAIRS_AT_ONCE: Final = 100  # about 3 ms of Redis
ATTEMPTS_MAX: Final = 20
ALIVE_MS: Final = 60_000
SOON_MS: Final = 10_000  # longer than between two looks, much shorter than what a node moves a lease before its end


class Snapshot(NamedTuple):
    """Funds and reservations. still: no operation took place while it was read, so it is of one moment.

    counters: funds of lines and users, which only count calls: of the reservations, and others that were asked for.
    reservations: rid -> reservation, all that have a lease and some that have none. leases: rid -> expiry in Redis ms.
    """

    balances: Mapping[str, Balance]
    leases: Mapping[str, int]
    reservations: Mapping[str, Reservation]
    still: bool
    counters: Mapping[str, Balance]

    def open(self) -> dict[str, Reservation]:
        """Return those of the reservations that are open."""
        return {rid: each for rid, each in self.reservations.items() if each.state in OPEN}


class Heard(NamedTuple):
    """What is noted beside posting. nodes: node -> when it was last heard of, in Redis ms."""

    status: MoneyStatus
    nodes: Mapping[str, int]


NOTHING_HEARD: Final = Heard(MoneyStatus(0, armed=False, opseq=0), {})


class FundSums(NamedTuple):
    """What a fund has to say. day, month: what calls have spent in the windows in force."""

    fund: str
    charged_micros: int
    n: int
    day: Spent
    month: Spent


class Holds(NamedTuple):
    """What a fund's open reservations take. micros: held, less what parts have charged."""

    fund: str
    micros: int
    channels: int
    channels_out: int
    channels_in: int


class Cell:
    """A cell's Redis. All methods raise StoreUnavailable."""

    def __init__(self, client: RedisClient, funds: Funds) -> None:
        self.client = client
        self.funds = funds

    def status(self) -> MoneyStatus:
        """Return the state of the money functions, which are loaded where Redis has lost them."""
        try:
            return self.funds.status()
        except FunctionFailed as error:
            if "Function not found" not in error.text:
                raise
        redis_functions.load(self.client)
        return self.funds.status()

    def disarm(self) -> None:
        """Make the functions refuse everything until they are armed again."""
        self.client.execute("DEL", keys.EPOCH)

    def now_ms(self) -> int:
        """Return Redis' clock."""
        seconds, micros = self.client.execute("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def signs(self) -> Signs:
        """Return what shows who is still alive: leases that are over or will soon be, and when nodes were heard of.

        In one round trip, unless that many leases end soon: those that a living node moves in time are left out.
        """
        asked = ("TIME",), _oldest(0), ("HGETALL", keys.NODES)
        (seconds, micros), part, nodes = self.client.executes(asked)
        now_ms = int(seconds) * 1000 + int(micros) // 1000
        leases, start = _numbers(part), AT_ONCE
        while len(part) == 2 * AT_ONCE and int(part[-1]) < now_ms + SOON_MS:
            part = self.client.execute(*_oldest(start))
            leases |= _numbers(part)
            start += AT_ONCE
        return Signs(now_ms, leases, _numbers(nodes))

    def nodes(self) -> dict[str, int]:
        """Return node -> when it was last heard of, in Redis ms."""
        return self._numbers(keys.NODES)

    def nodes_alive(self) -> set[str]:
        """Return the nodes that were heard of when last any was, or up to a minute before."""
        nodes = self.nodes()
        since_ms = max(nodes.values(), default=0) - ALIVE_MS
        return {name for name, seen_ms in nodes.items() if seen_ms > since_ms}

    def heard(self) -> Heard:
        """Return the state of the money functions and the nodes, as of now."""
        return self._beside(())[1]

    def taken(self, stream: Stream, block_ms: int) -> tuple[list[Entry], Heard]:
        """Return what `stream.fresh` does and, read after it, what `heard` does, all in one round trip."""
        (reply,), heard = self._beside((stream.ask_fresh(block_ms),))
        return told(reply), heard

    def _beside(self, commands: Sequence[Sequence[Argument]]) -> tuple[list[Any], Heard]:
        """Run commands and return their answers, with what is heard after them."""
        question = self.funds.ask_status()
        *replies, status, nodes = self.client.executes([*commands, question.words("FCALL_RO"), ("HGETALL", keys.NODES)])
        return replies, Heard(self.funds.told_status(question, status), _numbers(nodes))

    def seen(self) -> dict[str, int]:
        """Return node -> highest operation number that was answered to it, of those that told since `ask_nodes`."""
        return self._numbers(keys.SEEN)

    def ask_nodes(self) -> None:
        """Forget what nodes told, which may have been rolled back with the rest: they tell it again within a second."""
        self.client.execute("DEL", keys.SEEN)

    def raise_opseq(self, opseq: int) -> None:
        """Count operations on from that number, if it is higher; only while unarmed. Numbers never come twice."""
        if opseq > self.status().opseq:
            self.client.execute("SET", keys.OPSEQ, opseq)

    def begin(self, epoch: int) -> None:
        """Mark this Redis as the one that is rebuilt for `epoch`: another one may take its place at any time."""
        self.client.execute("SET", keys.BEGUN, epoch)

    def is_begun(self, epoch: int) -> bool:
        """Return whether this is that Redis still, and nobody has armed it."""
        return self._begun() == epoch and not self.status().armed

    def open(self, epoch: int) -> bool:
        """Arm this Redis, if it is still the one that is rebuilt for `epoch`; False: it is not, and stays closed.

        One that is emptied at this very moment has no terms either, so it grants nothing in between.
        """
        self.funds.arm(epoch)
        if self._begun() == epoch:
            return True
        self.disarm()
        return False

    def _begun(self) -> int:
        return int(self.client.execute("GET", keys.BEGUN) or 0)

    def call_nodes(self, epoch: int) -> None:
        """Ask every node to tell its calls for the epoch that is being built."""
        self.client.execute("DEL", keys.ADOPTED)
        self.client.execute("SET", keys.BUILDING, epoch)

    def dismiss_nodes(self) -> None:
        """Ask for no calls any more; who has told them stays known."""
        self.client.execute("DEL", keys.BUILDING)

    def adopted(self) -> dict[str, tuple[int, int]]:
        """Return node -> the epoch for which it has told its calls, and how many they were."""
        flat = self.client.execute("HGETALL", keys.ADOPTED)
        found = {name.decode(): told.split() for name, told in zip(flat[::2], flat[1::2], strict=True)}
        return {name: (int(words[0]), int(words[1])) for name, words in found.items()}

    def signs_of_nodes(self) -> rollcall.Signs:
        """Return what shows which nodes live: when each was heard of, and who has told since `ask_nodes`."""
        return rollcall.Signs(self.now_ms(), self.nodes(), frozenset(self.seen()))

    def open_reservations(self) -> dict[str, Reservation]:
        """Return rid -> reservation of all that are open."""
        return {rid: each for rid, each in self._reservations(0).items() if each.state in OPEN}

    def posted(self) -> int:
        """Return the number of the last transaction of Postgres of which Redis was told, 0 = of none."""
        return int(self.client.execute("GET", keys.POSTED) or 0)

    def note_posted(self, number: int) -> None:
        """Tell Redis of a transaction that has posted, after its commit: a Postgres that lacks it is in the past.

        Of two who tell in another order than they committed, the higher number stays.
        """
        self.client.fcall("tandem_posted_1", (), ("posted", number))

    def marker(self) -> Marker | None:
        """Return how far the history of Postgres was when sync looked last, None where it never did."""
        text = self.client.execute("GET", keys.MARKER)
        return Marker.parse(text.decode()) if text else None

    def restore(self, sums: Sequence[FundSums]) -> None:
        """Set charges, event numbers and windows of funds; only while unarmed. Raises ValueError when armed."""
        self._repair(
            "tandem_restore_fund_1", [(each.fund, each.charged_micros, each.n, *each.day, *each.month) for each in sums]
        )

    def recount(self, holds: Sequence[Holds]) -> None:
        """Set what funds hold; only while unarmed. Raises ValueError when armed."""
        self._repair("tandem_recount_1", holds)

    def void(self, rids: Sequence[str]) -> None:
        """End open reservations without any event; only while unarmed; a recount must follow. Raises ValueError."""
        self._repair("tandem_void_1", [(rid,) for rid in rids], keys.reservation)

    def _repair(self, name: str, rows: Sequence[tuple[Argument, ...]], key: Callable[[str], str] | None = None) -> None:
        """Call a function once a row. key: of the row's first word, for a function that declares one."""
        calls = [Fcall(name, (key(str(row[0])),) if key else (), (f"repair{at}", *row)) for at, row in enumerate(rows)]
        for start in range(0, len(calls), REPAIRS_AT_ONCE):
            some = calls[start : start + REPAIRS_AT_ONCE]
            for call, reply in zip(some, self.client.fcalls(some), strict=True):
                if isinstance(reply, FunctionFailed):
                    raise reply
                if reply[0] != str(call.args[0]).encode():
                    raise self.client.desynced(f"asked {call.args[0]!r}, got {reply!r:.60}")
                if reply[1] != b"OK":
                    raise ValueError(f"{name} of {call.args[1]!r}: {reply[3].decode()}")

    def _numbers(self, key: str) -> dict[str, int]:
        return _numbers(self.client.execute("HGETALL", key))

    def balances(self, names: Sequence[str]) -> dict[str, Balance]:
        """Return fund -> balance; those of 500 funds are as of one moment."""
        parts = (names[start : start + AT_ONCE] for start in range(0, len(names), AT_ONCE))
        return {balance.fund: balance for part in parts for balance in self.funds.balances(part)}

    def leases(self, until_ms: int | None = None) -> int:
        """Return how many leases there are; until_ms: that end by then, in Redis ms."""
        return int(self.client.execute("ZCOUNT", keys.LEASES, "-inf", "+inf" if until_ms is None else until_ms))

    def counters(self) -> list[str]:
        """Return the funds of lines and users that have ever counted a call. Looks at every key, in small parts."""
        prefix = keys.fund_state("")
        return [name.removeprefix(prefix) for name in self._scan(f"{prefix}[^0-9]*")]

    def snapshot(
        self, names: Sequence[str], others_max: int, attempts_max: int = ATTEMPTS_MAX, counters: Sequence[str] = ()
    ) -> Snapshot:
        """Return funds and reservations as of one moment if traffic leaves one in so many attempts.

        others_max: how many reservations without a lease, ended or forgotten ones, to look at. counters: funds that
        only count, beside those of the reservations.
        """
        for attempt in range(1, attempts_max + 1):
            before = self.status().opseq
            found = self._seen_now(names, others_max, counters)
            if self.status().opseq == before:
                return found
            if attempt < attempts_max:
                time.sleep(0.05)
        return found._replace(still=False)

    def _seen_now(self, names: Sequence[str], others_max: int, counters: Sequence[str]) -> Snapshot:
        reservations = self._reservations(others_max)
        of_calls = [fund for each in reservations.values() if each.state in OPEN for fund in (*each.funds, *each.joins)]
        counting = dict.fromkeys((*counters, *filter(keys.counts_only, of_calls)))
        counted = self.balances(list(counting))
        return Snapshot(self.balances(names), self._leases(), reservations, still=True, counters=counted)

    def _leases(self) -> dict[str, int]:
        """Return rid -> expiry, read in parts so that Redis is not held up; one that moves meanwhile may be missed."""
        found: dict[str, int] = {}
        start = 0
        while True:
            part = self.client.execute(*_oldest(start))
            found |= _numbers(part)
            if len(part) < 2 * AT_ONCE:
                return found
            start += AT_ONCE

    def _reservations(self, others_max: int) -> dict[str, Reservation]:
        prefix = keys.reservation("")
        others = (name.removeprefix(prefix) for name in self._scan(f"{prefix}*"))
        rids = list(dict.fromkeys([*self._leases(), *islice(others, others_max)]))
        found: dict[str, Reservation] = {}
        for start in range(0, len(rids), AT_ONCE):
            found |= self.funds.described(rids[start : start + AT_ONCE])
        return found

    def _scan(self, pattern: str) -> Iterator[str]:
        cursor = b"0"
        while True:
            cursor, names = self.client.execute("SCAN", cursor, "MATCH", pattern, "COUNT", AT_ONCE)
            yield from (name.decode() for name in names)
            if cursor == b"0":
                return


def _oldest(start: int) -> tuple[Argument, ...]:
    """Return the command that reads 500 leases, those that end first before all others."""
    return "ZRANGE", keys.LEASES, start, start + AT_ONCE - 1, "WITHSCORES"


def _numbers(flat: Sequence[bytes]) -> dict[str, int]:
    return {name.decode(): int(number) for name, number in zip(flat[::2], flat[1::2], strict=True)}
