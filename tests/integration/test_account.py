"""Payments by `tandem account`: money moves exactly as said, once, and refusals say what is wrong."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest
from typer.testing import CliRunner

from tests.fix_postgres import SCHEMA, Database, PostgresServer
from tests.operator_world import OperatorWorld
from tools.account.command import app
from tools.errors import OperatorError

EVERYTHING = (
    b"select (select count(*) from tandem.ledger_entry), (select count(*) from tandem.threshold),"
    b" (select count(*) from tandem.audit)"
)
UNTOUCHED = {"Tandem": "0.00", "North": "500.00", "Alpha": "20.00", "Beta": "30.00"}


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world."""
    return OperatorWorld(database)


@pytest.fixture(scope="module")
def one_world(postgres_server: PostgresServer) -> Iterator[OperatorWorld]:
    """Make one world for all that is refused."""
    with postgres_server.clone(SCHEMA) as database:
        yield OperatorWorld(database)


@pytest.fixture
def refusing(one_world: OperatorWorld) -> Iterator[OperatorWorld]:
    """Make a world that is afterwards as it was: nothing posted, nothing set."""
    before = one_world.database.run(EVERYTHING)
    yield one_world
    assert one_world.database.run(EVERYTHING) == before


def test_topup_debit_credit_and_adjust_move_the_balance_and_say_so(world: OperatorWorld) -> None:
    assert "20.00 → 32.50 EUR" in world.run("account", "topup", "Alpha", "12.50")
    assert "32.50 → 30.499999 EUR" in world.run("account", "debit", "Alpha", "2.000001", "--note", "wrong number")
    assert "30.499999 → 31.00 EUR" in world.run("account", "credit", "Alpha", "0.500001", "--note", "sorry")
    assert "31.00 → 30.75 EUR" in world.run("account", "adjust", "Alpha", "-0.25", "--note", "rounding")
    found = world.json("account", "show", "Alpha")
    assert (found["balance"], found["credited"], found["charged"]) == ("30.75", "30.75", "0.00")
    assert [(entry["amount"], entry["note"], entry["actor"]) for entry in found["entries"]][:4] == [
        ("-0.25", "rounding", "eve"),
        ("0.500001", "sorry", "eve"),
        ("-2.000001", "wrong number", "eve"),
        ("12.50", "top-up", "eve"),
    ]
    world.assert_ledger_balances()


def test_a_payment_as_a_program_reads_it(world: OperatorWorld) -> None:
    done = world.json("account", "adjust", "Alpha", "5", "--note", "found")
    txn = uuid.UUID(done.pop("txn"))
    assert done == {
        "account": world.id_of("Alpha"),
        "name": "Alpha",
        "currency": "EUR",
        "before": "20.00",
        "after": "25.00",
        "moved": True,
    }
    assert world.database.run("select distinct note, actor from tandem.ledger_entry where txn_id = %s", txn) == [
        ("found", "eve")
    ]


@pytest.mark.parametrize("kind", ["topup", "credit", "debit", "adjust"])
def test_a_repeated_request_moves_nothing_and_says_so(world: OperatorWorld, kind: str) -> None:
    words = ("account", kind, "Alpha", "5", "--note", "n", "--request", "invoice 7")
    first, second = world.json(*words), world.json(*words)
    assert (first["moved"], second["moved"]) == (True, False)
    assert first["txn"] == second["txn"]
    assert "moves nothing" in world.run(*words)
    assert world.balances()["Alpha"] == ("15.00" if kind == "debit" else "25.00")
    assert "invoice 7" in world.refused("account", kind, "Alpha", "6", "--note", "n", "--request", "invoice 7")


