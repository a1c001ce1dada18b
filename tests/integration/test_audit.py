"""`tandem audit`: every change, for ever, to those who may know of it; who did it as far as they are seen too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from tests.file_world import FileWorld
from tests.fix_postgres import SCHEMA, Database, PostgresServer
from tests.operator_world import OperatorWorld

ROLES: Final = ("postgres", "tandem_owner", "tandem_tool", "tandem_tenant", "tandem_settle", "tandem_sync")


@pytest.fixture(scope="module")
def world(postgres_server: PostgresServer) -> Iterator[OperatorWorld]:
    """Make one world whose history nobody can change, so that all tests may share it."""
    with postgres_server.clone(SCHEMA) as database:
        made = OperatorWorld(database)
        made.grow()
        made.furnish("Fjord", "Gamma", "f", 4)
        made.run("account", "grant", "Fjord", "money", "--as", "North", "--actor", "nora")
        made.run("account", "limit", "Gamma", "--channels", "7", "--as", "Fjord", "--actor", "finn")
        made.run("account", "limit", "Fjord", "--cps", "3", "--as", "North", "--actor", "nora")
        made.run("account", "limit", "Fjord", "--cps", "4", "--actor", "rita")
        made.run("account", "limit", "Alpha", "--channels", "2", "--as", "North", "--actor", "nora")
        yield made


def changes(world: OperatorWorld, *words: str) -> list[dict[str, Any]]:
    """Return the changes that a look shows, newest first."""
    found: list[dict[str, Any]] = world.json("audit", *words)["changes"]
    return found


def test_a_change_says_who_what_when_before_and_after(world: OperatorWorld) -> None:
    change = changes(world, "--account", "Alpha", "--table", "fund")[0]
    alpha = world.id_of("Alpha")
    assert change["at"].startswith("20")
    assert change["before"].pop("channels_max") == 0
    assert change["after"].pop("channels_max") == 2
    assert change["before"] == change["after"]
    assert {name: change[name] for name in ("actor", "account", "name", "table", "key", "action", "changed")} == {
        "actor": "nora",
        "account": alpha,
        "name": "Alpha",
        "table": "fund",
        "key": f"{alpha}/EUR",
        "action": "update",
        "changed": ["channels_max"],
    }


def test_a_change_in_words(world: OperatorWorld) -> None:
    said = world.run("audit", "--account", "Fjord")
    assert "cps_max: 3 → 4" in said
    assert "insert" in said
    assert "rita" in said


def test_a_secret_is_named_and_not_shown(world: OperatorWorld) -> None:
    world.database.run("update tandem.subscriber set ha1_md5 = repeat('a', 32) where username = 'gil'")
    said = world.run("audit", "--table", "subscriber", "--limit", "1")
    assert "password set" in said
    assert "at (UTC)" in said
    username, domain, key = world.database.run(
        "select s.username, d.name, s.id from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id"
        " where s.username = 'gil'"
    )[0]
    assert f"subscriber {username}@{domain} ({key})" in said
    assert "aaaaaaaa" not in world.run("audit", "--table", "subscriber", "--json")


def test_who_sees_whose_changes(world: OperatorWorld) -> None:
    """Its own, and its children's; not those of theirs, nor above, nor beside."""
    seen = {
        name: {each["name"] for each in changes(world, "--as", name)} for name in ("North", "Fjord", "Gamma", "South")
    }
    assert seen == {
        "North": {"North", "Alpha", "Beta", "Fjord"},
        "Fjord": {"Fjord", "Gamma"},
        "Gamma": {"Gamma"},
        "South": {"South"},
    }
    everybody = {each["name"] for each in changes(world, "--limit", "1000")}
    assert everybody == {"Tandem", "North", "Alpha", "Beta", "Fjord", "Gamma", "South"}


def test_who_did_it_is_told_to_those_who_see_whom_they_acted_for(world: OperatorWorld) -> None:
    def actors(name: str) -> list[str]:
        return [each["actor"] for each in changes(world, "--account", "Fjord", "--table", "fund", "--as", name)][:2]

    assert actors("Tandem") == ["rita", "nora"]
    told = [each["acting_name"] for each in changes(world, "--account", "Fjord", "--table", "fund")][:2]
    assert told == ["Tandem", "North"]
    own = changes(world, "--account", "Fjord", "--table", "fund", "--as", "North")[:2]
    assert [(each["acting"], each["acting_name"], each["acting_path"]) for each in own] == [
        (None, "", ""), (world.id_of("North"), "North", "North"),
    ]  # fmt: skip
    assert {each["acting_path"] for each in changes(world, "--account", "Gamma", "--as", "Gamma")} == {""}
    told = [each["acting_path"] for each in changes(world, "--account", "Fjord", "--table", "fund")][:2]
    assert told == ["Tandem", "Tandem/North"]
    assert " for " in world.run("audit", "--account", "Fjord", "--table", "fund", "--as", "North").splitlines()[0]
    assert actors("North") == ["", "nora"]
    assert actors("Fjord") == ["", ""]
    assert [each["actor"] for each in changes(world, "--table", "fund", "--as", "Gamma", "--limit", "1")] == [""]
    assert changes(world, "--account", "Gamma", "--table", "fund", "--as", "Fjord")[0]["actor"] == "finn"
    assert changes(world, "--by", "rita", "--as", "North") == []
    assert {each["actor"] for each in changes(world, "--by", "nora", "--as", "North")} == {"nora"}


