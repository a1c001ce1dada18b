"""Whose calls are tried: one account for all that pay by the same tariff, on the same terms.

A tariff belongs to the account above, so all that pay by it have the same chain above them. Accounts that own carriers
are told apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import psycopg

from kemi import keys
from kemi.core.charges import in_force
from kemi.core.outcome import Need
from kemi.records import Account, Destinations, PeeringGroup, PeeringRules, Tariff
from tools.lint_routes.moments import turning_points
from tools.sql_tables import SqlTables

_PAYERS: Final = """
    SELECT min(a.id) FROM tandem.account a
     WHERE a.parent_id IS NOT NULL AND a.status = 'active'
     GROUP BY a.tariff_id, a.currency, a.carriers,
              CASE WHEN EXISTS (SELECT FROM tandem.peering_group g WHERE g.account_id = a.id) THEN a.id END
     ORDER BY 1
"""


class Subject(NamedTuple):
    """An account whose calls are tried, at one moment: at_ms, Unix time; is_now: the one that was asked for.

    tariff: by which it pays. chain: the rate sets of its levels, its own first, 0 where a tariff has none. decks: those
    of the carriers that it may use. owners: of these carriers, the nearest first.
    """

    account: Account
    tariff: Tariff
    at_ms: int
    chain: tuple[int, ...]
    decks: tuple[int, ...]
    owners: tuple[int, ...]
    is_now: bool = True

    @property
    def sells(self) -> int:
        """The rate set in which a number has to be, for anybody to call it."""
        return self.chain[0]


class Carriers(NamedTuple):
    """Who owns which carriers, and which prefixes their rules have; all of it stands in the tables too.

    destinations: prefixes that say how long a call is expected to last.
    """

    groups: Mapping[int, tuple[PeeringGroup, ...]]
    prefixes: Mapping[int, frozenset[str]]
    time_sets: Mapping[int, frozenset[int]]
    destinations: frozenset[str]


def carriers_of(tables: SqlTables) -> Carriers:
    """Read carriers, rules and decks into the tables, without a single rate. Raises psycopg errors."""
    groups: dict[int, list[PeeringGroup]] = {}
    prefixes: dict[int, set[str]] = {}
    time_sets: dict[int, set[int]] = {}
    loaded = tables.load("peering_group") | tables.load("peering_rules")
    for name, record in loaded.items():
        if isinstance(record, PeeringGroup):
            groups.setdefault(record.account_id, []).append(record)
        elif isinstance(record, PeeringRules):
            _, owner, prefix = name.split(":")
            prefixes.setdefault(int(owner), set()).add(prefix)
            time_sets.setdefault(int(owner), set()).update(rule.time_set_id for rule in record.entries)
    for view in ("time_set", "quality"):
        tables.load(view)
    lists = (record for record in tables.load("destinations").values() if isinstance(record, Destinations))
    tables.fetch([Need((keys.EXCHANGE, *loaded))])
    return Carriers(
        {owner: tuple(some) for owner, some in groups.items()},
        {owner: frozenset(some) for owner, some in prefixes.items()},
        {owner: frozenset(some - {0}) for owner, some in time_sets.items()},
        frozenset(entry.prefix for each in lists for entry in each.entries),
    )


def subjects_of(
    connection: psycopg.Connection[Any], tables: SqlTables, carriers: Carriers, at_ms: int
) -> list[Subject]:
    """Return whose calls have to be tried, and when: at at_ms (Unix time), and where prices or rules turn in the week.

    Raises psycopg errors.
    """
    payers = [payer_id for (payer_id,) in connection.execute(_PAYERS)]
    tables.fetch([Need(tuple(map(keys.account, payers)))])
    found: list[Subject] = []
    for payer_id in payers:
        now = _subject(tables, carriers, payer_id, at_ms)
        if now is not None:
            found.append(now)
            later = (_subject(tables, carriers, payer_id, moment) for moment in _turns(tables, carriers, now))
            found += [subject._replace(is_now=False) for subject in later if subject is not None]
    return found


def _turns(tables: SqlTables, carriers: Carriers, subject: Subject) -> list[int]:
    line = _up(tables, subject.account.id)
    groups = [group for owner in subject.owners for group in carriers.groups[owner]]
    named = (*(account.tariff_id for account in line), *(group.tariff_id for group in groups))
    tariffs = (tables.records.get(keys.tariff(tariff_id)) for tariff_id in dict.fromkeys(named))
    priced = [(tariff, in_force(tariff, subject.at_ms)) for tariff in tariffs if isinstance(tariff, Tariff)]
    held = (time_set for owner in subject.owners for time_set in carriers.time_sets.get(owner, ()))
    return turning_points(tables, priced, held, subject.at_ms)


def _subject(tables: SqlTables, carriers: Carriers, account_id: int, at_ms: int) -> Subject | None:
    """Return the account as a subject; None for one whose tariff has no prices then: rows tell of that."""
    line = _up(tables, account_id)
    tariffs = [tables.records.get(keys.tariff(account.tariff_id)) for account in line if account.tariff_id]
    chain = tuple(in_force(tariff, at_ms) if isinstance(tariff, Tariff) else 0 for tariff in tariffs)
    if not chain or not chain[0] or not isinstance(tariffs[0], Tariff):
        return None
    owners = tuple(account.id for account in line if account.id in carriers.groups)
    decks: dict[int, None] = {}
    for group in (group for owner in owners for group in carriers.groups[owner]):
        deck = tables.records.get(keys.tariff(group.tariff_id))
        if isinstance(deck, Tariff):
            decks[in_force(deck, at_ms)] = None
    return Subject(line[0], tariffs[0], at_ms, chain, tuple(set_id for set_id in decks if set_id), owners)


def _up(tables: SqlTables, account_id: int) -> list[Account]:
    """Return the account and those above it, the root last."""
    found: list[Account] = []
    while account_id and len(found) < 16:  # noqa: PLR2004  twice as deep as a tree may be
        account = tables.records.get(keys.account(account_id))
        if not isinstance(account, Account):
            break
        found.append(account)
        account_id = account.parent_id
    return found
