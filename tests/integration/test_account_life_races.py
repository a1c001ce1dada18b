"""What others do at the moment of a closing or a move comes before it or after it, never in between."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest

from tests.fix_postgres import Database
from tests.locks import held, until_one_waits
from tests.operator_world import OperatorWorld

DEADLINE_S: Final = 10.0


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world with a dealer that has one of everything."""
    made = OperatorWorld(database)
    made.grow()
    made.furnish("Fjord", "Gamma", "f", 4)
    return made


def statuses(world: OperatorWorld) -> dict[str, str]:
    """Return account name -> status."""
    return dict(world.database.run("select name, status from tandem.account"))


def cash(world: OperatorWorld, name: str) -> int:
    """Return the sum of an account's cash book, in micros; minus: money that it took."""
    query = "select coalesce(sum(amount_micros), 0) from tandem.ledger_entry where book = 'cash' and account_id = %s"
    return int(world.database.one(query, world.id_of(name)))


def test_what_comes_while_an_account_is_closed_is_refused(world: OperatorWorld) -> None:
    """It waits for the closing, and then finds it closed: a top-up, a number, an account, a line."""
    database, gamma = world.database, world.id_of("Gamma")
    late = (
        b"insert into tandem.number(account_id, e164) values (%s, '33123456')",
        b"select tandem.topup_v1(%s, 5, 'n', 'me')",
        b"insert into tandem.subscriber(account_id, sip_domain_id, username) select %s, id, 'x' from tandem.sip_domain",
        b"update tandem.number set subscriber_id = null, account_id = %s",
    )
    for statement in late:
        with database.connect() as second, ThreadPoolExecutor(1) as pool:
            with held(database, b"select tandem.close_account_v1(%s)", gamma) as first:
                waiting = pool.submit(second.execute, statement, (gamma,))
                until_one_waits(database)
                first.commit()
            with pytest.raises(psycopg.errors.CheckViolation, match="is closed"):
                waiting.result(DEADLINE_S)
        database.run("update tandem.number set account_id = %s where account_id <> %s", world.id_of("North"), gamma)


def test_what_came_before_the_closing_is_closed_too(world: OperatorWorld) -> None:
    """The closing waits for an account that is being made below, and closes it."""
    database = world.database
    with database.connect() as closer, ThreadPoolExecutor(1) as pool:
        with held(database, b"select world.customer('Late', 'Fjord', 'retail')"):
            closing = pool.submit(closer.execute, "select tandem.close_account_v1(%s)", (world.id_of("Fjord"),))
            until_one_waits(database)
        closing.result(DEADLINE_S)
    assert statuses(world)["Late"] == "closed"


def test_a_top_up_at_the_moment_of_a_move_is_the_new_parents(world: OperatorWorld) -> None:
    database, alpha, south = world.database, world.id_of("Alpha"), world.id_of("South")
    before = {name: cash(world, name) for name in ("North", "South")}
    with database.connect() as payer, ThreadPoolExecutor(1) as pool:
        moved = b"select tandem.move_account_v1(%s, %s, world.tariff_id('South', 'dealer'))"
        database.run("select set_config('tandem.actor', 'ann', false)")
        with held(database, moved, alpha, south) as mover:
            paying = pool.submit(payer.execute, "select tandem.topup_v1(%s, 5000000, 'n', 'me')", (alpha,))
            until_one_waits(database)
            mover.commit()
        paying.result(DEADLINE_S)
    assert cash(world, "North") - before["North"] == 20_000_000
    assert cash(world, "South") - before["South"] == -25_000_000
    world.assert_ledger_balances()


def acting(world: OperatorWorld, connection: psycopg.Connection[Any], name: str) -> None:
    """Begin a transaction of an account."""
    connection.autocommit = False
    connection.execute("select tandem.act_as_v1(%s, 'ann')", (world.id_of(name),))
    connection.execute("set local role tandem_tenant")


@pytest.mark.parametrize(
    "call",
    ["topup_v1({it}, 5, 'n', 'me')", "lock_v1({it}, 'all', 'me', 'n')", "suspend_account_v1({it})",
     "resume_account_v1({it})", "reverse_v1('{txn}', 'n', 'me')", "pay_carrier_v1({own}, 5, 'n', 'me')"],
)  # fmt: skip
def test_who_waits_for_a_move_asks_again_whose_the_account_is(world: OperatorWorld, call: str) -> None:
    """What was below North when it asked is below South when it is told: it is not North's any more."""
    database = world.database
    database.run("select world.grant('North', 'money', 'carriers_own')")
    moving = world.id_of("Fjord")
    txn = database.one("select tandem.topup_v1(%s, 5, 'n', 'root')", moving)
    words = call.format(it=moving, txn=txn, own=world.id_of("own f"))
    moved = b"select tandem.move_account_v1(%s, %s, world.tariff_id('South', 'dealer'))"
    with database.connect() as tenant, ThreadPoolExecutor(1) as pool:
        acting(world, tenant, "North")
        with held(database, moved, moving, world.id_of("South")) as mover:
            asking = pool.submit(tenant.execute, f"select tandem.{words}".encode())
            until_one_waits(database)
            mover.commit()
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match=r"does not exist|there is no"):
            asking.result(DEADLINE_S)


def test_two_moves_wait_for_each_other_and_never_make_a_circle(world: OperatorWorld) -> None:
    database = world.database
    database.run("select world.tariff('Fjord', 'inner', 'EUR', '44', '0.05')")
    fjord, south = world.id_of("Fjord"), world.id_of("South")
    move = b"select tandem.move_account_v1(%s, %s, world.tariff_id(%s, %s))"
    with database.connect() as second, ThreadPoolExecutor(1) as pool:
        with held(database, move, fjord, south, "South", "dealer") as first:
            moving = pool.submit(second.execute, move, (south, fjord, "Fjord", "inner"))
            until_one_waits(database)
            first.commit()
        with pytest.raises(psycopg.errors.CheckViolation, match="cannot stand below itself"):
            moving.result(DEADLINE_S)
