"""The shell of a worker: it returns an int whatever happens, answers once, and tells the agent."""

from __future__ import annotations

import json
import os
from tempfile import TemporaryDirectory

import pytest

from kemi import codec
from kemi.adapters import ksr_sides, ksr_started
from kemi.adapters.cache import Counts
from kemi.adapters.journal import noted
from kemi.adapters.ksr_hunt import edit_branch
from kemi.adapters.ksr_plan import Asked, asked_in, note, outcome
from kemi.adapters.ksr_queue import (
    ByeAnswered,
    Decided,
    Ended,
    Failed,
    Flood,
    Held,
    LateAnswer,
    Message,
    Moved,
    Refused,
    Started,
    put,
    take,
)
from kemi.adapters.redis_funds import Held as HeldFunds
from kemi.admission import Admission, Seen, Verdict
from kemi.core.outcome import Challenge, Decision, Header, Hold, HoldFund, HoldRow, Register, Route, Target
from kemi.core.refusals import reject
from kemi.core.request import CallRequest, SipUri
from kemi.core.token import Origin, sign, token_of
from kemi.records import Attempt, CallEnd, PinnedCall, PinnedTarget
from kemi.settings import Limits, Settings
from kemi.worker import DONE, Worker
from tests.fakes import calls as builders
from tests.fakes.ksr import FakeKsr

RID = "ab" * 16
SECRET = b"0123456789abcdef"
SPOOL = TemporaryDirectory(prefix="tdm-")
SETTINGS = Settings(
    node="n1", redis_url="", secret=SECRET, spool_dir=SPOOL.name, listen="", limits=Limits(ring_max_s=20)
)
NOBODY = PinnedTarget(0, 0, "")


def server(server_id: int) -> Target:
    return Target(
        kind="server",
        ruri=f"sip:0033@192.0.2.{server_id}",
        next_hop=f"sip:192.0.2.{server_id}:5060;transport=udp",
        from_uri="sip:+44@c.example",
        from_display="",
        headers=(Header("P-Asserted-Identity", "<sip:+44@c.example>\r\nEvil: yes"),),
        remove=("Privacy", "X-Tandem-*"),
        pinned=PinnedTarget(1, server_id, f"server {server_id}"),
    )


def phone() -> Target:
    return server(0)._replace(kind="local", address_of_record="bob@a.example", pinned=NOBODY)


def route(*targets: Target, emergency: bool = False) -> Route:
    call = builders.call(RID, (builders.leg(1, 5, 1),))
    hold = Hold((HoldFund("5:EUR", 5, 1),), (HoldRow(60, (1,)),), ())
    return Route(call, hold, targets, SipUri("sip", "a", "b"), 20, ("because",), emergency)


class PlannedAdmission(Admission):
    """Admits what the test says."""

    def __init__(self, decision: Decision, *, is_held: bool = True) -> None:
        self.verdict = Verdict(decision, HeldFunds(60, (), 1, 1) if is_held else None)
        self.fails = False
        self.asked: list[tuple[CallRequest, Seen]] = []
        self._settings = SETTINGS

    @property
    def round_trips(self) -> int:
        """One more each time."""
        return len(self.asked)

    @property
    def cache(self) -> Counts:
        """How a cache does."""
        return Counts(*range(9))

    @property
    def generation(self) -> int:
        """What it has seen."""
        return 7

    def load(self) -> None:
        """Nothing to load."""

    def admit(self, request: CallRequest, seen: Seen) -> Verdict:
        """Return the plan."""
        self.asked.append((request, seen))
        if self.fails:
            raise RuntimeError("a bug")
        return self.verdict


