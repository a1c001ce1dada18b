"""From one call event to the rows that it leaves in Postgres, as values.

Rule 1: the same event gives the same rows with the same ids, for ever. Posting it again, or in another order,
changes nothing; this is what makes the consumer exact without trusting the stream's ids.
Rule 2: double entry. The entries of one event are one transaction and sum to zero per currency:

    each fund that pays     fund of the payer  −amount (origin redis, fund_n)   income of the payee  +amount
    the carrier that answered   cost of its owner  −amount (origin pg)          cash of its owner    +amount

  A minus is a debit, a plus a credit. `cash` on the owner's side is what has left or is owed to the carrier:
  Redis holds nothing for it, so it is posted here alone and never enters a fund's sums.
Rule 3: a late end (kind `late`) moved no money in Redis. It says what the call costs, so what it leaves is the
difference between that and everything posted for the call before, as entries of origin pg; and an event of the call
that comes after it is taken back by entries with its sequence negated. Sums, record and legs are therefore those of
the late end, whatever else is told of the call, in any order.
Rule 4: an event whose postings are not exactly the price of its pinned legs is poison: nothing of it is posted,
it is set aside with the reason.

Knows nothing of Redis, Postgres, clocks or the order in which events arrive.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Final, NamedTuple

from kemi.core.rating import price
from kemi.records import CallEnd, CallEvent, PinnedCall, PinnedLeg

NAMESPACE: Final = uuid.UUID("6f1b1f0e-52a4-5b7e-9d1c-7a1f3c0e5d21")
"""Root of every posting id; drawn once, never to be changed: ids made from it stand in the ledger."""

LATE: Final = "late"
KINDS: Final = frozenset({"settle", "release", "refused", LATE})
PROVEN: Final = frozenset({"answered", "cancelled", "failed"})
"""Outcomes of somebody who was there. A late end with another one only fills the place of a record that is missing."""
LEGS_MAX: Final = 24
SECOND_MS: Final = 1000
ID_MAX: Final = 2**63 - 1
LATE_NOTE: Final = "late end: what the call costs less what was posted"
LATE_TRACE: Final = "late: Redis held nothing for the call any more, so its end is posted in Postgres"


class Poison(NamedTuple):
    """Why an event cannot be posted: a sentence for the operator. Nothing of the event is posted."""

    reason: str


class CdrRow(NamedTuple):
    """One call. Times are Unix milliseconds, 0 = never. attempts: (server id, SIP status) in hunting order.

    is_late: by a late end; only a later one replaces it.
    """

    rid: str
    call_id: str
    node: str
    started_ms: int
    answered_ms: int
    ended_ms: int
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
    server_id: int
    group_id: int
    attempts: tuple[tuple[int, int], ...]
    trace: tuple[str, ...]
    config_pass: int
    epoch: int
    seq: int
    is_late: bool


class LegRow(NamedTuple):
    """What one payer pays one payee for the call. book: "fund" (held in Redis) or "cost" (owed to the carrier)."""

    rid: str
    level: int
    payer_id: int
    payee_id: int
    currency: str
    price_micros: int
    tariff_id: int
    rate_set_id: int
    prefix: str
    book: str


class EntryRow(NamedTuple):
    """One side of a posting. fund_n: the fund's event number, only in book `fund` of origin redis."""

    id: uuid.UUID
    txn_id: uuid.UUID
    account_id: int
    book: str
    currency: str
    amount_micros: int
    origin: str
    rid: str
    level: int
    seq: int
    epoch: int
    fund_n: int | None
    note: str = ""


class Plan(NamedTuple):
    """Everything that one event leaves in Postgres. entries: of a late end, what the call costs, posted or not."""

    cdr: CdrRow
    legs: tuple[LegRow, ...]
    entries: tuple[EntryRow, ...]


class _FundShare(NamedTuple):
    """One fund's part in a call: its nearest leg names the entry, the price is that of all its legs."""

    leg: PinnedLeg
    price_micros: int


