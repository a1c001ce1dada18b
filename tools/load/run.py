"""One run of a load scenario: its world, its SIPps, what they saw, what was written down."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg

from tools.errors import OperatorError, not_set
from tools.load import figures, lines, parties, processes, records
from tools.load.after import end, written
from tools.load.calls import Call, Calls
from tools.load.kamcmd import Control, Shared
from tools.load.processes import Machine
from tools.load.spec import Scenario, Wanted, require_loopback
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S
from tools.wait import DeadlineError, until

LOOK_S: Final = 0.25
STOOD_S: Final = 2.0
FULL: Final = 0.95
MIB: Final = 1 << 20
VARIABLES: Final = ("TANDEM_SIP", "DATABASE_URL", "REDIS_URL", "TANDEM_CTL", "RUN_DIR")


class Stack(NamedTuple):
    """A running stack as seen from outside. proxy: `host:port` of SIP on a loopback address."""

    proxy: str
    database_url: str
    redis_url: str
    control: str
    run_dir: Path

    @staticmethod
    def from_environment(env: Mapping[str, str]) -> Stack:
        """Return the stack that `.run/env` describes. Raises OperatorError when it is none, or not on loopback."""
        for name in VARIABLES:
            if not env.get(name):
                raise not_set(name)
        proxy = env["TANDEM_SIP"]
        require_loopback("TANDEM_SIP", proxy.rpartition(":")[0])
        return Stack(proxy, env["DATABASE_URL"], env["REDIS_URL"], env["TANDEM_CTL"], Path(env["RUN_DIR"]))


class Progress(NamedTuple):
    """What is known in the middle of a run. due: calls that will be placed. seconds: since its start."""

    due: int
    calls: Mapping[str, Call]
    seconds: float


class Report(NamedTuple):
    """What a run came to.

    sums: one for each party, then all. shared: memory that the node's processes share, at the end. outcomes: records by
    what they say. findings: empty when all agrees.
    """

    scenario: str
    wanted: Wanted
    began: float
    sums: list[figures.Sum]
    seconds: list[figures.Second]
    processes: list[processes.Row]
    shared: Shared
    outcomes: dict[str, int]
    findings: list[records.Finding]

    @property
    def all(self) -> figures.Sum:
        """Return the sum of all calls."""
        return self.sums[-1]

    def as_dict(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            **self._asdict(),
            "wanted": self.wanted._asdict(),
            "sums": [each.as_dict() for each in self.sums],
            "seconds": [second._asdict() for second in self.seconds],
            "shared": self.shared._asdict(),
            "processes": [row._asdict() for row in self.processes],
            "findings": [finding._asdict() for finding in self.findings],
        }


def prepare(scenario: Scenario, stack: Stack) -> None:
    """Load the scenario's world, or give it back its balances, and wait for sync. Raises OperatorError."""
    with closing(Watch(stack.database_url, stack.redis_url)) as watch:
        try:
            watch.load_world(scenario.accounts, (scenario.path / "world.sql").read_text(encoding="utf-8"))
            until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
        except (psycopg.Error, OSError, DeadlineError) as error:
            raise OperatorError(f"{scenario.name}: {error}") from error


def play(
    scenario: Scenario,
    stack: Stack,
    wanted: Wanted,
    folder: Path,
    tell: Callable[[Progress], None] = lambda _: None,
    machine: Machine | None = None,
) -> Report:
    """Place the calls and compare. The world is there already. folder: for traces; those of a clean run are removed.

    tell: told now and then. machine: samples of several runs, else of this one alone. Raises OperatorError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = parties.Place(stack.proxy, folder, f"{scenario.accounts}{secrets.token_hex(4)}")
    control = Control(stack.control)
    machine = machine or Machine(stack.run_dir, control)
    began, first = time.time(), len(machine.samples)
    by_name = {party.name: party for party in scenario.callers}
    called = parties.start_called(scenario, place)
    callers: list[parties.Running] = []
    calls = Calls()
    try:
        callers = parties.start_callers(scenario, place, wanted)
        machine.sipps = tuple(process.pid for process in (*called, *(caller.process for caller in callers)))
        stood_s = _follow(callers, calls, machine, tell)
        found, went_on = written(stack.database_url, control, place.label, records.due(calls.known, by_name))
    except BaseException:
        parties.stop([caller.process for caller in callers])
        with suppress(OperatorError):
            end(control, place.label)  # a run that was broken off must not leave calls, nobody would end them
        raise
    finally:
        parties.stop([*(caller.process for caller in callers), *called])
    machine.sample(is_due=True)
    differences = records.compare(calls.known, by_name, found)
    kept = lines.not_kept(stack.redis_url, calls.known, by_name)
    shared = control.shared()
    findings = [*_of_sipp(callers, calls), *_of_machine(stood_s), *_of_memory(shared), *went_on, *differences, *kept]
    if not findings:
        for caller in callers:
            caller.trace.path.unlink(missing_ok=True)
    return Report(
        scenario=scenario.name,
        wanted=wanted,
        began=began,
        sums=figures.sums(calls.known.values(), scenario.callers),
        seconds=figures.seconds(calls.known.values()),
        processes=processes.rows(machine.samples[first:], len(calls)),
        shared=shared,
        outcomes=records.outcomes(found),
        findings=findings,
    )


def _follow(callers: list[parties.Running], calls: Calls, machine: Machine, tell: Callable[[Progress], None]) -> float:
    """Read what the callers see until the last of them has ended; return the longest time without a look, in s."""
    began = looked = time.monotonic()
    longest = 0.0
    due = sum(caller.calls for caller in callers)
    while True:
        is_over = all(caller.process.poll() is not None for caller in callers)  # asked before the last lines are read
        for caller in callers:
            calls.see(caller.party.name, caller.trace.more())
        machine.sample(is_due=is_over)
        now = time.monotonic()
        longest, looked = max(longest, now - looked), now
        tell(Progress(due, calls.known, now - began))
        if is_over:
            return longest
        time.sleep(LOOK_S)


def _of_machine(stood_s: float) -> list[records.Finding]:
    """Say where this program itself did not get the CPU for so long that the router cannot have got it either."""
    if stood_s < STOOD_S:
        return []
    told = f"the machine stood still for {stood_s:.1f} s: what was measured then says little of the router"
    return [records.Finding("machine_stood_still", 0, told, (), is_grave=False)]


def _of_memory(shared: Shared) -> list[records.Finding]:
    """Say where the node had no shared memory left: then it loses calls, records and its own BYEs."""
    if shared.most < FULL * shared.total:
        return []
    used, total = shared.most / MIB, shared.total / MIB
    told = f"shared memory was used up, {used:.0f} of {total:.0f} MiB: start Kamailio with a higher -m"
    return [records.Finding("shared_memory_full", 0, told, ())]


def _of_sipp(callers: list[parties.Running], calls: Calls) -> list[records.Finding]:
    """Say which SIPp did not place its calls."""
    found = []
    for caller in callers:
        placed = sum(call.party == caller.party.name for call in calls.known.values())
        if placed < caller.calls:
            told = f"{caller.party.name} placed {placed} of {caller.calls} calls, see {caller.log}"
            found.append(records.Finding("not_placed", caller.calls - placed, told, ()))
    return found
