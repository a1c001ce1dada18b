"""Calls that pay by the hour, in any currency: each leaves what the whole call costs, whatever comes in which order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from threading import Barrier

import pytest

from kemi import codec
from kemi.adapters.redis_client import RedisClient
from kemi.core.rating import charge, cost
from kemi.records import CallEvent, PinnedCall, Rate
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.settle_pair import ANSWERED_MS, SettlePair
from tools.settle.books import Books, Epoch
from tools.settle.poster import post
from tools.settle.stream import Entry

SUMS = """
select a.name, book, e.currency, sum(amount_micros)::int
  from tandem.ledger_entry e join tandem.account a on a.id = account_id
 where rid = %s group by a.name, book, e.currency having sum(amount_micros) <> 0
"""
OFF = (
    "select count(*) from (select from tandem.ledger_entry group by txn_id, currency having sum(amount_micros) <> 0) x"
)
RETAIL = Rate(per_min_micros=100_001, first_s=10, next_s=10, connect_micros=7)


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, armed; Alpha has a fund in dollars besides."""
    made = SettlePair(database, redis_client, redis_url)
    database.connection.execute(
        "insert into tandem.fund(account_id, currency, credit_limit_micros) values (%s, 'USD', -1)",
        (made.ids["Alpha"],),
    )
    made.sync()
    made.once()
    return made


def in_dollars(pair: SettlePair, rid: str = "") -> PinnedCall:
    """Return a call that Alpha pays in USD, by a tariff of North in EUR."""
    pinned = pair.pinned(rid=rid)
    retail = calls.exchanged(pinned.legs[0]._replace(rate=RETAIL), "USD", 1_083_700_001)
    return pinned._replace(legs=(retail, *pinned.legs[1:]))


def sums(pair: SettlePair, rid: str) -> dict[tuple[str, str, str], int]:
    """Return (account, book, currency) -> what the call moved there."""
    return {(name, book, currency): micros for name, book, currency, micros in pair.sql(SUMS, rid)}


def due(pinned: PinnedCall, talk_s: int) -> dict[tuple[str, str, str], int]:
    """Return what a call of so many seconds moves."""
    retail, wholesale = pinned.legs
    dollars, euros = charge(retail, talk_s, ANSWERED_MS), cost(retail, talk_s, ANSWERED_MS)
    to_root, deck = cost(wholesale, talk_s, ANSWERED_MS), talk_s * 200
    return {
        ("Alpha", "fund", "USD"): -dollars,
        ("North", "fx_bought", "USD"): dollars,
        ("North", "fx_sold", "EUR"): -euros,
        ("North", "income", "EUR"): euros,
        ("North", "fund", "EUR"): -to_root,
        ("Tandem", "income", "EUR"): to_root,
        ("Tandem", "cost", "EUR"): -deck,
        ("Tandem", "carrier", "EUR"): deck,
    }


def test_a_call_that_pays_in_parts_leaves_what_the_whole_call_costs(pair: SettlePair) -> None:
    """No record while it goes on; in the end one record, its legs in both currencies, and no micro more or less."""
    pinned = in_dollars(pair)
    pair.hold(pinned)
    pair.answer(pinned)
    pair.part(pinned, 11, seq=2)
    pair.part(pinned, 35, seq=3)
    pair.once()
    assert pair.posted() == 0
    assert pair.sql("select count(*) from tandem.cdr_leg") == [(0,)]
    assert sums(pair, pinned.rid)["Alpha", "fund", "USD"] == -charge(pinned.legs[0], 35, ANSWERED_MS)
    pair.assert_agreed()

    pair.settle(pinned, 44, seq=4)
    pair.once()

    assert sums(pair, pinned.rid) == due(pinned, 44)
    assert pair.sql(OFF) == [(0,)]
    legs = "select level, currency, price_micros, fund_currency, charged_micros from tandem.cdr_leg order by level"
    assert pair.sql(legs) == [
        (0, "EUR", 8_800, None, None),
        (1, "EUR", 83_342, "USD", 90_318),
        (2, "EUR", 22_000, "EUR", 22_000),
    ]
    assert pair.sql("select distinct group_id from tandem.ledger_entry where book in ('cost', 'carrier')") == [(70,)]
    assert pair.sql("select owed_micros from tandem.carrier_owed") == [(8_800,)]
    assert pair.sql("select count(*) from tandem.event_poison") == [(0,)]
    pair.assert_agreed()


