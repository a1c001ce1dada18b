"""What `tandem account` shows: entries page by page, statements, margins, and what calls in progress hold."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import Database
from tests.operator_world import OperatorWorld
from tests.settle_pair import SettlePair
from tools.tenant.catalogue import resource

CALL = """
with leg as (
  insert into tandem.cdr_leg
    (rid, level, payer_id, payee_id, currency, price_micros, book, fund_currency, charged_micros, created_at)
  values
    (%(rid)s, 1, %(alpha)s, %(north)s, 'EUR', 60000, 'fund', null, null, %(at)s),
    (%(rid)s, 2, %(north)s, %(root)s, 'USD', 30000, 'fund', 'EUR', 28500, %(at)s),
    (%(rid)s, 9, %(root)s, %(root)s, 'EUR', 12000, 'cost', null, null, %(at)s))
insert into tandem.cdr
  (rid, call_id, node, started_at, answered_at, ended_at, direction, source, account_id, caller, callee, outcome,
   sip_status)
values (%(rid)s, %(rid)s, 'n1', %(at)s, %(at)s, %(at)s, 'out', 'alice@a.example', %(alpha)s, '441', '442', 'answered',
        200)
"""


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world."""
    return OperatorWorld(database)


def test_pages_of_entries_join_without_a_gap_or_a_repeat(world: OperatorWorld) -> None:
    for number in range(1, 8):
        world.run("account", "topup", "Alpha", str(number), "--note", f"payment {number}")
    notes, before = [], ""
    while True:
        words = ("--before", before) if before else ()
        page = world.json("account", "entries", "Alpha", "--limit", "3", *words)
        notes += [entry["note"] for entry in page["entries"]]
        if not (before := page["before"]):
            break
    assert notes == [*(f"payment {number}" for number in range(7, 0, -1)), "opening balance"]
    assert "older ones: --before " in world.run("account", "entries", "Alpha", "--limit", "3")


def test_entries_are_of_a_book_and_a_time(world: OperatorWorld) -> None:
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date().isoformat()
    assert world.json("account", "entries", "North", "--from", tomorrow)["entries"] == []
    books = [row["book"] for row in world.json("account", "entries", "North", "--to", tomorrow)["entries"]]
    assert sorted(books) == ["cash", "cash", "fund"]
    rows = world.json("account", "entries", "North", "--book", "cash")["entries"]
    assert sorted(row["amount"] for row in rows) == ["-20.00", "-30.00"]


def test_a_note_is_shown_as_it_was_typed(world: OperatorWorld) -> None:
    world.run("account", "topup", "Alpha", "1", "--note", "[bold] :smile: [/]")
    assert "[bold] :smile: [/]" in world.run("account", "entries", "Alpha")
    assert "[bold] :smile: [/]" in world.run("account", "show", "Alpha")


def test_a_statement_leads_from_the_opening_to_the_closing_balance(world: OperatorWorld) -> None:
    world.run("account", "topup", "Alpha", "12.5")
    world.run("account", "debit", "Alpha", "2", "--note", "n")
    today = datetime.now(UTC).date()
    words = ("--from", (today - timedelta(days=1)).isoformat(), "--to", (today + timedelta(days=2)).isoformat())
    found = world.json("account", "statement", "Alpha", *words)
    assert {name: found[name] for name in ("opening", "credited", "debited", "calls", "closing")} == {
        "opening": "0.00",
        "credited": "32.50",
        "debited": "-2.00",
        "calls": "0.00",
        "closing": "30.50",
    }
    later = world.json("account", "statement", "Alpha", "--from", (today + timedelta(days=2)).isoformat())
    assert (later["opening"], later["closing"], later["calls_count"]) == ("30.50", "30.50", 0)
    assert "30.50" in world.run("account", "statement", "Alpha", *words)


def test_a_margin_is_what_calls_brought_less_what_they_cost_per_currency(world: OperatorWorld) -> None:
    """North earns 0.06 EUR and is charged 0.0285 EUR for the 0.03 USD that the root earns; acme gets 0.012 EUR."""
    ids = {"alpha": world.id_of("Alpha"), "north": world.id_of("North"), "root": world.id_of("Tandem")}
    for number, at in enumerate(("2026-03-01T00:00Z", "2026-03-31T21:59Z", "2026-03-31T22:01Z"), 1):
        world.database.connection.execute(CALL, {**ids, "rid": f"call-{number}", "at": at})
    world.database.run("update tandem.account set timezone = 'Europe/Berlin' where name = 'North'")
    march = ("--from", "2026-03-01", "--to", "2026-04-01")
    assert world.json("account", "margin", "North", *march)["currencies"] == [
        {
            "currency": "EUR",
            "calls": 2,
            "earned": "0.12",
            "paid": "0.057",
            "carriers": "0.00",
            "margin": "0.063",
        }
    ]
    root = world.json("account", "margin", "Tandem", "--from", "2026-03-01", "--to", "2026-05-01")["currencies"]
    assert [(row["currency"], row["earned"], row["carriers"], row["margin"]) for row in root] == [
        ("EUR", "0.00", "0.036", "-0.036"),
        ("USD", "0.09", "0.00", "0.09"),
    ]
    assert "0.063" in world.run("account", "margin", "North", *march)
    alpha = world.json("account", "margin", "Alpha", *march)["currencies"][0]
    assert (alpha["calls"], alpha["margin"]) == (3, "-0.18")  # its month is that of UTC


