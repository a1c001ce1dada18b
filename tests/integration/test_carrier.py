"""`tandem carrier` and `tandem exchange`: what we owe, what we paid, what one currency costs in another."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from tests.fix_postgres import SCHEMA, Database, PostgresServer
from tests.operator_world import OperatorWorld
from tools.carrier import carrier

# What settlement posts for the calls that a carrier took: cost of the owner, owed to the carrier.
OWE = """
insert into tandem.ledger_entry
  (id, txn_id, account_id, book, currency, amount_micros, origin, rid, level, seq, epoch, group_id)
select gen_random_uuid(), %(txn)s, g.account_id, side.book, 'EUR', side.sign * %(micros)s, 'pg', %(rid)s, 1, 1, 1, g.id
  from tandem.peering_group g, (values ('cost', -1), ('carrier', 1)) as side(book, sign) where g.name = 'acme'
"""


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world, in which acme took calls for 3.5 EUR."""
    made = OperatorWorld(database)
    owe(made, 3_500_000)
    return made


@pytest.fixture(scope="module")
def one_world(postgres_server: PostgresServer) -> Iterator[OperatorWorld]:
    """Make one world for all that is refused."""
    with postgres_server.clone(SCHEMA) as database:
        yield OperatorWorld(database)


def owe(world: OperatorWorld, micros: int) -> None:
    txn = uuid.uuid4()
    world.database.connection.execute(OWE, {"txn": txn, "rid": txn.hex, "micros": micros})


def test_what_we_owe_falls_by_what_we_pay_and_may_fall_below_zero(world: OperatorWorld) -> None:
    assert [(row["name"], row["owed"]) for row in world.json("carrier", "list")] == [("acme", "3.50")]
    assert "owed 3.50 → 1.00 EUR" in world.run("carrier", "pay", "acme", "2.5", "--note", "invoice 4")
    assert "owed 1.00 → -9.00 EUR" in world.run("carrier", "pay", "acme", "10", "--note", "in advance")
    shown = world.json("carrier", "show", "acme")
    assert (shown["owed"], [entry["amount"] for entry in shown["entries"]]) == ("-9.00", ["-10.00", "-2.50", "3.50"])
    assert [entry["note"] for entry in shown["entries"]][:2] == ["in advance", "invoice 4"]
    assert "of unlimited" in world.run("carrier", "show", "acme")
    world.assert_ledger_balances()


def test_a_repeated_request_pays_once(world: OperatorWorld) -> None:
    words = ("carrier", "pay", "acme", "1", "--note", "n", "--request", "invoice 4")
    first, second = world.json(*words), world.json(*words)
    assert (first["moved"], first["after"]) == (True, "2.50")
    assert (second["moved"], second["after"], second["txn"]) == (False, "2.50", first["txn"])
    assert "invoice 4" in world.refused("carrier", "pay", "acme", "2", "--note", "n", "--request", "invoice 4")


def test_caps_are_set_shown_reached_and_lifted(world: OperatorWorld) -> None:
    """A reached cap reaches the record that the workers read, so that the carrier is passed over."""
    assert world.json("carrier", "limit", "acme")["owed_limit"] == "unlimited"
    row = world.json("carrier", "limit", "acme", "--owed", "3", "--day", "100.5", "--month", "1000")
    assert (row["owed_limit"], row["day_limit"], row["month_limit"]) == ("3.00", "100.50", "1000.00")
    assert (row["spent"], spent(world)) == ("balance", "balance")
    assert "passed over" in world.run("carrier", "list")
    row = world.json("carrier", "limit", "acme", "--owed", "unlimited")
    assert (row["owed_limit"], row["day_limit"], row["spent"]) == ("unlimited", "100.50", "")
    assert spent(world) == ""


def test_what_is_owed_by_a_former_deck_is_shown_and_can_be_paid(world: OperatorWorld) -> None:
    """The deck changes its currency when nothing is owed; a late end owes in the former one all the same."""
    world.database.run("select world.tariff('Tandem', 'dollars', 'USD', '44', '0.01')")
    change = "update tandem.peering_group set tariff_id = (select id from tandem.tariff where name = 'dollars')"
    assert "3500000 micros EUR are open with it and its caps count them" in world.database.refused(change.encode())
    world.run("carrier", "pay", "acme", "3.5", "--note", "invoice 4")
    world.database.run(change.encode())
    owe(world, 250_000)
    shown = world.json("carrier", "show", "acme")
    assert (shown["currency"], shown["owed"]) == ("USD", "0.00")
    assert shown["other_owed"] == [{"currency": "EUR", "owed": "0.25"}]
    assert "0.25 EUR open by a former deck" in world.run("carrier", "show", "acme")
    assert "0.25" in world.run("carrier", "list")
    assert "owed 0.25 → 0.00 EUR" in world.run("carrier", "pay", "acme", "0.25", "--note", "n", "--currency", "EUR")
    assert world.json("carrier", "list")[0]["other_owed"] == []
    sentence = world.refused("carrier", "pay", "acme", "1", "--note", "n", "--currency", "GBP")
    assert "USD, and nothing was ever owed in it" in sentence


