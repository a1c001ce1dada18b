"""The views of schema sync are the records of kemi/records, column by column and value by value."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import pytest
from psycopg import sql

from kemi import codec, keys, records
from kemi.adapters.redis_funds import FundTerms
from tests.fix_postgres import Database

HOUR_MS: Final = 3_600_000
RECORDS: Final[dict[str, type[Any]]] = {
    "account": records.Account,
    "sip_domain": records.SipDomain,
    "subscriber": records.Subscriber,
    "sources": records.Sources,
    "masks": records.Masks,
    "number": records.Number,
    "rewrite_set": records.RewriteSet,
    "peering_group": records.PeeringGroup,
    "peering_rules": records.PeeringRules,
    "tariff": records.Tariff,
    "rate_set": records.RateSet,
    "emergency": records.Emergency,
    "exchange": records.Exchange,
    "fund_terms": FundTerms,
    "time_set": records.TimeSet,
    "barring_level": records.BarringLevel,
    "ported_number": records.PortedNumber,
    "ported_lengths": records.Lengths,
    "destinations": records.Destinations,
    "quality": records.Quality,
    "peers": records.Peers,
}
# Everything that the demo world does not use, so that no column is empty in all rows.
RICH: Final = """
insert into tandem.reply_override(account_id, reason, status, phrase) values (2, 'credit', 402, 'Top Up At North');
update tandem.account set routing = '{cost,weight}', barred = '{44900}' where id = 2;
select world.carrier_of('North', 'own', '127.0.1.4', 5080, '44', '0.001'), world.rule('own', '44');
update tandem.subscriber set rewrite_set_id = 1 where username = 'anna';
update tandem.peering_server set aliases = '{203.0.113.0/24,2001:db8:0:1::/64}' where name = 'acme';
insert into tandem.peering_server(group_id, name, address, rewrite_set_id)
select 1, 'acme six', '2001:db8::1', id from tandem.rewrite_set where name = 'plus';
insert into tandem.emergency_route(domain, number, group_ids) values ('a.example', '999', '{2}');
select world.period('weekend', 'Sat-Sun'), world.period('peak', 'Fri 08:00-18:00', 'Mon 08:00-18:00');
select world.tariff('North', 'retail', 'EUR',
  '44', '0.02 60/6 +0.01 min 0.05 @peak 0.03+0.02 @weekend 0.01', '49', '0.02 @peak 0.5');
select world.tariff_option('North', 'retail', 'Europe/Berlin', 'half_even', 0.01, 'other');
select world.deck('North', 'retail', '2031-01-01 00:00Z', '44', '0.03');
select world.deck('North', 'retail', '2032-01-01 00:00Z');
select world.inbound_rates('North', 'retail', '4420', '0.001');
select world.exchange('USD', 'EUR', 0.9), world.exchange('JPY', 'EUR', 0.006123456, '2031-01-01 00:00Z');
select world.limits('Alpha', 9, 8, 7, 6, 5, 50), world.lock('Beta', 'all'), world.carrier_limits('blue', owed => 0);
update tandem.account set timezone = 'America/New_York' where name = 'Alpha';
"""
ROUTING: Final = Path(__file__).with_name("sql_routing.sql").read_bytes()


@pytest.fixture
def rich(demo: Database) -> Database:
    """Return the demo world with a value in every column."""
    demo.run(RICH)
    demo.run(ROUTING)
    return demo


def _rows(database: Database, view: str) -> dict[str, tuple[Any, ...]]:
    """Return the rows of a view by name, without the columns that only help to find them."""
    cursor = database.connection.execute(sql.SQL("select * from sync.{}").format(sql.Identifier(view)))
    columns = [column.name for column in cursor.description or ()]
    end = next((at for at, name in enumerate(columns) if name.startswith("key_")), len(columns))
    return {name: tuple(fields[: end - 1]) for name, *fields in cursor}


def _is(hint: Any, value: object) -> bool:
    """Tell whether a built value is of the field's type, all the way down; a bool is no int."""
    if isinstance(hint, UnionType):
        return value is None or any(_is(part, value) for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is(get_args(hint)[0], item) for item in value)
    if issubclass(hint, tuple):
        return isinstance(value, hint) and all(_is(of, getattr(value, at)) for at, of in get_type_hints(hint).items())
    return type(value) is hint


