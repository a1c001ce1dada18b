"""The demo world is what its head comment says, and every word of world.sql works."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Final

import psycopg
import pytest
from psycopg.types.range import Range

from kemi.core.pattern import compile_pattern
from kemi.core.rating import price
from kemi.records import Rate
from tests.fix_postgres import Database, load_seed

PREFIXES: Final = ("44", "4420", "447", "49", "33", "1")
CHEAPEST: Final = {"44": "blue", "4420": "acme", "447": "blue", "49": "crown", "33": "blue", "1": "crown"}

_COUNTS: Final = """
select (select count(*) from tandem.account where kind = 'reseller'),
       (select count(*) from tandem.account where kind = 'customer'),
       (select count(*) from tandem.sip_domain), (select count(*) from tandem.subscriber),
       (select count(*) from tandem.number), (select count(*) from tandem.peering_group),
       (select count(*) from tandem.trusted_source), (select count(*) from tandem.inbound_rule),
       (select count(*) from tandem.emergency_route)
"""
_PATTERNS: Final = """
select pattern from tandem.rewrite_rule union select pattern from tandem.inbound_rule
union select from_pattern from tandem.trusted_source union select callee_pattern from tandem.peering_rule
"""
_BALANCE: Final = """
select b.balance_micros from tandem.fund_balance b join tandem.account a on a.id = b.account_id where a.name = %s
"""
_RATE: Final = """
select c.per_min_micros, c.first_s, c.next_s, c.connect_micros, c.forbidden
  from tandem.tariff t join tandem.rate r using (rate_set_id)
  join tandem.rate_class c on c.rate_set_id = r.rate_set_id and c.idx = r.class_idx
 where t.id = %s and r.prefix = %s
"""


def _minute(database: Database, tariff: int, prefix: str) -> int | None:
    """Return what a minute costs by a tariff's rate of exactly this prefix; None without one."""
    rows = database.run(_RATE, tariff, prefix)
    return price(Rate(*rows[0]), 60) if rows else None


def test_counts(demo: Database) -> None:
    """The world has what the scenarios call in."""
    assert demo.run(_COUNTS) == [(3, 4, 2, 7, 4, 3, 2, 2, 2)]


def test_loads_once(demo_database: Database) -> None:
    """A second load is refused and changes nothing."""
    with pytest.raises(psycopg.Error, match="the demo world is for an empty database"):
        load_seed(demo_database.connection, "world.sql", "demo.sql")
    assert demo_database.one("select count(*) from tandem.account") == 8


def test_passwords(demo: Database) -> None:
    """The hashes are those of <user>-secret, by the rule of RFC 7616."""
    for user, domain, md5, sha256 in demo.run(
        "select username, domain, ha1_md5, ha1_sha256 from sync.subscriber where ha1_md5 <> ''"
    ):
        text = f"{user}:{domain}:{user}-secret".encode()
        assert md5 == hashlib.md5(text, usedforsecurity=False).hexdigest()
        assert sha256 == hashlib.sha256(text).hexdigest()


def test_patterns_run_in_the_workers(demo: Database) -> None:
    """What Postgres accepts the workers accept."""
    for (pattern,) in demo.run(_PATTERNS):
        assert compile_pattern(pattern).fault == "", pattern


def test_cheapest_carriers(demo: Database) -> None:
    """A minute is cheapest where the head comment says, so that the demo shows different carriers."""
    decks = dict(demo.run("select name::text, tariff_id from tandem.peering_group"))
    for prefix, cheapest in CHEAPEST.items():
        prices = {name: cost for name, deck in decks.items() if (cost := _minute(demo, deck, prefix)) is not None}
        assert min(prices, key=prices.__getitem__) == cheapest, prefix


