"""`tandem sync` carries prices, exchange rates, spend windows and locks, and does what the clock asks for."""

from __future__ import annotations

from typing import Any

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_tables import Tables
from kemi.core.links import missing
from kemi.core.outcome import Need
from kemi.core.prefix import longest
from kemi.records import Exchange, ExchangeRate, Lock, PeriodPrice, Rate
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair

CALLED = "442079461234"
DAY_MS = 86_400_000
DOLLARS = 946_684_800_000  # 2000-01-01 UTC


@pytest.fixture
def pair(demo_database: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the demo world once."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.once()
    return made


def test_exchange_rates_arrive(pair: SyncPair) -> None:
    """One record with all of them; it is there, and empty, before the first one."""
    assert pair.record(keys.EXCHANGE) == Exchange(())
    pair.sql("select world.exchange('USD', 'EUR', 0.9), world.exchange('JPY', 'EUR', 0.006123456)")
    pair.once()
    assert pair.record(keys.EXCHANGE) == Exchange(
        (ExchangeRate("JPY", "EUR", DOLLARS, 6_123_456), ExchangeRate("USD", "EUR", DOLLARS, 900_000_000))
    )
    pair.assert_equal()


def _rate(tables: Tables, set_id: int) -> tuple[str, Rate]:
    """Look up as a worker does."""
    found = longest(CALLED, lambda field: tables.rates[set_id, field])
    assert found is not None
    prefix, class_index = found
    rate_set: Any = tables.records[keys.rate_set(set_id)]
    return prefix, rate_set.rates[class_index]


def test_one_fetch_brings_every_price_of_a_tariff(pair: SyncPair) -> None:
    """Those in force, those of its decks and its inbound ones, for the called number: nothing is asked for again."""
    pair.sql("select world.period('peak', 'Mon-Fri 08:00-18:00')")
    pair.sql("select world.tariff('North', 'retail', 'EUR', '44', '0.01 min 0.5 @peak 0.02+0.01')")
    pair.sql("select world.deck('North', 'retail', '2031-01-01', '4420', '0.03')")
    pair.sql("select world.deck('North', 'retail', '2032-01-01')")
    pair.sql("select world.inbound_rates('North', 'retail', '4420794', '0.001')")
    pair.once()
    tables = Tables(pair.redis)
    tables.fetch(Need(("acct:5",), CALLED))
    assert missing(["acct:5"], tables.records, tables.rates, CALLED) == Need((), CALLED)
    tariff: Any = tables.records["tar:6"]
    sets = (tariff.rate_set_id, tariff.decks[0].rate_set_id, tariff.inbound_rate_set_id)
    assert [_rate(tables, set_id) for set_id in sets] == [
        ("44", Rate(10_000, min_micros=500_000, periods=(PeriodPrice(0, 20_000, 10_000),))),
        ("4420", Rate(30_000)),
        ("4420794", Rate(1_000)),
    ]
    assert tariff.decks[1].rate_set_id == 0
    assert "rset:0" not in tables.records


def test_a_lock_arrives(pair: SyncPair) -> None:
    """One key, whoever is below the account."""
    pair.sql("select world.lock('North', 'outgoing')")
    pair.once()
    assert pair.record("acct:2").lock == Lock.OUTGOING
    pair.assert_equal()


def test_windows_arrive_and_move_on(pair: SyncPair) -> None:
    """A new cap brings 8 days; a syncer that starts long after them brings those of today."""
    pair.sql("select world.limits('Alpha', day => 5, month => 50)")
    pair.once()
    today = pair.sql("select to_char(now() at time zone 'UTC', 'YYYYMMDD')::integer")[0][0]
    terms = pair.terms("5:EUR")
    assert (terms.day_max_micros, terms.month_max_micros) == (5_000_000, 50_000_000)
    assert (len(terms.days), terms.days[0].id, len(terms.months)) == (8, today, 3)
    assert {after.end_ms - day.end_ms for day, after in zip(terms.days, terms.days[1:], strict=False)} == {DAY_MS}
    pair.sql("update tandem.fund_calendar set first_day = first_day - 30")
    pair.once()
    assert pair.terms("5:EUR") == terms
    pair.assert_equal()


def _spend(pair: SyncPair, micros: int) -> None:
    """Count what a call that ends now costs Alpha."""
    pair.sql(
        "select tandem.count_spend_v1(jsonb_build_array(jsonb_build_object('account_id', 5, 'currency', 'EUR',"
        " 'amount_micros', %s::bigint, 'at_ms', (extract(epoch from clock_timestamp()) * 1000)::bigint)))",
        micros,
    )


def _windows(pair: SyncPair) -> tuple[int, int]:
    """Return the ids of Alpha's day and month now."""
    query = "select to_char(t, 'YYYYMMDD')::int, to_char(t, 'YYYYMM')::int from (select clock_timestamp() at time zone"
    day, month = pair.sql(f"{query} timezone as t from tandem.account where id = 5) as here")[0]
    return day, month


def test_a_cap_begins_with_what_was_spent_before_it(pair: SyncPair) -> None:
    """Each cap that there was none of before makes a new opening; another amount of a cap that is there makes none."""
    _spend(pair, 700_000)
    pair.once()
    assert pair.terms("5:EUR").opening is None
    pair.sql("select world.limits('Alpha', day => 5)")
    pair.once()
    first = pair.terms("5:EUR").opening
    assert first is not None
    assert first[1:] == (*_windows(pair)[:1], 700_000, *_windows(pair)[1:], 700_000)
    _spend(pair, 50_000)
    pair.sql("update tandem.fund set day_max_micros = 6000000 where account_id = 5")
    pair.once()
    assert pair.terms("5:EUR").opening == first
    pair.sql("update tandem.fund set month_max_micros = 60000000 where account_id = 5")
    pair.once()
    with_month = pair.terms("5:EUR").opening
    assert with_month is not None
    assert (with_month.version > first.version, with_month.day_micros, with_month.month_micros) == (
        True,
        750_000,
        750_000,
    )
    for cap in (0, 5_000_000):
        pair.sql("update tandem.fund set day_max_micros = %s, month_max_micros = 0 where account_id = 5", cap)
        pair.once()
    again = pair.terms("5:EUR").opening
    assert again is not None
    assert again.version > with_month.version
    pair.assert_equal()


def test_another_time_zone_opens_the_day_that_is_in_force_there(pair: SyncPair) -> None:
    """Also where that is the day before: the windows that Redis knows begin with it."""
    versions = []
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        pair.sql("update tandem.account set timezone = %s where id = 5", zone)
        pair.sql("select world.limits('Alpha', day => 5, month => 50)")
        _spend(pair, 1_000)
        pair.once()
        terms = pair.terms("5:EUR")
        assert (terms.days[0].id, terms.months[0].id) == _windows(pair)
        assert terms.opening is not None
        assert (terms.opening.day_id, terms.opening.day_micros) == (terms.days[0].id, 0)
        versions.append(terms.opening.version)
    assert versions[0] < versions[1]
    pair.assert_equal()


def test_a_spent_carrier_arrives(pair: SyncPair) -> None:
    """What is owed reaches the cap when it is posted, and a payment opens the carrier again."""
    pair.sql("select world.carrier_limits('acme', owed => 0)")
    pair.once()
    assert pair.record("pg:1").spent == "balance"
    pair.sql("select tandem.pay_carrier_v1(1, 5, 'in advance', 'ann')")
    pair.once()
    assert pair.record("pg:1").spent == ""
    pair.assert_equal()


def test_an_active_syncer_asks_the_clock(pair: SyncPair) -> None:
    """With its first pass, before anything waits in the outbox."""
    pair.sql("select world.limits('Alpha', day => 5)")
    pair.once()
    pair.sql("update tandem.fund_calendar set first_day = first_day - 30")
    pair.sql("delete from tandem.outbox")
    with pair.active_syncer():
        today = pair.sql("select to_char(now() at time zone 'UTC', 'YYYYMMDD')::integer")[0][0]
        pair.wait_for(lambda: pair.terms("5:EUR").days[0].id == today, "the days of today")
