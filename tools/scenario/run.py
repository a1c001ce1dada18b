"""One scenario from its first process to its last check."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tools.errors import OperatorError
from tools.scenario import sipp
from tools.scenario.check import differences
from tools.scenario.observe import Record, Watch
from tools.scenario.spec import Party, Scenario
from tools.wait import DeadlineError, until

RECORD_DEADLINE_S = 30.0
CALLEE_DEADLINE_S = 15.0
SYNC_DEADLINE_S = 30.0


class Endpoint(NamedTuple):
    """A running stack as seen from outside. proxy, proxy6: `host:port` of SIP; "" = no IPv6."""

    proxy: str
    database_url: str
    redis_url: str
    proxy6: str = ""


class Result(NamedTuple):
    """What a scenario came to. problems: empty when all was as expected."""

    scenario: Scenario
    record: Record | None
    problems: tuple[str, ...]


def load_worlds(scenarios: tuple[Scenario, ...], watch: Watch) -> None:
    """Load every scenario's world and wait until the running sync has carried all of it to Redis.

    Raises OperatorError naming the file for bad SQL, DeadlineError when sync does not follow.
    """
    for scenario in scenarios:
        world = scenario.path / "world.sql"
        if world.exists():
            try:
                watch.load_world(scenario.accounts, world.read_text(encoding="utf-8"))
            except Exception as error:
                raise OperatorError(f"{world}: {error}") from error
    until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the scenarios' worlds to Redis")


def play(scenario: Scenario, endpoint: Endpoint, watch: Watch, folder: Path, run_id: str) -> Result:
    """Play one scenario. folder: where its traces are kept. run_id: makes this run's Call-IDs unique."""
    folder.mkdir(parents=True, exist_ok=True)
    call_id = f"{scenario.label}-{run_id}@tandem"
    running: list[sipp.Running] = []
    proxies = sipp.Proxy(endpoint.proxy, endpoint.proxy6)
    try:
        called = (party for party in scenario.parties if party.role != "caller")
        running.extend(sipp.start(scenario, party, proxies, folder) for party in called)  # those before one that fails
        sipp.register(scenario, [party for party in scenario.parties if party.role == "phone"], proxies, folder)
        for run in running:
            _await_probes(run, scenario.deadline_s)
        callers = [party for party in scenario.parties if party.role == "caller"]
        for party in callers:
            own = f"{scenario.label}-{party.name}-{run_id}@tandem" if party.stays else call_id
            caller = sipp.start(scenario, party, proxies, folder, own)
            running.append(caller)
            if party.stays:
                until(partial(sipp.messages, caller, "200"), scenario.deadline_s, f"{party.name} to be answered")
            else:
                caller.process.wait(scenario.deadline_s + 5)
        problems = [line for run in running for line in _finish(run)]
        record = _await_record(scenario, watch, call_id)
    except (OperatorError, DeadlineError, subprocess.TimeoutExpired) as error:
        return Result(scenario, watch.record(call_id), (str(error),))
    finally:
        for run in running:
            sipp.stop(run)
    return Result(scenario, record, (*problems, *differences(scenario, record, _received(running))))


def _await_probes(run: sipp.Running, deadline_s: float) -> None:
    """Wait until a probed party has got as many OPTIONS as it wants to see before anybody calls."""
    wanted = run.party.probed
    until(lambda: len(_probes(run)) >= wanted, deadline_s, f"{wanted} OPTIONS at {run.party.name}")


def _probes(run: sipp.Running) -> set[str]:
    """Return what tells the OPTIONS apart that a party has got: sent again, they are the same."""
    return {sipp.header(message, "CSeq") for message in sipp.messages(run, "OPTIONS")}


def _finish(run: sipp.Running) -> list[str]:
    """Wait for a party that must end by itself; return what went wrong with it."""
    party = run.party
    if party.role != "caller" and (party.calls == 0 or party.probed):
        return []
    try:
        status = run.process.wait(CALLEE_DEADLINE_S)
    except subprocess.TimeoutExpired:
        return [f"{party.name}: did not see the end of its call"]
    return [f"{party.name}: SIPp says failed ({status}), see {run.log}"] if status else []


def _await_record(scenario: Scenario, watch: Watch, call_id: str) -> Record | None:
    if not scenario.call.cdr:
        return watch.record(call_id)
    with suppress(DeadlineError):  # what is missing then is named by the checks
        until(lambda: _complete(watch.record(call_id)), RECORD_DEADLINE_S, "the call detail record")
    return watch.record(call_id)


def _complete(record: Record | None) -> bool:
    return record is not None and not record.leased


def _received(running: list[sipp.Running]) -> dict[tuple[str, str], tuple[str, ...]]:
    return {(run.party.name, what): sipp.messages(run, what) for run in running for what in _asked(run.party)}


def _asked(party: Party) -> set[str]:
    return {"INVITE", *(rule.what for rule in party.received)}
