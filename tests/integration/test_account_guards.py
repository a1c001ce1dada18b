"""Limits, locks, thresholds and alerts of accounts: what is typed stands, is shown, and a person undoes it."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.fix_postgres import Database
from tests.operator_world import OperatorWorld
from tools.account.alerts import Wanted, followed

WHO_LOCKED = b"""
select actor from tandem.audit where table_name = 'account' and account_id = %s and 'lock' = any(changed) order by id
"""
FREE = {
    "credit_limit": "0.00",
    "channels": "unlimited",
    "channels_in": "unlimited",
    "channels_out": "unlimited",
    "cps": "unlimited",
    "spend_day": "unlimited",
    "spend_month": "unlimited",
    "overcommit_pct": "unlimited",
}


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world."""
    return OperatorWorld(database)


def test_every_limit_is_set_shown_and_lifted(world: OperatorWorld) -> None:
    """A word lifts a limit; what is not named stays."""
    head = {"account": world.id_of("North"), "name": "North"}
    assert world.json("account", "limit", "North") == {**head, "paying": "prepaid", **FREE}
    wanted = {
        "credit-limit": "50.25",
        "channels": "30",
        "channels-in": "10",
        "channels-out": "20",
        "cps": "5",
        "spend-day": "100",
        "spend-month": "2000.5",
        "overcommit": "20",
    }
    words = [word for name, value in wanted.items() for word in (f"--{name}", value)]
    shown = {
        "credit_limit": "50.25",
        "channels": 30,
        "channels_in": 10,
        "channels_out": 20,
        "cps": 5,
        "spend_day": "100.00",
        "spend_month": "2000.50",
        "overcommit_pct": 20,
    }
    assert world.json("account", "limit", "North", *words) == {**head, "paying": "postpaid", **shown}
    assert world.json("account", "limit", "North", "--cps", "6") == {**head, "paying": "postpaid", **shown, "cps": 6}
    assert world.json("account", "show", "North")["limits"] == {**shown, "cps": 6}
    lifted = [word for name in wanted if name != "credit-limit" for word in (f"--{name}", "unlimited")]
    assert world.json("account", "limit", "North", *lifted, "--credit-limit", "0") == {
        **head,
        "paying": "prepaid",
        **FREE,
    }


def test_the_words_say_how_an_account_pays(world: OperatorWorld) -> None:
    assert "prepaid, its balance never goes below zero" in world.run("account", "limit", "Alpha")
    assert "postpaid, it may owe 5.00 EUR" in world.run("account", "limit", "Alpha", "--credit-limit", "5")
    assert "postpaid, it may owe any amount" in world.run("account", "limit", "Alpha", "--credit-limit", "unlimited")
    assert world.json("account", "show", "Alpha")["credit_limit"] == "unlimited"


def test_a_limit_reaches_the_terms_that_redis_is_given_and_the_audit_names_who_set_it(world: OperatorWorld) -> None:
    world.run("account", "limit", "Alpha", "--channels-in", "3", "--spend-day", "7", "--actor", "ann")
    fund = f"{world.id_of('Alpha')}:EUR"
    assert world.database.run("select channels_in_max, day_max_micros from sync.fund_terms where name = %s", fund) == [
        (3, 7_000_000)
    ]
    assert ("fund_terms", fund) in world.database.outbox()
    assert world.database.one("select actor from tandem.audit order by id desc limit 1") == "ann"


def test_a_refused_limit_changes_none_of_those_beside_it(world: OperatorWorld) -> None:
    world.refused("account", "limit", "Alpha", "--channels", "5", "--overcommit", "x")
    assert world.json("account", "limit", "Alpha")["channels"] == "unlimited"


def test_a_lock_is_set_shown_with_those_above_and_lifted(world: OperatorWorld) -> None:
    said = world.run("account", "lock", "Alpha", "foreign", "--note", "invoice unpaid")
    assert "lock none → foreign: no calls that leave to carriers, except emergency calls" in said
    world.run("account", "lock", "North", "all", "--note", "fraud")
    north = {"id": world.id_of("North"), "name": "North", "lock": "all"}
    found = world.json("account", "show", "Alpha")
    assert (found["lock"], found["locks_above"]) == ("foreign", [north])
    done = world.json("account", "unlock", "Alpha", "--note", "paid")
    assert (done["before"], done["lock"], done["above"]) == ("foreign", "none", [north])
    assert "still locked by account" in world.run("account", "unlock", "Alpha", "--note", "paid")
    world.run("account", "unlock", "North", "--note", "cleared")
    assert world.json("account", "show", "Alpha")["locks_above"] == []