def test_a_reversal_posts_the_exact_opposite_once(world: OperatorWorld) -> None:
    wrong = world.json("account", "topup", "Alpha", "12.345678")["txn"]
    done = world.json("account", "reverse", wrong, "--note", "wrong account")
    assert done["reverses"] == wrong
    assert {(each["name"], each["book"], each["amount"]) for each in done["entries"]} == {
        ("Alpha", "fund", "-12.345678"),
        ("North", "cash", "12.345678"),
    }
    assert world.balances() == UNTOUCHED
    world.assert_ledger_balances()
    assert "revers" in world.refused("account", "reverse", done["txn"], "--note", "back again")
    world.refused("account", "reverse", str(uuid.uuid4()), "--note", "never posted")
    assert "txn: 'x' is not the id of a transaction" in world.refused("account", "reverse", "x", "--note", "n")
    assert world.balances() == UNTOUCHED


def test_a_transaction_is_reversed_at_most_once(world: OperatorWorld) -> None:
    wrong = world.json("account", "topup", "Alpha", "7")["txn"]
    world.run("account", "reverse", wrong, "--note", "once")
    try:
        world.run("account", "reverse", wrong, "--note", "twice")
    except OperatorError as refusal:
        assert "revers" in str(refusal)  # noqa: PT017  refused or answered as before: both move nothing
    assert world.balances() == UNTOUCHED


def test_a_child_is_topped_up_only_so_far_above_its_parent_s_posted_balance(world: OperatorWorld) -> None:
    world.run("account", "limit", "North", "--overcommit", "20")
    world.run("account", "topup", "Alpha", "580")  # North has 500
    sentence = world.refused("account", "topup", "Alpha", "600.000001")
    assert "posted" in sentence, sentence
    assert world.balances()["Alpha"] == "600.00"
    world.run("account", "limit", "North", "--overcommit", "unlimited")
    world.run("account", "topup", "Alpha", "0.000001")


@pytest.mark.parametrize("kind", ["topup", "credit", "debit", "adjust"])
@pytest.mark.parametrize(
    "amount",
    ["", "1,5", "+5", "1e5", "1E5", "0x1F", "0", "0.00", "0.0000001", "９", "٣", "NaN", "inf", "Infinity", "1_000",
     "5 EUR", "1125899906.842625", "999999999999999999999999", "-0"],
)  # fmt: skip
def test_what_is_no_amount_moves_nothing(refusing: OperatorWorld, kind: str, amount: str) -> None:
    assert refusing.refused("account", kind, "Alpha", amount, "--note", "n").startswith("amount: ")


