"""Many calls at once on a balance that pays for some of them: one round of it, over four levels and several nodes.

Each call is paid in increments. The balance of ONE level, another one each round, pays for a number of increments; the
other levels are rich. So that many increments must be granted, in whatever calls, on whatever node, and not one more.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import psycopg

from tools.errors import OperatorError
from tools.scenario import sipp
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S
from tools.wait import DeadlineError, until

ROUNDS_MAX: Final = 99  # each has numbers and addresses of its own
INCREMENT_S: Final = 6
PER_MINUTE_MICROS: Final = (40_000, 30_000, 20_000, 10_000)  # what level 1…4 pays
DECK_MICROS: Final = 4_000  # a call: what a carrier gets counts the real talk, a little more than the paid one
RICH: Final = 1_000  # increments
RATE: Final = 100  # calls a second and node: all are there before the first is extended
CALLEE_PORT: Final = 5080
UP_DEADLINE_S: Final = 20
ENDED_DEADLINE_S: Final = 60
LISTEN_DEADLINE_S: Final = 10

_WORLD: Final = """
select world.tariff('Tandem', '{name}', 'EUR', '{prefix}', '0.01 {step}');
select world.reseller('{name}-4', 'Tandem', '{name}', {opening[3]});
select world.tariff('{name}-4', 'wholesale', 'EUR', '{prefix}', '0.02 {step}');
select world.reseller('{name}-3', '{name}-4', 'wholesale', {opening[2]});
select world.tariff('{name}-3', 'dealer', 'EUR', '{prefix}', '0.03 {step}');
select world.reseller('{name}-2', '{name}-3', 'dealer', {opening[1]});
select world.tariff('{name}-2', 'retail', 'EUR', '{prefix}', '0.04 {step}');
select world.customer('{name}-1', '{name}-2', 'retail', {opening[0]});
select world.domain('{name}.example', '{name}-1');
select world.subscriber('pbx@{name}.example', '{name}-1', null, '{prefix}1000001');
select world.trusted('pbx@{name}.example', '{caller}/32', 'udp');
select world.carrier('{name}-carrier', '{carrier}', 5080, '{prefix}', '0.004 60/60');
"""


class Crowd(NamedTuple):
    """One round. number: 1…99. label: unique for this run. paid: increments that the poorest level pays for."""

    number: int
    label: str
    calls: int
    paid: int

    @property
    def poorest(self) -> int:
        """The level whose balance decides."""
        return 1 + self.number % len(PER_MINUTE_MICROS)

    @property
    def prefix(self) -> str:
        """What the called numbers begin with."""
        return f"88895{self.number:02d}"

    @property
    def accounts(self) -> tuple[str, ...]:
        """Names of level 1…4."""
        return tuple(f"{self.label}-{level}" for level in range(1, 1 + len(PER_MINUTE_MICROS)))

    def opening_micros(self, level: int) -> int:
        """Return the balance of a level before the calls."""
        return increment_micros(level) * (self.paid if level == self.poorest else RICH)


class Seen(NamedTuple):
    """What the far ends saw, as Call-IDs. ended: got a BYE of ours. failed: logs of SIPps that were not content."""

    refused: frozenset[str]
    caller_ended: frozenset[str]
    callee_called: frozenset[str]
    callee_ended: frozenset[str]
    failed: tuple[str, ...]


def increment_micros(level: int) -> int:
    """Return what an increment costs a level."""
    return PER_MINUTE_MICROS[level - 1] * INCREMENT_S // 60


def prepare(crowd: Crowd, watch: Watch) -> None:
    """Load the round's world and wait until sync has carried it. Raises OperatorError."""
    opening = [crowd.opening_micros(level) / 1e6 for level in range(1, 1 + len(PER_MINUTE_MICROS))]
    caller, carrier = _addresses(crowd)
    world = _WORLD.format(
        name=crowd.label,
        prefix=crowd.prefix,
        step=f"{INCREMENT_S}/{INCREMENT_S}",
        opening=opening,
        caller=caller,
        carrier=carrier,
    )
    try:
        watch.load_world(crowd.label, world)
        until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the round's world to Redis")
    except (psycopg.Error, DeadlineError) as error:
        raise OperatorError(f"round {crowd.number}: {error}") from error


