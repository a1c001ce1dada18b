"""Accounts move, are suspended, resumed, closed and removed: each in one transaction, history kept."""

from __future__ import annotations

from typing import Final

import psycopg
import pytest
from psycopg import sql

from tests.fix_postgres import Database
from tests.operator_world import OperatorWorld

DEADLINE_S: Final = 10.0
WAITING: Final = (
    b"select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)
STATUS: Final = b"select name, status from tandem.account"
BARE: Final = """
select world.reseller('Bare', 'North', 'dealer');
select world.tariff('Bare', 'retail', 'EUR', '44', '0.08');
select world.customer('Leaf', 'Bare', 'retail');
"""


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world with a dealer that has one of everything."""
    made = OperatorWorld(database)
    made.grow()
    made.furnish("Fjord", "Gamma", "f", 4)
    return made


def statuses(world: OperatorWorld) -> dict[str, str]:
    """Return account name -> status."""
    return dict(world.database.run(STATUS))


def cash(world: OperatorWorld) -> dict[str, int]:
    """Return account name -> the sum of its cash book, in micros; minus: money that it took."""
    return {
        name: int(micros)
        for name, micros in world.database.run(
            "select a.name, sum(e.amount_micros) from tandem.ledger_entry e"
            " join tandem.account a on a.id = e.account_id where e.book = 'cash' group by a.name"
        )
    }


def test_suspending_stops_a_subtree_by_one_row(world: OperatorWorld) -> None:
    world.database.outbox()
    assert world.json("account", "suspend", "Fjord") == {
        "account": world.id_of("Fjord"), "name": "Fjord", "before": "active", "status": "suspended", "above": [],
    }  # fmt: skip
    assert world.database.outbox() == {
        ("account", f"acct:{world.id_of('Fjord')}"),
        ("fund_terms", f"{world.id_of('Fjord')}:EUR"),
    }
    assert statuses(world)["Gamma"] == "active"
    assert "suspended → suspended" in world.run("account", "suspend", "Fjord")
    world.run("account", "suspend", "North")
    said = world.run("account", "resume", "Fjord")
    assert "suspended → active" in said
    assert f"account {world.id_of('North')} North above it is suspended" in said
    assert "active → active" in world.run("account", "resume", "Fjord")


def test_a_suspended_account_that_is_resumed_leaves_those_below_as_they_were(world: OperatorWorld) -> None:
    world.run("account", "suspend", "Gamma")
    world.run("account", "suspend", "Fjord")
    world.run("account", "resume", "Fjord")
    assert (statuses(world)["Fjord"], statuses(world)["Gamma"]) == ("active", "suspended")


def test_closing_ends_a_subtree_and_returns_its_numbers(world: OperatorWorld) -> None:
    planned = world.json("account", "close", "Fjord")
    assert statuses(world)["Fjord"] == "active"
    done = world.json("account", "close", "Fjord", "--yes")
    assert (planned.pop("done"), done.pop("done")) == (False, True)
    assert planned == done
    assert done == {
        "account": world.id_of("Fjord"),
        "name": "Fjord",
        "accounts": 2,
        "lines": 2,
        "numbers": ["442079460041", "442079460042"],
        "balances": [
            {"account": world.id_of("Fjord"), "currency": "EUR", "amount": "100.00"},
            {"account": world.id_of("Gamma"), "currency": "EUR", "amount": "10.00"},
        ],
    }
    run = world.database.run
    assert statuses(world) == {
        "Tandem": "active", "North": "active", "Alpha": "active", "Beta": "active", "South": "active",
        "Fjord": "closed", "Gamma": "closed",
    }  # fmt: skip
    assert run("select distinct account_id, subscriber_id from tandem.number") == [(world.id_of("North"), None)]
    assert run("select distinct status from tandem.subscriber") == [("closed",)]
    assert run("select enabled from tandem.sip_domain") == [(False,)]
    assert run("select name from tandem.peering_group where not enabled") == [("own f",)]
    assert run("select count(*) from tandem.trusted_source") == [(0,)]
    assert run("select account_id from tandem.account_grant") == [(world.id_of("North"),)]
    assert world.balances()["Gamma"] == "10.00"


def test_a_closing_says_what_it_did_and_what_it_would_do(world: OperatorWorld) -> None:
    said = world.run("account", "close", "Fjord")
    assert "2 accounts and 2 lines would be closed" in said
    assert "numbers that go to North: 442079460041, 442079460042" in said
    assert f"left with account {world.id_of('Gamma')}: 10.00 EUR" in said
    assert "nothing is done yet; --yes does it" in said
    said = world.run("account", "close", "Fjord", "--yes")
    assert "are closed" in said
    assert "--yes" not in said


def test_a_closed_account_is_paid_out_and_gets_nothing_new(world: OperatorWorld) -> None:
    world.run("account", "close", "Fjord", "--yes")
    fjord, gamma = world.id_of("Fjord"), world.id_of("Gamma")
    assert "10.00 → 0.00" in world.run("account", "adjust", "Gamma", "-10", "--note", "paid out")
    assert "is closed" in world.refused("account", "topup", "Gamma", "1")
    for verb in ("suspend", "resume"):
        assert f"account {fjord} 'Fjord' is closed for ever" in world.refused("account", verb, "Fjord")
    assert "is closed and stays where it is" in world.refused(
        "account", "move", "Fjord", "--to", "South", "--tariff", "dealer"
    )
    refused = world.database.refused
    closed = f"account {gamma} is closed and gets nothing new"
    assert refused("insert into tandem.number(account_id, e164) values (%s, '33123456')", gamma) == f"number: {closed}"
    assert refused("update tandem.number set account_id = %s", gamma) == f"number: {closed}"
    for statement in (
        "select world.customer('New', 'Fjord', 'retail')",
        "select world.domain('g.example', 'Fjord')",
        "select world.subscriber('new@f.example', 'Fjord', null)",
        "select world.carrier_of('Fjord', 'more', '127.0.1.8', 5080, '44', '0.003')",
    ):
        assert "is closed and gets nothing new" in refused(statement.encode())
    assert world.json("account", "close", "Fjord", "--yes")["accounts"] == 0


def test_history_of_a_closed_account_is_read_as_before(world: OperatorWorld) -> None:
    entries = world.json("account", "entries", "Gamma")
    world.run("account", "close", "Fjord", "--yes")
    assert world.json("account", "entries", "Gamma") == entries
    assert world.json("account", "show", "Fjord")["status"] == "closed"
    assert world.json("audit", "--account", "Gamma", "--table", "account")["changes"][0]["changed"] == [
        "closed_at",
        "status",
    ]


def test_removing_waits_for_the_last_calls_and_keeps_what_was_billed(world: OperatorWorld) -> None:
    fjord = f"account {world.id_of('Fjord')} 'Fjord'"
    assert f"{fjord} cannot be removed before it and all below it are closed for 30 days" in world.refused(
        "account", "remove", "Fjord"
    )
    world.run("account", "close", "Fjord", "--yes")
    assert "closed for 30 days" in world.refused("account", "remove", "Fjord", "--yes")
    _let_a_month_pass(world)
    assert f"{fjord} stays, closed: it or one below it has entries in the ledger" in world.refused(
        "account", "remove", "Fjord", "--yes"
    )


def test_what_was_never_billed_is_removed_with_all_that_is_its(world: OperatorWorld) -> None:
    database = world.database
    database.connection.execute(BARE)
    world.furnish("Bare", "Leaf", "b", 5)
    bare, leaf = world.id_of("Bare"), world.id_of("Leaf")
    tables = [
        table
        for (table,) in database.run(
            "select table_name from information_schema.columns where table_schema = 'tandem' and column_name ="
            " 'account_id' and table_name not in ('audit', 'number', 'call_record', 'audit_record', 'carrier_record')"
        )
    ]
    world.run("account", "close", "Bare", "--yes")
    _let_a_month_pass(world)
    assert "2 accounts would be removed" in world.run("account", "remove", "Bare")
    assert world.json("account", "remove", "Bare", "--yes")["accounts"] == 2
    for table in tables:
        left = sql.SQL("select count(*) from tandem.{} where account_id in (%s, %s)").format(sql.Identifier(table))
        assert database.one(left.as_string().encode(), bare, leaf) == 0, table
    assert "'Bare' does not exist" in world.refused("account", "show", "Bare")
    assert database.run("select distinct account_id from tandem.number where e164 like '44207946005_'") == [
        (world.id_of("North"),)
    ]
    assert world.json("audit", "--table", "account", "--key", str(bare))["changes"][0]["action"] == "delete"


def _let_a_month_pass(world: OperatorWorld) -> None:
    """Date the closing of accounts and the disabling of carriers back."""
    run = world.database.run
    run("update tandem.account set closed_at = closed_at - interval '31 days' where status = 'closed'")
    run("update tandem.peering_group set disabled_at = disabled_at - interval '31 days' where not enabled")


def test_a_move_takes_the_balance_along(world: OperatorWorld) -> None:
    before = cash(world)
    move = ("account", "move", "Fjord", "--to", "Tandem/South", "--tariff", "dealer")
    done = world.json(*move)
    assert done == {
        "account": world.id_of("Fjord"),
        "name": "Fjord",
        "before": "North",
        "parent": "South",
        "moved": [{"currency": "EUR", "amount": "100.00"}],
        "rights_taken": ["money"],
    }
    assert {name: world.balances()[name] for name in ("North", "Fjord", "South")} == {
        "North": "500.00", "Fjord": "100.00", "South": "50.00",
    }  # fmt: skip
    after = cash(world)
    assert {name: after.get(name, 0) - before.get(name, 0) for name in after if after[name] != before.get(name, 0)} == {
        "North": 100_000_000,
        "South": -100_000_000,
    }
    assert [(row["amount"], row["note"], row["actor"]) for row in world.json("account", "entries", "South")["entries"]][
        :1
    ] == [("-100.00", f"account {world.id_of('Fjord')} Fjord came with its balance", "eve")]
    world.assert_ledger_balances()
    assert "is below account" in world.refused(*move)


def test_a_move_takes_debts_and_money_of_former_currencies_along(world: OperatorWorld) -> None:
    run = world.database.run
    run("select world.exchange('EUR', 'USD', 1.1)")
    run("update tandem.account set currency = 'USD' where name = 'Alpha'")
    run("select tandem.move_v1(id, -7000000, 'adjust', 'n', 'a', null, 'USD') from tandem.account where name = 'Alpha'")
    done = world.json("account", "move", "Alpha", "--to", "South", "--tariff", "dealer")
    assert done["moved"] == [{"currency": "EUR", "amount": "20.00"}, {"currency": "USD", "amount": "-7.00"}]
    assert run(
        "select currency, sum(amount_micros)::bigint from tandem.ledger_entry where account_id = %s and book = 'cash'"
        " group by currency order by currency",
        world.id_of("South"),
    ) == [("EUR", -20_000_000), ("USD", 7_000_000)]
    world.assert_ledger_balances()


def test_a_new_parent_reads_the_money_since_it_is_one(world: OperatorWorld) -> None:
    """What the former one charged, and its notes, are between the two; the balance that came along is one figure."""
    world.database.run("select world.grant(a, 'money') from unnest(array['North', 'South', 'Fjord']) as a")
    world.run("account", "credit", "Fjord", "7", "--note", "goodwill of North", "--as", "North")
    world.run("account", "topup", "Gamma", "3", "--note", "of Fjord", "--as", "Fjord")
    world.database.run("update tandem.account set share_children = true where name = 'Fjord'")
    world.run("account", "move", "Fjord", "--to", "South", "--tariff", "dealer")
    for who, opening, added in (("Fjord", "107.00", "5"), ("Gamma", "13.00", "4")):
        assert world.json("account", "entries", who, "--as", "South") == {"entries": [], "before": None}
        world.run("account", "topup", who, added, "--note", "by the new one", "--as", "South")
        since = ("--from", "2020-01-01", "--as", "South")
        told = world.json("account", "statement", who, *since)
        assert (told["opening"], told["credited"], told["calls_count"]) == (opening, f"{added}.00", 0)
        assert [row["note"] for row in world.json("account", "entries", who, "--as", "South")["entries"]] == [
            "by the new one"
        ]
    for who, count in (("Fjord", 3), ("Gamma", 3)):  # itself, and a parent that is still the same one, read all
        assert len(world.json("account", "entries", who, "--as", "Fjord", "--book", "fund")["entries"]) == count
        assert len(world.json("account", "entries", who, "--book", "fund")["entries"]) == count


def test_a_statement_by_index_of_an_account_that_moved(world: OperatorWorld) -> None:
    """Reading one account's entries stays a walk through its own part of the index, and asks for its moves once."""
    run = world.database.run
    world.run("account", "move", "Fjord", "--to", "South", "--tariff", "dealer")
    run(
        "insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin)"
        " select gen_random_uuid(), txn, a.id, side.book, 'EUR', side.sign, 'pg'"
        " from tandem.account a, generate_series(1, 500),"
        " lateral (select gen_random_uuid() as txn where a.id > 0) as t,"
        " (values ('cash', 1), ('income', -1)) as side(book, sign)"
    )
    run("analyze tandem.ledger_entry")
    with world.database.connection.transaction():
        run("select tandem.act_as_v1(%s, 'a test')", world.id_of("South"))
        run("set local role tandem_tenant")
        plan = "\n".join(
            line
            for (line,) in run(
                "explain select note from tandem.ledger_entry"
                " where account_id = %s and posted_at >= now() - interval '1 hour'",
                world.id_of("Fjord"),
            )
        )
        run("reset role")
    assert "Index Scan using ledger_entry_by_account" in plan or "Bitmap Index Scan on ledger_entry_by_account" in plan
    assert "Seq Scan" not in plan


def test_who_posted_is_told_as_far_as_they_are_seen(world: OperatorWorld) -> None:
    """An account reads no actor of those above it; they read their own and those of accounts below."""
    world.database.run("select world.grant('North', 'money'), world.grant('Fjord', 'money')")
    world.run("account", "credit", "Fjord", "7", "--note", "n", "--as", "North", "--actor", "nora")
    world.run("account", "topup", "Gamma", "3", "--note", "n", "--as", "Fjord", "--actor", "finn")

    def actors(who: str, reader: str) -> set[str]:
        rows = world.json("account", "entries", who, "--book", "fund", "--as", reader)["entries"]
        return {row["actor"] for row in rows}

    assert (actors("Fjord", "Fjord"), actors("Gamma", "Gamma")) == ({""}, {""})
    assert "nora" in actors("Fjord", "North")
    assert "finn" in actors("Gamma", "Fjord")
    assert {"nora"} < actors("Fjord", "Tandem")
    with world.database.connection.transaction(force_rollback=True):
        world.database.run("select tandem.act_as_v1(%s, 'a test')", world.id_of("Gamma"))
        world.database.run("set local role tandem_tenant")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            world.database.run("select actor from tandem.ledger_entry")


def test_a_move_in_words(world: OperatorWorld) -> None:
    said = world.run("account", "move", "Fjord", "--to", "South", "--tariff", "dealer")
    assert "below North → below South" in said
    assert "its balance of 100.00 EUR is with South now" in said
    assert "rights that South has not are taken: money" in said


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("move", "Alpha", "--to", "South", "--tariff", "wholesale"), "tariff: 'wholesale' is another account's"),
        (("move", "Alpha", "--to", "Beta", "--tariff", "dealer"), "to: Beta is a customer and has none below it"),
        (("move", "Alpha", "--to", "South", "--tariff", "none"), "tariff: 'none' does not exist"),
        (("move", "Alpha", "--to", "Nobody", "--tariff", "dealer"), "to: 'Nobody' does not exist"),
        (("move", "North", "--to", "Fjord", "--tariff", "retail"), "to: Fjord is below North"),
        (("move", "Gamma", "--to", "South", "--tariff", "dealer"), "cannot move: the domain of its subscriber"),
        (("move", "Tandem", "--to", "South", "--tariff", "dealer"), "is the root, which is billed by nobody"),
        (("suspend", "Tandem"), "is the root"),
        (("resume", "Nobody"), "account: 'Nobody' does not exist"),
        (("close", "Tandem", "--yes"), "is the root"),
        (("remove", "Tandem", "--yes"), "is the root"),
        (("suspend", "North", "--as", "North"), "not for itself, only for accounts below it"),
        (("close", "North", "--as", "North", "--yes"), "not for itself, only for accounts below it"),
        (("move", "North", "--to", "North", "--tariff", "dealer", "--as", "North"), "not for itself"),
        (("suspend", "Gamma", "--as", "North"), "account: 'Gamma' does not exist"),
        (("close", "South", "--as", "North", "--yes"), "account: 'South' does not exist"),
        (("remove", "Tandem", "--as", "North", "--yes"), "account: 'Tandem' does not exist"),
        (("move", "Fjord", "--to", "South", "--tariff", "dealer", "--as", "North"), "to: 'South' does not exist"),
    ],
)
def test_what_is_refused_changes_nothing(world: OperatorWorld, words: tuple[str, ...], sentence: str) -> None:
    before = world.database.run("select * from tandem.account order by id")
    assert sentence in world.refused("account", *words)
    assert world.database.run("select * from tandem.account order by id") == before


