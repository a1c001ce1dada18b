"""What `tandem` itself is: `tandem --version`, and what it says of an option that there is not."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated, Any, Final

import typer
from typer._click.exceptions import NoSuchOption  # typer names it nowhere else
from typer.core import TyperGroup

NEAR: Final = 0.7  # of the letters; typer counts the hyphens, too, and finds anything alike


class Tandem(TyperGroup):
    """The command: of options that look like a wrong one it names the nearest, or none."""

    def invoke(self, ctx: Any) -> Any:
        """Run a sub-command. Raises NoSuchOption without silly suggestions."""
        try:
            return super().invoke(ctx)
        except NoSuchOption as error:
            named = {each.lstrip("-"): each for each in error.possibilities or ()}
            near = get_close_matches(error.option_name.lstrip("-"), named, 1, NEAR)
            error.possibilities = [named[each] for each in near]
            raise


def _say(*, asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # noqa: PLC0415  no other command needs it

        typer.echo(f"tandem {version('tandem')}")
        raise typer.Exit


Version = Annotated[
    bool,
    typer.Option("--version", is_eager=True, callback=lambda asked: _say(asked=asked), help="Say which version it is."),
]


def tandem(*, asked: Version = False) -> None:
    """Do nothing more: the option has been heard."""
