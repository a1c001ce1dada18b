"""What the catalogue says about isolation: every table in one class, every policy, grant and function meant.

What the policies do, and that none of them can go, is proven row by row in tests/isolation.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import pytest

from tests.fix_postgres import Database


class Class(NamedTuple):
    """Tables that tandem_tenant treats alike. verbs: what it may do, a row policy permitting."""

    verbs: frozenset[str]
    tables: frozenset[str]


def _class(verbs: str, *tables: str) -> Class:
    return Class(frozenset(verbs.split()), frozenset(name for part in tables for name in part.split()))


_CLASSES: Final = {
    "nothing of it is a tenant's": _class(
        "",
        "migration outbox sync_applied sync_state generation epoch node posting recovery recovery_step",
        "event_poison event_dropped ledger_unbalanced rate_set_unused ported_number emergency_route noc_measure",
    ),
    "told by functions only": _class("", "visibility account_move account_hold cdr cdr_attempt"),
    "said to everybody": _class("SELECT", "currency exchange_rate destination horizon"),
    "kept by triggers and by settlement": _class(
        "SELECT",
        "fund_credit fund_charge fund_calendar fund_window fund_loss threshold_state alert ledger_entry cdr_leg audit",
        "carrier_owed carrier_state server_quality server_calls peering_server_address peering_server_lookup",
        "import_file import_change",
    ),
    "never deleted": _class("SELECT INSERT UPDATE", "account fund peering_group"),
    "given and taken": _class("SELECT INSERT DELETE", "account_grant"),
    "configured": _class(
        "SELECT INSERT UPDATE DELETE",
        "contact number sip_domain subscriber trusted_source reply_override threshold",
        "rewrite_set rewrite_rule time_set time_set_span time_set_day barring_level barring_rule",
        "tariff tariff_deck rate_set rate rate_class rate_period rate_class_period rate_field",
        "peering_server peering_rule inbound_rule hunt_rule",
        "user ring_group ring_group_member media_server callflow callflow_step extension forward trunk_place",
    ),
}
_VERB_OF_POLICY: Final = {"sees": "SELECT", "adds": "INSERT", "changes": "UPDATE", "removes": "DELETE"}
_HIDDEN_COLUMNS: Final = {
    ("subscriber", "ha1_md5"),
    ("subscriber", "ha1_sha256"),
    ("peering_server", "login_ha1"),
    ("audit", "actor"),
    ("audit", "acting_account_id"),
    ("ledger_entry", "actor"),
    ("ledger_entry", "acting_account_id"),
}
# Functions with their owner's rights that a tenant may call: each asks by itself what the acting account sees and may.
_DEFINERS_FOR_TENANTS: Final = {
    "visible_ids_v1", "opened_ids", "above_ids", "lent_ids", "own_tariff_id", "sees_line",
    "acting_sees", "acting_saw", "is_window_since", "lent_carriers", "audit_actor", "audit_acting",
    "ledger_actor", "known_since", "names_carrier",
    "acting_may", "demand", "is_platform", "is_password_v1", "has_password",
    "move_v1", "topup_v1", "reverse_v1", "pay_carrier_v1", "lock_v1", "set_rates_v1", "edit_rate_set_v1",
    "move_account_v1", "suspend_account_v1", "resume_account_v1", "close_account_v1", "remove_account_v1",
    "stage_rates_v1", "gather_rates_v1", "diff_rates_v1", "build_rates_v1", "switch_rates_v1", "undo_rates_v1",
    "stage_changes_v1", "keep_changes_v1", "end_import_v1", "return_rows_v1", "call_began_since",
    "calls_v1", "tries_v1",
}  # fmt: skip


def test_every_table_is_in_one_class(demo: Database) -> None:
    """A new table is somebody's, and whose is said here."""
    named = sorted(table for each in _CLASSES.values() for table in each.tables)
    assert named == [name for (name,) in demo.run(
        "select relname::text from pg_class where relnamespace = 'tandem'::regnamespace and relkind in ('r', 'p')"
        " order by relname")]  # fmt: skip


def test_no_tenant_gives_a_key(demo: Database) -> None:
    """A generated key is nobody's to choose, nor to change; every other column of these tables is granted.

    A migration that adds a column to one of them calls tandem.no_own_keys() afterwards.
    """
    wrong = demo.run(
        "select c.relname::text, a.attname::text, v, a.attidentity <> ''"
        " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped,"
        " unnest(array['INSERT', 'UPDATE']) as v"
        " where c.relnamespace = 'tandem'::regnamespace and c.relkind in ('r', 'p')"
        " and has_any_column_privilege('tandem_tenant', c.oid, v)"
        " and has_column_privilege('tandem_tenant', c.oid, a.attnum, v) = (a.attidentity <> '')"
    )
    assert wrong == []


def test_row_security_is_forced_everywhere(demo: Database) -> None:
    """On the owner too: a function that runs as its owner passes by a policy that says so, not by there being none."""
    assert demo.run(
        "select relname from pg_class where relnamespace = 'tandem'::regnamespace and relkind in ('r', 'p')"
        " and not (relrowsecurity and relforcerowsecurity)"
    ) == []  # fmt: skip


@pytest.mark.parametrize("name", _CLASSES)
def test_grants_and_policies_of_a_class(demo: Database, name: str) -> None:
    """A tenant has a policy for each verb that it was granted, and no other; the platform has one for all."""
    chosen = _CLASSES[name]
    for table in chosen.tables:
        assert _granted(demo, table) == chosen.verbs, table
        assert set(_policies(demo, table)) == _expected_policies(chosen.verbs), table