@pytest.mark.parametrize(
    "function",
    ["suspend_account_v1(%s)", "resume_account_v1(%s)", "close_account_v1(%s)", "remove_account_v1(%s)",
     "move_account_v1(%s, 3, 1)"],
)  # fmt: skip
def test_functions_know_whom_they_serve(world: OperatorWorld, function: str) -> None:
    """In plain SQL a tenant reaches nobody above, beside or too deep below it, nor itself, nor learns of them."""
    run, north = world.database.run, world.id_of("North")
    for name, message in {
        "Tandem": "account %s does not exist",
        "South": "account %s does not exist",
        "Gamma": "account %s does not exist",
        "North": "account %s: not for itself, only for accounts below it",
    }.items():
        account = world.id_of(name)
        with world.database.connection.transaction(force_rollback=True):
            run("select tandem.act_as_v1(%s, 'ann')", north)
            run("set local role tandem_tenant")
            with pytest.raises(psycopg.Error) as error:
                run(f"select tandem.{function}".encode(), account)
        assert error.value.diag.message_primary == message % account
    assert set(statuses(world).values()) == {"active"}


def test_a_parent_closes_what_it_does_not_see_and_learns_nothing_of_it(world: OperatorWorld) -> None:
    done = world.json("account", "close", "Fjord", "--yes", "--as", "North")
    assert statuses(world)["Gamma"] == "closed"
    assert (done["accounts"], done["lines"]) == (1, 0)
    assert done["balances"] == [{"account": world.id_of("Fjord"), "currency": "EUR", "amount": "100.00"}]
    _let_a_month_pass(world)
    assert "Gamma" not in world.refused("account", "remove", "Fjord", "--yes", "--as", "North")


