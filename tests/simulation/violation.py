"""What the oracle says when a promise is broken."""

from __future__ import annotations


class Violation(BaseException):
    """A promise was broken. check: its short name, e.g. "I1 hold".

    No Exception: our code handles those, and would go on.
    """

    def __init__(self, check: str, text: str) -> None:
        super().__init__(f"{check}: {text}")
        self.check = check


def require(check: str, holds: bool, text: str) -> None:
    """Raise Violation unless `holds`."""
    if not holds:
        raise Violation(check, text)
