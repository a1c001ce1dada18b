"""One handle on the money functions for tests that run on Redis and on the fake alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Protocol

from kemi import codec, keys
from kemi.adapters import redis_functions
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import (
    Answer,
    Applied,
    Balance,
    Extend,
    Funds,
    FundTerms,
    Held,
    Operation,
    Refused,
    Rehold,
    Result,
    Stale,
    Unarmed,
    Void,
)
from kemi.core.outcome import OUT, Hold, HoldFund, HoldRow
from kemi.records import CallEnd, CallEvent, PinnedCall
from tests.fakes.funds import FakeFunds
from tests.wait import until

EPOCH = 7
NODE = "n1"
GRACE_S = 10
CUSTOMER, RESELLER = "11:EUR", "5:EUR"
STORED = ("terms", "events", "leases", "epoch", "opseq", "building", "adopted_nodes", "states", "turns", "_rows")
ROWS = ((30, 300, 200), (60, 600, 400), (120, 1200, 800))


class Bench(Protocol):
    """What a test may do to the store behind `funds`."""

    @property
    def funds(self) -> Funds | FakeFunds:
        """The money functions."""

    @property
    def keeper(self) -> Funds | FakeFunds:
        """The same, with the right to arm and restore."""

    def batch_of(self, node: str, operations: Sequence[Operation]) -> list[Result]:
        """Apply operations of another node."""

    def set_terms(self, fund: str, terms: FundTerms | None) -> None:
        """Do what the sync does. None: the fund has none any more."""

    def set_config(self, config_pass: int, changed: Mapping[str, int], low: int = 0) -> None:
        """Let configuration stand at a pass, with the pass of each name's last change."""

    def lose_marker(self) -> None:
        """Do what the sync does before it loads another database."""

    def events(self) -> list[CallEvent]:
        """Return all events so far."""

    def expire_lease(self, rid: str) -> None:
        """Let a lease be past."""

    def disarm(self) -> None:
        """Do what a restart does."""

    def lose_epoch(self) -> None:
        """Do what a FLUSHALL does to the epoch."""

    def remember(self) -> object:
        """Return all that stands in the store, for `roll_back`."""

    def roll_back(self, before: object) -> None:
        """Do what an old dump does: all is as it was, and unarmed. Terms too."""

    def call_nodes(self, epoch: int) -> None:
        """Do what settlement does when it wants nodes to tell their calls; 0: it wants that no more."""

    def raise_opseq(self, opseq: int) -> None:
        """Count operations on from that number, as settlement does before it arms."""

    def adopted(self) -> Mapping[str, tuple[int, int]]:
        """Return the nodes that have told all: the epoch, and how many calls."""

    def rehold_of(self, node: str, told: Sequence[Rehold]) -> list[Result]:
        """Tell calls as another node."""

    def now_ms(self) -> int:
        """Return the store's time."""

    def second(self) -> int:
        """Return the store's current second."""

    def let_time_pass(self) -> None:
        """Return when the store's clock shows another millisecond."""

    def set_memory_full(self, *, full: bool) -> None:
        """Fill the store, or make room."""


