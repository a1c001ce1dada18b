"""The code by which a cell knows again what it has signed: HMAC-SHA256 (RFC 2104) under the cell's secret.

A call asks for half a dozen, all under the same secret. What its key alone decides is hashed once, which is half of
each, and `hmac.digest` looks the algorithm up anew each time besides.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

SECRETS_KEPT: Final = 16  # a process has one; tests have several
_BLOCK_BYTES: Final = 64
_INNER: Final = bytes(byte ^ 0x36 for byte in range(256))
_OUTER: Final = bytes(byte ^ 0x5C for byte in range(256))


def mac(secret: bytes, message: bytes) -> bytes:
    """Return the 32 bytes that only who has the secret can make of the message."""
    inner, outer = _begun(secret)
    within, around = inner.copy(), outer.copy()
    within.update(message)
    around.update(within.digest())
    made: bytes = around.digest()
    return made


@lru_cache(maxsize=SECRETS_KEPT)
def _begun(secret: bytes) -> tuple[Any, Any]:
    """Return both hashes with the key in them: they are copied, never gone on with."""
    key = sha256(secret).digest() if len(secret) > _BLOCK_BYTES else secret
    block = key.ljust(_BLOCK_BYTES, b"\0")
    return sha256(block.translate(_INNER)), sha256(block.translate(_OUTER))