class Scene:
    """A worker that will decide so, in front of a fake Kamailio."""

    def __init__(self, decision: Decision, *, is_held: bool = True) -> None:
        self.ksr = FakeKsr()
        self.admission = PlannedAdmission(decision, is_held=is_held)
        self.worker = Worker(self.ksr, SETTINGS, lambda: self.admission)

    def request(self) -> None:
        """Let the request be routed."""
        assert self.worker.ksr_request_route(None) == DONE

    def queued(self) -> list[Message]:
        """Return what the agent will hear, without what it only counts."""
        messages = []
        while (message := take(self.ksr)) is not None:
            if not isinstance(message, Decided):
                messages.append(message)
        return messages


def held_call(held: Held) -> PinnedCall:
    return codec.unpack(PinnedCall, held.pinned)


def test_a_route_is_queued_before_it_leaves() -> None:
    scene = Scene(route(server(1)))

    scene.request()

    (held,) = scene.queued()
    assert isinstance(held, Held)
    assert (held.rid, held.funds, held.granted_s, held.lease_s, held.is_held) == (RID, ("5:EUR",), 60, 23, True)
    names = [call[0] for call in scene.ksr.calls]
    order = ["tm.t_newtran", "tm.t_reply", "mqueue.mq_add", "dialog.dlg_manage", "rr.record_route", "tm.t_relay"]
    assert [name for name in names if name in order] == order
    ((parameter,),) = scene.ksr.did("rr.add_rr_param")
    token = token_of(SECRET, str(parameter), held_call(held).call_id, held_call(held).from_tag, "")
    assert token is not None
    assert (token.rid, token.leads_to(SECRET, "192.0.2.1"), token.leads_to(SECRET, "192.0.2.2")) == (RID, True, False)
    assert scene.ksr.did("setdsturi") == [("sip:192.0.2.1:5060;transport=udp",)]
    assert scene.ksr.sent == [(100, "Trying")]


def test_a_call_that_was_cancelled_before_it_could_leave_is_a_cancelled_one() -> None:
    scene = Scene(route(server(1)))
    scene.ksr.results |= {"tm.t_relay": -1, "tm.t_is_canceled": 1}

    scene.request()

    assert scene.ksr.sent[-1] == (487, "Request Terminated")
    kept = outcome(scene.ksr)
    assert (kept.status, kept.is_cancelled, kept.reason) == (487, True, "cancelled")


def test_a_call_that_the_agent_cannot_take_does_not_go() -> None:
    scene = Scene(route(server(1)))
    scene.ksr.queue_max = 0

    scene.request()

    assert scene.ksr.did("tm.t_relay") == []
    assert scene.ksr.sent[-1] == (500, "Server Internal Error")


def test_a_call_that_kamailio_cannot_follow_does_not_go_and_is_released() -> None:
    scene = Scene(route(server(1)))
    scene.ksr.results["dialog.dlg_manage"] = -1

    scene.request()

    assert scene.ksr.did("tm.t_relay") == []
    assert scene.ksr.sent[-1] == (500, "Server Internal Error")
    assert [type(message) for message in scene.queued()] == [Held, Failed]


def test_a_bug_is_logged_with_its_call_and_answered_500() -> None:
    scene = Scene(route(server(1)))
    scene.admission.fails = True

    scene.request()

    assert scene.ksr.sent[-1] == (500, "Server Internal Error")
    assert "call-1" in scene.ksr.log[0]
    assert "RuntimeError: a bug" in scene.ksr.log[0]
    assert scene.ksr.statistics_sum["exceptions"] == 1


def test_a_refusal_says_when_to_come_again_and_leaves_word_for_the_cdr() -> None:
    call = builders.call(RID, ())
    scene = Scene(reject("cps", ("too fast",), account_id=3, call=call), is_held=False)

    scene.request()

    assert scene.ksr.sent[-1] == (503, "Call Rate Limit Reached")
    assert scene.ksr.reply_headers == ["Reason: Q.850;cause=42\r\n", "Retry-After: 1\r\n"]
    (refused,) = scene.queued()
    assert isinstance(refused, Refused)
    assert refused.rid == RID
    end = codec.unpack(CallEnd, refused.end)
    assert (end.outcome, end.status, end.reason, end.account_id) == ("refused", 503, "cps", 3)


