"""Calls of the past, asked again.

Rule 1: a record keeps numbers in E.164 and who called, not what was dialled or which address it came from. So a call is
asked again by its numbers, in the name of its line, or from a server of its carrier: what rewriting and identification
would make of it otherwise cannot be seen here.
Rule 2: it keeps its Call-ID, so draws fall as they would have fallen, where the nodes' secret is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import md5
from typing import Any, Final, NamedTuple

import psycopg
from psycopg.rows import class_row

from kemi.core.emergency import is_one_somewhere
from kemi.core.proof import proof
from kemi.core.request import CallRequest
from kemi.core.rewrite import to_e164
from kemi.records import Emergency, PeeringGroup, RewriteSet, Subscriber
from tools.errors import OperatorError
from tools.explain.request import NOWHERE, Origin, Question, invite

PEER: Final = "peer:"
MS: Final = 1_000  # of a second

_CALLS: Final = """
    SELECT rid, call_id, started_at, source, caller, callee, outcome, billed_s FROM tandem.cdr
     WHERE source <> '' AND callee <> '' ORDER BY started_at DESC, rid LIMIT %s
"""


class PastCall(NamedTuple):
    """What a record says that can be asked again. source: address of record, or "peer:<group name>"."""

    rid: str
    call_id: str
    started_at: datetime
    source: str
    caller: str
    callee: str
    outcome: str
    billed_s: int


class Asked(NamedTuple):
    """A past call, and the request that asks it again."""

    past: PastCall
    request: CallRequest


def recent(connection: psycopg.Connection[Any], count: int) -> list[PastCall]:
    """Return the newest calls whose caller was identified, the newest first. Raises psycopg errors."""
    return connection.cursor(row_factory=class_row(PastCall)).execute(_CALLS, (count,)).fetchall()


def peers_of(groups: Iterable[object]) -> dict[str, Origin]:
    """Return where calls from each carrier may come from, by its name; of carriers with one name that of the first."""
    found: dict[str, Origin] = {}
    for group in groups:
        servers = group.servers if isinstance(group, PeeringGroup) and group.enabled else ()
        for server in servers:
            if server.enabled and server.address and isinstance(group, PeeringGroup):
                found.setdefault(group.name, Origin(server.address, server.port, server.transport))
    return found


def ask(
    calls: Sequence[PastCall], peers: Mapping[str, Origin], emergency: Emergency, secret: bytes, at_ms: int
) -> tuple[list[Asked], int]:
    """Return the requests, and how many calls cannot be asked again: their carrier is gone, or a number is no number.

    at_ms: when they begin, Unix time; 0 = when they began.
    """
    asked: list[Asked] = []
    for past in calls:
        origin = peers.get(past.source.removeprefix(PEER)) if past.source.startswith(PEER) else NOWHERE
        if origin is None:
            continue
        line = "" if origin is not NOWHERE else past.source
        is_number = to_e164(past.callee) is not None and not is_one_somewhere(emergency, past.callee)
        question = Question(
            caller=past.caller or "anonymous" if not line else past.caller,
            callee=f"+{past.callee}" if is_number else past.callee,
            subscriber=line,
            origin=origin,
            at_ms=at_ms or int(past.started_at.timestamp() * MS),
            call_id=past.call_id,
            secret=secret,
        )
        try:
            request = invite(question)
        except OperatorError:
            continue
        credentials = proof(_known_line(line), request, secret) if line else None
        asked.append(Asked(past, request._replace(credentials=credentials)))
    return asked, len(calls) - len(asked)


def askable(record: object) -> object:
    """Return a record as a replay wants it: every line has the one password, and numbers come as they are kept."""
    if isinstance(record, Subscriber):
        return record._replace(ha1_md5=_known_line(f"{record.username}@{record.domain}").ha1_md5, ha1_sha256="")
    if isinstance(record, RewriteSet):
        return record._replace(caller_in=(), callee_in=())
    return record


def _known_line(address: str) -> Subscriber:
    """Return a line whose password we know; nothing of it leaves this process."""
    username, _, domain = address.rpartition("@")
    ha1 = md5(f"{username}:{domain}:replay".encode(), usedforsecurity=False).hexdigest()
    return Subscriber(0, username, domain, 0, 0, ha1, "", "")
