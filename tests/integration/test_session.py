"""A session: who acts, as whom, in one transaction, and what the database refuses in words."""

from __future__ import annotations

import getpass
import re
from contextlib import nullcontext
from typing import Final

import psycopg
import pytest

from tests.fix_postgres import Database
from tests.locks import held
from tools.errors import OperatorError
from tools.session import LOCK_WAIT, find_account, refusal, session

_UNBALANCED: Final = b"""
create function unbalanced() returns void language sql security definer as $$
  insert into tandem.ledger_entry(id, txn_id, account_id, book, currency, amount_micros, origin, note, actor)
  values (gen_random_uuid(), gen_random_uuid(), 1, 'cash', 'EUR', 5, 'pg', 'x', 'eve')
$$
"""


def _dsn(database: Database) -> str:
    return database.server.dsn(database.name, "tandem_tool")


TIE: Final = "trusted source 1 of subscriber 4: same network 127.0.2.1/32, transport 'udp' and From pattern ''"


@pytest.mark.parametrize(
    ("who", "name", "role"),
    [
        ("", "Tandem", "tandem_tool"),
        ("Tandem", "Tandem", "tandem_tool"),
        ("1", "Tandem", "tandem_tool"),
        ("North", "North", "tandem_tenant"),
        ("6", "Beta", "tandem_tenant"),
        ("North/Alpha", "Alpha", "tandem_tenant"),
        ("Tandem/North/Fjord/Beta", "Beta", "tandem_tenant"),
    ],
)
def test_an_account_acts_with_its_own_rights(demo_database: Database, who: str, name: str, role: str) -> None:
    with session(_dsn(demo_database), as_account=who, actor="eve") as acting:
        assert (acting.name, acting.is_root, acting.actor) == (name, role == "tandem_tool", "eve")
        query = "select current_user, tandem.acting_account_v1(), current_setting('tandem.actor')"
        assert acting.connection.execute(query).fetchall() == [(role, acting.account_id, "eve")]


def test_the_actor_is_by_default_who_is_logged_in(demo_database: Database) -> None:
    with session(_dsn(demo_database)) as acting:
        assert acting.actor == getpass.getuser()


def test_an_exception_undoes_everything_and_a_rollback_does_so_silently(demo_database: Database) -> None:
    contacts = b"select count(*) from tandem.contact"
    before = demo_database.one(contacts)
    for error in (psycopg.Rollback(), ValueError("x")):
        with pytest.raises(ValueError, match="x") if isinstance(error, ValueError) else nullcontext():  # noqa: SIM117
            with session(_dsn(demo_database)) as acting:
                acting.connection.execute("insert into tandem.contact(account_id, email) values (1, 'a@b')")
                raise error
        assert demo_database.one(contacts) == before
    with session(_dsn(demo_database)) as acting:
        acting.connection.execute("insert into tandem.contact(account_id, email) values (1, 'a@b')")
    assert demo_database.one(contacts) == before + 1


@pytest.mark.parametrize("who", ["Nobody", "99", "North/Nobody", "South/Alpha", "/", "9" * 40, "Alpha/"])
def test_an_account_that_is_not_there_does_not_exist(demo_database: Database, who: str) -> None:
    with (
        pytest.raises(OperatorError, match=f"^--as: '{who}' does not exist$"),
        session(_dsn(demo_database), as_account=who),
    ):
        pytest.fail("nobody acts")


def test_an_account_that_is_not_seen_does_not_exist_either(demo_database: Database) -> None:
    with session(_dsn(demo_database), as_account="North") as acting:
        for who in ("South", "3", "Tandem", "1", "Tandem/North", "Beta", "6"):
            with pytest.raises(OperatorError, match=f"^account: '{who}' does not exist$"):
                find_account(acting.connection, who)
        assert find_account(acting.connection, "North/Alpha").id == 5
        assert find_account(acting.connection, "North").parent == ""


def test_several_of_one_name_are_told_apart(demo_database: Database) -> None:
    for parent in (3, 2, 4):
        demo_database.run(
            "insert into tandem.account(parent_id, kind, name, tariff_id, currency)"
            " select a.id, 'customer', 'Twin', (select min(t.id) from tandem.tariff t where t.account_id = a.id), 'EUR'"
            " from tandem.account a where a.id = %s",
            parent,
        )
    with session(_dsn(demo_database)) as acting:
        ids = r"\d+ below South, \d+ below North, \d+ below Fjord"
        with pytest.raises(OperatorError, match=f"^account: several are called 'Twin', give the id or a path: {ids}$"):
            find_account(acting.connection, "Twin")
        assert find_account(acting.connection, "Fjord/Twin").parent == "Fjord"


