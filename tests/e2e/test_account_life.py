"""Accounts and lines that move, stop or go while their calls go on: each call ends as sql/README.md says, over SIP."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Final, NamedTuple

import psycopg
import pytest

from tests.e2e.traffic import answered_calls, sipp
from tests.wait import until
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint

PAID_S: Final = 14  # what each has money for: several slices of the stack of the tests
CALLEE, CALLER, NUMBER = "127.1.202.1", "127.1.202.9", "887020000001"
USER: Final = "user{0};c{0}.life.example;[authentication username=user{0} password=demo-secret]\n"
WORLD: Final = """
select world.tariff('Tandem', 'life', 'EUR', '88702', '0.03');
select world.reseller('life-old', 'Tandem', 'life', 50);
select world.reseller('life-new', 'Tandem', 'life', 50);
select world.tariff('life-old', 'retail', 'EUR', '88702', '0.06');
select world.tariff('life-new', 'retail', 'EUR', '88702', '0.12');
select world.carrier('life-carrier', '127.1.202.1', 5080, '88702', '0.012');
select world.customer('life-customer-' || i, 'life-old', 'retail', 0.014),
       world.domain('c' || i || '.life.example', 'life-customer-' || i),
       world.subscriber('user' || i || '@c' || i || '.life.example', 'life-customer-' || i, 'demo-secret',
                        (887021000000 + i)::text)
  from generate_series(1, 6) as i;
select world.domain('other.life.example', 'life-customer-5');
"""
RECORD: Final = """
select c.outcome, c.ended_by, c.billed_s, p.name from tandem.cdr c
  join tandem.cdr_leg l on l.rid = c.rid and l.level = 1 join tandem.account p on p.id = l.payee_id where c.call_id = %s
"""
LEFT: Final = (
    "select balance_micros from tandem.fund_balance b join tandem.account a on a.id = b.account_id where a.name = %s"
)


class Case(NamedTuple):
    """What happens to a customer's account or line while its call goes on; whether that gets no more time then."""

    change: str
    stops: bool = False


CASES: Final = (
    Case("select 1"),
    Case("select tandem.suspend_account_v1(world.account_id('life-customer-2'))", stops=True),
    Case("select tandem.close_account_v1(world.account_id('life-customer-3'))", stops=True),
    Case(
        "select tandem.move_account_v1(world.account_id('life-customer-4'), world.account_id('life-new'),"
        " world.tariff_id('life-new', 'retail'))",
    ),
    Case(
        "select tandem.move_subscriber_v1(world.subscriber_id('user5@c5.life.example'),"
        " (select id from tandem.sip_domain where name = 'other.life.example'), repeat('0', 32), repeat('0', 64))",
    ),
    Case("delete from tandem.subscriber where username = 'user6'"),
)


@pytest.mark.usefixtures("worlds")
def test_calls_of_what_moves_stops_or_goes(endpoint: Endpoint, watch: Watch, tmp_path: Path) -> None:
    """Who is suspended or closed talks what is held and no more; everybody else talks on, and pays the old parent."""
    watch.load_world("life-", WORLD)
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
    run_id = f"life-{secrets.token_hex(4)}"
    users = tmp_path / "users.csv"
    users.write_text("SEQUENTIAL\n" + "".join(USER.format(number) for number, _ in enumerate(CASES, 1)))
    callee = sipp(endpoint, tmp_path, "uas-answer.xml", CALLEE, calls=len(CASES))
    caller = sipp(
        endpoint, tmp_path, "uac-digest-ended.xml", CALLER, "-s", NUMBER, "-auth_uri", f"{NUMBER}@{endpoint.proxy}",
        "-inf", str(users), "-r", "25", "-cid_str", f"{run_id}-%u@tandem", calls=len(CASES), edit=_fields,
    )  # fmt: skip
    until(lambda: len(answered_calls(tmp_path, run_id)) == len(CASES), 20, "all calls to be answered")
    with psycopg.connect(endpoint.database_url, autocommit=True) as database:
        for case in CASES:
            database.execute("select set_config('tandem.actor', 'test', false)")
            database.execute(case.change.encode())
        assert caller.wait(60) == 0, (tmp_path / "uac-digest-ended.xml.log").read_text()[-2000:]
        assert callee.wait(10) == 0, "every callee got its BYE"
        for number, case in enumerate(CASES, 1):
            call_id = f"{run_id}-{number}@tandem"
            until(lambda: database.execute(RECORD, (call_id,)).fetchall() != [], 15, f"the record of {call_id}")  # noqa: B023
            ((outcome, ended_by, billed_s, payee),) = database.execute(RECORD, (call_id,)).fetchall()
            assert (outcome, ended_by, payee) == ("answered", "money", "life-old"), case.change
            assert (billed_s < PAID_S) if case.stops else (billed_s == PAID_S), case.change
            left = database.execute(LEFT, (f"life-customer-{number}",)).fetchall()
            assert left == [((PAID_S - billed_s) * 1000,)], case.change


def _fields(text: str) -> str:
    """Let each call take its user, domain and password from a line of the file."""
    return text.replace("[user]", "[field0]").replace("[domain]", "[field1]").replace("[authentication]", "[field2]")
