"""Builders of pinned calls and of their events, priced as the rating code says, for the tests of settlement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kemi import keys
from kemi.core.rating import charge, legs_at
from kemi.core.sides import Side
from kemi.records import Attempt, CallEnd, CallEvent, FundPosting, PinnedCall, PinnedLeg, PinnedTarget, Rate

STARTED_MS = 1_770_000_000_000
RETAIL = Rate(per_min_micros=60_000, first_s=1, next_s=1)
WHOLESALE = Rate(per_min_micros=30_000, first_s=1, next_s=1)
DECK = Rate(per_min_micros=12_000, first_s=1, next_s=1)
CALLER = Side(
    "tag", "sip:alice@a.example", "192.0.2.1", "sip:192.0.2.1:5060;transport=udp", "sip:alice@192.0.2.1", cseq=2
)
CALLEE = Side(
    "to",
    "sip:bob@c.example",
    "198.51.100.1",
    "sip:198.51.100.1:5060;transport=udp",
    "sip:bob@198.51.100.1",
    shown="sip:shown@c.example",
)


def leg(level: int, payer_id: int, payee_id: int, rate: Rate = RETAIL, currency: str = "EUR") -> PinnedLeg:
    return PinnedLeg(
        level=level,
        payer_id=payer_id,
        payee_id=payee_id,
        currency=currency,
        fund=keys.fund(payer_id, currency),
        tariff_id=0,
        rate_set_id=0,
        prefix="44",
        rate=rate,
    )


def carrier(server_id: int = 1, owner_id: int = 1, rate: Rate = DECK, level: int = 0) -> PinnedTarget:
    cost = leg(level, owner_id, owner_id, rate)._replace(fund="")
    return PinnedTarget(group_id=server_id * 10, server_id=server_id, name=f"acme-{server_id}", cost=cost)


def call(rid: str, legs: Sequence[PinnedLeg], targets: Sequence[PinnedTarget] = ()) -> PinnedCall:
    return PinnedCall(
        rid=rid,
        call_id=f"{rid}@caller.example",
        from_tag="tag",
        node="n1",
        started_ms=STARTED_MS,
        direction="out",
        source="alice@a.example",
        account_id=legs[0].payer_id if legs else 0,
        caller="4930123456",
        callee="442071838750",
        max_s=14_400,
        legs=tuple(legs),
        targets=tuple(targets),
        trace=("rule 12: 00 → +",),
    )


def answered(billed_s: int, server_id: int = 0) -> CallEnd:
    return CallEnd(
        outcome="answered",
        ended_ms=STARTED_MS + 2_000 + billed_s * 1000,
        answered_ms=STARTED_MS + 2_000,
        talk_ms=billed_s * 1000,
        billed_s=billed_s,
        status=200,
        reason="",
        q850=16,
        ended_by="caller",
        server_id=server_id,
        attempts=(Attempt(server_id, 200),) if server_id else (),
    )


def unanswered(outcome: str, status: int, reason: str) -> CallEnd:
    return CallEnd(
        outcome=outcome,
        ended_ms=STARTED_MS + 500,
        answered_ms=0,
        talk_ms=0,
        billed_s=0,
        status=status,
        reason=reason,
        q850=21,
        ended_by="",
        trace=(f"refused: {reason}",) if reason else (),
    )


def exchanged(paid: PinnedLeg, currency: str, nanos: int) -> PinnedLeg:
    """Return the leg as a fund in another currency pays it."""
    return paid._replace(fund=keys.fund(paid.payer_id, currency), exchange_nanos=nanos)


def fund_prices(
    pinned: PinnedCall, billed_s: int, answered_ms: int = STARTED_MS + 2_000, place: int = -1
) -> dict[str, int]:
    """Fund -> what its legs cost together, in order of first appearance. place: where the call was answered."""
    prices: dict[str, int] = {}
    for each in legs_at(pinned.legs, pinned.targets, place):
        if each.fund:
            prices[each.fund] = prices.get(each.fund, 0) + charge(each, billed_s, answered_ms)
    return prices


def settled(
    pinned: PinnedCall,
    end: CallEnd,
    numbers: Mapping[str, int] | None = None,
    charged: Mapping[str, int] | None = None,
    epoch: int = 1,
    seq: int = 1,
    before_s: int = 0,
) -> CallEvent:
    """Return the event that Redis writes for this call; it posts only funds whose charges move.

    numbers: fund -> its event number. charged: fund -> `chg` afterwards. before_s: what parts have charged.
    """
    return paid("settle", pinned, end, before_s, numbers, charged, epoch, seq)


def part(
    pinned: PinnedCall,
    billed_s: int,
    before_s: int = 0,
    numbers: Mapping[str, int] | None = None,
    seq: int = 1,
    epoch: int = 1,
) -> CallEvent:
    """Return the event of a call that goes on and pays for the seconds from `before_s` to `billed_s`."""
    end = answered(billed_s)._replace(outcome="talking", status=0, ended_by="", q850=0)
    return paid("part", pinned, end, before_s, numbers, None, epoch, seq)


def paid(  # noqa: PLR0917  the fields of an event
    kind: str,
    pinned: PinnedCall,
    end: CallEnd,
    before_s: int,
    numbers: Mapping[str, int] | None,
    charged: Mapping[str, int] | None,
    epoch: int,
    seq: int,
) -> CallEvent:
    before = fund_prices(pinned, before_s, end.answered_ms, end.place)
    now = fund_prices(pinned, end.billed_s, end.answered_ms, end.place)
    postings = tuple(
        FundPosting(fund, micros - before[fund], (numbers or {}).get(fund, 1), (charged or {}).get(fund, micros))
        for fund, micros in now.items()
        if micros != before[fund]
    )
    return CallEvent(kind, epoch, pinned.rid, seq, postings, pinned, end, before_s)


def late(pinned: PinnedCall, end: CallEnd, seq: int = 5, epoch: int = 1) -> CallEvent:
    return CallEvent("late", epoch, pinned.rid, seq, (), pinned, end)


def refused(pinned: PinnedCall, status: int = 402, reason: str = "credit", epoch: int = 1) -> CallEvent:
    return CallEvent("refused", epoch, pinned.rid, 0, (), pinned, unanswered("refused", status, reason))