def place(crowd: Crowd, proxies: Sequence[str], folder: Path, when_up: Callable[[], None] | None = None) -> Seen:
    """Place the calls through all nodes at once and wait for the last to end. proxies: `host:port` of each.

    when_up: done when every call is either refused or answered. Raises OperatorError when a SIPp does not come to an
    end.
    """
    folder.mkdir(parents=True, exist_ok=True)
    caller, carrier = _addresses(crowd)
    callee = _sipp(folder, "callee", proxies[0], "uas-answer.xml", carrier, CALLEE_PORT)
    callers: list[subprocess.Popen[bytes]] = []
    names = [f"caller-{node}" for node in range(1, 1 + len(proxies))]
    try:
        until(lambda: sipp.is_bound(carrier, CALLEE_PORT), LISTEN_DEADLINE_S, f"the callee to listen, see {folder}")
        for node, (name, proxy) in enumerate(zip(names, proxies, strict=True), 1):
            own = ("-cid_str", f"{crowd.label}-{node}-%u@tandem", "-m", str(crowd.calls // len(proxies)))
            options = _options(crowd)
            callers.append(
                _sipp(folder, name, proxy, "uac-plain-paid-or-refused.xml", caller, CALLEE_PORT + node, *own, *options)
            )
        if when_up is not None:
            until(partial(_all_up, crowd, folder, names), UP_DEADLINE_S, "all calls to be answered or refused")
            when_up()
        states = [party.wait(ENDED_DEADLINE_S) for party in callers]
        ended = _call_ids(folder, names, "BYE")
        with suppress(DeadlineError):  # who is missing then is counted
            until(lambda: _call_ids(folder, ["callee"], "BYE") >= ended, LISTEN_DEADLINE_S, "the callees' BYEs")
    except (DeadlineError, subprocess.TimeoutExpired) as error:
        raise OperatorError(f"round {crowd.number}: {error}") from error
    finally:
        for party in (callee, *callers):
            party.kill()
            party.wait()
    return Seen(
        refused=_call_ids(folder, names, "402"),
        caller_ended=ended,
        callee_called=_call_ids(folder, ["callee"], "INVITE"),
        callee_ended=_call_ids(folder, ["callee"], "BYE"),
        failed=tuple(f"{folder}/{name}.log" for name, state in zip(names, states, strict=True) if state),
    )


def _all_up(crowd: Crowd, folder: Path, names: Sequence[str]) -> bool:
    return len(_call_ids(folder, names, "402")) + len(_call_ids(folder, ["callee"], "ACK")) >= crowd.calls


def _options(crowd: Crowd) -> tuple[str, ...]:
    domain = f"{crowd.label}.example"
    user = ("-s", f"{crowd.prefix}0001", "-key", "user", f"{crowd.prefix}1000001", "-key", "domain", domain)
    return (*user, "-r", str(RATE), "-l", str(crowd.calls), "-timeout", f"{ENDED_DEADLINE_S}s", "-timeout_error")


def _addresses(crowd: Crowd) -> tuple[str, str]:
    return f"127.1.212.{crowd.number}", f"127.1.211.{crowd.number}"


def _call_ids(folder: Path, names: Sequence[str], what: str) -> frozenset[str]:
    """Return the calls in which these parties received this method or status."""
    return frozenset(
        sipp.call_id(message) for name in names for message in sipp.received(folder / f"{name}.messages", what)
    )


def _sipp(
    folder: Path, name: str, proxy: str, file: str, address: str, port: int, *options: str
) -> subprocess.Popen[bytes]:
    """Start a SIPp. Its messages, errors and screen go to the folder under its name."""
    command = [
        *("sipp", proxy, "-sf", str(sipp.COMMON / file), "-i", address, "-p", str(port), "-nostdin"),
        "-aa",  # says 200 when an adopter asks whether the call goes on
        *("-trace_msg", "-message_file", str(folder / f"{name}.messages")),
        *("-trace_err", "-error_file", str(folder / f"{name}.errors"), *options),
    ]
    return sipp.run(command, folder / f"{name}.log")
