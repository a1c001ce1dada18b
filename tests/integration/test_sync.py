"""`tandem sync`: whatever stands in Postgres stands in Redis, and nothing else."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import psycopg
import pytest

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import FundTerms
from kemi.adapters.redis_tables import Tables
from kemi.core.outcome import Need
from kemi.core.prefix import longest
from kemi.records import CliPolicy, Masks, Rate, Status
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.errors import OperatorError
from tools.sync.command import options_from
from tools.sync.kinds import KINDS

ALPHA = "(select id from tandem.account where name = 'Alpha')"
LONG_DISABLED = """
update tandem.peering_group set enabled = false, disabled_at = now() - interval '31 days' where name = %s
"""
ALICE = "(select id from tandem.subscriber where username = 'alice')"


@pytest.fixture
def pair(demo_database: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the demo world once."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.once()
    return made


def account_id(pair: SyncPair, name: str) -> int:
    return int(pair.sql("select id from tandem.account where name = %s", name)[0][0])


def test_every_kind_arrives(pair: SyncPair) -> None:
    """Each row of each view stands in Redis as the record of its kind; there is a view for each kind, and no other."""
    pair.database.run(Path(__file__).with_name("sql_routing.sql").read_bytes())
    pair.once()
    views = {name for (name,) in pair.sql("select viewname from pg_views where schemaname = 'sync'")}
    assert views == {kind.view for kind in KINDS} | {"rate"}
    for kind in KINDS:
        rows = pair.sql(f"select * from sync.{kind.view}")  # noqa: S608  the kinds are ours
        assert rows, kind.view
        for name, *_ in rows:
            assert isinstance(kind.read(pair.redis.execute("GET", kind.key(name))), kind.record)
    pair.assert_equal()


def test_fields_arrive_where_they_belong(pair: SyncPair) -> None:
    """A subscriber, its number and its account, field by field: the views' order is the records'."""
    alpha = account_id(pair, "Alpha")
    alice = pair.record("sub:alice@a.example")
    assert (alice.username, alice.domain, alice.account_id, alice.status) == (
        "alice",
        "a.example",
        alpha,
        Status.ACTIVE,
    )
    assert re.fullmatch("[0-9a-f]{32}", alice.ha1_md5)
    assert re.fullmatch("[0-9a-f]{64}", alice.ha1_sha256)
    assert (alice.cli, pair.record("sub:anna@a.example").cli_policy) == ("442079460001", CliPolicy.REJECT)
    assert pair.record("sub:pbx@a.example").allowed_clis == ("44207946001*",)
    account = pair.record(keys.account(alpha))
    assert (account.parent_id, account.name, account.currency) == (account_id(pair, "North"), "Alpha", "EUR")
    assert pair.record("num:442079460001").subscriber == "alice@a.example"
    assert pair.record("masks") == Masks((32,), ())
    assert pair.terms(keys.fund(alpha, "EUR")) == FundTerms(1, 20_000_000, 0, Status.ACTIVE, 0, 0)


def test_rates_arrive(pair: SyncPair) -> None:
    """The longest prefix of a number, looked up as a worker does, is that of the tariff's table."""
    tables = Tables(pair.redis)
    tariff = pair.record(keys.account(account_id(pair, "Alpha"))).tariff_id
    tables.fetch(Need((keys.tariff(tariff),), "447911123456"))
    pointer: Any = tables.records[keys.tariff(tariff)]
    found = longest("447911123456", lambda field: tables.rates[pointer.rate_set_id, field])
    assert found is not None
    prefix, class_index = found
    rate_set: Any = tables.records[keys.rate_set(pointer.rate_set_id)]
    assert (prefix, rate_set.rates[class_index]) == ("447", Rate(90_000, 30, 6))


CHANGES = [
    ("update tandem.account set status = 'suspended' where name = 'North'", "acct:{North}", "status", Status.SUSPENDED),
    (
        "update tandem.subscriber set cli_policy = 'anonymise' where username = 'bob'",
        "sub:bob@a.example",
        "cli_policy",
        1,
    ),
    ("update tandem.number set status = 'suspended' where e164 = '442079460011'", "num:442079460011", "status", 1),
    ("update tandem.sip_domain set enabled = false where name = 'b.example'", "dom:b.example", "enabled", False),
    ("update tandem.peering_group set priority = 7 where name = 'blue'", "pg:{blue}", "priority", 7),
]


def test_an_update_arrives(pair: SyncPair) -> None:
    """One changed column changes one field of one record."""
    names = "select name, id from tandem.account union select name, id from tandem.peering_group"
    ids = {name: number for name, number in pair.sql(names)}  # noqa: C416  each row is a plain tuple
    for statement, name, field, value in CHANGES:
        before = pair.record(name.format(**ids))
        pair.sql(statement)
        pair.once()
        assert pair.record(name.format(**ids)) == before._replace(**{field: value}) != before
    pair.assert_equal()