def plan(event: CallEvent) -> Plan | Poison:
    """Return the rows of `event`, or Poison with the sentence that says what is wrong with it. Never raises.

    The event may hold any decoded values: its numbers come from another release or a broken writer.
    """
    try:
        fault = _fault(event)
        if fault:
            return Poison(fault)
        shares = _shares(event)
        fault = "" if event.kind == LATE else _price_fault(event, shares)
        if fault:
            return Poison(fault)
        carrier = _carrier_leg(event.call, event.end)
        paid = _late_entries(event, shares) if event.kind == LATE else _fund_entries(event, shares)
        made = Plan(_cdr(event), _legs(event, carrier), (*paid, *_carrier_entries(event, carrier)))
        return _filler(made) if event.kind == LATE and event.end.outcome not in PROVEN else made
    except (TypeError, ValueError, AttributeError, ArithmeticError) as error:
        return Poison(f"the event's values do not fit their fields: {error}")


def entry_id(rid: str, level: int, seq: int, book: str) -> uuid.UUID:
    """Return the id of a ledger entry: the same for the same (reservation, level, sequence, book), for ever."""
    return uuid.uuid5(NAMESPACE, f"{rid}:{level}:{seq}:{book}")


def _filler(made: Plan) -> Plan:
    """Return what a late end leaves that proves nothing: a record below all others, and no money."""
    return Plan(made.cdr._replace(is_late=False, seq=0), made.legs, ())


def txn_id(rid: str, seq: int) -> uuid.UUID:
    """Return the id of the transaction that the entries of an event are."""
    return uuid.uuid5(NAMESPACE, f"{rid}:{seq}")


def _fault(event: CallEvent) -> str:
    """Return what makes the event impossible to post, "" if nothing does."""
    return _identity_fault(event) or _number_fault(event) or _fund_fault(event) or _late_fault(event)


def _identity_fault(event: CallEvent) -> str:
    if event.kind not in KINDS:
        return f"kind {event.kind!r} is none of {', '.join(sorted(KINDS))}"
    if not event.rid:
        return "the event names no reservation"
    return "" if event.rid == event.call.rid else f"the event of {event.rid} carries the call of {event.call.rid}"


def _number_fault(event: CallEvent) -> str:
    numbers = (event.epoch, event.seq, event.end.billed_s, event.end.talk_ms, event.end.ended_ms, event.call.started_ms)
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
    return "" if len(set(levels)) == len(levels) else f"two legs of one level: {sorted(levels)}"


def _late_fault(event: CallEvent) -> str:
    if event.kind != LATE:
        return ""
    if event.postings or not event.seq:
        return "a late end moves no money in Redis, and something of its call came before it"
    if event.end.outcome not in PROVEN and event.end.billed_s:
        return f"a late end that is {event.end.outcome} cannot bill {event.end.billed_s} s"
    return ""


def _shares(event: CallEvent) -> dict[str, _FundShare]:
    """Return fund -> its share; the funds of a call are merged, so a fund may pay several legs."""
    shares: dict[str, _FundShare] = {}
    for leg in sorted(event.call.legs, key=lambda each: each.level):
        if not leg.fund:
            continue
        before = shares.get(leg.fund)
        micros = price(leg.rate, event.end.billed_s)
        shares[leg.fund] = _FundShare(before.leg, before.price_micros + micros) if before else _FundShare(leg, micros)
    return shares


def _price_fault(event: CallEvent, shares: dict[str, _FundShare]) -> str:
    posted = {posting.fund: posting.amount_micros for posting in event.postings}
    strangers = sorted(posted.keys() - shares.keys())
    if strangers:
        return f"fund {strangers[0]} is posted but pays no leg of the call"
    for fund, share in shares.items():
        if posted.get(fund, 0) != share.price_micros:
            return (
                f"fund {fund} was charged {posted.get(fund, 0)} micros, but its legs cost {share.price_micros}"
                f" for {event.end.billed_s} s"
            )
    return ""


def _fund_entries(event: CallEvent, shares: dict[str, _FundShare]) -> Iterable[EntryRow]:
    """Yield payer's fund and payee's income of every posting; Redis posts only funds whose charges move."""
    for posting in event.postings:
        leg = shares[posting.fund].leg
        yield _entry(event, leg, leg.payer_id, "fund", -posting.amount_micros)._replace(fund_n=posting.n)
        yield _entry(event, leg, leg.payee_id, "income", posting.amount_micros)


