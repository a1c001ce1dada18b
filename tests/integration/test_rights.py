"""Rights: a parent gives at most what it has, and what is taken from one is taken from all below it."""

from __future__ import annotations

import random
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import psycopg
import pytest

from tests.fix_postgres import Database
from tests.locks import until_one_waits
from tests.operator_world import OperatorWorld
from tools.account.rights import RIGHTS

DEADLINE_S: Final = 10.0
WAITING: Final = (
    b"select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
)
GRANTS: Final = (
    b"select a.name, array_agg(g.right_name order by g.right_name) from tandem.account_grant g"
    b" join tandem.account a on a.id = g.account_id group by a.name"
)
BROKEN: Final = b"""
select a.name, g.right_name from tandem.account_grant g
  join tandem.account a on a.id = g.account_id join tandem.account p on p.id = a.parent_id
 where p.kind <> 'root' and not exists (
   select from tandem.account_grant u where u.account_id = p.id and u.right_name = g.right_name)
    or g.parent_id is distinct from case p.kind when 'root' then null else p.id end
"""


@pytest.fixture
def world(database: Database) -> OperatorWorld:
    """Make the small world with a dealer below North."""
    made = OperatorWorld(database)
    made.grow()
    return made


def grants(world: OperatorWorld) -> dict[str, list[str]]:
    """Return account -> rights, of those that have any."""
    return dict(world.database.run(GRANTS))


def test_rights_are_granted_shown_and_revoked_with_all_that_rest_on_them(world: OperatorWorld) -> None:
    assert "accounts, money, prices granted" in world.run("account", "grant", "North", "prices", "money", "accounts")
    assert world.json("account", "grant", "Fjord", "money", "prices")["granted"] == ["money", "prices"]
    world.run("account", "grant", "Gamma", "money")
    assert world.json("account", "rights", "North")["rights"] == ["accounts", "money", "prices"]
    assert "nothing new granted" in world.run("account", "grant", "Fjord", "money")
    assert world.json("account", "revoke", "North", "money", "domains") == [
        {"account": world.id_of(name), "name": name, "revoked": ["money"]} for name in ("North", "Fjord", "Gamma")
    ]
    assert grants(world) == {"North": ["accounts", "prices"], "Fjord": ["prices"]}
    assert "has none of them" in world.run("account", "revoke", "Gamma", "money")


def test_the_root_has_every_right(world: OperatorWorld) -> None:
    assert world.json("account", "rights")["rights"] == sorted(RIGHTS)
    assert world.database.one("select tandem.rights()") == list(RIGHTS)
    said = world.run("account", "rights", "North")
    assert all(what in said for what in RIGHTS.values())


