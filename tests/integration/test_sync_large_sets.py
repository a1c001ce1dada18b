"""What goes on while a price list too large for a pass is on its way to Redis; and prices after a restored past."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_tables import Tables
from kemi.core.known import Known
from kemi.core.outcome import Need
from kemi.core.request import Facts
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tests.wait import until

RATES = 150_000
LOADED_S = 90.0
NUMBER = "447911123456"
NEW_TARIFF = """
do $$
declare
  owner bigint := (select id from tandem.account where name = 'North');
  made  bigint;
  deck  bigint;
begin
  insert into tandem.tariff(account_id, name, currency) values (owner, 'large', 'EUR') returning id into made;
  insert into tandem.rate_set(tariff_id, version) values (made, 1) returning id into deck;
  insert into tandem.rate_class(rate_set_id, idx, per_min_micros) values (deck, 0, 30000);
  insert into tandem.rate(rate_set_id, prefix, class_idx)
  select deck, 10000000 + n * 90, 0 from generate_series(1, {rates}) as n;
  update tandem.rate_set set state = 'ready' where id = deck;
  update tandem.tariff set rate_set_id = deck where id = made;
  {more}
end $$
"""
MOVE_ALPHA = "update tandem.account set tariff_id = made where name = 'Alpha';"
CHANGE_OFTEN = """
  for n in 1 .. 6000 loop
    update tandem.tariff set timezone = case n % 2 when 0 then 'UTC' else 'Europe/Berlin' end where id = made;
  end loop;
"""
SUSPEND = "update tandem.number set status = 'suspended' where e164 = '442079460001'"
RETAIL = """
select t.id, t.rate_set_id from tandem.tariff t join tandem.account a on a.id = t.account_id
 where a.name = 'North' and t.name = 'retail'
"""


@pytest.fixture
def pair(demo_database: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the demo world once."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.once()
    return made


def make_large(pair: SyncPair, more: str) -> None:
    pair.sql(NEW_TARIFF.replace("{rates}", str(RATES)).replace("{more}", more))


def tariff_of(pair: SyncPair, account: str) -> int:
    ((number,),) = pair.sql("select id from tandem.account where name = %s", account)
    return int(pair.record(keys.account(number)).tariff_id)


def has_prices(pair: SyncPair, tariff_id: int) -> bool:
    tariff = pair.record(keys.tariff(tariff_id))
    return bool(tariff and tariff.rate_set_id and pair.record(keys.rate_set(tariff.rate_set_id)))


def test_a_tenant_moves_to_a_new_tariff_when_that_has_its_prices(pair: SyncPair) -> None:
    """Tariff, prices and move are committed together; the account never names a tariff that has none yet."""
    before = tariff_of(pair, "Alpha")
    without: list[int] = []

    def moved() -> bool:
        now = tariff_of(pair, "Alpha")
        if now != before and not has_prices(pair, now):
            without.append(now)
        return now != before and not without

    with pair.active_syncer():
        make_large(pair, MOVE_ALPHA)
        until(lambda: moved() or without, LOADED_S, "the account to move")
    assert without == []


def test_many_changes_of_a_tariff_that_waits_hold_nobody_else_up(pair: SyncPair) -> None:
    """More than a pass takes are in the outbox before the change of a number, and must wait; the number need not."""
    with pair.active_syncer():
        make_large(pair, CHANGE_OFTEN)
        pair.sql(SUSPEND)
        until(lambda: pair.record("num:442079460001").status == 1, LOADED_S, "the number's change")
        large = pair.sql("select id from tandem.tariff where name = 'large'")[0][0]
        assert not has_prices(pair, large), "the price list was there first: nothing had to wait"
        until(lambda: has_prices(pair, large), LOADED_S, "the price list")


def test_a_repair_is_not_over_before_a_lost_price_list_is_back(pair: SyncPair) -> None:
    """Redis was rolled back to before a large price list: the syncer does not say that all is well without it."""
    make_large(pair, MOVE_ALPHA)
    pair.once()
    lost = pair.record(keys.tariff(tariff_of(pair, "Alpha"))).rate_set_id
    version, fence = pair.pass_and_fence()
    pair.redis.execute("DEL", keys.config(keys.rate_set(lost)), keys.rate_hash(lost), keys.SYNC_STATUS)
    pair.redis.execute("SET", keys.PASS, version - 1)

    def says_live() -> bool:
        said = json.loads(pair.redis.execute("GET", keys.SYNC_STATUS) or b"{}")
        return bool(said.get("state") == "live" and said.get("fence", 0) > fence)

    with pair.syncer():
        until(lambda: pair.pass_and_fence()[1] > fence, LOADED_S, "the syncer to take over")
        until(lambda: pair.record(keys.rate_set(lost)) or says_live(), LOADED_S, "the price list, or all to be well")
        assert pair.record(keys.rate_set(lost)) is not None
        until(says_live, LOADED_S, "all to be well")
    pair.assert_equal()


@pytest.mark.parametrize("again", ["before the past is accepted", "after it is accepted"])
def test_a_restored_past_that_gives_the_same_number_to_other_prices(pair: SyncPair, again: str) -> None:
    """Calls cost what Postgres says: by Redis, and by a worker that holds prices of the history that was lost."""
    ((tariff, old),) = pair.sql(RETAIL)
    pair.sql("select world.tariff('North', 'retail', 'EUR', '44', '0.1', '447', '0.3')")
    pair.once()
    worker = Tables(pair.redis)
    worker.fetch(Need((keys.tariff(tariff),), NUMBER))
    (_, lost), number = pair.sql(RETAIL)[0], "select setval(pg_get_serial_sequence('tandem.rate_set', 'id'), %s)"
    with pair.database.connection.transaction():
        pair.sql("set local session_replication_role = replica")
        pair.sql("update tandem.tariff set rate_set_id = %s where id = %s", old, tariff)
        for table, column in (("rate", "rate_set_id"), ("rate_class", "rate_set_id"), ("rate_set", "id")):
            pair.sql(f"delete from tandem.{table} where {column} = %s", lost)  # noqa: S608  our own names
        pair.sql(number, lost - 1)
    _be_ahead(pair)
    for moment in ("before the past is accepted", "after it is accepted"):
        if moment == again:
            pair.sql("select world.tariff('North', 'retail', 'EUR', '1', '0.9', '44', '0.7', '447', '0.8')")
        pair.once(accept=True)
    assert pair.sql(RETAIL) == [(tariff, lost)]
    pair.assert_equal()
    assert [price(each, tariff) for each in (Tables(pair.redis), worker)] == [800_000, 800_000]


def _be_ahead(pair: SyncPair) -> None:
    """Let Redis have seen what this Postgres has not."""
    *place, lsn = pair.redis.execute("GET", keys.MARKER).decode().split()
    pair.redis.execute("SET", keys.MARKER, " ".join((*place, str(int(lsn) + 10**13))))


def price(tables: Tables, tariff: int) -> int:
    """Return the micros of a minute as a worker sees it: it fetches, decides, and fetches what it then lacks."""
    tables.fetch(Need((keys.tariff(tariff),)))
    pointer: Any = tables.records[keys.tariff(tariff)]
    known = Known(Facts(tables.records, tables.rates, "n1", b""))
    if (pointer.rate_set_id, NUMBER[:4]) not in tables.rates:
        tables.fetch(Need((keys.tariff(tariff),), NUMBER))
    found = known.longest_rate(tariff, pointer.rate_set_id, NUMBER)
    rates: Any = tables.records[keys.rate_set(pointer.rate_set_id)]
    assert found is not None
    return int(rates.rates[found[1]].per_min_micros)
