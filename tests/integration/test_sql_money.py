"""Money moved by hand: by whom, how much, at most once, and taken back only by its exact opposite."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
import pytest

from tests.fix_postgres import Database

ROOT, NORTH, ALPHA, DELTA = 1, 2, 5, 8
ACME = 1
OPENING = 20_000_000


def _entries(database: Database, txn: uuid.UUID) -> set[tuple[Any, ...]]:
    return set(
        database.run(
            "select account_id, book, currency, amount_micros, group_id from tandem.ledger_entry where txn_id = %s", txn
        )
    )


def _balance(database: Database, account: int, currency: str = "EUR") -> int:
    query = "select balance_micros from tandem.fund_balance where account_id = %s and currency = %s"
    return int(database.one(query, account, currency))


@pytest.mark.parametrize(
    ("kind", "micros", "moved", "other"),
    [
        ("topup", 7, 7, "cash"),
        ("credit", 7, 7, "income"),
        ("debit", 7, -7, "income"),
        ("adjust", 7, 7, "cash"),
        ("adjust", -7, -7, "cash"),
    ],
)
def test_a_movement(demo: Database, kind: str, micros: int, moved: int, other: str) -> None:
    """Two entries of origin pg that sum to zero; the kind says the sign and the parent's book."""
    txn = demo.one("select tandem.move_v1(%s, %s, %s, 'why', 'ann')", ALPHA, micros, kind)
    assert _entries(demo, txn) == {(ALPHA, "fund", "EUR", moved, None), (NORTH, other, "EUR", -moved, None)}
    assert _balance(demo, ALPHA) == OPENING + moved


def test_one_request_one_movement(demo: Database) -> None:
    """The same request moves once, also when it is closed meanwhile; another wish under its name is refused."""
    query = "select tandem.move_v1(%s, %s, %s, 'why', 'ann', 'req', %s)"
    demo.run("insert into tandem.fund(account_id, currency) values (5, 'USD')")
    first = demo.one(query, ALPHA, 7, "topup", "EUR")
    demo.run("update tandem.account set status = 'closed' where id = %s", ALPHA)
    assert demo.one(query, ALPHA, 7, "topup", None) == first
    for wish in ((8, "topup", "EUR"), (7, "credit", "EUR"), (7, "debit", "EUR"), (7, "topup", "USD")):
        assert "request 'req' moved 0.000007 EUR before" in demo.refused(query, ALPHA, *wish)
    assert _balance(demo, ALPHA) == OPENING + 7


def test_a_closed_account_is_paid_out(demo: Database) -> None:
    """It gets nothing more, but what it has left can go back."""
    demo.run("update tandem.account set status = 'closed' where id = %s", ALPHA)
    for kind in ("topup", "credit", "adjust"):
        assert "account 5 'Alpha' is closed" in demo.refused("select tandem.move_v1(5, 1, %s, 'why', 'ann')", kind)
    demo.run("select tandem.move_v1(5, %s, 'adjust', 'paid out', 'ann')", -OPENING)
    assert _balance(demo, ALPHA) == 0


def test_another_fund(demo: Database) -> None:
    """An account may have money in several currencies; a movement names one."""
    demo.run("insert into tandem.fund(account_id, currency) values (5, 'USD')")
    txn = demo.one("select world.money('Alpha', 'topup', 3, 'why', null, 'USD')")
    assert _entries(demo, txn) == {(5, "fund", "USD", 3_000_000, None), (2, "cash", "USD", -3_000_000, None)}
    assert (_balance(demo, ALPHA, "USD"), _balance(demo, ALPHA)) == (3_000_000, OPENING)