def test_a_name_with_a_slash_is_found(demo_database: Database) -> None:
    """From before names had none; what begins with the name of an account is a path all the same."""
    with demo_database.connection.transaction():
        demo_database.run("set local session_replication_role = replica")
        demo_database.run("update tandem.account set name = 'A/B' where name = 'Alpha'")
    with session(_dsn(demo_database), as_account="A/B") as acting:
        assert acting.name == "A/B"
    with demo_database.connection.transaction():
        demo_database.run("set local session_replication_role = replica")
        demo_database.run("update tandem.account set name = 'South/Gamma' where name = 'A/B'")
    with session(_dsn(demo_database), as_account="South/Gamma") as acting:
        assert acting.name == "Gamma"


def test_an_empty_database_has_nobody_who_acts(database: Database) -> None:
    with (
        pytest.raises(OperatorError, match=r"^account: the database has no root yet; nobody can act$"),
        session(_dsn(database)),
    ):
        pytest.fail("nobody acts")


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "DATABASE_URL is not set"),
        ("nonsense://", "DATABASE_URL is no address of a database"),
        ("postgresql://postgres@/none?host=/nowhere", "DATABASE_URL leads to no database: "),
    ],
)
def test_an_address_without_a_database_is_said(url: str, sentence: str) -> None:
    with pytest.raises(OperatorError, match=f"^{sentence}"), session(url):
        pytest.fail("nobody acts")


@pytest.mark.parametrize(
    ("who", "statement", "sentence"),
    [
        ("", "insert into tandem.sip_domain(account_id, name) values (1, 'a.example')",
         "sip domain: not available; the rule is: domain name is free"),
        ("North", "insert into tandem.sip_domain(account_id, name) values (2, 'b.example')",
         "sip domain: not available; the rule is: domain name is free"),
        ("", "insert into tandem.contact(account_id, email) values (99, 'a@b')",
         "contact: what it names does not exist"),
        ("", "delete from tandem.contact where email = 'noc@north.example'",
         "refused: it is still in use by an account"),
        ("", "update tandem.contact set email = 'x'", "refused: email has one at"),
        ("", "insert into tandem.trusted_source(subscriber_id, network, transport) values (1, '127.0.2.1', 'udp')",
         f"trusted source of subscriber 1 ties with {TIE}"),
        ("North", "insert into tandem.contact(account_id, email) values (3, 'a@b')", "contact: not yours to change"),
        ("North", "select * from tandem.cdr", "cdr: not yours to change"),
        ("North", "select * from tandem.subscriber", "subscriber: not yours to change"),
        ("Alpha", "insert into tandem.sip_domain(account_id, name) values (5, 'z.example')",
         "domains: not granted to account 5 'Alpha'"),
        ("", "select 1/0", "division by zero"),
    ],
)  # fmt: skip
def test_what_the_database_refuses_is_a_sentence(
    demo_database: Database, who: str, statement: str, sentence: str
) -> None:
    with (
        pytest.raises(OperatorError, match=f"^{re.escape(sentence)}$"),
        session(_dsn(demo_database), as_account=who) as acting,
    ):
        acting.connection.execute(statement.encode())


def test_what_a_commit_refuses_is_a_sentence_too(demo_database: Database) -> None:
    """A transaction whose entries do not sum to zero is found out at its end."""
    demo_database.run(_UNBALANCED)
    with pytest.raises(OperatorError, match=r"^ledger transaction .* does not sum to zero"):
        _run(demo_database, b"select unbalanced()")


def _run(database: Database, statement: bytes) -> None:
    with session(_dsn(database)) as acting:
        acting.connection.execute(statement)


CHANGED_MEANWHILE: Final = "somebody else is changing what this is about; nothing is changed: run it again"


def test_who_waits_too_long_is_told_to_run_it_again(demo_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = b"update tandem.contact set name = 'x'"
    with session(_dsn(demo_database)) as acting:
        assert acting.connection.execute("show lock_timeout").fetchall() == [(LOCK_WAIT,)]
    monkeypatch.setattr("tools.session._BOUND_WAIT", "set local lock_timeout = '50ms'")
    with held(demo_database, rename), pytest.raises(OperatorError, match=f"^{CHANGED_MEANWHILE}$"):
        _run(demo_database, rename)


def test_who_is_in_a_deadlock_is_told_to_run_it_again() -> None:
    for is_root in (True, False):
        assert str(refusal(psycopg.errors.DeadlockDetected("deadlock detected"), is_root=is_root)) == CHANGED_MEANWHILE


def test_a_trigger_that_names_both_sides_tells_tenants_nothing() -> None:
    error = psycopg.errors.UniqueViolation("address belongs to server 2 of South")
    assert str(refusal(error, is_root=True)) == "address belongs to server 2 of South"
    assert str(refusal(error, is_root=False)) == "refused: not available"