def test_a_challenge_carries_every_value() -> None:
    scene = Scene(Challenge(407, "Proxy-Authenticate", ("Digest a", "Digest b"), ()), is_held=False)

    scene.request()

    assert scene.ksr.reply_headers == ["Proxy-Authenticate: Digest a\r\n", "Proxy-Authenticate: Digest b\r\n"]
    assert scene.ksr.sent[-1] == (407, "Proxy Authentication Required")
    assert scene.queued() == []


def test_the_noc_hears_how_the_cache_does() -> None:
    """Once a second at most: the next request says it again when its time has come."""
    scene = Scene(reject("no_credit", (), call=builders.call(RID, ())))
    scene.request()
    (name,) = (name for name in scene.ksr.tables["noc"] if name.startswith("cache:"))
    told = json.loads(str(scene.ksr.tables["noc"][name]))
    assert told.pop("blocks") > 0
    assert told == {"pid": os.getpid(), "generation": 7, **Counts(*range(9))._asdict()}
    del scene.ksr.tables["noc"][name]
    scene.request()
    assert name not in scene.ksr.tables["noc"]


def test_a_registration_is_saved() -> None:
    scene = Scene(Register("alice@a.example", ()), is_held=False)
    scene.ksr.method = "REGISTER"

    scene.request()

    assert scene.ksr.did("registrar.save_uri") == [("location", 2 | 16, "sip:alice@a.example")]
    assert scene.ksr.sent == []


def test_a_retransmission_is_absorbed() -> None:
    scene = Scene(route(server(1)))
    scene.ksr.results["tmx.t_precheck_trans"] = 1

    scene.request()

    assert scene.admission.asked == []


def test_a_phone_that_is_offline_is_told_so() -> None:
    scene = Scene(route(phone()))
    scene.ksr.results["registrar.lookup"] = -1

    scene.request()

    assert scene.ksr.did("tm.t_relay") == []
    assert scene.ksr.sent[-1][0] == 480
    status, is_cancelled, (attempt,), reason = json.loads(str(scene.ksr.pvs["$dlg_var(outcome)"]))
    assert (status, is_cancelled, attempt[:2], reason) == (480, False, [0, 480], "offline")


def test_a_server_that_cannot_be_sent_to_is_passed_over() -> None:
    scene = Scene(route(server(1), server(2)))
    scene.ksr.results["tm.t_relay"] = -1

    scene.request()

    assert [arguments[0] for arguments in scene.ksr.did("seturi")] == ["sip:0033@192.0.2.1", "sip:0033@192.0.2.2"]
    assert scene.ksr.sent[-1] == (503, "Service Unavailable")


def test_a_failure_goes_on_from_the_plan_alone() -> None:
    scene = Scene(route(server(1), server(2)))
    scene.request()
    scene.ksr.results["tm.t_get_status_code"] = 503
    another = Worker(scene.ksr, SETTINGS, lambda: scene.admission)

    assert another.ksr_failure(None) == DONE

    assert scene.ksr.did("setdsturi")[-1] == ("sip:192.0.2.2:5060;transport=udp",)
    assert scene.ksr.did("tm.t_on_failure") == [("ksr_failure",)] * 2
    assert scene.ksr.did("tm.t_on_branch") == [("ksr_branch",)] * 2
    assert len(scene.admission.asked) == 1, "nothing asks Redis in a failure route"


def test_a_cancelled_call_is_not_hunted_on() -> None:
    scene = Scene(route(server(1), server(2)))
    scene.request()
    scene.ksr.results.update({"tm.t_is_canceled": 1, "tm.t_get_status_code": 487})
    scene.worker.ksr_failure(None)
    scene.queued()

    scene.worker.ksr_dialog_event(None, "dialog:failed")

    assert len(scene.ksr.did("tm.t_relay")) == 1
    (failed,) = scene.queued()
    assert isinstance(failed, Failed)
    assert (failed.status, failed.is_cancelled) == (487, True)
    assert [each[:2] for each in failed.attempts] == [(1, 0)]


