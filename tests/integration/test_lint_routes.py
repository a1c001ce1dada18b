"""`tandem lint-routes` on the demo world, which is right, and on worlds in each of which one thing is wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest
import typer

from tests.fix_postgres import Database, load_seed
from tools.errors import OperatorError
from tools.lint_routes.command import lint_routes
from tools.lint_routes.findings import KINDS

SMALL = """
select world.root('Tandem');
select world.tariff('Tandem', 'wholesale', 'EUR', '44', '0.03');
select world.reseller('North', 'Tandem', 'wholesale', 500);
select world.tariff('North', 'retail', 'EUR', '44', '0.06');
select world.customer('Alpha', 'North', 'retail', 20);
select world.carrier('acme', '127.0.1.1', 5080, '44', '0.012');
"""


@pytest.fixture
def linted(database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Make the small world with a few changes, run the command as an operator's tool, return its findings by kind."""
    load_seed(database.connection, "world.sql")
    database.run(SMALL.encode())
    monkeypatch.setenv("DATABASE_URL", database.server.dsn(database.name, "tandem_tool"))

    def lint(*statements: str, at: str = "") -> dict[str, list[tuple[str, str]]]:
        for statement in statements:
            database.run(statement.encode())
        found = run(capsys, at)
        told: dict[str, list[tuple[str, str]]] = {}
        for each in found["findings"]:
            told.setdefault(each["kind"], []).append((each["where"], each["what"]))
        return told

    return lint


def run(capsys: pytest.CaptureFixture[str], at: str = "") -> Any:
    """Return what the command prints with --json; its exit status must say whether that is anything."""
    status = 0
    try:
        lint_routes(at=at, as_json=True)
    except typer.Exit as exit_:
        status = exit_.exit_code
    found = json.loads(capsys.readouterr().out)
    assert status == (1 if found["findings"] else 0)
    assert set(found["counts"]) == set(KINDS)
    return found