class FakeBench:
    """A handle on the fake."""

    def __init__(self) -> None:
        self.funds = self.keeper = FakeFunds(NODE, GRACE_S)
        self.keeper.arm(EPOCH)

    def batch_of(self, node: str, operations: Sequence[Operation]) -> list[Result]:
        """Apply operations of another node."""
        mine, self.funds.node = self.funds.node, node
        results = self.funds.batch(operations)
        self.funds.node = mine
        return results

    def set_terms(self, fund: str, terms: FundTerms | None) -> None:
        """Do what the sync does."""
        if terms is None:
            self.funds.terms.pop(fund, None)
        else:
            self.funds.terms[fund] = terms

    def set_config(self, config_pass: int, changed: Mapping[str, int], low: int = 0) -> None:
        """Let configuration stand at a pass."""
        self.funds.config_pass, self.funds.changed_low = config_pass, low
        self.funds.changed = dict(changed)

    def lose_marker(self) -> None:
        """Do what the sync does before it loads another database."""
        self.funds.has_marker = False

    def events(self) -> list[CallEvent]:
        """Return all events so far."""
        return self.funds.events

    def expire_lease(self, rid: str) -> None:
        """Let a lease be past."""
        self.funds.leases[rid] = 1

    def disarm(self) -> None:
        """Do what a restart does."""
        self.funds.armed_epoch = 0

    def lose_epoch(self) -> None:
        """Do what a FLUSHALL does to the epoch."""
        self.funds.epoch = 0

    def remember(self) -> object:
        """Return all that stands in the fake."""
        return deepcopy({name: getattr(self.funds, name) for name in STORED})

    def roll_back(self, before: object) -> None:
        """Let all be as it was, and unarmed."""
        assert isinstance(before, dict)
        for name, value in deepcopy(before).items():
            setattr(self.funds, name, value)
        self.disarm()

    def call_nodes(self, epoch: int) -> None:
        """Want calls, or no more."""
        self.funds.building, self.funds.adopted_nodes = epoch, {} if epoch else self.funds.adopted_nodes

    def raise_opseq(self, opseq: int) -> None:
        """Count on from there."""
        self.funds.opseq = max(self.funds.opseq, opseq)

    def adopted(self) -> Mapping[str, tuple[int, int]]:
        """Return the nodes that have told all."""
        return self.funds.adopted_nodes

    def rehold_of(self, node: str, told: Sequence[Rehold]) -> list[Result]:
        """Tell calls as another node."""
        mine, self.funds.node = self.funds.node, node
        results = self.funds.rehold(told)
        self.funds.node = mine
        return results

    def now_ms(self) -> int:
        """Return the fake's time."""
        return self.funds.now_ms

    def second(self) -> int:
        """Return the fake's current second."""
        return self.funds.now_ms // 1000

    def let_time_pass(self) -> None:
        """Move the fake's clock."""
        self.funds.now_ms += 1

    def set_memory_full(self, *, full: bool) -> None:
        """Fill the fake, or make room."""
        self.funds.memory_full = full


class RedisBench:
    """A handle on real Redis. client: may do everything. funds work through the workers' user."""

    def __init__(self, client: RedisClient, worker: RedisClient) -> None:
        self._client = client
        self._worker = worker
        self.funds = Funds(worker, NODE, GRACE_S)
        self.keeper = Funds(client, NODE, GRACE_S)
        self.keeper.arm(EPOCH)

    def batch_of(self, node: str, operations: Sequence[Operation]) -> list[Result]:
        """Apply operations of another node."""
        return Funds(self._worker, node, GRACE_S).batch(operations)

    def set_terms(self, fund: str, terms: FundTerms | None) -> None:
        """Do what the sync does."""
        if terms is None:
            self._client.execute("DEL", keys.fund_terms(fund))
        else:
            self._client.execute("SET", keys.fund_terms(fund), codec.pack(terms))

    def set_config(self, config_pass: int, changed: Mapping[str, int], low: int = 0) -> None:
        """Let configuration stand at a pass."""
        self._client.execute("MSET", keys.PASS, config_pass, keys.CHANGED_LOW, low, keys.MARKER, "one")
        self._client.execute("DEL", keys.CHANGED)
        for name, at in changed.items():
            self._client.execute("ZADD", keys.CHANGED, at, name)

    def lose_marker(self) -> None:
        """Do what the sync does before it loads another database."""
        self._client.execute("DEL", keys.MARKER)

    def events(self) -> list[CallEvent]:
        """Return all events so far."""
        entries = self._client.execute("XRANGE", keys.EVENTS, "-", "+")
        return [codec.unpack(CallEvent, fields[1]) for _, fields in entries]

    def expire_lease(self, rid: str) -> None:
        """Let a lease be past."""
        self._client.execute("ZADD", keys.LEASES, 1, rid)

    def disarm(self) -> None:
        """Do what a restart does: the library's memory is gone."""
        for source in redis_functions.sources().values():
            self._client.execute("FUNCTION", "LOAD", "REPLACE", source)

    def lose_epoch(self) -> None:
        """Do what a FLUSHALL does to the epoch."""
        self._client.execute("DEL", keys.EPOCH)

    def remember(self) -> object:
        """Return all keys, their remaining time to live, and their values as Redis serializes them."""
        names = self._client.execute("KEYS", "*")
        lives = (max(0, self._client.execute("PTTL", name)) for name in names)
        return [(name, life, self._client.execute("DUMP", name)) for name, life in zip(names, lives, strict=True)]

    def roll_back(self, before: object) -> None:
        """Let all be as it was, and unarmed."""
        assert isinstance(before, list)
        self._client.execute("FLUSHALL")
        for row in before:
            self._client.execute("RESTORE", *row)
        self.disarm()

    def call_nodes(self, epoch: int) -> None:
        """Want calls, or no more."""
        if epoch:
            self._client.execute("DEL", keys.ADOPTED)
            self._client.execute("SET", keys.BUILDING, epoch)
        else:
            self._client.execute("DEL", keys.BUILDING)

    def raise_opseq(self, opseq: int) -> None:
        """Count on from there."""
        self._client.execute("SET", keys.OPSEQ, max(opseq, self.funds.status().opseq))

    def adopted(self) -> Mapping[str, tuple[int, int]]:
        """Return the nodes that have told all."""
        flat = [part.decode() for part in self._client.execute("HGETALL", keys.ADOPTED)]
        pairs = ((node, told.split()) for node, told in zip(flat[::2], flat[1::2], strict=True))
        return {node: (int(epoch), int(count)) for node, (epoch, count) in pairs}

    def rehold_of(self, node: str, told: Sequence[Rehold]) -> list[Result]:
        """Tell calls as another node."""
        return Funds(self._worker, node, GRACE_S).rehold(told)

    def now_ms(self) -> int:
        """Return Redis' time."""
        seconds, micros = self._client.execute("TIME")
        return int(seconds) * 1000 + int(micros) // 1000

    def second(self) -> int:
        """Return Redis' current second."""
        return self.now_ms() // 1000

    def let_time_pass(self) -> None:
        """Wait for Redis' clock."""
        before = self.now_ms()
        until(lambda: self.now_ms() > before, 1, "Redis' clock to show another millisecond")

    def set_memory_full(self, *, full: bool) -> None:
        """Set a limit that is already passed, or none."""
        self._client.execute("CONFIG", "SET", "maxmemory", "1000" if full else "0")


