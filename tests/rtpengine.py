"""A private relay of sound for tests: Debian's rtpengine in user space, on loopback ports of its own."""

from __future__ import annotations

import itertools
import os
import re
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.fix_stack import free_address
from tests.wait import until

HOST: Final = "127.0.0.1"
START_S: Final = 10.0
PORTS: Final = range(42_000, 43_000)  # where its sound goes; nothing else of the tests is there
_SERIAL: Final = itertools.count(1)
_ANSWER_S: Final = 0.5
_CALLS: Final = b"d7:command4:liste"  # bencode
_PING: Final = b"d7:command4:pinge"
_CALL: Final = re.compile(rb"32:([0-9a-f]{32})")


class Rtpengine(NamedTuple):
    """A running relay. port: of its commands. pid: for signals."""

    port: int
    pid: int

    @property
    def url(self) -> str:
        """What Kamailio is told."""
        return f"udp:{HOST}:{self.port}"

    def calls(self) -> list[str]:
        """Return the calls that it knows, by the names that we gave them."""
        return [found.decode() for found in _CALL.findall(self._ask(_CALLS))]

    def answers(self) -> bool:
        """Tell whether it serves."""
        return b"pong" in self._ask(_PING)

    def stand_still(self) -> None:
        """Let it say nothing any more, as one that hangs."""
        os.kill(self.pid, signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")
        until(lambda: all(_state(thread) == "T" for thread in threads.iterdir()), START_S, "all its threads to stop")

    def go_on(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _ask(self, command: bytes) -> bytes:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            asker.settimeout(_ANSWER_S)
            asker.sendto(b"%d " % next(_SERIAL) + command, (HOST, self.port))  # one that comes twice is answered alike
            try:
                return asker.recv(65_535)
            except OSError:
                return b""


def _state(thread: Path) -> str:
    return (thread / "stat").read_text().rpartition(")")[2].split()[0]


@contextmanager
def running_rtpengine() -> Iterator[Rtpengine]:
    """Start one and end it."""
    port = free_address().port
    words = ["rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--no-log-timestamps", "--table=-1"]
    words += [f"--interface={HOST}", f"--listen-ng={HOST}:{port}", f"--port-min={PORTS.start}"]
    words += [f"--port-max={PORTS.stop - 1}", "--num-threads=2", "--log-level=5"]
    with tempfile.TemporaryDirectory(prefix="tdm-relay-") as name:
        log = Path(name) / "log"
        with log.open("wb") as file, subprocess.Popen(words, stdout=file, stderr=file) as process:
            try:
                relay = Rtpengine(port, process.pid)
                until(lambda: process.poll() is not None or relay.answers(), START_S, "rtpengine")
                assert process.poll() is None, log.read_text(errors="replace")[-2000:]
                yield relay
            finally:
                process.kill()
