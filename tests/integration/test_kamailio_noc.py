"""The NOC's desk of a real node: what kamcmd and `tandem noc` are answered, near and through Redis."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator

import pytest

from kemi import keys
from kemi.adapters import ksr_noc
from tests.edge import Edge, running_edge, tried
from tests.fakes.calls import call as pinned
from tests.fakes.ksr import FakeKsr
from tests.fakes.world import ABROAD
from tests.kamailio_node import ROOT, running_kamailio
from tests.sip import Endpoint, Message, dial
from tests.wait import until
from tools import noc_ask, noc_cell
from tools.errors import OperatorError

ABOUT_S = 5.0
GOOD_INVITE = "sip:33140000000@a.example"


@pytest.fixture(scope="module")
def edge() -> Iterator[Edge]:
    """Run one node for all tests of this file."""
    with running_edge() as running:
        yield running


@pytest.fixture
def phone(edge: Edge) -> Iterator[Endpoint]:
    """Give an endpoint; afterwards Python may not have failed."""
    before = len(edge.node.alarms)
    with edge.phone() as endpoint:
        yield endpoint
    assert edge.node.counter("exceptions") == 0, edge.node.alarms
    assert edge.node.alarms[before:] == []


def asked(phone: Endpoint, text: str | bytes) -> Message:
    phone.send(text)
    return phone.final()


def test_the_noc_sees_agent_processes_counters_and_calls(edge: Edge, phone: Endpoint) -> None:
    status = edge.node.noc("status")
    before = edge.node.counter("routed")
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    until(lambda: edge.node.noc("calls")["count"] == 1, ABOUT_S, "the call in the table")
    (row,) = edge.node.noc("calls")["calls"]
    edge.acme.send(edge.acme.reply(invite, 486, "Busy Here"))
    call.final()

    assert (status["agent"]["node"], status["agent"]["store"], status["agent"]["spool"]) == ("t1", "up", 0)
    assert all(process["code"].startswith("generation ") for process in status["processes"])
    assert (row["source"], row["callee"], row["answered_ms"]) == ("alice@a.example", ABROAD, 0)
    assert edge.node.counter("routed") == before + 1
    until(lambda: edge.node.noc("calls")["count"] == 0, ABOUT_S, "the table to be empty")


def test_the_noc_sees_the_age_of_the_configuration(edge: Edge) -> None:
    """As the agent last read it: what the syncer told, and how long ago by Redis' clock."""
    edge.writer.finish()
    edge.admin.execute("SET", keys.SYNC_STATUS, '{"state": "steady", "drift": 3}')
    until(lambda: (edge.node.noc("status")["sync"] or {}).get("drift") == 3, ABOUT_S, "the agent to read it")
    told = edge.node.noc("status")["sync"]
    assert told["state"] == "steady"
    assert 0 <= told["age_ms"] < ABOUT_S * 1000


def test_the_noc_sees_how_the_caches_do(edge: Edge, phone: Endpoint) -> None:
    """A line per process that has served calls; they say it at most once a second, and never without a call."""

    def hits() -> int:
        assert asked(phone, phone.request("INVITE", GOOD_INVITE)).status == 407
        return sum(int(each["record_hits"]) for each in edge.node.noc("caches")["caches"])

    before = hits()
    until(lambda: hits() > before, ABOUT_S, "a process to say that its cache answered")
    for each in edge.node.noc("caches")["caches"]:
        assert 0 < each["bytes"] < each["bytes_max"] == 64 << 20
        assert each["records"] > 0
        assert each["record_misses"] > 0
        assert each["evictions"] == 0


def tandem(edge: Edge, *words: str) -> tuple[int, str]:
    """Return exit code and output of `tandem noc` beside a node."""
    code = "from tools.noc import noc; noc()"
    command = [str(ROOT / ".venv/bin/python"), "-c", code, *words]
    env = {**os.environ, "REDIS_URL": edge.redis.url, "TANDEM_CTL": str(edge.node.ctl)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, check=False, env=env)
    return done.returncode, done.stdout