def test_overcommit(demo: Database) -> None:
    """A parent that guards itself lifts no child above p % of its posted balance; charges by calls count in that."""
    demo.run("select world.overcommit('Fjord', 0), world.overcommit('North', 50)")
    demo.run("select world.money('Beta', 'debit', 1000), world.money('Beta', 'topup', 1000 - 20 + 100)")
    refusal = "may have at most 100 % of the posted balance of its parent 4 'Fjord'"
    for kind in ("topup", "credit", "adjust"):
        assert refusal in demo.refused("select world.money('Beta', %s, 0.000001)", kind)
    assert refusal in demo.refused("select tandem.topup_v1(6, 1, 'why', 'ann')")
    demo.run("select world.money('Beta', 'debit', 61), world.money('Alpha', 'topup', 730)")
    demo.run(
        "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, rid, level,"
        " seq, epoch, fund_n) select gen_random_uuid(), md5('t')::uuid, account, book, 'EUR', micros, 'redis', 'r', 1,"
        " 1, 1, n from (values (4, 'fund', -60000000, 1), (2, 'income', 60000000, null)) as v(account, book, micros, n)"
    )
    assert "which is 40.000000 EUR" in demo.refused("select world.money('Beta', 'topup', 41)")
    demo.run("select world.money('South', 'topup', 100000)")  # the root guards nobody


def test_overcommit_across_currencies(demo: Database) -> None:
    """What the child gets is compared in its parent's currency."""
    demo.run("select world.exchange('USD', 'EUR', 0.5), world.exchange('EUR', 'USD', 2)")
    demo.run("select world.customer('Dollar', 'Fjord', 'retail', currency => 'USD'), world.overcommit('Fjord', 10)")
    demo.run("select world.money('Dollar', 'topup', 220)")
    assert "at most 110 %" in demo.refused("select world.money('Dollar', 'topup', 220.000001)")


def test_a_reversal(demo: Database) -> None:
    """The opposite of each entry, under the name of what it takes back."""
    before = _balance(demo, ALPHA)
    txn = demo.one("select world.money('Alpha', 'credit', 5)")
    back = demo.one("select tandem.reverse_v1(%s, 'mistake', 'ann')", txn)
    assert {(*who, -micros, group) for *who, micros, group in _entries(demo, txn)} == _entries(demo, back)
    assert demo.run("select distinct reverses, note, actor from tandem.ledger_entry where txn_id = %s", back) == [
        (txn, "mistake", "ann")
    ]
    assert _balance(demo, ALPHA) == before


def test_a_call_is_given_back_as_an_adjustment(demo: Database) -> None:
    """What Redis charged stays charged; the credit grows by it, once, and nothing names the call."""
    txn = uuid.uuid4()
    demo.run(
        "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, rid, level,"
        " seq, epoch, fund_n) select gen_random_uuid(), %s, account, book, 'EUR', micros, 'redis', 'r1', 1, 1, 1, n"
        " from (values (5, 'fund', -500, 1), (2, 'income', 500, null)) as v(account, book, micros, n)",
        txn,
    )
    assert (
        "is of call r1, whose charges stand in Redis too: it can only be given back as an adjustment"
        in demo.refused("select tandem.reverse_v1(%s, 'complaint', 'ann')", txn)
    )
    back = demo.one("select tandem.reverse_v1(%s, 'complaint', 'ann', true)", txn)
    assert _entries(demo, back) == {(5, "fund", "EUR", 500, None), (2, "income", "EUR", -500, None)}
    assert demo.run("select distinct origin, rid from tandem.ledger_entry where txn_id = %s", back) == [("pg", None)]
    assert demo.run("select cred_micros, charged_micros from tandem.fund_balance where account_id = 5") == [
        (OPENING + 500, 500)
    ]
    assert "is reversed already" in demo.refused("select tandem.reverse_v1(%s, 'complaint', 'ann', true)", txn)


def _carry(database: Database, rid: str, micros: int, currency: str = "EUR", group: int = ACME) -> None:
    """Post what a call cost with a carrier of the root."""
    database.run(
        "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, rid, level,"
        " seq, group_id) select gen_random_uuid(), md5(%s)::uuid, 1, book, %s, micros, 'pg', %s, 9, 1, %s"
        " from (values ('cost', %s::bigint), ('carrier', %s)) as v(book, micros)",
        rid, currency, rid, group, -micros, micros,
    )  # fmt: skip


def _owed(database: Database, group: int = ACME) -> list[tuple[Any, ...]]:
    query = "select currency, owed_micros, day_micros, month_micros from tandem.carrier_owed where group_id = %s"
    return sorted(database.run(query, group))


