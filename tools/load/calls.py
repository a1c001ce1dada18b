"""What became of each call, as the caller's SIPp saw it: read from its trace of short messages while it grows.

A line: date, time, Unix seconds, S or R, Call-ID, "CSeq:<n> <method>", first line; tabs between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

OK: Final = 200
CHALLENGES: Final = (401, 407)
_FINAL: Final = 200
_RINGING: Final = 180
_FIELDS: Final = 7
_OPENING: Final = ("INVITE", "REGISTER")


class Line(NamedTuple):
    """One message. at: Unix seconds. status: of a response, 0 = a request."""

    at: float
    is_sent: bool
    call_id: str
    method: str
    status: int


class Call:
    """One call, or registration. Times are Unix seconds, 0 = not yet.

    began: its first request. heard: the first sign of the far end (it rings, answers), or the refusal. status: the
    final one, 0 = none came. answered, ended: the 200, the first BYE. closed: nothing more is due. repeats: how often a
    request that opens it had to be sent again.
    """

    __slots__ = ("answered", "began", "closed", "ended", "heard", "method", "party", "repeats", "status")

    def __init__(self, party: str, method: str, began: float) -> None:
        """Begin a call of a party."""
        self.party, self.method, self.began = party, method, began
        self.heard = self.answered = self.ended = 0.0
        self.status, self.repeats, self.closed = 0, -1, False

    @property
    def setup_ms(self) -> float:
        """How long the caller waited for the first sign, None of which = 0. Includes the challenge."""
        return (self.heard - self.began) * 1e3 if self.heard else 0.0

    @property
    def is_answered(self) -> bool:
        """Whether a call was answered; a registration never is."""
        return bool(self.answered) and self.method == "INVITE"


class Calls:
    """All calls of a run, by Call-ID."""

    def __init__(self) -> None:
        """Begin with none."""
        self.known: dict[str, Call] = {}

    def see(self, party: str, lines: Iterable[Line]) -> None:
        """Take messages of a party's SIPp, in their order."""
        for line in lines:
            call = self.known.get(line.call_id)
            if call is None:
                if not line.is_sent or line.method not in _OPENING or line.status:
                    continue  # a late message of a call before this run
                call = self.known[line.call_id] = Call(party, line.method, line.at)
            _advance(call, line)

    def __len__(self) -> int:
        """Return how many have begun."""
        return len(self.known)


def _advance(call: Call, line: Line) -> None:
    if line.method == "BYE":
        if not line.status and not call.ended:
            call.ended = line.at
        call.closed = call.closed or line.status >= _FINAL or (not line.status and not line.is_sent)
    elif line.method != call.method or call.answered:
        return  # PRACK, UPDATE, a later INVITE inside the call
    elif line.is_sent:
        if call.status in CHALLENGES:  # once more, with a password
            call.status, call.heard, call.closed = 0, 0.0, False
        else:
            call.repeats += 1
    elif line.status >= _RINGING:
        call.heard = call.heard or line.at
        if line.status >= _FINAL:
            _conclude(call, line)


def _conclude(call: Call, line: Line) -> None:
    call.status = line.status
    if line.status < _FINAL + 100:
        call.answered = line.at
    call.closed = line.status != OK or call.method == "REGISTER"


class Trace:
    """A growing trace of one SIPp."""

    def __init__(self, path: Path) -> None:
        """Name the file; it need not be there yet."""
        self.path = path
        self._at = 0
        self._half = b""

    def more(self) -> Iterator[Line]:
        """Yield the messages since the last time; of a line that is being written, nothing yet."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._at)
                new = file.read()
        except FileNotFoundError:
            return
        self._at += len(new)
        *whole, self._half = (self._half + new).split(b"\n")
        for text in whole:
            if (line := parsed(text.decode("utf-8", "replace"))) is not None:
                yield line


def parsed(text: str) -> Line | None:
    """Return a line of the trace as values, None when it is none."""
    fields = text.split("\t", _FIELDS - 1)
    if len(fields) < _FIELDS:
        return None
    _, _, at, direction, call_id, cseq, first = fields
    status = first[8:11] if first.startswith("SIP/2.0 ") else "0"
    method = first.partition(" ")[0] if status == "0" else cseq.rpartition(" ")[2].strip()
    return Line(float(at), direction == "S", call_id, method, int(status)) if status.isdecimal() else None
