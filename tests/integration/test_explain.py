"""`tandem explain` on the demo world: the live decision, what it costs, what the funds have; and calls of the past."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kemi.adapters.redis_client import RedisClient
from kemi.adapters.redis_funds import Balance, FundTerms
from kemi.adapters.redis_purses import Purse, full
from kemi.core.amounts import amount
from kemi.core.outcome import OUT
from kemi.records import Status
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.errors import OperatorError
from tools.explain.command import explain
from tools.explain.data import sides
from tools.explain.past import Past, PastAttempt, PastCall, billed, ended, not_used
from tools.explain.request import Origin, origin

UK = "00442071234567"
KEYS = [
    "verdict", "reason", "status", "caller", "callee", "chain", "candidates", "rejected", "trace", "generation",
]  # fmt: skip
DEAR = "dearer than level 2 pays"
UNREACHED = [0, 3, 2, "blue/two", "", 0, "", 0, ""]
DEARER = [31, 4, 8, "bell/[one]", "44", 90_000, "EUR", 180, DEAR]
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PAST = PastCall(
    "r1", "past@ua", NOON, NOON, NOON, "out", "alice@a.example", 5, "442079460001", "442071234567", "answered", 200, "",
    16, "caller", 20_000, 20, [], [], 1, 0,
)  # fmt: skip


@pytest.fixture
def pair(
    demo_database: Database, redis_client: RedisClient, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> SyncPair:
    """Sync the demo world, and let the command find it."""
    made = SyncPair(demo_database, redis_client, redis_url)
    made.once()
    monkeypatch.setenv("DATABASE_URL", made.database.dsn)
    monkeypatch.setenv("REDIS_URL", made.redis_url)
    monkeypatch.setenv("COLUMNS", "200")
    return made


@pytest.fixture
def asked(pair: SyncPair, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the command with --json and return what it printed."""
    assert pair.outbox_is_empty()

    def ask(**options: Any) -> Any:
        explain(**options, as_json=True)
        return json.loads(capsys.readouterr().out)

    return ask


def test_a_routed_call(asked: Any) -> None:
    """Ten keys: who, the chain with rates and balances, carriers cheapest first, the trace of a live call."""
    found = asked(from_="alice@a.example", to=UK)
    assert list(found) == KEYS
    assert (found["verdict"], found["reason"], found["status"]) == ("route", "", 0)
    assert (found["caller"], found["callee"]) == ("442079460001", "442071234567")
    assert [each["name"].split("/")[0] for each in found["candidates"]] == ["acme", "blue", "crown"]
    assert all(each["tried"] for each in found["candidates"])
    assert found["candidates"][0]["next_hop"] == "sip:127.0.1.1:5080;transport=udp"
    assert [each["place"] for each in found["candidates"]] == [1, 2, 3]
    assert found["rejected"] == []
    assert [(level["account"], level["side"]) for level in found["chain"]] == [("Alpha", "out"), ("North", "out")]
    assert [level["rate"]["per_min_micros"] for level in found["chain"]] == [20_000, 8_000]
    assert [level["rate"]["prefix"] for level in found["chain"]] == ["4420", "4420"]
    assert [level["fund"]["balance_micros"] for level in found["chain"]] == [20_000_000, 500_000_000]
    assert [level["fund"]["talk_s"] for level in found["chain"]] == [14_400, 14_400]
    assert any("digest proves sub alice@a.example" in sentence for sentence in found["trace"])
    assert any("→" in sentence and "rule" in sentence for sentence in found["trace"])
    assert found["generation"] > 1 << 32


