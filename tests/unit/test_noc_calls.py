"""Calls as the NOC sees them: filters, pages, what they have left, and ending many."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kemi import noc
from kemi.adapters import ksr_dlg_var, ksr_noc, ksr_plan, ksr_queue, ksr_sides
from kemi.adapters.ksr_plan import Asked, Outcome
from kemi.adapters.ksr_queue import HangUp
from kemi.adapters.ksr_shared import BUSY
from kemi.core.sides import CALLER, Side
from kemi.noc_calls import LEFT, SHOWN, WANTED
from kemi.records import Attempt
from tests.fakes.calls import STARTED_MS, leg
from tests.fakes.calls import call as pinned
from tests.fakes.ksr import FakeKsr
from tests.fakes.locations import SETTINGS
from tools import noc_ask

NOW_MS = STARTED_MS + 100_000
CHAIN = (leg(1, 7, 3), leg(2, 3, 2), leg(3, 2, 1))
PAID = ksr_noc.Paid(60, ("7:EUR", "line5:", "3:EUR"), (60_000, 0, 30_000))


def asked(ksr: FakeKsr, command: object, ticket: str = "42") -> dict[str, Any]:
    """Return an answer, its pages joined; each fits into the smallest reply of kamcmd."""
    noc.serve(ksr, SETTINGS, f"{command} {ticket}", 1, NOW_MS)
    key, pages = f"reply:{ticket}", []
    while key in ksr.tables["noc"]:
        text = str(ksr.tables["noc"].pop(key))
        assert len(text.encode()) <= noc.PAGE_MAX < 32 * 1024
        pages.append(json.loads(text))
        key = f"reply:{ticket}:{len(pages) + 1}"
    assert [page.get("pages", 1) for page in pages] == [len(pages)] * len(pages)
    return noc_ask.joined(pages)


def show(ksr: FakeKsr, rid: str, answered_ms: int = 0, server_id: int = 0, started_ms: int = STARTED_MS) -> None:
    call = pinned(rid, CHAIN)._replace(started_ms=started_ms)
    ksr_noc.show_call(ksr, call.rid, (ksr_noc.head(call), ksr_noc.paid_part(PAID)), answered_ms, server_id)


@pytest.fixture
def ksr() -> FakeKsr:
    """Give a node with one call that talks, and one that rings at server 31."""
    fake = FakeKsr()
    show(fake, "talks", answered_ms=NOW_MS - 20_500, server_id=32)
    show(fake, "rings", started_ms=STARTED_MS + 1)
    fake.tables[BUSY]["rings"] = "31"
    return fake


def test_a_call_is_told_with_its_accounts_and_what_is_left_of_its_grant(ksr: FakeKsr) -> None:
    talks, rings = asked(ksr, "calls")["calls"]
    assert (talks["chain"], talks["left_s"], talks["left_micros"]) == ([1, 2, 3, 7], 40, None)
    assert talks["levels"] == [
        {"account": 7, "fund": "7:EUR", "held_micros": 60_000, "left_micros": None},
        {"account": 3, "fund": "3:EUR", "held_micros": 30_000, "left_micros": None},
    ]
    assert (rings["answered_ms"], rings["server_id"], rings["left_s"]) == (0, 31, 60)


def test_what_funds_have_left_is_wanted_of_the_agent_and_then_shown(ksr: FakeKsr) -> None:
    assert asked(ksr, "calls")["is_money_known"] is False
    assert json.loads(str(ksr.tables["noc"][WANTED])) == ["7:EUR", "3:EUR"]
    ksr.tables["noc"][LEFT] = json.dumps({"7:EUR": 900, "3:EUR": None})
    answer = asked(ksr, "calls")
    assert answer["is_money_known"] is True
    assert {row["left_micros"] for row in answer["calls"]} == {900}, "no limit above is no reason to know nothing"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("account=7", ["talks", "rings"]),
        ("account=2", ["talks", "rings"]),
        ("account=9", []),
        ("server=31", ["rings"]),
        ("state=talking", ["talks"]),
        ("state=ringing", ["rings"]),
        ("caller=+4930123456", ["talks", "rings"]),
        ("callee=442071838750", ["talks", "rings"]),
        ("callee=44", []),
        ("source=alice@a.example", ["talks", "rings"]),
        ("older=100", ["talks"]),
        ("account=3 state=ringing older=1", ["rings"]),
        ("limit=1", ["talks"]),
    ],
)
def test_filters_choose_calls(ksr: FakeKsr, words: str, found: list[str]) -> None:
    answer = asked(ksr, f"calls {words}")
    assert [row["rid"] for row in answer["calls"]] == found
    assert answer["shown"] == len(found)
    assert answer["count"] == (2 if "limit" in words else len(found))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("calls 42", "42 is no filter"),
        ("calls account=", "account= is no filter"),
        ("calls account=-1", "account: -1 is no whole number from 1"),
        ("calls account=1e3", "account: 1e3 is no whole number from 1"),
        ("calls account=\u0661", "account: \u0661 is no whole number"),
        ("calls older=" + "9" * 300, "is no whole number from 0"),
        ("calls limit=0", "limit: 0 is no whole number from 1 to 5000"),
        ("calls state=waiting", "state=waiting is no filter"),
        ("calls colour=red", "colour=red is no filter"),
        ("end", "say which calls"),
        ("end limit=3", "limit=3 is no filter"),
        ("drain perhaps", "say on or off"),
        ("unregister", "say whose phones"),
    ],
)
def test_wrong_arguments_are_answered_with_the_usage(ksr: FakeKsr, words: str, why: str) -> None:
    error = asked(ksr, words)["error"]
    assert why in error
    assert f"; usage: {words.split(maxsplit=1)[0]} " in error
    assert len(error) < 400
    assert ksr_queue.take(ksr) is None


def test_hundreds_of_calls_come_in_pages_whole_and_once() -> None:
    ksr = FakeKsr()
    for at in range(700):
        show(ksr, f"rid-{at:03}", started_ms=STARTED_MS + at)
    answer = asked(ksr, "calls limit=5000")
    assert [row["rid"] for row in answer["calls"]] == [f"rid-{at:03}" for at in range(700)]
    assert (answer["count"], answer["shown"]) == (700, 700)
    assert asked(ksr, "calls")["shown"] == SHOWN


def test_a_row_that_fits_no_page_is_null_and_the_others_come() -> None:
    texts = noc.pages({"count": 3, "calls": [{"rid": "a"}, {"rid": "b" * noc.PAGE_MAX}, {"rid": "c"}], "others": []})
    assert all(len(text) <= noc.PAGE_MAX for text in texts)
    assert noc_ask.joined([json.loads(text) for text in texts]) == {
        "count": 3,
        "calls": [{"rid": "a"}, None, {"rid": "c"}],
        "others": [],
    }
    assert json.loads(*noc.pages({"text": "x" * noc.PAGE_MAX})) == {"error": "the answer is too long"}


def ring(ksr: FakeKsr, rid: str, cseq: int = 2) -> str:
    """Let Kamailio have a call that rings, as the worker leaves it; return its Call-ID."""
    ksr_sides.put(ksr, rid, CALLER, Side("from-tag", "sip:a@a.example", "192.0.2.1", "sip:192.0.2.1", cseq=cseq))
    ksr_dlg_var.put(ksr, "rid", rid)
    ksr_plan.note(ksr, 0, Asked(31, 5_000_000, STARTED_MS + 5, 0, 60, 90_000, place=1, cseq=2))
    return pinned(rid, CHAIN).call_id


def test_what_filters_choose_is_ended_whether_it_talks_or_rings(ksr: FakeKsr) -> None:
    call_id = ring(ksr, "rings")
    assert asked(ksr, "end account=7") == {"ending": 2, "not_yet": 0, "ringing": 0}
    assert [ksr_queue.take(ksr), ksr_queue.take(ksr)] == [HangUp("talks"), None]
    assert ksr.did("tmx.t_reply_callid") == [(call_id, "2", 480, "Temporarily Unavailable")]
    told = ksr_plan.outcome(ksr)
    assert (told.status, told.is_cancelled, told.reason) == (480, False, "noc")
    assert told.attempts == (Attempt(31, 0, STARTED_MS + 5, NOW_MS, -1, "", 1),)


def test_a_call_whose_caller_has_sent_more_is_found_by_the_number_of_its_invite(ksr: FakeKsr) -> None:
    """His PRACK may wait for its answer, and would get the call's."""
    ring(ksr, "rings", cseq=4)
    assert asked(ksr, "end rings") == {"ending": "rings"}
    assert [cseq for _, cseq, *_ in ksr.did("tmx.t_reply_callid")] == ["2"]


