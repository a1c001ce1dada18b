"""What a worker does with requests that are no plain call: strays, strange lines, and calls that break on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kemi.adapters import ksr_dlg_var, ksr_load, ksr_plan, ksr_read, ksr_shared
from kemi.adapters.ksr_hunt import STRIPPED, edit_branch
from kemi.adapters.ksr_plan import load, save
from kemi.adapters.ksr_queue import Decided, Failed, Held, Message, Refused, take
from kemi.adapters.redis_funds import Held as HeldFunds
from kemi.admission import Admission, Seen, Verdict
from kemi.core.digest import make_nonce
from kemi.core.outcome import Decision, Hold, HoldFund, HoldRow, Register, Route, Target
from kemi.core.request import CallRequest, Credentials, SipUri, reservation_id
from kemi.records import PinnedTarget
from kemi.settings import Limits, Settings
from kemi.worker import DONE, PROXY_REQUIRE_CHECK, SANITY_CHECKS, Worker
from tests.fakes import calls as builders
from tests.fakes.ksr import FakeKsr
from tests.fakes.world import request

NOW_MS = 1_770_000_000_000
SOURCE = "203.0.113.9"
STRAY = (481, "Call/Transaction Does Not Exist")
RID = "ab" * 16
SECRET = b"0123456789abcdef"
SETTINGS = Settings(node="n1", redis_url="", secret=SECRET, spool_dir="", listen="", limits=Limits())


def route() -> Route:
    """Return a call that holds one fund and goes to one server."""
    hop = "sip:192.0.2.1:5060"
    target = Target("server", hop, hop, "", "", (), (), PinnedTarget(1, 1, "server 1"))
    call = builders.call(RID, (builders.leg(1, 5, 1),))
    hold = Hold((HoldFund("5:EUR", 5, 1),), (HoldRow(60, (1,)),), ())
    return Route(call, hold, (target,), SipUri("sip", "a", "b"), 20, ("because",))


class PlannedAdmission(Admission):
    """Admits what the test says; `after` is called when the hold stands."""

    def __init__(self, decision: Decision) -> None:
        self.verdict = Verdict(decision, HeldFunds(60, (), 1, 1) if isinstance(decision, Route) else None)
        self.asked: list[CallRequest] = []
        self.after: Callable[[], object] = bool
        self._settings = SETTINGS

    @property
    def round_trips(self) -> int:
        """One more each time."""
        return len(self.asked)

    def load(self) -> None:
        """Nothing to load."""

    def is_emergency(self, dialled: str) -> bool:
        """As the tables would say that have one number."""
        return dialled == "112"

    def admit(self, request: CallRequest, _seen: Seen) -> Verdict:
        """Return the plan."""
        self.asked.append(request)
        self.after()
        return self.verdict


class Scene:
    """A worker that will decide so, in front of a fake Kamailio."""

    def __init__(self, decision: Decision) -> None:
        self.ksr = FakeKsr()
        self.admission = PlannedAdmission(decision)
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


def test_what_is_shed_costs_neither_a_decision_nor_a_transaction() -> None:
    scene = Scene(route())
    ksr_load.publish(scene.ksr, 0.0)

    scene.request()

    assert scene.ksr.sent == [(503, "Overloaded")]
    assert scene.admission.asked == []
    assert scene.ksr.did("tm.t_newtran") == scene.ksr.did("kx.get_msgbuf") == []


@pytest.mark.parametrize(("function", "result"), [("tmx.t_precheck_trans", 1), ("tm.t_check_trans", 0)])
def test_a_repeated_request_of_a_call_that_was_let_in_is_not_shed(function: str, result: int) -> None:
    scene = Scene(route())
    scene.ksr.results[function] = result
    ksr_load.publish(scene.ksr, 0.0)

    scene.request()

    assert scene.ksr.sent == []


@pytest.mark.parametrize("method", ["BYE", "INVITE", "ACK", "UPDATE"])
def test_nothing_within_a_call_is_shed(method: str) -> None:
    scene = Scene(route())
    scene.ksr.method, scene.ksr.results["siputils.has_totag"] = method, 1
    ksr_load.publish(scene.ksr, 0.0)

    scene.request()

    assert (503, "Overloaded") not in scene.ksr.sent


@pytest.mark.parametrize("status", [0, 480])
def test_a_cancel_is_noted_with_its_call_unless_that_is_over(status: int) -> None:
    """Kamailio may end the call by itself then, and the dialog that fails must not say that we have."""
    scene = Scene(route())
    scene.ksr.method, scene.ksr.results["tm.t_check_trans"] = "CANCEL", 1
    ksr_dlg_var.put(scene.ksr, "rid", RID)
    ksr_plan.keep(scene.ksr, ksr_plan.Outcome(status, is_cancelled=False, attempts=()))

    scene.request()
    scene.worker.ksr_dialog_event(None, "dialog:failed")

    assert scene.ksr.did("tm.t_relay") == [()]
    (failed,) = scene.queued()
    assert isinstance(failed, Failed)
    assert (failed.status, failed.is_cancelled) == (status or 487, not status)


@pytest.mark.parametrize("method", ["CANCEL", "BYE", "INFO", "UPDATE", "PRACK"])
def test_what_belongs_to_nothing_that_we_know_is_told_so(method: str) -> None:
    scene = Scene(route())
    scene.ksr.method = method

    scene.request()

    assert scene.ksr.sent == [STRAY]
    assert scene.admission.asked == []


@pytest.mark.parametrize("method", ["SUBSCRIBE", "MESSAGE", "REFER", "NOTIFY", "PUBLISH", "FOO"])
def test_a_method_that_we_do_not_serve_is_told_which_we_do(method: str) -> None:
    scene = Scene(route())
    scene.ksr.method = method

    scene.request()

    assert scene.ksr.sent == [(405, "Method Not Allowed")]
    (allow,) = [line for line in scene.ksr.reply_headers if line.startswith("Allow: ")]
    assert {"INVITE", "ACK", "CANCEL", "OPTIONS", "REGISTER", "BYE"} <= set(allow[7:].strip().split(", "))


def test_an_ack_is_never_answered() -> None:
    scene = Scene(route())
    scene.ksr.method = "ACK"

    scene.request()

    assert scene.ksr.sent == []


@pytest.mark.parametrize(("method", "checked"), [("INVITE", True), ("BYE", True), ("ACK", False), ("CANCEL", False)])
def test_extensions_are_checked_where_they_can_be_refused(method: str, *, checked: bool) -> None:
    """RFC 3261 §8.2.2.3: neither CANCEL nor ACK is refused for an extension."""
    scene = Scene(route())
    scene.ksr.method = method

    scene.request()

    (checks, _) = scene.ksr.did("sanity.sanity_check")[0]
    assert checks == SANITY_CHECKS + PROXY_REQUIRE_CHECK * checked


@pytest.mark.parametrize(("method", "passes"), [("INVITE", False), ("INFO", False), ("BYE", True), ("ACK", True)])
def test_lines_that_others_could_end_elsewhere_do_not_go_on_within_a_call(method: str, *, passes: bool) -> None:
    """But what ends a call, or completes it, passes: a call that nobody can end costs its caller."""
    scene = Scene(route())
    scene.ksr.method = method
    scene.ksr.results["siputils.has_totag"] = 1
    scene.ksr.message = b"INFO sip:a SIP/2.0\r\nSubject: a\rP-Asserted-Identity: <sip:b@c>\r\n\r\n"

    scene.request()

    assert ((400, "Bad Request") in scene.ksr.sent) is not passes


@pytest.mark.parametrize("callback", ["ksr_request_route", "ksr_branch", "ksr_failure", "ksr_dialog_event", "noc"])
def test_a_callback_that_the_noc_runs_by_mistake_does_nothing(callback: str) -> None:
    """`kamcmd evrexec.run` gives every callback a second argument, and there is no request behind it."""
    scene = Scene(route())

    for more in (("",), ("a", "b")):
        assert getattr(scene.worker, callback)(None, *more) == DONE

    assert scene.ksr.sent == []
    assert scene.queued() == []
    assert scene.ksr.log == []


def test_a_merged_request_of_a_call_that_the_agent_follows_asks_nothing() -> None:
    """So its reserve cannot get lost, which would give the first request's hold back. Another call is none of it."""
    for is_known in (True, False):
        scene = Scene(route())
        call = ksr_read.read(scene.ksr, NOW_MS)
        assert isinstance(call, CallRequest)
        scene.ksr.tables["calls"][reservation_id(call) if is_known else RID] = "{}"

        scene.request()

        assert ((482, "Loop Detected") in scene.ksr.sent) is is_known
        assert bool(scene.admission.asked) is not is_known
        assert bool(scene.queued()) is not is_known


