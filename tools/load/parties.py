"""The SIPps of a run: whoever is called first, then whoever calls."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tools.errors import OperatorError
from tools.load.calls import OK, Calls, Trace
from tools.load.spec import CALLER, FOLDER, PHONE, ROOT, Party, Scenario, Wanted, share
from tools.scenario import sipp
from tools.wait import until

LISTEN_S: Final = 10.0
REGISTER_S: Final = 60.0
REGISTER_RATE: Final = 50
BUFFER: Final = 4 << 20  # bytes: a burst must not be lost in SIPp's own socket
SPARE_S: Final = 60  # beyond rate and hold: repetitions of a last call that nobody answers take 32 s
_UNSAID: Final = "-"  # a field of the injection file must not be empty


class Running(NamedTuple):
    """A SIPp that calls."""

    party: Party
    process: subprocess.Popen[bytes]
    trace: Trace
    log: Path
    calls: int


class Place(NamedTuple):
    """Where a run happens. proxy: `host:port`. folder: for traces and logs. label: what its Call-IDs begin with."""

    proxy: str
    folder: Path
    label: str


def start_called(scenario: Scenario, place: Place) -> list[subprocess.Popen[bytes]]:
    """Start whoever is called, and register the phones. Raises OperatorError; then none is left running."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        called = (party for party in scenario.parties if party.role != CALLER)
        started.extend(_start_called(scenario, party, place) for party in called)  # those before one that fails
        for party in scenario.parties:
            if party.role == PHONE:
                _register(scenario, party, place)
    except BaseException:
        stop(started)
        raise
    return started


def start_callers(scenario: Scenario, place: Place, wanted: Wanted) -> list[Running]:
    """Start whoever calls: each with its share. Raises OperatorError."""
    return [_start_caller(scenario, party, place, wanted) for party in scenario.callers]


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """End those that still run, and wait for them."""
    for process in processes:
        if process.poll() is None:
            process.kill()
    for process in processes:
        process.wait()


def injected(party: Party) -> str:
    """Return the injection file of a party: user, called number and answer to a challenge of each line, in turn."""
    rows = []
    for n in range(1, party.lines + 1) if party.lines else (1,):
        user, called = party.user.format(n=n), party.called.format(n=n)
        answer = f"[authentication username={user} password={party.password or _UNSAID}]"
        rows.append(f"{user};{called or _UNSAID};{answer}")
    return "\n".join(("SEQUENTIAL", *rows, ""))


def file_of(scenario: Scenario, party: Party) -> Path:
    """Return the SIPp scenario of a party. Raises OperatorError when there is none of that name."""
    places = (scenario.path, FOLDER / "common", sipp.COMMON, ROOT)
    for folder in places:
        if (folder / party.file).exists():
            return folder / party.file
    raise OperatorError(f"{scenario.name}: {party.file} of {party.name} is nowhere below {ROOT.name}/")


def _start_called(scenario: Scenario, party: Party, place: Place) -> subprocess.Popen[bytes]:
    if sipp.is_bound(party.address, party.port):
        raise OperatorError(f"{party.name} cannot listen on {party.address}:{party.port}: another process does")
    log = _log(place, party)
    process = sipp.run([*_words(scenario, party, place), "-aa"], log)
    until(
        lambda: sipp.is_bound(party.address, party.port) or process.poll() is not None,
        LISTEN_S,
        f"{party.name} to listen",
    )
    if process.poll() is not None:
        raise OperatorError(f"{party.name} did not start, see {log}")
    return process


def _register(scenario: Scenario, phones: Party, place: Place) -> None:
    """Register each line of a phone at the address where it is called."""
    party = phones._replace(
        name=f"{phones.name} registering",
        file="uac-register.xml",
        port=phones.port + 1,
        contact=phones.contact or f"{phones.address}:{phones.port}",
    )
    count, trace = max(1, party.lines), place.folder / f"{_name(party)}.short"
    command = [
        *_words(scenario, party, place), *_identity(party, place), "-r", str(REGISTER_RATE), "-m", str(count),
        "-timeout", f"{REGISTER_S:g}s", "-timeout_error", "-trace_shortmsg", "-shortmessage_file", str(trace),
    ]  # fmt: skip
    sipp.run(command, _log(place, party)).wait()
    seen = Calls()
    seen.see(party.name, Trace(trace).more())
    trace.unlink(missing_ok=True)
    registered = sum(call.status == OK for call in seen.known.values())
    if registered < count:
        raise OperatorError(f"{phones.name}: only {registered} of {count} lines could register")


def _start_caller(scenario: Scenario, party: Party, place: Place, wanted: Wanted) -> Running:
    calls, rate = share(party, wanted.calls), wanted.rate * party.share / 100
    name = _name(party)
    trace = place.folder / f"{name}.short"
    longest_s = calls / rate + wanted.hold_s + SPARE_S
    command = [
        *_words(scenario, party, place), *_identity(party, place), "-cid_str", f"{place.label}-{name}-%u@tandem",
        "-r", f"{rate:.3f}", "-m", str(calls), "-l", str(calls), "-d", f"{wanted.hold_s * 1e3:.0f}",
        "-timeout", f"{longest_s:.0f}s", "-timeout_error", "-trace_shortmsg", "-shortmessage_file", str(trace),
        "-trace_err", "-error_file", str(place.folder / f"{name}.errors"),
    ]  # fmt: skip
    log = _log(place, party)
    return Running(party, sipp.run(command, log), Trace(trace), log, calls)


def _words(scenario: Scenario, party: Party, place: Place) -> list[str]:
    file = file_of(scenario, party)
    if party.status:
        rendered = place.folder / f"{_name(party)}.xml"
        rendered.write_text(file.read_text(encoding="utf-8").replace("__STATUS__", str(party.status)), encoding="utf-8")
        file = rendered
    return [
        "sipp", place.proxy, "-sf", str(file), "-i", party.address, "-p", str(party.port), "-t", "u1", "-nostdin",
        "-buff_size", str(BUFFER),
    ]  # fmt: skip


def _identity(party: Party, place: Place) -> list[str]:
    """Say who calls: the lines in a file; and the first of them in words for scenarios that take only one."""
    file = place.folder / f"{_name(party)}.csv"
    file.write_text(injected(party), encoding="utf-8")
    user, called = party.user.format(n=1), party.called.format(n=1)
    uri = f"{called}@{place.proxy}" if called else party.domain
    contact = party.contact or f"{party.address}:{party.port}"
    return [
        "-inf", str(file), "-key", "domain", party.domain, "-key", "contact", contact, "-key", "user", user,
        "-s", called or _UNSAID, "-au", user, "-ap", party.password or _UNSAID, "-auth_uri", uri,
    ]  # fmt: skip


def _name(party: Party) -> str:
    return party.name.replace(" ", "-")


def _log(place: Place, party: Party) -> Path:
    return place.folder / f"{_name(party)}.log"
