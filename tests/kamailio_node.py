"""A private Kamailio for tests: the real kamailio.cfg on free loopback ports, in a short temporary directory."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.fix_stack import free_address
from tests.sip import Endpoint
from tests.wait import until
from tools import noc_ask

ROOT: Final = Path(__file__).resolve().parents[1]
SECRET: Final = b"a secret of the tests, 16 bytes or more"
START_S: Final = 15.0
NO_REDIS: Final = "unix:///nonexistent/redis.sock"
IN_TIME: Final = {"TANDEM_REDIS_TIMEOUT_MS": "80"}
"""As nodes are told unless somebody tells them otherwise; for tests that measure."""
PATIENT: Final = {"TANDEM_REDIS_TIMEOUT_MS": "500", "TANDEM_SHED_DELAY_MS": "0"}
"""For all others: who waits for the CPU, because another test runs beside this one, is no outage and no overload."""
ALARMS: Final = re.compile(r"\b(ERROR|CRITICAL|ALERT|EMERG|BUG)\b")


@dataclass
class Node:
    """A running Kamailio. address: where it takes SIP, UDP and TCP. root: the project that it runs."""

    process: subprocess.Popen[bytes]
    folder: Path
    address: tuple[str, int]

    @property
    def ctl(self) -> Path:
        """Path of the control socket."""
        return self.folder / "ctl.sock"

    @property
    def log(self) -> str:
        """All that it has logged."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    @property
    def alarms(self) -> list[str]:
        """The log lines that say error or worse."""
        return [line for line in self.log.splitlines() if ALARMS.search(line)]

    def kamcmd(self, *words: str) -> str:
        """Return what kamcmd prints. Raises CalledProcessError when it fails."""
        command = ["kamcmd", "-s", f"unix:{self.ctl}", *words]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=10).stdout

    def noc(self, command: str) -> Any:
        """Return the answer to a NOC command."""
        self.kamcmd("evrexec.run", "noc", f"s:{command} test")
        return self.reply("test")

    def reply(self, ticket: str) -> Any:
        """Return what the NOC has been answered under a ticket."""
        first = self._page(ticket)
        return noc_ask.joined([first, *(self._page(f"{ticket}:{at}") for at in range(2, first.get("pages", 1) + 1))])

    def _page(self, ticket: str) -> Any:
        text = self.kamcmd("htable.get", "noc", f"s:reply:{ticket}")
        return json.loads(text.partition("value: ")[2].splitlines()[0])

    def counter(self, name: str) -> int:
        """Return one of our counters."""
        return int(self.noc("counters")[name])

    def kill(self) -> None:
        """End the whole process tree at once, as a crash would."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextmanager
def running_kamailio(
    redis_url: str = NO_REDIS,
    *,
    env: Mapping[str, str] | None = None,
    root: Path = ROOT,
    folder: Path | None = None,
    port: int = 0,
    more: str = "",
    relay: str = "",
    defines: Mapping[str, int] | None = None,
) -> Iterator[Node]:
    """Start a node and end it. env: settings that differ. root: a copy of the project. folder, port: of a dead node.

    more: a further socket. relay: where an rtpengine takes commands. defines: more of kamailio.cfg, by name. It listens
    on [::1] too.
    """
    own = folder or Path(tempfile.mkdtemp(prefix="tdm-"))
    (own / "pid").unlink(missing_ok=True)
    host, port = "127.0.0.1", port or free_address().port
    settings = {
        "PATH": f"{ROOT}/.venv/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "TANDEM_NODE": "t1",
        "TANDEM_SECRET": SECRET.decode(),
        "TANDEM_SPOOL": str(own / "spool"),
        "TANDEM_LISTEN": f"{host}:{port}",
        "TANDEM_LISTEN6": f"[::1]:{port}",
        "REDIS_URL": redis_url,
        **PATIENT,
    }
    with (own / "log").open("ab") as log:
        process = subprocess.Popen(
            [*_command(root, own, host, port), *_switches(more, relay, defines or {})],
            cwd=root,
            env=settings | dict(env or {}),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    node = Node(process, own, (host, port))
    try:
        until(lambda: process.poll() is not None or _answers(node), START_S, f"Kamailio, see {own}/log")
        if process.poll() is not None:
            raise AssertionError(f"Kamailio ended with {process.returncode}:\n{node.log[-4000:]}")
        yield node
    finally:
        _end(process)
        if folder is None:
            shutil.rmtree(own)


def _switches(more: str, relay: str, defines: Mapping[str, int]) -> tuple[str, ...]:
    sockets = (f"LISTEN_MORE={more}",) if more else ()
    relays = (f'RTPENGINE="{relay}"',) if relay else ()
    others = (f"{name}={value}" for name, value in defines.items())
    return tuple(word for each in (*sockets, *relays, *others) for word in ("-A", each))


def _command(root: Path, folder: Path, host: str, port: int) -> list[str]:
    words = ["kamailio", "-DD", "-E", "-x", "tlsf", "-X", "tlsf", "-f", str(root / "kamailio.cfg"), "-Y", str(folder)]
    words += [
        "-w",
        str(root),
        "-P",
        str(folder / "pid"),
        "-A",
        f"LISTEN_UDP=udp:{host}:{port}",
        "-A",
        f"LISTEN_TCP=tcp:{host}:{port}",
    ]
    words += ["-A", f"LISTEN_UDP6=udp:[::1]:{port}", "-A", f"LISTEN_TCP6=tcp:[::1]:{port}"]
    return [*words, "-A", f'CTL="unix:{folder}/ctl.sock"', "-A", "UDP_WORKERS=2", "-A", "TCP_WORKERS=1"]


def _answers(node: Node) -> bool:
    """Whether an OPTIONS gets its answer."""
    with Endpoint(node.address) as probe:
        probe.send(probe.request("OPTIONS", f"sip:{node.address[0]}:{node.address[1]}"))
        try:
            return probe.receive(0.2).status == 200
        except TimeoutError:
            return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