def test_every_level_earns(demo: Database) -> None:
    """An account pays more than its parent pays, and the topmost reseller more than any carrier costs."""
    accounts = {
        id_: (parent, tariff)
        for id_, parent, tariff in demo.run("select id, parent_id, tariff_id from tandem.account where tariff_id > 0")
    }
    decks = [deck for (deck,) in demo.run("select tariff_id from tandem.peering_group")]
    for parent, tariff in accounts.values():
        below = [accounts[parent][1]] if parent in accounts else decks
        for prefix in PREFIXES:
            sells = _minute(demo, tariff, prefix)
            assert sells is not None
            assert all(sells > (_minute(demo, cost, prefix) or 0) for cost in below), (tariff, prefix)


def test_balances(demo: Database) -> None:
    """Opening balances came through the ledger."""
    assert demo.run(
        "select a.name::text, b.balance_micros, b.credit_limit_micros from tandem.fund_balance b"
        " join tandem.account a on a.id = b.account_id order by a.id"
    ) == [
        ("North", 500_000_000, 0),
        ("South", 200_000_000, 0),
        ("Fjord", 100_000_000, 0),
        ("Alpha", 20_000_000, 0),
        ("Beta", 20_000_000, 0),
        ("Gamma", 0, 10_000_000),
        ("Delta", 0, 0),
    ]
    assert demo.one("select sum(amount_micros) from tandem.ledger_entry") == 0


def test_a_world_in_ten_lines(demo: Database) -> None:
    """A scenario adds its own tree beside the demo's with the words of world.sql."""
    demo.run(b"""
        select world.reseller('S1', 'Tandem', 'wholesale', 1);
        select world.tariff('S1', 'retail', 'EUR', '44', '0.02 30/6 +0.01', '1900', 'forbidden');
        select world.customer('S1 customer', 'S1', 'retail', 0.5, 2);
        select world.limits('S1', 10, 2);
        select world.domain('s1.example', 'S1');
        select world.subscriber('zoe@s1.example', 'S1 customer', 'pw', '442079461000');
        select world.did('442079461000', 'zoe@s1.example');
        select world.trusted('zoe@s1.example', '127.0.3.0/24', 'tcp', '^sip:zoe@');
        select world.carrier_of('S1', 's1 own', '127.0.4.1', 5080, '44', '0.001');
        select world.server('s1 own', 'second', '127.0.4.2', 5080, 5);
        select world.rule('s1 own', '4420', '^sip:', '', true);
        select world.inbound('s1 own', 'to', 'user', '^44', 404, 'Not Here');
        select world.rewrite('S1', 'r', 'caller_in', '^0', '44');
        select world.tariff('S1', 'retail', 'EUR', '44', '0.03');
    """)
    tariff = demo.one("select tariff_id from tandem.account where name = 'S1 customer'")
    assert demo.run(_RATE, tariff, "44") == [(30_000, 1, 1, 0, False)]
    assert demo.run("select version, state from tandem.rate_set where tariff_id = %s order by 1", tariff) == [
        (1, "ready"),
        (2, "ready"),
    ]


def test_a_chain_in_one_line(demo: Database) -> None:
    """A reseller of the root, its customer with a balance, and the customer's line with its own number."""
    demo.run("select world.chain('s2', '88802')")
    assert demo.run("""
        select s.username || '@' || d.name, s.cli, a.name, p.name, r.name
          from tandem.subscriber s join tandem.sip_domain d on d.id = s.sip_domain_id
          join tandem.account a on a.id = s.account_id join tandem.account p on p.id = a.parent_id
          join tandem.account r on r.id = p.parent_id where d.name = 's2.example'
    """) == [("alice@s2.example", "888021000001", "s2-customer", "s2-reseller", "Tandem")]
    tariffs = [
        demo.one("select tariff_id from tandem.account where name = %s", name)
        for name in ("s2-customer", "s2-reseller")
    ]
    assert [demo.run(_RATE, tariff, "88802") for tariff in tariffs] == [
        [(12_000, 60, 60, 0, False)],
        [(9_000, 60, 60, 0, False)],
    ]
    assert [demo.one(_BALANCE, name) for name in ("s2-customer", "s2-reseller")] == [10_000_000, 50_000_000]


