"""The views of schema sync are the records of kemi/records.py, column by column and value by value."""

from __future__ import annotations

from collections.abc import Callable
from types import NoneType, UnionType
from typing import Any, Final, get_args, get_origin, get_type_hints

import pytest
from psycopg import sql

from kemi import codec, keys, records
from tests.fix_postgres import Database

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
"""


@pytest.fixture
def rich(demo: Database) -> Database:
    """Return the demo world with a value in every column."""
    demo.run(RICH)
    return demo


def _rows(database: Database, view: str) -> dict[str, tuple[Any, ...]]:
    query = sql.SQL("select * from sync.{}").format(sql.Identifier(view))
    return {name: tuple(fields) for name, *fields in database.connection.execute(query)}


def _is(hint: Any, value: object) -> bool:
    """Tell whether a built value is of the field's type, all the way down; a bool is no int."""
    if isinstance(hint, UnionType):
        return any(_is(part, value) for part in get_args(hint) if part is not NoneType)
    if get_origin(hint) is tuple:
        return isinstance(value, tuple) and all(_is(get_args(hint)[0], item) for item in value)
    if issubclass(hint, tuple):
        return isinstance(value, hint) and all(_is(of, getattr(value, at)) for at, of in get_type_hints(hint).items())
    return type(value) is hint


@pytest.mark.parametrize("view", RECORDS)
def test_columns_are_the_fields(demo: Database, view: str) -> None:
    """First the aggregate's name, then the fields in their order; a field `name` is the column `label`."""
    query = sql.SQL("select * from sync.{}").format(sql.Identifier(view))
    columns = [column.name for column in demo.connection.execute(query).description or ()]
    fields = ["label" if field == "name" else field for field in RECORDS[view]._fields]
    assert columns == ["name", *fields]


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
    assert set(_rows(rich, "peering_rules")) == {"rules:1:", "rules:2:", "rules:2:44"}
    (entries,) = _rows(rich, "peering_rules")["rules:1:"]
    assert [entry[1] for entry in entries] == [1, 2, 3]


def test_fund_terms(demo: Database) -> None:
    """Each fund's terms are cver, credit, limit, status and maxima; the root has none."""
    demo.run("select world.limits('Delta', 3, 2); update tandem.account set status = 'suspended' where id = 8")
    rows = _rows(demo, "fund_terms")
    assert rows["2:EUR"] == (1, 500_000_000, 0, records.Status.ACTIVE, 0, 0)
    assert rows["7:EUR"] == (0, 0, 10_000_000, records.Status.ACTIVE, 0, 0)
    assert rows["8:EUR"] == (0, 0, 0, records.Status.SUSPENDED, 3, 2)
    assert keys.fund(1, "EUR") not in rows


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