def _spent(database: Database, group: int = ACME) -> str:
    return str(database.one("select spent from sync.peering_group where id = %s", group))


def test_what_a_carrier_is_owed(demo: Database) -> None:
    """Calls add to it, in each currency, payments take from it; a day's spend is of calls alone."""
    _carry(demo, "r1", 700)
    _carry(demo, "r2", 300)
    _carry(demo, "r3", 5, "USD")
    txn = demo.one("select tandem.pay_carrier_v1(%s, 400, 'invoice 1', 'ann', 'req')", ACME)
    assert txn == demo.one("select tandem.pay_carrier_v1(%s, 400, 'invoice 1', 'ann', 'req')", ACME)
    assert _entries(demo, txn) == {(ROOT, "carrier", "EUR", -400, ACME), (ROOT, "cash", "EUR", 400, ACME)}
    assert _owed(demo) == [("EUR", 600, 1000, 1000), ("USD", 5, 5, 5)]
    sums = demo.run(
        "select currency, sum(amount_micros)::bigint from tandem.ledger_entry where book = 'carrier' group by currency"
    )
    assert sorted(sums) == [("EUR", 600), ("USD", 5)]


def test_a_carrier_with_a_balance(demo: Database) -> None:
    """At what may be owed it is spent, and the outbox says so; a payment opens it again."""
    demo.run("select world.carrier_limits('acme', owed => 0.001)")
    _carry(demo, "r1", 999)
    assert _spent(demo) == ""
    demo.outbox()
    _carry(demo, "r2", 1)
    assert (_spent(demo), demo.outbox()) == ("balance", {("peering_group", "pg:1")})
    _carry(demo, "r3", 1)
    assert demo.outbox() == set()
    demo.run("select tandem.pay_carrier_v1(%s, 2, 'invoice 1', 'ann')", ACME)
    assert (_spent(demo), demo.outbox()) == ("", {("peering_group", "pg:1")})


@pytest.mark.parametrize("window", ["day", "month"])
def test_a_carrier_with_a_spend_cap(demo: Database, window: str) -> None:
    """When calls of the window have cost the cap it is spent; a new window opens it again."""
    arguments = "day => 0.001" if window == "day" else "month => 0.001"
    demo.run(f"select world.carrier_limits('acme', {arguments})".encode())
    _carry(demo, "r1", 1000)
    assert _spent(demo) == window
    demo.run("set local session_replication_role = replica")  # as if the calls had been posted in the window before
    demo.run("update tandem.carrier_owed set day_id = 20200101, month_id = 202001")
    demo.run("set local session_replication_role = origin")
    demo.outbox()
    assert demo.one("select tandem.refresh_windows_v1()") == 1
    assert (_spent(demo), demo.outbox()) == ("", {("peering_group", "pg:1")})
    _carry(demo, "r2", 999)
    assert (_spent(demo), _owed(demo)) == ("", [("EUR", 1999, 999, 999)])


def test_money_by_the_roles(demo_database: Database) -> None:
    """The tool's role moves, reverses, pays and locks by functions; settle counts and looks at thresholds, no more."""
    tool_only = (
        "select tandem.reverse_v1(tandem.move_v1(5, 5, 'topup', 'why', 'ann'), 'why', 'ann')",
        "select tandem.pay_carrier_v1(1, 5, 'why', 'ann')",
        "select tandem.lock_v1(5, 'all', 'ann', 'why')",
    )
    settle_only = ("select tandem.count_spend_v1('[]')", "select tandem.check_thresholds_v1('[]')")
    for user, allowed, refused in (
        ("tandem_tool", tool_only, (*settle_only, "select tandem.refresh_windows_v1()")),
        ("tandem_settle", settle_only, (*tool_only, "select tandem.refresh_windows_v1()")),
        ("tandem_sync", ("select tandem.refresh_windows_v1()",), (*tool_only, *settle_only)),
    ):
        with demo_database.connect(user) as connection:
            for statement in allowed:
                connection.execute(statement.encode())
            for statement in refused:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
