"""Tenants as files: `tandem apply`, `export` and `schema` run as an operator runs them, with a tool's rights only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from typer.testing import CliRunner

from tests.fix_postgres import Database, load_seed
from tools.cli import app
from tools.errors import OperatorError

BARE: Final = """
select world.root('Tandem');
select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.01');
"""
Said = dict[str, Any]


class FileWorld:
    """A database and a directory for files. The actor is eve."""

    def __init__(self, database: Database, directory: Path) -> None:
        self.database = database
        self._directory = directory
        self._env = {"TANDEM_ACTOR": "eve", "DATABASE_URL": database.server.dsn(database.name, "tandem_tool")}

    def run(self, *words: str, typed: str | None = None) -> str:
        """Run a command and return what it prints. typed: on a terminal, None = there is none. Raises OperatorError."""
        result = CliRunner().invoke(app, words, env=self._env, catch_exceptions=False, input=typed)
        assert result.exit_code == 0, result.output
        return result.output

    def file(self, said: Said | str, name: str = "tenant.yaml") -> str:
        """Write a file; return its path. said: as a mapping, or as YAML."""
        path = self._directory / name
        path.write_text(said if isinstance(said, str) else yaml.safe_dump(said, sort_keys=False, allow_unicode=True))
        return str(path)

    def apply(self, said: Said | str, *words: str) -> str:
        """Apply a file and return what is printed."""
        return self.run("apply", self.file(said), *words)

    def plan(self, said: Said | str, *words: str) -> list[str]:
        """Apply a file and return the lines of the plan without the last one, which sums it up."""
        return self.apply(said, *words).splitlines()[:-1]

    def refused(self, said: Said | str, *words: str) -> str:
        """Return why a file is refused, without the directory; one that is not refused fails the test."""
        with pytest.raises(OperatorError) as refusal:
            self.apply(said, *words)
        return str(refusal.value).replace(f"{self._directory}/", "")

    def export(self, account: str, *words: str) -> str:
        """Return an account as a file."""
        return self.run("export", account, *words)

    def described(self, account: str, *words: str) -> Said:
        """Return an account as a mapping: the whole file."""
        said: Said = yaml.safe_load(self.export(account, *words))
        return said

    def json(self, said: Said | str, *words: str) -> Any:
        """Apply a file with --json and return what it says."""
        return json.loads(self.apply(said, "--json", *words))

    def state(self) -> list[tuple[Any, ...]]:
        """Return all configuration: nothing may differ after what touches nothing."""
        tables = ("account", "account_grant", "contact", "fund", "tariff", "rate_set", "rate", "tariff_deck",
                  "sip_domain", "subscriber", "number", "trusted_source", "peering_group", "peering_server",
                  "rewrite_rule", "audit", "outbox")  # fmt: skip
        return [row for table in tables for row in self.database.run(
            f"select '{table}', t.ctid::text, to_jsonb(t)::text from tandem.{table} t order by 2".encode()  # noqa: S608
        )]  # fmt: skip


def bare(database: Database, directory: Path) -> FileWorld:
    """Return a world that has a root with the tariff wholesale, and nothing else."""
    load_seed(database.connection, "world.sql")
    database.connection.execute(BARE)
    return FileWorld(database, directory)
