"""The scenario runner: bad files are refused with a sentence, and a difference is never overlooked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.errors import OperatorError
from tools.scenario.check import differences
from tools.scenario.observe import Record
from tools.scenario.spec import Scenario, discover, load

EXPECT = """
summary = "A call"
[call]
caller = "alice"
callee = "442071838750"
outcome = "answered"
carrier = "acme"
ended_by = "caller"
billed_s = [1, 2]
attempts = ["acme 200"]
trace_has = ["level 1"]
[[leg]]
level = 1
payer = "cust"
payee = "res"
price_micros = 12000
[[party]]
name = "acme"
role = "callee"
file = "uas-answer.xml"
address = "127.0.0.9"
received.INVITE = { has = ["^From: "], lacks = ["^Secret: "] }
[[party]]
name = "alice"
role = "caller"
file = "uac-plain.xml"
address = "127.0.0.8"
"""
RECORD = Record(
    rid="r", outcome="answered", status=200, reason="", ended_by="caller", billed_s=1, talk_ms=900, carrier="acme",
    trace=("level 1 pays",), attempts=("acme 200",),
    legs=((1, "cust", "res", 12000, "EUR", 12000, "EUR"),), unbalanced=(), leased=False,
)  # fmt: skip
INVITE = "INVITE sip:x SIP/2.0\nFrom: <sip:a@b>\nCall-ID: c1\n"
GOT: dict[tuple[str, str], tuple[str, ...]] = {("acme", "INVITE"): (INVITE,)}


def scenario(tmp_path: Path, text: str = EXPECT) -> Scenario:
    folder = tmp_path / "calls" / "01.a-call"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "expect.toml").write_text(text, encoding="utf-8")
    return load(folder)


def test_a_call_that_came_out_as_expected_has_no_differences(tmp_path: Path) -> None:
    """Nothing is reported when all is as the file says."""
    assert differences(scenario(tmp_path), RECORD, GOT) == []


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"outcome": "failed"}, "outcome is 'failed', expected 'answered'"),
        ({"status": 503}, "status is 503, expected 200"),
        ({"reason": "no_credit"}, "reason is 'no_credit', expected ''"),
        ({"carrier": "other"}, "carrier is 'other', expected 'acme'"),
        ({"ended_by": "money"}, "ended by is 'money', expected 'caller'"),
        ({"billed_s": 3}, "billed 3 s, expected 1…2 s"),
        ({"trace": ()}, "the trace does not say /level 1/"),
        ({"attempts": ("bel 503", "acme 200")}, "tried ['bel 503', 'acme 200'], expected ['acme 200']"),
        ({"legs": ()}, "payment missing: level 1 cust pays res 12000 micros EUR"),
        ({"unbalanced": (("EUR", 1),)}, "ledger of the call does not sum to 0: 1 EUR"),
        ({"leased": True}, "a lease of the call is left"),
    ],
)
def test_every_difference_of_the_record_is_named(tmp_path: Path, change: dict[str, object], sentence: str) -> None:
    """One wrong field of the record gives one sentence about it."""
    assert differences(scenario(tmp_path), RECORD._replace(**change), GOT) == [sentence]  # type: ignore[arg-type]


def test_attempts_count_only_where_the_file_tells_them(tmp_path: Path) -> None:
    """Most scenarios say nothing of them."""
    silent = scenario(tmp_path, EXPECT.replace('attempts = ["acme 200"]\n', ""))
    assert differences(silent, RECORD._replace(attempts=()), GOT) == []


def test_a_missing_record_is_a_difference(tmp_path: Path) -> None:
    """A call without a record fails."""
    assert differences(scenario(tmp_path), None, GOT) == ["no call detail record arrived"]


def test_what_the_far_end_received_counts(tmp_path: Path) -> None:
    """A header that should be stripped, one that is missing, and a call too many are all named."""
    bad = INVITE.replace("From: <sip:a@b>\n", "Secret: x\n")
    twice = {("acme", "INVITE"): (INVITE, bad.replace("c1", "c2"))}
    assert differences(scenario(tmp_path), RECORD, twice) == [
        "acme: 2 calls reached it, expected 1",
        "acme: INVITE lacks /^From: /",
        "acme: INVITE must not have /^Secret: /",
    ]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('role = "callee"', 'role = "kelner"', "role 'kelner' is none of callee, phone, caller"),
        ('outcome = "answered"', 'outcom = "answered"', "unknown field outcom"),
        ('attempts = ["acme 200"]', 'attempts = "acme 200"', "is not a list"),
        ('callee = "442071838750"', "", "callee is missing"),
        ("level = 1\n", 'level = 1\nprice = "x"\n', "unknown field price"),
        ("[call]", "[call", "expect.toml"),
    ],
)
def test_a_mistake_in_the_file_is_refused_with_a_sentence(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    """A typing mistake never weakens a scenario silently."""
    with pytest.raises(OperatorError, match=sentence):
        scenario(tmp_path, EXPECT.replace(old, new, 1))


def test_an_empty_area_is_an_error(tmp_path: Path) -> None:
    """Zero scenarios never count as all passed."""
    with pytest.raises(OperatorError, match="no scenario in area 'nowhere'"):
        discover(tmp_path, "nowhere")
