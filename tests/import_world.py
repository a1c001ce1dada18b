"""A small world, and `tandem import …` run in it as an operator or a reseller runs it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from typer.testing import CliRunner

from tests.fix_postgres import Database, load_seed
from tools.errors import OperatorError
from tools.imports.command import imports

WORLD: Final = """
select world.root('Tandem');
select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.03');
select world.reseller('North', 'Tandem', 'wholesale', 500);
select world.reseller('South', 'Tandem', 'wholesale', 500);
select world.tariff('North', 'retail', 'EUR', '44', '0.10', '441', '0.20', '33', '0.30 60/6 +0.01 min 0.05',
                    '1900', 'forbidden');
select world.tariff('South', 'retail', 'EUR', '49', '0.10');
select world.customer('Alpha', 'North', 'retail', 20);
select world.customer('Beta', 'North', 'retail', 30);
select world.domain('a.example', 'North');
select world.subscriber('alice@a.example', 'Alpha', 'alice-secret');
select world.subscriber('bob@a.example', 'Beta', 'bob-secret');
select world.carrier('acme', '127.0.1.1', 5080, '44', '0.012');
select world.carrier_of('North', 'own', '127.0.1.9', 5080, '44', '0.003');
"""
_PRICES: Final = """
select r.prefix, r.per_min_micros from tandem.rate_effective r where r.rate_set_id = coalesce(
  (select d.rate_set_id from tandem.tariff_deck d where d.tariff_id = %(tariff)s and d.valid_from <= %(at)s
    order by d.valid_from desc limit 1),
  (select t.rate_set_id from tandem.tariff t where t.id = %(tariff)s))
"""


class ImportWorld:
    """North and South below the root; North sells 'retail' to Alpha and Beta. folder: where files are written."""

    def __init__(self, database: Database, folder: Path) -> None:
        load_seed(database.connection, "world.sql")
        database.connection.execute(WORLD)
        for right in ("prices", "carriers_own", "numbers"):
            database.run(
                "insert into tandem.account_grant(account_id, right_name) values (%s, %s)",
                self._id(database, "North"),
                right,
            )
        self.database = database
        self.folder = folder
        self.dsn = database.server.dsn(database.name, "tandem_tool")
        self.retail = int(
            database.one(
                "select t.id from tandem.tariff t join tandem.account a on a.id = t.account_id"
                " where t.name = 'retail' and a.name = 'North'"
            )
        )

    def account(self, name: str) -> int:
        """Return the id of an account."""
        return self._id(self.database, name)

    @staticmethod
    def _id(database: Database, name: str) -> int:
        return int(database.one("select id from tandem.account where name = %s", name))

    def file(self, *lines: str, name: str = "file.csv") -> str:
        """Write a file; return its path."""
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    def run(self, *words: str, as_account: str = "North") -> str:
        """Run a command as an account and return what it prints. Raises OperatorError."""
        env = {"TANDEM_ACTOR": "eve", "DATABASE_URL": self.dsn, "TANDEM_AS": as_account}
        result = CliRunner().invoke(imports, words, env=env, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def json(self, *words: str, as_account: str = "North") -> Any:
        """Run a command with --json and return what it says."""
        return json.loads(self.run(*words, "--json", as_account=as_account))

    def refused(self, *words: str, as_account: str = "North") -> str:
        """Return the sentence with which a command is refused; one that is not refused fails the test."""
        with pytest.raises(OperatorError) as refusal:
            self.run(*words, as_account=as_account)
        sentence = str(refusal.value)
        assert "\n" not in sentence, sentence
        return sentence

    def prices(self, days: float = 0, tariff: int = 0) -> dict[str, int]:
        """Return prefix -> micros a minute of North's retail tariff, as they will be in some days."""
        at = datetime.now(UTC) + timedelta(days=days)
        found = self.database.connection.execute(_PRICES.encode(), {"tariff": tariff or self.retail, "at": at})
        return dict(found.fetchall())