def test_a_call_that_kamailio_does_not_find_rings_on_as_it_was(ksr: FakeKsr) -> None:
    ring(ksr, "rings")
    ksr.results["tmx.t_reply_callid"] = -1
    assert asked(ksr, "end server=31") == {"ending": 0, "not_yet": 0, "ringing": 1}
    assert "cannot be ended now" in asked(ksr, "end rings")["error"]
    assert ksr_plan.outcome(ksr) == Outcome(0, is_cancelled=False, attempts=())
    assert asked(ksr, "end account=99")["error"] == "no call here is like that"


def test_a_call_with_the_call_id_of_another_one_is_not_ended_by_it(ksr: FakeKsr) -> None:
    """Whoever is called knows it, and may call with it: then his end must not be that of the other call."""
    ring(ksr, "rings")
    call = pinned("forged", CHAIN)._replace(call_id=pinned("rings", CHAIN).call_id)
    ksr_noc.show_call(ksr, "forged", (ksr_noc.head(call), ksr_noc.paid_part(PAID)), 0, 0)
    assert asked(ksr, "end account=7 state=ringing") == {"ending": 0, "not_yet": 0, "ringing": 2}
    assert "cannot be ended now" in asked(ksr, "end rings")["error"]
    assert ksr.did("tmx.t_reply_callid") == []


