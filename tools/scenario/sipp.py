"""SIPp processes: started, waited for, and read back from their own message traces."""

from __future__ import annotations

import re
import socket
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from tools.errors import OperatorError
from tools.scenario.spec import Party, Scenario
from tools.wait import until

COMMON = Path(__file__).resolve().parents[2] / "sipp-scenarios" / "common"
_MESSAGE = re.compile(r"^-{20,} .*\n(UDP|TCP) message (received|sent) ?[\[(](\d+)[\])]? bytes.*:\n\n", re.MULTILINE)
_FIRST_LINE = re.compile(r"^ *((?:INVITE|REGISTER) sip:.* SIP/2\.0|SIP/2\.0 __STATUS__ .*)$", re.MULTILINE)
_BIND_DEADLINE_S = 10.0
_REGISTER_TRIES = 3
_TCP_LISTEN = "0A"  # the kernel's include/net/tcp_states.h


class Running(NamedTuple):
    """A SIPp process and the file that it traces its messages to."""

    party: Party
    process: subprocess.Popen[bytes]
    trace: Path
    log: Path


class Proxy(NamedTuple):
    """Where the router listens, `host:port`. v6: "" = not there."""

    v4: str
    v6: str = ""

    def beside(self, address: str) -> str:
        """Return the one that a party at `address` reaches. Raises OperatorError when there is none."""
        if ":" not in address:
            return self.v4
        if not self.v6:
            raise OperatorError(f"{address}: the stack does not listen on IPv6, see TANDEM_LISTEN6")
        return self.v6


def start(scenario: Scenario, party: Party, proxies: Proxy, folder: Path, call_id: str = "") -> Running:
    """Start `party`. folder: where traces go. call_id: of a caller.

    A callee is bound to its port when this returns. Raises OperatorError when it cannot be.
    """
    proxy = proxies.beside(party.address)
    trace = folder / f"{party.name}.messages"
    log = folder / f"{party.name}.log"
    trace.unlink(missing_ok=True)
    command = [
        "sipp", proxy, "-sf", str(_rendered(scenario, party, folder)), "-nostdin", "-trace_msg", "-message_file",
        str(trace), "-trace_err", "-error_file", str(folder / f"{party.name}.errors"), "-i", party.address,
        "-p", str(party.port), "-t", "t1" if party.transport == "tcp" else "u1",
        "-timeout", f"{int(scenario.deadline_s)}s", "-timeout_error", "-d", str(party.talk_ms),
    ]  # fmt: skip
    if not party.probed:
        command += ["-m", str(max(1, party.calls))]
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


def register(scenario: Scenario, phones: Sequence[Party], proxies: Proxy, folder: Path) -> None:
    """Register the contacts of phones, all at once. Raises OperatorError when one is refused.

    Who is told to come back (503: a busy machine) does so, as phones do; what a scenario proves begins afterwards.
    """
    for _ in range(_REGISTER_TRIES):
        asking = [(phone, _registering(scenario, phone, proxies, folder)) for phone in phones]
        refused = [phone for phone, process in asking if process.wait(scenario.deadline_s + 5) != 0]
        if not all(received(_register_trace(phone, folder), "503") for phone in refused):
            break
        phones = refused
    for phone in refused:
        log = _register_log(phone, folder)
        raise OperatorError(f"{phone.name} could not register as {phone.user}@{phone.domain}: see {log}")


def _registering(scenario: Scenario, party: Party, proxies: Proxy, folder: Path) -> subprocess.Popen[bytes]:
    """Begin to register a phone's contact from another port of its address."""
    host = f"[{party.address}]" if ":" in party.address else party.address
    trace = _register_trace(party, folder)
    trace.unlink(missing_ok=True)
    command = [
        "sipp", proxies.beside(party.address), "-sf", str(COMMON / "register.xml"), "-nostdin", "-i", party.address,
        "-m", "1", "-p", str(party.port + 1), "-au", party.user, "-ap", party.password, "-key", "user", party.user,
        "-key", "domain", party.domain, "-key", "contact", f"{host}:{party.port}",
        "-auth_uri", party.domain, "-t", "t1" if party.transport == "tcp" else "u1",
        "-timeout", f"{int(scenario.deadline_s)}s", "-timeout_error", "-trace_msg", "-message_file", str(trace),
    ]  # fmt: skip
    return run(command, _register_log(party, folder))


def _register_trace(party: Party, folder: Path) -> Path:
    return folder / f"{party.name}.register.messages"


def _register_log(party: Party, folder: Path) -> Path:
    return folder / f"{party.name}.register.log"


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
    return header(message, "Call-ID")


def header(message: str, name: str) -> str:
    """Return the value of a header of a message, "" when it has none."""
    found = re.search(rf"^{name}: *(\S.*)$", message, re.MULTILINE)
    return found[1].rstrip() if found else ""


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
    text = _with_headers(source.read_text(encoding="utf-8"), party.headers).replace("__STATUS__", str(party.status))
    rendered.write_text(text, encoding="utf-8")
    return rendered


def _with_headers(text: str, headers: tuple[str, ...]) -> str:
    """Return a scenario file with more headers after the first line of each INVITE, REGISTER, or answer asked for."""
    return _FIRST_LINE.sub(lambda found: "\n".join((found[0], *headers)), text)


def is_bound(address: str, port: int, transport: str = "udp") -> bool:
    """Tell whether a socket of this machine is bound there (for TCP: listens).

    It only reads the kernel's table: a probe that binds could take the port away from the process that it waits for.
    """
    family, table = (socket.AF_INET6, f"{transport}6") if ":" in address else (socket.AF_INET, transport)
    words = struct.iter_unpack("=I", socket.inet_pton(family, address))
    place = f"{''.join(f'{word:08X}' for (word,) in words)}:{port:04X}"
    rows = (line.split() for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:])
    return any(row[1] == place and (transport == "udp" or row[3] == _TCP_LISTEN) for row in rows)
