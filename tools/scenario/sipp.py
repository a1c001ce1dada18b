"""SIPp processes: started, waited for, and read back from their own message traces."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from tools.errors import OperatorError
from tools.scenario.spec import Party, Scenario
from tools.wait import until

COMMON = Path(__file__).resolve().parents[2] / "sipp-scenarios" / "common"
_MESSAGE = re.compile(r"^-{20,} .*\n(UDP|TCP) message (received|sent) ?[\[(](\d+)[\])]? bytes.*:\n\n", re.MULTILINE)
_BIND_DEADLINE_S = 10.0
_TCP_LISTEN = "0A"  # the kernel's include/net/tcp_states.h


class Running(NamedTuple):
    """A SIPp process and the file that it traces its messages to."""

    party: Party
    process: subprocess.Popen[bytes]
    trace: Path
    log: Path


def start(scenario: Scenario, party: Party, proxy: str, folder: Path, call_id: str = "") -> Running:
    """Start `party`. proxy: `host:port` of the router. folder: where traces go. call_id: of a caller.

    A callee is bound to its port when this returns. Raises OperatorError when it cannot be.
    """
    trace = folder / f"{party.name}.messages"
    log = folder / f"{party.name}.log"
    trace.unlink(missing_ok=True)
    command = [
        "sipp", proxy, "-sf", str(_rendered(scenario, party, folder)), "-nostdin", "-trace_msg", "-message_file",
        str(trace), "-trace_err", "-error_file", str(folder / f"{party.name}.errors"), "-i", party.address,
        "-p", str(party.port), "-t", "t1" if party.transport == "tcp" else "u1", "-m", str(max(1, party.calls)),
        "-timeout", f"{int(scenario.deadline_s)}s", "-timeout_error", "-d", str(party.talk_ms),
    ]  # fmt: skip
    if party.role == "caller":
        user, domain = party.user or "anonymous", party.domain or party.address
        command += ["-s", party.service, "-au", user, "-ap", party.password or "none", "-cid_str", call_id]
        command += ["-key", "user", user, "-key", "domain", domain, "-auth_uri", f"{party.service}@{proxy}"]
    process = run(command, log)
    running = Running(party, process, trace, log)
    if party.role != "caller":
        until(
            lambda: is_bound(party.address, party.port, party.transport) or process.poll() is not None,
            _BIND_DEADLINE_S,
            f"{party.name} to listen",
        )
        if process.poll() is not None:
            raise OperatorError(f"{party.name} cannot listen on {party.address}:{party.port}: see {log}")
    return running


def register(scenario: Scenario, party: Party, proxy: str, folder: Path) -> None:
    """Register a phone's contact from another port of its address. Raises OperatorError when it is refused."""
    log = folder / f"{party.name}.register.log"
    command = [
        "sipp", proxy, "-sf", str(COMMON / "register.xml"), "-nostdin", "-i", party.address, "-m", "1",
        "-p", str(party.port + 1), "-au", party.user, "-ap", party.password, "-key", "user", party.user,
        "-key", "domain", party.domain, "-key", "contact", f"{party.address}:{party.port}",
        "-auth_uri", party.domain, "-t", "t1" if party.transport == "tcp" else "u1",
        "-timeout", f"{int(scenario.deadline_s)}s", "-timeout_error",
    ]  # fmt: skip
    if run(command, log).wait(scenario.deadline_s + 5) != 0:
        raise OperatorError(f"{party.name} could not register as {party.user}@{party.domain}: see {log}")


def messages(running: Running, what: str) -> tuple[str, ...]:
    """Return the messages that the party received of one method ("INVITE") or status ("407"), oldest first."""
    return received(running.trace, what)


def received(trace: Path, what: str) -> tuple[str, ...]:
    """Return the received messages of one method or status in a file that a SIPp traced its messages to."""
    try:
        text = trace.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ()
    parts = list(_MESSAGE.finditer(text))
    ends = [*(part.start() for part in parts[1:]), len(text)][: len(parts)]
    first = re.compile(rf"SIP/2\.0 {what}\b" if what.isdecimal() else rf"{what} ")
    return tuple(
        text[part.end() : end].replace("\r\n", "\n")
        for part, end in zip(parts, ends, strict=True)
        if part[2] == "received" and first.match(text, part.end())
    )


def call_id(message: str) -> str:
    """Return the Call-ID of a message, "" when it has none."""
    found = re.search(r"^Call-ID: *(\S+)", message, re.MULTILINE)
    return found[1] if found else ""


def stop(running: Running) -> None:
    """End the process if it still runs, and wait for it."""
    if running.process.poll() is None:
        running.process.kill()
    running.process.wait()


def run(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    """Start a SIPp, its screen in `log`. Raises OperatorError when there is none on this machine."""
    try:
        with log.open("wb") as output:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    except FileNotFoundError as error:
        raise OperatorError(
            "sipp is not installed: run `make run` once, or install the Debian package sip-tester"
        ) from error


def _rendered(scenario: Scenario, party: Party, folder: Path) -> Path:
    """Return the party's scenario file with its status put in: its own directory first, then the shared ones."""
    own = scenario.path / party.file
    source = own if own.exists() else COMMON / party.file
    if not source.exists():
        raise OperatorError(f"{scenario.name}: {party.file} is neither in its directory nor in common/")
    rendered = folder / f"{party.name}.xml"
    rendered.write_text(source.read_text(encoding="utf-8").replace("__STATUS__", str(party.status)), encoding="utf-8")
    return rendered


def is_bound(address: str, port: int, transport: str = "udp") -> bool:
    """Tell whether a socket of this machine is bound there (for TCP: listens).

    It only reads the kernel's table: a probe that binds could take the port away from the process that it waits for.
    """
    place = f"{int.from_bytes(socket.inet_aton(address), sys.byteorder):08X}:{port:04X}"
    rows = (line.split() for line in Path(f"/proc/net/{transport}").read_text(encoding="ascii").splitlines()[1:])
    return any(row[1] == place and (transport == "udp" or row[3] == _TCP_LISTEN) for row in rows)
