"""How long a datagram waits for a worker: the agent asks its own node, and the kernel notes when the answer came.

Rule 1: one question is on its way at a time, so a measurement tells of one passage through the queue.
Rule 2: when it came is the kernel's word (SO_TIMESTAMPNS), not ours: an agent that is late measures no overload.
Rule 3: what waits longer than LOST_MS counts as that, and another one is sent: a full socket drops what comes.
"""

from __future__ import annotations

import socket
import struct
import time
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

from kemi.adapters import ksr_load
from kemi.adapters.ksr_api import Ksr
from kemi.agent_ports import Clock
from kemi.core.overload import Load, after
from kemi.settings import Settings

EVERY_MS: Final = 100
LOST_MS: Final = 1_000.0
SAID_NS: Final = 1_000_000_000  # the log says it no more often
NS_PER_MS: Final = 1_000_000
ANSWER_MAX: Final = 4_096
NOTES_MAX: Final = 128
SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h; Python does not name it
_TIMESPEC: Final = struct.Struct("qq")


class Asked(NamedTuple):
    """A question on its way: when it was sent, on CLOCK_MONOTONIC and by the date."""

    ns: int
    unix_ns: int


class Pinger(Protocol):
    """Asks the node itself, and hears when the answer came."""

    def ask(self, number: int) -> None:
        """Send question `number`. Raises OSError."""

    def heard(self) -> list[tuple[int, int]]:
        """Return number and Unix ns of each answer since the last time."""

    def close(self) -> None:
        """Let go."""


class SipPinger:
    """An OPTIONS through the node's own socket; whatever a worker answers, it had time for it."""

    def __init__(self, listen: str) -> None:
        """listen: `host:port` as in TANDEM_LISTEN, where SIP is heard. Raises OSError, ValueError."""
        host, _, port = listen.rpartition(":")
        self._listen = listen
        kind = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(kind, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        try:
            self._socket.connect((host.strip("[]"), int(port)))
        except (OSError, ValueError):
            self._socket.close()
            raise
        own = self._socket.getsockname()
        self._here = f"[{own[0]}]:{own[1]}" if ":" in host else f"{own[0]}:{own[1]}"

    def ask(self, number: int) -> None:
        """Send question `number`. Raises OSError."""
        text = (
            f"OPTIONS sip:{self._listen} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {self._here};branch=z9hG4bK-load-{number};rport\r\n"
            f"From: <sip:load@{self._here}>;tag=l{number}\r\n"
            f"To: <sip:load@{self._listen}>\r\n"
            f"Call-ID: load-{number}@{self._here}\r\n"
            f"CSeq: {number} OPTIONS\r\n"
            "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        )
        self._socket.send(text.encode())

    def heard(self) -> list[tuple[int, int]]:
        """Return number and Unix ns of each answer since the last time."""
        found: list[tuple[int, int]] = []
        with suppress(OSError):  # nothing more has come, or nobody listens
            while True:
                answer, notes, _, _ = self._socket.recvmsg(ANSWER_MAX, NOTES_MAX)
                found.append((_number_of(answer), _time_of(notes)))
        return found

    def close(self) -> None:
        """Let go."""
        self._socket.close()


class LoadWatch:
    """Measures, decides and tells the workers. bearable_ms: above 0."""

    def __init__(self, ksr: Ksr, bearable_ms: int, pinger: Pinger, clock: Clock) -> None:
        self._ksr = ksr
        self._bearable_ms = bearable_ms
        self._pinger = pinger
        self._clock = clock
        self._load = Load()
        self._number = 0
        self._asked: Asked | None = None
        self._next_ns = 0
        self._say_ns = 0
        self.waited_ms = 0.0

    @property
    def admitted(self) -> float:
        """Share of the new calls that is let in."""
        return self._load.admitted

    def turn(self) -> None:
        """Measure when it is time, and tell what follows. Raises OSError where nothing can be sent."""
        now_ns = self._clock.monotonic_ns()
        for number, came_unix_ns in self._pinger.heard():
            if self._asked and number == self._number:
                self._measured((came_unix_ns - self._asked.unix_ns) / NS_PER_MS, now_ns)
        if self._asked and now_ns - self._asked.ns >= LOST_MS * NS_PER_MS:
            self._measured(LOST_MS, now_ns)
        if self._asked is None and now_ns >= self._next_ns:
            self._next_ns = now_ns + EVERY_MS * NS_PER_MS
            self._number += 1
            self._asked = Asked(now_ns, self._clock.unix_ns())
            self._pinger.ask(self._number)

    def close(self) -> None:
        """Let go."""
        self._pinger.close()

    def _measured(self, waited_ms: float, now_ns: int) -> None:
        self._asked, self.waited_ms = None, max(0.0, waited_ms)
        was, self._load = self._load, after(self._load, self.waited_ms, self._bearable_ms)
        if self._load.is_shedding or was.is_shedding:
            ksr_load.publish(self._ksr, self._load.admitted if self._load.is_shedding else None)
            self._say(now_ns)

    def _say(self, now_ns: int) -> None:
        """Log how it goes, once a second at most, and when it is over."""
        if now_ns >= self._say_ns or not self._load.is_shedding:
            self._say_ns = now_ns + SAID_NS
            self._ksr.notice(
                f"overload: a datagram waits {self.waited_ms:.0f} ms ({self._bearable_ms} are bearable); "
                f"{self.admitted:.0%} of new calls let in, {ksr_load.shed_so_far(self._ksr)} shed so far\n"
            )


def watch(ksr: Ksr, settings: Settings, clock: Clock) -> LoadWatch | None:
    """Return what watches the load of this node, None where nothing is ever shed, or where it cannot be asked."""
    if not settings.shed_delay_ms:
        return None
    try:
        pinger = SipPinger(settings.listen)
    except (OSError, ValueError) as error:
        ksr.err(f"overload: nothing is shed, for {settings.listen!r} cannot be asked: {error}\n")
        return None
    return LoadWatch(ksr, settings.shed_delay_ms, pinger, clock)


def _number_of(answer: bytes) -> int:
    """Return the number of the question that this answers, 0 where it answers none."""
    _, _, rest = answer.partition(b"\r\nCSeq: ")
    number = rest.partition(b" ")[0]
    return int(number) if number.isdigit() else 0


def _time_of(notes: list[tuple[int, int, bytes]]) -> int:
    """Return when the kernel got a datagram, in Unix ns; now where it does not say."""
    for level, kind, data in notes:
        if level == socket.SOL_SOCKET and kind == SO_TIMESTAMPNS and len(data) >= _TIMESPEC.size:
            seconds, nanoseconds = _TIMESPEC.unpack_from(data)
            return int(seconds) * 1_000_000_000 + int(nanoseconds)
    return time.time_ns()