def hold(*funds: str, rows: tuple[tuple[int, ...], ...], used: tuple[str, ...] = (), sides: int = OUT) -> Hold:
    """Return a hold on funds "<account>:<currency>"; a row is (talk_s, price of the first fund, of the second …)."""
    return Hold(
        funds=tuple(HoldFund(fund, int(fund.split(":")[0]), level, sides) for level, fund in enumerate(funds, start=1)),
        rows=tuple(HoldRow(row[0], row[1:]) for row in rows),
        used=used,
    )


def pinned(rid: str) -> PinnedCall:
    """Return a pinned call with numbers above 2^53, which Lua would round."""
    return PinnedCall(
        rid=rid,
        call_id="c-1@phone",
        from_tag="tag",
        node=NODE,
        started_ms=2**53 + 1,
        direction="out",
        source="alice@a.example",
        account_id=2**62 + 1,
        caller="4930111",
        callee="442079460000",
        max_s=14_400,
        legs=(),
        targets=(),
        trace=("rule 12: 00 → +",),
    )


def ended(outcome: str = "answered") -> bytes:
    """Return the bytes of a call's end."""
    end = CallEnd(
        outcome=outcome,
        ended_ms=2**53 + 3,
        answered_ms=1_700_000_000_000,
        talk_ms=30_000,
        billed_s=30,
        status=200,
        reason="",
        q850=16,
        ended_by="caller",
    )
    return codec.pack(end)


def rich(bench: Bench, *funds: str, cred: int = 1_000_000) -> None:
    """Give each fund `cred` micros and no other limit."""
    for fund in funds:
        bench.set_terms(fund, FundTerms(1, cred))


def reserve(bench: Bench, rid: str, wanted: Hold, seen_pass: int = 0) -> Held | Refused | Stale | Unarmed | Void:
    """Reserve under the operation id of a first attempt."""
    return bench.funds.reserve(f"{rid}:0", rid, wanted, 120, seen_pass, codec.pack(pinned(rid)))


def chain(rows: tuple[tuple[int, ...], ...] = ROWS, used: tuple[str, ...] = ()) -> Hold:
    """Return a hold of a customer below a reseller."""
    return hold(CUSTOMER, RESELLER, rows=rows, used=used)


def balance(bench: Bench, fund: str) -> Balance:
    """Return one balance."""
    return bench.funds.balances([fund])[0]


def extend(rid: str, seq: int, *rows: HoldRow) -> Extend:
    """Return an extension whose last row would end in 200 s."""
    return Extend(f"{rid}:{seq}", rid, seq, rows, 200)


def answered(bench: Bench, rid: str) -> None:
    """Let a held call be answered under sequence 1."""
    assert isinstance(bench.funds.batch([Answer(f"{rid}:1", rid, 1, 120)])[0], Applied)
