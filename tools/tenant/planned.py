"""The plan of a file: read, compared, with every name found and every fault with its line; and the plan in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from tools.printable import printable
from tools.session import Session
from tools.tenant import difference, prices
from tools.tenant.described import DECK, DESCRIBED, IMPORTED, NONE, PRICES, SECRET, default_of
from tools.tenant.difference import Change, Changed, Plan
from tools.tenant.document import Document, in_force
from tools.tenant.faults import Faults
from tools.tenant.given import hashed
from tools.tenant.model import ACCOUNT
from tools.tenant.passwords import Hashes
from tools.tenant.prices import PriceList
from tools.tenant.references import Names, called
from tools.tenant.remarks import of_file
from tools.tenant.stored import World, find_top, read_world, scope_of
from tools.tenant.stored_prices import RATES_MAX
from tools.tenant.world import Address, Outside

ASK_ABOVE: Final = 10  # removals; a slip of the pen seldom takes more than one, and a lost section takes them all

_SIGNS: Final = {"add": "+", "set": "~", "remove": "-", "stay": " "}
_VALUE_MAX: Final = 80


class Planned(NamedTuple):
    """A plan with what it is about. notes: what has to be said of rows, in words."""

    plan: Plan
    world: World
    names: Names
    notes: Mapping[Address, str]


def planned(acting: Session, document: Document, faults: Faults, *, prune: bool) -> Planned:
    """Return what has to change now. Raises OperatorError with all that the file may not want."""
    ((now,),) = acting.connection.execute("select now()").fetchall()
    wanted = in_force(document.wanted, now)
    scope = scope_of(wanted)
    world = read_world(acting.connection, find_top(acting, document), scope, _rates_max(document))
    left_out = difference.left_out(DESCRIBED, wanted, world.current, prune=prune)
    names = Names(acting.connection, world, scope, {change.at for change in left_out if change.action == "remove"})
    resolved = names.resolved(wanted, faults)
    given = hashed(acting.connection, resolved, world.current, faults)
    plan = difference.difference(DESCRIBED, given.wanted, world.current, faults, prune=prune)
    _refuse_unknown_imports(plan, faults)
    faults.check()
    notes = dict(given.notes)
    for at, said in of_file(given.wanted, world.current):
        notes[at] = f"{notes[at]}; {said}" if at in notes else said
    return Planned(_without_imported(plan), world, names, notes)


def _refuse_unknown_imports(plan: Plan, faults: Faults) -> None:
    """Add a fault for each deck that would begin without the prices that it says were imported."""
    for change in plan.of("add"):
        if change.row is not None and change.at.resource == DECK.name and change.row.values.get("prices") == IMPORTED:
            faults.add(change.row.place, f"prices: {IMPORTED!r} keeps those of a deck that is there, and there is none")


def _rates_max(document: Document) -> int:
    """Return up to how many rates a list is read: enough to compare with any list of the file."""
    said = [len(value.rates) for row in document.wanted.rows.values() for value in _lists(row.values)]
    return max([RATES_MAX, *said])


def _lists(values: Mapping[str, Any]) -> Iterator[PriceList]:
    yield from (value for value in values.values() if isinstance(value, PriceList))


def _without_imported(plan: Plan) -> Plan:
    """Return the plan without prices that stay what was imported."""
    changes = []
    for change in plan.changes:
        fields = tuple(changed for changed in change.fields if change.action != "set" or changed.after != IMPORTED)
        if fields or change.action != "set":
            changes.append(change._replace(fields=fields))
    return Plan(tuple(changes))


def why_ask(plan: Plan) -> str:
    """Return what a person should see before it happens; "" when there is nothing of that size."""
    removed = len(plan.of("remove"))
    if removed > ASK_ABOVE:
        return f"{removed} rows are removed"
    for change in plan.of("set"):
        for changed in change.fields:
            if not isinstance(changed.before, PriceList) or not changed.before.rates:
                continue
            after = changed.after if isinstance(changed.after, PriceList) else PriceList((), {})
            gone = prices.differences(changed.before, after)[2]
            if 2 * gone > len(changed.before.rates):
                return f"{label(change)} loses {gone} of {len(changed.before.rates)} prefixes"
    return ""


def lines(made: Planned) -> Iterator[str]:
    """Yield the plan for people, a line per row."""
    for change in made.plan.changes:
        said = [_field(made, change, changed) for changed in change.fields if _is_shown(change, changed)]
        note = f" ({made.notes[change.at]})" if change.action == "add" and change.at in made.notes else ""
        if change.action == "stay":
            said = [f"not in the file; {change.reason or '--prune removes it'}"]
        tail = f": {', '.join(said)}" if said else ""
        yield printable(f"{_SIGNS[change.action]} {label(change)}{tail}{note}")
    new = {change.at for change in made.plan.of("add")}
    for at, note in made.notes.items():
        if at not in new:
            yield printable(f"  {at.resource.replace('_', ' ')} {called(at)}: {note}")


def summary(made: Planned) -> str:
    """Return the plan in a sentence."""
    counts = {name: len(made.plan.of(name)) for name in ("add", "set", "remove", "stay")}
    stays = f"; {counts['stay']} not in the file stay" if counts["stay"] else ""
    return f"{counts['add']} to add, {counts['set']} to change, {counts['remove']} to remove{stays}"


def as_dict(made: Planned) -> dict[str, Any]:
    """Return the plan as programs read it; of passwords only that there is one."""
    return {
        "changes": [
            {
                "action": change.action,
                "resource": change.at.resource,
                "name": called(change.at),
                "account": "/".join(_owner(change)),
                "fields": {
                    changed.name: {
                        "before": _plain(made, changed, changed.before),
                        "after": _plain(made, changed, changed.after),
                    }
                    for changed in change.fields
                },
                "note": change.reason or made.notes.get(change.at, ""),
            }
            for change in made.plan.changes
        ],
    }


def label(change: Change) -> str:
    """Return what a person calls the row of a change, and whose it is."""
    words = DESCRIBED[change.at.resource].name.replace("_", " ")
    at = change.at
    whose = ""
    row = change.row or change.stored
    if row is not None and isinstance(row.under, Address):
        whose = f" of {row.under.resource.replace('_', ' ')} {called(row.under)}"
    elif at.resource != ACCOUNT and _owner(change):
        whose = f" of {'/'.join(_owner(change))}"
    return f"{words} {called(at)}{whose}"


def _owner(change: Change) -> tuple[str, ...]:
    row = change.row or change.stored
    return row.owner if row is not None else ()


def _is_shown(change: Change, changed: Changed) -> bool:
    """Whether a line says a field: of a new row not its name once more, and not what is as by default."""
    if change.action != "add":
        return True
    resource = DESCRIBED[change.at.resource]
    field = resource.field(changed.name)
    if field.kind is PRICES or field.kind is SECRET:
        return changed.after is not None
    return changed.name not in resource.named_by and changed.after != default_of(field)


def _field(made: Planned, change: Change, changed: Changed) -> str:
    name = changed.name.replace("_", " ")
    if isinstance(changed.after, Hashes):
        return f"{name} given" if change.action == "add" else f"another {name}"
    if isinstance(changed.after, PriceList):
        before = changed.before if isinstance(changed.before, PriceList) else None
        new, other, gone = prices.differences(before, changed.after)
        if change.action == "add":
            return f"{name} of {new} prefixes"
        return f"{name}: {new} new prefixes, {other} with another price, {gone} gone"
    after = _word(made, changed, changed.after)
    if change.action == "add":
        return f"{name} {after}"
    return f"{name} {_word(made, changed, changed.before)} → {after}"


def _word(made: Planned, changed: Changed, value: Any) -> str:
    plain = _plain(made, changed, value)
    text = "nothing" if plain in (None, "", []) else ",".join(plain) if isinstance(plain, list) else str(plain)
    if isinstance(plain, bool):
        text = "yes" if plain else "no"
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}…"


def _plain(made: Planned, changed: Changed, value: Any) -> Any:
    """Return a value without anything secret, and names for rows."""
    match value:
        case Hashes():
            plain: Any = "given"
        case PriceList():
            plain = prices.written(value)
        case Outside():
            plain = made.names.name(value)
        case Address():
            plain = called(value)
        case tuple():
            plain = "/".join(value)
        case None if changed.name in _PRICE_NAMES:
            plain = NONE
        case _:
            plain = value
    return plain


_PRICE_NAMES: Final = frozenset(
    field.name for resource in DESCRIBED.values() for field in resource.fields if field.kind is PRICES
)