@pytest.mark.parametrize("view", RECORDS)
def test_columns_are_the_fields(demo: Database, view: str) -> None:
    """First the aggregate's name, then the fields in their order; a field `name` is the column `label`.

    Columns called key_… stand last: parts of the name that an index finds, where no field is one.
    """
    query = sql.SQL("select * from sync.{}").format(sql.Identifier(view))
    columns = [column.name for column in demo.connection.execute(query).description or ()]
    fields = ["label" if field == "name" else field for field in RECORDS[view]._fields]
    keys_of_rows = [column for column in columns if column.startswith("key_")]
    assert columns == ["name", *fields, *keys_of_rows]


@pytest.mark.parametrize("view", RECORDS)
def test_rows_build(rich: Database, view: str) -> None:
    """Every row builds the record with values of the right types, and survives the wire."""
    rows = _rows(rich, view)
    assert rows
    for row in rows.values():
        record = codec.build(RECORDS[view], row)
        assert _is(RECORDS[view], record), record
        assert codec.unpack(RECORDS[view], codec.pack(record)) == record


def test_names_are_those_of_keys(rich: Database) -> None:
    """The name of a row is what kemi/keys.py calls the record."""
    owners = dict(rich.run("select id, account_id from tandem.peering_group"))
    makers: dict[str, Callable[[Any], str]] = {
        "account": lambda row: keys.account(row.id),
        "sip_domain": lambda row: keys.sip_domain(row.name),
        "subscriber": lambda row: keys.subscriber(f"{row.username}@{row.domain}"),
        "sources": lambda row: keys.sources(row.entries[0].network),
        "masks": lambda _: keys.MASKS,
        "number": lambda row: keys.number(row.number),
        "rewrite_set": lambda row: keys.rewrite_set(row.id),
        "peering_group": lambda row: keys.peering_group(row.id),
        "peering_rules": lambda row: keys.peering_rules(owners[row.entries[0].group_id], row.entries[0].callee_prefix),
        "tariff": lambda row: keys.tariff(row.id),
        "rate_set": lambda row: keys.rate_set(row.id),
        "emergency": lambda _: keys.EMERGENCY,
        "exchange": lambda _: keys.EXCHANGE,
        "time_set": lambda row: keys.time_set(row.id),
        "barring_level": lambda row: keys.barring_level(row.id),
        "ported_number": lambda row: keys.ported(row.digits),
        "ported_lengths": lambda _: keys.PORTED_LENGTHS,
        "quality": lambda _: keys.QUALITY,
        "peers": lambda _: keys.PEERS,
    }
    for view, maker in makers.items():
        for name, row in _rows(rich, view).items():
            assert name == maker(codec.build(RECORDS[view], row))


def test_who_owns_carriers(rich: Database) -> None:
    """Accounts with a peering group of their own, enabled or not, and no account above or below them."""
    rich.run("update tandem.peering_group set enabled = false")
    rows = {name: codec.build(records.Account, row) for name, row in _rows(rich, "account").items()}
    assert {name for name, account in rows.items() if account.owns_carriers} == {"acct:1", "acct:2"}


def test_rules_stand_with_the_owner_of_their_group(rich: Database) -> None:
    """Rules of two owners with the same prefix are two records."""
    assert set(_rows(rich, "peering_rules")) == {"rules:1:", "rules:1:442", "rules:2:", "rules:2:44"}
    (entries,) = _rows(rich, "peering_rules")["rules:1:"]
    assert [entry[1] for entry in entries] == [1, 2, 3]


def test_fund_terms(demo: Database) -> None:
    """Each fund's terms are cver, credit, limit, status and maxima; the root has none."""
    demo.run("select world.limits('Delta', 3, 2, 5, 4); update tandem.account set status = 'suspended' where id = 8")
    rows = _rows(demo, "fund_terms")
    assert rows["2:EUR"] == (1, 500_000_000, 0, records.Status.ACTIVE, 0, 0, 0, 0, 0, 0, [], [], None)
    assert rows["7:EUR"] == (0, 0, 10_000_000, records.Status.ACTIVE, 0, 0, 0, 0, 0, 0, [], [], None)
    assert rows["8:EUR"] == (0, 0, 0, records.Status.SUSPENDED, 3, 2, 5, 4, 0, 0, [], [], None)
    assert keys.fund(1, "EUR") not in rows


