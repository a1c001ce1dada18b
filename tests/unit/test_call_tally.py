"""What a worker tells the agent of each INVITE, what the agent counts of it, and the line of the log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kemi import noc_tallies
from kemi.adapters import ksr_queue, ksr_tally
from kemi.adapters.ksr_queue import Decided, Failed, Flood, Held
from kemi.admission import Verdict
from kemi.call_log import CallLog, ended_line, refused_line
from kemi.core.outcome import Challenge, Register
from kemi.core.refusals import reject
from kemi.core.request import CallRequest, SipUri
from kemi.noc_command import Command, Desk, UsageError
from kemi.records import Attempt, CallEnd
from kemi.settings import Limits, Settings
from kemi.worker_tally import FLOODS_MAX, STRANGERS_MAX, TEXT_MAX, WorkerTally
from tests.fakes import calls as builders
from tests.fakes.ksr import FakeKsr
from tests.unit.test_agent import START_MS, World, rid

URI = SipUri("sip", "33140000000", "a.example")
REQUEST = CallRequest("INVITE", "call-1", "t", "1", "192.0.2.1", 5060, "udp", URI, URI, URI, START_MS)
COMMANDS: dict[str, Command] = {command.name: command for command in noc_tallies.COMMANDS}


def told(ksr: FakeKsr) -> list[Decided]:
    """Return what a worker told, and forget it."""
    found = []
    while (message := ksr_queue.take(ksr)) is not None:
        assert isinstance(message, Decided)
        found.append(message)
    return found


def asked(world: World, words: str) -> Any:
    """Return the node's answer to a command of the NOC."""
    name, *more = words.split()
    return COMMANDS[name].serve(Desk(world.ksr, world.settings, world.now_ns, START_MS), more)


def lines(world: World) -> list[Any]:
    """Return the call log."""
    return [json.loads(line) for line in world.ksr.log if line.startswith('{"call_id"')]


def test_a_register_that_is_not_obeyed_is_told_and_who_storms_is_only_counted() -> None:
    ksr = FakeKsr()
    tally, asked_for = WorkerTally(ksr), REQUEST._replace(method="REGISTER")
    tally.tell(asked_for, Verdict(reject("quarantined")), 0)
    tally.tell(asked_for, Verdict(Register("alice@a.example", ())), 0)
    tally.register_refused(asked_for, "contacts")
    assert [(each.rid, each.reason, each.address) for each in told(ksr)] == [
        ("", "register:quarantined", "192.0.2.1"),
        ("", "register:contacts", "192.0.2.1"),
    ]
    sent = 0
    for _ in range(5 * STRANGERS_MAX):
        tally.tell(asked_for, Verdict(Challenge(401, "WWW-Authenticate", (), ())), 0)
    found = told(ksr)
    sent = len(found) + sum(flood.times for each in found for flood in each.floods)
    assert {each.reason for each in found} == {"register:challenged"}
    kept = sum(tally._floods.values())
    assert (sent + kept, len(tally._floods)) == (5 * STRANGERS_MAX, 1)
    assert kept, "not a message each"


def test_who_storms_is_named_and_a_phone_s_own_challenge_is_not(tmp_path: Path) -> None:
    """Nor does any of it count as a call, or go into the call log."""
    world = World(tmp_path)
    for at in range(40):
        world.hear(Decided("", "register:challenged", 0, address=f"192.0.2.{at}"))
    world.hear(Decided("", "register:challenged", 0, address="203.0.113.9"))
    world.hear(Decided("", "register:challenged", 0, address="203.0.113.9", floods=(
        Flood("register:challenged", "203.0.113.9", 700), Flood("register:challenged", "", 9),
    )))  # fmt: skip
    world.run(2)
    found = asked(world, "refusals 60")
    assert found["reasons"] == [{"reason": "register:challenged", "count": 751}]
    assert found["sources"] == [{"address": "203.0.113.9", "count": 702, "reason": "register:challenged"}]
    assert asked(world, "traffic 60")["calls"] == 0
    assert lines(world) == []


def test_a_refusal_is_told_with_its_times_and_whose_call_it_was() -> None:
    ksr, call = FakeKsr(), builders.call("r1", (builders.leg(1, 5, 1),))
    tally = WorkerTally(ksr)
    tally.begin()
    tally.read()
    tally.decided()

    tally.tell(REQUEST, Verdict(reject("no_credit", (), call=call)), 0)
    tally.tell(REQUEST, Verdict(reject("no_credit", (), call=call._replace(hidden=True))), 0)
    tally.tell(REQUEST, Verdict(Challenge(407, "Proxy-Authenticate", (), ())), 0)

    shown, hidden = told(ksr)
    assert (shown.reason, shown.status, shown.call_id, shown.address) == ("no_credit", 402, "call-1", "192.0.2.1")
    assert (shown.account_id, shown.source, shown.caller) == (5, "alice@a.example", "4930123456")
    assert len(shown.stages_us) == 4
    assert hidden.caller == ""


