"""Who comes to see an account by a move is told of it from then on; who saw it all the time goes on as before."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import pytest

from tests.fix_postgres import Database
from tests.operator_world import OperatorWorld

# Of each table whose rows tell what happened to an account: how many of Gamma's somebody reads.
HISTORY: Final[dict[str, LiteralString]] = {
    "ledger_entry": "select count(*) from tandem.ledger_entry where account_id = %s",
    "alert": "select count(*) from tandem.alert where account_id = %s",
    "audit": "select count(*) from tandem.audit where account_id = %s",
    "audit_record": "select count(*) from tandem.audit_record where account_id = %s",
    "fund_window": "select count(*) from tandem.fund_window where account_id = %s",
    "fund_calendar": "select count(*) from tandem.fund_calendar where account_id = %s and opening_version > 0",
    "fund_loss": "select count(*) from tandem.fund_loss where account_id = %s",
    "import_file": "select count(*) from tandem.import_file where account_id = %s",
    "cdr_leg": "select count(*) from tandem.cdr_leg where payee_id = %s",
}
# Gamma is a reseller here: Delta pays it.
BEFORE: Final = """
select world.share('Fjord'), world.share('South');
update tandem.account set kind = 'reseller' where name = 'Gamma';
select world.tariff('Gamma', 'retail', 'EUR', '44', '0.09');
select world.customer('Delta', 'Gamma', 'retail', 10);
select world.share('Gamma');
select world.threshold('Gamma', 'balance', 5);
select world.money('Gamma', 'debit', 7);
insert into tandem.fund_window(account_id, currency, kind, window_id, spent_micros)
select id, 'EUR', k, to_char(now(), 'YYYYMM' || case k when 'day' then 'DD' else '' end)::integer, 3000000
  from tandem.account, unnest(array['day', 'month']) as k where name = 'Gamma';
update tandem.fund f set day_max_micros = 9000000 from tandem.account a where a.id = f.account_id and a.name = 'Gamma';
insert into tandem.fund_loss(account_id, currency, epoch, events)
select id, 'EUR', 1, 1 from tandem.account where name = 'Gamma';
insert into tandem.import_file(account_id, kind, target_id, target, file_name, sha256, lines, summary)
select id, 'numbers', id, 'Gamma', 'f', repeat('0', 64), 1, '{}' from tandem.account where name = 'Gamma';
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, book)
select 'r', 1, d.id, g.id, 'EUR', 7, 'fund'
  from tandem.account d, tandem.account g where d.name = 'Delta' and g.name = 'Gamma';
"""
SHARE: Final = """
create function world.share(of_account text) returns void language sql as $$
  update tandem.account set share_children = true where name = of_account
$$
"""


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Let Gamma, a dealer below Fjord below North, have a history; South beside North has a dealer East."""
    made = OperatorWorld(database)
    made.grow()
    database.connection.execute(SHARE)
    database.connection.execute(BEFORE)
    database.run(
        "select world.tariff('South', 'shop', 'EUR', '44', '0.05'), world.reseller('East', 'South', 'shop', 5)"
    )
    database.run("select world.tariff('East', 'shop', 'EUR', '44', '0.06')")
    return made


@contextmanager
def acting(world: OperatorWorld, name: str) -> Iterator[Database]:
    """Be a tenant; nothing stays."""
    with world.database.connection.transaction(force_rollback=True):
        world.database.run("select tandem.act_as_v1(%s, 'a test')", world.id_of(name))
        world.database.run("set local role tandem_tenant")
        yield world.database


def read(world: OperatorWorld, reader: str) -> dict[str, int]:
    """Return of how many rows about Gamma an account reads, by table."""
    gamma = world.id_of("Gamma")
    with acting(world, reader) as database:
        return {table: int(database.one(query, gamma)) for table, query in HISTORY.items()}


def move(world: OperatorWorld, name: str, to: str, tariff: str) -> None:
    world.run("account", "move", name, "--to", to, "--tariff", tariff)


def test_a_new_parent_reads_nothing_of_before(world: OperatorWorld) -> None:
    """Nor do those above it; the account itself reads all of it."""
    before = {name: read(world, name) for name in ("North", "Fjord", "Gamma")}
    assert 0 not in before["Fjord"].values()
    assert before["North"] == before["Fjord"] == {**before["Gamma"], "ledger_entry": before["North"]["ledger_entry"]}
    move(world, "Gamma", "South", "dealer")
    assert set(read(world, "South").values()) == {0}
    own = read(world, "Gamma")
    assert {table: own[table] - count for table, count in before["Gamma"].items() if own[table] != count} == {
        "audit": 1, "audit_record": 1,
    }  # fmt: skip
    world.database.run("select world.money('Gamma', 'topup', 1), world.money('Gamma', 'debit', 2)")
    world.database.run("update tandem.account set language = 'fr' where name = 'Gamma'")
    told = read(world, "South")
    assert (told["ledger_entry"], told["audit"], told["alert"]) == (2, 1, 0)