def test_three_failures_in_a_row_take_a_server_down_and_an_answer_forgives() -> None:
    scene = Scene(route(server(1)))
    scene.ksr.results["tm.t_get_status_code"] = 503
    for _ in range(3):
        scene.request()
        scene.worker.ksr_failure(None)
    scene.request()
    assert scene.admission.asked[-1][1].down_servers == frozenset({1})

    scene.ksr.pvs["$T_branch_idx"] = 0
    scene.worker.ksr_branch(None)
    scene.worker.ksr_dialog_event(None, "dialog:start")

    scene.request()
    assert scene.admission.asked[-1][1].down_servers == frozenset()


def test_a_branch_is_edited_for_its_carrier_alone() -> None:
    scene = Scene(route(server(1)))
    there = ("Authorization", "proxy-authorization", "Route", "Privacy", "X-Tandem-Any", "Diversion")
    scene.ksr.headers = dict.fromkeys(there, "x")
    scene.request()
    scene.ksr.pvs["$T_branch_idx"] = 2

    edit_branch(scene.ksr)

    assert scene.ksr.did("uac.uac_replace_from") == [("", "sip:+44@c.example")]
    assert scene.ksr.did("hdr.append") == [("P-Asserted-Identity: <sip:+44@c.example> Evil: yes\r\n",)]
    removed = [arguments[0] for arguments in scene.ksr.did("hdr.remove")]
    assert removed == ["Authorization", "Privacy", "Proxy-Authorization", "Route"]
    assert scene.ksr.did("textops.remove_hf_re") == [("^X-Tandem-",)]
    asked = asked_in(scene.ksr, 2)
    assert asked is not None
    assert (asked.server_id, asked.ring_s) == (1, 20)


def test_who_answered_is_the_branch_of_the_200() -> None:
    scene = Scene(route(server(1), server(2)))
    scene.request()
    for branch in (0, 1):
        note(scene.ksr, branch, Asked(branch + 1, 1, 2, 0, 20, 23_000))
    scene.ksr.pvs.update({"$T_branch_idx": 0, "$dlg(h_entry)": 7, "$dlg(h_id)": 8, "$tt": "to"})
    scene.queued()

    scene.worker.ksr_dialog_event(None, "dialog:start")

    (started,) = scene.queued()
    assert isinstance(started, Started)
    assert started in [note.started for note in noted(SPOOL.name)], "for the node's next life"
    assert (started.server_id, started.caller.tag, started.callee.tag) == (1, "tag-1", "to")


def test_a_dialog_that_ends_by_itself_has_nobody_who_said_bye_and_is_told_once() -> None:
    scene = Scene(route(server(1)))
    scene.ksr.pvs["$dlg_var(rid)"] = RID
    ksr_sides.put(scene.ksr, RID, "caller", builders.CALLER)

    for _ in range(2):
        scene.worker.ksr_dialog_event(None, "dialog:end")

    (ended,) = scene.queued()
    assert isinstance(ended, Ended)
    assert ended.by == ""


def test_a_call_carries_how_long_it_took_until_its_invite_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hold's message has left by then; so what becomes of the call tells, a failure on the spot too."""
    scene = Scene(route(server(1)))
    sent: list[int] = []

    def relay() -> int:
        sent.append(scene.worker.ksr_branch(None))
        return 1

    monkeypatch.setattr(scene.ksr.tm, "t_relay", relay)
    scene.ksr.pvs["$T_branch_idx"] = 0
    scene.request()
    scene.ksr.pvs["$T_branch_idx"] = 1
    scene.worker.ksr_branch(None)  # of a later attempt

    first, later = asked_in(scene.ksr, 0), asked_in(scene.ksr, 1)
    assert sent == [DONE]
    assert first is not None
    assert later is not None
    assert (first.applied_us >= 0, later.applied_us) == (True, -1)
    assert ksr_started.applied_us(scene.ksr) == first.applied_us


