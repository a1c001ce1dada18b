"""What stands between the outbox and the truth: the sweep finds it and repairs it, without getting in anybody's way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient
from kemi.records import Status
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.sync import sweeper
from tools.sync.follow import beside
from tools.sync.kinds import BY_VIEW, KINDS, packed
from tools.sync.rates import Rates
from tools.sync.source import Source
from tools.sync.sweep import Sweep

REPLICA = "set session_replication_role = replica"  # as replicated writes: no trigger tells the outbox
MANY = """
    insert into tandem.number(account_id, e164, subscriber_id)
    select a.id, '4930' || i, s.id from generate_series(1000, %s) i, tandem.account a, tandem.subscriber s
    where a.name = 'Alpha' and s.username = 'alice'
"""
NOT_NAMES = {
    "account": ["acct:x", "acct:", "acct:9999999999999999999999", "acct:02"],
    "subscriber": ["sub:", "sub:alice", "sub:alice@", "sub:@a.example"],
    "sources": ["src:zzz", "src:127.0.2.1", "src:fe80::1%eth0", "src:127.0.2.1/24"],
    "peering_rules": ["rules:", "rules:x:44", "rules:1"],
    "fund_terms": ["EUR", "x:EUR", "3:", ":"],
    "number": ["num:", "num:x"],
}


@pytest.fixture
def pair(demo_database: Database, redis_client: RedisClient, redis_url: str) -> SyncPair:
    """Sync the demo world once, with rows of every kind."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.database.run(Path(__file__).with_name("sql_routing.sql").read_bytes())
    made.once()
    return made