def _granted(database: Database, table: str) -> set[str]:
    return {verb for (verb,) in database.run(
        "select v from unnest(%s::text[]) as v where has_table_privilege('tandem_tenant', %s, v)"
        " or v in ('SELECT', 'INSERT', 'UPDATE') and has_any_column_privilege('tandem_tenant', %s, v)",
        ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"],
        f"tandem.{table}", f"tandem.{table}")}  # fmt: skip


def _policies(database: Database, table: str) -> list[tuple[str, str, str, str]]:
    return [(name, permissive, " ".join(roles), command) for name, permissive, roles, command in database.run(
        "select policyname::text, permissive, roles::text[], cmd from pg_policies"
        " where schemaname = 'tandem' and tablename = %s", table)]  # fmt: skip


def _expected_policies(verbs: frozenset[str]) -> set[tuple[str, str, str, str]]:
    tenants = {(name, "PERMISSIVE", "tandem_tenant", verb) for name, verb in _VERB_OF_POLICY.items() if verb in verbs}
    return tenants | {("platform", "PERMISSIVE", "tandem_owner tandem_tool", "ALL")}


def test_what_a_tenant_never_reads(demo: Database) -> None:
    """Every column of a table that it reads is granted, but secrets, and who acted."""
    columns = demo.run(
        "select c.relname::text, a.attname::text from pg_class c join pg_attribute a on a.attrelid = c.oid"
        " where c.relnamespace = 'tandem'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped"
        " and has_any_column_privilege('tandem_tenant', c.oid, 'SELECT')"
        " and not has_column_privilege('tandem_tenant', c.oid, a.attnum, 'SELECT')"
    )
    assert set(columns) == _HIDDEN_COLUMNS


def test_a_tenant_writes_no_more_than_an_operator(demo: Database) -> None:
    """No table, no verb, no column is granted to tandem_tenant that tandem_tool has not."""
    assert demo.run(
        "select c.relname, a.attname, v from pg_class c join pg_attribute a on a.attrelid = c.oid,"
        " unnest(array['SELECT', 'INSERT', 'UPDATE']) as v"
        " where c.relnamespace in ('tandem'::regnamespace, 'sync'::regnamespace) and c.relkind in ('r', 'v')"
        " and a.attnum > 0 and not a.attisdropped and has_column_privilege('tandem_tenant', c.oid, a.attnum, v)"
        " and not has_column_privilege('tandem_tool', c.oid, a.attnum, v)"
    ) == []  # fmt: skip


def test_nobody_calls_a_definer_by_default(demo: Database) -> None:
    """A function that runs with its owner's rights passes by the policies: PUBLIC may call none."""
    assert demo.run(
        "select p.oid::regprocedure::text from pg_proc p cross join lateral aclexplode(coalesce(p.proacl,"
        " acldefault('f', p.proowner))) as acl"
        " where p.pronamespace in ('tandem'::regnamespace, 'sync'::regnamespace) and p.prosecdef and acl.grantee = 0"
    ) == []  # fmt: skip


def test_definers_that_a_tenant_calls(demo: Database) -> None:
    """They are listed here, so that each new one is looked at: it must ask what the acting account sees and may."""
    assert {name for (name,) in demo.run(
        "select p.proname::text from pg_proc p where p.pronamespace = 'tandem'::regnamespace and p.prosecdef"
        " and has_function_privilege('tandem_tenant', p.oid, 'EXECUTE')"
    )} == _DEFINERS_FOR_TENANTS  # fmt: skip


def test_triggers_of_the_askers_rights_read_no_tables(demo: Database) -> None:
    """A trigger that looks at other rows with a tenant's rights judges by what it sees; those that shall are listed."""
    readers = demo.run(
        "select p.proname::text from pg_proc p where p.pronamespace = 'tandem'::regnamespace and not p.prosecdef"
        " and p.prorettype = 'trigger'::regtype and p.prosrc ~* '\\m(from|into|update|join)\\s+(only\\s+)?tandem\\.'"
    )
    assert {name for (name,) in readers} == {"admit_account", "admit_references"}


def test_who_bypasses(demo: Database) -> None:
    """Sync and settle work for everybody; a tenant is no login and member of nothing; only operators become one."""
    roles = demo.run(
        "select rolname::text, rolcanlogin, rolbypassrls, rolinherit from pg_roles where rolname like 'tandem%'"
        " order by rolname"
    )
    assert roles == [
        ("tandem_owner", False, True, True),
        ("tandem_settle", True, True, True),
        ("tandem_sync", True, True, True),
        ("tandem_tenant", False, False, True),
        ("tandem_tool", True, False, False),
    ]
    assert demo.run(
        "select m.rolname::text, r.rolname::text from pg_auth_members a join pg_roles m on m.oid = a.member"
        " join pg_roles r on r.oid = a.roleid where r.rolname like 'tandem%' or m.rolname like 'tandem%'"
    ) == [("tandem_tool", "tandem_tenant")]  # fmt: skip


def test_no_tenant_touches_a_sequence(demo: Database) -> None:
    """Keys are drawn by inserting alone."""
    assert demo.run(
        "select c.relname from pg_class c, unnest(array['USAGE', 'SELECT', 'UPDATE']) as v"
        " where c.relnamespace = 'tandem'::regnamespace and c.relkind = 'S'"
        " and has_sequence_privilege('tandem_tenant', c.oid, v)"
    ) == []  # fmt: skip
