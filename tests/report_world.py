"""Calls of a small tree, posted as settlement posts them: what the tests of reports and of past calls read.

Tandem (root, carrier acme)
├── North   reseller, Europe/Paris, French, carrier own; pays Tandem in EUR by a tariff in USD
│   ├── Alpha    customer, alice@a.example
│   └── Fjord    reseller, shares nothing
│       └── Gamma   customer, gil@a.example
└── South   reseller
    └── Delta   customer
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, Final

from typer.testing import CliRunner

from kemi import codec
from kemi.records import Attempt, CallEnd, CallEvent, PinnedCall, PinnedLeg, PinnedTarget, Rate
from tests.fakes import calls
from tests.fix_postgres import Database, load_seed
from tools.report.command import report
from tools.settle.books import Books
from tools.settle.poster import post
from tools.settle.stream import Entry

WORLD: Final = """
select world.root('Tandem');
select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.03');
select world.tariff('Tandem', 'dollars', 'USD', '44', '0.03');
select world.exchange('USD', 'EUR', 0.9);
select world.reseller('North', 'Tandem', 'dollars', 500, currency => 'EUR');
select world.tariff('North', 'retail', 'EUR', '44', '0.06');
select world.customer('Alpha', 'North', 'retail', 20);
select world.reseller('Fjord', 'North', 'retail', 30);
select world.tariff('Fjord', 'retail', 'EUR', '44', '0.08');
select world.customer('Gamma', 'Fjord', 'retail', 40);
select world.reseller('South', 'Tandem', 'wholesale', 50);
select world.tariff('South', 'retail', 'EUR', '44', '0.07');
select world.customer('Delta', 'South', 'retail', 60);
select world.domain('a.example', 'North');
select world.subscriber('alice@a.example', 'Alpha', 'alice-secret', '442079460001');
select world.subscriber('gil@a.example', 'Gamma', 'gil-secret', '442079460011');
select world.carrier('acme', '127.0.1.1', 5080, '44', '0.012');
select world.carrier_of('North', 'own', '127.0.1.9', 5080, '44', '0.010');
select world.account_option('North', 'timezone', 'Europe/Paris');
update tandem.account set language = 'fr' where name = 'North';
"""
PRICES: Final = {"Alpha": 60_001, "Fjord": 50_003, "Gamma": 80_007, "North": 30_011, "South": 30_000, "Delta": 70_000}
PARENTS: Final = {
    "Alpha": "North", "Fjord": "North", "Gamma": "Fjord", "North": "Tandem", "South": "Tandem", "Delta": "South",
}  # fmt: skip
DOLLARS: Final = 912_345_679  # nanos of a EUR for a USD
DAY_MS: Final = 86_400_000


class ReportWorld:
    """The tree with its accounts' and carriers' ids, and how calls get into it."""

    def __init__(self, database: Database) -> None:
        load_seed(database.connection, "world.sql")
        database.connection.execute(WORLD)
        self.database = database
        self.dsn = database.server.dsn(database.name, "tandem_tool")
        self.ids: dict[str, int] = dict(database.run("select name::text, id from tandem.account"))
        self.groups: dict[str, int] = dict(database.run("select name::text, id from tandem.peering_group"))
        servers = (
            "select g.name::text, s.id from tandem.peering_server s join tandem.peering_group g on g.id = s.group_id"
        )
        self.servers: dict[str, int] = dict(database.run(servers))
        self._books = Books.open(database.dsn)
        self._epoch = self._books.begin_epoch(0, "a test")
        self._numbers: Counter[str] = Counter()
        self._entries = 0

    def close(self) -> None:
        """Let the connection of settlement go."""
        self._books.close()

    def legs(self, customer: str, first: int = 1) -> list[PinnedLeg]:
        """Return what each level above a customer's line pays, each its own price. North pays a tariff in dollars."""
        made: list[PinnedLeg] = []
        name, level = customer, first
        while name in PARENTS:
            paid = calls.leg(level, self.ids[name], self.ids[PARENTS[name]], Rate(PRICES[name], 1, 1))
            paid = paid._replace(prefix="4420" if name == "Alpha" else "44", tariff_id=self.tariff_of(name))
            dollars = calls.exchanged(paid._replace(currency="USD"), "EUR", DOLLARS)
            made.append(dollars if name == "North" else paid)
            name, level = PARENTS[name], level + 1
        return made

    def tariff_of(self, name: str) -> int:
        """Return the tariff that an account pays."""
        return int(self.database.one("select tariff_id from tandem.account where name = %s", name))

    def target(self, carrier: str) -> PinnedTarget:
        """Return a carrier's server; acme is the root's, own North's."""
        owner, rate = ("Tandem", 12_007) if carrier == "acme" else ("North", 10_009)
        cost = calls.leg(0, self.ids[owner], self.ids[owner], Rate(rate, 1, 1))._replace(fund="")
        return PinnedTarget(self.groups[carrier], self.servers[carrier], f"{carrier}/{carrier}", cost)

    def call(self, rid: str, customer: str, *carriers: str, day: int = 0, **fields: Any) -> PinnedCall:
        """Return a call of a customer to the carriers, in hunting order; day: so many days after the first."""
        line = {"Alpha": "alice@a.example", "Gamma": "gil@a.example"}.get(customer, "dora@b.example")
        made = calls.call(rid, self.legs(customer), [self.target(carrier) for carrier in carriers])
        started_ms = calls.STARTED_MS + day * DAY_MS
        known: dict[str, Any] = {"source": line, "caller": "442079460001", "started_ms": started_ms}
        return made._replace(**(known | fields))

    def ended(self, call: PinnedCall, talk_s: int, *tried: Attempt) -> CallEnd:
        """Return the end of a call that the last of `tried` answered, else its first carrier."""
        shift = call.started_ms - calls.STARTED_MS
        server_id = tried[-1].server_id if tried else call.targets[0].server_id if call.targets else 0
        end = calls.answered(talk_s, server_id)
        attempts = tried or end.attempts
        return end._replace(ended_ms=end.ended_ms + shift, answered_ms=end.answered_ms + shift, attempts=attempts)

    def post(self, *events: CallEvent) -> None:
        """Post events; none may be poison."""
        entries = []
        for event in events:
            self._entries += 1
            entries.append(Entry(f"{self._entries}-0", codec.pack(event)))
        outcome = post(self._books, entries, self._epoch)
        assert outcome.poisoned == 0, self.database.run("select reason from tandem.event_poison")

    def settle(self, call: PinnedCall, talk_s: int, *tried: Attempt, before_s: int = 0, seq: int = 1) -> None:
        """Post the end of an answered call."""
        self.post(calls.settled(call, self.ended(call, talk_s, *tried), self.numbers(call), seq=seq, before_s=before_s))

    def part(self, call: PinnedCall, talk_s: int, before_s: int = 0, seq: int = 1) -> None:
        """Post that a call goes on and has paid for the seconds until talk_s."""
        self.post(calls.part(call, talk_s, before_s, self.numbers(call), seq=seq))

    def numbers(self, call: PinnedCall) -> dict[str, int]:
        """Return the next number of each fund that pays."""
        funds = {leg.fund for leg in call.legs if leg.fund}
        self._numbers.update(funds)
        return {fund: self._numbers[fund] for fund in funds}

    def run(self, command: str, *words: str, as_account: str = "", **env: str) -> str:
        """Run a report from the year 2026 on and return what it prints. Raises OperatorError."""
        clean = {"DATABASE_URL": self.dsn, "TANDEM_AS": as_account, "COLUMNS": "400", **env}
        since = () if "--from" in words else ("--from", "2026-01-01")
        result = CliRunner().invoke(report, [command, *since, *words], env=clean, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    def json(self, command: str, *words: str, as_account: str = "") -> Any:
        """Run a report with --json and return what it says."""
        return json.loads(self.run(command, *words, "--json", as_account=as_account))
