"""Spend per day and month, alerts once per crossing, and locks that only a person lowers."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from tests.fix_postgres import Database

ALPHA, NORTH = 5, 2
NOON_MS = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()) * 1000
DAY_MS = 86_400_000
_numbers = itertools.count(1)


def _spend(connection: psycopg.Connection[Any], micros: int, at_ms: int = NOON_MS) -> int:
    """Post a call of Alpha's as settle does, and return how many alerts it raised."""
    number = next(_numbers)
    spent = json.dumps([{"account_id": ALPHA, "currency": "EUR", "amount_micros": micros, "at_ms": at_ms}])
    with connection.transaction():
        connection.execute(
            "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, rid, level,"
            " seq, epoch, fund_n) select gen_random_uuid(), md5(%s)::uuid, account, book, 'EUR', micros, 'redis', %s,"
            " 1, 1, 1, n from (values (5, 'fund', %s::bigint, %s::bigint), (2, 'income', %s, null))"
            " as v(account, book, micros, n)",
            (f"t{number}", f"r{number}", -micros, number, micros),
        )
        connection.execute("select tandem.count_spend_v1(%s)", (spent,))
        row = connection.execute("select tandem.check_thresholds_v1(%s)", (spent,)).fetchone()
    assert row is not None
    return int(row[0])


def _windows(database: Database, account: int = ALPHA) -> dict[tuple[str, int], int]:
    rows = database.run("select kind, window_id, spent_micros from tandem.fund_window where account_id = %s", account)
    return {(kind, window): spent for kind, window, spent in rows}


def _count(database: Database, *entries: tuple[int, int, int]) -> int:
    """Count (account, micros, time) as settle does."""
    rows = [{"account_id": a, "currency": "EUR", "amount_micros": m, "at_ms": at} for a, m, at in entries]
    return int(database.one("select tandem.count_spend_v1(%s)", json.dumps(rows)))


def _alerts(database: Database) -> list[tuple[Any, ...]]:
    return database.run("select kind, amount_micros, value_micros, window_id from tandem.alert order by id")


def _lock(database: Database, name: str = "Alpha") -> str:
    return str(database.one("select lock from tandem.account where name = %s", name))


def test_spend_is_counted_by_the_accounts_calendar(demo: Database) -> None:
    """By the end of the call in the account's own time zone, late corrections included."""
    demo.run("update tandem.account set timezone = 'Asia/Tokyo' where id = 5")
    evening = int(datetime(2026, 11, 30, 20, tzinfo=UTC).timestamp()) * 1000
    _count(demo, (ALPHA, 500, evening), (ALPHA, 250, evening), (NORTH, 300, evening))
    _count(demo, (ALPHA, -50, evening))
    assert _windows(demo) == {("day", 20261201): 700, ("month", 202612): 700}
    assert _windows(demo, NORTH) == {("day", 20261130): 300, ("month", 202611): 300}


def test_nothing_is_counted_for_nothing(demo: Database) -> None:
    """A call that cost nothing, no entry at all, or an account that is gone: no window."""
    assert _count(demo, (ALPHA, 0, NOON_MS), (99, 5, NOON_MS)) == 0
    assert _count(demo) == 0
    assert _windows(demo) == {}


def test_an_alert_per_crossing_of_a_balance(demo: Database) -> None:
    """One when it falls below, none while it stays there, another one after it was above."""
    demo.run("select world.threshold('Alpha', 'balance', 15)")
    raised = [_spend(demo.connection, 5_000_000), _spend(demo.connection, 1), _spend(demo.connection, 1)]
    assert raised == [0, 1, 0]
    demo.run("select world.money('Alpha', 'topup', 0.000001)")
    assert _spend(demo.connection, 0) == 0
    demo.run("select world.money('Alpha', 'topup', 1)")
    demo.run("select world.money('Alpha', 'debit', 2)")
    assert _alerts(demo) == [
        ("balance", 15_000_000, 14_999_999, None),
        ("balance", 15_000_000, 13_999_999, None),
    ]


def test_an_alert_per_window(demo: Database) -> None:
    """When the spend reaches the threshold, once in each day; a changed threshold is another one."""
    threshold = demo.one("select world.threshold('Alpha', 'day', 0.001)")
    demo.run("select world.threshold('Alpha', 'month', 0.003)")
    raised = [
        _spend(demo.connection, micros, NOON_MS + day * DAY_MS)
        for micros, day in ((999, 0), (1, 0), (1, 0), (-2, 0), (1, 0), (1000, 1), (1, 1), (1000, 2))
    ]
    assert raised == [0, 1, 0, 0, 0, 1, 0, 2]
    assert set(_alerts(demo)) == {
        ("day", 1000, 1000, 20261122),
        ("day", 1000, 1000, 20261123),
        ("day", 1000, 1000, 20261124),
        ("month", 3000, 3001, 202611),
    }
    demo.run("update tandem.threshold set amount_micros = 1002 where id = %s", threshold)
    assert [_spend(demo.connection, 1, NOON_MS + 2 * DAY_MS) for _ in range(3)] == [0, 1, 0]


def test_a_spool_of_yesterday_is_seen(demo: Database) -> None:
    """The day of the call counts, not that of its posting."""
    demo.run("select world.threshold('Alpha', 'day', 0.001)")
    assert _spend(demo.connection, 999, NOON_MS) == 0
    assert _spend(demo.connection, 5, NOON_MS + DAY_MS) == 0
    assert _spend(demo.connection, 1, NOON_MS) == 1