def test_windows_of_a_fund(demo: Database) -> None:
    """A day ends at midnight of the account's time zone, also where the clocks change; only what is capped is there."""
    demo.run("update tandem.account set timezone = 'Europe/Berlin' where name = 'Alpha'")
    demo.run("select world.limits('Alpha', day => 5), world.limits('Beta', month => 5)")
    demo.run("update tandem.fund_calendar set first_day = '2026-10-23'")
    alpha, beta = (codec.build(FundTerms, _rows(demo, "fund_terms")[keys.fund(account, "EUR")]) for account in (5, 6))
    assert (alpha.day_max_micros, beta.month_max_micros) == (5_000_000, 5_000_000)
    assert (alpha.months, beta.days) == ((), ())
    assert [day.id for day in alpha.days] == [*range(20261023, 20261031)]
    lengths = [(after.end_ms - day.end_ms) // HOUR_MS for day, after in pairwise(alpha.days)]
    assert lengths == [24, 25, 24, 24, 24, 24, 24]  # clocks go back on the 25th
    assert alpha.days[0].end_ms == 1792792800_000  # 24 October 00:00 +02:00
    assert [month.id for month in beta.months] == [202610, 202611, 202612]
    assert beta.months[-1].end_ms == 1798761600_000  # 1 January 2027 UTC


def test_a_new_cap_knows_its_windows_from_today_on(demo: Database) -> None:
    """However old the fund is."""
    demo.run("update tandem.fund_calendar set first_day = '2020-01-01'")
    demo.run("select world.limits('Alpha', day => 5)")
    (days,) = demo.run("select days from sync.fund_terms where name = '5:EUR'")[0]
    assert days[0][0] == demo.one("select to_char(now() at time zone 'UTC', 'YYYYMMDD')::integer")


def test_prices_of_a_rate_set(rich: Database) -> None:
    """Classes with their least price and their prices in periods; periods in their order, spans by time."""
    tariff = codec.build(records.Tariff, _rows(rich, "tariff")["tar:6"])
    rate_set = codec.build(records.RateSet, _rows(rich, "rate_set")[keys.rate_set(tariff.rate_set_id)])
    assert rate_set.periods == (
        records.Period("weekend", (records.Span(7200, 8640), records.Span(8640, 10080))),
        records.Period("peak", (records.Span(480, 1080), records.Span(6240, 6840))),
    )
    assert set(rate_set.rates) == {
        records.Rate(
            20_000, 60, 6, 10_000, False, 50_000,
            (records.PeriodPrice(0, 10_000), records.PeriodPrice(1, 30_000, 20_000)),
        ),
        records.Rate(20_000, periods=(records.PeriodPrice(1, 500_000),)),
    }  # fmt: skip


def test_a_tariff_and_its_decks(rich: Database) -> None:
    """Decks to come stand with it, as well as inbound rates and how prices are rounded."""
    tariff = codec.build(records.Tariff, _rows(rich, "tariff")["tar:6"])
    assert tariff[5:9] == ("Europe/Berlin", "half_even", 10_000, "other")
    assert rich.one("select prefix from sync.rate where rate_set_id = %s", tariff.inbound_rate_set_id) == "4420"
    first, last = tariff.decks
    assert (first.valid_from_ms, last) == (1_924_992_000_000, records.Deck(1_956_528_000_000, 0))
    assert first.rate_set_id not in (0, tariff.rate_set_id, tariff.inbound_rate_set_id)


def test_what_is_over_leaves_the_records(demo: Database) -> None:
    """What is in force at the horizon, and what begins later, stays; the tables keep everything."""
    demo.run("alter table tandem.exchange_rate disable trigger refuse_past_rate")
    demo.run("alter table tandem.tariff_deck disable trigger refuse_past_deck")
    for year, rate in ((2021, "0.1"), (2022, "0.2"), (2023, "0.3")):
        demo.run("select world.exchange('USD', 'EUR', %s, make_timestamptz(%s, 1, 1, 0, 0, 0, 'UTC'))", rate, year)
        demo.run(
            "select world.deck('North', 'retail', make_timestamptz(%s, 1, 1, 0, 0, 0, 'UTC'), '44', %s)", year, rate
        )
    demo.run("update tandem.horizon set at = '2022-01-01 00:00Z'")
    begins = [1_640_995_200_000, 1_672_531_200_000]
    (rates,) = _rows(demo, "exchange")["fx"]
    assert rates == [["USD", "EUR", begin, nanos * 10**8] for begin, nanos in zip(begins, (2, 3), strict=True)]
    assert [deck.valid_from_ms for deck in codec.build(records.Tariff, _rows(demo, "tariff")["tar:6"]).decks] == begins


def test_locked_account(rich: Database) -> None:
    """The record carries the lock as a number."""
    locks = {name: codec.build(records.Account, row).lock for name, row in _rows(rich, "account").items()}
    assert locks["acct:6"] == records.Lock.ALL
    assert set(locks.values()) == {records.Lock.NONE, records.Lock.ALL}


def test_word_for_the_time_without_redis(demo: Database) -> None:
    """Null is -1; a prepaid account gives none, whatever it says; the root has no fund, so its own word counts."""

    def words() -> dict[str, int]:
        rows = [codec.build(records.Account, row) for row in _rows(demo, "account").values()]
        return {row.name: row.offline_calls for row in rows if row.name in ("Tandem", "North", "Alpha")}

    demo.run("update tandem.fund set credit_limit_micros = 0")
    demo.run("update tandem.account set offline_calls = 3 where name <> 'Tandem'")
    assert words() == {"Tandem": -1, "North": 0, "Alpha": 0}
    demo.run("update tandem.fund set credit_limit_micros = case when account_id % 2 = 0 then -1 else 5000000 end")
    assert words() == {"Tandem": -1, "North": 3, "Alpha": 3}
    demo.run("update tandem.account set offline_calls = case name when 'Tandem' then 7 when 'Alpha' then 0 end")
    assert words() == {"Tandem": 7, "North": -1, "Alpha": 0}


def test_spent_carrier(rich: Database) -> None:
    """A carrier says which of its caps it has reached."""
    groups = {name: codec.build(records.PeeringGroup, row).spent for name, row in _rows(rich, "peering_group").items()}
    assert (groups["pg:1"], groups["pg:2"]) == ("", "balance")


def test_sources_of_a_server(rich: Database) -> None:
    """A server is a source by its address as /32 or /128 and by each alias; a mask of each length is listed."""
    rows = _rows(rich, "sources")
    acme = [name for name, (entries,) in rows.items() if any(entry[5] == 1 for entry in entries)]
    assert set(acme) == {
        "src:127.0.1.1/32",
        "src:203.0.113.0/24",
        "src:2001:db8:0:1::/64",
        "src:2001:db8::1/128",
    }
    assert _rows(rich, "masks") == {"masks": ([32, 24], [128, 64])}


def test_peer_before_trusted_source(rich: Database) -> None:
    """On one network the peer comes first, and two servers of its group are one source."""
    rich.run("select world.trusted('alice@a.example', '127.0.1.1')")
    rich.run("select world.server('acme', 'other port', '127.0.1.1', 5090)")
    (entries,) = _rows(rich, "sources")["src:127.0.1.1/32"]
    assert [(entry[1], entry[6]) for entry in entries] == [
        (records.SourceKind.PEER, 1),
        (records.SourceKind.TRUSTED, 0),
    ]


def test_disabled_things(rich: Database) -> None:
    """A disabled source identifies nobody; servers and rules that have a field for it say so; others are left out."""
    rich.run("update tandem.trusted_source set enabled = false")
    rich.run("update tandem.peering_server set enabled = false where name = 'acme'")
    rich.run("update tandem.peering_group set enabled = false where name = 'blue'")
    rich.run("update tandem.peering_rule set enabled = false where group_id = 3")
    rich.run("update tandem.inbound_rule set enabled = false where group_id = 1")
    assert set(_rows(rich, "sources")) == {"src:127.0.1.3/32", "src:127.0.1.4/32", "src:2001:db8::1/128"}
    acme = codec.build(records.PeeringGroup, _rows(rich, "peering_group")["pg:1"])
    assert [server.enabled for server in acme.servers] == [False, True]
    assert acme.inbound_rules == ()
    rules = codec.build(records.PeeringRules, _rows(rich, "peering_rules")["rules:1:"])
    assert [rule.enabled for rule in rules.entries] == [True, True, False]


def test_unassigned_number(rich: Database) -> None:
    """A number that reaches nobody yet is there, with an empty subscriber."""
    rich.run("update tandem.number set subscriber_id = null where e164 = '442079460001'")
    assert codec.build(records.Number, _rows(rich, "number")["num:442079460001"]).subscriber == ""


def test_rates_come_ordered(demo: Database) -> None:
    """A set's rates are read in order of prefix and name classes of its record; a building set is not there."""
    rates = demo.run("select prefix, class_idx from sync.rate where rate_set_id = 1 order by prefix")
    assert [prefix for prefix, _ in rates] == ["1", "1900", "33", "44", "4420", "447", "49"]
    classes = codec.build(records.RateSet, _rows(demo, "rate_set")["rset:1"]).rates
    assert [classes[index].per_min_micros for _, index in rates] == [5000, 500000, 7000, 4000, 3000, 20000, 6000]
    demo.run("insert into tandem.rate_set(tariff_id, version) values (1, 2)")
    building = demo.one("select id from tandem.rate_set where state = 'building'")
    demo.run("insert into tandem.rate values (%s, '44', 0)", building)
    assert f"rset:{building}" not in _rows(demo, "rate_set")
    assert demo.one("select count(*) from sync.rate where rate_set_id = %s", building) == 0
