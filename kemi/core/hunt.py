"""After a failed attempt: the next candidate, or the answer to send up.

Rule 1: what the called party said is final; another carrier would reach the same person. What only the carrier said
is not.
Rule 2: a carrier's 401, 407 and 3xx are never relayed: they would make the caller send credentials, or a call that
nobody pays for, to somebody else.
Rule 3: when no candidate is left, the caller hears one thing, whatever the last carrier said of us.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from kemi.core.outcome import Target
from kemi.core.refusals import REFUSALS

STOP: Final[Mapping[int, str]] = MappingProxyType(
    {
        404: "Not Found",  # unallocated: Q.850 cause 1 wherever the call goes
        410: "Gone",  # the number has changed: cause 22
        480: "Temporarily Unavailable",  # it rang and nobody answered, or the phone is off: causes 18, 19, 20
        484: "Address Incomplete",  # digits are missing: cause 28
        485: "Ambiguous",  # the far end knows several such people
        486: "Busy Here",  # cause 17
        487: "Request Terminated",  # the caller hung up
        600: "Busy Everywhere",
        603: "Decline",
        604: "Does Not Exist Anywhere",
        606: "Not Acceptable",
        607: "Unwanted",  # RFC 8197
        608: "Rejected",  # RFC 8688
    }
)
"""Status -> phrase of the answers that end a hunt. All others let it go on, and so do causes that we do not know:

400, 405, 413 … 421, 488, 493: this carrier's stack or codecs; another one may take the same offer.
401, 402, 403, 407: this carrier does not want us; the called party was never asked.
408: nobody answered at all. (A phone that rang too long is told to the hunt as 480.)
482, 483: a loop behind this carrier. 5xx: the carrier has a problem. 3xx: see rule 2.
"""

_GLOBAL_FAILURE: Final = 600


def after_failure(targets: tuple[Target, ...], tried: int, status: int) -> Target | tuple[int, str]:
    """Return the target to try next, or the final (status, phrase) for the caller.

    tried: how many of `targets` have been tried, the failed one included. status: what that one answered; 408 when
    nothing came back, 480 when it rang until the ringing time was over.
    """
    if status >= _GLOBAL_FAILURE:  # RFC 3261 §21.6: no other place either
        return (status, STOP[status]) if status in STOP else (_GLOBAL_FAILURE, STOP[_GLOBAL_FAILURE])
    if status in STOP:
        return status, STOP[status]
    if 0 <= tried < len(targets):
        return targets[tried]
    is_phone = bool(targets) and targets[-1].kind == "local"
    final = REFUSALS["offline" if is_phone else "carriers_failed"]
    return final.status, final.phrase
