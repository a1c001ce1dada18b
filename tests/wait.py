"""The only way in which tests wait; the tools wait in the same way."""

from tools.wait import DeadlineError, until

__all__ = ["DeadlineError", "until"]