@pytest.mark.parametrize("gone", ["caller", "dialog", "asked"])
def test_a_call_that_is_not_there_yet_or_any_more_is_left_alone(ksr: FakeKsr, gone: str) -> None:
    ring(ksr, "rings")
    if gone == "caller":
        ksr_sides.forget(ksr, "rings")
    elif gone == "dialog":
        ksr_dlg_var.put(ksr, "rid", "another")
    else:
        ksr_dlg_var.drop(ksr, "asked0")
    assert "cannot be ended now" in asked(ksr, "end rings")["error"]
    assert ksr.did("tmx.t_reply_callid") == []


def test_no_more_calls_are_ended_at_once_than_the_queue_takes() -> None:
    ksr = FakeKsr()
    ksr.queue_max = 5
    for at in range(9):
        show(ksr, f"rid-{at}", answered_ms=1)
    assert asked(ksr, "end account=7") == {"ending": 5, "not_yet": 4, "ringing": 0}


def test_a_row_of_the_release_before_is_shown(ksr: FakeKsr) -> None:
    """A reload finds rows that the older code has written."""
    row = json.loads(str(ksr.tables["calls"]["talks"]))
    for name in ("chain", "levels", "granted_s"):
        del row[name]
    ksr.tables["calls"]["talks"] = json.dumps(row)
    assert asked(ksr, "calls state=talking")["calls"][0]["left_s"] is None
    assert asked(ksr, "calls account=7")["count"] == 1


def test_the_commands_are_told_and_a_number_for_a_ticket_is_one() -> None:
    ksr = FakeKsr()
    assert {each["usage"] for each in asked(ksr, "help", "7")["commands"]} >= {"status", "drain on|off"}
    noc.serve(ksr, SETTINGS, 42, 1, NOW_MS)
    assert "say a command, then a ticket" in json.loads(str(ksr.tables["noc"]["reply:42"]))["error"]
    assert "no command bogus; commands: help, status" in asked(ksr, "bogus")["error"]


def test_a_process_tells_its_code_what_it_has_seen_and_its_last_error() -> None:
    ksr = FakeKsr()
    for pid in (11, 12):
        ksr_noc.publish_process(ksr, 1, pid, "generation 1")
    ksr_noc.publish_error(ksr, 12, "request: " + "x" * 999, NOW_MS)
    ksr.tables["noc"]["cache:11"] = json.dumps(
        {"pid": 11, "generation": 8, "record_hits": 90, "rate_hits": 5, "record_misses": 5, "rate_misses": 0}
    )
    ksr.tables["store"]["down"] = "1"
    first, second = asked(ksr, "status")["processes"]
    assert (first["pid"], first["code"], first["generation"], first["hit_rate"]) == (11, "generation 1", 8, 0.95)
    assert (first["breaker"], first["last_error"]) == ("open", None)
    assert (second["generation"], second["hit_rate"], second["last_error_ms"]) == (None, None, NOW_MS)
    assert len(second["last_error"]) == ksr_noc.ERROR_MAX
