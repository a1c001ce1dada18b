"""`tandem explain --as`: what an account may know of a call of its lines, live and past, and nothing of those above."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import pytest

from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.errors import OperatorError
from tools.explain.command import explain

UK: Final = "00442071234567"
TRACE: Final = (
    "digest proves sub alice@a.example",
    "rule {rewrite}: 00442071234567 → 442071234567",
    "level 1 account {Alpha} pays 0.02 EUR/min by tariff {retail} prefix 4420",
    "level 2 account {North} pays 0.008 EUR/min by tariff {wholesale} prefix 4420",
    "group {crown} (crown) not eligible: it is disabled",
    "candidate 1: server {server} (acme/acme) by rule 1, costs 0.009 EUR for 180 s",
    "the moon is full",
)
CDR: Final = """
insert into tandem.cdr(rid, call_id, node, started_at, answered_at, ended_at, direction, source, account_id, caller,
                       callee, outcome, sip_status, reason, ended_by, talk_ms, billed_s, attempts, trace, hidden,
                       left_out, refused_by)
values ('r1', 'past@ua', 'node1', now(), now(), now(), %(direction)s, 'alice@a.example', %(Alpha)s, '442079460001',
        '442071234567', 'answered', 200, %(reason)s, 'callee', 58500, 59, '[]', %(trace)s, true, %(left_out)s,
        %(North)s)
"""
LEGS: Final = """
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, tariff_id, prefix, book,
                           fund_currency, charged_micros)
values ('r1', 1, %(Alpha)s, %(North)s, 'EUR', 19667, %(retail)s, '4420', 'fund', 'EUR', 19667),
       ('r1', 2, %(North)s, %(Tandem)s, 'EUR', 7867, %(wholesale)s, '4420', 'fund', 'EUR', 7867),
       ('r1', 0, %(Tandem)s, %(Tandem)s, 'EUR', 2950, 1, '4420', 'cost', null, null)
"""
CALLED: Final = """
insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, tariff_id, prefix, book,
                           fund_currency, charged_micros)
values ('r1', 3, %(Beta)s, %(Fjord)s, 'EUR', 100, 0, '', 'fund', 'EUR', 100),
       ('r1', 4, %(Fjord)s, %(North)s, 'EUR', 50, 0, '', 'fund', 'EUR', 50),
       ('r1', 5, %(North)s, %(Tandem)s, 'EUR', 5, 0, '', 'fund', 'EUR', 5)
"""
ATTEMPTS: Final = """
insert into tandem.cdr_attempt(rid, n, server_id, asked_at, ended_at, status, pdd_ms)
select 'r1', 1, id, now(), now(), 200, 900 from tandem.peering_server where name = 'acme'
"""
Told = Callable[..., Any]


@pytest.fixture
def demo_world(demo_database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Let the command find the demo world with an operator's rights."""
    monkeypatch.setenv("DATABASE_URL", demo_database.server.dsn(demo_database.name, "tandem_tool"))
    monkeypatch.setenv("COLUMNS", "300")
    return demo_database