def test_the_demo_world_is_right(
    demo_database: Database, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", demo_database.dsn)
    assert run(capsys)["findings"] == []
    lint_routes()
    assert capsys.readouterr().out == "nothing is wrong\n"


def test_a_small_world_is_right(linted: Any) -> None:
    assert linted() == {}


def test_a_level_that_sells_below_what_it_pays(linted: Any) -> None:
    """By the expected call: a connect fee makes a loss of what a minute's price does not show. A minute of 447 does."""
    found = linted(
        "select world.tariff('North', 'cheap', 'EUR', '44', '0.06', '447', '0.02')",
        "select world.customer('Beta', 'North', 'cheap', 20)",
    )
    ((where, what),) = found.pop("negative_margin")
    assert where == "447 at account 2"
    assert "earns 0.06 EUR by tariff" in what
    assert "pays 0.09 EUR by tariff" in what
    assert found == {}


def test_a_connect_fee_makes_a_loss(linted: Any) -> None:
    found = linted(
        "select world.destination('44', 6)",
        "select world.tariff('Tandem', 'fee', 'EUR', '44', '0.001 +0.05')",
        "select world.reseller('South', 'Tandem', 'fee', 500)",
        "select world.tariff('South', 'flat', 'EUR', '44', '0.06')",
        "select world.customer('Gamma', 'South', 'flat', 20)",
    )
    assert [where for where, _ in found["negative_margin"]] == ["44 at account 4"]


def test_a_loss_to_a_carrier_that_is_allowed(linted: Any) -> None:
    """What the loss guard lets pass is still a loss."""
    found = linted(
        "select world.account_option('Tandem', 'loss_pct', '-1')",
        "select world.account_option('North', 'loss_pct', '-1')",
        "update tandem.peering_group set enabled = false",
        "select world.carrier('dear', '127.0.1.2', 5080, '44', '0.04')",
    )
    assert [(where, what.split(" by ")[0]) for where, what in found["negative_margin"]] == [
        ("44 at account 1", "earns 0.09 EUR")
    ]


def test_every_level_that_loses_is_told(linted: Any) -> None:
    """A call is refused by the nearest account that loses; whoever puts that right would meet the next."""
    found = linted(
        "select world.reseller('South', 'Tandem', 'wholesale', 500)",
        "update tandem.peering_group set enabled = false",
        "select world.carrier_of('South', 'own', '127.0.1.3', 5080, '44', '0.04')",
        "select world.tariff('South', 'flat', 'EUR', '44', '0.06')",
        "select world.reseller('West', 'South', 'flat', 20)",
        "select world.tariff('West', 'cheap', 'EUR', '44', '0.05')",
        "select world.customer('Gamma', 'West', 'cheap', 20)",
        "select world.account_option('South', 'loss_pct', '0')",
    )
    losses = dict(found["negative_margin"])
    assert losses == {
        "44 at account 5": "earns 0.15 EUR by tariff 6, pays 0.18 EUR by tariff 5 for 180 s",
        "44 at account 4": "earns 0.18 EUR by tariff 5, pays 0.09 EUR by tariff 1 and 0.12 EUR to own/own for 180 s",
    }


def test_a_loss_at_night_is_found_by_day(linted: Any) -> None:
    """Prices of the week are tried where they turn, too; and a route that sleeps is missed when it does."""
    found = linted(
        "select world.period('night', 'Mon-Sun 22:00-24:00')",
        "select world.tariff('North', 'nights', 'EUR', '44', '0.06 @night 0.02')",
        "select world.customer('Beta', 'North', 'nights', 20)",
        at="2026-11-23T12:00",
    )
    assert [where for where, _ in found["negative_margin"]] == ["44 at account 2 on Mon 22:00 UTC"]
    found = linted(
        "select world.time_set('Tandem', 'day', 'UTC', '{Mo-Su 08:00-20:00}')",
        "update tandem.peering_rule set time_set_id = (select id from tandem.time_set)",
        at="2026-11-23T12:00",
    )
    assert {where.partition(" on ")[2] for where, _ in found["no_route"]} == {"Mon 20:00 UTC"}
    by_night = linted(at="2026-11-23T23:00")
    assert {where.partition(" on ")[2] for where, _ in by_night["no_route"]} == {""}


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("update tandem.peering_group set enabled = false", "acme: it is disabled"),
        ("update tandem.peering_server set enabled = false", "acme"),
        ("select world.no_rules('acme')", "no carrier takes"),
        ("update tandem.peering_rule set callee_prefix = '33'", "no carrier takes"),
        ("update tandem.peering_rule set valid_to = now() - interval '1 h'", "acme"),
    ],
)
def test_a_prefix_that_is_sold_and_goes_nowhere(linted: Any, statement: str, why: str) -> None:
    """Both tariffs sell it; a carrier that is disabled, has no rule, or none that holds, takes nothing."""
    found = linted(statement)
    wheres = [where for where, _ in found["no_route"]]
    assert [where.split(" ")[0] for where in wheres] == ["44", "44"]
    assert {where.rpartition("tariff ")[2] for where in wheres} == {"1 (wholesale)", "2 (retail)"}
    assert all(why in what for _, what in found["no_route"])


def test_all_carriers_are_too_dear_below_a_prefix(linted: Any) -> None:
    """The expensive part of a destination is a black hole that nobody sees in a price list."""
    found = linted("select world.deck('Tandem', 'deck of acme', now() - interval '1 s', '44', '0.012', '4479', '0.5')")
    assert {where.split(" ")[0] for where, _ in found["no_route"]} == {"4479"}
    told = {where.rpartition("tariff ")[2]: what for where, what in found["no_route"]}
    assert "dearer than level 2 pays" in told["2 (retail)"]  # the root owns it: it is judged by what North pays
    assert "dearer than level 1 pays" in told["1 (wholesale)"]


def test_carriers_that_cover_a_prefix_piece_by_piece(linted: Any) -> None:
    """Ten longer prefixes leave no number of the shorter one; nine leave one, which is told."""
    pieces = [f"select world.rule('acme', '44{digit}')" for digit in range(9)]
    found = linted("select world.no_rules('acme')", *pieces)
    assert {where.split(" ")[0] for where, _ in found["no_route"]} == {"44"}
    assert linted("select world.rule('acme', '449')") == {}


def test_a_level_without_a_price(linted: Any) -> None:
    """Sold by a reseller who cannot buy it; what nobody sells is no gap."""
    found = linted(
        "select world.tariff('North', 'wide', 'EUR', '33', '0.06', '44', '0.06')",
        "select world.customer('Beta', 'North', 'wide', 20)",
    )
    ((where, what),) = found["rate_gap"]
    assert where.startswith("33 for customer 4 (Beta) by tariff")
    assert "level 2 account 2 has no rate" in what
    assert set(found) == {"rate_gap"}