def _late_entries(event: CallEvent, shares: dict[str, _FundShare]) -> Iterable[EntryRow]:
    """Yield both sides of what each fund owes for the call: Redis charged nothing for this event."""
    for share in shares.values():
        leg, micros = share.leg, share.price_micros
        if micros:
            yield _entry(event, leg, leg.payer_id, "fund", -micros)._replace(origin="pg", note=LATE_NOTE)
            yield _entry(event, leg, leg.payee_id, "income", micros)._replace(origin="pg", note=LATE_NOTE)


def _carrier_entries(event: CallEvent, carrier: PinnedLeg | None) -> Iterable[EntryRow]:
    if carrier is None:
        return
    micros = price(carrier.rate, _carried_s(event.end))
    if micros:
        yield _entry(event, carrier, carrier.payer_id, "cost", -micros)._replace(origin="pg")
        yield _entry(event, carrier, carrier.payer_id, "cash", micros)._replace(origin="pg")


def _entry(event: CallEvent, leg: PinnedLeg, account_id: int, book: str, micros: int) -> EntryRow:
    return EntryRow(
        id=entry_id(event.rid, leg.level, event.seq, book),
        txn_id=txn_id(event.rid, event.seq),
        account_id=account_id,
        book=book,
        currency=leg.currency,
        amount_micros=micros,
        origin="redis",
        rid=event.rid,
        level=leg.level,
        seq=event.seq,
        epoch=event.epoch,
        fund_n=None,
    )


def _carrier_leg(call: PinnedCall, end: CallEnd) -> PinnedLeg | None:
    """Return what the server that took the call costs its owner, None when no carrier answered."""
    if not end.answered_ms:
        return None
    return next((target.cost for target in call.targets if target.server_id == end.server_id), None)


def _carried_s(end: CallEnd) -> int:
    """Seconds that the carrier will bill: the real talk, also where we could bill less (a late BYE is our loss)."""
    return max(end.billed_s, -(-end.talk_ms // SECOND_MS))


def _legs(event: CallEvent, carrier: PinnedLeg | None) -> tuple[LegRow, ...]:
    paid = [
        _leg(event.rid, leg, price(leg.rate, event.end.billed_s), "fund" if leg.fund else "cost")
        for leg in event.call.legs
    ]
    if carrier is not None:
        paid.append(_leg(event.rid, carrier, price(carrier.rate, _carried_s(event.end)), "cost"))
    return tuple(paid)


def _leg(rid: str, leg: PinnedLeg, price_micros: int, book: str) -> LegRow:
    return LegRow(
        rid=rid,
        level=leg.level,
        payer_id=leg.payer_id,
        payee_id=leg.payee_id,
        currency=leg.currency,
        price_micros=price_micros,
        tariff_id=leg.tariff_id,
        rate_set_id=leg.rate_set_id,
        prefix=leg.prefix,
        book=book,
    )


def _cdr(event: CallEvent) -> CdrRow:
    call, end = event.call, event.end
    late = (LATE_TRACE,) if event.kind == LATE else ()
    group_id = next((target.group_id for target in call.targets if target.server_id == end.server_id), 0)
    return CdrRow(
        rid=_text(event.rid),
        call_id=_text(call.call_id),
        node=_text(call.node),
        started_ms=call.started_ms,
        answered_ms=end.answered_ms,
        ended_ms=end.ended_ms,
        direction=_text(call.direction),
        source=_text(call.source),
        account_id=call.account_id,
        caller=_text(call.caller),
        callee=_text(call.callee),
        outcome=_text(end.outcome),
        sip_status=end.status,
        reason=_text(end.reason),
        q850=end.q850,
        ended_by=_text(end.ended_by),
        talk_ms=end.talk_ms,
        billed_s=end.billed_s,
        server_id=end.server_id,
        group_id=group_id,
        attempts=tuple((attempt.server_id, attempt.status) for attempt in end.attempts),
        trace=tuple(_text(line) for line in (*call.trace, *end.trace, *late)),
        config_pass=call.config_pass,
        epoch=event.epoch,
        seq=event.seq,
        is_late=event.kind == LATE,
    )


def _text(value: str) -> str:
    """Return text that Postgres takes: a NUL, which SIP can carry and `text` cannot, becomes U+FFFD."""
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}")
