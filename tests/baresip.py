"""A stock phone of somebody else's, for tests: Debian's baresip, without sound card or screen.

It says a tone of its own, writes what it hears to a file, and does what it is told over a socket of its own.
"""

from __future__ import annotations

import json
import re
import socket
import subprocess
import wave
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from math import cos, hypot, pi, sin
from pathlib import Path
from typing import Any, Final

from tests.wait import until

SOON_S: Final = 10.0
_COMMANDS_PORT: Final = 4444
_CONFIGURATION: Final = """\
poll_method epoll
sip_listen {host}:5060
net_interface {host}
dns_server {host}:53
call_local_timeout 120
call_max_calls 4
audio_source ausine,{tone_hz}
audio_player aubridge,nobody
audio_alert aubridge,nobody
ausrc_srate 48000
ausrc_channels 2
snd_path {folder}
rtp_stats yes
ctrl_tcp_listen {host}:{port}
module_path {modules}
module g711.so
module ausine.so
module aubridge.so
module sndfile.so
module_tmp uuid.so
module_tmp account.so
module_app ctrl_tcp.so
module_app menu.so
"""
_MODULES: Final = "/usr/lib/baresip/modules"
_PACKETS: Final = re.compile(r"packets:\s+(\d+)\s+(\d+)")
_WAVE_HEAD: Final = 44  # bytes
_FRAME_BYTES: Final = 320  # 8,000 samples a second, two bytes each
_NETSTRING: Final = re.compile(rb"(\d+):")


class Tone:
    """Recorded sound."""

    def __init__(self, file: Path) -> None:
        with wave.open(str(file), "rb") as recorded:
            self.rate = recorded.getframerate()
            self.samples = array("h", recorded.readframes(recorded.getnframes()))

    @property
    def seconds(self) -> float:
        """How long it is."""
        return len(self.samples) / self.rate

    def loudest(self, tones_hz: tuple[int, ...]) -> int:
        """Return which of these frequencies it has most of."""
        return max(tones_hz, key=self._strength)

    def _strength(self, tone_hz: int) -> float:
        turn = 2 * pi * tone_hz / self.rate
        real = sum(sample * cos(turn * at) for at, sample in enumerate(self.samples))
        imaginary = sum(sample * sin(turn * at) for at, sample in enumerate(self.samples))
        return hypot(real, imaginary)


class Baresip:
    """A running phone. events: what it has told of itself, oldest first."""

    def __init__(self, folder: Path, host: str) -> None:
        self._folder = folder
        self._host = host
        self._control: socket.socket | None = None
        self._read = b""
        self.events: list[dict[str, Any]] = []

    @property
    def log(self) -> str:
        """All that it has printed."""
        return (self._folder / "log").read_text(encoding="utf-8", errors="replace")

    def connect(self) -> bool:
        """Take its commands' socket; tell whether it is there."""
        try:
            self._control = socket.create_connection((self._host, _COMMANDS_PORT), timeout=1)
        except OSError:
            return False
        self._control.setblocking(False)
        return True

    def do(self, command: str, parameter: str = "") -> None:
        """Tell it to do something: to "dial", "accept" or "hangup"."""
        text = json.dumps({"command": command, "params": parameter}).encode()
        assert self._control
        self._control.sendall(b"%d:%s," % (len(text), text))

    def told(self, kind: str) -> list[dict[str, Any]]:
        """Return its events of one kind so far, e.g. "REGISTER_OK", "CALL_ESTABLISHED"."""
        self._listen()
        return [event for event in self.events if event.get("type") == kind]

    def wait_told(self, kind: str, times: int = 1, deadline_s: float = SOON_S) -> None:
        """Wait until it has told so many events of a kind."""
        until(lambda: len(self.told(kind)) >= times, deadline_s, f"{times} {kind} of {self._host}: {self.log[-600:]}")

    def packets(self) -> list[tuple[int, int]]:
        """Return for each call that is over how many packets of sound it has sent and received."""
        return [(int(sent), int(received)) for sent, received in _PACKETS.findall(self.log)]

    def frames(self) -> int:
        """Return how many frames of 20 ms it has decoded by now in the call that goes on, or in the last one."""
        found = self._recorded()
        return max(0, found[-1].stat().st_size - _WAVE_HEAD) // _FRAME_BYTES if found else 0

    def heard(self) -> Tone:
        """Return what the last call sounded like to it."""
        return Tone(self._recorded()[-1])

    def _recorded(self) -> list[Path]:
        return sorted(self._folder.glob("dump-*-dec.wav"))

    def close(self) -> None:
        """Let go of its commands' socket."""
        if self._control:
            self._control.close()

    def _listen(self) -> None:
        assert self._control
        while True:
            try:
                more = self._control.recv(65_535)
            except BlockingIOError:
                break
            if not more:
                break
            self._read += more
        while match := _NETSTRING.match(self._read):
            end = match.end() + int(match[1])
            if len(self._read) <= end:
                return
            self.events.append(json.loads(self._read[match.end() : end]))
            self._read = self._read[end + 1 :]


@contextmanager
def running_baresip(folder: Path, host: str, account: str, tone_hz: int) -> Iterator[Baresip]:
    """Start a phone at an address of its own and end it. account: a line of its file `accounts`."""
    folder.mkdir()
    values = {"host": host, "port": _COMMANDS_PORT, "folder": folder, "modules": _MODULES, "tone_hz": tone_hz}
    (folder / "config").write_text(_CONFIGURATION.format(**values), encoding="utf-8")
    (folder / "accounts").write_text(f"{account}\n", encoding="utf-8")
    (folder / "contacts").touch()
    words = ["baresip", "-4", "-f", str(folder), "-v"]
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={"PATH": "/usr/bin:/bin", "HOME": str(folder)}
        ) as process,
    ):
        phone = Baresip(folder, host)
        try:
            until(lambda: process.poll() is not None or phone.connect(), SOON_S, f"baresip, see {folder}/log")
            assert process.poll() is None, phone.log[-3000:]
            yield phone
            phone.do("quit")  # it takes its registration back
            process.wait(SOON_S)
        finally:
            phone.close()
            process.kill()
