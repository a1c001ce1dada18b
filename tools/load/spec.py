"""What a load scenario says: `sipp-scenarios/load/<name>/load.toml` as values, and what may be asked of one.

A mistake in the file, or a number that is asked too high, is an OperatorError; nothing runs then.
"""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final, NamedTuple

from tools.errors import OperatorError
from tools.scenario.spec import Table, opened

ROOT: Final = Path(__file__).resolve().parents[2] / "sipp-scenarios"
FOLDER: Final = ROOT / "load"
FILE: Final = "load.toml"
CALLEE, PHONE, CALLER = "callee", "phone", "caller"
RATE_MAX: Final = 2_000.0  # calls a second: more than SIPp and a router do on a machine for development
CALLS_MAX: Final = 200_000
HOLD_MAX_S: Final = 600.0
SECONDS_MAX: Final = 3_600.0


class Party(NamedTuple):
    """One SIPp process.

    role: callee waits for calls, phone registers its lines first and then waits, caller places calls. file: looked up
    in the scenario's folder, in load/common, in common, else below sipp-scenarios/. share: per cent of RATE and of
    CALLS. lines: how many callers (or phones) it plays, u1, u2, …; `user` and `called` may say {n}, the number of one;
    0 = one. contact: `address:port` that is registered, "" = its own. status: what a refusing file answers. expected:
    final statuses of a call that went well. records: whether its calls leave any.
    """

    name: str
    role: str
    file: str
    address: str
    port: int
    share: float
    lines: int
    user: str
    domain: str
    password: str
    called: str
    contact: str
    status: int
    expected: tuple[int, ...]
    records: bool


class Overload(NamedTuple):
    """How the capacity is looked for.

    step_s: how long one rate is offered. factor: the next rate is so many times higher. answered: a step with a smaller
    share of answered calls is beyond the capacity. kept: the share of the peak that twice the capacity must not
    undercut. emergency: the party whose calls must all be answered, "" = none.
    """

    step_s: float
    factor: float
    answered: float
    kept: float
    emergency: str = ""


class Scenario(NamedTuple):
    """One folder. accounts: what the names of its world's accounts begin with. rate, calls, hold_s: unless said."""

    path: Path
    summary: str
    accounts: str
    rate: float
    calls: int
    hold_s: float
    parties: tuple[Party, ...]
    overload: Overload | None

    @property
    def name(self) -> str:
        """Return what `tandem load` calls it."""
        return self.path.name

    @property
    def callers(self) -> tuple[Party, ...]:
        """Return the parties that place calls."""
        return tuple(party for party in self.parties if party.role == CALLER)


class Wanted(NamedTuple):
    """How much of it. rate: calls a second. hold_s: how long an answered call talks."""

    rate: float
    calls: int
    hold_s: float


def load(path: Path) -> Scenario:
    """Return the scenario in folder `path`. Raises OperatorError for a bad file."""
    file = path / FILE
    top = opened(file)
    scenario = Scenario(
        path=path,
        summary=top.take("summary"),
        accounts=top.take("accounts"),
        rate=float(top.take("rate")),
        calls=top.take("calls"),
        hold_s=top.take("hold_s", 0.0),
        parties=tuple(_party(file, party) for party in top.take("party")),
        overload=_overload(file, top.take("overload")) if top.has("overload") else None,
    )
    top.done()
    if not scenario.callers:
        raise OperatorError(f"{file}: no party has role = caller")
    return scenario


def discover() -> tuple[Scenario, ...]:
    """Return every load scenario, by name."""
    return tuple(load(file.parent) for file in sorted(FOLDER.glob(f"*/{FILE}")))


def named(name: str) -> Scenario:
    """Return one scenario. Raises OperatorError when there is none of that name."""
    known = sorted(file.parent.name for file in FOLDER.glob(f"*/{FILE}"))
    if name not in known:
        raise OperatorError(f"there is no load scenario {name!r}; there are {', '.join(known)}")
    return load(FOLDER / name)


def wanted(scenario: Scenario, rate: float | None, calls: int | None, hold_s: float | None) -> Wanted:
    """Return how much is asked for; None = as the scenario says. Raises OperatorError beyond the bounds."""
    asked = Wanted(
        scenario.rate if rate is None else rate,
        scenario.calls if calls is None else calls,
        scenario.hold_s if hold_s is None else hold_s,
    )
    if not 0 < asked.rate <= RATE_MAX:
        raise OperatorError(f"RATE is {asked.rate:g}: set it above 0 and to {RATE_MAX:g} calls a second at most")
    if not 0 < asked.calls <= CALLS_MAX:
        raise OperatorError(f"CALLS is {asked.calls}: set it to a number from 1 to {CALLS_MAX}")
    if not 0 <= asked.hold_s <= HOLD_MAX_S:
        raise OperatorError(f"HOLD is {asked.hold_s:g}: set it to 0 to {HOLD_MAX_S:g} seconds")
    if asked.calls / asked.rate > SECONDS_MAX:
        raise OperatorError(
            f"{asked.calls} calls at {asked.rate:g} a second take {asked.calls / asked.rate:.0f} s: "
            f"a run may take {SECONDS_MAX:.0f} s, `tandem soak` runs for longer"
        )
    return asked


def share(party: Party, calls: int) -> int:
    """Return how many calls a party places of `calls`, at least one."""
    return max(1, round(calls * party.share / 100))


def require_loopback(what: str, host: str) -> None:
    """Raise OperatorError unless `host` is a loopback address. what: its name in the message."""
    try:
        is_loopback = ip_address(host.strip("[]")).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise OperatorError(f"{what} is {host}: load goes to loopback addresses only")


def _overload(file: Path, values: dict[str, Any]) -> Overload:
    table = Table(f"{file} [overload]", values)
    found = Overload(
        table.take("step_s", 5.0),
        table.take("factor", 1.5),
        table.take("answered", 0.9),
        table.take("kept", 0.9),
        table.take("emergency", ""),
    )
    table.done()
    if found.factor <= 1:
        raise OperatorError(f"{file} [overload]: factor = {found.factor} must be above 1")
    return found


def _party(file: Path, values: dict[str, Any]) -> Party:
    where = f"{file} party {values.get('name', '?')}"
    table = Table(where, values)
    party = Party(
        name=table.take("name"),
        role=table.take("role"),
        file=table.take("file"),
        address=table.take("address"),
        port=table.take("port", 5080),
        share=float(table.take("share", 100)),
        lines=table.take("lines", 0),
        user=table.take("user", ""),
        domain=table.take("domain", ""),
        password=table.take("password", ""),
        called=table.take("called", ""),
        contact=table.take("contact", ""),
        status=table.take("status", 0),
        expected=tuple(table.take("expected", [])),
        records=table.take("records", default=True),
    )
    table.done()
    if party.role not in (CALLEE, PHONE, CALLER):
        raise OperatorError(f"{where}: role {party.role!r} is none of {CALLEE}, {PHONE}, {CALLER}")
    require_loopback(f"{where}: address", party.address)
    return party
