"""kill -9 in the middle of traffic: no call event is lost, no hold stays, and the money still adds up.

The victims are those of design and README: sync, settle, Redis, and a whole Kamailio node. Every call that the far end
answered must leave exactly one record, whatever was killed; what the calls themselves came to is allowed to differ.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import psycopg
import pytest

from tests.e2e.traffic import answered_calls, sipp
from tests.fix_stack import SHORT, free_address, short_directory
from tests.wait import until
from tools.noc_ask import ask
from tools.scenario.observe import Watch
from tools.scenario.run import SYNC_DEADLINE_S, Endpoint
from tools.settle.command import options_from, verdict
from tools.stack import plan, process
from tools.stack.layout import Layout
from tools.stack.stack import Stack

CALLS: Final = 60
RATE: Final = 10
TALK_MS: Final = 1_500
PATIENCE_S: Final = 30
"""So long all calls get: those that lost their node would wait for its word for a minute."""
CALLEE, CALLER, NUMBER = "127.1.202.1", "127.1.202.9", "888920000001"
HOLDS_GONE_S: Final = 120
"""A SIPp does not answer when it is asked whether its call goes on: three such questions, 30 s each, and a lease."""

WORLD = """
select world.tariff('Tandem', 'kill', 'EUR', '88892', '0.03');
select world.reseller('kill-reseller', 'Tandem', 'kill', 500);
select world.tariff('kill-reseller', 'retail', 'EUR', '88892', '0.06');
select world.customer('kill-customer', 'kill-reseller', 'retail', 500);
select world.domain('kill.example', 'kill-customer');
select world.subscriber('pbx@kill.example', 'kill-customer', null, '888921000001');
select world.trusted('pbx@kill.example', '127.1.202.9/32', 'udp');
select world.carrier_of('kill-reseller', 'kill-carrier', '127.1.202.1', 5080, '88892', '0.012');
"""

RECORDED = "select call_id, outcome from tandem.cdr where starts_with(call_id, %s)"
PROVEN = ("answered", "estimated")


@pytest.fixture(scope="module")
def doomed() -> Iterator[Stack]:
    """Run a stack of its own: what is killed here must not be anybody else's."""
    with short_directory() as folder:
        stack = Stack(Layout(folder / "run", free_address()), {**SHORT, "TANDEM_RING_MAX_S": "5"})
        stack.start(tied=True)
        try:
            yield stack
        finally:
            stack.stop()


@pytest.mark.parametrize("victim", ["sync", "settle", "redis", "kamailio"])
def test_a_kill_in_the_middle_of_traffic_loses_nothing(victim: str, doomed: Stack, tmp_path: Path) -> None:
    """Every answered call has its record, every hold is gone, and I1 to I4 hold afterwards."""
    values = plan.environment(doomed.layout)
    endpoint = Endpoint(values["TANDEM_SIP"], values["DATABASE_URL"], values["REDIS_URL"])
    label = f"kill-{victim}"
    with closing(Watch(endpoint.database_url, endpoint.redis_url)) as watch:
        watch.load_world("kill-", WORLD)
        until(lambda: watch.unsynced() == 0, SYNC_DEADLINE_S, "sync to carry the world to Redis")
        _talk_and_kill(victim, label, doomed, endpoint, tmp_path)
        until(lambda: watch.leases() == 0, HOLDS_GONE_S, "every hold to be gone")
    answered = answered_calls(tmp_path, label)
    assert len(answered) >= CALLS // 4
    with psycopg.connect(endpoint.database_url, autocommit=True) as database:
        until(lambda: answered <= _recorded(database, label).keys(), 20, "a record of every answered call")
        outcomes = _recorded(database, label)
        poison = database.execute("select reason from tandem.event_poison").fetchall()
    assert poison == []
    until(lambda: ask(values["TANDEM_CTL"], "status")["agent"], 5, "the agent's first word")
    agent = ask(values["TANDEM_CTL"], "status")["agent"]
    assert (agent["invalid"], agent["dead"]) == (0, 0), agent["last_error"]
    unproven = {call_id for call_id in answered if outcomes[call_id] not in PROVEN}
    # A node that dies takes with it the answer marks of its last second: those calls end as unproven, charged nothing.
    assert len(unproven) <= (RATE + 1 if victim == "kamailio" else 0), outcomes
    report = verdict(options_from({**os.environ, **values, **SHORT}))
    assert report.differences == ()


def _talk_and_kill(victim: str, label: str, doomed: Stack, endpoint: Endpoint, tmp_path: Path) -> None:
    """Place all calls, kill the victim after a quarter of them, and wait until the callers are done and all is back."""
    callee = sipp(endpoint, tmp_path, "uas-answer.xml", CALLEE, calls=CALLS)
    caller = sipp(
        endpoint, tmp_path, "uac-plain.xml", CALLER, "-s", NUMBER, "-key", "user", "888921000001",
        "-key", "domain", "kill.example", "-r", str(RATE), "-d", str(TALK_MS), "-cid_str", f"{label}-%u@tandem",
        "-timeout", f"{PATIENCE_S}s", calls=CALLS,
    )  # fmt: skip
    try:
        until(lambda: len(answered_calls(tmp_path, label)) >= CALLS // 4, 30, "a quarter of the calls to be answered")
        _kill(doomed, victim)
        caller.wait(2 * PATIENCE_S)
    finally:
        for party in (caller, callee):
            party.kill()
            party.wait()
    doomed.wait_ready()


def _recorded(database: psycopg.Connection[tuple[str, str]], label: str) -> dict[str, str]:
    return dict(database.execute(RECORDED, (label,)).fetchall())


def _kill(stack: Stack, victim: str) -> None:
    """End the victim as an accident would: with SIGKILL, a Kamailio with its whole tree."""
    tree = [stack.pid(victim)]
    for pid in tree:
        tree += process.children(pid)
    for pid in tree:
        os.kill(pid, signal.SIGKILL)
