"""What calls spend per day and month, the alerts that follow, and the locks that hang on them."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from kemi import codec
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_operations import Note
from kemi.records import CallEvent
from tests.fakes import calls
from tests.fix_postgres import Database
from tests.redis_server import empty
from tests.settle_pair import SettlePair
from tools.settle.books import Books
from tools.settle.poster import post
from tools.settle.stream import Entry

HOUR_MS = 3_600_000
ALERTS = """
select a.name, l.kind, value_micros, window_id from tandem.alert l join tandem.account a on a.id = l.account_id
"""


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, armed."""
    made = SettlePair(database, redis_client, redis_url)
    made.once()
    return made


def spent(pair: SettlePair, name: str) -> dict[int, int]:
    """Return day or month -> micros that calls cost an account in it."""
    query = "select window_id, spent_micros from tandem.fund_window where account_id = %s"
    return dict(pair.sql(query, pair.ids[name]))


def test_spend_is_counted_on_the_day_on_which_the_talk_ended_in_the_accounts_time_zone(pair: SettlePair) -> None:
    """A call over midnight of Kiritimati (UTC+14) that pays in parts: each part on its own day, the month likewise."""
    pair.sql("update tandem.account set timezone = 'Pacific/Kiritimati' where name = 'Alpha'")
    ten_utc_ms = 1_769_940_000_000  # 2026-02-01 10:00 UTC: midnight there
    pinned = pair.pinned()
    pair.hold(pinned)
    pair.answer(pinned)
    pair.part(pinned, 20, seq=2, ended_ms=ten_utc_ms - 1)
    pair.settle(pinned, 50, seq=3, ended_ms=ten_utc_ms)
    pair.once()
    pair.once()
    assert spent(pair, "Alpha") == {20260201: 20_000, 20260202: 30_000, 202602: 50_000}
    assert spent(pair, "North") == {20260201: 25_000, 202602: 25_000}


def test_a_late_end_corrects_the_spend_and_repeated_events_do_not_count(pair: SettlePair) -> None:
    pinned = pair.pinned()
    estimate = calls.settled(pinned, calls.answered(60, 7), {"2:EUR": 1, "3:EUR": 1}, seq=2)
    for event in (estimate, calls.late(pinned, calls.answered(42, 7)), estimate):
        pair.append(codec.pack(event))
        pair.once()
    assert spent(pair, "Alpha") == {20260202: 42_000, 202602: 42_000}


@pytest.mark.parametrize("batch", [1, 9])
@pytest.mark.parametrize("late_s", [52, 49, 70])
def test_a_late_end_moves_the_spend_to_the_day_of_the_end_that_it_tells(
    pair: SettlePair, batch: int, late_s: int
) -> None:
    """A part before midnight, an estimate after it, a real end before it and one after: as the talk itself was.

    Whether the events come one by one or all at once.
    """
    midnight_ms = 1_769_990_400_000  # 2026-02-02 00:00 UTC
    pinned = pair.pinned()
    part = calls.part(pinned, 40, numbers={"2:EUR": 1, "3:EUR": 1}, seq=2)
    part = part._replace(end=part.end._replace(ended_ms=midnight_ms - 5_000))
    end = calls.answered(60, 7)._replace(outcome="estimated", ended_ms=midnight_ms + 5_000)
    estimate = calls.settled(pinned, end, {"2:EUR": 2, "3:EUR": 2}, seq=3, before_s=40)
    first = calls.late(pinned, calls.answered(late_s, 7)._replace(ended_ms=midnight_ms - 3_000), seq=4)
    second = calls.late(pinned, calls.answered(55, 7)._replace(ended_ms=midnight_ms + 2_000), seq=5)
    told = [
        Entry(f"{at}-0", codec.pack(event)) for at, event in enumerate((part, estimate, first, second, estimate), 1)
    ]
    books = Books.open(pair.database.dsn)
    for at in range(0, 3, batch):
        post(books, told[at : min(3, at + batch)], books.epoch())
    assert {day: micros for day, micros in spent(pair, "Alpha").items() if micros} == {
        20260201: late_s * 1_000,
        202602: late_s * 1_000,
    }
    for at in range(0, len(told), batch):
        post(books, told[at : at + batch], books.epoch())
    books.close()
    assert spent(pair, "Alpha") == {20260201: 40_000, 20260202: 15_000, 202602: 55_000}
    assert spent(pair, "North") == {20260201: 20_000, 20260202: 7_500, 202602: 27_500}


def _settled(pair: SettlePair, numbers: Sequence[int]) -> list[Entry]:
    """Return events of calls of 10 s each, 10,000 micros for Alpha."""
    found = []
    for number in numbers:
        pinned = pair.pinned(rid=f"paid-{number}")
        event = calls.settled(pinned, calls.answered(10, 7), {"2:EUR": number, "3:EUR": number})
        found.append(Entry(f"{number}-0", codec.pack(event)))
    return found


