"""The text of a world: one line a thing, as an engineer would note it down.

    account cust under dave  33=0.050 routing=cost,priority

A line is a kind, a name, and what is said of it: `key=value`, a word with its object (`of root`, `under dave`), a flag
(`stopper`), or bare values in order. README.md lists the kinds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

KINDS: Final = frozenset(
    (
        *("account", "domain", "line", "number", "source", "rewrite", "carrier", "server", "rule", "inbound"),
        *("timeset", "barring", "bars", "ported", "destination", "emergency", "exchange"),
        *("user", "group", "flow", "step", "forward", "extension", "media"),
    )
)
OBJECTS: Final = frozenset(("of", "under", "is", "in", "to", "only", "leads", "on"))
FLAGS: Final = frozenset(
    ("stopper", "block", "may_return", "hidden", "spares_internal", "whitelist", "dnd", "skip_busy", "counted")
)

_FIELD: Final = re.compile(r"([a-z0-9_]+)=(.*)", re.DOTALL)
_COMMENT: Final = re.compile(r"(^|\s{2,})# .*$")


class TextError(Exception):
    """A line of the corpus cannot be read; the message says which and why."""


class Entity(NamedTuple):
    """One thing of a world. values: bare words in order; fields: all that has a name."""

    kind: str
    name: str
    values: tuple[str, ...]
    fields: dict[str, str]

    def text(self, key: str, default: str = "") -> str:
        """Return a field as written."""
        return self.fields.get(key, default)

    def number(self, key: str, default: int = 0) -> int:
        """Return a field as a whole number."""
        return int(self.fields.get(key) or default)

    def yes(self, key: str, *, default: bool = False) -> bool:
        """Return a field that is yes or no."""
        word = self.fields.get(key) or ("yes" if default else "no")
        if word not in ("yes", "no"):
            raise TextError(f"{self.kind} {self.name}: {key}={word} is neither yes nor no")
        return word == "yes"

    def items(self, key: str) -> tuple[str, ...]:
        """Return a field that is a list with commas."""
        return tuple(part for part in self.text(key).split(",") if part)

    def by_prefix(self, mark: str = "") -> dict[str, str]:
        """Return the fields named by digits behind `mark`: prices."""
        found = ((key.removeprefix(mark), value) for key, value in self.fields.items() if key.startswith(mark))
        return {key: value for key, value in found if key.isdecimal() and value}


Entities = dict[tuple[str, str], Entity]
"""Kind and name -> thing, in the order of the text."""


def parse(lines: Iterable[str], before: Entities) -> Entities:
    """Return what `before` has and the lines add; a line about something that is there replaces what it says of it."""
    found = dict(before)
    for line in lines:
        text = uncommented(line)
        if not text:
            continue
        entity = _entity(text)
        old = found.get((entity.kind, entity.name))
        if old is not None:
            entity = entity._replace(values=entity.values or old.values, fields=old.fields | entity.fields)
        found[entity.kind, entity.name] = entity
    return found


def changed(entities: Entities, changes: Iterable[tuple[str, str, str]]) -> Entities:
    """Return the same with some fields changed: (thing, field, value); the field "" takes the thing away."""
    found = dict(entities)
    for name, field, value in changes:
        key = find(found, name)
        if field:
            found[key] = found[key]._replace(fields=found[key].fields | {field: value})
        else:
            del found[key]
    return found


def find(entities: Entities, name: str) -> tuple[str, str]:
    """Return the one thing called so: its name, its kind and name (`rule30`), or the user of a line."""
    fitting = [key for key in entities if name in _names(key)]
    if len(fitting) != 1:
        raise TextError(f"{len(fitting)} things are called {name}: {fitting}")
    return fitting[0]


def uncommented(line: str) -> str:
    """Return a line without what stands behind `#`, when at its beginning or after two spaces."""
    return _COMMENT.sub("", line).strip()


def _names(key: tuple[str, str]) -> Iterator[str]:
    kind, name = key
    if not name.isdecimal():
        yield name
    yield kind + name
    if kind == "line":
        yield name.partition("@")[0]


def _entity(text: str) -> Entity:
    try:
        kind, name, *rest = shlex.split(text)
    except ValueError as error:
        raise TextError(f"{text}: {error}") from error
    if kind not in KINDS:
        raise TextError(f"{text}: {kind} is no kind of thing")
    fields: dict[str, str] = {}
    values: list[str] = []
    words = iter(rest)
    for word in words:
        field = _FIELD.fullmatch(word)
        if field:
            fields[field[1]] = field[2]
        elif word in OBJECTS:
            fields[word] = next(words, "")
        elif word in FLAGS:
            fields[word] = "yes"
        else:
            values.append(word)
    return Entity(kind, name, tuple(values), fields)