@pytest.mark.parametrize(("module", "function"), [("statistics", "update_stat"), ("mqueue", "mq_add")])
def test_a_call_that_breaks_before_the_agent_knows_of_it_gives_its_hold_back(
    monkeypatch: pytest.MonkeyPatch, module: str, function: str
) -> None:
    """A reserve has succeeded; whatever fails then, somebody must release it."""
    scene = Scene(route())
    owner = getattr(scene.ksr, module)

    def fail_once(*_: object) -> None:
        monkeypatch.undo()
        raise RuntimeError("broken")

    scene.admission.after = lambda: monkeypatch.setattr(owner, function, fail_once)

    scene.request()

    (refused,) = scene.queued()
    assert isinstance(refused, Refused)
    assert refused.maybe_held
    assert scene.ksr.did("tm.t_relay") == []
    assert scene.ksr.sent[-1] == (500, "Server Internal Error")


def test_a_call_that_breaks_after_the_agent_knows_of_it_has_failed() -> None:
    scene = Scene(route())
    scene.ksr.results["dialog.dlg_manage"] = -1

    scene.request()

    assert [type(message) for message in scene.queued()] == [Held, Failed]


def test_a_registration_that_breaks_releases_nothing() -> None:
    scene = Scene(Register("alice@a.example", ()))
    scene.ksr.method = "REGISTER"
    scene.ksr.results["registrar.save"] = "no number"  # type: ignore[assignment]
    scene.ksr.tables.clear()

    scene.request()

    assert scene.queued() == []


