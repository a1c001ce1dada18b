"""What a crowd's calls came to, against what was paid for: in Redis, ledger, records, and on both sides of the wire."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import namedtuple_row

from kemi import keys
from kemi.adapters.redis_funds import Funds
from tools.scenario.crowd import DECK_MICROS, INCREMENT_S, Crowd, Seen, increment_micros

_RECORDS: Final = """
select c.rid, c.call_id, c.node, c.outcome, c.sip_status, c.reason, c.ended_by, c.billed_s, c.talk_ms, c.trace
  from tandem.cdr c where starts_with(c.call_id, %s)
"""
_LEDGER: Final = """
select a.name, e.book, sum(e.amount_micros)::bigint as micros
  from tandem.ledger_entry e join tandem.account a on a.id = e.account_id where e.rid = any(%s) group by 1, 2
"""
_FUNDS: Final = """
select a.name, a.id, a.currency, b.balance_micros
  from tandem.account a join tandem.fund_balance b on b.account_id = a.id where a.name = any(%s)
"""
SPARE_MS: Final = 1_000
"""A call ends at its deadline, at most so much later."""


class Outcome(NamedTuple):
    """A round in numbers. by_node: granted calls per node. differences: sentences, empty when all is exact."""

    granted: int
    refused: int
    increments: int
    charged_micros: int
    by_node: dict[str, int]
    differences: tuple[str, ...]


def recorded(crowd: Crowd, database: psycopg.Connection[Any]) -> int:
    """Return how many of the calls have their record."""
    return len(database.execute(_RECORDS, (crowd.label,)).fetchall())


def outcome(
    crowd: Crowd, seen: Seen, database: psycopg.Connection[Any], funds: Funds, spare_ms: int = SPARE_MS
) -> Outcome:
    """Count what came of a round. spare_ms: how late after its money a call may end.

    More than SPARE_MS: a node was killed. A call whose money was over before another node had it ends as node_lost.
    """
    cursor = database.cursor(row_factory=namedtuple_row)
    records: list[Any] = cursor.execute(_RECORDS, (crowd.label,)).fetchall()
    granted = [record for record in records if record.outcome == "answered"]
    increments = sum(record.billed_s for record in granted) // INCREMENT_S
    by_node: dict[str, int] = {}
    for record in granted:
        by_node[record.node] = by_node.get(record.node, 0) + 1
    charged = increments * increment_micros(crowd.poorest)
    differences = (
        *_of_wire(crowd, seen, {record.call_id for record in granted}),
        *_of_records(crowd, records, spare_ms),
        *_of_ledger(cursor, records, crowd),
        *_of_redis(cursor, funds, crowd),
    )
    return Outcome(len(granted), len(records) - len(granted), increments, charged, by_node, differences)


def _of_wire(crowd: Crowd, seen: Seen, granted: set[str]) -> Iterator[str]:
    """Say which far end saw something else than the records say."""
    yield from (f"a SIPp was not content, see {log}" for log in seen.failed)
    if len(seen.refused) + len(granted) != crowd.calls:
        yield f"{len(seen.refused)} callers heard 402 and {len(granted)} talked, of {crowd.calls}"
    for who, calls in (
        ("callers got our BYE", seen.caller_ended),
        ("callees were called", seen.callee_called),
        ("callees got our BYE", seen.callee_ended),
    ):
        if calls != granted:
            yield f"{len(calls)} {who}, {len(granted)} calls were granted: {sorted(calls ^ granted)[:3]} differ"


def _of_records(crowd: Crowd, records: list[Any], spare_ms: int) -> Iterator[str]:
    if len(records) != crowd.calls:
        yield f"{len(records)} records of {crowd.calls} calls"
    paid_s = sum(record.billed_s for record in records)
    if paid_s != crowd.paid * INCREMENT_S:
        yield f"{paid_s} s were billed, {crowd.paid * INCREMENT_S} s were paid for"
    refused_by = f"hold refused by level {crowd.poorest} "
    enders = ("money",) if spare_ms <= SPARE_MS else ("money", "node_lost")
    for record in records:
        if record.outcome == "answered":
            late_ms = record.talk_ms - record.billed_s * 1000
            if record.ended_by not in enders or not 0 <= late_ms <= spare_ms:
                yield f"{record.call_id} was ended by {record.ended_by!r}, {late_ms} ms after its money"
        elif (record.outcome, record.sip_status, record.reason) != ("refused", 402, "no_credit"):
            yield f"{record.call_id} came out as {record.outcome} {record.sip_status} {record.reason}"
        elif not any(refused_by in line for line in record.trace):
            yield f"{record.call_id} was not {refused_by.strip()}: {record.trace[-1:]}"


def _of_ledger(cursor: psycopg.Cursor[Any], records: list[Any], crowd: Crowd) -> Iterator[str]:
    """Say which account's books hold something else than its part of the increments that were paid for."""
    rows = cursor.execute(_LEDGER, ([record.rid for record in records],)).fetchall()
    books = {(row.name, row.book): row.micros for row in rows}
    if sum(books.values()):
        yield f"the ledger of the calls sums to {sum(books.values())}"
    owed = DECK_MICROS * sum(record.outcome == "answered" for record in records)
    due = {(name, "fund"): -crowd.paid * increment_micros(level) for level, name in enumerate(crowd.accounts, 1)}
    due |= {("Tandem", "cost"): -owed, ("Tandem", "carrier"): owed}
    for (name, book), micros in due.items():
        if books.get((name, book), 0) != micros:
            yield f"the {book} of {name} was posted {books.get((name, book), 0)}, due are {micros}"


def _of_redis(cursor: psycopg.Cursor[Any], funds: Funds, crowd: Crowd) -> Iterator[str]:
    rows = {row.name: row for row in cursor.execute(_FUNDS, (list(crowd.accounts),)).fetchall()}
    names = [rows[name] for name in crowd.accounts]
    balances = funds.balances([keys.fund(row.id, row.currency) for row in names])
    for level, (row, balance) in enumerate(zip(names, balances, strict=True), 1):
        charged, due = balance.charged_micros, crowd.paid * increment_micros(level)
        if (charged, balance.held_micros, balance.channels) != (due, 0, 0):
            yield f"level {level}: Redis charged {charged} of {due}, holds {balance.held_micros} on {balance.channels}"
        left = crowd.opening_micros(level) - due
        if row.balance_micros != left:
            yield f"level {level}: balance {row.balance_micros}, must be {left}"
