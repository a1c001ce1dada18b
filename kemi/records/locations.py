"""Where a phone is registered, as it stands in Redis; see keys.location."""

from __future__ import annotations

from typing import NamedTuple


class Location(NamedTuple):
    """One contact of a line.

    contact: its URI. received: where calls go instead, "" = where the contact says. path: proxies on the way, as a
    Route. expires_s, modified_s: Unix time. q: thousandths, -1 = none given. call_id, cseq: of the REGISTER. socket: of
    the node that took it, `udp:<address>:<port>`. instance, reg_id: as in RFC 5626, "" and 0 = none. node: its name.
    """

    contact: str
    received: str
    path: str
    expires_s: int
    q: int
    call_id: str
    cseq: int
    user_agent: str
    socket: str
    instance: str
    reg_id: int
    modified_s: int
    node: str
