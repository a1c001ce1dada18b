"""A small world, and the commands about its money, run as an operator runs them: with the rights of a tool only."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner

from tests.fix_postgres import Database, load_seed
from tools.account.command import app as account
from tools.carrier import carrier
from tools.errors import OperatorError
from tools.exchange import exchange

WORLD: Final = """
select world.root('Tandem');
select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.03');
select world.reseller('North', 'Tandem', 'wholesale', 500);
select world.tariff('North', 'retail', 'EUR', '44', '0.06');
select world.customer('Alpha', 'North', 'retail', 20);
select world.customer('Beta', 'North', 'retail', 30);
select world.carrier('acme', '127.0.1.1', 5080, '44', '0.012');
"""
APPS: Final[dict[str, typer.Typer]] = {"account": account, "carrier": carrier, "exchange": exchange}


class OperatorWorld:
    """North below the root has 500 EUR; Alpha, 20 EUR, and Beta, 30 EUR, are below North; acme is a carrier.

    made: another one has made a world already.
    """

    def __init__(self, database: Database, *, made: bool = False) -> None:
        if not made:
            load_seed(database.connection, "world.sql")
            database.connection.execute(WORLD)
        self.database = database
        self.dsn = database.server.dsn(database.name, "tandem_tool")

    def run(self, command: str, *words: str, **env: str) -> str:
        """Run a command and return what it prints; no other environment than `env`. Raises OperatorError."""
        clean = {"TANDEM_ACTOR": "eve", "DATABASE_URL": self.dsn, "REDIS_URL": "", "TANDEM_CTL": "", **env}
        result = CliRunner().invoke(APPS[command], words, env=clean, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def json(self, command: str, *words: str, **env: str) -> Any:
        """Run a command with --json and return what it says."""
        return json.loads(self.run(command, *words, "--json", **env))

    def refused(self, command: str, *words: str) -> str:
        """Return the sentence with which a command is refused; one that is not refused fails the test."""
        with pytest.raises(OperatorError) as refusal:
            self.run(command, *words)
        sentence = str(refusal.value)
        assert "\n" not in sentence, sentence
        return sentence

    def balances(self) -> dict[str, str]:
        """Return account name -> balance."""
        return {row["name"]: row["balance"] for row in self.json("account", "list")}

    def id_of(self, name: str) -> int:
        """Return the id of an account or carrier of the small world."""
        return int(
            self.database.one(
                "select id from (select id, name from tandem.account union all"
                " select id, name from tandem.peering_group) as x where name = %s",
                name,
            )
        )

    def assert_ledger_balances(self) -> None:
        """Fail unless every transaction sums to zero in every currency."""
        sums = "select txn_id from tandem.ledger_entry group by txn_id, currency having sum(amount_micros) <> 0"
        assert self.database.run(sums.encode()) == []