@pytest.mark.parametrize(
    ("statements", "kind", "what"),
    [
        (["select world.rule('acme', '44')", "select world.rule('acme', '44', caller_pattern => '^sip:1')"],
         "shadowed", "takes all that it would take"),
        (["select world.rule('acme', '44', callee_pattern => '^sip:49')"], "shadowed", "callee pattern wants 49"),
        (["select world.rule('acme', '33', block => true)", "select world.rule('acme', '33')"],
         "shadowed", "blocks its prefix at all times"),
        (["select world.rule('acme', '445', valid_to => now() - interval '1 day')"], "expired", "was valid until"),
        (["select world.time_set('Tandem', 'once', 'UTC', '{}', '{2025-12-24}')"], "expired", "shut until 20251224"),
    ],
)  # fmt: skip
def test_rules_that_never_count(linted: Any, statements: list[str], kind: str, what: str) -> None:
    """Repeated, contrary to their own prefix, blocked, or over."""
    found = linted(*statements)
    assert set(found) == {kind}
    assert what in found[kind][0][1]


@pytest.mark.parametrize(
    "statements",
    [
        ["select world.rule('acme', '44', caller_pattern => '^sip:1')", "select world.rule('acme', '44')"],
        ["select world.rule('acme', '44')", "select world.rule('acme', '44', '^sip:', stopper => true)"],
        ["select world.rule('acme', '44', callee_pattern => '^sip:4420')"],
        ["select world.rule('acme', '44', callee_pattern => '^sip:4+')"],
        ["select world.rule('acme', '445', valid_to => now() + interval '1 day')"],
        ["select world.time_set('Tandem', 'yearly', 'UTC', '{}', '{12-24}')"],
    ],
)
def test_rules_that_may_still_count(linted: Any, statements: list[str]) -> None:
    """The general one second, one that is a stopper too, a pattern that goes on, an end that is ahead."""
    assert linted(*statements) == {}


@pytest.mark.parametrize(
    ("first", "second", "is_shadowed"),
    [
        ("^00", "^0044", True),
        ("^0", "^00", True),
        (".*", "^1", True),
        ("^1", "^1", True),
        ("^00", "^0([1-9])", False),
        ("^00", "^0?1", False),
        ("^0([1-9])", "^01", False),
        ("^00", "^00|^1", False),
        ("^$", "^1", False),
    ],
)
def test_rewrite_rules_behind_one_that_takes_all(linted: Any, first: str, second: str, *, is_shadowed: bool) -> None:
    """First match only: a rule that comes after its own beginning never matches."""
    found = linted(
        f"select world.rewrite('North', 'uk', 'callee_in', '{first}', '')",
        f"select world.rewrite('North', 'uk', 'callee_in', '{second}', '44')",
    )
    assert (set(found) == {"shadowed"}) is is_shadowed


def test_sources_that_stand_for_two(linted: Any) -> None:
    """Two From patterns that fit one caller, and a trusted source behind a carrier's server."""
    found = linted(
        "select world.domain('a.example', 'North')",
        "select world.subscriber('desk@a.example', 'Alpha', null, '442079460001')",
        "select world.subscriber('desk2@a.example', 'Alpha', null, '442079460002')",
        "select world.trusted('desk@a.example', '127.0.2.2', 'udp', '^sip:desk')",
        "select world.trusted('desk2@a.example', '127.0.2.2', 'udp', '^sip:desk2@')",
        "select world.trusted('desk@a.example', '127.0.1.1')",
    )
    assert sorted(what for _, what in found["ambiguous_source"]) == [
        "both From patterns fit sip:desk2@a.example",
        "calls from there are carrier acme's: a peer wins",
    ]


def test_prices_that_end(linted: Any) -> None:
    """As of the day on which they do."""
    ends = "select world.deck('North', 'retail', '2031-01-01T00:00Z')"
    assert linted(ends) == {}
    found = linted(at="2031-01-02T00:00")
    assert ("tariff 2 (retail)", "its prices ended, and 1 accounts pay by it") in found["expired"]


