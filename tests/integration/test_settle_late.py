"""An end that comes when Redis holds nothing for its call any more is charged once, by the difference, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import permutations
from threading import Barrier

import pytest

from kemi import codec
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_operations import Applied, Late, Operation, Release, Replayed, Settle, Unknown
from kemi.core.rating import price
from kemi.records import CallEvent, PinnedCall
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.redis_server import empty
from tests.settle_pair import SettlePair
from tools.settle.books import Books, Epoch
from tools.settle.poster import post
from tools.settle.stream import Entry

SUMS = """
select a.name, book, sum(amount_micros)::int from tandem.ledger_entry join tandem.account a on a.id = account_id
 where rid is not null group by a.name, book having sum(amount_micros) <> 0
"""


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, armed."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def late(pinned: PinnedCall, talk_s: int, seq: int = 3) -> Late:
    """Return the late end of a call that a carrier took and that lasted `talk_s` seconds."""
    return Late(
        f"{pinned.rid}:{seq}", pinned.rid, seq, codec.pack(pinned), codec.pack(calls.answered(talk_s, server_id=7))
    )


def swept(pinned: PinnedCall) -> Settle:
    """Return what a sweeper does with an answered call: it charges the minute that was granted."""
    end = calls.answered(60, server_id=7)._replace(outcome="estimated", ended_by="sweeper")
    return Settle(f"{pinned.rid}:sweep:2", pinned.rid, 2, 60, (60_000, 30_000), codec.pack(end))


def sums(pair: SettlePair) -> dict[tuple[str, str], int]:
    """Return (account, book) -> what calls moved there."""
    return {(name, book): micros for name, book, micros in pair.sql(SUMS)}


def of(talk_s: int) -> dict[tuple[str, str], int]:
    """Return what one call of so many seconds moves."""
    retail, wholesale, deck = (price(rate, talk_s) for rate in (calls.RETAIL, calls.WHOLESALE, calls.DECK))
    moved = {
        ("Alpha", "fund"): -retail,
        ("North", "income"): retail,
        ("North", "fund"): -wholesale,
        ("Tandem", "income"): wholesale,
        ("Tandem", "cost"): -deck,
        ("Tandem", "carrier"): deck,
    }
    return {place: micros for place, micros in moved.items() if micros}


def assert_settled(pair: SettlePair, talk_s: int) -> None:
    """Fail unless everything says that the one call lasted `talk_s` seconds, and Redis knows the new credit."""
    assert sums(pair) == of(talk_s)
    assert pair.sql("select outcome, billed_s, talk_ms, ended_by from tandem.cdr") == [
        ("answered", talk_s, talk_s * 1000, "caller")
    ]
    legs = [price(rate, talk_s) for rate in (calls.DECK, calls.RETAIL, calls.WHOLESALE)]
    assert pair.sql("select price_micros::int from tandem.cdr_leg order by level") == [(micros,) for micros in legs]
    assert pair.sql("select count(*) from tandem.event_poison") == [(0,)]
    pair.sync()
    pair.assert_agreed()


def told(pair: SettlePair, *operations: Operation) -> list[object]:
    """Tell Redis as an agent does, post, and return the answers."""
    results = pair.funds.batch(operations)
    pair.once()
    return list(results)


def test_a_call_that_an_emptied_redis_forgot_is_charged_from_its_late_end(pair: SettlePair) -> None:
    """Redis knows neither call nor hold: the whole price is posted in Postgres, and comes back as less credit."""
    pinned = pair.pinned()
    pair.hold(pinned)
    pair.answer(pinned)
    empty(pair.redis)
    pair.database.connection.execute("insert into tandem.outbox(kind, key) select 'fund_terms', '*'")
    pair.sync()
    pair.once()
    closing = Settle(f"{pinned.rid}:2", pinned.rid, 2, 42, (42_000, 21_000), late(pinned, 42).end)

    unknown, applied, again = told(pair, closing, late(pinned, 42), late(pinned, 42))

    assert (type(unknown), type(applied), type(again)) == (Unknown, Applied, Replayed)
    assert_settled(pair, 42)
    balance = pair.balance("Alpha")
    assert balance.terms is not None
    assert (balance.charged_micros, balance.terms.cred_micros) == (0, 20_000_000 - 42_000)


def test_a_late_end_charges_what_a_sweeper_had_released(pair: SettlePair) -> None:
    pinned = pair.pinned()
    pair.hold(pinned)
    end = calls.unanswered("unknown_end", 0, "node_lost")
    pair.apply(Release(f"{pinned.rid}:sweep:1", pinned.rid, 1, codec.pack(end)))
    pair.once()
    assert pair.outcomes() == {"unknown_end": 1}

    told(pair, late(pinned, 42))

    assert_settled(pair, 42)
    assert "corrects a record that said unknown_end, 0 s billed" in pair.sql("select trace from tandem.cdr")[0][0][-1]


@pytest.mark.parametrize("talk_s", [1, 42, 60, 90])
def test_a_late_end_corrects_an_estimate_by_the_difference(pair: SettlePair, talk_s: int) -> None:
    """Less than estimated is given back, more is charged, the same moves nothing."""
    pinned = pair.pinned()
    pair.hold(pinned)
    pair.answer(pinned)
    pair.apply(swept(pinned))
    pair.once()
    before = pair.sql("select count(*) from tandem.ledger_entry")[0][0]

    told(pair, late(pinned, talk_s))

    assert_settled(pair, talk_s)
    assert pair.balance("Alpha").charged_micros == 60_000, "Redis' own sum is what it charged"
    assert pair.sql("select count(*) from tandem.ledger_entry")[0][0] - before == (0 if talk_s == 60 else 6)


def test_an_open_reservation_that_does_not_fit_its_end_is_corrected_when_its_lease_is_over(pair: SettlePair) -> None:
    """Redis lost an extension: the end is told, the hold ends with its lease, and the estimate is taken back."""
    pinned = pair.pinned()
    pair.hold(pinned)
    pair.answer(pinned)
    told(pair, late(pinned, 90))
    assert_settled(pair, 90)
    found = pair.funds.describe(pinned.rid)
    assert found is not None
    assert (found.state, found.seq) == ("answered", 3)

    told(pair, swept(pinned)._replace(op_id=f"{pinned.rid}:sweep:4", seq=4))

    assert_settled(pair, 90)
    assert pair.balance("Alpha").held_micros == 0


def events(pinned: PinnedCall) -> list[bytes]:
    """Return an estimate, two late ends and one that proves nothing, of one call; the second late end is the truth."""
    estimate = calls.settled(pinned, calls.answered(60, 7), {"2:EUR": 1, "3:EUR": 1}, seq=9)
    unproven = calls.unanswered("unknown_end", 0, "")
    ends = [calls.late(pinned, calls.answered(30, 8), 4), calls.late(pinned, calls.answered(42, 7), 5)]
    return [codec.pack(event) for event in (estimate, *ends, calls.late(pinned, unproven, 7))]


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_order_repetition_and_batches_leave_the_same_sums(pair: SettlePair, batch: int) -> None:
    """Every order of an estimate of a higher sequence, two late ends and an unproven one, each delivered twice."""
    books = Books.open(pair.database.dsn)
    believed = books.epoch()
    for number, order in enumerate(permutations(range(4))):
        pinned = pair.pinned(rid=f"{batch}-{number}")
        pinned = pinned._replace(targets=(*pinned.targets, calls.carrier(8, pair.ids["Tandem"], calls.WHOLESALE)))
        payloads = events(pinned)
        _post(books, [payloads[at] for at in (*order, *reversed(order))], batch, believed, number)
    books.close()
    expected = {place: 24 * micros for place, micros in of(42).items()}
    assert sums(pair) == expected
    assert set(pair.sql("select outcome, billed_s, seq, is_late, group_id from tandem.cdr")) == {
        ("answered", 42, 5, True, 70)
    }
    assert pair.sql("select count(*), sum(price_micros)::int from tandem.cdr_leg") == [
        (72, 24 * (42_000 + 21_000 + 8_400))
    ]
    assert pair.sql("select count(*) from tandem.event_poison") == [(0,)]


def _post(books: Books, payloads: Sequence[bytes], batch: int, believed: Epoch, number: int) -> None:
    # The fund's event number differs per call: it is unique in an epoch.
    entries = [Entry(f"{at}-{number}", _numbered(payload, number + 1)) for at, payload in enumerate(payloads)]
    for start in range(0, len(entries), batch):
        post(books, entries[start : start + batch], believed)


def _numbered(payload: bytes, number: int) -> bytes:
    event = codec.unpack(CallEvent, payload)
    return codec.pack(event._replace(postings=tuple(each._replace(n=number) for each in event.postings)))


def test_an_estimate_and_a_late_end_posted_at_the_same_time_leave_the_late_end(pair: SettlePair) -> None:
    """Two consumers, each with one event of the same calls: whoever is second sees what the first has posted."""
    pinned = [pair.pinned() for _ in range(100)]
    numbers = [{"2:EUR": at, "3:EUR": at} for at in range(1, 101)]
    batches = (
        [calls.settled(each, calls.answered(60, 7), n, seq=2) for each, n in zip(pinned, numbers, strict=True)],
        [calls.late(each, calls.answered(42, 7)) for each in pinned],
    )
    barrier = Barrier(2)

    def consume(made: list[CallEvent]) -> None:
        books = Books.open(pair.database.dsn)
        believed = books.epoch()
        for start in range(0, 100, 10):
            entries = [Entry(f"{at}-0", codec.pack(event)) for at, event in enumerate(made[start : start + 10])]
            barrier.wait()
            post(books, entries, believed)
        books.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(consume, batches))

    assert sums(pair) == {place: 100 * micros for place, micros in of(42).items()}
    assert pair.sql("select distinct billed_s from tandem.cdr") == [(42,)]
