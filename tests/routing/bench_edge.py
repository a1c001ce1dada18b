"""What the edge costs per authenticated call: calls of KSR and bytecode instructions, the same on any machine.

One call over UDP to a carrier: INVITE → 407, ACK, INVITE → 100, 180, 200, ACK, BYE, 200. Admission (the core, Redis) is
planned and not counted. The fake KSR stands for Kamailio; the order of callbacks is Kamailio's.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any, Final

from kemi.core.outcome import Challenge
from kemi.core.targets import ALWAYS_REMOVED
from tests.unit.test_worker import PlannedAdmission, Scene, route, server

KEMI: Final = str(Path(__file__).parents[2] / "kemi")
HEADERS: Final[dict[str, str]] = {
    "Via": "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK74bf9;rport",
    "Max-Forwards": "70",
    "From": '"Alice" <sip:alice@a.example>;tag=tag-1',
    "To": "<sip:33140000000@a.example>",
    "Call-ID": "call-1",
    "CSeq": "1 INVITE",
    "Contact": "<sip:alice@192.0.2.1:5060>",
    "User-Agent": "phone/1",
    "Allow": "INVITE, ACK, CANCEL, BYE, OPTIONS, UPDATE, INFO, REFER, NOTIFY, MESSAGE",
    "Supported": "replaces, timer, 100rel",
    "Content-Type": "application/sdp",
    "Content-Length": "0",
}
CREDENTIALS: Final = (
    'Digest username="alice", realm="a.example", nonce="n", uri="sip:33140000000@a.example", '
    'response="0123456789abcdef0123456789abcdef", algorithm=MD5, qop=auth, nc=00000001, cnonce="c"'
)
SENT: Final = [(100, "Trying"), (407, "Proxy Authentication Required"), (100, "Trying")]
TOLD: Final = ["held", "start", "end", "bye"]
RELAYED: Final = 2  # INVITE and BYE; an ACK is forwarded
CARRIER: Final[dict[str, int | str]] = {
    "$si": "192.0.2.9",
    "$ct": "sip:33140000000@192.0.2.9:5060",
    "$tt": "to-1",
    "$T_branch_idx": 0,
    "$T(id_index)": 7,
    "$T(id_label)": 8,
}


class Counted:
    """Counts bytecode instructions of kemi's own code, but for core and the like that is asked behind Admission."""

    def __init__(self) -> None:
        self.by_module: Counter[str] = Counter()
        self.by_function: Counter[str] = Counter()

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Any:
        """Follow a frame: sys.settrace."""
        name = frame.f_code.co_filename
        if not name.startswith(KEMI):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            self.by_module[name[len(KEMI) + 1 :]] += 1
            self.by_function[f"{name[len(KEMI) + 1 :]} {frame.f_code.co_qualname}"] += 1
        return self