def test_money_arrives_as_a_state(pair: SyncPair) -> None:
    """A top-up and a lowered limit: credit at its version and the limits, not a sequence of operations."""
    alpha = account_id(pair, "Alpha")
    pair.sql("select tandem.topup_v1(%s::bigint, 5000000, 'a test', 'test')", alpha)
    pair.sql("update tandem.fund set channels_max = 3, credit_limit_micros = 9 where account_id = %s", alpha)
    pair.once()
    assert pair.terms(keys.fund(alpha, "EUR")) == FundTerms(2, 25_000_000, 9, Status.ACTIVE, 3, 0)
    pair.sql("update tandem.account set status = 'suspended' where id = %s", alpha)
    pair.once()
    assert pair.terms(keys.fund(alpha, "EUR")).status == Status.SUSPENDED


RENAMES: list[tuple[str, dict[str, str]]] = [
    ("subscriber set username = 'alicia' where username = 'alice'", {"sub:alice@a.example": "sub:alicia@a.example"}),
    (
        "sip_domain set name = 'z.example' where name = 'b.example'",
        {"dom:b.example": "dom:z.example", "sub:carol@b.example": "sub:carol@z.example"},
    ),
    ("number set e164 = '4411' where e164 = '442079460001'", {"num:442079460001": "num:4411"}),
    ("trusted_source set network = '127.0.9.0/24' where id = 1", {"src:127.0.2.1/32": "src:127.0.9.0/24"}),
    ("peering_server set address = '127.0.1.99' where id = 1", {"src:127.0.1.1/32": "src:127.0.1.99/32"}),
    ("peering_rule set callee_prefix = '44'", {"rules:1:": "rules:1:44"}),
]


def test_a_rename_moves_the_key(pair: SyncPair) -> None:
    """The old key is gone and the new one holds the record; what names it follows."""
    for statement, renamed in RENAMES:
        assert all(pair.record(old) for old in renamed), statement
        pair.sql(f"update tandem.{statement}")
        pair.once()
        for old, new in renamed.items():
            assert pair.record(old) is None, old
            assert pair.record(new) is not None, new
        pair.assert_equal()


DELETES = [
    ("delete from tandem.number where e164 = '442079460011'", "num:442079460011"),
    ("truncate tandem.number", "num:442079460001"),
    ("delete from tandem.trusted_source where network = '127.0.2.1/32'", "src:127.0.2.1/32"),
    ("truncate tandem.trusted_source", "src:127.0.2.2/32"),
    ("truncate tandem.peering_rule", "rules:1:"),
    ("delete from tandem.subscriber where username = 'dave'", "sub:dave@b.example"),
]


def test_what_is_deleted_goes(pair: SyncPair) -> None:
    """By DELETE or by TRUNCATE, which sees no rows: the whole kind is compared then."""
    for statement, gone in DELETES:
        assert pair.record(gone) is not None
        pair.sql(statement)
        pair.once()
        assert pair.record(gone) is None
        pair.assert_equal()


def test_a_tenants_first_and_last_carrier(pair: SyncPair) -> None:
    """With the first one its account says that it owns carriers and its rules are there; with the last both end."""
    north = account_id(pair, "North")
    rules = keys.peering_rules(north, "")
    assert not pair.record(keys.account(north)).owns_carriers
    pair.sql("select world.carrier_of('North', 'own', '127.0.1.8', 5080, '44', '0.001')")
    pair.sql("select world.carrier_of('North', 'spare', '127.0.1.9', 5080, '44', '0.001')")
    for name, left in (("own", 1), ("spare", 0)):
        pair.once()
        assert pair.record(keys.account(north)).owns_carriers
        assert len(pair.record(rules).entries) == left + 1
        pair.assert_equal()
        pair.sql(LONG_DISABLED, name)
        pair.sql("delete from tandem.peering_group where name = %s", name)
    pair.once()
    assert not pair.record(keys.account(north)).owns_carriers
    assert pair.record(rules) is None
    pair.assert_equal()


def test_a_new_price_list_comes_as_a_new_set(pair: SyncPair) -> None:
    """Buckets first, then the set, then the pointer: the tariff never points to prices that are not there."""
    before = pair.record(keys.account(account_id(pair, "Alpha")))
    old = pair.record(keys.tariff(before.tariff_id)).rate_set_id
    pair.sql("select world.tariff('North', 'retail', 'EUR', '44', '0.5', '4420794', '0.7')")
    pair.once()
    new = pair.record(keys.tariff(before.tariff_id)).rate_set_id
    assert new != old
    assert set(pair.redis.execute("HKEYS", keys.rate_hash(new))) == {b"44", b"4420"}
    assert pair.redis.execute("HLEN", keys.rate_hash(old)) > 2  # open calls and late readers still find it
    pair.assert_equal()
    pair.sql("delete from tandem.rate_set where id = %s", old)
    pair.once()
    assert pair.redis.execute("EXISTS", keys.rate_hash(old)) == 0
    pair.assert_equal()


