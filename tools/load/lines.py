"""What the router kept of registrations, beside the 200s that phones got."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing

from kemi import keys
from kemi.adapters.redis_client import RedisClient
from tools.load.calls import OK, Call
from tools.load.records import EXAMPLES, Finding
from tools.load.spec import Party

REDIS_TIMEOUT_MS = 5_000


def not_kept(redis_url: str, calls: Mapping[str, Call], parties: Mapping[str, Party]) -> list[Finding]:
    """Return the lines whose phone was told that it is registered, and which Redis does not know."""
    told = set(_told(calls, parties))
    with closing(RedisClient(redis_url, REDIS_TIMEOUT_MS)) as client:
        missing = sorted(name for name in told if not client.execute("EXISTS", keys.location(name)))
    if not missing:
        return []
    return [
        Finding(
            "registered_not_kept",
            len(missing),
            f"{len(missing)} lines were told that they are registered, and Redis does not know them",
            tuple(missing[:EXAMPLES]),
        )
    ]


def _told(calls: Mapping[str, Call], parties: Mapping[str, Party]) -> Iterator[str]:
    """Yield the address of record of each phone that got a 200: SIPp counts from 1 and takes lines in turn."""
    for call_id, call in calls.items():
        if call.method == "REGISTER" and call.status == OK:
            party = parties[call.party]
            number = int(call_id.partition("@")[0].rpartition("-")[2])
            n = (number - 1) % max(1, party.lines) + 1
            yield f"{party.user.format(n=n)}@{party.domain}"
