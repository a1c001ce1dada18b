"""What workers tell the node agent, through Kamailio's `mqueue`: typed messages as codec.write has them.

Rule 1: a message says what happened and when; it never waits for an answer.
Rule 2: times are CLOCK_MONOTONIC nanoseconds (the same clock in every process of the machine) and Unix ms.
"""

from __future__ import annotations

from base64 import b64decode
from typing import Final, NamedTuple

from kemi import codec
from kemi.adapters.ksr_api import Ksr
from kemi.core.outcome import Reject
from kemi.core.sides import Side
from kemi.records import Attempt, CallEnd, PinnedCall

QUEUE: Final = "agent"
ARRAYS: Final = "9d"  # what such a text begins with; the release before wrote base64, which never does


class QueueFullError(Exception):
    """The agent does not keep up; the message was not taken. The reservation's lease is what remains."""


REGISTER: Final = "register:"
"""What the reason of a refused REGISTER begins with; a challenge is `register:challenged`."""


class Flood(NamedTuple):
    """Refusals that were only counted, since there were too many. address: where they came from, "" = from many."""

    reason: str
    address: str
    times: int


class Held(NamedTuple):
    """A call got its hold and leaves now. pinned: packed PinnedCall. funds: in the order of the hold's rows.

    lease_s: how long Redis keeps the reservation without a sign of life. is_held False: an emergency call that goes
    without a hold. held_micros: per fund, what is held for granted_s; sides: as in HoldFund; () = not told.
    stages_us: as in Decided, without the last; floods: as there.
    """

    rid: str
    pinned: bytes
    funds: tuple[str, ...]
    granted_s: int
    lease_s: int
    is_held: bool = True
    held_micros: tuple[int, ...] = ()
    sides: tuple[int, ...] = ()
    stages_us: tuple[int, ...] = ()
    floods: tuple[Flood, ...] = ()


class Started(NamedTuple):
    """The 200 came. h_entry, h_id: the dialog's place. caller, callee: where our own BYEs go.

    server_id: who answered, 0 = a phone of ours. attempts: all of them, the answered one last. call_id: "" in what an
    older release has noted. place: of the target that answered, as in Attempt. applied_us: how long it took from the
    decision until the first INVITE left, -1 = not known.
    """

    rid: str
    h_entry: int
    h_id: int
    caller: Side
    callee: Side
    server_id: int
    attempts: tuple[Attempt, ...]
    answered_ns: int
    answered_ms: int
    call_id: str = ""
    place: int = -1
    applied_us: int = -1


class Moved(NamedTuple):
    """A side sent a request inside the call, no BYE that ends it. side: as it is now.

    which: CALLER, CALLEE, or one that only rings.
    """

    rid: str
    which: str
    side: Side


class Ended(NamedTuple):
    """A BYE came, or the dialog's backstop ran out. by: "caller", "callee", or "" when nobody said BYE.

    is_sure: it came from the address of who it says it is. is_followed False: the workers know only
    the call's token; ip: where it came from then. is_relayed False: the BYE went no further than here. side: who said
    BYE, as he is now; None = not seen.
    """

    rid: str
    by: str
    ended_ns: int
    ended_ms: int
    is_sure: bool = False
    is_followed: bool = True
    ip: str = ""
    is_relayed: bool = True
    side: Side | None = None


class ByeAnswered(NamedTuple):
    """A final answer to a BYE, of a side or ours. from_tag: of who said BYE; ip: where the answer came from."""

    call_id: str
    from_tag: str
    status: int
    ip: str


class ProbeAnswered(NamedTuple):
    """A final answer to an OPTIONS, perhaps ours: within a call, or to a carrier's server. from_tag: of who asked.

    ip: where the answer came from.
    """

    call_id: str
    from_tag: str
    status: int
    ip: str = ""
    cseq: int = 0


class LoginAnswered(NamedTuple):
    """A final answer to a REGISTER of ours. Values of these headers as they came; challenges: of 401 and 407.

    ip: where the answer came from.
    """

    call_id: str
    status: int
    challenges: tuple[str, ...] = ()
    contacts: tuple[str, ...] = ()
    expires: str = ""
    min_expires: str = ""
    ip: str = ""
    cseq: int = 0