def test_the_end_of_a_call_that_the_full_queue_did_not_take_is_told_by_its_dialog() -> None:
    scene = Scene(route(server(1)))
    scene.ksr.pvs["$dlg_var(rid)"] = RID
    for which, side in (("caller", builders.CALLER), ("callee", builders.CALLEE)):
        ksr_sides.put(scene.ksr, RID, which, side)
    token = sign(SECRET, RID, "call-1", builders.CALLER.tag, Origin("n1", 5, ("192.0.2.9",)))
    scene.ksr.method = "BYE"
    scene.ksr.results["siputils.has_totag"] = 1
    way = f"<sip:127.0.0.1:5060;lr=on;tdm={token}>"
    tags = {"$ft": builders.CALLER.tag, "$tt": builders.CALLEE.tag, "$cs": "9"}
    scene.ksr.pvs.update({"$(hdr(Route)[*])": way, **tags})
    scene.ksr.queue_max = 0
    scene.request()
    assert scene.ksr.did("tm.t_relay")
    scene.ksr.queue_max = 10

    for _ in range(2):
        scene.worker.ksr_dialog_event(None, "dialog:end")

    assert [type(message) for message in scene.queued()] == [Ended]


@pytest.mark.parametrize("event", ["unknown", "dialog:timeout", "dialog:start"])
def test_a_dialog_that_is_not_ours_and_an_event_that_says_nothing_are_passed_over(event: str) -> None:
    scene = Scene(route(server(1)))
    if event != "dialog:start":
        scene.ksr.pvs["$dlg_var(rid)"] = RID

    assert scene.worker.ksr_dialog_event(None, event) == DONE
    assert scene.queued() == []


def test_nothing_at_the_end_of_a_call_asks_redis() -> None:
    scene = Scene(route(server(1)))
    scene.ksr.results["siputils.has_totag"] = 1
    for method in ("BYE", "ACK", "CANCEL"):
        scene.ksr.method = method
        scene.request()

    assert scene.admission.asked == []


def test_a_last_resort_that_fails_too_still_returns() -> None:
    scene = Scene(route(server(1)))
    scene.admission.fails = True
    scene.ksr.results["sl.send_reply"] = "not even a number"  # type: ignore[assignment]
    scene.ksr.tables.clear()

    scene.request()


def test_a_refusal_of_somebody_unknown_is_queued_only_where_redis_may_hold() -> None:
    """Scanners leave no records; a hold whose answer was lost must be released whoever called."""
    for maybe_held in (False, True):
        scene = Scene(reject("store_down", call=builders.call(RID, ())._replace(source="")))
        scene.admission.verdict = scene.admission.verdict._replace(held=None, maybe_held=maybe_held)

        scene.request()

        assert [type(message) for message in scene.queued()] == ([Refused] if maybe_held else [])


@pytest.mark.parametrize(
    "message",
    [
        Held(RID, b"\x00\xff", ("5:EUR",), 60, 120),
        Started(RID, 1, 2, builders.CALLER, builders.CALLEE, 31, (Attempt(1, 503),), 2**62, 2**41),
        Ended(RID, "", 1, 2),
        Ended(RID, "caller", 1, 2, side=builders.CALLER),
        Held(RID, b"", (), 60, 120, stages_us=(1, 2, 3), floods=(Flood("loop", "192.0.2.9", 7),)),
        Moved(RID, "caller", builders.CALLER),
        ByeAnswered("call", "tag", 200, "192.0.2.1"),
        LateAnswer(RID, "call", "tag", builders.CALLEE, 2),
        Refused(RID, b"\x01", b"\x02", maybe_held=True),
    ],
)
def test_a_message_comes_out_of_the_queue_as_it_went_in(message: Message) -> None:
    ksr = FakeKsr()

    put(ksr, message)

    assert take(ksr) == message
    assert take(ksr) is None