def test_what_the_expected_call_costs_and_why_a_carrier_is_left_out(asked: Any, pair: SyncPair) -> None:
    """True cost, by the destination's expected length; a disabled carrier and one that sells at a loss are named."""
    pair.sql("select world.destination('4420', 240)")
    pair.sql("update tandem.peering_group set enabled = false where name = 'acme'")
    pair.sql("select world.carrier('dear', '127.0.1.9', 5080, '4420', '0.5')")
    pair.once()
    found = asked(from_="alice@a.example", to=UK)
    first = found["candidates"][0]
    assert (first["name"], first["cost_micros"], first["currency"], first["expected_s"]) == (
        "blue/blue", 18_000, "EUR", 240,
    )  # fmt: skip
    left_out = {each["name"].split("/")[0]: each["reason"] for each in found["rejected"]}
    assert set(left_out) == {"acme", "dear"}
    assert "disabled" in left_out["acme"]
    assert left_out["dear"] == "dearer than level 2 pays"  # North: the root owns it


def test_more_candidates_than_attempts_are_told_and_marked(asked: Any, pair: SyncPair) -> None:
    """All of them in order; those that one call does not reach are not tried."""
    pair.sql("update tandem.account set attempts_max = 2 where name = 'Alpha'")
    pair.once()
    found = asked(from_="alice@a.example", to=UK)
    assert [each["tried"] for each in found["candidates"]] == [True, True, False]
    assert found["candidates"][2]["ruri"] == ""


