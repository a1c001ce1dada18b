"""Runs `python -m tools.prove`."""

from __future__ import annotations

import sys

import typer

from tools.errors import OperatorError
from tools.prove.command import prove

if __name__ == "__main__":
    try:
        typer.run(prove)
    except OperatorError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(1)
