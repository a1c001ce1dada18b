"""The scenario runner: bad files are refused with a sentence, and a difference is never overlooked."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tools.errors import OperatorError
from tools.scenario import sipp
from tools.scenario.check import differences
from tools.scenario.observe import Record
from tools.scenario.spec import Scenario, discover, load
from tools.stack.layout import PROJECT

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


def test_one_message_is_enough_for_what_only_some_must_have(tmp_path: Path) -> None:
    """Two calls of different numbers: each number must have come, in whichever of them."""
    told = scenario(tmp_path, EXPECT.replace("{ has", '{ some = ["sip:x ", "sip:y "], has'))
    first, second = INVITE, INVITE.replace("sip:x", "sip:y")
    assert differences(told, RECORD, {("acme", "INVITE"): (first, second)}) == []
    assert differences(told, RECORD, {("acme", "INVITE"): (first,)}) == ["acme: no INVITE has /sip:y /"]


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('role = "callee"', 'role = "kelner"', "role 'kelner' is none of callee, phone, caller"),
        ('outcome = "answered"', 'outcom = "answered"', "unknown field outcom"),
        ('attempts = ["acme 200"]', 'attempts = "acme 200"', "is not a list"),
        ('callee = "442071838750"', "", "callee is missing"),
        ("level = 1\n", 'level = 1\nprice = "x"\n', "unknown field price"),
        ("lacks = [", "lack = [", "acme received.INVITE: unknown field lack"),
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


def test_a_party_that_stands_for_several_has_addresses_in_a_row(tmp_path: Path) -> None:
    text = EXPECT.replace('name = "acme"', 'name = "acme"\ncopies = 3')
    parties = [(party.name, party.address) for party in scenario(tmp_path, text).parties]
    assert parties == [
        ("acme-1", "127.0.0.9"), ("acme-2", "127.0.0.10"), ("acme-3", "127.0.0.11"), ("alice", "127.0.0.8"),
    ]  # fmt: skip


class Ended(NamedTuple):
    """A SIPp that has ended, as its starter sees it."""

    status: int

    def wait(self, timeout: float) -> int:
        """Tell how it ended; timeout: as of a Popen."""
        assert timeout > 0
        return self.status


def _phones_told(monkeypatch: pytest.MonkeyPatch, *statuses: int) -> list[str]:
    """Let each SIPp that registers be answered with the next status; return the addresses that they began from."""
    began: list[str] = []

    def run(command: list[str], _: Path) -> Ended:
        status = statuses[len(began)]
        began.append(command[command.index("-i") + 1])
        trace = Path(command[command.index("-message_file") + 1])
        trace.write_text(
            f"{'-' * 47} now\nUDP message received [9] bytes :\n\nSIP/2.0 {status} Said\n", encoding="utf-8"
        )
        return Ended(0 if status == 200 else 1)

    monkeypatch.setattr(sipp, "run", run)
    return began


def test_a_phone_that_is_told_to_come_back_does_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only that one, and only so often: a busy machine is no reason to fail, one that is down is."""
    told = scenario(tmp_path)
    phones = [told.parties[0]._replace(address=f"127.0.0.{n}") for n in (1, 2)]
    proxy = sipp.Proxy("127.0.0.9:5060")

    began = _phones_told(monkeypatch, 200, 503, 200)
    sipp.register(told, phones, proxy, tmp_path)
    assert began == ["127.0.0.1", "127.0.0.2", "127.0.0.2"]
    _phones_told(monkeypatch, 503, 503, 503, 503, 503, 503)
    with pytest.raises(OperatorError, match="acme could not register as"):
        sipp.register(told, phones, proxy, tmp_path)


def test_a_phone_that_is_refused_does_not_ask_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong password stays one, whatever another phone is told."""
    told = scenario(tmp_path)
    phones = [told.parties[0]._replace(name=name) for name in ("one", "two")]
    began = _phones_told(monkeypatch, 503, 401)
    with pytest.raises(OperatorError, match="one could not register as"):
        sipp.register(told, phones, sipp.Proxy("127.0.0.9:5060"), tmp_path)
    assert len(began) == 2


@pytest.mark.parametrize(("own", "waits"), [("", "1000"), ("90", "90")], ids=["by default", "as said outside"])
@pytest.mark.parametrize("target", ["scenarios", "demo"])
def test_the_stack_of_a_proof_is_patient_with_redis(target: str, own: str, waits: str) -> None:
    """It waits a second for Redis, unless it is told otherwise: a busy machine is no outage."""
    env = {name: value for name, value in os.environ.items() if name != "TANDEM_REDIS_TIMEOUT_MS"}
    words = ["make", "-s", "-o", "setup", target, "TANDEM=env #"]  # it would be started with this environment
    told = {**env, "TANDEM_REDIS_TIMEOUT_MS": own} if own else env
    said = subprocess.run(words, cwd=PROJECT, env=told, check=True, capture_output=True, text=True).stdout
    assert f"TANDEM_REDIS_TIMEOUT_MS={waits}" in said.splitlines()
