"""The signed token in our Record-Route: proof that we let this call in, for the BYE that nobody else remembers.

A dialog is memory. After a crash of a node people keep talking; their BYE carries the token, so that any node can
name the reservation, relay the BYE and settle. Who invents a token reaches nothing: it is an HMAC.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

PARAMETER: Final = "tdm"
_MAC_CHARACTERS: Final = 16  # 64 bits: guessed only on line, one request at a time
_TOKEN: Final = re.compile(rf";{PARAMETER}=([0-9a-f]{{32}})\.([0-9a-f]{{{_MAC_CHARACTERS}}})(?![0-9a-z.])", re.ASCII)
ROUTE_MAX: Final = 8_192  # characters


def sign(secret: bytes, rid: str) -> str:
    """Return the value of our Record-Route parameter. rid: 32 hex characters."""
    return f"{rid}.{_mac(secret, rid)}"


def rid_of(secret: bytes, route: str) -> str:
    """Return the reservation that a Route header value names with a token of ours, "" when there is none."""
    for match in _TOKEN.finditer(route[:ROUTE_MAX]):
        if hmac.compare_digest(match[2], _mac(secret, match[1])):
            return match[1]
    return ""


def _mac(secret: bytes, rid: str) -> str:
    return hmac.new(secret, f"route:{rid}".encode(), hashlib.sha256).hexdigest()[:_MAC_CHARACTERS]
