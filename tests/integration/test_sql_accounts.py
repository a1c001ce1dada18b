"""The tree: who sees whom, how deep it may be, and what comes with an account."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import NamedTuple

import psycopg
import pytest

from tests.fix_postgres import Database

LEVELS_MAX = 8


class Node(NamedTuple):
    """What visibility depends on."""

    parent_id: int | None
    share_children: bool


def _tree(database: Database) -> dict[int, Node]:
    rows = database.run("select id, parent_id, share_children from tandem.account")
    return {id_: Node(parent_id, shares) for id_, parent_id, shares in rows}


def _sees(tree: dict[int, Node], viewer: int, account: int) -> bool:
    """Say by the rule itself: self, child, or below while every account between shares its children."""
    if viewer == account:
        return True
    parent = tree[account].parent_id
    while parent is not None and parent != viewer:
        if not tree[parent].share_children:
            return False
        parent = tree[parent].parent_id
    return parent == viewer


def _expected(database: Database) -> set[tuple[int, int]]:
    tree = _tree(database)
    return {(v, a) for v in tree for a in tree if tree[v].parent_id is not None and _sees(tree, v, a)}


def _stored(database: Database) -> set[tuple[int, int]]:
    return set(database.run("select viewer_id, account_id from tandem.visibility"))


def _reseller(database: Database, name: str, parent: int) -> int:
    """Make a reseller below `parent` and the tariff that it charges."""
    tariff = database.one(
        "select id from tandem.tariff where account_id = %s and name in ('wholesale', 'resale')", parent
    )
    made = database.one(
        "insert into tandem.account(kind, name, parent_id, tariff_id, currency)"
        " values ('reseller', %s, %s, %s, 'EUR') returning id",
        name,
        parent,
        tariff,
    )
    database.run("insert into tandem.tariff(account_id, name, currency) values (%s, 'resale', 'EUR')", made)
    return int(made)


def test_visibility_follows_the_tree(demo: Database) -> None:
    """After any create, move or change of sharing, the table says what the rule says about every pair."""
    chance = random.Random(20)  # noqa: S311  a repeatable tree, no secret
    resellers = [1]
    for number in range(25):
        tree = _tree(demo)
        parents = [id_ for id_ in resellers if _depth(tree, id_) < LEVELS_MAX]
        resellers.append(_reseller(demo, f"r{number}", chance.choice(parents[-4:])))
        tree = _tree(demo)
        demo.run(
            "update tandem.account set share_children = %s where id = %s",
            chance.random() < 0.7,
            chance.choice(resellers[1:]),
        )
        moved, target = chance.choice(resellers[1:]), chance.choice(resellers)
        if not _is_below(tree, target, moved) and _depth(tree, target) < LEVELS_MAX // 2:
            _move(demo, moved, target)
        assert _stored(demo) == _expected(demo)


def _is_below(tree: dict[int, Node], account: int | None, top: int) -> bool:
    while account is not None and account != top:
        account = tree[account].parent_id
    return account == top


def _depth(tree: dict[int, Node], account: int) -> int:
    parent = tree[account].parent_id
    return 0 if parent is None else 1 + _depth(tree, parent)


def _move(database: Database, account: int, parent: int) -> None:
    """Move an account, with its tariff; a move that makes the tree too deep is refused and changes nothing."""
    with suppress(psycopg.errors.CheckViolation), database.connection.transaction():
        database.run(
            "update tandem.account a set parent_id = t.account_id, tariff_id = t.id from tandem.tariff t"
            " where a.id = %s and t.account_id = %s and t.name in ('wholesale', 'resale')",
            account,
            parent,
        )


def test_sharing_opens_one_level(demo: Database) -> None:
    """A reseller sees its dealer's customers only while the dealer shares them."""
    north, beta = (demo.one("select world.account_id(%s)", name) for name in ("North", "Beta"))
    assert (north, beta) not in _stored(demo)
    demo.run("update tandem.account set share_children = true where name = 'Fjord'")
    assert (north, beta) in _stored(demo)
    demo.run("update tandem.account set share_children = false where name = 'Fjord'")
    assert (north, beta) not in _stored(demo)


def test_what_the_acting_account_sees(demo_database: Database) -> None:
    """A reseller sees itself and its children, the root all; the setting ends with the transaction."""
    with demo_database.connection.transaction():
        demo_database.run("select tandem.act_as_v1(world.account_id('North'), 'ann')")
        names = demo_database.one(
            "select array_agg(name::text order by id) from tandem.account"
            " where id = any ((select tandem.visible_ids_v1())::bigint[])"
        )
        assert names == ["North", "Fjord", "Alpha"]
        demo_database.run("select tandem.act_as_v1(1, 'ann')")
        assert len(demo_database.one("select tandem.visible_ids_v1()")) == len(_tree(demo_database))
    assert "no acting account" in demo_database.refused("select tandem.acting_account_v1()")


def test_eight_levels(demo: Database) -> None:
    """The ninth level below the root is refused, by creation as by moving a subtree."""
    parent = 1
    for number in range(LEVELS_MAX):
        parent = _reseller(demo, f"deep{number}", parent)
    too_deep = "account 'deeper': more than 8 levels below the root"
    with pytest.raises(psycopg.errors.CheckViolation, match=too_deep), demo.connection.transaction():
        _reseller(demo, "deeper", parent)
    above = demo.one("select parent_id from tandem.account where id = %s", parent)
    sub = _reseller(demo, "sub", 1)
    _reseller(demo, "subsub", sub)
    before = _tree(demo)
    _move(demo, sub, above)
    assert _tree(demo) == before


def test_two_moves_cannot_close_a_circle(demo_database: Database) -> None:
    """A below B and B below A at the same moment: one of them is refused."""
    pair = [_reseller(demo_database, name, 1) for name in ("a", "b")]

    def move(order: list[int]) -> str:
        with demo_database.connect() as connection:
            try:
                connection.execute(
                    "update tandem.account a set parent_id = t.account_id, tariff_id = t.id from tandem.tariff t"
                    " where a.id = %s and t.account_id = %s",
                    order,
                )
            except psycopg.Error as error:
                return error.diag.message_primary or ""
        return ""

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(move, [pair, pair[::-1]]))
    assert sorted(map(bool, outcomes)) == [False, True]
    assert any("cannot stand below itself" in outcome for outcome in outcomes)


def test_a_fund_comes_with_the_account(demo: Database) -> None:
    """Every account but the root has a fund in its currency; a new currency adds one, and the old stays."""
    demo.run(
        "insert into tandem.account(kind, name, parent_id, tariff_id, currency) values ('customer', 'New', 2, 6, 'EUR')"
    )
    assert demo.run("select currency from tandem.fund where account_id = world.account_id('New')") == [("EUR",)]
    demo.run("select world.tariff('North', 'dollars', 'USD', '44', '0.02')")
    demo.run(
        "update tandem.account a set currency = t.currency, tariff_id = t.id from tandem.tariff t"
        " where a.name = 'New' and t.name = 'dollars'"
    )
    assert demo.run("select currency from tandem.fund where account_id = world.account_id('New') order by 1") == [
        ("EUR",),
        ("USD",),
    ]
    assert demo.run("select from tandem.fund where account_id = 1") == []


def test_closed_is_the_end(demo: Database) -> None:
    """A closed account does not come back, and cannot be topped up."""
    demo.run("update tandem.account set status = 'closed' where name = 'Delta'")
    assert "is closed for ever" in demo.refused("update tandem.account set status = 'active' where name = 'Delta'")
    assert "is closed" in demo.refused("select tandem.topup_v1(8, 5, 'note', 'actor')")
