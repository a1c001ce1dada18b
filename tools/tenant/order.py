"""In which order a plan is written: everything that is named is there, and every name is free, when it is needed.

Pure: rows and changes in, steps out. The order is
1. park: servers that give up an address that another one takes are moved out of the way;
2. what nobody names goes, with its keys;
3. new rows come, what they name first; a reference that would close a circle is left empty;
4. changed rows change, and references that were left empty are filled;
5. what others named until now goes, what names it first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from tools.tenant.described import DESCRIBED, PRICES
from tools.tenant.difference import Change, Plan
from tools.tenant.world import Address, Row

Action = Literal["park", "remove", "add", "set"]

_NAMED: Final = frozenset(field.refers for resource in DESCRIBED.values() for field in resource.fields if field.refers)
_PARKED: Final = ("address", "host", "aliases")  # what a parked server is without
_CLAIMED: Final = frozenset({"address", "host", "port", "transport", "aliases"})


class Step(NamedTuple):
    """One statement. names: the fields that it writes. moves: whether the row gets another account or parent row."""

    action: Action
    change: Change
    names: tuple[str, ...] = ()
    moves: bool = False


def steps(plan: Plan) -> list[Step]:
    """Return the steps of a plan."""
    gone = sorted(plan.of("remove"), key=lambda change: -_depth(change.at))  # stable: the order of reading else
    users_first = sorted(gone, key=lambda change: -_RANKS[change.at.resource])
    added = list(_added(plan.of("add")))
    parked = {change.at: change for change in _parked(plan)}
    return [
        *(Step("park", change) for change in parked.values()),
        *(Step("remove", change) for change in gone if change.at.resource not in _NAMED),
        *(step for step in added if step.action == "add"),
        *(_set(change, brought_back=change.at in parked) for change in plan.of("set")),
        *(step for step in added if step.action == "set"),
        *(Step("remove", change) for change in users_first if change.at.resource in _NAMED),
    ]


def _set(change: Change, *, brought_back: bool) -> Step:
    """Return the step of a changed row. brought_back: it was parked, which took away more than the file changes."""
    known = DESCRIBED[change.at.resource].by_name
    names = [changed.name for changed in change.fields if changed.name in known]
    moves = len(names) < len(change.fields)
    if brought_back:
        names += [name for name in _PARKED if name not in names]
        change = change._replace(row=_row(change)._replace(values=_after(change)))
    return Step("set", change, tuple(names), moves)


def _rank(resource: str) -> int:
    """Return how long a chain of names begins at a resource: what is named, or has rows below it, has less.

    Only accounts name what names accounts, and they are never removed.
    """
    of = DESCRIBED[resource]
    named = {field.refers for field in of.fields if field.refers} | ({of.parent} if of.parent else set())
    named.discard(resource)  # a group may lead to another one
    return 1 + max(map(_rank, named), default=-1)


def _together(change: Change) -> tuple[int, str, tuple[str, ...]]:
    """Return what puts new rows that can be written as one statement side by side; their order stays else."""
    return _RANKS[change.at.resource], change.at.resource, tuple(_row(change).values)


_RANKS: Final = {name: _rank(name) for name in DESCRIBED}


def _added(changes: Sequence[Change]) -> Iterator[Step]:
    """Yield new rows, what they cannot be without before them; then what could not be said at once."""
    new = {change.at: change for change in changes}
    done: set[Address] = set()
    later: list[Step] = []
    for start in sorted(changes, key=_together):
        for change in _with_needs(start, new, done):
            now, deferred = _split(change, new, done)
            done.add(change.at)
            yield Step("add", change, now)
            if deferred:
                later.append(Step("set", change, deferred))
    yield from later


def _with_needs(change: Change, new: Mapping[Address, Change], done: set[Address]) -> Iterator[Change]:
    """Yield a new row after those that it needs, unless it is there; accounts bound how deep that goes."""
    if change.at in done:
        return
    for at in _needs(change):
        if at in new:
            yield from _with_needs(new[at], new, done)
    yield change


def _needs(change: Change) -> Iterator[Address]:
    """Yield the rows without which a row cannot be: whose it is, and what it has to name."""
    row = _row(change)
    if isinstance(row.under, Address):
        yield row.under
    elif row.under:
        yield Address("account", row.under[:-1], row.under[-1:])
    for field in DESCRIBED[row.at.resource].fields:
        value = row.values.get(field.name)
        if isinstance(value, Address) and (field.required or field.name == "tariff"):  # only the root has no tariff
            yield value


def _split(
    change: Change, new: Mapping[Address, Change], done: set[Address]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the fields that can be written with a new row, and those that have to wait until all are there."""
    row, resource = _row(change), DESCRIBED[change.at.resource]
    late = [
        name
        for name, value in row.values.items()
        if (isinstance(value, Address) and value in new and value not in done)
        or (resource.name == "tariff" and resource.field(name).kind is PRICES)  # its rate sets are the tariff's own
    ]
    return tuple(name for name in row.values if name not in late), tuple(late)


def _parked(plan: Plan) -> Iterator[Change]:
    """Yield servers that give up what another server of the plan takes: two that swap would be refused one by one."""
    servers = [change for change in plan.of("add", "set") if change.at.resource == "server"]
    taken: dict[tuple[Any, ...], set[Address]] = {}
    for change in servers:
        for claim in _claims(_after(change)):
            taken.setdefault(claim, set()).add(change.at)
    for change in servers:
        if change.stored is None or not {changed.name for changed in change.fields} & _CLAIMED:
            continue
        given_up = _claims(change.stored.values) - _claims(_after(change))
        if any(taken.get(claim, set()) - {change.at} for claim in given_up):
            yield change


def _claims(values: Mapping[str, Any]) -> set[tuple[Any, ...]]:
    """Return what no other server may have: networks, and where calls go."""
    networks = [*(values.get("aliases") or ()), *_plain_networks(values.get("address"))]
    found: set[tuple[Any, ...]] = {("network", network) for network in networks}
    for name in ("address", "host"):
        if values.get(name):
            found.add((name, values[name], values.get("port"), values.get("transport")))
    return found


def _plain_networks(address: str | None) -> list[str]:
    return [f"{address}/{128 if ':' in address else 32}"] if address else []


def _after(change: Change) -> dict[str, Any]:
    before = {} if change.stored is None else change.stored.values
    return {**before, **_row(change).values}


def _depth(at: Address) -> int:
    """Return how many rows a row belongs to, one in the other."""
    return 1 + _depth(at.scope) if isinstance(at.scope, Address) else 0


def _row(change: Change) -> Row:
    assert change.row is not None  # noqa: S101  only what goes or stays has none
    return change.row
