"""Passwords of lines, and ours at carriers: asked for, judged, hashed at once, kept nowhere.

Rule: a password is never an argument, an option or a variable of the environment; it is typed, or read from stdin.
"""

from __future__ import annotations

import hashlib
import sys
from getpass import getpass
from typing import Final, NamedTuple

from tools.errors import OperatorError

# Characters. NIST SP 800-63B asks for 8; answers by MD5 are quick to try, so these are more.
LEAST: Final = 12
MOST: Final = 128


class Hashes(NamedTuple):
    """HA1 of a password, hex. Source: RFC 2617 §3.2.2.2, RFC 7616 §3.4.2."""

    md5: str
    sha256: str


def hashes(username: str, realm: str, password: str) -> Hashes:
    """Return both hashes of username:realm:password. realm: of a line, its domain."""
    text = f"{username}:{realm}:{password}".encode()
    return Hashes(hashlib.md5(text, usedforsecurity=False).hexdigest(), hashlib.sha256(text).hexdigest())


def checked(password: str, username: str) -> str:
    """Return a password that a line may have. Raises OperatorError, which never repeats it.

    ASCII only, because phones do not agree on the bytes of any other character (RFC 7616 §4).
    """
    if not LEAST <= len(password) <= MOST:
        raise OperatorError(f"password: has {len(password)} characters; it has to have {LEAST} to {MOST}")
    if not (password.isascii() and password.isprintable()):
        raise OperatorError("password: has a character that is no printable ASCII; phones send others differently")
    if username and username.lower() in password.lower() and len(password) < LEAST + len(username):
        raise OperatorError(f"password: holds the user name; besides it, it has to have {LEAST} characters")
    if len(set(password)) < LEAST // 2:
        raise OperatorError(f"password: has {len(set(password))} different characters; it has to have {LEAST // 2}")
    return password


def asked(what: str) -> str:
    """Return a password: typed twice where there is a terminal, else the first line of stdin. Raises OperatorError."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    typed = getpass(f"Password of {what}: ")
    if getpass("Once more: ") != typed:
        raise OperatorError("password: the two that were typed differ; nothing is changed")
    return typed
