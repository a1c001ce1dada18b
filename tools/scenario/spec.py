"""What a scenario directory says: `expect.toml` as values.

A mistake in the file is an OperatorError that names file, place and rule; nothing runs then.
"""

from __future__ import annotations

import tomllib
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from tools.errors import OperatorError

ROLES = ("callee", "phone", "caller")


class Received(NamedTuple):
    """What a far end must and must not have got: regexes over whole messages of one method or status.

    has: all of them have each. some: at least one of them has each.
    """

    what: str
    has: tuple[str, ...]
    lacks: tuple[str, ...]
    some: tuple[str, ...]


class Party(NamedTuple):
    """One SIPp process.

    role: callee waits for calls, phone registers first and then waits, caller places the call. address: of IPv6 too.
    calls: how many calls must reach it (0 = none may). talk_ms: the pause of the scenario file.
    status: final status that a refusing file sends or waits for. headers: more of them, in each INVITE that it sends
    and in each answer with `status`. stays: a caller during whose call the next one calls; it has a Call-ID of its own,
    and no record of it is looked at. probed: it gets OPTIONS besides its calls, so it never ends by itself; the callers
    wait until it has got so many of them. In the file, copies = N stands for N parties: `<name>-1` at the address, the
    next one at the address after it.
    """

    name: str
    role: str
    file: str
    address: str
    port: int
    transport: str
    calls: int
    user: str
    domain: str
    password: str
    service: str
    talk_ms: int
    status: int
    headers: tuple[str, ...]
    stays: bool
    probed: int
    received: tuple[Received, ...]


class Leg(NamedTuple):
    """One payment that the call must have made. payer, payee: account names.

    price_micros of currency: what the payee earns. charged_micros of charged_currency: what the payer's fund pays; "" =
    the same.
    """

    level: int
    payer: str
    payee: str
    price_micros: int
    currency: str
    charged_micros: int
    charged_currency: str


class Expected(NamedTuple):
    """What the call detail record must say. cdr False: the attempt leaves none (it was only challenged).

    attempts: every try of the hunt in order, "<server> <status>", and the word of the attempt where it has one; None =
    they are not looked at.
    """

    caller: str
    callee: str
    cdr: bool
    outcome: str
    status: int
    reason: str
    carrier: str
    ended_by: str
    billed_s: tuple[int, int]
    attempts: tuple[str, ...] | None
    trace_has: tuple[str, ...]
    trace_lacks: tuple[str, ...]


class Scenario(NamedTuple):
    """One directory below `sipp-scenarios/`.

    accounts: what the names of its world's accounts begin with. deadline_s: longest time from the first packet to the
    last check.
    """

    path: Path
    summary: str
    source: str
    accounts: str
    deadline_s: float
    call: Expected
    legs: tuple[Leg, ...]
    parties: tuple[Party, ...]

    @property
    def name(self) -> str:
        """Return `<area>/<NN.outcome>`."""
        return f"{self.path.parent.name}/{self.path.name}"

    @property
    def label(self) -> str:
        """Return the short unique name that this scenario's Call-IDs begin with."""
        return f"{self.path.parent.name}-{self.path.name.partition('.')[0]}"


class Table:
    """A TOML table that says where it stands when a field is missing, of another type, or unknown."""

    def __init__(self, where: str, values: dict[str, Any]) -> None:
        """Keep a copy of `values`; `where` names the table in error messages."""
        self._where = where
        self._values = dict(values)

    def take(self, field: str, default: Any = None) -> Any:
        """Return and consume a field. Raises OperatorError when it is missing without default or of another type."""
        value = self._values.pop(field, default)
        if value is None:
            raise OperatorError(f"{self._where}: {field} is missing")
        if default is not None and not isinstance(value, type(default)):
            raise OperatorError(f"{self._where}: {field} = {value!r} is not a {type(default).__name__}")
        return value

    def has(self, field: str) -> bool:
        """Tell whether the table says anything of a field."""
        return field in self._values

    def done(self) -> None:
        """Raise OperatorError for a field that nobody asked for: most likely a typing mistake."""
        if self._values:
            raise OperatorError(f"{self._where}: unknown field {', '.join(sorted(self._values))}")