@pytest.mark.parametrize("amount", ["-5", "-0.000001", "-1125899906.842625"])
@pytest.mark.parametrize("kind", ["topup", "credit", "debit"])
def test_only_an_adjustment_has_a_sign(refusing: OperatorWorld, kind: str, amount: str) -> None:
    assert refusing.refused("account", kind, "Alpha", amount, "--note", "n").startswith("amount: ")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("topup", "Alpha", "5", "--currency", "USD"), "currency: 'USD' is not that of account"),
        (("topup", "Alpha", "5", "--currency", "XYZ"), "currency: 'XYZ' is not that of account"),
        (("topup", "Alpha", "1125899906.842624"), "credited would be 1125899926.842624, beyond 1125899906.842624 EUR"),
        (("topup", "Nobody", "5"), "account: 'Nobody' does not exist"),
        (("topup", "9999", "5"), "account: '9999' does not exist"),
        (("topup", "９", "5"), "account: '９' does not exist"),
        (("topup", "99999999999999999999999", "5"), "account: '99999999999999999999999' does not exist"),
        (("topup", "", "5"), "account: '' does not exist"),
        (("topup", "alpha", "5"), "account: 'alpha' does not exist"),
        (("topup", "Tandem", "5"), "is the root, which is billed by nobody"),
        (("debit", "Alpha", "5", "--note", ""), "why"),
        (("adjust", "Alpha", "-5", "--note", ""), "why"),
        (("limit", "Alpha", "--credit-limit", "-1"), "credit-limit: -1 is not 0 or above"),
        (("limit", "Alpha", "--credit-limit", "1e5"), "credit-limit: '1e5' is not a decimal number"),
        (("limit", "Alpha", "--credit-limit", "2000000000"), "credit-limit: '2000000000' is more than"),
        (("limit", "Alpha", "--channels", "0"), "channels: '0' is not a whole number from 1"),
        (("limit", "Alpha", "--channels-in", "2.5"), "channels-in: '2.5' is not a whole number"),
        (("limit", "Alpha", "--channels-out", "-1"), "channels-out: '-1' is not a whole number"),
        (("limit", "Alpha", "--cps", "NaN"), "cps: 'NaN' is not a whole number"),
        (("limit", "Alpha", "--spend-day", "0"), "spend-day: 0 is not above 0"),
        (("limit", "Alpha", "--spend-month", "1,000"), "spend-month: '1,000' is not a decimal number"),
        (("limit", "Alpha", "--overcommit", "-20"), "overcommit: '-20' is not a whole number"),
        (("limit", "Tandem", "--channels", "5"), "is the root, which is billed by nobody"),
        (("threshold", "add", "Alpha", "week", "5"), "kind: 'week' is not one of balance, day, month"),
        (("threshold", "add", "Alpha", "day", "0"), "amount: 0 is not above 0"),
        (("threshold", "add", "Alpha", "month", "-5"), "amount: -5 is not above 0"),
        (("threshold", "add", "Alpha", "balance", "x"), "amount: 'x' is not a decimal number"),
        (("threshold", "add", "Alpha", "day", "5", "--lock", "some"), "lock: 'some' is not one of foreign, outgoing"),
        (("threshold", "remove", "4711"), "threshold: there is none with the id 4711"),
        (("lock", "Alpha", "none", "--note", "n"), "lock: 'none' is not one of foreign, outgoing, all, global"),
        (("lock", "Alpha", "foreign", "--note", ""), "why"),
        (("lock", "Tandem", "foreign", "--note", "n"), "is the root"),
        (("entries", "Alpha", "--from", "soon"), "from: 'soon' is not a date"),
        (("entries", "Alpha", "--from", "2026-02-02", "--to", "2026-02-02"), "to: 2026-02-02 is not after --from"),
        (("entries", "Alpha", "--book", "black"), "book: 'black' is not one of fund, income"),
        (("entries", "Alpha", "--before", "x"), "before: 'x' is not what a page before said"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(refusing: OperatorWorld, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in refusing.refused("account", *words)


def test_a_name_of_several_accounts_asks_for_the_id(world: OperatorWorld) -> None:
    world.database.run("select world.reseller('South', 'Tandem', 'wholesale', 1)")
    world.database.run("select world.tariff('South', 'retail', 'EUR', '44', '0.05')")
    world.database.run("select world.customer('Alpha', 'South', 'retail', 1)")
    for words in (("show", "Alpha"), ("topup", "Alpha", "5"), ("lock", "Alpha", "all", "--note", "n")):
        assert "several are called 'Alpha', give the id or a path: " in world.refused("account", *words)
    assert "below North" in world.refused("account", "margin", "Alpha", "--from", "2026-01-01")


def test_no_money_comes_to_a_closed_account_nor_below_one(world: OperatorWorld) -> None:
    world.database.run("update tandem.account set status = 'closed' where name = 'Alpha'")
    for words in (
        ("topup", "Alpha", "5"),
        ("credit", "Alpha", "5", "--note", "n"),
        ("limit", "Alpha", "--channels", "5"),
        ("threshold", "add", "Alpha", "day", "5"),
    ):
        assert "closed" in world.refused("account", *words)
    assert world.balances()["Alpha"] == "20.00"


def test_no_money_comes_below_a_closed_parent(world: OperatorWorld) -> None:
    world.database.run("update tandem.account set status = 'closed' where name = 'North'")
    assert "closed" in world.refused("account", "topup", "Beta", "5")
    assert world.balances()["Beta"] == "30.00"


def test_no_database_is_one_sentence() -> None:
    with pytest.raises(OperatorError, match="DATABASE_URL leads to no database"):
        CliRunner().invoke(app, ["list", "--database-url", "postgresql:///?host=/nowhere"], catch_exceptions=False)