def test_the_audit_has_every_right_that_was_given_or_taken(world: OperatorWorld) -> None:
    world.run("account", "grant", "North", "money", "--actor", "ann")
    world.run("account", "grant", "Fjord", "money", "--actor", "ann")
    world.run("account", "revoke", "North", "money", "--actor", "bob")
    assert set(
        world.database.run("select actor, key, action from tandem.audit where table_name = 'account_grant'")
    ) == {
        (who, f"{world.id_of(name)}/money", action)
        for who, action in (("ann", "insert"), ("bob", "delete"))
        for name in ("North", "Fjord")
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("grant", "North", "fly"), "right: 'fly' is not one of accounts, prices"),
        (("revoke", "North", "x" * 99), "right: 'xxx"),
        (("grant", "Fjord", "money", "prices"), "right: money, prices cannot be given to account"),
        (("grant", "Tandem", "money"), "is the root, which has every right for ever"),
        (("revoke", "Tandem", "money"), "is the root, which has every right for ever"),
        (("grant", "Nobody", "money"), "account: 'Nobody' does not exist"),
        (("rights", "Nobody"), "account: 'Nobody' does not exist"),
        (("grant", "North", "money", "--as", "North"), "is who acts; only one above it changes its rights"),
        (("revoke", "North", "money", "--as", "North"), "is who acts; only one above it changes its rights"),
        (("grant", "South", "money", "--as", "North"), "account: 'South' does not exist"),
        (("grant", "Gamma", "money", "--as", "North"), "account: 'Gamma' does not exist"),
        (("grant", "North", "money", "--as", "Nobody"), "--as: 'Nobody' does not exist"),
    ],
)
def test_what_cannot_be_granted(world: OperatorWorld, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in world.refused("account", *words)
    assert grants(world) == {}


def test_a_dealer_gives_what_it_has_to_its_own(world: OperatorWorld) -> None:
    world.run("account", "grant", "North", "money", "prices")
    world.run("account", "grant", "Fjord", "money", "--as", "North")
    assert "above it has not" in world.refused("account", "grant", "Fjord", "domains", "--as", "Tandem/North")
    world.run("account", "grant", "Gamma", "money", TANDEM_AS="Fjord")
    assert world.json("account", "rights", TANDEM_AS="Gamma")["rights"] == ["money"]
    assert world.json("account", "revoke", "Fjord", "money", "--as", "North") == [
        {"account": world.id_of("Fjord"), "name": "Fjord", "revoked": ["money"]}
    ]  # and Gamma's, whom North does not see
    assert grants(world) == {"North": ["money", "prices"]}


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (b"insert into tandem.account_grant(account_id, right_name) values (1, 'money')", "the root has every right"),
        (b"insert into tandem.account_grant(account_id, right_name) values (99, 'money')", "violates foreign key"),
        (b"insert into tandem.account_grant(account_id, right_name) values (2, 'fly')", '"right_is_known"'),
        (b"insert into tandem.account_grant(account_id, right_name) values (6, 'prices')", '"an_account_gives_at_most'),
        (b"insert into tandem.account_grant(account_id, right_name, parent_id) values (6, 'prices', null)", "at_most"),
        (b"update tandem.account_grant set right_name = 'prices'", "a right is given or taken, never changed"),
        (b"update tandem.account_grant set account_id = 3", "a right is given or taken, never changed"),
        (b"select tandem.has_right(2, 'fly')", "'fly' is no right: accounts, "),
        (b"select tandem.has_right(2, null)", "is no right"),
    ],
)
def test_what_the_database_refuses(world: OperatorWorld, statement: bytes, message: str) -> None:
    world.run("account", "grant", "North", "money")
    assert message in world.database.refused(statement)


def test_who_has_a_right_in_the_eyes_of_the_database(world: OperatorWorld) -> None:
    """The platform has all; a tenant what its acting account has, also inside functions with the owner's rights."""
    world.run("account", "grant", "North", "money")
    run, north = world.database.run, world.id_of("North")
    assert run("select tandem.has_right(%s, 'money'), tandem.has_right(%s, 'prices')", north, north) == [(True, False)]
    assert run("select tandem.has_right(1, 'prices'), tandem.has_right(4711, 'prices')") == [(True, False)]
    assert run("select tandem.is_platform(), tandem.acting_may('prices')") == [(True, True)]
    with world.database.connection.transaction():
        run("select tandem.act_as_v1(%s, 'ann')", north)
        run("set local role tandem_tenant")
        assert run("select tandem.is_platform(), tandem.acting_may('prices'), tandem.acting_may('money')") == [
            (False, False, True)
        ]
    with world.database.connection.transaction(force_rollback=True):
        run("set local role tandem_tenant")
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="no acting account is set"):
            run("select tandem.acting_may('money')")


