"""`tandem account`: payments move exactly what they say, once, and refusals say what is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.fix_postgres import Database, load_seed
from tests.settle_pair import WORLD
from tools.account import app
from tools.errors import OperatorError


@pytest.fixture
def world(database: Database) -> Database:
    """Make the small world: Alpha has 20 EUR."""
    load_seed(database.connection, "world.sql")
    database.connection.execute(WORLD)
    return database


def run(world: Database, *words: str) -> str:
    """Run the command and return what it prints. Raises OperatorError."""
    result = CliRunner().invoke(app, [*words, "--database-url", world.dsn], catch_exceptions=False)
    if isinstance(result.exception, OperatorError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def shown(world: Database, who: str) -> Any:
    return json.loads(run(world, "show", who, "--json"))


def test_topup_debit_and_credit_move_the_balance_and_say_so(world: Database) -> None:
    assert "20.00 → 32.50 EUR" in run(world, "topup", "Alpha", "12.50", "--actor", "eve")
    assert "32.50 → 30.499999 EUR" in run(
        world, "debit", "Alpha", "2.000001", "--note", "wrong number", "--actor", "eve"
    )
    assert "30.499999 → 31.00 EUR" in run(world, "credit", "Alpha", "0.500001", "--note", "sorry", "--actor", "eve")
    found = shown(world, "Alpha")
    assert (found["balance"], found["credited"], found["charged"]) == ("31.00", "31.00", "0.00")
    assert [(entry["amount"], entry["note"], entry["actor"]) for entry in found["entries"]][:3] == [
        ("0.500001", "sorry", "eve"),
        ("-2.000001", "wrong number", "eve"),
        ("12.50", "top-up", "eve"),
    ]


def test_every_payment_is_double_entry(world: Database) -> None:
    run(world, "topup", "Alpha", "5", "--actor", "eve")
    sums = world.connection.execute(
        "select txn_id from tandem.ledger_entry group by txn_id having sum(amount_micros) <> 0"
    )
    assert sums.fetchall() == []


def test_a_repeated_request_moves_nothing(world: Database) -> None:
    for _ in range(2):
        run(world, "topup", "Alpha", "5", "--request", "invoice 7")
    assert shown(world, "Alpha")["balance"] == "25.00"
    with pytest.raises(OperatorError, match="invoice 7"):
        run(world, "topup", "Alpha", "6", "--request", "invoice 7")


def test_accounts_are_listed_with_balances(world: Database) -> None:
    listed = json.loads(run(world, "list", "--json"))
    assert [(row["name"], row["parent"], row["balance"], row["currency"]) for row in listed][1:] == [
        ("North", "Tandem", "500.00", "EUR"),
        ("Alpha", "North", "20.00", "EUR"),
        ("Beta", "North", "30.00", "EUR"),
    ]
    assert "500.00" in run(world, "list")
    assert "Alpha" in run(world, "show", "Alpha")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("topup", "Alpha", "1,5"), "amount: '1,5' is not a decimal number"),
        (("topup", "Alpha", "5", "--currency", "USD"), "currency: 'USD' is not that of account"),
        (("topup", "Nobody", "5"), "account: there is none with the name 'Nobody'"),
        (("topup", "9999", "5"), "account: there is none with the id '9999'"),
        (("topup", "Tandem", "5"), "the root is billed by nobody"),
        (("debit", "Alpha", "5", "--note", ""), "says why and by whom"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(world: Database, words: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(OperatorError, match=sentence):
        run(world, *words)
    assert shown(world, "Alpha")["balance"] == "20.00"


def test_a_name_of_several_accounts_asks_for_the_id(world: Database) -> None:
    world.connection.execute("select world.reseller('South', 'Tandem', 'wholesale', 1)")
    world.connection.execute("select world.tariff('South', 'retail', 'EUR', '44', '0.05')")
    world.connection.execute("select world.customer('Alpha', 'South', 'retail', 1)")
    with pytest.raises(OperatorError, match=r"2 are called 'Alpha', give the id: \d+ below North, \d+ below South"):
        run(world, "show", "Alpha")


def test_no_database_is_one_sentence() -> None:
    with pytest.raises(OperatorError, match="DATABASE_URL leads to no database"):
        CliRunner().invoke(app, ["list", "--database-url", "postgresql:///?host=/nowhere"], catch_exceptions=False)
