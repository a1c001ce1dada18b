"""The one way in which a tool tells its user what is wrong."""

from __future__ import annotations


class OperatorError(Exception):
    """A user's mistake or an outside failure: printed as one sentence on stderr, exit 1, never a trace.

    The message names what is wrong, its value, and what to do.
    """


def not_set(name: str) -> OperatorError:
    """Return the error of a command that does not know where its stack is. name: of the variable."""
    return OperatorError(f"{name} is not set; `make up` starts a stack and writes it to .run/env")
