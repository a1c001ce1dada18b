"""What a node has counted lately: traffic, times, carriers, tenants, refusals. Its agent counts, and says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from kemi.adapters import ksr_tally
from kemi.noc_command import Answer, Command, Desk, UsageError
from kemi.tally_answers import WINDOWS

USUAL: Final = "300"
ROWS: Final = 50
ROWS_MAX: Final = 10_000


def _whole(what: str, desk: Desk, words: Sequence[str]) -> Answer:
    """Answer a command that takes a window alone."""
    if len(words) > 1:
        raise UsageError("say a window and no more")
    return _published(desk, what, _window(words))


def _listed(what: str, desk: Desk, words: Sequence[str]) -> Answer:
    """Answer a command that takes a window and how many rows of each list are wanted, the busiest first."""
    if len(words) > 2:  # noqa: PLR2004  a window, a limit
        raise UsageError("say a window and a limit and no more")
    limit = _limit(words[1]) if len(words) > 1 else ROWS
    answer = _published(desk, what, _window(words))
    return {name: value[:limit] if isinstance(value, list) else value for name, value in answer.items()}


def _published(desk: Desk, what: str, window: str) -> Answer:
    found = ksr_tally.published(desk.ksr, what, window)
    return found if found is not None else {"error": "the node's agent has counted nothing yet; ask again in a second"}


def _window(words: Sequence[str]) -> str:
    window = words[0] if words else USUAL
    if window not in WINDOWS:
        raise UsageError(f"no window {window[:16]}: say one of {', '.join(WINDOWS)}")
    return window


def _limit(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) <= len(str(ROWS_MAX)) and 1 <= int(word) <= ROWS_MAX):
        raise UsageError(f"no limit {word[:16]}: say a number from 1 to {ROWS_MAX}")
    return int(word)


def _command(name: str, help_: str, answer: Callable[[str, Desk, Sequence[str]], Answer]) -> Command:
    limit = " [limit]" if answer is _listed else ""
    return Command(name, f"{name} [{'|'.join(WINDOWS)}]{limit}", help_, partial(answer, name))


COMMANDS: Final[tuple[Command, ...]] = (
    _command("traffic", "Say how many calls came, and what became of them.", _whole),
    _command("times", "Say how long workers took to read, decide, hold and send calls.", _whole),
    _command("carriers", "Say how carriers' servers did: attempts, answers, ASR, ACD, PDD, failures.", _listed),
    _command("tenants", "Say which accounts called most, and why calls of theirs were refused.", _listed),
    _command("refusals", "Say why calls were refused, and where those came from.", _listed),
)
