"""`tandem explain` on the demo world: the live decision, what it costs, what the funds have; and calls of the past."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from kemi.adapters.redis_client import RedisClient
from kemi.core.amounts import amount
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.errors import OperatorError
from tools.explain import billed, ended, explain, sides
from tools.explain_past import PastCall

UK = "00442071234567"
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
    """Carriers cheapest first, each level's price, what the poorest fund pays for, and the trace of a live call."""
    found = asked(caller="alice@a.example", callee=UK)
    assert found["decision"] == "route"
    assert found["fetches"] <= 2
    assert [target["name"].split("/")[0].split("-")[0] for target in found["targets"]] == ["acme", "blue", "crown"]
    assert [leg["rate"]["per_min_micros"] for leg in found["levels"]] == [20_000, 8_000]
    assert [leg["prefix"] for leg in found["levels"]] == ["4420", "4420"]
    assert [fund["available_micros"] for fund in found["funds"]] == [20_000_000, 500_000_000]
    assert [fund["talk_s"] for fund in found["funds"]] == [14_400, 14_400]
    assert any("digest proves sub alice@a.example" in sentence for sentence in found["trace"])
    assert any("→" in sentence and "rule" in sentence for sentence in found["trace"])


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
    found = asked(caller="alice@a.example", callee=UK)
    leg = found["levels"][0]
    assert (leg["currency"], leg["fund_currency"], leg["exchange_nanos"]) == ("USD", "EUR", 920_000_000)
    assert (leg["minute_micros"], leg["minute_charge_micros"]) == (50_000, 46_000)
    assert {band["per_min_micros"] for band in leg["bands"]} == {20_000, 30_000}
    assert [fund["side"] for fund in found["funds"]] == ["out", "out"]
    explain(caller="alice@a.example", callee=UK)
    out = capsys.readouterr().out
    for part in ("0.05 USD (half even to 0.01)", "0.046 EUR (1 USD = 0.92 EUR)", "→ 0.0", "UTC"):
        assert part in " ".join(out.split())


def test_the_same_for_people(pair: SyncPair, capsys: pytest.CaptureFixture[str]) -> None:
    """Headline, trace, and three tables."""
    assert pair.outbox_is_empty()
    explain(caller="alice@a.example", callee=UK)
    out = capsys.readouterr().out
    assert out.startswith("ROUTE out: 3 targets, funds pay for ")
    for part in ("Targets, in order", "Prices", "Funds", "acme", "0.02 EUR", "configuration as of pass"):
        assert part in out


@pytest.mark.parametrize(
    ("options", "decision", "words"),
    [
        ({"caller": "nobody@a.example", "callee": UK}, "challenge", "nobody@a.example"),
        ({"caller": "alice@a.example", "callee": "001900123456"}, "reject", "may not call it by tariff"),
        ({"caller": "sip:442079460012@x", "callee": UK, "from_ip": "127.0.2.1"}, "route", "is sub pbx@a.example"),
        ({"caller": "4915112345678", "callee": "442079460001", "from_ip": "127.0.1.1"}, "route", "is peer acme"),
        ({"caller": "anonymous", "callee": "442079460001", "from_ip": "127.0.1.1"}, "reject", "inbound rule"),
        ({"caller": "447700900000", "callee": UK, "subscriber": "anna@a.example"}, "reject", "caller ID 447700900000"),
        ({"caller": "442079460001", "callee": UK, "account": 5}, "route", "alice@a.example"),
        ({"caller": "alice@a.example", "callee": "112"}, "route", "emergency number 112"),
        ({"caller": "alice@a.example", "callee": "hello"}, "reject", "hello"),
    ],
)
def test_whoever_may_call(asked: Any, options: dict[str, Any], decision: str, words: str) -> None:
    """By digest, by trusted address, as a peer; with a claimed number; for an account's first subscriber."""
    found = asked(**options)
    assert found["decision"] == decision
    assert any(words in sentence for sentence in found["trace"])


def test_a_fund_without_money(asked: Any) -> None:
    """The call is decided, and the funds say how far it would go, or that it would be refused: nothing is held."""
    found = asked(caller="bob@a.example", callee="07911123456")
    assert [fund["talk_s"] for fund in found["funds"]] == [12_000, 14_400, 14_400]  # 20 EUR at 0.10 30/6; 4 h
    found = asked(caller="dave@b.example", callee="0044207123456")
    assert found["funds"][0]["talk_s"] == 0
    assert "funds pay for 0 s" in found["headline"]


def test_a_past_call(pair: SyncPair, capsys: pytest.CaptureFixture[str]) -> None:
    """From the CDR and its payments: outcome, attempts, trace, prices."""
    pair.sql(
        "insert into tandem.cdr(rid, call_id, node, started_at, answered_at, ended_at, direction, source, account_id,"
        " caller, callee, outcome, sip_status, ended_by, talk_ms, billed_s, attempts, trace)"
        " values ('r1', 'past@ua', 'node1', now(), now(), now(), 'out', 'alice@a.example', 5, '442079460001',"
        " '442071234567', 'answered', 200, 'callee', 58500, 59, '[[7, 503], [8, 200]]', '{rule 12: 00 → +}')"
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
        "0.019667 EUR",
        "0.01 USD",
        "0.0092 EUR",
        "the carrier",
    ):
        assert part in out
    explain(call_id="past@ua", as_json=True)
    call = json.loads(capsys.readouterr().out)[0]
    assert [leg["price_micros"] for leg in call["legs"]] == [19_667, 10_000, 2_950]


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
        ({"caller": "alice@a.example"}, "name CALLER and CALLEE"),
        ({"caller": "1", "callee": "2", "account": 4_711}, "account 4711 has no active subscriber"),
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
        explain(caller="alice@a.example", callee=UK)


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
