"""How the syncer waits for commits, and how it spares them the NOTIFY while it is awake anyway.

Postgres lets commits that notify through one by one: from the notification until the disk has it they hold a lock of
the whole database, so they cannot share an fsync. So triggers notify only while the syncer sleeps. It says so by
holding LOCK_ID; whoever writes to the outbox and gets that lock, shared and until the end of the transaction, does
not notify. The syncer, in turn, cannot fall asleep while such a transaction is under way, and naps instead: no commit
is slept through.
"""

from __future__ import annotations

import time
from typing import Any, Final

import psycopg

CHANNEL: Final = "tandem_outbox"
LOCK_ID: Final = 0x7A4DE500  # as in migration 0060; the last two digits are the cell
NAP_S: Final = 0.002  # then longer and longer: somebody's transaction may be open for hours


class Rest:
    """What one connection does between two looks at the outbox. Every method may raise psycopg.Error."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._sleeps = False
        self._nap_s = NAP_S

    def wait(self, seconds: float) -> None:
        """Return at the next commit that wrote to the outbox, or after `seconds`; only after a look that found nothing.

        It returns at once where it has just said that it sleeps: what came between that look and now is to be found.
        """
        if self._sleeps:
            for _ in self._connection.notifies(timeout=seconds, stop_after=1):
                pass
        elif not self._fall_asleep():
            time.sleep(self._nap_s)
            self._nap_s = min(2 * self._nap_s, seconds)

    def wake(self) -> None:
        """Spare committers the NOTIFY from now on: the next look comes anyway. Not within a transaction."""
        self._nap_s = NAP_S
        if self._sleeps:
            self._connection.execute("SELECT pg_advisory_unlock(%s)", (LOCK_ID,))
            self._sleeps = False

    def _fall_asleep(self) -> bool:
        row = self._connection.execute("SELECT pg_try_advisory_lock(%s)", (LOCK_ID,)).fetchone()
        self._sleeps = bool(row and row[0])
        return self._sleeps
