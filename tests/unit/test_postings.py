"""One event becomes exactly the rows that the books need, or is set aside with a reason."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import uuid5

import pytest

from kemi.records import Attempt, CallEvent, FundPosting, PinnedCall, Rate
from tests.fakes import calls
from tools.settle.late import Place, difference
from tools.settle.postings import plan
from tools.settle.rows import NAMESPACE, CapHit, CdrRow, Plan, Poison, entry_id


def planned(event: CallEvent) -> Plan:
    result = plan(event)
    assert isinstance(result, Plan), result
    return result


def two_levels() -> PinnedCall:
    return calls.call(
        "r1",
        [calls.leg(1, 5, 2, calls.RETAIL), calls.leg(2, 2, 1, calls.WHOLESALE)],
        [calls.carrier(7), calls.carrier(8, rate=Rate(per_min_micros=6_000))],
    )


def record(made: Plan) -> CdrRow:
    assert made.cdr is not None
    return made.cdr


def books(made: Plan) -> set[tuple[int, str, str, int, int | None]]:
    return {(row.account_id, row.book, row.origin, row.amount_micros, row.fund_n) for row in made.entries}


def test_every_fund_pays_its_payee_and_the_owner_pays_the_carrier_that_answered() -> None:
    """60 s: level 1 60,000 to account 2, level 2 30,000 to the root, whose carrier 7 costs 12,000."""
    made = planned(calls.settled(two_levels(), calls.answered(60, server_id=7), numbers={"5:EUR": 4, "2:EUR": 9}))
    assert books(made) == {
        (5, "fund", "redis", -60_000, 4),
        (2, "income", "redis", 60_000, None),
        (2, "fund", "redis", -30_000, 9),
        (1, "income", "redis", 30_000, None),
        (1, "cost", "pg", -12_000, None),
        (1, "carrier", "pg", 12_000, None),
    }
    assert sum(row.amount_micros for row in made.entries) == 0
    assert len({row.txn_id for row in made.entries}) == 1


def test_each_leg_stands_in_the_books_of_one_payer_and_one_payee() -> None:
    made = planned(calls.settled(two_levels(), calls.answered(60, server_id=8)))
    assert [(row.level, row.payer_id, row.payee_id, row.price_micros, row.book) for row in made.legs] == [
        (1, 5, 2, 60_000, "fund"),
        (2, 2, 1, 30_000, "fund"),
        (0, 1, 1, 6_000, "cost"),
    ]


def test_ids_depend_on_reservation_level_sequence_and_book_only() -> None:
    """Another epoch or event number is the same entry: the ids are what makes posting twice harmless."""
    pinned, end = two_levels(), calls.answered(60, 7)
    first = planned(calls.settled(pinned, end, epoch=1))
    again = planned(calls.settled(pinned, end, epoch=2, numbers={"5:EUR": 77}))
    assert [row.id for row in first.entries] == [row.id for row in again.entries]
    assert len({row.id for row in first.entries}) == len(first.entries)
    assert first.entries[0].id == entry_id("r1", 1, 1, "fund")
    assert {row.id for row in planned(calls.settled(pinned, end, seq=2)).entries}.isdisjoint(
        row.id for row in first.entries
    )


def test_a_fund_that_pays_two_legs_is_posted_once_with_their_sum() -> None:
    """Redis merges the legs of a fund; so does the ledger, while each leg keeps its price."""
    pinned = calls.call("r2", [calls.leg(1, 5, 2, calls.RETAIL), calls.leg(2, 5, 2, calls.WHOLESALE)])
    made = planned(calls.settled(pinned, calls.answered(60)))
    assert books(made) == {(5, "fund", "redis", -90_000, 1), (2, "income", "redis", 90_000, None)}
    assert [row.price_micros for row in made.legs] == [60_000, 30_000]


def test_a_call_at_price_zero_keeps_its_record_and_legs() -> None:
    """Internal and inbound calls move no money, but they are calls."""
    made = planned(calls.settled(calls.call("r3", [calls.leg(1, 5, 2, Rate(0))]), calls.answered(33)))
    assert record(made).billed_s == 33
    assert [row.price_micros for row in made.legs] == [0]
    assert made.entries == ()


def test_a_refused_call_leaves_a_record_with_reason_and_trace_and_no_money() -> None:
    made = planned(calls.refused(two_levels(), 402, "credit"))
    assert (record(made).outcome, record(made).sip_status, record(made).reason) == ("refused", 402, "credit")
    assert record(made).trace == ("rule 12: 00 → +", "refused: credit")
    assert made.entries == ()
    assert all(row.price_micros == 0 for row in made.legs)


def test_the_carrier_is_owed_the_real_talk_even_where_less_could_be_billed() -> None:
    """A late BYE is our loss: 10 s billed, 11.5 s talked, the carrier bills 12 s."""
    end = calls.answered(10, server_id=7)._replace(talk_ms=11_500)
    made = planned(calls.settled(two_levels(), end))
    assert [row.amount_micros for row in made.entries if row.book == "cost"] == [-2_400]


def test_no_carrier_is_owed_for_a_call_that_was_never_answered() -> None:
    end = calls.unanswered("failed", 503, "")._replace(server_id=7, attempts=(Attempt(7, 503),))
    made = planned(CallEvent("release", 1, "r1", 1, (), two_levels(), end))
    assert made.entries == ()
    assert record(made).attempts == ((7, 503),)
    assert record(made).group_id == 70


def test_text_that_postgres_cannot_store_is_made_storable() -> None:
    pinned = two_levels()._replace(call_id="a\0b")
    assert record(planned(calls.settled(pinned, calls.answered(1)))).call_id == "a\N{REPLACEMENT CHARACTER}b"


def test_a_late_end_says_what_the_call_costs_though_redis_charged_nothing() -> None:
    made = planned(calls.late(two_levels(), calls.answered(60, server_id=7)))
    assert books(made) == {
        (5, "fund", "pg", -60_000, None),
        (2, "income", "pg", 60_000, None),
        (2, "fund", "pg", -30_000, None),
        (1, "income", "pg", 30_000, None),
        (1, "cost", "pg", -12_000, None),
        (1, "carrier", "pg", 12_000, None),
    }
    assert record(made).is_late
    assert record(made).trace[-1].startswith("late: ")


def test_a_late_end_that_proves_nothing_only_fills_a_gap() -> None:
    made = planned(calls.late(two_levels(), calls.unanswered("unknown_end", 0, "")))
    assert (record(made).is_late, record(made).seq, made.entries) == (False, 0, ())


def test_the_difference_is_what_is_due_less_what_is_posted() -> None:
    """Another carrier than the one posted before: the old one is given back, the new one charged."""
    made = planned(calls.late(two_levels(), calls.answered(60, server_id=8), seq=5))
    estimate = planned(calls.settled(two_levels(), calls.answered(30, server_id=7), seq=2))
    posted = {Place.of(row): row.amount_micros for row in estimate.entries}
    rows = difference(made, posted)
    assert {(row.account_id, row.book, row.group_id, row.amount_micros, row.seq) for row in rows} == {
        (5, "fund", None, -30_000, 5),
        (2, "income", None, 30_000, 5),
        (2, "fund", None, -15_000, 5),
        (1, "income", None, 15_000, 5),
        (1, "cost", 80, -6_000, 5),
        (1, "carrier", 80, 6_000, 5),
        (1, "cost", 70, 6_000, -5),
        (1, "carrier", 70, -6_000, -5),
    }
    assert len({row.txn_id for row in rows}) == 1
    assert len({row.id for row in rows}) == len(rows)
    same = {Place.of(row): row.amount_micros for row in made.entries}
    assert difference(made, same) == []


def with_leg(pinned: PinnedCall, **changes: Any) -> PinnedCall:
    """Return the call with another first leg."""
    return pinned._replace(legs=(pinned.legs[0]._replace(**changes), *pinned.legs[1:]))


def bad_events() -> dict[str, CallEvent]:
    good = calls.settled(two_levels(), calls.answered(60, 7))
    dear = good.postings[0]._replace(amount_micros=60_001)
    return {
        "none of": good._replace(kind="gift"),
        "carries the call of": good._replace(rid="other"),
        "charged 60001 micros, but its legs cost 60000": good._replace(postings=(dear, *good.postings[1:])),
        "charged 0 micros": good._replace(postings=good.postings[1:]),
        "pays no leg": good._replace(postings=(*good.postings, FundPosting("9:EUR", 0, 1, 0))),
        "posted twice": good._replace(postings=(*good.postings, good.postings[0])),
        "two legs of one level": good._replace(call=good.call._replace(legs=good.call.legs + good.call.legs)),
        "moves no money": good._replace(kind="late"),
        "something of its call came before": good._replace(kind="late", postings=(), seq=0),
        "cannot bill 60 s": good._replace(kind="late", postings=(), end=good.end._replace(outcome="estimated")),
        "not whole and positive": good._replace(seq=-1),
        "70 s were charged before, and 60 s in all": good._replace(billed_before_s=70),
        "its legs cost 20000 for 60 s after 40 s": good._replace(billed_before_s=40),
        "a part has no sequence": good._replace(kind="part", seq=0),
        "pays a leg of account 5": good._replace(call=with_leg(good.call, fund="6:EUR")),
        "pays USD, at an exchange rate of 0": good._replace(call=with_leg(good.call, currency="USD")),
        "at an exchange rate of -1": good._replace(call=with_leg(good.call, exchange_nanos=-1)),
        "no name has": good._replace(call=with_leg(good.call, prefix="4\t4")),
        "legs, at most": good._replace(call=good.call._replace(legs=good.call.legs * 33)),
        "do not fit their fields": good._replace(call=good.call._replace(node=5)),  # type: ignore[arg-type]
    }


@pytest.mark.parametrize("sentence", bad_events())
def test_an_event_that_cannot_be_right_is_poison_and_says_why(sentence: str) -> None:
    result = plan(bad_events()[sentence])
    assert isinstance(result, Poison)
    assert sentence in result.reason


def test_amounts_are_what_the_pinned_rate_says_not_todays() -> None:
    """The event carries its prices; 61 s at 30/6 of 60,000 a minute are 66 s charged."""
    rate = Rate(per_min_micros=60_000, first_s=30, next_s=6, connect_micros=1_000)
    made = planned(calls.settled(calls.call("r4", [calls.leg(1, 5, 2, rate)]), calls.answered(61)))
    assert Counter(row.amount_micros for row in made.entries) == {-67_000: 1, 67_000: 1}


def in_dollars() -> PinnedCall:
    """Return a call of account 5, whose fund is in USD, by a tariff in EUR: 0.9259 EUR would buy a dollar."""
    retail = calls.exchanged(calls.leg(1, 5, 2, calls.RETAIL), "USD", 1_080_000_001)
    return calls.call("r5", [retail, calls.leg(2, 2, 1, calls.WHOLESALE)], [calls.carrier(7)])


def totals(made: Plan) -> dict[str, int]:
    """Return currency -> sum of all entries."""
    sums: Counter[str] = Counter()
    for row in made.entries:
        sums[row.currency] += row.amount_micros
    return dict(sums)


def test_a_payer_in_another_currency_pays_through_both_sides_of_an_exchange() -> None:
    """60 s at 60,000 EUR micros are 64,801 USD micros, rounded up; each currency sums to zero."""
    made = planned(calls.settled(in_dollars(), calls.answered(60, server_id=7)))
    found = {(row.account_id, row.book, row.currency, row.amount_micros) for row in made.entries if row.level == 1}
    assert found == {
        (5, "fund", "USD", -64_801),
        (2, "fx_bought", "USD", 64_801),
        (2, "fx_sold", "EUR", -60_000),
        (2, "income", "EUR", 60_000),
    }
    assert totals(made) == {"EUR": 0, "USD": 0}
    (leg,) = (row for row in made.legs if row.level == 1)
    assert (leg.currency, leg.price_micros, leg.fund_currency, leg.charged_micros) == ("EUR", 60_000, "USD", 64_801)


def test_what_a_payee_earns_may_move_where_the_fund_pays_nothing_more() -> None:
    """At half a micro each, the second one is paid for already: the exchange is posted, the fund is not."""
    cheap = calls.exchanged(calls.leg(1, 5, 2, Rate(per_min_micros=60)), "USD", 500_000_000)
    pinned = calls.call("r6", [cheap])
    made = planned(calls.settled(pinned, calls.answered(2), before_s=1))
    assert {(row.book, row.currency, row.amount_micros) for row in made.entries} == {
        ("fx_sold", "EUR", -1),
        ("income", "EUR", 1),
    }


def test_parts_and_end_charge_together_what_the_whole_call_costs() -> None:
    """Rounded once: 90 s at 100 a minute in 10/10 are 150, of which the parts have taken 34 and 50."""
    rate = Rate(per_min_micros=100, first_s=10, next_s=10)
    pinned = calls.call("r7", [calls.leg(1, 5, 2, rate)], [calls.carrier(7)])
    parts = [planned(calls.part(pinned, 20, seq=2)), planned(calls.part(pinned, 50, before_s=20, seq=3))]
    end = planned(calls.settled(pinned, calls.answered(90, 7), before_s=50, seq=4))
    paid = [[row.amount_micros for row in made.entries if row.book == "income"] for made in (*parts, end)]
    assert paid == [[34], [50], [66]]
    assert all(made.cdr is None and made.legs == () for made in parts), "the record comes with the end"
    assert [row.price_micros for row in end.legs] == [150, 18_000]
    owed = [[row.amount_micros for row in made.entries if row.book == "carrier"] for made in (*parts, end)]
    assert owed == [[], [], [18_000]], "the carrier is owed once, with the end"


def test_a_late_end_is_the_price_of_the_whole_call_whatever_parts_have_charged() -> None:
    made = planned(calls.late(in_dollars(), calls.answered(60, server_id=7)))
    parts = [planned(calls.part(in_dollars(), 40, seq=2))]
    posted = Counter({Place.of(row): row.amount_micros for part in parts for row in part.entries})
    for row in difference(made, posted):
        posted[Place.of(row)] += row.amount_micros
    assert {place: micros for place, micros in posted.items() if micros} == {
        Place.of(row): row.amount_micros for row in made.entries
    }


@pytest.mark.parametrize(("reason", "kind"), [("spend_day", "day"), ("spend_month", "month")])
def test_a_refusal_by_a_spend_cap_tells_whose_cap_it_was(reason: str, kind: str) -> None:
    event = calls.refused(in_dollars(), 403, reason)
    event = event._replace(end=event.end._replace(account_id=5))
    made = planned(event)
    assert made.cap_hit == CapHit(5, "USD", kind, event.end.ended_ms)
    assert record(made).refused_by == 5
    assert planned(calls.refused(two_levels(), 402, "credit")).cap_hit is None


def test_ids_are_those_that_stand_in_ledgers_already() -> None:
    assert entry_id("r1", 1, 2, "fund") == str(uuid5(NAMESPACE, "r1:1:2:fund"))
    made = planned(calls.settled(two_levels(), calls.answered(60, 7)))
    (owed,) = (row for row in made.entries if row.book == "carrier")
    assert owed.id == entry_id("r1", 0, 1, "cash"), "the release before posted it in that book"