def test_a_threshold_locks(demo: Database) -> None:
    """The account gets the lock with the threshold as the actor; a stronger one stays; the outbox tells of it."""
    demo.run(
        "select world.threshold('Alpha', 'day', 0.001, 'outgoing'), world.threshold('Alpha', 'day', 0.002, 'foreign')"
    )
    demo.outbox()
    _spend(demo.connection, 1000)
    assert _lock(demo) == "outgoing"
    assert ("account", "acct:5") in demo.outbox()
    actor, key, changed = demo.run(
        "select actor, key, changed from tandem.audit where table_name = 'account' order by id desc limit 1"
    )[0]
    threshold = demo.one("select id from tandem.threshold where lock = 'outgoing'")
    assert (actor, key, changed) == (f"threshold {threshold}", "5", ["lock", "lock_note"])
    assert _spend(demo.connection, 1000) == 1
    assert _lock(demo) == "outgoing"
    assert (
        demo.one("select lock_note from tandem.account where id = 5") == f"threshold {threshold}: day of 0.001000 EUR"
    )


def test_a_refused_call_reaches_its_cap(demo: Database) -> None:
    """A cap is never quite spent; the call that it refuses raises the alerts up to it, once, and locks."""
    demo.run("select world.limits('Alpha', day => 5, month => 50)")
    demo.run("select world.threshold('Alpha', 'day', 5, 'outgoing'), world.threshold('Alpha', 'day', 5.1, 'all')")
    demo.run("select world.threshold('Alpha', 'month', 50, 'global')")
    _spend(demo.connection, 4_990_000)
    refused = json.dumps([{"account_id": ALPHA, "currency": "EUR", "refused": "day", "at_ms": NOON_MS}])
    raised = [demo.one("select tandem.check_thresholds_v1(%s)", refused) for _ in range(2)]
    assert (raised, _lock(demo)) == ([1, 0], "outgoing")
    assert _alerts(demo) == [("day", 5_000_000, 4_990_000, 20261122)]
    assert _spend(demo.connection, 10_000) == 0


def test_a_person_unlocks(demo_database: Database) -> None:
    """The tool's role lowers a lock only by lock_v1; then it stays until the next crossing."""
    demo_database.run("select world.threshold('Alpha', 'day', 0.001, 'all')")
    _spend(demo_database.connection, 1000)
    with demo_database.connect("tandem_tool") as tool:
        with pytest.raises(psycopg.errors.CheckViolation, match=r"through tandem\.lock_v1"):
            tool.execute("update tandem.account set lock = 'none' where id = 5")
        row = tool.execute("select tandem.lock_v1(5, 'none', 'ann', 'called the customer')").fetchone()
    assert row == ("all",)
    assert _lock(demo_database) == "none"
    assert demo_database.run(
        "select actor, after ->> 'lock_note' from tandem.audit where table_name = 'account' order by id desc limit 1"
    ) == [("ann", "called the customer")]
    _spend(demo_database.connection, 1)
    assert _lock(demo_database) == "none"
    _spend(demo_database.connection, 1000, NOON_MS + DAY_MS)
    assert _lock(demo_database) == "all"


def test_an_alert_is_announced(demo_database: Database) -> None:
    """NOTIFY tandem_alert carries the alert's id; nothing is said when nothing is crossed."""
    demo_database.run("select world.threshold('Alpha', 'balance', 15)")
    with demo_database.connect() as listener:
        listener.execute("listen tandem_alert")
        _spend(demo_database.connection, 1)
        _spend(demo_database.connection, 6_000_000)
        alert = demo_database.one("select id from tandem.alert")
        assert [notice.payload for notice in listener.notifies(timeout=10, stop_after=1)] == [str(alert)]


def test_two_at_once_cross_once(demo_database: Database) -> None:
    """Calls and payments of several connections at the same moment raise exactly one alert per crossing."""
    demo_database.run("select world.threshold('Alpha', 'balance', 19.9), world.threshold('Alpha', 'day', 0.15)")

    def work(_: int) -> int:
        with demo_database.connect() as connection:
            return sum(_spend(connection, 10_000) for _ in range(10))

    with ThreadPoolExecutor(4) as pool:
        raised = sum(pool.map(work, range(4)))
    assert raised == 2
    assert sorted(kind for kind, *_ in _alerts(demo_database)) == ["balance", "day"]
    assert demo_database.one("select bool_and(is_crossed) from tandem.threshold_state")


def test_the_calendar_moves_on(demo: Database) -> None:
    """Funds with a cap get new days when the known ones end within 2 days; nobody else is named."""
    demo.run(
        "select world.limits('Alpha', day => 5), world.limits('Beta', month => 5), world.limits('Gamma', day => 5)"
    )
    days = (
        "update tandem.fund_calendar set first_day = (now() at time zone 'UTC')::date - %s where account_id = any (%s)"
    )
    demo.run(days, 6, [5, 6, 2])
    demo.run(days, 5, [7])
    demo.outbox()
    assert demo.one("select tandem.refresh_windows_v1()") == 2
    assert demo.outbox() == {("fund_terms", "5:EUR"), ("fund_terms", "6:EUR")}
    assert demo.one("select tandem.refresh_windows_v1()") == 0


def test_the_horizon_moves_once_a_day(demo: Database) -> None:
    """Then records are written again without what is over; before that nothing happens."""
    demo.run("select tandem.refresh_windows_v1()")
    demo.outbox()
    demo.run("select world.deck('North', 'retail', '2021-01-01', '44', '0.5')")
    demo.run("update tandem.horizon set at = now() - interval '47 hours'")
    demo.outbox()
    demo.run("select tandem.refresh_windows_v1()")
    assert demo.outbox() == set()
    demo.run("update tandem.horizon set at = now() - interval '49 hours'")
    demo.outbox()
    demo.run("select tandem.refresh_windows_v1()")
    assert demo.outbox() == {("exchange", "fx"), ("tariff", "tar:6")}
