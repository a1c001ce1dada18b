"""Laws of files that describe tenants, over random tenants with every resource and every kind of reference."""

from __future__ import annotations

import os
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # it brings no types
import pytest
import yaml

from tests.file_world import FileWorld, bare
from tests.fix_postgres import SCHEMA, Database, PostgresServer
from tests.random_tenant import RandomTenant
from tools.tenant.schema import document_schema

SEEDS = range(int(os.environ.get("TENANT_SEEDS", "3")))
NOTHING = "nothing to change\n"


@pytest.fixture
def here(database: Database, tmp_path: Path) -> FileWorld:
    return bare(database, tmp_path)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_tenant_is_what_its_file_says(here: FileWorld, seed: int) -> None:
    """Applied again a file changes nothing; nor does an export, short or full; and both fit the schema."""
    wanted = RandomTenant(seed).document()
    here.apply(wanted)
    assert here.apply(wanted) == NOTHING
    for words in (["--subtree"], ["--subtree", "--full"]):
        exported = here.export("North", *words)
        jsonschema.validate(yaml.safe_load(exported), document_schema())
        assert here.apply(exported, "--prune") == NOTHING


@pytest.mark.parametrize("seed", SEEDS)
def test_one_tenant_becomes_another_and_back(
    here: FileWorld, postgres_server: PostgresServer, tmp_path: Path, seed: int
) -> None:
    """Whatever was there: a full file with --prune makes the tenant what it makes in a world that had nothing."""
    here.apply(RandomTenant(seed).document())
    first = here.export("North", "--subtree", "--full")
    with postgres_server.clone(SCHEMA) as other:
        there = bare(other, tmp_path)
        there.apply(RandomTenant(seed + 1000).document())
        second = there.export("North", "--subtree", "--full")
    for wanted in (second, first):
        here.apply(wanted, "--prune", "--yes")
        assert here.export("North", "--subtree", "--full") == wanted