def test_a_lock_names_who_set_it_and_reaches_the_record_that_workers_read(world: OperatorWorld) -> None:
    world.database.outbox()
    world.run("account", "lock", "Alpha", "global", "--note", "stolen phone", "--actor", "ann")
    alpha = world.id_of("Alpha")
    assert world.database.one("select lock from sync.account where name = %s", f"acct:{alpha}") == 4
    assert ("account", f"acct:{alpha}") in world.database.outbox()
    assert world.database.run(WHO_LOCKED, alpha) == [("ann",)]


def test_thresholds_are_added_listed_and_removed(world: OperatorWorld) -> None:
    made = world.json("account", "threshold", "add", "Alpha", "day", "5.5", "--lock", "outgoing")
    assert made == {
        "id": made["id"],
        "account": world.id_of("Alpha"),
        "kind": "day",
        "amount": "5.50",
        "currency": "EUR",
        "lock": "outgoing",
    }
    for amount in ("0", "-12.5"):  # a postpaid account's balance is watched below zero
        world.run("account", "threshold", "add", "Alpha", "balance", amount)
    listed = world.json("account", "threshold", "list", "Alpha")
    assert [(row["kind"], row["amount"], row["lock"]) for row in listed] == [
        ("day", "5.50", "outgoing"),
        ("balance", "0.00", None),
        ("balance", "-12.50", None),
    ]
    assert "the calls of a day cost the amount" in world.run("account", "threshold", "list", "Alpha")
    world.run("account", "threshold", "remove", str(made["id"]))
    assert len(world.json("account", "threshold", "list", "Alpha")) == 2
    assert "has no thresholds" in world.run("account", "threshold", "list", "Beta")


def test_a_crossing_by_a_payment_gives_one_alert_until_the_balance_was_above_again(world: OperatorWorld) -> None:
    world.run("account", "threshold", "add", "Alpha", "balance", "10")
    assert world.json("account", "alerts") == []
    world.run("account", "debit", "Alpha", "10.5", "--note", "n")
    world.run("account", "debit", "Alpha", "1", "--note", "n")
    (alert,) = world.json("account", "alerts", "Alpha")
    assert (alert["name"], alert["kind"], alert["amount"], alert["value"]) == ("Alpha", "balance", "10.00", "9.50")
    world.run("account", "topup", "Alpha", "5")
    world.run("account", "debit", "Alpha", "5", "--note", "n")
    assert len(world.json("account", "alerts")) == 2
    assert world.json("account", "alerts", "Beta") == []
    assert "9.50" in world.run("account", "alerts")
    assert alert["lock"] is None


def test_a_crossing_locks_and_only_a_person_lifts_the_lock(world: OperatorWorld) -> None:
    made = world.json("account", "threshold", "add", "Alpha", "balance", "10", "--lock", "outgoing")
    world.run("account", "debit", "Alpha", "15", "--note", "n")
    assert world.json("account", "show", "Alpha")["lock"] == "outgoing"
    assert [alert["lock"] for alert in world.json("account", "alerts")] == ["outgoing"]
    assert "outgoing" in world.run("account", "alerts")
    world.run("account", "topup", "Alpha", "100")
    assert world.json("account", "show", "Alpha")["lock"] == "outgoing"
    assert world.database.run(WHO_LOCKED, world.id_of("Alpha")) == [(f"threshold {made['id']}",)]
    world.run("account", "unlock", "Alpha", "--note", "paid")
    assert world.json("account", "show", "Alpha")["lock"] == "none"


def test_following_gives_every_alert_once_old_ones_first(world: OperatorWorld) -> None:
    world.run("account", "threshold", "add", "Alpha", "balance", "10")
    world.run("account", "threshold", "add", "Beta", "balance", "10")
    world.run("account", "debit", "Alpha", "15", "--note", "n")
    with closing(followed(Wanted(world.dsn, "", ""), 50)) as found:
        assert next(found).name == "Alpha"
        world.run("account", "debit", "Beta", "25", "--note", "n")
        later = next(found)
        assert (later.name, later.as_text().partition(" account ")[2]) == (
            "Beta",
            f"{world.id_of('Beta')} Beta: balance fell to 5.00 EUR, below 10.00",
        )