def test_strangers_are_told_one_by_one_while_they_are_few_and_counted_beyond(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [7.0]
    monkeypatch.setattr("kemi.worker_tally.time.monotonic_ns", lambda: int(now[0] * 1e9))
    ksr = FakeKsr()
    tally = WorkerTally(ksr)
    request = REQUEST._replace(call_id="c" * 500, privacy="id")
    for at in range(1_000):
        tally.refused_before(request._replace(source_ip=f"2001:db8::{at:x}"), "loop")
    few = told(ksr)
    assert len(few) == STRANGERS_MAX
    assert {(len(each.call_id), each.caller, each.status, each.floods) for each in few} == {(TEXT_MAX, "", 482, ())}

    now[0] += 1
    tally.refused_before(request, "merged")
    tally.refused_before(request, "merged")

    first, second = told(ksr)
    assert sum(flood.times for flood in first.floods) == 1_000 - STRANGERS_MAX
    assert len(first.floods) == FLOODS_MAX + 1
    assert first.floods[-1] == Flood("loop", "", 1_000 - STRANGERS_MAX - FLOODS_MAX)
    assert second.floods == ()


def test_what_the_queue_does_not_take_is_told_with_the_next_message() -> None:
    ksr = FakeKsr()
    ksr.queue_max = 0
    tally = WorkerTally(ksr)
    tally.refused_before(REQUEST, "loop")
    ksr.queue_max = 10
    tally.refused_before(REQUEST, "loop")

    (message,) = told(ksr)
    assert message.floods == (Flood("loop", "192.0.2.1", 1),)


def test_of_what_cannot_be_read_only_calls_are_told() -> None:
    ksr = FakeKsr()
    tally = WorkerTally(ksr)
    tally.malformed("malformed")
    ksr.method = "REGISTER"
    tally.malformed("malformed")

    (message,) = told(ksr)
    assert (message.reason, message.status, message.call_id, message.address) == (
        "malformed",
        400,
        "call-1",
        "192.0.2.1",
    )


def test_a_call_is_counted_and_logged_when_it_is_over(tmp_path: Path) -> None:
    world = World(tmp_path)
    held = world.call(rid())
    world.hear(held._replace(stages_us=(1, 2, 3)))
    world.run(1)
    times = {stage["stage"]: stage["count"] for stage in asked(world, "times start")["stages"]}
    assert times == {"read": 1, "decide": 1, "hold": 1, "apply": 0, "total": 0}
    tried = (Attempt(30, 503, pdd_ms=-1), Attempt(31, 200, pdd_ms=70))
    world.hear(world.answer(rid())._replace(attempts=tried, applied_us=4))
    world.run(3)
    assert lines(world) == []
    world.hear(world.end(rid()), world.end(rid()))
    world.run(5)

    (line,) = lines(world)
    assert next(iter(line)) == "call_id"
    assert (line["verdict"], line["trace_id"], line["server_id"], line["pdd_ms"]) == ("answered", rid(), 31, 70)
    assert [line[name] for name in ("read_us", "decide_us", "hold_us", "apply_us")] == [1, 2, 3, 4]
    assert line["talk_s"] == pytest.approx(2, abs=0.2)
    traffic = asked(world, "traffic 60")
    assert [traffic[name] for name in ("calls", "answered", "holds", "failed")] == [1, 1, 1, 0]
    servers = [(each["server_id"], each["attempts"], each["answers"]) for each in asked(world, "carriers")["carriers"]]
    assert servers == [(30, 1, 0), (31, 1, 1)]
    assert [stage["count"] for stage in asked(world, "times start")["stages"]] == [1] * 5


def test_a_call_that_fails_has_the_times_that_were_told_of_it(tmp_path: Path) -> None:
    """A release before told none with the hold; the last is not known where nothing ever left."""
    world = World(tmp_path)
    for number, stages_us, applied_us in ((1, (1, 2, 3), 4), (2, (1, 2, 3), -1), (3, (), 4)):
        failed = Failed(rid(number), 486, False, (), START_MS, applied_us=applied_us)
        world.hear(world.call(rid(number))._replace(stages_us=stages_us), failed)
    world.run(1)

    assert [(line["trace_id"], line["read_us"], line["apply_us"], line["status"]) for line in lines(world)] == [
        (rid(1), 1, 4, 486),
        (rid(2), 1, None, 486),
        (rid(3), None, None, 486),
    ]
    assert asked(world, "traffic 60")["failed"] == 3


def test_a_call_that_went_is_no_refusal_where_a_worker_of_before_tells_its_times(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.hear(world.call(rid()), Decided(rid(), "", 0, stages_us=(1, 2, 3, 4)))
    world.run(1)

    assert asked(world, "traffic 60")["refused"] == 0
    assert lines(world) == []


def test_a_flood_that_was_only_counted_is_told_with_a_call(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.hear(world.call(rid())._replace(floods=(Flood("loop", "192.0.2.9", 7),)))
    world.run(1)

    assert {row["reason"]: row["count"] for row in asked(world, "refusals")["reasons"]} == {"loop": 7}


def test_a_flood_writes_few_lines_and_says_how_many_it_left_out(tmp_path: Path) -> None:
    world = World(tmp_path)
    most = world.settings.call_log_max
    one = Decided("r", "loop", 482, "c", address="192.0.2.9")
    world.hear(*[one] * (most + 5), one._replace(reason="cli"), one._replace(floods=(Flood("loop", "", 1_000),)))
    world.run(2)

    written = [line["reason"] for line in lines(world) if line["call_id"]]
    assert (written.count("loop"), written.count("cli")) == (most, 1)
    (left,) = [line for line in lines(world) if not line["call_id"]]
    assert left == {"call_id": "", "reason": "loop", "left_out": 1_006}
    told = asked(world, "refusals")
    assert {row["reason"]: row["count"] for row in told["reasons"]} == {"loop": most + 1_006, "cli": 1}
    assert asked(world, "traffic")["refused"] == most + 1_007


def test_counts_and_calls_go_through_a_reload(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.hear(world.call(rid()), world.answer(rid()), Decided("r", "cli", 403, "c", 5))
    world.run(1)
    old = world.agent
    world.agent = world.new_agent()
    world.agent.restore(old.export())
    world.hear(world.end(rid()))
    world.run(5)

    assert [line["verdict"] for line in lines(world)] == ["refused", "answered"]
    traffic = asked(world, "traffic start")
    assert [traffic[name] for name in ("calls", "answered", "refused")] == [2, 1, 1]
    assert asked(world, "tenants")["tenants"][0]["account"] == 5


def test_a_call_that_nobody_ends_is_forgotten(tmp_path: Path) -> None:
    """Its lease is over, so it is the sweeper's; the agent has no line to write."""
    world = World(tmp_path)
    held = world.call(rid())
    world.hear(Held(*held[:4], lease_s=1))
    world.run(130, step_s=0.5)

    assert lines(world) == []
    assert world.agent._tally._going == {}


def test_a_log_of_no_lines_stays_empty() -> None:
    log = CallLog(0)
    log.leave_out("cli", 5)

    assert not log.passes("cli")
    assert log.left_out(9) == []


def test_a_line_can_not_be_forged() -> None:
    call = builders.call("r1", (builders.leg(1, 5, 1),))._replace(
        call_id='x"}\n{"call_id": "y%n\x00\udc80é', caller="c" * 1_000, hidden=False
    )
    end = CallEnd("cancelled", 1, 0, 0, 0, 487, "no_answer", 16, "caller")
    for line in (
        ended_line(call, end, ()),
        ended_line(call._replace(hidden=True), end, ()),
        refused_line(Decided("r", "cli", 403, call.call_id, caller=call.caller)),
    ):
        assert line.isascii()
        assert line.isprintable()
        row = json.loads(line)
        assert row["call_id"] == call.call_id
        assert len(row["caller"]) in (0, 128)
    assert json.loads(ended_line(call._replace(hidden=True), end, ()))["caller"] == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("traffic 61", "no window 61: say one of 60, 300, 3600, start"),
        ("times 60 60", "say a window and no more"),
        ("carriers 60 0", "no limit 0: say a number from 1 to 10000"),
        ("refusals 60 ²", "no limit ²"),
        ("tenants 60 5 5", "say a window and a limit and no more"),
    ],
)
def test_words_that_make_no_sense_are_said(words: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=said):
        asked(World(tmp_path), words)


def test_before_the_agent_speaks_nothing_is_invented() -> None:
    desk = Desk(FakeKsr(), Settings("n1", "", b"", "", "", Limits()), 0, 0)

    assert "counted nothing yet" in str(COMMANDS["traffic"].serve(desk, [])["error"])


def test_a_limit_cuts_the_lists(tmp_path: Path) -> None:
    world = World(tmp_path)
    ksr_tally.publish(world.ksr, "refusals", "300", {"window_s": 300, "count": 3, "reasons": [1, 2, 3], "sources": [4]})

    assert asked(world, "refusals 300 2") == {"window_s": 300, "count": 3, "reasons": [1, 2], "sources": [4]}
