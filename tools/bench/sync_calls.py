"""Calls beside the change stream: SIPp's, whose set-ups are timed, and a prober that looks at what workers know.

The prober changes the phrase of a refusal, waits until Redis has it, and sends a burst of INVITEs at once, so that
every worker gets some. The phrase of each answer says by which configuration it was decided.
"""

from __future__ import annotations

import random
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tools.bench.spawned import Spawned, spawned
from tools.bench.sync_stream import TIMEOUT_MS, phrase_number
from tools.bench.sync_world import CALLEE, CALLER, CALLER_NUMBER, DOMAIN, PHRASE, PROBE, callable_numbers
from tools.scenario.sipp import COMMON
from tools.sync.kinds import BY_VIEW
from tools.wait import DeadlineError, until

NUMBERS: Final = 20_000
TALK_MS: Final = 500
END_S: Final = 20.0
BURST: Final = 16
PROBE_S: Final = 1.0
ARRIVES_S: Final = 300.0
REPLY_S: Final = 3.0
BYTES: Final = 65_536
PATIENT: Final = ("-default_behaviors", "all,-abortunexp")
"""A request that comes once more, because its answer was slow, ends no call."""

_INVITED, _LEFT, _GONE = ("S INVITE ", "S BYE ", "R BYE 200")

_PROBE_CHANGE: Final = f"""
update tandem.reply_override r set phrase = '{PHRASE}' || (substr(r.phrase, {len(PHRASE) + 1})::bigint + 1)
  from tandem.account a where a.id = r.account_id and a.name = 'bench-probe' returning r.account_id, r.phrase
"""  # noqa: S608  our own words


class Setup(NamedTuple):
    """A call. at: when its INVITE left, Unix seconds. ms: until it rang, None where it never did.

    ended: its BYE was answered, or it has not sent one.
    """

    at: float
    ms: float | None
    ended: bool = True


class Probed(NamedTuple):
    """What workers answered. late: decided by what Redis did not hold any more. silent: never answered."""

    answers: int
    late: int
    silent: int


class Calls:
    """Calls under way."""

    def __init__(self, callers: subprocess.Popen[bytes], log: Path, prober: Spawned) -> None:
        self._callers = callers
        self._log = log
        self._prober = prober

    def end(self) -> tuple[list[Setup], Probed]:
        """Let the last calls end, and return what was seen."""
        self._callers.send_signal(signal.SIGUSR1)
        with suppress(subprocess.TimeoutExpired):
            self._callers.wait(END_S)
        return setups(self._log.read_text(encoding="utf-8", errors="replace").splitlines()), self._prober.result()


@contextmanager
def calls(folder: Path, proxy: str, urls: tuple[str, str], rates: int, rate: int) -> Iterator[Calls]:
    """Place `rate` calls a second to numbers below prefixes of a price list with `rates` rates, and probe.

    folder: an empty one. proxy: `host:port`. urls: of Postgres and of Redis.
    """
    folder.mkdir()
    draw = random.Random(7)  # noqa: S311  a benchmark
    (folder / "numbers.csv").write_text("\n".join(["RANDOM", *callable_numbers(rates, NUMBERS, draw)]) + "\n")
    text = (COMMON / "uac-plain.xml").read_text(encoding="utf-8").replace("[service]", "[field0]")
    (folder / "uac.xml").write_text(text, encoding="utf-8")
    log = folder / "calls.csv"
    with (
        _sipp(proxy, folder, str(COMMON / "uas-answer.xml"), CALLEE, "5080"),
        spawned(_probe, *urls, proxy) as prober,
        _sipp(
            proxy, folder, "uac.xml", CALLER, "5081", "-inf", "numbers.csv", "-r", str(rate), "-d", str(TALK_MS),
            "-key", "user", CALLER_NUMBER, "-key", "domain", DOMAIN, "-trace_shortmsg", "-shortmessage_file", str(log),
        ) as callers,
    ):  # fmt: skip
        yield Calls(callers, log, prober)


