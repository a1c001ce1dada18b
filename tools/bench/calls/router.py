"""What the benchmark asks of a router, whichever it is; and the servers that it runs for those that are not ours."""

from __future__ import annotations

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from tools.bench.calls import cpu
from tools.bench.calls.phones import CALLEE, CALLEE_PORT, HERE
from tools.errors import OperatorError
from tools.scenario.sipp import is_bound
from tools.stack import process
from tools.stack.checks import SYSTEM_PATH, program
from tools.stack.child import Child
from tools.stack.layout import Address, Layout
from tools.stack.parts import Part
from tools.wait import DeadlineError, until

NEXT_HOP: Final = f"sip:{CALLEE}:{CALLEE_PORT}"
KAMAILIO_LEAST: Final = 5
"""Processes: itself and its four workers, besides timers."""


class Router(ABC):
    """One of the configurations that are compared.

    Its processes run from `start` to `stop`; while another one is measured they stand still (`freeze`), so that
    nobody's timers take the CPU, or evict the caches, of the one that is looked at.
    """

    name: str
    proxy: str

    @abstractmethod
    def start(self) -> None:
        """Start it with its lines and its carrier; return when it takes calls. Raises OperatorError."""

    @abstractmethod
    def stop(self) -> None:
        """End all its processes."""

    @abstractmethod
    def roots(self) -> Mapping[str, int]:
        """Return what is counted: a name and the first process of each server."""

    def roles(self) -> Mapping[int, str]:
        """Return better names for single processes."""
        return {}

    def begin(self, label: str) -> None:
        """Note what the books say before the calls of this label."""
        _ = label

    def done(self, label: str, calls: int) -> bool:
        """Whether all that follows so many answered calls is in its books. Cheap: it is asked often."""
        _ = label, calls
        return True

    def right(self, label: str, calls: int) -> int:
        """Return how many of so many answered calls are in its books as they should be."""
        _ = label
        return calls

    def freeze(self) -> None:
        """Let all its processes stand still."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for root in self.roots().values():
            for pid in cpu.tree(root):
                with suppress(ProcessLookupError):
                    os.kill(pid, number)


class Private(Router):
    """A router of the benchmark's own servers."""

    def __init__(self, folder: Path, name: str, listen: Address) -> None:
        """Take where it lives and listens; nothing is started. folder: may not be there yet."""
        self.name, self.proxy = name, str(listen)
        self.layout = Layout(folder, listen, listen6=None)
        self._listen = listen
        self._children: dict[str, Child] = {}
        self.env = {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": "/", process.MARK: str(folder)}

    def stop(self) -> None:
        """End its servers, the last one first."""
        self.thaw()
        for child in reversed(self._children.values()):
            child.send(signal.SIGINT)
            with suppress(DeadlineError):
                until(child.ended, 10, "a server to end")
            child.reap()
        self._children.clear()

    def roots(self) -> Mapping[str, int]:
        """Return its servers."""
        return {name: child.pid for name, child in self._children.items()}

    def run(self, part: Part) -> None:
        """Start a server and wait until it serves. Raises OperatorError with its last words."""
        self.layout.log_dir.mkdir(parents=True, exist_ok=True)
        part.prepare()
        child = Child(part.argv, part.env, self.layout.log_dir / f"{part.name}.log", part.stop_signal)
        self._children[part.name] = child
        with suppress(DeadlineError):
            until(lambda: part.ready() or child.ended(), part.start_s, part.name)
        if child.ended() or not part.ready():
            raise OperatorError(f"{self.name}: {part.name} did not start:\n{child.last_words()}")

    def run_kamailio(self, config: str, defines: tuple[str, ...] = (), env: Mapping[str, str] | None = None) -> None:
        """Start Kamailio with a configuration of this directory. defines: `NAME=value` of it."""
        home = self.layout.run_dir / "kamailio"
        home.mkdir(parents=True, exist_ok=True)
        argv = (
            *(program("kamailio", self.env), "-DD", "-E", "-x", "tlsf", "-X", "tlsf", "-f", str(HERE / config)),
            *("-l", f"udp:{self.proxy}", "-Y", str(home), "-P", str(home / "kamailio.pid")),
            *(word for define in defines for word in ("-A", define)),
        )
        self.run(Part("kamailio", argv, {**self.env, **(env or {})}, ready=self._takes_calls))

    def _takes_calls(self) -> bool:
        """Whether Kamailio has its socket and its workers: it binds before it knows whether it can start."""
        return is_bound(*self._listen) and len(cpu.tree(self._children["kamailio"].pid)) > KAMAILIO_LEAST
