"""What a REGISTER gets: how long each contact is kept, how many there may be, and from where.

Source: RFC 3261 §10.3. Rule 1: who asks for too much gets what there is; who asks for too little is told how much it
takes. Rule 2: what is no number counts as an hour, as there.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Final

from kemi.core.request import CallRequest
from kemi.records import Subscriber
from kemi.settings import Limits

CONTACTS_MAX: Final = 30  # of any line: a call has no more branches
DEFAULT_S: Final = 3_600  # where a phone says nothing, or nothing that can be read
DIGITS_MAX: Final = 10  # 2^32 - 1 is the most that may be said


def contacts_max(subscriber: Subscriber, limits: Limits) -> int:
    """Return how many phones a line may have registered."""
    return min(subscriber.contacts_max or limits.contacts_max, CONTACTS_MAX)


def bounds(subscriber: Subscriber, limits: Limits) -> tuple[int, int]:
    """Return the shortest and the longest registration of a line, in seconds; never empty."""
    longest = subscriber.expires_max_s or limits.expires_max_s
    return min(subscriber.expires_min_s or limits.expires_min_s, longest), longest


def granted(call: CallRequest, shortest_s: int, longest_s: int) -> tuple[int, ...] | None:
    """Return for each contact how long it is kept, 0 = it is taken away; None when one is too short."""
    wanted = [_seconds(contact.expires or call.expires) for contact in call.contacts]
    if any(0 < seconds < shortest_s for seconds in wanted):
        return None
    return tuple(min(seconds, longest_s) for seconds in wanted)


def is_misuse_of_wildcard(call: CallRequest) -> bool:
    """Tell whether `*` stands for anything but all contacts, taken away: beside others, or with another expiry than 0.

    RFC 3261 §10.2.2. The registrar counts modulo 2^32, and would take 4294967296 for 0.
    """
    return call.is_wildcard and (bool(call.contacts) or _seconds(call.expires) != 0)


def may_come_from(subscriber: Subscriber, source_ip: str) -> bool:
    """Tell whether a line may register from an address."""
    if not subscriber.register_from:
        return True
    try:
        source = ip_address(source_ip)
        return any(source in ip_network(network) for network in subscriber.register_from)
    except ValueError:
        return False  # a network that nobody can read lets nobody in


def knows_path(supported: str) -> bool:
    """Tell whether a phone says that it knows of proxies on the way. supported: of its header, all values."""
    return "path" in (word.strip().lower() for word in supported.split(","))


def _seconds(text: str) -> int:
    """Return the seconds in an expiry; more than may be said is the most."""
    text = text.strip()
    if not (text.isascii() and text.isdecimal()):
        return DEFAULT_S
    return int(text) if len(text) <= DIGITS_MAX else int("9" * DIGITS_MAX)