def test_amounts_have_the_decimals_of_their_currency(world: OperatorWorld) -> None:
    world.database.run("select world.tariff('North', 'yen', 'JPY', '81', '3')")
    world.database.run("select world.customer('Tokyo', 'North', 'yen', 1500)")
    assert world.balances()["Tokyo"] == "1500"
    assert "1500 → 1500.5 JPY" in world.run("account", "topup", "Tokyo", "0.5", "--currency", "JPY")


def test_show_says_what_stands_and_what_the_windows_have(world: OperatorWorld) -> None:
    found = world.json("account", "show", "Alpha")
    zero = {"spent": "0.00", "limit": "unlimited"}
    now = datetime.now(UTC)
    assert found["spend"] == {
        "day": {"window": int(f"{now:%Y%m%d}"), **zero},
        "month": {"window": int(f"{now:%Y%m}"), **zero},
    }
    assert found["live"] is None
    text = world.run("account", "show", "Alpha")
    assert "prepaid" in text
    assert "20.00 EUR" in text
    assert "customer below North, active" in text
    assert "root" in world.run("account", "show", "Tandem")


def test_show_says_what_set_changes(world: OperatorWorld) -> None:
    world.run("account", "set", "Alpha", "--language", "fr", "--barred", "1900,47829", "--share-children", "yes")
    found = world.json("account", "show", "Alpha")
    assert {
        name: found[name] for name in ("language", "barred", "share_children", "tariff", "timezone", "contact")
    } == {
        "language": "fr",
        "barred": ["1900", "47829"],
        "share_children": True,
        "tariff": "retail",
        "timezone": "UTC",
        "contact": None,
    }
    assert (found["parent_id"], found["path"]) == (world.id_of("North"), "Tandem/North/Alpha")
    assert world.json("account", "show", "Alpha", "--as", "North")["path"] == "North/Alpha"
    said = world.run("account", "show", "Alpha").split()
    for words in (["language", "fr"], ["barred", "1900,", "47829"], ["tariff", "retail"], ["contact", "none"]):
        assert " ".join(words) in " ".join(said)
    assert f"spent in {datetime.now(UTC).date().isoformat()} of unlimited" in " ".join(said)
    root = world.json("account", "show", "Tandem")
    assert (root["path"], root["parent_id"], root["language"]) == ("Tandem", None, "en")
    missing = {each.name for each in resource("account").written} - found.keys()
    assert missing == set()


def test_an_account_is_also_named_by_its_id(world: OperatorWorld) -> None:
    key = world.id_of("Alpha")
    for who in (str(key), f"#{key}"):
        assert world.json("account", "show", who)["name"] == "Alpha"
        assert world.json("account", "list", "--as", who)[0]["path"] == "Alpha"
    assert "does not exist" in world.refused("account", "show", "#999")


def test_accounts_are_listed_with_balances_and_locks(world: OperatorWorld) -> None:
    listed = world.json("account", "list")
    assert [(row["name"], row["parent"], row["balance"], row["currency"]) for row in listed][1:] == [
        ("North", "Tandem", "500.00", "EUR"),
        ("Alpha", "North", "20.00", "EUR"),
        ("Beta", "North", "30.00", "EUR"),
    ]
    world.run("account", "lock", "Beta", "all", "--note", "n")
    (line,) = (line for line in world.run("account", "list").splitlines() if "Beta" in line)
    assert "all" in line.split()


def test_show_says_what_calls_in_progress_hold(database: Database, redis_client: RedisClient, redis_url: str) -> None:
    """A minute of a call of Alpha is held at 0.06 EUR; without Redis the rest is shown all the same."""
    pair = SettlePair(database, redis_client, redis_url)
    pair.once()
    pair.hold(pair.pinned())
    world = OperatorWorld(database, made=True)
    live = world.json("account", "show", "Alpha", REDIS_URL=redis_url)["live"]
    assert (live["available"], live["held"], live["channels"]) == ("19.94", "0.06", 1)
    assert "held 0.06" in world.run("account", "show", "Alpha", REDIS_URL=redis_url)
    gone = world.json("account", "show", "Alpha", REDIS_URL="unix:///nowhere/redis.sock")
    assert gone["live"]["error"].startswith("Redis does not answer: ")
    assert gone["balance"] == "20.00"
