"""Shell completion: names of rows by the beginning that was typed, and the words that a field knows.

Rule: completion never fails and never writes: without a database, or on any error, it offers nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

import typer

from tools.errors import OperatorError
from tools.session import session
from tools.tenant.model import Field, Resource
from tools.tenant.read import names

OFFERED: Final = 50

Completion = Callable[[typer.Context, str], list[str]]


def rows(of: Resource) -> Completion:
    """Return what completes the name of a row, of those that the acting account sees."""

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:
        as_account = str(ctx.params.get("as_account") or os.environ.get("TANDEM_AS") or "")
        database_url = str(ctx.params.get("database_url") or os.environ.get("DATABASE_URL") or "")
        first = incomplete.split(of.joint, maxsplit=1)[0] if of.joint else incomplete
        try:
            with session(database_url, as_account=as_account, program="tandem completion") as acting:
                found = names(acting.connection, of, first, OFFERED)
        except OperatorError:
            return []
        return [name for name in dict.fromkeys(found) if name.startswith(incomplete)]

    return complete


def words_of(field: Field) -> Completion | None:
    """Return what completes a value of a field that knows its words; None for any other."""
    words = ["yes", "no"] if field.kind.schema.get("type") == "boolean" else field.kind.schema.get("enum")
    if not words:
        return None

    def complete(ctx: typer.Context, incomplete: str) -> list[str]:  # noqa: ARG001  typer calls it so
        return [word for word in words if word and word.startswith(incomplete)]

    return complete
