"""What a SIP status is called: the reason phrases of RFC 3261 §21 and of those that have added to it."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

PHRASES: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "Bad Request",
        402: "Payment Required",
        403: "Forbidden",
        404: "Not Found",
        405: "Method Not Allowed",
        406: "Not Acceptable",
        408: "Request Timeout",
        410: "Gone",
        413: "Request Entity Too Large",
        414: "Request-URI Too Long",
        415: "Unsupported Media Type",
        416: "Unsupported URI Scheme",
        420: "Bad Extension",
        421: "Extension Required",
        423: "Interval Too Brief",
        433: "Anonymity Disallowed",  # RFC 5079
        480: "Temporarily Unavailable",
        481: "Call/Transaction Does Not Exist",
        482: "Loop Detected",
        483: "Too Many Hops",
        484: "Address Incomplete",
        485: "Ambiguous",
        486: "Busy Here",
        487: "Request Terminated",
        488: "Not Acceptable Here",
        491: "Request Pending",
        493: "Undecipherable",
        500: "Server Internal Error",
        501: "Not Implemented",
        502: "Bad Gateway",
        503: "Service Unavailable",
        504: "Server Time-out",
        505: "Version Not Supported",
        513: "Message Too Large",
        600: "Busy Everywhere",
        603: "Decline",
        604: "Does Not Exist Anywhere",
        606: "Not Acceptable",
        607: "Unwanted",  # RFC 8197
        608: "Rejected",  # RFC 8688
    }
)
CLASSES: Final[Mapping[int, str]] = MappingProxyType({4: "Request Failure", 5: "Server Failure", 6: "Global Failure"})


def phrase_of(status: int) -> str:
    """Return the phrase of a final failure, or what its class is called where it has none; "" of all other statuses."""
    return PHRASES.get(status) or CLASSES.get(status // 100, "")