def _acting(world: OperatorWorld, statement: bytes, *values: object) -> None:
    """Run a statement as North does it in plain SQL; it is kept."""
    with world.database.connection.transaction():
        world.database.run("select tandem.act_as_v1(%s, 'ann')", world.id_of("North"))
        world.database.run("set local role tandem_tenant")
        world.database.run(statement, *values)
        world.database.run("reset role")


_MOVE: Final = b"select tandem.move_account_v1(%s, %s, world.tariff_id('Fjord', 'retail'))"


def test_a_tenant_moves_an_account_by_its_rights_and_with_its_money(world: OperatorWorld) -> None:
    """Not by changing its parent alone, and not what it may neither make nor pay."""
    alpha, fjord = world.id_of("Alpha"), world.id_of("Fjord")
    world.database.run("update tandem.account set share_children = true")
    world.database.run("delete from tandem.account_grant")
    plain = b"update tandem.account set parent_id = %s where id = %s"
    with pytest.raises(psycopg.Error, match=r"comes below another by tandem\.move_account_v1"):
        _acting(world, plain, fjord, alpha)
    tariff = world.database.one("select world.tariff_id('Fjord', 'retail')")
    move = b"select tandem.move_account_v1(%s, %s, %s)"
    for right in ("accounts", "money"):
        with pytest.raises(psycopg.Error, match=f"{right}: not granted to account"):
            _acting(world, move, alpha, fjord, tariff)
        world.database.run("select world.grant('North', %s)", right)
    _acting(world, move, alpha, fjord, tariff)
    assert world.database.one("select parent_id from tandem.account where id = %s", alpha) == fjord


def test_a_move_is_bounded_as_a_top_up_is(world: OperatorWorld) -> None:
    """Who comes has at most what its new parent's overcommit allows of that one's own balance."""
    alpha, fjord = world.id_of("Alpha"), world.id_of("Fjord")
    world.database.run("select world.overcommit('Fjord', 0), world.money('Alpha', 'topup', 100)")
    with pytest.raises(psycopg.Error, match="may have at most 100 % of the posted balance of its parent"):
        world.database.connection.execute(_MOVE, (alpha, fjord))
    world.database.run("select world.money('Alpha', 'debit', 30)")
    world.database.connection.execute(_MOVE, (alpha, fjord))


def test_a_tenants_lock_is_in_the_audit_by_who_acts(world: OperatorWorld) -> None:
    _acting(world, b"select tandem.lock_v1(%s, 'all', 'mallory', 'n')", world.id_of("Alpha"))
    query = (
        "select actor from tandem.audit where table_name = 'account' and changed @> '{lock}' order by id desc limit 1"
    )
    assert world.database.one(query) == "ann"