def test_for_people(linted: Any, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """A table per kind, names without power over the terminal, and the number of findings."""
    linted("update tandem.peering_group set enabled = false, name = E'ac\\u202eme'")
    with pytest.raises(typer.Exit):
        lint_routes()
    out = capsys.readouterr().out
    assert "Prefixes that are sold and have no eligible route" in out
    assert "\u202e" not in out
    assert out.rstrip().endswith("2 findings")
    assert database.one("select count(*) from tandem.outbox where kind = 'nothing'") == 0


def test_a_wrong_time_is_said(linted: Any) -> None:
    with pytest.raises(OperatorError, match="is no time"):
        linted(at="soon")


@pytest.mark.parametrize("at", ["0001-01-01", "1999-12-31T23:59", "2100-01-01", "9999-12-31"])
def test_a_time_that_nothing_is_known_of_is_refused(linted: Any, at: str) -> None:
    with pytest.raises(OperatorError, match="the years 2000 to 2099 are known"):
        linted(at=at)


@pytest.mark.parametrize(
    ("statements", "where", "what"),
    [
        (["update tandem.peering_group set enabled = false where name = 'help'"],
         "emergency number 112", "help is disabled; nobody answers it"),
        (["update tandem.peering_server set enabled = false where name = 'help'"],
         "emergency number 112", "help has no enabled server with an address; nobody answers it"),
        (["delete from tandem.emergency_route", "select world.emergency('110', '{help,acme}', region => 'bavaria')",
          "update tandem.peering_group set enabled = false where name = 'help'"],
         "emergency number 110 of bavaria", "help is disabled; others answer it"),
        (["select world.ported('442071', '442071', 'acme')", "update tandem.peering_server set enabled = false",
          "update tandem.peering_server set enabled = true where name <> 'acme'"],
         "ported number 442071", "carrier acme, the only one that may take it, has no enabled server"),
        (["select world.ported('442071', '993', 'acme')", "select world.ported('442072', '993', 'acme')",
          "select world.no_rules('acme')"],
         "ported number 442071 and 1 more", "has no rule for routing number 993"),
        (["select world.ported('442071', '993', 'acme')", "select world.rule('acme', '99')"],
         "ported number 442071", "has no rate for routing number 993"),
        (["select world.ported('442071', '993')"],
         "ported number 442071", "no usable carrier takes routing number 993"),
    ],
)  # fmt: skip
def test_numbers_that_lead_to_nobody(linted: Any, statements: list[str], where: str, what: str) -> None:
    """Emergency routes and ported numbers stand beside prices: no prefix tells of them."""
    good = ("select world.carrier('help', '127.0.1.9', 5080, '1', '0')", "select world.emergency('112', '{help}')",
            "select world.ported('442073', '442074', 'acme')", "select world.ported('442075', '4')")  # fmt: skip
    assert "dead_end" not in linted(*good)
    ends = linted("delete from tandem.ported_number", *statements)["dead_end"]
    assert [place for place, _ in ends] == [where]
    assert what in ends[0][1]


def test_sources_that_stand_for_two_numbers(linted: Any) -> None:
    """A trunk sends numbers, so the name of its line finds nothing."""
    found = linted(
        "select world.domain('a.example', 'North')",
        "select world.subscriber('desk@a.example', 'Alpha', null, '442079460001')",
        "select world.subscriber('desk2@a.example', 'Alpha', null, '442079460002')",
        "select world.trusted('desk@a.example', '127.0.2.2', 'udp', '^sip:4420')",
        "select world.trusted('desk2@a.example', '127.0.2.2', 'udp', '^sip:44207[0-9]*@')",
        "select world.trusted('desk@a.example', '127.0.2.3', 'udp', '^sip:331')",
        "select world.trusted('desk2@a.example', '127.0.2.3', 'udp', '^sip:(?:33|44)[0-9]+@')",
        "select world.trusted('desk@a.example', '127.0.2.4', 'udp', '^sip:331')",
        "select world.trusted('desk2@a.example', '127.0.2.4', 'udp', '^sip:332')",
    )
    assert sorted(what for _, what in found["ambiguous_source"]) == [
        "both From patterns fit sip:331000000000@a.example",
        "both From patterns fit sip:442079460001@a.example",
    ]
