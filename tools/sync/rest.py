"""How the syncer waits for commits, and how it spares them the NOTIFY while it is awake anyway.

Postgres lets commits that notify through one by one: from the notification until the disk has it they hold a lock of
the whole database, so they cannot share an fsync. So triggers notify only while the syncer sleeps. It says so by
holding LOCK_ID; whoever writes to the outbox and gets that lock, shared and until the end of the transaction, does
not notify. The syncer, in turn, cannot fall asleep while such a transaction is under way, and naps instead: no commit
is slept through.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from typing import Any, Final

import psycopg

CHANNEL: Final = "tandem_outbox"
LOCK_ID: Final = 0x7A4DE500  # as in migration 0060; the last two digits are the cell
NAP_S: Final = 0.002  # then longer and longer: somebody's transaction may be open for hours
NAP_MAX_S: Final = 0.02
BELL_BYTES: Final = 4_096


class Bell:
    """Wakes the syncer from another thread."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._ours.setblocking(False)
        self._theirs.setblocking(False)

    def ring(self) -> None:
        """Wake it, or keep it from falling asleep. Any thread may, also when nobody listens any more."""
        with suppress(OSError):  # it is full of rings, or closed
            self._theirs.send(b"!")

    def fileno(self) -> int:
        """Return what can be read after a ring."""
        return self._ours.fileno()

    def hush(self) -> None:
        """Forget the rings so far."""
        with suppress(OSError):
            self._ours.recv(BELL_BYTES)

    def close(self) -> None:
        """Listen no more."""
        self._ours.close()
        self._theirs.close()


class Rest:
    """What one connection does between two looks at the outbox. Every method may raise psycopg.Error."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        self._sleeps = False
        self._nap_s = NAP_S
        self._bell: Bell | None = None

    def close(self) -> None:
        """Hear no more rings."""
        if self._bell:
            self._bell.close()

    def ring(self) -> None:
        """Let `wait` return now: another thread has something for this one. What it has is looked for after a ring."""
        if self._bell:  # without one nobody has slept yet
            self._bell.ring()

    def wait(self, seconds: float) -> bool:
        """Return at the next commit that wrote to the outbox, at a ring, or after `seconds`; True: the outbox is news.

        Only after a look that found nothing. It returns at once, and True, where it has just said that it sleeps: what
        came between that look and now is to be found.
        """
        if self._bell is None:
            self._bell = Bell()  # before the look that follows: what is rung for until then is found by that
        if self._sleeps:
            if self._is_told():  # what came with the answer to another command can be read nowhere else
                return True
            select.select((self._connection.fileno(), self._bell.fileno()), (), (), seconds)
            self._bell.hush()
            return self._is_told()
        if not self._fall_asleep():
            time.sleep(self._nap_s)
            self._nap_s = min(2 * self._nap_s, NAP_MAX_S)
        return True

    def _is_told(self) -> bool:
        """Tell whether a commit has notified since the last time, without waiting."""
        return bool(list(self._connection.notifies(timeout=0)))

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
