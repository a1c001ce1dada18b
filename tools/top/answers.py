"""What nodes answer, asked again and again beside the page: a node that hangs holds nobody up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from tools import noc_sync
from tools.errors import OperatorError

Ask = Callable[[str, str], dict[str, Any]]
"""Asks a node: path of its control socket or its name, command. Raises OperatorError where there is no answer."""

STATUS: Final = "status"
QUESTIONS: Final = {
    "traffic": ("traffic 60",),
    "carriers": ("carriers 300 100",),
    "refusals": ("refusals 300 20",),
    "calls": ("calls limit=60", "calls"),
}
"""Beside the status: by name the ways to ask, the newest first. An older node knows fewer words."""

IGNORANT: Final = ("commands: ", "usage: ", "counted nothing yet")
"""What is in the words of a node that does not know a command or these arguments, or has just begun."""


class Node(NamedTuple):
    """What one node has answered. place: its control socket, or its name.

    sync: how its configuration stands, with the age that this had when the node answered. unknown: what it
    cannot tell. gone: why it does not answer, "" = it does.
    """

    place: str
    status: Mapping[str, Any] = {}
    answers: Mapping[str, Mapping[str, Any]] = {}
    sync: Mapping[str, Any] = {}
    unknown: frozenset[str] = frozenset()
    gone: str = ""
    is_asked: bool = True

    @property
    def name(self) -> str:
        """Return what the node calls itself, or else where it is asked."""
        return str((self.status.get("agent") or {}).get("node") or self.place)


def asked(ask: Ask, place: str) -> Node:
    """Ask a node all that the page shows."""
    try:
        status = ask(place, STATUS)
        told = {name: _first(ask, place, ways) for name, ways in QUESTIONS.items()}
    except (OperatorError, ValueError) as error:  # ValueError: what comes is no JSON
        return Node(place, gone=str(error))
    answers = {name: answer for name, answer in told.items() if answer is not None}
    return Node(place, status, answers, noc_sync.told(status.get("sync")), frozenset(QUESTIONS) - set(answers))


def _first(ask: Ask, place: str, ways: Sequence[str]) -> dict[str, Any] | None:
    """Return the first answer that is one; None where no way of asking is known there. Raises OperatorError."""
    for way in ways:
        try:
            return ask(place, way)
        except OperatorError as error:
            if not any(word in str(error) for word in IGNORANT):
                raise
    return None


class Asker:
    """Asks one node every so often, in a thread of its own that ends with the process.

    A node that is gone keeps its name on the page: the last that it told of itself.
    """

    def __init__(self, ask: Ask, place: str, every_s: float) -> None:
        self._ask = ask
        self._every_s = every_s
        self._wake = threading.Event()
        self.node = Node(place, is_asked=False)
        threading.Thread(target=self._go_on, daemon=True).start()

    def now(self) -> None:
        """Ask at once."""
        self._wake.set()

    def _go_on(self) -> None:
        while True:
            began = time.monotonic()
            found = asked(self._ask, self.node.place)
            self.node = found._replace(status=self.node.status) if found.gone else found
            self._wake.wait(max(0.0, self._every_s - (time.monotonic() - began)))
            self._wake.clear()