def test_two_racing_consumers_raise_one_alert_per_crossing(pair: SettlePair) -> None:
    """200 calls, half of them with each consumer, some with both: each threshold is crossed, and said, once."""
    pair.sql("select world.threshold('Alpha', 'balance', 19.00, 'foreign'), world.threshold('Alpha', 'day', 0.5)")
    pair.sql("select world.threshold('North', 'month', 0.5)")
    barrier = Barrier(2)

    def consume(entries: list[Entry]) -> None:
        books = Books.open(pair.database.dsn)
        believed = books.epoch()
        for start in range(0, len(entries), 10):
            barrier.wait()
            post(books, entries[start : start + 10], believed)
        books.close()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(consume, (_settled(pair, range(1, 121)), _settled(pair, range(81, 201)))))
    assert pair.charged()["Alpha"] == 2_000_000
    found = pair.sql(f"{ALERTS} order by a.name, l.kind")
    assert [(name, kind) for name, kind, _, _ in found] == [("Alpha", "balance"), ("Alpha", "day"), ("North", "month")]
    assert pair.sql("select lock from tandem.account where name = 'Alpha'") == [("foreign",)]
    assert pair.sql("select actor ~ '^threshold [0-9]+$' from tandem.audit where 'lock' = any (changed)") == [(True,)]


def test_a_lock_hangs_on_a_spend_cap_that_is_never_reached_exactly(pair: SettlePair) -> None:
    """0.99 of 1.00 is spent and the next call is refused: the lock at the cap is set by that refusal, once."""
    pair.sql("select world.limits('Alpha', day => 1), world.threshold('Alpha', 'day', 1, 'outgoing')")
    post_books = Books.open(pair.database.dsn)
    post(post_books, _settled(pair, range(1, 100)), post_books.epoch())
    post_books.close()
    assert pair.sql(ALERTS) == []
    for _ in range(2):
        _refuse(pair, "spend_month")
    assert pair.sql(ALERTS) == [], "another cap refused these"
    for _ in range(2):
        _refuse(pair, "spend_day")
    assert pair.sql(ALERTS) == [("Alpha", "day", 990_000, 20260202)]
    assert pair.sql("select lock from tandem.account where name = 'Alpha'") == [("outgoing",)]
    assert pair.sql("select distinct refused_by from tandem.cdr where outcome = 'refused'") == [(pair.ids["Alpha"],)]


def _refuse(pair: SettlePair, reason: str) -> None:
    pinned = pair.pinned()
    end = calls.refused(pinned, 403, reason).end._replace(account_id=pair.ids["Alpha"])
    pair.apply(Note(f"{pinned.rid}:0", pinned.rid, codec.pack(pinned), codec.pack(end)))
    pair.once()


def test_an_emptied_redis_gets_the_spend_of_the_windows_in_force(pair: SettlePair) -> None:
    """Alpha has a cap on its day: after the rebuild Redis knows what today's calls have cost, and no more."""
    pair.sql("select world.limits('Alpha', day => 5)")
    pair.sync()
    now_ms = pair.sql("select (extract(epoch from now()) * 1000)::bigint")[0][0]
    for ended_ms, talk_s in ((now_ms - 72 * HOUR_MS, 30), (now_ms, 20)):
        pinned = pair.pinned()
        pair.hold(pinned)
        pair.answer(pinned)
        pair.settle(pinned, talk_s, ended_ms=ended_ms)
    pair.once()
    empty(pair.redis)
    pair.sql("insert into tandem.outbox(kind, key) select 'fund_terms', '*'")
    pair.sync()
    pair.once()
    found = pair.balance("Alpha")
    (today,) = pair.sql(
        "select to_char(now() at time zone timezone, 'YYYYMMDD')::int from tandem.account where name = 'Alpha'"
    )[0]
    assert (found.charged_micros, found.day_id, found.day_spent_micros) == (50_000, today, 20_000)
    assert pair.balance("North").day_spent_micros == 0


def test_a_fund_charge_adds_up_as_the_ledger_says(pair: SettlePair) -> None:
    """What Postgres keeps of each fund beside the ledger is what the ledger's entries say."""
    for talk_s in (5, 6, 7):
        pair.place(talk_s)
    pair.once()
    kept = pair.sql("select account_id, charged_micros, n, events from tandem.fund_charge where events > 0 order by 1")
    said = "select account_id, -sum(amount_micros)::int, max(fund_n), count(*) from tandem.ledger_entry"
    assert kept == pair.sql(f"{said} where book = 'fund' and origin = 'redis' group by 1 order by 1")
    assert {event.kind for event in pair.events()} == {"settle"}
    assert all(isinstance(event, CallEvent) for event in pair.events())
