"""(d): the router of this project with everything on, in a private stack."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any, Final

import psycopg

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tools.bench.calls.phones import CALLEE, CALLEE_PORT, DOMAIN, PASSWORD, PREFIX
from tools.bench.calls.router import Router
from tools.bench.calls.stock import PRICES, REDIS_TIMEOUT_MS
from tools.errors import OperatorError
from tools.prove_calls import free_address
from tools.scenario.observe import Watch
from tools.stack import plan
from tools.stack.layout import Layout
from tools.stack.stack import Stack
from tools.wait import until

SETTINGS: Final = {"TANDEM_REDIS_TIMEOUT_MS": "1000", "TANDEM_SHED_DELAY_MS": "0"}
"""Patience with a Redis whose disk is busy, as the others have it; of no cost while it answers."""
SYNCED_S: Final = 120.0
KAMCTL_S: Final = 10
KAMAILIO: Final = "kamailio"

# Analyzed, for sync reads these lines at once, and Postgres does not know yet that they are many.
WORLD: Final = """
select world.tariff('Tandem', 'bench', 'EUR', '{prefix}', '0.01 60/60');
select world.reseller('bench-4', 'Tandem', 'bench', 1000000);
select world.tariff('bench-4', 'wholesale', 'EUR', '{prefix}', '0.02 60/60');
select world.reseller('bench-3', 'bench-4', 'wholesale', 1000000);
select world.tariff('bench-3', 'dealer', 'EUR', '{prefix}', '0.03 60/60');
select world.reseller('bench-2', 'bench-3', 'dealer', 1000000);
select world.tariff('bench-2', 'retail', 'EUR', '{prefix}', '0.04 60/60');
select world.customer('bench-1', 'bench-2', 'retail', 1000000);
select world.domain('{domain}', 'bench-1');
insert into tandem.subscriber(account_id, sip_domain_id, username, ha1_md5, ha1_sha256)
select world.account_id('bench-1'), world.domain_id('{domain}'), 'u' || n, md5(secret),
       encode(sha256(convert_to(secret, 'UTF8')), 'hex')
  from generate_series(1, {lines}) n, lateral (select 'u' || n || ':{domain}:{password}') h(secret);
analyze tandem.subscriber;
select world.carrier('bench-carrier', '{callee}', {port}, '{prefix}', '0.004 60/60');
"""
_RECORDED: Final = "select count(*) from tandem.cdr where call_id like %s and outcome = 'answered'"
_RIGHT: Final = """
select count(*) from (
  select c.rid from tandem.cdr c join tandem.cdr_leg l on l.rid = c.rid
   where c.call_id like %s and c.outcome = 'answered' and c.server_id <> 0 and l.book = 'fund'
   group by c.rid having array_agg(l.price_micros::bigint order by l.level) = %s::bigint[]
) as rows
"""
_PROCESS: Final = re.compile(r"PID: (\d+)\s+DSC: (.*)")
ROLES: Final = (
    ("tcp", "tcp"),
    ("receiver", "workers"),
    ("RTIMER", "agent"),
    ("timer", "timers"),
    ("Timer", "timers"),
    ("ctl", "control"),
)
"""What Kamailio calls its processes, and what they are here; the first that fits counts."""


PROFILED: Final = ("workers", "agent")


class Tandem(Router):
    """(d) Everything on: 4 levels of accounts, digest, LCR, hold, slices, records, ledger."""

    name = "tandem"

    def __init__(self, folder: Path, lines: int) -> None:
        """Take where it lives; nothing is started."""
        address = free_address()
        self.proxy = str(address)
        self._stack = Stack(Layout(folder, address, listen6=None), SETTINGS)
        self._lines = lines
        self._pids: dict[str, int] = {}
        self._roles: dict[int, str] = {}

    def start(self) -> None:
        """Start the stack, load the world, wait until sync has carried it."""
        self._stack.start(tied=True)
        values = plan.environment(self._stack.layout)
        with closing(Watch(values["DATABASE_URL"], values["REDIS_URL"])) as watch:
            watch.load_world("bench-", self._world())
            until(lambda: watch.unsynced() == 0, SYNCED_S, "sync to carry the benchmark's world to Redis")
        self._database: psycopg.Connection[Any] = psycopg.connect(values["DATABASE_URL"], autocommit=True)
        self._redis = RedisClient(values["REDIS_URL"], REDIS_TIMEOUT_MS)
        self._redis.execute("CONFIG", "SET", "appendfsync", "everysec")
        state = self._stack.state()
        self._pids = {row.name: row.who.pid for row in state.processes if row.who} if state else {}
        self._roles = roles(_processes(values["TANDEM_CTL"]))

    def stop(self) -> None:
        """End the stack."""
        self.thaw()
        with suppress(AttributeError):  # it did not come so far
            self._database.close()
            self._redis.close()
        self._stack.stop()

    def roots(self) -> Mapping[str, int]:
        """Return the parts of the stack."""
        return self._pids

    def roles(self) -> Mapping[int, str]:
        """Return what each process of Kamailio does."""
        return self._roles

    def looked_at(self) -> dict[str, list[int]]:
        """Return the processes worth a profile: what works for calls, and the agent; settle and sync."""
        groups: dict[str, list[int]] = {}
        for pid, role in self._roles.items():
            groups.setdefault(role, []).append(pid)
        return {
            **{name: groups[name] for name in PROFILED},
            **{name: [self._pids[name]] for name in ("settle", "sync")},
        }

    def done(self, label: str, calls: int) -> bool:
        """Whether no lease is open and every call has its record."""
        return int(self._redis.execute("ZCARD", keys.LEASES)) == 0 and self._count(_RECORDED, f"{label}-%") >= calls

    def right(self, label: str, calls: int) -> int:
        """Return how many calls have a carrier and cost every level what they should."""
        _ = calls
        return self._count(_RIGHT, f"{label}-%", list(PRICES))

    def freeze(self) -> None:
        """Let all stand still: the supervisor first, which would take a standing part for a dead one."""
        self._supervisor(signal.SIGSTOP)
        super().freeze()

    def thaw(self) -> None:
        """Let all go on, the supervisor last."""
        super().thaw()
        self._supervisor(signal.SIGCONT)

    def _supervisor(self, number: signal.Signals) -> None:
        if state := self._stack.state():
            with suppress(ProcessLookupError):
                os.kill(state.supervisor.pid, number)

    def _count(self, question: str, *values: object) -> int:
        found = self._database.execute(question.encode(), values).fetchone()
        return int(found[0]) if found else 0

    def _world(self) -> str:
        return WORLD.format(
            prefix=PREFIX, domain=DOMAIN, password=PASSWORD, lines=self._lines, callee=CALLEE, port=CALLEE_PORT
        )


def roles(processes: Mapping[int, str]) -> dict[int, str]:
    """Return what Kamailio's processes are here, by what it calls them."""
    return {
        pid: next((role for word, role in ROLES if word in what), f"{KAMAILIO} besides")
        for pid, what in processes.items()
    }


def _processes(control: str) -> dict[int, str]:
    """Return Kamailio's processes by pid, as it describes them. Raises OperatorError."""
    done = subprocess.run(
        ["kamcmd", "-s", control, "core.psx"], check=False, capture_output=True, text=True, timeout=KAMCTL_S
    )
    if done.returncode:
        raise OperatorError(f"kamcmd core.psx: {done.stderr.strip() or done.stdout.strip()}")
    return {int(pid): what.strip() for pid, what in _PROCESS.findall(done.stdout)}
