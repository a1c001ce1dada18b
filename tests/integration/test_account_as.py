"""The commands about accounts, money and carriers as somebody who is not the root: what they see and what they may."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.fix_postgres import SCHEMA, Database, PostgresServer
from tests.operator_world import OperatorWorld
from tools.account.alerts import Wanted, followed

STATE = b"""
select (select count(*) from tandem.ledger_entry), (select count(*) from tandem.audit),
       (select array_agg(a order by id) from tandem.account a), (select array_agg(f) from tandem.fund f)
"""


def built(database: Database) -> OperatorWorld:
    """Make the world: Fjord, North's dealer, has a carrier; North may handle money and carriers, Fjord nothing yet."""
    made = OperatorWorld(database)
    made.grow()
    made.furnish("Fjord", "Gamma", "f", 4)
    made.run("account", "revoke", "Fjord", "money")
    made.run("account", "grant", "North", "money", "accounts", "carriers_own", "domains", "routing")
    return made


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make a world to change."""
    return built(database)


@pytest.fixture(scope="module")
def one_world(postgres_server: PostgresServer) -> Iterator[OperatorWorld]:
    """Make one world for all that is refused."""
    with postgres_server.clone(SCHEMA) as database:
        yield built(database)


def test_each_lists_itself_and_its_own(one_world: OperatorWorld) -> None:
    seen = {
        name: [(row["name"], row["parent"]) for row in one_world.json("account", "list", "--as", name)]
        for name in ("North", "Tandem/North/Fjord", "Alpha")
    }
    assert seen == {
        "North": [("North", ""), ("Alpha", "North"), ("Beta", "North"), ("Fjord", "North")],
        "Tandem/North/Fjord": [("Fjord", ""), ("Gamma", "Fjord")],
        "Alpha": [("Alpha", "")],
    }
    assert [row["name"] for row in one_world.json("account", "list", "--below", "North", "--name", "F")] == ["Fjord"]


def test_a_page_says_how_many_there_are(world: OperatorWorld) -> None:
    world.database.run("select world.customer('c' || n, 'South', 'dealer') from generate_series(1, 120) as n")
    assert "100 of 121; --all shows the others" in world.run("account", "list", "--as", "South")
    assert "--all" not in world.run("account", "list", "--all", "--as", "South")
    assert "100 of 120" in world.run("account", "list", "--name", "c")
    assert len(world.json("account", "list", "--as", "South")) == 121


def test_the_books_of_another_are_what_it_has_with_its_parent(one_world: OperatorWorld) -> None:
    def books(of: str) -> set[str]:
        return {entry["book"] for entry in one_world.json("account", "entries", of, "--as", "North")["entries"]}

    assert books("Fjord") == {"fund"}
    assert books("North") == {"fund", "cash"}
    assert one_world.json("account", "show", "Fjord", "--as", "North")["balance"] == "100.00"
    assert (
        one_world.json("account", "statement", "Alpha", "--from", "2020-01-01", "--as", "North")["closing"] == "20.00"
    )
    assert one_world.json("account", "margin", "North", "--from", "2020-01-01", "--as", "North")["currencies"] == []


def test_a_dealer_handles_the_money_of_its_own(world: OperatorWorld) -> None:
    assert "20.00 → 25.00" in world.run("account", "topup", "Alpha", "5", "--as", "North")
    assert "25.00 → 24.00" in world.run("account", "debit", "Alpha", "1", "--note", "fee", "--as", "North")
    assert "24.00 → 26.00" in world.run("account", "credit", "Alpha", "2", "--note", "gift", "--as", "North")
    txn = world.json("account", "adjust", "Alpha", "-6", "--note", "back", "--as", "North")["txn"]
    world.run("account", "reverse", txn, "--note", "no", "--as", "North")
    assert world.json("account", "limit", "Alpha", "--cps", "3", "--as", "North")["cps"] == 3
    assert "none → all" in world.run("account", "lock", "Alpha", "all", "--note", "n", "--as", "North")
    assert "all → none" in world.run("account", "unlock", "Alpha", "--note", "n", "--as", "North")
    made = world.json("account", "threshold", "add", "Alpha", "balance", "30", "--lock", "all", "--as", "North")
    assert world.json("account", "threshold", "list", "Alpha", "--as", "Alpha") == [made]
    world.run("account", "threshold", "remove", str(made["id"]), "--as", "North")
    assert world.json("account", "show", "Alpha")["balance"] == "26.00"
    world.assert_ledger_balances()


def test_a_dealer_makes_an_account_and_looks_after_it(world: OperatorWorld) -> None:
    words = ("--kind", "customer", "--tariff", "retail", "--currency", "EUR", "--as", "North")
    world.run("account", "add", "Kiosk", *words)
    world.run("account", "set", "Kiosk", "--language", "fr", "--timezone", "Europe/Paris", "--as", "North")
    world.run("account", "suspend", "Kiosk", "--as", "North")
    world.run("account", "resume", "Kiosk", "--as", "North")
    world.run("account", "close", "Kiosk", "--yes", "--as", "North")
    found = world.json("audit", "--account", "Kiosk", "--as", "North", "--by", "eve")
    assert {change["action"] for change in found["changes"]} == {"insert", "update"}


def test_alerts_are_those_of_accounts_that_are_seen(world: OperatorWorld) -> None:
    for name, fee in (("Alpha", "16"), ("Gamma", "6")):
        world.run("account", "threshold", "add", name, "balance", "5")
        world.run("account", "debit", name, fee, "--note", "n")
    seen = {name: [row["name"] for row in world.json("account", "alerts", "--as", name)] for name in ("North", "Fjord")}
    assert seen == {"North": ["Alpha"], "Fjord": ["Gamma"]}
    with closing(followed(Wanted(world.dsn, "Fjord", ""), 50)) as found:
        assert next(found).name == "Gamma"


def test_carriers_are_ones_own(world: OperatorWorld) -> None:
    assert [row["name"] for row in world.json("carrier", "list", "--as", "North")] == ["own f"]
    assert world.json("carrier", "show", "own f", "--as", "North")["owed"] == "0.00"
    assert world.json("carrier", "limit", "own f", "--day", "5", "--as", "North")["day_limit"] == "5.00"
    assert world.json("carrier", "pay", "own f", "5", "--note", "n", "--as", "North")["after"] == "-5.00"
    assert world.json("carrier", "names", "--as", "North") == []
    assert world.json("exchange", "list", "--as", "North") == []


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("account show Tandem --as North", "account: 'Tandem' does not exist"),
        ("account show Gamma --as North", "account: 'Gamma' does not exist"),
        ("account list --below South --as North", "below: 'South' does not exist"),
        ("account topup South 1 --as North", "account: 'South' does not exist"),
        ("account topup North 1 --as North", "account 2: not for itself, only for accounts below it"),
        ("account topup Gamma 1 --as Fjord", "money: not granted to account 5 'Fjord'"),
        ("account limit North --cps 2 --as North", "account: 2 'North' does not set its own limits"),
        ("account limit Gamma --cps 2 --as Fjord", "money: not granted to account 5 'Fjord'"),
        ("account lock North all --note n --as North", "account 2: not for itself, only for accounts below it"),
        ("account unlock North --note n --as North", "account 2: not for itself, only for accounts below it"),
        ("account margin Alpha --from 2026-01-01 --as North", "is not who acts; its margin is its own affair"),
        ("account threshold remove 99 --as North", "threshold: there is none with the id 99"),
        (
            "account add X --kind customer --tariff retail --currency EUR --as Fjord",
            "accounts: not granted to account 5",
        ),
        ("account set North --timezone Europe/Paris --as North", "timezone"),
        ("account set Fjord --routing cost --as Fjord", "routing: not granted to account 5 'Fjord'"),
        ("carrier show acme --as North", "carrier: 'acme' does not exist"),
        ("carrier limit own#f --day 5 --as Fjord", "carriers_own: not granted to account 5 'Fjord'"),
        ("carrier pay own#f 5 --note n --as Fjord", "carriers_own: not granted to account 5 'Fjord'"),
        ("exchange set EUR USD 1.1 --as North", "exchange rate: not yours to change"),
        ("account list --as Nobody", "--as: 'Nobody' does not exist"),
    ],
)
def test_what_is_not_theirs(one_world: OperatorWorld, words: str, sentence: str) -> None:
    """It is refused in one sentence, and nothing is changed."""
    before = one_world.database.run(STATE)
    command, *rest = (word.replace("#", " ") for word in words.split())
    assert sentence in one_world.refused(command, *rest)
    assert one_world.database.run(STATE) == before


def test_a_threshold_that_locks_is_for_those_above(world: OperatorWorld) -> None:
    """An account may watch itself, and may not lift what its parent watches it by."""
    world.run("account", "threshold", "add", "North", "balance", "1", "--as", "North")
    made = world.json("account", "threshold", "add", "North", "balance", "2", "--lock", "all")
    assert "locks; only an account above removes it" in world.refused(
        "account", "threshold", "remove", str(made["id"]), "--as", "North"
    )
    assert "not yours to change" in world.refused(
        "account", "threshold", "add", "North", "balance", "3", "--lock", "all", "--as", "North"
    )