@pytest.fixture
def pair(demo_world: Database, redis_client: RedisClient, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> SyncPair:
    """Sync the demo world."""
    made = SyncPair(demo_world, redis_client, redis_url)
    made.once()
    monkeypatch.setenv("REDIS_URL", made.redis_url)
    return made


@pytest.fixture
def told(demo_world: Database, capsys: pytest.CaptureFixture[str]) -> Told:
    """Run the command with --json and return what it printed."""
    assert demo_world.run("select 1") == [(1,)]

    def ask(**options: Any) -> Any:
        explain(**options, as_json=True)
        return json.loads(capsys.readouterr().out)

    return ask


def ids(world: Database) -> dict[str, Any]:
    """Return name -> id of what the past call names."""
    found: dict[str, Any] = dict(world.run("select name::text, id from tandem.account"))
    found |= dict(world.run("select name::text, id from tandem.peering_group"))
    found["retail"] = world.one("select tariff_id from tandem.account where name = 'Alpha'")
    found["wholesale"] = world.one("select tariff_id from tandem.account where name = 'North'")
    found["server"] = world.one("select id from tandem.peering_server where name = 'acme'")
    found["rewrite"] = world.one(
        "select r.id from tandem.rewrite_rule r join tandem.rewrite_set s on s.id = r.rewrite_set_id"
        " where s.name = 'as dialled in the UK' and r.pattern = '^00'"
    )
    return found


def past(world: Database, direction: str = "out", reason: str = "") -> dict[str, Any]:
    """Let there be a call of alice's; return the ids of whom it names."""
    known = ids(world)
    left_out = [[31, known["crown"], 3, "crown/crown", "44", 9_000, "EUR", 180, "it is disabled"]]
    values = known | {
        "direction": direction,
        "reason": reason,
        "trace": [sentence.format_map(known) for sentence in TRACE],
        "left_out": json.dumps(left_out),
    }
    for statement in (CDR, LEGS, ATTEMPTS):
        world.connection.execute(statement, values)
    return known


def grant(world: Database) -> None:
    """Let North see the carriers of those above it by name."""
    granted = (
        "insert into tandem.account_grant(account_id, right_name) values (%s, 'carriers_seen') on conflict do nothing"
    )
    world.run(granted, ids(world)["North"])


def withhold(world: Database) -> None:
    """Let nobody but the root see its carriers."""
    world.run("delete from tandem.account_grant where right_name = 'carriers_seen'")


def test_a_customer_reads_of_its_past_call_what_is_its_own(demo_world: Database, told: Told) -> None:
    """Its price and the rule that it uses; no level above, no carrier, no node, and no account that refused."""
    known = past(demo_world)
    (call,) = told(call_id="past@ua", as_account="Alpha")
    trace = [sentence.format_map(known) for sentence in TRACE]
    assert call["trace"] == [trace[0], trace[2]]
    assert [(leg["payer"], leg["payee"], leg["price_micros"]) for leg in call["legs"]] == [("Alpha", None, 19_667)]
    assert (call["candidates"], call["rejected"], call["node"], call["refused_by"]) == ([], [], "", 0)
    assert (call["caller"], call["source"], call["legs"][0]["payee_id"]) == ("442079460001", "alice@a.example", 0)


def test_a_reseller_reads_its_own_price_and_its_childs(demo_world: Database, told: Told) -> None:
    """North owns the rewrite set of its domain; the carriers are Tandem's, and named only by grant."""
    withhold(demo_world)
    known = past(demo_world)
    (call,) = told(call_id="past@ua", as_account="North")
    trace = [sentence.format_map(known) for sentence in TRACE]
    assert call["trace"] == trace[:4]
    assert [leg["price_micros"] for leg in call["legs"]] == [19_667, 7_867]
    assert call["refused_by"] == known["North"]
    grant(demo_world)
    (call,) = told(call_id="past@ua", as_account="North")
    assert call["trace"] == [*trace[:4], "candidate 1: carrier acme"]
    assert [(each["server_id"], each["name"], each["status"]) for each in call["candidates"]] == [(0, "acme", 200)]
    assert call["rejected"] == []


def test_a_carrier_of_the_same_name_tells_nothing_of_those_above(demo_world: Database, told: Told) -> None:
    """Names are each account's to choose: which carrier it is, says its server."""
    withhold(demo_world)
    known = past(demo_world)
    demo_world.run(
        "insert into tandem.peering_group(account_id, name, tariff_id) select account_id, 'acme', id from tandem.tariff"
        " where id = %s",
        known["retail"],
    )
    (call,) = told(call_id="past@ua", as_account="North")
    assert not [sentence for sentence in call["trace"] if "candidate" in sentence]
    assert call["candidates"] == []


def test_the_root_reads_all(demo_world: Database, told: Told) -> None:
    """Named or not: nothing is hidden from the platform."""
    known = past(demo_world)
    for root in ("", "Tandem"):
        (call,) = told(call_id="past@ua", as_account=root)
        assert call["trace"] == [sentence.format_map(known) for sentence in TRACE]
        assert len(call["legs"]) == 3


def test_the_called_reads_his_side(demo_world: Database, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither number nor line of a caller who hides, nor that he is on the same platform; and nothing of his trace."""
    known = past(demo_world, "internal", "offline")
    demo_world.connection.execute(CALLED, known)
    (call,) = told(call_id="past@ua", as_account="Beta")
    assert (call["direction"], call["caller"], call["source"], call["account_id"]) == ("in", "anonymous", "", 0)
    assert (call["trace"], call["reason"]) == ([], "")
    assert [leg["price_micros"] for leg in call["legs"]] == [100]
    (call,) = told(call_id="past@ua", as_account="Alpha")
    assert call["reason"] == "called_unavailable"
    explain(call_id="past@ua", as_account="Beta")
    shown = capsys.readouterr().out
    assert "anonymous (hidden) → 442071234567 in" in shown
    assert " on node1" not in shown


def test_whose_phones_rang_is_told_to_whom_they_belong(demo_world: Database, told: Told) -> None:
    """Not to who called, and of others' beside them nothing."""
    known = past(demo_world, "internal")
    demo_world.connection.execute(CALLED, known)
    demo_world.run("delete from tandem.cdr_attempt")
    demo_world.run(
        "insert into tandem.cdr_attempt(rid, n, server_id, status, why, place, name)"
        " values ('r1', 1, 0, 480, 'ring', 1, 'carol@b.example'), ('r1', 2, 0, 200, '', 0, 'pbx@a.example')"
    )
    for reader, names in (
        ("Beta", ["pbx@a.example"]),
        ("Fjord", ["pbx@a.example"]),
        ("Alpha", []),
        ("", ["carol@b.example", "pbx@a.example"]),
    ):
        (call,) = told(call_id="past@ua", as_account=reader)
        assert [each["name"] for each in call["candidates"]] == names


@pytest.mark.parametrize("reader", ["South", "Gamma"])
def test_a_call_of_others_is_not_there(demo_world: Database, told: Told, reader: str) -> None:
    """In the words for one that never was."""
    past(demo_world)
    for call_id in ("past@ua", "never@ua"):
        with pytest.raises(OperatorError, match=f"no call with Call-ID '{call_id}' is settled"):
            told(call_id=call_id, as_account=reader)


def test_a_call_as_it_would_go_now(pair: SyncPair, told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    """Verdict, its own prices, its own fund; no carrier, no price and no fund of those above."""
    withhold(pair.database)
    known = ids(pair.database)
    found = told(from_="alice@a.example", to=UK, as_account="Alpha")
    assert (found["verdict"], found["callee"]) == ("route", "442071234567")
    assert [level["account"] for level in found["chain"]] == ["Alpha"]
    assert found["chain"][0]["rate"]["per_min_micros"] == 20_000
    assert found["chain"][0]["fund"]["balance_micros"] == 20_000_000
    assert (found["candidates"], found["rejected"]) == ([], [])
    text = json.dumps(found)
    for name in ("acme", "blue", "crown", "North", "Tandem", "127.0.1.", f"account {known['North']}"):
        assert name not in text
    by_north = told(from_="alice@a.example", to=UK, as_account="North")
    assert [level["account"] for level in by_north["chain"]] == ["Alpha", "North"]
    explain(from_="alice@a.example", to=UK, as_account="North")
    shown = capsys.readouterr().out
    assert shown.startswith("ROUTE out: funds pay for 14400 s")
    assert "acme" not in shown


def test_own_carriers_are_told_in_full(pair: SyncPair, told: Told) -> None:
    """Their server, price and next hop; those of the root beside them only by name, where that is granted."""
    pair.sql("select world.carrier_of('North', 'nordic', '127.0.1.9', 5080, '4420', '0.001')")
    grant(pair.database)
    pair.once()
    found = told(from_="alice@a.example", to=UK, as_account="North")
    own, *others = found["candidates"]
    assert (own["name"], own["cost_micros"], own["next_hop"]) == (
        "nordic/nordic",
        3_000,
        "sip:127.0.1.9:5080;transport=udp",
    )
    assert {each["name"] for each in others} == {"acme", "blue", "crown"}
    assert {(each["cost_micros"], each["next_hop"], each["group_id"]) for each in others} == {(0, "", 0)}
    assert any(sentence.startswith("candidate 1: server ") for sentence in found["trace"])
    assert [each["name"] for each in told(from_="alice@a.example", to=UK, as_account="Alpha")["candidates"]] == []


@pytest.mark.usefixtures("pair")
def test_who_is_called_is_not_told(told: Told) -> None:
    """Alpha calls a line of Fjord's customer: it learns neither its name nor what it pays."""
    found = told(from_="alice@a.example", to="02079460011", as_account="Alpha")
    assert (found["verdict"], found["candidates"]) == ("route", [])
    assert "bob" not in json.dumps(found)
    assert [level["side"] for level in found["chain"]] == ["out"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"from_": "carol@b.example", "to": UK}, "subscriber: 'carol@b.example' does not exist"),
        ({"from_": "never@b.example", "to": UK}, "subscriber: 'never@b.example' does not exist"),
        ({"to": UK, "account": 99_999}, "account: '99999' does not exist"),
        (
            {"from_": "+4915112345678", "to": "+442079460001", "source": "127.0.1.1/udp"},
            "source: 127.0.1.1 is none of your trusted sources, nor of your carriers",
        ),
        ({"from_": "442079460001", "to": UK}, "from: whoever calls so is none of your lines"),
    ],
)
def test_others_cannot_be_asked_about(pair: SyncPair, told: Told, options: dict[str, Any], sentence: str) -> None:
    """An answer would tell whose a line or an address is; what is not there is refused in the same words."""
    with pytest.raises(OperatorError) as refusal:
        told(**options, as_account="North")
    assert sentence in str(refusal.value)
    assert pair.outbox_is_empty()


@pytest.mark.usefixtures("pair")
def test_a_trusted_address_of_its_own_may_be_asked_about(told: Told) -> None:
    """The PBX behind it is Beta's line."""
    found = told(from_="sip:442079460012@x", to=UK, source="127.0.2.1/udp", as_account="Beta")
    assert (found["verdict"], found["chain"][0]["account"]) == ("route", "Beta")
    assert any("is sub pbx@a.example" in sentence for sentence in found["trace"])


@pytest.mark.usefixtures("pair")
def test_a_line_of_its_own_that_nobody_has_proven(told: Told) -> None:
    """The PBX has no password: whoever calls as it from elsewhere is asked for one, and Beta reads why."""
    found = told(from_="pbx@a.example", to=UK, as_account="Beta")
    assert (found["verdict"], found["trace"]) == ("challenge", ["digest of pbx@a.example: no credentials"])