def history(pinned: PinnedCall, number: int) -> dict[str, bytes]:
    """Return two parts, an end and a late end that is longer; numbers of events are unique per call."""
    at = [{"2:EUR": 3 * number + step, "3:USD": 3 * number + step} for step in (1, 2, 3)]
    events = {
        "first": calls.part(pinned, 11, 0, at[0], seq=2),
        "second": calls.part(pinned, 35, 11, at[1], seq=3),
        "end": calls.settled(pinned, calls.answered(44, 7), at[2], seq=4, before_s=35),
        "late": calls.late(pinned, calls.answered(50, 7), seq=5),
    }
    return {name: codec.pack(event) for name, event in events.items()}


def _post(books: Books, payloads: Sequence[bytes], batch: int, believed: Epoch) -> None:
    entries = [Entry(f"{at}-0", payload) for at, payload in enumerate(payloads)]
    for start in range(0, len(entries), batch):
        post(books, entries[start : start + batch], believed)


@pytest.mark.parametrize("batch", [1, 3, 8])
@pytest.mark.parametrize(
    ("names", "talk_s"), [(("first", "second", "end"), 44), (("first", "second", "end", "late"), 50)]
)
def test_parts_and_ends_in_any_order_leave_the_same_sums(
    pair: SettlePair, names: tuple[str, ...], talk_s: int, batch: int
) -> None:
    """Every order, backwards too, each event twice: sums, record and legs are those of the last word."""
    books = Books.open(pair.database.dsn)
    believed = books.epoch()
    for number, order in enumerate(permutations(names)):
        pinned = in_dollars(pair, f"call-{number}")
        payloads = history(pinned, number)
        _post(books, [payloads[name] for name in (*order, *reversed(order))], batch, believed)
        assert sums(pair, pinned.rid) == due(pinned, talk_s), order
        spent = "select sum(spent_micros)::int from tandem.fund_window where kind = 'day' and currency = 'USD'"
        assert pair.sql(spent) == [((number + 1) * charge(pinned.legs[0], talk_s, ANSWERED_MS),)]
    books.close()
    assert set(pair.sql("select billed_s, outcome from tandem.cdr")) == {(talk_s, "answered")}
    assert pair.sql(OFF) == [(0,)]
    assert pair.sql("select count(*) from tandem.event_poison") == [(0,)]


def test_a_part_and_a_late_end_posted_at_the_same_time_leave_the_late_end(pair: SettlePair) -> None:
    """Two consumers, each with one event of the same calls, no record to lock: whoever is second sees the first."""
    pinned = [in_dollars(pair, f"call-{number}") for number in range(100)]
    found = [history(each, number) for number, each in enumerate(pinned)]
    batches = [each["first"] for each in found], [each["late"] for each in found]
    barrier = Barrier(2)

    def consume(payloads: list[bytes]) -> None:
        books = Books.open(pair.database.dsn)
        believed = books.epoch()
        for start in range(0, 100, 10):
            barrier.wait()
            _post(books, payloads[start : start + 10], 10, believed)
        books.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(consume, batches))
    for each in pinned:
        assert sums(pair, each.rid) == due(each, 50)


def test_a_part_that_charges_another_price_is_set_aside(pair: SettlePair) -> None:
    """Charged as if nothing had been paid before: poison, and nothing of it is posted."""
    pinned = in_dollars(pair)
    wrong = codec.unpack(CallEvent, history(pinned, 0)["second"])._replace(billed_before_s=0)
    pair.append(codec.pack(wrong))
    assert pair.once().poisoned == 1
    assert "was charged" in pair.sql("select reason from tandem.event_poison")[0][0]
    assert sums(pair, pinned.rid) == {}
