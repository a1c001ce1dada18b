"""What is easily lost sight of: money in a former currency, credits of closed accounts, requests said twice at once."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg import sql

from tests.fix_postgres import Database
from tests.operator_world import OperatorWorld
from tests.wait import until

WAITS = b"select count(*) = %s from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
ONE_REQUEST = "select tandem.move_v1(%s, %s, 'topup', 'n', 'ann', 'invoice 1')"


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world."""
    return OperatorWorld(database)


@pytest.fixture
def moved(world: OperatorWorld) -> OperatorWorld:
    """Make a world in which Alpha pays in USD and has 20 EUR from before."""
    world.run("exchange", "set", "EUR", "USD", "1.1")
    with world.database.connect("tandem_tool") as tool:
        tool.execute("update tandem.account set currency = 'USD' where name = 'Alpha'")
    return world


def test_money_in_a_former_currency_is_shown_everywhere(moved: OperatorWorld) -> None:
    other = [{"currency": "EUR", "balance": "20.00"}]
    assert moved.json("account", "show", "Alpha")["other_funds"] == other
    assert "20.00 EUR in a fund that it does not pay with any more" in moved.run("account", "show", "Alpha")
    listed = {row["name"]: row["other_funds"] for row in moved.json("account", "list")}
    assert listed == {"Tandem": [], "North": [], "Alpha": other, "Beta": []}
    (line,) = (line for line in moved.run("account", "list").splitlines() if "any more" in line)
    assert {"Alpha", "20.00", "EUR"} <= set(line.split())
    since = ("--from", (datetime.now(UTC) - timedelta(days=2)).date().isoformat())
    found = moved.json("account", "statement", "Alpha", *since)
    assert (found["currency"], found["closing"], found["other_funds"]) == ("USD", "0.00", other)
    assert "20.00 EUR now: --currency EUR" in moved.run("account", "statement", "Alpha", *since)
    former = moved.json("account", "statement", "Alpha", *since, "--currency", "EUR")
    assert (former["currency"], former["closing"], former["other_funds"]) == ("EUR", "20.00", [])


def test_money_in_a_former_currency_is_moved_by_naming_it(moved: OperatorWorld) -> None:
    assert "20.00 → 0.00 EUR" in moved.run(
        "account", "adjust", "Alpha", "-20", "--currency", "EUR", "--note", "paid out"
    )
    assert "0.00 → 7.00 USD" in moved.run("account", "topup", "Alpha", "7")
    assert moved.json("account", "show", "Alpha")["other_funds"] == []
    sentence = moved.refused("account", "topup", "Alpha", "1", "--currency", "GBP")
    assert sentence.endswith("USD, and it has no fund in it"), sentence
    moved.assert_ledger_balances()


@pytest.mark.parametrize("closed", ["Alpha", "North"])
def test_a_reversal_credits_no_closed_account_nor_one_below(world: OperatorWorld, closed: str) -> None:
    fee = world.json("account", "debit", "Alpha", "5", "--note", "fee")["txn"]
    gift = world.json("account", "credit", "Alpha", "3", "--note", "gift")["txn"]
    world.database.run("update tandem.account set status = 'closed' where name = %s", closed)
    sentence = world.refused("account", "reverse", fee, "--note", "n")
    assert "closed: it can only be paid out, by adjust" in sentence, sentence
    world.run("account", "reverse", gift, "--note", "what takes money back passes")
    assert world.balances()["Alpha"] == "15.00"


def test_the_reversal_of_a_debit_is_bound_by_no_overcommit_limit(world: OperatorWorld) -> None:
    fee = world.json("account", "debit", "Alpha", "5", "--note", "fee")["txn"]
    world.run("account", "limit", "North", "--overcommit", "0")
    world.run("account", "debit", "North", "500", "--note", "n")
    world.run("account", "reverse", fee, "--note", "wrong account")
    assert world.balances()["Alpha"] == "20.00"


@pytest.mark.parametrize("taken", ["500", "600"])
@pytest.mark.parametrize("limit", ["0", "1000"])
def test_a_parent_without_money_allows_nothing(world: OperatorWorld, taken: str, limit: str) -> None:
    """Of a negative balance more per cent would be less."""
    world.run("account", "debit", "Alpha", "400", "--note", "n")
    world.run("account", "limit", "North", "--overcommit", limit)
    world.run("account", "debit", "North", taken, "--note", "n")
    assert "gets nothing: the posted balance of its parent" in world.refused("account", "topup", "Alpha", "0.000001")


def test_one_request_said_twice_at_once_near_the_limit_is_answered_alike(world: OperatorWorld) -> None:
    """The second waits for the first and finds what it posted, instead of a limit that the first has used up."""
    world.run("account", "limit", "North", "--overcommit", "0")
    alpha, answers = world.id_of("Alpha"), []

    def say() -> None:
        with world.database.connect("tandem_tool") as tool:
            answers.append(tool.execute(ONE_REQUEST, (alpha, 480_000_000)).fetchall())

    threads = [threading.Thread(target=say) for _ in range(3)]
    with world.database.connect() as holder, holder.transaction():
        holder.execute("select from tandem.fund_credit where account_id = %s for update", (alpha,))
        for thread in threads:
            thread.start()
        until(lambda: world.database.one(WAITS, 3), 15, "three that wait")
    for thread in threads:
        thread.join()
    assert len(answers) == 3
    assert answers[0] == answers[1] == answers[2]
    assert world.balances()["Alpha"] == "500.00"


@pytest.mark.parametrize("table", ["account", "fund", "peering_group"])
def test_tools_delete_nobody_who_may_have_a_call(world: OperatorWorld, table: str) -> None:
    with world.database.connect("tandem_tool") as tool, pytest.raises(psycopg.errors.InsufficientPrivilege):
        tool.execute(sql.SQL("delete from tandem.{}").format(sql.Identifier(table)))


def test_an_account_that_was_closed_long_ago_goes_with_its_funds(world: OperatorWorld) -> None:
    world.database.run("select world.customer('Gamma', 'North', 'retail')")
    gamma = world.id_of("Gamma")
    world.database.run("update tandem.account set status = 'closed' where id = %s", gamma)
    assert "wait 30 days" in world.database.refused("delete from tandem.account where id = %s", gamma)
    world.database.run("update tandem.account set closed_at = now() - interval '31 days' where id = %s", gamma)
    world.database.run("delete from tandem.account where id = %s", gamma)
    assert world.database.run("select from tandem.fund where account_id = %s", gamma) == []


def test_a_note_moves_no_cursor(world: OperatorWorld) -> None:
    world.run("account", "topup", "Alpha", "1", "--note", "x\x1b]0;own\x07\x1b[2Jy\nz\u202e")
    for words in (("entries", "Alpha"), ("show", "Alpha")):
        said = world.run("account", *words)
        assert r"x\x1b]0;own\x07\x1b[2Jy\nz\u202e" in said
        assert "\x1b" not in said
    world.run("account", "lock", "Alpha", "all", "--note", "a\x1b[31mb")
    assert r"all (a\x1b[31mb)" in world.run("account", "show", "Alpha")
    assert world.json("account", "show", "Alpha")["lock_note"] == "a\x1b[31mb"


@pytest.mark.parametrize("text", ["1e2", "-20", "+5", "1001", "99999999999999999999", "٣", "5%", "1.5"])
def test_what_is_no_overcommit_limit_says_what_one_is(world: OperatorWorld, text: str) -> None:
    sentence = world.refused("account", "limit", "North", "--overcommit", text)
    assert sentence.endswith("is not a whole number from 0 to 1000, or 'unlimited'"), sentence
