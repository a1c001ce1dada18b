"""After the last caller has hung up: the records come, and calls that nobody ended are ended and told."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import psycopg

from tools.load.kamcmd import Control
from tools.load.records import EXAMPLES, Finding, Record, read
from tools.wait import DeadlineError, until

SOON_S: Final = 10.0  # a BYE that was lost comes again within 4 s
RECORDS_S: Final = 60.0  # the longest that the last record is waited for


def written(database_url: str, control: Control, label: str, due: frozenset[str]) -> tuple[list[Record], list[Finding]]:
    """Return the records of calls whose Call-ID begins with `label`, and whether calls went on.

    due: Call-IDs of which there must be one. What is missing in the end is for others to say. Raises OperatorError when
    the node does not answer.
    """
    found: list[Record] = []
    with psycopg.connect(database_url, autocommit=True) as database:

        def is_complete() -> bool:
            found[:] = read(database, label)
            return due <= {record.call_id for record in found}

        with suppress(DeadlineError):
            until(lambda: is_complete() and not _going_on(control, label), SOON_S, "the calls to be over")
        ended = end(control, label)
        with suppress(DeadlineError):
            until(is_complete, RECORDS_S, "the records of the calls")
    return found, _told(ended)


def end(control: Control, label: str) -> list[str]:
    """End what goes on of calls whose Call-ID begins with `label`, and return the Call-IDs. Raises OperatorError."""
    seen: dict[str, str] = {}
    ending: set[str] = set()

    def is_over() -> bool:
        here = _going_on(control, label)
        ending.update(rid for rid in here.keys() - ending if control.end(rid))  # who is called now is asked again
        seen.update(here)
        return not here

    with suppress(DeadlineError):
        until(is_over, RECORDS_S, "the calls to end")
    return sorted(seen.values())


def _going_on(control: Control, label: str) -> dict[str, str]:
    """Return rid and Call-ID of each call of this run that is not over."""
    return {call["rid"]: call["call_id"] for call in control.calls() if call["call_id"].startswith(label)}


def _told(ended: list[str]) -> list[Finding]:
    if not ended:
        return []
    told = f"{len(ended)} calls went on when all callers were gone: the NOC's command ended them"
    return [Finding("went_on", len(ended), told, tuple(ended[:EXAMPLES]))]
