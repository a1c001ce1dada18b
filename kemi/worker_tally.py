"""What a worker counts, and what it tells the agent of each INVITE: a refusal's message, a part of a call's.

Rule 1: who floods a node is only counted here: of refusals of strangers so many a second are told one by one.
A REGISTER that is challenged or refused is no call: it has no line in the log, and its reason begins with REGISTER.
Rule 2: nothing here may cost a call: what cannot be queued is counted too, and told with the next message.
"""

from __future__ import annotations

import time
from typing import Final

from kemi.adapters import ksr_queue, ksr_read
from kemi.adapters.ksr_api import Ksr
from kemi.adapters.ksr_queue import REGISTER, Decided, Flood
from kemi.admission import Verdict
from kemi.core.outcome import Challenge, Reject, Route
from kemi.core.refusals import REFUSALS
from kemi.core.request import CallRequest, reservation_id

NS: Final = 1_000_000_000
STRANGERS_MAX: Final = 20  # messages a second and process; ten processes of a node log no more than people can read
FLOODS_MAX: Final = 128  # reasons and addresses that are told apart meanwhile
TEXT_MAX: Final = 128  # characters that a stranger may put into a message


class _Ration:
    """Lets STRANGERS_MAX pass each second."""

    def __init__(self) -> None:
        self._second = self._passed = 0

    def passes(self) -> bool:
        """Tell whether one more may pass, and count it."""
        second = time.monotonic_ns() // NS
        if second != self._second:
            self._second, self._passed = second, 0
        self._passed += 1
        return self._passed <= STRANGERS_MAX


class WorkerTally:
    """The one of a process: what it measures now, and what it has not told."""

    def __init__(self, ksr: Ksr) -> None:
        self._ksr = ksr
        self._begun_ns = self._read_ns = self._decided_ns = 0
        self._strangers, self._registers = _Ration(), _Ration()
        self._floods: dict[tuple[str, str], int] = {}

    def begin(self) -> None:
        """Note that a request is taken up."""
        self._begun_ns = time.perf_counter_ns()

    def read(self) -> None:
        """Note that it is read and about to be decided."""
        self._read_ns = time.perf_counter_ns()

    def decided(self) -> None:
        """Note that it is decided, and held where it goes."""
        self._decided_ns = time.perf_counter_ns()

    def tell(self, request: CallRequest, verdict: Verdict, hold_ns: int) -> None:
        """Tell of a call that was refused just now, or of a REGISTER that was not obeyed. hold_ns: of decided.

        Of a call that goes the agent knows already, and hears the last of its times with what becomes of it. Of a
        challenged one nothing is told.
        """
        decision = verdict.decision
        if request.method == "REGISTER" and isinstance(decision, Challenge | Reject):
            self.register_refused(request, "challenged" if isinstance(decision, Challenge) else decision.reason)
        if request.method == "INVITE" and isinstance(decision, Reject):
            self._refused(request, decision, (*self.stages_us(hold_ns), self.applied_us))

    def stages_us(self, hold_ns: int) -> tuple[int, ...]:
        """Return how long it took to read, decide and hold what is decided."""
        decide_ns = self._decided_ns - self._read_ns - hold_ns
        return tuple([max(0, stage_ns // 1000) for stage_ns in (self._read_ns - self._begun_ns, decide_ns, hold_ns)])

    @property
    def applied_us(self) -> int:
        """Return for how long what was decided last has been carried out by now."""
        return (time.perf_counter_ns() - self._decided_ns) // 1000

    @property
    def floods(self) -> tuple[Flood, ...]:
        """What the agent has not been told of."""
        return tuple([Flood(reason, address, count) for (reason, address), count in self._floods.items()])

    def told(self) -> None:
        """Note that it has been, of all of them."""
        self._floods = {}

    def refused_before(self, request: CallRequest, reason: str) -> None:
        """Tell of a call that was refused before anything was decided."""
        self._rationed(_of_stranger(request, reason, REFUSALS[reason].status), self._strangers)

    def register_refused(self, request: CallRequest, reason: str) -> None:
        """Tell of a REGISTER that was challenged or refused, one by one only so often a second as of strangers."""
        self._rationed(Decided("", f"{REGISTER}{reason}", 0, address=request.source_ip), self._registers)

    def malformed(self, reason: str) -> None:
        """Tell of an INVITE that cannot be read, as far as it can."""
        if ksr_read.text(self._ksr.kx.get_method) == "INVITE":
            call_id = ksr_read.text(self._ksr.kx.get_callid)[:TEXT_MAX]
            address = ksr_read.text(self._ksr.kx.get_srcip)
            self._rationed(Decided("", reason, REFUSALS[reason].status, call_id, address=address), self._strangers)

    def count(self, verdict: Verdict, round_trips: int) -> None:
        """Add to Kamailio's counters. round_trips: to Redis, of this request."""
        self._ksr.statistics.update_stat("round_trips", round_trips)
        if verdict.stale:
            self._ksr.statistics.update_stat("stale_decisions", verdict.stale)
        route = verdict.decision if isinstance(verdict.decision, Route) else None
        if route and (route.emergency or route.call.offline_id):
            self._ksr.statistics.update_stat("emergency" if route.emergency else "unheld", 1)
        if verdict.maybe_held or (isinstance(verdict.decision, Reject) and verdict.decision.reason == "store_down"):
            self._ksr.statistics.update_stat("store_unavailable", 1)

    def _refused(self, request: CallRequest, refusal: Reject, stages_us: tuple[int, ...]) -> None:
        told = _of_stranger(request, refusal.reason, refusal.status)._replace(stages_us=stages_us)
        call = refusal.call
        if call is None or not call.source:
            self._rationed(told, self._strangers)
            return
        hidden = "" if call.hidden else call.caller
        self._put(told._replace(account_id=call.account_id, source=call.source, caller=hidden, callee=call.callee))

    def _rationed(self, told: Decided, ration: _Ration) -> None:
        """Tell of somebody unknown, as long as there are few of them."""
        if ration.passes():
            self._put(told)
        else:
            self._keep(told.reason, told.address)

    def _keep(self, reason: str, address: str) -> None:
        key = (reason, address)
        if key not in self._floods and len(self._floods) >= FLOODS_MAX:
            key = (reason, "")
        self._floods[key] = self._floods.get(key, 0) + 1

    def _put(self, told: Decided) -> None:
        try:
            ksr_queue.put(self._ksr, told._replace(floods=self.floods))
        except ksr_queue.QueueFullError:
            self._keep(told.reason, told.address)
            return
        self.told()


def _of_stranger(request: CallRequest, reason: str, status: int) -> Decided:
    """Return what can be said of a refused call whose caller may be anybody."""
    return Decided(
        reservation_id(request),
        reason,
        status,
        request.call_id[:TEXT_MAX],
        caller="" if request.privacy else request.from_uri.user[:TEXT_MAX],
        callee=request.ruri.user[:TEXT_MAX],
        address=request.source_ip,
    )