@pytest.fixture
def restless(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sweep without rest, one after the other."""
    monkeypatch.setattr(sweeper, "EVERY_S", 0.0)
    monkeypatch.setattr(sweeper, "IDLE", 0)


def suspicions(pair: SyncPair) -> dict[str, list[str]]:
    """Return what one sweep finds, by kind."""
    source, store = beside(pair.options())
    found: dict[str, list[str]] = {}
    for portion in Sweep(source, store).round(KINDS):
        if portion and portion.names:
            found.setdefault(portion.kind.view, []).extend(portion.names)
    source.close()
    store.close()
    return found


def test_every_name_finds_its_row(pair: SyncPair) -> None:
    """By its columns, as a reader of the whole view finds it; what is no name of anything finds nothing."""
    source = Source.connect(pair.database.dsn, listen=False)
    for kind in KINDS:
        with source.snapshot():
            rows = dict(source.all_aggregates(kind))
        assert rows
        nonsense = NOT_NAMES.get(kind.view, [])
        assert source.aggregates(kind, [*nonsense, *rows]) == rows, kind.view
        assert source.existing(kind, [*nonsense, *rows]) == rows.keys()
        assert sorted(name for names in source.held_names(kind, 2) for name in names) == sorted(rows)
    source.close()


def test_names_are_found_by_an_index(pair: SyncPair) -> None:
    """However many rows there are: no kind of which there may be many is read as a whole."""
    pair.sql(REPLICA)
    pair.sql(MANY, 2_999)
    pair.sql("insert into tandem.trusted_source(subscriber_id, network, transport)"
             " select s.id, ('10.1.' || i / 256 || '.' || i %% 256)::cidr, %s"
             " from generate_series(1, 2000) i, tandem.subscriber s where s.username = 'alice'", "")  # fmt: skip
    pair.sql("analyze")
    with pair.database.connect("tandem_sync") as connection:
        source = Source(connection)
        for view, names in (("number", ["num:49301500"]), ("sources", ["src:10.1.1.1/32"]), ("masks", ["masks"])):
            before = _rows_read(pair)
            assert source.existing(BY_VIEW[view], names) == set(names)
            connection.execute("select pg_stat_force_next_flush()")
            assert _rows_read(pair) - before < 100, view


def _rows_read(pair: SyncPair) -> int:
    query = (
        "select coalesce(sum(seq_tup_read), 0) from pg_stat_user_tables where relname in ('number', 'trusted_source')"
    )
    return int(pair.sql(query)[0][0])


def test_what_is_equal_is_not_suspected(pair: SyncPair) -> None:
    """Of any kind, also the value of an older release, which has fewer fields."""
    assert suspicions(pair) == {}
    kind = BY_VIEW["subscriber"]
    record = pair.record("sub:carol@b.example")
    row = list(record)[:14]  # before `own_barring_id`
    pair.redis.execute("SET", kind.key("sub:carol@b.example"), codec.pack_config(1 << 32, row))
    assert pair.record("sub:carol@b.example") == record
    assert suspicions(pair) == {}


def test_rows_and_records_have_the_same_bytes(pair: SyncPair) -> None:
    """A row of a view is packed as it is where nothing is nested in it, else as a record: that makes no difference."""
    for kind in KINDS:
        for name, *row in pair.sql(f"select * from sync.{kind.view}"):  # noqa: S608  the kinds are ours
            fields = row[: len(kind.record._fields)]
            assert packed(kind, fields) == codec.pack(codec.build(kind.record, fields)), name


HIDDEN_WRITES = [
    "update tandem.subscriber set status = 'suspended' where username = 'alice'",
    "delete from tandem.number where e164 = '442079460011'",
    "insert into tandem.number(account_id, e164) values (5, '4930777')",
    "update tandem.fund set channels_max = 7 where account_id = 5",
    "update tandem.trusted_source set network = '127.0.99.0/24' where id = 1",
]


@pytest.mark.usefixtures("restless")
def test_writes_that_no_trigger_sees_are_found(pair: SyncPair) -> None:
    """Replicated, or under session_replication_role: a running syncer repairs each, counts it, and says when."""
    with pair.service():
        for number, statement in enumerate(HIDDEN_WRITES):
            before = pair.status().get("drift", 0)
            pair.sql(REPLICA)
            pair.sql(statement)
            pair.sql("reset session_replication_role")
            assert pair.outbox_is_empty(), number
            pair.wait_for(lambda: pair.status()["drift"] > before, statement)  # noqa: B023  asked at once
            pair.assert_equal()
        assert pair.status()["drift_at"] > 0
        assert pair.status()["state"] == "live"
    assert pair.record("sub:alice@a.example").status == Status.SUSPENDED
    assert pair.record("num:442079460011") is None
    assert pair.terms("5:EUR").channels_max == 7


TAMPERED: list[tuple[str | bytes, ...]] = [
    ("SET", keys.config("num:442079460001"), b"junk"),
    ("DEL", keys.config("sub:alice@a.example")),
    ("COPY", keys.config("masks"), keys.config("src:10.0.0.0/8")),
    ("COPY", keys.config("acct:2"), keys.config("acct:3"), "REPLACE"),
    ("DEL", keys.fund_terms("3:EUR")),
    ("COPY", keys.fund_terms("3:EUR"), keys.fund_terms("999:EUR")),
    ("DEL", keys.config("masks")),
]


@pytest.mark.usefixtures("restless")
def test_what_was_tampered_with_is_repaired(pair: SyncPair) -> None:
    """A changed, a missing and a foreign value of a running syncer's Redis; readers are told of each."""
    with pair.service():
        for command in TAMPERED:
            seen, _ = pair.pass_and_fence()
            pair.redis.execute(*command)
            pair.wait_for(lambda: pair.pass_and_fence()[0] > seen, str(command))  # noqa: B023  asked at once
            pair.assert_equal()
            changed = pair.redis.execute("ZRANGEBYSCORE", keys.CHANGED, f"({seen}", "+inf")
            assert changed or b"ft:" in str(command).encode()


@pytest.mark.usefixtures("restless")
def test_what_the_outbox_names_is_no_drift(pair: SyncPair) -> None:
    """Sweeps without rest beside a stream of changes find much that is about to be applied, and count none of it."""
    pair.sql(MANY, 1_400)
    pair.once()
    with pair.service():
        for change in range(150):
            status = ("suspended", "active")[change % 2]
            pair.sql("update tandem.number set status = %s where e164 like '49301%%'", status)
            pair.sql("update tandem.account set status = %s where name = 'Alpha'", status)
        pair.wait_for(pair.outbox_is_empty, "the changes")
        swept = pair.status()["swept_at"]
        pair.wait_for(lambda: pair.status()["swept_at"] > swept, "another sweep")
    assert pair.sql("select drift from tandem.sync_state") == [(0,)]
    pair.assert_equal()


@pytest.mark.usefixtures("restless")
def test_a_mass_deletion_that_no_trigger_saw_waits_for_an_operator(pair: SyncPair) -> None:
    """It is held back and said; everything else goes on; the operator's run goes before the running service."""
    pair.sql(MANY, 1_199)
    pair.once()
    with pair.service():
        pair.sql(REPLICA)
        pair.sql("delete from tandem.number where e164 like '4930%'")
        pair.sql("reset session_replication_role")
        pair.wait_for(lambda: "would be deleted" in pair.status()["held"], "the brake")
        assert pair.record("num:49301100") is not None
        pair.sql("update tandem.number set status = 'suspended' where e164 = '442079460001'")
        pair.wait_for(lambda: pair.record("num:442079460001").status == Status.SUSPENDED, "the pass")
        pair.once(accept=True)
        assert pair.record("num:49301100") is None
        _, fence = pair.pass_and_fence()
        pair.wait_for(lambda: pair.pass_and_fence()[1] > fence, "the service to come back")
        pair.wait_for(lambda: pair.status()["held"] == "", "the all-clear")
    pair.assert_equal()


def test_no_snapshot_stays_open_while_a_sweep_rests(pair: SyncPair) -> None:
    """Not even while the names of a kind are gone through: dead rows of the outbox can be cleared all the time."""
    pair.sql(MANY, 2_999)
    pair.once()
    query = """
        select count(*) filter (where backend_xmin is not null or backend_xid is not null), count(*)
        from pg_stat_activity where application_name = 'tandem sync sweep'
    """
    source, store = beside(pair.options())
    for _ in Sweep(source, store).round(KINDS):
        assert pair.sql(query) == [(0, 1)]
    source.close()
    store.close()


@pytest.mark.usefixtures("restless")
def test_the_status_says_how_sure_it_is(pair: SyncPair) -> None:
    """A flat JSON object with short values, written with each sign of life."""
    with pair.service():
        pair.wait_for(lambda: "swept_at" in pair.status(), "a sweep")
        status = pair.status()
    assert {name: type(value) for name, value in status.items()}.items() >= {
        "state": str, "fence": int, "pass": int, "outbox": int, "outbox_s": int, "sweep_s": int, "swept_at": int,
        "drift": int, "held": str, "wrong": int,
    }.items()  # fmt: skip
    assert (status["state"], status["outbox"], status["drift"], status["held"], status["wrong"]) == (
        "live",
        0,
        0,
        "",
        0,
    )
    assert status["pass"] == pair.pass_and_fence()[0]
    assert all(isinstance(value, (str, int, float)) for value in status.values())


def test_a_wrong_row_is_said(pair: SyncPair) -> None:
    """It is counted in the status, and a sweep does not take it for a difference that it could repair."""
    definition: Any = pair.sql("select pg_get_viewdef('sync.number'::regclass)")[0][0].rstrip("; \n")
    broken = definition.replace("n.account_id,", "nullif(n.account_id, 6) as account_id,", 1)
    pair.sql(f"create or replace view sync.number with (security_invoker = true) as {broken}")
    assert list(suspicions(pair)) == ["number"]
    with pair.service():
        pair.sql("update tandem.number set status = 'suspended'")
        pair.wait_for(lambda: pair.status().get("wrong") == 1, "the status")
        assert json.dumps(pair.status())
    assert pair.record("num:442079460011").status == Status.ACTIVE


@pytest.mark.usefixtures("restless")
def test_what_cannot_be_repaired_yet_is_left_to_the_outbox(pair: SyncPair, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tariff whose rates are still loaded beside the passes: a later pass writes it, also a later syncer's."""
    pair.redis.execute("DEL", keys.config("tar:6"))
    pair.sql("update tandem.sync_state set unsure = '{tariff}'")
    with monkeypatch.context() as patched:
        patched.setattr(Rates, "ready", lambda *_: [])
        with pair.service():
            pair.wait_for(lambda: not pair.outbox_is_empty(), "the outbox")
            assert pair.sql("select distinct kind, key from tandem.outbox") == [("tariff", "tar:6")]
            pair.wait_for(lambda: pair.status().get("swept_at"), "the end of a sweep of all")
            assert pair.status()["state"] == "repair"
    assert pair.record("tar:6") is None
    pair.once()
    assert pair.record("tar:6") is not None
    assert pair.sql("select unsure from tandem.sync_state") == [([],)]
    pair.assert_equal()