def test_a_moved_account_keeps_what_its_new_parent_has(world: OperatorWorld) -> None:
    world.run("account", "grant", "North", "money", "prices", "domains")
    world.run("account", "grant", "Fjord", "money", "prices")
    world.run("account", "grant", "Gamma", "money", "prices")
    world.run("account", "grant", "South", "prices", "accounts")
    done = world.json("account", "move", "Fjord", "--to", "South", "--tariff", "dealer")
    assert done["rights_taken"] == ["money"]
    assert grants(world) == {
        "North": ["domains", "money", "prices"],
        "South": ["accounts", "prices"],
        "Fjord": ["prices"],
        "Gamma": ["prices"],
    }
    world.run("account", "revoke", "North", "prices")  # they rest on South's now
    assert grants(world)["Gamma"] == ["prices"]
    assert world.database.run(BROKEN) == []


def test_nobody_ever_has_what_its_parent_has_not(world: OperatorWorld) -> None:
    """Whatever is given, taken and moved in any order."""
    database, chance = world.database, random.Random(6)  # noqa: S311  a repeatable order, no secret
    for parent in ("Fjord", "South"):
        database.run("select world.tariff(%s, 'resale', 'EUR', '44', '0.05')", parent)
    ids = {name: world.id_of(name) for name in ("North", "Fjord", "Alpha", "Gamma", "South")}
    moves = [("Fjord", "South", "dealer"), ("Fjord", "North", "dealer"), ("Gamma", "South", "resale"),
             ("Gamma", "Fjord", "resale"), ("Fjord", "Tandem", "wholesale")]  # fmt: skip
    given = taken = 0
    for _ in range(300):
        name, right = chance.choice(list(ids)), chance.choice(list(RIGHTS)[:3])
        match chance.randrange(8):
            case 0:
                who, to, tariff = chance.choice(moves)
                arguments = (ids[who], world.id_of(to), to, tariff)
                _try(database, b"select tandem.move_account_v1(%s, %s, world.tariff_id(%s, %s))", *arguments)
            case 1 | 2:
                statement = b"delete from tandem.account_grant where account_id = %s and right_name = %s"
                taken += _try(database, statement, ids[name], right)
            case _:
                statement = b"insert into tandem.account_grant(account_id, right_name) values (%s, %s)"
                given += _try(database, statement, ids[name], right)
        assert database.run(BROKEN) == []
    assert given > 30
    assert taken > 10


def _try(database: Database, statement: bytes, *values: object) -> bool:
    try:
        database.run(statement, *values)
    except psycopg.errors.IntegrityError:
        return False
    return True


def _ends(pool: ThreadPoolExecutor, connection: psycopg.Connection[Any], statement: bytes) -> Future[Any]:
    return pool.submit(lambda: connection.execute(statement))


def test_a_right_that_is_given_on_while_it_is_taken_goes_too(world: OperatorWorld) -> None:
    """The taker waits for the giver, and takes what that gave."""
    world.run("account", "grant", "North", "money")
    database, fjord = world.database, world.id_of("Fjord")
    with database.connect() as giver, database.connect() as taker, ThreadPoolExecutor(1) as pool:
        giver.autocommit = False
        giver.execute("insert into tandem.account_grant(account_id, right_name) values (%s, 'money')", (fjord,))
        taking = _ends(pool, taker, b"delete from tandem.account_grant where parent_id is null")
        until_one_waits(database)
        giver.commit()
        taking.result(DEADLINE_S)
    assert grants(world) == {}


def test_a_right_that_is_being_taken_is_not_given_on(world: OperatorWorld) -> None:
    """The giver waits for the taker, and then has nothing to give."""
    world.run("account", "grant", "North", "money")
    database = world.database
    with database.connect() as giver, database.connect() as taker, ThreadPoolExecutor(1) as pool:
        taker.autocommit = False
        taker.execute("delete from tandem.account_grant")
        giving = _ends(
            pool,
            giver,
            b"insert into tandem.account_grant(account_id, right_name)"
            b" select id, 'money' from tandem.account where name = 'Fjord'",
        )
        until_one_waits(database)
        taker.commit()
        with pytest.raises(psycopg.errors.ForeignKeyViolation, match="an_account_gives_at_most_what_it_has"):
            giving.result(DEADLINE_S)
    assert grants(world) == {}