def test_a_draw_is_told_and_is_that_of_the_nodes(
    asked: Any, pair: SyncPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is equal is drawn, call by call: one order would be taken for the only one."""
    drawn = "the order among equals is drawn for each call: of 100, first comes "
    alone = asked(from_="alice@a.example", to=UK)["trace"]
    assert alone[-1].startswith("what nodes remember of servers that failed lately is not looked at")
    pair.sql("update tandem.account set routing = '{weight}'")
    pair.once()
    monkeypatch.delenv("TANDEM_SECRET", raising=False)
    monkeypatch.setenv("RUN_DIR", str(tmp_path))
    unknown = asked(from_="alice@a.example", to=UK)["trace"][-1]
    assert unknown.startswith(drawn)
    assert unknown.endswith("their secret is not known here (TANDEM_SECRET), so nodes draw another order")
    orders = set[tuple[str, ...]]()
    for n in range(12):
        (tmp_path / "secret").write_text(f"of the stack, the {n}th\n")
        by_file = asked(from_="alice@a.example", to=UK)
        monkeypatch.setenv("TANDEM_SECRET", f"of the stack, the {n}th")
        by_variable = asked(from_="alice@a.example", to=UK)
        monkeypatch.delenv("TANDEM_SECRET")
        assert by_file["trace"] == by_variable["trace"]
        assert by_file["candidates"] == by_variable["candidates"]
        assert by_file["trace"][-1].startswith(drawn)
        assert "secret" not in by_file["trace"][-1]
        orders.add(tuple(each["name"] for each in by_file["candidates"]))
    assert len(orders) > 1


def test_a_refusal_has_the_same_keys(asked: Any) -> None:
    """Reason, status, and whose chain it is; no price was reached."""
    found = asked(from_="alice@a.example", to="001900123456")
    assert list(found) == KEYS
    assert (found["verdict"], found["reason"], found["status"]) == ("reject", "forbidden", 403)
    assert [level["account"] for level in found["chain"]] == ["Alpha", "North"]
    assert found["chain"][0]["rate"] is None
    assert found["candidates"] == []


def test_a_caller_whom_nobody_knows(asked: Any) -> None:
    """A challenge has them too."""
    found = asked(from_="nobody@a.example", to=UK)
    assert list(found) == KEYS
    assert (found["verdict"], found["reason"], found["status"]) == ("challenge", "challenge", 407)
    assert found["chain"] == []


def test_at_another_time(asked: Any, pair: SyncPair) -> None:
    """The clock moves, the tables do not: a rule of the night takes calls at night."""
    pair.sql("select world.time_set('Tandem', 'night', 'UTC', '{Mo-Su 20:00-24:00}')")
    pair.sql(
        "update tandem.peering_rule set time_set_id = (select id from tandem.time_set)"
        " where group_id = (select id from tandem.peering_group where name = 'acme')"
    )
    pair.once()
    at_noon = asked(from_="alice@a.example", to=UK, at="2026-11-24T12:00")
    at_night = asked(from_="alice@a.example", to=UK, at="2026-11-24T22:30+01:00")
    assert [found["candidates"][0]["name"] for found in (at_noon, at_night)] == ["blue/blue", "acme/acme"]
    assert any("time set" in each["reason"] for each in at_noon["rejected"])


def test_a_price_in_another_currency_that_changes_with_the_clock(
    asked: Any, pair: SyncPair, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the payee earns and what the fund pays for it, when the price changes, and which side it is."""
    busy = ", ".join(f"'Mon-Sun {hour:02}:00-{hour + 3:02}:00'" for hour in (0, 6, 12, 18))
    pair.sql(f"select world.period('busy', {busy})")
    pair.sql("select world.exchange('USD', 'EUR', 0.92)")
    pair.sql("select world.tariff('North', 'dollars', 'USD', '44', '0.02 min 0.05 @busy 0.03')")
    pair.sql("select world.tariff_option('North', 'dollars', rounding => 'half_even', round_to => 0.01)")
    dollars = "(select id from tandem.tariff where name = 'dollars')"
    pair.sql(f"update tandem.account set tariff_id = {dollars} where name = 'Alpha'")  # noqa: S608  a constant
    pair.once()
    found = asked(from_="alice@a.example", to=UK)
    rate = found["chain"][0]["rate"]
    assert (rate["currency"], rate["fund_currency"], rate["exchange_nanos"]) == ("USD", "EUR", 920_000_000)
    assert (rate["minute_micros"], rate["minute_charge_micros"]) == (50_000, 46_000)
    assert {band["per_min_micros"] for band in rate["bands"]} == {20_000, 30_000}
    explain(from_="alice@a.example", to=UK)
    out = capsys.readouterr().out
    for part in ("0.05 USD (half even to 0.01)", "0.046 EUR (1 USD = 0.92 EUR)", "→ 0.0", "UTC"):
        assert part in " ".join(out.split())


def test_the_same_for_people(pair: SyncPair, capsys: pytest.CaptureFixture[str]) -> None:
    """Headline, trace, and four tables; nobody's name moves the cursor or makes it bold."""
    pair.sql("update tandem.account set name = '[bold]A\u202eB' where name = 'Alpha'")
    pair.sql("update tandem.peering_group set enabled = false where name = 'acme'")
    pair.once()
    explain(caller="alice@a.example", callee=UK)
    out = capsys.readouterr().out
    assert out.startswith("ROUTE out: 2 targets, funds pay for ")
    for part in ("Candidates, in order", "Left out", "Prices", "Funds", "acme", "0.02 EUR", "configuration generation"):
        assert part in out
    assert "[bold]A\\u202eB" in out.replace("\n", "")


@pytest.mark.parametrize(
    ("options", "verdict", "words"),
    [
        ({"from_": "sip:442079460012@x", "to": UK, "source": "127.0.2.1/udp"}, "route", "is sub pbx@a.example"),
        ({"from_": "+4915112345678", "to": "+442079460001", "source": "127.0.1.1:5080/udp"}, "route", "is peer acme"),
        ({"from_": "anonymous", "to": "442079460001", "source": "127.0.1.1"}, "reject", "inbound rule"),
        ({"from_": "447700900000", "to": UK, "subscriber": "anna@a.example"}, "reject", "caller ID 447700900000"),
        ({"to": UK, "subscriber": "anna@a.example"}, "route", "digest proves sub anna@a.example"),
        ({"from_": "442079460001", "to": UK, "account": 5}, "route", "alice@a.example"),
        ({"from_": "alice@a.example", "to": "112"}, "route", "emergency number 112"),
        ({"from_": "alice@a.example", "to": "hello"}, "reject", "hello"),
    ],
)
def test_whoever_may_call(asked: Any, options: dict[str, Any], verdict: str, words: str) -> None:
    """By digest, by trusted address, as a peer; with a claimed number; for an account's first subscriber."""
    found = asked(**options)
    assert found["verdict"] == verdict
    assert any(words in sentence for sentence in found["trace"])


def test_a_call_to_a_line_of_ours(asked: Any) -> None:
    """The one candidate is the line, and both chains are told."""
    found = asked(from_="alice@a.example", to="02079460011")
    assert [each["name"] for each in found["candidates"]] == ["bob@a.example"]
    assert {level["side"] for level in found["chain"]} == {"out", "in"}


def test_a_fund_that_could_not_pay(asked: Any, pair: SyncPair) -> None:
    """What the store would say to the hold as the funds stand is the verdict; the carriers are told all the same."""
    found = asked(from_="dave@b.example", to="0044207123456")
    assert (found["verdict"], found["reason"]) == ("reject", "no_credit")
    assert found["chain"][0]["fund"]["talk_s"] == 0
    assert [each["name"] for each in found["candidates"]] == ["acme/acme", "blue/blue", "crown/crown"]
    assert "hold refused by level 1" in found["trace"][-1]
    pair.sql("select tandem.topup_v1(id, 5000000, 'test', 'test') from tandem.account where name = 'Delta'")
    pair.once()
    assert asked(from_="dave@b.example", to="0044207123456")["verdict"] == "route"


@pytest.mark.parametrize(
    ("terms", "taken", "word"),
    [
        (None, {}, "status"),
        (FundTerms(1, 0, status=Status.SUSPENDED), {}, "status"),
        (FundTerms(1, 0, channels_max=1), {"channels": 1}, "channels"),
        (FundTerms(1, 0, channels_max=2), {"channels": 1}, ""),
        (FundTerms(1, 0, channels_out_max=1), {"channels": 1, "channels_out": 1}, "channels_out"),
        (FundTerms(1, 0, channels_in_max=1), {"channels": 1, "channels_in": 1}, ""),
    ],
)
def test_a_fund_that_takes_no_call(terms: FundTerms | None, taken: dict[str, Any], word: str) -> None:
    """In the store's words, for the side that the call is on: here it leaves."""
    empty = Balance("5:EUR", terms, charged_micros=0, held_micros=0, channels=0, n=0)
    assert full(Purse(5, 1, OUT, empty._replace(**taken), 0)) == word


def test_how_far_the_poorest_fund_goes(asked: Any) -> None:
    """20 EUR at 0.10 30/6; everybody else pays for the longest call."""
    found = asked(from_="bob@a.example", to="07911123456")
    assert [level["fund"]["talk_s"] for level in found["chain"]] == [12_000, 14_400, 14_400]


def test_a_past_call(pair: SyncPair, capsys: pytest.CaptureFixture[str]) -> None:
    """From the CDR and its payments: outcome, attempts, trace, prices."""
    pair.sql(
        "insert into tandem.cdr(rid, call_id, node, started_at, answered_at, ended_at, direction, source, account_id,"
        " caller, callee, outcome, sip_status, ended_by, talk_ms, billed_s, attempts, trace, config_pass)"
        " values ('r1', 'past@ua', 'node1', now(), now(), now(), 'out', 'alice@a.example', 5, '442079460001',"
        " '442071234567', 'answered', 200, 'callee', 58500, 59, '[[7, 503], [8, 200]]',"
        " E'{rule 12: 00 → +,\"caller \\u202e\"}', (7::bigint << 32) + 5)"
    )
    pair.sql(
        "insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, tariff_id, prefix, book,"
        " fund_currency, charged_micros)"
        " values ('r1', 1, 5, 2, 'EUR', 19667, 6, '4420', 'fund', 'EUR', 19667),"
        " ('r1', 2, 2, 1, 'USD', 10000, 7, '44', 'fund', 'EUR', 9200),"
        " ('r1', 1, 1, 1, 'EUR', 2950, 1, '4420', 'cost', null, null)"
    )
    explain(call_id="past@ua")
    out = capsys.readouterr().out
    for part in (
        "ANSWERED: 200, Q.850 0, talked 58.5 s, ended by callee",
        "Payments for 59 s",
        "rule 12: 00 → +",
        "tried server 7: 503",
        f"configuration generation {(7 << 32) + 5}",
        "caller \\u202e",
        "0.019667 EUR",
        "0.01 USD",
        "0.0092 EUR",
        "the carrier",
    ):
        assert part in out
    explain(call_id="past@ua", as_json=True)
    call = json.loads(capsys.readouterr().out)[0]
    assert [leg["price_micros"] for leg in call["legs"]] == [19_667, 10_000, 2_950]
    assert set(KEYS) <= set(call)
    assert (call["verdict"], call["generation"]) == ("route", (7 << 32) + 5)
    assert [(each["server_id"], each["status"]) for each in call["candidates"]] == [(7, 503), (8, 200)]


def test_a_past_hunt_and_its_configuration(pair: SyncPair, capsys: pytest.CaptureFixture[str]) -> None:
    """A record per attempt: which server, what it said or why it was not asked, how soon it rang; and since when."""
    pair.sql("insert into tandem.generation(config_pass, applied_at) values (1000, '2026-11-22T04:00Z')")
    pair.sql(
        "insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller,"
        " callee, outcome, sip_status, attempts, config_pass)"
        " values ('r3', 'hunt@ua', 'node1', now(), now(), 'out', 'alice@a.example', 5, '442079460001',"
        " '442071234567', 'answered', 200, '[[1, 503], [2, 200]]', 1005)"
    )
    pair.sql(
        "insert into tandem.cdr_attempt(rid, n, server_id, status, asked_at, ended_at, pdd_ms, why)"
        " select 'r3', v.n, s.id, v.status, now(), now(), v.pdd_ms, v.why from tandem.peering_server s"
        " join (values ('acme', 1, 503, null, 'cps'), ('blue', 2, 200, 1500, '')) as v(name, n, status, pdd_ms, why)"
        " using (name)"
    )
    explain(call_id="hunt@ua")
    out = capsys.readouterr().out
    assert "tried server 1 (acme/acme): 503 (cps)\n" in out
    assert "tried server 2 (blue/blue): 200, rang after 1.5 s\n" in out
    assert "configuration generation 1005, in force since 2026-11-22 04:00:00 UTC" in out
    explain(call_id="hunt@ua", as_json=True)
    call = json.loads(capsys.readouterr().out)[0]
    assert [(each["name"], each["status"]) for each in call["candidates"]] == [("acme/acme", 503), ("blue/blue", 200)]


def test_a_past_call_of_a_group_says_whose_phones_rang_and_who_answered(
    pair: SyncPair, capsys: pytest.CaptureFixture[str]
) -> None:
    """By the target's number and its line; a record of before has neither, and there is no server 0."""
    pair.sql(
        "insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller,"
        " callee, outcome, sip_status, attempts, left_out) values ('r5', 'group@ua', 'node1', now(), now(), 'internal',"
        " 'alice@a.example', 5, '442079460001', '442071234567', 'answered', 200, '[[0, 480], [0, 200]]', %s)",
        json.dumps([UNREACHED]),
    )
    pair.sql(
        "insert into tandem.cdr_attempt(rid, n, server_id, status, asked_at, ended_at, pdd_ms, why, place, name) values"
        " ('r5', 1, 0, 480, now(), now(), 400, 'ring', 1, 'bob@a.example'), ('r5', 2, 0, 486, now(), now(), null, '',"
        " null, ''), ('r5', 3, 0, 200, now(), now(), 300, '', 0, 'eva@c.example')"
    )
    explain(call_id="group@ua")
    out = capsys.readouterr().out
    assert "tried target 2 (bob@a.example): 480 (ring), rang after 0.4 s\n" in out
    assert "tried target 1 (eva@c.example): 200, rang after 0.3 s\n" in out
    assert "tried somebody whom the record does not name: 486\n" in out
    assert "not asked: target 1 (eva@c.example) took the call\n" in out
    assert "server 0" not in out
    explain(call_id="group@ua", as_json=True)
    call = json.loads(capsys.readouterr().out)[0]
    assert [(each["target"], each["name"], each["status"]) for each in call["candidates"]] == [
        (2, "bob@a.example", 480),
        (0, "", 486),
        (1, "eva@c.example", 200),
    ]


def test_a_past_call_says_which_carriers_were_not_used(pair: SyncPair, capsys: pytest.CaptureFixture[str]) -> None:
    """Those that the decision left out, with its reason; and candidates whose turn never came, with who came before."""
    pair.sql(
        "insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller,"
        " callee, outcome, sip_status, attempts, hidden, left_out, trace)"
        " values ('r4', 'left@ua', 'node1', now(), now(), 'out', 'alice@a.example', 5, '442079460001', '442071234567',"
        " 'answered', 200, '[[1, 200]]', true, %s, '{group 9 (told) not eligible: it is disabled}')",
        json.dumps([DEARER, UNREACHED, [30, 9, 0, "told", "44", 0, "", 0, "it is disabled"]]),
    )
    explain(call_id="left@ua")
    out = capsys.readouterr().out
    assert "not used: bell/[one] by rule 31: dearer than level 2 pays\n" in out
    assert "not used: blue/two: not asked: server 1 took the call\n" in out
    assert out.count("it is disabled") == 1, "what the trace says is not said again"
    assert "442079460001 (hidden)" in out
    explain(call_id="left@ua", as_json=True)
    call = json.loads(capsys.readouterr().out)[0]
    assert [each["reason"] for each in call["rejected"]] == [
        DEAR,
        "not asked: server 1 took the call",
        "it is disabled",
    ]
    assert call["rejected"][0] | {"rule_id": 31, "name": "bell/[one]", "cost_micros": 90_000} == call["rejected"][0]
    assert (call["hidden"], "left_out" in call) == (True, False)


@pytest.mark.parametrize(
    ("outcome", "statuses", "told"),
    [
        ("refused", [], "the call was refused (no_credit)"),
        ("cancelled", [0], "the caller hung up before its turn came"),
        ("failed", [503, 486], "the answer of server 2 (b/2), 486, ended the hunt"),
        ("answered", [503, 200], "server 2 (b/2) took the call"),
        ("unknown_end", [], "whom the call was sent to is not known"),
    ],
)
def test_why_the_turn_of_a_candidate_never_came(outcome: str, statuses: list[int], told: str) -> None:
    """Its record tells: who took the call, or what ended the hunt before."""
    call = PAST._replace(outcome=outcome, reason="no_credit", left_out=[[0, 3, 9, "c/9", "", 0, "", 0, ""]])
    attempts = [PastAttempt(n, f"b/{n}", status) for n, status in enumerate(statuses, 1)]
    assert [choice.why for choice in not_used(Past(call, [], attempts))] == [f"not asked: {told}"]


def test_a_past_refusal_names_the_level(pair: SyncPair, capsys: pytest.CaptureFixture[str]) -> None:
    """The account whose limit it was, by its number."""
    pair.sql(
        "insert into tandem.cdr(rid, call_id, node, started_at, ended_at, direction, source, account_id, caller,"
        " callee, outcome, sip_status, reason, q850, refused_by)"
        " values ('r2', 'refused@ua', 'node1', now(), now(), 'out', 'alice@a.example', 5, '442079460001',"
        " '442071234567', 'refused', 403, 'spend_day', 21, 2)"
    )
    explain(call_id="refused@ua")
    out = capsys.readouterr().out
    assert "REFUSED: 403 spend_day at account 2, Q.850 21" in out
    assert "Payments" not in out


@pytest.mark.parametrize(
    ("by", "told"),
    [
        ("caller", ", ended by caller"),
        ("money", ", ended by money (more talk was refused: a fund or its cap was at its end)"),
        ("store_down", ", ended by store_down (Redis could not be asked for more talk)"),
        ("", ""),
    ],
)
def test_a_past_call_says_what_ended_it(by: str, told: str) -> None:
    """In the record's word, and in plain ones where it is not a person."""
    assert ended(PAST._replace(ended_by=by)) == told


@pytest.mark.parametrize(
    ("talk_ms", "told"),
    [
        (19_400, "Payments for 20 s"),
        (20_049, "Payments for 20 s"),
        (40_400, "Payments for 20 s: no more was granted, the other 20.4 s are our loss"),
    ],
)
def test_a_past_call_says_why_less_is_billed_than_was_talked(talk_ms: int, told: str) -> None:
    """Nobody pays for what was not granted; a blink of an eye is not worth a word."""
    assert billed(PAST._replace(talk_ms=talk_ms)) == told


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"call_id": "never@ua"}, "no call with Call-ID 'never@ua' is settled"),
        ({"from_": "alice@a.example"}, "name --from and --to"),
        ({"to": UK}, "name --from and --to"),
        ({"from_": "1", "to": "2", "account": 4_711}, "account 4711 has no active subscriber"),
        ({"from_": "1", "to": "2", "source": "acme/udp"}, "'acme/udp' is no source"),
        ({"from_": "1", "to": "2", "source": "127.0.0.1:70000/udp"}, "is no source"),
        ({"from_": "1", "to": "2", "source": "127.0.0.1/sctp"}, "is no source"),
        ({"from_": "1", "to": "2", "at": "tomorrow"}, "'tomorrow' is no time"),
    ],
)
def test_what_cannot_be_explained_is_said(pair: SyncPair, options: dict[str, Any], sentence: str) -> None:
    """One sentence that says what is wrong."""
    assert pair.outbox_is_empty()
    with pytest.raises(OperatorError, match=sentence):
        explain(**options)


