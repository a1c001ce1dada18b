"""One side's sound for tests: real RTP over UDP on loopback, packet by packet."""

from __future__ import annotations

import re
import socket
import struct
from collections import Counter
from typing import Final, NamedTuple, Self

from tests.wait import until

_HEADER: Final = struct.Struct("!BBHII")  # RFC 3550 §5.1
_VERSION: Final = 0x80
_PCMA: Final = 8
_FRAME: Final = b"\xd5" * 160  # 20 ms of silence
_CONNECTION: Final = re.compile(r"^c=IN IP4 (\S+)", re.MULTILINE)
_AUDIO: Final = re.compile(r"^m=audio (\d+) ", re.MULTILINE)


class Way(NamedTuple):
    """Where SDP says that sound is taken."""

    host: str
    port: int


class Heard(NamedTuple):
    """A packet as it came. source: where from; who: the sender's SSRC."""

    source: Way
    who: int


def way_of(sdp: str) -> Way:
    """Return where a description's first audio stream goes."""
    connection, audio = _CONNECTION.search(sdp), _AUDIO.search(sdp)
    assert connection, sdp
    assert audio, sdp
    return Way(connection[1], int(audio[1]))


class Voice:
    """A socket for sound. who: SSRC of what it says."""

    def __init__(self, host: str, who: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.setblocking(False)
        self.who = who
        self.way = Way(*self._socket.getsockname())
        self._sent = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def sdp(self) -> str:
        """What it offers and answers."""
        host, port = self.way
        return (
            f"v=0\r\no=- {self.who} 1 IN IP4 {host}\r\ns=-\r\nc=IN IP4 {host}\r\nt=0 0\r\n"
            f"m=audio {port} RTP/AVP {_PCMA}\r\n"
        )

    def say(self, to: Way, packets: int = 1) -> None:
        """Send so many packets."""
        for _ in range(packets):
            self._sent += 1
            header = _HEADER.pack(_VERSION, _PCMA, self._sent & 0xFFFF, self._sent * len(_FRAME), self.who)
            self._socket.sendto(header + _FRAME, to)

    def throw(self, datagram: bytes, to: Way) -> None:
        """Send what is no sound."""
        self._socket.sendto(datagram, to)

    def heard(self) -> Counter[Heard]:
        """Return what has come since the last time."""
        found: Counter[Heard] = Counter()
        while True:
            try:
                packet, source = self._socket.recvfrom(2048)
            except BlockingIOError:
                return found
            found[Heard(Way(*source), _HEADER.unpack(packet[: _HEADER.size])[4])] += 1


class Side(NamedTuple):
    """Who speaks, and where he was told to send to."""

    voice: Voice
    to: Way


def exchange(one: Side, other: Side, packets: int, deadline_s: float = 10.0) -> None:
    """Let two sides send packet for packet until each has heard so many of the other, all from where it sends to."""
    from_other: Counter[Heard] = Counter()
    from_one: Counter[Heard] = Counter()

    def has_enough() -> bool:
        one.voice.say(one.to)
        other.voice.say(other.to)
        from_other.update(one.voice.heard())
        from_one.update(other.voice.heard())
        return min(_of(from_other, other), _of(from_one, one)) >= packets

    until(has_enough, deadline_s, f"{packets} packets on both sides")
    assert _of(from_other, other) == from_other[Heard(one.to, other.voice.who)], from_other
    assert _of(from_one, one) == from_one[Heard(other.to, one.voice.who)], from_one


def _of(heard: Counter[Heard], side: Side) -> int:
    """Return how many packets are of this side; one of a call before may come late."""
    return sum(number for packet, number in heard.items() if packet.who == side.voice.who)
