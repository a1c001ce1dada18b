"""The shell of a SIP worker: callbacks, clock, log, last-resort catch.

Rule 1: every callback returns an int and raises nothing: on 5.6.3 anything else loses the next request.
Rule 2: a request is read once, decided by the core, held once, and applied; the rules of telephony are in kemi/core.
Rule 3: nothing waits for Redis at BYE, CANCEL, ACK, in a failure route or a dialog event: those queue for the agent.

Callbacks run in many kinds of processes (workers, timers, the control socket's); each has its own Worker.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from kemi import codec, noc
from kemi.adapters import (
    ksr_apply,
    ksr_capacity,
    ksr_dlg_var,
    ksr_hunt,
    ksr_load,
    ksr_locations,
    ksr_mask,
    ksr_measures,
    ksr_media,
    ksr_noc,
    ksr_plan,
    ksr_queue,
    ksr_read,
    ksr_replies,
    ksr_shared,
    ksr_sides,
    ksr_started,
    ksr_within,
)
from kemi.adapters.journal import Journal, this_boot
from kemi.adapters.ksr_api import Ksr
from kemi.admission import Admission, Seen, Verdict
from kemi.core.outcome import Register, Reject, Route
from kemi.core.refusals import reject
from kemi.core.request import CallRequest, reservation_id
from kemi.settings import Settings
from kemi.worker_tally import WorkerTally

MAX_FORWARDS: Final = 70  # RFC 3261 §8.1.1.6
SANITY_CHECKS: Final = 17_511  # Kamailio's default without 128 (a datagram may be longer than its Content-Length) and
# 256: an Expires that is no number counts as an hour (RFC 3261 §10.2.1.1)
PROXY_REQUIRE_CHECK: Final = 512  # answers 420 to an extension that a proxy must know (RFC 3261 §16.3); we know none
URI_CHECKS: Final = 7  # R-URI, From and To can be parsed
DONE: Final = 1  # what every callback returns


class Worker:
    """What Kamailio calls for SIP. One per process; Kamailio finds the methods by their names."""

    def __init__(self, ksr: Ksr, settings: Settings, new_admission: Callable[[], Admission]) -> None:
        """Touch nothing outside: the main process makes this before it forks. new_admission: called in each process."""
        self._ksr = ksr
        self._tell_locations: ksr_locations.Tell = ksr_locations.untold
        self._settings = settings
        self._new_admission = new_admission
        self._admission = new_admission()
        self._journal = Journal(settings.spool_dir, this_boot())
        self._cache_report = ksr_noc.CacheReport(ksr)
        self._orders = ksr_measures.Orders(ksr)
        self._tally = WorkerTally(ksr)
        self._leaving = ""  # the call whose INVITE is being carried out
        self.load_state = ""

    # Callbacks -------------------------------------------------------------------------------------------------------

    def child_init(self, rank: int) -> int:
        """Begin in a forked process, and again after a reload. rank > 0: a process that takes SIP requests."""
        self._admission = self._new_admission()
        if rank > 0:
            self._guarded("child_init", self._admission.load)
        self._guarded("child_init", lambda: ksr_locations.begin(self._ksr))
        self._guarded("child_init", lambda: ksr_sides.note_boot(self._ksr, _unix_ms()))
        self._guarded("child_init", lambda: ksr_noc.publish_process(self._ksr, rank, os.getpid(), self.load_state))
        return 0

    def ksr_request_route(self, _msg: object, *more: object) -> int:
        """Route a SIP request. more: given by `evrexec.run`, which has no request; here and below."""
        if more:
            return DONE
        if not self._guarded("request", self._request):
            self._guarded("last resort", self._last_resort)
        return DONE

    def ksr_branch(self, _msg: object, *more: object) -> int:
        """Edit a branch that is about to leave."""
        if not more:
            applied_us = self._tally.applied_us if self._leaving else -1
            self._guarded("branch", ksr_hunt.edit_branch, self._ksr, applied_us)
        return DONE

    def ksr_branch_reply(self, _msg: object, *more: object) -> int:
        """Note that a branch rings, or where it is sent instead."""
        if not more:
            self._guarded("branch reply", ksr_hunt.heard, self._ksr, time.monotonic_ns())
        return DONE

    def ksr_fork_reply(self, _msg: object, *more: object) -> int:
        """Note what one of several branches says that ring together."""
        if not more:
            self._guarded("fork reply", lambda: ksr_hunt.heard_beside(self._ksr, time.monotonic_ns()))
        return DONE

    def ksr_branch_over(self, _msg: object, *more: object) -> int:
        """Note that one of several branches has failed. May run in a timer process."""
        if not more:
            self._guarded("branch over", lambda: ksr_hunt.branch_over(self._ksr))
        return DONE

    def ksr_failure(self, _msg: object, *more: object) -> int:
        """Go on after all branches of an attempt failed. May run in a timer process."""
        if not more:
            self._guarded("failure", lambda: ksr_hunt.failed(self._ksr, self._here()))
        return DONE

    def ksr_within_failure(self, _msg: object, *more: object) -> int:
        """Look at what was refused inside a call. May run in a timer process."""
        if not more:
            self._guarded("failure within", lambda: ksr_within.failed(self._ksr))
        return DONE

    def ksr_within_reply(self, _msg: object, *more: object) -> int:
        """Change what a caller's reply inside a call tells of him, and where the sound of it goes."""
        if not more:
            self._guarded("reply within", lambda: ksr_mask.reply(self._ksr))
            self._guarded("media within", lambda: ksr_media.heard_within(self._ksr))
        return DONE

    def ksr_reply_route(self, _msg: object, *more: object) -> int:
        """Look at a reply before Kamailio does."""
        if not more:
            self._guarded("reply", ksr_replies.serve, self._ksr, self._ours())
        return DONE

    def ksr_dialog_event(self, _msg: object, event: str = "", *_more: object) -> int:
        """Note that a call was answered, ended, or failed. May run in a timer process, on a message not the call's."""
        self._guarded("dialog", self._dialog_event, event)
        return DONE

    def noc(self, _msg: object, data: object = "", *_more: object) -> int:
        """`kamcmd evrexec.run noc "<command>"`; the answer is put into the table `noc`."""
        self._guarded("noc", lambda: noc.serve(self._ksr, self._settings, data, time.monotonic_ns(), _unix_ms()))
        return DONE

    # Requests --------------------------------------------------------------------------------------------------------

    def _request(self) -> None:
        """Follow the standard order: form, CANCEL, in-dialog, retransmission, then by method."""
        ksr = self._ksr
        ksr.force_rport()
        if ksr.maxfwd.process_maxfwd(MAX_FORWARDS) < 0:
            ksr_apply.refuse(ksr, "too_many_hops")
            return
        method = ksr_read.method_of(ksr)
        extensions = 0 if method in ("ACK", "CANCEL") else PROXY_REQUIRE_CHECK
        if ksr.sanity.sanity_check(SANITY_CHECKS | extensions, URI_CHECKS) < 0:
            return
        if method == "CANCEL":
            if ksr.tm.t_check_trans() > 0:
                ksr_plan.note_cancel(ksr)
                ksr.tm.t_relay()
            else:
                ksr_apply.refuse_stray(ksr)
            return
        if ksr.siputils.has_totag() > 0:
            if method not in ("ACK", "BYE") and ksr_read.head_fault(ksr):  # what ends a call passes: it must end
                self._malformed("malformed")
            else:
                ksr_within.serve(ksr, self._ours(), method)
            return
        if ksr.tmx.t_precheck_trans() > 0:
            ksr.tm.t_check_trans()
            return
        if ksr.tm.t_check_trans() == 0:
            return
        self._by_method(method)

    def _by_method(self, method: str) -> None:
        match method:
            case "REGISTER" if ksr_locations.is_signed(self._ksr, self._settings.secret, _unix_ms() // 1000):
                ksr_locations.take_in(self._ksr)
            case "INVITE" | "REGISTER":
                if not ksr_load.shed(self._ksr, method, self._settings, self._admission.is_emergency):
                    self._initial()
            case "OPTIONS":
                ksr_apply.answer_options(self._ksr)
            case "ACK":
                return
            case "BYE" | "INFO" | "UPDATE" | "PRACK":
                ksr_apply.refuse_stray(self._ksr)
            case _:
                ksr_apply.refuse_method(self._ksr)

    def _initial(self) -> None:
        """Serve a call or a registration: read, decide and hold, apply."""
        ksr = self._ksr
        self._tally.begin()
        request = ksr_read.read(ksr, _unix_ms())
        if isinstance(request, ksr_read.Malformed):
            self._malformed(request.reason)
            self._guarded("tally", self._tally.malformed, request.reason)
            return
        if ksr.tm.t_newtran() <= 0:
            return
        if request.method == "INVITE":
            ksr.statistics.update_stat("invites", 1)
            if again := self._came_before(request):
                ksr_apply.refuse(ksr, again)
                self._guarded("tally", self._tally.refused_before, request, again)
                return
            ksr.tm.t_reply(100, "Trying")
        self._tally.read()
        asked_before = self._admission.round_trips
        verdict = self._admission.admit(request, self._seen(request))
        self._tally.decided()
        self._guarded("trace", self._orders.trace, request, verdict.decision)
        self._carry_out(request, verdict, self._admission.round_trips - asked_before)
        self._guarded("tally", self._tally.tell, request, verdict, self._admission.hold_ns)
        self._guarded("cache", self._cache_report.show, self._admission, time.monotonic_ns())

    def _came_before(self, request: CallRequest) -> str:
        """Return why a call is refused that came here before, "" = it did not."""
        if ksr_shared.is_loop(self._ksr, request.call_id):
            return "loop"
        rid = reservation_id(request)  # known here: nothing is asked of Redis, that could get lost
        return "merged" if ksr_shared.is_known_call(self._ksr, rid) else ""

    def _carry_out(self, request: CallRequest, verdict: Verdict, round_trips: int) -> None:
        """Tell the agent first, so that no call goes that nobody would end; then Kamailio.

        What fails on the way gives the hold back: no dialog will tell the agent that this call never went.
        """
        is_told = False
        try:
            self._tally.count(verdict, round_trips)
            signed = self._tell(request, verdict)
            is_told = True
            if isinstance(verdict.decision, Register):
                self._register(request, verdict.decision)
            else:
                ksr_apply.apply(self._ksr, verdict.decision, signed, self._here())
        except Exception:
            if isinstance(verdict.decision, Route):
                self._give_back(verdict.decision, verdict, is_told=is_told)
            raise
        finally:
            self._leaving = ""

    def _register(self, request: CallRequest, decision: Register) -> None:
        refusal = ksr_locations.save(self._ksr, decision, request, self._settings.node, self._tell_locations)
        if refusal:
            self._log_refusal(request, refusal)
            ksr_apply.answer(self._ksr, refusal)
            self._guarded("tally", self._tally.register_refused, request, refusal.reason)

    def _tell(self, request: CallRequest, verdict: Verdict) -> str:
        """Tell the agent of a call, and of a refusal. Return the value of our Record-Route parameter, or ""."""
        decision = verdict.decision
        if isinstance(decision, Route):
            signed = ksr_sides.signed(self._ksr, request.source_ip, decision, self._settings, _unix_ms())
            ksr_queue.put(self._ksr, self._held(decision, verdict))
            self._tally.told()
            self._leaving = decision.call.rid
            return signed
        if isinstance(decision, Reject):
            self._log_refusal(request, decision)
            self._queue_refusal(decision, verdict)
        return ""

    def _give_back(self, route: Route, verdict: Verdict, *, is_told: bool) -> None:
        """Let the agent release what is held for a call that did not go. is_told: the agent knows of the call."""
        ksr_capacity.let_go(self._ksr, route.call.rid)
        if is_told:
            self._queue(ksr_queue.Failed(route.call.rid, 500, is_cancelled=False, attempts=(), ended_ms=_unix_ms()))
        else:
            refusal = reject("internal", route.trace, call=route.call)
            self._queue_refusal(refusal, verdict._replace(maybe_held=True))

    def _malformed(self, reason: str) -> None:
        self._ksr.statistics.update_stat("malformed", 1)
        ksr_apply.refuse(self._ksr, reason)

    def _here(self) -> ksr_plan.Here:
        return ksr_plan.Here(time.monotonic_ns(), _unix_ms(), self._settings.listen, self._settings.listen6)

    def _ours(self) -> ksr_within.Ours:
        settings = self._settings
        return ksr_within.Ours(settings.secret, settings.node, time.monotonic_ns(), _unix_ms(), self._queue)

    def _last_resort(self) -> None:
        if not self._ksr.is_ACK():
            ksr_apply.refuse(self._ksr, "internal")

    # Dialogs ---------------------------------------------------------------------------------------------------------

    def _dialog_event(self, event: str) -> None:
        ksr = self._ksr
        rid = ksr_dlg_var.get(ksr, "rid")
        if not rid:
            return
        match event:
            case "dialog:start":
                self._started(rid)
            case "dialog:end":
                if self._let_go(rid):
                    self._queue(ksr_queue.Ended(rid, "", time.monotonic_ns(), _unix_ms()))
            case "dialog:failed":
                self._let_go(rid)
                was = ksr_plan.outcome(ksr)
                applied_us = self._tally.applied_us if rid == self._leaving else ksr_started.applied_us(ksr)
                failed = ksr_queue.Failed(rid, was.status, was.is_cancelled, was.attempts, _unix_ms(), was.reason)
                self._queue(failed._replace(applied_us=applied_us))

    def _let_go(self, rid: str) -> bool:
        """Let an ended call take no place any more. Return False where the agent knows of its end, or has it told."""
        is_news = ksr_sides.forget(self._ksr, rid)
        ksr_capacity.let_go(self._ksr, rid)
        self._guarded("media", ksr_media.end, self._ksr, rid)
        return is_news

    def _started(self, rid: str) -> None:
        started = ksr_started.of(self._ksr, rid, self._here())
        self._guarded("journal", self._journal.note, started)  # before all else: this process may be killed
        self._queue(started)
        if started.server_id:
            ksr_shared.forgive(self._ksr, started.server_id)

    # Agent, counters, log --------------------------------------------------------------------------------------------

    def _seen(self, request: CallRequest) -> Seen:
        limits, secret = self._settings.limits, self._settings.secret
        return Seen(
            count_nonce=lambda: ksr_shared.nonce_uses(self._ksr, request, secret, limits.nonce_expire_s),
            down_servers=ksr_shared.down_servers(self._ksr),
            draining=ksr_shared.is_draining(self._ksr),
            newest_pass=self._orders.look(self._admission.flush),
            quarantine=self._orders.measures.quarantine,
            let_in=partial(ksr_capacity.let_in, self._ksr),
            take_turn=partial(ksr_shared.take_turn, self._ksr),
        )

    def _held(self, route: Route, verdict: Verdict) -> ksr_queue.Held:
        return ksr_queue.Held(
            rid=route.call.rid,
            pinned=verdict.pinned or codec.pack(route.call),
            funds=tuple(fund.fund for fund in route.hold.funds),
            granted_s=verdict.held.granted_s if verdict.held else route.call.max_s,
            lease_s=self._admission.lease_s(route),
            is_held=verdict.held is not None,
            held_micros=verdict.held_micros,
            sides=tuple(fund.sides for fund in route.hold.funds),
            stages_us=self._tally.stages_us(self._admission.hold_ns),
            floods=self._tally.floods,
        )

    def _queue_refusal(self, refusal: Reject, verdict: Verdict) -> None:
        """Give the CDR what can be said; a refusal of somebody unknown leaves none, or scanners would fill them."""
        call = refusal.call
        if call is None or not (call.source or verdict.maybe_held):
            return
        self._queue(ksr_queue.refused(refusal, call, _unix_ms(), maybe_held=verdict.maybe_held))

    def _queue(self, message: ksr_queue.Message) -> bool:
        """Queue what has already happened; when the queue is full, the lease of the reservation is what remains.

        Return whether it was taken.
        """
        try:
            ksr_queue.put(self._ksr, message)
        except ksr_queue.QueueFullError as error:
            self._ksr.statistics.update_stat("agent_lost", 1)
            self._ksr.err(f"{error}\n")
            return False
        return True

    def _log_refusal(self, request: CallRequest, refusal: Reject) -> None:
        self._ksr.info(f"{request.call_id}: {refusal.status} {refusal.reason}: {'; '.join(refusal.trace)}\n")

    def _guarded(self, what: str, work: Callable[..., None], *given: object) -> bool:
        """Do `work` with what is given; log and count what it raises. Return whether it went through."""
        try:
            work(*given)
        except Exception as error:  # noqa: BLE001  the last resort: a callback must not raise
            told = traceback.format_exc().replace("\n", " | ")
            with suppress(Exception):  # the log must not raise either
                self._ksr.statistics.update_stat("exceptions", 1)
                self._ksr.err(f"{what}: Call-ID {ksr_read.text(self._ksr.kx.get_callid)}: {told}\n")
                ksr_noc.publish_error(self._ksr, os.getpid(), f"{what}: {error!r}", _unix_ms())
            return False
        return True


def _unix_ms() -> int:
    return time.time_ns() // 1_000_000