def setups(lines: Sequence[str], status: int = 180) -> list[Setup]:
    """Return the calls in SIPp's short trace: date, time, Unix seconds, S or R, Call-ID, CSeq, first line.

    status: of the answer that counts as the call's set-up.
    """
    rang = f"R INVITE {status}"
    marks = (_INVITED, rang, _LEFT, _GONE)
    seen: dict[tuple[str, str], float] = {}
    for line in lines:
        _, _, at, way, call_id, cseq, first, *_ = [*line.split("\t"), "", "", "", "", "", "", ""]
        what = f"{way} {cseq.rpartition(' ')[2]} {first.split(' ')[1] if way == 'R' and ' ' in first else ''}"
        if what in marks:
            seen.setdefault((call_id, what), float(at))
    invited = {call_id: at for (call_id, what), at in seen.items() if what == _INVITED}
    return [
        Setup(
            at,
            (seen[call_id, rang] - at) * 1e3 if (call_id, rang) in seen else None,
            (call_id, _LEFT) not in seen or (call_id, _GONE) in seen,
        )
        for call_id, at in invited.items()
    ]


@contextmanager
def _sipp(proxy: str, folder: Path, file: str, address: str, port: str, *options: str) -> Iterator[Any]:
    """Run a SIPp until the block ends."""
    with (folder / f"{address}.log").open("wb") as log:
        running = subprocess.Popen(
            ["sipp", proxy, "-sf", file, "-i", address, "-p", port, "-nostdin", *PATIENT, *options],
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, cwd=folder,
        )  # fmt: skip
    try:
        yield running
    finally:
        running.kill()
        running.wait()


def _probe(database_url: str, redis_url: str, proxy: str, stop: Event, pipe: Connection) -> None:
    probed = Probed(0, 0, 0)
    pipe.send("begun")
    with (
        psycopg.connect(database_url, autocommit=True) as database,
        closing(RedisClient(redis_url, TIMEOUT_MS)) as client,
    ):
        while not stop.wait(PROBE_S):
            ((account_id, phrase),) = database.execute(_PROBE_CHANGE.encode()).fetchall()
            wanted = phrase_number(phrase)
            try:
                until(lambda: stop.is_set() or _has(client, account_id, wanted), ARRIVES_S, "a change to arrive")  # noqa: B023
            except DeadlineError:
                probed = probed._replace(late=probed.late + 1)
            if _has(client, account_id, wanted):
                told = _burst(proxy)
                late = sum(number != wanted for number in told)
                probed = Probed(probed.answers + len(told), probed.late + late, probed.silent + BURST - len(told))
    pipe.send(probed)


def _has(client: RedisClient, account_id: int, wanted: int) -> bool:
    record: Any = BY_VIEW["account"].read(client.execute("GET", keys.config(keys.account(account_id))))
    return bool(record) and phrase_number(record.replies[0].phrase) >= wanted


def _burst(proxy: str) -> list[int]:
    """Send so many INVITEs at once; return the number in the phrase of each answer, -1 for another answer."""
    host, _, port = proxy.rpartition(":")
    sockets = []
    try:
        for number in range(BURST):
            one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sockets.append(one)
            one.bind((PROBE, 0))
            one.connect((host, int(port)))
            one.settimeout(REPLY_S)
            one.send(_request("INVITE", one, f"{time.monotonic_ns()}-{number}"))
        return [told for told in map(_answer, sockets) if told is not None]
    finally:
        for one in sockets:
            one.close()


def _answer(one: socket.socket) -> int | None:
    """Return the number in the final answer's phrase, and acknowledge it; None when none comes."""
    with suppress(TimeoutError, ConnectionError):
        while True:
            reply = one.recv(BYTES).decode("latin-1")
            first = reply.partition("\r\n")[0]
            if not first.startswith("SIP/2.0 1"):
                call_id = re.search(r"^Call-ID: (\S+)", reply, re.MULTILINE)
                one.send(_request("ACK", one, call_id[1] if call_id else ""))
                found = re.fullmatch(rf"SIP/2\.0 403 {PHRASE}(\d+)", first)
                return int(found[1]) if found else -1
    return None


def _request(method: str, one: socket.socket, call_id: str) -> bytes:
    host, port = one.getsockname()
    lines = (
        f"{method} sip:612345678901@{DOMAIN} SIP/2.0",
        f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{call_id}",
        f"From: <sip:probe@{DOMAIN}>;tag={call_id}",
        f"To: <sip:612345678901@{DOMAIN}>",
        f"Call-ID: {call_id}",
        f"CSeq: 1 {method}",
        f"Contact: <sip:probe@{host}:{port}>",
        "Max-Forwards: 70",
        "Content-Length: 0",
    )
    return "\r\n".join((*lines, "", "")).encode()
