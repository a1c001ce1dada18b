"""Every change of configuration leaves who, when, before and after; secrets stay out."""

from __future__ import annotations

from tests.fix_postgres import Database

# Loaded in bulk and immutable afterwards: the change of their set to ready is what is audited.
UNAUDITED = {"rate", "rate_class", "rate_period", "rate_class_period", "rate_field"}
WRITTEN_BY_OTHERS = {"currency", "import_file"}  # by migrations, and by functions that ask first


def test_every_configured_table_is_audited(demo: Database) -> None:
    """What the tool's role may write has triggers for every kind of change."""
    writable = {
        table
        for (table,) in demo.run(
            "select relname from pg_class where relnamespace = 'tandem'::regnamespace and relkind = 'r'"
            " and has_table_privilege('tandem_tool', oid, 'INSERT')"
        )
    }
    audited: dict[str, set[str]] = {}
    for table, trigger in demo.run(
        "select c.relname, t.tgname from pg_trigger t join pg_class c on c.oid = t.tgrelid"
        " where t.tgname like 'audit\\_%'"
    ):
        audited.setdefault(table, set()).add(trigger)
    assert writable - UNAUDITED == audited.keys() - WRITTEN_BY_OTHERS
    assert all(
        triggers == {"audit_insert", "audit_update", "audit_delete", "audit_truncate"} for triggers in audited.values()
    )


def _last(database: Database, table: str) -> tuple[object, ...]:
    return database.run(
        "select actor, acting_account_id, account_id, key, action, changed from tandem.audit"
        " where table_name = %s order by id desc limit 1",
        table,
    )[0]


def test_who_did_what(demo_database: Database) -> None:
    """An update names the actor, the account acted for, the owner of the row and the changed columns."""
    with demo_database.connection.transaction():
        demo_database.run("select tandem.act_as_v1(2, 'ann')")
        demo_database.run("update tandem.subscriber set status = 'suspended' where username = 'alice'")
    assert _last(demo_database, "subscriber") == ("ann", 2, 5, "1", "update", ["status"])
    before, after = demo_database.run(
        "select before ->> 'status', after ->> 'status' from tandem.audit order by id desc"
    )[0]
    assert (before, after) == ("active", "suspended")


def test_rows_of_another_owner(demo: Database) -> None:
    """A row without an account of its own belongs to that of its parent row; without an actor it is the user."""
    demo.run("update tandem.rewrite_rule set priority = 77 where id = 1")
    assert _last(demo, "rewrite_rule") == ("postgres", None, 2, "1", "update", ["priority"])


def test_insert_and_delete(demo: Database) -> None:
    """A new row has no before, a deleted one no after."""
    demo.run("select world.did('442079460009', 'alice@a.example')")
    demo.run("delete from tandem.number where e164 = '442079460009'")
    assert demo.run(
        "select action, before ->> 'e164', after ->> 'e164' from tandem.audit"
        " where table_name = 'number' order by id desc limit 2"
    ) == [("delete", "442079460009", None), ("insert", None, "442079460009")]


def test_secrets_stay_out(demo: Database) -> None:
    """A changed password is seen as changed; neither the old nor the new hash is stored."""
    demo.run("update tandem.subscriber set ha1_md5 = repeat('0', 32) where username = 'alice'")
    assert _last(demo, "subscriber")[-1] == ["ha1_md5"]
    demo.run("select world.peer_option('acme/acme', 'login', 'tandem:acme.example:secret')")
    assert _last(demo, "peering_server")[-1] == ["login_ha1", "login_realm", "login_username"]
    assert demo.one("select count(*) from tandem.audit where before::text ~ 'ha1' or after::text ~ 'ha1'") == 0


def test_nothing_changed(demo: Database) -> None:
    """An update that changes no value leaves no row."""
    before = demo.one("select count(*) from tandem.audit")
    demo.run("update tandem.subscriber set status = status")
    assert demo.one("select count(*) from tandem.audit") == before


def test_changed_key(demo: Database) -> None:
    """A row whose key changes is seen as one deleted and one made."""
    demo.run("insert into tandem.reply_override(account_id, reason, status, phrase) values (2, 'credit', 402, 'x')")
    demo.run("update tandem.reply_override set account_id = 3")
    assert set(demo.run("select key, action from tandem.audit where table_name = 'reply_override'")) == {
        ("2/credit", "insert"),
        ("2/credit", "delete"),
        ("3/credit", "insert"),
    }


def test_truncate(demo: Database) -> None:
    """A truncated table says so."""
    demo.run("truncate tandem.trusted_source")
    assert _last(demo, "trusted_source")[-3:] == ("*", "truncate", [])
