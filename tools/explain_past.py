"""What became of a past call, from its CDR: outcome, attempts, prices per payment, and the trace kept with it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import class_row

from tools.database_url import checked
from tools.errors import OperatorError

CALLS_MAX: Final = 20  # with one Call-ID: a challenged INVITE, its answer, and whoever reuses it

_CALLS: Final = """
    SELECT rid, node, started_at, answered_at, ended_at, direction, source, account_id, caller, callee, outcome,
           sip_status, reason, q850, ended_by, talk_ms, billed_s, attempts, trace, config_pass, refused_by
    FROM tandem.cdr WHERE call_id = %s ORDER BY started_at, rid LIMIT %s
"""
_LEGS: Final = """
    SELECT l.level, payer.name AS payer, payee.name AS payee, l.currency, l.price_micros, l.tariff_id, l.prefix, l.book,
           l.fund_currency, l.charged_micros
    FROM tandem.cdr_leg l
    LEFT JOIN tandem.account payer ON payer.id = l.payer_id
    LEFT JOIN tandem.account payee ON payee.id = l.payee_id
    WHERE l.rid = %s ORDER BY l.book DESC, l.level
"""


class PastCall(NamedTuple):
    """A CDR, as its table has it. attempts: [server id, SIP status] in order. refused_by: an account, 0 = none."""

    rid: str
    node: str
    started_at: datetime
    answered_at: datetime | None
    ended_at: datetime
    direction: str
    source: str
    account_id: int
    caller: str
    callee: str
    outcome: str
    sip_status: int
    reason: str
    q850: int
    ended_by: str
    talk_ms: int
    billed_s: int
    attempts: list[Any]
    trace: list[str]
    config_pass: int
    refused_by: int


class PastLeg(NamedTuple):
    """One payment of it. book: "fund" or "cost", what a carrier is owed.

    price_micros: what the payee earned, in `currency`; charged_micros: what the payer's fund paid, in its own.
    """

    level: int
    payer: str | None
    payee: str | None
    currency: str
    price_micros: int
    tariff_id: int
    prefix: str
    book: str
    fund_currency: str | None
    charged_micros: int | None


def past_calls(database_url: str, call_id: str) -> list[tuple[PastCall, list[PastLeg]]]:
    """Return the calls with this Call-ID, oldest first, each with its payments. Raises OperatorError."""
    try:
        with psycopg.connect(checked(database_url), connect_timeout=3, application_name="tandem explain") as connection:
            calls = connection.cursor(row_factory=class_row(PastCall)).execute(_CALLS, (call_id, CALLS_MAX)).fetchall()
            legs = connection.cursor(row_factory=class_row(PastLeg))
            found = [(call, legs.execute(_LEGS, (call.rid,)).fetchall()) for call in calls]
    except psycopg.Error as error:
        raise OperatorError(f"Postgres does not do its part: {str(error).strip()}") from error
    if not found:
        raise OperatorError(f"no call with Call-ID {call_id!r} is settled: it runs still, or it never came here")
    return found
