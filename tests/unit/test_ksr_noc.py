"""What the NOC may ask of a node, and what it hears where that cannot be done."""

from __future__ import annotations

import json
import os
from types import SimpleNamespace
from typing import Any

import pytest

from kemi import noc
from kemi.adapters import ksr_noc, ksr_queue
from kemi.adapters.cache import Counts
from kemi.adapters.ksr_queue import HangUp
from tests.fakes.calls import call as pinned
from tests.fakes.ksr import FakeKsr
from tests.fakes.locations import SETTINGS
from tools import noc_ask

UNPAID = ksr_noc.Paid(60, (), ())
NOW_NS, NOW_MS = 10**9, 1_770_000_100_000


def ask(ksr: FakeKsr, command: str) -> Any:
    noc.serve(ksr, SETTINGS, f"{command} t1", NOW_NS, NOW_MS)
    first, *more = (str(ksr.tables["noc"][key]) for key in sorted(ksr.tables["noc"]) if key.startswith("reply:t1"))
    assert all(len(page) <= noc.PAGE_MAX for page in (first, *more))
    return noc_ask.joined([json.loads(page) for page in (first, *more)])


def test_an_answered_call_is_ended() -> None:
    ksr, call = FakeKsr(), pinned("r1", ())
    parts = ksr_noc.head(call), ksr_noc.paid_part(UNPAID)
    ksr_noc.show_call(ksr, call.rid, parts, answered_ms=1, server_id=31)

    assert ask(ksr, f"end {call.rid}") == {"ending": call.rid}
    assert ksr_queue.take(ksr) == HangUp(call.rid)


@pytest.mark.parametrize(("rid", "why"), [("abc", "no call abc here"), ("r" * 500, "no call " + "r" * 64 + " here")])
def test_a_call_that_this_node_does_not_follow_is_not_said_to_end(rid: str, why: str) -> None:
    ksr = FakeKsr()

    assert why in ask(ksr, f"end {rid}")["error"]
    assert ksr_queue.take(ksr) is None


def test_the_servers_that_the_agent_speaks_to_are_shown() -> None:
    ksr = FakeKsr()
    assert ask(ksr, "peers") == {"probes": [], "logins": [], "count": 0}

    ksr_noc.publish_peers(ksr, {"probes": [{"server_id": 31, "state": "up"}], "logins": []})

    assert ask(ksr, "peers")["probes"] == [{"server_id": 31, "state": "up"}]


def test_servers_in_trouble_come_first() -> None:
    ksr = FakeKsr()
    rows = [{"server_id": at, "name": "n" * 200, "state": "down" if at % 100 == 99 else "up"} for at in range(900)]

    ksr_noc.publish_peers(ksr, {"probes": rows, "logins": rows})
    answer = ask(ksr, "peers")

    assert [row["server_id"] for row in answer["probes"][:9]] == list(range(99, 900, 100))
    assert (len(answer["probes"]), len(answer["logins"]), answer["count"]) == (900, 900, 900)


def test_a_call_that_kamailio_has_not_any_more_is_not_said_to_end() -> None:
    ksr, call = FakeKsr(), pinned("r1", ())
    ksr_noc.show_call(ksr, call.rid, (ksr_noc.head(call), ksr_noc.paid_part(UNPAID)), answered_ms=0, server_id=0)

    assert "cannot be ended now" in ask(ksr, f"end {call.rid}")["error"]
    assert ksr_queue.take(ksr) is None


def test_a_row_holds_whatever_a_phone_has_sent() -> None:
    """Quotes, backslashes, control characters, other scripts, and what is no character."""
    ksr, text = FakeKsr(), 'a"b\\\n\x00é漢\ud800'
    call = pinned("r1", ())._replace(call_id=text, caller=text, callee=text, source=text)
    paid = ksr_noc.Paid(60, ("7:EUR", "line5:", "3:EUR"), (5, 0, 6))
    ksr_noc.show_call(ksr, "r1", (ksr_noc.head(call), ksr_noc.paid_part(paid)), answered_ms=1, server_id=31)

    row = json.loads(str(ksr.tables["calls"]["r1"]))
    assert (row["call_id"], row["caller"], row["callee"], row["source"]) == (text,) * 4
    assert [(at["account"], at["fund"], at["held_micros"]) for at in row["levels"]] == [
        (7, "7:EUR", 5),
        (3, "3:EUR", 6),
    ]
    unknown = json.loads(f"{{{ksr_noc.paid_part(paid._replace(held_micros=()))}}}")
    assert [at["held_micros"] for at in unknown["levels"]] == [None, None]


def test_the_caches_of_all_processes_are_shown() -> None:
    ksr = FakeKsr()
    assert ask(ksr, "caches") == {"caches": []}
    ksr.tables["noc"]["cache:1"] = '{"pid": 1, "records": 7}'
    report = ksr_noc.CacheReport(ksr)
    for records, now_ns in ((1, 0), (2, ksr_noc.SHOWN_NS - 1), (3, ksr_noc.SHOWN_NS), (4, ksr_noc.SHOWN_NS + 1)):
        report.show(SimpleNamespace(cache=Counts(records, *range(8)), generation=5), now_ns)
        said = 1 if now_ns < ksr_noc.SHOWN_NS else 3
        first, own = ask(ksr, "caches")["caches"]
        assert first == {"pid": 1, "records": 7}
        assert own.pop("blocks") > 0
        assert own == {"pid": os.getpid(), "generation": 5, **Counts(said, *range(8))._asdict()}


def test_the_state_of_the_configuration_stands_beside_the_agents() -> None:
    ksr = FakeKsr()
    assert ask(ksr, "status")["sync"] is None
    ksr_noc.publish_sync(ksr, {"age_ms": 5, "state": "steady"}, unix_ms=9)
    assert ask(ksr, "status")["sync"] == {"age_ms": 5, "state": "steady", "unix_ms": 9}


@pytest.mark.parametrize(("who", "told"), [(" eve", "eve"), ("", "nobody who said so")])
def test_the_log_says_who_took_phones_away(who: str, told: str) -> None:
    ksr = FakeKsr()

    assert ask(ksr, f"unregister eva@a.example{who}") == {"unregistered": 0}
    assert ksr.log == [f"noc: unregister eva@a.example by {told}: 0 taken away\n"]