def opened(file: Path) -> Table:
    """Return what a TOML file says. Raises OperatorError when it cannot be read."""
    try:
        return Table(str(file), tomllib.loads(file.read_text(encoding="utf-8")))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise OperatorError(f"{file}: {error}") from error


def load(path: Path) -> Scenario:
    """Return the scenario in directory `path`. Raises OperatorError for a bad or missing expect.toml."""
    file = path / "expect.toml"
    top = opened(file)
    scenario = Scenario(
        path=path,
        summary=top.take("summary", ""),
        source=top.take("source", ""),
        accounts=top.take("accounts", ""),
        deadline_s=float(top.take("deadline_s", 60)),
        call=_expected(Table(f"{file} [call]", top.take("call"))),
        legs=tuple(_leg(Table(f"{file} [[leg]]", leg)) for leg in top.take("leg", [])),
        parties=tuple(each for party in top.take("party") for each in _copies(_party(file, party), party)),
    )
    top.done()
    if not any(party.role == "caller" for party in scenario.parties):
        raise OperatorError(f"{file}: no party has role = caller")
    return scenario


def discover(root: Path, area: str = "") -> tuple[Scenario, ...]:
    """Return every scenario below `root`, of one area or of all, in order. Raises OperatorError when there is none."""
    found = tuple(load(file.parent) for file in sorted(root.glob(f"{area or '*'}/*/expect.toml")))
    if not found:
        raise OperatorError(f"{root}: no scenario in area {area!r}" if area else f"{root}: no scenario")
    return found


def _expected(table: Table) -> Expected:
    low, high = table.take("billed_s", [0, 0])
    expected = Expected(
        caller=table.take("caller"),
        callee=table.take("callee"),
        cdr=table.take("cdr", True),
        outcome=table.take("outcome", ""),
        status=table.take("status", 200),
        reason=table.take("reason", ""),
        carrier=table.take("carrier", ""),
        ended_by=table.take("ended_by", ""),
        billed_s=(low, high),
        attempts=tuple(table.take("attempts", [])) if table.has("attempts") else None,
        trace_has=tuple(table.take("trace_has", [])),
        trace_lacks=tuple(table.take("trace_lacks", [])),
    )
    table.done()
    return expected


def _leg(table: Table) -> Leg:
    price_micros, currency = table.take("price_micros"), table.take("currency", "EUR")
    leg = Leg(
        level=table.take("level"),
        payer=table.take("payer"),
        payee=table.take("payee"),
        price_micros=price_micros,
        currency=currency,
        charged_micros=table.take("charged_micros", price_micros),
        charged_currency=table.take("charged_currency", currency),
    )
    table.done()
    return leg


def _copies(party: Party, values: dict[str, Any]) -> tuple[Party, ...]:
    """Return the party as often as its table says."""
    copies = int(values.get("copies", 0))
    first = ip_address(party.address)
    return tuple(party._replace(name=f"{party.name}-{at + 1}", address=str(first + at)) for at in range(copies)) or (
        party,
    )


def _party(file: Path, values: dict[str, Any]) -> Party:
    table = Table(f"{file} party {values.get('name', '?')}", values)
    table.take("copies", 0)
    party = Party(
        name=table.take("name"),
        role=table.take("role"),
        file=table.take("file"),
        address=table.take("address"),
        port=table.take("port", 5080),
        transport=table.take("transport", "udp"),
        calls=table.take("calls", 1),
        user=table.take("user", ""),
        domain=table.take("domain", ""),
        password=table.take("password", ""),
        service=table.take("service", ""),
        talk_ms=table.take("talk_ms", 0),
        status=table.take("status", 0),
        headers=tuple(table.take("headers", [])),
        stays=table.take("stays", default=False),
        probed=table.take("probed", 0),
        received=tuple(
            _received(Table(f"{file} party {values.get('name', '?')} received.{what}", rules), what)
            for what, rules in table.take("received", {}).items()
        ),
    )
    table.done()
    if party.role not in ROLES:
        raise OperatorError(f"{file}: party {party.name}: role {party.role!r} is none of {', '.join(ROLES)}")
    return party


def _received(table: Table, what: str) -> Received:
    rule = Received(what, *(tuple(table.take(field, [])) for field in ("has", "lacks", "some")))
    table.done()
    return rule