class LateAnswer(NamedTuple):
    """A 2xx that came when the call was over, or another one had answered; it went no further. cseq: of the INVITE."""

    rid: str
    call_id: str
    from_tag: str
    callee: Side
    cseq: int


class Failed(NamedTuple):
    """The call ended before an answer. status: what the caller was told. reason: why, "" = as the status says.

    applied_us: as in Started.
    """

    rid: str
    status: int
    is_cancelled: bool
    attempts: tuple[Attempt, ...]
    ended_ms: int
    reason: str = ""
    applied_us: int = -1


class Refused(NamedTuple):
    """We refused the call. pinned, end: packed PinnedCall and CallEnd.

    maybe_held: Redis did not say whether it held, so what it may hold must be released.
    """

    rid: str
    pinned: bytes
    end: bytes
    maybe_held: bool = False


class HangUp(NamedTuple):
    """The NOC ends a call."""

    rid: str


class Decided(NamedTuple):
    """An INVITE was refused: for the counts and the log; of a call that goes Held has them. status: as told.

    call_id … callee: what is known. account_id: whose call it is, 0 = of nobody known.
    address: where it came from. stages_us: how long it took to read it, to decide, to hold, and to carry out, () = not
    measured. floods: what this process has refused since its last message and told nobody.
    """

    rid: str
    reason: str
    status: int
    call_id: str = ""
    account_id: int = 0
    source: str = ""
    caller: str = ""
    callee: str = ""
    address: str = ""
    stages_us: tuple[int, ...] = ()
    floods: tuple[Flood, ...] = ()


Answered = ByeAnswered | ProbeAnswered | LoginAnswered
Message = Held | Started | Moved | Ended | Answered | LateAnswer | Failed | Refused | HangUp
Told = Message | Decided
"""All that is queued: what changes calls, and what is only counted."""
KINDS: Final[dict[str, type[Told]]] = {
    "held": Held,
    "start": Started,
    "moved": Moved,
    "end": Ended,
    "bye": ByeAnswered,
    "probe": ProbeAnswered,
    "login": LoginAnswered,
    "late": LateAnswer,
    "failed": Failed,
    "refused": Refused,
    "hangup": HangUp,
    "decided": Decided,
}
_NAMES: Final = {kind: name for name, kind in KINDS.items()}


def refused(refusal: Reject, call: PinnedCall, now_ms: int, *, maybe_held: bool) -> Refused:
    """Return what the record of a refused call is made of. now_ms: Unix time."""
    end = CallEnd(
        outcome="refused",
        ended_ms=now_ms,
        answered_ms=0,
        talk_ms=0,
        billed_s=0,
        status=refusal.status,
        reason=refusal.reason,
        q850=refusal.q850,
        ended_by="",
        trace=() if call.trace == refusal.trace else refusal.trace,  # the record has both, one after the other
        account_id=refusal.account_id,
    )
    return Refused(call.rid, codec.pack(call), codec.pack(end), maybe_held)


def put(ksr: Ksr, message: Told) -> None:
    """Queue a message. Raises QueueFullError."""
    if ksr.mqueue.mq_add(QUEUE, _NAMES[type(message)], codec.write(message)) < 0:
        raise QueueFullError(f"queue {QUEUE} is full: {type(message).__name__} of {message[0]} is lost")


def take(ksr: Ksr) -> Told | None:
    """Return the first message and remove it, None when there is none. Raises ValueError on one that is no message."""
    if ksr.mqueue.mq_fetch(QUEUE) < 0:
        return None
    return _load(str(ksr.mqueue.mqk_get(QUEUE)), str(ksr.mqueue.mqv_get(QUEUE)))


def _load(name: str, value: str) -> Told:
    kind = KINDS.get(name)
    if kind is None:
        raise ValueError(f"no message of the agent's: {name!r}")
    return codec.read(kind, value if value[:1] in ARRAYS else b64decode(value).hex())
