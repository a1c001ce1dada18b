"""From one call event to the rows that it leaves in Postgres, as values.

Rule 1: the same event gives the same rows with the same ids, for ever. Posting it again, or in another order,
changes nothing; this is what makes the consumer exact without trusting the stream's ids.
Rule 2: double entry, see entries.py. A part leaves entries alone: the record and its legs come with the end.
Rule 3: a late end (kind `late`) moved no money in Redis. It says what the call costs, so what it leaves is the
difference between that and everything posted for the call before, as entries of origin pg; and an event of the call
that comes after it is taken back by entries with its sequence negated. Sums, record and legs are therefore those of
the late end, whatever else is told of the call, in any order.
Rule 4: an event whose postings are not exactly the price of its pinned legs, less that of what earlier parts have
charged, is poison: nothing of it is posted, it is set aside with the reason.

Knows nothing of Redis, Postgres, clocks or the order in which events arrive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from kemi import keys
from kemi.records import CallEvent, PinnedLeg
from tools.settle.attempts import attempt_fault, attempts, left_out
from tools.settle.entries import LATE, PART, Priced, answerers, entries, fund_currency, legs, owed, priced
from tools.settle.rows import CapHit, CdrRow, Plan, Poison

KINDS: Final = frozenset({"settle", "release", "refused", LATE, PART})
PROVEN: Final = frozenset({"answered", "cancelled", "failed"})
"""Outcomes of somebody who was there. A late end with another one only fills the place of a record that is missing."""
CAPS: Final = {"spend_day": "day", "spend_month": "month"}
PLAIN: Final = re.compile(r"[ -\[\]-~]*")
"""Names of reservations, funds, currencies and prefixes: printable ASCII without a backslash, as they are written."""
LEGS_MAX: Final = 64
ID_MAX: Final = 2**63 - 1
LATE_TRACE: Final = "late: Redis held nothing for the call, or not all of it, so its end is posted in Postgres"


def plan(event: CallEvent) -> Plan | Poison:
    """Return the rows of `event`, or Poison with the sentence that says what is wrong with it. Never raises.

    The event may hold any decoded values: its numbers come from another release or a broken writer.
    """
    try:
        fault = _fault(event)
        if fault:
            return Poison(fault)
        paid = priced(event)
        fault = "" if event.kind == LATE else _price_fault(event, paid)
        if fault:
            return Poison(fault)
        carrier = owed(event)
        rows = legs(event, paid, carrier), entries(event, paid, carrier)
        record = None if event.kind == PART else _cdr(event)
        tried = () if record is None else attempts(event)
        made = Plan(event.rid, event.end.ended_ms, record, *rows, _cap_hit(event), tried)
        return _filler(made) if event.kind == LATE and event.end.outcome not in PROVEN else made
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return Poison(f"the event's values do not fit their fields: {error}")


def _filler(made: Plan) -> Plan:
    """Return what a late end leaves that proves nothing: a record below all others, and no money."""
    record = made.cdr and made.cdr._replace(is_late=False, seq=0)
    return made._replace(cdr=record, entries=())


def _fault(event: CallEvent) -> str:
    """Return what makes the event impossible to post, "" if nothing does."""
    return (
        _identity_fault(event)
        or _number_fault(event)
        or attempt_fault(event.end.attempts)
        or _fund_fault(event)
        or _kind_fault(event)
    )


def _identity_fault(event: CallEvent) -> str:
    if event.kind not in KINDS:
        return f"kind {event.kind!r} is none of {', '.join(sorted(KINDS))}"
    if not event.rid:
        return "the event names no reservation"
    if event.rid != event.call.rid:
        return f"the event of {event.rid} carries the call of {event.call.rid}"
    names = [event.rid, *(name for leg in event.call.legs for name in (leg.fund, leg.currency, leg.prefix))]
    names += [target.cost.currency + target.cost.prefix for target in event.call.targets if target.cost is not None]
    return "" if PLAIN.fullmatch(" ".join(names)) else f"a name has characters that no name has: {names}"


def _number_fault(event: CallEvent) -> str:
    end = event.end
    numbers = (event.epoch, event.seq, event.billed_before_s, end.billed_s, end.talk_ms, end.answered_ms, end.ended_ms,
               event.call.started_ms, end.place + 1)  # fmt: skip
    if all(isinstance(number, int) and 0 <= number <= ID_MAX for number in numbers):
        return ""
    return f"epoch, sequence, seconds or times are not whole and positive: {numbers}"


def _fund_fault(event: CallEvent) -> str:
    if len(event.call.legs) > LEGS_MAX:
        return f"{len(event.call.legs)} legs, at most {LEGS_MAX} exist"
    funds = [posting.fund for posting in event.postings]
    if len(set(funds)) != len(funds):
        return f"a fund is posted twice: {', '.join(sorted(funds))}"
    levels = [leg.level for leg in event.call.legs]
    if len(set(levels)) != len(levels):
        return f"two legs of one level: {sorted(levels)}"
    return next(filter(None, map(_leg_fault, event.call.legs)), "")


def _leg_fault(leg: PinnedLeg) -> str:
    """Return why a leg cannot be paid by its fund, "" if it can, or if no fund pays it."""
    if not leg.fund:
        return ""
    currency = fund_currency(leg.fund)
    if leg.fund != keys.fund(leg.payer_id, currency):
        return f"fund {leg.fund} pays a leg of account {leg.payer_id}"
    if leg.exchange_nanos < 0 or (currency != leg.currency and not leg.exchange_nanos):
        return f"fund {leg.fund} pays {leg.currency}, at an exchange rate of {leg.exchange_nanos} nanos"
    return ""


def _kind_fault(event: CallEvent) -> str:
    end = event.end
    if event.billed_before_s > end.billed_s:
        return f"{event.billed_before_s} s were charged before, and {end.billed_s} s in all"
    if event.kind == PART and not event.seq:
        return "a part has no sequence"
    if event.kind != LATE:
        return ""
    if event.postings or not event.seq or event.billed_before_s:
        return "a late end moves no money in Redis, and something of its call came before it"
    if end.outcome not in PROVEN and end.billed_s:
        return f"a late end that is {end.outcome} cannot bill {end.billed_s} s"
    return ""


def _price_fault(event: CallEvent, paid: Mapping[str, Sequence[Priced]]) -> str:
    posted = {posting.fund: posting.amount_micros for posting in event.postings}
    strangers = sorted(posted.keys() - (paid.keys() - {""}))
    if strangers:
        return f"fund {strangers[0]} is posted but pays no leg of the call"
    for fund, share in paid.items():
        due = sum(each.charged_now for each in share) if fund else 0
        if posted.get(fund, 0) != due:
            before = f" after {event.billed_before_s} s that were charged before" if event.billed_before_s else ""
            return (
                f"fund {fund} was charged {posted.get(fund, 0)} micros, but its legs cost {due}"
                f" for {event.end.billed_s} s{before}"
            )
    return ""


def _cap_hit(event: CallEvent) -> CapHit | None:
    """Return whose spend cap refused the call, if one did: a lock may hang on it."""
    kind = CAPS.get(event.end.reason)
    if event.kind != "refused" or kind is None:
        return None
    for leg in event.call.legs:
        if leg.payer_id == event.end.account_id and leg.fund:
            return CapHit(leg.payer_id, fund_currency(leg.fund), kind, event.end.ended_ms)
    return None


def _cdr(event: CallEvent) -> CdrRow:
    call, end = event.call, event.end
    trace = (*call.trace, *end.trace, LATE_TRACE) if event.kind == LATE else (*call.trace, *end.trace)
    row = CdrRow(
        event.rid,
        call.call_id,
        call.node,
        call.started_ms,
        end.answered_ms,
        end.ended_ms,
        call.direction,
        call.source,
        call.account_id,
        call.caller,
        call.callee,
        end.outcome,
        end.status,
        end.reason,
        end.q850,
        end.ended_by,
        end.talk_ms,
        end.billed_s,
        end.server_id,
        next((target.group_id for target in answerers(call, end)), 0),
        tuple([(attempt.server_id, attempt.status) for attempt in end.attempts]),
        trace,
        call.config_pass,
        event.epoch,
        event.seq,
        event.kind == LATE,
        end.account_id,
        call.hidden is True,
        left_out(event),
    )
    texts = (row.rid, row.call_id, row.node, row.direction, row.source, row.caller, row.callee, row.outcome, row.reason,
             row.ended_by, *trace)  # fmt: skip
    return _without_nul(row) if "\0" in "".join(texts) else row


def _without_nul(row: CdrRow) -> CdrRow:
    """Return a record that Postgres takes: a NUL, which SIP can carry and `text` cannot, becomes U+FFFD."""
    clean = CdrRow._make(_text(value) if isinstance(value, str) else value for value in row)
    return clean._replace(trace=tuple(map(_text, row.trace)))


def _text(value: str) -> str:
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
