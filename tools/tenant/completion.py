"""Shell completion: names of rows by the beginning that was typed, and the words that a field knows.

Rule 1: completion never fails and never writes: without a database, or on any error, it offers nothing.
Rule 2: what is offered is typed as it stands: bash puts it into the line, so it is quoted for bash.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable
from typing import Final

import typer

from tools.errors import OperatorError
from tools.session import Connection, session
from tools.tenant.model import Field, Resource
from tools.tenant.read import names

OFFERED: Final = 50
_BASH: Final = "complete_bash"  # what typer's script for bash says in _TANDEM_COMPLETE


class _ForBash(str):
    """A word as bash reads it. Typer would compare it with what was typed, which has lost its quotes on the way."""

    __slots__ = ()

    def startswith(self, *_: object) -> bool:
        """Return True: it was compared before it got its quotes."""
        return True


Completion = Callable[[typer.Context, str], list[str]]


def rows(of: Resource) -> Completion:
    """Return what completes the name of a row, of those that the acting account sees."""

    def found(connection: Connection, incomplete: str) -> list[str]:
        first = incomplete.split(of.joint, maxsplit=1)[0] if of.joint else incomplete
        return names(connection, of, first, OFFERED)

    return asked(found)


def asked(find: Callable[[Connection, str], Iterable[str]]) -> Completion:
    """Return what completes a text out of the database. find: gives words for a beginning; more than fit is no harm."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        as_account = str(ctx.params.get("as_account") or os.environ.get("TANDEM_AS") or "")
        database_url = str(ctx.params.get("database_url") or os.environ.get("DATABASE_URL") or "")
        try:
            with session(database_url, as_account=as_account, program="tandem completion") as acting:
                return _offered(find(acting.connection, incomplete), incomplete)
        except OperatorError:
            return []

    return complete


def chosen(*words: str) -> Completion:
    """Return what completes one of these words, the last of several with commas between them, too."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001  typer calls it so
        before = incomplete[: incomplete.rfind(",") + 1]
        return _offered((f"{before}{word}" for word in words if word), incomplete)

    return complete


def words_of(field: Field) -> Completion | None:
    """Return what completes a value of a field that knows its words; None for any other."""
    schema = field.kind.schema
    words = ["yes", "no"] if schema.get("type") == "boolean" else schema.get("enum") or schema.get("examples")
    return chosen(*words) if words else None


def _offered(words: Iterable[str], incomplete: str) -> list[str]:
    """Return the words that begin so, each once and as the shell wants to read it."""
    found = [word for word in dict.fromkeys(words) if word.startswith(incomplete)]
    if os.environ.get("_TANDEM_COMPLETE") != _BASH or _in_quotes(os.environ.get("COMP_WORDS", "")):
        return found
    return [_ForBash("".join(_escaped(each) for each in word)) for word in found]


def _in_quotes(line: str) -> bool:
    """Whether the line ends within quotes: then bash closes them behind what is offered."""
    try:
        shlex.split(line.rstrip("\\"))
    except ValueError:
        return True
    return False


def _escaped(character: str) -> str:
    """Return a character as it stands in a word of bash."""
    return character if character.isalnum() or character in "@%+=:,./_-" else f"\\{character}"
