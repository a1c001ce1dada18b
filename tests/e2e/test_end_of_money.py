"""Fifty calls run out of money at the same time: the end is a race between timers, processes and both far ends."""

from __future__ import annotations

import secrets
from pathlib import Path

import psycopg
import pytest

from tests.e2e.traffic import sipp
from tests.wait import until
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint

CALLS = 50
PAID_S = 3
PRICE_MICROS = 3_000
CALLEE, CALLER, NUMBER = "127.1.201.1", "127.1.201.9", "887010000001"

USER = "user{0};[authentication username=user{0} password=demo-secret]\n"

WORLD = """
select world.tariff('Tandem', 'race', 'EUR', '88701', '0.03');
select world.reseller('race-reseller', 'Tandem', 'race', 50);
select world.tariff('race-reseller', 'retail', 'EUR', '88701', '0.06');
select world.carrier_of('race-reseller', 'race-carrier', '127.1.201.1', 5080, '88701', '0.012');
select world.domain('race.example', 'race-reseller');
select world.customer('race-customer-' || i, 'race-reseller', 'retail', 0.003),
       world.subscriber('user' || i || '@race.example', 'race-customer-' || i, 'demo-secret', (887011000000 + i)::text)
  from generate_series(1, 50) as i;
"""

RECORDS = """
select outcome, ended_by, billed_s, talk_ms, rid from tandem.cdr where starts_with(call_id, %s)
"""

BALANCES = """
select b.balance_micros from tandem.fund_balance b
  join tandem.account a on a.id = b.account_id where starts_with(a.name, 'race-customer-')
"""


@pytest.mark.usefixtures("worlds")
def test_fifty_calls_end_with_their_money(endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """Both sides of every call get a BYE at the paid second, and every customer's balance is exactly zero."""
    watch.load_world("race-", WORLD)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    run_id = f"race-{secrets.token_hex(4)}"
    users = tmp_path / "users.csv"
    users.write_text("SEQUENTIAL\n" + "".join(map(USER.format, range(1, CALLS + 1))), encoding="ascii")
    callee = sipp(endpoint, tmp_path, "uas-answer.xml", CALLEE, calls=CALLS)
    caller = sipp(
        endpoint, tmp_path, "uac-digest-ended.xml", CALLER, "-s", NUMBER, "-key", "domain", "race.example",
        "-auth_uri", f"{NUMBER}@{endpoint.proxy}", "-inf", str(users), "-r", "25", "-cid_str", f"{run_id}-%u@tandem",
        calls=CALLS, edit=lambda text: text.replace("[user]", "[field0]").replace("[authentication]", "[field1]"),
    )  # fmt: skip
    assert caller.wait(60) == 0, (tmp_path / "uac-digest-ended.xml.log").read_text()[-2000:]
    assert callee.wait(10) == 0, "every callee got its BYE"

    with psycopg.connect(endpoint.database_url, autocommit=True) as database:
        until(lambda: len(database.execute(RECORDS, (run_id,)).fetchall()) == CALLS, 15, f"{CALLS} call detail records")
        for outcome, ended_by, billed_s, talk_ms, _ in database.execute(RECORDS, (run_id,)).fetchall():
            assert (outcome, ended_by, billed_s) == ("answered", "money", PAID_S)
            assert PAID_S * 1000 <= talk_ms <= PAID_S * 1000 + 1000, "ends at the deadline, at most a second later"
        assert [balance for (balance,) in database.execute(BALANCES).fetchall()] == [0] * CALLS