def test_two_transactions_on_one_record_that_commit_out_of_order(pair: SyncPair) -> None:
    """The later one commits and is applied first; the earlier one's part arrives all the same. Row versions lose it."""
    rule = (
        "insert into tandem.inbound_rule(group_id, priority, field, part, pattern) values (1, %s, 'from', 'user', %s)"
    )
    with pair.database.connect() as first, pair.database.connect() as second:
        first.autocommit = second.autocommit = False
        first.execute(rule, (101, "first"))
        second.execute(rule, (102, "second"))
        second.commit()
        pair.once()
        assert [rule.pattern for rule in pair.record("pg:1").inbound_rules][-1:] == ["second"]
        first.commit()
    pair.once()
    assert [rule.pattern for rule in pair.record("pg:1").inbound_rules][-2:] == ["first", "second"]
    pair.assert_equal()


TAMPERED: list[tuple[tuple[str | bytes, ...], str, str]] = [
    (("SET", keys.config("num:442079460001"), b"junk"), "num:442079460001", "cannot be read"),
    (("DEL", keys.config("sub:alice@a.example")), "sub:alice@a.example", "missing"),
    (("COPY", keys.config("masks"), keys.config("src:10.0.0.0/8")), "src:10.0.0.0/8", "only in Redis"),
    (("COPY", keys.config("acct:2"), keys.config("acct:3"), "REPLACE"), "acct:3", "differs in id"),
    (("HSET", keys.rate_hash(1), "44", b"x"), "rset:1", "bucket 44"),
    (("HSET", keys.rate_hash(1), "99", b"x"), "rset:1", "only in Redis"),
    (("HSET", keys.rate_hash(4711), "44", b"x"), "rset:4711", "only in Redis"),
    (("DEL", keys.fund_terms("3:EUR")), "3:EUR", "missing"),
    (("COPY", keys.fund_terms("3:EUR"), keys.fund_terms("999:EUR")), "999:EUR", "only in Redis"),
]


def test_verify_finds_what_was_tampered_with(pair: SyncPair) -> None:
    """A changed, a missing and an extra key or bucket: named, and a full load repairs exactly that."""
    for command, name, what in TAMPERED:
        pair.redis.execute(*command)
        found = pair.verify().differences
        assert [difference.name for difference in found] == [name]
        assert what in found[0].what
        pair.redis.execute("DEL", keys.MARKER)
        pair.once()
        pair.assert_equal()


def run_sync(pair: SyncPair, *options: str) -> int:
    with pair.syncer(*options) as process:
        return process.wait()


def test_verify_as_a_command(pair: SyncPair, capfd: pytest.CaptureFixture[str]) -> None:
    """Exit 0 and one line when all is equal; exit 1 and a line for each difference, or JSON; --once first syncs."""
    assert run_sync(pair, "--verify") == 0
    assert re.fullmatch(r"0 differences in \d+ aggregates\n", capfd.readouterr().out)
    pair.sql("update tandem.account set status = 'suspended' where name = 'North'")
    assert run_sync(pair, "--verify") == 1
    north = account_id(pair, "North")
    out = capfd.readouterr().out
    assert f"account acct:{north} differs in status\n" in out
    assert re.search(r"\n2 differences in \d+ aggregates\n$", out)
    assert run_sync(pair, "--verify", "--json") == 1
    assert {row["name"] for row in json.loads(capfd.readouterr().out)["differences"]} == {
        f"acct:{north}",
        f"{north}:EUR",
    }
    assert run_sync(pair, "--once", "--verify") == 0


def test_a_wrong_row_stops_nobody_else(pair: SyncPair) -> None:
    """A row that is no record is named; Redis keeps its last state; what else changed arrives."""
    definition = pair.sql("select pg_get_viewdef('sync.number'::regclass)")[0][0].rstrip("; \n")
    broken = re.sub(
        r"n\.account_id,",
        "nullif(n.account_id, (select 0 + id from tandem.account where name = 'Beta')) as account_id,",
        definition,
    )
    pair.sql(f"create or replace view sync.number with (security_invoker = true) as {broken}")
    pair.sql("update tandem.number set status = 'suspended'")
    with pytest.raises(OperatorError, match=r"1 wrong in Postgres.*num:442079460011: Number.account_id is None"):
        pair.once()
    assert pair.record("num:442079460011").status == Status.ACTIVE
    assert pair.record("num:442079460001").status == Status.SUSPENDED
    assert "wrong in Postgres" in pair.verify().differences[0].what


def test_missing_addresses_are_named() -> None:
    """A sentence that says which variable to set."""
    with pytest.raises(OperatorError, match="REDIS_URL is not set"):
        options_from({"DATABASE_URL": "postgresql:///x"})


def test_the_syncer_needs_no_more_than_its_role(pair: SyncPair) -> None:
    """It works as tandem_sync whoever connects, and that role cannot write configuration."""
    with pair.database.connect("tandem_sync") as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("update tandem.account set name = 'x'")
    limited = SyncPair(
        pair.database._replace(dsn=pair.database.server.dsn(pair.database.name, "tandem_sync")),
        pair.redis,
        pair.redis_url,
    )
    pair.sql("update tandem.number set status = 'suspended'")
    limited.once()
    limited.assert_equal()
