"""A YAML file as a tree that knows its lines, so that whatever is wrong with it can be shown where it stands.

Rule 1: a scalar stays the text that was written. YAML's own guesses (`no` is false, 0800 is octal, 0.10 is a float)
never touch a name, a number or a price; what a text means is decided by the field that it stands in.
Rule 2: the tree is built from events with bounds of its own, so that no file can exhaust the stack or the memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import yaml

from tools.errors import OperatorError

BYTES_MAX: Final = 16 * 1024 * 1024  # some 50,000 lines with their numbers; a node of the tree takes some 150 bytes
DEPTH_MAX: Final = 40  # 8 levels of accounts take 3 each
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})


class Text(NamedTuple):
    """A scalar as it was written. plain: without quotes. line: from 1."""

    value: str
    plain: bool
    line: int

    @property
    def is_null(self) -> bool:
        """Whether nothing was written, or YAML's word for it."""
        return self.plain and self.value in _NULLS


class Items(NamedTuple):
    """A list."""

    nodes: tuple[Node, ...]
    line: int


class Entries(NamedTuple):
    """A mapping, in the order of the file; no key occurs twice."""

    pairs: tuple[tuple[Text, Node], ...]
    line: int

    def get(self, key: str) -> Node | None:
        """Return what stands under a key, None where it is not there."""
        return next((node for name, node in self.pairs if name.value == key), None)


Node = Text | Items | Entries


class _UnreadableError(Exception):
    """What cannot be read, with its line."""

    def __init__(self, line: int, said: str) -> None:
        super().__init__(said)
        self.line = line


def read_file(path: Path) -> Node:
    """Return the tree of a file. Raises OperatorError: file, line and what is wrong there."""
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise OperatorError(f"{path}: {error.strerror}") from error
    if len(data) > BYTES_MAX:
        raise OperatorError(
            f"{path}: larger than {BYTES_MAX} bytes; import large price lists with `tandem import rates`"
        )
    try:
        return read_text(data.decode(), str(path))
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise OperatorError(f"{path}:{line}: has bytes that are no UTF-8") from error


def read_text(text: str, name: str) -> Node:
    """Return the tree of a YAML text. name: of the file, for errors. Raises OperatorError."""
    try:
        events = yaml.parse(text, Loader=yaml.CSafeLoader)
        return _document(events)
    except _UnreadableError as error:
        raise OperatorError(f"{name}:{error.line}: {error}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = 1 if mark is None else mark.line + 1
        said = " ".join(part for part in (error.context, error.problem) if part)
        raise OperatorError(f"{name}:{line}: no YAML: {said}") from error
    except yaml.YAMLError as error:  # a character that YAML does not know; its position counts characters
        line = text.count("\n", 0, getattr(error, "position", 0)) + 1
        raise OperatorError(f"{name}:{line}: no YAML: {getattr(error, 'reason', error)}") from error


def _document(events: Iterator[yaml.Event]) -> Node:
    found: Node | None = None
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if found is not None:
                raise _UnreadableError(_line(event), "a second document; a file describes one tenant")
            found = _node(next(events), events, 1)
    if found is None:
        raise _UnreadableError(1, "the file is empty")
    return found


def _node(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Node:
    line = _line(event)
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise _UnreadableError(line, "anchors (&) and aliases (*) are not used here: write the values out")
    if tag := getattr(event, "tag", None):
        raise _UnreadableError(line, f"tags such as {tag} are not used here")
    if depth > DEPTH_MAX:
        raise _UnreadableError(line, f"nested more than {DEPTH_MAX} deep")
    if isinstance(event, yaml.ScalarEvent):
        return Text(event.value, not event.style, line)
    if isinstance(event, yaml.SequenceStartEvent):
        nodes = []
        while not isinstance(inner := next(events), yaml.SequenceEndEvent):
            nodes.append(_node(inner, events, depth + 1))
        return Items(tuple(nodes), line)
    return _entries(line, events, depth)


def _entries(line: int, events: Iterator[yaml.Event], depth: int) -> Entries:
    pairs: list[tuple[Text, Node]] = []
    seen: dict[str, int] = {}
    while not isinstance(inner := next(events), yaml.MappingEndEvent):
        key = _node(inner, events, depth + 1)
        if not isinstance(key, Text):
            raise _UnreadableError(_line(inner), "a key is a plain word")
        if key.value in seen:
            raise _UnreadableError(key.line, f"key {key.value[:64]!r} is in line {seen[key.value]} already")
        seen[key.value] = key.line
        pairs.append((key, _node(next(events), events, depth + 1)))
    return Entries(tuple(pairs), line)


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1
