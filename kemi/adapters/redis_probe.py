"""Looks after Redis for a whole node: one question at a time on a connection of its own, never waited for.

Rule 1: the answer to a question is looked for in the next turn, so a stalled Redis costs the agent nothing.
Rule 2: the flag is cleared only by an answer that came after it was seen: an older one says nothing.
Rule 3: an answer over a connection from before an outage says that Redis is up, and nothing of what stands in it.
Rule 4: only connecting waits, for the time-out of a call at most, and at most every RETRY_S.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from redis.exceptions import RedisError

from kemi.adapters.redis_client import Flag, Reply
from kemi.adapters.redis_place import Argument, Place, Seconds, Wire

RETRY_S: Final = 0.2
GIVE_UP_S: Final = 0.5
"""After so long without an answer the connection is made anew: behind it may be a machine that is gone."""


class Probe:
    """The prober of a node. place: where the workers' clients connect. timeout_s: how long a call waits there.

    question: a command that only reads, and costs no more than a PING.
    """

    def __init__(
        self,
        place: Place,
        timeout_s: float,
        flag: Flag,
        clock: Seconds = time.monotonic,
        question: Sequence[Argument] = ("PING",),
    ) -> None:
        """Touch nothing yet."""
        self._question = question
        self._place = place
        self._timeout_s = timeout_s
        self._flag = flag
        self._clock = clock
        self._wire: Wire | None = None
        self._outage = ""
        self._asked_at = 0.0
        self._connect_at = 0.0
        self._was_set = False

    def turn(self) -> Reply | None:
        """Do the probing of a turn of the agent (50 ms): set the flag while Redis is down, clear it when it answers.

        Return the answer that has come, of a question of the turn before, if it is one.
        """
        now = self._clock()
        answer = None
        try:
            if self._wire is None:
                self._connect(now)
            elif self._wire.can_read(0):
                answer = self._wire.read_response()
                if self._was_set:
                    self._flag.clear()
                if self._flag.outage() != self._outage:  # another server may be the master since
                    answer, self._connect_at = None, 0.0
                    self.close()
                    self._connect(now)
                else:
                    self._ask(self._wire)
            elif now - self._asked_at > self._timeout_s:
                self._flag.set()
                if now - self._asked_at > GIVE_UP_S:
                    self.close()
        except (RedisError, OSError):
            self.close()
            self._flag.set()
        self._was_set = self._flag.is_set()
        return answer

    def close(self) -> None:
        """Drop the connection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.disconnect()

    def _connect(self, now: float) -> None:
        """Connect when it is time for it again. Until there is a connection Redis counts as down."""
        if now < self._connect_at:
            self._flag.set()
            return
        self._connect_at = now + RETRY_S
        self._outage = self._flag.outage()
        self._wire = self._place.connect(now + self._timeout_s, self._clock)
        self._ask(self._wire)

    def _ask(self, wire: Wire) -> None:
        wire.send_packed_command(wire.pack_commands([self._question]), check_health=False)
        self._asked_at = self._clock()
