"""Text as people read it: what came from outside must not move the cursor, and 1 line is no 1 lines."""

from __future__ import annotations

import unicodedata
from typing import Final

# Controls, what turns the direction of writing or shows nothing, lone surrogates, and line and paragraph ends.
_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    r"""Return text with everything that a terminal would obey instead of show as \x1b, \u202e ….

    A backslash of the text stays one: what is shown is for people, programs read JSON.
    """
    return "".join(
        _escaped(character) if unicodedata.category(character) in _UNSEEN else character for character in text
    )


def counted(number: int, noun: str) -> str:
    """Return so many things: 1 line, 2 lines, 1,200 lines."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
