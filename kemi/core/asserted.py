"""Identity headers as others write them: P-Asserted-Identity and its kin, Remote-Party-ID, Diversion.

Rule 1: nothing here raises, and nothing here believes: whether a sender may assert anything is decided in caller_id.
Rule 2: a header is a list (a SIP and a tel URI of one person, several diversions); a display name in quotes is never
read, whatever it holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from kemi.core.request import SipUri
from kemi.core.uri import parse_uri

HEADER_MAX: Final = 1_024  # characters of all headers of one name; of so many the last value may have been cut
VALUES_MAX: Final = 8  # addresses of one header; RFC 3325 allows two, a diverted call has one each time
HIDDEN: Final = ("full", "uri")  # privacy of Remote-Party-ID and Diversion that hides the address
REASONS: Final = frozenset(
    (
        "unknown",
        "user-busy",
        "no-answer",
        "unavailable",
        "unconditional",
        "time-of-day",
        "do-not-disturb",
        "deflection",
        "follow-me",
        "out-of-service",
        "away",
    )
)
"""Why a call was diverted: RFC 5806 §4.1."""

_DISPLAY_NAME: Final = re.compile(r'\s*"(?:[^"\\]|\\.)*"\s*', re.DOTALL)
_PARAMETER: Final = re.compile(
    r';\s*(party|privacy|reason|counter)\s*=\s*"?([a-z0-9-]{1,32})', re.ASCII | re.IGNORECASE
)
_COUNTER: Final = re.compile(r"[1-9][0-9]?", re.ASCII)


class Party(NamedTuple):
    """One address of an identity header. role: "calling", "called" or "", as Remote-Party-ID says it.

    reason, counter: of a diversion; "unknown" and 0 where it gives none that is known.
    """

    uri: SipUri
    is_hidden: bool = False
    role: str = ""
    reason: str = "unknown"
    counter: int = 0


def parties(header_value: str) -> tuple[Party, ...]:
    """Return the addresses of an identity header that can be read (`"Name" <sip:…>;…`, `<sip:…>`, `tel:…`), in order.

    header_value: the values of all headers of the name, separated by commas; () when that is 1 024 characters or more.
    """
    if not header_value or len(header_value) >= HEADER_MAX:
        return ()
    found = (_party(value) for value in _values(header_value))
    return tuple(party for party in found if party is not None)[:VALUES_MAX]


def asserted_uri(header_value: str) -> SipUri | None:
    """Return the first URI of an identity header, None when it has none."""
    found = parties(header_value)
    return found[0].uri if found else None


def _party(value: str) -> Party | None:
    bare = _DISPLAY_NAME.sub("", value, count=1) if value.lstrip().startswith('"') else value
    _, bracket, rest = bare.partition("<")
    text, closing, after = rest.partition(">") if bracket else (bare, ">", "")
    uri = parse_uri(text.strip())
    if uri is None or not closing:
        return None
    said = {match[1].lower(): match[2].lower() for match in _PARAMETER.finditer(after)}
    reason, counter = said.get("reason", ""), said.get("counter", "")
    return Party(
        uri,
        is_hidden=said.get("privacy", "").startswith(HIDDEN),
        role=said.get("party", ""),
        reason=reason if reason in REASONS else "unknown",
        counter=int(counter) if _COUNTER.fullmatch(counter) else 0,
    )


def _values(header_value: str) -> Iterator[str]:
    """Yield what stands between commas that are neither in quotes nor in angle brackets."""
    if "," not in header_value:
        yield header_value
        return
    start, is_quoted, is_escaped, is_inside = 0, False, False, False
    for at, character in enumerate(header_value):
        if is_quoted:
            is_quoted = is_escaped or character != '"'
            is_escaped = not is_escaped and character == "\\"
        elif character == '"':
            is_quoted, is_escaped = True, False
        elif character in "<>":
            is_inside = character == "<"
        elif character == "," and not is_inside:
            yield header_value[start:at]
            start = at + 1
    yield header_value[start:]
