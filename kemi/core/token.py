"""The signed token in our Record-Route: proof that we let this call in, for the BYE that nobody else remembers.

A dialog is memory. After a crash of a node people keep talking; their BYE carries the token, so that any node can
name the reservation and settle.

Rule 1: a token counts only with the Call-ID and the caller's tag that it was made for; so it also says who speaks.
Rule 2: it says when and where it was made, so that a node that has not crashed since knows that the call is over.
Rule 3: it names, as marks that tell nobody anything, the hosts that a request may be passed on to without a dialog.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from functools import lru_cache
from typing import Final, NamedTuple

from kemi.core.mac import mac

PARAMETER: Final = "tdm"
HOSTS_MAX: Final = 16
ROUTE_MAX: Final = 8_192  # characters
NODES_KEPT: Final = 16  # marks of node names, per process: its own, and those of tests
_MAC_CHARACTERS: Final = 16  # 64 bits: guessed only on line, one request at a time
_MARK_CHARACTERS: Final = 4
_NODE_CHARACTERS: Final = 8
_TOKEN: Final = re.compile(
    rf";{PARAMETER}=([0-9a-f]{{32}})\.([0-9a-f]{{12}})([0-9a-f]{{{_NODE_CHARACTERS}}})"
    rf"((?:[0-9a-f]{{{_MARK_CHARACTERS}}}){{0,{HOSTS_MAX}}})\.([0-9a-f]{{{_MAC_CHARACTERS}}})(?![0-9a-z.])",
    re.ASCII,
)


class Origin(NamedTuple):
    """Where a token was made. issued_ms: Unix time. hosts: addresses of the caller and of the servers to be asked."""

    node: str
    issued_ms: int
    hosts: tuple[str, ...] = ()


class Token(NamedTuple):
    """A token of ours. node: mark of who made it. hosts: marks. is_callers: the tag is that of the request's From."""

    rid: str
    issued_ms: int
    node: str
    hosts: tuple[str, ...]
    is_callers: bool

    def is_of(self, node: str) -> bool:
        """Tell whether this node made it."""
        return self.node == _node_mark(node)

    def leads_to(self, secret: bytes, host: str) -> bool:
        """Tell whether `host` is one of the call's."""
        return _host_mark(secret, self.rid, host) in self.hosts


def sign(secret: bytes, rid: str, call_id: str, from_tag: str, origin: Origin) -> str:
    """Return the value of our Record-Route parameter. rid: 32 hex characters; from_tag: the caller's."""
    hosts = tuple(dict.fromkeys(origin.hosts))[:HOSTS_MAX]
    marks = "".join([_host_mark(secret, rid, host) for host in hosts])
    text = f"{rid}.{origin.issued_ms:012x}{_node_mark(origin.node)}{marks}"
    return f"{text}.{_mac(secret, text, call_id, from_tag)}"


def token_of(secret: bytes, route: str, call_id: str, from_tag: str, to_tag: str) -> Token | None:
    """Return the token of ours in a Route or Record-Route, None when there is none for this dialog."""
    for match in _TOKEN.finditer(route[:ROUTE_MAX]):
        rid, issued, node, marks, signature = match.groups()
        text = f"{rid}.{issued}{node}{marks}"
        for tag, is_callers in ((from_tag, True), (to_tag, False)):
            if tag and hmac.compare_digest(signature, _mac(secret, text, call_id, tag)):
                hosts = tuple([marks[at : at + _MARK_CHARACTERS] for at in range(0, len(marks), _MARK_CHARACTERS)])
                return Token(rid, int(issued, 16), node, hosts, is_callers)
    return None


def _mac(secret: bytes, text: str, call_id: str, from_tag: str) -> str:
    signed = f"route:{text}\n{call_id}\n{from_tag}".encode()
    return mac(secret, signed).hex()[:_MAC_CHARACTERS]


def _host_mark(secret: bytes, rid: str, host: str) -> str:
    return mac(secret, f"host:{rid}\n{host}".encode()).hex()[:_MARK_CHARACTERS]


@lru_cache(maxsize=NODES_KEPT)
def _node_mark(node: str) -> str:
    return hashlib.sha256(node.encode()).hexdigest()[:_NODE_CHARACTERS]
