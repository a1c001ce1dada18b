"""Asks a database as some account or role, and says where it does not answer as the oracle does.

Rule 1: whatever is asked is undone; a world stays as it was planted.
Rule 2: what the rules allow must come out exactly as it does for the superuser; what they forbid must change nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.fix_postgres import Database
from tests.isolation import asking, oracle, tree
from tests.isolation.asking import KEY, Ask
from tests.isolation.oracle import Viewer, World
from tests.isolation.tables import TABLES, Table

HERE: Final = Path(__file__).parent
DONE: Final = "00000"
DENIED: Final = "42501"
TOOL, TENANT = "tandem_tool", "tandem_tenant"


class Outcome(NamedTuple):
    """What came of a statement: SQLSTATE, how many rows, their keys where it gives them, and the error's words."""

    state: str
    found: int
    keys: list[str] | None
    said: str | None


class Planted(NamedTuple):
    """A database with a random world in it.

    viewers: who is asked as, the root first. asks: by table; wanted: what comes of them with no policy and no trigger.
    """

    database: Database
    world: World
    viewers: tuple[Viewer, ...]
    asks: Mapping[str, list[Ask]]
    wanted: Mapping[str, list[Outcome]]

    def __repr__(self) -> str:
        """Return a few words: a failing test shows it."""
        return f"Planted({self.database.name}, viewers {[viewer.id for viewer in self.viewers]})"


def plant(database: Database, seed: int) -> Planted:
    """Make the world of this seed in an empty database. Raises psycopg errors."""
    plans = tree.grow(seed)
    database.run(
        "alter sequence tandem.account_id_seq restart with 70001"
    )  # no other number in an error looks like one
    ids = tree.plant(database, plans)
    tree.fill(database, seed, (HERE / "rows.sql").read_bytes())
    database.run((HERE / "probe.sql").read_bytes())
    chance = random.Random(seed)  # noqa: S311  repeatable choices, no secret
    world = asking.snapshot(database)
    spine = [ids[place] for place in (tree.RESELLER, tree.DEALER, tree.CUSTOMER, tree.STRANGER)]
    deepest = max(range(len(plans)), key=lambda place: plans[place].depth)
    viewers = dict.fromkeys([ids[tree.ROOT], *spine, ids[deepest]])
    asks = {table.name: asking.asks(world, table, spine, chance) for table in TABLES}
    with acting(database, "postgres", ids[tree.ROOT]):
        wanted = {table.name: run(database, [ask.text for ask in asks[table.name]]) for table in TABLES}
    return Planted(database, world, tuple(oracle.look(world, viewer) for viewer in viewers), asks, wanted)


@contextmanager
def acting(database: Database, role: str, account: int | None, *, triggers: bool = False) -> Iterator[None]:
    """Be this role in a transaction that leaves no trace. account: for whom it acts; None: nobody is said.

    triggers: off, so that only policies and grants answer: no foreign keys, no guards.
    """
    said = [] if triggers else ["set local session_replication_role = replica"]
    if account is not None:
        said.append(f"select tandem.act_as_v1({account:d}, 'oracle')")
    said.append(f"set local role {role}")
    with database.connection.transaction(force_rollback=True):
        database.run("; ".join(said).encode())  # at once: a test does this thousands of times
        yield


def run(database: Database, statements: Sequence[str]) -> list[Outcome]:
    """Return what comes of each statement alone, as the role that is set."""
    return [Outcome(*row) for row in database.run("select * from probe.run_all(%s)", list(statements))]


def role_of(viewer: Viewer) -> str:
    """Return the role that acts for an account."""
    return TOOL if viewer.is_root else TENANT


def misread(planted: Planted, viewer: Viewer, table: Table) -> str:
    """Say in which way a viewer does not read exactly the rows that it may; "" when it does."""
    with acting(planted.database, role_of(viewer), viewer.id):
        (outcome,) = run(planted.database, [asking.reading(table)])
    rows = planted.world.rows[table.name]
    expected = {row[KEY] for row in rows if viewer.is_root or oracle.sees(viewer, table.name, row)}
    if outcome.state == DENIED and not expected:
        return ""
    if outcome.state != DONE:
        return f"account {viewer.id} reads {table.name}: {outcome.said}"
    return differing(f"account {viewer.id} reads {table.name}", expected, set(outcome.keys or []))


def blind(planted: Planted, viewer: Viewer, table: Table) -> Iterator[str]:
    """Yield how a statement without any condition changes other rows than those that the viewer may change."""
    texts = asking.blindly(table)
    with acting(planted.database, "postgres", None):
        wanted = run(planted.database, [*texts.values()])
    with acting(planted.database, role_of(viewer), viewer.id):
        outcomes = run(planted.database, [*texts.values()])
    for (need, text), best, outcome in zip(texts.items(), wanted, outcomes, strict=True):
        expected = _changed_blindly(planted, viewer, table, need)
        if best.state == DONE and outcome[:2] != (DONE, expected) and (expected or outcome.state != DENIED):
            yield f"account {viewer.id} may change {expected} rows: {outcome}: {text}"


def _changed_blindly(planted: Planted, viewer: Viewer, table: Table, need: str) -> int:
    """Return how many rows; 0 also where one of them could be touched and not be made what is wanted."""
    rows = planted.world.rows[table.name]
    if need not in table.verbs:
        return 0
    if viewer.is_root:
        return len(rows)
    if need == "d":
        return sum(oracle.removes(viewer, table.name, row) for row in rows)
    column, value = table.other
    touched = [row for row in rows if oracle.changes(viewer, table.name, row, row)]
    is_refused = any(not oracle.changes(viewer, table.name, row, row | {column: value}) for row in touched)
    return 0 if is_refused else len(touched)


def unanswered(planted: Planted, table: Table) -> Iterator[str]:
    """Yield each statement by which a tenant without an acting account gets an answer about rows that are there."""
    texts = [asking.reading(table), *(ask.text for ask in planted.asks[table.name])]
    with acting(planted.database, TENANT, None):
        outcomes = run(planted.database, texts)
    for text, outcome in zip(texts, outcomes, strict=True):
        if outcome.state != DENIED:
            yield f"for nobody: {outcome}: {text}"


def differing(what: str, expected: set[str], found: set[str]) -> str:
    """Return the sentence of two sets that should be one; "" when they are."""
    if expected == found:
        return ""
    return f"{what}: too many {sorted(found - expected)}, missing {sorted(expected - found)}"


def miswritten(planted: Planted, viewer: Viewer, table: Table, needs: str = "iud") -> Iterator[str]:
    """Yield each statement that does not do what it may. needs: only statements that take one of these verbs."""
    asked = zip(planted.asks[table.name], planted.wanted[table.name], strict=True)
    chosen = [pair for pair in asked if set(pair[0].needs) & set(needs)]
    with acting(planted.database, role_of(viewer), viewer.id):
        outcomes = run(planted.database, [ask.text for ask, _ in chosen])
    for (ask, best), outcome in zip(chosen, outcomes, strict=True):
        allowed = ask.is_allowed(viewer, table)
        if not _is_right(outcome, best, allowed=allowed):
            meant = "may" if allowed else "may not"
            yield f"account {viewer.id} {meant} {ask.verb}: {outcome}: {ask.text}"


def _is_right(outcome: Outcome, best: Outcome, *, allowed: bool) -> bool:
    if allowed:
        return (outcome.state, outcome.found) == (best.state, best.found)
    return outcome.state == DENIED or (outcome.state == DONE and outcome.found == 0)