def test_the_words_of_money(demo: Database) -> None:
    """Periods, decks, inbound rates, exchange, limits, thresholds, locks and movements, by names and in units."""
    demo.run(b"""
        select world.period('night', 'Mon-Sun 00:00-06:00', 'Sun 22:00-24:00'), world.period('weekend', 'Fri-Mon');
        select world.tariff('North', 'dollars', 'USD',
          '44', '0.02 30/6 +0.01 min 0.05 @night 0.01+0.02 @weekend 0.015');
        select world.tariff_option('North', 'dollars', onnet => 'other', round_to => 0.01);
        select world.deck('North', 'dollars', '2031-01-01', '44', '0.03');
        select world.inbound_rates('North', 'dollars', '4420', '0.001');
        select world.exchange('USD', 'EUR', 0.9);
        select world.exchange('USD', 'EUR', 0.91);
        select world.customer('Epsilon', 'North', 'dollars', 5, 1, currency => 'EUR');
        select world.limits('Epsilon', 9, day => 2, month => 20);
        select world.threshold('Epsilon', 'day', 1.5, 'foreign'), world.lock('Epsilon', 'outgoing');
        select world.money('Epsilon', 'debit', 0.5), world.overcommit('North', 10);
        select world.carrier_in('Tandem', 'yank', 'USD', '127.0.4.9', 5080, '44', '0.001');
        select world.carrier_limits('yank', owed => 10, day => 5);
    """)
    assert demo.run(
        "select balance_micros, credit_limit_micros, currency from tandem.fund_balance"
        " where account_id = (select a.id from tandem.account a where a.name = 'Epsilon')"
    ) == [(4_500_000, 1_000_000, "EUR")]
    assert demo.run("select rate from tandem.exchange_rate order by valid_from") == [
        (Decimal("0.9"),),
        (Decimal("0.91"),),
    ]
    assert demo.run("select name, spans from tandem.rate_period order by idx") == [
        ("night", [Range(day * 1440, day * 1440 + 360) for day in range(7)] + [Range(6 * 1440 + 1320, 7 * 1440)]),
        ("weekend", [Range(day * 1440, day * 1440 + 1440) for day in (4, 5, 6, 0)]),
    ]
    assert demo.run("select period_idx, per_min_micros, connect_micros from tandem.rate_class_period order by 1") == [
        (0, 10_000, 20_000),
        (1, 15_000, 0),
    ]


def test_new_prices_where_a_deck_is_in_force(demo: Database) -> None:
    """A tariff that is said again comes into force then too: as another deck."""
    demo.run("select world.deck('North', 'retail', '2020-01-01', '44', '0.5')")
    demo.run("select world.tariff('North', 'retail', 'EUR', '44', '0.6')")
    assert demo.run(
        "select c.per_min_micros from tandem.rate_class c where c.rate_set_id ="
        " (select rate_set_id from tandem.tariff_deck order by valid_from desc limit 1)"
    ) == [(600_000,)]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("select world.account_id('Nobody')", "world: 0 accounts are called Nobody"),
        ("select world.customer('X', 'North', 'none')", "world: North has no tariff none"),
        ("select world.did('442079469999', 'x@a.example')", "world: there is no subscriber x@a.example"),
        ("select world.rule('nobody', '44')", "world: 0 carriers are called nobody"),
        ("select world.subscriber('x@none.example', 'Alpha')", "world: there is no domain none.example"),
        ("select world.tariff('North', 'x', 'EUR', '44')", "world: prices come in pairs of prefix and price"),
        ("select world.tariff('North', 'x', 'EUR', '44', 'cheap')", "world: cheap is no price"),
        (
            "select world.tariff('North', 'x', 'EUR', '44', '1 @never 2')",
            "world: there is no period never; say world.period first",
        ),
        ("select world.period('x', 'Mon 8-9')", "world: Mon 8-9 is no span of the week"),
        ("select world.period('x', 'Man')", "world: Man is no span of the week"),
    ],
)
def test_a_mistake_in_a_world_is_named(demo: Database, call: str, message: str) -> None:
    """A world that names what is not there fails at that line instead of silently lacking it."""
    assert demo.refused(call.encode()) == message
