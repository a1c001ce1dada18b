"""What the NOC may order, in which words, and what it hears where that cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from kemi import noc
from kemi.noc_command import Desk
from kemi.settings import Limits, Settings
from tests.fakes.ksr import FakeKsr
from tools import noc_measures
from tools.cli import app
from tools.errors import OperatorError

NOWHERE = "unix:///nonexistent/redis.sock"
SETTINGS = Settings("n1", NOWHERE, b"0123456789abcdef", "", "127.0.0.1:5060", Limits())


def asked(words: str) -> dict[str, object]:
    return noc.answer(Desk(FakeKsr(), SETTINGS, 0, 0), words.split())


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("quarantine", "say carrier, server, account or source, and which; usage: quarantine carrier|"),
        ("quarantine moon 7", "say carrier, server, account or source, and which"),
        ("quarantine account", "say carrier, server, account or source, and which"),
        ("quarantine account alpha", "'alpha' is no id"),
        ("quarantine account 0", "'0' is no id"),
        ("quarantine server ٧", "is no id"),
        (f"quarantine carrier {'9' * 5000}", "is no id"),
        ("quarantine source 10.0.0.0/33", "is no address and no network"),
        ("quarantine source 0.0.0.0/0", "0.0.0.0/0 is too wide: at least /8, of IPv6 /16"),
        ("quarantine source ::ffff:10.0.0.0/100", "0.0.0.0/4 is too wide"),
        ("quarantine source 2000::/3", "2000::/3 is too wide"),
        ("quarantine account 7 for=0", "for=0: a whole number from 1 to 2592000 is wanted"),
        ("quarantine account 7 for=2592001", "a whole number from 1 to 2592000"),
        ("quarantine account 7 for=1e3", "a whole number"),
        ("quarantine account 7 600", "'600' is not understood"),
        ("quarantine account 7 minutes=6", "'minutes=6' is not understood"),
        (f"quarantine account 7 why={'x' * 201}", "why 200, all of them printable"),
        ("quarantine account 7 who=a\x07b", "not all characters of it are printable"),
        ("end \0", "not all characters of it are printable"),
        ("calls source=\udcff", "not all characters of it are printable"),
        ("unregister eva@a.example \0", "not all characters of it are printable"),
        ("unregister eva", "say a line as user@domain, and who in at most 64 characters"),
        (f"unregister {'x' * 100_000}", "say a line as user@domain"),
        (f"unregister eva@a.example {'x' * 65}", "say a line as user@domain"),
        ("release account 7 for=9", "'for=9' is not understood"),
        ("trace account 7", "say line or prefix, and which"),
        ("trace line alice", "'alice' is no line: say it as user@domain"),
        ("trace prefix +49x", "'+49x' is no prefix: say 1 to 15 digits"),
        ("trace prefix 49 minutes=61", "minutes=61: a whole number from 1 to 60 is wanted"),
        ("untrace prefix 49 minutes=1", "'minutes=1' is not understood"),
        ("quarantines all", "'all' is not understood"),
        ("loglevel 3", "level 3 is refused: there Kamailio logs hashes of passwords"),
        ("loglevel 7", "'7' is no level: say -1, 0, 1, 2, or normal"),
        ("loglevel 2 node=N_1", "'N_1' is no name of a node"),
        ("flush everything", "'everything' is no record: say KIND:NAME, as acct:7, with a kind of acct, bar, dest"),
        ("flush acct:", "'acct:' is no record"),
        ("flush moon:7", "'moon:7' is no record"),
        ("flush acct:\x07", "not all characters of it are printable"),
        (f"flush acct:{'9' * 300}", "is no record"),
        ("flush acct:7 dom:a", "'dom:a' is not understood"),
        ("explain alice@a.example", "say who calls, and whom"),
        ("explain alice@a.example sip:", "'sip:' is no number, no user@domain and no SIP URI"),
        ("explain 4930 33140 moon", "'moon' is no source: say address[:port][/transport]"),
        ("explain 4930 33140 192.0.2.7:0", "is no source"),
        ("explain 4930 33140 192.0.2.7:70000/udp", "is no source"),
        ("explain 4930 33140 192.0.2.7/smoke", "is no source"),
    ],
)
def test_what_makes_no_sense_is_told_with_the_usage(words: str, why: str) -> None:
    error = str(asked(words)["error"])
    assert why in error
    assert f"usage: {words.split(maxsplit=1)[0]}" in error


@pytest.mark.parametrize(
    "words",
    [
        *("quarantine account 7", "release account 7", "quarantines", "trace prefix +49", "untrace line a@b"),
        *("traces", "loglevel 2", "loglevel normal", "flush", "flush acct:7 why=odd"),
    ],
)
def test_without_redis_nothing_is_ordered_and_the_asker_hears_so(words: str) -> None:
    assert str(asked(words)["error"]).startswith("Redis does not take it: ")


ROW = {"kind": "account", "value": "7", "until_ms": 1_770_000_000_000, "who": "ann", "why": "a b", "node": "n1"}


@pytest.mark.parametrize(
    ("line", "sent", "answer", "read"),
    [
        (
            ["noc", "quarantine", "account", "7", "--for", "60", "--why", "a  b\nc"],
            "quarantine account 7 for=60 who=ann_b why=a b c",
            {"ordered": ROW},
            "account 7: until 2026-02-02T02:40:00Z\n",
        ),
        (["noc", "release", "account", "7"], "release account 7 who=ann_b", {"ended": ROW}, "account 7: ended\n"),
        (["noc", "quarantines"], "quarantines", {"quarantines": [ROW]}, "2026-02-02T02:40:00Z"),
        (["noc", "quarantines", "--json"], "quarantines", {"quarantines": []}, '{"quarantines": []}'),
        (
            ["noc", "trace", "prefix", "+49", "--minutes", "5"],
            "trace prefix +49 minutes=5 who=ann_b",
            {"ordered": {**ROW, "kind": "prefix"}},
            "prefix 7: until",
        ),
        (["noc", "untrace", "line", "a@b"], "untrace line a@b who=ann_b", {"ended": ROW}, "ended"),
        (["noc", "traces"], "traces", {"traces": [ROW]}, "a b"),
        (["noc", "loglevel"], "loglevel", {"level": 1, "ordered": []}, '{"level": 1, "ordered": []}'),
        (
            ["noc", "loglevel", "2", "--for", "9", "--all"],
            "loglevel 2 for=9 node=all who=ann_b",
            {"ordered": ROW},
            "until",
        ),
        (["noc", "loglevel", "normal"], "loglevel normal who=ann_b", {"ended": ROW}, "ended"),
        (
            ["noc", "explain", "4930", "33140", "192.0.2.7/udp"],
            "explain 4930 33140 192.0.2.7/udp",
            {"verdict": "route"},
            '{"verdict": "route"}',
        ),
        (
            ["noc", "flush", "sub:a@b"],
            "flush sub:a@b who=ann_b",
            {"flushed": "sub:a@b"},
            "each worker forgets sub:a@b ",
        ),
        (["noc", "flush", "--why", "odd"], "flush who=ann_b why=odd", {"flushed": "*"}, "each worker forgets"),
    ],
)
def test_the_tool_asks_a_node_in_the_node_s_words(
    line: list[str], sent: str, answer: dict[str, Any], read: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = []

    def ask(_: str, question: str) -> dict[str, Any]:
        questions.append(question)
        return answer

    monkeypatch.setattr(noc_measures, "ask", ask)
    env = {"COLUMNS": "200", "TANDEM_CTL": "/x", "TANDEM_ACTOR": "ann b"}
    result = CliRunner().invoke(app, line, env=env, catch_exceptions=False)
    assert result.exit_code == 0
    assert read in result.output
    assert questions == [sent]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (["noc", "quarantine", "account", "7 t1"], "'7 t1' is not one word"),
        (["noc", "trace", "line", ""], "'' is not one word"),
        (["noc", "measures", "--limit", "0"], "--limit 0: from 1 to 10000"),
    ],
)
def test_the_tool_refuses_what_would_be_other_words(line: list[str], why: str) -> None:
    env = {"TANDEM_CTL": "/x", "DATABASE_URL": "postgresql:///x"}
    with pytest.raises(OperatorError) as refused:
        CliRunner().invoke(app, line, env=env, catch_exceptions=False)
    assert why in str(refused.value)


def test_without_redis_nothing_is_explained() -> None:
    assert str(asked("explain alice@a.example 33140000000")["error"]).startswith("Redis does not answer: ")


def test_every_answer_is_json() -> None:
    assert json.loads(json.dumps(asked("traces")))
