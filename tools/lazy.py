"""Sub-commands that are imported when they are called: a start pays for one command, not for all of them.

A table names each with the place where it stands and its line in the help. What is mounted is a stand-in, which knows
just these; as soon as typer wants the context of a command (to run it, for its own help, to complete its words) the
real one is imported and takes over. So help, errors and completion are the real command's, as if it had been there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

import typer
from typer.core import TyperCommand
from typer.main import get_command


class Lazy(NamedTuple):
    """One sub-command. where: module:attribute, a function, a Typer, or a mapping from names to these.

    help: what it says of itself in its first paragraph, on one line; a test compares them.
    """

    name: str
    where: str
    help: str


def mount(app: typer.Typer, table: Iterable[Lazy]) -> None:
    """Add the sub-commands to an app, in their order; nothing is imported."""
    for each in table:
        app.command(each.name, cls=_stand_in(each), help=each.help)(_never)


def real(lazy: Lazy) -> Any:
    """Import a sub-command and return it as typer makes it. A typo: ImportError, AttributeError or KeyError."""
    module, _, attribute = lazy.where.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, Mapping):
        found = found[lazy.name]
    around = typer.Typer(add_completion=False)
    around.callback()(_never)  # with it this is a group, even around a single command
    if isinstance(found, typer.Typer):
        around.add_typer(found, name=lazy.name)
    else:
        around.command(lazy.name)(found)
    return get_command(around).commands[lazy.name]  # type: ignore[attr-defined]  # typer tells no groups apart


def _stand_in(lazy: Lazy) -> type[TyperCommand]:
    """Return the class of a stand-in: typer makes commands from classes."""

    class StandIn(TyperCommand):
        """Name and line of a sub-command until it is called."""

        def make_context(self, *args: Any, **extra: Any) -> Any:
            """Return the context of the real command: whoever runs, completes or explains goes by that."""
            return real(lazy).make_context(*args, **extra)

    return StandIn


def _never() -> None:
    """Do nothing: stands where typer wants a function, and is not what is called."""