def test_an_unloaded_redis_is_said(pair: SyncPair) -> None:
    """Without configuration nothing can be decided."""
    pair.redis.execute("FLUSHALL")
    with pytest.raises(OperatorError, match="holds no configuration yet"):
        explain(from_="alice@a.example", to=UK)


@pytest.mark.parametrize(
    ("micros", "text"), [(0, "0.00"), (12_000, "0.012"), (-1_500_000, "-1.50"), (1, "0.000001"), (20_000_000, "20.00")]
)
def test_amounts_are_exact(micros: int, text: str) -> None:
    """At least two decimals, never rounded."""
    assert amount(micros) == text


@pytest.mark.parametrize(
    ("direction", "payments", "told"),
    [
        ("out", [(5, 2), (2, 1)], ["out", "out"]),
        ("in", [(8, 2), (2, 1)], ["in", "in"]),
        ("internal", [(5, 2), (2, 1), (8, 2), (2, 1)], ["out", "out", "in", "in"]),
        ("internal", [(5, 1), (5, 1)], ["out", "in"]),
        ("out", [], []),
    ],
)
def test_a_payment_stands_on_one_side(direction: str, payments: list[tuple[int, int]], told: list[str]) -> None:
    """The caller's chain up to the root, then the called number's."""
    assert sides(direction, payments) == told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("203.0.113.7/udp", Origin("203.0.113.7", 5060, "udp")),
        ("203.0.113.7:5080/TCP", Origin("203.0.113.7", 5080, "tcp")),
        ("203.0.113.7", Origin("203.0.113.7", 5060, "udp")),
        ("[2001:DB8::7]:5080/tls", Origin("2001:db8::7", 5080, "tls")),
        ("2001:db8::7/udp", Origin("2001:db8::7", 5060, "udp")),
        ("[2001:db8::7]/udp", Origin("2001:db8::7", 5060, "udp")),
    ],
)
def test_a_source_is_an_address_a_port_and_a_transport(text: str, told: Origin) -> None:
    """IPv6 with or without brackets; an address is told in one spelling."""
    assert origin(text) == told
