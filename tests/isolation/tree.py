"""Random trees of accounts: a spine that every world has, and whatever grows on it.

Rule 1: a tree is a function of its seed; Postgres' own random() is set from it too.
Rule 2: an account has at most the rights of its parent, as the rule says; nothing here asks the database.
"""

from __future__ import annotations

import random
from typing import Final, LiteralString, NamedTuple

import psycopg

from tests.fix_postgres import Database

RIGHTS: Final = (
    "accounts", "prices", "money", "carriers_seen", "carriers_own", "domains", "numbers", "routing", "callflows",
)  # fmt: skip
DEPTH_MAX: Final = 6
ACCOUNTS: Final = 11

ROOT, RESELLER, DEALER, CUSTOMER, STRANGER, RETAIL, STRANGE_CUSTOMER = range(7)


class Plan(NamedTuple):
    """An account to be made. parent: its place in the tree, -1 above the root."""

    name: str
    kind: str
    parent: int
    depth: int
    shares: bool
    rights: frozenset[str]


def grow(seed: int) -> list[Plan]:
    """Return root, reseller, its dealer, the dealer's customer, a stranger beside them, two more customers, and others.

    The reseller has every right and its customers have none: each right is held by somebody and missed by somebody.
    """
    chance = random.Random(seed)  # noqa: S311  a repeatable tree, no secret
    tree = [Plan("Root", "root", -1, 1, shares=False, rights=frozenset(RIGHTS))]
    for kind, parent, rights in (
        ("reseller", ROOT, frozenset(RIGHTS)),
        ("reseller", RESELLER, _some(chance, frozenset(RIGHTS))),
        ("customer", DEALER, frozenset[str]()),
        ("reseller", ROOT, _some(chance, frozenset(RIGHTS))),
        ("customer", RESELLER, frozenset[str]()),
        ("customer", STRANGER, frozenset[str]()),
    ):
        tree.append(_child(chance, tree, kind, parent, rights))
    while len(tree) < ACCOUNTS:
        parents = [place for place, each in enumerate(tree) if _may_have_more(each) and place != ROOT]
        parent = chance.choice(parents[-3:])  # the latest ones: a tree that grows deep
        kind = chance.choice(("reseller", "reseller", "customer"))
        tree.append(_child(chance, tree, kind, parent, _some(chance, tree[parent].rights)))
    return tree


def _may_have_more(plan: Plan) -> bool:
    return plan.kind != "customer" and plan.depth < DEPTH_MAX


def _some(chance: random.Random, rights: frozenset[str]) -> frozenset[str]:
    return frozenset(right for right in sorted(rights) if chance.random() < 0.6)


def _child(chance: random.Random, tree: list[Plan], kind: str, parent: int, rights: frozenset[str]) -> Plan:
    shares = kind == "reseller" and chance.random() < 0.5
    return Plan(f"A{len(tree)}", kind, parent, tree[parent].depth + 1, shares, rights)


_ACCOUNT: Final[LiteralString] = """
    insert into tandem.account(kind, name, parent_id, tariff_id, currency, share_children)
    values (%s, %s, %s, (select id from tandem.tariff where account_id = %s and name = 'prices'), 'EUR', %s)
    returning id
"""


def plant(database: Database, tree: list[Plan]) -> list[int]:
    """Make the accounts, the tariff that each reseller charges, and the rights; return the ids in the tree's order."""
    ids: list[int] = []
    for plan in tree:
        parent = ids[plan.parent] if plan.parent >= 0 else None
        ids.append(database.one(_ACCOUNT, plan.kind, plan.name, parent, parent, plan.shares))
        if plan.kind != "customer":
            database.run("insert into tandem.tariff(account_id, name, currency) values (%s, 'prices', 'EUR')", ids[-1])
        if plan.parent >= 0:
            database.run(
                "insert into tandem.account_grant(account_id, right_name) select %s, r from unnest(%s::text[]) as r",
                ids[-1], sorted(plan.rights),
            )  # fmt: skip
    return ids


def fill(database: Database, seed: int, rows: bytes) -> None:
    """Let Postgres put a few rows into every table, by its own random() from this seed. Raises psycopg errors."""
    connection: psycopg.Connection[object] = database.connection
    with connection.transaction():
        connection.execute("select setseed(%s)", (seed % 1000 / 1000,))
        connection.execute(rows)
