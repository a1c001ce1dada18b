"""What has to change so that a tenant is as a file describes it: values in, a value out.

Rule 1: nothing is compared that the file does not say, neither a field nor a list.
Rule 2: what the file leaves out of a list that it says stays, and is named, until the user asks to prune.
Rule 3: applied, a plan leaves nothing to do: the difference of a file and the world that it made is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from tools.tenant.faults import Faults
from tools.tenant.model import ACCOUNT, Field, Resource
from tools.tenant.world import Address, Current, Row, Stored, Wanted

Action = Literal["add", "set", "remove", "stay"]


class Changed(NamedTuple):
    """A value that becomes another one."""

    name: str
    before: Any
    after: Any


class Change(NamedTuple):
    """What becomes of one row. row: as it is wanted, None for what goes or stays. stored: None for what is new.

    reason: why it stays whatever is asked.
    """

    action: Action
    at: Address
    row: Row | None
    stored: Stored | None
    fields: tuple[Changed, ...] = ()
    reason: str = ""


class Plan(NamedTuple):
    """Everything that changes, in the order of the file; then what goes, or stays though the file leaves it out."""

    changes: tuple[Change, ...]

    def of(self, *actions: Action) -> Sequence[Change]:
        """Return the changes of some kinds."""
        return [change for change in self.changes if change.action in actions]

    @property
    def is_empty(self) -> bool:
        """Whether applying it writes nothing."""
        return not self.of("add", "set", "remove")


def difference(
    catalogue: Mapping[str, Resource], wanted: Wanted, current: Current, faults: Faults, *, prune: bool
) -> Plan:
    """Return the plan; faults get what the file may not want, such as another currency of a tariff.

    prune: whether what a list leaves out goes, where it may.
    """
    changes = list(_wanted_changes(catalogue, wanted, current, faults))
    changes += left_out(catalogue, wanted, current, prune=prune)
    _refuse_use_of_removed(wanted, changes, faults)
    return Plan(tuple(changes))


def _wanted_changes(
    catalogue: Mapping[str, Resource], wanted: Wanted, current: Current, faults: Faults
) -> Iterator[Change]:
    fields = {name: resource.by_name for name, resource in catalogue.items()}
    for at, row in wanted.rows.items():
        known = fields[at.resource]
        stored = current.rows.get(at)
        if stored is None:
            _refuse_missing(known, row, faults)
            yield Change("add", at, row, None, tuple(Changed(name, None, value) for name, value in row.values.items()))
            continue
        changed = list(_moved(catalogue[at.resource], row, stored, faults))
        for name, value in row.values.items():
            before = stored.values.get(name)
            if before == value:
                continue
            if known[name].fixed:
                faults.add(row.place, f"{name}: is {before} and never changes; make another {at.resource}")
                continue
            changed.append(Changed(name, before, value))
        if changed:
            yield Change("set", at, row, stored, tuple(changed))


def _refuse_missing(known: Mapping[str, Field], row: Row, faults: Faults) -> None:
    for field in known.values():
        if field.required and field.name not in row.values:
            faults.add(row.place, f"{field.name}: is missing; it is {field.kind.rule}")


def _moved(resource: Resource, row: Row, stored: Stored, faults: Faults) -> Iterator[Changed]:
    """Yield the change of a row that belongs to somebody else than the file says; a fault where it cannot move."""
    if not stored.elsewhere and row.under == stored.under:
        return
    before: Any = stored.elsewhere or stored.under
    if resource.movable or (resource.parent and not stored.elsewhere):
        yield Changed(resource.parent or ACCOUNT, before, row.under)
    else:
        faults.add(row.place, f"belongs to {whose(before)} and stays there; its name is taken")


def left_out(catalogue: Mapping[str, Resource], wanted: Wanted, current: Current, *, prune: bool) -> Iterator[Change]:
    """Yield what the file leaves out of lists that it says; rows that belong to such a row go with it unnamed."""
    for at, stored in current.rows.items():
        if at not in wanted.rows and not stored.elsewhere and (at.resource, stored.under) in wanted.sections:
            reason = catalogue[at.resource].stays
            yield Change("remove" if prune and not reason else "stay", at, None, stored, reason=reason)


def _refuse_use_of_removed(wanted: Wanted, changes: Sequence[Change], faults: Faults) -> None:
    """Add a fault for each wanted row that names one that goes."""
    going = {change.at for change in changes if change.action == "remove"}
    for row in wanted.rows.values() if going else ():
        for name, value in row.values.items():
            if isinstance(value, Address) and value in going:
                faults.add(row.place, f"{name}: names what the file leaves out and --prune removes")


def whose(under: Any) -> str:
    """Return whom a row belongs to, for people."""
    if isinstance(under, Address):
        return f"{under.resource} {'@'.join(map(str, under.key))}"
    return f"account {under if isinstance(under, str) else '/'.join(under)}"