def test_only_the_first_rate_of_two_currencies_begins_in_the_past(world: OperatorWorld) -> None:
    world.run("exchange", "set", "USD", "EUR", "0.9", "--from", "2026-01-01")
    sentence = world.refused("exchange", "set", "USD", "EUR", "0.8", "--from", "2026-02-01")
    assert "in the past: calls were priced by another one; only the first rate of the two may" in sentence
    world.run("exchange", "set", "EUR", "USD", "1.1", "--from", "2026-02-01")
    world.run("exchange", "set", "USD", "EUR", "0.8")
    assert [row["rate"] for row in world.json("exchange", "list", "--all")] == ["1.1", "0.9", "0.8"]


def test_the_help_of_caps_says_how_far_they_may_be_passed() -> None:
    said = " ".join(CliRunner().invoke(carrier, ["limit", "--help"], env={"COLUMNS": "200"}).output.split())
    assert "calls at a time × longest call × dearest minute" in said


def spent(world: OperatorWorld) -> object:
    return world.database.one("select spent from sync.peering_group where label = 'acme'")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("pay", "acme", "-5", "--note", "n"), "amount: -5 is not above 0"),
        (("pay", "acme", "0", "--note", "n"), "amount: 0 is not above 0"),
        (("pay", "acme", "1e5", "--note", "n"), "amount: '1e5' is not a decimal number"),
        (("pay", "acme", "5", "--note", ""), "why"),
        (("pay", "nobody", "5", "--note", "n"), "carrier: 'nobody' does not exist"),
        (("pay", "4711", "5", "--note", "n"), "carrier: '4711' does not exist"),
        (("pay", "１", "5", "--note", "n"), "carrier: '１' does not exist"),
        (("limit", "acme", "--owed", "-1"), "owed: -1 is not 0 or above; no limit is 'unlimited'"),
        (("limit", "acme", "--day", "0"), "day: 0 is not above 0; no limit is 'unlimited'"),
        (("limit", "acme", "--day", "NaN"), "day: 'NaN' is not a decimal number"),
        (("limit", "acme", "--month", "-1"), "month: -1 is not above 0"),
    ],
)
def test_what_cannot_be_paid_is_one_sentence(one_world: OperatorWorld, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in one_world.refused("carrier", *words)
    assert one_world.json("carrier", "show", "acme")["owed"] == "0.00"


def test_a_name_of_several_carriers_asks_for_the_id(world: OperatorWorld) -> None:
    world.database.run("select world.carrier_of('North', 'acme', '127.0.1.9', 5080, '44', '0.003')")
    assert "2 are called 'acme', give the id: " in world.refused("carrier", "pay", "acme", "5", "--note", "n")


def test_an_exchange_rate_is_set_and_the_newest_that_has_begun_is_in_force(world: OperatorWorld) -> None:
    assert "1 USD is 0.9 EUR from 2026-01-01" in world.run(
        "exchange", "set", "USD", "EUR", "0.9", "--from", "2026-01-01"
    )
    world.run("exchange", "set", "USD", "EUR", "0.95")
    world.run("exchange", "set", "USD", "EUR", "1.000000001", "--from", "2099-01-01T00:00+00:00")
    made = world.json("exchange", "set", "JPY", "EUR", "0.0062")
    assert (made["base"], made["quote"], made["rate"]) == ("JPY", "EUR", "0.0062")
    rows = world.json("exchange", "list")
    assert [(row["base"], row["rate"], row["in_force"]) for row in rows] == [
        ("JPY", "0.0062", True),
        ("USD", "0.95", True),
        ("USD", "1.000000001", False),
    ]
    assert [row["rate"] for row in world.json("exchange", "list", "--all") if row["base"] == "USD"] == [
        "0.9",
        "0.95",
        "1.000000001",
    ]
    assert "0.0062" in world.run("exchange", "list")
    assert world.database.one("select actor from tandem.audit where table_name = 'exchange_rate' limit 1") == "eve"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("XYZ", "EUR", "1"), "base: 'XYZ' is not one of the currencies CHF, EUR, GBP, JPY, USD"),
        (("USD", "eur", "1"), "quote: 'eur' is not one of the currencies"),
        (("USD", "USD", "1"), "quote: 'USD' is the base"),
        (("USD", "EUR", "0"), "rate: 0 is not above 0"),
        (("USD", "EUR", "1,05"), "rate: '1,05' is not a decimal number"),
        (("USD", "EUR", "NaN"), "rate: 'NaN' is not a decimal number"),
        (("USD", "EUR", "1", "--from", "soon"), "from: 'soon' is not a date"),
        (("USD", "EUR", "1", "--from", "1999-12-31"), "from: 1999-12-31 is not in the years 2000 to 2099"),
    ],
)
def test_what_is_no_exchange_rate_is_one_sentence(
    one_world: OperatorWorld, words: tuple[str, ...], sentence: str
) -> None:
    assert sentence in one_world.refused("exchange", "set", *words)
    assert one_world.json("exchange", "list", "--all") == []


def test_a_rate_that_begins_with_another_is_refused(world: OperatorWorld) -> None:
    world.run("exchange", "set", "USD", "EUR", "0.9", "--from", "2098-01-01")
    sentence = world.refused("exchange", "set", "USD", "EUR", "0.91", "--from", "2098-01-01")
    assert "another rate of USD in EUR begins at 2098-01-01 already" in sentence
    assert [row["rate"] for row in world.json("exchange", "list")] == ["0.9"]
