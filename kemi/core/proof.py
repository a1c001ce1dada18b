"""The proof that a line would send, for a call that nobody has placed: what would become of it is asked so.

A line's password is not known; its stored hash answers a challenge of ours as well. It answers ours alone, within this
process: nothing of it leaves.
"""

from __future__ import annotations

import hashlib
from typing import Final

from kemi.core.digest import make_nonce
from kemi.core.request import CallRequest, Credentials
from kemi.records import Subscriber

NONCE_COUNT: Final = "00000001"
CLIENT_NONCE: Final = "explain"


def proof(line: Subscriber, call: CallRequest, secret: bytes) -> Credentials | None:
    """Return a right answer of `line` to our own challenge; None for a line without a password."""
    if not (line.ha1_md5 or line.ha1_sha256):
        return None
    algorithm, ha1 = ("MD5", line.ha1_md5) if line.ha1_md5 else ("SHA-256", line.ha1_sha256)
    nonce, uri = make_nonce(secret, call.received_ms, call.call_id, call.source_ip), str(call.ruri)
    ha2 = _digest(algorithm, f"{call.method}:{uri}")
    response = _digest(algorithm, f"{ha1}:{nonce}:{NONCE_COUNT}:{CLIENT_NONCE}:auth:{ha2}")
    return Credentials(
        line.username, line.domain, nonce, uri, response, algorithm, "auth", NONCE_COUNT, CLIENT_NONCE
    )  # fmt: skip


def _digest(algorithm: str, text: str) -> str:
    return hashlib.new("md5" if algorithm == "MD5" else "sha256", text.encode()).hexdigest()