def test_a_threshold_that_locked_is_named_to_everybody(database: Database) -> None:
    own = OperatorWorld(database)
    own.run("account", "threshold", "add", "Alpha", "balance", "1", "--lock", "outgoing")
    own.run("account", "debit", "Alpha", "19.5", "--note", "fee")
    change = changes(own, "--as", "Alpha", "--table", "account")[0]
    assert (change["actor"][:10], change["changed"]) == ("threshold ", ["lock", "lock_note"])
    own.run("account", "lock", "Alpha", "all", "--note", "fraud")
    assert changes(own, "--as", "Alpha", "--table", "account")[0]["actor"] == ""


def test_rows_without_a_name_are_told_by_what_tells_them_apart(demo_database: Database, tmp_path: Path) -> None:
    """And new ones by what they say: whose they are and where calls go."""
    demo_database.run("select world.user('Eva', 'Alpha'), world.forward('user:Eva', 'busy', 'number:4420')")
    demo_database.run("select world.callflow('Main', 'Alpha', 'ring alice@a.example', 'reject 480')")
    demo_database.run("select world.ring_group('Sales', 'Alpha', 'serial', '{user:Eva}')")
    demo_database.run(
        "select world.extension('200', 'Alpha', 'group:Sales'), world.place('alice@a.example', '127.0.6.1')"
    )
    told = FileWorld(demo_database, tmp_path).run("audit", "--limit", "9")
    line, user, group = ((f"#{demo_database.one(query)}") for query in (
        b"select world.subscriber_id('alice@a.example')", b"select world.named('user', 'Eva')",
        b"select world.named('ring_group', 'Sales')",
    ))  # fmt: skip
    said = {tuple(part.strip() for part in row.split("  ") if part.strip())[-3:] for row in told.splitlines()}
    assert {
        ("forward busy/1 (1)", "insert", f"user: {user}; to_e164: 4420"),
        ("callflow_step 1/ring (1)", "insert", f"callflow: #1; subscriber: {line}"),
        ("callflow_step 2/reject (2)", "insert", "callflow: #1; status: 480"),
        ("ring_group_member 1", "insert", f"ring_group: {group}; user: {user}"),
        ("extension 200 (1)", "insert", f"ring_group: {group}"),
        ("trunk_place 127.0.6.1/udp (1)", "insert", f"subscriber: {line}; weight: 1"),
    } <= said, told


def test_pages_go_on_where_they_ended(world: OperatorWorld) -> None:
    every = [each["id"] for each in changes(world, "--limit", "1000")]
    assert every == sorted(every, reverse=True)
    first = world.json("audit", "--limit", "3")
    second = world.json("audit", "--limit", "3", "--before", str(first["before"]))
    assert [each["id"] for each in first["changes"] + second["changes"]] == every[:6]
    assert world.json("audit", "--limit", "1000")["before"] is None
    assert f"older ones: --before {every[0]}" in world.run("audit", "--limit", "1")


def test_a_time_an_account_and_a_row_are_chosen(world: OperatorWorld) -> None:
    assert changes(world, "--since", "2099-01-01") == []
    assert changes(world, "--until", "2001-01-01") == []
    assert changes(world, "--since", "2001-01-01T00:00", "--until", "2099-01-01") != []
    fjord = world.id_of("Fjord")
    assert {each["name"] for each in changes(world, "--account", "Fjord", "--subtree")} == {"Fjord", "Gamma"}
    assert {each["key"] for each in changes(world, "--table", "account", "--key", str(fjord))} == {str(fjord)}


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--account", "Nobody"), "account: 'Nobody' does not exist"),
        (("--account", "Gamma", "--as", "North"), "account: 'Gamma' does not exist"),
        (("--since", "last year"), "since: 'last year' is not a date such as 2026-11-01"),
        (("--since", ""), "since: '' is not a date such as 2026-11-01"),
        (("--until", ""), "until: '' is not a date"),
        (("--until", "x"), "until: 'x' is not a date"),
        (("--since", "2026-11-02", "--until", "2026-11-01"), "until: 2026-11-01 is not after --since 2026-11-02"),
        (("--table", "ledger_entry"), "table: 'ledger_entry' is not one of account, account_grant, "),
        (("--key", "5"), "key: is a key of which table? say --table"),
        (("--as", "Nobody"), "--as: 'Nobody' does not exist"),
    ],
)
def test_what_cannot_be_asked(world: OperatorWorld, words: tuple[str, ...], sentence: str) -> None:
    assert sentence in world.refused("audit", *words)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "statement",
    [
        b"update tandem.audit set actor = 'x'",
        b"update tandem.audit set actor = actor where false",
        b"delete from tandem.audit",
        b"truncate tandem.audit",
        b"truncate tandem.audit cascade",
        b"insert into tandem.audit(actor, table_name, key, action) values ('x', 'fund', '1', 'update')",
        b"with gone as (delete from tandem.audit returning *) select count(*) from gone",
        b"merge into tandem.audit a using (values (1)) as v(id) on a.id = v.id when matched then delete",
    ],
)
def test_nobody_changes_the_audit(world: OperatorWorld, role: str, statement: bytes) -> None:
    """No role that a tool has may write it; its owner and a superuser meet the trigger, also without other triggers."""
    database = world.database
    before = database.run("select * from tandem.audit order by id")
    for replica in (False,) if statement.startswith(b"insert") else (False, True):
        with database.connection.transaction(force_rollback=True):
            database.run("select tandem.act_as_v1(%s, 'eve')", world.id_of("North"))
            if replica:
                database.run("set local session_replication_role = replica")
            database.run(b"set local role " + role.encode())
            with pytest.raises(psycopg.Error) as error:
                database.run(statement)
        assert error.value.sqlstate in {"42501", "23514"}, error.value
    assert database.run("select * from tandem.audit order by id") == before
