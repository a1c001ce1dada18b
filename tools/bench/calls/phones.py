"""The calls themselves: SIPp as many lines on one side and as the carrier on the other; both measured nowhere."""

from __future__ import annotations

import csv
import os
import statistics
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from tools.bench.sync_calls import PATIENT, setups
from tools.errors import OperatorError
from tools.scenario import sipp
from tools.stack import process
from tools.wait import until

HERE: Final = Path(__file__).parent
DOMAIN: Final = "bench.example"
PASSWORD: Final = "bench-secret"  # noqa: S105  of lines that live for this run
CALLER, CALLEE, CALLEE_PORT = "127.1.230.9", "127.1.230.1", 5080
NUMBER: Final = "888300000001"
PREFIX: Final = "8883"
LISTEN_S: Final = 10.0
ANSWER_MS: Final = 20_000
PLACED: Final = (0, 1)  # how SIPp ends: every call went well, or some did not
SPARE_S: Final = 60.0
"""After the last INVITE should have left; a call that goes on by then has failed. Retransmissions end within 32 s."""


class Traffic(NamedTuple):
    """What to place. label: what their Call-IDs begin with. rate: per second. lines: subscribers who call in turn."""

    label: str
    calls: int
    rate: int
    talk_ms: int
    lines: int


class Placed(NamedTuple):
    """What the callers saw. setups_ms: first INVITE to 200, of each answered call. rate: calls begun in a second."""

    succeeded: int
    failed: int
    setups_ms: tuple[float, ...]
    rate: float

    @property
    def setup_ms(self) -> float:
        """Return the median set-up, 0 without an answered call."""
        return statistics.median(self.setups_ms) if self.setups_ms else 0.0


def place(proxy: str, traffic: Traffic, folder: Path) -> Placed:
    """Place the calls through `proxy`, `host:port`; return when the last has ended. folder: a new one, for its traces.

    Raises OperatorError when a SIPp does not start, or cannot have its address: calls that never were are no failures.
    """
    folder.mkdir(parents=True)
    (folder / "lines.csv").write_text("\n".join(["SEQUENTIAL", *lines(traffic.lines)]) + "\n")
    command = (
        *("sipp", proxy, "-sf", str(HERE / "uac.xml"), "-inf", "lines.csv", "-i", CALLER, "-p", "5081", "-nostdin"),
        *("-m", str(traffic.calls), "-r", str(traffic.rate), "-l", str(traffic.calls), "-d", str(traffic.talk_ms)),
        *("-s", NUMBER, "-auth_uri", f"{NUMBER}@{proxy}", "-key", "domain", DOMAIN, "-cid_str", f"{traffic.label}-%u"),
        *(*PATIENT, "-recv_timeout", str(ANSWER_MS)),
        *("-trace_stat", "-stf", "calls.csv", "-fd", "1", "-trace_shortmsg", "-shortmessage_file", "messages.csv"),
    )
    planned_s = traffic.calls / traffic.rate + traffic.talk_ms / 1e3
    with _carrier(folder):
        callers = _sipp(command, folder, "callers.log")
        try:
            with suppress(subprocess.TimeoutExpired):
                if callers.wait(planned_s + SPARE_S) not in PLACED:
                    raise OperatorError(f"sipp could not place calls: see {folder / 'callers.log'}")
        finally:
            callers.kill()
            callers.wait()
    counts = folder / "calls.csv"
    if not counts.exists():
        raise OperatorError(f"sipp did not start: see {folder / 'callers.log'}")
    messages = (folder / "messages.csv").read_text(encoding="utf-8", errors="replace")
    return read(counts.read_text().splitlines(), messages.splitlines(), traffic.calls)


def lines(count: int) -> Iterator[str]:
    """Yield a line of SIPp's injection file for each subscriber: user name, and the keyword that makes its digest."""
    for number in range(1, count + 1):
        yield f"u{number};[authentication username=u{number} password={PASSWORD}]"


def read(counts: Sequence[str], messages: Sequence[str], calls: int) -> Placed:
    """Return what SIPp wrote of so many calls: its counts (the last line counts), its short trace.

    Raises OperatorError when the counts are of another version of SIPp.
    """
    rows = list(csv.DictReader(counts, delimiter=";"))
    try:
        succeeded = int(rows[-1]["SuccessfulCall(C)"])
    except (IndexError, KeyError, ValueError) as error:
        raise OperatorError(f"the counts of sipp cannot be read: {error!r}") from error
    found = setups(messages, 200)
    left = sorted(setup.at for setup in found)
    rate = (len(left) - 1) / max(left[-1] - left[0], 1e-6) if left else 0.0
    answered = tuple(setup.ms for setup in found if setup.ms is not None)
    return Placed(succeeded, calls - succeeded, answered, rate)


@contextmanager
def _carrier(folder: Path) -> Iterator[None]:
    """Answer calls until the block ends."""
    command = ("sipp", "-sf", str(HERE / "uas.xml"), "-i", CALLEE, "-p", str(CALLEE_PORT), "-nostdin", *PATIENT)
    running = _sipp(command, folder, "carrier.log")
    try:
        until(lambda: sipp.is_bound(CALLEE, CALLEE_PORT) or running.poll() is not None, LISTEN_S, "sipp to listen")
        _check_listens(running, folder)
        yield
        _check_listens(running, folder)  # bound was perhaps another one, and this one gives up a moment later
    finally:
        running.kill()
        running.wait()


def _check_listens(carrier: subprocess.Popen[bytes], folder: Path) -> None:
    if carrier.poll() is not None:
        raise OperatorError(f"sipp cannot listen on {CALLEE}:{CALLEE_PORT}: see {folder / 'carrier.log'}")


def _sipp(command: Sequence[str], folder: Path, log: str) -> subprocess.Popen[bytes]:
    try:
        with (folder / log).open("wb") as output:
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=folder,
                env={**os.environ, process.MARK: str(folder.parent)},
            )  # fmt: skip
    except FileNotFoundError as error:
        raise OperatorError("sipp is not installed: run `make setup`") from error
