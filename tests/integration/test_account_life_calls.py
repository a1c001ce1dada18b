"""Accounts that move or end while calls go on, as Redis and the books see it; tests/e2e has the same over SIP."""

from __future__ import annotations

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_operations import Applied, Extend, Refused
from kemi.core.outcome import Hold, HoldFund, HoldRow
from kemi.records import PinnedCall
from tests.fix_postgres import Database
from tests.settle_pair import SettlePair

LEGS = """
select p.name, e.name, l.price_micros from tandem.cdr_leg l
  join tandem.account p on p.id = l.payer_id join tandem.account e on e.id = l.payee_id
 where l.rid = %s and l.book = 'fund' order by l.level
"""
PAID = [("Alpha", "North", 60_000), ("North", "Tandem", 30_000)]  # for a minute


@pytest.fixture
def pair(database: Database, redis_client: RedisClient, redis_url: str) -> SettlePair:
    """Bring a small world into both stores, armed; South is beside North. A minute of a call is held and answered."""
    made = SettlePair(database, redis_client, redis_url)
    database.connection.execute(
        "select world.reseller('South', 'Tandem', 'wholesale', 50);"
        "select world.tariff('South', 'retail', 'EUR', '44', '0.09');"
        "select set_config('tandem.actor', 'ann', false)"
    )
    made.ids.update(made.sql("select name, id from tandem.account"))
    made.sync()
    made.once()
    return made


@pytest.fixture
def call(pair: SettlePair) -> PinnedCall:
    """Begin a call of Alpha."""
    pinned = pair.pinned()
    pair.hold(pinned)
    pair.answer(pinned)
    return pinned


def granted(pair: SettlePair, call: PinnedCall, talk_s: int) -> int:
    """Ask for more time, up to `talk_s` seconds in all; return what the call has then."""
    rows = (HoldRow(talk_s, pair.prices(call, talk_s)),)
    (result,) = pair.funds.batch([Extend(f"{call.rid}:2", call.rid, 2, rows, 60)])
    assert isinstance(result, Applied)
    return result.granted_s


def refusal(pair: SettlePair, customer: str = "Alpha") -> tuple[str, int]:
    """Begin another call, which must be refused; return why and by which account."""
    pinned = pair.pinned(customer)
    funds = [HoldFund(keys.fund(pair.ids[name], "EUR"), pair.ids[name], level + 1)
             for level, name in enumerate((customer, "North"))]  # fmt: skip
    hold = Hold(tuple(funds), (HoldRow(60, pair.prices(pinned, 60)),), ())
    seen = int(pair.redis.execute("GET", keys.PASS) or 0)
    result = pair.funds.reserve(f"{pinned.rid}:0", pinned.rid, hold, 60, seen, codec.pack(pinned))
    assert isinstance(result, Refused)
    return result.reason, result.account_id


def test_a_call_goes_on_where_nothing_happens(pair: SettlePair, call: PinnedCall) -> None:
    assert granted(pair, call, 120) == 120


def test_a_call_of_a_moved_account_ends_under_its_old_parent(pair: SettlePair, call: PinnedCall) -> None:
    """At the old prices; the balance that went along is the posted one, without the call."""
    ((done,),) = pair.sql(
        "select tandem.move_account_v1(%s, %s, world.tariff_id('South', 'retail'))",
        pair.ids["Alpha"],
        pair.ids["South"],
    )
    assert done["moved"] == [{"currency": "EUR", "micros": 20_000_000}]
    pair.sync()
    assert granted(pair, call, 120) == 120
    pair.settle(call, 60, seq=3)
    pair.once()
    assert pair.sql(LEGS, call.rid) == PAID
    assert pair.charged() == {"Alpha": 60_000, "North": 30_000, "Beta": 0, "South": 0}
    pair.assert_agreed()


@pytest.mark.parametrize("name", ["Alpha", "North"])
@pytest.mark.parametrize("verb", ["suspend", "close"])
def test_a_call_of_an_account_that_stops_gets_no_more_time_and_is_billed(
    pair: SettlePair, call: PinnedCall, name: str, verb: str
) -> None:
    """Its own, or one above it: what is held may be talked; then the agent has no more, and the end is posted."""
    pair.sql(f"select tandem.{verb}_account_v1(%s)", pair.ids[name])
    pair.sync()
    assert granted(pair, call, 120) == 60
    assert refusal(pair) == ("status", pair.ids[name if verb == "suspend" else "Alpha"])
    pair.settle(call, 60, seq=3)
    pair.once()
    assert pair.sql(LEGS, call.rid) == PAID
    assert pair.sql("select balance_micros from tandem.fund_balance where account_id = %s", pair.ids["Alpha"]) == [
        (19_940_000,)
    ]
    pair.assert_agreed()


def test_a_resumed_account_calls_again(pair: SettlePair, call: PinnedCall) -> None:
    pair.sql("select tandem.suspend_account_v1(%s)", pair.ids["North"])
    pair.sync()
    assert granted(pair, call, 90) == 60
    pair.sql("select tandem.resume_account_v1(%s)", pair.ids["North"])
    pair.sync()
    pair.place(30)
    pair.settle(call, 60, seq=3)
    pair.once()
    assert pair.charged()["Alpha"] == 90_000
    pair.assert_agreed()


def test_an_account_with_a_call_in_progress_is_not_removed(pair: SettlePair, call: PinnedCall) -> None:
    """No table knows of the call: only time can tell that its end is posted."""
    pair.sql("select tandem.close_account_v1(%s)", pair.ids["North"])
    refused = pair.database.refused("select tandem.remove_account_v1(%s)", pair.ids["North"])
    assert "before it and all below it are closed for 30 days: calls may not be posted yet" in refused
    pair.settle(call, 60)
    pair.once()
    assert pair.sql(LEGS, call.rid) == PAID
