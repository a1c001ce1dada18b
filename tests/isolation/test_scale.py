"""A hundred thousand accounts: what lists, shows and changes ask is found by indexes, below every policy.

Nothing here asserts a time; times are printed (pytest -s). What is asserted is what Postgres read: a plan that reads a
whole table, or throws most of what it reads away, fails, however fast it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, LiteralString, NamedTuple

import pytest

from tests.fix_postgres import SCHEMA, Database, PostgresServer
from tests.isolation.commands import Commands
from tests.isolation.judging import HERE, TENANT, TOOL
from tests.isolation.plans import Plan, explain, wasteful, watched, whole


class Asker(NamedTuple):
    """An account of the large world. line: one of the accounts with a line that it sees."""

    name: str
    account: int
    role: str
    line: int


# The reseller sees 100 accounts, the customer itself; the root all, by its role.
ASKERS: Final = (
    Asker("root", 1, TOOL, 2999),
    Asker("reseller", 1001, TENANT, 2999),
    Asker("customer", 2999, TENANT, 2999),
)
# Sees nine tenths of all accounts: whatever is asked, its policies begin with 90,000 ids.
WIDE: Final = Asker("wide", 2, TENANT, 2999)

# Rows that have a name, of one account and those above it; 901 of the wide asker's accounts have them.
NAMED_MAX: Final = 20

QUERIES: Final[dict[str, LiteralString]] = {
    "list accounts": "select id, name from tandem.account where parent_id is not null order by id limit 100",
    "list accounts by name": "select id, name from tandem.account where name ^@ 'Account 29' order by id limit 100",
    "list the accounts of one": "select id, name from tandem.account where parent_id = {account} order by id limit 100",
    "list lines": "select id, username from tandem.subscriber where account_id is not null order by id limit 100",
    "list the lines of one": "select id, username from tandem.subscriber where account_id = {line} order by id",
    "list numbers by digits": "select id, e164 from tandem.number where e164::text ^@ '44200000299' order by id",
    "list contacts": "select id, email from tandem.contact where account_id is not null order by id limit 100",
    "list trusted sources": "select t.id, t.network from tandem.trusted_source t join tandem.subscriber s"
                            " on s.id = t.subscriber_id order by t.id limit 100",
    "list tariffs": "select id, name from tandem.tariff where account_id is not null order by id limit 100",
    "list domains": "select id, name from tandem.sip_domain where account_id is not null order by id limit 100",
    "list rewrite sets": "select id, name from tandem.rewrite_set order by id limit 100",
    "list barring levels": "select id, name from tandem.barring_level order by id limit 100",
    "list thresholds": "select id, kind from tandem.threshold order by id limit 100",
    "show an account": "select name, status from tandem.account where id = {line}",
    "show an account by name": "select id, status from tandem.account where name = 'Account {line}'",
    "show a line": "select s.id from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id"
                   " where s.username = 'u{line}' and s.account_id = {line}",
    "show a number": "select id, account_id from tandem.number where e164::text = '44200000{line}'",
    "show balances": "select b.account_id, b.balance_micros from tandem.fund_balance b where b.account_id = {line}",
    "show an audit": "select id, table_name from tandem.audit where account_id = {line} order by at",
    "list alerts": "select id from tandem.alert where account_id = {line} order by at",
    "list entries": "select id from tandem.ledger_entry where account_id = {line} order by posted_at",
    "show spend": "select spent_micros from tandem.fund_window where account_id = {line} and currency = 'EUR'",
    "show prices": "select r.prefix, c.per_min_micros from tandem.rate r join tandem.rate_class c"
                   " on c.rate_set_id = r.rate_set_id and c.idx = r.class_idx join tandem.tariff t"
                   " on t.rate_set_id = r.rate_set_id join tandem.account a on a.tariff_id = t.id where a.id = {line}",
    "apply reads lines": "select id from tandem.subscriber where account_id = any (array[{line}, {account}])",
    "apply reads money": "select currency from tandem.fund where account_id = any (array[{line}, {account}])",
    "apply changes a line": "update tandem.subscriber set clir = true where id = {line}",
    "apply changes a contact": "update tandem.contact set name = 'new' where id = {line}",
    "apply adds a contact": "insert into tandem.contact(account_id, email) values ({line}, 'n@a.example') returning id",
    "apply removes a source": "delete from tandem.trusted_source where subscriber_id = {line}",
}  # fmt: skip


COMMANDS: Final = (
    "account list",
    "account show {line}",
    "subscriber list",
    "subscriber list --account {line}",
    "subscriber show #{line}",
    "number list 44200000299",
    "contact list",
    "contact show #{line}",
    "contact set #{line} --phone 442079460000",
    "tariff list",
    "domain list",
    "trusted list",
    "barring list",
    "rewrite-set list",
    "export {line}",
    "apply {file} --dry-run",
)


@pytest.fixture(scope="module")
def large(postgres_server: PostgresServer) -> Iterator[Database]:
    """Yield a database of 100,000 accounts, with statistics, as one that has been in use."""
    with postgres_server.clone(SCHEMA) as made:
        with made.connection.transaction():
            made.run((HERE / "scale.sql").read_bytes())
        made.run("vacuum (analyze)")  # as autovacuum does: else each id that is seen is looked up in its table, too
        yield made


def _plans(database: Database, asker: Asker) -> Iterator[tuple[str, Plan]]:
    for name, template in QUERIES.items():
        query = template.format(account=asker.account, line=asker.line)
        yield name, explain(database, asker.role, asker.account, query)


@pytest.mark.parametrize("asker", ASKERS, ids=[asker.name for asker in ASKERS])
def test_indexes_are_used(large: Database, asker: Asker) -> None:
    """No list, no show and no change reads more of a table than it has to do with."""
    faults = []
    for name, plan in _plans(large, asker):
        _print(asker, name, plan.took_ms)
        faults += [f"{name}: {fault}" for fault in wasteful(plan)]
    assert faults == []


def test_a_wide_view(large: Database) -> None:
    """Who sees nine tenths of all accounts is answered by indexes, too: no statement reads a large table whole."""
    faults = []
    for name, plan in _plans(large, WIDE):
        _print(WIDE, name, plan.took_ms)
        faults += [f"{name}: {said}" for said in whole(plan)]
    assert faults == []


@pytest.mark.parametrize("asker", ASKERS, ids=[asker.name for asker in ASKERS])
def test_commands_use_indexes(large: Database, asker: Asker, tmp_path: Path) -> None:
    """Nor does any statement of the commands, functions and triggers among them."""
    commands = Commands(large)
    faults = []
    described = tmp_path / "account.yaml"
    described.write_text(commands.run(f"export {asker.line} --as {asker.account}"))
    for template in COMMANDS:
        line = template.format(account=asker.account, line=asker.line, file=described)
        with watched(large) as plans:
            commands.run(f"{line} --as {asker.account}")
        _print(asker, template, sum(plan.took_ms for plan in plans))
        assert plans
        faults += [f"{line}: {fault}" for plan in plans for fault in wasteful(plan)]
    assert faults == []


def test_commands_of_a_wide_view(large: Database, tmp_path: Path) -> None:
    """Nor do commands of who sees nine tenths; names are looked for among those of the account and above it first."""
    commands = Commands(large)
    faults = []
    described = tmp_path / "account.yaml"
    described.write_text(commands.run(f"export {WIDE.line} --as {WIDE.account}"))
    for template in COMMANDS:
        line = template.format(account=WIDE.account, line=WIDE.line, file=described)
        with watched(large) as plans:
            commands.run(f"{line} --as {WIDE.account}")
        _print(WIDE, template, sum(plan.took_ms for plan in plans))
        faults += [f"{line}: {said}" for plan in plans for said in whole(plan)]
        if template.startswith("apply"):
            lent = [plan for plan in plans if {"rewrite_set", "barring_level"} & set(map(_table, plan.nodes))]
            assert lent
            faults += [f"{line}: {plan.query[:200]}" for plan in lent if _rows_of(plan) > NAMED_MAX]
    assert faults == []


def _table(node: dict[str, Any]) -> str:
    return str(node.get("Relation Name", ""))


def _rows_of(plan: Plan) -> float:
    """Return how many rewrite sets and barring levels a statement looks at."""
    found = [node for node in plan.nodes if _table(node) in {"rewrite_set", "barring_level"}]
    return float(sum(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
                     for node in found))  # fmt: skip


def _print(asker: Asker, what: str, took_ms: float) -> None:
    print(f"{asker.name:>10}: {what:<40} {took_ms:8.1f} ms")  # noqa: T201  the times are what one wants to see
