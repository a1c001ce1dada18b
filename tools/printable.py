"""Text that came from outside, as a terminal may have it: a note or a caller's name must not move the cursor."""

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


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
