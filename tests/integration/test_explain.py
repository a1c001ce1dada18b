"""`tandem explain` on the demo world: the live decision, what it costs, what the funds have; and calls of the past."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kemi.adapters.redis_client import RedisClient
from tests.fix_postgres import Database
from tests.sync_pair import SyncPair
from tools.errors import OperatorError
from tools.explain import amount, explain

UK = "00442071234567"


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
        "insert into tandem.cdr_leg(rid, level, payer_id, payee_id, currency, price_micros, tariff_id, prefix, book)"
        " values ('r1', 1, 5, 2, 'EUR', 19667, 6, '4420', 'fund'), ('r1', 1, 1, 1, 'EUR', 2950, 1, '4420', 'cost')"
    )
    explain(call_id="past@ua")
    out = capsys.readouterr().out
    for part in ("ANSWERED by callee: 200", "rule 12: 00 → +", "tried server 7: 503", "0.019667 EUR", "the carrier"):
        assert part in out
    explain(call_id="past@ua", as_json=True)
    call = json.loads(capsys.readouterr().out)[0]
    assert [leg["price_micros"] for leg in call["legs"]] == [19_667, 2_950]


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
