"""What processes leave in shared-memory tables for the NOC to see. kemi/noc.py answers from there."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from json.encoder import encode_basestring_ascii as _text
from typing import Final, NamedTuple, Protocol

from kemi.adapters.cache import Counts
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_shared import CALLS, NOC
from kemi.keys import counts_only
from kemi.records import PinnedCall

COUNTERS: Final[tuple[str, ...]] = (
    "invites",
    "routed",
    "refused",
    "challenged",
    "malformed",
    "registered",
    "attempts",
    "exceptions",
    "stale_decisions",
    "store_unavailable",
    "emergency",
    "unheld",
    "went_on",
    "relayed",
    "media_lost",
    "round_trips",
    "agent_round_trips",
    "agent_lost",
    "ended_by_agent",
    "overtalk_ms",
    "spooled",
    "bye_failed",
    "shed",
)
AGENT: Final = "agent"
MONEY: Final = "money"
PEERS: Final = "peers"
SYNC: Final = "sync"
PROCESS: Final = "process:"
CACHE: Final = "cache:"
ERROR: Final = "error:"
ERROR_MAX: Final = 300  # characters of one; the log has it whole
WELL: Final = ("up", "registered")
SHOWN_NS: Final = 1_000_000_000
NULL: Final = "null"


def publish_process(ksr: Ksr, rank: int, pid: int, load_state: str) -> None:
    """Say which code a process runs. rank: Kamailio's; timers share −1, so the pid is the name."""
    ksr.htable.sht_sets(NOC, f"{PROCESS}{pid}", json.dumps({"rank": rank, "pid": pid, "code": load_state}))


def publish_error(ksr: Ksr, pid: int, what: str, unix_ms: int) -> None:
    """Say what went wrong last in a process."""
    ksr.htable.sht_sets(NOC, f"{ERROR}{pid}", json.dumps({"pid": pid, "what": what[:ERROR_MAX], "unix_ms": unix_ms}))


def publish_agent(ksr: Ksr, status: Mapping[str, object]) -> None:
    """Say how the node agent is."""
    ksr.htable.sht_sets(NOC, AGENT, json.dumps(status))


def publish_money(ksr: Ksr, numbers: Mapping[str, int]) -> None:
    """Say how settlement finds the money, as it last told Redis; nothing where it has never spoken."""
    if numbers:
        ksr.htable.sht_sets(NOC, MONEY, json.dumps(numbers))


def publish_sync(ksr: Ksr, told: Mapping[str, object], unix_ms: int) -> None:
    """Say how the configuration in Redis stands. unix_ms: when that was read; later it is so much older."""
    ksr.htable.sht_sets(NOC, SYNC, json.dumps({**told, "unix_ms": unix_ms}))


class Reader(Protocol):
    """Who reads the configuration in a process: kemi.admission.Admission."""

    @property
    def cache(self) -> Counts:
        """How its cache does."""

    @property
    def generation(self) -> int:
        """The version of the configuration that it has seen."""


class CacheReport:
    """How the cache of this process does, and its memory, told at most once a second.

    Who serves no calls has nothing new to say. blocks: what Python has allocated here (a leak shows in it).
    """

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr
        self._again_ns = 0

    def show(self, reader: Reader, now_ns: int) -> None:
        """Say it, if it is time. now_ns: CLOCK_MONOTONIC."""
        if now_ns >= self._again_ns:
            self._again_ns = now_ns + SHOWN_NS
            pid = os.getpid()
            told = {"pid": pid, "blocks": sys.getallocatedblocks(), "generation": reader.generation}
            told.update(reader.cache._asdict())
            self._ksr.htable.sht_sets(NOC, f"{CACHE}{pid}", json.dumps(told))


def publish_peers(ksr: Ksr, rows: Mapping[str, object]) -> None:
    """Say how carriers' servers are: what they answer to OPTIONS, and where we are registered."""
    ksr.htable.sht_sets(NOC, PEERS, json.dumps(rows))


class Paid(NamedTuple):
    """What a call has for its talk. held_micros: per fund, for all of granted_s; () = not known."""

    granted_s: int
    funds: tuple[str, ...]
    held_micros: tuple[int, ...]


def head(call: PinnedCall) -> str:
    """Return what the table of calls says of a call from its beginning to its end: the first part of `show_call`."""
    accounts = ", ".join([str(account_id) for account_id in chain(call)])
    names = f'"rid": {_text(call.rid)}, "call_id": {_text(call.call_id)}, "source": {_text(call.source)}'
    numbers = f'"caller": {_text(call.caller)}, "callee": {_text(call.callee)}, "direction": {_text(call.direction)}'
    return f'{{{names}, {numbers}, "started_ms": {call.started_ms}, "chain": [{accounts}]'


def paid_part(paid: Paid) -> str:
    """Return what it says of money: the second part."""
    return f'"granted_s": {paid.granted_s}, "levels": {_levels(paid)}'


def show_call(ksr: Ksr, rid: str, parts: tuple[str, str], answered_ms: int, server_id: int) -> None:
    """Put a call into the table of calls. parts: of `head` and `paid_part`. answered_ms: Unix time, 0 = it rings."""
    begun, paid = parts
    row = f'{begun}, {paid}, "answered_ms": {answered_ms}, "server_id": {server_id}}}'
    ksr.htable.sht_sets(CALLS, rid, row)


def chain(call: PinnedCall) -> list[int]:
    """Return the accounts that a call's own account stands under, the root first, and it as the last."""
    payees = {leg.payer_id: leg.payee_id for leg in reversed(call.legs) if leg.fund and not leg.forward}
    found = [call.account_id] if call.account_id else []
    while found and (above := payees.get(found[-1])) is not None and above not in found:
        found.append(above)
    return found[::-1]


def _levels(paid: Paid) -> str:
    """Return the funds of money that a call has held something of, in the order of the hold."""
    rows = []
    for at, fund in enumerate(paid.funds):
        if not counts_only(fund):
            account_id, micros = int(fund.partition(":")[0]), paid.held_micros[at] if paid.held_micros else NULL
            rows.append(f'{{"account": {account_id}, "fund": {_text(fund)}, "held_micros": {micros}}}')
    return f"[{', '.join(rows)}]"


def hide_call(ksr: Ksr, rid: str) -> None:
    """Take a call out of the table of calls."""
    ksr.htable.sht_rm(CALLS, rid)
