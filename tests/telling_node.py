"""A node that lives and tells its calls at a rebuild, without a Kamailio."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

from kemi import codec, keys
from kemi.adapters.redis_client import RedisClient, StoreUnavailable
from kemi.adapters.redis_funds import Funds
from kemi.adapters.redis_operations import Rehold, Reservation
from kemi.records import PinnedCall
from tests.redis_server import TIMEOUT_MS

TURN_S: Final = 0.02
LEASE_S: Final = 60
TALKED_MS: Final = 1_000


def known(pinned: PinnedCall, found: Reservation) -> Rehold:
    """Return what the node of a call tells of it, which knows all that Redis knew."""
    return Rehold(
        op_id=f"{pinned.rid}:0",
        rid=pinned.rid,
        seq=found.seq,
        epoch=0,
        lease_s=LEASE_S,
        pinned=codec.pack(pinned),
        funds=found.funds,
        sides=found.sides,
        granted_s=found.granted_s,
        held=found.held,
        talked_ms=TALKED_MS if found.state == "answered" else None,
        server_id=found.server_id,
        node_answered_ms=found.node_answered_ms,
        legs=found.legs,
        billed_s=found.billed_s,
        posted=found.posted,
        place=found.place,
        joins=found.joins,
    )


@contextmanager
def telling_node(
    url: str, calls: Sequence[Rehold] = (), name: str = "n1", opseq: int = 0, after_s: float = 0.0
) -> Iterator[None]:
    """Let a node live that knows these calls. opseq: the highest operation that was answered to it.

    after_s: how long it takes to find Redis.
    """
    stop = Event()
    thread = Thread(target=_live, args=(url, list(calls), name, opseq, after_s, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _live(url: str, calls: list[Rehold], name: str, opseq: int, after_s: float, stop: Event) -> None:
    client = RedisClient(url, TIMEOUT_MS)
    stop.wait(after_s)
    funds, told_for = Funds(client, name, 0), 0
    while not stop.wait(TURN_S):
        try:
            seconds, micros = client.execute("TIME")
            client.execute("HSET", keys.NODES, name, int(seconds) * 1000 + int(micros) // 1000)
            client.execute("HSET", keys.SEEN, name, opseq)
            building = funds.status().building
            if building and building != told_for:
                funds.rehold([each._replace(epoch=building) for each in calls])
                told_for = building if funds.adopted(building, len(calls)) else 0
        except StoreUnavailable:
            continue
    client.close()