def _asked(nonce: str, nc: str, source_ip: str = SOURCE) -> CallRequest:
    credentials = Credentials("alice", "a.example", nonce, "sip:x", "r", "MD5", "auth", nc, "c" * 1500)
    return request(credentials=credentials, source_ip=source_ip)


def test_a_use_is_counted_under_a_short_key() -> None:
    """The key is nonce and count, nothing that a client can make long."""
    ksr, nonce = FakeKsr(), make_nonce(SECRET, NOW_MS, "salt", SOURCE)

    uses = [ksr_shared.nonce_uses(ksr, _asked(nonce, nc), SECRET, 300) for nc in ("0000000a", "0000000A")]

    assert uses == [1, 2]
    assert list(ksr.tables["nonce"]) == [f"{nonce}:0000000a"]


@pytest.mark.parametrize("nc", ["", "1", "000000001", "0000000g", "0" * 1500, "٠٠٠٠٠٠٠٠"])
def test_a_count_that_is_none_is_not_counted(nc: str) -> None:
    ksr, nonce = FakeKsr(), make_nonce(SECRET, NOW_MS, "salt", SOURCE)

    assert ksr_shared.nonce_uses(ksr, _asked(nonce, nc), SECRET, 300) == 0
    assert ksr_shared.nonce_uses(ksr, request(credentials=None), SECRET, 300) == 0
    assert ksr_shared.nonce_uses(ksr, _asked("f" * 32, "00000001"), SECRET, 300) == 0
    assert ksr_shared.nonce_uses(ksr, _asked(nonce, "00000001", "198.51.100.7"), SECRET, 300) == 0
    assert ksr.tables["nonce"] == {}


def test_what_is_not_in_the_request_is_not_removed_but_in_short_it_may_be() -> None:
    scene = Scene(route())
    scene.request()

    edit_branch(scene.ksr)
    plain = scene.ksr.did("hdr.remove")
    scene.ksr.headers = {"y": "x"}
    edit_branch(scene.ksr)

    assert (plain, scene.ksr.did("hdr.remove")) == ([], [(name,) for name in STRIPPED])


def test_another_process_reads_the_plan_that_this_one_remembers() -> None:
    scene = Scene(route())
    scene.request()

    remembered = load(scene.ksr)
    other = FakeKsr()
    save(other, remembered._replace(rid="another"))

    assert load(scene.ksr) == remembered
    assert load(scene.ksr) is not remembered
