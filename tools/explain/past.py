"""What became of a past call, from its CDR: outcome, attempts, prices per payment, and the trace kept with it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import class_row
from rich.console import Console
from rich.table import Table

from kemi.core.amounts import amount
from kemi.records import Choice
from tools.database_url import checked
from tools.errors import OperatorError
from tools.explain.data import choice_data, sides
from tools.explain.show import MS, add, say, table, wide_console
from tools.settle.attempts import has_answered

TRACED: Final = ("not eligible", "skipped")
CALLS_MAX: Final = 20  # with one Call-ID: a challenged INVITE, its answer, and whoever reuses it
ENDED: Final = MappingProxyType(
    {
        "money": "more talk was refused: a fund or its cap was at its end",
        "maximum": "the longest a call may be",
        "noc": "`tandem noc end`",
        "store_down": "Redis could not be asked for more talk",
        "node_lost": "its node was dead or stood still when more talk was due",
        "lost_hold": "Redis did not know its hold any more",
        "silent": "neither side answered any more, asked twice within the call",
        "sweeper": "nobody told of its end",
    }
)

_CALLS: Final = """
    SELECT rid, node, started_at, answered_at, ended_at, direction, source, account_id, caller, callee, outcome,
           sip_status, reason, q850, ended_by, talk_ms, billed_s, attempts, trace, config_pass, refused_by, hidden,
           left_out,
           (SELECT g.applied_at FROM tandem.generation g WHERE g.config_pass <= c.config_pass
             ORDER BY g.config_pass DESC LIMIT 1) AS applied_at
    FROM tandem.cdr c WHERE call_id = %s ORDER BY started_at, rid LIMIT %s
"""
_ATTEMPTS: Final = """
    SELECT a.server_id, coalesce(g.name || '/' || s.name, a.name) AS name, a.status, a.asked_at, a.ended_at,
           coalesce(a.pdd_ms, -1) AS pdd_ms, a.why, coalesce(a.place + 1, 0) AS target
    FROM tandem.cdr_attempt a
    LEFT JOIN tandem.peering_server s ON s.id = a.server_id
    LEFT JOIN tandem.peering_group g ON g.id = s.group_id
    WHERE a.rid = %s ORDER BY a.n
"""
_LEGS: Final = """
    SELECT l.level, payer.name AS payer, payee.name AS payee, l.currency, l.price_micros, l.tariff_id, l.prefix, l.book,
           l.fund_currency, l.charged_micros, l.payer_id, l.payee_id
    FROM tandem.cdr_leg l
    LEFT JOIN tandem.account payer ON payer.id = l.payer_id
    LEFT JOIN tandem.account payee ON payee.id = l.payee_id
    WHERE l.rid = %s ORDER BY l.book DESC, l.level
