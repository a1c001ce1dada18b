"""A small world, and the commands about its money, run as an operator runs them: with the rights of a tool only."""

from __future__ import annotations

import json
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner

from tests.fix_postgres import Database, load_seed
from tools.account.command import app as account
from tools.audit import audit
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
MORE: Final = """
select world.tariff('North', 'dealer', 'EUR', '44', '0.05');
select world.reseller('Fjord', 'North', 'dealer', 100);
select world.tariff('Fjord', 'retail', 'EUR', '44', '0.08');
select world.customer('Gamma', 'Fjord', 'retail', 10);
select world.reseller('South', 'Tandem', 'wholesale', 50);
select world.tariff('South', 'dealer', 'EUR', '44', '0.04');
"""
OWNED: Final = """
select world.domain('{mark}.example', '{dealer}');
select world.subscriber('gil@{mark}.example', '{leaf}', 'gil-secret');
select world.subscriber('pbx@{mark}.example', '{leaf}', null);
select world.trusted('pbx@{mark}.example', '127.0.2.{digit}', 'udp');
select world.did('4420794600{digit}1', 'gil@{mark}.example');
select world.did('4420794600{digit}2', 'pbx@{mark}.example');
select world.carrier_of('{dealer}', 'own {mark}', '127.0.1.{digit}', 5080, '44', '0.003');
select world.rewrite('{dealer}', 'dialled {mark}', 'callee_in', '^00', '');
update tandem.sip_domain d set rewrite_set_id = w.id from tandem.rewrite_set w where w.account_id = d.account_id;
select world.time_set('{dealer}', 'night {mark}', spans => '{{Mon-Fri 20:00-24:00}}');
select world.barring('{dealer}', 'premium {mark}', 'blacklist', '{{^900}}', 'night {mark}');
select world.bar('{leaf}', 'premium {mark}');
insert into tandem.contact(account_id, email)
select id, 'noc@{mark}.example' from tandem.account where name = '{dealer}';
update tandem.account a set contact_id = c.id from tandem.contact c where c.account_id = a.id;
insert into tandem.reply_override(account_id, reason, status, phrase)
select id, 'no_credit', 402, 'Pay' from tandem.account where name = '{dealer}';
select world.threshold('{leaf}', 'balance', 1);
select world.deck('{dealer}', 'retail', now() + interval '1 day', '44', '0.09');
select world.grant('North', 'money');
select world.grant('{dealer}', 'money');
"""
AUDIT: Final = typer.Typer()
AUDIT.command()(audit)
APPS: Final[dict[str, typer.Typer]] = {"account": account, "carrier": carrier, "exchange": exchange, "audit": AUDIT}


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

    def grow(self) -> None:
        """Add a dealer Fjord with 100 EUR, and its customer Gamma with 10 EUR, below North; and South beside North."""
        self.database.connection.execute(MORE)

    def furnish(self, dealer: str, leaf: str, mark: str, digit: int) -> None:
        """Give a dealer, and a customer below it, one of everything. mark, digit: part of names and of numbers."""
        owned = OWNED.format(dealer=dealer, leaf=leaf, mark=mark, digit=digit)
        self.database.connection.execute(owned.encode())

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
