"""The catalogue of resources says what the schema has: tables, columns, keys, defaults; nothing is left out."""

from __future__ import annotations

from typing import Any

import pytest

from kemi.core import registration
from tests.fix_postgres import Database
from tools.tenant import catalogue_lines
from tools.tenant.catalogue import RESOURCES, above
from tools.tenant.model import Resource

# What no field is: keys, what triggers and functions keep, secrets, and what other commands are for.
ELSEWHERE = {
    "account": {
        "status", "lock", "lock_note", "closed_at",  # tandem account suspend, lock …
    },
    "subscriber": {"ha1_md5", "ha1_sha256"},
    "peering_server": {"login_username", "login_realm", "login_ha1"},
    "peering_group": {"owed_max_micros", "day_max_micros", "month_max_micros", "disabled_at"},  # tandem carrier limit
    "tariff": {"rate_set_id", "inbound_rate_set_id"},  # tandem import, tandem apply
    "peering_rule": {"account_id"},
    "callflow_step": {"account_id"},
    "ring_group_member": {"account_id"},
    "subscriber_forward": {"account_id", "user_id"},
    "user_forward": {"account_id", "subscriber_id"},
}  # fmt: skip
KEPT = {"id", "created_at", "ways", "is_vouched"}


@pytest.mark.parametrize("of", RESOURCES, ids=lambda of: of.name)
def test_every_column_is_a_field_or_known_to_be_none(demo: Database, of: Resource) -> None:
    columns = set(_columns(demo, of))
    fields = {field.stored_in for field in of.written if not field.rows}
    upper = above(of)
    place = {of.parent_column} if upper else {of.owner_column}
    assert fields | place <= columns
    assert columns - fields - place - KEPT == {*ELSEWHERE.get(of.name, ELSEWHERE.get(of.table, ()))}


def test_a_line_has_as_many_phones_as_a_node_lets_it_have() -> None:
    assert catalogue_lines.CONTACTS_MAX == registration.CONTACTS_MAX


@pytest.mark.parametrize("of", RESOURCES, ids=lambda of: of.name)
def test_defaults_are_those_of_the_database(demo: Database, of: Resource) -> None:
    columns = _columns(demo, of)
    for field in of.written:
        if field.rows:
            continue
        default, is_nullable = columns[field.stored_in]
        if field.required:
            assert default is None, field.name
            continue
        stored = None if default is None else demo.one(f"select {default}".encode())
        assert field.shown(stored) == field.default, field.name
        assert field.nullable == is_nullable, field.name


@pytest.mark.parametrize("of", RESOURCES, ids=lambda of: of.name)
def test_a_natural_key_is_a_unique_one(demo: Database, of: Resource) -> None:
    """So that a row that is described can be found again; two contacts may share an address."""
    key = {of.field(name).stored_in for name in of.key}
    if of.parent and not of.is_global:
        key.add(of.parent_column)
    elif not of.is_global:
        key.add(of.owner_column)
    unique = [set(columns) for (columns,) in demo.run(
        "select array_agg(a.attname::text) from pg_index i"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)"
        " where i.indrelid = format('tandem.%%I', %s::text)::regclass and i.indisunique and i.indpred is null"
        " group by i.indexrelid", of.table,
    )]  # fmt: skip
    assert key in unique or of.name == "contact"


@pytest.mark.parametrize("of", RESOURCES, ids=lambda of: of.name)
def test_a_primary_key_is_the_one_of_the_table(demo: Database, of: Resource) -> None:
    ((columns,),) = demo.run(
        "select array_agg(a.attname::text order by array_position(i.indkey::smallint[], a.attnum)) from pg_index i"
        " join pg_attribute a on a.attrelid = i.indrelid and a.attnum = any (i.indkey)"
        " where i.indrelid = format('tandem.%%I', %s::text)::regclass and i.indisprimary", of.table,
    )  # fmt: skip
    assert tuple(columns) == of.primary


def _columns(demo: Database, of: Resource) -> dict[str, tuple[Any, bool]]:
    """Return column -> its default as SQL, and whether it may be null."""
    query = (
        "select column_name, case when is_generated = 'NEVER' and is_identity = 'NO' then column_default end,"
        " is_nullable = 'YES' from information_schema.columns where table_schema = 'tandem' and table_name = %s"
    )
    return {name: (default, nullable) for name, default, nullable in demo.run(query.encode(), of.table)}