"""


class PastCall(NamedTuple):
    """A CDR, as its table has it. attempts: server id and SIP status, in order. refused_by: an account, 0 = none.

    left_out: carriers that were not asked, in the fields of a Choice; an empty why: a candidate whose turn never came.
    applied_at: when the configuration that it was decided by came into force, None = that is not known.
    """

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
    hidden: bool = False
    left_out: Sequence[Sequence[Any]] = ()
    applied_at: datetime | None = None


class PastAttempt(NamedTuple):
    """One try of it. pdd_ms: until it rang or answered, -1 = neither. why: a word.

    name: "group/server"; of a phone its line, with a server_id of 0; "" = gone, or not known. target: its place among
    those of the call, from 1, 0 = not known.
    """

    server_id: int
    name: str
    status: int
    asked_at: datetime | None = None
    ended_at: datetime | None = None
    pdd_ms: int = -1
    why: str = ""
    target: int = 0


class PastLeg(NamedTuple):
    """One payment of it. book: "fund" or "cost", what a carrier is owed.

    price_micros: what the payee earned, in `currency`; charged_micros: what the payer's fund paid, in its own.
    tariff_id: 0 = free, None = the reader does not see it; payer, payee None: gone, or not seen.
    """

    level: int
    payer: str | None
    payee: str | None
    currency: str
    price_micros: int
    tariff_id: int | None
    prefix: str
    book: str
    fund_currency: str | None
    charged_micros: int | None
    payer_id: int = 0
    payee_id: int = 0


class Past(NamedTuple):
    """All that is kept of a call."""

    call: PastCall
    legs: list[PastLeg]
    attempts: list[PastAttempt]


def past_calls(database_url: str, call_id: str) -> list[Past]:
    """Return the calls with this Call-ID, oldest first. Raises OperatorError."""
    try:
        with psycopg.connect(checked(database_url), connect_timeout=3, application_name="tandem explain") as connection:
            calls = connection.cursor(row_factory=class_row(PastCall)).execute(_CALLS, (call_id, CALLS_MAX)).fetchall()
            legs = connection.cursor(row_factory=class_row(PastLeg))
            attempts = connection.cursor(row_factory=class_row(PastAttempt))
            found = [
                Past(
                    call,
                    legs.execute(_LEGS, (call.rid,)).fetchall(),
                    attempts.execute(_ATTEMPTS, (call.rid,)).fetchall() or _older(call),
                )
                for call in calls
            ]
    except psycopg.Error as error:
        raise OperatorError(f"Postgres does not do its part: {str(error).strip()}") from error
    if not found:
        raise no_call(call_id)
    return found


def no_call(call_id: str) -> OperatorError:
    """Return the error for a call that is not there, or that the reader does not see."""
    return OperatorError(f"no call with Call-ID {call_id!r} is settled: it runs still, or it never came here")


def _older(call: PastCall) -> list[PastAttempt]:
    """Return the attempts of a record that a release before their table has written."""
    return [PastAttempt(server_id, "", status) for server_id, status, *_ in call.attempts]


def past_data(calls: Sequence[Past]) -> list[dict[str, Any]]:
    """Return what programs are told: the keys of a call as it would go now, and those of the record of the call.

    verdict: "reject" for one that was refused, else "route". candidates: those that were asked. rejected: all others
    that were weighed, each with the reason; none of a call before the release that keeps them, whose trace tells them.
    generation: the version of the configuration that was decided by.
    """
    return [
        {name: value for name, value in past.call._asdict().items() if name != "left_out"}
        | {
            "verdict": "reject" if past.call.outcome == "refused" else "route",
            "status": past.call.sip_status,
            "chain": [leg._asdict() for leg in past.legs if leg.book == "fund"],
            "candidates": [attempt._asdict() for attempt in past.attempts],
            "rejected": [choice_data(choice) | {"reason": choice.why} for choice in not_used(past)],
            "generation": past.call.config_pass,
            "legs": [leg._asdict() for leg in past.legs],
        }
        for past in calls
    ]


def not_used(past: Past) -> list[Choice]:
    """Return the carriers that were weighed and not asked, each with the reason."""
    unreached = _unreached(past)
    choices = [Choice._make(values) for values in past.call.left_out]
    return [choice if choice.why else choice._replace(why=unreached) for choice in choices]


def _unreached(past: Past) -> str:
    """Say why the turn of the remaining candidates never came."""
    call, attempts = past.call, past.attempts
    if call.outcome == "refused":
        return f"not asked: the call was refused ({call.reason})"
    if call.outcome == "cancelled":
        return "not asked: the caller hung up before its turn came"
    if not attempts:
        return "not asked: whom the call was sent to is not known"
    last = attempts[-1]
    if has_answered(last.status):
        return f"not asked: {_whom(last)} took the call"
    return f"not asked: the answer of {_whom(last)}, {last.status}, ended the hunt"


def show_past(calls: Sequence[Past]) -> None:
    """Print the calls for people."""
    console = wide_console()
    for past in calls:
        _show_call(console, past)


def _show_call(console: Console, past: Past) -> None:
    call, legs, attempts = past
    reason = f" {call.reason}" if call.reason else ""
    if call.refused_by:
        reason += f" at account {call.refused_by}"
    talked = f"talked {call.talk_ms / MS:.1f} s"
    line = f"{call.outcome.upper()}: {call.sip_status}{reason}, Q.850 {call.q850}, {talked}{ended(call)}"
    say(console, line, style="bold")
    caller = f"{call.caller} (hidden)" if call.hidden else call.caller
    numbers = f"{call.source} {caller} → {call.callee} {call.direction}".rstrip()
    where = f" on {call.node}" if call.node else ""
    say(console, f"  {call.started_at:%Y-%m-%d %H:%M:%S %Z}{where}: {numbers}")
    for sentence in call.trace:
        say(console, f"  {sentence}")
    for attempt in attempts:
        say(console, f"  {_told(attempt)}")
    for choice in not_used(past):
        if not _stands_in(call.trace, choice):
            say(console, f"  not used: {choice.name or 'others'}{_by_rule(choice)}: {choice.why}")
    if legs:
        console.print(_payments(call, legs))
    say(console, f"decided by configuration generation {call.config_pass}{_since(call)}", style="dim")


def _told(attempt: PastAttempt) -> str:
    """Return one attempt as a sentence."""
    why = f" ({attempt.why})" if attempt.why else ""
    rang = f", rang after {attempt.pdd_ms / MS:.1f} s" if attempt.pdd_ms >= 0 else ""
    return f"tried {_whom(attempt)}: {attempt.status or 'cancelled'}{why}{rang}"


def _whom(attempt: PastAttempt) -> str:
    """Return who was tried: a server, or the target of this number and whose phone it was."""
    number = (
        f"server {attempt.server_id}" if attempt.server_id else f"target {attempt.target}" if attempt.target else ""
    )
    if number and attempt.name:
        return f"{number} ({attempt.name})"
    return number or attempt.name or "somebody whom the record does not name"


def _stands_in(trace: Sequence[str], choice: Choice) -> bool:
    """Tell whether the trace says already why a carrier was not used."""
    return any(sentence.endswith(f"({choice.name}) {word}: {choice.why}") for sentence in trace for word in TRACED)


def _by_rule(choice: Choice) -> str:
    return f" by rule {choice.rule_id}" if choice.rule_id else ""


def _since(call: PastCall) -> str:
    """Say when that version came into force, as far as that is known."""
    return f", in force since {call.applied_at:%Y-%m-%d %H:%M:%S %Z}" if call.applied_at else ""


def ended(call: PastCall) -> str:
    """Return who or what ended a past call, as the end of a sentence; "" where the outcome says it all."""
    if not call.ended_by:
        return ""
    return f", ended by {call.ended_by}" + (f" ({ENDED[call.ended_by]})" if call.ended_by in ENDED else "")


def billed(call: PastCall) -> str:
    """Return for how long a past call is paid, and why that is less than was talked."""
    told = f"Payments for {call.billed_s} s"
    if call.talk_ms < call.billed_s * MS + MS / 10:  # else nobody could see the difference
        return told
    return f"{told}: no more was granted, the other {call.talk_ms / MS - call.billed_s:.1f} s are our loss"


def _payments(call: PastCall, legs: Sequence[PastLeg]) -> Table:
    made = table(billed(call), "level", "side", "pays", "to", "tariff", "prefix", "price", "paid as")
    on_side = iter(sides(call.direction, [(leg.payer_id, leg.payee_id) for leg in legs if leg.book == "fund"]))
    for leg in legs:
        payee = "the carrier" if leg.book == "cost" else leg.payee or ""
        side = "" if leg.book == "cost" else next(on_side)
        paid = ""
        if leg.charged_micros is not None and leg.fund_currency and leg.fund_currency != leg.currency:
            paid = amount(leg.charged_micros, leg.fund_currency)
        price = amount(leg.price_micros, leg.currency)
        tariff = "" if leg.tariff_id is None else leg.tariff_id or "free"
        add(made, leg.level, side, leg.payer or "", payee, tariff, leg.prefix, price, paid)
    return made
