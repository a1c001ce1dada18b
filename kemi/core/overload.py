"""How many new calls a node takes while it is asked more than it can do. Values in, values out.

Rule 1: what says so is how long a datagram waits in the SIP socket: of CPU, Redis or a busy neighbour it tells alike.
Rule 2: additive increase, multiplicative decrease of what is let in, once for each measurement. A measurement is one
datagram's way through the queue, so nothing is lowered twice for one queue (as TCP's windows, RFC 5681 §3.1).
Rule 3: one long wait is forgiven: a machine that stood still for a moment is not overloaded.
Rule 4: strangers go first. Who comes back with the answer to our challenge has cost us half of his call already.
Rule 5: what must pass, passes so often from one address and no more: nobody has so many emergencies, or phones.
"""

from __future__ import annotations

from typing import Final, NamedTuple

ALL: Final = 1.0
LEAST: Final = 0.01  # of the strangers: enough to see that it is over
STRANGERS_FIRST: Final = 0.1  # below this share of the strangers let in, known callers are shed too
MORE: Final = 0.02  # let in more, each time that nothing waits
LESS_MAX: Final = 0.6  # no measurement lowers what is let in by more
LESS: Final = 0.03  # for each bearable wait: a queue must grow no more, but never run empty either
PASSED_S: Final = 10  # within which these are counted
PASSED_MAX: Final = 5_000  # calls for help, and as many REGISTERs of registered phones, of an address
QUIET: Final = 0.5  # of the bearable wait: between this and the whole, all stays as it is


class Load(NamedTuple):
    """How it stands. admitted: share of the new calls that is let in. long_waits: too long ones in a row."""

    admitted: float = ALL
    long_waits: int = 0

    @property
    def is_shedding(self) -> bool:
        """Tell whether any call is shed."""
        return self.admitted < ALL


def after(load: Load, waited_ms: float, bearable_ms: float) -> Load:
    """Return how it stands after a measurement. waited_ms: of one datagram. bearable_ms > 0: no reason to shed."""
    if waited_ms <= bearable_ms:
        more = MORE if waited_ms <= QUIET * bearable_ms else 0.0
        return Load(min(ALL, load.admitted + more))
    if not load.is_shedding and not load.long_waits:
        return load._replace(long_waits=1)
    factor = max(LESS_MAX, ALL - LESS * waited_ms / bearable_ms)
    return Load(max(LEAST, load.admitted * factor), load.long_waits + 1)


def is_shed(admitted: float, draw: float, *, is_known: bool) -> bool:
    """Tell whether a new call is refused at once. draw: from 0 to below 1, another one for each call.

    is_known: it answers a challenge of ours, rightly or wrongly.
    """
    return draw >= (min(ALL, admitted / STRANGERS_FIRST) if is_known else admitted)