def test_what_stands_around_the_moved_one_is_moved_with_it(world: OperatorWorld) -> None:
    """Delta pays Gamma: that it did so before is told to nobody who came to see the two."""
    assert (world.id_of("Delta"), read(world, "North")["cdr_leg"]) != (0, 0)
    move(world, "Gamma", "South", "dealer")
    with acting(world, "South") as database:
        assert database.one("select count(*) from tandem.account where name = 'Delta'") == 1
        assert database.one("select count(*) from tandem.audit where account_id = %s", world.id_of("Delta")) == 0
        assert database.one("select count(*) from tandem.cdr_leg") == 0


def test_who_saw_it_all_the_time_reads_on(world: OperatorWorld) -> None:
    """From Fjord to another dealer of North that shares: North saw it then and sees it now, the new dealer did not."""
    world.database.run("select world.reseller('West', 'North', 'dealer', 5), world.share('West')")
    world.database.run("select world.tariff('West', 'shop', 'EUR', '44', '0.09')")
    before = read(world, "North")
    move(world, "Gamma", "West", "shop")
    after = read(world, "North")
    assert all(after[table] >= count > 0 for table, count in before.items())
    assert set(read(world, "West").values()) == {0}


def test_who_lost_sight_of_it_begins_anew(world: OperatorWorld) -> None:
    """Out of North and back: what was between is South's, and what was before is not told again."""
    move(world, "Gamma", "South", "dealer")
    move(world, "Gamma", "Fjord", "retail")
    assert set(read(world, "North").values()) == {0}
    assert set(read(world, "Fjord").values()) == {0}


def test_sharing_shows_no_more_than_was_below(world: OperatorWorld) -> None:
    """Moved where nobody looked, and shown later: since the move, not since ever, and not only since it is shown."""
    world.database.run("update tandem.account set share_children = false where name = 'South'")
    move(world, "Gamma", "East", "shop")
    world.database.run("update tandem.account set share_children = true where name = 'Gamma'")
    world.database.run("select world.money('Gamma', 'topup', 1)")
    world.database.run("select world.share('East')")
    told = read(world, "South")
    assert (told.pop("ledger_entry"), told.pop("audit"), told.pop("audit_record")) == (1, 0, 0)
    assert set(told.values()) == {0}


def test_actors_and_reversals_of_before_are_not_told(world: OperatorWorld) -> None:
    """Functions that pass by the policies ask for the time, too."""
    run = world.database.run
    gamma = world.id_of("Gamma")
    run("select world.grant('North', 'money'), world.grant('South', 'money')")
    ((entry, txn),) = run(
        "select id, txn_id from tandem.ledger_entry where account_id = %s and book = 'fund' limit 1", gamma
    )
    change = world.database.one("select min(id) from tandem.audit where account_id = %s", gamma)
    move(world, "Gamma", "South", "dealer")
    with acting(world, "South") as database:
        for question, key in (("ledger_actor", entry), ("audit_actor", change), ("audit_acting", change)):
            asked: list[Any] = database.run(f"select tandem.{question}(%s)".encode(), key)
            assert asked == [(None,)]
        said = database.refused("select tandem.reverse_v1(%s, 'n', 'a')".replace("%s", f"'{txn}'"))
        assert said == f"there is no transaction {txn}"


def test_the_spend_of_a_day_that_had_begun_is_not_told(world: OperatorWorld) -> None:
    """`account show` says so, and does not say that nothing was spent."""
    assert world.json("account", "show", "Gamma", "--as", "North")["spend"]["day"]["spent"] == "3.00"
    move(world, "Gamma", "South", "dealer")
    spend = world.json("account", "show", "Gamma", "--as", "South")["spend"]
    assert {kind: said["spent"] for kind, said in spend.items()} == {"day": None, "month": None}
    assert "not told, as it came below another account" in world.run("account", "show", "Gamma", "--as", "South")
    assert world.json("account", "show", "Gamma", "--as", "Gamma")["spend"]["month"]["spent"] == "3.00"
    assert world.json("account", "alerts", "--as", "South") == []
    world.database.run("update tandem.visibility set since = since - interval '32 days' where since is not null")
    assert world.json("account", "show", "Gamma", "--as", "South")["spend"]["month"]["spent"] == "3.00"