@pytest.mark.parametrize("command", ["counters", "calls", "caches", "peers"])
def test_the_noc_command_wraps_it(edge: Edge, command: str) -> None:
    """The same through the control socket, by the node's name, and of all nodes."""
    near, by_name, everywhere = (
        json.loads(tandem(edge, command, "--json", *words)[1]) for words in ((), ("--node", "t1"), ("--all",))
    )
    assert near.keys() == by_name.keys() == everywhere["nodes"]["t1"].keys()
    assert list(everywhere["nodes"]) == ["t1"]


def test_the_status_ends_with_1_when_there_is_an_alarm(edge: Edge) -> None:
    edge.admin.execute("SET", keys.SYNC_STATUS, '{"held": "12 of 20 accounts would go"}')
    edge.writer.finish()
    until(lambda: (edge.node.noc("status")["sync"] or {}).get("held"), ABOUT_S, "the agent to read it")
    try:
        status, page = tandem(edge, "status", "--node", "t1")
        assert status == 1
        assert "ALARM: changes are held back: 12 of 20 accounts would go" in page
    finally:
        edge.admin.execute("DEL", keys.SYNC_STATUS)


def test_a_call_is_told_with_its_accounts_money_and_carrier(edge: Edge, phone: Endpoint) -> None:
    """While it rings, and when it talks; the money is asked of Redis by the agent."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    until(lambda: edge.node.noc("calls state=ringing")["count"] == 1, ABOUT_S, "the call that rings")
    (ringing,) = edge.node.noc("calls state=ringing")["calls"]
    edge.acme.send(edge.acme.reply(invite, 200, "OK"))
    final = call.final()
    until(lambda: edge.node.noc("calls state=talking")["count"] == 1, ABOUT_S, "the call that talks")
    until(lambda: edge.node.noc("calls")["is_money_known"], ABOUT_S, "what its accounts have left")
    (talking,) = edge.node.noc("calls source=alice@a.example older=0")["calls"]
    others = edge.node.noc(f"calls caller=1 callee={ABROAD}")
    ended = edge.node.noc(f"end callee={ABROAD}")
    for side in (phone, edge.acme):
        bye = side.wait_request("BYE")
        side.send(side.reply(bye, 200, "OK"))

    assert ringing["server_id"] == talking["server_id"] > 0
    assert [level["account"] for level in talking["levels"]] == talking["chain"][:0:-1], "who pays, nearest first"
    assert len(talking["chain"]) > 2
    assert all(level["held_micros"] > 0 for level in talking["levels"])
    known = [level["left_micros"] for level in talking["levels"] if level["left_micros"] is not None]
    assert talking["left_micros"] == min(known)
    assert 0 < talking["left_s"] <= ringing["left_s"]
    assert (others["count"], others["calls"]) == (0, [])
    assert ended == {"ending": 1, "not_yet": 0, "ringing": 0}
    assert edge.event(final.get("Call-ID")).end.ended_by == "noc"


@pytest.mark.parametrize("which", ["one", "all"])
def test_a_call_that_rings_is_ended_and_the_hunt_with_it(edge: Edge, phone: Endpoint, which: str) -> None:
    """The caller is told at once, the carrier gets a CANCEL, no other one is asked, and the hold is released."""
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 180, "Ringing", extra=("Require: 100rel", "RSeq: 1")))
    while (ringing := phone.receive()).status < 180:
        pass
    phone.send(phone.within("PRACK", ringing, cseq=3, extra=("RAck: 1 2 INVITE",)))
    edge.acme.wait_request("PRACK")  # which waits for its answer: that must not be the call's
    until(lambda: edge.node.noc("calls state=ringing")["count"] == 1, ABOUT_S, "the call that rings")
    (row,) = edge.node.noc("calls state=ringing")["calls"]
    answer = edge.node.noc(f"end {row['rid']}" if which == "one" else f"end account={row['chain'][-1]}")
    final = call.final()
    cancel = edge.acme.wait_request("CANCEL")
    edge.acme.send(edge.acme.reply(cancel, 200, "OK"))
    edge.acme.send(edge.acme.reply(invite, 487, "Request Terminated"))
    end = edge.event(final.get("Call-ID")).end

    assert answer == ({"ending": row["rid"]} if which == "one" else {"ending": 1, "not_yet": 0, "ringing": 0})
    assert (final.status, final.get("CSeq")) == (480, "2 INVITE")
    assert (end.outcome, end.status, end.reason, end.ended_by) == ("failed", 480, "noc", "noc")
    ((server_id, status, _),) = tried(end)
    assert (server_id, status) == (row["server_id"], 0)
    edge.wait_idle()
    assert edge.bell.silent()


def test_hundreds_of_calls_come_through_kamcmd_in_pages() -> None:
    """Rows as the agent writes them; the answer is several times what one reply of kamcmd holds."""
    paid = ksr_noc.Paid(60, ("7:EUR", "3:EUR"), (60_000, 30_000))
    table = FakeKsr()
    for at in range(300):
        parts = ksr_noc.head(pinned(f"paged-{at:03}", ())), ksr_noc.paid_part(paid)
        ksr_noc.show_call(table, f"paged-{at:03}", parts, 0, 0)
    with running_kamailio() as node:
        for rid, row in table.tables["calls"].items():
            node.kamcmd("htable.sets", "calls", f"s:{rid}", f"s:{row}")
        calls = noc_ask.ask(str(node.ctl), "calls limit=5000")
        with_a_number = node.kamcmd("evrexec.run", "noc", "calls limit=1 42")
        (first,) = node.reply("42")["calls"]
    assert [row["rid"] for row in calls["calls"]] == sorted(table.tables["calls"])
    assert len(json.dumps(calls)) > 3 * 32 * 1024
    assert (with_a_number, first["rid"]) == ("", "paged-000")


def test_an_unknown_node_is_answered_with_those_that_are_seen(edge: Edge) -> None:
    cell = noc_cell.Cell(edge.admin)
    with pytest.raises(OperatorError, match="no node 'nowhere' is seen; seen are: t1"):
        cell.chosen("nowhere")
    ticket = "0" * 32
    edge.admin.execute("SET", keys.noc_question("t1"), json.dumps([ticket, "bogus"]))
    until(lambda: edge.admin.execute("GET", keys.noc_answer(ticket)), ABOUT_S, "the answer")
    assert b"no command bogus" in edge.admin.execute("GET", keys.noc_answer(ticket))
    assert 0 < edge.admin.execute("TTL", keys.noc_answer(ticket)) <= 30
    edge.admin.execute("DEL", keys.noc_question("t1"), keys.noc_answer(ticket))


def test_a_drained_node_refuses_new_calls_and_takes_them_again(edge: Edge, phone: Endpoint) -> None:
    edge.node.noc("drain on")
    refused = asked(phone, phone.request("INVITE", GOOD_INVITE))
    edge.node.noc("drain off")

    assert (refused.status, refused.get("Retry-After")) == (503, "5")
    assert asked(phone, phone.request("INVITE", GOOD_INVITE)).status == 407


def test_the_noc_ends_a_call_on_both_sides(edge: Edge, phone: Endpoint) -> None:
    call = dial(phone, f"{ABROAD}@a.example")
    invite = edge.acme.wait_request("INVITE")
    edge.acme.send(edge.acme.reply(invite, 200, "OK"))
    final = call.final()
    until(lambda: [c for c in edge.node.noc("calls")["calls"] if c["answered_ms"]], ABOUT_S, "the answered call")
    (row,) = edge.node.noc("calls")["calls"]

    edge.node.noc(f"end {row['rid']}")

    for side in (phone, edge.acme):
        bye = side.wait_request("BYE")
        side.send(side.reply(bye, 200, "OK"))
    assert edge.event(final.get("Call-ID")).end.ended_by == "noc"