class Call:
    """One call, step by step."""

    def __init__(self) -> None:
        target = server(9)._replace(remove=ALWAYS_REMOVED, headers=())
        planned = route(target, server(2))
        self.scene = Scene(planned._replace(call=planned.call._replace(call_id="call-1", from_tag="tag-1")))
        self.ksr, self.worker = self.scene.ksr, self.scene.worker
        self.ksr.pvs.update({"$Ri": "127.0.0.1", "$Rp": 5060, "$ct": "sip:alice@192.0.2.1:5060"})
        self.worker.child_init(1)

    def challenge(self) -> None:
        """INVITE → 407, ACK."""
        planned: PlannedAdmission = self.scene.admission
        to_route = planned.verdict
        planned.verdict = to_route._replace(
            decision=Challenge(407, "Proxy-Authenticate", ('Digest realm="a.example"',), ("asked",)), held=None
        )
        self._receive("INVITE")
        self._receive("ACK", has_tag=True)
        planned.verdict = to_route

    def invite(self) -> None:
        """INVITE → to the carrier."""
        self._receive("INVITE", {"Proxy-Authorization": CREDENTIALS})
        self.ksr.pvs["$T_branch_idx"] = 0
        self.worker.ksr_branch(None)

    def answer(self) -> None:
        """100, 180, 200 of the carrier."""
        token = str(self.ksr.did("rr.add_rr_param")[0][0])
        caller = dict(self.ksr.pvs)
        self.ksr.pvs |= CARRIER | {"$(hdr(Record-Route)[*])": f"<sip:127.0.0.1:5060;lr=on{token}>"}
        self.ksr.results["tm.t_check_trans"] = 1
        for status in (100, 180, 200):
            self.ksr.pvs["$rs"] = status
            self._carry(f"SIP/2.0 {status} Any", {})
            self.worker.ksr_reply_route(None)
            self.worker.ksr_branch_reply(None)
        self.worker.ksr_dialog_event(None, "dialog:start")
        self.ksr.results.clear()
        self.ksr.pvs |= {name: value for name, value in caller.items() if name in CARRIER}

    def end(self) -> None:
        """ACK and BYE of the caller, and the 200 to it."""
        token = str(self.ksr.did("rr.add_rr_param")[0][0])
        way = f"<sip:127.0.0.1:5060;lr=on{token}>"
        self.ksr.pvs |= {"$(hdr(Route)[*])": way, "$tt": "to-1"}
        self._receive("ACK", {"Route": way}, has_tag=True)
        self.ksr.pvs["$cs"] = "2"
        self._receive("BYE", {"Route": way}, has_tag=True)
        self.worker.ksr_dialog_event(None, "dialog:end")
        self.ksr.pvs["$rs"] = 200
        self._carry("SIP/2.0 200 OK", {})
        self.worker.ksr_reply_route(None)

    def _receive(self, method: str, more: dict[str, str] | None = None, *, has_tag: bool = False) -> None:
        self.ksr.method = method
        self.ksr.results["siputils.has_totag"] = 1 if has_tag else -1
        self._carry(f"{method} sip:33140000000@a.example SIP/2.0", more or {})
        self.scene.request()
        del self.ksr.results["siputils.has_totag"]

    def _carry(self, first: str, more: dict[str, str]) -> None:
        self.ksr.headers = {**HEADERS, **more}
        lines = (first, *(f"{name}: {value}" for name, value in {**HEADERS, **more}.items()))
        self.ksr.message = "\r\n".join((*lines, "", "")).encode()


def measure() -> dict[str, Any]:
    """Return the counts of one call that is not the first one of its process."""
    _run(Counted(), {})  # so that patterns and makers are compiled and cached as in a worker at work
    counted = Counted()
    steps: dict[str, dict[str, int]] = {}
    call = _run(counted, steps)
    names = Counter(str(each[0]) for each in call.ksr.calls)
    told, relayed = [kind for kind, _ in call.ksr.queue], len(call.ksr.did("tm.t_relay"))
    if call.ksr.log or (call.ksr.sent, told, relayed, call.ksr.tables["sides"]) != (SENT, TOLD, RELAYED, {}):
        raise SystemExit(f"the call did not go as planned: {call.ksr.log}, {call.ksr.sent}, {told}, {relayed}")
    return {
        "what": "the edge of an authenticated call, without core and Redis",
        "ksr_calls": sum(step["ksr_calls"] for step in steps.values()),
        "opcodes": sum(step["opcodes"] for step in steps.values()),
        "messages": sum(1 for each in call.ksr.calls if each[0] == "mqueue.mq_add"),
        "steps": steps,
        "ksr_calls_by_name": dict(names.most_common(20)),
        "opcodes_by_module": dict(counted.by_module.most_common(20)),
        "opcodes_by_function": dict(counted.by_function.most_common(30)),
    }


def _run(counted: Counted, steps: dict[str, dict[str, int]]) -> Call:
    call = Call()
    for step in (call.challenge, call.invite, call.answer, call.end):
        calls, opcodes = len(call.ksr.calls), counted.by_module.total()
        before = sys.gettrace()
        sys.settrace(counted)
        try:
            step()
        finally:
            sys.settrace(before)
        made = {"ksr_calls": len(call.ksr.calls) - calls, "opcodes": counted.by_module.total() - opcodes}
        steps[step.__name__] = made
    return call


def main() -> int:
    """Print the counts as JSON."""
    sys.stdout.write(json.dumps(measure(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
