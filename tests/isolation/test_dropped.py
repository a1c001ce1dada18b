"""No policy is there for nothing, and none is too wide: each is dropped, and each is widened, and a check fails.

The checks are those of test_policies.py and test_roles.py, on the one table whose policy it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from psycopg import sql

from tests.fix_postgres import Database
from tests.isolation import judging
from tests.isolation.judging import TENANT, TOOL, Planted
from tests.isolation.roles import misdone
from tests.isolation.tables import TABLES

FIXED_WORLD_ONLY = True  # that there is somebody whom each policy is about is so in this world, and not in every one

_BY_NAME = {table.name: table for table in TABLES}
_NEEDS = {"ALL": "iud", "SELECT": "", "INSERT": "i", "UPDATE": "u", "DELETE": "d"}


class Policy(NamedTuple):
    """A row of pg_policies. using, check: its expressions; None where it has none."""

    table: str
    name: str
    permissive: bool
    roles: tuple[str, ...]
    command: str
    using: str | None
    check: str | None


def _policies(database: Database) -> list[Policy]:
    return [Policy(table, name, permissive == "PERMISSIVE", tuple(roles), command, using, check)
            for table, name, permissive, roles, command, using, check in database.run(
                "select tablename, policyname, permissive, roles::text[], cmd, qual, with_check from pg_policies"
                " where schemaname = 'tandem' order by 1, 2")]  # fmt: skip


def _differences(planted: Planted, policy: Policy) -> Iterator[str]:
    """Yield what no longer is as the oracle says, for those whom the policy is about."""
    table, needs = _BY_NAME[policy.table], _NEEDS[policy.command]
    for viewer in planted.viewers:
        if judging.role_of(viewer) in policy.roles:
            yield judging.misread(planted, viewer, table)
            yield from judging.miswritten(planted, viewer, table, needs)
            yield from judging.blind(planted, viewer, table)
    for role in policy.roles:
        if role not in (TENANT, TOOL):
            yield from misdone(planted, role, table)
    if TENANT in policy.roles:
        yield from judging.unanswered(planted, table)


def _survives(planted: Planted, policy: Policy, change: sql.Composed) -> bool:
    with planted.database.connection.transaction(force_rollback=True):
        planted.database.connection.execute(change)
        return not any(_differences(planted, policy))


def test_each_policy_is_needed(planted: Planted) -> None:
    """Without it somebody sees or changes too much or too little."""
    policies = _policies(planted.database)
    assert policies
    assert [policy for policy in policies if _survives(planted, policy, _drop(policy))] == []


def test_each_policy_is_narrow(planted: Planted) -> None:
    """With `true` in its place a tenant sees or changes too much."""
    policies = [policy for policy in _policies(planted.database)
                if TENANT in policy.roles and {policy.using, policy.check} - {"true", None}]  # fmt: skip
    assert policies
    assert [policy for policy in policies if _survives(planted, policy, _widen(policy))] == []


def _drop(policy: Policy) -> sql.Composed:
    return sql.SQL("drop policy {} on {}").format(sql.Identifier(policy.name), sql.Identifier("tandem", policy.table))


def _widen(policy: Policy) -> sql.Composed:
    using = sql.SQL(" using (true)") if policy.using is not None else sql.SQL("")
    check = sql.SQL(" with check (true)") if policy.check is not None else sql.SQL("")
    return sql.SQL("alter policy {} on {}{}{}").format(
        sql.Identifier(policy.name), sql.Identifier("tandem", policy.table), using, check
    )
